//! Expressions to values. Pure but for what functions read through [`Files`](crate::Files); every step is paid for.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use hcl_edit::{
    Span as _,
    expr::{Expression, ForExpr, FuncCall, Object, ObjectKey, Traversal, TraversalOperator},
};

use super::{operators, scope::Scope, template};
use crate::{
    budget::{Budget, Spent},
    diagnostic::{At, Fallible, Fault, Span},
    files::Files,
    functions,
    limits::{MAX_EVAL_DEPTH, MAX_WARNINGS},
    value::{Entries, Number, Value},
};

/// The first words of expressions that mean something only when the task runs; they stay text.
pub(crate) const RUNTIME_ROOTS: &[&str] = &["node", "attr", "meta", "device", "env", "secret"];

/// True for a name that is filled in on the node.
pub(crate) fn is_runtime_root(name: &str) -> bool {
    RUNTIME_ROOTS.contains(&name) || name.starts_with("NOMAD_")
}

/// A text from which expressions come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit<'a> {
    pub(crate) source: u32,
    pub(crate) text: &'a str,
    /// Where errors point when the text is not a file of its own: the string that holds it.
    pub(crate) fixed: Option<Span>,
}

impl Unit<'_> {
    pub(crate) fn at(&self, range: Option<std::ops::Range<usize>>) -> At {
        match (self.fixed, range) {
            (Some(span), _) => At::Text(span),
            (None, Some(range)) => At::Text(Span::new(self.source, range)),
            (None, None) => At::File(self.source),
        }
    }
    pub(crate) fn at_node(&self, node: &impl hcl_edit::Span) -> At {
        self.at(node.span())
    }
}

/// Names bound by `for` expressions and `dynamic` blocks, innermost first.
#[derive(Clone, Copy)]
pub(crate) struct Env<'e> {
    names: &'e [(&'e str, Value)],
    outer: Option<&'e Env<'e>>,
}

impl<'e> Env<'e> {
    pub(crate) const EMPTY: Env<'static> = Env { names: &[], outer: None };

    pub(crate) fn with(&'e self, names: &'e [(&'e str, Value)]) -> Env<'e> {
        Env { names, outer: Some(self) }
    }
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let mut env = Some(self);
        while let Some(here) = env {
            if let Some((_, value)) = here.names.iter().find(|(n, _)| *n == name) {
                return Some(value);
            }
            env = here.outer;
        }
        None
    }
}

/// What every evaluation of one parse shares.
pub(crate) struct Context<'a> {
    pub(crate) budget: &'a Budget,
    pub(crate) files: &'a dyn Files,
    pub(crate) scope: Scope<'a>,
    /// Evaluations under way.
    pub(crate) depth: Cell<usize>,
    /// What is allowed but probably not meant, at most [`MAX_WARNINGS`].
    pub(crate) warnings: RefCell<Vec<Fault>>,
}

/// Turns "a bound was reached" into a fault that nothing catches.
pub(crate) fn spend<T>(at: &At, spent: Spent<T>) -> Fallible<T> {
    spent.map_err(|exhausted| Fault::fatal(at, exhausted.0))
}

impl<'a> Context<'a> {
    /// The value of `expression`, which stands in `unit`.
    pub(crate) fn eval(&self, expression: &Expression, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Value> {
        let depth = self.depth.get();
        if depth >= MAX_EVAL_DEPTH {
            let message = format!("evaluating nests deeper than {MAX_EVAL_DEPTH} levels: shorten the chain of locals or the expression");
            return Err(Fault::fatal(&unit.at_node(expression), message));
        }
        self.depth.set(depth + 1);
        let result = self.step(expression, unit, env);
        self.depth.set(depth);
        result
    }

    /// Keeps a warning, once for each place.
    pub(crate) fn warn(&self, at: &At, message: String) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < MAX_WARNINGS && !warnings.iter().any(|w| w.at == *at) {
            warnings.push(*Fault::new(at, message));
        }
    }

    fn step(&self, expression: &Expression, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Value> {
        if let Err(exhausted) = self.budget.work(1) {
            return Err(Fault::fatal(&unit.at_node(expression), exhausted.0));
        }
        match expression {
            Expression::Null(_) => Ok(Value::Null),
            Expression::Bool(b) => Ok(Value::Bool(*b.value())),
            Expression::Number(n) => number(n.value(), &unit.at_node(expression)),
            Expression::String(s) => self.text(s.as_str(), &unit.at_node(expression)),
            Expression::Array(items) => self.array(items.iter(), unit, env, &unit.at_node(expression)),
            Expression::Object(object) => self.object(object, unit, env, &unit.at_node(expression)),
            Expression::StringTemplate(t) => template::string(self, t, unit, env),
            Expression::HeredocTemplate(t) => template::heredoc(self, t, unit, env, &unit.at_node(&**t)),
            Expression::Parenthesis(inner) => self.eval(inner.inner(), unit, env),
            Expression::Variable(name) => self.name(name.as_str(), expression, unit, env),
            Expression::Conditional(c) => self.conditional(c, unit, env),
            Expression::FuncCall(call) => self.call(call, unit, env, &unit.at_node(expression)),
            Expression::Traversal(t) => self.traversal(t, expression, unit, env),
            Expression::UnaryOp(op) => operators::unary(self, op, unit, env),
            Expression::BinaryOp(op) => operators::binary(self, op, unit, env),
            Expression::ForExpr(f) => self.for_expression(f, unit, env, &unit.at_node(expression)),
        }
    }

    pub(crate) fn text(&self, text: impl Into<Rc<str>>, at: &At) -> Fallible<Value> {
        spend(at, Value::text(text, self.budget))
    }

    fn array<'x>(&self, items: impl Iterator<Item = &'x Expression>, unit: Unit<'_>, env: &Env<'_>, at: &At) -> Fallible<Value> {
        let items = items.map(|item| self.eval(item, unit, env)).collect::<Fallible<Vec<_>>>()?;
        spend(at, Value::list(items, self.budget))
    }

    fn object(&self, object: &Object, unit: Unit<'_>, env: &Env<'_>, at: &At) -> Fallible<Value> {
        let mut entries = Entries::new();
        for (key, value) in object.iter() {
            let (key, key_at) = match key {
                ObjectKey::Ident(name) => (Rc::from(name.as_str()), unit.at_node(name)),
                ObjectKey::Expression(e) => (self.key(e, unit, env)?, unit.at_node(e)),
            };
            let value = self.eval(value.expr(), unit, env)?;
            if entries.insert(key.clone(), value).is_some() {
                return Err(Fault::new(&key_at, format!("the key {key:?} is set twice: remove one")));
            }
        }
        spend(at, Value::map(entries, self.budget))
    }

    fn key(&self, expression: &Expression, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Rc<str>> {
        let value = self.eval(expression, unit, env)?;
        value
            .to_text()
            .ok_or_else(|| Fault::new(&unit.at_node(expression), format!("a key of a map must be text, found {}", value.describe())))
    }

    fn conditional(&self, c: &hcl_edit::expr::Conditional, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Value> {
        let condition = self.condition(&c.cond_expr, unit, env)?;
        self.eval(if condition { &c.true_expr } else { &c.false_expr }, unit, env)
    }

    /// The truth of an expression that must have one.
    pub(crate) fn condition(&self, expression: &Expression, unit: Unit<'_>, env: &Env<'_>) -> Fallible<bool> {
        let value = self.eval(expression, unit, env)?;
        value
            .to_bool()
            .ok_or_else(|| Fault::new(&unit.at_node(expression), format!("a condition must be true or false, found {}", value.describe())))
    }

    /// A lone name: bound by a `for`, filled in on the node, or a mistake.
    fn name(&self, name: &str, expression: &Expression, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Value> {
        if let Some(value) = env.get(name) {
            return Ok(value.clone());
        }
        let at = unit.at_node(expression);
        if let Some(map) = self.scope.root(self, name, &at)? {
            return Ok(map);
        }
        if is_runtime_root(name) {
            return self.text(format!("${{{name}}}"), &at);
        }
        Err(Fault::new(&at, unknown_name(name)))
    }

    fn traversal(&self, t: &Traversal, whole: &Expression, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Value> {
        if let Expression::Variable(root) = &t.expr {
            let root_name = root.as_str();
            let bound = env.get(root_name).is_some();
            if !bound && Scope::is_root(root_name) {
                if let Some(TraversalOperator::GetAttr(name)) = t.operators.first().map(|op| op.value()) {
                    let value = self.scope.member(self, root_name, name.as_str(), &unit.at(merge(root.span(), name.span())))?;
                    return self.operators(value, t.operators.get(1..).unwrap_or(&[]), unit, env);
                }
            } else if !bound && is_runtime_root(root_name) {
                return self.text(format!("${{{}}}", source_text(whole, unit)), &unit.at_node(whole));
            }
        }
        let value = self.eval(&t.expr, unit, env)?;
        self.operators(value, &t.operators, unit, env)
    }

    fn operators(
        &self,
        value: Value,
        operators: &[hcl_edit::Decorated<TraversalOperator>],
        unit: Unit<'_>,
        env: &Env<'_>,
    ) -> Fallible<Value> {
        let mut value = value;
        let mut rest = operators;
        while let Some((operator, tail)) = rest.split_first() {
            let at = unit.at_node(operator);
            spend(&at, self.budget.work(1))?;
            rest = tail;
            value = match operator.value() {
                TraversalOperator::GetAttr(name) => attribute(&value, name.as_str(), &at, self.budget)?,
                TraversalOperator::LegacyIndex(index) => element(&value, i64::try_from(**index).unwrap_or(i64::MAX), &at)?,
                TraversalOperator::Index(key) => index(&value, &self.eval(key, unit, env)?, &at, self.budget)?,
                TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => {
                    let full = matches!(operator.value(), TraversalOperator::FullSplat(_));
                    let each = tail.iter().take_while(|op| is_splatted(op.value(), full)).count();
                    let (inner, outer) = tail.split_at(each);
                    rest = outer;
                    self.splat(value, inner, unit, env, &at)?
                }
            };
        }
        Ok(value)
    }

    fn splat(
        &self,
        value: Value,
        inner: &[hcl_edit::Decorated<TraversalOperator>],
        unit: Unit<'_>,
        env: &Env<'_>,
        at: &At,
    ) -> Fallible<Value> {
        let items = match value {
            Value::Null => Vec::new(),
            Value::List(list) => list.items.clone(),
            other => vec![other],
        };
        let items = items.into_iter().map(|item| self.operators(item, inner, unit, env)).collect::<Fallible<Vec<_>>>()?;
        spend(at, Value::list(items, self.budget))
    }

    fn call(&self, call: &FuncCall, unit: Unit<'_>, env: &Env<'_>, at: &At) -> Fallible<Value> {
        let name = call.name.name.as_str();
        let name_at = unit.at_node(&call.name.name);
        if call.name.is_namespaced() {
            return Err(Fault::new(&name_at, format!("unknown function {name}: functions have no namespaces here")));
        }
        let args: Vec<&Expression> = call.args.iter().collect();
        match (name, args.as_slice()) {
            ("try", args) => return self.attempt(args, unit, env, at),
            ("can", [arg]) => return self.attempt(&[arg], unit, env, at).map(|_| true).or_else(caught).map(Value::Bool),
            ("convert", [arg, kind]) => {
                let value = self.eval(arg, unit, env)?;
                let kind = super::types::parse(kind, unit)?;
                return kind.convert(&value, self.budget).map_err(|e| e.at(at));
            }
            _ => {}
        }
        let function = functions::find(name).map_err(|message| Fault::new(&name_at, message))?;
        let mut values = args.iter().map(|arg| self.eval(arg, unit, env)).collect::<Fallible<Vec<_>>>()?;
        if call.args.expand_final()
            && let Some(last) = values.pop()
        {
            match last {
                Value::List(list) => values.extend(list.items.iter().cloned()),
                other => return Err(Fault::new(at, format!("... needs a list, found {}", other.describe()))),
            }
        }
        functions::call(function, &values, self).map_err(|e| e.at(at))
    }

    /// The first argument that evaluates; a bound that was reached is not caught.
    fn attempt(&self, args: &[&Expression], unit: Unit<'_>, env: &Env<'_>, at: &At) -> Fallible<Value> {
        let mut last = None;
        for arg in args {
            match self.eval(arg, unit, env) {
                Err(fault) if !fault.fatal => last = Some(fault),
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| Fault::new(at, "try needs at least one argument")))
    }

    fn for_expression(&self, f: &ForExpr, unit: Unit<'_>, env: &Env<'_>, at: &At) -> Fallible<Value> {
        let collection = self.eval(&f.intro.collection_expr, unit, env)?;
        let pairs = pairs(&collection, &unit.at_node(&f.intro.collection_expr))?;
        let key_name = f.intro.key_var.as_ref().map(|k| k.as_str());
        let value_name = f.intro.value_var.as_str();
        let mut items = Vec::new();
        let mut entries = Entries::new();
        let mut groups: std::collections::BTreeMap<Rc<str>, Vec<Value>> = Default::default();
        for (key, value) in pairs {
            let names = [(value_name, value), (key_name.unwrap_or(value_name), key)];
            let inner = env.with(names.get(..if key_name.is_some() { 2 } else { 1 }).unwrap_or(&[]));
            if let Some(cond) = &f.cond
                && !self.condition(&cond.expr, unit, &inner)?
            {
                continue;
            }
            let Some(key_expr) = &f.key_expr else {
                items.push(self.eval(&f.value_expr, unit, &inner)?);
                continue;
            };
            let key = self.key(key_expr, unit, &inner)?;
            let value = self.eval(&f.value_expr, unit, &inner)?;
            spend(at, self.budget.allocate(key.len()))?;
            if f.grouping {
                groups.entry(key).or_default().push(value);
            } else if entries.insert(key.clone(), value).is_some() {
                let message = format!("two elements have the key {key:?}: add ... after the value to group them");
                return Err(Fault::new(&unit.at_node(key_expr), message));
            }
        }
        if f.key_expr.is_none() {
            return spend(at, Value::list(items, self.budget));
        }
        for (key, values) in groups {
            entries.insert(key, spend(at, Value::list(values, self.budget))?);
        }
        spend(at, Value::map(entries, self.budget))
    }
}

/// A failure that `can` may catch is "no".
fn caught(fault: Box<Fault>) -> Fallible<bool> {
    if fault.fatal { Err(fault) } else { Ok(false) }
}

fn is_splatted(operator: &TraversalOperator, full: bool) -> bool {
    match operator {
        TraversalOperator::GetAttr(_) => true,
        TraversalOperator::Index(_) | TraversalOperator::LegacyIndex(_) => full,
        TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => false,
    }
}

/// Keys and values of what `for` goes through.
pub(crate) fn pairs(collection: &Value, at: &At) -> Fallible<Vec<(Value, Value)>> {
    match collection {
        Value::List(list) => {
            let index = |i: usize| Value::Number(Number::Int(i64::try_from(i).unwrap_or(i64::MAX)));
            Ok(list.items.iter().enumerate().map(|(i, v)| (index(i), v.clone())).collect())
        }
        Value::Map(map) => Ok(map.entries.iter().map(|(k, v)| (Value::Text(k.clone()), v.clone())).collect()),
        other => Err(Fault::new(at, format!("expected a list or a map to go through, found {}", other.describe()))),
    }
}

fn number(n: &hcl_edit::Number, at: &At) -> Fallible<Value> {
    let number = match n.as_i64() {
        Some(int) => Some(Number::Int(int)),
        None => n.as_f64().and_then(Number::from_f64),
    };
    number.map(Value::Number).ok_or_else(|| Fault::new(at, "this number is too large"))
}

fn attribute(value: &Value, name: &str, at: &At, budget: &Budget) -> Fallible<Value> {
    let Value::Map(map) = value else {
        return Err(Fault::new(at, format!("only a map has attributes like {name}, found {}", value.describe())));
    };
    map.entries.get(name).cloned().ok_or_else(|| {
        let near = budget.nearest(name, map.entries.keys().map(|k| &**k)).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        Fault::new(at, format!("the map has no attribute {name}{near}"))
    })
}

fn element(value: &Value, index: i64, at: &At) -> Fallible<Value> {
    let Value::List(list) = value else {
        return Err(Fault::new(at, format!("only a list has elements by number, found {}", value.describe())));
    };
    let found = usize::try_from(index).ok().and_then(|i| list.items.get(i));
    found
        .cloned()
        .ok_or_else(|| Fault::new(at, format!("the list has {} elements, there is none at {index} (the first is 0)", list.items.len())))
}

fn index(value: &Value, key: &Value, at: &At, budget: &Budget) -> Fallible<Value> {
    match (value, key) {
        (Value::Map(_), key) => match key.to_text() {
            Some(name) => attribute(value, &name, at, budget),
            None => Err(Fault::new(at, format!("a key of a map must be text, found {}", key.describe()))),
        },
        (_, key) => match key.to_number() {
            Some(Number::Int(i)) => element(value, i, at),
            _ => Err(Fault::new(at, format!("the number of an element must be whole, found {}", key.describe()))),
        },
    }
}

pub(crate) fn merge(a: Option<std::ops::Range<usize>>, b: Option<std::ops::Range<usize>>) -> Option<std::ops::Range<usize>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.start..b.end),
        (one, other) => one.or(other),
    }
}

/// The text of an expression as it was written.
pub(crate) fn source_text<'u>(expression: &Expression, unit: Unit<'u>) -> &'u str {
    expression.span().and_then(|range| unit.text.get(range)).unwrap_or("").trim()
}

pub(crate) fn unknown_name(name: &str) -> String {
    let near = floe_model::wire::nearest(name, &["var", "local"]);
    match near {
        Some(near) => format!("unknown name {name}: did you mean {near}?"),
        None => format!("unknown name {name}: write \"{name}\" for text, var.{name} for a variable or local.{name} for a local"),
    }
}
