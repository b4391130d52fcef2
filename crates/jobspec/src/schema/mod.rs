//! What the job language consists of: for each block its attributes and blocks, and the wire's name for each.
//!
//! The tables in this folder are all that knows the words of the language; [`crate::convert`] reads them.

mod connect;
#[cfg(test)]
mod coverage;
mod group;
mod job;
mod network;
mod policy;
mod service;
mod task;
mod volume;

pub(crate) use job::FILE;

use crate::convert::{Finish, Output};

/// What an attribute's value must be.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Text; a number or truth value becomes text, as in HCL.
    Text,
    /// A whole number within these bounds.
    Int(i64, i64),
    Bool,
    /// A duration like `"30s"`; nanoseconds on the wire.
    Duration,
    /// A list of text.
    Texts,
    /// A list of whole numbers within these bounds.
    Ints(i64, i64),
    /// A map of text.
    TextMap,
    /// A map of lists of text.
    TextsMap,
    /// Anything: a driver's own settings.
    Free,
    /// One word of an enumeration; the function says what is wrong with another.
    Word(fn(&str) -> Result<(), String>),
    /// Known, but refused: the reason and what to do instead.
    Refused(&'static str),
}

/// `name = value`.
pub(crate) struct Attr {
    pub(crate) name: &'static str,
    pub(crate) wire: &'static str,
    pub(crate) kind: Kind,
}

pub(crate) const fn attr(name: &'static str, wire: &'static str, kind: Kind) -> Attr {
    Attr { name, wire, kind }
}

/// How often a block may stand in its parent, and what becomes of it there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// At most once: an object.
    One,
    /// Any number: a list.
    Many,
    /// Any number, by label: an object of objects. Labels must differ.
    ByLabel,
}

/// What a block's label is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    None,
    /// One label, kept under this key of the wire.
    Key(&'static str),
    /// As `Key`, and no two blocks may have the same.
    Unique(&'static str),
}

/// `name "label" { ... }`.
pub(crate) struct Child {
    pub(crate) name: &'static str,
    pub(crate) wire: &'static str,
    pub(crate) shape: Shape,
    pub(crate) label: Label,
    pub(crate) schema: &'static Schema,
}

pub(crate) const fn one(name: &'static str, wire: &'static str, schema: &'static Schema) -> Child {
    Child { name, wire, shape: Shape::One, label: Label::None, schema }
}
pub(crate) const fn many(name: &'static str, wire: &'static str, schema: &'static Schema) -> Child {
    Child { name, wire, shape: Shape::Many, label: Label::None, schema }
}
pub(crate) const fn named(name: &'static str, wire: &'static str, key: &'static str, schema: &'static Schema) -> Child {
    Child { name, wire, shape: Shape::Many, label: Label::Unique(key), schema }
}
pub(crate) const fn labelled(name: &'static str, wire: &'static str, key: &'static str, schema: &'static Schema) -> Child {
    Child { name, wire, shape: Shape::Many, label: Label::Key(key), schema }
}
pub(crate) const fn by_label(name: &'static str, wire: &'static str, key: &'static str, schema: &'static Schema) -> Child {
    Child { name, wire, shape: Shape::ByLabel, label: Label::Unique(key), schema }
}

/// The inside of a block.
pub(crate) struct Schema {
    pub(crate) attrs: &'static [Attr],
    pub(crate) children: &'static [Child],
    /// Attributes that must be there.
    pub(crate) required: &'static [&'static str],
    /// What is more than a renaming.
    pub(crate) finish: fn(&mut Output, &mut Finish<'_>),
}

/// A schema without anything: the base of all others.
pub(crate) const EMPTY: Schema = Schema { attrs: &[], children: &[], required: &[], finish: |_, _| {} };

impl Schema {
    pub(crate) fn attr(&self, name: &str) -> Option<&'static Attr> {
        self.attrs.iter().find(|a| a.name == name)
    }
    pub(crate) fn child(&self, name: &str) -> Option<&'static Child> {
        self.children.iter().find(|c| c.name == name)
    }
    /// All names that may stand here.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.attrs.iter().map(|a| a.name).chain(self.children.iter().map(|c| c.name))
    }
}

impl Kind {
    /// True for maps that are written as a block too: `env { A = "b" }` and `env = { A = "b" }`.
    pub(crate) fn is_map(self) -> bool {
        matches!(self, Kind::TextMap | Kind::TextsMap | Kind::Free)
    }
}

/// Any number that the wire's type holds.
pub(crate) const INT: Kind = Kind::Int(i64::MIN, i64::MAX);
/// A number that is not negative.
pub(crate) const COUNT: Kind = Kind::Int(0, i64::MAX);
/// A port.
pub(crate) const PORT: Kind = Kind::Int(0, 65_535);
/// What fits into 32 bits without a sign.
pub(crate) const U32: Kind = Kind::Int(0, u32::MAX as i64);
/// A weight of an affinity or spread.
pub(crate) const WEIGHT: Kind = Kind::Int(-100, 100);

/// A word that the model knows.
pub(crate) fn word<T: std::str::FromStr<Err = String>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(|_| ())
}
