//! What each allocation of a group is, as far as its group is concerned.

use super::{
    Inputs, is_current,
    retry::{Retry, retry},
};
use crate::words;
use floe_model::{AllocClientStatus, Allocation, JobType, Nanos, NodeStatus, Timestamp};

/// See the table of the module above.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Class {
    Gone,
    Done,
    Live,
    Moving,
    Lost(&'static str),
    /// Its node is down, and ends it by itself before then.
    LostLater(Timestamp),
    FailedNow(Nanos),
    FailedLater(Timestamp),
    FailedKept,
}

pub(super) fn classify(inputs: &Inputs<'_>, alloc: &Allocation) -> Class {
    let is_batch = inputs.job.job_type == JobType::Batch;
    let current = is_current(alloc, inputs.job);
    // A batch that ended is not run again, unless the job changed since.
    if alloc.is_terminal() && (!alloc.next_allocation.is_empty() || (is_batch && !current)) {
        return Class::Gone;
    }
    // A newer version does not wait for the successor of what failed under the old one, unless it may not place anything itself.
    let waits = !alloc.followup_eval_id.is_empty() && (current || !inputs.standing.may_go_on());
    match alloc.client_status {
        AllocClientStatus::Complete if is_batch => Class::Done,
        AllocClientStatus::Complete | AllocClientStatus::Lost => Class::Gone,
        AllocClientStatus::Failed if alloc.is_server_terminal() && !waits => Class::Gone,
        AllocClientStatus::Failed => classify_failed(inputs, alloc),
        _ if alloc.is_server_terminal() => Class::Gone,
        _ => classify_running(inputs, alloc),
    }
}

fn classify_running(inputs: &Inputs<'_>, alloc: &Allocation) -> Class {
    match lost(inputs.view, alloc) {
        Some(why) => match ended_by_node(inputs.view, alloc).filter(|at| *at > inputs.now) {
            Some(at) => Class::LostLater(at),
            None => Class::Lost(why),
        },
        None if alloc.desired_transition.migrate == Some(true) => Class::Moving,
        None => Class::Live,
    }
}

/// Why nobody can say what became of the allocation; `None` when its node answers.
pub(crate) fn lost(view: &floe_state::State, alloc: &Allocation) -> Option<&'static str> {
    match view.node(&alloc.node_id).map(|n| n.status) {
        None => Some(words::NODE_GONE),
        Some(NodeStatus::Down | NodeStatus::Disconnected) => Some(words::NODE_DOWN),
        Some(NodeStatus::Ready | NodeStatus::Initializing) => None,
    }
}

/// When the node, cut off from the servers, has ended the allocation by itself; `None` where nobody asked it to. Nodes count from the end of their
/// lease, and count as down here only after that.
fn ended_by_node(view: &floe_state::State, alloc: &Allocation) -> Option<Timestamp> {
    let group = alloc.job.as_deref()?.group(&alloc.task_group)?;
    let span = group.stop_on_client_after()?;
    let node = view.node(&alloc.node_id)?;
    // The moment is kept in whole seconds, rounded down.
    let down = Timestamp(node.status_updated_at.saturating_add(1).saturating_mul(1_000_000_000));
    Some(down.plus(span).plus(group.longest_stop()))
}

fn classify_failed(inputs: &Inputs<'_>, alloc: &Allocation) -> Class {
    // A newer version replaces what failed under the old one, as part of the update.
    if !is_current(alloc, inputs.job) && inputs.standing.may_go_on() {
        return Class::FailedKept;
    }
    // What failed in a deployment that failed stays for people to look at.
    if inputs.standing.failed().is_some_and(|d| d.id == alloc.deployment_id) {
        return Class::FailedKept;
    }
    let is_due = !alloc.followup_eval_id.is_empty() && alloc.followup_eval_id == inputs.eval.id;
    match retry(alloc, inputs.group.reschedule_policy.as_ref(), inputs.now, is_due) {
        Retry::Never => Class::FailedKept,
        Retry::Now(delay) => Class::FailedNow(delay),
        Retry::At(at) => {
            let pending = inputs.view.eval(&alloc.followup_eval_id).is_some_and(|e| !e.is_terminal());
            if pending { Class::FailedKept } else { Class::FailedLater(at) }
        }
    }
}

/// Order of removal when a group shrinks: the least worth goes first.
pub(super) fn worth(alloc: &Allocation) -> u8 {
    match alloc.client_status {
        AllocClientStatus::Failed => 0,
        _ if alloc.desired_transition.migrate == Some(true) => 1,
        _ if alloc.is_unhealthy() => 2,
        AllocClientStatus::Pending => 3,
        _ => 4,
    }
}
