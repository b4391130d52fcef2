//! What a decision does, in counts and words, per group.

use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// What a decision does to each group of the job.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// By the group's name.
    pub groups: BTreeMap<String, GroupChanges>,
}

/// What a decision does to one group. The JSON names are those of a plan's annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupChanges {
    /// Stay as they are.
    pub ignore: u64,
    /// New ones that found a node.
    pub place: u64,
    /// Stopped and placed again, because a user or the cluster wants them elsewhere (lost ones included).
    pub migrate: u64,
    /// Stopped without a successor in this plan.
    pub stop: u64,
    /// Changed in place.
    pub in_place_update: u64,
    /// Stopped and replaced by a newer version.
    pub destructive_update: u64,
    /// Failed ones that are replaced.
    pub reschedule: u64,
    /// Wanted, but no node was found.
    pub unplaced: u64,
    /// Reasons with their counts, for people.
    pub why: BTreeMap<String, u64>,
}

/// One thing that is done to an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Ignore,
    Place,
    Migrate,
    Stop,
    InPlace,
    Destructive,
    Reschedule,
    Unplaced,
}

impl Explanation {
    /// Counts `n` steps of a kind.
    pub(crate) fn count(&mut self, group: &str, step: Step, n: u64) {
        let changes = self.groups.entry(group.to_owned()).or_default();
        let counter = match step {
            Step::Ignore => &mut changes.ignore,
            Step::Place => &mut changes.place,
            Step::Migrate => &mut changes.migrate,
            Step::Stop => &mut changes.stop,
            Step::InPlace => &mut changes.in_place_update,
            Step::Destructive => &mut changes.destructive_update,
            Step::Reschedule => &mut changes.reschedule,
            Step::Unplaced => &mut changes.unplaced,
        };
        *counter += n;
    }

    /// Counts a reason.
    pub(crate) fn because(&mut self, group: &str, why: &str, n: u64) {
        if n > 0 {
            *self.groups.entry(group.to_owned()).or_default().why.entry(why.to_owned()).or_default() += n;
        }
    }
}

/// One line a group: `web: 2 place, 1 stop (no longer needed by the job: 1)`.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (group, changes) in &self.groups {
            writeln!(f, "{group}: {changes}")?;
        }
        Ok(())
    }
}

impl fmt::Display for GroupChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.place, "place"),
            (self.migrate, "migrate"),
            (self.reschedule, "reschedule"),
            (self.destructive_update, "replace"),
            (self.in_place_update, "update in place"),
            (self.stop, "stop"),
            (self.unplaced, "without a node"),
            (self.ignore, "unchanged"),
        ];
        let said: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        f.write_str(if said.is_empty() { "nothing to do" } else { "" })?;
        f.write_str(&said.join(", "))?;
        let why: Vec<String> = self.why.iter().map(|(why, n)| format!("{why}: {n}")).collect();
        if why.is_empty() { Ok(()) } else { write!(f, " ({})", why.join("; ")) }
    }
}
