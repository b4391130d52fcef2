//! The text of string literals: escapes, and the indentation that `''` strings
//! lose. It works on the tokens of a string, without their interpolations.

/// A piece of a string literal; `T` stands for an interpolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<T> {
    Text(String),
    Interpolation(T),
}

/// The pieces of a `"..."` string, unescaped.
pub(super) fn plain<T>(pieces: Vec<Piece<T>>) -> Vec<Piece<T>> {
    let unescape = |piece| match piece {
        Piece::Text(raw) => Piece::Text(unescape_plain(&raw)),
        interpolation => interpolation,
    };
    pieces.into_iter().map(unescape).collect()
}

fn unescape_plain(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.extend(rest.next().map(escape)),
            // As Nix: a line may end in CR or CR LF, the string gets LF.
            '\r' => {
                rest.next_if_eq(&'\n');
                text.push('\n');
            }
            other => text.push(other),
        }
    }
    text
}

fn escape(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    }
}

/// What a `''` string consists of.
enum Bit<T> {
    /// As written: its spaces may be indentation.
    Raw(String),
    /// From an escape: text, even where it is a space.
    Escaped(String),
    Interpolation(T),
}

/// The pieces of a `''...''` string: unescaped, without the first line if it is
/// blank, without the spaces that all lines begin with, and without those that
/// stand before the closing quotes on a line of their own.
pub(super) fn indented<T>(pieces: Vec<Piece<T>>) -> Vec<Piece<T>> {
    let mut bits = Vec::new();
    for (index, piece) in pieces.into_iter().enumerate() {
        match piece {
            Piece::Text(raw) => split(if index == 0 { without_blank_first_line(&raw) } else { &raw }, &mut bits),
            Piece::Interpolation(inner) => bits.push(Bit::Interpolation(inner)),
        }
    }
    let indentation = least_indentation(&bits);
    strip(bits, indentation)
}

fn without_blank_first_line(raw: &str) -> &str {
    raw.trim_start_matches(' ').strip_prefix('\n').unwrap_or(raw)
}

/// `'''` is `''`, `''$` is `$`, and `''\c` is the escape `\c`.
fn split<T>(raw: &str, bits: &mut Vec<Bit<T>>) {
    let mut rest = raw;
    while let Some(at) = rest.find("''") {
        let (before, quotes) = rest.split_at(at);
        let after = quotes.get(2..).unwrap_or("");
        let mut chars = after.chars();
        let text = match chars.next() {
            Some('\'') => "''".to_owned(),
            Some('$') => "$".to_owned(),
            Some('\\') => chars.next().map(escape).map(String::from).unwrap_or_default(),
            // The tokenizer ends the string at any other pair of quotes.
            _ => break,
        };
        if !before.is_empty() {
            bits.push(Bit::Raw(before.to_owned()));
        }
        bits.push(Bit::Escaped(text));
        rest = chars.as_str();
    }
    if !rest.is_empty() {
        bits.push(Bit::Raw(rest.to_owned()));
    }
}

/// The fewest spaces before the first other character of a line; blank lines do
/// not count.
fn least_indentation<T>(bits: &[Bit<T>]) -> usize {
    let mut least = usize::MAX;
    let mut spaces = Some(0);
    for bit in bits {
        let Bit::Raw(raw) = bit else {
            least = spaces.take().map_or(least, |spaces| least.min(spaces));
            continue;
        };
        for c in raw.chars() {
            spaces = match (c, spaces) {
                ('\n', _) => Some(0),
                (' ', Some(spaces)) => Some(spaces + 1),
                (_, Some(spaces)) => {
                    least = least.min(spaces);
                    None
                }
                (_, None) => None,
            };
        }
    }
    least
}

fn strip<T>(bits: Vec<Bit<T>>, indentation: usize) -> Vec<Piece<T>> {
    let mut pieces = Vec::new();
    let last = bits.len().saturating_sub(1);
    // How many spaces may still be dropped; none in the middle of a line.
    let mut droppable = indentation;
    for (index, bit) in bits.into_iter().enumerate() {
        match bit {
            Bit::Raw(raw) => {
                let mut text = strip_lines(&raw, indentation, &mut droppable);
                if index == last {
                    drop_blank_last_line(&mut text);
                }
                pieces.push(Piece::Text(text));
            }
            Bit::Escaped(text) => {
                // As Nix: an escaped newline begins a line whose spaces are dropped.
                droppable = if text == "\n" { indentation } else { 0 };
                pieces.push(Piece::Text(text));
            }
            Bit::Interpolation(inner) => {
                droppable = 0;
                pieces.push(Piece::Interpolation(inner));
            }
        }
    }
    pieces
}

fn strip_lines(raw: &str, indentation: usize, droppable: &mut usize) -> String {
    let mut text = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            ' ' if *droppable > 0 => *droppable -= 1,
            '\n' => {
                *droppable = indentation;
                text.push(c);
            }
            other => {
                *droppable = 0;
                text.push(other);
            }
        }
    }
    text
}

fn drop_blank_last_line(text: &mut String) {
    let line = text.rfind('\n').map(|at| at + 1);
    if let Some(line) = line
        && text.get(line..).is_some_and(|rest| rest.chars().all(|c| c == ' '))
    {
        text.truncate(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pieces: Vec<Piece<()>>) -> String {
        let show = |piece: &Piece<()>| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Interpolation(()) => "@".into(),
        };
        pieces.iter().map(show).collect()
    }

    fn one(raw: &str) -> String {
        texts(indented(vec![Piece::Text(raw.into())]))
    }

    #[test]
    fn indentation_is_what_all_lines_share() {
        assert_eq!(one("\n    a\n      b\n    c\n  "), "a\n  b\nc\n");
        assert_eq!(one("  \n  a\n\n   b"), "a\n\n b");
        assert_eq!(one("a\n  b"), "a\n  b");
        assert_eq!(one("\n  a\n      \n  b\n"), "a\n    \nb\n");
        assert_eq!(one("\n\ta\n"), "\ta\n");
        assert_eq!(one("   "), "");
    }

    #[test]
    fn escapes_are_text() {
        assert_eq!(one("\n  a ''$ ''' ''\\t ''\\x\n"), "a $ '' \t x\n");
        assert_eq!(one("\n  ''\\n  a ''\\n  b\n"), "\na \nb\n");
        assert_eq!(one("  ''\\ a"), " a");
    }

    #[test]
    fn interpolations_end_an_indentation() {
        let pieces = vec![
            Piece::Text("\n    ".into()),
            Piece::Interpolation(()),
            Piece::Text(" x\n      ".into()),
            Piece::Interpolation(()),
            Piece::Text("\n  ".into()),
        ];
        assert_eq!(texts(indented(pieces)), "@ x\n  @\n");
    }

    #[test]
    fn plain_strings_are_unescaped() {
        let pieces = vec![Piece::<()>::Text("a\\n\\\"\\$\\q\r\nb\rc\\\\".into())];
        assert_eq!(texts(plain(pieces)), "a\n\"$q\nb\nc\\");
    }
}
