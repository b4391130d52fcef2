//! What a new version of the job means for allocations that run an older one.

use super::{Inputs, Needs, Slots, is_current, rollout};
use floe_model::{Allocation, change::needs_replacement};
use std::collections::BTreeMap;

/// Sorts what holds an index into what stays, what is changed in place and what is replaced (as many as may be now).
pub(super) fn plan<'a>(inputs: &Inputs<'a>, slots: Slots<'a>, stays: &mut dyn FnMut(&Allocation) -> Option<String>, needs: &mut Needs<'a>) {
    let room = room(inputs, &slots, needs);
    let mut replace = Vec::new();
    let mut known = BTreeMap::new();
    for alloc in &slots.live {
        if is_current(alloc, inputs.job) {
            needs.ignored += 1;
        } else if let Some(why) = change(inputs, alloc, &mut known).or_else(|| stays(alloc)) {
            replace.push((*alloc, why));
        } else {
            needs.in_place.push(alloc);
        }
    }
    for alloc in &slots.failed_kept {
        if is_current(alloc, inputs.job) || !inputs.standing.may_go_on() {
            needs.ignored += 1;
        } else {
            replace.push((*alloc, "it failed under an older version".to_owned()));
        }
    }
    replace.sort_by_key(|(a, _)| (a.index(), a.id.clone()));
    needs.held_back += replace.len().saturating_sub(room) as u64;
    replace.truncate(room);
    needs.replace = replace;
    needs.ignored += (slots.done.len() + slots.failed_later.len() + slots.lost_later.len()) as u64;
    needs.lost_later = slots.lost_later;
    needs.moving = slots.moving;
    needs.failed_now = slots.failed_now;
    needs.failed_later = slots.failed_later;
}

/// How many may be replaced: missing ones are placed first and count.
fn room(inputs: &Inputs<'_>, slots: &Slots<'_>, needs: &Needs<'_>) -> usize {
    match rollout::max_parallel(inputs.job, inputs.group) {
        None => usize::MAX,
        Some(max) => {
            let placed = needs.place.len() + slots.failed_now.len() + slots.moving.len();
            rollout::room(&inputs.standing, max, slots.iter()).saturating_sub(placed)
        }
    }
}

/// Why the allocation's version of the job cannot become the present one in place. Asked once per version.
fn change(inputs: &Inputs<'_>, alloc: &Allocation, known: &mut BTreeMap<(u64, u64), Option<String>>) -> Option<String> {
    let Some(old) = alloc.job.as_deref() else { return Some("its version of the job is not known".to_owned()) };
    if old.create_index != inputs.job.create_index {
        return Some("it is of an earlier job with the same id".to_owned());
    }
    known.entry((old.create_index, old.version)).or_insert_with(|| needs_replacement(old, inputs.job, &inputs.group.name)).clone()
}
