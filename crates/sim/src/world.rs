//! A simulation: everything that one seed runs, and the loop around it.

use crate::{
    aimed::Aims,
    backups::Backup,
    clients::{CLIENTS, Clients},
    executor::{Executor, Owner, Watch},
    host::{Host, bootstrap},
    invariant::{Invariant, Violation},
    net::Net,
    nodes::SimNode,
    observer::Observer,
    plan::Plan,
    trace::Trace,
    wire,
};
use floe_consensus::{DataFolder, Rpc, StopReason};
use floe_store::twin::Chance;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// See the module.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) executor: Rc<Executor>,
    pub(crate) trace: Trace,
    pub(crate) net: Net,
    pub(crate) hosts: RefCell<BTreeMap<String, Host>>,
    pub(crate) clients: Clients,
    pub(crate) nodes: Vec<Rc<SimNode>>,
    pub(crate) backups: RefCell<Vec<Backup>>,
    pub(crate) observer: RefCell<Observer>,
    pub(crate) aims: Aims,
    /// Servers of which a task went on since they were looked at.
    touched: RefCell<BTreeSet<Owner>>,
    violation: RefCell<Option<Violation>>,
    /// Faults have ended.
    pub(crate) is_over: Cell<bool>,
    pub(crate) is_done: Cell<bool>,
    /// Who still changes jobs or members, or restores a backup.
    pub(crate) busy: Cell<u32>,
    /// The cluster that is looked at: see [`Host::era`].
    pub(crate) present_era: Cell<u32>,
    pub(crate) begun: Instant,
    /// Only its lock is held.
    pub(crate) data: DataFolder,
}

/// The commands that a leader's desk, or one of its workers, makes and nobody else here.
const DECIDED: &[&str] = &["plan", "update-node-status", "update-evals", "update-deployment", "collect"];

thread_local! {
    static CURRENT: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// The simulation that runs on this thread.
pub(crate) fn current() -> Rc<World> {
    CURRENT.with_borrow(Clone::clone).expect("invariant: this is called by servers of a simulation alone")
}

impl World {
    fn new(seed: u64, prints: bool, data: DataFolder) -> Rc<Self> {
        let mut chance = Chance::new(seed);
        let plan = Plan::draw(&mut chance);
        let executor = Executor::new(chance.draw());
        Rc::new(Self {
            net: Net::new(Chance::new(chance.draw())),
            nodes: (0..plan.nodes).map(|_| Rc::new(SimNode::new())).collect(),
            plan,
            executor,
            trace: Trace::new(prints),
            hosts: RefCell::default(),
            clients: Clients::default(),
            backups: RefCell::default(),
            observer: RefCell::default(),
            aims: Aims::default(),
            touched: RefCell::default(),
            violation: RefCell::default(),
            is_over: Cell::new(false),
            is_done: Cell::new(false),
            busy: Cell::new(0),
            present_era: Cell::new(0),
            begun: Instant::now(),
            data,
        })
    }

    /// Runs all of it, on a paused clock.
    pub(crate) async fn run(seed: u64, prints: bool, data: DataFolder) -> (Rc<Self>, Option<Violation>) {
        let world = Self::new(seed, prints, data);
        world.trace.say(format_args!("seed {seed}: {:?}", world.plan));
        let entered = world.executor.enter();
        CURRENT.set(Some(Rc::clone(&world)));
        world.executor.spawn(Owner::WORLD, Rc::clone(&world).script());
        Rc::clone(&world.executor).run(&world).await;
        if world.violation.borrow().is_none() {
            world.check_history();
        }
        world.end();
        CURRENT.set(None);
        drop(entered);
        let violation = world.violation.borrow_mut().take();
        (world, violation)
    }

    /// Takes everything apart: tasks hold the world, and the world holds them.
    fn end(&self) {
        let hosts = std::mem::take(&mut *self.hosts.borrow_mut());
        for host in hosts.values() {
            if let Some(owner) = host.owner {
                self.net.forget(owner);
                self.executor.kill(owner);
            }
        }
        self.executor.kill(Owner::WORLD);
        drop(hosts);
    }

    async fn script(self: Rc<Self>) {
        let names: Vec<String> = (1..=self.plan.servers).map(|n| format!("s{n}")).collect();
        for name in &names {
            self.hosts.borrow_mut().insert(name.clone(), Host::new(name, bootstrap(&names), self.plan.disk_ms));
            self.executor.spawn(Owner::WORLD, Rc::clone(&self).start(name.clone()));
        }
        for number in 0..CLIENTS {
            self.executor.spawn(Owner::WORLD, Rc::clone(&self).client(number));
        }
        self.begin_work();
        // Some clusters are let begin in peace.
        if self.executor.below(4) > 0 {
            sleep(Duration::from_secs(3)).await;
        }
        Rc::clone(&self).break_things().await;
        self.is_over.set(true);
        if self.plan.loses_quorum && self.lose_quorum().await {
            self.go_on().await;
        } else {
            self.heal().await;
        }
        self.is_done.set(true);
    }

    /// Notes that something does not hold. The first one counts.
    pub(crate) fn violated(&self, invariant: Invariant, text: String) {
        let mut present = self.violation.borrow_mut();
        if present.is_none() {
            self.trace.say(format_args!("VIOLATION {invariant:?}: {text}"));
            *present = Some(Violation { invariant, text });
        }
    }

    /// A server answered a call.
    pub(crate) fn answered(&self, (from, asked): (&str, u32), host: &str, rpc: Rpc, body: (&[u8], &[u8])) {
        let (request, answer) = body;
        self.trace.mix(answer);
        if let Some(name) = wire::proposed(rpc, body.0).filter(|name| DECIDED.contains(name)) {
            self.violated(Invariant::OneDeskActs, format!("{from} passed on a {name} of its desk to {host}"));
        }
        let answered = self.era(host);
        if asked != answered {
            let text = format!("{host} of era {answered} answered {} of {from} of era {asked}", rpc.name());
            return self.violated(Invariant::RecoveredShareNoCall, text);
        }
        if answered < self.present_era.get() {
            return;
        }
        self.observer.borrow_mut().answered(self, host, rpc, request, answer);
    }

    pub(crate) fn era(&self, name: &str) -> u32 {
        self.hosts.borrow().get(name).map_or(0, |host| host.era)
    }

    /// A server opened its log.
    pub(crate) fn reopened(&self, name: &str, log: &floe_store::LogStore, era: u32) {
        if era < self.present_era.get() {
            return;
        }
        self.observer.borrow_mut().reopened(self, name, log);
    }

    /// A server did not start.
    pub(crate) fn could_not_open(self: &Rc<Self>, name: &str, reason: &str) {
        use crate::host::Fate;
        self.trace.say(format_args!("{name} does not start: {reason}"));
        let (is_out, is_faulty, fate) = {
            let hosts = self.hosts.borrow();
            let Some(host) = hosts.get(name) else { return };
            (host.is_out(), host.is_disk_faulty, host.fate)
        };
        self.crash(name);
        match fate {
            Fate::Flipped if !is_out => {
                if let Some(host) = self.hosts.borrow_mut().get_mut(name) {
                    host.fate = Fate::Refuses;
                }
                self.trace.count("damage noticed");
            }
            _ if is_out || is_faulty => self.restart_later(name),
            _ => self.violated(Invariant::HealthyServersRun, format!("{name} does not start: {reason}")),
        }
    }

    /// Starts a server again after a while.
    pub(crate) fn restart_later(self: &Rc<Self>, name: &str) {
        let after = Duration::from_millis(50 + self.executor.below(2500));
        let (world, name) = (Rc::clone(self), name.to_owned());
        self.executor.spawn(Owner::WORLD, async move {
            sleep(after).await;
            world.start(name).await;
        });
    }

    /// Servers whose disk lost power crash; those that stopped because of their disk are started again.
    fn see_to_disks(self: &Rc<Self>, owner: Owner) {
        let found = {
            let hosts = self.hosts.borrow();
            hosts.values().find(|host| host.owner == Some(owner)).filter(|host| host.is_out()).map(|host| host.name.clone())
        };
        if let Some(name) = found {
            self.crash(&name);
            self.restart_later(&name);
        }
    }

    fn see_to_stops(self: &Rc<Self>, owner: Owner) {
        let found = {
            let hosts = self.hosts.borrow();
            hosts.values().find(|host| host.owner == Some(owner)).and_then(|host| {
                let reason = host.server.as_ref()?.status().stopped?;
                Some((host.name.clone(), host.is_disk_faulty, host.fate, reason))
            })
        };
        let Some((name, is_faulty, fate, StopReason::Failed(reason))) = found else { return };
        self.trace.say(format_args!("{name} stopped: {reason}"));
        match fate {
            _ if is_faulty => {
                self.crash(&name);
                self.restart_later(&name);
            }
            crate::host::Fate::Flipped => {
                self.crash(&name);
                if let Some(host) = self.hosts.borrow_mut().get_mut(&name) {
                    host.fate = crate::host::Fate::Refuses;
                }
            }
            _ => self.violated(Invariant::HealthyServersRun, format!("{name} stopped: {reason}")),
        }
    }
}

/// The executor wants an owned handle for crashes.
impl Watch for Rc<World> {
    fn polled(&self, owner: Owner, task: u64) -> bool {
        self.trace.mix(&task.to_be_bytes());
        if owner != Owner::WORLD {
            self.touched.borrow_mut().insert(owner);
            self.see_to_disks(owner);
            if let Some((name, fault)) = self.is_last_step(owner).filter(|_| !self.is_over.get()) {
                self.trace.count(fault.name());
                self.power_cycle(&name);
            }
        }
        for (owner, text) in self.executor.take_panics() {
            self.violated(Invariant::NothingPanics, format!("a task of {owner:?} panicked: {text}"));
        }
        self.violation.borrow().is_none()
    }

    fn settled(&self) -> bool {
        let touched = std::mem::take(&mut *self.touched.borrow_mut());
        for owner in &touched {
            self.see_to_stops(*owner);
        }
        self.observer.borrow_mut().look(self, &touched);
        self.violation.borrow().is_none() && !self.is_done.get()
    }
}
