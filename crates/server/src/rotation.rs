//! The rotation task: while this server leads, and an authority is being replaced, it goes on to the next step as soon as nobody is waited for.

use floe_consensus::Consensus;
use floe_control::rotation::pending;
use floe_state::Command;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks who is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(consensus: Consensus, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if consensus.leadership().borrow().is_leader {
            advance(&consensus).await;
        }
    }
}

async fn advance(consensus: &Consensus) {
    let state = consensus.view();
    let members = consensus.members();
    let Some(known) = state.authorities() else { return };
    if pending(&state, members.iter().map(|member| member.id.as_str())).is_none_or(|waited_for| !waited_for.is_empty()) {
        return;
    }
    match consensus.propose(Command::AdvanceRotation { round: known.round }).await {
        Ok(_) => tracing::info!(step = ?known.rotation.as_ref().map(|r| r.step), "a step of the change of the authority is over"),
        Err(error) => tracing::warn!(%error, "the change of the authority does not go on; it is tried again"),
    }
}
