//! Snapshots: whole or not there, and the older one serves when the newer one rots.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_store::{
    DataFolder, SnapshotError, SnapshotId, SnapshotStore,
    snapshot::{Directory, FsDirectory, KEEP},
    twin::{Chance, Fault, Folder},
};
use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

fn id(index: u64) -> SnapshotId {
    SnapshotId { index, term: 3 }
}
fn body(index: u64) -> Vec<u8> {
    format!("state at {index} ").into_bytes().repeat(200)
}
fn files(dir: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path(dir)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
fn path(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("server/snapshots")
}
fn store(dir: &tempfile::TempDir) -> SnapshotStore {
    SnapshotStore::open(&DataFolder::open(dir.path()).unwrap()).unwrap()
}

#[test]
fn the_newest_two_are_kept_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = store(&dir);
    assert_eq!(snapshots.newest().unwrap(), None);
    for index in [9, 80, 700] {
        snapshots.save(id(index), b"meta", &body(index)).unwrap();
    }
    assert_eq!(files(&dir), ["700-3.snap", "80-3.snap"]);
    assert_eq!(files(&dir).len(), KEEP);
    let newest = store_again(&dir, snapshots).newest().unwrap().unwrap();
    assert_eq!((newest.id, newest.meta.as_slice(), newest.body), (id(700), b"meta".as_slice(), body(700)));
}

/// Drops the first, as the folder's lock goes with it.
fn store_again(dir: &tempfile::TempDir, before: SnapshotStore) -> SnapshotStore {
    drop(before);
    store(dir)
}

#[test]
fn a_damaged_one_is_named_and_the_older_one_serves() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = store(&dir);
    snapshots.save(id(1), b"", &body(1)).unwrap();
    snapshots.save(id(2), b"m", &body(2)).unwrap();
    let newest = path(&dir).join("2-3.snap");
    let good = std::fs::read(&newest).unwrap();
    let mut chance = Chance::new(1);
    for round in 0..400 {
        let mut bad = good.clone();
        match round % 3 {
            0 => bad.truncate(usize::try_from(chance.below(good.len() as u64)).unwrap()),
            1 => bad.extend([0; 3]),
            _ => {
                let bit = usize::try_from(chance.below(good.len() as u64 * 8)).unwrap();
                bad[bit / 8] ^= 1 << (bit % 8);
                if bad[8..12] != good[8..12] {
                    continue;
                }
            }
        }
        std::fs::write(&newest, &bad).unwrap();
        let error = snapshots.list().unwrap()[0].read().unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("2-3.snap") && error.to_string().contains("operator snapshot restore"), "{error}");
        assert_eq!(snapshots.newest().unwrap().unwrap().id, id(1));
        assert_eq!(files(&dir), ["1-3.snap", "2-3.snap.damaged"], "it is set aside, not thrown away");
    }
    std::fs::copy(path(&dir).join("1-3.snap"), &newest).unwrap();
    assert_eq!(snapshots.newest().unwrap().unwrap().id, id(1), "a snapshot under another's name is damage");
}

#[test]
fn one_of_a_newer_build_is_refused_rather_than_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = store(&dir);
    snapshots.save(id(1), b"", &body(1)).unwrap();
    snapshots.save(id(2), b"", &body(2)).unwrap();
    let newest = path(&dir).join("2-3.snap");
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[11] = 2;
    std::fs::write(&newest, bytes).unwrap();
    assert!(matches!(snapshots.newest(), Err(SnapshotError::FutureFormat { found: 2, known: 1, .. })));
}

#[test]
fn what_an_interrupted_write_left_is_removed_and_strangers_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = store(&dir);
    snapshots.save(id(1), b"", &body(1)).unwrap();
    for name in ["2-3.snap.tmp", "notes.txt", "x-1.snap", "+4-1.snap"] {
        std::fs::write(path(&dir).join(name), "half").unwrap();
    }
    let snapshots = store_again(&dir, snapshots);
    assert_eq!(files(&dir), ["+4-1.snap", "1-3.snap", "notes.txt", "x-1.snap"]);
    assert_eq!(snapshots.list().unwrap().len(), 1);
}

/// Whatever the operation at which the power goes: the newest acknowledged snapshot, or a newer one, is there and whole.
#[test]
fn what_was_kept_survives_a_power_cut_at_every_operation() {
    let mut cuts = 0;
    for cut in 0..40 {
        for fault in [Fault::PowerCut { at: cut }, Fault::SyncFails { at: cut }, Fault::Full { at: cut }] {
            for seed in 0..20 {
                let folder = Folder::new(fault);
                let acknowledged = save_until_it_fails(&folder);
                cuts += u64::from(acknowledged < 5);
                let found: BTreeMap<String, Vec<u8>> = folder.after_crash(&mut Chance::new(seed));
                let snapshots = SnapshotStore::open_in(Arc::new(Folder::with(found, Fault::None))).unwrap();
                let newest = snapshots.newest().unwrap();
                let index = newest.as_ref().map_or(0, |s| s.id.index);
                assert!(index >= acknowledged, "{fault:?} seed {seed}: snapshot {acknowledged} was kept, {index} was found");
                assert!(newest.is_none_or(|s| s.body == body(s.id.index)));
            }
        }
    }
    assert!(cuts > 100, "the faults came too late to matter");
}

fn save_until_it_fails(folder: &Folder) -> u64 {
    let Ok(snapshots) = SnapshotStore::open_in(Arc::new(folder.clone())) else { return 0 };
    (1..=5).take_while(|index| snapshots.save(id(*index), b"meta", &body(*index)).is_ok()).last().unwrap_or(0)
}

/// A directory whose disk is full: half of what is written arrives.
#[derive(Debug)]
struct FullDisk(FsDirectory);

impl Directory for FullDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.read(name)
    }
    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let whole = parts.concat();
        self.0.write(name, &[&whole[..whole.len() / 2]])?;
        Err(io::ErrorKind::StorageFull.into())
    }
    fn sync_file(&self, name: &str) -> io::Result<()> {
        self.0.sync_file(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn another_servers_snapshot_counts_only_when_it_is_adopted() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sent = store(&from).save(id(7), b"meta", &body(7)).unwrap().bytes().unwrap();
    let snapshots = store(&to);
    let staged = snapshots.stage(&sent).unwrap();
    assert_eq!((staged.id(), staged.read().unwrap().body), (id(7), body(7)));
    assert_eq!(snapshots.newest().unwrap(), None, "it is not this server's yet");
    assert_eq!(files(&to).len(), 1);
    let snapshots = store_again(&to, snapshots);
    assert!(files(&to).is_empty(), "a start forgets it");
    let staged = snapshots.stage(&sent).unwrap();
    let own = snapshots.adopt(&staged).unwrap();
    snapshots.discard(&staged).unwrap();
    assert_eq!(files(&to), ["7-3.snap"]);
    assert_eq!(own.read().unwrap(), snapshots.newest().unwrap().unwrap());
    assert_eq!(snapshots.adopt(&own).unwrap().id(), id(7), "one's own stays what it is");
    let refused = snapshots.stage(&sent).unwrap();
    snapshots.discard(&refused).unwrap();
    assert_eq!(files(&to), ["7-3.snap"]);
}

#[test]
fn another_servers_snapshot_that_is_not_whole_leaves_nothing() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sent = store(&from).save(id(7), b"meta", &body(7)).unwrap().bytes().unwrap();
    let snapshots = store(&to);
    let mut flipped = sent.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&sent[..sent.len() - 1], &flipped, b"rubbish"] {
        let refused = snapshots.stage(bad).unwrap_err();
        assert!(matches!(refused, SnapshotError::Damaged { .. }) && refused.to_string().contains("from another server"), "{refused}");
    }
    assert!(files(&to).is_empty());
}

#[test]
fn a_full_disk_leaves_nothing_of_what_did_not_fit() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sent = store(&from).save(id(7), b"meta", &body(7)).unwrap().bytes().unwrap();
    drop(store(&to));
    let full = SnapshotStore::open_in(Arc::new(FullDisk(FsDirectory::new(&path(&to))))).unwrap();
    assert!(matches!(full.stage(&sent), Err(SnapshotError::Io { .. })));
    assert!(matches!(full.save(id(8), b"", &body(8)), Err(SnapshotError::Io { .. })));
    assert!(files(&to).is_empty());
}
