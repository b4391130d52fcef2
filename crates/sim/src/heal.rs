//! Mending everything at the end: then the servers must agree, in bounded time.

use crate::{
    clients::{AFTER, LAST, Wish},
    executor::Owner,
    host::{Fate, Host},
    invariant::Invariant,
    net::Weather,
    world::World,
};
use floe_consensus::{Consensus, Start};
use std::{collections::BTreeSet, rc::Rc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long servers have to agree once nothing fails any more.
const HEALED: Duration = Duration::from_secs(10);

impl World {
    /// Mends everything; then the servers have a bounded time to take a write and agree.
    pub(crate) async fn heal(self: &Rc<Self>) {
        self.trace.say(format_args!("all faults end"));
        self.net.heal();
        *self.net.weather.borrow_mut() = Weather::default();
        for name in self.names(|_| true) {
            self.mend(&name);
        }
        self.must_agree().await;
        self.observer.borrow().check_restores(self);
        if self.below(3) == 0 {
            self.must_be_quiet().await;
            self.must_change_members().await;
        }
        self.must_come_to_rest().await;
    }

    /// The servers of the cluster that is looked at take a write and agree, in time.
    pub(crate) async fn must_agree(self: &Rc<Self>) {
        if timeout(HEALED, self.agree()).await.is_err() {
            let servers: Vec<String> = self.hosts.borrow().values().map(describe).collect();
            self.violated(Invariant::Live, format!("{HEALED:?} after the last fault:\n    {}", servers.join("\n    ")));
        }
    }

    /// One server joins, another goes. Only where all are there: where some are gone for good, changes may be refused.
    async fn must_change_members(self: &Rc<Self>) {
        const PATIENCE: Duration = Duration::from_secs(20);
        let all_well = self.names(|host| host.fate != Fate::Well || host.server.is_none()).is_empty();
        let Some((name, (owner, server))) = self.leading().filter(|_| all_well).and_then(|name| Some((name.clone(), self.server(&name)?)))
        else {
            return;
        };
        let new = format!("s{}", self.hosts.borrow().len() + 1);
        self.hosts.borrow_mut().insert(new.clone(), Host::new(&new, Start::Join, self.plan.disk_ms));
        self.executor.spawn(Owner::WORLD, Rc::clone(self).start(new.clone()));
        if !self.join(owner, &server, &new).await {
            return self.violated(Invariant::MembersCanChange, format!("{new} could not join {name} when all faults were over"));
        }
        // One that has been removed cannot say whether it was.
        let others: Vec<_> = server.members().into_iter().filter(|member| member.id != *server.id()).collect();
        let Some(old) = self.pick(&others).map(|member| member.id) else { return };
        let (asked, end) = (server.clone(), Instant::now() + PATIENCE);
        let gone = old.clone();
        let ask = async move {
            while let Err(error) = asked.remove(gone.clone()).await {
                if Instant::now() >= end {
                    return Err(error);
                }
                sleep(Duration::from_millis(200)).await;
            }
            Ok(())
        };
        if let Some(Err(error)) = Rc::clone(&self.executor).ask(owner, ask).await {
            self.violated(Invariant::MembersCanChange, format!("{old} could not be removed when all faults were over: {error}"));
        }
        self.trace.count("members changed at last");
        self.must_agree().await;
    }

    fn mend(self: &Rc<Self>, name: &str) {
        let (owner, is_faulty, is_stopped) = {
            let mut hosts = self.hosts.borrow_mut();
            let Some(host) = hosts.get_mut(name) else { return };
            let is_faulty = std::mem::take(&mut host.is_disk_faulty);
            let is_stopped = host.server.as_ref().is_some_and(|server| server.status().stopped.is_some());
            (host.owner, is_faulty, is_stopped)
        };
        if let Some(owner) = owner {
            self.executor.resume(owner);
            self.executor.set_disk(owner, self.plan.disk_ms);
        }
        if is_faulty || is_stopped {
            self.crash(name);
        }
        self.executor.spawn(Owner::WORLD, Rc::clone(self).start(name.to_owned()));
    }

    async fn agree(self: &Rc<Self>) {
        let index = self.write_at_last().await;
        loop {
            let views = self.member_views();
            let is_whole = views.iter().all(|view| view.as_ref().is_some_and(|view| view.log_index() >= index));
            let states: BTreeSet<Vec<u8>> = views.iter().flatten().map(floe_state::State::encode).collect();
            if is_whole && states.len() == 1 {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes somewhere until it works, and returns the index of that entry.
    async fn write_at_last(self: &Rc<Self>) -> u64 {
        loop {
            let names = self.names(|host| host.server.is_some() && host.fate == Fate::Well && host.era == self.present_era.get());
            if let Some(name) = self.pick(&names)
                && let Some((owner, server)) = self.server(&name)
            {
                let wish = Wish { client: u64::MAX, key: if self.present_era.get() > 0 { AFTER } else { LAST }.to_owned(), only_if: None };
                if let Some(index) = self.write(wish, &name, owner, server).await {
                    return index;
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The states of all members that can be asked for one; nothing for one that must still come.
    fn member_views(&self) -> Vec<Option<floe_state::State>> {
        let hosts = self.hosts.borrow();
        let era = self.present_era.get();
        let newest =
            hosts.values().filter(|host| host.era == era).filter_map(|h| h.server.as_ref()).max_by_key(|server| server.view().log_index());
        let members: BTreeSet<_> = newest.map(|server| server.members().into_iter().map(|m| m.id).collect()).unwrap_or_default();
        let is_wanted =
            |host: &&Host| host.era == era && members.contains(&host.id()) && !matches!(host.fate, Fate::Refuses | Fate::LostLog);
        hosts.values().filter(is_wanted).map(|host| host.server.as_ref().map(Consensus::view)).collect()
    }
}

fn describe(host: &Host) -> String {
    let Some(server) = &host.server else { return format!("{}: {:?}, open: {}", host.name, host.fate, host.owner.is_some()) };
    let status = server.status();
    let members: Vec<String> = status.peers.iter().map(|p| format!("{}{}", p.server.id, if p.is_voter { "*" } else { "" })).collect();
    format!(
        "{}: {:?} of term {}, log {:?}, committed {:?}, applied {}, removed: {}, members {}",
        host.name,
        status.role,
        status.term,
        status.last_log_index,
        status.committed.map(|c| c.index),
        status.applied_index,
        status.is_removed,
        members.join(" ")
    )
}
