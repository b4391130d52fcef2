//! Lowers the [`Tree`] to [`Expr`]: resolves variables to slots. The tree's height
//! is bounded, and so is this recursion.

use std::collections::HashMap;
use std::rc::Rc;

use super::ast::{Expr, ExprId, Key, Lambda, Param, Part, Pattern, Program, Span, Symbol};
use super::bindings::SetBuilder;
use super::strings::Piece;
use super::tree::{self, Attr, AttrName, Node, NodeId, Parameter, Tree};
use super::{Unit, nearest};
use crate::error::{ErrorKind, Failure, Fallible};
use crate::value::Value;

/// The lowering of one file.
pub(super) struct Lowering<'a> {
    pub(super) program: &'a mut Program,
    pub(super) tree: &'a Tree,
    unit: &'a Unit<'a>,
    globals: &'a dyn Fn(&str) -> Option<Value>,
    /// For each name its bindings, innermost last: the level and the slot.
    bound: HashMap<Symbol, Vec<(u32, u32)>>,
    /// How many environments are open.
    level: u32,
    /// The levels of the enclosing `with`s, innermost first.
    withs: Rc<[u32]>,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(program: &'a mut Program, unit: &'a Unit<'a>, tree: &'a Tree, globals: &'a dyn Fn(&str) -> Option<Value>) -> Self {
        Self { program, tree, unit, globals, bound: HashMap::new(), level: 0, withs: Rc::from([]) }
    }

    pub(super) fn syntax(&self, span: Span, message: impl Into<String>) -> Box<Failure> {
        Failure::new(ErrorKind::Syntax, span, message)
    }

    pub(super) fn expr(&mut self, id: NodeId) -> Fallible<ExprId> {
        self.named(id, None)
    }

    /// Lowers the node `id`, whose value is bound to `name`.
    pub(super) fn named(&mut self, id: NodeId, name: Option<Symbol>) -> Fallible<ExprId> {
        let span = self.tree.span(id);
        let lowered = match self.tree.node(id) {
            Node::Int(int) => Expr::Const(Value::Int(*int)),
            Node::Float(float) => Expr::Const(Value::Float(*float)),
            Node::Name(name) => self.variable(*name, span)?,
            Node::SearchPath(path) => search_path(path),
            Node::CurrentPosition => refused("__curPos"),
            Node::Str(pieces) => self.string(pieces)?,
            Node::Path(pieces) => self.path(pieces)?,
            Node::List(items) => Expr::List(self.all(items)?.into()),
            Node::Set(bindings) => {
                let builder = SetBuilder::new(self, bindings, span)?;
                Expr::Attrs(Rc::new(builder.lower(self)?))
            }
            Node::Let(bindings, body) => self.let_in(bindings, *body, span)?,
            Node::With(namespace, body) => self.with(*namespace, *body)?,
            Node::Lambda(parameter, body) => self.lambda(parameter, *body, name, span)?,
            other => self.compound(other)?,
        };
        Ok(self.program.add(lowered, span))
    }

    /// The nodes that only consist of others.
    fn compound(&mut self, node: &Node) -> Fallible<Expr> {
        Ok(match node {
            Node::Apply(function, arg) => Expr::Apply(self.expr(*function)?, self.expr(*arg)?),
            Node::If(condition, yes, no) => Expr::If(self.expr(*condition)?, self.expr(*yes)?, self.expr(*no)?),
            Node::Assert(condition, body) => Expr::Assert(self.expr(*condition)?, self.expr(*body)?),
            Node::Not(operand) => Expr::Not(self.expr(*operand)?),
            Node::Negate(operand) => Expr::Negate(self.expr(*operand)?),
            Node::Binary(op, left, right) => Expr::Binary(*op, self.expr(*left)?, self.expr(*right)?),
            Node::Select(from, path, default) => {
                let from = self.expr(*from)?;
                let keys = self.keys(path)?;
                Expr::Select(from, keys, default.map(|default| self.expr(default)).transpose()?)
            }
            Node::HasAttr(from, path) => Expr::HasAttr(self.expr(*from)?, self.keys(path)?),
            _ => Expr::Refused("this expression is not supported".into()),
        })
    }

    pub(super) fn all(&mut self, nodes: &[NodeId]) -> Fallible<Vec<ExprId>> {
        nodes.iter().map(|&node| self.expr(node)).collect()
    }

    fn keys(&mut self, path: &[Attr]) -> Fallible<Rc<[Key]>> {
        let key = |attr: &Attr| match attr.name {
            AttrName::Static(name) => Ok(Key::Static(name)),
            AttrName::Dynamic(expr) => self.expr(expr).map(Key::Dynamic),
        };
        path.iter().map(key).collect()
    }

    fn string(&mut self, pieces: &[Piece<NodeId>]) -> Fallible<Expr> {
        let mut parts = self.parts(pieces)?;
        Ok(match (parts.pop(), parts.is_empty()) {
            (None, _) => Expr::Const(Value::Str("".into())),
            (Some(Part::Text(text)), true) => Expr::Const(Value::Str(text)),
            (Some(last), _) => {
                parts.push(last);
                Expr::Interpolation(parts.into())
            }
        })
    }

    /// Joins texts that stand next to each other and leaves out empty ones.
    fn parts(&mut self, pieces: &[Piece<NodeId>]) -> Fallible<Vec<Part>> {
        let mut parts = Vec::new();
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Interpolation(inner) => {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text).into()));
                    }
                    parts.push(Part::Expr(self.expr(*inner)?));
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        Ok(parts)
    }

    fn path(&mut self, pieces: &[Piece<NodeId>]) -> Fallible<Expr> {
        let parts = self.parts(pieces)?;
        let folder = &self.unit.folder;
        Ok(match parts.as_slice() {
            [Part::Text(text)] => match folder.join(text) {
                Ok(path) => Expr::Const(Value::Path(Rc::new(path))),
                Err(error) => Expr::BadPath(error.to_string().into()),
            },
            _ => Expr::PathJoin(Rc::new(folder.clone()), parts.into()),
        })
    }

    /// Resolves a name: bindings first, then what is global, then `with`.
    pub(super) fn variable(&mut self, symbol: Symbol, span: Span) -> Fallible<Expr> {
        if let Some(&(level, slot)) = self.bound.get(&symbol).and_then(|bindings| bindings.last()) {
            return Ok(Expr::Var { depth: self.level - level, slot });
        }
        let name = self.program.name(symbol);
        if let Some(value) = (self.globals)(&name) {
            return Ok(Expr::Const(value));
        }
        if !self.withs.is_empty() {
            return Ok(Expr::WithVar { name: symbol, level: self.level, withs: Rc::clone(&self.withs) });
        }
        if let Some(refusal) = crate::builtins::refused_global(&name) {
            return Ok(refused(refusal));
        }
        let names = self.visible();
        let close = nearest(&name, names.iter().map(|name| &**name));
        let hint = close.map(|close| format!("; did you mean '{close}'?")).unwrap_or_default();
        Err(self.syntax(span, format!("undefined variable '{name}'{hint}")))
    }

    fn visible(&self) -> Vec<Rc<str>> {
        let bound = self.bound.iter().filter(|(_, bindings)| !bindings.is_empty());
        let mut names: Vec<Rc<str>> = bound.map(|(&name, _)| self.program.name(name)).collect();
        names.sort();
        names
    }

    /// Runs `inner` where `names` are bound to the slots 0, 1, ... of a new environment.
    pub(super) fn scope<T>(&mut self, names: &[Symbol], inner: impl FnOnce(&mut Self) -> Fallible<T>) -> Fallible<T> {
        self.level += 1;
        for (slot, &name) in (0..).zip(names) {
            self.bound.entry(name).or_default().push((self.level, slot));
        }
        let result = inner(self);
        for name in names {
            self.bound.get_mut(name).and_then(Vec::pop);
        }
        self.level -= 1;
        result
    }

    fn let_in(&mut self, bindings: &tree::Bindings, body: NodeId, span: Span) -> Fallible<Expr> {
        let builder = SetBuilder::new(self, bindings, span)?;
        if let Some(span) = builder.dynamic_span() {
            return Err(self.syntax(span, "dynamic attributes are not allowed in 'let'"));
        }
        let (bindings, body) = builder.lower_with(self, |lowering| lowering.expr(body))?;
        Ok(Expr::Let(Rc::new(bindings), body))
    }

    fn with(&mut self, namespace: NodeId, body: NodeId) -> Fallible<Expr> {
        let namespace = self.expr(namespace)?;
        let outer = Rc::clone(&self.withs);
        let level = self.level + 1;
        self.withs = std::iter::once(level).chain(outer.iter().copied()).collect();
        let body = self.scope(&[], |lowering| lowering.expr(body));
        self.withs = outer;
        Ok(Expr::With(namespace, body?))
    }

    fn lambda(&mut self, parameter: &Parameter, body: NodeId, name: Option<Symbol>, span: Span) -> Fallible<Expr> {
        let (param, body) = match parameter {
            Parameter::Name(symbol) => (Param::Name(*symbol), self.scope(&[*symbol], |lowering| lowering.expr(body))?),
            Parameter::Pattern(pattern) => {
                let (pattern, body) = self.pattern(pattern, body)?;
                (Param::Pattern(pattern), body)
            }
        };
        Ok(Expr::Lambda(Rc::new(Lambda { name, param, body, span })))
    }

    fn pattern(&mut self, pattern: &tree::Pattern, body: NodeId) -> Fallible<(Pattern, ExprId)> {
        let mut sorted = pattern.formals.clone();
        sorted.sort_by_key(|formal| formal.name);
        let names: Vec<Symbol> = sorted.iter().chain(pattern.whole.as_ref()).map(|formal| formal.name).collect();
        self.scope(&names, |lowering| {
            let mut formals = Vec::with_capacity(sorted.len());
            for formal in &sorted {
                let default = formal.default.map(|default| lowering.named(default, Some(formal.name))).transpose()?;
                formals.push((formal.name, default));
            }
            let pattern = Pattern { formals, has_ellipsis: pattern.has_ellipsis, binds_whole: pattern.whole.is_some() };
            Ok((pattern, lowering.expr(body)?))
        })
    }
}

fn refused(what: &str) -> Expr {
    Expr::Refused(crate::builtins::refusal(what).into())
}

fn search_path(path: &str) -> Expr {
    if path == "<nixpkgs/lib>" {
        let message = "there is no <nixpkgs/lib> here: write the file as a function '{ lib, ... }: ...', \
                       which is given the part of nixpkgs' lib that floe has";
        return Expr::Refused(message.into());
    }
    refused(&format!("the search path {path}"))
}
