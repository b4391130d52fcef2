//! Which nodes were silent too long.
//!
//! A node's time to live grows with the number of nodes, so that all heartbeats together stay below a rate; the wait adds a grace for a
//! slow network. A new leader has heard of nobody: it gives every node [`FAILOVER_TTL`] from the moment it took over.

use floe_model::{Nanos, NodeId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The shortest time to live.
pub const MIN_TTL: Nanos = Nanos::from_secs(4);
/// Leases per second that all nodes together may ask for: low enough to be a small part of what a server does, high enough that ten thousand
/// nodes are as soon missed as three.
pub const MAX_RATE: i64 = 2_500;
/// How much longer than its time to live a node may be silent.
pub const GRACE: Nanos = Nanos::from_secs(5);
/// The first time to live under a new leader. Servers keep no heartbeats in the state, so this is what a node that died together with the
/// leader costs: no more than one that died alone, at worst.
pub const FAILOVER_TTL: Nanos = Nanos::from_secs(13);

/// Timing, from configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// See [`MIN_TTL`].
    pub min_ttl: Nanos,
    /// See [`GRACE`].
    pub grace: Nanos,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { min_ttl: MIN_TTL, grace: GRACE }
    }
}

/// When each node must have been heard of again.
#[derive(Debug, Default)]
pub struct Heartbeats {
    timing: Timing,
    deadlines: BTreeMap<NodeId, Timestamp>,
    order: BTreeSet<(Timestamp, NodeId)>,
}

impl Heartbeats {
    /// None heard of yet.
    pub fn new(timing: Timing) -> Self {
        Heartbeats { timing, ..Heartbeats::default() }
    }

    /// The time to live for a node in a cluster of `nodes`. `jitter` in 0..=1000 spreads heartbeats over the second half: the answer is
    /// between one and two times the base.
    pub fn ttl(&self, nodes: usize, jitter: u16) -> Nanos {
        let by_rate = Nanos::from_millis(i64::try_from(nodes).unwrap_or(i64::MAX).saturating_mul(1000) / MAX_RATE);
        let base = self.timing.min_ttl.max(by_rate);
        Nanos(base.0.saturating_add(base.0 / 1000 * i64::from(jitter.min(1000))))
    }

    /// A node was heard of and told to come back within `ttl`.
    pub fn heard(&mut self, node: &NodeId, ttl: Nanos, now: Timestamp) {
        self.set(node, now.plus(ttl).plus(self.timing.grace));
    }

    /// A new leader gives a node time to find it.
    pub fn expect(&mut self, node: &NodeId, now: Timestamp) {
        self.set(node, now.plus(FAILOVER_TTL.max(self.timing.grace)));
    }

    fn set(&mut self, node: &NodeId, deadline: Timestamp) {
        if let Some(old) = self.deadlines.insert(node.clone(), deadline) {
            self.order.remove(&(old, node.clone()));
        }
        self.order.insert((deadline, node.clone()));
    }

    /// Stops watching a node.
    pub fn forget(&mut self, node: &NodeId) {
        if let Some(old) = self.deadlines.remove(node) {
            self.order.remove(&(old, node.clone()));
        }
    }

    /// The nodes that were silent too long; each is named once.
    #[must_use]
    pub fn tick(&mut self, now: Timestamp) -> Vec<NodeId> {
        let mut silent = Vec::new();
        while let Some((deadline, node)) = self.order.first().cloned() {
            if deadline > now {
                break;
            }
            self.order.pop_first();
            self.deadlines.remove(&node);
            silent.push(node);
        }
        silent
    }

    /// How many nodes are watched.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }
    /// True when none is.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
    /// When `tick` next has something to say.
    pub fn next_moment(&self) -> Option<Timestamp> {
        self.order.first().map(|(t, _)| *t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp(1).plus(Nanos::from_secs(s))
    }

    #[test]
    fn the_time_to_live_keeps_the_rate_below_its_bound() {
        let h = Heartbeats::default();
        assert_eq!(h.ttl(1, 0), Nanos::from_secs(4));
        assert_eq!(h.ttl(10_000, 0), Nanos::from_secs(4));
        assert_eq!(h.ttl(50_000, 0), Nanos::from_secs(20));
        assert_eq!(h.ttl(50_000, 1000), Nanos::from_secs(40));
        assert_eq!(h.ttl(50_000, u16::MAX), Nanos::from_secs(40));
    }

    #[test]
    fn a_silent_node_is_named_once_after_its_time_and_the_grace() {
        let mut h = Heartbeats::default();
        h.heard(&"a".into(), Nanos::from_secs(10), at(0));
        h.heard(&"b".into(), Nanos::from_secs(10), at(5));
        assert!(h.tick(at(14)).is_empty());
        assert_eq!(h.tick(at(15)), vec![NodeId::new("a")]);
        h.heard(&"b".into(), Nanos::from_secs(10), at(16));
        assert!(h.tick(at(30)).is_empty());
        assert_eq!(h.tick(at(31)), vec![NodeId::new("b")]);
        assert!(h.is_empty() && h.next_moment().is_none());
    }

    #[test]
    fn a_clock_that_jumps_back_ends_nobody() {
        let mut h = Heartbeats::default();
        h.heard(&"a".into(), Nanos::from_secs(10), at(1000));
        h.heard(&"a".into(), Nanos::from_secs(10), at(0));
        assert!(h.tick(at(5)).is_empty());
        assert_eq!(h.tick(at(20)).len(), 1);
    }

    #[test]
    fn a_new_leader_waits_for_everyone() {
        let mut h = Heartbeats::default();
        h.expect(&"a".into(), at(0));
        assert!(h.tick(at(12)).is_empty());
        assert_eq!(h.tick(at(13)).len(), 1);
    }
}
