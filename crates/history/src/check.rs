//! The search for an order.

use crate::{Answer, History, Model, Operation};
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

type OperationOf<M> = Operation<<M as Model>::Input, <M as Model>::Output>;

/// How many steps a search takes before it gives up, unless it is told otherwise: some seconds.
pub const STEPS: u64 = 20_000_000;

/// What came of a search. Operations are named by their places among those that were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains everything: this one. Operations that nobody was answered, and that need not have happened, are not in it.
    Linearizable(Vec<usize>),
    /// There is none.
    Violation(Violation),
    /// There may be one; the steps were used up. Make the history shorter, or split it by key.
    GaveUp,
}

/// That there is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The longest order that was found.
    pub order: Vec<usize>,
    /// The operation that had its answer before any order could include it.
    pub stuck: usize,
}

impl Violation {
    /// Puts it into words, with the operations that were given to [`check`].
    pub fn describe<I: fmt::Debug, O: fmt::Debug>(&self, operations: &[&Operation<I, O>]) -> String {
        const TAIL: usize = 8;
        let say = |n: &usize| operations.get(*n).map_or_else(|| format!("operation {n}"), |o| words(o));
        let shown: Vec<String> = self.order.iter().rev().take(TAIL).rev().map(say).collect();
        let hidden = self.order.len().saturating_sub(TAIL);
        format!("after {hidden} operations and then\n  {}\nnothing explains\n  {}", shown.join("\n  "), say(&self.stuck))
    }
}

fn words<I: fmt::Debug, O: fmt::Debug>(o: &Operation<I, O>) -> String {
    let (client, called, input) = (o.client, o.called, &o.input);
    match &o.answer {
        Answer::Unknown => format!("client {client} [{called}..]: {input:?} -> nobody knows"),
        Answer::Is { at, output } => format!("client {client} [{called}..{at}]: {input:?} -> {output:?}"),
    }
}

/// Looks for an order of all operations that the model would have answered so, each between its call and its answer.
pub fn check<M: Model>(model: &M, operations: &[&OperationOf<M>], steps: u64) -> Verdict {
    Search::new(model, operations).run(steps)
}

/// As [`check`] for each key by itself, which is all there is to ask when operations with different keys have nothing to do with each other.
/// Returns the first key that is not linearizable, with the words for it.
///
/// # Errors
/// When a key's history is a violation, or too long to tell.
pub fn check_each<M, K>(model: &M, history: &History<(K, M::Input), M::Output>, steps: u64) -> Result<(), String>
where
    M: Model,
    M::Input: Clone + fmt::Debug,
    M::Output: Clone + fmt::Debug,
    K: Ord + fmt::Debug,
{
    let mut keys: BTreeMap<&K, Vec<OperationOf<M>>> = BTreeMap::new();
    for operation in history.operations() {
        let (key, input) = &operation.input;
        let own = Operation { client: operation.client, input: input.clone(), called: operation.called, answer: operation.answer.clone() };
        keys.entry(key).or_default().push(own);
    }
    for (key, operations) in keys {
        let operations: Vec<_> = operations.iter().collect();
        match check(model, &operations, steps) {
            Verdict::Linearizable(_) => {}
            Verdict::Violation(violation) => return Err(format!("{key:?} is not linearizable: {}", violation.describe(&operations))),
            Verdict::GaveUp => return Err(format!("{key:?}: {} operations are too many to tell in {steps} steps", operations.len())),
        }
    }
    Ok(())
}

/// Calls and answers in a row, from which operations are taken out and put back as the search goes on and comes back.
struct Events {
    /// What each event is; the first is the head, which is no event.
    kinds: Vec<Kind>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where each operation's events are; an operation without an answer has only a call.
    places: Vec<(usize, Option<usize>)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Head,
    Call(usize),
    Answer,
}

const HEAD: usize = 0;

impl Events {
    fn new<I, O>(operations: &[&Operation<I, O>], counts: impl Fn(&Operation<I, O>) -> bool) -> Self {
        let mut row: Vec<(u64, bool, usize)> = Vec::new();
        for (n, operation) in operations.iter().enumerate().filter(|(_, o)| counts(o)) {
            row.push((operation.called, false, n));
            if let Answer::Is { at, .. } = operation.answer {
                row.push((at, true, n));
            }
        }
        // Of events at the same time the call comes first: then the two overlap, which forbids less.
        row.sort_unstable();
        let mut events = Self {
            kinds: vec![Kind::Head],
            next: (1..=row.len()).chain([HEAD]).collect(),
            previous: [row.len()].into_iter().chain(0..row.len()).collect(),
            places: vec![(HEAD, None); operations.len()],
        };
        for (place, (_, is_answer, n)) in (1..).zip(row) {
            events.kinds.push(if is_answer { Kind::Answer } else { Kind::Call(n) });
            let Some(places) = events.places.get_mut(n) else { continue };
            *places = if is_answer { (places.0, Some(place)) } else { (place, None) };
        }
        events
    }

    fn after(&self, place: usize) -> usize {
        self.next.get(place).copied().unwrap_or(HEAD)
    }

    fn link(&mut self, before: usize, after: usize) {
        if let Some(next) = self.next.get_mut(before) {
            *next = after;
        }
        if let Some(previous) = self.previous.get_mut(after) {
            *previous = before;
        }
    }

    fn around(&self, place: usize) -> (usize, usize) {
        (self.previous.get(place).copied().unwrap_or(HEAD), self.after(place))
    }

    fn of(&self, operation: usize) -> (usize, Option<usize>) {
        self.places.get(operation).copied().unwrap_or((HEAD, None))
    }

    fn take_out(&mut self, operation: usize) {
        let (call, answer) = self.of(operation);
        for place in [Some(call), answer].into_iter().flatten() {
            let (before, after) = self.around(place);
            self.link(before, after);
        }
    }

    /// Undoes the last [`Events::take_out`] that was not undone.
    fn put_back(&mut self, operation: usize) {
        let (call, answer) = self.of(operation);
        for place in [answer, Some(call)].into_iter().flatten() {
            let (before, after) = self.around(place);
            self.link(before, place);
            self.link(place, after);
        }
    }
}

/// Which operations are in the order.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Set(Box<[u64]>);

impl Set {
    fn flip(&mut self, n: usize) {
        if let Some(word) = self.0.get_mut(n / 64) {
            *word ^= 1 << (n % 64);
        }
    }
}

/// Which operations are tried: those that were answered come first, for most of the others did not happen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Answered,
    Unknown,
}

struct Search<'a, M: Model> {
    model: &'a M,
    operations: &'a [&'a OperationOf<M>],
    events: Events,
    taken: Set,
    state: M::State,
    /// The order so far, each with the state before it.
    order: Vec<(usize, M::State)>,
    /// What was tried: coming to the same state by the same operations in another order leads nowhere else.
    tried: HashSet<(Set, M::State)>,
    /// Answered operations that are not in the order yet.
    open: usize,
    best: Vec<usize>,
    stuck: usize,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, operations: &'a [&'a OperationOf<M>]) -> Self {
        let events = Events::new(operations, |o| o.output().is_some() || model.may_change(&o.input));
        Self {
            model,
            operations,
            events,
            taken: Set(vec![0; operations.len().div_ceil(64)].into()),
            state: model.initial(),
            order: Vec::new(),
            tried: HashSet::new(),
            open: operations.iter().filter(|o| o.output().is_some()).count(),
            best: Vec::new(),
            stuck: 0,
        }
    }

    fn run(mut self, steps: u64) -> Verdict {
        let mut at = (self.events.after(HEAD), Turn::Answered);
        for _ in 0..steps {
            if self.open == 0 {
                return Verdict::Linearizable(self.order.into_iter().map(|(n, _)| n).collect());
            }
            let (place, turn) = at;
            at = match self.events.kinds.get(place).copied() {
                Some(Kind::Call(n)) if turn == self.turn_of(n) && self.take(n) => (self.events.after(HEAD), Turn::Answered),
                Some(Kind::Call(_)) => (self.events.after(place), turn),
                _ if turn == Turn::Answered => (self.events.after(HEAD), Turn::Unknown),
                // The operation had its answer, and is not in the order: what was put before it was wrong.
                _ => {
                    self.note(place);
                    match self.give_back() {
                        Some(n) => (self.events.after(self.events.of(n).0), self.turn_of(n)),
                        None => return Verdict::Violation(Violation { order: self.best, stuck: self.stuck }),
                    }
                }
            };
        }
        Verdict::GaveUp
    }

    fn turn_of(&self, n: usize) -> Turn {
        let is_answered = self.operations.get(n).is_some_and(|o| o.output().is_some());
        if is_answered { Turn::Answered } else { Turn::Unknown }
    }

    /// Puts an operation next in the order, if the model would have answered so and this was not tried yet.
    fn take(&mut self, n: usize) -> bool {
        let Some(operation) = self.operations.get(n) else { return false };
        let Some(after) = self.model.step(&self.state, &operation.input, operation.output()) else { return false };
        self.taken.flip(n);
        if !self.tried.insert((self.taken.clone(), after.clone())) {
            self.taken.flip(n);
            return false;
        }
        self.events.take_out(n);
        self.order.push((n, std::mem::replace(&mut self.state, after)));
        self.open -= usize::from(self.turn_of(n) == Turn::Answered);
        true
    }

    /// Takes the last operation out of the order again.
    fn give_back(&mut self) -> Option<usize> {
        let (n, before) = self.order.pop()?;
        self.state = before;
        self.taken.flip(n);
        self.events.put_back(n);
        self.open += usize::from(self.turn_of(n) == Turn::Answered);
        Some(n)
    }

    /// Remembers the longest order, and whose answer it could not explain.
    fn note(&mut self, place: usize) {
        if self.best.is_empty() || self.order.len() > self.best.len() {
            self.best = self.order.iter().map(|(n, _)| *n).collect();
            let is_it = |places: &(usize, Option<usize>)| places.1 == Some(place);
            self.stuck = self.events.places.iter().position(is_it).unwrap_or(0);
        }
    }
}
