//! The simulation catches defects: each one that is planted, within a bounded number of seeds. A defect that is not caught is a hole in the
//! net, and fails here. `FLOE_PLANTED_FIRST=1000` begins the search there, for a new number for [`first_seed`]; it goes on until one is caught.
#![allow(clippy::panic)]

use floe_sim::Invariant;
use floe_store::planted::{Bug, Planted};

/// How many seeds a defect may survive.
const SEEDS: u64 = 40;

/// A seed that caught it when this was written; the search begins there. Should the code have changed so much that it is another run now, the
/// search goes on, and this number is to be brought up to date.
fn first_seed(bug: Bug) -> u64 {
    match bug {
        Bug::FailedEvaluationIsDone | Bug::NewDeskForgetsEvaluations => 2,
        Bug::TwoVotersLeaveAtOnce | Bug::WholeLogIsCommitted => 3,
        Bug::MissingReadIndex => 4,
        Bug::DeskPassesOn | Bug::ForwardRepeatedInDoubt | Bug::LearnerIsVoter | Bug::PromotionUnchecked => 5,
        Bug::DeskMissesRestore | Bug::RecoveryKeepsCluster => 9,
        Bug::FailedSyncIgnored | Bug::SnapshotStateNotInstalled => 11,
        Bug::InterruptedIsRefused | Bug::LostLogVotes => 14,
        Bug::NewDeskExpectsNobody => 15,
        Bug::ChangeOfOldMembership => 18,
        Bug::DuplicateProposalTaken => 20,
        Bug::LostRestoreIsDone => 35,
        Bug::TruncationNotWritten => 502,
        _ => 1,
    }
}

/// Runs seeds until one notices, and says what it noticed.
fn caught_by(bug: Bug) -> Option<(u64, Invariant, String)> {
    let _planted = Planted::on(bug);
    let wanted = std::env::var("FLOE_PLANTED_FIRST").ok().and_then(|first| first.parse().ok());
    let seeds = if wanted.is_some() { u64::MAX } else { SEEDS };
    (wanted.unwrap_or_else(|| first_seed(bug))..).take(usize::try_from(seeds).unwrap_or(usize::MAX)).find_map(|seed| {
        let violation = floe_sim::run(seed, false).violation?;
        Some((seed, violation.invariant, violation.text))
    })
}

fn must_be_caught(bug: Bug) {
    match caught_by(bug) {
        Some((seed, invariant, text)) => eprintln!("{bug:?}: seed {seed}, {invariant:?}: {text}"),
        None => panic!("{bug:?} went unnoticed in {SEEDS} seeds from {}: a hole in the net", first_seed(bug)),
    }
}

macro_rules! each_is_caught {
    ($($test:ident: $bug:ident,)*) => {
        $(#[test]
        fn $test() {
            must_be_caught(Bug::$bug);
        })*

        #[test]
        fn every_bug_has_a_test() {
            let tested = [$(Bug::$bug),*];
            assert!(Bug::ALL.iter().all(|bug| tested.contains(bug)));
        }
    };
}

each_is_caught! {
    ack_before_fsync: AckBeforeFsync,
    vote_not_synced: VoteNotSynced,
    truncation_not_written: TruncationNotWritten,
    failed_sync_ignored: FailedSyncIgnored,
    append_loses_entry: AppendLosesEntry,
    snapshot_not_synced: SnapshotNotSynced,
    missing_read_index: MissingReadIndex,
    follower_serves_reads: FollowerServesReads,
    snapshot_without_membership: SnapshotWithoutMembership,
    snapshot_state_not_installed: SnapshotStateNotInstalled,
    double_apply: DoubleApply,
    entry_after_snapshot_skipped: EntryAfterSnapshotSkipped,
    forward_repeated_in_doubt: ForwardRepeatedInDoubt,
    duplicate_proposal_taken: DuplicateProposalTaken,
    lost_answer_is_success: LostAnswerIsSuccess,
    lost_log_votes: LostLogVotes,
    short_log_gets_votes: ShortLogGetsVotes,
    whole_log_is_committed: WholeLogIsCommitted,
    interrupted_is_refused: InterruptedIsRefused,
    learner_is_voter: LearnerIsVoter,
    promotion_unchecked: PromotionUnchecked,
    two_voters_leave_at_once: TwoVotersLeaveAtOnce,
    change_of_old_membership: ChangeOfOldMembership,
    unconfirmed_leader_acts: UnconfirmedLeaderActs,
    recovery_keeps_cluster: RecoveryKeepsCluster,
    lost_restore_is_done: LostRestoreIsDone,
    desk_misses_restore: DeskMissesRestore,
    desk_passes_on: DeskPassesOn,
    new_desk_expects_nobody: NewDeskExpectsNobody,
    failed_evaluation_is_done: FailedEvaluationIsDone,
    new_desk_forgets_evaluations: NewDeskForgetsEvaluations,
}
