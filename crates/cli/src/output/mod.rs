//! What people see: colours where they help, columns, short ids, and one line for an error.

pub(crate) mod diff;
mod progress;
mod table;

pub(crate) use progress::Progress;
pub(crate) use table::{columns, pairs};

use crate::args::Global;
use anstyle::{AnsiColor, Style};
use floe_model::{Timestamp, ids};
use std::io::{IsTerminal, Write};

/// Bold.
pub(crate) const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default();

/// Decides once whether colours are used.
pub(crate) fn choose_colours(global: &Global) {
    let off = global.no_color || std::env::var_os("NOMAD_CLI_NO_COLOR").is_some();
    if off {
        anstream::ColorChoice::Never.write_global();
    } else if global.force_color || std::env::var_os("NOMAD_CLI_FORCE_COLOR").is_some() {
        anstream::ColorChoice::Always.write_global();
    }
}

/// Whether a person watches the output.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Prints a line. A reader that went away is no reason to go on, nor to complain.
pub(crate) fn line(text: impl AsRef<str>) {
    if writeln!(anstream::stdout(), "{}", text.as_ref()).is_err() {
        std::process::exit(0);
    }
}

/// Prints bytes as they are.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints an error with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    // There is nobody to tell when this fails, too.
    let _ = writeln!(anstream::stderr(), "{RED}Error:{RED:#} {text}");
}

/// Prints a warning.
pub(crate) fn warning(text: &str) {
    let _ = writeln!(anstream::stderr(), "{YELLOW}Warning:{YELLOW:#} {text}");
}

/// Prints something beside the result, to standard error: what follows from it, or what to do with it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Text in bold.
pub(crate) fn bold(text: &str) -> String {
    format!("{BOLD}{text}{BOLD:#}")
}

/// A title above a table.
pub(crate) fn title(text: &str) {
    line(format!("\n{}", bold(text)));
}

/// A status word in the colour of what it means.
pub(crate) fn status(word: &str) -> String {
    let style = match word {
        "running" | "ready" | "complete" | "successful" | "healthy" | "eligible" => GREEN,
        "pending" | "blocked" | "initializing" | "starting" | "unknown" => YELLOW,
        "failed" | "lost" | "down" | "dead" | "unhealthy" | "cancelled" | "canceled" | "ineligible" => RED,
        _ => return word.to_owned(),
    };
    format!("{style}{word}{style:#}")
}

/// Text that matters less.
pub(crate) fn dim(text: &str) -> String {
    format!("{DIM}{text}{DIM:#}")
}

/// An id, in full when asked for.
pub(crate) fn id(full: &str, verbose: bool) -> String {
    if verbose { full.to_owned() } else { ids::short(full).to_owned() }
}

/// A moment as people read it.
pub(crate) fn moment(nanos: i64) -> String {
    if nanos <= 0 { "-".to_owned() } else { Timestamp(nanos / 1_000_000_000 * 1_000_000_000).to_string() }
}

/// How long ago a moment was, in its two largest units.
pub(crate) fn ago(nanos: i64, now_nanos: i64) -> String {
    if nanos <= 0 {
        return "-".to_owned();
    }
    let seconds = (now_nanos.saturating_sub(nanos) / 1_000_000_000).max(0);
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut text = String::new();
    let mut shown = 0;
    for (size, name) in units {
        let n = rest / size;
        rest %= size;
        if (n > 0 || (name == "s" && shown == 0)) && shown < 2 {
            text.push_str(&format!("{n}{name}"));
            shown += 1;
        }
    }
    format!("{text} ago")
}

/// The present time, for ages.
pub(crate) fn now_nanos() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let s = 1_000_000_000;
        assert_eq!(ago(10 * s, 10 * s), "0s ago");
        assert_eq!(ago(10 * s, 100 * s), "1m30s ago");
        assert_eq!(ago(s, s + 90_061 * s), "1d1h ago");
        assert_eq!(ago(20 * s, 10 * s), "0s ago", "a clock that went back");
        assert_eq!(ago(0, s), "-");
    }
}
