//! The time and the chance that the leader puts into an entry. Traits, so that a simulation can decide both.

use floe_model::Timestamp;
use floe_state::Stamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Draws random numbers.
pub trait Entropy: Send + Sync + 'static {
    /// 128 random bits.
    fn seed(&self) -> (u64, u64);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// The kernel's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn seed(&self) -> (u64, u64) {
        let draw = || getrandom::u64().expect("invariant: the kernel of every system that floe runs on has random numbers");
        (draw(), draw())
    }
}

/// Makes stamps whose time never goes back within this process, whatever the machine's clock does.
pub(crate) struct Stamper {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    last: AtomicI64,
}

impl Stamper {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, last: AtomicI64::new(0) }
    }

    /// 128 random bits that tell one thing from another.
    pub(crate) fn draw(&self) -> (u64, u64) {
        self.entropy.seed()
    }

    /// The time now, which may go back.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn stamp(&self) -> Stamp {
        let now = self.clock.now().0;
        let before = self.last.fetch_max(now, Ordering::Relaxed);
        Stamp { now: Timestamp(now.max(before)), seed: self.entropy.seed() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Mutex;

    struct Scripted(Mutex<Vec<i64>>);
    impl Clock for Scripted {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.lock().unwrap().remove(0))
        }
    }

    #[test]
    fn time_never_goes_back_and_seeds_differ() {
        let stamper = Stamper::new(Arc::new(Scripted(Mutex::new(vec![5, 3, 9]))), Arc::new(OsEntropy));
        let stamps = [stamper.stamp(), stamper.stamp(), stamper.stamp()];
        assert_eq!(stamps.map(|s| s.now.0), [5, 5, 9]);
        assert_ne!(stamps.first().unwrap().seed, stamps.last().unwrap().seed);
    }
}
