//! The one shape of every syntax: bodies of attributes and blocks, each with its place.

use std::rc::Rc;

use crate::{diagnostic::At, value::Value};

/// `name = value`.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: Rc<str>,
    pub(crate) name_at: At,
    pub(crate) value: Value,
    pub(crate) value_at: At,
}

/// `kind "label" { ... }`.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) kind: Rc<str>,
    pub(crate) kind_at: At,
    pub(crate) labels: Vec<Label>,
    pub(crate) body: Body,
}

/// A block's label.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) text: Rc<str>,
    pub(crate) at: At,
}

/// What a file, or the braces of a block, hold. Blocks and attributes keep their order.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) at: At,
}

impl Body {
    pub(crate) fn new(at: At) -> Self {
        Self { attributes: Vec::new(), blocks: Vec::new(), at }
    }
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| &*a.name == name)
    }
}
