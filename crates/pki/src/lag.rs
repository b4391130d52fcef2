//! Whether this machine's clock is behind, as the certificates of others show.
//!
//! An agent refuses a certificate that has not begun by its clock. When an authority that it trusts made that certificate, one of two clocks is wrong,
//! and nobody can do anything about it but who sets clocks: so it is worth more than the failure of one connection.

use crate::{CLOCK_SKEW, Name};
use floe_model::{Nanos, Timestamp};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// How long it counts that a certificate had not begun. Agents that are refused try again more often.
const COUNTS_FOR: Nanos = Nanos::from_mins(2);
/// How long it is not told again.
const TOLD_FOR: Nanos = Nanos::from_mins(1);

/// A certificate by an authority that this agent trusts, which has not begun by this machine's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Whose certificate it is.
    pub name: Name,
    /// Its first moment: [`CLOCK_SKEW`] before it was made.
    pub not_before: Timestamp,
    /// What this machine's clock said.
    pub now: Timestamp,
}

impl Lag {
    /// When the certificate was made, by the clock of the server that issued it.
    pub fn issued(&self) -> Timestamp {
        self.not_before.plus(CLOCK_SKEW)
    }

    /// How far the two clocks are apart at least.
    pub fn by(&self) -> Nanos {
        self.issued().since(self.now)
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, issued) = (self.by().to_std().as_secs(), self.issued());
        let by = if seconds < 7_200 { format!("{} minutes", seconds / 60) } else { format!("{} hours", seconds / 3_600) };
        write!(
            f,
            "this machine's clock is at least {by} behind: it says {}, and the certificate of {} was issued at {issued}, so it is refused; set the clock, \
             and keep it right with chrony or systemd-timesyncd (or set that of the server that issued the certificate, if this one is right)",
            self.now, self.name
        )
    }
}

/// What was seen last, and when it was told.
#[derive(Debug, Default)]
pub(crate) struct LagWatch(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    last: Option<Lag>,
    told: Option<Timestamp>,
}

impl LagWatch {
    pub(crate) fn note(&self, lag: Lag) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last = Some(lag);
    }

    /// The newest lag, as long as it counts: not when it is long ago, nor after the clock was set.
    pub(crate) fn present(&self, now: Timestamp) -> Option<Lag> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.last = noted.last.take().filter(|lag| now < lag.not_before && is_within(lag.now, now, COUNTS_FOR));
        noted.last.clone()
    }

    /// The same, when it was not told for a while; then it counts as told.
    pub(crate) fn to_tell(&self, now: Timestamp) -> Option<Lag> {
        let lag = self.present(now)?;
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.told.is_some_and(|told| is_within(told, now, TOLD_FOR)) {
            return None;
        }
        noted.told = Some(now);
        Some(lag)
    }
}

/// Whether not more than `span` has gone by since `then`. A clock that was set back has gone by nothing that counts.
fn is_within(then: Timestamp, now: Timestamp, span: Nanos) -> bool {
    (0..span.0).contains(&now.since(then).0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600_000_000_000);

    fn lag(now: Timestamp) -> Lag {
        Lag { name: "s2".parse().unwrap(), not_before: NOW.plus(Nanos::from_mins(60)), now }
    }

    #[test]
    fn it_says_by_how_much_and_what_to_do() {
        let said = lag(NOW).to_string();
        assert!(said.contains("at least 65 minutes behind") && said.contains("the certificate of s2"), "{said}");
        assert!(said.contains("chrony") && said.contains("systemd-timesyncd"), "{said}");
        let far = Lag { not_before: NOW.plus(Nanos::from_hours(72)), ..lag(NOW) };
        assert!(far.to_string().contains("at least 72 hours behind"), "{far}");
    }

    #[test]
    fn it_is_told_once_a_minute_and_forgotten_when_it_is_over() {
        let (watch, at) = (LagWatch::default(), |seconds: i64| NOW.plus(Nanos::from_secs(seconds)));
        assert_eq!(watch.to_tell(NOW), None);
        watch.note(lag(NOW));
        assert_eq!(watch.to_tell(NOW), Some(lag(NOW)));
        watch.note(lag(at(59)));
        assert_eq!(watch.to_tell(at(59)), None, "it was told");
        assert_eq!(watch.present(at(59)), Some(lag(at(59))), "and counts");
        assert_eq!(watch.to_tell(at(60)), Some(lag(at(59))));
        assert_eq!(watch.present(at(59 + 119)), Some(lag(at(59))));
        assert_eq!(watch.present(at(59 + 120)), None, "long ago");
        watch.note(lag(NOW));
        assert_eq!(watch.present(at(3_600)), None, "the clock was set");
        watch.note(lag(NOW));
        assert_eq!(watch.present(at(-1)), None, "the clock was set back");
        watch.note(lag(at(-100)));
        assert_eq!(watch.to_tell(at(-100)), Some(lag(at(-100))), "what was told by another clock does not count");
    }
}
