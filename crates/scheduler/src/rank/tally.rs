//! How many allocations stand on each value of an attribute: for `distinct_property` and `spread`.

use crate::feasible::target;
use floe_model::Node;
use std::collections::BTreeMap;

/// Counts of a job's (or a group's) allocations by the value that an attribute has on their nodes.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    attribute: &'a str,
    /// Only allocations of this group count; `None` counts all of the job.
    group: Option<&'a str>,
    counts: BTreeMap<String, u64>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(attribute: &'a str, group: Option<&'a str>) -> Self {
        Self { attribute, group, counts: BTreeMap::new() }
    }

    /// The value that counts on `node`.
    pub(crate) fn value<'n>(&self, node: &'n Node) -> Option<&'n str>
    where
        'a: 'n,
    {
        target::resolve(self.attribute, node)
    }

    /// How many stand on `value`.
    pub(crate) fn count(&self, value: &str) -> u64 {
        self.counts.get(value).copied().unwrap_or(0)
    }

    /// The least and the largest count among values that have any.
    pub(crate) fn extremes(&self) -> Option<(u64, u64)> {
        let least = self.counts.values().min()?;
        self.counts.values().max().map(|most| (*least, *most))
    }

    /// An allocation of `group` comes to `node`.
    pub(crate) fn add(&mut self, group: &str, node: &Node) {
        if let Some(value) = self.counted(group, node) {
            match self.counts.get_mut(value) {
                Some(n) => *n += 1,
                None => _ = self.counts.insert(value.to_owned(), 1),
            }
        }
    }

    /// An allocation of `group` leaves `node`.
    pub(crate) fn remove(&mut self, group: &str, node: &Node) {
        if let Some(value) = self.counted(group, node)
            && let Some(n) = self.counts.get_mut(value)
        {
            *n -= 1;
            if *n == 0 {
                self.counts.remove(value);
            }
        }
    }

    fn counted<'n>(&self, group: &str, node: &'n Node) -> Option<&'n str>
    where
        'a: 'n,
    {
        if self.group.is_some_and(|g| g != group) { None } else { self.value(node) }
    }
}
