//! Operators on values.

use hcl_edit::expr::{BinaryOp, BinaryOperator, UnaryOp, UnaryOperator};

use super::eval::{Context, Env, Unit, spend};
use crate::{
    diagnostic::{At, Fallible, Fault},
    value::{Number, Value},
};

pub(crate) fn unary(cx: &Context<'_>, op: &UnaryOp, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Value> {
    let at = unit.at_node(&op.expr);
    match op.operator.value() {
        UnaryOperator::Not => Ok(Value::Bool(!cx.condition(&op.expr, unit, env)?)),
        UnaryOperator::Neg => {
            let value = cx.eval(&op.expr, unit, env)?;
            let negated = match operand(&value, &at)? {
                Number::Int(i) => i.checked_neg().map(Number::Int),
                Number::Float(f) => Number::from_f64(-f),
            };
            negated.map(Value::Number).ok_or_else(|| Fault::new(&at, "this number is too large"))
        }
    }
}

pub(crate) fn binary(cx: &Context<'_>, op: &BinaryOp, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Value> {
    let operator = *op.operator.value();
    match operator {
        // The second side is looked at only where it matters.
        BinaryOperator::And => Ok(Value::Bool(cx.condition(&op.lhs_expr, unit, env)? && cx.condition(&op.rhs_expr, unit, env)?)),
        BinaryOperator::Or => Ok(Value::Bool(cx.condition(&op.lhs_expr, unit, env)? || cx.condition(&op.rhs_expr, unit, env)?)),
        _ => {
            let (left_at, right_at) = (unit.at_node(&op.lhs_expr), unit.at_node(&op.rhs_expr));
            let left = cx.eval(&op.lhs_expr, unit, env)?;
            let right = cx.eval(&op.rhs_expr, unit, env)?;
            match operator {
                BinaryOperator::Eq => spend(&left_at, left.equals(&right, cx.budget)).map(Value::Bool),
                BinaryOperator::NotEq => spend(&left_at, left.equals(&right, cx.budget)).map(|same| Value::Bool(!same)),
                _ => numeric(operator, operand(&left, &left_at)?, operand(&right, &right_at)?, &right_at),
            }
        }
    }
}

fn operand(value: &Value, at: &At) -> Fallible<Number> {
    value.to_number().ok_or_else(|| Fault::new(at, format!("expected a number, found {}", value.describe())))
}

fn numeric(operator: BinaryOperator, a: Number, b: Number, at: &At) -> Fallible<Value> {
    let (x, y) = (a.as_f64(), b.as_f64());
    let ordering = match (a, b) {
        (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
        _ => x.partial_cmp(&y),
    };
    let compared = match operator {
        BinaryOperator::Less => ordering.map(std::cmp::Ordering::is_lt),
        BinaryOperator::LessEq => ordering.map(std::cmp::Ordering::is_le),
        BinaryOperator::Greater => ordering.map(std::cmp::Ordering::is_gt),
        BinaryOperator::GreaterEq => ordering.map(std::cmp::Ordering::is_ge),
        _ => None,
    };
    if let Some(result) = compared {
        return Ok(Value::Bool(result));
    }
    if matches!(operator, BinaryOperator::Div | BinaryOperator::Mod) && y == 0.0 {
        return Err(Fault::new(at, "division by zero"));
    }
    let exact = match (operator, a, b) {
        (BinaryOperator::Plus, Number::Int(a), Number::Int(b)) => a.checked_add(b),
        (BinaryOperator::Minus, Number::Int(a), Number::Int(b)) => a.checked_sub(b),
        (BinaryOperator::Mul, Number::Int(a), Number::Int(b)) => a.checked_mul(b),
        (BinaryOperator::Mod, Number::Int(a), Number::Int(b)) => a.checked_rem(b),
        (BinaryOperator::Div, Number::Int(a), Number::Int(b)) if a.checked_rem(b) == Some(0) => a.checked_div(b),
        _ => None,
    };
    if let Some(int) = exact {
        return Ok(Value::Number(Number::Int(int)));
    }
    let float = match operator {
        BinaryOperator::Plus => x + y,
        BinaryOperator::Minus => x - y,
        BinaryOperator::Mul => x * y,
        BinaryOperator::Div => x / y,
        _ => x % y,
    };
    Number::from_f64(float).map(Value::Number).ok_or_else(|| Fault::new(at, "the result is too large"))
}
