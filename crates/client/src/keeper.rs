//! The keeper: one task that knows which allocations the node has, and starts, tells and forgets runners as the servers wish.

use crate::{
    clock,
    db::{Change, words},
    reconcile::{Action, Known, cut_off, reconcile},
    runner::{Event, Runner, RunnerHandle, Shared},
};
use floe_api::rpc::Desired;
use floe_model::{AllocClientStatus, AllocId, Allocation, Nanos, Timestamp, alloc::AllocUpdate};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How much longer than the longest kill timeout a stop of everything may take.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// An allocation of this node.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) alloc: Arc<Allocation>,
    pub(crate) runner: RunnerHandle,
}

/// The allocations of this node, for those who read.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    entries: Arc<RwLock<BTreeMap<AllocId, Entry>>>,
}

impl Registry {
    pub(crate) fn get(&self, id: &AllocId) -> Option<Entry> {
        self.read().get(id).cloned()
    }
    pub(crate) fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<AllocId, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
    pub(crate) fn insert(&self, entry: Entry) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).insert(entry.alloc.id.clone(), entry);
    }
    fn remove(&self, id: &AllocId) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
    /// The servers' index of each allocation.
    pub(crate) fn indexes(&self) -> BTreeMap<AllocId, u64> {
        self.read().iter().map(|(id, e)| (id.clone(), e.alloc.alloc_modify_index)).collect()
    }
}

/// Asks the keeper to end everything.
pub(crate) struct StopAll {
    pub(crate) reason: String,
    pub(crate) done: oneshot::Sender<()>,
}

pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) registry: Registry,
    pub(crate) frames: mpsc::Receiver<Desired>,
    pub(crate) stops: mpsc::Receiver<StopAll>,
    pub(crate) known: watch::Sender<BTreeMap<AllocId, u64>>,
    /// Until when the node's lease holds.
    pub(crate) leased: watch::Receiver<Timestamp>,
    /// What was told to end for want of servers.
    pub(crate) cut_off: BTreeSet<AllocId>,
}

impl Keeper {
    /// Keeps until it is stopped, or asked to end everything.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let waits = self.end_what_is_cut_off().await;
            let look_again = async {
                match waits {
                    Some(moment) => tokio::time::sleep_until(clock::instant(moment)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = look_again => {}
                () = stop.cancelled() => return,
                Some(request) = self.stops.recv() => {
                    self.end_everything(&request.reason).await;
                    let _ = request.done.send(());
                    return;
                }
                Some(desired) = self.frames.recv() => self.follow(desired).await,
                else => return,
            }
        }
    }

    /// Ends allocations that are not to run on a node without servers for longer than they say. Returns when to look again.
    async fn end_what_is_cut_off(&mut self) -> Option<Timestamp> {
        let leased = *self.leased.borrow();
        let entries: Vec<Entry> = self.registry.read().values().filter(|e| !e.runner.has_ended()).cloned().collect();
        self.cut_off.retain(|id| entries.iter().any(|e| e.alloc.id == *id));
        let limit = |e: &Entry| Some((e.alloc.id.clone(), stop_on_client_after(&e.alloc)?));
        let limits: BTreeMap<AllocId, Nanos> = entries.iter().filter(|e| !self.cut_off.contains(&e.alloc.id)).filter_map(limit).collect();
        let (due, next) = cut_off(&limits, leased, clock::now());
        for entry in entries.into_iter().filter(|e| due.contains(&e.alloc.id)) {
            if let Some(after) = limits.get(&entry.alloc.id) {
                tracing::warn!(alloc = %entry.alloc.id, %after, "no server was reached for so long that the allocation is to end");
                let _ = entry.runner.events.send(Event::CutOff(*after)).await;
                self.cut_off.insert(entry.alloc.id.clone());
            }
        }
        next
    }

    async fn follow(&mut self, desired: Desired) {
        let known = self
            .registry
            .read()
            .iter()
            .map(|(id, e)| (id.clone(), Known { alloc_modify_index: e.alloc.alloc_modify_index, ended: e.runner.has_ended() }))
            .collect();
        for action in reconcile(&known, desired) {
            match action {
                Action::Run(alloc) => self.start(alloc),
                Action::Update(alloc) => self.update(alloc).await,
                Action::Stop(alloc, reason) => self.stop(alloc, reason),
                Action::SayGone(alloc) => self.say_gone(&alloc),
                Action::Forget(id) => self.forget(id),
            }
        }
        self.known.send_replace(self.registry.indexes());
    }

    fn start(&self, alloc: Arc<Allocation>) {
        tracing::info!(alloc = %alloc.id, name = %alloc.name, "allocation received");
        let runner = Runner::start(self.shared.clone(), alloc.clone(), self.in_the_way(&alloc));
        self.registry.insert(Entry { alloc, runner });
    }

    /// Allocations that must end before `new` may start: the one that it replaces, and those that hold its ports or devices. The servers count
    /// them as ended from the moment when they decide so.
    fn in_the_way(&self, new: &Allocation) -> Vec<watch::Receiver<bool>> {
        let ports = |a: &Allocation| a.allocated_resources.shared.ports.iter().map(|p| p.value).collect::<Vec<_>>();
        let wanted = (ports(new), devices(new));
        let entries = self.registry.read();
        let others = entries.values().filter(|e| !e.runner.has_ended());
        let has_what_is_wanted =
            |a: &Allocation| ports(a).iter().any(|p| wanted.0.contains(p)) || devices(a).iter().any(|d| wanted.1.contains(d));
        let in_the_way = others.filter(|e| e.alloc.id == new.previous_allocation || has_what_is_wanted(&e.alloc));
        in_the_way.map(|e| e.runner.ended.clone()).collect()
    }

    async fn update(&self, alloc: Arc<Allocation>) {
        let Some(entry) = self.registry.get(&alloc.id) else { return };
        self.registry.insert(Entry { alloc: alloc.clone(), runner: entry.runner.clone() });
        let _ = entry.runner.events.send(Event::Updated(alloc)).await;
    }

    /// It is written down first that the allocation is not wanted: an agent that dies now must not take its end for a failure, nor start
    /// it again.
    fn stop(&self, alloc: Arc<Allocation>, reason: String) {
        let Some(entry) = self.registry.get(&alloc.id) else { return };
        tracing::info!(alloc = %alloc.id, %reason, "allocation is to stop");
        self.registry.insert(Entry { alloc: alloc.clone(), runner: entry.runner.clone() });
        let db = self.shared.db.clone();
        tokio::spawn(async move {
            if let Err(error) = db.write(vec![Change::Allocation(alloc)]).await {
                tracing::warn!(%error, "a stop was not written down");
            }
            entry.runner.stop(reason).await;
        });
    }

    /// The servers wait for the end of something that this node does not have (its database was lost): it is over.
    fn say_gone(&self, alloc: &Allocation) {
        self.shared.reporter.say(AllocUpdate {
            id: alloc.id.clone(),
            node_id: self.shared.node.id.clone(),
            client_status: AllocClientStatus::Complete,
            client_description: "the node has nothing of it".to_owned(),
            task_states: alloc.task_states.clone(),
            ..AllocUpdate::default()
        });
    }

    /// Removes an allocation with its folders; one that still runs is stopped first.
    fn forget(&self, id: AllocId) {
        let Some(entry) = self.registry.get(&id) else { return };
        let (shared, registry) = (self.shared.clone(), self.registry.clone());
        tokio::spawn(async move {
            if !entry.runner.has_ended() {
                entry.runner.stop("the servers forgot it".to_owned()).await;
                let _ = entry.runner.ended.clone().wait_for(|e| *e).await;
            }
            remove(&shared, &id).await;
            registry.remove(&id);
            shared.reporter.forget(&id);
        });
    }

    /// Stops all allocations and waits for their ends.
    async fn end_everything(&self, reason: &str) {
        let entries: Vec<Entry> = self.registry.read().values().cloned().collect();
        let longest = entries.iter().filter_map(|e| e.alloc.job.as_ref()).map(|j| j.longest_stop()).max().unwrap_or_default();
        for entry in &entries {
            entry.runner.stop(reason.to_owned()).await;
        }
        let deadline = tokio::time::Instant::now() + longest.to_std() + STOP_MARGIN;
        for entry in entries {
            let mut ended = entry.runner.ended.clone();
            if tokio::time::timeout_at(deadline, ended.wait_for(|e| *e)).await.is_err() {
                tracing::error!(alloc = %entry.alloc.id, "the allocation did not end in time; its tasks are ended when the agent starts again");
            }
        }
    }
}

/// The devices that an allocation holds: vendor, type and id, which are one device whatever its model is called.
fn devices(alloc: &Allocation) -> Vec<(&str, &str, &str)> {
    let held = alloc.allocated_resources.tasks.values().flat_map(|t| &t.devices);
    held.flat_map(|d| d.device_ids.iter().map(move |id| (d.vendor.as_str(), d.device_type.as_str(), id.as_str()))).collect()
}

/// How long the node may be without servers before it ends the allocation.
fn stop_on_client_after(alloc: &Allocation) -> Option<Nanos> {
    alloc.job.as_deref()?.group(&alloc.task_group)?.stop_on_client_after()
}

/// Removes what is left of an allocation.
pub(crate) async fn remove(shared: &Arc<Shared>, id: &AllocId) {
    let root = shared.paths.alloc(id).root;
    let removed = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&root) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    });
    if let Ok(Err(error)) = removed.await {
        tracing::warn!(alloc = %id, error = %words(&error), "the allocation's folders were not removed");
    }
    if let Err(error) = shared.db.write(vec![Change::Forget(id.clone())]).await {
        tracing::error!(alloc = %id, %error, "the client's state was not written");
    }
}

/// A moment for the log of the agent's start.
pub(crate) fn started_at() -> floe_model::Timestamp {
    clock::now()
}
