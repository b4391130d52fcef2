//! What must hold at every moment, whatever fails. Each has a name, which a violation says, and a reason.

use std::fmt;

/// Something that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each says what it is in `rule`")]
pub enum Invariant {
    ElectionSafety,
    OneVoteATerm,
    VoteSurvives,
    TermNeverGoesBack,
    LogMatching,
    TermsInOrder,
    LeaderAppendOnly,
    LeaderCompleteness,
    StateMachineSafety,
    CommitNeverGoesBack,
    CommittedIsOnQuorum,
    CommittedIsNeverTruncated,
    AppliedIsCommitted,
    AcknowledgedIsDurable,
    NoJointMembership,
    OneVoterAChange,
    OneMemberAChange,
    OnlyMembersVote,
    LostLogNeverVotes,
    StateIsReplay,
    SnapshotIsReplay,
    SnapshotKeepsMembership,
    ViewNeverGoesBack,
    AnswerIsInLog,
    AnswerIsInView,
    AppliedAtMostOnce,
    RefusedIsNotDone,
    ReadsNeverGoBack,
    Linearizable,
    OneLeaderActs,
    DamageIsNoticed,
    HealthyServersRun,
    NothingPanics,
    IndexNeverGoesBack,
    RestoreIsWhole,
    RecoveryKeepsAll,
    RecoveredShareNoCall,
    NodeNeverOverfilled,
    OneAllocationAName,
    OneDeskActs,
    WorkIsPlaced,
    VoterHasEntries,
    LeaderHasApplied,
    MembersCanChange,
    Live,
}

impl Invariant {
    /// What must hold, and why.
    pub fn rule(self) -> &'static str {
        match self {
            Self::ElectionSafety => "a term has at most one leader: two would commit different entries under one index",
            Self::OneVoteATerm => "a server votes for one candidate a term, over crashes too: else a term gets two leaders",
            Self::VoteSurvives => "a vote that left a server is on its disk: after a crash it would be given again",
            Self::TermNeverGoesBack => "a running server's term never goes back: it would follow a leader that was replaced",
            Self::LogMatching => {
                "entries with the same index and term are the same, and so are the terms before them: replication rests on it"
            }
            Self::TermsInOrder => "terms in a log never go down: an older leader's entry behind a newer one's is a forgery",
            Self::LeaderAppendOnly => "a leader never changes entries of its own log: others may have acknowledged them",
            Self::LeaderCompleteness => "a leader has every committed entry: it would have others forget what it lacks",
            Self::StateMachineSafety => "all servers commit the same entry at an index: else their states differ for ever",
            Self::CommitNeverGoesBack => "what a running server knows to be committed stays so",
            Self::CommittedIsOnQuorum => "what is committed is in the logs of a majority of the voters: else a crash can lose it",
            Self::CommittedIsNeverTruncated => "no server cuts off committed entries",
            Self::AppliedIsCommitted => "nothing is applied that no quorum has: it cannot be taken back",
            Self::AcknowledgedIsDurable => "entries that a follower acknowledged are on its disk after a crash: the leader counted on it",
            Self::NoJointMembership => "no membership is joint: somebody would have to finish it",
            Self::OneVoterAChange => "a change adds or takes one voter: else the majorities before and after need not meet",
            Self::OneMemberAChange => "a change takes in, lets go, or gives or takes the vote of one member: else it undoes another one",
            Self::OnlyMembersVote => "who is no voter, or was removed, never leads",
            Self::LostLogNeverVotes => "a server without its log never votes under its old id: what it promised is gone",
            Self::StateIsReplay => "a server's state is what the committed entries up to its index make: nothing else may change it",
            Self::SnapshotIsReplay => "a snapshot is what the entries before it make: it takes their place",
            Self::SnapshotKeepsMembership => "a snapshot has the last membership before it: the entry itself is purged",
            Self::ViewNeverGoesBack => "a running server's view never goes back: blocking queries wait by index",
            Self::AnswerIsInLog => "the entry that an answer names holds the command that was asked for",
            Self::AnswerIsInView => "when a write is answered, the view where it was asked shows it",
            Self::AppliedAtMostOnce => "a command stands in the log once, however often it was passed on",
            Self::RefusedIsNotDone => "what was certainly refused is in no log: the caller will ask again",
            Self::ReadsNeverGoBack => "a linearizable read has seen every write and read that ended before it began",
            Self::Linearizable => "what clients saw could have happened one operation at a time",
            Self::OneLeaderActs => "of two servers that take themselves for confirmed leaders, one must have the newer term",
            Self::DamageIsNoticed => "a server on a damaged disk refuses to start, or has lost nothing",
            Self::HealthyServersRun => "a server whose disk is well starts and does not stop",
            Self::NothingPanics => "no task panics, and none spins",
            Self::IndexNeverGoesBack => {
                "the index that rows and answers carry never goes back, over a restore neither: who waits by it would wait for ever"
            }
            Self::RestoreIsWhole => "a restore replaces all content with what the backup has, once, or changes nothing",
            Self::RecoveryKeepsAll => {
                "a recovery keeps every entry that any of the survivors had and that was committed: it is what is left"
            }
            Self::RecoveredShareNoCall => "no server of a recovered cluster answers one of the old: they would mix two histories",
            Self::NodeNeverOverfilled => "what is placed on a node fits on it, whatever the plan was made from",
            Self::OneAllocationAName => "no place of a job is taken twice: two desks, or one plan done twice, would do that",
            Self::OneDeskActs => "what a desk decided is never passed on to another leader: that one decides anew, from what it knows",
            Self::WorkIsPlaced => {
                "when faults end, every evaluation ends, and what is wanted runs, as often as it is wanted, on nodes that are there"
            }
            Self::VoterHasEntries => "who gets a vote has entries: a vote without a log keeps the others from a majority",
            Self::LeaderHasApplied => "who counts as leader has applied all that was committed before its term: it acts on its view",
            Self::MembersCanChange => "when faults end, a server can be taken in, get a vote, and another be removed, in bounded time",
            Self::Live => "when faults end, the servers take a write and agree within ten seconds",
        }
    }
}

/// An invariant does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How it shows.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}\n  ({})", self.invariant, self.text, self.invariant.rule())
    }
}
