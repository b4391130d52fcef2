//! A majority is gone for good: a survivor makes a new cluster of what it has, others come back with empty disks, and the old ones, should they
//! run again, have no part in it.

use crate::{
    executor::Owner,
    host::{Fate, Host, address, drive, id},
    invariant::Invariant,
    world::World,
};
use floe_consensus::{Consensus, RecoverError, Survey};
use floe_state::Stamp;
use floe_store::{
    LogRecord, LogStore, SnapshotStore,
    twin::{Disk, Fault},
};
use std::{collections::BTreeSet, rc::Rc, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How long the recovered server may take to open, and each that joins it to get its vote.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a survivor has.
struct Left {
    name: String,
    survey: Survey,
    records: Vec<LogRecord>,
}

impl World {
    /// The power goes everywhere, and comes back for a minority. False when nobody could go on.
    pub(crate) async fn lose_quorum(self: &Rc<Self>) -> bool {
        // What was answered in this instant is looked at before the next.
        sleep(Duration::from_millis(1)).await;
        self.observer.borrow().check_restores(self);
        self.trace.say(format_args!("all servers lose power, and a majority never comes back"));
        self.net.heal();
        *self.net.weather.borrow_mut() = crate::net::Weather::default();
        for name in self.names(|_| true) {
            self.crash(&name);
        }
        let left = self.survivors();
        let Some(best) = left.iter().max_by_key(|left| left.survey.last) else { return false };
        let ids: BTreeSet<_> = left.iter().filter(|l| l.name != best.name).map(|l| l.survey.id.clone()).collect();
        let mut done = self.recover_once(&best.name, &ids, true).await;
        // Nothing is left half done: whoever does it once more gets to the end.
        if !done {
            done = self.recover_once(&best.name, &ids, false).await;
        }
        let Some(records) = self.open_log(&best.name).filter(|_| done).and_then(|(log, _)| log.read(0..u64::MAX).ok()) else {
            self.violated(Invariant::RecoveryKeepsAll, format!("{} could not recover", best.name));
            return false;
        };
        self.trace.count("recovered");
        self.trace.say(format_args!("{} goes on after {:?}; also left: {ids:?}", best.name, best.survey.last));
        self.succeed(best, &left, &records);
        true
    }

    /// A minority of the voters, with what each has.
    fn survivors(self: &Rc<Self>) -> Vec<Left> {
        let mut all: Vec<Left> = self.names(|host| host.fate == Fate::Well).into_iter().filter_map(|name| self.survey(name)).collect();
        let Some(newest) = all.iter().max_by_key(|left| left.survey.last) else { return Vec::new() };
        let voters: BTreeSet<_> = newest.survey.members.iter().filter(|m| m.is_voter).map(|m| m.id.clone()).collect();
        // Who was removed, or does not know that it votes, is not asked.
        let knows = |survey: &Survey| survey.members.iter().filter(|m| m.is_voter).map(|m| &m.id).any(|id| *id == survey.id);
        all.retain(|left| voters.contains(&left.survey.id) && knows(&left.survey) && left.survey.given_up(&BTreeSet::new()).is_ok());
        while all.len() > (voters.len() - 1) / 2 && all.len() > 1 {
            all.remove(usize::try_from(self.below(all.len() as u64)).unwrap_or(0));
        }
        let is_known = |left: &Left, best: &Survey| best.members.iter().any(|m| m.id == left.survey.id);
        let best = all.iter().max_by_key(|left| left.survey.last).map(|best| best.survey.clone());
        all.retain(|left| best.as_ref().is_some_and(|best| is_known(left, best)));
        all
    }

    fn open_log(&self, name: &str) -> Option<(LogStore, SnapshotStore)> {
        let hosts = self.hosts.borrow();
        let host = hosts.get(name)?;
        let (log, _) = LogStore::open_driven(host.disk.clone(), 0).ok()?;
        Some((log, SnapshotStore::open_in(Arc::new(host.folder.clone())).ok()?))
    }

    fn survey(&self, name: String) -> Option<Left> {
        let (log, snapshots) = self.open_log(&name)?;
        let survey = Survey::on(&log, &snapshots).ok()?;
        Some(Left { name, survey, records: log.read(0..u64::MAX).ok()? })
    }

    /// Recovers on one server, whose power may go in the middle. True when it is done.
    async fn recover_once(self: &Rc<Self>, name: &str, survivors: &BTreeSet<floe_consensus::ServerId>, may_crash: bool) -> bool {
        let opened = {
            let hosts = self.hosts.borrow();
            let Some(host) = hosts.get(name) else { return false };
            LogStore::open_driven(host.disk.clone(), 0).ok().zip(SnapshotStore::open_in(Arc::new(host.folder.clone())).ok())
        };
        let Some(((log, writer), snapshots)) = opened else { return false };
        let survey = match Survey::on(&log, &snapshots) {
            Ok(survey) => survey,
            Err(_) => return false,
        };
        let owner = self.executor.owner(self.plan.disk_ms);
        if may_crash && self.below(2) == 0 {
            let after = self.below(30);
            self.with_host(name, |host| host.disk.set_fault(Fault::PowerCut { at: host.disk.operations() + after }));
        }
        self.executor.spawn(owner, drive(writer, owner));
        let (stamp, wanted) = (Stamp { seed: (self.executor.draw(), self.executor.draw()), ..Stamp::default() }, survivors.clone());
        let ask = async move { survey.go_on(&log, &wanted, stamp).await };
        let done = Rc::clone(&self.executor).ask(owner, ask).await;
        self.executor.kill(owner);
        let mut chance = self.executor.fork();
        self.with_host(name, |host| host.disk = Disk::with(host.disk.after_crash(&mut chance), Fault::None));
        if done.as_ref().is_none_or(Result::is_err) {
            self.trace.count("power gone in a recovery");
        }
        matches!(done, Some(Ok(()) | Err(RecoverError::Alone)))
    }

    fn with_host(&self, name: &str, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.hosts.borrow_mut().get_mut(name) {
            change(host);
        }
    }

    /// From now on the new cluster is looked at.
    fn succeed(self: &Rc<Self>, best: &Left, left: &[Left], records: &[LogRecord]) {
        let has = |record: &LogRecord| {
            let purged = best.survey.snapshot.is_some_and(|snapshot| snapshot.index >= record.index());
            purged || records.iter().any(|own| own.position == record.position && own.payload == record.payload)
        };
        for survivor in left {
            let committed = |record: &&LogRecord| self.observer.borrow().is_committed(record) || survivor.name == best.name;
            if let Some(lost) = survivor.records.iter().filter(committed).find(|record| !has(record)) {
                let text = format!("{} had entry {:?}, and {} recovered without it", survivor.name, lost.position, best.name);
                self.violated(Invariant::RecoveryKeepsAll, text);
            }
        }
        self.present_era.set(1);
        self.with_host(&best.name, |host| host.era = 1);
        let next = self.observer.borrow_mut().succeeded(self, &best.name, records, best.survey.last.index + 1);
        *self.observer.borrow_mut() = next;
    }

    /// The recovered server runs; others join it, and the old ones may run again beside it.
    pub(crate) async fn go_on(self: &Rc<Self>) {
        let era = self.present_era.get();
        let Some(first) = self.names(|host| host.era == era).pop() else { return };
        let old = self.names(|host| host.era < era);
        self.executor.spawn(Owner::WORLD, Rc::clone(self).start(first.clone()));
        if self.below(2) == 0 {
            old.iter().for_each(|name| self.executor.spawn(Owner::WORLD, Rc::clone(self).start(name.clone())));
        }
        let end = Instant::now() + PATIENCE;
        while self.server(&first).is_none() && Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
        }
        let Some((owner, server)) = self.server(&first) else {
            return self.violated(Invariant::RecoveryKeepsAll, format!("{first} does not open after its recovery"));
        };
        let refused = |name: &&String| !server.view().is_agent_refused(id(name).as_str());
        let members: BTreeSet<String> = old.iter().filter(refused).cloned().collect();
        if let Some(back) = self.pick(&members.into_iter().collect::<Vec<_>>()) {
            self.crash(&back);
            self.with_host(&back, |host| {
                host.empty();
                (host.era, host.fate) = (1, Fate::Well);
            });
            self.executor.spawn(Owner::WORLD, Rc::clone(self).start(back.clone()));
            if !self.join(owner, &server, &back).await {
                self.violated(Invariant::Live, format!("{back} could not join {first} after a recovery"));
            }
        }
        self.must_agree().await;
        self.must_come_to_rest().await;
    }

    /// A server with an empty disk becomes a voter.
    pub(crate) async fn join(self: &Rc<Self>, owner: Owner, server: &Consensus, name: &str) -> bool {
        let (server, name) = (server.clone(), name.to_owned());
        let ask = async move {
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end {
                let added = server.add_learner(id(&name), address(&name)).await;
                if added.is_ok() && server.promote(id(&name)).await.is_ok() {
                    return true;
                }
                sleep(Duration::from_millis(200)).await;
            }
            false
        };
        Rc::clone(&self.executor).ask(owner, ask).await == Some(true)
    }
}
