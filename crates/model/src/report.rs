//! Gathers what is said about places in a job: `group "web" -> task "server" -> resources: memory must be ...`.

/// How many lines a report keeps; what comes after is only counted, so that a hostile job cannot make a reply of any size.
pub(crate) const MAX_LINES: usize = 100;
/// How many characters of a user's text a message quotes.
const MAX_QUOTED: usize = 64;

/// Lines with the place that each is about, in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    path: Vec<String>,
    lines: Vec<String>,
    omitted: usize,
    warnings: Vec<String>,
}

impl Report {
    /// Lets `f` speak of the place called `segment` inside the present one.
    pub(crate) fn within(&mut self, segment: impl Into<String>, f: impl FnOnce(&mut Self)) {
        self.path.push(segment.into());
        f(self);
        self.path.pop();
    }

    /// The present place in words; the job itself is `job`.
    pub(crate) fn place(&self) -> String {
        if self.path.is_empty() { "job".to_owned() } else { self.path.join(" -> ") }
    }

    /// True when no place was entered.
    pub(crate) fn at_top(&self) -> bool {
        self.path.is_empty()
    }

    /// Adds a line as it is.
    pub(crate) fn line(&mut self, text: String) {
        if self.lines.len() < MAX_LINES {
            self.lines.push(text);
        } else {
            self.omitted += 1;
        }
    }

    /// Adds what is wrong at the present place.
    pub(crate) fn say(&mut self, message: impl std::fmt::Display) {
        let line = format!("{}: {message}", self.place());
        self.line(line);
    }

    /// Adds what is allowed at the present place but probably not meant.
    pub(crate) fn warn(&mut self, message: impl std::fmt::Display) {
        let line = format!("{}: {message}", self.place());
        if self.warnings.len() < MAX_LINES {
            self.warnings.push(line);
        }
    }

    /// The warnings; they are taken out.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The lines, and one more that counts what was left out.
    pub(crate) fn into_lines(mut self) -> Vec<String> {
        if self.omitted > 0 {
            self.lines.push(format!("and {} more", self.omitted));
        }
        self.lines
    }
}

/// A user's text in quotes, with control characters made visible and cut to a length that fits a message.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// A block with its label, as a place: `task "server"`. A block without a name is known by its position.
pub(crate) fn labelled(block: &str, label: &str, index: usize) -> String {
    if label.is_empty() { format!("{block} {}", index + 1) } else { format!("{block} {}", quoted(label)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_rest_is_counted() {
        let fill = |n: usize| {
            let mut r = Report::default();
            (0..n).for_each(|i| r.say(i));
            r.into_lines()
        };
        assert_eq!(fill(MAX_LINES).len(), MAX_LINES);
        let over = fill(MAX_LINES + 1);
        assert_eq!(over.len(), MAX_LINES + 1);
        assert_eq!(over[MAX_LINES], "and 1 more");
    }

    #[test]
    fn quotes_are_cut_and_escaped() {
        assert_eq!(quoted(&"é".repeat(MAX_QUOTED)), format!("{:?}", "é".repeat(MAX_QUOTED)));
        assert_eq!(quoted(&"é".repeat(MAX_QUOTED + 1)), format!("{:?}...", "é".repeat(MAX_QUOTED)));
        assert_eq!(quoted("a\u{1b}[2J"), "\"a\\u{1b}[2J\"");
    }
}
