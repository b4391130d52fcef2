//! What is committed, as the first server that knew it had it, and the states that it makes.

use super::Observer;
use crate::{
    clients::written,
    host::Fate,
    invariant::Invariant,
    trace::digest,
    wire::{self, Content, Membership},
    world::World,
};
use floe_state::{Command, Outcome, State, restore::Restored};
use floe_store::LogRecord;
use std::collections::BTreeMap;

/// One committed entry.
pub(super) struct Entry {
    pub(super) term: u64,
    sum: u64,
    value: Option<String>,
    membership: Option<Membership>,
    /// The state after it.
    state: State,
    /// The digest of the state's bytes, once somebody asked.
    bytes: Option<u64>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Committed {
    entries: BTreeMap<u64, Entry>,
    /// Where each value stands.
    values: BTreeMap<String, u64>,
}

impl Committed {
    /// The last index; zero before the first entry.
    pub(crate) fn last(&self) -> u64 {
        self.entries.keys().next_back().copied().unwrap_or(0)
    }

    pub(super) fn term(&self, index: u64) -> Option<u64> {
        self.entries.get(&index).map(|entry| entry.term)
    }

    pub(super) fn range(&self, from: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.entries.range(from..).map(|(index, entry)| (*index, entry.term))
    }

    /// The last entry of the terms before one.
    pub(super) fn last_before(&self, term: u64) -> Option<u64> {
        self.entries.iter().rev().find(|(_, entry)| entry.term < term).map(|(index, _)| *index)
    }

    pub(super) fn value(&self, index: u64) -> Option<&str> {
        self.entries.get(&index)?.value.as_deref()
    }

    pub(super) fn is_written(&self, value: &str) -> Option<u64> {
        self.values.get(value).copied()
    }

    pub(super) fn membership_before(&self, index: u64) -> Option<&Membership> {
        self.entries.range(..index).rev().find_map(|(_, entry)| entry.membership.as_ref())
    }

    /// The last membership up to an index, and where it stands.
    pub(super) fn membership_at(&self, index: u64) -> Option<(u64, &Membership)> {
        self.entries.range(..=index).rev().find_map(|(index, entry)| entry.membership.as_ref().map(|m| (*index, m)))
    }

    /// The digest of the state that the entries up to an index make.
    pub(super) fn state_digest(&mut self, index: u64) -> Option<u64> {
        let entry = self.entries.get_mut(&index)?;
        let state = &entry.state;
        Some(*entry.bytes.get_or_insert_with(|| digest(&state.encode())))
    }
}

impl Observer {
    /// A server knows that an entry is committed.
    pub(super) fn commit(&mut self, world: &World, name: &str, record: &LogRecord) {
        let (index, term, sum) = (record.index(), record.position.term, digest(&record.payload));
        if let Some(known) = self.committed.entries.get(&index) {
            if (known.term, known.sum) != (term, sum) {
                let text = format!("{name} committed entry {index} of term {term}, another server one of term {}", known.term);
                world.violated(Invariant::StateMachineSafety, text);
            }
            return;
        }
        self.append(world, name, record);
        self.check_quorum(world, name, index, term);
    }

    /// The next committed entry.
    fn append(&mut self, world: &World, name: &str, record: &LogRecord) {
        let (index, term, sum) = (record.index(), record.position.term, digest(&record.payload));
        let next = self.committed.entries.keys().next_back().map_or(index, |last| last + 1);
        if index != next {
            return world.violated(Invariant::LeaderCompleteness, format!("{name} committed entry {index}, but nobody entry {next}"));
        }
        let mut state = self.committed.entries.values().next_back().map(|entry| entry.state.clone()).unwrap_or_default();
        let (mut value, mut membership) = (None, None);
        match wire::content(record) {
            Content::Command(entry) => {
                let before = state.clone();
                let outcome = state.apply(index, &entry).outcome;
                super::work::look(world, &state, &entry.command);
                look_at_restore(world, &before, &state, (&entry.command, &outcome));
                value = written(&entry.command).map(str::to_owned);
            }
            Content::Membership(found) => {
                state.skip(index);
                membership = Some(found);
            }
            Content::Blank => state.skip(index),
            Content::Unknown => world.violated(Invariant::LogMatching, format!("{name}: entry {index} cannot be understood")),
        }
        if let Some(before) = self.committed.entries.values().next_back().map(|entry| entry.state.index())
            && state.index() <= before
        {
            world.violated(Invariant::IndexNeverGoesBack, format!("entry {index} makes the index {}, after {before}", state.index()));
        }
        if let Some(value) = &value {
            self.first_and_wanted(world, index, value);
        }
        self.committed.entries.insert(index, Entry { term, sum, value, membership, state, bytes: None });
    }

    /// Somebody was told that a backup was restored.
    pub(crate) fn told_restored(&mut self, told: Restored) {
        self.restored.push(told);
    }

    /// Looks at the restores that were said to be done.
    pub(crate) fn check_restores(&self, world: &World) {
        for told in &self.restored {
            let found = self.committed.entries.values().map(|entry| entry.state.restored()).find(|found| found.id == told.id);
            if found != Some(told) {
                world.violated(Invariant::RestoreIsWhole, format!("{told:?} was said to be done, and the entries make {found:?}"));
            }
        }
    }

    fn first_and_wanted(&mut self, world: &World, index: u64, value: &str) {
        if let Some(before) = self.committed.values.insert(value.to_owned(), index) {
            world.violated(Invariant::AppliedAtMostOnce, format!("{value} stands at {before} and again at {index}"));
        }
        if self.refused.contains(value) {
            world.violated(Invariant::RefusedIsNotDone, format!("{value} was refused, and is entry {index}"));
        }
        if let Some(told) = self.told.get(&index)
            && told != value
        {
            world.violated(Invariant::AnswerIsInLog, format!("entry {index} was said to hold {told}, and holds {value}"));
        }
    }

    /// Whether that entry is committed.
    pub(crate) fn is_committed(&self, record: &LogRecord) -> bool {
        self.committed
            .entries
            .get(&record.index())
            .is_some_and(|known| (known.term, known.sum) == (record.position.term, digest(&record.payload)))
    }

    /// What there is to look at after a recovery on that log: what it holds counts as committed, and nothing else.
    pub(crate) fn succeeded(&mut self, world: &World, name: &str, records: &[LogRecord], recovery: u64) -> Observer {
        let (refused, mut memberships) = (self.refused.clone(), self.memberships.clone());
        // The new cluster may come to the terms of the old one, with other entries.
        memberships.retain(|(index, _), _| *index < recovery);
        let mut next = Observer { recovery: Some(recovery), refused, memberships, ..Observer::default() };
        let first = records.first().map_or(0, LogRecord::index);
        let keeps = |index: u64, entry: &Entry| {
            index < first || records.iter().any(|r| r.index() == index && (r.position.term, digest(&r.payload)) == (entry.term, entry.sum))
        };
        let mut entries = std::mem::take(&mut self.committed.entries);
        let lost = entries.iter().find(|(index, entry)| !keeps(**index, entry)).map(|(index, _)| *index);
        if let Some(lost) = lost {
            drop(entries.split_off(&lost));
        }
        let values = entries.iter().filter_map(|(index, entry)| Some((entry.value.clone()?, *index))).collect();
        next.committed = Committed { entries, values };
        for record in records {
            if record.index() > next.committed.last() || next.committed.entries.is_empty() {
                next.append(world, name, record);
            }
        }
        next
    }

    /// A membership counts from when it is in the log, so either may have been asked: the one up to this entry, or one that follows.
    fn check_quorum(&self, world: &World, name: &str, index: u64, term: u64) {
        let has = |id: &String| {
            let of = id.strip_prefix("id-").unwrap_or(id);
            // One that lost its log may have had it when it said so.
            let is_lost = world.hosts.borrow().get(of).is_some_and(|host| host.fate == Fate::LostLog);
            is_lost || self.known.get(of).is_some_and(|known| known.log.holds(index, term))
        };
        let is_majority = |m: &Membership| m.configs.iter().all(|voters| voters.iter().filter(|id| has(id)).count() > voters.len() / 2);
        let later = self.known.get(name).into_iter().flat_map(|known| known.log.entries.range(index..));
        let mut memberships =
            later.filter_map(|(i, (t, _))| self.memberships.get(&(*i, *t))).chain(self.membership_before(name, index + 1));
        if !memberships.any(is_majority) {
            let holders: Vec<&String> = self.known.iter().filter(|(_, known)| known.log.holds(index, term)).map(|(name, _)| name).collect();
            world.violated(
                Invariant::CommittedIsOnQuorum,
                format!("{name} committed entry {index} of term {term}, which only {holders:?} have"),
            );
        }
    }
}

/// What an entry of a restore did to the state.
fn look_at_restore(world: &World, before: &State, after: &State, (command, outcome): (&Command, &Outcome)) {
    let is_same = || before.content_digest() == after.content_digest() && before.restored() == after.restored();
    let is_well = match (command, outcome) {
        (Command::StageRestore(_), _) => is_same(),
        (Command::Restore(wish), Outcome::Restored(_)) if before.restored().id == wish.id => is_same(),
        (Command::Restore(wish), Outcome::Restored(restored)) => {
            world.trace.count("restore committed");
            after.content_digest() == wish.digest && *restored == *after.restored() && after.staged_bytes() == 0
        }
        (Command::Restore(_), _) => {
            world.trace.count("restore refused");
            is_same()
        }
        _ => true,
    };
    if !is_well {
        world.violated(Invariant::RestoreIsWhole, format!("{} came to {outcome:?}, and the content is another", command.name()));
    }
}
