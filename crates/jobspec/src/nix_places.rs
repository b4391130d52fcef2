//! Where in a Nix file an attribute is written. Evaluated data has no places; this finds those of attributes that stand in the
//! text as they are, and the nearest outer one for what is computed.
//!
//! It reads tokens, not the grammar: where it loses track it knows nothing, and errors show the path alone.

use std::{collections::BTreeMap, ops::Range};

/// The longest path that is remembered, in bytes.
const MAX_PATH_BYTES: usize = 512;
/// How many places are remembered.
const MAX_PLACES: usize = 50_000;

/// Places of attributes' names by path, as `job.web.group.g.network[0].mode`.
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: BTreeMap<String, Range<usize>>,
}

impl Places {
    pub(crate) fn of(text: &str) -> Self {
        let expect = Expect::Value(Some(String::new()));
        let mut scan = Scan { text, at: 0, stack: Vec::new(), expect, out: Places::default() };
        while scan.at < text.len() {
            scan.step();
        }
        scan.out
    }

    /// The place of `path`, or of the nearest path around it.
    pub(crate) fn find(&self, path: &str) -> Option<Range<usize>> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place.clone());
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }
}

/// What is open around the current token. A path is `None` where it is not known.
enum Frame {
    /// A set (or the pattern of a function), with its own path.
    Set(Option<String>),
    /// The bindings between `let` and `in`, with the path of the value that follows.
    Let(Option<String>),
    /// A list: its path and how many elements came before.
    List(Option<String>, usize),
    /// Parentheses or an interpolation.
    Other,
    /// Text, with the quotes that end it.
    Quote(&'static str),
}

/// What the next token begins.
enum Expect {
    /// `name = ...;` of a set or `let`.
    Binding,
    /// The value of the attribute with this path.
    Value(Option<String>),
    /// The rest of an expression.
    Rest,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    stack: Vec<Frame>,
    expect: Expect,
    out: Places,
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'\'')
}

fn joined(outer: &str, name: &str) -> Option<String> {
    let path = if outer.is_empty() { name.to_owned() } else { format!("{outer}.{name}") };
    (path.len() <= MAX_PATH_BYTES).then_some(path)
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }
    fn first(&self) -> u8 {
        self.rest().bytes().next().unwrap_or(0)
    }
    /// Goes on by one character.
    fn skip(&mut self) {
        self.at += self.rest().chars().next().map_or(1, char::len_utf8);
    }
    fn name(&self) -> &'a str {
        let len = self.rest().bytes().take_while(|b| is_name(*b)).count();
        self.rest().get(..len).unwrap_or("")
    }

    fn blank(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at += self.rest().len() - trimmed.len();
            if trimmed.starts_with('#') {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                self.at += trimmed.find("*/").map_or(trimmed.len(), |end| end + 2);
            } else {
                return;
            }
        }
    }

    fn step(&mut self) {
        if let Some(Frame::Quote(end)) = self.stack.last() {
            return self.quote(end);
        }
        self.blank();
        if matches!(self.expect, Expect::Binding) {
            return self.binding();
        }
        match self.first() {
            b'{' | b'[' => self.open(),
            b'(' => self.enter(Frame::Other, 1),
            b'"' => self.enter(Frame::Quote("\""), 1),
            b'\'' if self.rest().starts_with("''") => self.enter(Frame::Quote("''"), 2),
            b'$' if self.rest().starts_with("${") => self.enter(Frame::Other, 2),
            b'}' | b']' | b')' => self.close(),
            b';' => {
                self.at += 1;
                self.expect = match self.stack.last() {
                    Some(Frame::Set(_) | Frame::Let(_)) => Expect::Binding,
                    // `with x;` or `assert x;` before the file's value.
                    None => Expect::Value(Some(String::new())),
                    Some(_) => Expect::Rest,
                };
            }
            b':' => {
                self.at += 1;
                // The body of a function is the file's value where the function is.
                self.expect = if self.stack.is_empty() { Expect::Value(Some(String::new())) } else { Expect::Rest };
            }
            byte if is_name(byte) => self.word(),
            _ => {
                self.skip();
                self.other();
            }
        }
    }

    /// Something that is no set has begun or goes on: elements of a list are not counted any more.
    fn other(&mut self) {
        self.expect = Expect::Rest;
        if let Some(Frame::List(path, _)) = self.stack.last_mut() {
            *path = None;
        }
    }

    fn enter(&mut self, frame: Frame, len: usize) {
        self.other();
        self.stack.push(frame);
        self.at += len;
    }

    fn close(&mut self) {
        self.stack.pop();
        self.at += 1;
        self.expect = Expect::Rest;
    }

    /// `{` or `[`: the value of an attribute, an element of a list, or something unknown.
    fn open(&mut self) {
        let path = match (&mut self.expect, self.stack.last_mut()) {
            (Expect::Value(path), _) => path.take(),
            (_, Some(Frame::List(path, count))) => {
                *count += 1;
                path.as_ref().map(|path| format!("{path}[{}]", *count - 1)).filter(|path| path.len() <= MAX_PATH_BYTES)
            }
            _ => None,
        };
        let is_set = self.first() == b'{';
        self.at += 1;
        if is_set {
            self.stack.push(Frame::Set(path));
            self.expect = Expect::Binding;
        } else {
            self.stack.push(Frame::List(path, 0));
            self.expect = Expect::Rest;
        }
    }

    fn word(&mut self) {
        let name = self.name();
        self.at += name.len();
        match (name, &mut self.expect) {
            ("rec", Expect::Value(_)) => {}
            ("let", Expect::Value(path)) => {
                let path = path.take();
                self.stack.push(Frame::Let(path));
                self.expect = Expect::Binding;
            }
            ("let", _) => {
                self.other();
                self.stack.push(Frame::Let(None));
                self.expect = Expect::Binding;
            }
            _ => self.other(),
        }
    }

    fn binding(&mut self) {
        match self.name() {
            "in" if matches!(self.stack.last(), Some(Frame::Let(_))) => {
                self.at += 2;
                let path = if let Some(Frame::Let(path)) = self.stack.pop() { path } else { None };
                self.expect = Expect::Value(path);
            }
            "inherit" => {
                self.at += "inherit".len();
                self.inherit();
            }
            _ => self.attribute(),
        }
    }

    /// The path of the set that the binding stands in.
    fn outer(&self) -> Option<String> {
        match self.stack.last() {
            Some(Frame::Set(path)) => path.clone(),
            _ => None,
        }
    }

    fn record(&mut self, path: Option<&String>, place: Range<usize>) {
        if let Some(path) = path
            && self.out.places.len() < MAX_PLACES
        {
            self.out.places.entry(path.clone()).or_insert(place);
        }
    }

    /// Names after `inherit`; what it takes them from is passed over.
    fn inherit(&mut self) {
        let outer = self.outer();
        self.blank();
        if self.first() == b'(' {
            self.expect = Expect::Rest;
            return;
        }
        while !self.name().is_empty() {
            let (name, start) = (self.name(), self.at);
            self.at += name.len();
            let path = outer.as_ref().and_then(|outer| joined(outer, name));
            self.record(path.as_ref(), start..self.at);
            self.blank();
        }
        self.expect = Expect::Rest;
    }

    /// `a.b."c" =`: records each part. Anything else is not a binding (the pattern of a function, the end of the set).
    fn attribute(&mut self) {
        let mut path = self.outer();
        let mut parts = Vec::new();
        loop {
            let start = self.at;
            let part = match self.rest().strip_prefix('"') {
                Some(tail) => tail.split('"').next().unwrap_or("").to_owned(),
                None => self.name().to_owned(),
            };
            let quotes = if self.first() == b'"' { 2 } else { 0 };
            if (part.is_empty() && quotes == 0) || part.contains(['$', '\\']) {
                self.expect = Expect::Rest;
                return;
            }
            self.at = (self.at + part.len() + quotes).min(self.text.len());
            path = path.and_then(|outer| joined(&outer, &part));
            parts.push((path.clone(), start..self.at));
            self.blank();
            if self.first() != b'.' {
                break;
            }
            self.at += 1;
            self.blank();
        }
        if self.first() != b'=' || self.rest().starts_with("==") {
            self.expect = Expect::Rest;
            return;
        }
        self.at += 1;
        for (path, place) in parts {
            self.record(path.as_ref(), place);
        }
        self.expect = Expect::Value(path);
    }

    /// Inside text: to its end, or to an interpolation.
    fn quote(&mut self, end: &'static str) {
        let rest = self.rest();
        if rest.starts_with("${") {
            self.stack.push(Frame::Other);
            self.at += 2;
            self.expect = Expect::Rest;
        } else if end == "\"" && rest.starts_with('\\') {
            self.at += 1;
            self.skip();
        } else if end == "''" && (rest.starts_with("'''") || rest.starts_with("''$") || rest.starts_with("''\\")) {
            self.at += 3;
        } else if rest.starts_with(end) {
            self.stack.pop();
            self.at += end.len();
            self.expect = Expect::Rest;
        } else {
            self.skip();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str, path: &str) -> Option<usize> {
        Places::of(text).find(path).map(|place| text[..place.start].matches('\n').count() + 1)
    }

    #[test]
    fn attributes_are_found_where_they_are_written() {
        let text = "# { a = 1; }\n{ lib, n ? { a = 2; } }:\nlet x = { job = 1; }; in\nwith lib; {\n  job.web = {\n    type = \"a ${\n      b { type = 1; } }\";\n    group.g = rec {\n      network = [\n        { mode = 1; }\n        {\n          mode = ''}{ ''${ ${ x.y } '''x'';\n          mode2 = 1; } ];\n      inherit count;\n      \"a b\".c =\n        let y = 1; in { d = [ x { e = 1; } ]; };\n    };\n  };\n}\n";
        for (path, wanted) in [
            ("job", 5),
            ("job.web", 5),
            ("job.web.type", 6),
            ("job.web.group", 8),
            ("job.web.group.g.network[0].mode", 10),
            ("job.web.group.g.network[1].mode", 12),
            ("job.web.group.g.network[1].mode2", 13),
            ("job.web.group.g.count", 14),
            ("job.web.group.g.a b.c", 15),
            ("job.web.group.g.a b.c.d", 16),
            // Computed: the nearest outer attribute.
            ("job.web.group.g.a b.c.d[1].e", 16),
            ("job.web.group.g.task.x.driver", 8),
        ] {
            assert_eq!(line(text, path), Some(wanted), "{path}");
        }
        assert_eq!(line(text, "other"), None);
        assert_eq!(line("{ a }: a", "a"), None);
    }

    #[test]
    fn paths_are_bounded() {
        let text = |n: usize| format!("{{ {} = 1; }}", "a".repeat(n));
        assert!(Places::of(&text(MAX_PATH_BYTES)).find(&"a".repeat(MAX_PATH_BYTES)).is_some());
        assert!(Places::of(&text(MAX_PATH_BYTES + 1)).find(&"a".repeat(MAX_PATH_BYTES + 1)).is_none());
        let many: String = (0..=MAX_PLACES).map(|i| format!("a{i}=1;")).collect();
        assert_eq!(Places::of(&format!("{{{many}}}")).places.len(), MAX_PLACES);
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "[a-c{}\\[\\]()\"'$=;:.,# é\\\\\n]{0,80}") {
            let places = Places::of(&text);
            for place in places.places.values() {
                prop_assert!(text.get(place.clone()).is_some());
            }
        }
    }
}
