//! `set.name`, `set.name or default` and `set ? name`.

use super::Evaluator;
use crate::error::Fallible;
use crate::syntax::{ExprId, Key, Symbol};
use crate::value::{EnvId, Value};

impl Evaluator<'_> {
    pub(super) fn select(&mut self, from: ExprId, keys: &[Key], default: Option<ExprId>, env: EnvId, site: ExprId) -> Fallible<Value> {
        let mut value = self.eval(from, env)?;
        for &key in keys {
            let name = self.key(key, env)?;
            value = match (self.get(&value, name), default) {
                (Some(thunk), _) => self.force(thunk, site)?,
                (None, Some(default)) => return self.eval(default, env),
                (None, None) => self.attribute(&value, name, site)?,
            };
        }
        Ok(value)
    }

    pub(super) fn has_attr(&mut self, from: ExprId, keys: &[Key], env: EnvId) -> Fallible<Value> {
        let mut value = self.eval(from, env)?;
        let Some((&last, path)) = keys.split_last() else {
            return Ok(Value::Bool(true));
        };
        for &key in path {
            let name = self.key(key, env)?;
            value = match self.get(&value, name) {
                Some(thunk) => self.force(thunk, from)?,
                None => return Ok(Value::Bool(false)),
            };
        }
        let name = self.key(last, env)?;
        Ok(Value::Bool(self.get(&value, name).is_some()))
    }

    fn get(&self, value: &Value, name: Symbol) -> Option<crate::value::ThunkId> {
        match value {
            Value::Attrs(attrs) => attrs.get(name),
            _ => None,
        }
    }

    fn key(&mut self, key: Key, env: EnvId) -> Fallible<Symbol> {
        let expr = match key {
            Key::Static(name) => return Ok(name),
            Key::Dynamic(expr) => expr,
        };
        match self.eval(expr, env)? {
            Value::Str(name) => self.intern(&name, expr),
            other => {
                let message = format!("an attribute name must be a string, got {}", other.describe());
                Err(self.error(expr, message))
            }
        }
    }

    /// The attribute `name` of `from`, or the error that it is missing.
    pub(crate) fn attribute(&mut self, from: &Value, name: Symbol, site: ExprId) -> Fallible<Value> {
        let text = self.program.name(name);
        let Value::Attrs(attrs) = from else {
            let message = format!("expected a set with the attribute '{text}', got {}", from.describe());
            return Err(self.error(site, message));
        };
        match attrs.get(name) {
            Some(thunk) => self.force(thunk, site),
            None => {
                let close = self.close_name(attrs, name);
                let hint = close.map(|close| format!("; did you mean '{close}'?")).unwrap_or_default();
                Err(self.error(site, format!("attribute '{text}' missing{hint}")))
            }
        }
    }
}
