//! The node as a whole: started, asked by the HTTP layer, stopped.

use crate::{
    clock,
    config::ClientConfig,
    db::{Db, words},
    devices::{self, Fingerprint},
    fingerprint, keeper,
    keeper::{Entry, Keeper, Registry, StopAll},
    link::{self, Link},
    logs,
    paths::{NodePaths, shim_id},
    report::Reporter,
    runner::{self, Found, Runner, RunnerHandle, Shared},
};
use floe_api::{
    NodeApi,
    node::{ActError, ActRequest, LogError, LogPiece, LogRequest, Sample},
    types::PartHealth,
};
use floe_images::Images;
use floe_model::{AllocClientStatus, AllocId, Allocation, NodeId, Timestamp};
use floe_network::{Attachment, Network};
use floe_runtime::{Attached, TaskHandle};
use floe_store::{DataFolder, LocalError, LocalState, local::NodeIdentity};
use floe_tasks::Recovered;
use futures::{future::BoxFuture, stream::BoxStream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the last reports may take when the agent stops.
const LAST_REPORTS: Duration = Duration::from_secs(3);

/// How often is looked for images that nobody uses.
const LOOK_FOR_OLD_IMAGES: Duration = Duration::from_secs(30);

/// A node that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The local database cannot be used.
    #[error(transparent)]
    State(#[from] LocalError),
    /// A folder or thread cannot be made.
    #[error("start the client: {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Nothing that a node needs is there.
    #[error("this machine cannot run tasks:\n{0}")]
    Unfit(String),
    /// The data folder is another node's.
    #[error(
        "start the client: its state is of node {known}, but the key of this machine is of node {given}: bring back the key that belongs to the data \
         folder, or remove the folder's client part (its tasks are then placed anew)"
    )]
    OtherNode {
        /// Whose state it is.
        known: NodeId,
        /// Who this machine is.
        given: NodeId,
    },
}

/// A running node. Clones share it.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    registry: Registry,
    registered: watch::Receiver<bool>,
    stops: mpsc::Sender<StopAll>,
    /// Ends keeper and watcher.
    stop: CancellationToken,
    /// Ends registrar and reporter, which have the last word.
    stop_link: CancellationToken,
    tasks: TaskTracker,
    link_tasks: TaskTracker,
    started: Timestamp,
}

/// What the database remembers.
struct Memory {
    identity: NodeIdentity,
    allocs: Vec<Allocation>,
    handles: BTreeMap<AllocId, BTreeMap<String, TaskHandle>>,
    networks: BTreeMap<AllocId, Attachment>,
    statuses: BTreeMap<AllocId, floe_model::alloc::AllocUpdate>,
}

impl Memory {
    /// Nothing of the allocation runs any more, and its end was written down.
    fn is_over(&self, alloc: &Allocation) -> bool {
        self.statuses.get(&alloc.id).is_some_and(|s| s.client_status.is_terminal()) || alloc.client_status.is_terminal()
    }
}

fn remember(state: &LocalState, node_id: Option<&NodeId>) -> Result<Memory, StartError> {
    let identity = match state.identity()? {
        Some(identity) if node_id.is_some_and(|id| *id != identity.node_id) => {
            let given = node_id.cloned().unwrap_or_default();
            return Err(StartError::OtherNode { known: identity.node_id, given });
        }
        Some(identity) => identity,
        None => {
            let drawn = || uuid::Uuid::new_v4().to_string();
            let fresh = NodeIdentity { node_id: node_id.cloned().unwrap_or_else(|| drawn().into()), secret: drawn() };
            state.transaction(|t| t.put_identity(&fresh))?;
            fresh
        }
    };
    let allocs = state.allocations()?;
    let mut handles = BTreeMap::new();
    for alloc in &allocs {
        handles.insert(alloc.id.clone(), state.task_handles(&alloc.id)?);
    }
    Ok(Memory { identity, allocs, handles, networks: state.networks()?, statuses: state.statuses()? })
}

impl Client {
    /// Starts the node: finds again what an earlier agent ran, makes the network, registers.
    ///
    /// # Errors
    /// When the machine lacks what every task needs, or the database cannot be used.
    pub async fn start(config: ClientConfig, folder: &DataFolder) -> Result<Client, StartError> {
        let problems = floe_runtime::preflight();
        if !problems.is_empty() {
            let lines: Vec<String> = problems.iter().map(|p| format!("  * {}: {}", p.what, p.how_to_fix)).collect();
            return Err(StartError::Unfit(lines.join("\n")));
        }
        let paths = NodePaths::new(folder.path());
        for dir in [paths.allocs(), paths.shims()] {
            let io = |source| StartError::Io { what: format!("make {}", dir.display()), source };
            std::fs::DirBuilder::new().recursive(true).create(dir).map_err(io)?;
        }
        let state = LocalState::open(folder)?;
        let memory = remember(&state, config.node_id.as_ref())?;
        let db = Db::start(state).map_err(|source| StartError::Io { what: "start the thread of the client's state".to_owned(), source })?;
        reap(&paths, &memory).await;
        let (network, no_bridge, broken) = open_network(&config, &memory).await;
        let images = open_images(&config, &paths, &memory).await;
        let no_images = images.as_ref().err().map(String::as_str);
        let found =
            fingerprint::Found { no_images, problems: &problems, no_bridge: no_bridge.as_deref(), data: folder.path(), now: clock::now() };
        let mut node = fingerprint::node(&config, &memory.identity.node_id, &found);
        let known = devices::first_look(&config.cdi_folders, &mut node).await;
        let node = Arc::new(node);
        let link = Link::new(config.servers.clone(), node.id.clone());
        let reporter = Reporter::default();
        let shared = Arc::new(Shared { config, node, paths, db, network, reporter, images });
        let registry = Registry::default();
        resume_all(&shared, &registry, memory, &broken).await;
        Ok(Self::spawn(shared, registry, link, known))
    }

    fn spawn(shared: Arc<Shared>, registry: Registry, link: Link, devices: Fingerprint) -> Client {
        let (frames_in, frames) = link::frames();
        let (stops, stops_rx) = mpsc::channel(1);
        let (registered_in, registered) = watch::channel(false);
        let (known_in, known) = watch::channel(registry.indexes());
        // A node that starts has had no servers only since then.
        let (leased_in, leased) = watch::channel(clock::now());
        let (stop, stop_link) = (CancellationToken::new(), CancellationToken::new());
        let (tasks, link_tasks) = (TaskTracker::new(), TaskTracker::new());
        let (node_in, node) = watch::channel(shared.node.clone());
        tasks.spawn(devices::keep_looking(shared.config.cdi_folders.clone(), devices, devices::PERIOD, node_in, stop.clone()));
        link_tasks.spawn(link.clone().keep_lease(node, shared.reporter.clone(), (registered_in, leased_in), stop_link.clone()));
        link_tasks.spawn(shared.reporter.clone().run(link.clone(), stop_link.clone()));
        tasks.spawn(link.watch_desired(frames_in, known, registered.clone(), stop.clone()));
        let keeper = Keeper {
            shared: shared.clone(),
            registry: registry.clone(),
            frames,
            stops: stops_rx,
            known: known_in,
            leased,
            cut_off: BTreeSet::new(),
        };
        tasks.spawn(keeper.run(stop.clone()));
        if let Ok(images) = &shared.images {
            tasks.spawn(keep_images(images.clone(), stop.clone()));
        }
        let started = keeper::started_at();
        Client { inner: Arc::new(Inner { shared, registry, registered, stops, stop, stop_link, tasks, link_tasks, started }) }
    }

    /// The node as it was when the agent started.
    pub fn node(&self) -> &floe_model::Node {
        &self.inner.shared.node
    }

    /// Waits until a server took the registration.
    pub async fn wait_registered(&self) {
        // A closed channel means that the node stops; then nobody waits for this.
        let _ = self.inner.registered.clone().wait_for(|r| *r).await;
    }

    /// Ends the agent's part and leaves all tasks running: the next agent finds them.
    pub async fn leave(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.last_words().await;
    }

    /// Ends all tasks, then the agent's part, and removes the bridge, the table and every namespace.
    pub async fn end(&self, reason: &str) {
        let (done, ended) = oneshot::channel();
        if self.inner.stops.send(StopAll { reason: reason.to_owned(), done }).await.is_ok() {
            let _ = ended.await;
        }
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.last_words().await;
        if let Some(network) = &self.inner.shared.network
            && let Err(error) = network.close().await
        {
            tracing::error!(error = %words(&error), "the allocation network was not removed");
        }
        self.remove_empty_folders();
    }

    /// Removes what an agent makes on the machine for itself, where nobody else uses it.
    fn remove_empty_folders(&self) {
        let config = &self.inner.shared.config;
        let parent = std::path::Path::new(&config.cgroup_parent);
        for path in [parent.join(floe_runtime::SHIMS_CGROUP), parent.to_owned()] {
            match floe_runtime::Cgroup::new(path) {
                Ok(cgroup) => cgroup.remove_if_empty(),
                Err(error) => tracing::debug!(error = %words(&error), "the tasks' cgroup was not looked for"),
            }
        }
        // A folder that is not empty is somebody's.
        let _ = std::fs::remove_dir(&config.network.netns_dir);
    }

    /// Gives the last reports a moment to get through.
    async fn last_words(&self) {
        let deadline = tokio::time::Instant::now() + LAST_REPORTS;
        while !self.inner.shared.reporter.is_idle() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.inner.stop_link.cancel();
        self.inner.link_tasks.close();
        self.inner.link_tasks.wait().await;
    }
}

/// Ends every task that an agent left running on a data folder which nobody uses any more. Returns how many there were.
///
/// # Errors
/// In words, when one of them cannot be ended.
pub fn end_leftovers(data: &std::path::Path) -> Result<usize, String> {
    let left = floe_runtime::reap_leftovers(NodePaths::new(data).shims(), &BTreeSet::new()).map_err(|e| words(&e))?;
    match left.failed.first() {
        Some((task, error)) => Err(format!("end task {task}: {error}")),
        None => Ok(left.destroyed.len()),
    }
}

/// The images of the node, or why it has none. What was used by tasks that nobody remembers is used by nobody.
async fn open_images(config: &ClientConfig, paths: &NodePaths, memory: &Memory) -> Result<Images, String> {
    let (over, live): (Vec<&Allocation>, Vec<&Allocation>) = memory.allocs.iter().partition(|a| memory.is_over(a));
    let users: BTreeSet<String> = live.iter().flat_map(|a| runner::task_names(a).into_iter().map(|t| shim_id(&a.id, &t))).collect();
    let ended: Vec<(AllocId, Vec<String>)> = over.iter().map(|a| (a.id.clone(), runner::task_names(a))).collect();
    let (paths, settings) = (paths.clone(), config.images.pulls.clone());
    let opened = tokio::task::spawn_blocking(move || {
        if let Some(problem) = floe_runtime::image_preflight() {
            return Err(format!("{}: {}", problem.what, problem.how_to_fix));
        }
        for (alloc, tasks) in &ended {
            runner::remove_scratch(&paths, alloc, tasks);
        }
        let images = Images::open(paths.images(), settings).map_err(|e| words(&e))?;
        images.keep_only(|user| users.contains(user));
        Ok(images)
    });
    let images = opened.await.map_err(|e| e.to_string()).flatten();
    if let Err(why) = &images {
        tracing::error!(error = %why, "images of containers cannot be run on this node");
    }
    images
}

/// Removes images that nobody has used for a while, until the agent ends.
async fn keep_images(images: Images, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_FOR_OLD_IMAGES)).await.is_some() {
        let images = images.clone();
        match tokio::task::spawn_blocking(move || images.collect_garbage()).await {
            Ok(Ok(gone)) => gone.iter().for_each(|name| tracing::info!(image = %name, "removed an image that nobody uses")),
            Ok(Err(error)) => tracing::warn!(error = %words(&error), "images that nobody uses were not removed"),
            Err(error) => tracing::warn!(%error, "images that nobody uses were not removed"),
        }
    }
}

/// Ends what shims run of allocations that the database does not know: their agent died before it could remember them.
async fn reap(paths: &NodePaths, memory: &Memory) {
    // Of what is over only records are left.
    let known: BTreeSet<String> = memory
        .allocs
        .iter()
        .filter(|a| !memory.is_over(a))
        .flat_map(|a| runner::task_names(a).into_iter().map(|t| shim_id(&a.id, &t)))
        .collect();
    let root = paths.shims().to_owned();
    let reaped = tokio::task::spawn_blocking(move || floe_runtime::reap_leftovers(&root, &known)).await;
    match reaped {
        Ok(Ok(left)) => {
            for id in &left.destroyed {
                if memory.allocs.iter().any(|a| id.starts_with(a.id.as_str())) {
                    tracing::debug!(task = %id, "removed the records of a task that is over");
                } else {
                    tracing::warn!(task = %id, "ended a task that nobody remembers");
                }
            }
            for (id, error) in &left.failed {
                tracing::error!(task = %id, %error, "a task that nobody remembers was not ended");
            }
        }
        Ok(Err(error)) => tracing::error!(error = %words(&error), "leftover tasks were not looked for"),
        Err(error) => tracing::error!(%error, "leftover tasks were not looked for"),
    }
}

/// The network, why there is none, and which allocations lost theirs.
async fn open_network(config: &ClientConfig, memory: &Memory) -> (Option<Network>, Option<String>, BTreeSet<String>) {
    let live: BTreeSet<&AllocId> = memory.allocs.iter().filter(|a| !memory.is_over(a)).map(|a| &a.id).collect();
    let known: Vec<Attachment> = memory.networks.iter().filter(|(id, _)| live.contains(id)).map(|(_, a)| a.clone()).collect();
    match Network::open(config.network.clone(), &known).await {
        Ok((network, report)) => {
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            let broken = report.broken.iter().map(|b| b.id.clone()).collect();
            (Some(network), None, broken)
        }
        Err(error) => {
            let why = words(&error);
            tracing::error!(error = %why, "allocations cannot be connected to a bridge on this node");
            (None, Some(why), BTreeSet::new())
        }
    }
}

/// Takes over every allocation that the database remembers.
async fn resume_all(shared: &Arc<Shared>, registry: &Registry, mut memory: Memory, broken: &BTreeSet<String>) {
    for alloc in std::mem::take(&mut memory.allocs) {
        let alloc = Arc::new(alloc);
        let over = memory.is_over(&alloc);
        let saved = memory.statuses.remove(&alloc.id);
        let runner = if over {
            // The agent may have died before the servers heard of the end. They ignore what they know.
            if let Some(saved) = saved {
                shared.reporter.report(saved);
            }
            RunnerHandle::ended_already()
        } else {
            let handles = memory.handles.remove(&alloc.id).unwrap_or_default();
            let attachment = memory.networks.remove(&alloc.id).filter(|a| !broken.contains(&a.id));
            let lost_network = broken.contains(alloc.id.as_str());
            resume(shared, &alloc, handles, attachment, lost_network, saved).await
        };
        registry.insert(Entry { alloc, runner });
    }
}

async fn resume(
    shared: &Arc<Shared>,
    alloc: &Arc<Allocation>,
    handles: BTreeMap<String, TaskHandle>,
    attachment: Option<Attachment>,
    lost_network: bool,
    saved: Option<floe_model::alloc::AllocUpdate>,
) -> RunnerHandle {
    let (paths, owner) = (shared.paths.clone(), alloc.clone());
    let attached = tokio::task::spawn_blocking(move || find_tasks(&paths, &owner, &handles, lost_network)).await.unwrap_or_default();
    let attachment = if lost_network { reconnect(shared, alloc).await } else { attachment };
    let mut found = Found { recovered: BTreeMap::new(), running: BTreeMap::new(), attachment, saved };
    for (task, attached) in attached {
        let recovered = match attached {
            Attached::Running(process) => {
                tracing::info!(alloc = %alloc.id, %task, "found a running task again");
                found.running.insert(task.clone(), Arc::new(process));
                Recovered::Running
            }
            Attached::Exited(status) => Recovered::Exited(runner::exit_of(&status)),
            Attached::Lost { reason } => Recovered::Lost(reason),
        };
        found.recovered.insert(task, recovered);
    }
    Runner::resume(shared.clone(), alloc.clone(), found)
}

/// A network in the place of one that is gone, for the tasks' next start; none when nobody wants them any more.
async fn reconnect(shared: &Arc<Shared>, alloc: &Arc<Allocation>) -> Option<Attachment> {
    if alloc.is_server_terminal() {
        return None;
    }
    tracing::warn!(alloc = %alloc.id, "the network of the allocation was gone; its tasks start anew");
    runner::reconnect(shared, alloc).await.unwrap_or_else(|error| {
        tracing::error!(alloc = %alloc.id, %error, "the network of the allocation was not made again");
        None
    })
}

/// What became of the tasks of an allocation. Without its network a task is of no use: it is ended, and its restart policy decides.
fn find_tasks(
    paths: &NodePaths,
    alloc: &Allocation,
    handles: &BTreeMap<String, TaskHandle>,
    lost_network: bool,
) -> Vec<(String, Attached)> {
    let mut found = Vec::new();
    for task in runner::task_names(alloc) {
        // An agent that was killed right after a start has no handle in its database, but the shim left one.
        let on_disk = TaskHandle::load(&paths.shim(&alloc.id, &task)).ok().flatten();
        let Some(handle) = on_disk.or_else(|| handles.get(&task).cloned()) else { continue };
        let attached = match floe_runtime::reattach(&handle) {
            Ok(Attached::Running(process)) if lost_network => {
                process.kill_all();
                let _ = process.wait(Duration::from_secs(10));
                Attached::Lost { reason: "the network of the allocation was gone".to_owned() }
            }
            Ok(attached) => attached,
            Err(error) => Attached::Lost { reason: words(&error) },
        };
        found.push((task, attached));
    }
    found
}

impl NodeApi for Client {
    fn node_id(&self) -> NodeId {
        self.inner.shared.node.id.clone()
    }

    fn health(&self) -> PartHealth {
        let ok = *self.inner.registered.borrow();
        PartHealth { ok, message: if ok { "ok" } else { "not registered with a server yet" }.to_owned() }
    }

    fn samples(&self) -> Vec<Sample> {
        let mut by_status: BTreeMap<AllocClientStatus, u64> = BTreeMap::new();
        let mut held = floe_model::resources::Amounts::default();
        for entry in self.inner.registry.read().values() {
            let running = !entry.runner.has_ended();
            *by_status.entry(if running { AllocClientStatus::Running } else { AllocClientStatus::Complete }).or_default() += 1;
            if running {
                held = held.plus(entry.alloc.allocated_resources.amounts());
            }
        }
        let free = self.inner.shared.node.capacity().minus(held);
        let count = |s| by_status.get(&s).copied().unwrap_or(0) as f64;
        let uptime = clock::now().since(self.inner.started).as_millis() / 1000;
        let sample = |name, help, value: f64| Sample { name, help, labels: Vec::new(), value };
        vec![
            sample("nomad_client_uptime", "seconds since the client started", uptime as f64),
            sample("nomad_client_allocations_running", "allocations that run", count(AllocClientStatus::Running)),
            sample(
                "nomad_client_allocations_terminal",
                "allocations that have ended and are remembered",
                count(AllocClientStatus::Complete),
            ),
            sample("nomad_client_allocated_cpu", "megahertz that allocations hold", held.cpu_mhz as f64),
            sample("nomad_client_allocated_memory", "mebibytes of memory that allocations hold", held.memory_mb as f64),
            sample("nomad_client_allocated_disk", "mebibytes of disk that allocations hold", held.disk_mb as f64),
            sample("nomad_client_unallocated_cpu", "megahertz that are free", free.cpu_mhz as f64),
            sample("nomad_client_unallocated_memory", "mebibytes of memory that are free", free.memory_mb as f64),
            sample("nomad_client_unallocated_disk", "mebibytes of disk that are free", free.disk_mb as f64),
        ]
    }

    fn act(&self, request: ActRequest) -> BoxFuture<'static, Result<(), ActError>> {
        let entry = self.inner.registry.get(&request.alloc);
        Box::pin(async move {
            match entry {
                Some(entry) => entry.runner.act(request).await,
                None => Err(ActError::UnknownAlloc(request.alloc)),
            }
        })
    }

    fn logs(&self, request: LogRequest) -> BoxFuture<'static, Result<BoxStream<'static, Result<LogPiece, LogError>>, LogError>> {
        let entry = self.inner.registry.get(&request.alloc);
        let paths = self.inner.shared.paths.alloc(&request.alloc);
        Box::pin(async move {
            match entry {
                Some(entry) => logs::read(entry, paths, request).await,
                None => Err(LogError::UnknownAlloc(request.alloc)),
            }
        })
    }
}
