//! Patterns of `matches`: Go's classes, and a cost that is known beforehand.
//!
//! A pattern is matched in a time that grows with its compiled size times the length of the text, in the worst case. So each byte of text
//! counts as many steps as the compiled pattern has units of [`STEP_BYTES`].

use super::MAX_PATTERN_BYTES;
use regex::{Regex, RegexBuilder};

/// How many bytes of a compiled pattern make one step per byte of text (measured: about 60 ns each at worst).
const STEP_BYTES: usize = 512;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    steps_per_byte: usize,
}

impl Pattern {
    /// # Errors
    /// In words, when the pattern is wrong or larger than [`MAX_PATTERN_BYTES`].
    pub(super) fn compile(text: &str) -> Result<Pattern, String> {
        let text = with_ascii_classes(text);
        let mut size = STEP_BYTES;
        loop {
            match RegexBuilder::new(&text).size_limit(size).dfa_size_limit(MAX_PATTERN_BYTES).build() {
                Ok(regex) => return Ok(Pattern { regex, steps_per_byte: size / STEP_BYTES }),
                Err(regex::Error::CompiledTooBig(_)) if size < MAX_PATTERN_BYTES => size *= 2,
                Err(regex::Error::CompiledTooBig(_)) => return Err(format!("the pattern needs more than {MAX_PATTERN_BYTES} bytes")),
                // Its last line has the reason; those before draw the pattern once more.
                Err(other) => {
                    let story = other.to_string();
                    let reason = story.lines().last().unwrap_or(&story).trim().trim_start_matches("error: ");
                    return Err(format!("invalid pattern: {reason}"));
                }
            }
        }
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What matching this text costs.
    pub(super) fn steps(&self, text: &str) -> u64 {
        u64::try_from(text.len().saturating_mul(self.steps_per_byte)).unwrap_or(u64::MAX)
    }
}

/// `\w`, `\d`, `\s` and `\b` mean ASCII in Go, and all of Unicode (which is a hundred times larger) in Rust.
fn with_ascii_classes(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('s') => out.push_str(r"[\t\n\f\r ]"),
            Some('S') => out.push_str(r"[^\t\n\f\r ]"),
            Some('b') => out.push_str(r"(?-u:\b)"),
            Some('B') => out.push_str(r"(?-u:\B)"),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn classes_mean_what_they_mean_in_go() {
        for (pattern, text, expected) in [
            (r"^\w+$", "web_1", true),
            (r"^\w+$", "wéb", false),
            (r"^[\w-]+$", "web-1", true),
            (r"^[^\w-]+$", "web-1", false),
            (r"^\d$", "٣", false),
            (r"^\D$", "é", true),
            (r"^\S\s\S$", "a b", true),
            (r"^\S\s\S$", "a\u{a0}b", false),
            (r"\bb\b", "a b", true),
            (r"a\Bb", "ab", true),
            (r"^\\w$", r"\w", true),
            (r"^.$", "é", true),
            (r"(?i)^WEB$", "web", true),
        ] {
            assert_eq!(Pattern::compile(pattern).unwrap().is_match(text), expected, "{pattern} on {text}");
        }
        assert_eq!(Pattern::compile("\\").unwrap_err(), "invalid pattern: incomplete escape sequence, reached end of pattern prematurely");
    }

    #[test]
    fn a_pattern_costs_what_its_size_is() {
        let steps = |pattern: &str| Pattern::compile(pattern).unwrap().steps("0123456789");
        assert_eq!(steps("^web"), 10);
        assert!((20..=80).contains(&steps(r"^(web|db|cache)-[0-9a-f]{8}$")));
        let largest = steps("(?:[01]*1){200}");
        assert!((160..=640).contains(&largest), "{largest}");
        assert_eq!(Pattern::compile("(?:[01]*1){2000}").unwrap_err(), format!("the pattern needs more than {MAX_PATTERN_BYTES} bytes"));
    }
}
