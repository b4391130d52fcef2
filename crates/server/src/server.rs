//! The server's handle: what its endpoints share.

use crate::{
    autopilot::LatestHealth,
    backup::{self, LatestSnapshots, SnapshotConfig, SnapshotStatus},
    keyring::RootKeys,
    leader::{self, LeaderHandle},
    reports::{self, Reports},
    rpc::Doorkeeper,
    worker,
};
use floe_consensus::{Consensus, ProposeError, executor};
use floe_control::{
    autopilot::{self, Health},
    garbage::Thresholds,
    heartbeat::Timing,
    keyring,
};
use floe_keyring::Keks;
use floe_model::Timestamp;
use floe_state::{Command, Outcome, State, command::Refusal};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The name that people know it by.
    pub name: String,
    /// The version of this build.
    pub version: &'static str,
    /// The region that it serves.
    pub region: String,
    /// The datacenter that it stands in.
    pub datacenter: String,
    /// How many evaluations are worked on at once.
    pub workers: usize,
    /// When a silent node counts as down.
    pub heartbeat: Timing,
    /// How long things are kept after they are over.
    pub keep: Thresholds,
    /// When a new server votes, and when a dead one is removed.
    pub autopilot: autopilot::Config,
    /// When and where the leader keeps backups, if it does.
    pub snapshots: Option<SnapshotConfig>,
    /// How old root keys become.
    pub keyring: keyring::Config,
    /// What wraps and opens root keys, if anything is configured.
    pub keks: Option<Arc<Keks>>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            name: "floe".to_owned(),
            version: "",
            region: floe_model::ids::DEFAULT_REGION.to_owned(),
            datacenter: "dc1".to_owned(),
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            heartbeat: Timing::default(),
            keep: Thresholds::default(),
            autopilot: autopilot::Config::default(),
            snapshots: None,
            keyring: keyring::Config::default(),
            keks: None,
        }
    }
}

/// A request that the server could not meet.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The change did not get into the log.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The state refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A running server. Clones share it.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    config: ServerConfig,
    consensus: Consensus,
    leader: LeaderHandle,
    reports: Reports,
    door: Option<Doorkeeper>,
    health: LatestHealth,
    snapshots: Vec<LatestSnapshots>,
    root_keys: RootKeys,
    plans: Semaphore,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Starts the server's tasks on the present runtime.
    ///
    /// `door` lets other machines in; without one everything is in the clear, on loopback.
    pub fn start(config: ServerConfig, consensus: Consensus, door: Option<Doorkeeper>) -> Self {
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let leader = leader::start(&config, &consensus, &stop, &tasks);
        let reports = reports::start(consensus.clone(), &stop, &tasks);
        for _ in 0..config.workers.max(1) {
            drop(executor::spawn(tasks.track_future(worker::run(consensus.clone(), leader.clone(), stop.clone()))));
        }
        drop(executor::spawn(tasks.track_future(crate::rotation::run(consensus.clone(), stop.clone()))));
        let health = crate::autopilot::start(&consensus, config.autopilot.clone(), &stop, &tasks);
        let targets = config.snapshots.iter().flat_map(|s| &s.targets);
        let snapshots = targets.map(|target| LatestSnapshots::of(target.label())).collect();
        let (root_keys, plans) = (RootKeys::default(), Semaphore::new(crate::http::MAX_PLANS));
        let inner = Inner { config, consensus, leader, reports, door, health, snapshots, root_keys, plans, stop, tasks };
        let server = Server { inner: Arc::new(inner) };
        drop(executor::spawn(server.inner.tasks.track_future(crate::keyring::run(server.clone()))));
        if let Some(config) = server.config().snapshots.clone() {
            for (target, status) in config.targets.into_iter().zip(&server.inner.snapshots) {
                server.inner.tasks.spawn(backup::run(server.clone(), target, config.schedule.clone(), status.clone()));
            }
        }
        server
    }

    /// How it was set up.
    pub fn config(&self) -> &ServerConfig {
        &self.inner.config
    }
    /// The log that it writes to.
    pub fn consensus(&self) -> &Consensus {
        &self.inner.consensus
    }
    /// The newest state that this server has applied.
    pub fn view(&self) -> State {
        self.inner.consensus.view()
    }
    /// The time by this server's clock. It may go back.
    pub(crate) fn now(&self) -> Timestamp {
        self.consensus().now()
    }
    /// Whether this server leads, and has applied all that was committed before it did.
    pub(crate) fn leads(&self) -> bool {
        self.inner.consensus.leadership().borrow().is_leader
    }
    /// Where the servers of the cluster listen for RPC, as far as this one knows.
    pub(crate) fn rpc_addresses(&self) -> Vec<String> {
        self.inner.consensus.members().into_iter().map(|m| m.address.rpc).collect()
    }
    pub(crate) fn leader(&self) -> &LeaderHandle {
        &self.inner.leader
    }
    /// What the leader knows of the servers' health; `None` on any other server.
    pub(crate) fn servers_health(&self) -> Option<Health<String>> {
        self.inner.health.borrow().clone()
    }
    /// What became of the backups that this server keeps, for each place by its name.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = (&'static str, SnapshotStatus)> {
        self.inner.snapshots.iter().map(LatestSnapshots::get)
    }
    /// Waits until this server, as the leader, has looked at the servers.
    pub(crate) async fn first_look_at_servers(&self) -> Option<Health<String>> {
        let mut health = self.inner.health.clone();
        health.wait_for(Option::is_some).await.ok().and_then(|h| h.clone())
    }
    /// The root keys that it could open.
    pub(crate) fn root_keys(&self) -> &RootKeys {
        &self.inner.root_keys
    }
    /// Turns at planning jobs for whoever asks.
    pub(crate) fn plans(&self) -> &Semaphore {
        &self.inner.plans
    }
    pub(crate) fn door(&self) -> Option<&Doorkeeper> {
        self.inner.door.as_ref()
    }
    pub(crate) fn reports(&self) -> &Reports {
        &self.inner.reports
    }
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.inner.stop
    }

    /// Writes a change and waits until it is applied here.
    ///
    /// # Errors
    /// When it did not get into the log, or the state refused it.
    pub async fn propose(&self, command: Command) -> Result<(u64, Outcome), ServerError> {
        let proposed = self.inner.consensus.propose(command).await?;
        let (index, outcome) = match proposed.outcome {
            Outcome::Repeated { index, outcome } => (index, *outcome),
            outcome => (proposed.index, outcome),
        };
        match outcome {
            Outcome::Refused(why) => Err(why.into()),
            outcome => Ok((index, outcome)),
        }
    }

    /// Says which servers began the cluster together, by their ids: those are let in by the secret that they share, for a day.
    ///
    /// # Errors
    /// When it did not get into the log, or they are too many.
    pub async fn begin_founding(&self, founders: impl IntoIterator<Item = String>) -> Result<(), ServerError> {
        self.propose(Command::BeginFounding { founders: founders.into_iter().collect() }).await.map(drop)
    }

    /// Ends the leader's loops and everything that waits for a change; the state can still be read. To be called before the ports are
    /// closed: a leader that nobody can reach any more must not take that for the silence of its nodes.
    pub fn begin_stop(&self) {
        self.inner.stop.cancel();
    }

    /// Stops the server's tasks and the log, which is flushed.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.consensus.shutdown().await;
    }
}
