//! Steps that are under way: a spinner on a terminal, plain lines anywhere else.

use super::{GREEN, RED, is_terminal};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::Write,
    time::{Duration, Instant},
};

/// Shows one step after the other.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
}

impl Progress {
    /// Nothing is under way yet.
    pub(crate) fn new() -> Self {
        Self { bar: None, began: Instant::now() }
    }

    /// Says what is waited for now.
    pub(crate) fn waiting(&mut self, what: impl Into<String>) {
        if !is_terminal() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_message(what.into());
    }

    /// Something is done.
    pub(crate) fn done(&mut self, what: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.say(&format!("{GREEN}✓{GREEN:#} {what} {}", super::dim(&format!("({seconds:.1} s)"))));
    }

    /// Something went wrong.
    pub(crate) fn failed(&mut self, what: &str) {
        self.say(&format!("{RED}✗{RED:#} {what}"));
    }

    /// A line between the steps. What is under way goes on when nobody reads it any more: an agent that was started here must not end
    /// without tidying up.
    pub(crate) fn say(&mut self, text: &str) {
        let print = || {
            let _ = writeln!(anstream::stdout(), "{text}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
