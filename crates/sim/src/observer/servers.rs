//! Terms, leaders, views and snapshots of each server.

use super::Observer;
use crate::{
    host::{Fate, Host},
    invariant::Invariant,
    trace::digest,
    wire,
    world::World,
};
use floe_consensus::{Status, status::Role};
use std::rc::Rc;

/// A view is compared with the replay at every such index, at each start and at the end; each snapshot is too.
const COMPARE_EVERY: u64 = 16;

impl Observer {
    pub(super) fn look_at_server(&mut self, world: &Rc<World>, host: &Host) {
        let Some(server) = &host.server else { return };
        let status = server.status();
        self.look_at_term(world, host, &status);
        self.look_at_cut(world, host, &status);
        self.look_at_commit(world, host, &status);
        if status.role == Role::Leader {
            self.look_at_leader(world, host, &status);
        } else if let Some(known) = self.known.get_mut(&host.name) {
            known.is_leader_of = None;
        }
        let (leadership, view) = (server.leadership().borrow().clone(), server.view());
        if leadership.is_leader {
            self.look_at_confirmed(world, &host.name, leadership.term, view.log_index());
        }
        self.look_at_view(world, host, &view);
        self.look_at_snapshot(world, host, &status);
    }

    fn look_at_term(&mut self, world: &World, host: &Host, status: &Status) {
        let known = self.known.entry(host.name.clone()).or_default();
        if status.term < known.term {
            world.violated(Invariant::TermNeverGoesBack, format!("{} was in term {} and is in {}", host.name, known.term, status.term));
        }
        if status.term > known.term {
            world.trace.mix(format!("{} is in term {}", host.name, status.term).as_bytes());
        }
        known.term = status.term;
    }

    fn look_at_cut(&mut self, world: &World, host: &Host, status: &Status) {
        let Some(known) = self.known.get_mut(&host.name) else { return };
        let leads_on = status.role == Role::Leader && known.is_leader_of == Some(status.term);
        if let Some(from) = known.cut.take().filter(|_| leads_on) {
            let text = format!("{} leads in term {} and cut its log off from entry {from}", host.name, status.term);
            world.violated(Invariant::LeaderAppendOnly, text);
        }
    }

    fn look_at_commit(&mut self, world: &Rc<World>, host: &Host, status: &Status) {
        let committed = status.committed.map_or(0, |c| c.index);
        let known = self.known.entry(host.name.clone()).or_default();
        if committed < known.committed {
            let text = format!("{} knew {} to be committed, and now {committed}", host.name, known.committed);
            world.violated(Invariant::CommitNeverGoesBack, text);
        }
        known.committed = committed;
        let (Some(log), Some(at)) = (&host.log, &status.committed) else { return };
        // While a snapshot takes the place of a log, what is left of that is not what is committed.
        if log.read(at.index..at.index + 1).unwrap_or_default().first().is_none_or(|record| record.position.term != at.term) {
            return;
        }
        let from = known.compared.max(known.log.purged.map_or(0, |purged| purged + 1));
        let records = log.read(from..committed + 1).unwrap_or_default();
        for record in &records {
            self.commit(world, &host.name, record);
        }
        if let Some(last) = records.last()
            && let Some(known) = self.known.get_mut(&host.name)
        {
            known.compared = last.index() + 1;
        }
    }

    fn look_at_leader(&mut self, world: &Rc<World>, host: &Host, status: &Status) {
        let (name, term) = (&host.name, status.term);
        let known = self.known.entry(name.clone()).or_default();
        if known.is_leader_of == Some(term) {
            return;
        }
        known.is_leader_of = Some(term);
        world.happened(name, "leader");
        world.trace.say(format_args!("{name} leads in term {term}"));
        if host.fate == Fate::LostLog {
            world.violated(Invariant::LostLogNeverVotes, format!("{name} leads in term {term} without the log that it had"));
        }
        if let Some(other) = self.leaders.insert(term, name.clone())
            && other != *name
        {
            world.violated(Invariant::ElectionSafety, format!("{other} and {name} lead in term {term}"));
        }
        self.voted(world, name, term, host.id().as_str());
        self.check_complete(world, name, term);
        let log = self.known.get(name).map(|known| &known.log);
        let newest = log.and_then(|log| log.last()).map_or(0, |last| last + 1);
        let now = self.membership_before(name, newest);
        let before = log.into_iter().flat_map(|log| log.entries.iter().rev()).find(|(i, (t, _))| self.memberships.contains_key(&(**i, *t)));
        let before = before.and_then(|(index, _)| self.membership_before(name, *index));
        let id = host.id();
        if !now.into_iter().chain(before).any(|membership| membership.voters().contains(id.as_str())) {
            world.violated(Invariant::OnlyMembersVote, format!("{name} leads in term {term} and has no vote: {now:?}"));
        }
    }

    fn look_at_confirmed(&self, world: &World, name: &str, term: u64, applied: u64) {
        if let Some(lacks) = self.committed.last_before(term).filter(|last| *last > applied) {
            let text = format!("{name} counts as leader of term {term}, and has applied {applied} of {lacks} entries of terms before");
            world.violated(Invariant::LeaderHasApplied, text);
        }
    }

    fn check_complete(&self, world: &World, name: &str, term: u64) {
        let Some(known) = self.known.get(name) else { return };
        let from = known.log.purged.map_or(0, |purged| purged + 1);
        let lacks = self.committed.range(from).find(|(index, of)| *of < term && !known.log.holds(*index, *of));
        if let Some((index, of)) = lacks {
            world.violated(
                Invariant::LeaderCompleteness,
                format!("{name} leads in term {term} without entry {index} of term {of}, which is committed"),
            );
        }
    }

    fn look_at_view(&mut self, world: &World, host: &Host, view: &floe_state::State) {
        let index = view.log_index();
        let known = self.known.entry(host.name.clone()).or_default();
        if index < known.view {
            world.violated(Invariant::ViewNeverGoesBack, format!("{} showed {} and shows {index}", host.name, known.view));
        }
        if view.index() < known.index {
            let text = format!("{} showed index {} and shows {}", host.name, known.index, view.index());
            world.violated(Invariant::IndexNeverGoesBack, text);
        }
        known.index = view.index();
        let (is_first, is_new) = (known.view == 0, index != known.view);
        known.view = index;
        if !is_new {
            return;
        }
        if index > self.committed.last() {
            let text = format!("{} applied entry {index}, but only {} are committed", host.name, self.committed.last());
            return world.violated(Invariant::AppliedIsCommitted, text);
        }
        let is_restored = view.restored().index > 0 && view.restored().index == view.index();
        if is_first || is_restored || index.is_multiple_of(COMPARE_EVERY) || world.is_over.get() {
            let expected = self.committed.state_digest(index);
            if expected.is_some_and(|expected| expected != digest(&view.encode())) {
                let text = format!("the state of {} at {index} is not what the entries make", host.name);
                world.violated(Invariant::StateIsReplay, text);
            }
        }
    }

    fn look_at_snapshot(&mut self, world: &Rc<World>, host: &Host, status: &Status) {
        let Some(at) = status.snapshot else { return };
        let known = self.known.entry(host.name.clone()).or_default();
        if known.snapshot == at.index {
            return;
        }
        known.snapshot = at.index;
        let file = host.snapshots.as_ref().and_then(|s| s.list().ok()).into_iter().flatten().find(|file| file.id().index == at.index);
        let Some(Ok(found)) = file.map(|file| file.read()) else { return };
        world.happened(&host.name, "snapshot");
        world.trace.say(format_args!("{} has a snapshot of entry {}", host.name, at.index));
        if self.committed.term(at.index) != Some(at.term) || self.committed.state_digest(at.index) != Some(digest(&found.body)) {
            let text = format!("the snapshot {}-{} of {} is not what the entries make", at.index, at.term, host.name);
            world.violated(Invariant::SnapshotIsReplay, text);
        }
        let expected = self.committed.membership_at(at.index).map(|(index, m)| (Some(index), m.voters()));
        let said = wire::snapshot_membership(&found.meta);
        if expected.is_some() && said != expected {
            let text = format!("the snapshot of {} at {} has the membership {said:?}, the log {expected:?}", host.name, at.index);
            world.violated(Invariant::SnapshotKeepsMembership, text);
        }
    }
}
