//! Operators. Integer arithmetic is checked: an overflow is an error, where old
//! releases of Nix wrap around.

use std::cmp::Ordering;
use std::rc::Rc;

use super::Evaluator;
use crate::error::Fallible;
use crate::syntax::{BinaryOp, ExprId};
use crate::value::{EnvId, Value};

/// The arithmetic that operators and built-in functions share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

impl Arithmetic {
    fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Sub => '-',
            Self::Mul => '*',
            Self::Div => '/',
        }
    }

    fn ints(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Sub => a.checked_sub(b),
            Self::Mul => a.checked_mul(b),
            Self::Div => a.checked_div(b),
        }
    }

    fn floats(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
        }
    }
}

/// The value as a float, if it is a number.
#[allow(clippy::cast_precision_loss)] // as Nix: integers above 2^53 lose digits next to a float
pub(crate) fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

impl Evaluator<'_> {
    pub(super) fn negate(&mut self, operand: ExprId, env: EnvId, site: ExprId) -> Fallible<Value> {
        match self.eval(operand, env)? {
            Value::Float(float) => Ok(Value::Float(-float)),
            Value::Int(int) => match int.checked_neg() {
                Some(negated) => Ok(Value::Int(negated)),
                None => Err(self.error(site, format!("integer overflow in -({int})"))),
            },
            other => Err(self.error(operand, format!("expected a number to negate, got {}", other.describe()))),
        }
    }

    pub(super) fn binary(&mut self, operator: BinaryOp, left: ExprId, right: ExprId, env: EnvId, site: ExprId) -> Fallible<Value> {
        match operator {
            BinaryOp::And => Ok(Value::Bool(self.eval_bool(left, env)? && self.eval_bool(right, env)?)),
            BinaryOp::Or => Ok(Value::Bool(self.eval_bool(left, env)? || self.eval_bool(right, env)?)),
            BinaryOp::Implies => Ok(Value::Bool(!self.eval_bool(left, env)? || self.eval_bool(right, env)?)),
            _ => {
                let a = self.eval(left, env)?;
                let b = self.eval(right, env)?;
                self.strict(operator, a, b, site)
            }
        }
    }

    fn strict(&mut self, operator: BinaryOp, a: Value, b: Value, site: ExprId) -> Fallible<Value> {
        match operator {
            BinaryOp::Add => self.add(a, b, site),
            BinaryOp::Sub => self.arithmetic(Arithmetic::Sub, &a, &b, site),
            BinaryOp::Mul => self.arithmetic(Arithmetic::Mul, &a, &b, site),
            BinaryOp::Div => self.arithmetic(Arithmetic::Div, &a, &b, site),
            BinaryOp::Concat => self.concat(&a, &b, site),
            BinaryOp::Update => self.update(a, b, site),
            BinaryOp::Equal => Ok(Value::Bool(self.equal(&a, &b, site)?)),
            BinaryOp::NotEqual => Ok(Value::Bool(!self.equal(&a, &b, site)?)),
            BinaryOp::Less => Ok(Value::Bool(self.compare(&a, &b, site)? == Some(Ordering::Less))),
            BinaryOp::More => Ok(Value::Bool(self.compare(&a, &b, site)? == Some(Ordering::Greater))),
            // As in Nix: `a <= b` is `!(b < a)`, which matters for NaN only.
            BinaryOp::LessOrEqual => Ok(Value::Bool(self.compare(&a, &b, site)? != Some(Ordering::Greater))),
            BinaryOp::MoreOrEqual => Ok(Value::Bool(self.compare(&a, &b, site)? != Some(Ordering::Less))),
            BinaryOp::And | BinaryOp::Or | BinaryOp::Implies => Err(self.error(site, "a Boolean operator was not followed")),
        }
    }

    fn add(&mut self, a: Value, b: Value, site: ExprId) -> Fallible<Value> {
        match (&a, &b) {
            (Value::Path(path), Value::Str(text)) => {
                let joined = path.concat(text).map_err(|error| self.bad_path(site, &error))?;
                Ok(Value::Path(Rc::new(joined)))
            }
            (Value::Path(_), Value::Path(_)) => Err(self.error(site, "two paths cannot be added: add a string")),
            (Value::Str(_) | Value::Attrs(_), _) | (_, Value::Str(_) | Value::Attrs(_)) => {
                let left = self.coerce_strict(a, site)?;
                let right = self.coerce_strict(b, site)?;
                self.charge_string(left.len() + right.len(), site)?;
                Ok(Value::Str([&*left, &*right].concat().into()))
            }
            _ => self.arithmetic(Arithmetic::Add, &a, &b, site),
        }
    }

    /// Integers stay integers; with a float on either side the result is a float.
    pub(crate) fn arithmetic(&mut self, operation: Arithmetic, a: &Value, b: &Value, site: ExprId) -> Fallible<Value> {
        let (Some(x), Some(y)) = (as_float(a), as_float(b)) else {
            let (sign, a, b) = (operation.sign(), a.describe(), b.describe());
            return Err(self.error(site, format!("'{sign}' needs two numbers, got {a} and {b}")));
        };
        if operation == Arithmetic::Div && y == 0.0 {
            return Err(self.error(site, "division by zero"));
        }
        match (a, b) {
            (Value::Int(a), Value::Int(b)) => match operation.ints(*a, *b) {
                Some(result) => Ok(Value::Int(result)),
                None => Err(self.error(site, format!("integer overflow in {a} {} {b}", operation.sign()))),
            },
            _ => Ok(Value::Float(operation.floats(x, y))),
        }
    }

    fn concat(&mut self, a: &Value, b: &Value, site: ExprId) -> Fallible<Value> {
        let (Value::List(left), Value::List(right)) = (a, b) else {
            let message = format!("'++' needs two lists, got {} and {}", a.describe(), b.describe());
            return Err(self.error(site, message));
        };
        if left.is_empty() {
            return Ok(b.clone());
        }
        if right.is_empty() {
            return Ok(a.clone());
        }
        self.charge_len(left.len() + right.len(), site)?;
        Ok(Value::List(left.iter().chain(right.iter()).copied().collect()))
    }

    fn update(&mut self, a: Value, b: Value, site: ExprId) -> Fallible<Value> {
        let (Value::Attrs(left), Value::Attrs(right)) = (&a, &b) else {
            let message = format!("'//' needs two sets, got {} and {}", a.describe(), b.describe());
            return Err(self.error(site, message));
        };
        if right.len() == 0 {
            return Ok(a);
        }
        if left.len() == 0 {
            return Ok(b);
        }
        self.charge_len(left.len() + right.len(), site)?;
        Ok(Value::Attrs(Rc::new(left.update(right))))
    }
}
