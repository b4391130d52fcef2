//! Seeds of the simulation: new ones on every run of this file's numbers, and those that once showed a defect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How many seeds are run, unless `FLOE_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 60;
/// The first of them, unless `FLOE_SIM_FIRST` says otherwise.
const FIRST: u64 = 1;

/// What must happen in that many seeds; without it they would show little.
const WORTH_IT: &[&str] = &[
    "allocation failed",
    "answer lost",
    "at rest",
    "clock goes ahead",
    "clock goes back",
    "connection broken",
    "crash",
    "crash on disk",
    "in doubt",
    "leader",
    "membership",
    "message late",
    "message lost",
    "message overtaken",
    "message twice",
    "not swapped",
    "piece of a snapshot",
    "restore committed",
    "plan",
    "recovered",
    "restored",
    "snapshot",
    "snapshot from the leader",
    "swapped",
    "truncation",
    "unsynced kept",
    "unsynced lost",
    "unsynced torn",
];

/// Seeds that failed once, and what for.
const FAILED_BEFORE: &[(u64, &str)] = &[
    (21, "a write was said to be refused when the server stopped in the middle of it: shut down"),
    (27, "a write was said to be refused when the server stopped in the middle of it: failed sync"),
    (16, "two evaluations of a job were at work at once: one was canceled while its plan was on its way"),
    (83, "a lost piece of a snapshot held up every server that waited for one, for a minute"),
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, and must be a number")))
}

fn must_be_well(seed: u64) -> floe_sim::Report {
    let report = floe_sim::run(seed, false);
    assert!(report.violation.is_none(), "{report}");
    report
}

/// `FLOE_SIM_SEEDS` is how many are run, `FLOE_SIM_SECONDS` for how long at most, `FLOE_SIM_FIRST` where they begin.
#[test]
fn every_seed_is_well() {
    let (seeds, seconds) = (number("FLOE_SIM_SEEDS"), number("FLOE_SIM_SECONDS"));
    let first = number("FLOE_SIM_FIRST").unwrap_or(FIRST);
    let count = seeds.unwrap_or(if seconds.is_some() { u64::MAX } else { SEEDS });
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut ran = 0;
    let mut seen = BTreeMap::<&str, u64>::new();
    for seed in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        must_be_well(seed).counts.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
        ran += 1;
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
    }
    eprintln!("{ran} seeds: {seen:?}");
    assert!(ran > 0, "no seed ran");
    // A fault that never comes to pass is a hole in the net.
    let wanted = WORTH_IT.iter().copied().chain(floe_sim::kinds_of_faults());
    let missing: Vec<_> = wanted.filter(|what| ran >= SEEDS && !seen.contains_key(what)).collect();
    assert!(missing.is_empty(), "in {ran} seeds there was none of {missing:?}: the faults do not reach what they are for");
}

#[test]
fn seeds_that_failed_before_are_well() {
    for (seed, _) in FAILED_BEFORE {
        drop(must_be_well(*seed));
    }
}

/// Poll by poll, message by message: without this a failing seed could not be run again.
#[test]
fn a_seed_run_twice_gives_the_same_trace() {
    for seed in [2, 14, 31] {
        let (first, second) = (floe_sim::run(seed, false), floe_sim::run(seed, false));
        assert_eq!((first.trace_hash, first.events, first.answered), (second.trace_hash, second.events, second.answered), "seed {seed}");
        assert!(first.answered > 50, "seed {seed} shows little: {first}");
    }
    assert_ne!(floe_sim::run(2, false).trace_hash, floe_sim::run(3, false).trace_hash);
}
