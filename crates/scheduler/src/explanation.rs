//! What a decision does, in counts and words, per group.

use floe_model::diff::DesiredUpdates;
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
    /// How many of those are to take the place of one that is stopped or lost.
    pub unplaced_migrate: u64,
    /// How many of those are to replace one of an older version, which runs on until there is room.
    pub unplaced_destructive: u64,
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
        };
        *counter += n;
    }

    /// Counts one that found no node, with what it would have been.
    pub(crate) fn count_unplaced(&mut self, group: &str, step: Step) {
        let changes = self.groups.entry(group.to_owned()).or_default();
        changes.unplaced += 1;
        match step {
            Step::Migrate => changes.unplaced_migrate += 1,
            Step::Destructive => changes.unplaced_destructive += 1,
            Step::Ignore | Step::Place | Step::Stop | Step::InPlace | Step::Reschedule => {}
        }
    }

    /// Counts a reason.
    pub(crate) fn because(&mut self, group: &str, why: &str, n: u64) {
        if n > 0 {
            *self.groups.entry(group.to_owned()).or_default().why.entry(why.to_owned()).or_default() += n;
        }
    }
}

impl GroupChanges {
    /// What is wanted, whether there is a node for it or not, as clients of the API read it.
    pub fn desired(&self) -> DesiredUpdates {
        let unplaced = self.unplaced.saturating_sub(self.unplaced_migrate).saturating_sub(self.unplaced_destructive);
        DesiredUpdates {
            ignore: self.ignore,
            place: self.place + self.reschedule + unplaced,
            migrate: self.migrate + self.unplaced_migrate,
            stop: self.stop,
            in_place_update: self.in_place_update,
            destructive_update: self.destructive_update + self.unplaced_destructive,
            reschedule_now: self.reschedule,
            ..DesiredUpdates::default()
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
