//! Our state as openraft's state machine: entries in order, snapshots from a clone.
//!
//! The state is in memory and belongs to openraft's worker alone; others get clones, which are O(1). Answers are given after the view shows what
//! they speak of. An entry that panics leaves a state that nobody may see: the machine is broken from then on and applies nothing more.

use crate::{
    OpenError, codec, executor,
    publish::{Event, Publisher},
    raft_types::{
        ApplyResponder, Entry, EntryResponder, LogId, OptionalSend, Payload, RaftSnapshotBuilder, RaftStateMachine, Snapshot, SnapshotMeta,
        StoredMembership, TypeConfig, position,
    },
    stop::StopCell,
};
use floe_state::{Outcome, State};
use floe_store::{
    SnapshotFile, SnapshotId, SnapshotStore,
    planted::{self, Bug},
};
use futures::{FutureExt, Stream, StreamExt};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

/// How many entries are applied before the view moves on and answers are given.
const APPLY_ENTRIES: usize = 256;

/// An entry cannot be applied. What it left of the state must not be used.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("apply entry {index} ({command}): {message}; this is a defect of floe, please report it with the server's log")]
    Panicked { index: u64, command: &'static str, message: String },
    #[error("apply entry {index}: an earlier entry failed")]
    Broken { index: u64 },
}

/// The state with its place in the log.
#[derive(Clone, Debug, Default)]
struct Applied {
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
}

type Current = Arc<Mutex<Option<(SnapshotMeta, SnapshotFile)>>>;

/// How an entry changes the state. [`State::apply`], but for a test of what happens when that panics.
pub(crate) type Apply = fn(&mut State, u64, &floe_state::Entry) -> floe_state::Applied;

/// See the module.
pub(crate) struct Machine {
    pub(crate) apply: Apply,
    applied: Applied,
    snapshots: SnapshotStore,
    /// The newest snapshot.
    current: Current,
    publisher: Publisher,
    stop: StopCell,
    is_broken: bool,
}

/// What a start found on disk.
pub(crate) struct Restored {
    applied: Applied,
    current: Option<(SnapshotMeta, SnapshotFile)>,
}

impl Restored {
    /// The newest whole snapshot. Blocks.
    pub(crate) fn load(snapshots: &SnapshotStore) -> Result<Self, OpenError> {
        let Some(found) = snapshots.newest()? else { return Ok(Self { applied: Applied::default(), current: None }) };
        let id = found.id;
        let fail = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Restore { index: id.index, term: id.term, source };
        let meta = codec::decode_meta(&found.meta).map_err(|e| fail(Box::new(e)))?;
        let state = State::decode(&found.body).map_err(|e| fail(Box::new(e)))?;
        let applied = Applied { state, last: meta.last_log_id, membership: meta.last_membership.clone() };
        let file = snapshots.list()?.into_iter().find(|f| f.id() == id);
        Ok(Self { applied, current: file.map(|file| (meta, file)) })
    }

    pub(crate) fn state(&self) -> &State {
        &self.applied.state
    }
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.applied.last.as_ref().map(|id| position(id).index)
    }
}

impl Machine {
    pub(crate) fn new(restored: Restored, snapshots: SnapshotStore, publisher: Publisher, stop: StopCell) -> Self {
        let current = Arc::new(Mutex::new(restored.current));
        Self { apply: State::apply, applied: restored.applied, snapshots, current, publisher, stop, is_broken: false }
    }

    /// Applies a batch, shows the outcome, answers.
    fn apply_batch(&mut self, batch: Vec<EntryResponder>) -> Result<(), ApplyError> {
        let mut events = Vec::new();
        let mut answers: Vec<(ApplyResponder, Outcome)> = Vec::new();
        for (entry, responder) in batch {
            let (outcome, event) = self.apply_entry(entry)?;
            events.extend(event);
            answers.extend(responder.map(|r| (r, outcome)));
        }
        self.publisher.publish(self.applied.state.clone(), events);
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        Ok(())
    }

    fn apply_entry(&mut self, entry: Entry) -> Result<(Outcome, Option<Event>), ApplyError> {
        let index = position(&entry.log_id).index;
        if self.is_broken {
            return Err(ApplyError::Broken { index });
        }
        let done = match entry.payload {
            Payload::Normal(wish) => self.apply_command(index, &wish)?,
            Payload::Blank => {
                self.applied.state.skip(index);
                (Outcome::Done, None)
            }
            Payload::Membership(membership) => {
                self.applied.state.skip(index);
                self.applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                (Outcome::Done, None)
            }
        };
        self.applied.last = Some(entry.log_id);
        Ok(done)
    }

    fn apply_command(&mut self, index: u64, wish: &floe_state::Entry) -> Result<(Outcome, Option<Event>), ApplyError> {
        if planted::is_on(Bug::EntryAfterSnapshotSkipped) && self.follows_snapshot(index) {
            self.applied.state.skip(index);
            return Ok((Outcome::Done, None));
        }
        let (apply, state) = (self.apply, &mut self.applied.state);
        if planted::is_on(Bug::DoubleApply) {
            drop(apply(state, index, wish));
        }
        let applied = catch_unwind(AssertUnwindSafe(|| apply(state, index, wish))).map_err(|panic| {
            self.is_broken = true;
            ApplyError::Panicked { index, command: wish.command.name(), message: panic_message(panic.as_ref()) }
        })?;
        let is_heard = self.publisher.has_subscribers() && !applied.effects.changes.is_empty();
        let event = is_heard.then(|| Event { index, effects: applied.effects, state: self.applied.state.clone() });
        Ok((applied.outcome, event))
    }

    /// Whether the newest snapshot ends right before this entry.
    fn follows_snapshot(&self, index: u64) -> bool {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().and_then(|(meta, _)| meta.last_log_id.as_ref()).is_some_and(|last| position(last).index + 1 == index)
    }

    fn builder(&self) -> Builder {
        let (snapshots, current, stop) = (self.snapshots.clone(), Arc::clone(&self.current), self.stop.clone());
        Builder { applied: self.applied.clone(), snapshots, current, stop, is_broken: self.is_broken }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_else(|| "without a message".to_owned()))
}

/// Takes what is ready, up to a bound, after waiting for the first.
async fn next_batch<S>(entries: &mut S) -> io::Result<Vec<EntryResponder>>
where
    S: Stream<Item = io::Result<EntryResponder>> + Unpin + OptionalSend,
{
    let Some(first) = entries.next().await else { return Ok(Vec::new()) };
    let mut batch = vec![first?];
    while batch.len() < APPLY_ENTRIES {
        match entries.next().now_or_never().flatten() {
            Some(entry) => batch.push(entry?),
            None => break,
        }
    }
    Ok(batch)
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied.last, self.applied.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder>> + Unpin + OptionalSend,
    {
        loop {
            let batch = next_batch(&mut entries).await?;
            if batch.is_empty() {
                return Ok(());
            }
            self.apply_batch(batch).map_err(|e| self.stop.fail(&e))?;
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: SnapshotFile) -> io::Result<()> {
        let (snapshots, meta) = (self.snapshots.clone(), meta.clone());
        let install = move || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            let found = file.read()?;
            let state = State::decode(&found.body)?;
            let own = if snapshots.holds(&file) { snapshots.adopt(&file)? } else { snapshots.save(found.id, &found.meta, &found.body)? };
            Ok((state, meta, own))
        };
        let installed = executor::blocking(install).await.map_err(io::Error::other)?;
        let (state, meta, own) = installed.map_err(|e| self.stop.fail(e.as_ref()))?;
        let state = if planted::is_on(Bug::SnapshotStateNotInstalled) { self.applied.state.clone() } else { state };
        self.applied = Applied { state, last: meta.last_log_id, membership: meta.last_membership.clone() };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((meta, own));
        self.publisher.publish(self.applied.state.clone(), Vec::new());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(current.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Writes the state, as it was when the builder was made, to disk.
pub(crate) struct Builder {
    applied: Applied,
    snapshots: SnapshotStore,
    current: Current,
    stop: StopCell,
    /// The state is half changed by an entry that failed.
    is_broken: bool,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        if self.is_broken {
            return Err(io::Error::other("build snapshot: an entry could not be applied, so the state must not be kept"));
        }
        let (applied, snapshots) = (self.applied.clone(), self.snapshots.clone());
        let membership = if planted::is_on(Bug::SnapshotWithoutMembership) { StoredMembership::default() } else { applied.membership };
        let meta = SnapshotMeta { last_log_id: applied.last, last_membership: membership };
        let said = codec::encode_meta(&meta).map_err(|e| self.stop.fail(&e))?;
        let at = applied.last.as_ref().map(position);
        let id = SnapshotId { index: at.map_or(0, |p| p.index), term: at.map_or(0, |p| p.term) };
        let save = move || snapshots.save(id, &said, &applied.state.encode());
        let saved = executor::blocking(save).await.map_err(io::Error::other)?;
        let snapshot = saved.map_err(|e| self.stop.fail(&e))?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // A newer one may have come from the leader meanwhile.
        if current.as_ref().is_none_or(|(present, _)| present.last_log_id <= meta.last_log_id) {
            *current = Some((meta.clone(), snapshot.clone()));
        }
        Ok(Snapshot { meta, snapshot })
    }
}
