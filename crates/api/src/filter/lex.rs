//! Text to tokens.

use super::Problem;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of `( ) { } [ ] ,`, `==` and `!=`, and what is refused by name: `<`, `<=`, `>`, `>=`.
    Sign(&'static str),
    /// A run of letters, digits and `_ - . / : +`.
    Word(String),
    /// A quoted text, without its quotes.
    Text(String),
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Its bytes in the expression.
    pub(super) span: (usize, usize),
}

impl Token {
    pub(super) fn unexpected(&self, wanted: &str) -> Problem {
        let found = match &self.kind {
            Kind::Sign(order @ ("<" | "<=" | ">" | ">=")) => return Problem::new(self.span.0, format!("not supported: operator {order}")),
            Kind::Sign(sign) => format!("{sign:?}"),
            Kind::Word(word) => format!("{word:?}"),
            Kind::Text(_) => "a quoted text".to_owned(),
            Kind::End => "the end".to_owned(),
        };
        Problem::new(self.span.0, format!("expected {wanted}, found {found}"))
    }
    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.kind, Kind::Sign(s) if s == sign)
    }
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(w) if w == word)
    }
    pub(super) fn word(&self) -> Option<&str> {
        if let Kind::Word(w) = &self.kind { Some(w) } else { None }
    }
}

const SIGNS: &[&str] = &["==", "!=", "<=", ">=", "<", ">", "(", ")", "{", "}", "[", "]", ","];

/// The tokens, the last of which is always `End`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if trimmed.len() < rest.len() {
            at += rest.len() - trimmed.len();
            continue;
        }
        let (kind, length) = token(rest, at)?;
        tokens.push(Token { kind, span: (at, at + length) });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, span: (text.len(), text.len()) });
    Ok(tokens)
}

/// The token that `rest` begins with, and its length in bytes.
fn token(rest: &str, at: usize) -> Result<(Kind, usize), Problem> {
    if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
        return Ok((Kind::Sign(sign), sign.len()));
    }
    let word = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_-./:+".contains(c))).unwrap_or(rest.len());
    if let Some(word) = rest.get(..word).filter(|w| !w.is_empty()) {
        return Ok((Kind::Word(word.to_owned()), word.len()));
    }
    match rest.chars().next() {
        Some('`') => {
            let raw = rest.get(1..).and_then(|r| r.split_once('`')).ok_or_else(|| Problem::new(at, "a quoted text has no end"))?.0;
            Ok((Kind::Text(raw.to_owned()), raw.len() + 2))
        }
        Some('"') => quoted(rest, at),
        Some('=') => Err(Problem::new(at, "unexpected \"=\": equality is ==")),
        Some(other) => Err(Problem::new(at, format!("unexpected {other:?}; a value with such characters is written in double quotes"))),
        None => Err(Problem::new(at, "expected an expression")),
    }
}

/// A text in double quotes, with the escapes that Go and JSON share.
fn quoted(rest: &str, at: usize) -> Result<(Kind, usize), Problem> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        text.push(match c {
            '"' => return Ok((Kind::Text(text), i + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, 'r')) => '\r',
                Some((_, same @ ('\\' | '"'))) => same,
                _ => return Err(Problem::new(at + i, "unknown escape; write \\\\ for a backslash, or put the text in backquotes")),
            },
            c => c,
        });
    }
    Err(Problem::new(at, "a quoted text has no end"))
}
