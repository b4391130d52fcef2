//! Spreading a group over the values of an attribute.

use super::tally::Tally;
use floe_model::{
    Job, Node, TaskGroup,
    group::{Spread, SpreadTarget},
};

/// The weight of a spread that names none.
const DEFAULT_WEIGHT: i8 = 50;
/// What a value scores where nothing of the group should be.
const WORST: f64 = -1.0;

/// One `spread` block of a group (or of its job).
#[derive(Debug)]
pub(crate) struct SpreadRule<'a> {
    pub(crate) tally: Tally<'a>,
    weight: f64,
    targets: &'a [SpreadTarget],
}

/// All spreads of a group.
#[derive(Debug)]
pub(crate) struct Spreads<'a> {
    pub(crate) rules: Vec<SpreadRule<'a>>,
    total_weight: f64,
    count: f64,
    /// The lowest score seen so far, which a target of zero percent gets.
    lowest: f64,
}

impl<'a> Spreads<'a> {
    pub(crate) fn new(job: &'a Job, group: &'a TaskGroup) -> Self {
        let rule = |s: &'a Spread| SpreadRule {
            tally: Tally::new(&s.attribute, Some(&group.name)),
            weight: f64::from(s.weight.unwrap_or(DEFAULT_WEIGHT)),
            targets: &s.spread_target,
        };
        let rules: Vec<_> = group.spreads.iter().chain(&job.spreads).map(rule).collect();
        let total_weight = rules.iter().map(|r| r.weight).sum();
        Self { rules, total_weight, count: f64::from(group.count()), lowest: WORST }
    }

    /// The score of one more allocation on `node`; `None` when there is nothing to say.
    pub(crate) fn score(&mut self, node: &Node) -> Option<f64> {
        let (count, total_weight) = (self.count, self.total_weight);
        let mut sum = 0.0;
        for rule in &self.rules {
            sum += match rule.tally.value(node) {
                None => WORST,
                Some(value) if rule.targets.is_empty() => rule.even(value),
                Some(value) => match rule.desired(value, count) {
                    None => WORST,
                    Some(desired) if desired <= 0.0 => self.lowest,
                    Some(desired) => {
                        let boost = (desired - as_f64(rule.tally.count(value) + 1)) / desired * (rule.weight / total_weight);
                        self.lowest = self.lowest.min(boost);
                        boost
                    }
                },
            };
        }
        (sum != 0.0).then_some(sum)
    }
}

impl SpreadRule<'_> {
    /// How many allocations the value should have; `None` when neither it nor a remainder is named.
    fn desired(&self, value: &str, count: f64) -> Option<f64> {
        let share = |percent: u8| f64::from(percent) / 100.0 * count;
        if let Some(target) = self.targets.iter().find(|t| t.value == value) {
            return Some(share(target.percent));
        }
        let named: f64 = self.targets.iter().map(|t| share(t.percent)).sum();
        (named < count).then_some(count - named)
    }

    /// Favours the value that has least.
    fn even(&self, value: &str) -> f64 {
        let Some((least, most)) = self.tally.extremes() else { return 0.0 };
        let current = self.tally.count(value);
        if current == 0 {
            // Values that have none are not in the tally: this one is below the least.
            return 1.0;
        }
        let (least_f, most_f) = (as_f64(least), as_f64(most));
        if current != least {
            (least_f - as_f64(current)) / least_f
        } else if least == most {
            WORST
        } else {
            (most_f - least_f) / least_f
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of allocations stay far below 2^52")]
fn as_f64(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn node(dc: &str) -> Node {
        Node { datacenter: dc.to_owned(), ..Node::default() }
    }

    fn group(count: i64, targets: &[(&str, u8)]) -> TaskGroup {
        let spread_target = targets.iter().map(|(v, p)| SpreadTarget { value: (*v).to_owned(), percent: *p }).collect();
        let spread = Spread { attribute: "${node.datacenter}".to_owned(), weight: Some(50), spread_target };
        TaskGroup { name: "g".to_owned(), count: Some(count), spreads: vec![spread], ..TaskGroup::default() }
    }

    fn scores(group: &TaskGroup, there: &[&str], nodes: &[&str]) -> Vec<f64> {
        let job = Job::default();
        let mut spreads = Spreads::new(&job, group);
        for dc in there {
            spreads.rules[0].tally.add("g", &node(dc));
        }
        nodes.iter().map(|dc| spreads.score(&node(dc)).unwrap_or(0.0)).collect()
    }

    #[test]
    fn targets_draw_until_they_are_met() {
        let g = group(10, &[("dc1", 60), ("dc2", 40)]);
        assert_eq!(scores(&g, &[], &["dc1", "dc2", "dc3"]), [(6.0 - 1.0) / 6.0, (4.0 - 1.0) / 4.0, WORST]);
        let dc1_full = ["dc1"; 6];
        assert_eq!(scores(&g, &dc1_full, &["dc1"]), [(6.0 - 7.0) / 6.0]);
    }

    #[test]
    fn what_no_target_names_shares_the_remainder() {
        let g = group(10, &[("dc1", 80)]);
        assert_eq!(scores(&g, &[], &["dc9"]), [(2.0 - 1.0) / 2.0]);
    }

    #[test]
    fn a_target_of_nothing_gets_the_lowest_score() {
        assert_eq!(scores(&group(10, &[("dc1", 100), ("dc2", 0)]), &[], &["dc2"]), [WORST]);
    }

    #[test]
    fn without_targets_the_least_used_value_is_favoured() {
        let g = group(10, &[]);
        assert_eq!(scores(&g, &[], &["dc1"]), [0.0]);
        assert_eq!(scores(&g, &["dc1"], &["dc1", "dc2"]), [-1.0, 1.0]);
        assert_eq!(scores(&g, &["dc1", "dc1", "dc2"], &["dc1", "dc2", "dc3"]), [-1.0, 1.0, 1.0]);
        let nowhere = group(10, &[]);
        let mut odd = nowhere.clone();
        odd.spreads[0].attribute = "${meta.rack}".to_owned();
        assert_eq!(scores(&odd, &[], &["dc1"]), [WORST]);
    }

    #[test]
    fn other_groups_do_not_count() {
        let (job, g) = (Job::default(), group(10, &[]));
        let mut spreads = Spreads::new(&job, &g);
        spreads.rules[0].tally.add("other", &node("dc1"));
        assert_eq!(spreads.score(&node("dc1")), None);
        spreads.rules[0].tally.add("g", &node("dc1"));
        spreads.rules[0].tally.remove("g", &node("dc1"));
        assert_eq!(spreads.score(&node("dc1")), None);
    }
}
