//! What the leader's desk wrote.

use crate::{invariant::Invariant, nodes::NODE_SHARES, world::World};
use floe_model::{AllocDesiredStatus, Allocation};
use floe_state::{Command, State, plan::Plan};
use std::collections::BTreeSet;

/// A committed entry, and the state after it.
pub(super) fn look(world: &World, state: &State, command: &Command) {
    match command {
        Command::Plan(plan) => look_at_plan(world, state, plan),
        Command::UpdateNodeStatus { updates } => {
            updates.iter().for_each(|update| world.trace.say(format_args!("{} is {}: {}", update.id, update.status, update.message)));
        }
        _ => {}
    }
}

/// The beginning of an id.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

fn look_at_plan(world: &World, state: &State, plan: &Plan) {
    world.trace.count("plan");
    let places: Vec<String> = plan.placements.iter().map(|a| format!("{} {} on {}", a.name, short(a.id.as_str()), a.node_id)).collect();
    let stops: Vec<&str> = plan.stops.iter().map(|stop| short(stop.id.as_str())).collect();
    world.trace.say(format_args!(
        "entry {}: plan for {} from index {}: places {places:?}, stops {stops:?}",
        state.log_index(),
        short(plan.eval_id.as_str()),
        plan.based_on
    ));
    let touched: BTreeSet<_> = plan.placements.iter().map(|placement| placement.node_id.clone()).collect();
    for id in touched {
        // What the servers gave up leaves room for what takes its place, on the node itself, which waits for it to end.
        let held = state.allocs_of_node(&id).filter(|alloc| !alloc.is_terminal());
        let shares: i64 = held.flat_map(|alloc| alloc.allocated_resources.tasks.values()).map(|task| task.cpu.cpu_shares).sum();
        if shares > NODE_SHARES {
            world.violated(Invariant::NodeNeverOverfilled, format!("{shares} of {NODE_SHARES} are given away on {id}"));
        }
    }
    let Some(job) = &plan.job else { return };
    let lives = |alloc: &&std::sync::Arc<Allocation>| alloc.desired_status == AllocDesiredStatus::Run && !alloc.client_status.is_terminal();
    let mut names = BTreeSet::new();
    for alloc in state.allocs_of_job(&job.key()).filter(lives) {
        if !names.insert(alloc.name.clone()) {
            world.violated(Invariant::OneAllocationAName, format!("{} is wanted twice after a plan for {}", alloc.name, plan.eval_id));
        }
    }
}
