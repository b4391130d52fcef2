//! The search says what trying every order says, and never accuses a register that really does one operation at a time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_history::{Answer, Model, Operation, Register, RegisterInput, RegisterOutput, STEPS, Verdict, check};
use proptest::{prelude::*, test_runner::RngSeed};

type Op = Operation<RegisterInput<u8>, RegisterOutput<u8>>;
const REGISTER: fn() -> Register<u8> = Register::default;

fn input() -> impl Strategy<Value = RegisterInput<u8>> {
    let value = || prop::option::of(0..3_u8);
    prop_oneof![
        Just(RegisterInput::Read),
        value().prop_map(RegisterInput::Write),
        (value(), value()).prop_map(|(expected, new)| RegisterInput::Swap { expected, new }),
    ]
}

fn fitting(input: &RegisterInput<u8>, value: Option<u8>, done: bool) -> RegisterOutput<u8> {
    match input {
        RegisterInput::Read => RegisterOutput::Read(value),
        RegisterInput::Write(_) => RegisterOutput::Written,
        RegisterInput::Swap { .. } => RegisterOutput::Swapped(done),
    }
}

/// Anything, explained or not.
fn any_operation() -> impl Strategy<Value = Op> {
    (input(), 0..12_u64, 0..6_u64, prop::option::of(0..3_u8), any::<bool>(), 0..4_u8).prop_map(
        |(input, called, took, value, done, fate)| {
            let output = fitting(&input, value, done);
            let answer = if fate == 0 { Answer::Unknown } else { Answer::Is { at: called + took, output } };
            Operation { client: 0, input, called, answer }
        },
    )
}

/// Tries every order of every choice of the operations that may not have happened.
fn by_force(operations: &[&Op], state: Option<u8>, left: &[usize]) -> bool {
    let is_answered = |n: &usize| operations[*n].output().is_some();
    if !left.iter().any(is_answered) {
        return true;
    }
    left.iter().any(|n| {
        let came_before = |other: &usize| matches!(operations[*other].answer, Answer::Is { at, .. } if at < operations[*n].called);
        let operation = operations[*n];
        let rest: Vec<usize> = left.iter().copied().filter(|other| other != n).collect();
        !rest.iter().any(came_before)
            && REGISTER().step(&state, &operation.input, operation.output()).is_some_and(|after| by_force(operations, after, &rest))
    })
}

/// Checks that an order is one: all that was answered is in it once, nothing before what ended before its call, and every answer is right.
fn explains(order: &[usize], operations: &[&Op]) -> bool {
    let mut state = None;
    for (place, n) in order.iter().enumerate() {
        let operation = operations[*n];
        let late = |other: &usize| matches!(operations[*other].answer, Answer::Is { at, .. } if at < operation.called);
        if order[place + 1..].iter().any(late) || order[..place].contains(n) {
            return false;
        }
        match REGISTER().step(&state, &operation.input, operation.output()) {
            Some(after) => state = after,
            None => return false,
        }
    }
    (0..operations.len()).all(|n| operations[n].output().is_none() || order.contains(&n))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_says_what_trying_all_orders_says(operations in prop::collection::vec(any_operation(), 0..7)) {
        let operations: Vec<&Op> = operations.iter().collect();
        let all: Vec<usize> = (0..operations.len()).collect();
        match check(&REGISTER(), &operations, STEPS) {
            Verdict::Linearizable(order) => prop_assert!(explains(&order, &operations)),
            Verdict::Violation(_) => prop_assert!(!by_force(&operations, None, &all)),
            Verdict::GaveUp => prop_assert!(false, "seven operations are few"),
        }
    }

    /// Each operation happens at a moment of its own between call and answer, so there is an order.
    #[test]
    fn a_register_that_does_one_at_a_time_is_never_accused(plan in prop::collection::vec((input(), 1..60_u64, 0..60_u64, 0..5_u8), 0..60)) {
        let mut plan: Vec<_> = plan.into_iter().enumerate().map(|(n, (input, before, after, fate))| (1000 + 20 * n as u64, input, before, after, fate)).collect();
        let mut operations: Vec<Op> = Vec::new();
        let mut state = None;
        plan.sort_by_key(|(moment, ..)| *moment);
        for (moment, input, before, after, fate) in plan {
            let output = [fitting(&input, state, true), fitting(&input, state, false)].into_iter().find(|o| REGISTER().step(&state, &input, Some(o)).is_some()).unwrap();
            state = REGISTER().step(&state, &input, Some(&output)).unwrap();
            let answer = if fate == 0 { Answer::Unknown } else { Answer::Is { at: moment + after, output } };
            operations.push(Operation { client: 0, input, called: moment - before, answer });
        }
        let operations: Vec<&Op> = operations.iter().collect();
        let verdict = check(&REGISTER(), &operations, STEPS);
        prop_assert!(matches!(verdict, Verdict::Linearizable(_)), "{verdict:?}");
    }
}
