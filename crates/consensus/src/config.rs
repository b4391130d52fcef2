//! How a server is opened, and the bounds it keeps.

use crate::{
    Clock, Entropy, NoTransport, OpenError, OsEntropy, ServerAddress, ServerId, SystemClock, Timings, Transport, check::CHECK_ENTRIES,
};
use floe_state::{State, command::CLUSTER_VERSION};
use floe_store::DataFolder;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The most bytes of one entry: what fits into one RPC frame.
pub const ENTRY_BYTES: usize = 8 << 20;
/// How many proposals of this server may wait at once; the next one waits for its turn until its deadline.
pub const PROPOSALS_IN_FLIGHT: usize = 8192;
/// Entries since the last snapshot after which the next one is made. Replaying as many takes well under a second.
pub const SNAPSHOT_ENTRIES: u64 = 8192;
/// Entries that stay in the log behind the newest snapshot: enough that the snapshot before it and the log still make the whole state, should
/// the newest one be damaged, and that a server that was away for a moment needs no snapshot.
pub const LOG_ENTRIES_KEPT: u64 = 2 * SNAPSHOT_ENTRIES;

/// The most bytes of entries in one call to a follower, unless a single entry has more.
pub const APPEND_BYTES: usize = 1 << 20;
/// The most bytes of a call or of its answer: an entry at its bound, with what is said around it. A transport carries that many.
pub const CALL_BYTES: usize = ENTRY_BYTES + (1 << 20);
/// How much of a snapshot one call carries.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;
/// The most bytes of a snapshot that another server may send. The state is in memory, so this is far more than one has.
pub const SNAPSHOT_BYTES: u64 = 4 << 30;
/// A learner that is further behind the leader's last entry than this is not promoted.
pub const PROMOTE_LAG: u64 = 250;
/// How long a leader that shuts down tries to hand over.
pub const HAND_OVER: Duration = Duration::from_secs(2);

/// How an entry changes the state.
pub type Apply = fn(&mut State, u64, &floe_state::Entry) -> floe_state::Applied;

/// Whether the server makes a cluster. A server that has a log goes on with it and heeds none of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A server without a log makes a new cluster of these voters, itself among them: alone, or with others that are all started with the same
    /// set.
    Bootstrap {
        /// The voters, and where each is.
        voters: BTreeMap<ServerId, ServerAddress>,
    },
    /// A server without a log waits until a cluster takes it in.
    Join,
}

/// How a server is opened.
#[derive(Clone)]
pub struct Config {
    /// The server's id, from its key pair. The log keeps it at the first start; a log of another server is refused.
    pub id: ServerId,
    /// The data folder, locked by whoever opens the agent.
    pub data: DataFolder,
    /// The server's name, for people, and where other servers reach it.
    pub address: ServerAddress,
    /// Whether it makes a cluster.
    pub start: Start,
    /// How long things take.
    pub timings: Timings,
    /// Entries between snapshots; [`SNAPSHOT_ENTRIES`] unless a test wants fewer.
    pub snapshot_entries: u64,
    /// Entries kept behind a snapshot; [`LOG_ENTRIES_KEPT`] unless a test wants otherwise. At least `snapshot_entries`.
    pub log_entries_kept: u64,
    /// How much of a snapshot one call carries, in bytes; [`SNAPSHOT_CHUNK_BYTES`] unless a test wants more pieces. At least one.
    pub snapshot_piece_bytes: usize,
    /// Entries between comparisons of the servers' states; [`CHECK_ENTRIES`] unless a test wants fewer. The same on all servers.
    pub check_entries: u64,
    /// The newest version of commands that it knows; [`CLUSTER_VERSION`] unless a test wants an older server.
    pub known_version: u32,
    /// How an entry changes the state: [`State::apply`], but for tests of servers that go wrong.
    pub apply: Apply,
    /// How servers call each other.
    pub transport: Arc<dyn Transport>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub entropy: Arc<dyn Entropy>,
}

impl Config {
    /// The only server of a cluster, on this machine's clock.
    pub fn single(id: ServerId, data: DataFolder, address: ServerAddress) -> Self {
        Self {
            data,
            start: Start::Bootstrap { voters: BTreeMap::from([(id.clone(), address.clone())]) },
            id,
            address,
            timings: Timings::default(),
            snapshot_entries: SNAPSHOT_ENTRIES,
            log_entries_kept: LOG_ENTRIES_KEPT,
            snapshot_piece_bytes: SNAPSHOT_CHUNK_BYTES,
            check_entries: CHECK_ENTRIES,
            known_version: CLUSTER_VERSION,
            apply: State::apply,
            transport: Arc::new(NoTransport),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        }
    }

    /// Refuses what makes no sense.
    fn check(&self) -> Result<(), OpenError> {
        self.timings.check()?;
        if self.log_entries_kept < self.snapshot_entries {
            let text = format!(
                "{} entries are kept behind a snapshot, but at least the {} between two snapshots are needed",
                self.log_entries_kept, self.snapshot_entries
            );
            return Err(OpenError::Config(text));
        }
        Ok(())
    }

    /// The voters that begin a cluster, if this server is to begin one.
    pub(crate) fn founders(&self) -> Result<Option<&BTreeMap<ServerId, ServerAddress>>, OpenError> {
        match &self.start {
            Start::Join => Ok(None),
            Start::Bootstrap { voters } if voters.contains_key(&self.id) => Ok(Some(voters)),
            Start::Bootstrap { .. } => {
                let text =
                    format!("this server ({}) is not among the voters that begin the cluster; name it there, or let it join", self.id);
                Err(OpenError::Config(text))
            }
        }
    }

    pub(crate) fn raft(&self) -> Result<openraft::Config, OpenError> {
        self.check()?;
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let timings = &self.timings;
        let config = openraft::Config {
            cluster_name: "floe".to_owned(),
            heartbeat_interval: ms(timings.heartbeat),
            election_timeout_min: ms(timings.election_min),
            election_timeout_max: ms(timings.election_max),
            // A leader whose calls come through one way only would keep the others from an election for ever: without a quorum it falls silent
            // for as long as they need for one.
            quorum_loss_probe_interval: Some(ms(timings.silence())),
            enable_pre_vote: Some(true),
            // A leader that crashed may have sent entries that others have and its own disk has not. Leading on in the same term, it would
            // make other entries under the same ids. A new election costs one more write of the vote.
            enable_leader_restore: Some(false),
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_entries),
            max_in_snapshot_log_to_keep: self.log_entries_kept,
            // A server that comes back is tried often enough to be caught up within a second.
            backoff: "50ms 100ms 200ms ..500ms".to_owned(),
            ..openraft::Config::default()
        };
        config.validate().map_err(|e| OpenError::Config(e.to_string()))
    }
}
