//! The tokens of a source, from rnix's tokenizer. Counts them, bounds what its
//! look-ahead can cost, and finds the bracket that was never closed, which a
//! parser only notices at the end of the file.

use rnix::SyntaxKind as Kind;

use super::Span;
use crate::error::{ErrorKind, Failure, Fallible};
use crate::limits::{MAX_SOURCE_NESTING, MAX_SOURCE_TOKENS};

/// The tokenizer looks ahead to the end of each run of path characters, at each
/// token of it. This many steps are allowed for each byte of source, and
/// [`FREE_LOOK_AHEAD`] on top: sensible sources need about ten.
const LOOK_AHEAD_PER_BYTE: usize = 64;
const FREE_LOOK_AHEAD: usize = 1 << 16;

/// A token that is not white space or a comment, as a range of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
}

struct Scan {
    file: u32,
    open: Vec<(Kind, Span)>,
    tokens: Vec<Token>,
}

/// The tokens of `text`. Fails where it is unbalanced, or nested, long or tangled
/// beyond a bound.
pub(super) fn tokens(text: &str, file: u32) -> Fallible<Vec<Token>> {
    let mut scan = Scan { file, open: Vec::new(), tokens: Vec::new() };
    let mut look_ahead = LookAhead::new(text);
    let mut offset = 0;
    for (kind, token) in rnix::tokenize(text) {
        let span = scan.span(offset, token.len());
        if !look_ahead.charge(offset) {
            return Err(limit(span, "names and numbers run together for too long: break the expression up".into()));
        }
        if kind == Kind::TOKEN_ERROR {
            return Err(bad_token(text, token, span, scan.open.last()));
        }
        if !kind.is_trivia() {
            scan.token(kind, span)?;
        }
        offset += token.len();
    }
    match scan.open.last() {
        Some(&(kind, span)) => Err(syntax(span, format!("{} is never closed", describe_open(kind)))),
        None => Ok(scan.tokens),
    }
}

/// How much of a bad token a message repeats.
const MAX_SHOWN_CHARS: usize = 40;

fn syntax(span: Span, message: String) -> Box<Failure> {
    Failure::new(ErrorKind::Syntax, span, message)
}

fn limit(span: Span, message: String) -> Box<Failure> {
    Failure::new(ErrorKind::Limit, span, message)
}

fn bad_token(text: &str, token: &str, span: Span, open: Option<&(Kind, Span)>) -> Box<Failure> {
    if let Some(&(Kind::TOKEN_STRING_START, start)) = open
        && (span.start as usize) + token.len() >= text.len()
    {
        return syntax(start, "the string is never closed".into());
    }
    if token.starts_with("/*") {
        return syntax(span, "the comment is never closed".into());
    }
    let token: String = token.chars().take(MAX_SHOWN_CHARS).collect();
    if token.contains('/') {
        return syntax(span, format!("'{token}' is not a path: a path may not end in '/' nor contain '//'"));
    }
    syntax(span, format!("unexpected '{token}'"))
}

impl Scan {
    fn span(&self, offset: usize, len: usize) -> Span {
        let clamp = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: clamp(offset), end: clamp(offset + len) }
    }

    fn token(&mut self, kind: Kind, span: Span) -> Fallible<()> {
        self.tokens.push(Token { kind, start: span.start, end: span.end });
        if self.tokens.len() > MAX_SOURCE_TOKENS {
            return Err(limit(span, format!("the source has more than {MAX_SOURCE_TOKENS} tokens")));
        }
        match kind {
            Kind::TOKEN_L_BRACE | Kind::TOKEN_L_BRACK | Kind::TOKEN_L_PAREN | Kind::TOKEN_INTERPOL_START | Kind::TOKEN_STRING_START => {
                self.enter(kind, span)
            }
            Kind::TOKEN_R_BRACE | Kind::TOKEN_INTERPOL_END => self.leave(kind, span),
            Kind::TOKEN_R_BRACK | Kind::TOKEN_R_PAREN | Kind::TOKEN_STRING_END => self.leave(kind, span),
            _ => Ok(()),
        }
    }

    fn enter(&mut self, kind: Kind, span: Span) -> Fallible<()> {
        if self.open.len() >= MAX_SOURCE_NESTING {
            let message = format!("brackets and strings are nested more than {MAX_SOURCE_NESTING} deep");
            return Err(limit(span, message));
        }
        self.open.push((kind, span));
        Ok(())
    }

    fn leave(&mut self, kind: Kind, span: Span) -> Fallible<()> {
        match self.open.pop() {
            Some((open, _)) if closes(open, kind) => Ok(()),
            Some((open, at)) => {
                let found = describe_close(kind);
                Err(syntax(at, format!("{} is never closed: found {found} first", describe_open(open))))
            }
            None => Err(syntax(span, format!("{} closes nothing", describe_close(kind)))),
        }
    }
}

fn closes(open: Kind, close: Kind) -> bool {
    matches!(
        (open, close),
        (Kind::TOKEN_L_BRACE, Kind::TOKEN_R_BRACE)
            | (Kind::TOKEN_L_BRACK, Kind::TOKEN_R_BRACK)
            | (Kind::TOKEN_L_PAREN, Kind::TOKEN_R_PAREN)
            | (Kind::TOKEN_INTERPOL_START, Kind::TOKEN_INTERPOL_END)
            | (Kind::TOKEN_STRING_START, Kind::TOKEN_STRING_END)
    )
}

fn describe_open(kind: Kind) -> &'static str {
    match kind {
        Kind::TOKEN_L_BRACE => "'{'",
        Kind::TOKEN_L_BRACK => "'['",
        Kind::TOKEN_L_PAREN => "'('",
        Kind::TOKEN_INTERPOL_START => "'${'",
        _ => "the string",
    }
}

fn describe_close(kind: Kind) -> &'static str {
    match kind {
        Kind::TOKEN_R_BRACE | Kind::TOKEN_INTERPOL_END => "'}'",
        Kind::TOKEN_R_BRACK => "']'",
        Kind::TOKEN_R_PAREN => "')'",
        _ => "the end of the string",
    }
}

/// Counts the tokenizer's look-ahead without doing it: each run of characters is
/// measured once and remembered.
struct LookAhead<'a> {
    text: &'a str,
    steps_left: usize,
    plain_end: usize,
    search_end: usize,
}

impl<'a> LookAhead<'a> {
    fn new(text: &'a str) -> Self {
        let steps_left = text.len().saturating_mul(LOOK_AHEAD_PER_BYTE).saturating_add(FREE_LOOK_AHEAD);
        Self { text, steps_left, plain_end: 0, search_end: 0 }
    }

    fn charge(&mut self, offset: usize) -> bool {
        let rest = self.text.get(offset..).unwrap_or("");
        let is_search = rest.starts_with('<');
        let end = if is_search { &mut self.search_end } else { &mut self.plain_end };
        if *end <= offset {
            let run = rest.bytes().take_while(|&byte| is_path_byte(byte) || (is_search && matches!(byte, b'<' | b'/')));
            *end = offset + run.count();
        }
        match self.steps_left.checked_sub(*end - offset) {
            Some(left) => {
                self.steps_left = left;
                true
            }
            None => false,
        }
    }
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn message(text: &str) -> String {
        tokens(text, 0).unwrap_err().message
    }

    #[test]
    fn nesting_at_the_limit_and_one_past_it() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(tokens(&nested(MAX_SOURCE_NESTING), 0).is_ok());
        assert!(message(&nested(MAX_SOURCE_NESTING + 1)).contains("nested more than 256"));
    }

    #[test]
    fn tokens_at_the_limit_and_one_past_it() {
        let list = |tokens: usize| format!("[{}]", "1 ".repeat(tokens - 2));
        assert!(tokens(&list(MAX_SOURCE_TOKENS), 0).is_ok());
        assert!(message(&list(MAX_SOURCE_TOKENS + 1)).contains("more than 200000 tokens"));
    }

    #[test]
    fn look_ahead_is_bounded() {
        // Every token of `1.1.1.` makes the tokenizer look to the end of the run.
        assert!(message(&"a.".repeat(100_000)).contains("run together"));
        assert!(message(&"<".repeat(200_000)).contains("run together"));
        assert!(tokens(&"a ".repeat(90_000), 0).is_ok());
        assert!(tokens(&"a.b.c-d ".repeat(20_000), 0).is_ok());
    }

    #[test]
    fn unbalanced_brackets_name_the_opening_one() {
        let failure = tokens("{ a = [ 1 2; }", 0).unwrap_err();
        assert_eq!((failure.message.as_str(), failure.span.start), ("'[' is never closed: found '}' first", 6));
        let failure = tokens("{ a = 1;", 0).unwrap_err();
        assert_eq!((failure.message.as_str(), failure.span.start), ("'{' is never closed", 0));
        assert_eq!(message("1 )"), "')' closes nothing");
        let failure = tokens("{ a = \"x; }", 0).unwrap_err();
        assert_eq!((failure.message.as_str(), failure.span.start), ("the string is never closed", 6));
        assert_eq!(message("1 /* 2"), "the comment is never closed");
        assert_eq!(message("1 ^ 2"), "unexpected '^'");
    }
}
