//! Faults that wait for their moment: what must coincide to do harm does so seldom by chance.

use crate::{executor::Owner, host::Host, nodes::node_id, plan::Fault, world::World};
use std::{cell::Cell, rc::Rc, time::Duration};
use tokio::time::{Instant, sleep};

/// What is to happen at the next moment that fits.
#[derive(Default)]
pub(crate) struct Aims {
    /// So many more times what a worker does is lost, as in a thread that panics.
    lost_works: Cell<u64>,
    /// The leader stands still while a worker plans.
    pause_in_work: Cell<bool>,
    /// The leader is cut off with the last entry of a restore in its log.
    cut_in_restore: Cell<bool>,
}

impl World {
    /// The server that counts as leader, if there is one.
    pub(crate) fn leading(&self) -> Option<String> {
        let era = self.present_era.get();
        let leads = |host: &Host| host.era == era && host.server.as_ref().is_some_and(|server| server.leadership().borrow().is_leader);
        self.names(leads).pop()
    }

    /// Whom a fault strikes: one time in three the leader, else any server that runs.
    pub(crate) fn victim(&self) -> Option<String> {
        let leader = if self.below(3) == 0 { self.leading() } else { None };
        leader.or_else(|| self.pick(&self.running()))
    }

    pub(crate) fn aim(self: &Rc<Self>, fault: Fault) {
        match fault {
            Fault::PauseInWork => self.aims.pause_in_work.set(true),
            Fault::LostWork => self.aims.lost_works.set(1 + self.below(3)),
            Fault::NodeWithLeader => self.lose_node_with_leader(),
            Fault::CutInRestore => {
                let Some((name, (owner, server))) = self.pick(&self.running()).and_then(|name| Some((name.clone(), self.server(&name)?)))
                else {
                    return;
                };
                self.aims.cut_in_restore.set(true);
                self.executor.spawn(Owner::WORLD, Rc::clone(self).back_up_and_restore(name, owner, server));
            }
            _ => {
                self.trace.count(fault.name());
                for _ in 0..2 {
                    if let Some((owner, server)) = self.pick(&self.running()).and_then(|name| self.server(&name)) {
                        self.executor.spawn(Owner::WORLD, Rc::clone(self).replace(owner, server));
                    }
                }
            }
        }
    }

    /// From now on little work is lost, or none: less than makes a worker give an evaluation up.
    pub(crate) fn lose_work_at_last(&self) {
        self.aims.lost_works.set(self.below(3));
    }

    /// A worker of this owner begins to plan. Whether that is lost.
    pub(crate) fn loses_work(self: &Rc<Self>, owner: Owner) -> bool {
        if !self.is_over.get() && self.aims.pause_in_work.take() {
            let name = self.names(|host| host.owner == Some(owner)).pop().unwrap_or_default();
            let (after, lasts) = (Duration::from_millis(self.below(2 * self.plan.disk_ms)), Duration::from_millis(2500 + self.below(3000)));
            let world = Rc::clone(self);
            self.executor.spawn(Owner::WORLD, async move {
                sleep(after).await;
                world.pause(&name, lasts, Fault::PauseInWork);
            });
        }
        let left = self.aims.lost_works.get();
        if left == 0 || self.below(2) == 0 {
            return false;
        }
        self.trace.count(Fault::LostWork.name());
        self.aims.lost_works.set(left - 1);
        true
    }

    /// The entry that ends a restore came to the log of a server. When that is the leader, nobody else has it yet.
    pub(crate) fn restore_appended(self: &Rc<Self>, host: &Host) {
        let leads = host.server.as_ref().is_some_and(|server| server.leadership().borrow().is_leader);
        if self.is_over.get() || !leads || self.hosts.borrow().len() < 2 || !self.aims.cut_in_restore.take() {
            return;
        }
        let lasts = Duration::from_millis(2500 + self.below(4000));
        self.trace.say(format_args!("{} is cut off for {lasts:?} with the end of a restore in its log", host.name));
        self.trace.count(Fault::CutInRestore.name());
        for other in self.names(|other| other.name != host.name) {
            self.net.cut(&host.name, &other);
            self.net.cut(&other, &host.name);
        }
        let world = Rc::clone(self);
        self.executor.spawn(Owner::WORLD, async move {
            sleep(lasts).await;
            world.net.heal();
        });
    }

    /// A machine goes that was a node and led.
    fn lose_node_with_leader(self: &Rc<Self>) {
        let nth = usize::try_from(self.below(self.nodes.len() as u64)).unwrap_or(0);
        let (Some(own), Some(leader)) = (self.nodes.get(nth).filter(|own| own.is_alive.get()).cloned(), self.leading()) else { return };
        let lasts = Duration::from_millis(500 + self.below(25_000));
        self.trace.count(Fault::NodeWithLeader.name());
        self.trace.say(format_args!("{} is gone with {leader}, for {lasts:?}", node_id(nth)));
        self.silence(own, lasts);
        self.power_cycle(&leader);
    }

    /// What a snapshot from the leader needs, and what disturbs it.
    pub(crate) fn inject_install(self: &Rc<Self>, fault: Fault) {
        if fault == Fault::CrashInInstall {
            self.hosts.borrow_mut().values_mut().for_each(|host| host.crashes_in_install = true);
            return;
        }
        let Some(name) = self.pick(&self.running()) else { return };
        if self.plan.servers < 3 || self.net.is_cut() {
            return;
        }
        self.trace.say(format_args!("{name} is cut off until it needs a snapshot"));
        for other in self.names(|host| host.name != name) {
            self.net.cut(&name, &other);
            self.net.cut(&other, &name);
        }
        self.executor.spawn(Owner::WORLD, Rc::clone(self).leave_behind(name));
    }

    async fn leave_behind(self: Rc<Self>, name: String) {
        const PATIENCE: Duration = Duration::from_secs(6);
        let end = Instant::now() + PATIENCE;
        let bounds = |host: &Host| host.log.as_ref().map(floe_store::LogStore::bounds);
        while Instant::now() < end && self.net.is_cut() {
            sleep(Duration::from_millis(100)).await;
            let hosts = self.hosts.borrow();
            let last = hosts.get(&name).and_then(bounds).and_then(|b| b.last).map(|at| at.index);
            let purged = hosts.values().filter(|host| host.name != name).filter_map(bounds).filter_map(|b| b.purged).map(|at| at.index);
            if purged.min() > last {
                self.trace.count(Fault::LeftBehind.name());
                break;
            }
        }
        self.trace.say(format_args!("{name} is there again"));
        self.net.heal();
    }

    /// A piece of a snapshot came to a server.
    pub(crate) fn piece_arrived(&self, name: &str) {
        let is_wanted = self.hosts.borrow().get(name).is_some_and(|host| host.crashes_in_install);
        if is_wanted && !self.is_over.get() && self.below(2) == 0 {
            if let Some(host) = self.hosts.borrow_mut().get_mut(name) {
                host.crashes_in_install = false;
            }
            self.crash_after(name, self.below(80), Fault::CrashInInstall);
        }
    }
}
