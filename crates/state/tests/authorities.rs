//! The change of the cluster's authority, as the servers agree on it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_state::{Command, Outcome, State, authorities::RotationStep, command::Refusal};
use support::Machine;

const OLD: &[u8] = b"old";
const NEW: &[u8] = b"new";

fn begin(m: &mut Machine, present: &[u8], next: &[u8]) -> Outcome {
    m.run(Command::BeginRotation { present: present.to_vec(), next: next.to_vec() }).outcome
}

fn round(m: &Machine) -> u64 {
    m.state.authorities().unwrap().round
}

fn advance(m: &mut Machine) -> Outcome {
    let round = round(m);
    m.run(Command::AdvanceRotation { round }).outcome
}

fn trusted(m: &Machine) -> Vec<&[u8]> {
    m.state.authorities().unwrap().trusted()
}

#[test]
fn a_rotation_goes_by_two_steps() {
    let mut m = Machine::default();
    assert_eq!(begin(&mut m, OLD, NEW), Outcome::Done);
    assert_eq!(trusted(&m), [OLD, NEW]);
    assert_eq!(begin(&mut m, OLD, b"third"), Outcome::Refused(Refusal::RotationUnderWay));
    let first = round(&m);
    assert_eq!(m.run(Command::NoteRotation { round: first, id: "a".to_owned() }).outcome, Outcome::Done);
    assert_eq!(advance(&mut m), Outcome::Done);
    let rotation = m.state.authorities().unwrap().rotation.clone().unwrap();
    assert_eq!((rotation.step, rotation.done.len()), (RotationStep::Renew, 0), "in the next step all must do something again");
    assert_eq!(trusted(&m), [NEW, OLD]);
    for late in [Command::NoteRotation { round: first, id: "b".to_owned() }, Command::AdvanceRotation { round: first }] {
        assert_eq!(m.run(late).outcome, Outcome::Refused(Refusal::NoSuchRotation), "what is said of an earlier step");
    }
    let mut kept = State::decode(&m.state.encode()).unwrap();
    assert_eq!(kept.authorities(), m.state.authorities());
    kept.skip(m.state.index());
    assert_eq!(kept.encode(), m.state.encode());
    assert_eq!(advance(&mut m), Outcome::Done);
    assert_eq!(trusted(&m), [NEW]);
    assert_eq!(advance(&mut m), Outcome::Refused(Refusal::NoSuchRotation));
    assert_eq!(begin(&mut m, OLD, b"third"), Outcome::Refused(Refusal::OtherAuthority), "a server that has not heard of the first one");
    assert_eq!(begin(&mut m, NEW, b"third"), Outcome::Done);
}

#[test]
fn a_rotation_is_cancelled_in_its_first_step_only() {
    let mut m = Machine::default();
    begin(&mut m, OLD, NEW);
    let first = round(&m);
    assert_eq!(m.run(Command::CancelRotation { round: first }).outcome, Outcome::Done);
    assert_eq!(trusted(&m), [OLD]);
    assert!(round(&m) > first, "who trusts both must hear of it");
    begin(&mut m, OLD, NEW);
    advance(&mut m);
    let second = round(&m);
    assert_eq!(m.run(Command::CancelRotation { round: second }).outcome, Outcome::Refused(Refusal::RotationTooFar));
}
