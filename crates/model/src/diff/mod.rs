//! What differs between two versions of a job, as clients of a plan read it.
//!
//! The jobs are compared by their wire form, so that a field that the model gets is compared without a word here, under the name that the API has for
//! it. What the server writes into a job is left out. Both jobs are canonical, or defaults show as differences.
//!
//! ```text
//! diff(old, new) is of type None  <=>  !change::spec_changed(old, new)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `types` | the differences, with their JSON names |
//! | `values` | compares two JSON values: fields, objects, lists |
//! | `pairs` | which items of two lists are the same thing |
//! | `annotate` | what differences lead to |

mod annotate;
mod pairs;
mod types;
mod values;

pub use annotate::{UpdateKind, annotate};
pub use types::{DesiredUpdates, DiffType, FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};

use crate::Job;
use pairs::pairs;
use serde_json::{Map, Value};
use values::{Context, Differences, order};

/// What the server writes into a job ([`crate::change::clear_server_fields`]), and the id, which both jobs share.
const NOT_COMPARED: &[&str] = &[
    "ID",
    "NomadTokenID",
    "Status",
    "StatusDescription",
    "Stable",
    "Version",
    "SubmitTime",
    "CreateIndex",
    "ModifyIndex",
    "JobModifyIndex",
    "VersionTag",
];
const GROUPS: &str = "TaskGroups";
const TASKS: &str = "Tasks";
const NAME: &str = "Name";

/// What differs between two versions of a job, both canonical; `None` where there is no job. Groups and tasks are there whether they differ or not.
pub fn diff(old: Option<&Job>, new: Option<&Job>) -> JobDiff {
    let id = new.or(old).map(|job| job.id.to_string()).unwrap_or_default();
    let (mut old, mut new) = (Part::of_job(old), Part::of_job(new));
    let [old_groups, new_groups] = [old.take(GROUPS), new.take(GROUPS)];
    let mut own = old.compare(&new);
    let task_groups: Vec<TaskGroupDiff> = pairs(NAME, &old_groups, &new_groups).map(|(a, b)| group(Part::of(a), Part::of(b))).collect();
    own.fields.extend(order(GROUPS, &old_groups, &new_groups));
    let changed = !own.is_empty() || task_groups.iter().any(|g| g.diff_type != DiffType::None);
    JobDiff { diff_type: old.becomes(&new, changed), id, fields: own.fields, objects: own.objects, task_groups }
}

fn group(mut old: Part, mut new: Part) -> TaskGroupDiff {
    let name = new.name().or(old.name()).unwrap_or_default();
    let [old_tasks, new_tasks] = [old.take(TASKS), new.take(TASKS)];
    let mut own = old.without_name().compare(&new.without_name());
    let tasks: Vec<TaskDiff> = pairs(NAME, &old_tasks, &new_tasks).map(|(a, b)| task(Part::of(a), Part::of(b))).collect();
    own.fields.extend(order(TASKS, &old_tasks, &new_tasks));
    let changed = !own.is_empty() || tasks.iter().any(|t| t.diff_type != DiffType::None);
    let diff_type = old.becomes(&new, changed);
    TaskGroupDiff { diff_type, name, fields: own.fields, objects: own.objects, tasks, updates: std::collections::BTreeMap::new() }
}

fn task(old: Part, new: Part) -> TaskDiff {
    let name = new.name().or(old.name()).unwrap_or_default();
    let own = old.without_name().compare(&new.without_name());
    let diff_type = old.becomes(&new, !own.is_empty());
    TaskDiff { diff_type, name, fields: own.fields, objects: own.objects, annotations: Vec::new() }
}

/// A job, a group or a task as JSON; `None` where one version has none.
#[derive(Clone)]
struct Part(Option<Map<String, Value>>);

impl Part {
    fn of_job(job: Option<&Job>) -> Self {
        let Some(Ok(Value::Object(mut map))) = job.map(serde_json::to_value) else { return Part(None) };
        map.retain(|key, _| !NOT_COMPARED.contains(&key.as_str()));
        Part(Some(map))
    }
    fn of(value: Option<&Value>) -> Self {
        Part(value.and_then(Value::as_object).cloned())
    }
    /// Takes a list of parts out.
    fn take(&mut self, key: &str) -> Vec<Value> {
        match self.0.as_mut().and_then(|map| map.remove(key)) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        }
    }
    fn name(&self) -> Option<String> {
        self.0.as_ref()?.get(NAME)?.as_str().map(str::to_owned)
    }
    fn without_name(&self) -> Self {
        let mut part = self.clone();
        part.0.iter_mut().for_each(|map| drop(map.remove(NAME)));
        part
    }
    fn compare(&self, new: &Part) -> Differences {
        let nothing = Map::new();
        let context = if self.0.is_some() && new.0.is_some() { Context::Leave } else { Context::Whole };
        let [old, new] = [self, new].map(|part| part.0.as_ref().unwrap_or(&nothing));
        values::members(old, new, context)
    }
    fn becomes(&self, new: &Part, changed: bool) -> DiffType {
        match (&self.0, &new.0) {
            (None, Some(_)) => DiffType::Added,
            (Some(_), None) => DiffType::Deleted,
            _ if changed => DiffType::Edited,
            _ => DiffType::None,
        }
    }
}
