//! Whether the servers still hold the same state. Pure.
//!
//! Every [`CHECK_ENTRIES`] entries each voter reports, through the log, the digest that its state had at that entry. So all servers see the
//! same reports, the leader's is one among them, and whose state counts is what a majority of the voters has:
//!
//! | reports of one entry | what follows |
//! |---|---|
//! | a majority has one digest | whoever has another stops, the leader too |
//! | no digest can reach a majority any more | nobody can tell who is right: whoever hears it stops, the leader first, until those that are left are no majority and can take nothing. Of two servers that differ this is always so |
//! | they differ, and reports of other voters may still decide | an error is logged, and the servers go on |
//!
//! A server that took its state from a snapshot after that entry has nothing to compare with, and waits for the next report. Reports of
//! another build's form are not compared: a row may be written in another way there. So a check never stops a server during an upgrade.

use crate::ServerId;
use floe_state::{
    State,
    command::DigestReport,
    digest::{Digest, FORM},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// After how many entries the servers compare their states.
pub const CHECK_ENTRIES: u64 = 1_000;
/// How many of the newest comparisons are remembered. A report that comes later than as many are is not compared.
const REMEMBERED: usize = 8;

/// This server does not hold what the others hold, or nobody knows which of them is right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Divergence {
    /// The majority has another state.
    #[error(
        "the state of this server differs from that of {agreed} of {voters} voters at entry {index}, in {tables}; nothing is applied any more. Its \
         state must not be used: remove this server from the cluster (floe server remove), move its data folder away, and let it join as a new \
         one, with a token (floe server token)"
    )]
    Minority {
        /// The entry.
        index: u64,
        /// How many voters agree with each other.
        agreed: usize,
        /// How many voters there are.
        voters: usize,
        /// The names of the tables that differ, separated by commas.
        tables: String,
    },
    /// The reports cannot make a majority.
    #[error(
        "the states of the servers differ at entry {index}, in {tables}, and no majority of the {voters} voters agrees, so nobody can tell which is \
         right; nothing is applied any more on any of them. Choose the server whose state is to count (stale reads show it), move the \
         data folders of the others away, and go on with that one alone: floe operator recover"
    )]
    Undecided {
        /// The entry.
        index: u64,
        /// How many voters there are.
        voters: usize,
        /// The names of the tables that differ, separated by commas.
        tables: String,
    },
}

impl Divergence {
    /// The entry at which states differ.
    pub fn index(&self) -> u64 {
        match self {
            Divergence::Minority { index, .. } | Divergence::Undecided { index, .. } => *index,
        }
    }
}

/// What was reported of one entry, by who reported it.
type Reports = BTreeMap<ServerId, DigestReport>;

/// What one server knows of the comparisons.
#[derive(Debug)]
pub(crate) struct Check {
    own: ServerId,
    every: u64,
    /// What this server had, oldest first.
    marks: VecDeque<DigestReport>,
    /// What was reported, by entry.
    reports: BTreeMap<u64, Reports>,
}

impl Check {
    pub(crate) fn new(own: ServerId, every: u64) -> Self {
        Self { own, every: every.max(1), marks: VecDeque::new(), reports: BTreeMap::new() }
    }

    /// This server applied an entry. Returns what it has to report, when that is due.
    pub(crate) fn applied(&mut self, state: &State) -> Option<DigestReport> {
        // Entry zero is the first membership; there is nothing to compare.
        if state.log_index() == 0 || !state.log_index().is_multiple_of(self.every) {
            return None;
        }
        let mark = DigestReport {
            server: self.own.as_str().to_owned(),
            index: state.log_index(),
            form: FORM.to_owned(),
            digest: state.digest(),
            tables: state.table_digests().into_iter().map(|(name, digest)| (name.to_owned(), digest)).collect(),
        };
        self.marks.push_back(mark.clone());
        if self.marks.len() > REMEMBERED {
            self.marks.pop_front();
        }
        Some(mark)
    }

    /// The state came from elsewhere: what this server had before says nothing of it.
    pub(crate) fn replaced(&mut self) {
        self.marks.clear();
    }

    /// A report was applied. `voters` are those in effect at its entry.
    pub(crate) fn heard(&mut self, report: &DigestReport, voters: &BTreeSet<ServerId>) -> Result<(), Divergence> {
        let reports = self.reports.entry(report.index).or_default();
        reports.insert(ServerId::from(report.server.clone()), report.clone());
        while self.reports.len() > REMEMBERED {
            self.reports.pop_first();
        }
        let own = self.marks.iter().find(|mark| mark.index == report.index);
        match (own, self.reports.get(&report.index)) {
            (Some(own), Some(reports)) => judge(own, reports, voters),
            _ => Ok(()),
        }
    }
}

/// Whether the server that had `own` may go on.
fn judge(own: &DigestReport, reports: &Reports, voters: &BTreeSet<ServerId>) -> Result<(), Divergence> {
    let comparable = || reports.iter().filter(|(id, r)| voters.contains(*id) && r.form == own.form).map(|(_, r)| r);
    let mut counts: BTreeMap<Digest, usize> = BTreeMap::new();
    for report in comparable() {
        *counts.entry(report.digest).or_default() += 1;
    }
    let Some((leading, agreed)) = counts.iter().max_by_key(|(_, count)| **count).map(|(d, count)| (*d, *count)) else { return Ok(()) };
    let (index, voters, majority) = (own.index, voters.len(), voters.len() / 2 + 1);
    let others = |digest: Option<Digest>| comparable().filter(move |r| digest.is_none_or(|d| r.digest == d));
    if agreed >= majority {
        let differ = || Divergence::Minority { index, agreed, voters, tables: differing(own, others(Some(leading))) };
        return if leading == own.digest { Ok(()) } else { Err(differ()) };
    }
    let reported: usize = counts.values().sum();
    let tables = differing(own, others(None));
    if agreed + voters.saturating_sub(reported) < majority {
        return Err(Divergence::Undecided { index, voters, tables });
    }
    if counts.len() > 1 {
        tracing::error!(
            index,
            "the states of the servers differ in {tables}; which one is right is known when the other voters report: start them"
        );
    }
    Ok(())
}

/// The names of the tables in which one of these differs.
fn differing<'a>(own: &DigestReport, others: impl Iterator<Item = &'a DigestReport>) -> String {
    let mut names = BTreeSet::new();
    for other in others.filter(|o| o.digest != own.digest) {
        let changed = own.tables.iter().zip(&other.tables).filter(|(a, b)| a != b).map(|(a, _)| a.0.as_str());
        let before = names.len();
        names.extend(changed);
        if names.len() == before && own.tables == other.tables {
            names.insert("what the tables' indexes are");
        }
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use floe_state::Command;

    fn id(name: &str) -> ServerId {
        name.to_owned().into()
    }

    fn set(names: &[&str]) -> BTreeSet<ServerId> {
        names.iter().map(|n| id(n)).collect()
    }

    /// A state at entry 10 with this refused agent.
    fn state(agent: &str) -> State {
        let mut state = State::default();
        let command = Command::RefuseAgent { id: agent.to_owned() };
        state.apply(10, &floe_state::Entry { stamp: floe_state::Stamp::default(), command });
        state
    }

    /// A server that had this state, and what it reports.
    fn server(name: &str, agent: &str) -> (Check, DigestReport) {
        let mut check = Check::new(id(name), 10);
        let report = check.applied(&state(agent)).expect("due");
        (check, report)
    }

    /// What each of these servers, with its state, comes to when all report.
    fn verdicts(servers: &[(&str, &str)], voters: &[&str], silent: &[&str]) -> Vec<Option<Divergence>> {
        let reports: Vec<_> = servers.iter().filter(|(n, _)| !silent.contains(n)).map(|(n, s)| server(n, s).1).collect();
        let verdict = |(name, state): &(&str, &str)| {
            let mut check = server(name, state).0;
            reports.iter().find_map(|r| check.heard(r, &set(voters)).err())
        };
        servers.iter().map(verdict).collect()
    }

    #[test]
    fn the_minority_stops_whoever_leads() {
        for wrong in 0..3 {
            let mut servers = [("a", "x"), ("b", "x"), ("c", "x")];
            servers[wrong].1 = "y";
            let verdicts = verdicts(&servers, &["a", "b", "c"], &[]);
            for (n, verdict) in verdicts.into_iter().enumerate() {
                let expected = Divergence::Minority { index: 10, agreed: 2, voters: 3, tables: "refused_agents".to_owned() };
                assert_eq!(verdict, (n == wrong).then_some(expected));
            }
        }
    }

    #[test]
    fn without_a_majority_all_stop_once_nobody_is_left_to_decide() {
        let undecided = |voters| Some(Divergence::Undecided { index: 10, voters, tables: "refused_agents".to_owned() });
        assert_eq!(verdicts(&[("a", "x"), ("b", "y")], &["a", "b"], &[]), [undecided(2), undecided(2)]);
        assert_eq!(verdicts(&[("a", "x"), ("b", "y")], &["a", "b", "c"], &[]), [None, None], "c may decide");
        assert_eq!(verdicts(&[("a", "x"), ("b", "y"), ("c", "z")], &["a", "b", "c"], &[]), [undecided(3), undecided(3), undecided(3)]);
        let four = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")];
        assert_eq!(verdicts(&four, &["a", "b", "c", "d"], &[]), [undecided(4), undecided(4), undecided(4), undecided(4)]);
    }

    #[test]
    fn only_voters_count_and_a_learner_compares_all_the_same() {
        let servers = [("a", "x"), ("b", "x"), ("l", "y")];
        let verdicts = verdicts(&servers, &["a", "b"], &["l"]);
        assert_eq!(verdicts[..2], [None, None]);
        assert!(matches!(verdicts[2], Some(Divergence::Minority { agreed: 2, voters: 2, .. })));
        let (mut check, own) = server("a", "x");
        assert_eq!(check.heard(&own, &set(&["a"])), Ok(()), "alone it is always right");
    }

    #[test]
    fn another_form_and_what_was_before_a_snapshot_are_not_compared() {
        let (mut check, own) = server("a", "x");
        let voters = set(&["a", "b"]);
        check.heard(&own, &voters).expect("its own");
        let other = DigestReport { form: "other".to_owned(), ..server("b", "y").1 };
        check.heard(&other, &voters).expect("of another form");
        check.replaced();
        check.heard(&server("b", "y").1, &voters).expect("nothing to compare with");
    }

    #[test]
    fn it_is_due_at_multiples_and_old_ones_are_forgotten() {
        let mut check = Check::new(id("a"), 10);
        let mut state = State::default();
        let mut due = Vec::new();
        for index in 0..=(REMEMBERED as u64 + 1) * 10 {
            state.skip(index);
            due.extend(check.applied(&state));
        }
        let (oldest, at_limit) = (due.first().expect("due").clone(), due.get(1).expect("due").clone());
        assert_eq!(due.iter().map(|d| d.index).collect::<Vec<_>>(), (1..=REMEMBERED as u64 + 1).map(|n| n * 10).collect::<Vec<_>>());
        let wrong = |of: &DigestReport| DigestReport { server: "b".to_owned(), digest: Digest::default(), ..of.clone() };
        let voters = set(&["a", "b"]);
        check.heard(&oldest, &voters).expect("one past what is remembered");
        check.heard(&wrong(&oldest), &voters).expect("one past what is remembered");
        check.heard(&at_limit, &voters).expect("its own");
        assert!(check.heard(&wrong(&at_limit), &voters).is_err(), "the oldest that is remembered");
    }
}
