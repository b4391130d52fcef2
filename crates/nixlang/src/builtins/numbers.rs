//! Arithmetic as functions.

use super::{Builtin, Call, builtin};
use crate::error::Fallible;
use crate::eval::{Arithmetic, Evaluator};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Builtin] = &[
    builtin("builtins.add", 2, |evaluator, call| arithmetic(evaluator, call, Arithmetic::Add)),
    builtin("builtins.sub", 2, |evaluator, call| arithmetic(evaluator, call, Arithmetic::Sub)),
    builtin("builtins.mul", 2, |evaluator, call| arithmetic(evaluator, call, Arithmetic::Mul)),
    builtin("builtins.div", 2, |evaluator, call| arithmetic(evaluator, call, Arithmetic::Div)),
    builtin("builtins.lessThan", 2, less_than),
    builtin("builtins.bitAnd", 2, |evaluator, call| bits(evaluator, call, |a, b| a & b)),
    builtin("builtins.bitOr", 2, |evaluator, call| bits(evaluator, call, |a, b| a | b)),
    builtin("builtins.bitXor", 2, |evaluator, call| bits(evaluator, call, |a, b| a ^ b)),
    builtin("builtins.floor", 1, |evaluator, call| round(evaluator, call, f64::floor)),
    builtin("builtins.ceil", 1, |evaluator, call| round(evaluator, call, f64::ceil)),
];

fn arithmetic(evaluator: &mut Evaluator<'_>, call: &Call<'_>, operation: Arithmetic) -> Fallible<Value> {
    let a = call.value(evaluator, 0)?;
    let b = call.value(evaluator, 1)?;
    evaluator.arithmetic(operation, &a, &b, call.site)
}

fn less_than(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let a = call.value(evaluator, 0)?;
    let b = call.value(evaluator, 1)?;
    Ok(Value::Bool(evaluator.compare(&a, &b, call.site)? == Some(std::cmp::Ordering::Less)))
}

fn bits(evaluator: &mut Evaluator<'_>, call: &Call<'_>, operation: fn(i64, i64) -> i64) -> Fallible<Value> {
    let a = call.int(evaluator, 0)?;
    Ok(Value::Int(operation(a, call.int(evaluator, 1)?)))
}

fn round(evaluator: &mut Evaluator<'_>, call: &Call<'_>, operation: fn(f64) -> f64) -> Fallible<Value> {
    let float = match call.value(evaluator, 0)? {
        Value::Int(int) => return Ok(Value::Int(int)),
        Value::Float(float) => operation(float),
        other => return Err(call.wrong_type(evaluator, 0, "a number", &other)),
    };
    match float_to_int(float) {
        Some(int) => Ok(Value::Int(int)),
        None => Err(call.error(evaluator, format!("{float:e} does not fit into an integer"))),
    }
}

/// A whole float as an integer, if it is in range.
#[allow(clippy::cast_possible_truncation)] // the range is checked: -2^63 <= float < 2^63
fn float_to_int(float: f64) -> Option<i64> {
    const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
    (-TWO_POW_63..TWO_POW_63).contains(&float).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_the_range() {
        assert_eq!(float_to_int(-9_223_372_036_854_775_808.0), Some(i64::MIN));
        assert_eq!(float_to_int(9_223_372_036_854_775_808.0), None);
        assert_eq!(float_to_int(f64::NAN), None);
        assert_eq!(float_to_int(f64::INFINITY), None);
    }
}
