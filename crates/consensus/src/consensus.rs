//! A server's part in the agreement.

use crate::{
    Config, Events, Leadership, OpenError, ProposeError, ReadError, Rpc, Server, ServerAddress, ServerId, Start, Status, StopReason, codec,
    config::{ENTRY_BYTES, PROPOSALS_IN_FLIGHT},
    leadership::{self, server_of},
    log::{Log, awaited},
    machine::{Machine, Restored},
    network::{self, HandleError, Network},
    publish::{self, Published},
    raft_types::{
        ChangeMembers, ClientWriteError, ForwardToLeader, LinearizableReadError, Metrics, Raft, RaftError, ReadPolicy, ServerState,
        WatchReceiver, position,
    },
    stamp::Stamper,
    status,
    stop::StopCell,
};
use floe_state::{Command, Entry, Outcome, State, command::CLUSTER_VERSION};
use floe_store::{DataFolder, LogStore, SnapshotId, SnapshotStore};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposed {
    /// The index of its entry.
    pub index: u64,
    /// What it came to.
    pub outcome: Outcome,
}

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
    deadline: Duration,
    follower: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as the files are open.
    _data: DataFolder,
}

impl Consensus {
    /// Opens the server: the newest whole snapshot, then the log after it. The only voter of a cluster leads and has applied its whole log when
    /// this returns; any other server goes on catching up. In a new cluster the first command is its version.
    ///
    /// # Errors
    /// When the files are damaged, in use or of a newer build, or the server had to stop while it recovered.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let data = config.data.clone();
        let open = move || -> Result<_, OpenError> {
            let store = LogStore::open(&data)?;
            let snapshots = SnapshotStore::open(&data).inspect_err(|_| store.close())?;
            Ok((store, snapshots))
        };
        let (store, snapshots) = tokio::task::spawn_blocking(open).await.map_err(|_| OpenError::Runtime)??;
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
            tokio::task::spawn_blocking(move || log.close()).await.map_err(|_| OpenError::Runtime)?;
        }
        opened
    }

    async fn start(config: Config, store: LogStore, snapshots: SnapshotStore) -> Result<Self, OpenError> {
        let raft_config = Arc::new(config.raft()?);
        let (log, files) = (store.clone(), snapshots.clone());
        let restored = tokio::task::spawn_blocking(move || restore(&log, &files)).await.map_err(|_| OpenError::Runtime)??;
        let id = own_id(&store).await?;
        let stop = StopCell::new();
        let (publisher, published) = publish::channel(restored.state().clone());
        let machine = Machine::new(restored, snapshots, publisher, stop.clone());
        let log = Log::new(store.clone(), stop.clone());
        let network = Network::new(Arc::clone(&config.transport));
        let raft = match Raft::new(id, raft_config, network, log, machine).await {
            Ok(raft) => raft,
            Err(fatal) => {
                stop.set(StopReason::Failed(fatal.to_string()));
                return Err(OpenError::Stopped(stop.get().unwrap_or(StopReason::Closed)));
            }
        };
        let (tell, leadership) = watch::channel(Leadership::default());
        let follower = tokio::spawn(leadership::follow(raft.clone(), tell, stop.clone()));
        let inner = Inner {
            raft,
            store,
            published,
            leadership,
            stop,
            stamper: Stamper::new(Arc::clone(&config.clock), Arc::clone(&config.entropy)),
            in_flight: Semaphore::new(PROPOSALS_IN_FLIGHT),
            deadline: config.timings.deadline,
            follower: Mutex::new(Some(follower)),
            _data: config.data.clone(),
        };
        let consensus = Self { inner: Arc::new(inner) };
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

    /// Has the cluster carry out a command, within the configured deadline. When this returns, the entry is durable on a quorum and
    /// [`Consensus::view`] shows what it did.
    ///
    /// # Errors
    /// See [`ProposeError`]; only with [`ProposeError::Timeout`] and [`ProposeError::OutcomeUnknown`] may it have been done all the same.
    pub async fn propose(&self, command: Command) -> Result<Proposed, ProposeError> {
        self.propose_within(command, self.inner.deadline).await
    }

    /// As [`Consensus::propose`], within a deadline of the caller's.
    ///
    /// # Errors
    /// As [`Consensus::propose`].
    pub async fn propose_within(&self, command: Command, deadline: Duration) -> Result<Proposed, ProposeError> {
        let name = command.name();
        let started = tokio::time::Instant::now();
        let turn = timeout(deadline, self.inner.in_flight.acquire()).await;
        let overloaded = |_| ProposeError::Overloaded { command: name, limit: PROPOSALS_IN_FLIGHT, after: deadline };
        let _turn = turn.map_err(overloaded)?.map_err(|_| ProposeError::Stopped { command: name, reason: StopReason::Closed })?;
        if let Some(reason) = self.inner.stop.get() {
            return Err(ProposeError::Stopped { command: name, reason });
        }
        let entry = Entry { stamp: self.inner.stamper.stamp(), command };
        let bytes = codec::size("command", &entry).map_err(|e| ProposeError::encode(name, e))?;
        if bytes > ENTRY_BYTES {
            return Err(ProposeError::TooLarge { command: name, bytes, limit: ENTRY_BYTES });
        }
        let left = deadline.saturating_sub(started.elapsed());
        let written = timeout(left, self.inner.raft.client_write(entry)).await;
        let written = written.map_err(|_| ProposeError::Timeout { command: name, after: deadline })?;
        let written = written.map_err(|e| self.propose_error(name, e))?;
        Ok(Proposed { index: written.log_id.index, outcome: written.data })
    }

    /// The state as this server has it. On a server that does not lead it may be behind.
    pub fn view(&self) -> State {
        self.inner.published.view()
    }

    /// The state whenever it changes, for blocking queries. Clone what `borrow` gives at once: apply waits as long as it is held.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.inner.published.watch()
    }

    /// What each entry changes, in order, from now on. A subscriber that is [`publish::EVENT_BACKLOG`] events behind is told that it lagged.
    pub fn events(&self) -> Events {
        self.inner.published.events()
    }

    /// The state with everything that was acknowledged anywhere before this call.
    ///
    /// # Errors
    /// When this server does not lead, cannot reach a quorum in time, or stopped.
    pub async fn linearizable(&self) -> Result<State, ReadError> {
        const ACTION: &str = "linearizable read";
        let after = self.inner.deadline;
        let confirmed = timeout(after, self.inner.raft.ensure_linearizable(ReadPolicy::ReadIndex)).await;
        match confirmed.map_err(|_| ReadError::Timeout { action: ACTION, after })? {
            Ok(_) => Ok(self.view()),
            Err(RaftError::Fatal(_)) => Err(ReadError::Stopped { action: ACTION, reason: self.stop_reason() }),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => Err(match self.leader_of(to) {
                Some(leader) => ReadError::NotLeader { action: ACTION, leader },
                None => ReadError::Unavailable { action: ACTION, advice: self.advice() },
            }),
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(ReadError::Unavailable { action: ACTION, advice: QUORUM })
            }
        }
    }

    /// Who leads, and whenever that changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// This server's numbers.
    pub fn status(&self) -> Status {
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        // openraft's numbers may lag behind what was already answered; what is applied must not.
        status::status(&metrics, self.view().index(), self.inner.store.stats(), self.inner.stop.get())
    }

    /// Makes a snapshot of everything applied so far and returns its place. Without new entries since the last one, that one.
    ///
    /// # Errors
    /// When it is not done in time, or this server stopped.
    pub async fn snapshot(&self) -> Result<Option<SnapshotId>, ReadError> {
        const ACTION: &str = "make a snapshot";
        let stopped = || ReadError::Stopped { action: ACTION, reason: self.stop_reason() };
        let applied = self.view().index();
        if applied == 0 {
            return Ok(None);
        }
        let after = self.inner.deadline;
        self.inner.raft.trigger().snapshot().await.map_err(|_| stopped())?;
        let holds_all = |m: &Metrics| m.snapshot.as_ref().is_some_and(|id| position(id).index >= applied);
        let made = self.inner.raft.wait(Some(after)).metrics(holds_all, "snapshot").await;
        let made = made.map_err(|_| match self.inner.stop.get() {
            Some(reason) => ReadError::Stopped { action: ACTION, reason },
            None => ReadError::Timeout { action: ACTION, after },
        })?;
        Ok(made.snapshot.as_ref().map(position).map(|p| SnapshotId { index: p.index, term: p.term }))
    }

    /// Answers a call of another server, that a transport received for `target`.
    ///
    /// # Errors
    /// When the call is for another server, cannot be understood, or this server stopped.
    pub async fn handle(&self, target: &ServerId, rpc: Rpc, body: &[u8]) -> Result<Vec<u8>, HandleError> {
        if target != self.id() {
            return Err(HandleError::WrongTarget { target: target.clone(), own: self.id().clone() });
        }
        network::answer(&self.inner.raft, rpc, body, || self.stop_reason()).await
    }

    /// Waits until this server stops, and says why. An agent ends when this returns [`StopReason::Failed`].
    pub async fn stopped(&self) -> StopReason {
        self.inner.stop.wait().await
    }

    /// Stops: what was proposed but not answered fails, what was acknowledged is on disk. When this returns the files are closed; the data folder
    /// stays locked until the last clone is gone. May be called again.
    pub async fn shutdown(&self) {
        self.inner.stop.close();
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!("the Raft core did not end well: {error}");
        }
        let follower = self.inner.follower.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(follower) = follower
            && follower.await.is_err()
        {
            tracing::warn!("the task that follows the leadership did not end well");
        }
        let store = self.inner.store.clone();
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::warn!("the log was not closed, because the runtime is shutting down");
        }
    }

    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> &Semaphore {
        &self.inner.in_flight
    }

    #[cfg(test)]
    pub(crate) fn raft(&self) -> &Raft {
        &self.inner.raft
    }

    /// Makes the cluster if there is none, and waits until the only voter leads.
    async fn begin(&self, config: &Config) -> Result<(), OpenError> {
        let raft = &self.inner.raft;
        let stopped = |_| OpenError::Stopped(self.stop_reason());
        let is_new = !raft.is_initialized().await.map_err(stopped)?;
        if is_new && config.start == Start::Bootstrap {
            let members = BTreeMap::from([(self.id().clone(), config.address.clone())]);
            raft.initialize(members).await.map_err(|_| OpenError::Stopped(self.stop_reason()))?;
        } else if !self.is_alone() {
            return Ok(());
        } else {
            // Nobody else can lead, so there is nothing to wait for.
            raft.trigger().elect(false).await.map_err(stopped)?;
        }
        self.lead(config.timings.recovery).await?;
        if self.view().cluster_version() == 0 {
            let first = self.propose(Command::SetClusterVersion { version: CLUSTER_VERSION }).await;
            first.map_err(|e| OpenError::Bootstrap(Box::new(e)))?;
        }
        self.announce(&config.address).await
    }

    /// Whether this server is the only voter.
    fn is_alone(&self) -> bool {
        self.inner.raft.voter_ids().eq([self.id().clone()])
    }

    /// Waits until this server leads and has applied its whole log.
    async fn lead(&self, within: Duration) -> Result<(), OpenError> {
        let mut leadership = self.leadership();
        let led = async { leadership.wait_for(|l| l.is_leader).await.map(|_| ()) };
        let led = tokio::select! {
            led = timeout(within, led) => led.map_err(|_| OpenError::NotReady(within))?,
            reason = self.stopped() => return Err(OpenError::Stopped(reason)),
        };
        led.map_err(|_| OpenError::Stopped(self.stop_reason()))
    }

    /// Writes this server's name and address into the membership, when they are not what it says.
    async fn announce(&self, address: &ServerAddress) -> Result<(), OpenError> {
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let known = server_of(&metrics.membership_config, self.id());
        if known.is_some_and(|server| server.address == *address) {
            return Ok(());
        }
        let change = ChangeMembers::SetNodes(BTreeMap::from([(self.id().clone(), address.clone())]));
        let changed = self.inner.raft.change_membership(change, true).await;
        changed.map(|_| ()).map_err(|_| OpenError::Stopped(self.stop_reason()))
    }

    fn propose_error(&self, command: &'static str, error: RaftError<crate::raft_types::TypeConfig, ClientWriteError>) -> ProposeError {
        match error {
            RaftError::Fatal(_) => ProposeError::Stopped { command, reason: self.stop_reason() },
            RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => match self.leader_of(to) {
                Some(leader) => ProposeError::NotLeader { command, leader },
                None => ProposeError::Unavailable { command, advice: self.advice() },
            },
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => ProposeError::OutcomeUnknown { command },
            RaftError::APIError(other) => {
                tracing::error!("openraft refused a command with an error for changes of membership: {other}");
                ProposeError::Unavailable { command, advice: QUORUM }
            }
        }
    }

    fn leader_of(&self, to: ForwardToLeader) -> Option<Box<Server>> {
        let own = self.id();
        to.leader_id.zip(to.leader_node).filter(|(id, _)| id != own).map(|(id, address)| Box::new(Server { id, address }))
    }

    /// What to do when nobody leads.
    fn advice(&self) -> &'static str {
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        match metrics.state {
            ServerState::Learner if metrics.membership_config.membership().get_node(self.id()).is_none() => NOT_JOINED,
            _ => QUORUM,
        }
    }

    /// Why openraft ended. It may have ended a moment before its reason was noted.
    fn stop_reason(&self) -> StopReason {
        let ended = || match self.inner.raft.metrics().borrow_watched().running_state.clone() {
            Err(fatal) => StopReason::Failed(fatal.to_string()),
            Ok(()) => StopReason::Closed,
        };
        self.inner.stop.get().unwrap_or_else(ended)
    }
}

const NOT_JOINED: &str = "this server is in no cluster yet; start it as the first one of a cluster, or let a cluster take it in";
const QUORUM: &str = "wait for an election, and if that does not help see that more than half of the servers run and reach each other";

/// The newest whole snapshot, if it and the log belong together. Blocks.
fn restore(store: &LogStore, snapshots: &SnapshotStore) -> Result<Restored, OpenError> {
    let restored = Restored::load(snapshots)?;
    let purged = store.bounds().purged.map(|p| p.index);
    if purged > restored.last_index() {
        let snapshot = restored.last_index().unwrap_or(0);
        return Err(OpenError::Hole { purged: purged.unwrap_or(0), snapshot });
    }
    Ok(restored)
}

/// The id that the log has, or a new one that it keeps from now on.
async fn own_id(store: &LogStore) -> Result<ServerId, OpenError> {
    if let Some(id) = store.server_id() {
        return Ok(id.into());
    }
    let id = ServerId::random();
    let (done, told) = awaited();
    store.save_server_id(id.as_str().to_owned(), done).await?;
    told.await.map_err(|_| OpenError::Runtime)??;
    Ok(id)
}
