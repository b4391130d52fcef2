//! JSON with places: duplicate keys are errors, nesting is bounded.

use std::{collections::BTreeSet, rc::Rc};

use crate::{
    data::{Data, Entry, Node},
    diagnostic::{At, Fallible, Fault, Span},
    limits::{MAX_DEPTH, MAX_TOKENS},
    value::Number,
};

/// Parses a whole text.
pub(crate) fn parse(text: &str, source: u32) -> Fallible<Data> {
    let mut parser = Parser { text, source, at: 0, depth: 0, tokens: 0 };
    parser.space();
    let data = parser.value()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.fault(parser.at, 1, "expected the end of the file"));
    }
    Ok(data)
}

struct Parser<'a> {
    text: &'a str,
    source: u32,
    at: usize,
    depth: usize,
    tokens: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    fn place(&self, start: usize, end: usize) -> At {
        At::Text(Span::new(self.source, start..end))
    }
    fn fault(&self, start: usize, len: usize, message: impl Into<String>) -> Box<Fault> {
        Fault::new(&self.place(start, start + len), message)
    }
    fn space(&mut self) {
        self.at += self.rest().bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
    }

    fn value(&mut self) -> Fallible<Data> {
        let start = self.at;
        self.tokens += 1;
        if self.tokens > MAX_TOKENS {
            let place = self.place(start, start + 1);
            return Err(Fault::fatal(&place, format!("the file has more than {MAX_TOKENS} values, the limit")));
        }
        let node = match self.byte() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => Node::Text(self.string()?.into()),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Node::Bool(true))?,
            Some(b'f') => self.word("false", Node::Bool(false))?,
            Some(b'n') => self.word("null", Node::Null)?,
            Some(_) => return Err(self.fault(start, 1, "expected a JSON value: { [ \" a number, true, false or null")),
            None => return Err(self.fault(start, 1, "the JSON ends too early")),
        };
        Ok(Data { at: self.place(start, self.at), node })
    }

    fn nested(&mut self, parse: fn(&mut Self) -> Fallible<Node>) -> Fallible<Node> {
        if self.depth >= MAX_DEPTH {
            let place = self.place(self.at, self.at + 1);
            return Err(Fault::fatal(&place, format!("nested deeper than {MAX_DEPTH} levels, the limit")));
        }
        self.depth += 1;
        self.at += 1;
        let node = parse(self)?;
        self.depth -= 1;
        Ok(node)
    }

    /// After an element: true when another follows, false at the end.
    fn more(&mut self, close: u8) -> Fallible<bool> {
        self.space();
        match self.byte() {
            Some(b',') => {
                self.at += 1;
                self.space();
                if self.byte() == Some(close) {
                    return Err(self.fault(self.at, 1, "JSON has no comma after the last element: remove it"));
                }
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(self.fault(self.at, 1, format!("expected , or {}", char::from(close)))),
            None => Err(self.fault(self.at, 1, format!("the JSON ends too early: {} is missing", char::from(close)))),
        }
    }

    fn is_empty(&mut self, close: u8) -> bool {
        self.space();
        let empty = self.byte() == Some(close);
        if empty {
            self.at += 1;
        }
        empty
    }

    fn array(&mut self) -> Fallible<Node> {
        let mut items = Vec::new();
        if self.is_empty(b']') {
            return Ok(Node::List(items));
        }
        loop {
            self.space();
            items.push(self.value()?);
            if !self.more(b']')? {
                return Ok(Node::List(items));
            }
        }
    }

    fn object(&mut self) -> Fallible<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: BTreeSet<Rc<str>> = BTreeSet::new();
        if self.is_empty(b'}') {
            return Ok(Node::Map(entries));
        }
        loop {
            self.space();
            let start = self.at;
            if self.byte() != Some(b'"') {
                return Err(self.fault(start, 1, "expected a key in double quotes"));
            }
            let key: Rc<str> = self.string()?.into();
            let key_at = self.place(start, self.at);
            if !seen.insert(key.clone()) {
                return Err(Fault::new(&key_at, format!("the key {key:?} is set twice: remove one")));
            }
            self.space();
            if self.byte() != Some(b':') {
                return Err(self.fault(self.at, 1, "expected : after the key"));
            }
            self.at += 1;
            self.space();
            let value = self.value()?;
            entries.push(Entry { key, key_at, value });
            if !self.more(b'}')? {
                return Ok(Node::Map(entries));
            }
        }
    }

    fn word(&mut self, word: &str, node: Node) -> Fallible<Node> {
        if !self.rest().starts_with(word) {
            return Err(self.fault(self.at, 1, format!("expected {word}; text stands in double quotes")));
        }
        self.at += word.len();
        Ok(node)
    }

    fn number(&mut self) -> Fallible<Node> {
        let start = self.at;
        let len = self.rest().bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')).count();
        let text = self.rest().get(..len).unwrap_or("");
        // The standard's grammar (no leading zeros, digits around the point) is serde_json's business.
        let number = serde_json::from_str::<serde_json::Number>(text).ok().and_then(|_| Number::parse(text));
        match number {
            Some(number) => {
                self.at += len;
                Ok(Node::Number(number))
            }
            None => Err(self.fault(start, len.max(1), "this is no JSON number, or it is too large")),
        }
    }

    fn string(&mut self) -> Fallible<String> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(b'\n') | None => return Err(self.fault(start, 1, "this text has no closing \" on its line")),
                Some(_) => end += 1,
            }
        }
        let raw = self.text.get(start..=end).unwrap_or("");
        match serde_json::from_str::<String>(raw) {
            Ok(text) => {
                self.at = end + 1;
                Ok(text)
            }
            Err(_) => Err(self.fault(start, raw.len().max(1), "this text has an escape or a character that JSON does not allow")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn fault(text: &str) -> String {
        parse(text, 0).unwrap_err().message
    }

    #[test]
    fn errors_say_what_was_expected() {
        assert!(fault("{\"a\": 1,}").contains("no comma after the last"));
        assert!(fault("{\"a\" 1}").contains("expected :"));
        assert!(fault("{a: 1}").contains("double quotes"));
        assert!(fault("{\"a\": 1, \"a\": 2}").contains("set twice"));
        assert!(fault("[1 2]").contains("expected , or ]"));
        assert!(fault("[1").contains("] is missing"));
        assert!(fault("").contains("ends too early"));
        assert!(fault("[01]").contains("no JSON number"));
        assert!(fault("\"a\nb\"").contains("no closing"));
        assert!(fault("nul").contains("expected null"));
        assert!(fault("{} x").contains("end of the file"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&nested(MAX_DEPTH), 0).is_ok());
        assert!(fault(&nested(MAX_DEPTH + 1)).contains("deeper than 32"));
    }

    #[test]
    fn values_are_bounded() {
        let list = |n: usize| format!("[{}1]", "1,".repeat(n - 2));
        assert!(parse(&list(MAX_TOKENS), 0).is_ok());
        assert!(fault(&list(MAX_TOKENS + 1)).contains("more than 200000 values"));
    }

    /// Equality where 1.0 is 1.
    fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
        use serde_json::Value as Json;
        match (a, b) {
            (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
            (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Json::Object(a), Json::Object(b)) => a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b)),
            _ => a == b,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{}\",:0-9a-e.\\\\utrnfl \\-]{0,40}") {
            let ours = parse(&text, 0).map(|d| d.to_json());
            if let (Ok(ours), Ok(theirs)) = (&ours, serde_json::from_str::<serde_json::Value>(&text)) {
                prop_assert!(same(ours, &theirs), "{ours} {theirs}");
            }
            if ours.is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            }
        }
    }
}
