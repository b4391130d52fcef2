//! Lowers rnix's tree to [`Expr`]: resolves variables, unescapes strings, and
//! reports what rnix accepts although it is not Nix.

use std::collections::HashMap;
use std::rc::Rc;

use rnix::ast::{self, BinOpKind, HasEntry, InterpolPart, LiteralKind, UnaryOpKind};
use rnix::{NodeOrToken, SyntaxKind};
use rowan::ast::AstNode;

use super::ast::{BinaryOp, Expr, ExprId, Key, Lambda, Param, Part, Pattern, Program, Span, Symbol};
use super::bindings::SetBuilder;
use super::strings::{self, Piece};
use super::{Unit, nearest};
use crate::error::{ErrorKind, Failure, Fallible};
use crate::limits::MAX_EXPRESSION_DEPTH;
use crate::value::Value;

/// The lowering of one file.
pub(crate) struct Lowering<'a> {
    pub(super) program: &'a mut Program,
    unit: &'a Unit<'a>,
    globals: &'a dyn Fn(&str) -> Option<Value>,
    /// For each name its bindings, innermost last: the level and the slot.
    bound: HashMap<Symbol, Vec<(u32, u32)>>,
    /// How many environments are open.
    level: u32,
    /// The levels of the enclosing `with`s, innermost first.
    withs: Rc<[u32]>,
    depth: u32,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(program: &'a mut Program, unit: &'a Unit<'a>, globals: &'a dyn Fn(&str) -> Option<Value>) -> Self {
        Self { program, unit, globals, bound: HashMap::new(), level: 0, withs: Rc::from([]), depth: 0 }
    }

    pub(super) fn file(mut self, root: Option<ast::Expr>) -> Fallible<ExprId> {
        match root {
            Some(expr) => self.expr(&expr),
            None => {
                let span = Span { file: self.unit.file, start: 0, end: 0 };
                Err(self.syntax(span, "the file holds no expression"))
            }
        }
    }

    pub(super) fn syntax(&self, span: Span, message: impl Into<String>) -> Box<Failure> {
        Failure::new(ErrorKind::Syntax, span, message)
    }

    /// The span of a node without the white space around it.
    pub(super) fn span(&self, node: &rnix::SyntaxNode) -> Span {
        let range = node.text_range();
        Span { file: self.unit.file, start: range.start().into(), end: range.end().into() }
    }

    /// A part of the tree that an error-free parse always has.
    pub(super) fn present<T>(&self, part: Option<T>, node: &rnix::SyntaxNode) -> Fallible<T> {
        part.ok_or_else(|| self.syntax(self.span(node), "this expression is incomplete"))
    }

    fn required(&mut self, part: Option<ast::Expr>, node: &rnix::SyntaxNode) -> Fallible<ExprId> {
        let expr = self.present(part, node)?;
        self.expr(&expr)
    }

    pub(super) fn expr(&mut self, expr: &ast::Expr) -> Fallible<ExprId> {
        self.named(expr, None)
    }

    /// Lowers `expr`, which is bound to `name`.
    pub(super) fn named(&mut self, expr: &ast::Expr, name: Option<Symbol>) -> Fallible<ExprId> {
        self.nest(self.span(expr.syntax()), |lowering| lowering.dispatch(expr, name))
    }

    /// Counts one level of the tree around `inner`.
    pub(super) fn nest<T>(&mut self, span: Span, inner: impl FnOnce(&mut Self) -> Fallible<T>) -> Fallible<T> {
        self.depth += 1;
        if self.depth > MAX_EXPRESSION_DEPTH {
            let message = format!("the expression is nested more than {MAX_EXPRESSION_DEPTH} deep");
            return Err(Failure::new(ErrorKind::Limit, span, message));
        }
        let lowered = inner(self);
        self.depth -= 1;
        lowered
    }

    fn dispatch(&mut self, expr: &ast::Expr, name: Option<Symbol>) -> Fallible<ExprId> {
        let node = expr.syntax();
        let span = self.span(node);
        let lowered = match expr {
            ast::Expr::Paren(paren) => {
                self.present(paren.r_paren_token(), node)?;
                let inner = self.present(paren.expr(), node)?;
                return self.named(&inner, name);
            }
            ast::Expr::Root(root) => return self.required(root.expr(), node),
            ast::Expr::Literal(literal) => Expr::Const(self.literal(literal, span)?),
            ast::Expr::Str(string) => self.string(string)?,
            ast::Expr::Ident(ident) => {
                let token = self.present(ident.ident_token(), node)?;
                self.variable(token.text(), span)?
            }
            ast::Expr::PathRel(path) => self.path(&path.parts())?,
            ast::Expr::PathAbs(_) | ast::Expr::PathHome(_) => self.outside_path(node),
            ast::Expr::PathSearch(_) => search_path(node),
            ast::Expr::CurPos(_) => refused("__curPos"),
            ast::Expr::List(list) => self.list(list)?,
            ast::Expr::AttrSet(set) => {
                self.present(set.r_curly_token(), node)?;
                let builder = SetBuilder::of_set(self, set)?;
                Expr::Attrs(Rc::new(builder.lower(self)?))
            }
            ast::Expr::LetIn(let_in) => self.let_in(let_in)?,
            ast::Expr::LegacyLet(_) => {
                return Err(self.syntax(span, "'let { ... }' is not supported: write 'let ... in ...'"));
            }
            ast::Expr::With(with) => self.with(with)?,
            ast::Expr::Lambda(lambda) => self.lambda(lambda, name)?,
            ast::Expr::Apply(apply) => {
                let function = self.required(apply.lambda(), node)?;
                Expr::Apply(function, self.required(apply.argument(), node)?)
            }
            ast::Expr::IfElse(branch) => {
                let condition = self.required(branch.condition(), node)?;
                let yes = self.required(branch.body(), node)?;
                Expr::If(condition, yes, self.required(branch.else_body(), node)?)
            }
            ast::Expr::Assert(assert) => {
                let condition = self.required(assert.condition(), node)?;
                Expr::Assert(condition, self.required(assert.body(), node)?)
            }
            ast::Expr::UnaryOp(unary) => self.unary(unary)?,
            ast::Expr::BinOp(binary) => self.binary(binary)?,
            ast::Expr::Select(select) => {
                let from = self.required(select.expr(), node)?;
                let keys = self.keys(select.attrpath(), node)?;
                let default = select.default_expr().map(|default| self.expr(&default)).transpose()?;
                Expr::Select(from, keys, default)
            }
            ast::Expr::HasAttr(has) => {
                let from = self.required(has.expr(), node)?;
                Expr::HasAttr(from, self.keys(has.attrpath(), node)?)
            }
            ast::Expr::Error(_) => return Err(self.syntax(span, "this is not an expression")),
        };
        Ok(self.program.add(lowered, span))
    }

    fn literal(&self, literal: &ast::Literal, span: Span) -> Fallible<Value> {
        // Negative numbers are a minus and a literal, so the least integer has none.
        Ok(match literal.kind() {
            LiteralKind::Integer(number) => {
                Value::Int(number.value().map_err(|_| self.syntax(span, "the integer does not fit into 64 bits"))?)
            }
            LiteralKind::Float(number) => match number.value() {
                Ok(float) if float.is_finite() => Value::Float(float),
                _ => return Err(self.syntax(span, "the number is too large for a float")),
            },
            LiteralKind::Uri(uri) => Value::Str(uri.to_string().into()),
        })
    }

    fn string(&mut self, string: &ast::Str) -> Fallible<Expr> {
        let mut is_indented = false;
        let mut raw = Vec::new();
        for child in string.syntax().children_with_tokens() {
            match child {
                NodeOrToken::Token(token) if token.kind() == SyntaxKind::TOKEN_STRING_START => {
                    is_indented = token.text() == "''";
                }
                NodeOrToken::Token(token) if token.kind() == SyntaxKind::TOKEN_STRING_CONTENT => {
                    raw.push(Piece::Text(token.text().to_owned()));
                }
                NodeOrToken::Token(_) => {}
                NodeOrToken::Node(node) => {
                    let inner = self.present(ast::Interpol::cast(node), string.syntax())?;
                    raw.push(Piece::Interpolation(self.required(inner.expr(), inner.syntax())?));
                }
            }
        }
        let pieces = if is_indented { strings::indented(raw) } else { strings::plain(raw) };
        Ok(constant_or_parts(pieces))
    }

    fn path(&mut self, parts: &[InterpolPart<ast::PathContent>]) -> Fallible<Expr> {
        let mut lowered = Vec::new();
        for part in parts {
            lowered.push(match part {
                InterpolPart::Literal(text) => Part::Text(text.text().into()),
                InterpolPart::Interpolation(inner) => Part::Expr(self.required(inner.expr(), inner.syntax())?),
            });
        }
        let folder = &self.unit.folder;
        Ok(match lowered.as_slice() {
            [Part::Text(text)] => match folder.join(text) {
                Ok(path) => Expr::Const(Value::Path(Rc::new(path))),
                Err(error) => Expr::BadPath(error.to_string().into()),
            },
            _ => Expr::PathJoin(Rc::new(folder.clone()), lowered.into()),
        })
    }

    fn outside_path(&self, node: &rnix::SyntaxNode) -> Expr {
        match self.unit.folder.join(&node.text().to_string()) {
            Err(error) => Expr::BadPath(error.to_string().into()),
            Ok(_) => refused("this path"),
        }
    }

    fn list(&mut self, list: &ast::List) -> Fallible<Expr> {
        self.present(list.r_brack_token(), list.syntax())?;
        let items: Fallible<Vec<ExprId>> = list.items().map(|item| self.expr(&item)).collect();
        Ok(Expr::List(items?.into()))
    }

    fn keys(&mut self, path: Option<ast::Attrpath>, node: &rnix::SyntaxNode) -> Fallible<Rc<[Key]>> {
        let path = self.present(path, node)?;
        let keys: Fallible<Vec<Key>> = path.attrs().map(|attr| self.key(&attr)).collect();
        Ok(keys?.into())
    }

    /// An attribute name; `"a"` and `${"a"}` are as static as `a`.
    pub(super) fn key(&mut self, attr: &ast::Attr) -> Fallible<Key> {
        let expr = match attr {
            ast::Attr::Ident(ident) => {
                let token = self.present(ident.ident_token(), ident.syntax())?;
                return Ok(Key::Static(self.program.intern(token.text())));
            }
            ast::Attr::Str(string) => self.named(&ast::Expr::Str(string.clone()), None)?,
            ast::Attr::Dynamic(dynamic) => self.required(dynamic.expr(), dynamic.syntax())?,
        };
        let text = match self.program.peek(expr) {
            Expr::Const(Value::Str(text)) => Rc::clone(text),
            _ => return Ok(Key::Dynamic(expr)),
        };
        Ok(Key::Static(self.program.intern(&text)))
    }

    /// Resolves a name: bindings first, then what is global, then `with`.
    pub(super) fn variable(&mut self, name: &str, span: Span) -> Fallible<Expr> {
        let symbol = self.program.intern(name);
        if let Some(&(level, slot)) = self.bound.get(&symbol).and_then(|bindings| bindings.last()) {
            return Ok(Expr::Var { depth: self.level - level, slot });
        }
        if let Some(value) = (self.globals)(name) {
            return Ok(Expr::Const(value));
        }
        if !self.withs.is_empty() {
            return Ok(Expr::WithVar { name: symbol, level: self.level, withs: Rc::clone(&self.withs) });
        }
        if let Some(refusal) = crate::builtins::refused_global(name) {
            return Ok(refused(refusal));
        }
        let names: Vec<Rc<str>> = self.visible().collect();
        let close = nearest(name, names.iter().map(|name| &**name));
        let hint = close.map(|close| format!("; did you mean '{close}'?")).unwrap_or_default();
        Err(self.syntax(span, format!("undefined variable '{name}'{hint}")))
    }

    fn visible(&self) -> impl Iterator<Item = Rc<str>> {
        let bound = self.bound.iter().filter(|(_, bindings)| !bindings.is_empty());
        let mut names: Vec<Rc<str>> = bound.map(|(&name, _)| self.program.name(name)).collect();
        names.sort();
        names.into_iter()
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

    fn let_in(&mut self, let_in: &ast::LetIn) -> Fallible<Expr> {
        let node = let_in.syntax();
        self.present(let_in.in_token(), node)?;
        let builder = SetBuilder::of_entries(self, let_in.entries(), true, self.span(node))?;
        if let Some(span) = builder.dynamic_span() {
            return Err(self.syntax(span, "dynamic attributes are not allowed in 'let'"));
        }
        let body = self.present(let_in.body(), node)?;
        let (bindings, body) = builder.lower_with(self, |lowering| lowering.expr(&body))?;
        Ok(Expr::Let(Rc::new(bindings), body))
    }

    fn with(&mut self, with: &ast::With) -> Fallible<Expr> {
        let namespace = self.required(with.namespace(), with.syntax())?;
        let outer = Rc::clone(&self.withs);
        let level = self.level + 1;
        self.withs = std::iter::once(level).chain(outer.iter().copied()).collect();
        let body = self.present(with.body(), with.syntax());
        let body = body.and_then(|body| self.scope(&[], |lowering| lowering.expr(&body)));
        self.withs = outer;
        Ok(Expr::With(namespace, body?))
    }

    fn lambda(&mut self, lambda: &ast::Lambda, name: Option<Symbol>) -> Fallible<Expr> {
        let node = lambda.syntax();
        let body = self.present(lambda.body(), node)?;
        let span = self.span(node);
        let (param, body) = match self.present(lambda.param(), node)? {
            ast::Param::IdentParam(param) => {
                let symbol = self.ident(param.ident(), node)?;
                (Param::Name(symbol), self.scope(&[symbol], |lowering| lowering.expr(&body))?)
            }
            ast::Param::Pattern(pattern) => {
                let (pattern, body) = self.pattern(&pattern, &body)?;
                (Param::Pattern(pattern), body)
            }
        };
        Ok(Expr::Lambda(Rc::new(Lambda { name, param, body, span })))
    }

    pub(super) fn ident(&mut self, ident: Option<ast::Ident>, node: &rnix::SyntaxNode) -> Fallible<Symbol> {
        let token = self.present(ident.and_then(|ident| ident.ident_token()), node)?;
        Ok(self.program.intern(token.text()))
    }

    fn pattern(&mut self, pattern: &ast::Pattern, body: &ast::Expr) -> Fallible<(Pattern, ExprId)> {
        let mut entries = Vec::new();
        for entry in pattern.pat_entries() {
            entries.push((self.ident(entry.ident(), entry.syntax())?, entry));
        }
        entries.sort_by_key(|(name, _)| *name);
        let mut names: Vec<Symbol> = entries.iter().map(|(name, _)| *name).collect();
        if let Some(bind) = pattern.pat_bind() {
            names.push(self.ident(bind.ident(), bind.syntax())?);
        }
        self.refuse_duplicates(&names, pattern.syntax())?;
        let binds_whole = names.len() > entries.len();
        let has_ellipsis = pattern.ellipsis_token().is_some();
        self.scope(&names, |lowering| {
            let mut formals = Vec::with_capacity(entries.len());
            for (name, entry) in &entries {
                // The name is a child of the entry too, so the default is the second.
                let default = match entry.question_token() {
                    Some(_) => Some(lowering.default_of(entry, *name)?),
                    None => None,
                };
                formals.push((*name, default));
            }
            Ok((Pattern { formals, has_ellipsis, binds_whole }, lowering.expr(body)?))
        })
    }

    fn default_of(&mut self, entry: &ast::PatEntry, name: Symbol) -> Fallible<ExprId> {
        let default = self.present(entry.default(), entry.syntax())?;
        self.named(&default, Some(name))
    }

    fn refuse_duplicates(&self, names: &[Symbol], node: &rnix::SyntaxNode) -> Fallible<()> {
        let mut sorted = names.to_vec();
        sorted.sort();
        let twice = sorted.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(*a),
            _ => None,
        });
        match twice {
            Some(name) => {
                let message = format!("the argument '{}' is given twice", self.program.name(name));
                Err(self.syntax(self.span(node), message))
            }
            None => Ok(()),
        }
    }

    fn unary(&mut self, unary: &ast::UnaryOp) -> Fallible<Expr> {
        let node = unary.syntax();
        let operand = self.required(unary.expr(), node)?;
        match self.present(unary.operator(), node)? {
            UnaryOpKind::Invert => Ok(Expr::Not(operand)),
            UnaryOpKind::Negate => Ok(Expr::Negate(operand)),
        }
    }

    fn binary(&mut self, binary: &ast::BinOp) -> Fallible<Expr> {
        let node = binary.syntax();
        let operator = match self.present(binary.operator(), node)? {
            BinOpKind::Add => BinaryOp::Add,
            BinOpKind::Sub => BinaryOp::Sub,
            BinOpKind::Mul => BinaryOp::Mul,
            BinOpKind::Div => BinaryOp::Div,
            BinOpKind::Concat => BinaryOp::Concat,
            BinOpKind::Update => BinaryOp::Update,
            BinOpKind::Equal => BinaryOp::Equal,
            BinOpKind::NotEqual => BinaryOp::NotEqual,
            BinOpKind::Less => BinaryOp::Less,
            BinOpKind::LessOrEq => BinaryOp::LessOrEqual,
            BinOpKind::More => BinaryOp::More,
            BinOpKind::MoreOrEq => BinaryOp::MoreOrEqual,
            BinOpKind::And => BinaryOp::And,
            BinOpKind::Or => BinaryOp::Or,
            BinOpKind::Implication => BinaryOp::Implies,
            BinOpKind::PipeRight | BinOpKind::PipeLeft => {
                let message = "pipe operators are an experiment of Nix and not supported: write 'f x'";
                return Err(Failure::new(ErrorKind::Unsupported, self.span(node), message));
            }
        };
        let left = self.required(binary.lhs(), node)?;
        Ok(Expr::Binary(operator, left, self.required(binary.rhs(), node)?))
    }
}

/// A string without interpolations is a constant.
fn constant_or_parts(pieces: Vec<Piece<ExprId>>) -> Expr {
    let mut parts: Vec<Part> = Vec::new();
    let mut text = String::new();
    let flush = |text: &mut String, parts: &mut Vec<Part>| {
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(text).into()));
        }
    };
    for piece in pieces {
        match piece {
            Piece::Text(piece) => text.push_str(&piece),
            Piece::Interpolation(expr) => {
                flush(&mut text, &mut parts);
                parts.push(Part::Expr(expr));
            }
        }
    }
    if parts.is_empty() {
        return Expr::Const(Value::Str(text.into()));
    }
    flush(&mut text, &mut parts);
    Expr::Interpolation(parts.into())
}

fn refused(what: &str) -> Expr {
    Expr::Refused(crate::builtins::refusal(what).into())
}

fn search_path(node: &rnix::SyntaxNode) -> Expr {
    let path = node.text().to_string();
    if path == "<nixpkgs/lib>" {
        let message = "there is no <nixpkgs/lib> here: write the file as a function '{ lib, ... }: ...', \
                       which is given the part of nixpkgs' lib that floe has";
        return Expr::Refused(message.into());
    }
    refused(&format!("the search path {path}"))
}
