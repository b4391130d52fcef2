//! Writes that carry an id: once each, remembered for a while and up to a number, the same on every server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{JobType, Timestamp};
use floe_state::{
    Command, Digest, Entry, Outcome, Stamp, State,
    command::{Refusal, RegisterJob},
    requests::{MAX_REQUESTS, REQUEST_KEPT, RequestId},
};
use support::{Machine, job, key};

fn once(id: &str, of: &str, command: Command) -> Command {
    Command::Once { request: RequestId { id: id.to_owned(), digest: Digest::of_bytes(of.as_bytes()) }, command: Box::new(command) }
}

fn evaluate(id: &str) -> Command {
    once(id, "evaluate a", Command::EvaluateJob { key: key("a") })
}

fn with_job() -> Machine {
    let mut m = Machine::default();
    m.register(job("a", JobType::Service));
    m
}

#[test]
fn a_write_that_comes_again_is_done_once_and_told_the_same() {
    let mut m = with_job();
    let evals = m.state.evals().count();
    let first = m.run(evaluate("x")).outcome;
    let at = m.state.index();
    assert!(matches!(first, Outcome::Job { .. }), "{first:?}");
    for _ in 0..2 {
        let again = m.run(evaluate("x"));
        assert_eq!(again.outcome, Outcome::Repeated { index: at, outcome: Box::new(first.clone()) });
        assert!(again.effects.changes.is_empty());
    }
    assert_eq!(m.state.evals().count(), evals + 1);
    assert!(matches!(m.run(evaluate("y")).outcome, Outcome::Job { .. }), "another id is another write");
    assert_eq!(m.state.evals().count(), evals + 2);
    // What is remembered goes with a snapshot, and counts in the digest.
    let mut read = State::decode(&m.state.encode()).unwrap();
    assert_eq!(read.digest(), m.state.digest());
    let (index, entry) = (m.state.index() + 1, Entry { stamp: m.log.last().unwrap().1.stamp, command: evaluate("x") });
    assert_eq!(read.apply(index, &entry), m.state.apply(index, &entry));
    assert_eq!(read.encode(), m.state.encode());
}

#[test]
fn a_refusal_is_remembered_and_another_write_under_the_id_is_refused() {
    let mut m = with_job();
    let missing = once("x", "evaluate b", Command::EvaluateJob { key: key("b") });
    let Outcome::Refused(why) = m.run(missing.clone()).outcome else { panic!("done") };
    m.run(Command::RegisterJob(RegisterJob {
        job: Box::new(job("b", JobType::Service)),
        submission: None,
        enforce_index: None,
        eval_priority: None,
    }));
    let Outcome::Repeated { outcome, .. } = m.run(missing).outcome else { panic!("done again") };
    assert_eq!(*outcome, Outcome::Refused(why));
    assert_eq!(m.run(evaluate("x")).outcome, Outcome::Refused(Refusal::RequestIdReused("x".to_owned())));
    let nested = once("n", "n", evaluate("inner"));
    assert_eq!(m.run(nested).outcome, Outcome::Refused(Refusal::RequestIdReused("inner".to_owned())));
    assert!(m.state.request("inner").is_none());
}

fn apply_at(state: &mut State, now: i64, command: Command) -> Outcome {
    let index = state.index() + 1;
    state.apply(index, &Entry { stamp: Stamp { now: Timestamp(now), seed: (index, 1) }, command }).outcome
}

#[test]
fn a_write_is_remembered_for_its_time_and_not_longer() {
    let mut m = with_job();
    apply_at(&mut m.state, 1_000, evaluate("x"));
    let just_before = apply_at(&mut m.state, 1_000 + REQUEST_KEPT.0 - 1, evaluate("x"));
    assert!(matches!(just_before, Outcome::Repeated { .. }));
    let over = apply_at(&mut m.state, 1_000 + REQUEST_KEPT.0, evaluate("x"));
    assert!(matches!(over, Outcome::Job { .. }), "{over:?}");
}

#[test]
fn as_many_are_remembered_as_the_bound_says_and_then_the_oldest_goes() {
    let mut m = with_job();
    let write = |n: usize| once(&n.to_string(), "", Command::EvaluateJob { key: key("none") });
    for n in 0..MAX_REQUESTS {
        apply_at(&mut m.state, 1_000, write(n));
    }
    assert!(m.state.request("0").is_some(), "at the bound");
    apply_at(&mut m.state, 1_000, write(MAX_REQUESTS));
    assert!(m.state.request("0").is_none() && m.state.request("1").is_some(), "one past it");
}
