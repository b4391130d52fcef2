//! The power goes at any operation of the disk: what was acknowledged is there afterwards, and what is there is one moment of the log.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_store::{
    LogRecord, LogStore, Position,
    log::{Bounds, Succession},
    twin::{Chance, Disk, Fault},
};
use proptest::prelude::*;
use support::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: u64,
        bytes: usize,
    },
    Vote(u8),
    /// Entries, vote and cluster at once.
    GoOn(u8),
    Truncate {
        back: u64,
    },
    Purge {
        forward: u64,
    },
    /// Wait for everything so far.
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..6_u64, prop_oneof![Just(20_usize), Just(600), Just(9000)]).prop_map(|(count, bytes)| Step::Append { count, bytes }),
        1 => any::<u8>().prop_map(Step::Vote),
        1 => any::<u8>().prop_map(Step::GoOn),
        1 => (0..5_u64).prop_map(|back| Step::Truncate { back }),
        1 => (0..5_u64).prop_map(|forward| Step::Purge { forward }),
        3 => Just(Step::Wait),
    ]
}

/// What the log should say.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    entries: Vec<LogRecord>,
    purged: Option<Position>,
    vote: Option<Vec<u8>>,
    cluster: Option<String>,
    sealed: Option<Position>,
    term: u64,
}

impl Model {
    fn last(&self) -> Option<Position> {
        self.entries.last().map(|e| e.position).or(self.purged)
    }
    fn of(log: &LogStore, term: u64) -> Self {
        let Bounds { purged, .. } = log.bounds();
        Self { entries: log.read(0..u64::MAX).unwrap(), purged, vote: log.vote(), cluster: log.cluster_id(), sealed: log.sealed(), term }
    }
    /// Takes the step here, and hands it to the log.
    fn run(&mut self, step: &Step, log: &LogStore) -> Option<Answer> {
        let (tell, told) = done();
        match step {
            Step::Wait => return None,
            Step::Append { count, bytes } => {
                let next = self.last().map_or(0, |p| p.index + 1);
                let new: Vec<_> = (next..next + count).map(|i| record(self.term, i, *bytes)).collect();
                self.entries.extend(new.clone());
                now(log.append(new, tell)).ok()?;
            }
            Step::Vote(vote) => {
                self.vote = Some(vec![*vote]);
                now(log.save_vote(vec![*vote], tell)).ok()?;
            }
            Step::GoOn(seed) => {
                let next = self.last().map_or(0, |p| p.index + 1);
                let records: Vec<_> = (next..next + 3).map(|i| record(self.term, i, 600)).collect();
                self.entries.extend(records.clone());
                (self.vote, self.cluster, self.sealed) = (Some(vec![*seed]), Some(seed.to_string()), self.last());
                let succession = Succession { records, vote: vec![*seed], cluster_id: seed.to_string() };
                now(log.go_on(succession, tell)).ok()?;
            }
            Step::Truncate { back } => {
                let keep = self.entries.len().saturating_sub(usize::try_from(*back).unwrap());
                self.entries.truncate(keep);
                self.term += 1;
                now(log.truncate_after(self.last(), tell)).ok()?;
            }
            Step::Purge { forward } => {
                let first = self.entries.first()?.index();
                let upto = self.entries.iter().find(|e| e.index() == first + forward)?.position;
                self.entries.retain(|e| e.index() > upto.index);
                self.purged = Some(upto);
                now(log.purge(upto, tell)).ok()?;
            }
        }
        Some(told)
    }
}

/// Every moment of the log, how many of them were acknowledged, and the disk.
fn run(steps: &[Step], fault: Fault) -> Option<(Vec<Model>, usize, Disk)> {
    let disk = Disk::new(fault);
    let Ok(log) = LogStore::open_on(disk.clone(), 4000) else { return None };
    let mut model = Model { term: 1, ..Model::default() };
    let mut moments = vec![model.clone()];
    let mut waiting: Vec<(usize, Answer)> = Vec::new();
    let mut acknowledged = 0;
    for step in steps.iter().chain([&Step::Wait]) {
        if let Some(told) = model.run(step, &log) {
            moments.push(model.clone());
            waiting.push((moments.len() - 1, told));
        } else if log.failure().is_some() {
            // The refused step changed the model, but not the log.
            break;
        } else if matches!(step, Step::Wait) {
            acknowledged = collect(&mut waiting, acknowledged);
        }
    }
    acknowledged = collect(&mut waiting, acknowledged);
    if log.failure().is_none() {
        assert_eq!(Model::of(&log, model.term), model, "without a fault the log is what the model says");
    }
    drop(log);
    Some((moments, acknowledged, disk))
}

fn collect(waiting: &mut Vec<(usize, Answer)>, mut acknowledged: usize) -> usize {
    let mut failed = false;
    for (moment, told) in waiting.drain(..) {
        match told.recv().unwrap() {
            Ok(()) => {
                assert!(!failed, "a write was acknowledged after one that failed");
                acknowledged = moment;
            }
            Err(_) => failed = true,
        }
    }
    acknowledged
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    #[test]
    fn nothing_acknowledged_is_lost(
        steps in prop::collection::vec(step(), 1..40),
        cut in 0..600_u64,
        kind in 0..3_u8,
        seed in any::<u64>(),
    ) {
        let fault = match kind { 0 => Fault::Full { at: cut }, 1 => Fault::SyncFails { at: cut }, _ => Fault::PowerCut { at: cut } };
        let Some((moments, acknowledged, disk)) = run(&steps, fault) else { return Ok(()) };
        let content = disk.after_crash(&mut Chance::new(seed));
        let log = LogStore::open_on(Disk::with(content, Fault::None), 0).map_err(|e| TestCaseError::fail(format!("{e}: {e:?}")))?;
        let found = (log.read(0..u64::MAX).unwrap(), log.bounds().purged, log.vote());
        let same = |m: &Model| (&m.entries, &m.purged, &m.vote) == (&found.0, &found.1, &found.2);
        let allowed = &moments[acknowledged..];
        prop_assert!(allowed.iter().any(same), "found {:?}, but moment {} of {} was acknowledged", found, acknowledged, moments.len());
    }
}

/// The property above can fail: a disk that acknowledges syncs without making them is caught.
#[test]
fn a_disk_that_lies_about_syncs_is_caught() {
    let lost = (0..50_u64).filter(|seed| {
        let disk = Disk::new(Fault::None);
        let log = open(&disk, 0);
        append(&log, records(1, 0..=20)).unwrap();
        drop(log);
        // As if no sync had happened since the disk was new: everything written is in limbo.
        let writes = Disk::new(Fault::SyncFails { at: 0 });
        let _ = LogStore::open_on(writes.clone(), 0);
        let content = writes.after_crash(&mut Chance::new(*seed));
        !LogStore::open_on(Disk::with(content, Fault::None), 0).is_ok_and(|log| log.read(0..21).unwrap() == records(1, 0..=20))
    });
    assert!(lost.count() > 0);
}
