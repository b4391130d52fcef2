//! Functions on numbers.

use super::{Call, Done, Failure, Function, function};
use crate::value::{Number, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function("abs", 1, 1, |c| match c.number(0)? {
        Number::Int(i) => float_or(i.checked_abs(), c.number(0)?.as_f64().abs()),
        Number::Float(f) => finite(f.abs()),
    }),
    function("ceil", 1, 1, |c| finite(c.number(0)?.as_f64().ceil())),
    function("floor", 1, 1, |c| finite(c.number(0)?.as_f64().floor())),
    function("log", 2, 2, |c| finite(c.number(0)?.as_f64().ln() / c.number(1)?.as_f64().ln())),
    function("max", 1, super::ANY, |c| extreme(c, std::cmp::Ordering::Greater)),
    function("min", 1, super::ANY, |c| extreme(c, std::cmp::Ordering::Less)),
    function("parseint", 2, 2, parse_int),
    function("pow", 2, 2, pow),
    function("signum", 1, 1, |c| {
        let number = c.number(0)?.as_f64();
        Ok(Value::Number(Number::Int(i64::from(number > 0.0) - i64::from(number < 0.0))))
    }),
];

fn finite(value: f64) -> Done {
    Number::from_f64(value).map(Value::Number).ok_or_else(|| Failure::from("the result is too large, or no number"))
}

fn float_or(int: Option<i64>, float: f64) -> Done {
    int.map_or_else(|| finite(float), |i| Ok(Value::Number(Number::Int(i))))
}

fn extreme(c: &Call<'_>, wanted: std::cmp::Ordering) -> Done {
    let mut best = c.number(0)?;
    for i in 1..c.len() {
        let number = c.number(i)?;
        let ordering = match (number, best) {
            (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
            _ => number.as_f64().partial_cmp(&best.as_f64()),
        };
        if ordering == Some(wanted) {
            best = number;
        }
    }
    Ok(Value::Number(best))
}

fn pow(c: &Call<'_>) -> Done {
    if let (Number::Int(base), Number::Int(exponent)) = (c.number(0)?, c.number(1)?)
        && let Ok(exponent) = u32::try_from(exponent)
        && let Some(int) = base.checked_pow(exponent)
    {
        return Ok(Value::Number(Number::Int(int)));
    }
    finite(c.number(0)?.as_f64().powf(c.number(1)?.as_f64()))
}

fn parse_int(c: &Call<'_>) -> Done {
    let (text, base) = (c.text(0)?, c.int(1)?);
    let Some(base) = u32::try_from(base).ok().filter(|b| (2..=36).contains(b)) else {
        return Err("the base must be 2 to 36".into());
    };
    match i64::from_str_radix(&text, base) {
        Ok(int) => Ok(Value::Number(Number::Int(int))),
        Err(_) => Err(format!("{} is no whole number of base {base}", crate::diagnostic::quoted(&text)).into()),
    }
}
