//! A first pass over HCL text, before the parser: brackets must match, nesting and counts must keep their bounds.
//!
//! The parser of the library compares each key of an object with all others and stops at nesting 64 without saying which
//! bracket is open. This pass knows strings, heredocs, templates and comments exactly as the parser does, so that nothing it
//! takes for text is code to the parser.

use crate::{
    diagnostic::{At, Fallible, Fault, Span},
    limits::{MAX_DEPTH, MAX_ENTRIES, MAX_TOKENS},
};

enum Mode<'a> {
    /// Inside `{`, `[` or `(`, or `${` and `%{`: code until the byte `close`.
    Code { close: u8, entries: usize },
    /// Inside quotes.
    Quote,
    /// Inside a heredoc.
    Heredoc { delimiter: &'a str },
}

struct Frame<'a> {
    mode: Mode<'a>,
    start: usize,
}

struct Scan<'a> {
    text: &'a str,
    source: u32,
    at: usize,
    stack: Vec<Frame<'a>>,
    depth: usize,
    tokens: usize,
}

/// Checks a whole file.
pub(crate) fn check(text: &str, source: u32) -> Fallible<()> {
    Scan { text, source, at: 0, stack: Vec::new(), depth: 0, tokens: 0 }.run()
}

/// Checks a template, as JSON strings hold them.
pub(crate) fn check_template(text: &str, source: u32) -> Fallible<()> {
    // A heredoc whose delimiter never comes has the rules of a bare template: no escapes but `$${` and `%%{`.
    let stack = vec![Frame { mode: Mode::Heredoc { delimiter: "" }, start: 0 }];
    Scan { text, source, at: 0, stack, depth: 0, tokens: 0 }.run()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte >= 0x80
}

impl<'a> Scan<'a> {
    fn run(mut self) -> Fallible<()> {
        while self.at < self.text.len() {
            match self.stack.last().map(|frame| &frame.mode) {
                None | Some(Mode::Code { .. }) => self.code()?,
                Some(Mode::Quote) => self.quote()?,
                Some(Mode::Heredoc { delimiter }) => self.heredoc(delimiter)?,
            }
        }
        match self.stack.pop() {
            None => Ok(()),
            Some(Frame { mode: Mode::Heredoc { delimiter: "" }, .. }) => Ok(()),
            Some(frame) => Err(self.unclosed(&frame)),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }
    fn byte(&self, offset: usize) -> u8 {
        self.text.as_bytes().get(self.at + offset).copied().unwrap_or(0)
    }
    fn span(&self, start: usize, len: usize) -> At {
        At::Text(Span::new(self.source, start..start + len))
    }

    fn unclosed(&self, frame: &Frame<'_>) -> Box<Fault> {
        let (len, message) = match &frame.mode {
            Mode::Code { close: b'}', .. } => (1, "this { is never closed: add } where the block ends".to_owned()),
            Mode::Code { close, .. } => (1, format!("this bracket is never closed: add {}", char::from(*close))),
            Mode::Quote => (1, "this text is never closed: add \" at its end".to_owned()),
            Mode::Heredoc { delimiter } => (2, format!("this text is never closed: add a line with only {delimiter} at its end")),
        };
        Fault::new(&self.span(frame.start, len), message)
    }

    fn token(&mut self) -> Fallible<()> {
        self.tokens += 1;
        if self.tokens > MAX_TOKENS {
            return Err(Fault::fatal(&self.span(self.at, 1), format!("the file has more than {MAX_TOKENS} words and signs, the limit")));
        }
        Ok(())
    }

    fn open(&mut self, mode: Mode<'a>, len: usize) -> Fallible<()> {
        self.token()?;
        if matches!(mode, Mode::Code { .. }) {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(Fault::fatal(&self.span(self.at, len), format!("nested deeper than {MAX_DEPTH} levels, the limit")));
            }
        }
        self.stack.push(Frame { mode, start: self.at });
        self.at += len;
        Ok(())
    }

    fn close(&mut self) -> Fallible<()> {
        let found = self.byte(0);
        self.token()?;
        match self.stack.pop() {
            Some(Frame { mode: Mode::Code { close, .. }, .. }) if close == found => {
                self.depth = self.depth.saturating_sub(1);
                self.at += 1;
                Ok(())
            }
            None => Err(Fault::new(&self.span(self.at, 1), format!("{} closes nothing: remove it", char::from(found)))),
            Some(frame) => Err(self.crossed(&frame, found)),
        }
    }

    fn crossed(&self, frame: &Frame<'_>, found: u8) -> Box<Fault> {
        let line = self.text.get(..frame.start).unwrap_or("").matches('\n').count() + 1;
        let wanted = match frame.mode {
            Mode::Code { close, .. } => char::from(close),
            _ => '"',
        };
        let message = format!("expected {wanted} to close the bracket that was opened on line {line}, found {}", char::from(found));
        Fault::new(&self.span(self.at, 1), message)
    }

    fn entry(&mut self) -> Fallible<()> {
        let place = self.span(self.at, 1);
        if let Some(Frame { mode: Mode::Code { close: b'}', entries }, .. }) = self.stack.last_mut() {
            *entries += 1;
            if *entries > MAX_ENTRIES {
                return Err(Fault::fatal(&place, format!("more than {MAX_ENTRIES} entries in one {{ }}, the limit")));
            }
        }
        Ok(())
    }

    fn code(&mut self) -> Fallible<()> {
        let next = self.byte(1);
        match self.byte(0) {
            b'#' => self.skip_line(),
            b'/' if next == b'/' => self.skip_line(),
            b'/' if next == b'*' => self.skip_comment()?,
            b'"' => self.open(Mode::Quote, 1)?,
            b'\'' => {
                return Err(Fault::new(&self.span(self.at, 1), "text stands in double quotes: write \" instead of '"));
            }
            b'{' => self.open(Mode::Code { close: b'}', entries: 0 }, 1)?,
            b'[' => self.open(Mode::Code { close: b']', entries: 0 }, 1)?,
            b'(' => self.open(Mode::Code { close: b')', entries: 0 }, 1)?,
            b'}' | b']' | b')' => self.close()?,
            b'<' if next == b'<' => self.heredoc_start()?,
            b'=' | b'!' | b'<' | b'>' if next == b'=' => self.sign(2)?,
            b'=' if next == b'>' => self.sign(2)?,
            b'=' | b':' => {
                self.entry()?;
                self.sign(1)?;
            }
            byte if is_word(byte) => {
                self.token()?;
                self.at += self.rest().bytes().take_while(|b| is_word(*b)).count();
            }
            b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
            _ => self.sign(1)?,
        }
        Ok(())
    }

    fn sign(&mut self, len: usize) -> Fallible<()> {
        self.token()?;
        self.at += len;
        Ok(())
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    fn skip_comment(&mut self) -> Fallible<()> {
        match self.rest().get(2..).and_then(|rest| rest.find("*/")) {
            Some(len) => {
                self.at += len + 4;
                Ok(())
            }
            None => Err(Fault::new(&self.span(self.at, 2), "this comment is never closed: add */")),
        }
    }

    fn heredoc_start(&mut self) -> Fallible<()> {
        let head = self.rest().get(2..).unwrap_or("");
        let head = head.strip_prefix('-').unwrap_or(head);
        let delimiter = head.get(..head.bytes().take_while(|b| is_word(*b)).count()).unwrap_or("");
        let tail = head.get(delimiter.len()..).unwrap_or("");
        if delimiter.is_empty() || !(tail.starts_with('\n') || tail.starts_with("\r\n")) {
            let message = "expected a word and a line break after <<, for example <<EOF";
            return Err(Fault::new(&self.span(self.at, 2), message));
        }
        let line = self.rest().find('\n').map_or(self.rest().len(), |at| at + 1);
        let start = self.at;
        self.open(Mode::Heredoc { delimiter }, line)?;
        if self.heredoc_end(delimiter) {
            // The parser would go on to the next line with the same word, and code would be text to one of the two.
            return Err(Fault::new(&self.span(start, 2), "this text is empty: write \"\" instead of a heredoc"));
        }
        Ok(())
    }

    /// At the beginning of a line: leaves the heredoc when the line is its end.
    fn heredoc_end(&mut self, delimiter: &str) -> bool {
        let line = self.rest().trim_start_matches([' ', '\t']);
        let ends = !delimiter.is_empty() && line.strip_prefix(delimiter).is_some_and(|tail| !tail.bytes().next().is_some_and(is_word));
        if ends {
            self.at += self.rest().len() - line.len() + delimiter.len();
            self.stack.pop();
        }
        ends
    }

    /// True when an escape or the beginning of an interpolation was taken.
    fn marker(&mut self) -> Fallible<bool> {
        let rest = self.rest();
        if rest.starts_with("$${") || rest.starts_with("%%{") {
            self.at += 3;
            return Ok(true);
        }
        if rest.starts_with("${") || rest.starts_with("%{") {
            self.open(Mode::Code { close: b'}', entries: 0 }, 2)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn heredoc(&mut self, delimiter: &'a str) -> Fallible<()> {
        if self.marker()? {
            return Ok(());
        }
        let line_break = self.byte(0) == b'\n';
        self.at += 1;
        if line_break {
            self.heredoc_end(delimiter);
        }
        Ok(())
    }

    fn quote(&mut self) -> Fallible<()> {
        if self.marker()? {
            return Ok(());
        }
        match self.byte(0) {
            b'\\' => self.at += 2,
            b'"' => {
                self.at += 1;
                self.stack.pop();
            }
            b'\n' => {
                let start = self.stack.last().map_or(self.at, |frame| frame.start);
                let message = "this text has no closing \" on its line: close it, or write a longer text as <<EOF ... EOF";
                return Err(Fault::new(&self.span(start, 1), message));
            }
            _ => self.at += 1,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn fault(text: &str) -> String {
        check(text, 0).unwrap_err().message
    }

    #[test]
    fn text_and_comments_are_not_code() {
        for text in [
            "a = \"}{)(\" # }\n// {\n/* ( */ b = 1\n",
            "a = <<EOF\n } ] ${ x({a = 1}) } $${ %%{\n  EOFX\nEOF\n",
            "a = <<-EOF\n  }\n  EOF\nb = \"\\\"{ ${ \"${x}\" } \"\n",
            "a = b <= c ? 1 : 2\n",
        ] {
            assert!(check(text, 0).is_ok(), "{text}: {:?}", check(text, 0));
        }
    }

    #[test]
    fn what_is_not_closed_is_named() {
        assert!(fault("job \"x\" {\n").contains("this { is never closed"));
        assert!(fault("a = [1\n}\n").contains("expected ] to close the bracket that was opened on line 1, found }"));
        assert!(fault("a = \"x\nb = 1\n").contains("no closing \""));
        assert!(fault("a = <<EOF\nx\n").contains("only EOF"));
        assert!(fault("a = <<EOF\nEOF\n").contains("this text is empty"));
        assert!(fault("}\n").contains("closes nothing"));
        assert!(fault("/* x").contains("never closed"));
        assert!(fault("a = 'x'").contains("double quotes"));
        assert!(fault("a = \"${\"").contains("never closed"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("a = {}1{}\n", "[".repeat(n), "]".repeat(n));
        assert!(check(&nested(MAX_DEPTH), 0).is_ok());
        assert!(fault(&nested(MAX_DEPTH + 1)).contains("deeper than 32 levels"));
    }

    #[test]
    fn entries_are_bounded() {
        let object = |n: usize| format!("a = {{{}}}\n", (0..n).map(|i| format!("k{i} = 1,")).collect::<String>());
        assert!(check(&object(MAX_ENTRIES), 0).is_ok());
        assert!(fault(&object(MAX_ENTRIES + 1)).contains("more than 1024 entries"));
    }

    #[test]
    fn tokens_are_bounded() {
        let words = |n: usize| "x ".repeat(n);
        assert!(check(&words(MAX_TOKENS), 0).is_ok());
        assert!(fault(&words(MAX_TOKENS + 1)).contains("more than 200000"));
    }
}
