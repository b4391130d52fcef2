//! Defects that can be switched on, to see that the simulation catches them. A net that was never seen to catch anything is none.
//!
//! They are built in with the feature `planted-bugs` alone, which only floe-sim turns on; the binary refuses to be built with it. Without the
//! feature [`is_on`] is a constant `false`, and nothing of a defect is left in the code.

/// A defect, each of a kind that was found in some system that agrees by a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// Entries are acknowledged before they are on the disk.
    AckBeforeFsync,
    /// A vote is given and not kept.
    VoteNotSynced,
    /// Entries that were cut off stay on the disk.
    TruncationNotWritten,
    /// A failed sync is taken for a good one.
    FailedSyncIgnored,
    /// The last entry of every batch is forgotten on its way to the disk.
    AppendLosesEntry,
    /// A snapshot gets its name before it is on the disk.
    SnapshotNotSynced,
    /// A leader answers reads without asking whether it still leads.
    MissingReadIndex,
    /// A follower answers reads from what it has.
    FollowerServesReads,
    /// A snapshot forgets who the members are.
    SnapshotWithoutMembership,
    /// A snapshot is installed, but not what is in it.
    SnapshotStateNotInstalled,
    /// An entry is applied twice.
    DoubleApply,
    /// The first command after the snapshot that a server starts with is passed over.
    EntryAfterSnapshotSkipped,
    /// What was passed on and may have been done is passed on again.
    ForwardRepeatedInDoubt,
    /// A proposal that a network delivers twice is done twice.
    DuplicateProposalTaken,
    /// A follower that does not answer counts as one that has the entries.
    LostAnswerIsSuccess,
    /// A server without its log votes under its old id.
    LostLogVotes,
    /// A candidate gets votes whatever its log lacks.
    ShortLogGetsVotes,
    /// After a start everything in the log counts as committed.
    WholeLogIsCommitted,
    /// What a server was doing when it stopped is said to be not done.
    InterruptedIsRefused,
    /// A server that is taken in has a vote at once.
    LearnerIsVoter,
    /// A server gets a vote whatever it lacks, and whether it answers or not.
    PromotionUnchecked,
    /// One change takes the votes of two servers.
    TwoVotersLeaveAtOnce,
    /// A change is made to the membership as it was when somebody asked for it, whatever was changed since.
    ChangeOfOldMembership,
    /// An elected server counts as leader before it has applied what came before.
    UnconfirmedLeaderActs,
    /// A recovered cluster has the id of the old one.
    RecoveryKeepsCluster,
    /// A restore whose last entry was lost with the leader is said to be done.
    LostRestoreIsDone,
    /// A leader's desk goes on with what it knew before a restore.
    DeskMissesRestore,
    /// What a leader's desk decided is passed on to the next leader.
    DeskPassesOn,
    /// A new leader's desk waits for no node.
    NewDeskExpectsNobody,
    /// An evaluation that a worker gave back counts as done.
    FailedEvaluationIsDone,
    /// A new leader's desk takes up nothing that was begun before.
    NewDeskForgetsEvaluations,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 31] = [
        Bug::AckBeforeFsync,
        Bug::VoteNotSynced,
        Bug::TruncationNotWritten,
        Bug::FailedSyncIgnored,
        Bug::AppendLosesEntry,
        Bug::SnapshotNotSynced,
        Bug::MissingReadIndex,
        Bug::FollowerServesReads,
        Bug::SnapshotWithoutMembership,
        Bug::SnapshotStateNotInstalled,
        Bug::DoubleApply,
        Bug::EntryAfterSnapshotSkipped,
        Bug::ForwardRepeatedInDoubt,
        Bug::DuplicateProposalTaken,
        Bug::LostAnswerIsSuccess,
        Bug::LostLogVotes,
        Bug::ShortLogGetsVotes,
        Bug::WholeLogIsCommitted,
        Bug::InterruptedIsRefused,
        Bug::LearnerIsVoter,
        Bug::PromotionUnchecked,
        Bug::TwoVotersLeaveAtOnce,
        Bug::ChangeOfOldMembership,
        Bug::UnconfirmedLeaderActs,
        Bug::RecoveryKeepsCluster,
        Bug::LostRestoreIsDone,
        Bug::DeskMissesRestore,
        Bug::DeskPassesOn,
        Bug::NewDeskExpectsNobody,
        Bug::FailedEvaluationIsDone,
        Bug::NewDeskForgetsEvaluations,
    ];
}

/// Whether this build can have defects switched on.
pub const ARE_BUILT_IN: bool = cfg!(feature = "planted-bugs");

/// Whether a defect is switched on, on this thread.
#[cfg(not(feature = "planted-bugs"))]
pub const fn is_on(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use switched::{Planted, is_on};

#[cfg(feature = "planted-bugs")]
mod switched {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether a defect is switched on, on this thread.
    pub fn is_on(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }

    /// As long as this lives, a defect is switched on, on this thread.
    pub struct Planted(());

    impl Planted {
        /// From now on. Another one is off.
        pub fn on(bug: Bug) -> Self {
            ON.set(Some(bug));
            Self(())
        }
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            ON.set(None);
        }
    }
}
