//! What names may look like.

use super::{MAX_ARGUMENT_BYTES, MAX_LIST, MAX_NAME_BYTES};
use crate::{
    StringMap,
    report::{Report, quoted},
    wire::nearest,
};
use std::collections::BTreeSet;

/// The signals of Linux that have a name.
pub const SIGNALS: &[&str] = &[
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The longest host name label of RFC 1123.
pub(super) const MAX_DNS_LABEL: usize = 63;
/// The longest host name of RFC 1123.
const MAX_DNS_NAME: usize = 253;

/// A name that people give: there, not too long, without control characters.
pub(super) fn name(report: &mut Report, field: &str, value: &str) {
    name_of(report, field, value, MAX_NAME_BYTES);
}

pub(super) fn name_of(report: &mut Report, field: &str, value: &str, max_bytes: usize) {
    if value.is_empty() {
        report.say(format_args!("{field} is missing; give it a name"));
    } else if value.len() > max_bytes {
        report.say(format_args!("{field} must be at most {max_bytes} bytes (it is {}); shorten it", value.len()));
    }
    if value.chars().any(char::is_control) {
        report.say(format_args!("{field} {} must not hold control characters; remove them", quoted(value)));
    }
}

/// A word that is safe in paths and URLs: letters, digits, dashes, and underscores.
pub(super) fn plain_word(report: &mut Report, field: &str, value: &str) {
    name(report, field, value);
    if !value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || c.is_control()) {
        report.say(format_args!("{field} {} may only hold letters, digits, - and _; rename it", quoted(value)));
    }
}

/// Names of siblings, each once.
pub(super) fn unique<'a>(report: &mut Report, what: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    let mut told = BTreeSet::new();
    for n in names.filter(|n| !n.is_empty()) {
        if !seen.insert(n) && told.insert(n) {
            report.say(format_args!("{what} {} is there more than once; give each another name", quoted(n)));
        }
    }
}

/// The name of a signal, as Linux has it.
pub(super) fn signal(report: &mut Report, field: &str, value: &str) {
    if value.is_empty() || SIGNALS.contains(&value) {
        return;
    }
    let with_prefix = format!("SIG{value}");
    let near = nearest(value, SIGNALS).or_else(|| nearest(&with_prefix, SIGNALS)).unwrap_or("SIGTERM");
    report.say(format_args!("{field} {} is not a signal of Linux; did you mean {near:?}?", quoted(value)));
}

/// A label of RFC 1123: letters, digits and inner dashes, at most 63.
pub(super) fn is_dns_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_DNS_LABEL
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A host name: labels joined by dots.
pub(super) fn is_dns_name(text: &str) -> bool {
    text.len() <= MAX_DNS_NAME && text.split('.').all(is_dns_label)
}

/// True when the client will put something into the text, so that it cannot be judged here.
pub(super) fn is_interpolated(text: &str) -> bool {
    text.contains("${")
}

/// The text with each `${...}` replaced by a harmless letter, so that the rest can be judged.
pub(super) fn without_placeholders(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((_, tail)) = after.split_once('}') else {
            out.push_str("${");
            out.push_str(after);
            return out;
        };
        out.push('x');
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Metadata and environment: each pair becomes one text of the task's environment.
pub(super) fn environment(report: &mut Report, field: &str, map: &StringMap) {
    if map.len() > MAX_LIST {
        report.say(format_args!("{field} may have at most {MAX_LIST} entries (there are {}); pass a file instead", map.len()));
        return;
    }
    for (key, value) in map {
        if key.is_empty() {
            report.say(format_args!("{field} has a value without a name; name it"));
        }
        if key.contains(['=', '\0']) || value.contains('\0') {
            report.say(format_args!("{field} {} must hold no NUL, and no = in its name; remove it", quoted(key)));
        }
        if key.len() + 1 + value.len() > MAX_ARGUMENT_BYTES {
            report.say(format_args!("{field} {} must be at most {MAX_ARGUMENT_BYTES} bytes; pass a file instead", quoted(key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names_follow_rfc_1123() {
        for good in ["a", "web-1", "0", "A1", &"a".repeat(MAX_DNS_LABEL)] {
            assert!(is_dns_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a_b", "a.b", "é", &"a".repeat(MAX_DNS_LABEL + 1)] {
            assert!(!is_dns_label(bad), "{bad}");
        }
        assert!(is_dns_name("web.example.org"));
        assert!(!is_dns_name("web..org"));
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(61));
        assert!(is_dns_name(&longest));
        assert!(!is_dns_name(&format!("{longest}a")));
    }

    #[test]
    fn placeholders_become_a_letter() {
        assert_eq!(without_placeholders("a-${X}-b${Y}"), "a-x-bx");
        assert_eq!(without_placeholders("${X"), "${X");
        assert_eq!(without_placeholders("plain"), "plain");
    }
}
