//! Checks of single values, with the words that they are refused in.

use super::MAX_LIST;
use crate::{
    Nanos,
    report::{Report, quoted},
};

impl Report {
    /// A number from `min` to `max`; `unit` is written after the numbers (`" MB"`), or empty.
    pub(super) fn between(&mut self, field: &str, value: i64, min: i64, max: i64, unit: &str) {
        if value < min {
            self.say(format_args!("{field} must be at least {min}{unit} (it is {value})"));
        } else if value > max {
            self.say(format_args!("{field} must be at most {max}{unit} (it is {value})"));
        }
    }

    /// A span that is at least `min`.
    pub(super) fn span(&mut self, field: &str, value: Option<Nanos>, min: Nanos) {
        if let Some(value) = value.filter(|v| *v < min) {
            self.say(format_args!("{field} must be at least {min} (it is {value})"));
        }
    }

    /// One of the words that a field knows; the empty text stands for the default.
    pub(super) fn word(&mut self, field: &str, value: &str, known: &[&str]) {
        if !value.is_empty() && !known.contains(&value) {
            let near = crate::wire::nearest(value, known).map(|n| format!("did you mean {n:?}? ")).unwrap_or_default();
            self.say(format_args!("{field} {} is unknown; {near}use one of: {}", quoted(value), known.join(", ")));
        }
    }

    /// A list that is not too long. True when it may be looked at.
    pub(super) fn list(&mut self, what: &str, len: usize) -> bool {
        self.list_of(what, len, MAX_LIST)
    }

    /// A list of at most `max` entries. True when it may be looked at.
    pub(super) fn list_of(&mut self, what: &str, len: usize, max: usize) -> bool {
        if len > max {
            self.say(format_args!("at most {max} {what} are allowed (there are {len}); split them over several jobs or groups"));
        }
        len <= max
    }

    /// Text that must be there.
    pub(super) fn required(&mut self, field: &str, value: &str, remedy: &str) {
        if value.is_empty() {
            self.say(format_args!("{field} is missing; {remedy}"));
        }
    }
}
