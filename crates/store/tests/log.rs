//! The log as its callers see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_store::{
    DataFolder, LogError, LogStore,
    log::{BATCH_WRITES, Bounds, QUEUE_WRITES},
    twin::{Disk, Fault},
};
use support::*;

#[test]
fn what_was_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(dir.path()).unwrap();
    let log = LogStore::open(&folder).unwrap();
    assert_eq!(log.bounds(), Bounds { purged: None, last: None });
    assert_eq!((log.vote(), log.committed(), log.server_id(), log.cluster_id()), (None, None, None, None));
    append(&log, records(1, 0..=9)).unwrap();
    vote(&log, b"me").unwrap();
    truncate(&log, Some(at(1, 7))).unwrap();
    append(&log, records(2, 8..=12)).unwrap();
    purge(&log, at(1, 3)).unwrap();
    log.save_committed(Some(at(2, 11)));
    let (tell, told) = done();
    now(log.save_server_id("abc".to_owned(), tell)).unwrap();
    told.recv().unwrap().unwrap();
    let (tell, told) = done();
    now(log.save_cluster_id("blue".to_owned(), tell)).unwrap();
    told.recv().unwrap().unwrap();
    let expected: Vec<_> = records(1, 4..=7).into_iter().chain(records(2, 8..=12)).collect();
    assert_eq!(log.read(0..100).unwrap(), expected);
    log.close();
    assert!(matches!(log.read(0..100), Ok(all) if all == expected), "what is in memory can still be read");

    let log = LogStore::open(&folder).unwrap();
    assert_eq!(log.bounds(), Bounds { purged: Some(at(1, 3)), last: Some(at(2, 12)) });
    assert_eq!(log.vote().as_deref(), Some(b"me".as_slice()));
    assert_eq!((log.server_id().as_deref(), log.cluster_id().as_deref()), (Some("abc"), Some("blue")));
    assert_eq!(log.committed(), Some(at(2, 11)));
    assert_eq!(log.read(0..100).unwrap(), expected);
    assert_eq!(log.read(6..9).unwrap(), expected[2..5]);
    assert_eq!(log.read_cached(6..9), None, "nothing is in memory after a start");
    append(&log, records(2, 13..=13)).unwrap();
    assert_eq!(log.read_cached(13..14).unwrap(), records(2, 13..=13));
    assert_eq!(log.read(12..14).unwrap().len(), 2, "half from disk, half from memory");
}

#[test]
fn committed_is_kept_on_close_without_a_sync_of_its_own() {
    let disk = Disk::new(Fault::None);
    let log = open(&disk, 0);
    append(&log, records(1, 0..=3)).unwrap();
    let commits = log.stats().commits;
    log.save_committed(Some(at(1, 3)));
    assert_eq!(log.stats().commits, commits);
    log.close();
    assert_eq!(open(&Disk::with(disk.content(), Fault::None), 0).committed(), Some(at(1, 3)));
}

#[test]
fn an_entry_can_be_read_before_it_is_durable_and_writes_share_a_sync() {
    let log = open(&Disk::new(Fault::None), 0);
    let count = BATCH_WRITES as u64;
    let before = log.stats().commits;
    let answers: Vec<Answer> = (0..count)
        .map(|index| {
            let (tell, told) = done();
            now(log.append(vec![record(1, index, 10)], tell)).unwrap();
            assert_eq!(log.read(index..index + 1).unwrap(), [record(1, index, 10)]);
            told
        })
        .collect();
    answers.iter().for_each(|told| told.recv().unwrap().unwrap());
    let commits = log.stats().commits - before;
    assert!(commits < count, "{count} writes took {commits} commits");
    assert_eq!(log.stats().entries, count);
}

#[test]
fn what_left_the_memory_comes_from_disk() {
    let log = open(&Disk::new(Fault::None), 1000);
    for index in 0..50 {
        append(&log, vec![record(1, index, 100)]).unwrap();
    }
    assert_eq!(log.read_cached(0..50), None);
    assert_eq!(log.read(0..50).unwrap(), records(1, 0..=49));
    assert!(log.read_cached(45..50).is_some());
}

#[test]
fn a_hole_and_a_second_entry_for_one_index_are_refused() {
    let log = open(&Disk::new(Fault::None), 0);
    append(&log, records(1, 5..=6)).unwrap();
    for (wrong, which) in [(8, "a hole"), (6, "the same again"), (0, "the past")] {
        let refused = append(&log, records(1, wrong..=wrong));
        assert!(matches!(refused, Err(LogError::Gap { expected: 7, found, .. }) if found == wrong), "{which}");
    }
    let inner = append(&log, vec![record(1, 7, 1), record(1, 9, 1)]);
    assert!(matches!(inner, Err(LogError::Gap { expected: 8, found: 9, .. })));
    append(&log, records(1, 7..=7)).unwrap();
    assert_eq!(log.read(0..9).unwrap(), records(1, 5..=7));
}

#[test]
fn a_closed_log_says_so() {
    let log = open(&Disk::new(Fault::None), 0);
    append(&log, records(1, 0..=0)).unwrap();
    log.close();
    log.close();
    assert!(matches!(append(&log, records(1, 1..=1)), Err(LogError::Closed { .. })));
    assert!(matches!(log.read(0..1), Err(LogError::Closed { .. })));
}

#[test]
fn what_was_handed_over_is_written_when_the_last_handle_goes() {
    let disk = Disk::new(Fault::None);
    let log = open(&disk, 0);
    let (tell, told) = done();
    now(log.append(records(1, 0..=0), tell)).unwrap();
    drop(log);
    told.recv().unwrap().unwrap();
}

#[test]
fn a_file_in_use_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(dir.path()).unwrap();
    let log = LogStore::open(&folder).unwrap();
    let error = LogStore::open(&folder).err().unwrap();
    assert!(matches!(error, LogError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("raft.redb"), "{error}");
    log.close();
    LogStore::open(&folder).unwrap();
}

/// All the callers of a batch get the error, and so does everybody after it, although the disk would work again.
#[test]
fn a_failed_disk_fails_every_caller_until_the_log_is_opened_again() {
    for fault in [|at| Fault::Full { at }, |at| Fault::SyncFails { at }] {
        let disk = Disk::new(Fault::None);
        append(&open(&disk, 0), records(1, 0..=9)).unwrap();
        let quiet = Disk::with(disk.content(), Fault::None);
        let opening = {
            open(&quiet, 0);
            quiet.operations()
        };
        let disk = Disk::with(disk.content(), fault(opening + 1));
        let log = open(&disk, 0);
        let mut answers = Vec::new();
        let mut next = 10;
        let refused = loop {
            let (tell, told) = done();
            match now(log.append(records(1, next..=next), tell)) {
                Ok(()) => answers.push(told),
                Err(e) => break e,
            }
            next += 1;
            assert!(next < 100_000, "the disk never failed");
        };
        assert!(matches!(refused, LogError::Failed { .. }), "{refused}");
        let outcomes: Vec<_> = answers.iter().map(|told| told.recv().unwrap()).collect();
        let good = outcomes.iter().take_while(|o| o.is_ok()).count();
        assert!(outcomes[good..].iter().all(|o| matches!(o, Err(LogError::Failed { .. }))), "nothing after a failure is acknowledged");
        assert!(outcomes.last().unwrap().is_err());
        assert!(matches!(vote(&log, b"x"), Err(LogError::Failed { .. })));
        assert!(log.failure().is_some());
        assert!(refused.to_string().contains("restart the server"), "{refused}");
        drop(log);
        let mut chance = floe_store::twin::Chance::new(7);
        let again = open(&Disk::with(disk.after_crash(&mut chance), Fault::None), 0);
        let found = again.read(0..next).unwrap();
        assert!(found.len() >= 10 + good, "{} of {} acknowledged entries are there", found.len(), 10 + good);
        assert_eq!(found, records(1, 0..=found.len() as u64 - 1));
    }
}

#[test]
fn the_queue_takes_its_bound_and_the_next_one_waits() {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };
    let log = open(&Disk::new(Fault::None), 0);
    // The callback of the first write holds the writer.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = std::sync::mpsc::channel();
    let block = Box::new(move |_| {
        entered.send(()).unwrap();
        held.recv().unwrap();
    });
    now(log.append(records(1, 0..=0), block)).unwrap();
    inside.recv().unwrap();
    let mut answers = Vec::new();
    for index in 1..=QUEUE_WRITES as u64 {
        let (tell, told) = done();
        let mut call = pin!(log.append(vec![record(1, index, 1)], tell));
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(()))), "write {index} has room");
        answers.push(told);
    }
    let (tell, told) = done();
    let last = QUEUE_WRITES as u64 + 1;
    let mut call = pin!(log.append(vec![record(1, last, 1)], tell));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "one past the bound waits");
    assert_eq!(log.bounds().last, Some(at(1, last - 1)), "and has changed nothing yet");
    hold.send(()).unwrap();
    now(call).unwrap();
    answers.push(told);
    answers.iter().for_each(|told| told.recv().unwrap().unwrap());
    assert_eq!(log.bounds().last, Some(at(1, last)));
}

#[test]
fn a_driven_log_writes_when_it_is_told_and_its_batch_is_one_transaction() {
    let disk = Disk::new(Fault::None);
    let (log, mut writer) = LogStore::open_driven(disk.clone(), 0).unwrap();
    let (answers, before): (Vec<Answer>, u64) = {
        let (first, second) = (done(), done());
        let before = disk.operations();
        now(log.append(records(1, 1..=3), first.0)).unwrap();
        now(log.append(records(1, 4..=5), second.0)).unwrap();
        (vec![first.1, second.1], before)
    };
    assert_eq!(disk.operations(), before, "nobody told it to write");
    let waiting = now(writer.next()).unwrap();
    let written = writer.write(waiting);
    assert_eq!((log.stats().commits, log.stats().entries), (1, 5));
    assert!(answers.iter().all(|answer| answer.try_recv().is_err()), "it is durable, and nobody knows");
    assert!(written.tell());
    assert!(answers.iter().all(|answer| answer.recv().unwrap().is_ok()));
    drop(log);
    assert!(now(writer.next()).is_none(), "every handle is gone");
    writer.finish();
    assert_eq!(open(&Disk::with(disk.content(), Fault::None), 0).bounds().last, Some(at(1, 5)));
}
