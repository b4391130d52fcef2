//! The evaluator: expressions to values, lazily, within [`Limits`].
//!
//! Every function that can recurse passes through [`Evaluator::nested`], which
//! counts the depth; every loop pays [`Evaluator::burn`]; every allocation pays
//! [`Evaluator::charge`]. The heap frees everything at the end at once.

mod call;
mod coerce;
mod compare;
mod import;
mod operators;
mod select;
mod sets;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

pub(crate) use import::Imports;
pub(crate) use operators::Arithmetic;

use crate::builtins;
use crate::error::{ErrorKind, Failure, Fallible};
use crate::files::Files;
use crate::heap::{Heap, Pending, SLOT_BYTES, THUNK_BYTES, Thunk};
use crate::limits::Limits;
use crate::syntax::{Expr, ExprId, Program, Span, Symbol};
use crate::value::{Attrs, EnvId, ThunkId, Value};

/// Bytes or elements that a built-in function may touch for one unit of fuel.
const BULK_PER_FUEL: u64 = 16;

/// The origin of what no source made: it has the position of the first file.
pub(crate) const NOWHERE: ExprId = ExprId(u32::MAX);

/// One evaluation.
pub(crate) struct Evaluator<'a> {
    pub(crate) program: Program,
    pub(crate) heap: Heap,
    pub(crate) limits: &'a Limits,
    pub(crate) files: &'a dyn Files,
    pub(crate) imports: Imports,
    pub(crate) regexes: HashMap<Rc<str>, Rc<regex::Regex>>,
    pub(crate) messages: Vec<String>,
    /// The whole of the first file.
    root: Option<Span>,
    globals: BTreeMap<&'static str, Value>,
    fuel_left: u64,
    memory_left: u64,
    depth: u32,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(limits: &'a Limits, files: &'a dyn Files) -> Fallible<Self> {
        let mut evaluator = Self {
            program: Program::default(),
            heap: Heap::new(),
            limits,
            files,
            imports: Imports::default(),
            regexes: HashMap::new(),
            messages: Vec::new(),
            root: None,
            globals: BTreeMap::new(),
            fuel_left: limits.fuel,
            memory_left: limits.memory_bytes,
            depth: 0,
        };
        evaluator.globals = builtins::globals(&mut evaluator)?;
        Ok(evaluator)
    }

    /// A name that is bound everywhere.
    pub(crate) fn global(&self, name: &str) -> Option<Value> {
        self.globals.get(name).cloned()
    }

    // ---- errors and bounds -------------------------------------------------

    pub(crate) fn span(&self, site: ExprId) -> Span {
        self.program.span(site)
    }

    /// An error of the program at `site`.
    pub(crate) fn error(&self, site: ExprId, message: impl Into<String>) -> Box<Failure> {
        Failure::new(ErrorKind::Evaluation, self.span(site), message)
    }

    pub(crate) fn limit(&self, site: ExprId, message: impl Into<String>) -> Box<Failure> {
        Failure::new(ErrorKind::Limit, self.span(site), message)
    }

    /// Pays for steps.
    pub(crate) fn burn(&mut self, steps: u64, site: ExprId) -> Fallible<()> {
        match self.fuel_left.checked_sub(steps) {
            Some(left) => {
                self.fuel_left = left;
                Ok(())
            }
            None => {
                self.fuel_left = 0;
                let fuel = self.limits.fuel;
                Err(self.limit(site, format!("the evaluation takes more than {fuel} steps (limit fuel)")))
            }
        }
    }

    /// Pays for touching `amount` bytes or elements in one go.
    pub(crate) fn burn_bulk(&mut self, amount: usize, site: ExprId) -> Fallible<()> {
        self.burn(1 + amount as u64 / BULK_PER_FUEL, site)
    }

    /// Pays for memory, before it is allocated.
    pub(crate) fn charge(&mut self, bytes: u64, site: ExprId) -> Fallible<()> {
        match self.memory_left.checked_sub(bytes) {
            Some(left) => {
                self.memory_left = left;
                Ok(())
            }
            None => {
                self.memory_left = 0;
                let most = self.limits.memory_bytes;
                Err(self.limit(site, format!("the evaluation needs more than {most} bytes (limit memory_bytes)")))
            }
        }
    }

    /// Runs `inner` one level of recursion deeper.
    pub(crate) fn nested<T>(&mut self, site: ExprId, inner: impl FnOnce(&mut Self) -> Fallible<T>) -> Fallible<T> {
        self.enter(site)?;
        let result = inner(self);
        self.leave();
        result
    }

    /// Counts one level of recursion; [`Evaluator::leave`] must follow if it succeeds.
    pub(crate) fn enter(&mut self, site: ExprId) -> Fallible<()> {
        if self.depth >= self.limits.depth {
            let depth = self.limits.depth;
            let message = format!("the evaluation is nested more than {depth} deep (limit depth): is this recursion endless?");
            return Err(self.limit(site, message));
        }
        self.depth += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    // ---- making values -----------------------------------------------------

    pub(crate) fn alloc(&mut self, thunk: Thunk, origin: ExprId) -> Fallible<ThunkId> {
        self.charge(THUNK_BYTES, origin)?;
        Ok(self.heap.add(thunk, origin))
    }

    pub(crate) fn done(&mut self, value: Value, origin: ExprId) -> Fallible<ThunkId> {
        self.alloc(Thunk::Done(value), origin)
    }

    /// `function argument`, later.
    pub(crate) fn apply_later(&mut self, function: ThunkId, arg: ThunkId, site: ExprId) -> Fallible<ThunkId> {
        self.alloc(Thunk::Pending(Pending::Apply(function, arg)), site)
    }

    /// Pays for a string of `bytes` before it is built.
    pub(crate) fn charge_string(&mut self, bytes: usize, site: ExprId) -> Fallible<()> {
        if bytes > self.limits.string_bytes {
            let most = self.limits.string_bytes;
            return Err(self.limit(site, format!("a string of {bytes} bytes is longer than {most} (limit string_bytes)")));
        }
        self.burn_bulk(bytes, site)?;
        self.charge(bytes as u64 + 2 * SLOT_BYTES, site)
    }

    pub(crate) fn string(&mut self, text: &str, site: ExprId) -> Fallible<Value> {
        self.charge_string(text.len(), site)?;
        Ok(Value::Str(text.into()))
    }

    /// Pays for a list or set of `len` before it is built.
    pub(crate) fn charge_len(&mut self, len: usize, site: ExprId) -> Fallible<()> {
        if len > self.limits.list_len {
            let most = self.limits.list_len;
            return Err(self.limit(site, format!("a list or set of {len} is longer than {most} (limit list_len)")));
        }
        self.burn_bulk(len, site)?;
        self.charge((len as u64 + 2) * SLOT_BYTES, site)
    }

    pub(crate) fn list(&mut self, items: Vec<ThunkId>, site: ExprId) -> Fallible<Value> {
        self.charge_len(items.len(), site)?;
        Ok(Value::List(items.into()))
    }

    /// A set; of several entries with one name the first wins.
    pub(crate) fn attrs(&mut self, entries: Vec<(Symbol, ThunkId)>, site: ExprId) -> Fallible<Value> {
        self.charge_len(entries.len(), site)?;
        Ok(Value::Attrs(Rc::new(Attrs::from_unsorted(entries))))
    }

    pub(crate) fn intern(&mut self, name: &str, site: ExprId) -> Fallible<Symbol> {
        match self.program.lookup(name) {
            Some(symbol) => Ok(symbol),
            None => {
                self.charge_string(name.len(), site)?;
                self.charge(THUNK_BYTES, site)?;
                Ok(self.program.intern(name))
            }
        }
    }

    /// The entries of a set in the order of their names.
    pub(crate) fn sorted(&mut self, attrs: &Attrs, site: ExprId) -> Fallible<Vec<(Rc<str>, ThunkId)>> {
        self.burn_bulk(attrs.len() * 4, site)?;
        let mut entries: Vec<(Rc<str>, ThunkId)> = attrs.iter().map(|(name, thunk)| (self.program.name(name), thunk)).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    // ---- evaluation --------------------------------------------------------

    /// The value of a thunk; `site` is the expression that asks for it.
    pub(crate) fn force(&mut self, id: ThunkId, site: ExprId) -> Fallible<Value> {
        let pending = match self.heap.thunk(id) {
            Thunk::Done(value) => return Ok(value.clone()),
            Thunk::Pending(pending) => *pending,
            Thunk::Running => return Err(self.error(site, "infinite recursion: this value needs itself")),
        };
        self.enter(site)?;
        self.heap.set(id, Thunk::Running);
        let result = self.run(id, pending, site);
        self.leave();
        // After a failure the thunk can be asked again: `tryEval` may have caught it.
        let state = match &result {
            Ok(value) => Thunk::Done(value.clone()),
            Err(_) => Thunk::Pending(pending),
        };
        self.heap.set(id, state);
        result
    }

    fn run(&mut self, id: ThunkId, pending: Pending, site: ExprId) -> Fallible<Value> {
        match pending {
            Pending::Expr(expr, env) => self.eval(expr, env),
            Pending::Apply(function, arg) => {
                let origin = self.heap.origin(id);
                let function = self.force(function, origin)?;
                self.call(function, arg, origin)
            }
            Pending::Select(from, name) => {
                let origin = self.heap.origin(id);
                let from = self.force(from, origin)?;
                self.attribute(&from, name, origin)
            }
            Pending::Refused(what) => Err(self.unsupported(site, what)),
        }
    }

    pub(crate) fn unsupported(&self, site: ExprId, what: &str) -> Box<Failure> {
        Failure::new(ErrorKind::Unsupported, self.span(site), builtins::refusal(what))
    }

    /// The value of an expression.
    pub(crate) fn eval(&mut self, id: ExprId, env: EnvId) -> Fallible<Value> {
        self.nested(id, |evaluator| evaluator.eval_tail(id, env))
    }

    /// Follows expressions whose value is another expression's without recursing.
    fn eval_tail(&mut self, mut id: ExprId, mut env: EnvId) -> Fallible<Value> {
        loop {
            self.burn(1, id)?;
            match self.program.expr(id) {
                Expr::Const(value) => return Ok(value),
                Expr::Var { depth, slot } => {
                    let thunk = self.variable(env, depth, slot, id)?;
                    return self.force(thunk, id);
                }
                Expr::If(condition, yes, no) => {
                    id = if self.eval_bool(condition, env)? { yes } else { no };
                }
                Expr::Assert(condition, body) => {
                    self.assert(condition, env)?;
                    id = body;
                }
                Expr::Let(bindings, body) => {
                    env = self.bind(&bindings, env, id)?;
                    id = body;
                }
                Expr::With(namespace, body) => {
                    env = self.open_with(namespace, env, id)?;
                    id = body;
                }
                other => return self.eval_node(other, id, env),
            }
        }
    }

    fn eval_node(&mut self, expr: Expr, id: ExprId, env: EnvId) -> Fallible<Value> {
        match expr {
            Expr::Interpolation(parts) => self.interpolate(&parts, env, id),
            Expr::PathJoin(folder, parts) => self.join_path(&folder, &parts, env, id),
            Expr::Refused(message) => Err(Failure::new(ErrorKind::Unsupported, self.span(id), &*message)),
            Expr::BadPath(message) => Err(Failure::new(ErrorKind::File, self.span(id), &*message)),
            Expr::WithVar { name, level, withs } => self.with_variable(name, level, &withs, env, id),
            Expr::List(items) => self.eval_list(&items, env, id),
            Expr::Attrs(bindings) => self.eval_set(&bindings, env, id),
            Expr::Lambda(lambda) => Ok(Value::Lambda(lambda, env)),
            Expr::Apply(function, arg) => {
                let function = self.eval(function, env)?;
                let arg = self.delay(arg, env)?;
                self.call(function, arg, id)
            }
            Expr::Not(operand) => Ok(Value::Bool(!self.eval_bool(operand, env)?)),
            Expr::Negate(operand) => self.negate(operand, env, id),
            Expr::Binary(operator, left, right) => self.binary(operator, left, right, env, id),
            Expr::Select(from, keys, default) => self.select(from, &keys, default, env, id),
            Expr::HasAttr(from, keys) => self.has_attr(from, &keys, env),
            // The rest is followed by `eval_tail`, which never passes it here.
            _ => Err(Failure::new(ErrorKind::Internal, self.span(id), "an expression was not followed")),
        }
    }

    fn variable(&mut self, env: EnvId, depth: u32, slot: u32, site: ExprId) -> Fallible<ThunkId> {
        self.burn(u64::from(depth) / BULK_PER_FUEL, site)?;
        Ok(self.heap.lookup(env, depth, slot))
    }

    /// A thunk for `expr`, none where its value is already at hand.
    pub(crate) fn delay(&mut self, expr: ExprId, env: EnvId) -> Fallible<ThunkId> {
        self.burn(1, expr)?;
        match self.program.peek(expr) {
            &Expr::Var { depth, slot } => self.variable(env, depth, slot, expr),
            _ => self.delay_new(expr, env),
        }
    }

    /// As [`Evaluator::delay`], where the slots of `env` may not be filled yet.
    fn delay_new(&mut self, expr: ExprId, env: EnvId) -> Fallible<ThunkId> {
        let thunk = match self.program.peek(expr) {
            Expr::Const(value) => Thunk::Done(value.clone()),
            Expr::Lambda(lambda) => Thunk::Done(Value::Lambda(Rc::clone(lambda), env)),
            _ => Thunk::Pending(Pending::Expr(expr, env)),
        };
        self.alloc(thunk, expr)
    }

    fn eval_list(&mut self, items: &[ExprId], env: EnvId, site: ExprId) -> Fallible<Value> {
        let mut thunks = Vec::with_capacity(items.len());
        for &item in items {
            thunks.push(self.delay(item, env)?);
        }
        self.list(thunks, site)
    }

    fn eval_bool(&mut self, expr: ExprId, env: EnvId) -> Fallible<bool> {
        match self.eval(expr, env)? {
            Value::Bool(value) => Ok(value),
            other => Err(self.error(expr, format!("expected a Boolean, got {}", other.describe()))),
        }
    }

    fn assert(&mut self, condition: ExprId, env: EnvId) -> Fallible<()> {
        if self.eval_bool(condition, env)? {
            return Ok(());
        }
        let text: String = self.program.text(condition).chars().take(MAX_ASSERTION_CHARS).collect();
        let message = format!("assertion '{text}' failed");
        Err(Failure::new(ErrorKind::Assertion, self.span(condition), message))
    }
}

/// How much of a failed assertion's text the message repeats.
const MAX_ASSERTION_CHARS: usize = 80;
