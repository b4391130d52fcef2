//! What a thing would do that does one operation at a time.

use std::hash::Hash;

/// A thing that does one operation at a time.
pub trait Model {
    /// What it remembers.
    type State: Clone + Eq + Hash;
    /// What it can be asked.
    type Input;
    /// What it answers.
    type Output;

    /// What it remembers at the beginning.
    fn initial(&self) -> Self::State;

    /// What it remembers after an operation, or `None` if it would have answered otherwise. Without an output any answer is right, so then
    /// there must be a state after it.
    fn step(&self, state: &Self::State, input: &Self::Input, output: Option<&Self::Output>) -> Option<Self::State>;

    /// Whether the operation may change anything. What cannot, and was never answered, says nothing and is left out.
    fn may_change(&self, input: &Self::Input) -> bool;
}
