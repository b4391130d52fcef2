//! Blocks of the file rot: that is said, and what is damaged is never served.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_store::{
    DataFolder, LogError, LogStore,
    twin::{Chance, Disk, Fault},
};
use support::*;

/// How many damaged files are tried.
const ROUNDS: u64 = 600;

#[test]
fn a_damaged_block_is_found_or_is_not_in_use() {
    let disk = Disk::new(Fault::None);
    let log = open(&disk, 0);
    for index in 0..200 {
        append(&log, vec![record(1, index, 300)]).unwrap();
    }
    vote(&log, b"the vote").unwrap();
    log.close();
    let content = disk.content();
    // Damage is often met as a panic inside redb, which is caught; its messages would bury the result.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut found, mut unused) = (0, 0);
    for seed in 0..ROUNDS {
        let mut chance = Chance::new(seed);
        let mut bad = content.clone();
        let length = [1, 8, 512, 4096][usize::try_from(chance.below(4)).unwrap()];
        let start = usize::try_from(chance.below(bad.len() as u64)).unwrap();
        let kind = chance.below(3);
        for byte in bad.iter_mut().skip(start).take(length) {
            *byte = match kind {
                0 => 0,
                1 => !*byte,
                _ => u8::try_from(chance.below(256)).unwrap(),
            };
        }
        match LogStore::open_on(Disk::with(bad, Fault::None), 0) {
            Err(_) => found += 1,
            Ok(log) => match log.read(0..1000) {
                Ok(all) => {
                    assert_eq!(all, records_of(200), "seed {seed}: damage at {start} was served");
                    assert_eq!(log.vote().as_deref(), Some(b"the vote".as_slice()), "seed {seed}");
                    unused += 1;
                }
                Err(_) => found += 1,
            },
        }
    }
    let _ = std::panic::take_hook();
    assert!(found > ROUNDS / 20, "only {found} of {ROUNDS} were found; {unused} hit unused pages");
}

fn records_of(count: u64) -> Vec<floe_store::LogRecord> {
    (0..count).map(|index| record(1, index, 300)).collect()
}

#[test]
fn the_message_names_the_file_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(dir.path()).unwrap();
    let path = dir.path().join("server/raft.redb");
    for content in [b"".as_slice(), b"not a database at all", &[0; 10_000]] {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        let error = LogStore::open(&folder).err().unwrap_or_else(|| panic!("{} bytes were taken for a log", content.len()));
        let text = error.to_string();
        assert!(matches!(error, LogError::Damaged { .. }), "{error:?}");
        assert!(text.contains("server/raft.redb") && text.contains("floe operator snapshot restore"), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), content, "the evidence was left alone");
    }
}

#[test]
fn a_log_of_a_newer_build_is_refused() {
    use redb::{Database, TableDefinition};
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(dir.path()).unwrap();
    LogStore::open(&folder).unwrap().close();
    {
        let path = dir.path().join("server/raft.redb");
        let database = Database::open(&path).unwrap();
        let txn = database.begin_write().unwrap();
        let body = 2_u32.to_be_bytes();
        let mut sum = crc32fast::Hasher::new();
        sum.update(&6_u64.to_be_bytes());
        sum.update(b"format");
        sum.update(&body);
        let record = [sum.finalize().to_be_bytes(), body].concat();
        txn.open_table(TableDefinition::<&str, &[u8]>::new("meta")).unwrap().insert("format", record.as_slice()).unwrap();
        txn.commit().unwrap();
    }
    let error = LogStore::open(&folder).err().unwrap();
    assert!(matches!(error, LogError::FutureFormat { found: 2, known: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("upgrade floe"), "{error}");
}
