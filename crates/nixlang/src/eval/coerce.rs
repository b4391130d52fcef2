//! Values to strings: strictly in `"${x}"` and `+`, freely in `toString`.

use std::rc::Rc;

use super::Evaluator;
use crate::error::{ErrorKind, Failure, Fallible};
use crate::files::{NixPath, PathError};
use crate::syntax::{ExprId, Part};
use crate::value::{EnvId, ThunkId, Value};

/// As Nix prints floats in `toString`: six digits after the point.
pub(crate) fn format_float(float: f64) -> String {
    format!("{float:.6}")
}

impl Evaluator<'_> {
    pub(super) fn interpolate(&mut self, parts: &[Part], env: EnvId, site: ExprId) -> Fallible<Value> {
        let text = self.join_parts(parts, env, site)?;
        Ok(Value::Str(text.into()))
    }

    fn join_parts(&mut self, parts: &[Part], env: EnvId, site: ExprId) -> Fallible<String> {
        let mut pieces = Vec::with_capacity(parts.len());
        let mut bytes = 0;
        for part in parts {
            let piece = match part {
                Part::Text(text) => Rc::clone(text),
                Part::Expr(expr) => {
                    let value = self.eval(*expr, env)?;
                    self.coerce_strict(value, *expr)?
                }
            };
            bytes += piece.len();
            pieces.push(piece);
        }
        self.charge_string(bytes, site)?;
        Ok(pieces.concat())
    }

    pub(super) fn join_path(&mut self, folder: &NixPath, parts: &[Part], env: EnvId, site: ExprId) -> Fallible<Value> {
        let text = self.join_parts(parts, env, site)?;
        let path = folder.join(&text).map_err(|error| self.bad_path(site, &error))?;
        Ok(Value::Path(Rc::new(path)))
    }

    pub(crate) fn bad_path(&self, site: ExprId, error: &PathError) -> Box<Failure> {
        Failure::new(ErrorKind::File, self.span(site), error.to_string())
    }

    /// A string, or a set that says how it becomes one.
    pub(crate) fn coerce_strict(&mut self, value: Value, site: ExprId) -> Fallible<Rc<str>> {
        match value {
            Value::Str(text) => Ok(text),
            Value::Attrs(_) => match self.string_of_set(&value, site)? {
                Some(inner) => self.nested(site, |evaluator| evaluator.coerce_strict(inner, site)),
                None => Err(self.not_a_string(&value, site)),
            },
            Value::Path(path) => {
                let message = format!(
                    "the path '{path}' cannot become a string here: Nix would copy it into its store; \
                     use builtins.readFile for its text"
                );
                Err(Failure::new(ErrorKind::Unsupported, self.span(site), message))
            }
            other => Err(self.not_a_string(&other, site)),
        }
    }

    fn not_a_string(&self, value: &Value, site: ExprId) -> Box<Failure> {
        let hint = match value {
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => ": use toString",
            Value::Attrs(_) => " without 'outPath' or '__toString'",
            _ => "",
        };
        self.error(site, format!("expected a string, got {}{hint}", value.describe()))
    }

    /// What `__toString` or `outPath` of a set gives.
    pub(crate) fn string_of_set(&mut self, value: &Value, site: ExprId) -> Fallible<Option<Value>> {
        let Value::Attrs(attrs) = value else {
            return Ok(None);
        };
        let named = |name: &str| self.program.lookup(name).and_then(|name| attrs.get(name));
        let (to_string, out_path) = (named("__toString"), named("outPath"));
        if let Some(function) = to_string {
            let this = self.done(value.clone(), site)?;
            return Ok(Some(self.call_with(function, &[this], site)?));
        }
        out_path.map(|thunk| self.force(thunk, site)).transpose()
    }

    /// `toString`: numbers, Booleans (`1` and nothing), null and lists as well.
    pub(crate) fn coerce_free(&mut self, value: Value, site: ExprId) -> Fallible<Rc<str>> {
        match value {
            Value::Null | Value::Bool(false) => Ok("".into()),
            Value::Bool(true) => Ok("1".into()),
            Value::Int(int) => Ok(int.to_string().into()),
            Value::Float(float) => Ok(format_float(float).into()),
            Value::List(items) => self.nested(site, |evaluator| evaluator.coerce_list(&items, site)),
            Value::Attrs(_) => match self.string_of_set(&value, site)? {
                Some(inner) => self.nested(site, |evaluator| evaluator.coerce_free(inner, site)),
                None => Err(self.not_a_string(&value, site)),
            },
            other => self.coerce_strict(other, site),
        }
    }

    fn coerce_list(&mut self, items: &[ThunkId], site: ExprId) -> Fallible<Rc<str>> {
        let mut text = String::new();
        for (index, &item) in items.iter().enumerate() {
            let value = self.force(item, site)?;
            // Nix puts no space after an empty list.
            let is_empty_list = matches!(&value, Value::List(inner) if inner.is_empty());
            let piece = self.coerce_free(value, site)?;
            self.charge_string(piece.len() + 1, site)?;
            text.push_str(&piece);
            if index + 1 < items.len() && !is_empty_list {
                text.push(' ');
            }
        }
        self.charge_string(text.len(), site)?;
        Ok(text.into())
    }
}
