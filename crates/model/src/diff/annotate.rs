//! What differences lead to: for each group how many allocations are touched, for each task and count what a change of it forces.

use super::types::{DesiredUpdates, DiffType, JobDiff, TaskDiff, TaskGroupDiff};
use crate::{Job, change};
use std::collections::BTreeMap;

words! {
    /// What is done to allocations, in the words that clients know.
    pub enum UpdateKind {
        Ignore = "ignore",
        Create = "create",
        Destroy = "destroy",
        Migrate = "migrate",
        Canary = "canary",
        InPlace = "in-place update",
        Destructive = "create/destroy update",
    }
}

impl UpdateKind {
    /// The annotation of a change that leads to this.
    fn forced(self) -> String {
        format!("forces {self}")
    }
}

/// Writes into `diff` what comes of it. `old` and `new` are the jobs that it is of, `desired` is what the scheduler wants for each group.
pub fn annotate(diff: &mut JobDiff, old: Option<&Job>, new: &Job, desired: &BTreeMap<String, DesiredUpdates>) {
    for group in &mut diff.task_groups {
        group.updates = desired.get(&group.name).map(updates).unwrap_or_default();
        annotate_count(group);
        for task in &mut group.tasks {
            let kind = forced(old, new, &group.name, group.diff_type, task);
            task.annotations = kind.map(UpdateKind::forced).into_iter().collect();
        }
    }
}

impl DesiredUpdates {
    /// How many allocations each of these is done to, in the order in which people want to read them.
    pub fn counts(&self) -> [(UpdateKind, u64); 7] {
        [
            (UpdateKind::Create, self.place),
            (UpdateKind::Destructive, self.destructive_update),
            (UpdateKind::InPlace, self.in_place_update),
            (UpdateKind::Migrate, self.migrate),
            (UpdateKind::Destroy, self.stop),
            (UpdateKind::Canary, self.canary),
            (UpdateKind::Ignore, self.ignore),
        ]
    }
}

fn updates(desired: &DesiredUpdates) -> BTreeMap<String, u64> {
    desired.counts().into_iter().filter(|(_, n)| *n > 0).map(|(kind, n)| (kind.to_string(), n)).collect()
}

fn annotate_count(group: &mut TaskGroupDiff) {
    for field in group.fields.iter_mut().filter(|f| f.name == "Count" && f.diff_type != DiffType::None) {
        let [old, new] = [&field.old, &field.new].map(|text| text.parse::<i64>().unwrap_or(0));
        let kind = if new > old { UpdateKind::Create } else { UpdateKind::Destroy };
        field.annotations = vec![kind.forced()];
    }
}

/// What a task's change leads to; nothing when it stays as it is.
fn forced(old: Option<&Job>, new: &Job, group: &str, group_type: DiffType, task: &TaskDiff) -> Option<UpdateKind> {
    match (group_type, task.diff_type) {
        (_, DiffType::None) => None,
        (DiffType::Added, _) => Some(UpdateKind::Create),
        (DiffType::Deleted, _) => Some(UpdateKind::Destroy),
        // Tasks of an allocation come and go with it.
        (_, DiffType::Added | DiffType::Deleted) => Some(UpdateKind::Destructive),
        (_, DiffType::Edited) => {
            let replaces = old.and_then(|old| change::task_needs_replacement(old, new, group, &task.name)).is_some();
            Some(if replaces { UpdateKind::Destructive } else { UpdateKind::InPlace })
        }
    }
}
