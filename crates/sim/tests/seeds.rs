//! Seeds of the simulation: some that are always the same, new ones as long as there is time, and those that once showed a defect.
//!
//! | variable | says |
//! |---|---|
//! | `FLOE_SIM_SEEDS` | how many seeds from 1 on are run always |
//! | `FLOE_SIM_SECONDS` | how long new ones are run after them; none without it |
//! | `FLOE_SIM_FIRST` | the first of the new ones |
#![allow(clippy::unwrap_used, clippy::panic)]

use floe_sim::Report;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How many seeds are always run, from 1 on.
const SEEDS: u64 = 60;
/// The first of the new ones, where nobody says otherwise.
const FIRST: u64 = 1_000;

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
    "members changed at last",
    "membership",
    "message cut off",
    "message late",
    "message lost",
    "message overtaken",
    "message twice",
    "node dead with the leader",
    "not swapped",
    "piece of a snapshot",
    "restore committed",
    "plan",
    "recovered",
    "restored",
    "restored at last",
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
    (20_044, "an allocation that had ended was brought back by a restore, gone on with by a plan, and not replaced"),
    (20_068, "the simulation: a server lost its log, and an entry that it had acknowledged was said to have no quorum"),
    (60_041, "the simulation: a membership of the old cluster was taken for one of the recovered cluster, in the same term"),
    (200_435, "a server whose first snapshot was all that a crash left took itself for one of a cluster of its own"),
    (30_086, "the simulation: a message was counted as one of the recovered cluster that had been sent before the recovery"),
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, and must be a number")))
}

fn must_be_well(seed: u64) {
    let report = floe_sim::run(seed, false);
    assert!(report.violation.is_none(), "{report}");
}

/// What came of many seeds.
#[derive(Default)]
struct Ran {
    seeds: u64,
    seen: BTreeMap<&'static str, u64>,
    /// The first that failed. No more are begun then.
    failed: Option<Report>,
    /// Seeds whose second run was another one.
    unsteady: Vec<String>,
}

/// Runs seeds on all processors until `next` has none any more, or one fails. A new one, after `always`, is run again when it fails: only what can be
/// run again is a finding about floe. The other kind says something about the simulation, and [`a_seed_run_twice_gives_the_same_trace`] is there
/// for that.
fn run_all(always: u64, next: impl Fn() -> Option<u64> + Sync) -> Ran {
    let ran = Mutex::new(Ran::default());
    let (is_over, next) = (AtomicBool::new(false), &next);
    let work = || {
        while let Some(seed) = (!is_over.load(Ordering::Relaxed)).then(next).flatten() {
            let report = floe_sim::run(seed, false);
            let again = report.violation.is_some().then(|| if seed > always { floe_sim::run(seed, false) } else { report.clone() });
            let mut ran = ran.lock().unwrap_or_else(PoisonError::into_inner);
            ran.seeds += 1;
            report.counts.iter().for_each(|(what, count)| *ran.seen.entry(what).or_default() += count);
            match again {
                Some(again) if again.trace_hash == report.trace_hash => {
                    is_over.store(true, Ordering::Relaxed);
                    ran.failed.get_or_insert(report);
                }
                Some(again) => ran.unsteady.push(format!("{report}\nand then {again}")),
                None => {}
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    ran.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The seeds that are always run, and then new ones, as long as there is time.
#[test]
fn every_seed_is_well() {
    let always = number("FLOE_SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("FLOE_SIM_FIRST").unwrap_or(FIRST);
    let end = number("FLOE_SIM_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let taken = AtomicU64::new(0);
    let next = || {
        let nth = taken.fetch_add(1, Ordering::Relaxed);
        match nth.checked_sub(always) {
            None => Some(1 + nth),
            Some(nth) if end.is_some_and(|end| Instant::now() < end) => Some(first + nth),
            Some(_) => None,
        }
    };
    let Ran { seeds, seen, failed, unsteady } = run_all(always, next);
    eprintln!("{seeds} seeds, {always} from 1 on and the others from {first} on: {seen:?}");
    unsteady.iter().for_each(|text| eprintln!("not the same when it was run again, so nothing follows from it for floe: {text}"));
    if let Some(report) = failed {
        let is_new = report.seed > always;
        let advice = if is_new {
            "\nIt was not run before: what it shows may be older than the last change. Mend it, and add it to FAILED_BEFORE."
        } else {
            ""
        };
        panic!("{report}{advice}");
    }
    // A fault that never comes to pass is a hole in the net.
    let wanted = WORTH_IT.iter().copied().chain(floe_sim::kinds_of_faults());
    let missing: Vec<_> = wanted.filter(|what| seeds >= SEEDS && !seen.contains_key(what)).collect();
    assert!(missing.is_empty(), "in {seeds} seeds there was none of {missing:?}: the faults do not reach what they are for");
}

#[test]
fn seeds_that_failed_before_are_well() {
    FAILED_BEFORE.iter().for_each(|(seed, _)| must_be_well(*seed));
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
