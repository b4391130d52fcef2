//! A server's part in the agreement.

mod begin;
mod propose;
mod read;
pub(crate) mod search;
mod upkeep;

pub(crate) use begin::restore;
pub use propose::Proposed;

use crate::{
    ClusterId, Config, Events, Leadership, OpenError, ReadError, Rpc, ServerAddress, ServerId, Status, StopReason, Timings, TooOld,
    absence,
    check::Check,
    config::{HAND_OVER, PROPOSALS_IN_FLIGHT},
    executor::{self, Task},
    leadership,
    log::{Log, awaited},
    machine::Machine,
    network::{HandleError, answer, link::Network, peers::Peers, receiving::Receiving},
    publish::{self, Published},
    raft_types::{Metrics, Raft, WatchReceiver, position},
    stamp::Stamper,
    status,
    stop::StopCell,
};
use floe_model::Timestamp;
use floe_state::{State, command::DigestReport};
use floe_store::{DataFolder, LogStore, Position, SnapshotId, SnapshotStore};
use propose::Seen;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, watch};

/// A server of the cluster. Clones share it.
#[derive(Clone)]
pub struct Consensus {
    inner: Arc<Inner>,
}

struct Inner {
    raft: Raft,
    store: LogStore,
    published: Published,
    leadership: watch::Receiver<Leadership>,
    stop: StopCell,
    stamper: Stamper,
    in_flight: Semaphore,
    seen: Mutex<Seen>,
    timings: Timings,
    address: ServerAddress,
    /// What this server has to report of its state.
    due: watch::Receiver<Option<DigestReport>>,
    peers: Arc<Peers>,
    receiving: Receiving,
    /// Changes of the membership, one at a time.
    changing: tokio::sync::Mutex<()>,
    tasks: Mutex<Vec<Task<()>>>,
    /// Held as long as the files are open.
    _data: DataFolder,
}

impl Consensus {
    /// Opens the server: the newest whole snapshot, then the log after it. The only voter of a cluster leads and has applied its whole log when
    /// this returns; any other server goes on catching up. In a new cluster the first command is its version.
    ///
    /// # Errors
    /// When the files are damaged, in use, of a newer build or of another server, or the server had to stop while it recovered.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let data = config.data.clone();
        let open = move || -> Result<_, OpenError> {
            let store = LogStore::open(&data)?;
            let snapshots = SnapshotStore::open(&data).inspect_err(|_| store.close())?;
            Ok((store, snapshots))
        };
        let (store, snapshots) = executor::blocking(open).await.map_err(|_| OpenError::Runtime)??;
        Self::open_on(config, store, snapshots).await
    }

    /// As [`Consensus::open`], on a log and snapshots that the caller opened, such as ones on [`floe_store::twin`]. Of `config.data` only the lock
    /// is held.
    ///
    /// # Errors
    /// As [`Consensus::open`]. The log is closed then.
    pub async fn open_on(config: Config, store: LogStore, snapshots: SnapshotStore) -> Result<Self, OpenError> {
        let log = store.clone();
        let opened = Self::start(config, store, snapshots).await;
        if opened.is_err() {
            executor::blocking(move || log.close()).await.map_err(|_| OpenError::Runtime)?;
        }
        opened
    }

    async fn start(config: Config, store: LogStore, snapshots: SnapshotStore) -> Result<Self, OpenError> {
        let raft_config = Arc::new(config.raft()?);
        let (log, files) = (store.clone(), snapshots.clone());
        let restored = executor::blocking(move || begin::restore(&log, &files)).await.map_err(|_| OpenError::Runtime)??;
        TooOld::check(restored.state().cluster_version(), config.known_version)?;
        // Without entries, what it was about to enter does not bind it. A snapshot that came before any entry does: a crash may leave nothing else.
        let has_any = store.bounds().last.is_some() || restored.last_index().is_some();
        begin::take_id(&store, &config.id).await?;
        let stop = StopCell::new();
        let (publisher, published) = publish::channel(restored.state().clone());
        let check = Check::new(config.id.clone(), config.check_entries);
        let mut machine = Machine::new(restored, snapshots.clone(), publisher, stop.clone(), check);
        machine.apply = config.apply;
        machine.known_version = config.known_version;
        let due = machine.due.subscribe();
        let log = Log::new(store.clone(), stop.clone());
        let cluster = store.cluster_id().filter(|_| has_any).map(ClusterId::from);
        let peers = Arc::new(Peers::new(config.id.clone(), Arc::clone(&config.transport), cluster));
        let network = Network::new(Arc::clone(&peers), &config);
        let raft = match Raft::new(config.id.clone(), raft_config, network, log, machine).await {
            Ok(raft) => raft,
            Err(fatal) => {
                stop.set(StopReason::Failed(fatal.to_string()));
                return Err(OpenError::Stopped(stop.get().unwrap_or(StopReason::Closed)));
            }
        };
        let (tell, leadership) = watch::channel(Leadership::default());
        let inner = Inner {
            raft,
            store,
            published,
            leadership,
            stop,
            stamper: Stamper::new(Arc::clone(&config.clock), Arc::clone(&config.entropy)),
            in_flight: Semaphore::new(PROPOSALS_IN_FLIGHT),
            seen: Mutex::default(),
            timings: config.timings.clone(),
            address: ServerAddress { version: config.known_version, ..config.address.clone() },
            due,
            peers,
            receiving: Receiving::new(snapshots),
            changing: tokio::sync::Mutex::new(()),
            tasks: Mutex::default(),
            _data: config.data.clone(),
        };
        let consensus = Self { inner: Arc::new(inner) };
        consensus.keep(executor::spawn(leadership::follow(consensus.clone(), tell)));
        consensus.keep(executor::spawn(absence::watch(consensus.clone())));
        match consensus.begin(&config).await {
            Ok(()) => Ok(consensus),
            Err(error) => {
                consensus.shutdown().await;
                Err(error)
            }
        }
    }

    /// This server's id.
    pub fn id(&self) -> &ServerId {
        self.inner.raft.node_id()
    }

    /// The cluster that this server is in; none before a cluster took it in.
    pub fn cluster(&self) -> Option<&ClusterId> {
        self.inner.peers.cluster()
    }

    /// The state as this server has it. On a server that does not lead it may be behind.
    pub fn view(&self) -> State {
        self.inner.published.view()
    }

    /// The time by this server's clock. It may go back.
    pub fn now(&self) -> Timestamp {
        self.inner.stamper.now()
    }

    /// 128 random bits, for what this server decides.
    pub fn draw(&self) -> (u64, u64) {
        self.inner.stamper.draw()
    }

    /// The state whenever it changes, for blocking queries. Clone what `borrow` gives at once: apply waits as long as it is held.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.inner.published.watch()
    }

    /// What each entry changes, in order, from now on. A subscriber that is [`publish::EVENT_BACKLOG`] events behind is told that it lagged.
    pub fn events(&self) -> Events {
        self.inner.published.events()
    }

    /// Who leads, and whenever that changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// This server's numbers.
    pub fn status(&self) -> Status {
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let beside = status::Beside {
            leader: self.inner.leadership.borrow().leader.clone(),
            // openraft's numbers may lag behind what was already answered; what is applied must not.
            applied_index: self.view().log_index(),
            log: self.inner.store.stats(),
            is_removed: self.inner.peers.is_removed(),
            stopped: self.inner.stop.get(),
        };
        status::status(&metrics, beside)
    }

    /// Makes a snapshot of everything applied so far and returns its place. Without new entries since the last one, that one.
    ///
    /// # Errors
    /// When it is not done in time, or this server stopped.
    pub async fn snapshot(&self) -> Result<Option<SnapshotId>, ReadError> {
        const ACTION: &str = "make a snapshot";
        let stopped = || ReadError::Stopped { action: ACTION, reason: self.stop_reason() };
        let applied = self.view().log_index();
        if applied == 0 {
            return Ok(None);
        }
        let after = self.inner.timings.deadline;
        self.inner.raft.trigger().snapshot().await.map_err(|_| stopped())?;
        let holds_all = |m: &Metrics| m.snapshot.as_ref().is_some_and(|id| position(id).index >= applied);
        let made = self.inner.raft.wait(Some(after)).metrics(holds_all, "snapshot").await;
        let made = made.map_err(|_| match self.inner.stop.get() {
            Some(reason) => ReadError::Stopped { action: ACTION, reason },
            None => ReadError::Timeout { action: ACTION, after },
        })?;
        Ok(made.snapshot.as_ref().map(position).map(|p| SnapshotId { index: p.index, term: p.term }))
    }

    /// A server says where it is. This counts at once, for every call, until the membership has a newer address of it. To be called whenever
    /// a server told its address, by whatever way; the caller must be sure of who said so.
    pub fn learn_address(&self, id: ServerId, address: ServerAddress) {
        self.inner.peers.learn(id, address);
    }

    /// Answers a call of another server, that a transport received for `target`.
    ///
    /// # Errors
    /// When the call is for another server or of another cluster, cannot be understood, or this server stopped. Then nothing was done.
    pub async fn handle(&self, target: &ServerId, rpc: Rpc, body: &[u8]) -> Result<Vec<u8>, HandleError> {
        if target != self.id() {
            return Err(HandleError::WrongTarget { target: target.clone(), own: self.id().clone() });
        }
        if let Some(reason) = self.inner.stop.get() {
            return Err(HandleError::Stopped(reason));
        }
        if self.inner.peers.is_retired() {
            return Err(HandleError::Retired(self.id().clone()));
        }
        answer::answer(self, rpc, body).await
    }

    /// The cluster refuses this server for good, as a server of it said. It calls nobody any more and answers nobody, so that it makes no second
    /// cluster with others that are refused; what runs beside it goes on.
    pub fn retire(&self) {
        self.inner.peers.retire();
    }

    /// Who said that this server is out of the cluster says that it is a member again. Ends what [`Consensus::retire`] began.
    pub fn reinstate(&self) {
        self.inner.peers.reinstate();
    }

    /// Waits until this server stops, and says why. An agent ends when this returns [`StopReason::Failed`].
    pub async fn stopped(&self) -> StopReason {
        self.inner.stop.wait().await
    }

    /// Stops. A leader hands over first, if that takes no longer than [`HAND_OVER`]. What was proposed but not answered fails, what was acknowledged
    /// is on disk. When this returns the files are closed; the data folder stays locked until the last clone is gone. May be called again.
    pub async fn shutdown(&self) {
        if self.inner.stop.get().is_none() {
            self.hand_over(HAND_OVER).await;
        }
        self.inner.stop.close();
        // In a task of its own: openraft panics when its core failed and a call that waited for the reason was given up. The files must be closed
        // all the same.
        let raft = self.inner.raft.clone();
        match executor::spawn(async move { raft.shutdown().await }).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the Raft core did not end well: {error}"),
            Err(error) => tracing::warn!("the Raft core did not end well: {error}"),
        }
        let tasks = std::mem::take(&mut *self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if task.await.is_err() {
                tracing::warn!("a task of this server did not end well");
            }
        }
        let store = self.inner.store.clone();
        if executor::blocking(move || store.close()).await.is_err() {
            tracing::warn!("the log was not closed, because the runtime is shutting down");
        }
    }

    /// Waits for the task when this server is shut down.
    fn keep(&self, task: Task<()>) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> &Semaphore {
        &self.inner.in_flight
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.inner.raft
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.inner.peers
    }

    pub(crate) fn receiving(&self) -> &Receiving {
        &self.inner.receiving
    }

    pub(crate) fn stop(&self) -> &StopCell {
        &self.inner.stop
    }

    pub(crate) fn timings(&self) -> &Timings {
        &self.inner.timings
    }

    /// The last entry of this server's log, on disk or on its way there.
    pub(crate) fn log_end(&self) -> Option<Position> {
        self.inner.store.bounds().last
    }

    pub(crate) fn changing(&self) -> &tokio::sync::Mutex<()> {
        &self.inner.changing
    }

    /// Whether this server is the only voter.
    pub(crate) fn is_alone(&self) -> bool {
        self.inner.raft.voter_ids().eq([self.id().clone()])
    }

    /// This server is in that cluster from now on, and its log keeps it.
    pub(crate) async fn enter(&self, cluster: ClusterId) -> Result<(), StopReason> {
        let (done, told) = awaited();
        let saved = self.inner.store.save_cluster_id(cluster.as_str().to_owned(), done).await;
        saved.map_err(|e| StopReason::Failed(e.to_string()))?;
        let durable = told.await.map_err(|_| self.stop_reason())?;
        durable.map_err(|e| StopReason::Failed(e.to_string()))?;
        self.inner.peers.enter(cluster);
        Ok(())
    }

    /// Why openraft ended. It may have ended a moment before its reason was noted.
    pub(crate) fn stop_reason(&self) -> StopReason {
        let ended = || match self.inner.raft.metrics().borrow_watched().running_state.clone() {
            Err(fatal) => StopReason::Failed(fatal.to_string()),
            Ok(()) => StopReason::Closed,
        };
        self.inner.stop.get().unwrap_or_else(ended)
    }
}
