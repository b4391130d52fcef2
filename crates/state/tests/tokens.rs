//! Join tokens: one machine each, for a while.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{NodeStatus, Timestamp};
use floe_state::{
    Command, Outcome, State,
    command::Refusal,
    tokens::{FOUNDING_TIME, JoinRole, MAX_FOUNDERS, MAX_JOIN_TOKENS, MAX_REFUSED_AGENTS},
};
use support::{Machine, NODE, node};

/// The machine's clock is here before its first command, and goes on by a second with each.
const START: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn create(m: &mut Machine, hash: &str, role: JoinRole, seconds: i64) -> Outcome {
    let expires = Timestamp(START + seconds * SECOND);
    m.run(Command::CreateJoinToken { hash: hash.to_owned(), role, expires }).outcome
}

fn join(m: &mut Machine, hash: &str, role: JoinRole, id: &str) -> Result<(), Refusal> {
    match m.run(Command::UseJoinToken { hash: hash.to_owned(), role, id: id.to_owned() }).outcome {
        Outcome::Done => Ok(()),
        Outcome::Refused(why) => Err(why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_lets_one_machine_in_however_often_it_asks() {
    let mut m = Machine::default();
    create(&mut m, "h", JoinRole::Client, 100);
    assert_eq!(join(&mut m, "h", JoinRole::Server, "a"), Err(Refusal::JoinTokenRole { wanted: JoinRole::Server, given: JoinRole::Client }));
    assert_eq!(join(&mut m, "h", JoinRole::Client, "a"), Ok(()));
    assert_eq!(join(&mut m, "h", JoinRole::Client, "a"), Ok(()), "its answer got lost");
    let before = m.state.encode();
    assert_eq!(join(&mut m, "h", JoinRole::Client, "b"), Err(Refusal::JoinTokenUsed("a".to_owned())));
    assert_eq!(join(&mut m, "other", JoinRole::Client, "b"), Err(Refusal::JoinTokenUnknown));
    let mut refused = State::decode(&before).unwrap();
    refused.skip(m.state.index());
    assert_eq!(m.state.encode(), refused.encode(), "what was refused changed nothing, and tokens are in the snapshot");
}

#[test]
fn a_token_ends_with_its_time() {
    let mut m = Machine::default();
    create(&mut m, "h", JoinRole::Server, 3);
    assert_eq!(join(&mut m, "h", JoinRole::Server, "a"), Ok(()), "second 2");
    assert_eq!(join(&mut m, "h", JoinRole::Server, "a"), Err(Refusal::JoinTokenExpired), "second 3");
    create(&mut m, "next", JoinRole::Server, 100);
    assert_eq!(m.state.join_tokens().map(|t| t.hash.as_str()).collect::<Vec<_>>(), ["next"], "expired ones are forgotten");
}

#[test]
fn who_was_removed_for_good_is_not_let_in_again() {
    let mut m = Machine::default();
    create(&mut m, "h", JoinRole::Server, 100);
    assert_eq!(m.run(Command::RefuseAgent { id: "a".to_owned() }).outcome, Outcome::Done);
    assert_eq!(join(&mut m, "h", JoinRole::Server, "a"), Err(Refusal::AgentRefused("a".to_owned())));
    let kept = State::decode(&m.state.encode()).unwrap();
    assert!(kept.is_agent_refused("a") && !kept.is_agent_refused("b"));
    assert_eq!(m.run(Command::AcceptServer { id: "a".to_owned() }).outcome, Outcome::Done, "unless an operator takes it in again");
    assert!(!m.state.is_agent_refused("a"));
    assert_eq!(join(&mut m, "h", JoinRole::Server, "b"), Ok(()));
}

#[test]
fn tokens_are_bounded() {
    let mut m = Machine::default();
    for n in 0..MAX_JOIN_TOKENS {
        assert_eq!(create(&mut m, &n.to_string(), JoinRole::Client, 1_000_000), Outcome::Done);
    }
    assert_eq!(create(&mut m, "one more", JoinRole::Client, 1_000_000), Outcome::Refused(Refusal::TooManyJoinTokens));
}

fn begin(m: &mut Machine, founders: &[&str]) -> Outcome {
    m.run(Command::BeginFounding { founders: founders.iter().map(|id| (*id).to_owned()).collect() }).outcome
}

fn admit(m: &mut Machine, hash: &str, id: &str) -> Outcome {
    m.run(Command::AdmitFounder { hash: hash.to_owned(), id: id.to_owned() }).outcome
}

#[test]
fn those_who_began_a_cluster_are_let_in_each_by_a_token_of_its_own() {
    let mut m = Machine::default();
    assert_eq!(admit(&mut m, "h", "b"), Outcome::Refused(Refusal::NotFounder("b".to_owned())), "nobody is a founder of every cluster");
    assert_eq!(begin(&mut m, &["a", "b"]), Outcome::Done);
    assert_eq!(begin(&mut m, &["a", "c"]), Outcome::Done, "said again");
    assert_eq!(admit(&mut m, "hc", "c"), Outcome::Refused(Refusal::NotFounder("c".to_owned())), "and not changed");
    assert_eq!(admit(&mut m, "hb", "b"), Outcome::Done);
    assert_eq!(admit(&mut m, "hb", "b"), Outcome::Done, "its answer got lost");
    assert_eq!(join(&mut m, "hb", JoinRole::Server, "a"), Err(Refusal::JoinTokenUsed("b".to_owned())));
    assert_eq!(join(&mut m, "hb", JoinRole::Server, "b"), Ok(()));
    let mut kept = State::decode(&m.state.encode()).unwrap();
    assert_eq!(kept.founding(), m.state.founding());
    kept.skip(m.state.index());
    assert_eq!(kept.encode(), m.state.encode());
    m.run(Command::RefuseAgent { id: "b".to_owned() });
    assert_eq!(admit(&mut m, "hb", "b"), Outcome::Refused(Refusal::AgentRefused("b".to_owned())));
}

#[test]
fn the_founding_ends_after_a_day() {
    let mut m = Machine::default();
    begin(&mut m, &["a", "b"]);
    let until = m.state.founding().unwrap().until;
    assert_eq!(until, Timestamp(START + SECOND).plus(FOUNDING_TIME));
    let seconds = FOUNDING_TIME.0 / SECOND;
    m.state.skip(u64::try_from(seconds).unwrap() - 1);
    assert_eq!(admit(&mut m, "hb", "b"), Outcome::Done, "its last second");
    assert_eq!(admit(&mut m, "hb", "b"), Outcome::Refused(Refusal::FoundingOver));
    assert_eq!(join(&mut m, "hb", JoinRole::Server, "b"), Err(Refusal::JoinTokenExpired));
}

#[test]
fn founders_are_bounded() {
    let ids: Vec<String> = (0..=MAX_FOUNDERS).map(|n| n.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(begin(&mut Machine::default(), &ids), Outcome::Refused(Refusal::TooManyFounders(MAX_FOUNDERS + 1)));
    assert_eq!(begin(&mut Machine::default(), ids.split_last().unwrap().1), Outcome::Done);
}

fn refuse_client(m: &mut Machine, id: &str) -> Outcome {
    m.run(Command::RefuseClient { id: id.to_owned() }).outcome
}

#[test]
fn a_client_that_is_refused_is_down_and_stays_out() {
    let mut m = Machine::with_node();
    create(&mut m, "h", JoinRole::Client, 100);
    assert!(matches!(refuse_client(&mut m, NODE), Outcome::Evals(_)));
    assert_eq!(m.state.node(&NODE.into()).unwrap().status, NodeStatus::Down);
    assert_eq!(join(&mut m, "h", JoinRole::Client, NODE), Err(Refusal::AgentRefused(NODE.to_owned())));
    let registered = m.run(Command::RegisterNode { node: Box::new(node(NODE)) }).outcome;
    assert_eq!(registered, Outcome::Refused(Refusal::AgentRefused(NODE.to_owned())), "by a server that had not heard of it");
    let kept = State::decode(&m.state.encode()).unwrap();
    assert!(kept.is_agent_refused(NODE) && !kept.is_server_refused(NODE));
    m.run(Command::AcceptServer { id: NODE.to_owned() });
    assert!(m.state.is_agent_refused(NODE), "it is no server that could be taken in again");
    assert_eq!(refuse_client(&mut m, "never seen"), Outcome::Evals(Vec::new()));
    assert!(m.state.is_agent_refused("never seen"));
}

#[test]
fn refused_agents_are_bounded_together() {
    let mut m = Machine::default();
    for n in 0..MAX_REFUSED_AGENTS - 1 {
        refuse_client(&mut m, &n.to_string());
    }
    assert_eq!(m.run(Command::RefuseAgent { id: "server".to_owned() }).outcome, Outcome::Done);
    assert_eq!(refuse_client(&mut m, "one more"), Outcome::Refused(Refusal::TooManyRefusedAgents));
    assert_eq!(refuse_client(&mut m, "0"), Outcome::Evals(Vec::new()), "again");
}
