//! `var` and `local`: what names outside an expression mean.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use hcl_edit::expr::Expression;

use super::eval::{Context, Env, Unit, spend};
use crate::{
    data::{Data, Strings},
    diagnostic::{At, Fallible, Fault},
    value::{Entries, Value},
};

/// An expression that is evaluated when it is needed.
#[derive(Clone, Copy)]
pub(crate) enum Code<'a> {
    Hcl(&'a Expression, Unit<'a>),
    Json(&'a Data),
}

impl Code<'_> {
    pub(crate) fn eval(&self, cx: &Context<'_>, env: &Env<'_>) -> Fallible<Value> {
        match self {
            Code::Hcl(expression, unit) => cx.eval(expression, *unit, env),
            Code::Json(data) => data.eval(cx, Strings::Templates, env),
        }
    }
    pub(crate) fn at(&self) -> At {
        match self {
            Code::Hcl(expression, unit) => unit.at_node(*expression),
            Code::Json(data) => data.at.clone(),
        }
    }
}

enum Local<'a> {
    Waiting(Code<'a>),
    Running,
    Done(Value),
    Failed,
}

/// Variables with their values, and locals with their expressions.
#[derive(Default)]
pub(crate) struct Scope<'a> {
    variables: BTreeMap<Rc<str>, Option<Value>>,
    locals: RefCell<BTreeMap<Rc<str>, Local<'a>>>,
}

impl<'a> Scope<'a> {
    /// Variables by name; `None` for one whose value could not be found, which is reported already.
    pub(crate) fn new(variables: BTreeMap<Rc<str>, Option<Value>>, locals: BTreeMap<Rc<str>, Code<'a>>) -> Self {
        let locals = locals.into_iter().map(|(name, code)| (name, Local::Waiting(code))).collect();
        Self { variables, locals: RefCell::new(locals) }
    }

    /// True for the names that this scope answers for.
    pub(crate) fn is_root(name: &str) -> bool {
        matches!(name, "var" | "local")
    }

    /// The values of all variables that have one.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.variables.iter().filter_map(|(name, value)| Some((&**name, value.as_ref()?)))
    }

    /// The names of all locals.
    pub(crate) fn local_names(&self) -> Vec<Rc<str>> {
        self.locals.borrow().keys().cloned().collect()
    }

    /// `var` or `local` as a whole.
    pub(crate) fn root(&self, cx: &Context<'_>, root: &str, at: &At) -> Fallible<Option<Value>> {
        let names = match root {
            "var" => self.variables.keys().cloned().collect(),
            "local" => self.local_names(),
            _ => return Ok(None),
        };
        let mut entries = Entries::new();
        for name in names {
            let value = self.member(cx, root, &name, at)?;
            entries.insert(name, value);
        }
        spend(at, Value::map(entries, cx.budget)).map(Some)
    }

    /// `var.name` or `local.name`.
    pub(crate) fn member(&self, cx: &Context<'_>, root: &str, name: &str, at: &At) -> Fallible<Value> {
        if root == "var" { self.variable(cx, name, at) } else { self.local(cx, name, at) }
    }

    fn variable(&self, cx: &Context<'_>, name: &str, at: &At) -> Fallible<Value> {
        let Some(value) = self.variables.get(name) else {
            let hint = match cx.budget.nearest(name, self.variables.keys().map(|n| &**n)) {
                Some(near) => format!("did you mean var.{near}?"),
                None => format!("declare it with variable \"{name}\" {{ }}"),
            };
            return Err(Fault::new(at, format!("undeclared variable {name}: {hint}")));
        };
        value.clone().ok_or_else(|| Fault::echo(at))
    }

    fn local(&self, cx: &Context<'_>, name: &str, at: &At) -> Fallible<Value> {
        let code = match self.locals.borrow().get(name) {
            Some(Local::Done(value)) => return Ok(value.clone()),
            Some(Local::Failed) => return Err(Fault::echo(at)),
            Some(Local::Running) => {
                return Err(Fault::new(at, format!("the local {name} depends on itself: break the circle")));
            }
            Some(Local::Waiting(code)) => *code,
            None => {
                let locals = self.locals.borrow();
                let hint = match cx.budget.nearest(name, locals.keys().map(|n| &**n)) {
                    Some(near) => format!("did you mean local.{near}?"),
                    None => "define it in locals { }".to_owned(),
                };
                return Err(Fault::new(at, format!("unknown local {name}: {hint}")));
            }
        };
        self.set(name, Local::Running);
        let result = code.eval(cx, &Env::EMPTY);
        self.set(name, result.as_ref().map_or(Local::Failed, |value| Local::Done(value.clone())));
        result
    }

    fn set(&self, name: &str, state: Local<'a>) {
        if let Some(slot) = self.locals.borrow_mut().get_mut(name) {
            *slot = state;
        }
    }
}
