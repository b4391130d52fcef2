//! What each server's log holds, followed as it changes.

use super::Observer;
use crate::{
    host::{Fate, Host},
    invariant::Invariant,
    trace::digest,
    wire::{self, Content, Membership},
    world::World,
};
use floe_state::Command;
use floe_store::{LogRecord, LogStore};
use std::{collections::BTreeMap, rc::Rc};

/// A log as it was when it was last looked at: the term and the digest of each entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    pub(crate) entries: BTreeMap<u64, (u64, u64)>,
    pub(crate) purged: Option<u64>,
}

impl Mirror {
    pub(crate) fn last(&self) -> Option<u64> {
        self.entries.keys().next_back().copied().max(self.purged)
    }

    /// Whether it has that entry, or had it and purged it.
    pub(crate) fn holds(&self, index: u64, term: u64) -> bool {
        self.purged >= Some(index) || self.entries.get(&index).is_some_and(|(found, _)| *found == term)
    }
}

fn of(record: &LogRecord) -> (u64, u64) {
    (record.position.term, digest(&record.payload))
}

impl Observer {
    pub(super) fn look_at_log(&mut self, world: &Rc<World>, host: &Host) {
        let Some(log) = &host.log else { return };
        if let Err(error) = self.follow(world, host, log)
            && !host.is_disk_faulty
            && host.fate == Fate::Well
        {
            world.violated(Invariant::HealthyServersRun, format!("the log of {} cannot be read: {error}", host.name));
        }
    }

    fn follow(&mut self, world: &Rc<World>, host: &Host, log: &LogStore) -> Result<(), floe_store::LogError> {
        let known = self.known.entry(host.name.clone()).or_default();
        let bounds = log.bounds();
        let end = bounds.last.map(|last| last.index);
        let seen = known.log.entries.last_key_value().map(|(index, (term, _))| (*index, *term));
        if seen.is_some() && seen == bounds.last.map(|last| (last.index, last.term)) && known.log.purged == bounds.purged.map(|p| p.index) {
            return Ok(());
        }
        let mut cut: Option<u64> = None;
        // From the end backwards, as far as the log is another than it was.
        while let Some((index, was)) = known.log.entries.last_key_value().map(|(index, was)| (*index, *was)) {
            let is_there = bounds.purged.is_some_and(|p| p.index >= index)
                || (Some(index) <= end && log.read(index..index + 1)?.first().map(of) == Some(was));
            if is_there {
                break;
            }
            known.log.entries.remove(&index);
            cut = Some(index);
            if self.committed.term(index) == Some(was.0) && bounds.purged.is_none_or(|purged| purged.index < index) {
                let text = format!("{} cut its log off from entry {index} of term {}, which is committed", host.name, was.0);
                world.violated(Invariant::CommittedIsNeverTruncated, text);
            }
        }
        if let Some(purged) = bounds.purged {
            if known.log.last().is_some_and(|last| last < purged.index) {
                world.happened(&host.name, "snapshot from the leader");
            }
            known.log.purged = known.log.purged.max(Some(purged.index));
            known.log.entries = known.log.entries.split_off(&(purged.index + 1));
        }
        if let Some(from) = cut {
            known.acknowledged = known.acknowledged.filter(|at| *at < from).or(from.checked_sub(1)).min(known.acknowledged);
            self.truncated(world, &host.name, from);
        }
        let known = self.known.entry(host.name.clone()).or_default();
        let next = known.log.last().map_or(0, |last| last + 1);
        if end >= Some(next) {
            for record in log.read(next..u64::MAX)? {
                self.appended(world, &host.name, &record);
            }
        }
        Ok(())
    }

    fn truncated(&mut self, world: &Rc<World>, name: &str, from: u64) {
        world.happened(name, "truncation");
        world.trace.mix(format!("{name} truncates from {from}").as_bytes());
        let known = self.known.entry(name.to_owned()).or_default();
        known.cut = Some(from);
        known.compared = known.compared.min(from);
    }

    fn appended(&mut self, world: &Rc<World>, name: &str, record: &LogRecord) {
        let (index, (term, sum)) = (record.index(), of(record));
        let known = self.known.entry(name.to_owned()).or_default();
        let before = index.checked_sub(1).and_then(|before| known.log.entries.get(&before)).map(|(term, _)| *term);
        if before.is_some_and(|before| before > term) {
            world.violated(Invariant::TermsInOrder, format!("{name}: entry {index} has term {term}, the one before {before:?}"));
        }
        known.log.entries.insert(index, (term, sum));
        match self.entries.get(&(index, term)) {
            None => drop(self.entries.insert((index, term), (sum, before))),
            Some((other, _)) if *other != sum => {
                world.violated(Invariant::LogMatching, format!("{name}: entry {index} of term {term} is another than elsewhere"));
            }
            Some((_, Some(other))) if before.is_some_and(|before| before != *other) => {
                let text = format!("{name}: before entry {index} of term {term} stands term {before:?}, elsewhere {other}");
                world.violated(Invariant::LogMatching, text);
            }
            Some((_, known_before)) => {
                let merged = (*known_before).or(before);
                self.entries.insert((index, term), (sum, merged));
            }
        }
        match wire::content(record) {
            Content::Membership(membership) => self.membership_appended(world, name, (index, term), membership),
            Content::Command(entry) if matches!(entry.command, Command::Restore(_)) => {
                if let Some(host) = world.hosts.borrow().get(name) {
                    world.restore_appended(host);
                }
                world.happened(name, "entry of a restore");
            }
            Content::Command(entry) if matches!(entry.command, Command::StageRestore(_)) => {
                world.happened(name, "entry of a restore");
            }
            _ => {}
        }
    }

    fn membership_appended(&mut self, world: &Rc<World>, name: &str, at: (u64, u64), membership: Membership) {
        let (index, term) = at;
        if membership.configs.len() != 1 {
            world.violated(Invariant::NoJointMembership, format!("{name}: entry {index} of term {term} is {membership:?}"));
        }
        let before = self.membership_before(name, index).map(Membership::voters);
        let is_new = !self.memberships.contains_key(&at);
        if let Some(new) = before
            .into_iter()
            .filter(|_| is_new)
            .flat_map(|then| membership.voters().into_iter().filter(move |id| !then.contains(id)))
            .next()
        {
            let of = new.strip_prefix("id-").unwrap_or(&new);
            if self.known.get(of).is_none_or(|known| known.log.last().is_none()) {
                world.violated(Invariant::VoterHasEntries, format!("{name}: entry {index} gives {of} a vote, which has no entries"));
            }
        }
        if let Some(before) = self.membership_before(name, index) {
            let (now, then) = (membership.voters(), before.voters());
            let members = membership.nodes.symmetric_difference(&before.nodes).count();
            if now.symmetric_difference(&then).count() + members > 1 && self.recovery != Some(index) && is_new {
                let text = format!("{name}: entry {index} makes {membership:?} of {before:?}");
                world.violated(Invariant::OneMemberAChange, text);
            }
            if now.symmetric_difference(&then).count() > 1 && self.recovery != Some(index) {
                world.violated(
                    Invariant::OneVoterAChange,
                    format!("{name}: entry {index} makes the voters {now:?}, before they were {then:?}"),
                );
            }
        }
        world.happened(name, "membership");
        self.memberships.insert(at, membership);
    }

    /// The membership before an index, in one server's log.
    pub(super) fn membership_before(&self, name: &str, index: u64) -> Option<&Membership> {
        let own = self.known.get(name).map(|known| &known.log.entries);
        let in_log =
            own.into_iter().flat_map(|entries| entries.range(..index).rev()).find_map(|(i, (t, _))| self.memberships.get(&(*i, *t)));
        in_log.or_else(|| self.committed.membership_before(index))
    }

    /// A server opened its log: what it had promised must be there.
    pub(crate) fn reopened(&mut self, world: &World, name: &str, log: &LogStore) {
        let (fate, is_faulty) = world.hosts.borrow().get(name).map_or((Fate::Well, false), |host| (host.fate, host.is_disk_faulty));
        if fate == Fate::LostLog {
            self.known.remove(name);
            return;
        }
        self.check_vote(world, name, log);
        let known = self.known.entry(name.to_owned()).or_default();
        let bounds = log.bounds();
        if let Some(at) = known.acknowledged
            && bounds.purged.is_none_or(|purged| purged.index < at)
        {
            let was = known.log.entries.get(&at).map(|(term, _)| *term);
            let found = log.read(at..at + 1).ok().and_then(|records| records.first().map(|record| record.position.term));
            if found.is_none() || was.is_some_and(|was| Some(was) != found) {
                let invariant = if fate == Fate::Flipped { Invariant::DamageIsNoticed } else { Invariant::AcknowledgedIsDurable };
                let text = format!("{name} acknowledged entry {at} of term {was:?}, and found term {found:?} there when it started");
                if !is_faulty {
                    world.violated(invariant, text);
                }
            }
        }
        // What was not synced may be gone; that is no truncation.
        let known = self.known.entry(name.to_owned()).or_default();
        known.log = Mirror::default();
        known.compared = 0;
        known.snapshot = 0;
    }

    fn check_vote(&self, world: &World, name: &str, log: &LogStore) {
        let own = crate::host::id(name);
        let given = self.votes.range((own.as_str().to_owned(), 0)..=(own.as_str().to_owned(), u64::MAX)).next_back();
        let Some(((_, term), candidate)) = given else { return };
        let kept = log.vote().and_then(|bytes| wire::vote(&bytes));
        let is_kept = kept.as_ref().is_some_and(|kept| {
            // A leader that others elected in the same term takes the place of the vote: no candidate of that term can get it any more.
            let is_same = kept.leader_id.voted_for.as_ref() == Some(candidate) || kept.committed;
            kept.leader_id.term > *term || (kept.leader_id.term == *term && is_same)
        });
        if !is_kept {
            let text = format!("{name} voted for {candidate} in term {term}, and found {kept:?} when it started");
            world.violated(Invariant::VoteSurvives, text);
        }
    }
}
