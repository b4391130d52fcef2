//! Expressions as the evaluator wants them: variables resolved to slots, sets
//! merged, strings unescaped, each with the span that an error will show.

use std::collections::HashMap;
use std::rc::Rc;

use crate::error::Source;
use crate::files::NixPath;
use crate::value::Value;

/// A range of bytes in one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) file: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// An interned name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Symbol(pub(crate) u32);

/// An expression of the [`Program`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ExprId(pub(crate) u32);

/// One expression. Cloned at every evaluation, so the large parts are shared.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Const(Value),
    Interpolation(Rc<[Part]>),
    /// A path with `${}` parts, relative to the folder.
    PathJoin(Rc<NixPath>, Rc<[Part]>),
    /// Something that is refused, but only where it is used.
    Refused(Rc<str>),
    /// A path that leads where no path may.
    BadPath(Rc<str>),
    /// `depth` environments out, slot `slot`.
    Var {
        depth: u32,
        slot: u32,
    },
    /// A name that only an enclosing `with` can bind: how far out each is, from
    /// the innermost, given as levels to subtract from `level`.
    WithVar {
        name: Symbol,
        level: u32,
        withs: Rc<[u32]>,
    },
    List(Rc<[ExprId]>),
    Attrs(Rc<Bindings>),
    Let(Rc<Bindings>, ExprId),
    With(ExprId, ExprId),
    Lambda(Rc<Lambda>),
    Apply(ExprId, ExprId),
    If(ExprId, ExprId, ExprId),
    Assert(ExprId, ExprId),
    Not(ExprId),
    Negate(ExprId),
    Binary(BinaryOp, ExprId, ExprId),
    Select(ExprId, Rc<[Key]>, Option<ExprId>),
    HasAttr(ExprId, Rc<[Key]>),
}

/// A piece of a string.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Text(Rc<str>),
    Expr(ExprId),
}

/// A step of an attribute path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key {
    Static(Symbol),
    Dynamic(ExprId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Concat,
    Update,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    And,
    Or,
    Implies,
}

/// The bindings of a set or `let`. In recursive ones the fields are the slots of
/// a new environment, in this order.
#[derive(Debug)]
pub(crate) struct Bindings {
    pub(crate) recursive: bool,
    /// Sorted by symbol.
    pub(crate) fields: Vec<(Symbol, BindValue)>,
    /// Key and value of `${key} = value`.
    pub(crate) dynamic: Vec<(ExprId, ExprId)>,
    /// The sources of `inherit (source) ...`.
    pub(crate) inherit_from: Vec<ExprId>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum BindValue {
    /// Evaluated where the bindings are visible, if they are recursive.
    Inside(ExprId),
    /// `inherit name`: evaluated outside of the bindings.
    Outside(ExprId),
    /// `inherit (source) name`: which source, and where the name stands.
    From(usize, ExprId),
}

#[derive(Debug)]
pub(crate) struct Lambda {
    /// What the function is bound to, for traces.
    pub(crate) name: Option<Symbol>,
    pub(crate) param: Param,
    pub(crate) body: ExprId,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum Param {
    /// One slot, for the argument of this name.
    Name(Symbol),
    Pattern(Pattern),
}

/// `{ a, b ? 1, ... } @ whole`: a slot for each formal, then one for `whole`.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// Sorted by symbol, with the default.
    pub(crate) formals: Vec<(Symbol, Option<ExprId>)>,
    pub(crate) has_ellipsis: bool,
    pub(crate) binds_whole: bool,
}

/// All expressions, names and sources of one evaluation.
#[derive(Debug, Default)]
pub(crate) struct Program {
    exprs: Vec<Expr>,
    spans: Vec<Span>,
    pub(crate) sources: Vec<Source>,
    names: Vec<Rc<str>>,
    symbols: HashMap<Rc<str>, Symbol>,
}

impl Program {
    /// Adds an expression. Numbers are 32 bit: the bounds on sources and memory
    /// end a program long before.
    pub(crate) fn add(&mut self, expr: Expr, span: Span) -> ExprId {
        let id = ExprId(u32::try_from(self.exprs.len()).unwrap_or(u32::MAX));
        self.exprs.push(expr);
        self.spans.push(span);
        id
    }

    pub(crate) fn expr(&self, id: ExprId) -> Expr {
        self.exprs.get(id.0 as usize).expect("invariant: an ExprId comes from `add`").clone()
    }

    pub(crate) fn peek(&self, id: ExprId) -> &Expr {
        self.exprs.get(id.0 as usize).expect("invariant: an ExprId comes from `add`")
    }

    pub(crate) fn span(&self, id: ExprId) -> Span {
        self.spans.get(id.0 as usize).copied().unwrap_or_default()
    }

    /// The text of an expression.
    pub(crate) fn text(&self, id: ExprId) -> &str {
        let span = self.span(id);
        let source = self.sources.get(span.file as usize);
        source.and_then(|source| source.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }

    pub(crate) fn intern(&mut self, name: &str) -> Symbol {
        if let Some(&symbol) = self.symbols.get(name) {
            return symbol;
        }
        let symbol = Symbol(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let shared: Rc<str> = name.into();
        self.names.push(Rc::clone(&shared));
        self.symbols.insert(shared, symbol);
        symbol
    }

    /// The symbol of a name that some source or value has used.
    pub(crate) fn lookup(&self, name: &str) -> Option<Symbol> {
        self.symbols.get(name).copied()
    }

    pub(crate) fn name(&self, symbol: Symbol) -> Rc<str> {
        Rc::clone(self.names.get(symbol.0 as usize).expect("invariant: a Symbol comes from `intern`"))
    }

    pub(crate) fn add_source(&mut self, name: String, text: Rc<str>) -> u32 {
        self.sources.push(Source { name, text });
        u32::try_from(self.sources.len() - 1).unwrap_or(u32::MAX)
    }
}
