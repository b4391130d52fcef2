//! What happened, in words, and one number for all of it: two runs of a seed must come to the same one.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    fmt,
};
use tokio::time::Instant;

/// How many of the last events are kept.
const KEPT: usize = 400;

/// See the module.
pub(crate) struct Trace {
    begun: Instant,
    prints: bool,
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    hash: u64,
    events: u64,
    last: VecDeque<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Trace {
    pub(crate) fn new(prints: bool) -> Self {
        Self { begun: Instant::now(), prints, inner: RefCell::new(Inner { hash: 0xcbf2_9ce4_8422_2325, ..Inner::default() }) }
    }

    /// Something happened that a person wants to read of.
    pub(crate) fn say(&self, text: fmt::Arguments<'_>) {
        let line = format!("{:>9.3} {text}", self.begun.elapsed().as_secs_f64());
        self.mix(line.as_bytes());
        if self.prints {
            #[allow(clippy::print_stdout, reason = "who runs one seed wants to see it")]
            {
                println!("{line}");
            }
        }
        let mut inner = self.inner.borrow_mut();
        inner.events += 1;
        if inner.last.len() == KEPT {
            inner.last.pop_front();
        }
        inner.last.push_back(line);
    }

    /// Something happened that only the number need show.
    pub(crate) fn mix(&self, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        // FNV-1a: short, and the same everywhere.
        inner.hash = bytes.iter().fold(inner.hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }

    /// Something happened that makes a run worth its time.
    pub(crate) fn count(&self, what: &'static str) {
        *self.inner.borrow_mut().counts.entry(what).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.inner.borrow().counts.clone()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.inner.borrow().hash
    }

    pub(crate) fn events(&self) -> u64 {
        self.inner.borrow().events
    }

    /// The last events, oldest first.
    pub(crate) fn last(&self) -> Vec<String> {
        self.inner.borrow().last.iter().cloned().collect()
    }
}

/// A short number for some bytes.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
