//! Breaking things while the clients go on.

use crate::{
    executor::Owner,
    host::{Fate, Host, address, id},
    net::Weather,
    plan::Fault,
    world::World,
};
use floe_consensus::{Consensus, Start};
use floe_store::twin;
use std::{collections::BTreeSet, rc::Rc, time::Duration};
use tokio::time::{Instant, sleep};

impl World {
    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.executor.below(limit)
    }

    pub(crate) fn pick<T: Clone>(&self, among: &[T]) -> Option<T> {
        let nth = usize::try_from(self.below(among.len() as u64)).ok()?;
        among.get(nth).cloned()
    }

    pub(crate) fn names(&self, wanted: impl Fn(&Host) -> bool) -> Vec<String> {
        self.hosts.borrow().values().filter(|host| wanted(host)).map(|host| host.name.clone()).collect()
    }

    pub(crate) fn running(&self) -> Vec<String> {
        self.names(|host| host.owner.is_some())
    }

    pub(crate) fn server(&self, name: &str) -> Option<(Owner, Consensus)> {
        let hosts = self.hosts.borrow();
        let host = hosts.get(name)?;
        Some((host.owner?, host.server.clone()?))
    }

    /// Injects one fault after another, as long as the plan says.
    pub(crate) async fn break_things(self: Rc<Self>) {
        let end = Instant::now() + self.plan.lasts;
        while Instant::now() < end {
            sleep(Duration::from_millis(self.below(self.plan.pace_ms))).await;
            let fault = self.plan.fault(&mut self.executor.fork());
            if let Some(fault) = fault {
                self.inject(fault);
            }
        }
    }

    fn inject(self: &Rc<Self>, fault: Fault) {
        match fault {
            Fault::Crash
            | Fault::CrashAtStep
            | Fault::CrashOnDisk
            | Fault::Blackout
            | Fault::Stop
            | Fault::FullDisk
            | Fault::FailedSync
            | Fault::SlowDisk => self.inject_disk(fault),
            Fault::BitFlip | Fault::LostLog => self.lose(fault),
            Fault::Pause | Fault::ClockJump => self.inject_time(fault),
            Fault::Weather | Fault::Isolation | Fault::OneWay | Fault::Bridge | Fault::Split => self.inject_net(fault),
            Fault::Transfer | Fault::Replace | Fault::Snapshot | Fault::Restore => self.inject_wish(fault),
            Fault::NodeSilent => self.silence_node(),
            Fault::LeftBehind | Fault::CrashInInstall => self.inject_install(fault),
            Fault::LostWork | Fault::PauseInWork | Fault::CutInRestore | Fault::NodeWithLeader | Fault::TwoReplaced => self.aim(fault),
        }
    }

    fn inject_disk(self: &Rc<Self>, fault: Fault) {
        let running = self.running();
        let Some(name) = self.victim() else { return };
        match fault {
            Fault::Crash => {
                self.trace.count(fault.name());
                self.power_cycle(&name);
            }
            Fault::CrashAtStep => self.crash_after(&name, self.below(400), fault),
            Fault::Blackout => {
                self.trace.count(fault.name());
                running.iter().for_each(|name| self.power_cycle(name));
            }
            Fault::Stop => self.stop(&name),
            Fault::SlowDisk => self.slow_disk(&name),
            _ => {
                let after = self.below(60);
                self.trace.count(fault.name());
                self.trace.say(format_args!("{name}: {fault:?} after {after} operations"));
                let mut hosts = self.hosts.borrow_mut();
                let Some(host) = hosts.get_mut(&name) else { return };
                host.is_disk_faulty = true;
                host.set_fault(|now| match fault {
                    Fault::FullDisk => twin::Fault::Full { at: now + after },
                    Fault::FailedSync => twin::Fault::SyncFails { at: now + after },
                    _ => twin::Fault::PowerCut { at: now + after },
                });
            }
        }
    }

    /// A server did something that it does rarely. What follows it is what crashes seldom meet by chance.
    pub(crate) fn happened(self: &Rc<Self>, name: &str, what: &'static str) {
        self.trace.count(what);
        if !self.plan.crashes_after_events || self.is_over.get() || self.below(4) > 0 {
            return;
        }
        let after = Duration::from_millis(self.below(25));
        let (world, name) = (Rc::clone(self), name.to_owned());
        self.executor.spawn(Owner::WORLD, async move {
            sleep(after).await;
            if !world.is_over.get() && world.server(&name).is_some() {
                world.trace.say(format_args!("{name}: the power goes because of a {what}"));
                world.power_cycle(&name);
            }
        });
    }

    pub(crate) fn power_cycle(self: &Rc<Self>, name: &str) {
        self.crash(name);
        self.restart_later(name);
    }

    /// The power goes after some more steps of a server's tasks.
    pub(crate) fn crash_after(&self, name: &str, steps: u64, because: Fault) {
        if let Some(host) = self.hosts.borrow_mut().get_mut(name) {
            host.steps_left = host.steps_left.or(Some((steps, because)));
        }
    }

    /// A task of a server went on. True when the power goes now.
    pub(crate) fn is_last_step(&self, owner: Owner) -> Option<(String, Fault)> {
        let mut hosts = self.hosts.borrow_mut();
        let host = hosts.values_mut().find(|host| host.owner == Some(owner))?;
        match host.steps_left.take() {
            Some((0, fault)) => Some((host.name.clone(), fault)),
            left => {
                host.steps_left = left.map(|(steps, fault)| (steps - 1, fault));
                None
            }
        }
    }

    /// Shuts a server down in order, and starts it again.
    fn stop(self: &Rc<Self>, name: &str) {
        let Some((owner, server)) = self.server(name) else { return };
        let agent = self.hosts.borrow().get(name).and_then(|host| host.agent.clone());
        self.trace.count(Fault::Stop.name());
        self.trace.say(format_args!("{name} is shut down"));
        let (world, name) = (Rc::clone(self), name.to_owned());
        self.executor.spawn(Owner::WORLD, async move {
            let stop = async move {
                match agent {
                    Some(agent) => agent.stop().await,
                    None => server.shutdown().await,
                }
            };
            if Rc::clone(&world.executor).ask(owner, stop).await.is_some() {
                world.power_cycle(&name);
            }
        });
    }

    fn slow_disk(self: &Rc<Self>, name: &str) {
        let (ms, lasts) = (50 + self.below(1000), Duration::from_millis(self.below(5000)));
        let Some(owner) = self.hosts.borrow().get(name).and_then(|host| host.owner) else { return };
        self.trace.say(format_args!("{name}: the disk takes up to {ms} ms for {lasts:?}"));
        self.executor.set_disk(owner, ms);
        self.trace.count(Fault::SlowDisk.name());
        let world = Rc::clone(self);
        self.executor.spawn(Owner::WORLD, async move {
            sleep(lasts).await;
            world.executor.set_disk(owner, world.plan.disk_ms);
        });
    }

    /// What cannot be undone happens to one server at most, and only where the others are a majority.
    fn lose(self: &Rc<Self>, fault: Fault) {
        let is_first = self.hosts.borrow().values().all(|host| host.fate == Fate::Well);
        let founders: Vec<String> = self.names(|host| host.owner.is_some() && host.start != Start::Join);
        if self.plan.servers < 3 || !is_first {
            return;
        }
        let Some(name) = self.pick(&founders) else { return };
        self.trace.count(fault.name());
        self.crash(&name);
        if fault == Fault::BitFlip {
            self.flip(&name)
        } else {
            self.wipe(&name)
        }
        self.restart_later(&name);
    }

    fn inject_time(self: &Rc<Self>, fault: Fault) {
        let Some(name) = self.victim() else { return };
        if fault == Fault::ClockJump {
            let by_ms = i64::try_from(self.below(7_200_000)).unwrap_or(0) - 3_600_000;
            self.trace.say(format_args!("{name}: the clock jumps by {by_ms} ms"));
            self.trace.count(fault.name());
            self.trace.count(if by_ms < 0 { "clock goes back" } else { "clock goes ahead" });
            if let Some(host) = self.hosts.borrow().get(&name) {
                host.jump(by_ms * 1_000_000);
            }
            return;
        }
        self.pause(&name, Duration::from_millis(100 + self.below(4000)), fault);
    }

    /// A server does nothing for a while.
    pub(crate) fn pause(self: &Rc<Self>, name: &str, lasts: Duration, because: Fault) {
        let Some(owner) = self.hosts.borrow().get(name).and_then(|host| host.owner) else { return };
        self.trace.say(format_args!("{name} does nothing for {lasts:?}"));
        self.executor.pause(owner);
        self.trace.count(because.name());
        let world = Rc::clone(self);
        self.executor.spawn(Owner::WORLD, async move {
            sleep(lasts).await;
            world.executor.resume(owner);
        });
    }

    fn inject_net(self: &Rc<Self>, fault: Fault) {
        let lasts = Duration::from_millis(200 + self.below(5000));
        if fault == Fault::Weather {
            let weather = Weather {
                slow_ms: 10 + self.below(600),
                slow: self.below(40),
                lost: self.below(25),
                twice: self.below(25),
                broken: self.below(15),
            };
            self.trace.say(format_args!("for {lasts:?} {weather:?}"));
            *self.net.weather.borrow_mut() = weather;
            self.trace.count(fault.name());
        } else {
            self.cut(fault, lasts);
        }
        let world = Rc::clone(self);
        self.executor.spawn(Owner::WORLD, async move {
            sleep(lasts).await;
            if fault == Fault::Weather {
                *world.net.weather.borrow_mut() = Weather::default();
            } else {
                world.trace.say(format_args!("the network is whole again"));
                world.net.heal();
            }
        });
    }

    fn cut(&self, fault: Fault, lasts: Duration) {
        let all = self.names(|_| true);
        let Some(one) = self.victim().or_else(|| self.pick(&all)) else { return };
        let others: Vec<String> = all.iter().filter(|name| **name != one).cloned().collect();
        let half: BTreeSet<String> = others.iter().filter(|_| self.below(2) == 0).cloned().collect();
        let both = |a: &str, b: &str| {
            self.net.cut(a, b);
            self.net.cut(b, a);
        };
        self.trace.say(format_args!("{fault:?} around {one}, {half:?} on one side, for {lasts:?}"));
        match fault {
            Fault::Isolation => others.iter().for_each(|other| both(&one, other)),
            Fault::OneWay if self.below(2) == 0 => others.iter().for_each(|other| self.net.cut(&one, other)),
            Fault::OneWay => others.iter().for_each(|other| self.net.cut(other, &one)),
            _ => {
                // A bridge reaches both halves; without one it is on the other side.
                let rest = others.iter().filter(|name| !half.contains(*name)).chain((fault == Fault::Split).then_some(&one));
                rest.for_each(|a| half.iter().for_each(|b| both(a, b)));
            }
        }
        if self.net.is_cut() {
            self.trace.count(fault.name());
        }
    }

    fn inject_wish(self: &Rc<Self>, fault: Fault) {
        let Some(name) = self.pick(&self.running()) else { return };
        let Some((owner, server)) = self.server(&name) else { return };
        let world = Rc::clone(self);
        self.trace.say(format_args!("{name} is asked for: {fault:?}"));
        if !matches!(fault, Fault::Replace | Fault::Restore) {
            self.trace.count(fault.name());
        }
        match fault {
            Fault::Replace => self.executor.spawn(Owner::WORLD, world.replace(owner, server)),
            Fault::Restore => self.executor.spawn(Owner::WORLD, world.restore(name, owner, server)),
            Fault::Snapshot => self.executor.spawn(owner, async move { drop(server.snapshot().await) }),
            _ => self.executor.spawn(owner, async move {
                let done = server.transfer_leadership(None).await;
                world.trace.say(format_args!("transfer asked of {}: {done:?}", server.id()));
            }),
        }
    }

    /// A new server joins, and a member is removed.
    pub(crate) async fn replace(self: Rc<Self>, owner: Owner, server: Consensus) {
        let name = format!("s{}", self.hosts.borrow().len() + 1);
        // More servers than that take longer without showing more.
        const MOST: usize = 8;
        if self.hosts.borrow().len() >= MOST {
            return;
        }
        let old = self.pick(&server.members());
        self.busy.set(self.busy.get() + 1);
        self.hosts.borrow_mut().insert(name.clone(), Host::new(&name, Start::Join, self.plan.disk_ms));
        self.executor.spawn(Owner::WORLD, Rc::clone(&self).start(name.clone()));
        let ask = {
            let (world, server, name) = (Rc::clone(&self), server.clone(), name.clone());
            async move {
                let added = server.add_learner(id(&name), address(&name)).await;
                world.trace.say(format_args!("{name} is taken in: {added:?}"));
                for _ in 0..4 {
                    sleep(Duration::from_millis(400)).await;
                    let promoted = server.promote(id(&name)).await;
                    world.trace.say(format_args!("{name} is promoted: {promoted:?}"));
                    if promoted.is_ok() {
                        break;
                    }
                }
                if let Some(old) = old {
                    let removed = server.remove(old.id.clone()).await;
                    if removed.is_ok() {
                        world.trace.count(Fault::Replace.name());
                    }
                    world.trace.say(format_args!("{} is removed: {removed:?}", old.id));
                }
            }
        };
        // The server that was asked may crash meanwhile.
        let _ = Rc::clone(&self.executor).ask(owner, ask).await;
        self.busy.set(self.busy.get() - 1);
    }
}
