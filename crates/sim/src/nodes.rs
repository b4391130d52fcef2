//! Nodes: each registers, says that it is there, runs what the servers want of it, reports, is silent for a while and comes back.
//!
//! A server that does not lead passes on what a node asks; here the node finds the leader by what that server knows.

use crate::{executor::Owner, host::Host, plan::Fault, world::World};
use floe_api::rpc::{Lease, Report};
use floe_model::{AllocClientStatus, AllocDesiredStatus, AllocId, Node, NodeId, alloc::AllocUpdate};
use floe_server::{Server, Told};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// After this long a node asks another server.
const PATIENCE: Duration = Duration::from_secs(3);
/// What a node has, in megahertz and mebibytes, and what an allocation of these jobs takes: four fit.
pub(crate) const NODE_SHARES: i64 = 4000;
pub(crate) const ALLOC_SHARES: i64 = 900;
/// How many allocations fit on a node.
pub(crate) const FIT: u64 = 4;

/// One of them, as its machine sees it.
#[derive(Default)]
pub(crate) struct SimNode {
    pub(crate) is_alive: Cell<bool>,
    /// What it runs or ran, until the servers forget it.
    has: RefCell<BTreeMap<AllocId, AllocClientStatus>>,
    /// What the servers have not heard yet.
    unsaid: RefCell<BTreeSet<AllocId>>,
    told: RefCell<Told>,
}

impl SimNode {
    pub(crate) fn new() -> Self {
        Self { is_alive: Cell::new(true), told: RefCell::new(Told::already(BTreeMap::new(), 0)), ..Self::default() }
    }

    /// What runs on it.
    pub(crate) fn running(&self) -> BTreeSet<AllocId> {
        self.has.borrow().iter().filter(|(_, status)| **status == AllocClientStatus::Running).map(|(id, _)| id.clone()).collect()
    }

    fn set(&self, id: &AllocId, status: AllocClientStatus) {
        self.has.borrow_mut().insert(id.clone(), status);
        self.unsaid.borrow_mut().insert(id.clone());
    }

    /// Does what it was told.
    fn follow(&self, desired: floe_api::rpc::Desired) {
        self.has.borrow_mut().retain(|id, _| desired.allocs.contains_key(id));
        self.unsaid.borrow_mut().retain(|id| desired.allocs.contains_key(id));
        for alloc in desired.changed {
            let present = self.has.borrow().get(&alloc.id).copied();
            let is_wanted = alloc.desired_status == AllocDesiredStatus::Run && !alloc.client_status.is_terminal();
            match present {
                None if is_wanted => self.set(&alloc.id, AllocClientStatus::Running),
                Some(AllocClientStatus::Running) if !is_wanted => self.set(&alloc.id, AllocClientStatus::Complete),
                // The servers know less than they were told: a backup was restored.
                Some(status) if alloc.client_status != status => self.set(&alloc.id, status),
                _ => {}
            }
        }
    }
}

pub(crate) fn node_id(number: usize) -> NodeId {
    format!("c{number}").into()
}

fn node(number: usize) -> Node {
    let mut node = Node { id: node_id(number), name: format!("c{number}"), datacenter: "dc1".to_owned(), ..Node::default() };
    floe_model::ids::DEFAULT_NODE_POOL.clone_into(&mut node.node_pool);
    node.node_resources.cpu.cpu_shares = NODE_SHARES;
    node.node_resources.memory.memory_mb = NODE_SHARES;
    node.node_resources.disk.disk_mb = 100_000;
    let healthy = floe_model::node::DriverInfo { detected: true, healthy: true, ..floe_model::node::DriverInfo::default() };
    node.drivers.insert("exec".to_owned(), healthy);
    node
}

impl World {
    fn agents(&self) -> Vec<(Owner, Server)> {
        let era = self.present_era.get();
        let of = |host: &Host| Some((host.owner?, host.agent.clone()?));
        self.hosts.borrow().values().filter(|host| host.era == era).filter_map(of).collect()
    }

    /// Whom a server passes a node's wish on to.
    fn leader_by(&self, asked: &(Owner, Server)) -> Option<(Owner, Server)> {
        let leadership = asked.1.consensus().leadership().borrow().clone();
        if leadership.is_leader {
            return Some(asked.clone());
        }
        let leader = leadership.leader?;
        self.agents().into_iter().find(|(_, agent)| *agent.consensus().id() == leader.id)
    }

    /// A node's life.
    pub(crate) async fn node(self: Rc<Self>, number: usize) {
        let Some(own) = self.nodes.get(number).cloned() else { return };
        let mut due: Option<Instant> = None;
        while !self.is_done.get() {
            sleep(Duration::from_millis(100 + self.below(300))).await;
            let Some(asked) = self.pick(&self.agents()).filter(|_| own.is_alive.get()) else {
                due = if own.is_alive.get() { due } else { None };
                continue;
            };
            if due.is_none_or(|due| due <= Instant::now())
                && let Some(leader) = self.leader_by(&asked)
                && let Some(lease) = self.ask_lease(leader, number, due.is_none()).await
            {
                if due.is_none() {
                    // Servers that did not know it may not know what became of its allocations either.
                    own.unsaid.borrow_mut().extend(own.has.borrow().keys().cloned());
                }
                due = (!lease.unknown).then(|| Instant::now() + Duration::from_millis(lease.ttl_ms / 2));
            }
            let view = asked.1.view();
            if view.node(&node_id(number)).is_some()
                && let Some(desired) = { own.told.borrow_mut().news(&view, &node_id(number)) }
            {
                own.follow(desired);
            }
            // What failed is tried again at a moment that the leader names, by its clock, which must not be an hour wrong then.
            if self.below(100) == 0 && !self.is_over.get() && !self.plan.has(Fault::ClockJump) {
                self.fail_one(&own);
            }
            self.report(&asked, &own, number).await;
        }
    }

    async fn ask_lease(self: &Rc<Self>, (owner, agent): (Owner, Server), number: usize, registers: bool) -> Option<Lease> {
        let ask =
            async move { if registers { agent.register(node(number)).await.ok().flatten() } else { agent.hear(node_id(number)).await } };
        timeout(PATIENCE, Rc::clone(&self.executor).ask(owner, ask)).await.ok()??
    }

    fn fail_one(&self, own: &SimNode) {
        if let Some(id) = self.pick(&own.running().into_iter().collect::<Vec<_>>()) {
            self.trace.count("allocation failed");
            own.set(&id, AllocClientStatus::Failed);
        }
    }

    async fn report(self: &Rc<Self>, (owner, agent): &(Owner, Server), own: &SimNode, number: usize) {
        let said: Vec<AllocId> = own.unsaid.borrow().iter().cloned().collect();
        if said.is_empty() {
            return;
        }
        let statuses: BTreeMap<_, _> = said.iter().filter_map(|id| Some((id.clone(), *own.has.borrow().get(id)?))).collect();
        let update = |(id, status): (&AllocId, &AllocClientStatus)| AllocUpdate {
            id: id.clone(),
            node_id: node_id(number),
            client_status: *status,
            ..AllocUpdate::default()
        };
        let report = Report { node_id: node_id(number), allocs: statuses.iter().map(update).collect() };
        let agent = agent.clone();
        let ask = async move { agent.take_report(report).await.is_ok() };
        if timeout(PATIENCE, Rc::clone(&self.executor).ask(*owner, ask)).await == Ok(Some(true)) {
            // What changed meanwhile is said next time.
            let has = own.has.borrow();
            own.unsaid.borrow_mut().retain(|id| !statuses.contains_key(id) || has.get(id) != statuses.get(id));
        }
    }

    /// A node is silent for a while.
    pub(crate) fn silence_node(self: &Rc<Self>) {
        let nth = usize::try_from(self.below(self.nodes.len() as u64)).unwrap_or(0);
        let Some(own) = self.nodes.get(nth).filter(|own| own.is_alive.get()).cloned() else { return };
        let lasts = Duration::from_millis(500 + self.below(25_000));
        self.trace.count(Fault::NodeSilent.name());
        self.trace.say(format_args!("{} is silent for {lasts:?}", node_id(nth)));
        self.silence(own, lasts);
    }

    /// Nothing is heard of a node, until that time is over or it is looked whether all comes to rest.
    pub(crate) fn silence(self: &Rc<Self>, own: Rc<SimNode>, lasts: Duration) {
        own.is_alive.set(false);
        let world = Rc::clone(self);
        self.executor.spawn(Owner::WORLD, async move {
            sleep(lasts).await;
            if !world.is_over.get() {
                own.is_alive.set(true);
            }
        });
    }
}
