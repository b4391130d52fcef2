//! How a server is opened, and the bounds it keeps.

use crate::{Clock, Entropy, NoTransport, OpenError, OsEntropy, ServerAddress, SystemClock, Transport};
use floe_store::DataFolder;
use std::{sync::Arc, time::Duration};

/// The most bytes of one entry: what fits into one RPC frame.
pub const ENTRY_BYTES: usize = 8 << 20;
/// How many proposals of this server may wait at once; the next one waits for its turn until its deadline.
pub const PROPOSALS_IN_FLIGHT: usize = 8192;
/// Entries since the last snapshot after which the next one is made. Replaying as many takes well under a second.
pub const SNAPSHOT_ENTRIES: u64 = 8192;
/// Entries that stay in the log behind the newest snapshot: enough that the snapshot before it and the log still make the whole state, should
/// the newest one be damaged, and that a server that was away for a moment needs no snapshot.
pub const LOG_ENTRIES_KEPT: u64 = 2 * SNAPSHOT_ENTRIES;

/// Whether the server makes a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A server without a log makes a new cluster with itself as the only voter. One with a log goes on with it.
    Bootstrap,
    /// A server without a log waits until a cluster takes it in.
    Join,
}

/// How long things take.
#[derive(Clone, Debug)]
pub struct Timings {
    /// Between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// A follower that hears nothing for a time between this and `election_max` calls an election.
    pub election_min: Duration,
    /// See `election_min`. Also how long a leader's lease lasts.
    pub election_max: Duration,
    /// How long [`crate::Consensus::propose`] and [`crate::Consensus::linearizable`] wait.
    pub deadline: Duration,
    /// How long the only server of a cluster may take to apply its log when it is opened.
    pub recovery: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(900),
            deadline: Duration::from_secs(10),
            recovery: Duration::from_secs(300),
        }
    }
}

/// How a server is opened.
#[derive(Clone)]
pub struct Config {
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
    /// How servers call each other.
    pub transport: Arc<dyn Transport>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub entropy: Arc<dyn Entropy>,
}

impl Config {
    /// The only server of a cluster, on this machine's clock.
    pub fn single(data: DataFolder, address: ServerAddress) -> Self {
        Self {
            data,
            address,
            start: Start::Bootstrap,
            timings: Timings::default(),
            snapshot_entries: SNAPSHOT_ENTRIES,
            log_entries_kept: LOG_ENTRIES_KEPT,
            transport: Arc::new(NoTransport),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        }
    }

    pub(crate) fn raft(&self) -> Result<openraft::Config, OpenError> {
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        if self.log_entries_kept < self.snapshot_entries {
            let text = format!(
                "{} entries are kept behind a snapshot, but at least the {} between two snapshots are needed",
                self.log_entries_kept, self.snapshot_entries
            );
            return Err(OpenError::Config(text));
        }
        let config = openraft::Config {
            cluster_name: "floe".to_owned(),
            heartbeat_interval: ms(self.timings.heartbeat),
            election_timeout_min: ms(self.timings.election_min),
            election_timeout_max: ms(self.timings.election_max),
            enable_pre_vote: Some(true),
            // A leader that crashed may have sent entries that others have and its own disk has not. Leading on in the same term, it would
            // make other entries under the same ids. A new election costs one more write of the vote.
            enable_leader_restore: Some(false),
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_entries),
            max_in_snapshot_log_to_keep: self.log_entries_kept,
            ..openraft::Config::default()
        };
        config.validate().map_err(|e| OpenError::Config(e.to_string()))
    }
}
