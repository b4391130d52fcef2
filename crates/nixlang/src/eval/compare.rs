//! Equality and order.

use std::cmp::Ordering;
use std::rc::Rc;

use super::Evaluator;
use super::operators::as_float;
use crate::error::Fallible;
use crate::syntax::ExprId;
use crate::value::{Attrs, ThunkId, Value};

impl Evaluator<'_> {
    /// `a == b`: deep; an integer equals the same float; functions equal nothing.
    pub(crate) fn equal(&mut self, a: &Value, b: &Value, site: ExprId) -> Fallible<bool> {
        match (a, b) {
            (Value::Null, Value::Null) => Ok(true),
            (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
            (Value::Int(a), Value::Int(b)) => Ok(a == b),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => Ok(as_float(a) == as_float(b)),
            (Value::Str(a), Value::Str(b)) => {
                self.burn_bulk(a.len().min(b.len()), site)?;
                Ok(a == b)
            }
            (Value::Path(a), Value::Path(b)) => Ok(a == b),
            (Value::List(a), Value::List(b)) => Ok(a.len() == b.len() && self.equal_lists(a, b, site)?),
            (Value::Attrs(a), Value::Attrs(b)) => Ok(a.len() == b.len() && self.equal_sets(a, b, site)?),
            _ => Ok(false),
        }
    }

    fn equal_lists(&mut self, a: &Rc<[ThunkId]>, b: &Rc<[ThunkId]>, site: ExprId) -> Fallible<bool> {
        for (&a, &b) in a.iter().zip(b.iter()) {
            if !self.equal_thunks(a, b, site)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal_sets(&mut self, a: &Attrs, b: &Attrs, site: ExprId) -> Fallible<bool> {
        self.burn_bulk(a.len(), site)?;
        if a.iter().zip(b.iter()).any(|(a, b)| a.0 != b.0) {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b.iter()) {
            if !self.equal_thunks(a.1, b.1, site)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal_thunks(&mut self, a: ThunkId, b: ThunkId, site: ExprId) -> Fallible<bool> {
        self.burn(1, site)?;
        self.nested(site, |evaluator| {
            let (a, b) = (evaluator.force(a, site)?, evaluator.force(b, site)?);
            evaluator.equal(&a, &b, site)
        })
    }

    /// The order of two numbers, strings, paths or lists; none next to NaN.
    pub(crate) fn compare(&mut self, a: &Value, b: &Value, site: ExprId) -> Fallible<Option<Ordering>> {
        match (a, b) {
            (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => Ok(as_float(a).partial_cmp(&as_float(b))),
            (Value::Str(a), Value::Str(b)) => {
                self.burn_bulk(a.len().min(b.len()), site)?;
                Ok(Some(a.cmp(b)))
            }
            (Value::Path(a), Value::Path(b)) => Ok(Some(a.cmp(b))),
            (Value::List(a), Value::List(b)) => self.compare_lists(a, b, site),
            _ => {
                let message = format!("cannot compare {} with {}", a.describe(), b.describe());
                Err(self.error(site, message))
            }
        }
    }

    fn compare_lists(&mut self, a: &[ThunkId], b: &[ThunkId], site: ExprId) -> Fallible<Option<Ordering>> {
        for (&x, &y) in a.iter().zip(b) {
            if self.equal_thunks(x, y, site)? {
                continue;
            }
            return self.nested(site, |evaluator| {
                let (x, y) = (evaluator.force(x, site)?, evaluator.force(y, site)?);
                evaluator.compare(&x, &y, site)
            });
        }
        Ok(Some(a.len().cmp(&b.len())))
    }
}
