//! What a seed decides before anything runs: how many servers, which kinds of faults, how long.
//!
//! Each seed has some kinds of faults and not others: where everything fails all the time, little else happens.

use floe_store::twin::Chance;
use std::time::Duration;

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power goes, at whatever the server is doing.
    Crash,
    /// The power goes after some more steps of the server's tasks: between any two, wherever they wait.
    CrashAtStep,
    /// The power goes at one of the next operations of the disk: in the middle of a transaction, or of a snapshot.
    CrashOnDisk,
    /// All servers lose power at once.
    Blackout,
    /// The server is shut down as one does.
    Stop,
    /// The disk is full.
    FullDisk,
    /// A sync fails.
    FailedSync,
    /// The disk takes long.
    SlowDisk,
    /// A bit changes on the disk of a server that is down.
    BitFlip,
    /// A server that is down loses its disk.
    LostLog,
    /// The server does nothing for a while.
    Pause,
    /// The wall clock jumps.
    ClockJump,
    /// Messages are slow, lost, delivered twice; connections break.
    Weather,
    /// One server reaches nobody, or nobody reaches it.
    Isolation,
    /// Messages go one way only between two servers.
    OneWay,
    /// Two halves reach each other through one server.
    Bridge,
    /// Two halves do not reach each other.
    Split,
    /// The leader is asked to hand over.
    Transfer,
    /// A member is removed and another joins.
    Replace,
    /// A snapshot is asked for.
    Snapshot,
    /// One server is cut off until the others have forgotten what it lacks: it needs a snapshot.
    LeftBehind,
    /// The power goes while a server takes or installs a snapshot.
    CrashInInstall,
    /// A backup is taken, or restored.
    Restore,
    /// A node says nothing for a while.
    NodeSilent,
    /// A node and the leader go at once.
    NodeWithLeader,
    /// What a worker plans is lost, as in a thread that panics.
    LostWork,
    /// The leader stands still while a worker plans, so long that another is elected.
    PauseInWork,
    /// The leader is cut off with the entry that ends a restore in its log, and in no other.
    CutInRestore,
    /// Two members are replaced at once.
    TwoReplaced,
}

/// All of them, with how often each is drawn.
const FAULTS: &[(Fault, u64)] = &[
    (Fault::Crash, 6),
    (Fault::CrashAtStep, 4),
    (Fault::CrashOnDisk, 6),
    (Fault::Blackout, 2),
    (Fault::Stop, 1),
    (Fault::FullDisk, 2),
    (Fault::FailedSync, 2),
    (Fault::SlowDisk, 2),
    (Fault::BitFlip, 1),
    (Fault::LostLog, 1),
    (Fault::Pause, 3),
    (Fault::ClockJump, 1),
    (Fault::Weather, 4),
    (Fault::Isolation, 4),
    (Fault::OneWay, 3),
    (Fault::Bridge, 2),
    (Fault::Split, 3),
    (Fault::Transfer, 2),
    (Fault::Replace, 3),
    (Fault::Snapshot, 2),
    (Fault::LeftBehind, 5),
    (Fault::CrashInInstall, 5),
    (Fault::Restore, 5),
    (Fault::NodeSilent, 3),
    (Fault::NodeWithLeader, 3),
    (Fault::LostWork, 4),
    (Fault::PauseInWork, 4),
    (Fault::CutInRestore, 4),
    (Fault::TwoReplaced, 3),
];

impl Fault {
    /// What a run's counts call it, where it came to pass.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crash => "fault: crash",
            Self::CrashAtStep => "fault: crash at a step",
            Self::CrashOnDisk => "fault: crash on disk",
            Self::Blackout => "fault: blackout",
            Self::Stop => "fault: stop",
            Self::FullDisk => "fault: full disk",
            Self::FailedSync => "fault: failed sync",
            Self::SlowDisk => "fault: slow disk",
            Self::BitFlip => "fault: bit flip",
            Self::LostLog => "fault: lost log",
            Self::Pause => "fault: pause",
            Self::ClockJump => "fault: clock jump",
            Self::Weather => "fault: weather",
            Self::Isolation => "fault: isolation",
            Self::OneWay => "fault: one way",
            Self::Bridge => "fault: bridge",
            Self::Split => "fault: split",
            Self::Transfer => "fault: transfer",
            Self::Replace => "fault: replace",
            Self::Snapshot => "fault: snapshot",
            Self::LeftBehind => "fault: left behind",
            Self::CrashInInstall => "fault: crash in mid-install",
            Self::Restore => "fault: restore",
            Self::NodeSilent => "fault: node silent",
            Self::NodeWithLeader => "fault: node with leader",
            Self::LostWork => "fault: lost work",
            Self::PauseInWork => "fault: pause in work",
            Self::CutInRestore => "fault: cut off in a restore",
            Self::TwoReplaced => "fault: two replaced at once",
        }
    }

    /// The names of all.
    pub(crate) fn names() -> Vec<&'static str> {
        FAULTS.iter().map(|(fault, _)| fault.name()).collect()
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) servers: usize,
    /// Machines that run work. Without any, the leader's desk is not there either.
    pub(crate) nodes: usize,
    pub(crate) snapshot_entries: u64,
    /// How much of a snapshot goes in one message.
    pub(crate) piece_bytes: usize,
    /// Entries stay in memory after they are written.
    pub(crate) keeps_tail: bool,
    pub(crate) faults: Vec<(Fault, u64)>,
    /// The power goes right after a server did something that it does rarely.
    pub(crate) crashes_after_events: bool,
    /// At the end a majority is gone for good, and the others go on without it.
    pub(crate) loses_quorum: bool,
    /// How long things fail.
    pub(crate) lasts: Duration,
    /// The longest time between two faults, in milliseconds.
    pub(crate) pace_ms: u64,
    /// The longest time between two operations of a client, in milliseconds.
    pub(crate) think_ms: u64,
    pub(crate) keys: u64,
    pub(crate) disk_ms: u64,
}

impl Plan {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        const SERVERS: [usize; 10] = [1, 2, 3, 3, 3, 3, 3, 4, 5, 5];
        let pick = |chance: &mut Chance, limit: usize| usize::try_from(chance.below(limit as u64)).unwrap_or(0);
        let servers = SERVERS.get(pick(chance, SERVERS.len())).copied().unwrap_or(3);
        let faults = FAULTS.iter().filter(|_| chance.below(5) < 2).copied().collect::<Vec<_>>();
        Self {
            servers,
            nodes: if chance.below(2) == 0 { 0 } else { 2 + pick(chance, 3) },
            snapshot_entries: 5 + chance.below(40),
            piece_bytes: 256 << pick(chance, 12),
            keeps_tail: chance.below(2) == 0,
            faults: if faults.is_empty() { FAULTS.iter().take(2).copied().collect() } else { faults },
            crashes_after_events: chance.below(3) == 0,
            loses_quorum: servers > 1 && chance.below(4) == 0,
            lasts: Duration::from_secs(6 + chance.below(10)),
            pace_ms: 200 + chance.below(2000),
            think_ms: 20 + chance.below(300),
            keys: 1 + chance.below(5),
            disk_ms: 1 + chance.below(8),
        }
    }

    /// Whether there is this kind of fault.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.iter().any(|(of, _)| *of == fault)
    }

    /// One of the kinds of faults.
    pub(crate) fn fault(&self, chance: &mut Chance) -> Option<Fault> {
        let total = self.faults.iter().map(|(_, weight)| weight).sum();
        let mut at = chance.below(total);
        for (fault, weight) in &self.faults {
            if at < *weight {
                return Some(*fault);
            }
            at -= weight;
        }
        None
    }
}
