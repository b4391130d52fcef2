//! What is wrong with a job file and where: the file's name, line, column, the line itself and a caret.

use std::{fmt, rc::Rc};

use crate::{limits::MAX_ERRORS, nix_places::Places};

/// The longest source line that an error shows, in characters.
const MAX_LINE_CHARS: usize = 120;
/// How much of a longer line is shown before the failing column.
const CONTEXT_CHARS: usize = 40;

/// A place in the text of a job file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The line; a very long one is cut around the column.
    pub line_text: String,
    /// Where the caret begins below `line_text`, in characters from 0.
    pub caret: usize,
    /// How many carets there are.
    pub caret_len: usize,
}

/// One thing that is wrong, or worth a warning.
///
/// `Display` prints `file:line:column: message`, the line and a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file's name as the caller gave it.
    pub file: String,
    /// Where in the text; `None` for the whole file, and for values that were computed (Nix).
    pub place: Option<Place>,
    /// What is wrong and what to do, without a full stop.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else { return write!(f, "{}: {}", self.file, self.message) };
        write!(f, "{}:{}:{}: {}", self.file, place.line, place.column, self.message)?;
        // Tabs stay tabs, so that the caret stands below its character.
        let indent: String = place.line_text.chars().take(place.caret).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n    {}\n    {indent}{}", place.line_text, "^".repeat(place.caret_len.max(1)))
    }
}

/// Why a job file was refused: at least one error, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors {
    /// What is wrong, at most [`MAX_ERRORS`].
    pub errors: Vec<Diagnostic>,
    /// True when parsing stopped because there were that many.
    pub truncated: bool,
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        if self.truncated {
            write!(f, "\nstopped after {MAX_ERRORS} errors")?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseErrors {}

/// A range of bytes in one of the [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) source: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(source: u32, range: std::ops::Range<usize>) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { source, start: clamp(range.start), end: clamp(range.end) }
    }
}

/// Where something stands: in a text, or at a path inside computed data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Text(Span),
    Path(Rc<str>),
    /// Nowhere in particular of the file with this number.
    File(u32),
}

/// An error before its place is looked up.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) at: At,
    pub(crate) message: String,
    /// A limit was reached: nothing may catch it, and going on makes no sense.
    pub(crate) fatal: bool,
}

pub(crate) type Fallible<T> = Result<T, Box<Fault>>;

impl Fault {
    pub(crate) fn new(at: &At, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { at: at.clone(), message: message.into(), fatal: false })
    }
    /// The consequence of another fault that is reported already: not shown.
    pub(crate) fn echo(at: &At) -> Box<Self> {
        Self::new(at, "")
    }
    pub(crate) fn fatal(at: &At, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { at: at.clone(), message: message.into(), fatal: true })
    }
}

/// The texts that were read, by number: the job file is 0.
#[derive(Debug, Default)]
pub(crate) struct Sources<'a> {
    texts: Vec<(String, std::borrow::Cow<'a, str>)>,
    /// Where paths of the first text are written, as far as that is known.
    places: Places,
}

impl<'a> Sources<'a> {
    /// Adds a text and gives its number.
    pub(crate) fn add(&mut self, name: &str, text: impl Into<std::borrow::Cow<'a, str>>) -> u32 {
        self.texts.push((printable(name), text.into()));
        u32::try_from(self.texts.len() - 1).unwrap_or(u32::MAX)
    }

    /// Says where paths of the first text are written.
    pub(crate) fn place_paths(&mut self, places: Places) {
        self.places = places;
    }

    pub(crate) fn locate(&self, fault: Fault) -> Diagnostic {
        let message = printable(&fault.message);
        let (source, span, path) = match &fault.at {
            At::Text(span) => (span.source, Some(*span), None),
            At::Path(path) => (0, self.places.find(path).map(|place| Span::new(0, place)), Some(path)),
            At::File(source) => (*source, None, None),
        };
        let (file, text) = self.texts.get(source as usize).map(|(n, t)| (n.clone(), &**t)).unwrap_or_default();
        let message = match path {
            // The path ends with the name that the message begins with.
            Some(path) if !path.is_empty() => {
                let own = path.rsplit('.').next().map(|name| format!("{name}: "));
                format!("{path}: {}", own.and_then(|own| message.strip_prefix(&*own)).unwrap_or(&message))
            }
            _ => message,
        };
        Diagnostic { file, place: span.map(|span| place(text, span)), message }
    }
}

/// The faults of one parse, in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: Vec<Fault>,
    truncated: bool,
    fatal: bool,
}

impl Faults {
    #[allow(clippy::boxed_local, reason = "faults travel in boxes, and this is where they arrive")]
    pub(crate) fn push(&mut self, fault: Box<Fault>) {
        if fault.message.is_empty() && !self.found.is_empty() {
            return;
        }
        self.fatal |= fault.fatal;
        if self.found.len() < MAX_ERRORS {
            self.found.push(*fault);
        } else {
            // Going on would let a file make us compose errors without end.
            self.truncated = true;
            self.fatal = true;
        }
    }
    pub(crate) fn add(&mut self, at: &At, message: impl Into<String>) {
        self.push(Fault::new(at, message));
    }
    /// Keeps the value, or the fault.
    pub(crate) fn take<T>(&mut self, result: Fallible<T>) -> Option<T> {
        result.map_err(|fault| self.push(fault)).ok()
    }
    /// True when going on makes no sense.
    pub(crate) fn is_fatal(&self) -> bool {
        self.fatal
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
    /// The errors with their places; in the order of the text, those without a place last.
    pub(crate) fn report(self, sources: &Sources<'_>) -> ParseErrors {
        let source_of = |fault: &Fault| match &fault.at {
            At::Text(span) => (span.source, 0, *span),
            At::File(source) => (*source, 1, Span { source: 0, start: 0, end: 0 }),
            At::Path(path) => {
                let place = sources.places.find(path).map(|place| Span::new(0, place));
                place.map_or((0, 1, Span { source: 0, start: 0, end: 0 }), |span| (0, 0, span))
            }
        };
        let mut found = self.found;
        found.sort_by_cached_key(source_of);
        ParseErrors { errors: found.into_iter().map(|fault| sources.locate(fault)).collect(), truncated: self.truncated }
    }
}

/// Control characters would let a file write to the reader's terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Text as an error quotes it: escaped and cut.
pub(crate) fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(40).collect();
    if chars.next().is_some() { format!("{head:?}...") } else { format!("{head:?}") }
}

fn place(text: &str, span: Span) -> Place {
    let mut start = (span.start as usize).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let (before, after) = text.split_at(start);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_end = after.find('\n').map_or(text.len(), |at| start + at);
    let line = text.get(line_start..line_end).unwrap_or("");
    let line = line.strip_suffix('\r').unwrap_or(line);
    let column = before.get(line_start..).unwrap_or("").chars().count();
    let end = (span.end as usize).saturating_sub(line_start).min(line.len());
    let width = line.get(start - line_start..end).map_or(1, |marked| marked.chars().count().max(1));
    let skipped = if line.chars().count() <= MAX_LINE_CHARS { 0 } else { column.saturating_sub(CONTEXT_CHARS) };
    let head = if skipped > 0 { "..." } else { "" };
    let body: String = line.chars().skip(skipped).take(MAX_LINE_CHARS).collect();
    let tail = if line.chars().count() > skipped + MAX_LINE_CHARS { "..." } else { "" };
    let caret_len = width.min(body.chars().count().saturating_sub(column - skipped)).max(1);
    Place {
        line: before.matches('\n').count() + 1,
        column: column + 1,
        line_text: printable(&format!("{head}{body}{tail}")),
        caret: head.len() + column - skipped,
        caret_len,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(text: &str, range: std::ops::Range<usize>) -> String {
        let mut sources = Sources::default();
        let source = sources.add("x.hcl", text.to_owned());
        sources.locate(*Fault::new(&At::Text(Span::new(source, range)), "it is wrong")).to_string()
    }

    #[test]
    fn the_caret_stands_below_the_place() {
        assert_eq!(shown("a = 1\n\tb = é2\r\n", 11..14), "x.hcl:2:6: it is wrong\n    \tb = é2\n    \t    ^^");
    }

    #[test]
    fn long_lines_are_cut_and_ranges_past_the_end_are_harmless() {
        let text = "x".repeat(1_000);
        let out = shown(&text, 500..10_000);
        assert!(out.lines().all(|line| line.chars().count() < 140), "{out}");
        assert!(shown("é", 1..99).contains(":1:1:"));
        assert!(shown("", 7..9).contains(":1:1:"));
    }

    #[test]
    fn errors_beyond_the_limit_stop_the_parse() {
        let mut faults = Faults::default();
        for _ in 0..=MAX_ERRORS {
            faults.add(&At::File(0), "no");
        }
        let report = faults.report(&Sources::default());
        assert_eq!((report.errors.len(), report.truncated), (MAX_ERRORS, true));
        assert!(report.to_string().ends_with("stopped after 20 errors"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!shown("\u{1b}[31mred", 0..1).contains('\u{1b}'));
    }
}
