//! What a user sees when an evaluation fails: message, place, the line itself
//! and a caret. Inside the crate an error is a small [`Failure`] with spans.

use std::fmt;
use std::ops::Deref;

use crate::limits::MAX_TRACE;
use crate::syntax::Span;

/// The longest source line that an error shows, in characters.
const MAX_LINE_CHARS: usize = 120;
/// The longest message, in characters.
const MAX_MESSAGE_CHARS: usize = 2_000;
/// How much of a longer line is shown before the failing column.
const CONTEXT_CHARS: usize = 40;

/// The kinds of failure that a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not Nix.
    Syntax,
    /// The program is wrong: a type, a missing attribute, a division by zero.
    Evaluation,
    /// The program called `throw`.
    Thrown,
    /// An `assert` failed.
    Assertion,
    /// The program called `abort`.
    Aborted,
    /// A bound of [`Limits`](crate::Limits) was reached.
    Limit,
    /// Real Nix can do it, this evaluator does not: render with `nix eval --json`.
    Unsupported,
    /// A file could not be read, or a path is refused.
    File,
    /// A defect of the evaluator itself.
    Internal,
}

/// One step of how the evaluation came to the failing place, innermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEntry {
    /// What was being done, such as `while calling the function 'mkGroup'`.
    pub message: String,
    /// The file's name.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
}

/// A failed evaluation: a [`Report`], boxed, so that results stay small. `Display`
/// prints `file:line:column: message`, the line, a caret line, and the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError {
    report: Box<Report>,
}

impl Deref for EvalError {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

/// What is known of a failed evaluation; read it through [`EvalError`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What went wrong and, where it helps, what to do.
    pub message: String,
    /// The file's name, relative to the job's folder.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The failing line; a very long one is cut around the column.
    pub line_text: String,
    /// How the evaluation came here, innermost first.
    pub trace: Vec<TraceEntry>,
    /// Outer steps that `trace` leaves out.
    pub trace_omitted: usize,
    caret_start: usize,
    caret_len: usize,
}

impl EvalError {
    pub(crate) fn locate(failure: Failure, sources: &[Source]) -> Self {
        let fallback = Source { name: String::new(), text: "".into() };
        let source = sources.get(failure.span.file as usize).unwrap_or(&fallback);
        let place = source.place(failure.span.start);
        let shown = Shown::cut(&place, failure.span);
        let report = Report {
            kind: failure.kind,
            message: printable(&failure.message),
            file: source.name.clone(),
            line: place.line,
            column: place.column,
            line_text: shown.text,
            trace: failure.trace.iter().map(|step| step.locate(sources)).collect(),
            trace_omitted: failure.trace_omitted,
            caret_start: shown.caret_start,
            caret_len: shown.caret_len,
        };
        Self { report: Box::new(report) }
    }

    /// An error that has no place inside the file's text.
    pub(crate) fn whole_file(kind: ErrorKind, file: &str, message: String) -> Self {
        let report = Report {
            kind,
            message: printable(&message),
            file: printable(file),
            line: 1,
            column: 1,
            line_text: String::new(),
            trace: Vec::new(),
            trace_omitted: 0,
            caret_start: 0,
            caret_len: 0,
        };
        Self { report: Box::new(report) }
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if self.caret_len > 0 {
            // Tabs stay tabs, so that the caret stands below its character.
            let indent: String = self.line_text.chars().take(self.caret_start).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n    {}\n    {indent}{}", self.line_text, "^".repeat(self.caret_len))?;
        }
        for step in &self.trace {
            write!(f, "\n  {} ({}:{}:{})", step.message, step.file, step.line, step.column)?;
        }
        if self.trace_omitted > 0 {
            write!(f, "\n  and {} more calls outside these", self.trace_omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for EvalError {}

/// What a message may show: bounded, for it can repeat a name or a text of the
/// program, and without control characters, for they would let a file write to
/// its reader's terminal.
fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_MESSAGE_CHARS).map(visible).collect();
    if text.chars().nth(MAX_MESSAGE_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

fn visible(c: char) -> char {
    if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }
}

/// A source text and the name that errors give it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: std::rc::Rc<str>,
}

struct Place<'a> {
    line: usize,
    column: usize,
    line_start: usize,
    line_text: &'a str,
}

impl Source {
    fn place(&self, offset: u32) -> Place<'_> {
        let text: &str = &self.text;
        let mut offset = (offset as usize).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let (before, after) = text.split_at(offset);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = after.find('\n').map_or(text.len(), |at| offset + at);
        let line_text = text.get(line_start..line_end).unwrap_or("");
        Place {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
            line_start,
            line_text: line_text.strip_suffix('\r').unwrap_or(line_text),
        }
    }
}

struct Shown {
    text: String,
    caret_start: usize,
    caret_len: usize,
}

impl Shown {
    fn cut(place: &Place<'_>, span: Span) -> Self {
        let end = (span.end as usize).saturating_sub(place.line_start).min(place.line_text.len());
        let start = (span.start as usize).saturating_sub(place.line_start);
        let width = place.line_text.get(start..end).map_or(1, |text| text.chars().count().max(1));
        let line: String = place.line_text.chars().map(visible).collect();
        let first = place.column - 1;
        if line.chars().count() <= MAX_LINE_CHARS {
            return Self { text: line, caret_start: first, caret_len: width };
        }
        let skipped = first.saturating_sub(CONTEXT_CHARS);
        let body: String = line.chars().skip(skipped).take(MAX_LINE_CHARS).collect();
        let head = if skipped > 0 { "..." } else { "" };
        let caret_start = head.len() + first - skipped;
        let caret_len = width.min(body.chars().count().saturating_sub(first - skipped)).max(1);
        let tail = if line.chars().count() > skipped + MAX_LINE_CHARS { "..." } else { "" };
        Self { text: format!("{head}{body}{tail}"), caret_start, caret_len }
    }
}

/// A step of the trace before its place is looked up.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    message: String,
    span: Span,
}

impl Step {
    fn locate(&self, sources: &[Source]) -> TraceEntry {
        let (file, line, column) = match sources.get(self.span.file as usize) {
            Some(source) => {
                let place = source.place(self.span.start);
                (source.name.clone(), place.line, place.column)
            }
            None => (String::new(), 0, 0),
        };
        TraceEntry { message: printable(&self.message), file, line, column }
    }
}

/// An error on its way out of the evaluator.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) span: Span,
    trace: Vec<Step>,
    trace_omitted: usize,
}

/// Boxed: results travel through every frame of the recursion.
pub(crate) type Fallible<T> = Result<T, Box<Failure>>;

impl Failure {
    pub(crate) fn new(kind: ErrorKind, span: Span, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { kind, message: message.into(), span, trace: Vec::new(), trace_omitted: 0 })
    }

    /// `tryEval` may catch what the program raised itself, nothing else: not a
    /// wrong type, and above all not a limit.
    pub(crate) fn is_catchable(&self) -> bool {
        matches!(self.kind, ErrorKind::Thrown | ErrorKind::Assertion)
    }

    /// Adds an outer step.
    pub(crate) fn within(mut self: Box<Self>, span: Span, message: impl FnOnce() -> String) -> Box<Self> {
        if self.trace.len() < MAX_TRACE {
            self.trace.push(Step { message: message(), span });
        } else {
            self.trace_omitted += 1;
        }
        self
    }
}
