//! Seeds of the simulation: new ones on every run of this file's numbers, and those that once showed a defect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

/// How many seeds are run, unless `FLOE_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 24;
/// The first of them, unless `FLOE_SIM_FIRST` says otherwise.
const FIRST: u64 = 1;

/// Seeds that failed once, and what for.
const FAILED_BEFORE: &[(u64, &str)] = &[
    (21, "a write was said to be refused when the server stopped in the middle of it: shut down"),
    (27, "a write was said to be refused when the server stopped in the middle of it: failed sync"),
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, and must be a number")))
}

fn must_be_well(seed: u64) {
    let report = floe_sim::run(seed, false);
    assert!(report.violation.is_none(), "{report}");
}

/// `FLOE_SIM_SEEDS` is how many are run, `FLOE_SIM_SECONDS` for how long at most, `FLOE_SIM_FIRST` where they begin.
#[test]
fn every_seed_is_well() {
    let (seeds, seconds) = (number("FLOE_SIM_SEEDS"), number("FLOE_SIM_SECONDS"));
    let first = number("FLOE_SIM_FIRST").unwrap_or(FIRST);
    let count = seeds.unwrap_or(if seconds.is_some() { u64::MAX } else { SEEDS });
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut ran = 0;
    for seed in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        must_be_well(seed);
        ran += 1;
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
    }
    assert!(ran > 0, "no seed ran");
}

#[test]
fn seeds_that_failed_before_are_well() {
    for (seed, _) in FAILED_BEFORE {
        must_be_well(*seed);
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
