//! Turns the parser's errors into sentences with a place.

use rnix::{ParseError, SyntaxKind as Kind, TextRange};

use super::{Span, Unit};
use crate::error::{ErrorKind, Failure};

/// The error that stands first in the text, if there is any.
pub(super) fn first(errors: &[ParseError], unit: &Unit<'_>) -> Option<Box<Failure>> {
    let placed = errors.iter().map(|error| (place(error, unit), error));
    let (span, error) = placed.min_by_key(|(span, _)| span.start)?;
    let kind = match error {
        ParseError::RecursionLimitExceeded => ErrorKind::Limit,
        _ => ErrorKind::Syntax,
    };
    Some(Failure::new(kind, span, message(error, unit, span)))
}

fn place(error: &ParseError, unit: &Unit<'_>) -> Span {
    match error {
        ParseError::Unexpected(range)
        | ParseError::UnexpectedExtra(range)
        | ParseError::UnexpectedWanted(_, range, _)
        | ParseError::UnexpectedDoubleBind(range)
        | ParseError::DuplicatedArgs(range, _) => first_word(unit, *range),
        _ => {
            let end = u32::try_from(unit.text.trim_end().len()).unwrap_or(u32::MAX);
            Span { file: unit.file, start: end, end }
        }
    }
}

/// The parser's ranges run on to where it found its way again: the first word is
/// what it stumbled over.
fn first_word(unit: &Unit<'_>, range: TextRange) -> Span {
    let (start, end) = (u32::from(range.start()), u32::from(range.end()));
    let text = unit.text.get(start as usize..end as usize).unwrap_or("");
    let word = text.split(char::is_whitespace).next().unwrap_or("");
    Span { file: unit.file, start, end: start + u32::try_from(word.len()).unwrap_or(0) }
}

fn message(error: &ParseError, unit: &Unit<'_>, span: Span) -> String {
    let found = unit.text.get(span.start as usize..span.end as usize).unwrap_or("");
    match error {
        ParseError::UnexpectedWanted(_, _, wanted) => {
            format!("unexpected '{found}', expected {}{}", list(wanted), hint(wanted))
        }
        ParseError::UnexpectedEOFWanted(wanted) => {
            format!("unexpected end of file, expected {}{}", list(wanted), hint(wanted))
        }
        ParseError::UnexpectedEOF => "unexpected end of file".into(),
        ParseError::UnexpectedDoubleBind(_) => "the pattern has an '@' name on both sides".into(),
        ParseError::DuplicatedArgs(_, name) => format!("the argument '{name}' is given twice"),
        ParseError::RecursionLimitExceeded => "expressions are nested too deeply".into(),
        _ => format!("unexpected '{found}'"),
    }
}

fn hint(wanted: &[Kind]) -> &'static str {
    if wanted.contains(&Kind::TOKEN_SEMICOLON) { " (a ';' is missing before this)" } else { "" }
}

fn list(wanted: &[Kind]) -> String {
    if wanted.contains(&Kind::TOKEN_L_PAREN) && wanted.len() > 2 {
        return "an expression".into();
    }
    let names: Vec<&str> = wanted.iter().map(|kind| describe(*kind)).collect();
    names.join(" or ")
}

fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::TOKEN_IDENT | Kind::TOKEN_CUR_POS => "a name",
        Kind::TOKEN_OR => "'or'",
        Kind::TOKEN_ASSIGN => "'='",
        Kind::TOKEN_SEMICOLON => "';'",
        Kind::TOKEN_COLON => "':'",
        Kind::TOKEN_COMMA => "','",
        Kind::TOKEN_ELLIPSIS => "'...'",
        Kind::TOKEN_IN => "'in'",
        Kind::TOKEN_THEN => "'then'",
        Kind::TOKEN_ELSE => "'else'",
        Kind::TOKEN_L_BRACE => "'{'",
        Kind::TOKEN_R_BRACE | Kind::TOKEN_INTERPOL_END => "'}'",
        Kind::TOKEN_R_PAREN => "')'",
        Kind::TOKEN_R_BRACK => "']'",
        Kind::TOKEN_STRING_START => "a string",
        Kind::TOKEN_STRING_CONTENT | Kind::TOKEN_STRING_END => "the end of the string",
        Kind::TOKEN_INTERPOL_START => "'${'",
        _ => "something else",
    }
}
