//! The tree to the wire's JSON, by the tables of [`crate::schema`]. Every mistake is reported, not only the first.

use std::collections::{BTreeMap, BTreeSet};

use floe_model::Nanos;
use serde_json::{Map, Value as Json};

use crate::{
    diagnostic::{Faults, quoted},
    schema::{Attr, Child, Kind, Label, Schema, Shape},
    tree::{Attribute, Block, Body},
    value::{Number, Value},
};

/// An object of the wire.
pub(crate) type Output = Map<String, Json>;

/// What the last step of a block may look at and complain to.
pub(crate) struct Finish<'f> {
    faults: &'f mut Faults,
    body: &'f Body,
}

impl Finish<'_> {
    /// Reports a mistake of the block as a whole.
    pub(crate) fn fault(&mut self, message: &str) {
        self.faults.add(&self.body.at, message);
    }
    /// Whether the block sets `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.body.attribute(name).is_some_and(|a| !matches!(a.value, Value::Null))
    }
}

/// Which syntax the tree came from: it decides how errors say things are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// Attributes and blocks are written differently.
    Hcl,
    /// JSON and Nix: everything is a key.
    Data,
}

pub(crate) struct Converter<'f> {
    pub(crate) syntax: Syntax,
    pub(crate) faults: &'f mut Faults,
}

impl Converter<'_> {
    /// One body as an object of the wire.
    pub(crate) fn body(&mut self, schema: &Schema, body: &Body) -> Output {
        self.labelled_body(schema, body, Label::None, "")
    }

    fn labelled_body(&mut self, schema: &Schema, body: &Body, key: Label, label: &str) -> Output {
        let mut out = Output::new();
        self.attributes(schema, body, &mut out);
        for child in schema.children {
            self.children(child, body, &mut out);
        }
        self.maps(schema, body, &mut out);
        self.unknown_blocks(schema, body);
        if let Label::Key(key) | Label::Unique(key) = key {
            out.entry(key).or_insert_with(|| label.into());
        }
        for name in schema.required {
            if body.attribute(name).is_none() {
                self.faults.add(&body.at, format!("{name} is missing"));
            }
        }
        (schema.finish)(&mut out, &mut Finish { faults: self.faults, body });
        out
    }

    fn attributes(&mut self, schema: &Schema, body: &Body, out: &mut Output) {
        let mut seen = BTreeSet::new();
        for attribute in &body.attributes {
            if !seen.insert(&*attribute.name) {
                self.faults.add(&attribute.name_at, format!("{} is set twice: remove one", attribute.name));
                continue;
            }
            match schema.attr(&attribute.name) {
                Some(attr) => self.attribute(attr, attribute, out),
                None => self.unknown_attribute(schema, attribute),
            }
        }
    }

    fn attribute(&mut self, attr: &Attr, attribute: &Attribute, out: &mut Output) {
        if matches!(attribute.value, Value::Null) {
            return;
        }
        match coerce(attr.kind, &attribute.value) {
            Ok(json) => {
                out.insert(attr.wire.to_owned(), json);
            }
            Err(message) => self.faults.add(&attribute.value_at, format!("{}: {message}", attr.name)),
        }
    }

    fn unknown_attribute(&mut self, schema: &Schema, attribute: &Attribute) {
        let name = &*attribute.name;
        if let Some(child) = schema.child(name) {
            let message = format!("{name} is a block: write {} without =", block_form(child));
            self.faults.add(&attribute.name_at, message);
            return;
        }
        let what = if self.syntax == Syntax::Hcl { "attribute" } else { "key" };
        self.faults.add(&attribute.name_at, format!("unknown {what} {name}{}", suggestion(schema, name)));
    }

    fn unknown_blocks(&mut self, schema: &Schema, body: &Body) {
        for block in &body.blocks {
            let name = &*block.kind;
            if schema.child(name).is_some() {
                continue;
            }
            match schema.attr(name) {
                Some(attr) if attr.kind.is_map() => {}
                Some(_) => self.faults.add(&block.kind_at, format!("{name} is an attribute: write {name} = ...")),
                None => self.faults.add(&block.kind_at, format!("unknown block {name}{}", suggestion(schema, name))),
            }
        }
    }

    /// Maps that are written as blocks: `env { A = "b" }`.
    fn maps(&mut self, schema: &Schema, body: &Body, out: &mut Output) {
        for attr in schema.attrs.iter().filter(|a| a.kind.is_map()) {
            let mut set = body.attribute(attr.name).is_some();
            for block in body.blocks.iter().filter(|b| &*b.kind == attr.name) {
                if set {
                    self.faults.add(&block.kind_at, format!("{} is set twice: merge it into the first", attr.name));
                    continue;
                }
                set = true;
                if let Some(label) = block.labels.first() {
                    self.faults.add(&label.at, format!("{} takes no label: remove {}", attr.name, quoted(&label.text)));
                }
                let map = self.map_block(attr, block);
                out.insert(attr.wire.to_owned(), Json::Object(map));
            }
        }
    }

    fn map_block(&mut self, attr: &Attr, block: &Block) -> Output {
        if matches!(attr.kind, Kind::Free) {
            return free(&block.body);
        }
        for inner in &block.body.blocks {
            let message = format!("{} holds name = value, not blocks like {}", attr.name, inner.kind);
            self.faults.add(&inner.kind_at, message);
        }
        let mut map = Output::new();
        for attribute in &block.body.attributes {
            let entry = match attr.kind {
                Kind::TextsMap => texts(&attribute.value),
                _ => text(&attribute.value),
            };
            match entry {
                Ok(json) => {
                    map.insert(attribute.name.to_string(), json);
                }
                Err(message) => self.faults.add(&attribute.value_at, format!("{}: {message}", attribute.name)),
            }
        }
        map
    }

    fn children(&mut self, child: &Child, body: &Body, out: &mut Output) {
        let mut list = Vec::new();
        let mut labels: BTreeMap<&str, ()> = BTreeMap::new();
        for block in body.blocks.iter().filter(|b| &*b.kind == child.name) {
            if self.faults.is_fatal() {
                return;
            }
            let Some(label) = self.label(child, block) else { continue };
            if matches!(child.label, Label::Unique(_)) && labels.insert(label, ()).is_some() {
                let at = block.labels.first().map_or(&block.kind_at, |l| &l.at);
                self.faults.add(at, format!("two {} blocks are called {}: rename one", child.name, quoted(label)));
                continue;
            }
            if child.shape == Shape::One && !list.is_empty() {
                self.faults.add(&block.kind_at, format!("only one {} block may stand here: merge it into the first", child.name));
                continue;
            }
            let object = self.labelled_body(child.schema, &block.body, child.label, label);
            list.push((label.to_owned(), Json::Object(object)));
        }
        if list.is_empty() {
            return;
        }
        let json = match child.shape {
            Shape::One => list.into_iter().next().map(|(_, object)| object).unwrap_or_default(),
            Shape::Many => Json::Array(list.into_iter().map(|(_, object)| object).collect()),
            Shape::ByLabel => Json::Object(list.into_iter().collect()),
        };
        out.insert(child.wire.to_owned(), json);
    }

    /// The label that the block must have, or the empty text where it must have none.
    fn label<'b>(&mut self, child: &Child, block: &'b Block) -> Option<&'b str> {
        match (child.label, block.labels.as_slice()) {
            (Label::None, []) => Some(""),
            (Label::None, [first, ..]) => {
                self.faults.add(&first.at, format!("{} takes no label: remove {}", child.name, quoted(&first.text)));
                None
            }
            (_, [one]) if one.text.is_empty() => {
                self.faults.add(&one.at, format!("the label of {} is empty: give it a name", child.name));
                None
            }
            (_, [one]) => Some(&one.text),
            (_, []) => {
                self.faults.add(&block.kind_at, format!("{} needs a label: write {}", child.name, block_form(child)));
                None
            }
            (_, [_, second, ..]) => {
                self.faults.add(&second.at, format!("{} takes one label: remove {}", child.name, quoted(&second.text)));
                None
            }
        }
    }
}

fn block_form(child: &Child) -> String {
    match child.label {
        Label::None => format!("{} {{ ... }}", child.name),
        _ => format!("{} \"name\" {{ ... }}", child.name),
    }
}

fn suggestion(schema: &Schema, name: &str) -> String {
    let names: Vec<&str> = schema.names().collect();
    match floe_model::wire::nearest(name, &names) {
        Some(near) => format!(": did you mean {near}?"),
        None if names.is_empty() => String::new(),
        None => {
            let mut names = names;
            names.sort_unstable();
            format!(": here may stand {}", names.join(", "))
        }
    }
}

/// A body without a schema: blocks become lists of objects, labels objects around them, as Nomad's clients expect.
fn free(body: &Body) -> Output {
    let mut out: Output = body.attributes.iter().map(|a| (a.name.to_string(), a.value.to_json())).collect();
    for block in &body.blocks {
        let mut value = Json::Object(free(&block.body));
        for label in block.labels.iter().rev() {
            value = Json::Object([(label.text.to_string(), Json::Array(vec![value]))].into_iter().collect());
        }
        if let Json::Array(list) = out.entry(block.kind.to_string()).or_insert_with(|| Json::Array(Vec::new())) {
            list.push(value);
        }
    }
    out
}

fn wrong(expected: &str, value: &Value) -> String {
    format!("expected {expected}, found {}", value.describe())
}

/// The value as the attribute's kind, as the wire writes it.
fn coerce(kind: Kind, value: &Value) -> Result<Json, String> {
    match kind {
        Kind::Text => text(value),
        Kind::Int(min, max) => int(value, min, max),
        Kind::Bool => value.to_bool().map(Json::from).ok_or_else(|| wrong("true or false", value)),
        Kind::Duration => duration(value),
        Kind::Texts => texts(value),
        Kind::Ints(min, max) => {
            let Value::List(list) = value else { return Err(wrong("a list of numbers", value)) };
            list.items.iter().map(|item| int(item, min, max)).collect::<Result<Vec<_>, _>>().map(Json::Array)
        }
        Kind::TextMap => map(value, text),
        Kind::TextsMap => map(value, texts),
        Kind::Free => match value {
            Value::Map(_) => Ok(value.to_json()),
            _ => Err(wrong("a map", value)),
        },
        Kind::Word(check) => {
            let word = value.to_text().ok_or_else(|| wrong("text", value))?;
            check(&word).map(|()| Json::from(&*word))
        }
        Kind::Refused(reason) => Err(format!("not supported: {reason}")),
    }
}

fn text(value: &Value) -> Result<Json, String> {
    value.to_text().map(|text| Json::from(&*text)).ok_or_else(|| wrong("text", value))
}

fn int(value: &Value, min: i64, max: i64) -> Result<Json, String> {
    match value.to_number() {
        Some(Number::Int(i)) if (min..=max).contains(&i) => Ok(Json::from(i)),
        Some(Number::Int(_)) if max == i64::MAX => Err(wrong("a number that is not negative", value)),
        Some(Number::Int(_)) => Err(wrong(&format!("a number from {min} to {max}"), value)),
        Some(Number::Float(_)) => Err(wrong("a whole number", value)),
        None => Err(wrong("a number", value)),
    }
}

fn duration(value: &Value) -> Result<Json, String> {
    match value {
        Value::Number(Number::Int(0)) => Ok(Json::from(0)),
        Value::Text(text) => Nanos::parse(text).map(|nanos| Json::from(nanos.0)).map_err(|e| e.to_string()),
        Value::Number(n) => Err(format!("expected a duration, found the number {n}: say the unit, for example \"{n}s\"")),
        _ => Err(wrong("a duration like \"30s\"", value)),
    }
}

fn texts(value: &Value) -> Result<Json, String> {
    match value {
        Value::List(list) => {
            let item = |(i, item): (usize, &Value)| text(item).map_err(|message| format!("element {i}: {message}"));
            list.items.iter().enumerate().map(item).collect::<Result<Vec<_>, _>>().map(Json::Array)
        }
        Value::Text(text) => Err(format!("expected a list of text, found {0}: write [{0}]", quoted(text))),
        _ => Err(wrong("a list of text", value)),
    }
}

fn map(value: &Value, item: fn(&Value) -> Result<Json, String>) -> Result<Json, String> {
    let Value::Map(map) = value else { return Err(wrong("a map", value)) };
    let entry = |(key, value): (&std::rc::Rc<str>, &Value)| match value {
        Value::Null => None,
        value => Some(item(value).map(|json| (key.to_string(), json)).map_err(|message| format!("{key}: {message}"))),
    };
    map.entries.iter().filter_map(entry).collect::<Result<Output, _>>().map(Json::Object)
}
