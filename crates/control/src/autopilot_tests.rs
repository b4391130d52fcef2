//! Tests of [`super`].
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp(1_000 * SECOND + seconds * SECOND)
}

fn seen(id: &'static str, is_voter: bool) -> Seen<&'static str> {
    Seen { id, is_voter, last_contact: Some(Nanos::from_millis(100)), matched: Some(1000) }
}

fn silent(id: &'static str, is_voter: bool) -> Seen<&'static str> {
    Seen { last_contact: None, matched: None, ..seen(id, is_voter) }
}

fn look(now: Timestamp, servers: Vec<Seen<&'static str>>) -> Observation<&'static str> {
    Observation { now, leader: "a", last_index: 1000, servers }
}

fn quick() -> Config {
    Config { dead_after: Nanos::from_secs(60), ..Config::default() }
}

#[test]
fn a_learner_gets_a_vote_once_it_was_healthy_for_long_enough() {
    let mut pilot = Autopilot::new(Config::default());
    let servers = || vec![seen("a", true), seen("b", false)];
    assert_eq!(pilot.observe(&look(at(0), servers())).1, None);
    assert_eq!(pilot.observe(&look(at(9), servers())).1, None);
    assert_eq!(pilot.observe(&look(at(10), servers())).1, Some(Action::Promote("b")));
}

#[test]
fn a_learner_that_was_unhealthy_for_a_moment_begins_anew() {
    let mut pilot = Autopilot::new(Config::default());
    let servers = || vec![seen("a", true), seen("b", false)];
    pilot.observe(&look(at(0), servers()));
    pilot.observe(&look(at(5), vec![seen("a", true), silent("b", false)]));
    let (health, action) = pilot.observe(&look(at(6), servers()));
    assert_eq!((action, health.servers[1].stable_since), (None, at(6)));
    assert_eq!(pilot.observe(&look(at(15), servers())).1, None);
    assert_eq!(pilot.observe(&look(at(16), servers())).1, Some(Action::Promote("b")));
}

#[test]
fn healthy_ends_right_past_the_thresholds() {
    let is_healthy = |last_contact_ms, matched| {
        let b = Seen { last_contact: Some(Nanos::from_millis(last_contact_ms)), matched: Some(matched), ..seen("b", true) };
        Autopilot::new(Config::default()).observe(&look(at(0), vec![seen("a", true), b])).0.servers[1].healthy
    };
    assert!(is_healthy(200, 750));
    assert!(!is_healthy(201, 750));
    assert!(!is_healthy(200, 749));
}

#[test]
fn the_report_says_how_many_may_fail() {
    let tolerance = |servers: Vec<Seen<&'static str>>| {
        let (health, _) = Autopilot::new(Config::default()).observe(&look(at(0), servers));
        (health.healthy, health.failure_tolerance)
    };
    assert_eq!(tolerance(vec![seen("a", true)]), (true, 0));
    assert_eq!(tolerance(vec![seen("a", true), seen("b", true), seen("c", true)]), (true, 1));
    assert_eq!(tolerance(vec![seen("a", true), seen("b", true), silent("c", true)]), (false, 0));
    assert_eq!(tolerance(vec![seen("a", true), silent("b", true), silent("c", true)]), (false, 0));
    assert_eq!(tolerance(vec![seen("a", true), seen("b", true), seen("c", true), seen("d", false)]), (true, 1), "learners do not count");
}

#[test]
fn a_dead_voter_goes_when_enough_stay_and_not_before_its_time() {
    let mut pilot = Autopilot::new(quick());
    let servers = || vec![seen("a", true), seen("b", true), silent("c", true)];
    assert_eq!(pilot.observe(&look(at(0), servers())).1, None);
    assert_eq!(pilot.observe(&look(at(59), servers())).1, None);
    assert_eq!(pilot.observe(&look(at(60), servers())).1, Some(Action::Remove("c")));
}

#[test]
fn a_server_counts_as_dead_from_when_it_answered_last() {
    let mut pilot = Autopilot::new(quick());
    let c = || Seen { last_contact: Some(Nanos::from_secs(30)), ..seen("c", true) };
    pilot.observe(&look(at(0), vec![seen("a", true), seen("b", true), c()]));
    let later = |pilot: &mut Autopilot<_>, now| pilot.observe(&look(at(now), vec![seen("a", true), seen("b", true), silent("c", true)])).1;
    // It was first seen at 0, so it counts from there: what another leader knew is not known.
    assert_eq!(later(&mut pilot, 59), None);
    assert_eq!(later(&mut pilot, 60), Some(Action::Remove("c")));
}

#[test]
fn voters_are_kept_when_a_rule_says_so() {
    let action = |config: Config, servers: Vec<Seen<&'static str>>| {
        let mut pilot = Autopilot::new(config);
        pilot.observe(&look(at(0), servers.clone()));
        pilot.observe(&look(at(600), servers)).1
    };
    let three = || vec![seen("a", true), seen("b", true), silent("c", true)];
    assert_eq!(action(quick(), three()), Some(Action::Remove("c")));
    assert_eq!(action(Config { min_quorum: 3, ..quick() }, three()), None, "never fewer than min_quorum");
    assert_eq!(action(Config { min_quorum: 2, ..quick() }, three()), Some(Action::Remove("c")));
    assert_eq!(action(Config { cleanup_dead_servers: false, ..quick() }, three()), None);
    let two_of_four = vec![seen("a", true), seen("b", true), silent("c", true), silent("d", true)];
    assert_eq!(action(quick(), two_of_four), None, "half of them is no minority");
    let two_of_five = vec![seen("a", true), seen("b", true), seen("c", true), silent("d", true), silent("e", true)];
    assert_eq!(action(quick(), two_of_five), Some(Action::Remove("d")));
    let learner = vec![seen("a", true), silent("b", true), silent("c", false)];
    assert_eq!(action(quick(), learner), Some(Action::Remove("c")), "a learner costs no quorum");
}

#[test]
fn the_leader_is_healthy_whatever_it_says_of_itself() {
    let (health, _) = Autopilot::new(quick()).observe(&look(at(0), vec![silent("a", true)]));
    assert!(health.healthy && health.servers[0].is_leader);
}

/// A member as it really is, for a cluster that does what it is told.
#[derive(Clone, Debug)]
struct Real {
    is_voter: bool,
    /// In seconds since the beginning: alive between these.
    up: Vec<(i64, i64)>,
}

impl Real {
    fn is_up(&self, now: i64) -> bool {
        self.up.iter().any(|(from, to)| (*from..*to).contains(&now))
    }
}

fn real() -> impl Strategy<Value = Real> {
    let span = (0_i64..400, 1_i64..400).prop_map(|(from, length)| (from, from + length));
    (any::<bool>(), prop::collection::vec(span, 0..3)).prop_map(|(is_voter, up)| Real { is_voter, up })
}

proptest! {
    /// Whatever comes and goes: an action leaves a quorum of healthy voters where there was one, and never goes below the bounds.
    #[test]
    fn no_action_costs_the_quorum(
        mut members in prop::collection::btree_map(1_u8..9, real(), 0..8),
        min_quorum in 0_usize..5,
    ) {
        let config = Config { min_quorum, ..quick() };
        let mut pilot = Autopilot::new(config.clone());
        members.insert(0, Real { is_voter: true, up: vec![(0, i64::MAX)] });
        for now in (0..400).step_by(5) {
            let servers = members.iter().map(|(id, real)| Seen {
                id: *id,
                is_voter: real.is_voter,
                last_contact: real.is_up(now).then_some(Nanos::from_millis(10)),
                matched: real.is_up(now).then_some(5),
            });
            let observation = Observation { now: at(now), leader: 0, last_index: 5, servers: servers.collect() };
            let (health, action) = pilot.observe(&observation);
            let healthy = |members: &BTreeMap<u8, Real>| members.values().filter(|m| m.is_voter && m.is_up(now)).count();
            let voters = |members: &BTreeMap<u8, Real>| members.values().filter(|m| m.is_voter).count();
            let before = (healthy(&members), voters(&members));
            let had_quorum = before.0 > before.1 / 2;
            prop_assert_eq!(health.failure_tolerance, before.0.saturating_sub(before.1 / 2 + 1));
            match action {
                None => continue,
                Some(Action::Promote(id)) => {
                    let member = members.get_mut(&id).unwrap();
                    prop_assert!(member.is_up(now) && !member.is_voter && had_quorum);
                    member.is_voter = true;
                }
                Some(Action::Remove(id)) => {
                    let member = members.remove(&id).unwrap();
                    prop_assert!(id != 0 && !member.is_up(now));
                    if member.is_voter {
                        prop_assert!(voters(&members) >= min_quorum.max(1));
                        prop_assert!(healthy(&members) > voters(&members) / 2, "a healthy quorum stays");
                    }
                }
            }
            if had_quorum {
                prop_assert!(healthy(&members) > voters(&members) / 2);
            }
        }
    }
}
