//! Violations that were put in by hand, each of a kind that a broken cluster shows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_history::{History, Register, RegisterInput, RegisterOutput, STEPS, Verdict, check, check_each};

type H = History<RegisterInput<u32>, RegisterOutput<u32>>;

fn verdict(history: &H) -> Verdict {
    check(&Register::default(), &history.operations(), STEPS)
}

fn is_explained(history: &H) -> bool {
    match verdict(history) {
        Verdict::Linearizable(_) => true,
        Verdict::Violation(_) => false,
        Verdict::GaveUp => panic!("too long"),
    }
}

fn write(h: &mut H, value: u32) {
    let call = h.call(0, RegisterInput::Write(Some(value)));
    h.answer(call, RegisterOutput::Written);
}

fn read(h: &mut H, value: Option<u32>) {
    let call = h.call(1, RegisterInput::Read);
    h.answer(call, RegisterOutput::Read(value));
}

fn swap(h: &mut H, expected: Option<u32>, new: u32, done: bool) {
    let call = h.call(2, RegisterInput::Swap { expected, new: Some(new) });
    h.answer(call, RegisterOutput::Swapped(done));
}

#[test]
fn nothing_and_one_after_the_other_are_explained() {
    let mut h = H::new();
    assert_eq!(verdict(&h), Verdict::Linearizable(vec![]));
    read(&mut h, None);
    write(&mut h, 1);
    read(&mut h, Some(1));
    swap(&mut h, Some(1), 2, true);
    swap(&mut h, Some(1), 3, false);
    read(&mut h, Some(2));
    assert_eq!(verdict(&h), Verdict::Linearizable(vec![0, 1, 2, 3, 4, 5]));
}

#[test]
fn a_lost_write_is_found() {
    let mut h = H::new();
    write(&mut h, 1);
    write(&mut h, 2);
    read(&mut h, Some(1));
    let Verdict::Violation(violation) = verdict(&h) else { panic!("not found") };
    assert_eq!((violation.order.as_slice(), violation.stuck), ([0, 1].as_slice(), 2));
    let words = violation.describe(&h.operations());
    assert!(words.ends_with("nothing explains\n  client 1 [5..6]: Read -> Read(Some(1))"), "{words}");
}

#[test]
fn a_stale_read_is_found_and_a_concurrent_one_is_not() {
    let mut h = H::new();
    write(&mut h, 1);
    let slow = h.call(3, RegisterInput::Write(Some(2)));
    read(&mut h, Some(1));
    read(&mut h, Some(2));
    h.answer(slow, RegisterOutput::Written);
    assert!(is_explained(&h), "while it is written both are right");
    read(&mut h, Some(1));
    assert!(!is_explained(&h), "afterwards the old one is not");
}

#[test]
fn a_read_that_goes_back_is_found_even_while_the_write_goes_on() {
    let mut h = H::new();
    write(&mut h, 1);
    let slow = h.call(3, RegisterInput::Write(Some(2)));
    read(&mut h, Some(2));
    read(&mut h, Some(1));
    h.answer(slow, RegisterOutput::Written);
    assert!(!is_explained(&h));
}

#[test]
fn a_command_that_was_done_twice_is_found() {
    let mut h = H::new();
    write(&mut h, 1);
    write(&mut h, 2);
    read(&mut h, Some(2));
    read(&mut h, Some(1));
    assert!(!is_explained(&h), "the first write came again");
    let mut h = H::new();
    swap(&mut h, None, 1, true);
    swap(&mut h, None, 2, true);
    assert!(!is_explained(&h), "two swaps from the same value");
}

#[test]
fn two_leaders_at_once_are_found() {
    let mut h = H::new();
    let a = h.call(0, RegisterInput::Swap { expected: None, new: Some(1) });
    let b = h.call(1, RegisterInput::Swap { expected: None, new: Some(2) });
    h.answer(a, RegisterOutput::Swapped(true));
    h.answer(b, RegisterOutput::Swapped(true));
    assert!(!is_explained(&h));
}

#[test]
fn what_was_refused_must_not_be_seen_and_what_is_unknown_may_be() {
    let mut h = H::new();
    write(&mut h, 1);
    let call = h.call(0, RegisterInput::Write(Some(2)));
    let mut refused = h.clone();
    refused.refuse(call);
    read(&mut refused, Some(2));
    assert!(!is_explained(&refused));
    read(&mut h, Some(1));
    read(&mut h, Some(2));
    assert!(is_explained(&h), "it may have happened late");
    read(&mut h, Some(1));
    assert!(!is_explained(&h), "but not have been undone");
}

#[test]
fn an_unknown_operation_need_not_have_happened_and_happens_once() {
    let mut h = H::new();
    let _lost = h.call(0, RegisterInput::Write(Some(1)));
    read(&mut h, None);
    assert!(is_explained(&h));
    write(&mut h, 2);
    read(&mut h, Some(1));
    write(&mut h, 3);
    assert!(is_explained(&h));
    read(&mut h, Some(1));
    assert!(!is_explained(&h), "it was used up between 2 and 3");
}

#[test]
fn a_value_from_nowhere_is_found() {
    let mut h = H::new();
    write(&mut h, 1);
    read(&mut h, Some(7));
    assert!(!is_explained(&h));
}

#[test]
fn keys_are_looked_at_one_by_one() {
    let mut h: History<(&str, RegisterInput<u32>), RegisterOutput<u32>> = History::new();
    for key in ["a", "b"] {
        let call = h.call(0, (key, RegisterInput::Write(Some(1))));
        h.answer(call, RegisterOutput::Written);
    }
    assert_eq!(check_each(&Register::default(), &h, STEPS), Ok(()));
    let call = h.call(0, ("b", RegisterInput::Read));
    h.answer(call, RegisterOutput::Read(None));
    let words = check_each(&Register::default(), &h, STEPS).unwrap_err();
    assert!(words.starts_with("\"b\" is not linearizable: after 0 operations"), "{words}");
    assert_eq!(h.answered(), 3);
}

#[test]
fn a_search_that_takes_too_long_gives_up_and_does_not_accuse() {
    let mut h = H::new();
    for n in 0..64 {
        let _lost = h.call(n, RegisterInput::Write(Some(1000)));
    }
    read(&mut h, Some(7));
    assert_eq!(check(&Register::default(), &h.operations(), 1000), Verdict::GaveUp);
}
