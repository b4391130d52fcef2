//! A value that is read, written, and swapped if it is what one thinks.

use crate::Model;
use std::{hash::Hash, marker::PhantomData};

/// What a register can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterInput<V> {
    /// What is there?
    Read,
    /// Be this; `None` takes the value away.
    Write(Option<V>),
    /// Be `new`, if you are `expected`.
    Swap {
        /// What must be there.
        expected: Option<V>,
        /// What is there then.
        new: Option<V>,
    },
}

/// What a register answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterOutput<V> {
    /// This is there.
    Read(Option<V>),
    /// It is written.
    Written,
    /// Whether it was swapped.
    Swapped(bool),
}

/// A register, empty at the beginning. Let every write write another value: what two writes have in common cannot tell them apart.
#[derive(Clone, Copy, Debug)]
pub struct Register<V>(PhantomData<V>);

impl<V> Default for Register<V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<V: Clone + Eq + Hash> Model for Register<V> {
    type State = Option<V>;
    type Input = RegisterInput<V>;
    type Output = RegisterOutput<V>;

    fn initial(&self) -> Option<V> {
        None
    }

    fn step(&self, state: &Option<V>, input: &RegisterInput<V>, output: Option<&RegisterOutput<V>>) -> Option<Option<V>> {
        let (would_answer, after) = match input {
            RegisterInput::Read => (RegisterOutput::Read(state.clone()), state.clone()),
            RegisterInput::Write(value) => (RegisterOutput::Written, value.clone()),
            RegisterInput::Swap { expected, new } if state == expected => (RegisterOutput::Swapped(true), new.clone()),
            RegisterInput::Swap { .. } => (RegisterOutput::Swapped(false), state.clone()),
        };
        output.is_none_or(|output| *output == would_answer).then_some(after)
    }

    fn may_change(&self, input: &RegisterInput<V>) -> bool {
        !matches!(input, RegisterInput::Read)
    }
}
