//! Calling functions: Nix's own, built-in ones, and sets with `__functor`.

use std::rc::Rc;

use super::Evaluator;
use crate::builtins::{Builtin, Call};
use crate::error::Fallible;
use crate::heap::{Pending, Thunk};
use crate::syntax::{ExprId, Lambda, Param, Pattern, Symbol, nearest};
use crate::value::{Attrs, EnvId, Partial, ThunkId, Value};

impl Evaluator<'_> {
    /// `function arg`; `site` is the expression that calls.
    pub(crate) fn call(&mut self, function: Value, arg: ThunkId, site: ExprId) -> Fallible<Value> {
        match function {
            Value::Lambda(lambda, env) => self.call_lambda(&lambda, env, arg, site),
            Value::Builtin(builtin) => self.call_builtin(builtin, &[], arg, site),
            Value::Partial(partial) => self.call_builtin(partial.builtin, &partial.args, arg, site),
            Value::Attrs(attrs) => self.call_functor(attrs, arg, site),
            other => {
                let message = format!("expected a function to call, got {}", other.describe());
                Err(self.error(site, message))
            }
        }
    }

    /// `function arg1 arg2 ...`.
    pub(crate) fn call_with(&mut self, function: ThunkId, args: &[ThunkId], site: ExprId) -> Fallible<Value> {
        let mut value = self.force(function, site)?;
        for &arg in args {
            value = self.call(value, arg, site)?;
        }
        Ok(value)
    }

    fn call_lambda(&mut self, lambda: &Rc<Lambda>, env: EnvId, arg: ThunkId, site: ExprId) -> Fallible<Value> {
        let inner = self.bind_param(lambda, env, arg, site)?;
        self.eval(lambda.body, inner)
            .map_err(|failure| failure.within(self.span(site), || format!("while calling {}", self.describe_function(lambda))))
    }

    fn call_builtin(&mut self, builtin: &'static Builtin, earlier: &[ThunkId], arg: ThunkId, site: ExprId) -> Fallible<Value> {
        let mut args = Vec::with_capacity(earlier.len() + 1);
        args.extend_from_slice(earlier);
        args.push(arg);
        self.burn(1, site)?;
        if args.len() < builtin.arity {
            self.charge(64, site)?;
            return Ok(Value::Partial(Rc::new(Partial { builtin, args })));
        }
        let call = Call { name: builtin.name, args: &args, site };
        self.nested(site, |evaluator| (builtin.run)(evaluator, &call))
    }

    fn call_functor(&mut self, attrs: Rc<Attrs>, arg: ThunkId, site: ExprId) -> Fallible<Value> {
        let functor = self.program.lookup("__functor").and_then(|name| attrs.get(name));
        let Some(functor) = functor else {
            return Err(self.error(site, "expected a function to call, got a set without '__functor'"));
        };
        let this = self.done(Value::Attrs(attrs), site)?;
        self.nested(site, |evaluator| evaluator.call_with(functor, &[this, arg], site))
    }

    fn bind_param(&mut self, lambda: &Lambda, env: EnvId, arg: ThunkId, site: ExprId) -> Fallible<EnvId> {
        match &lambda.param {
            Param::Name(_) => self.open_env(env, &[arg], site),
            Param::Pattern(pattern) => self.bind_pattern(lambda, pattern, env, arg, site),
        }
    }

    fn bind_pattern(&mut self, lambda: &Lambda, pattern: &Pattern, env: EnvId, arg: ThunkId, site: ExprId) -> Fallible<EnvId> {
        let attrs = match self.force(arg, site)? {
            Value::Attrs(attrs) => attrs,
            other => {
                let function = self.describe_function(lambda);
                return Err(self.error(site, format!("{function} expects a set, got {}", other.describe())));
            }
        };
        self.burn_bulk(pattern.formals.len() * 4, site)?;
        let slots = pattern.formals.len() + usize::from(pattern.binds_whole);
        let mut given = 0;
        let mut found = Vec::with_capacity(slots);
        for &(name, default) in &pattern.formals {
            let value = attrs.get(name);
            given += usize::from(value.is_some());
            if value.is_none() && default.is_none() {
                return Err(self.missing_argument(lambda, name, site));
            }
            found.push(value);
        }
        if given < attrs.len() && !pattern.has_ellipsis {
            return Err(self.unexpected_argument(lambda, pattern, &attrs, site));
        }
        self.fill_pattern(pattern, &found, env, arg, site)
    }

    fn fill_pattern(&mut self, pattern: &Pattern, found: &[Option<ThunkId>], env: EnvId, arg: ThunkId, site: ExprId) -> Fallible<EnvId> {
        // Defaults see all arguments, so they belong to the new environment.
        let inner = self.open_env(env, &[], site)?;
        self.charge((found.len() as u64 + 1) * crate::heap::SLOT_BYTES, site)?;
        for (&(_, default), &value) in pattern.formals.iter().zip(found) {
            let thunk = match (value, default) {
                (Some(thunk), _) => thunk,
                (None, Some(default)) => self.alloc(Thunk::Pending(Pending::Expr(default, inner)), default)?,
                (None, None) => arg,
            };
            self.heap.push_slot(thunk);
        }
        if pattern.binds_whole {
            self.heap.push_slot(arg);
        }
        Ok(inner)
    }

    pub(crate) fn describe_function(&self, lambda: &Lambda) -> String {
        match lambda.name {
            Some(name) => format!("the function '{}'", self.program.name(name)),
            None if self.root == Some(lambda.span) => "the file".into(),
            None => "the function".into(),
        }
    }

    fn missing_argument(&self, lambda: &Lambda, name: Symbol, site: ExprId) -> Box<crate::error::Failure> {
        let (function, name) = (self.describe_function(lambda), self.program.name(name));
        self.error(site, format!("{function} is called without the required argument '{name}'"))
            .within(lambda.span, || "the function is defined here".into())
    }

    fn unexpected_argument(&self, lambda: &Lambda, pattern: &Pattern, attrs: &Attrs, site: ExprId) -> Box<crate::error::Failure> {
        let is_formal = |name: &Symbol| pattern.formals.binary_search_by_key(name, |formal| formal.0).is_ok();
        let names = attrs.iter().map(|(name, _)| name).filter(|name| !is_formal(name));
        let extra = names.map(|name| self.program.name(name)).min().unwrap_or_else(|| "?".into());
        let formals: Vec<Rc<str>> = pattern.formals.iter().map(|formal| self.program.name(formal.0)).collect();
        let close = nearest(&extra, formals.iter().map(|name| &**name));
        let hint = close.map(|close| format!("; did you mean '{close}'?")).unwrap_or_default();
        let function = self.describe_function(lambda);
        self.error(site, format!("{function} is called with the unexpected argument '{extra}'{hint}"))
            .within(lambda.span, || "the function is defined here".into())
    }
}
