//! Parsing the inside of sets and `let`: bindings, `inherit`, attribute paths.

use rnix::SyntaxKind as Kind;

use super::operators;
use super::parser::Parser;
use super::strings::Piece;
use super::tree::{Attr, AttrName, Entry, Node, NodeId};
use crate::error::{ErrorKind, Failure, Fallible};
use crate::limits::MAX_ATTRPATH_LEN;

impl Parser<'_> {
    /// Bindings up to `end`, and how high the highest is.
    pub(super) fn bindings(&mut self, end: Kind) -> Fallible<(Vec<Entry>, u32)> {
        let mut entries = Vec::new();
        let mut height = 0;
        while !self.next_if(end) {
            let (entry, entry_height) = match self.peek() {
                Some(Kind::TOKEN_INHERIT) => self.inherit()?,
                Some(kind) if operators::starts_attr(kind) => self.binding(end)?,
                _ => return Err(self.unexpected(&format!("a name or {}", operators::describe(end)))),
            };
            height = height.max(entry_height);
            entries.push(entry);
        }
        Ok((entries, height))
    }

    fn inherit(&mut self) -> Fallible<(Entry, u32)> {
        self.at += 1;
        let from = match self.next_if(Kind::TOKEN_L_PAREN) {
            true => {
                let source = self.expr()?;
                self.expect(Kind::TOKEN_R_PAREN)?;
                Some(source)
            }
            false => None,
        };
        let mut names = Vec::new();
        while self.peek().is_some_and(operators::starts_attr) {
            names.push(self.attr()?);
        }
        self.expect(Kind::TOKEN_SEMICOLON)?;
        let height = from.map_or(0, |source| self.tree.height(source));
        Ok((Entry::Inherit { from, names }, height))
    }

    fn binding(&mut self, end: Kind) -> Fallible<(Entry, u32)> {
        let start = self.here();
        let path = self.attr_path()?;
        let span = self.since(start);
        if path.len() > MAX_ATTRPATH_LEN {
            let message = format!("the attribute path has more than {MAX_ATTRPATH_LEN} parts");
            return Err(Failure::new(ErrorKind::Limit, span, message));
        }
        if !self.next_if(Kind::TOKEN_ASSIGN) {
            let is_body = end == Kind::TOKEN_IN;
            return Err(self.unexpected(if is_body { "'=' (or is 'in' missing before this name?)" } else { "'='" }));
        }
        let value = self.expr()?;
        if !self.next_if(Kind::TOKEN_SEMICOLON) {
            return Err(self.missing_semicolon());
        }
        // Each part of the path but the last is a set around the value.
        let sets = u32::try_from(path.len() - 1).unwrap_or(u32::MAX);
        let height = self.height_of_attrs(&path).max(self.tree.height(value)) + sets;
        Ok((Entry::Binding { path, span, value }, height))
    }

    pub(super) fn attr_path(&mut self) -> Fallible<Vec<Attr>> {
        let mut path = vec![self.attr()?];
        while self.next_if(Kind::TOKEN_DOT) {
            path.push(self.attr()?);
        }
        Ok(path)
    }

    fn attr(&mut self) -> Fallible<Attr> {
        let start = self.here();
        let name = match self.peek() {
            Some(Kind::TOKEN_IDENT | Kind::TOKEN_OR) => {
                let name = self.take();
                AttrName::Static(self.program.intern(name))
            }
            Some(Kind::TOKEN_STRING_START) => {
                let pieces = self.nested(Self::string)?;
                let node = self.add_pieces(Node::Str, pieces, start)?;
                self.attr_name(node)
            }
            Some(Kind::TOKEN_INTERPOL_START) => {
                let node = self.interpolation()?;
                self.attr_name(node)
            }
            _ => return Err(self.unexpected("a name")),
        };
        Ok(Attr { span: self.since(start), name })
    }

    /// A string without interpolations is as static as a name.
    fn attr_name(&mut self, node: NodeId) -> AttrName {
        let Node::Str(pieces) = self.tree.node(node) else {
            return AttrName::Dynamic(node);
        };
        let mut name = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Interpolation(_) => return AttrName::Dynamic(node),
            }
        }
        AttrName::Static(self.program.intern(&name))
    }

    /// The error where a `;` should be. `a = 1 b = 2` reads as the call `1 b`, so
    /// the place to show is before the name that precedes the second `=`.
    fn missing_semicolon(&self) -> Box<Failure> {
        if self.peek() != Some(Kind::TOKEN_ASSIGN) {
            return self.unexpected("';'");
        }
        let mut first = self.at.saturating_sub(1);
        while first >= 2 && self.tokens.get(first - 1).is_some_and(|token| token.kind == Kind::TOKEN_DOT) {
            first -= 2;
        }
        match self.tokens.get(first) {
            Some(token) if token.kind == Kind::TOKEN_IDENT => {
                let span = self.span(token.start, token.end);
                self.syntax(span, format!("a ';' is missing before '{}'", self.text_of(span)))
            }
            _ => self.unexpected("';'"),
        }
    }
}
