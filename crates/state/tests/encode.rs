//! Snapshots: equal states are equal bytes, what is written is read, what is damaged is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{AllocClientStatus, JobType, NodeStatus};
use floe_state::{Command, Entry, State, command::NodeStatusUpdate, encode::DecodeError};
use proptest::prelude::*;
use support::{Machine, NODE, alloc, job, key, node};

/// Runs a little history chosen by numbers.
fn history(steps: &[u8]) -> Machine {
    let mut m = Machine::default();
    m.run(Command::SetClusterVersion { version: 1 });
    for (i, step) in steps.iter().enumerate() {
        let name = format!("j{}", step % 3);
        let j = job(&name, if step % 2 == 0 { JobType::Service } else { JobType::Batch });
        match step / 32 {
            0 => drop(m.run(Command::RegisterNode { node: Box::new(node(NODE)) })),
            1 | 2 => drop(m.register(j)),
            3 => drop(m.place(vec![alloc(&format!("a{i}"), &j, u32::from(*step))], &j)),
            4 => drop(m.report(&format!("a{}", i.saturating_sub(1)), AllocClientStatus::Running)),
            5 => drop(m.report(&format!("a{}", i.saturating_sub(2)), AllocClientStatus::Failed)),
            6 => drop(m.run(Command::DeregisterJob { key: key(&name), purge: step % 2 == 0 })),
            _ => {
                let update = NodeStatusUpdate { id: NODE.into(), status: NodeStatus::Down, message: "gone".to_owned() };
                m.run(Command::UpdateNodeStatus { updates: vec![update] });
            }
        }
    }
    m
}

/// Everything that can be read, indexes included.
fn view(s: &State) -> String {
    let jobs: Vec<_> = s
        .jobs()
        .map(|j| {
            (
                j,
                s.allocs_of_job(&j.key()).collect::<Vec<_>>(),
                s.evals_of_job(&j.key()).collect::<Vec<_>>(),
                s.job_versions(&j.key()),
                s.job_summary(&j.key()),
            )
        })
        .collect();
    let nodes: Vec<_> = s.nodes().map(|n| (n, s.allocs_of_node(&n.id).collect::<Vec<_>>())).collect();
    let services: Vec<_> = s.allocs().map(|a| s.services_of_alloc(&a.id).collect::<Vec<_>>()).collect();
    format!(
        "{} {} {jobs:?} {nodes:?} {services:?} {:?} {:?}",
        s.index(),
        s.cluster_version(),
        s.evals().collect::<Vec<_>>(),
        s.services().collect::<Vec<_>>()
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(steps in proptest::collection::vec(any::<u8>(), 0..40)) {
        let m = history(&steps);
        let bytes = m.state.encode();
        let read = State::decode(&bytes).unwrap();
        prop_assert_eq!(view(&read), view(&m.state));
        prop_assert_eq!(read.encode(), bytes);
        // Reading adds the rows up anew, so what was kept up to date row by row is checked as well.
        prop_assert_eq!(read.table_digests(), m.state.table_digests());
        prop_assert_eq!(read.digest(), m.state.digest());
    }

    #[test]
    fn two_servers_that_apply_the_same_entries_agree(steps in proptest::collection::vec(any::<u8>(), 0..40), cut in 0usize..40) {
        let m = history(&steps);
        // One server applies all from the start; one goes through a snapshot on the way; entries travel as bytes.
        let (mut a, mut b) = (State::default(), State::default());
        for (n, (index, entry)) in m.log.iter().enumerate() {
            let wire: Entry = rmp_serde::from_slice(&rmp_serde::to_vec_named(entry).unwrap()).unwrap();
            prop_assert_eq!(&wire, entry);
            let left = a.apply(*index, entry);
            if n == cut {
                b = State::decode(&b.encode()).unwrap();
            }
            prop_assert_eq!(left, b.apply(*index, &wire));
        }
        prop_assert_eq!(a.encode(), b.encode());
        prop_assert_eq!(a.digest(), b.digest());
    }

    #[test]
    fn damage_is_refused_or_harmless(steps in proptest::collection::vec(any::<u8>(), 0..12), at in any::<proptest::sample::Index>(), bit in 0u8..8) {
        let mut bytes = history(&steps).state.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = State::decode(&bytes);
        let _ = State::decode(&bytes[..at]);
    }
}

#[test]
fn foreign_and_future_snapshots_are_refused_by_name() {
    let good = history(&[0, 64, 128]).state.encode();
    assert!(matches!(State::decode(b"hello"), Err(DecodeError::NotASnapshot)));
    let mut future = good.clone();
    future[11] = 2;
    assert!(matches!(State::decode(&future), Err(DecodeError::FutureFormat(2))));
    assert!(matches!(State::decode(&good[..good.len() - 1]), Err(DecodeError::Body(_))));
    let mut m = Machine::default();
    let newer = floe_state::command::CLUSTER_VERSION + 1;
    m.run(Command::SetClusterVersion { version: newer });
    assert!(matches!(State::decode(&m.state.encode()), Err(DecodeError::FutureVersion(found)) if found == newer));
}

#[test]
fn a_change_shows_in_the_digest_of_its_table_and_nowhere_else() {
    let mut m = Machine::with_node();
    m.register(job("a", JobType::Service));
    let mut changed = |command| {
        let (whole, before) = (m.state.digest(), m.state.table_digests());
        m.run(command);
        assert_ne!(m.state.digest(), whole);
        let pairs = before.into_iter().zip(m.state.table_digests());
        pairs.filter(|(a, b)| a != b).map(|(a, _)| a.0).collect::<Vec<_>>()
    };
    assert_eq!(changed(Command::RefuseAgent { id: "x".to_owned() }), ["refused_agents"]);
    let token = Command::CreateJoinToken {
        hash: "h".to_owned(),
        role: floe_state::tokens::JoinRole::Client,
        expires: floe_model::Timestamp(i64::MAX),
    };
    assert_eq!(changed(token), ["join_tokens"]);
    let renamed = floe_model::Node { name: "other".to_owned(), ..node(NODE) };
    assert_eq!(changed(Command::RegisterNode { node: Box::new(renamed) }), ["nodes"]);
    assert_eq!(changed(Command::EvaluateJob { key: key("a") }), ["evals"]);
    let none: Vec<&str> = Vec::new();
    assert_eq!(changed(Command::SetClusterVersion { version: 1 }), none, "only the index and the version");
}

#[test]
fn jobs_are_written_once() {
    let mut m = Machine::with_node();
    let mut j = job("a", JobType::Service);
    j.meta.insert("big".to_owned(), "x".repeat(10_000));
    m.register(j.clone());
    m.place((0..2).map(|i| alloc(&format!("a{i}"), &j, i)).collect(), &j);
    let text = m.state.encode();
    let copies = text.windows(100).filter(|w| w.iter().all(|b| *b == b'x')).count();
    // The row and its version differ in status (pending, running): two copies of ten thousand, not four.
    assert!(copies < 2 * 10_000, "{copies}");
}
