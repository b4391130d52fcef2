//! The parser: rnix's tokens to a [`Tree`], by recursive descent.
//!
//! rnix has a parser too. It is not used because its tree cannot be bounded: the
//! cache of rowan's tree builder hashes nodes recursively whenever it grows, so a
//! source of 99,000 minus signs takes it minutes, and the parser offers no place
//! to stop it. Here every node knows its height, and the first one that is too
//! high ends the parse.

use rnix::SyntaxKind as Kind;

use super::ast::{Program, Span};
use super::scan::Token;
use super::strings::{self, Piece};
use super::tree::{Attr, AttrName, Bindings, Node, NodeId, Tree};
use super::{Unit, operators};
use crate::error::{ErrorKind, Failure, Fallible};
use crate::limits::MAX_EXPRESSION_DEPTH;

/// A parse in progress.
pub(super) struct Parser<'a> {
    pub(super) program: &'a mut Program,
    text: &'a str,
    file: u32,
    pub(super) tokens: &'a [Token],
    pub(super) at: usize,
    depth: u32,
    pub(super) tree: Tree,
}

impl<'a> Parser<'a> {
    pub(super) fn new(program: &'a mut Program, unit: &Unit<'a>, tokens: &'a [Token]) -> Self {
        Self { program, text: unit.text, file: unit.file, tokens, at: 0, depth: 0, tree: Tree::default() }
    }

    /// The whole file is one expression.
    pub(super) fn file(mut self) -> Fallible<(Tree, NodeId)> {
        if self.tokens.is_empty() {
            return Err(self.syntax(self.here(), "the file holds no expression"));
        }
        let root = self.expr()?;
        match self.peek() {
            None => Ok((self.tree, root)),
            Some(_) => Err(self.unexpected("the end of the file")),
        }
    }

    // ---- tokens --------------------------------------------------------------

    pub(super) fn peek(&self) -> Option<Kind> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<Kind> {
        self.tokens.get(self.at + ahead).map(|token| token.kind)
    }

    pub(super) fn next_if(&mut self, kind: Kind) -> bool {
        let is_next = self.peek() == Some(kind);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn expect(&mut self, kind: Kind) -> Fallible<()> {
        if self.next_if(kind) { Ok(()) } else { Err(self.unexpected(operators::describe(kind))) }
    }

    /// The span of the next token; at the end, the place after the last one.
    pub(super) fn here(&self) -> Span {
        match self.tokens.get(self.at) {
            Some(token) => self.span(token.start, token.end),
            None => {
                let end = self.tokens.last().map_or(0, |token| token.end);
                self.span(end, end)
            }
        }
    }

    pub(super) fn span(&self, start: u32, end: u32) -> Span {
        Span { file: self.file, start, end }
    }

    /// From `start` to the end of the last token that was taken.
    pub(super) fn since(&self, start: Span) -> Span {
        let end = self.at.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(start.end, |token| token.end);
        self.span(start.start, end.max(start.start))
    }

    pub(super) fn text_of(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Takes the next token and gives its text.
    pub(super) fn take(&mut self) -> &'a str {
        let text = self.text_of(self.here());
        self.at += 1;
        text
    }

    // ---- errors --------------------------------------------------------------

    pub(super) fn syntax(&self, span: Span, message: impl Into<String>) -> Box<Failure> {
        Failure::new(ErrorKind::Syntax, span, message)
    }

    pub(super) fn unexpected(&self, expected: &str) -> Box<Failure> {
        let span = self.here();
        let found: String = self.text_of(span).chars().take(MAX_SHOWN_CHARS).collect();
        let found = if found.is_empty() { "end of file".into() } else { format!("'{found}'") };
        self.syntax(span, format!("unexpected {found}, expected {expected}"))
    }

    fn too_deep(&self, span: Span) -> Box<Failure> {
        let message = format!("the expression is nested more than {MAX_EXPRESSION_DEPTH} deep");
        Failure::new(ErrorKind::Limit, span, message)
    }

    // ---- nodes ---------------------------------------------------------------

    /// Adds a node above `children`.
    pub(super) fn add(&mut self, node: Node, span: Span, children: &[NodeId]) -> Fallible<NodeId> {
        let below = children.iter().map(|&child| self.tree.height(child)).max().unwrap_or(0);
        self.add_high(node, span, below + 1)
    }

    fn add_high(&mut self, node: Node, span: Span, height: u32) -> Fallible<NodeId> {
        if height > MAX_EXPRESSION_DEPTH {
            return Err(self.too_deep(span));
        }
        Ok(self.tree.add(node, span, height))
    }

    pub(super) fn height_of_attrs(&self, attrs: &[Attr]) -> u32 {
        let dynamic = attrs.iter().filter_map(|attr| match attr.name {
            AttrName::Dynamic(expr) => Some(self.tree.height(expr)),
            AttrName::Static(_) => None,
        });
        dynamic.max().unwrap_or(0)
    }

    /// Runs `inner` one level of recursion deeper.
    pub(super) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Fallible<T>) -> Fallible<T> {
        if self.depth >= MAX_EXPRESSION_DEPTH {
            return Err(self.too_deep(self.here()));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    // ---- expressions ---------------------------------------------------------

    pub(super) fn expr(&mut self) -> Fallible<NodeId> {
        self.nested(|parser| {
            let start = parser.here();
            match parser.peek() {
                Some(Kind::TOKEN_LET) => parser.let_in(start),
                Some(Kind::TOKEN_WITH) => {
                    let (namespace, body) = parser.clause()?;
                    parser.add(Node::With(namespace, body), parser.since(start), &[namespace, body])
                }
                Some(Kind::TOKEN_ASSERT) => {
                    let (condition, body) = parser.clause()?;
                    parser.add(Node::Assert(condition, body), parser.since(start), &[condition, body])
                }
                Some(Kind::TOKEN_IF) => parser.if_else(start),
                _ if parser.is_lambda() => parser.lambda(start),
                _ => parser.operation(operators::LOOSEST),
            }
        })
    }

    fn let_in(&mut self, start: Span) -> Fallible<NodeId> {
        self.at += 1;
        if self.peek() == Some(Kind::TOKEN_L_BRACE) {
            return Err(self.syntax(start, "'let { ... }' is not supported: write 'let ... in ...'"));
        }
        let (entries, height) = self.bindings(Kind::TOKEN_IN)?;
        let body = self.expr()?;
        let height = height.max(self.tree.height(body)) + 1;
        let bindings = Bindings { recursive: true, entries };
        self.add_high(Node::Let(bindings, body), self.since(start), height)
    }

    /// `keyword expr; body`.
    fn clause(&mut self) -> Fallible<(NodeId, NodeId)> {
        self.at += 1;
        let head = self.expr()?;
        self.expect(Kind::TOKEN_SEMICOLON)?;
        Ok((head, self.expr()?))
    }

    fn if_else(&mut self, start: Span) -> Fallible<NodeId> {
        self.at += 1;
        let condition = self.expr()?;
        self.expect(Kind::TOKEN_THEN)?;
        let yes = self.expr()?;
        self.expect(Kind::TOKEN_ELSE)?;
        let no = self.expr()?;
        self.add(Node::If(condition, yes, no), self.since(start), &[condition, yes, no])
    }

    /// Operators that bind at least as tightly as `least`.
    fn operation(&mut self, least: u8) -> Fallible<NodeId> {
        let start = self.here();
        let mut left = self.nested(Self::prefixed)?;
        // What may follow an operator that does not associate with itself.
        let mut most = u8::MAX;
        while let Some(operator) = self.peek().and_then(operators::infix) {
            if operator.level < least {
                break;
            }
            if operator.level >= most {
                return Err(self.syntax(self.here(), "this operator cannot follow another of its kind: use parentheses"));
            }
            let here = self.here();
            self.at += 1;
            left = match operator.op {
                None if operator.level == operators::LOOSEST => {
                    let message = "pipe operators are an experiment of Nix and not supported: write 'f x'";
                    return Err(Failure::new(ErrorKind::Unsupported, here, message));
                }
                None => {
                    let path = self.attr_path()?;
                    let height = self.height_of_attrs(&path).max(self.tree.height(left)) + 1;
                    self.add_high(Node::HasAttr(left, path), self.since(start), height)?
                }
                Some(op) => {
                    let right = self.nested(|parser| parser.operation(operator.right_level()))?;
                    self.add(Node::Binary(op, left, right), self.since(start), &[left, right])?
                }
            };
            most = if operator.is_single() { operator.level } else { u8::MAX };
        }
        Ok(left)
    }

    fn prefixed(&mut self) -> Fallible<NodeId> {
        let start = self.here();
        if self.next_if(Kind::TOKEN_SUB) {
            let operand = self.nested(|parser| parser.operation(operators::NEGATE))?;
            return self.add(Node::Negate(operand), self.since(start), &[operand]);
        }
        if self.next_if(Kind::TOKEN_INVERT) {
            let operand = self.nested(|parser| parser.operation(operators::NOT))?;
            return self.add(Node::Not(operand), self.since(start), &[operand]);
        }
        self.application()
    }

    fn application(&mut self) -> Fallible<NodeId> {
        let start = self.here();
        let mut function = self.selection()?;
        while self.peek().is_some_and(operators::starts_operand) {
            let arg = self.selection()?;
            function = self.add(Node::Apply(function, arg), self.since(start), &[function, arg])?;
        }
        Ok(function)
    }

    /// `simple`, `simple.path` or `simple.path or default`.
    fn selection(&mut self) -> Fallible<NodeId> {
        self.nested(|parser| {
            let start = parser.here();
            let from = parser.simple(start)?;
            if !parser.next_if(Kind::TOKEN_DOT) {
                return Ok(from);
            }
            let path = parser.attr_path()?;
            let default = match parser.next_if(Kind::TOKEN_OR) {
                true => Some(parser.selection()?),
                false => None,
            };
            let below = default.map_or(0, |default| parser.tree.height(default));
            let height = parser.height_of_attrs(&path).max(parser.tree.height(from)).max(below) + 1;
            parser.add_high(Node::Select(from, path, default), parser.since(start), height)
        })
    }

    fn simple(&mut self, start: Span) -> Fallible<NodeId> {
        match self.peek() {
            Some(Kind::TOKEN_IDENT) => self.name(start),
            Some(Kind::TOKEN_INTEGER | Kind::TOKEN_FLOAT | Kind::TOKEN_URI) => self.literal(start),
            Some(Kind::TOKEN_STRING_START) => {
                let pieces = self.string()?;
                self.add_pieces(Node::Str, pieces, start)
            }
            Some(Kind::TOKEN_PATH_REL | Kind::TOKEN_PATH_ABS | Kind::TOKEN_PATH_HOME) => self.path(start),
            Some(Kind::TOKEN_PATH_SEARCH) => {
                let text = self.take().to_owned();
                self.add(Node::SearchPath(text), start, &[])
            }
            Some(Kind::TOKEN_L_PAREN) => {
                self.at += 1;
                let inner = self.expr()?;
                self.expect(Kind::TOKEN_R_PAREN)?;
                Ok(inner)
            }
            Some(Kind::TOKEN_L_BRACK) => self.list(start),
            Some(Kind::TOKEN_REC) => {
                self.at += 1;
                self.expect(Kind::TOKEN_L_BRACE)?;
                self.set(start, true)
            }
            Some(Kind::TOKEN_L_BRACE) => {
                self.at += 1;
                self.set(start, false)
            }
            _ => Err(self.unexpected("an expression")),
        }
    }

    fn name(&mut self, start: Span) -> Fallible<NodeId> {
        let node = match self.take() {
            "__curPos" => Node::CurrentPosition,
            name => Node::Name(self.program.intern(name)),
        };
        self.add(node, start, &[])
    }

    fn literal(&mut self, start: Span) -> Fallible<NodeId> {
        let kind = self.peek();
        let text = self.take();
        let node = match kind {
            // A negative number is a minus and a literal, so the least integer has none.
            Some(Kind::TOKEN_INTEGER) => match text.parse() {
                Ok(int) => Node::Int(int),
                Err(_) => return Err(self.syntax(start, "the integer does not fit into 64 bits")),
            },
            Some(Kind::TOKEN_FLOAT) => match text.parse() {
                Ok(float) if f64::is_finite(float) => Node::Float(float),
                _ => return Err(self.syntax(start, "the number is too large for a float")),
            },
            _ => Node::Str(vec![Piece::Text(text.to_owned())]),
        };
        self.add(node, start, &[])
    }

    pub(super) fn add_pieces(&mut self, node: fn(Vec<Piece<NodeId>>) -> Node, pieces: Vec<Piece<NodeId>>, start: Span) -> Fallible<NodeId> {
        let height = pieces.iter().map(|piece| match piece {
            Piece::Text(_) => 0,
            Piece::Interpolation(inner) => self.tree.height(*inner),
        });
        let height = height.max().unwrap_or(0) + 1;
        self.add_high(node(pieces), self.since(start), height)
    }

    pub(super) fn string(&mut self) -> Fallible<Vec<Piece<NodeId>>> {
        let is_indented = self.take() == "''";
        let mut raw = Vec::new();
        loop {
            match self.peek() {
                Some(Kind::TOKEN_STRING_CONTENT) => raw.push(Piece::Text(self.take().to_owned())),
                Some(Kind::TOKEN_INTERPOL_START) => raw.push(Piece::Interpolation(self.interpolation()?)),
                _ => break,
            }
        }
        self.expect(Kind::TOKEN_STRING_END)?;
        Ok(if is_indented { strings::indented(raw) } else { strings::plain(raw) })
    }

    pub(super) fn interpolation(&mut self) -> Fallible<NodeId> {
        self.at += 1;
        let inner = self.expr()?;
        self.expect(Kind::TOKEN_INTERPOL_END)?;
        Ok(inner)
    }

    /// A path's texts and interpolations follow each other without white space.
    fn path(&mut self, start: Span) -> Fallible<NodeId> {
        let mut pieces = vec![Piece::Text(self.take().to_owned())];
        while self.here().start == self.since(start).end {
            match self.peek() {
                Some(Kind::TOKEN_INTERPOL_START) => pieces.push(Piece::Interpolation(self.interpolation()?)),
                Some(Kind::TOKEN_PATH_REL | Kind::TOKEN_PATH_ABS | Kind::TOKEN_PATH_HOME) => {
                    pieces.push(Piece::Text(self.take().to_owned()));
                }
                _ => break,
            }
        }
        self.add_pieces(Node::Path, pieces, start)
    }

    fn list(&mut self, start: Span) -> Fallible<NodeId> {
        self.at += 1;
        let mut items = Vec::new();
        while self.peek().is_some_and(operators::starts_operand) {
            items.push(self.selection()?);
        }
        if !self.next_if(Kind::TOKEN_R_BRACK) {
            return Err(self.unexpected("']' or another element (put parentheses around a call or an operator)"));
        }
        let height = items.iter().map(|&item| self.tree.height(item)).max().unwrap_or(0) + 1;
        self.add_high(Node::List(items), self.since(start), height)
    }

    fn set(&mut self, start: Span, recursive: bool) -> Fallible<NodeId> {
        let (entries, height) = self.bindings(Kind::TOKEN_R_BRACE)?;
        self.add_high(Node::Set(Bindings { recursive, entries }), self.since(start), height + 1)
    }
}

/// How much of an unexpected token a message repeats.
const MAX_SHOWN_CHARS: usize = 40;
