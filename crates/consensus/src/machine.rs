//! Our state as openraft's state machine: entries in order, snapshots from a clone.
//!
//! The state is in memory and belongs to openraft's worker alone; others get clones, which are O(1). Answers are given after the view shows what
//! they speak of. An entry that panics leaves a state that nobody may see: the machine is broken from then on and applies nothing more.

use crate::{
    Divergence, OpenError, StopReason, TooOld,
    check::Check,
    codec,
    config::Apply,
    executor,
    publish::{Event, Publisher},
    raft_types::{
        ApplyResponder, Entry, EntryResponder, LogId, OptionalSend, Payload, RaftSnapshotBuilder, RaftStateMachine, Snapshot, SnapshotMeta,
        StoredMembership, TypeConfig, position,
    },
    stop::StopCell,
};
use floe_state::{
    Command, Outcome, State,
    command::{CLUSTER_VERSION, DigestReport},
};
use floe_store::{
    SnapshotFile, SnapshotId, SnapshotStore,
    planted::{self, Bug},
};
use futures::{FutureExt, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::watch,
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
    #[error("apply entry {index}")]
    TooOld {
        index: u64,
        #[source]
        source: TooOld,
    },
    #[error(transparent)]
    Unreadable(#[from] codec::DecodeError),
    #[error(transparent)]
    Diverged(#[from] Divergence),
}

/// What the proposer of an entry is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// The state's index right after the entry.
    pub(crate) index: u64,
    pub(crate) outcome: Outcome,
}

/// The state with its place in the log.
#[derive(Clone, Debug, Default)]
struct Applied {
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
}

type Current = Arc<Mutex<Option<(SnapshotMeta, SnapshotFile)>>>;

/// See the module.
pub(crate) struct Machine {
    pub(crate) apply: Apply,
    /// The newest version of commands that may be applied.
    pub(crate) known_version: u32,
    check: Check,
    /// What this server has to report, until it is seen in the log.
    pub(crate) due: watch::Sender<Option<DigestReport>>,
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
    pub(crate) fn membership(&self) -> &StoredMembership {
        &self.applied.membership
    }
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.applied.last.as_ref().map(|id| position(id).index)
    }
}

impl Machine {
    pub(crate) fn new(restored: Restored, snapshots: SnapshotStore, publisher: Publisher, stop: StopCell, check: Check) -> Self {
        let current = Arc::new(Mutex::new(restored.current));
        let due = watch::Sender::new(None);
        Self {
            apply: State::apply,
            known_version: CLUSTER_VERSION,
            check,
            due,
            applied: restored.applied,
            snapshots,
            current,
            publisher,
            stop,
            is_broken: false,
        }
    }

    /// Applies a batch, shows the outcome, answers.
    fn apply_batch(&mut self, batch: Vec<EntryResponder>) -> Result<(), ApplyError> {
        let mut events = Vec::new();
        let mut answers: Vec<(ApplyResponder, Answered)> = Vec::new();
        for (entry, responder) in batch {
            let (outcome, event) = self.apply_entry(entry)?;
            events.extend(event);
            let index = self.applied.state.index();
            answers.extend(responder.map(|r| (r, Answered { index, outcome })));
        }
        self.publisher.publish(self.applied.state.clone(), events);
        for (responder, answer) in answers {
            responder.send(answer);
        }
        Ok(())
    }

    fn apply_entry(&mut self, entry: Entry) -> Result<(Outcome, Option<Event>), ApplyError> {
        let index = position(&entry.log_id).index;
        if self.is_broken {
            return Err(ApplyError::Broken { index });
        }
        let done = match entry.payload {
            Payload::Normal(wish) => {
                let wish = wish.decode(index).inspect_err(|_| self.is_broken = true)?;
                self.apply_command(index, &wish)?
            }
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
        if let Some(report) = self.check.applied(&self.applied.state) {
            self.due.send_replace(Some(report));
        }
        Ok(done)
    }

    /// A server says what its state amounted to. Should this one's be wrong, nothing is applied any more.
    fn compare(&mut self, report: &DigestReport) -> Result<(), Divergence> {
        self.due.send_if_modified(|due| {
            let is_own = due.as_ref().is_some_and(|d| d.server == report.server && d.index <= report.index);
            *due = due.take().filter(|_| !is_own);
            is_own
        });
        let voters = self.applied.membership.membership().voter_ids().collect();
        self.check.heard(report, &voters).inspect_err(|_| self.is_broken = true)
    }

    /// Stops the server for good.
    fn halt(&self, error: &ApplyError) -> io::Error {
        if let ApplyError::Diverged(divergence) = error {
            self.stop.set(StopReason::Diverged(divergence.clone()));
        }
        self.stop.fail(error)
    }

    fn apply_command(&mut self, index: u64, wish: &floe_state::Entry) -> Result<(Outcome, Option<Event>), ApplyError> {
        if planted::is_on(Bug::EntryAfterSnapshotSkipped) && self.follows_snapshot(index) {
            self.applied.state.skip(index);
            return Ok((Outcome::Done, None));
        }
        if let Command::SetClusterVersion { version } = wish.command {
            TooOld::check(version, self.known_version).map_err(|source| {
                self.is_broken = true;
                ApplyError::TooOld { index, source }
            })?;
        }
        let (apply, state) = (self.apply, &mut self.applied.state);
        if planted::is_on(Bug::DoubleApply) {
            drop(apply(state, index, wish));
        }
        let mut run = || catch_unwind(AssertUnwindSafe(|| apply(state, index, wish)));
        let done = if matches!(wish.command, Command::Restore(_)) { aside(run) } else { run() };
        let applied = done.map_err(|panic| {
            self.is_broken = true;
            ApplyError::Panicked { index, command: wish.command.name(), message: panic_message(panic.as_ref()) }
        })?;
        if let Command::ReportDigest(report) = &wish.command {
            self.compare(report)?;
        }
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

/// Does what may take seconds, as reading a whole backup does, without holding up the other tasks of this thread: heartbeats among them.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        // There is no other thread that could take over.
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
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
            self.apply_batch(batch).map_err(|e| self.halt(&e))?;
        }
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: SnapshotFile) -> io::Result<()> {
        let (snapshots, meta, known) = (self.snapshots.clone(), meta.clone(), self.known_version);
        let install = move || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            let found = file.read()?;
            let state = State::decode(&found.body)?;
            TooOld::check(state.cluster_version(), known)?;
            let own = if snapshots.holds(&file) { snapshots.adopt(&file)? } else { snapshots.save(found.id, &found.meta, &found.body)? };
            Ok((state, meta, own))
        };
        let installed = executor::blocking(install).await.map_err(io::Error::other)?;
        let (state, meta, own) = installed.map_err(|e| self.stop.fail(e.as_ref()))?;
        let state = if planted::is_on(Bug::SnapshotStateNotInstalled) { self.applied.state.clone() } else { state };
        self.applied = Applied { state, last: meta.last_log_id, membership: meta.last_membership.clone() };
        self.check.replaced();
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
