//! What is known of nodes alone: answers to the yes-or-no questions that jobs ask of them. Most jobs ask the same few, and to look an
//! answer up in a node's attributes costs more than all the rest of considering it. Kept as long as the nodes are the same.

use std::collections::BTreeMap;

/// How many questions are remembered. Each takes a byte a node; those that come later are answered anew each time.
const MAX_QUESTIONS: usize = 256;

/// A question whose answer depends on nothing but the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// Whether a comparison holds.
    Condition { left: String, operand: String, right: String },
    /// Whether the node has the driver and it works.
    Driver(String),
    /// Whether the node offers the network mode.
    Network(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Unknown,
    Yes,
    No,
}

/// Where the answers to a question stand; `None` when they are not remembered.
pub(crate) type Place = Option<usize>;

/// Questions and answers, by the node's seat in the roster.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    seats: usize,
    places: BTreeMap<Question, usize>,
    answers: Vec<Vec<Answer>>,
}

impl Facts {
    /// Nothing is known of any of the nodes.
    pub(crate) fn new(seats: usize) -> Self {
        Self { seats, ..Self::default() }
    }

    /// The same nodes, with nothing known of them.
    pub(crate) fn forgotten(&self) -> Self {
        Self::new(self.seats)
    }

    /// True when no further question is remembered.
    pub(crate) fn is_full(&self) -> bool {
        self.answers.len() >= MAX_QUESTIONS
    }

    /// Where the answers to a question stand.
    pub(crate) fn place(&mut self, question: Question) -> Place {
        if let Some(known) = self.places.get(&question) {
            return Some(*known);
        }
        if self.is_full() {
            return None;
        }
        self.places.insert(question, self.answers.len());
        self.answers.push(vec![Answer::Unknown; self.seats]);
        Some(self.answers.len() - 1)
    }

    /// The answer of the node on `seat`, which is looked up when it is not known. A node without a seat is always looked up.
    pub(crate) fn ask(&mut self, place: Place, seat: Option<usize>, look: impl FnOnce() -> bool) -> bool {
        let slot = place.and_then(|p| self.answers.get_mut(p)).zip(seat).and_then(|(column, seat)| column.get_mut(seat));
        let Some(slot) = slot else { return look() };
        if *slot == Answer::Unknown {
            *slot = if look() { Answer::Yes } else { Answer::No };
        }
        *slot == Answer::Yes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    fn driver(i: usize) -> Question {
        Question::Driver(format!("d{i}"))
    }

    #[test]
    fn an_answer_is_looked_up_once_for_each_node_and_question() {
        let mut facts = Facts::new(2);
        let (a, b) = (facts.place(driver(1)), facts.place(driver(2)));
        assert!(facts.ask(a, Some(0), || true) && !facts.ask(a, Some(1), || false) && !facts.ask(b, Some(0), || false));
        let again = facts.place(driver(1));
        let never = || panic!("it is known");
        assert!(facts.ask(again, Some(0), never) && !facts.ask(again, Some(1), never) && !facts.ask(b, Some(0), never));
    }

    #[test]
    fn what_cannot_be_remembered_is_looked_up() {
        let mut facts = Facts::new(1);
        let first = facts.place(driver(0));
        assert!(facts.ask(first, Some(0), || true));
        for (seat, answer) in [(None, false), (None, true), (Some(1), false), (Some(1), true)] {
            assert_eq!(facts.ask(first, seat, || answer), answer);
        }
        for i in 1..MAX_QUESTIONS {
            assert!(!facts.is_full() && facts.place(driver(i)).is_some());
        }
        assert!(facts.is_full() && facts.place(driver(0)) == first);
        let beyond = facts.place(driver(MAX_QUESTIONS));
        assert_eq!((beyond, facts.ask(beyond, Some(0), || false), facts.ask(beyond, Some(0), || true)), (None, false, true));
    }
}
