//! Why a group is pending, in lines for people. CLI, API and UI print these.

use floe_model::alloc::AllocationMetric;
use std::collections::BTreeMap;

/// The lines that say why an allocation of `group` found no node, the most telling first.
pub fn explain(metric: &AllocationMetric, group: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if metric.nodes_evaluated == 0 {
        lines.push(format!("* No nodes were eligible for evaluation of group {group:?}"));
        if metric.nodes_in_pool == 0 && !metric.node_pool.is_empty() {
            lines.push(format!("* No nodes are in node pool {:?}", metric.node_pool));
        }
    }
    for (datacenter, _) in metric.nodes_available.iter().filter(|(_, n)| **n == 0) {
        lines.push(format!("* No nodes are available in datacenter {datacenter:?}"));
    }
    lines.extend(per_key(&metric.class_filtered, |class, n| format!("* Class {class:?}: {} excluded by filter", nodes(n))));
    lines.extend(per_key(&metric.constraint_filtered, |what, n| format!("* {}: {} excluded by filter", filter(what), nodes(n))));
    if metric.nodes_exhausted > 0 {
        lines.push(format!("* Resources exhausted on {}", nodes(metric.nodes_exhausted)));
    }
    lines.extend(per_key(&metric.class_exhausted, |class, n| format!("* Class {class:?} exhausted on {}", nodes(n))));
    lines.extend(per_key(&metric.dimension_exhausted, |what, n| format!("* {}", dimension(what, n))));
    lines.extend(metric.quota_exhausted.iter().map(|quota| format!("* Quota limit hit: {quota:?}")));
    if metric.coalesced_failures > 0 {
        lines.push(format!("* {} more of the group found no node either", metric.coalesced_failures));
    }
    lines
}

fn per_key(counts: &BTreeMap<String, u64>, line: impl Fn(&str, u64) -> String) -> Vec<String> {
    counts.iter().map(|(key, n)| line(key, *n)).collect()
}

/// What a user wrote is a constraint; the rest speaks for itself.
fn filter(what: &str) -> String {
    if what.starts_with("missing ") || what.starts_with("not supported yet") {
        format!("Nodes with {what}")
    } else {
        format!("Constraint \"{what}\"")
    }
}

fn dimension(what: &str, n: u64) -> String {
    match what.strip_prefix("ports: ") {
        Some(which) => format!("Ports: {which} on {}", nodes(n)),
        None => format!("Dimension {what:?} exhausted on {}", nodes(n)),
    }
}

fn nodes(n: u64) -> String {
    if n == 1 { "1 node".to_owned() } else { format!("{n} nodes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
        list.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect()
    }

    #[test]
    fn every_field_has_its_line() {
        let metric = AllocationMetric {
            nodes_evaluated: 7,
            nodes_exhausted: 4,
            nodes_available: counts(&[("dc1", 7), ("dc2", 0)]),
            class_filtered: counts(&[("small", 2)]),
            constraint_filtered: counts(&[("${attr.kernel.name} = windows", 1), ("missing drivers", 2), ("distinct_hosts", 1)]),
            class_exhausted: counts(&[("big", 2)]),
            dimension_exhausted: counts(&[("memory", 3), ("ports: 80 (http) in use", 1)]),
            coalesced_failures: 2,
            ..AllocationMetric::default()
        };
        let expected = [
            "* No nodes are available in datacenter \"dc2\"",
            "* Class \"small\": 2 nodes excluded by filter",
            "* Constraint \"${attr.kernel.name} = windows\": 1 node excluded by filter",
            "* Constraint \"distinct_hosts\": 1 node excluded by filter",
            "* Nodes with missing drivers: 2 nodes excluded by filter",
            "* Resources exhausted on 4 nodes",
            "* Class \"big\" exhausted on 2 nodes",
            "* Dimension \"memory\" exhausted on 3 nodes",
            "* Ports: 80 (http) in use on 1 node",
            "* 2 more of the group found no node either",
        ];
        assert_eq!(explain(&metric, "web"), expected);
    }

    #[test]
    fn an_empty_cluster_says_so() {
        let metric = AllocationMetric { node_pool: "gpu".to_owned(), ..AllocationMetric::default() };
        let expected = ["* No nodes were eligible for evaluation of group \"web\"", "* No nodes are in node pool \"gpu\""];
        assert_eq!(explain(&metric, "web"), expected);
    }
}
