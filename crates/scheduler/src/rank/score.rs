//! How good a feasible node is. The final score is the mean of the components that say something.

use floe_model::{NodeId, alloc::NodeScoreMeta, resources::Amounts};

/// The most that the bin-packing formula yields, by which it is divided.
const BINPACK_MAX: f64 = 18.0;

/// The components of a node's score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    /// 0 (empty) to 1 (full).
    pub(crate) binpack: f64,
    /// Below zero when the node already runs allocations of the group.
    pub(crate) anti_affinity: Option<f64>,
    /// -1 where the predecessor failed.
    pub(crate) reschedule_penalty: Option<f64>,
    /// -1 to 1.
    pub(crate) affinity: Option<f64>,
    /// -1 to 1: how much the devices are liked that it gives.
    pub(crate) devices: Option<f64>,
    /// See `spread`.
    pub(crate) spread: Option<f64>,
}

impl Scores {
    /// The mean of what was said.
    pub(crate) fn mean(&self) -> f64 {
        let said = [Some(self.binpack), self.anti_affinity, self.reschedule_penalty, self.affinity, self.devices, self.spread];
        let (sum, n) = said.into_iter().flatten().fold((0.0, 0.0), |(sum, n), s| (sum + s, n + 1.0));
        sum / n
    }

    /// The form in which the API shows them.
    pub(crate) fn meta(&self, node: &NodeId) -> NodeScoreMeta {
        let named = [
            ("binpack", Some(self.binpack)),
            ("job-anti-affinity", Some(self.anti_affinity.unwrap_or(0.0))),
            ("node-reschedule-penalty", Some(self.reschedule_penalty.unwrap_or(0.0))),
            ("node-affinity", Some(self.affinity.unwrap_or(0.0))),
            ("devices", self.devices),
            ("allocation-spread", self.spread),
        ];
        let scores = named.into_iter().filter_map(|(name, s)| s.map(|s| (name.to_owned(), s))).collect();
        NodeScoreMeta { node_id: node.clone(), scores, norm_score: self.mean() }
    }
}

/// Best fit (the formula of Google's "BestFit v3"): 1 for a node that is exactly full, 0 for an empty one.
pub(crate) fn binpack(used: Amounts, capacity: Amounts) -> f64 {
    let free = |used: i64, total: i64| if total <= 0 { 0.0 } else { 1.0 - as_f64(used) / as_f64(total) };
    let total = 10f64.powf(free(used.cpu_mhz, capacity.cpu_mhz)) + 10f64.powf(free(used.memory_mb, capacity.memory_mb));
    (20.0 - total).clamp(0.0, BINPACK_MAX) / BINPACK_MAX
}

/// The penalty for a node that already runs `collisions` allocations of the group, of which `count` are wanted in all.
pub(crate) fn anti_affinity(collisions: u32, count: u32) -> Option<f64> {
    (collisions > 0).then(|| -f64::from(collisions.saturating_add(1)) / f64::from(count.max(1)))
}

#[allow(clippy::cast_precision_loss, reason = "megahertz and mebibytes of a node stay far below 2^52")]
fn as_f64(n: i64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(cpu_mhz: i64, memory_mb: i64) -> Amounts {
        Amounts { cpu_mhz, memory_mb, disk_mb: 0 }
    }

    #[test]
    fn binpack_goes_from_empty_to_full() {
        let capacity = amounts(1000, 1000);
        assert!(binpack(amounts(0, 0), capacity).abs() < 1e-9);
        assert!((binpack(amounts(1000, 1000), capacity) - 1.0).abs() < 1e-9);
        let half = (20.0 - 2.0 * 10f64.powf(0.5)) / 18.0;
        assert!((binpack(amounts(500, 500), capacity) - half).abs() < 1e-9);
        assert!(binpack(amounts(1, 1), amounts(0, 0)).is_finite());
        assert!((binpack(amounts(5000, 5000), capacity) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn only_what_was_said_counts_into_the_mean() {
        let mut s = Scores { binpack: 0.5, ..Scores::default() };
        assert!((s.mean() - 0.5).abs() < 1e-9);
        s.reschedule_penalty = Some(-1.0);
        assert!((s.mean() + 0.25).abs() < 1e-9);
        let meta = s.meta(&"n".into());
        assert_eq!(meta.scores.len(), 4);
        assert_eq!(meta.scores.get("node-reschedule-penalty"), Some(&-1.0));
    }

    #[test]
    fn collisions_weigh_by_the_wanted_count() {
        assert_eq!(anti_affinity(0, 4), None);
        assert_eq!(anti_affinity(1, 4), Some(-0.5));
        assert_eq!(anti_affinity(3, 4), Some(-1.0));
        assert_eq!(anti_affinity(1, 0), Some(-2.0));
    }
}
