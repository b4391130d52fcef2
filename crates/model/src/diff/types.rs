//! The differences, with the JSON names that clients know.

use std::collections::BTreeMap;

words! {
    /// What became of a thing from the one version to the other.
    pub enum DiffType { None = "None", Added = "Added", Deleted = "Deleted", Edited = "Edited" }
}

wire! {
    /// What differs between two versions of a job.
    pub struct JobDiff {
        "Type" diff_type: DiffType,
        "ID" id: String,
        "Fields" fields: Vec<FieldDiff>,
        "Objects" objects: Vec<ObjectDiff>,
        /// All groups of both versions; those that stay have the type `None`.
        "TaskGroups" task_groups: Vec<TaskGroupDiff>,
    }

    /// What differs between two versions of a group.
    pub struct TaskGroupDiff {
        "Type" diff_type: DiffType,
        "Name" name: String,
        "Fields" fields: Vec<FieldDiff>,
        "Objects" objects: Vec<ObjectDiff>,
        /// All tasks of both versions; those that stay have the type `None`.
        "Tasks" tasks: Vec<TaskDiff>,
        /// How many allocations what is done to, by the words of [`super::UpdateKind`].
        "Updates" updates: BTreeMap<String, u64>,
    }

    /// What differs between two versions of a task.
    pub struct TaskDiff {
        "Type" diff_type: DiffType,
        "Name" name: String,
        "Fields" fields: Vec<FieldDiff>,
        "Objects" objects: Vec<ObjectDiff>,
        "Annotations" annotations: Vec<String>,
    }

    /// A block: of one that is in both versions, the fields that stay are there, too (with the type `None`), so that one sees which it is.
    pub struct ObjectDiff {
        "Type" diff_type: DiffType,
        "Name" name: String,
        "Fields" fields: Vec<FieldDiff>,
        "Objects" objects: Vec<ObjectDiff>,
    }

    /// A field, as text.
    pub struct FieldDiff {
        "Type" diff_type: DiffType,
        "Name" name: String,
        "Old" old: String,
        "New" new: String,
        "Annotations" annotations: Vec<String>,
    }

    /// What the scheduler wants to do to the allocations of a group.
    pub struct DesiredUpdates {
        /// Stay as they are, for now.
        "Ignore" ignore: u64,
        /// New ones, also those that find no node.
        "Place" place: u64,
        /// Stopped, and placed elsewhere.
        "Migrate" migrate: u64,
        /// Stopped without a successor.
        "Stop" stop: u64,
        "InPlaceUpdate" in_place_update: u64,
        /// Stopped and replaced, also those that stay until there is room.
        "DestructiveUpdate" destructive_update: u64,
        "Canary" canary: u64,
        "Preemptions" preemptions: u64,
        "Disconnect" disconnect: u64,
        "Reconnect" reconnect: u64,
        /// Failed ones that are replaced now; `Place` counts them, too.
        "RescheduleNow" reschedule_now: u64,
        "RescheduleLater" reschedule_later: u64,
    }
}

impl DesiredUpdates {
    /// Whether anything is done to any allocation.
    pub fn is_quiet(&self) -> bool {
        DesiredUpdates { ignore: 0, ..self.clone() } == DesiredUpdates::default()
    }
}
