//! Join tokens: one machine each, for a while.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::Timestamp;
use floe_state::{
    Command, Outcome, State,
    command::Refusal,
    tokens::{JoinRole, MAX_JOIN_TOKENS},
};
use support::Machine;

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
