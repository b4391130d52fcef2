//! The command line as fingers write it: flags with one dash or two, and the short names of common commands.

use std::ffi::{OsStr, OsString};

/// Commands that may be written without their noun.
const SHORT: &[(&str, &[&str])] = &[
    ("run", &["job", "run"]),
    ("plan", &["job", "plan"]),
    ("stop", &["job", "stop"]),
    ("status", &["job", "status"]),
    ("validate", &["job", "validate"]),
    ("inspect", &["job", "inspect"]),
    ("logs", &["alloc", "logs"]),
    ("alloc-status", &["alloc", "status"]),
    ("node-status", &["node", "status"]),
];

/// Rewrites `-json` to `--json`, and `run` to `job run`. What follows `--` stays as it is.
pub(crate) fn normalise(raw: Vec<OsString>) -> Vec<OsString> {
    let mut out = Vec::with_capacity(raw.len() + 1);
    let mut words = raw.into_iter();
    out.extend(words.next());
    let mut command_seen = false;
    for word in words.by_ref() {
        if word == "--" {
            out.push(word);
            break;
        }
        match word.to_str() {
            Some(text) if is_long_flag(text) => out.push(OsString::from(format!("-{text}"))),
            Some(text) if !command_seen && !text.starts_with('-') => {
                command_seen = true;
                match SHORT.iter().find(|(short, _)| *short == text) {
                    Some((_, long)) => out.extend(long.iter().map(|w| OsStr::new(w).to_owned())),
                    None => out.push(word),
                }
            }
            _ => out.push(word),
        }
    }
    out.extend(words);
    out
}

/// Whether this only asks what would change: then the exit code 1 says something else than that it failed.
pub(crate) fn is_plan(line: &[OsString]) -> bool {
    let reconciles = line.windows(2).any(|words| words == ["job", "reconcile"]);
    line.windows(2).any(|words| words == ["job", "plan"]) || (reconciles && line.iter().any(|word| word == "--dry-run"))
}

/// A dash and a word of at least two letters.
fn is_long_flag(text: &str) -> bool {
    let Some(name) = text.strip_prefix('-') else { return false };
    let name = name.split('=').next().unwrap_or("");
    name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        let words = normalise(text.split(' ').map(OsString::from).collect());
        words.iter().map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        assert_eq!(line("floe job status -json=true -t x web"), "floe job status --json=true -t x web");
        assert_eq!(line("floe alloc logs -f -tail abc -- -json"), "floe alloc logs -f --tail abc -- -json");
        assert_eq!(line("floe agent --dev -5 -"), "floe agent --dev -5 -");
    }

    #[test]
    fn common_commands_have_short_names() {
        assert_eq!(line("floe run -detach x.hcl"), "floe job run --detach x.hcl");
        assert_eq!(line("floe logs -f abc run"), "floe alloc logs -f abc run");
        assert_eq!(line("floe job run run"), "floe job run run");
        assert!(is_plan(&normalise(["floe", "-address", "x", "job", "plan"].map(OsString::from).to_vec())));
        assert!(is_plan(&normalise(["floe", "plan", "x.hcl"].map(OsString::from).to_vec())));
        assert!(is_plan(&normalise(["floe", "job", "reconcile", "-dry-run"].map(OsString::from).to_vec())));
        assert!(!is_plan(&normalise(["floe", "job", "reconcile", "x"].map(OsString::from).to_vec())));
        assert!(!is_plan(&normalise(["floe", "run", "plan"].map(OsString::from).to_vec())));
    }
}
