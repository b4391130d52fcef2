//! Twins of the disk, in memory, that lose power or fail at a chosen moment: for tests here and for the simulator.
//!
//! What was written but not synced may or may not survive: each such write is kept, lost or torn at a sector, as a seed decides. A failed
//! sync leaves what it should have synced in that same limbo for ever, as Linux does.

use crate::snapshot::Directory;
use redb::StorageBackend;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A disk writes this many bytes at once or not at all.
const SECTOR: usize = 512;

/// When and how a twin fails. Operations are writes, changes of length, syncs, renames and removals, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Never.
    None,
    /// The power goes with this operation: it and everything after it fails.
    PowerCut {
        /// The operation.
        at: u64,
    },
    /// From this operation on, writes fail for want of room; syncs go on.
    Full {
        /// The operation.
        at: u64,
    },
    /// The first sync from this operation on fails, and later ones claim success without syncing what it should have.
    SyncFails {
        /// The operation.
        at: u64,
    },
}

/// A small generator of equal chances from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `limit` (zero when that is zero).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw().checked_rem(limit).unwrap_or(0)
    }
}

/// Flips one bit of what is on a disk at rest, and says which. Nothing to flip, nothing done.
pub fn flip_bit(content: &mut [u8], chance: &mut Chance) -> Option<usize> {
    let at = usize::try_from(chance.below(content.len() as u64)).ok()?;
    let bit = chance.below(8);
    *content.get_mut(at)? ^= 1 << bit;
    Some(at)
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Length(len) => to.resize(*len, 0),
            Change::Write { offset, data } => {
                let end = offset + data.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                if let Some(place) = to.get_mut(*offset..end) {
                    place.copy_from_slice(data);
                }
            }
        }
    }
}

/// What became of changes that were not synced when the power went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Happened all the same.
    pub kept: u64,
    /// Never happened.
    pub lost: u64,
    /// Writes of several sectors of which some may have happened.
    pub torn: u64,
}

/// Bytes of which some are on the platter and some are on their way.
#[derive(Clone, Debug, Default)]
struct Bytes {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Change>,
    /// What a failed sync left behind: in the cache, but never to be synced again.
    forsaken: Vec<Change>,
}

impl Bytes {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }
    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }
    /// What a reader finds after the power came back.
    fn after_crash(&self, chance: &mut Chance, left: &mut Left) -> Vec<u8> {
        let mut found = self.durable.clone();
        for change in self.forsaken.iter().chain(&self.pending) {
            match (change, chance.below(3)) {
                (_, 0) => left.lost += 1,
                (Change::Write { offset, data }, 1) => {
                    left.torn += u64::from(data.len() > SECTOR);
                    for (n, sector) in data.chunks(SECTOR).enumerate() {
                        if chance.below(2) == 0 {
                            Change::Write { offset: offset + n * SECTOR, data: sector.to_vec() }.apply(&mut found);
                        }
                    }
                }
                _ => {
                    left.kept += 1;
                    change.apply(&mut found);
                }
            }
        }
        found
    }
}

#[derive(Clone, Debug)]
struct Switch {
    fault: Fault,
    operations: u64,
    sync_failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Write,
    Sync,
}

enum Verdict {
    Go,
    SyncLost,
}

impl Switch {
    fn new(fault: Fault) -> Self {
        Self { fault, operations: 0, sync_failed: false }
    }
    fn step(&mut self, operation: Operation) -> io::Result<Verdict> {
        let now = self.operations;
        self.operations += 1;
        match self.fault {
            Fault::PowerCut { at } if now >= at => Err(io::Error::other("the power is out")),
            Fault::Full { at } if now >= at && operation == Operation::Write => Err(io::ErrorKind::StorageFull.into()),
            Fault::SyncFails { at } if now >= at && operation == Operation::Sync && !self.sync_failed => {
                self.sync_failed = true;
                Ok(Verdict::SyncLost)
            }
            _ => Ok(Verdict::Go),
        }
    }
    fn is_out(&self) -> bool {
        matches!(self.fault, Fault::PowerCut { at } if self.operations > at)
    }
}

/// A disk for redb. Clones share it.
#[derive(Clone, Debug)]
pub struct Disk {
    inner: Arc<Mutex<(Switch, Bytes)>>,
}

impl Disk {
    /// An empty disk.
    pub fn new(fault: Fault) -> Self {
        Self::with(Vec::new(), fault)
    }

    /// A disk that holds this.
    pub fn with(content: Vec<u8>, fault: Fault) -> Self {
        let bytes = Bytes { durable: content.clone(), current: content, ..Bytes::default() };
        Self { inner: Arc::new(Mutex::new((Switch::new(fault), bytes))) }
    }

    /// What is on it after the power came back. Unsynced writes are kept, lost or torn as `chance` decides.
    pub fn after_crash(&self, chance: &mut Chance) -> Vec<u8> {
        self.left_after_crash(chance).0
    }

    /// As [`Disk::after_crash`], and what was decided.
    pub fn left_after_crash(&self, chance: &mut Chance) -> (Vec<u8>, Left) {
        let mut left = Left::default();
        (self.lock().1.after_crash(chance, &mut left), left)
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.lock().0.operations
    }

    /// Fails in this way from now on, in place of how it would have.
    pub fn set_fault(&self, fault: Fault) {
        self.lock().0.fault = fault;
    }

    /// Whether the power went, and something noticed.
    pub fn is_out(&self) -> bool {
        self.lock().0.is_out()
    }

    /// What a reader sees now.
    pub fn content(&self) -> Vec<u8> {
        self.lock().1.current.clone()
    }

    fn lock(&self) -> MutexGuard<'_, (Switch, Bytes)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut inner = self.lock();
        inner.0.step(Operation::Write)?;
        inner.1.change(change);
        Ok(())
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().1.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.lock();
        if inner.0.is_out() {
            return Err(io::Error::other("the power is out"));
        }
        let start = position(offset)?;
        let from = inner.1.current.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(position(len)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.lock();
        match inner.0.step(Operation::Sync)? {
            Verdict::Go => inner.1.sync(),
            Verdict::SyncLost => {
                let lost = std::mem::take(&mut inner.1.pending);
                inner.1.forsaken.extend(lost);
                return Err(io::Error::other("input/output error while syncing"));
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write { offset: position(offset)?, data: data.to_vec() })
    }
}

/// A directory of whole files. Clones share it.
#[derive(Clone, Debug)]
pub struct Folder {
    inner: Arc<Mutex<FolderState>>,
}

#[derive(Debug)]
struct FolderState {
    switch: Switch,
    /// The names that a reader sees.
    names: BTreeMap<String, u64>,
    /// The names that are on the platter.
    durable_names: BTreeMap<String, u64>,
    /// Changes of names that were not synced: the name, and what it stands for then.
    pending_names: Vec<Vec<(String, Option<u64>)>>,
    files: BTreeMap<u64, Bytes>,
}

impl Folder {
    /// An empty directory.
    pub fn new(fault: Fault) -> Self {
        Self::with(BTreeMap::new(), fault)
    }

    /// A directory with these files.
    pub fn with(content: BTreeMap<String, Vec<u8>>, fault: Fault) -> Self {
        let (mut names, mut files) = (BTreeMap::new(), BTreeMap::new());
        for (n, (name, content)) in (0_u64..).zip(content) {
            names.insert(name, n);
            files.insert(n, Bytes { durable: content.clone(), current: content, ..Bytes::default() });
        }
        let state = FolderState { switch: Switch::new(fault), durable_names: names.clone(), names, pending_names: Vec::new(), files };
        Self { inner: Arc::new(Mutex::new(state)) }
    }

    /// What is in it after the power came back. Each unsynced change of names happened or did not, as a whole.
    pub fn after_crash(&self, chance: &mut Chance) -> BTreeMap<String, Vec<u8>> {
        let state = self.lock();
        let mut names = state.durable_names.clone();
        for change in &state.pending_names {
            if chance.below(2) == 0 {
                state.rename(&mut names, change);
            }
        }
        let content = |id| state.files.get(&id).map(|b: &Bytes| b.after_crash(chance, &mut Left::default())).unwrap_or_default();
        let ids: Vec<u64> = names.values().copied().collect();
        let contents: Vec<Vec<u8>> = ids.into_iter().map(content).collect();
        names.into_keys().zip(contents).collect()
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.lock().switch.operations
    }

    /// Fails in this way from now on, in place of how it would have.
    pub fn set_fault(&self, fault: Fault) {
        self.lock().switch.fault = fault;
    }

    /// Whether the power went, and something noticed.
    pub fn is_out(&self) -> bool {
        self.lock().switch.is_out()
    }

    fn lock(&self) -> MutexGuard<'_, FolderState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FolderState {
    fn rename(&self, names: &mut BTreeMap<String, u64>, change: &[(String, Option<u64>)]) {
        for (name, id) in change {
            match id {
                Some(id) => names.insert(name.clone(), *id),
                None => names.remove(name),
            };
        }
    }
    fn change_names(&mut self, change: Vec<(String, Option<u64>)>) {
        let mut names = std::mem::take(&mut self.names);
        self.rename(&mut names, &change);
        self.names = names;
        self.pending_names.push(change);
    }
    fn id(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Directory for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.lock();
        let id = state.id(name)?;
        Ok(state.files.get(&id).map(|f| f.current.clone()).unwrap_or_default())
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let mut state = self.lock();
        state.switch.step(Operation::Write)?;
        let id = state.files.keys().next_back().map_or(0, |id| id + 1);
        let mut bytes = Bytes::default();
        bytes.change(Change::Write { offset: 0, data: parts.concat() });
        state.files.insert(id, bytes);
        state.change_names(vec![(name.to_owned(), Some(id))]);
        Ok(())
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let verdict = state.switch.step(Operation::Sync)?;
        let id = state.id(name)?;
        let Some(bytes) = state.files.get_mut(&id) else { return Err(io::ErrorKind::NotFound.into()) };
        match verdict {
            Verdict::Go => bytes.sync(),
            Verdict::SyncLost => {
                let lost = std::mem::take(&mut bytes.pending);
                bytes.forsaken.extend(lost);
                return Err(io::Error::other("input/output error while syncing"));
            }
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.switch.step(Operation::Write)?;
        let id = state.id(from)?;
        state.change_names(vec![(from.to_owned(), None), (to.to_owned(), Some(id))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.switch.step(Operation::Write)?;
        state.id(name)?;
        state.change_names(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        match state.switch.step(Operation::Sync)? {
            Verdict::Go => {
                state.pending_names.clear();
                state.durable_names = state.names.clone();
                Ok(())
            }
            Verdict::SyncLost => Err(io::Error::other("input/output error while syncing")),
        }
    }
}
