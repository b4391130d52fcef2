//! POSIX extended regular expressions, as Nix has them, in the `regex` crate,
//! which takes linear time. What POSIX leaves undefined is refused. Two
//! differences remain: of alternatives the first that matches is taken, not the
//! longest, and `.` is a character, not a byte.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

use crate::limits::MAX_REGEX_BYTES;

/// What a compiled expression, and its cache, may each take in memory.
pub(super) const PROGRAM_BYTES: usize = 256 << 10;

/// Compiles `pattern`; `anchored` to match the whole text.
pub(super) fn compile(pattern: &str, anchored: bool) -> Result<Regex, String> {
    if pattern.len() > MAX_REGEX_BYTES {
        return Err(format!("it has {} bytes, the most is {MAX_REGEX_BYTES}", pattern.len()));
    }
    let body = translate(pattern)?;
    let full = if anchored { format!(r"\A(?:{body})\z") } else { body };
    let mut builder = RegexBuilder::new(&full);
    builder.dot_matches_new_line(true).size_limit(PROGRAM_BYTES).dfa_size_limit(PROGRAM_BYTES);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "it is too large".into(),
        _ => "its parentheses or ranges do not fit together".into(),
    })
}

fn translate(pattern: &str) -> Result<String, String> {
    let mut rest = pattern.chars().peekable();
    let mut out = String::with_capacity(pattern.len() + 16);
    // Whether a repetition may follow: not at the start, not after another one.
    let mut repeatable = false;
    while let Some(c) = rest.next() {
        match c {
            '*' | '+' | '?' | '{' if !repeatable => return Err(format!("'{c}' has nothing to repeat")),
            '*' | '+' | '?' => out.push(c),
            '{' => bound(&mut rest, &mut out)?,
            '(' if rest.peek() == Some(&'?') => return Err("'(?' is not POSIX".into()),
            '[' => bracket(&mut rest, &mut out)?,
            '\\' => out.push_str(&escaped(rest.next())?),
            '.' | '(' | ')' | '|' | '^' | '$' => out.push(c),
            other => literal(other, &mut out),
        }
        repeatable = !matches!(c, '*' | '+' | '?' | '{' | '(' | '|' | '^' | '$');
    }
    Ok(out)
}

fn literal(c: char, out: &mut String) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

fn escaped(c: Option<char>) -> Result<String, String> {
    match c {
        Some(c) if c.is_ascii_punctuation() => Ok(regex::escape(c.encode_utf8(&mut [0; 4]))),
        Some(c) => Err(format!("'\\{c}' is not POSIX: write a class such as [0-9]")),
        None => Err("it ends in a backslash".into()),
    }
}

/// `{2}`, `{2,}` or `{2,3}`.
fn bound(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let inner: String = std::iter::from_fn(|| rest.next_if(|&c| c != '}')).collect();
    let has_end = rest.next().is_some();
    let well_formed = inner.starts_with(|c: char| c.is_ascii_digit())
        && inner.chars().all(|c| c.is_ascii_digit() || c == ',')
        && inner.matches(',').count() <= 1;
    if !has_end || !well_formed {
        return Err(format!("'{{{inner}' is not a number of repetitions"));
    }
    out.push('{');
    out.push_str(&inner);
    out.push('}');
    Ok(())
}

/// `[...]`: here a backslash stands for itself, and `]` does if it is the first.
fn bracket(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut is_first = true;
    loop {
        match rest.next() {
            None => return Err("a '[' is never closed".into()),
            Some(']') if !is_first => break,
            Some('[') if rest.peek() == Some(&':') => class(rest, out)?,
            Some('[') if matches!(rest.peek(), Some('.' | '=')) => {
                return Err("collating elements are not supported".into());
            }
            // Between two characters this is the dash of a range.
            Some('-') if !is_first && rest.peek() != Some(&']') => out.push('-'),
            Some(c) => {
                out.push('\\');
                if c.is_ascii_punctuation() {
                    out.push(c);
                } else {
                    out.pop();
                    out.push(c);
                }
            }
        }
        is_first = false;
    }
    out.push(']');
    Ok(())
}

fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    rest.next();
    let name: String = std::iter::from_fn(|| rest.next_if(char::is_ascii_lowercase)).collect();
    let known = ["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"];
    if !known.contains(&name.as_str()) || rest.next() != Some(':') || rest.next() != Some(']') {
        return Err(format!("'[:{name}' is not a character class"));
    }
    out.push_str("[:");
    out.push_str(&name);
    out.push_str(":]");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern, true).unwrap().is_match(text)
    }

    #[test]
    fn brackets_are_posix() {
        assert!(matches(r"[\]", r"\"));
        assert!(matches("[]a]+", "]a]"));
        assert!(matches("[^]a]", "b"));
        assert!(matches("[a-c-]+", "b-"));
        assert!(matches("[-a]+", "-a"));
        assert!(matches("[a&&b]+", "&ab"));
        assert!(matches("[[a]+", "[a"));
        assert!(matches("[[:digit:]x]+", "1x2"));
        assert!(!matches("[~#]", "a"));
    }

    #[test]
    fn anchors_dots_and_escapes() {
        assert!(matches("a.b", "a\nb"));
        assert!(matches(r"a\.b", "a.b") && !matches(r"a\.b", "axb"));
        assert!(matches("a|bc", "bc") && !matches("a|bc", "ac"));
        assert!(matches("x{2,3}", "xxx") && !matches("x{2}", "xxx"));
        assert!(matches("#/-&~ ]}", "#/-&~ ]}"));
    }

    #[test]
    fn what_is_not_posix_is_refused() {
        for pattern in
            [r"\d", r"a\", "(?i)a", "a**", "a*?", "*a", "a{,2}", "a{x}", "a{2", "[a", "[[:foo:]]", "[[.a.]]", "(a", "a)", "[z-a]"]
        {
            assert!(compile(pattern, true).is_err(), "{pattern}");
        }
    }

    #[test]
    fn size_is_bounded() {
        assert!(compile(&"a".repeat(MAX_REGEX_BYTES), false).is_ok());
        assert!(compile(&"a".repeat(MAX_REGEX_BYTES + 1), false).is_err());
        assert_eq!(compile("((a{100}){100}){100}", false).unwrap_err(), "it is too large");
    }
}
