//! The syntax tree of one file: an arena, so that no chain of operators is ever
//! dropped recursively. Strings are unescaped, names interned, nothing resolved.

use super::ast::{BinaryOp, Span, Symbol};
use super::strings::Piece;

/// A node of the [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(u32);

#[derive(Debug)]
pub(super) enum Node {
    Int(i64),
    Float(f64),
    Str(Vec<Piece<NodeId>>),
    Name(Symbol),
    /// A path as written: relative, absolute, or in a home folder.
    Path(Vec<Piece<NodeId>>),
    SearchPath(String),
    CurrentPosition,
    List(Vec<NodeId>),
    Set(Bindings),
    Let(Bindings, NodeId),
    With(NodeId, NodeId),
    Assert(NodeId, NodeId),
    If(NodeId, NodeId, NodeId),
    Lambda(Parameter, NodeId),
    Apply(NodeId, NodeId),
    Not(NodeId),
    Negate(NodeId),
    Binary(BinaryOp, NodeId, NodeId),
    Select(NodeId, Vec<Attr>, Option<NodeId>),
    HasAttr(NodeId, Vec<Attr>),
}

#[derive(Debug)]
pub(super) struct Bindings {
    pub(super) recursive: bool,
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(super) enum Entry {
    Inherit { from: Option<NodeId>, names: Vec<Attr> },
    Binding { path: Vec<Attr>, span: Span, value: NodeId },
}

/// A step of an attribute path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attr {
    pub(super) span: Span,
    pub(super) name: AttrName,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum AttrName {
    /// Also `"a"` and `${"a"}`.
    Static(Symbol),
    Dynamic(NodeId),
}

#[derive(Debug)]
pub(super) enum Parameter {
    Name(Symbol),
    Pattern(Pattern),
}

#[derive(Debug, Default)]
pub(super) struct Pattern {
    pub(super) formals: Vec<Formal>,
    pub(super) has_ellipsis: bool,
    pub(super) whole: Option<Formal>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Formal {
    pub(super) name: Symbol,
    pub(super) span: Span,
    pub(super) default: Option<NodeId>,
}

/// All nodes of one file, each with its span and height.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    spans: Vec<Span>,
    heights: Vec<u32>,
}

impl Tree {
    pub(super) fn add(&mut self, node: Node, span: Span, height: u32) -> NodeId {
        // A source has fewer tokens than fit into 32 bits, and a node at least one.
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(node);
        self.spans.push(span);
        self.heights.push(height);
        id
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0 as usize).expect("invariant: a NodeId comes from `add`")
    }

    pub(super) fn span(&self, id: NodeId) -> Span {
        self.spans.get(id.0 as usize).copied().unwrap_or_default()
    }

    /// How many nodes the longest way down from here passes, this one included.
    pub(super) fn height(&self, id: NodeId) -> u32 {
        self.heights.get(id.0 as usize).copied().unwrap_or(0)
    }
}
