//! Who leads. A server that was elected counts as leader here only when it has applied everything of the terms before: what runs on the
//! leader may then take its view for the truth.

use crate::{
    Server, ServerId, StopReason,
    raft_types::{Raft, ReadPolicy, StoredMembership, WatchReceiver},
    stop::StopCell,
};
use std::time::Duration;
use tokio::sync::watch;

/// How long to wait before asking again whether this server still leads, when that could not be confirmed.
const CONFIRM_AGAIN: Duration = Duration::from_millis(50);

/// Who leads, as far as this server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// This server leads and has applied all that was committed before it did.
    pub is_leader: bool,
    /// The leader, when one is known.
    pub leader: Option<Server>,
    /// The term.
    pub term: u64,
}

pub(crate) fn server_of(membership: &StoredMembership, id: &ServerId) -> Option<Server> {
    membership.membership().get_node(id).map(|address| Server { id: id.clone(), address: address.clone() })
}

/// Runs until openraft stops.
pub(crate) async fn follow(raft: Raft, tell: watch::Sender<Leadership>, stop: StopCell) {
    let mut metrics = raft.server_metrics();
    let mut confirmed_term = None;
    loop {
        let now = metrics.borrow_watched().clone();
        let term = now.vote.leader_id.term;
        let is_elected = now.state.is_leader();
        let leader = now.current_leader.as_ref().and_then(|id| server_of(&now.membership_config, id));
        let is_leader = is_elected && confirmed_term == Some(term);
        tell.send_if_modified(|present| {
            let next = Leadership { is_leader, leader, term };
            let is_new = *present != next;
            *present = next;
            is_new
        });
        let changed = if is_elected && !is_leader {
            tokio::select! {
                confirmed = confirm(&raft) => {
                    confirmed_term = confirmed.then_some(term).or(confirmed_term);
                    Ok(())
                }
                changed = metrics.changed() => changed,
            }
        } else {
            metrics.changed().await
        };
        if changed.is_err() {
            break;
        }
    }
    tell.send_modify(|present| *present = Leadership { term: present.term, ..Leadership::default() });
    note_end(&raft, &stop);
}

/// Asks the others, and waits until everything committed so far is applied here.
async fn confirm(raft: &Raft) -> bool {
    let confirmed = raft.ensure_linearizable(ReadPolicy::ReadIndex).await.is_ok();
    if !confirmed {
        tokio::time::sleep(CONFIRM_AGAIN).await;
    }
    confirmed
}

/// openraft ended. When nobody asked it to, that is the reason to stop.
fn note_end(raft: &Raft, stop: &StopCell) {
    if stop.get().is_some() {
        return;
    }
    let reason = match raft.metrics().borrow_watched().running_state.clone() {
        Err(fatal) => StopReason::Failed(format!("the Raft core ended: {fatal}")),
        Ok(()) => StopReason::Failed("the Raft core ended without saying why".to_owned()),
    };
    stop.set(reason);
}
