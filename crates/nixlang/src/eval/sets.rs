//! Sets, `let` and `with`: from bindings to environments and attributes.

use std::rc::Rc;

use super::Evaluator;
use crate::error::Fallible;
use crate::heap::{ENV_BYTES, Pending, SLOT_BYTES, Thunk};
use crate::syntax::{BindValue, Bindings, ExprId, Symbol, nearest};
use crate::value::{Attrs, EnvId, ThunkId, Value};

impl Evaluator<'_> {
    /// A new environment inside `parent` whose slots are `thunks`.
    pub(super) fn open_env(&mut self, parent: EnvId, thunks: &[ThunkId], site: ExprId) -> Fallible<EnvId> {
        self.charge(ENV_BYTES + thunks.len() as u64 * SLOT_BYTES, site)?;
        let env = self.heap.open_env(parent);
        for &thunk in thunks {
            self.heap.push_slot(thunk);
        }
        Ok(env)
    }

    pub(super) fn open_with(&mut self, namespace: ExprId, env: EnvId, site: ExprId) -> Fallible<EnvId> {
        let namespace = self.delay(namespace, env)?;
        self.open_env(env, &[namespace], site)
    }

    /// The environment of recursive bindings.
    pub(super) fn bind(&mut self, bindings: &Bindings, env: EnvId, site: ExprId) -> Fallible<EnvId> {
        Ok(self.bind_fields(bindings, env, site)?.0)
    }

    /// The environment in which the values stand, and the static attributes.
    fn bind_fields(&mut self, bindings: &Bindings, outer: EnvId, site: ExprId) -> Fallible<(EnvId, Vec<(Symbol, ThunkId)>)> {
        // A recursive value refers to the environment that is filled only below,
        // so its number must exist first: reserve the slots, then fill them.
        self.charge(ENV_BYTES + bindings.fields.len() as u64 * SLOT_BYTES, site)?;
        let env = if bindings.recursive { self.heap.open_env(outer) } else { outer };
        let mut sources = Vec::with_capacity(bindings.inherit_from.len());
        for &source in &bindings.inherit_from {
            sources.push(self.alloc(Thunk::Pending(Pending::Expr(source, env)), source)?);
        }
        let mut entries = Vec::with_capacity(bindings.fields.len());
        for &(name, value) in &bindings.fields {
            self.burn(1, site)?;
            let thunk = match value {
                BindValue::Inside(expr) if bindings.recursive => self.delay_new(expr, env)?,
                BindValue::Inside(expr) | BindValue::Outside(expr) => self.delay(expr, outer)?,
                BindValue::From(source, at) => {
                    let from = sources.get(source).copied();
                    let from = from.expect("invariant: lowering counts the sources of inherit");
                    self.alloc(Thunk::Pending(Pending::Select(from, name)), at)?
                }
            };
            if bindings.recursive {
                self.heap.push_slot(thunk);
            }
            entries.push((name, thunk));
        }
        Ok((env, entries))
    }

    pub(super) fn eval_set(&mut self, bindings: &Bindings, env: EnvId, site: ExprId) -> Fallible<Value> {
        self.charge_len(bindings.fields.len() + bindings.dynamic.len(), site)?;
        let (inner, mut entries) = self.bind_fields(bindings, env, site)?;
        for &(key, value) in &bindings.dynamic {
            let Some(name) = self.key_name(key, inner)? else {
                continue;
            };
            if entries.iter().any(|entry| entry.0 == name) {
                let message = format!("the attribute '{}' is already defined", self.program.name(name));
                return Err(self.error(key, message));
            }
            self.burn_bulk(entries.len(), site)?;
            entries.push((name, self.delay(value, inner)?));
        }
        if bindings.dynamic.is_empty() {
            // Lowering sorts the fields by symbol.
            return Ok(Value::Attrs(Rc::new(Attrs::from_sorted(entries))));
        }
        Ok(Value::Attrs(Rc::new(Attrs::from_unsorted(entries))))
    }

    /// The name that `${key}` gives; null gives none.
    fn key_name(&mut self, key: ExprId, env: EnvId) -> Fallible<Option<Symbol>> {
        match self.eval(key, env)? {
            Value::Null => Ok(None),
            Value::Str(name) => Ok(Some(self.intern(&name, key)?)),
            other => {
                let message = format!("an attribute name must be a string, got {}", other.describe());
                Err(self.error(key, message))
            }
        }
    }

    /// A name that only a `with` may bind, looked up from the innermost.
    pub(super) fn with_variable(&mut self, name: Symbol, level: u32, withs: &[u32], env: EnvId, site: ExprId) -> Fallible<Value> {
        let mut close = None;
        for &with in withs {
            self.burn(1, site)?;
            let thunk = self.variable(env, level - with, 0, site)?;
            match self.force(thunk, site)? {
                Value::Attrs(attrs) => match attrs.get(name) {
                    Some(found) => return self.force(found, site),
                    None => close = close.or_else(|| self.close_name(&attrs, name)),
                },
                other => {
                    let message = format!("'with' needs a set, got {}", other.describe());
                    return Err(self.error(self.heap.origin(thunk), message));
                }
            }
        }
        let hint = close.map(|close| format!("; did you mean '{close}'?")).unwrap_or_default();
        let name = self.program.name(name);
        Err(self.error(site, format!("undefined variable '{name}': no enclosing 'with' binds it{hint}")))
    }

    /// The attribute whose name is nearest to `name`.
    pub(crate) fn close_name(&self, attrs: &Attrs, name: Symbol) -> Option<String> {
        let wanted = self.program.name(name);
        let names: Vec<Rc<str>> = attrs.iter().map(|(name, _)| self.program.name(name)).collect();
        nearest(&wanted, names.iter().map(|name| &**name)).map(str::to_owned)
    }
}
