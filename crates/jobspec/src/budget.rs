//! What is left of the limits while a job file is evaluated.

use std::cell::Cell;

use crate::{
    diagnostic::{At, Fault},
    limits::Limits,
};

/// A bound was reached; the text says which and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exhausted(pub(crate) String);

/// Why a conversion or a function failed, before its place is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The input is wrong.
    Message(String),
    /// A bound was reached.
    Bound(String),
}

impl Failure {
    pub(crate) fn at(self, at: &At) -> Box<Fault> {
        match self {
            Self::Message(message) => Fault::new(at, message),
            Self::Bound(message) => Fault::fatal(at, message),
        }
    }
    /// The same, said of a part.
    pub(crate) fn within(self, part: &str) -> Self {
        match self {
            Self::Message(message) => Self::Message(format!("{part}: {message}")),
            Self::Bound(message) => Self::Bound(message),
        }
    }
}

impl From<Exhausted> for Failure {
    fn from(exhausted: Exhausted) -> Self {
        Self::Bound(exhausted.0)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Message(message.to_owned())
    }
}

pub(crate) type Spent<T> = Result<T, Exhausted>;

/// How many names a suggestion looks at.
const MAX_COMPARED: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    steps: Cell<u64>,
    bytes: Cell<u64>,
    output: Cell<usize>,
    blocks: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            steps: Cell::new(limits.steps),
            bytes: Cell::new(limits.allocated_bytes),
            output: Cell::new(limits.output_bytes),
            blocks: Cell::new(limits.blocks),
            limits,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes `steps` of work.
    pub(crate) fn work(&self, steps: usize) -> Spent<()> {
        match self.steps.get().checked_sub(steps as u64) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(Exhausted(format!("evaluating takes more than {} steps, the limit", self.limits.steps))),
        }
    }

    /// Takes the memory of a new value of `bytes`, and the work to fill it.
    pub(crate) fn allocate(&self, bytes: usize) -> Spent<()> {
        if bytes > self.limits.value_bytes {
            return Err(Exhausted(format!("a value has more than {} bytes, the limit", self.limits.value_bytes)));
        }
        self.work(bytes / 64 + 1)?;
        match self.bytes.get().checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(Exhausted(format!("evaluating makes more than {} bytes, the limit", self.limits.allocated_bytes))),
        }
    }

    /// What `name` is probably a misspelling of, or nothing. Comparing costs, so it is paid for.
    pub(crate) fn nearest<'n>(&self, name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        let names: Vec<&str> = names.take(MAX_COMPARED).collect();
        self.work(names.len() * 64).ok()?;
        floe_model::wire::nearest(name, &names)
    }

    /// Takes the room of a value that stands in the job itself.
    pub(crate) fn output(&self, bytes: usize) -> Spent<()> {
        match self.output.get().checked_sub(bytes) {
            Some(left) => {
                self.output.set(left);
                Ok(())
            }
            None => Err(Exhausted(format!("the job has more than {} bytes, the limit", self.limits.output_bytes))),
        }
    }

    /// Takes the room of one block.
    pub(crate) fn block(&self) -> Spent<()> {
        match self.blocks.get().checked_sub(1) {
            Some(left) => {
                self.blocks.set(left);
                Ok(())
            }
            None => Err(Exhausted(format!("the job has more than {} blocks, the limit", self.limits.blocks))),
        }
    }
}
