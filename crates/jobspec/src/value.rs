//! Values of the job language. Collections know how large and how deep they are when written out, so that shared parts cannot
//! be multiplied into something that does not fit: `[x, x]` a hundred times over is refused when it is built.

use std::{collections::BTreeMap, fmt, rc::Rc};

use crate::budget::{Budget, Exhausted, Spent};

/// How deep values may nest.
pub(crate) const MAX_VALUE_DEPTH: usize = 48;

/// A number: exact while it is whole and fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// A finite float; a whole one that an `i64` holds exactly becomes an integer.
    #[allow(clippy::cast_possible_truncation, reason = "the range was checked")]
    pub(crate) fn from_f64(value: f64) -> Option<Self> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !value.is_finite() {
            None
        } else if value.fract() == 0.0 && value.abs() <= EXACT {
            Some(Self::Int(value as i64))
        } else {
            Some(Self::Float(value))
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "floats are what is asked for")]
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Int(i) => i as f64,
            Self::Float(f) => f,
        }
    }
    /// Reads what HCL and JSON write.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(int) = text.parse::<i64>() {
            return Some(Self::Int(int));
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.len() > 400 {
            return None;
        }
        text.parse::<f64>().ok().and_then(Self::from_f64)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(Rc<str>),
    List(Rc<List>),
    Map(Rc<Map>),
}

#[derive(Debug)]
pub(crate) struct List {
    pub(crate) items: Vec<Value>,
    bytes: usize,
    depth: usize,
}

pub(crate) type Entries = BTreeMap<Rc<str>, Value>;

#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) entries: Entries,
    bytes: usize,
    depth: usize,
}

fn nest(depth: usize) -> Spent<usize> {
    if depth >= MAX_VALUE_DEPTH {
        return Err(Exhausted(format!("a value nests deeper than {MAX_VALUE_DEPTH} levels")));
    }
    Ok(depth + 1)
}

impl Value {
    pub(crate) fn text(text: impl Into<Rc<str>>, budget: &Budget) -> Spent<Self> {
        let text: Rc<str> = text.into();
        budget.allocate(text.len())?;
        Ok(Self::Text(text))
    }

    pub(crate) fn list(items: Vec<Value>, budget: &Budget) -> Spent<Self> {
        let bytes = items.iter().fold(2_usize, |sum, item| sum.saturating_add(item.bytes() + 1));
        let depth = nest(items.iter().map(Value::depth).max().unwrap_or(0))?;
        check_size(bytes, budget)?;
        budget.allocate(items.len() * size_of::<Value>())?;
        Ok(Self::List(Rc::new(List { items, bytes, depth })))
    }

    pub(crate) fn map(entries: Entries, budget: &Budget) -> Spent<Self> {
        let bytes = entries.iter().fold(2_usize, |sum, (key, value)| sum.saturating_add(key.len() + value.bytes() + 4));
        let depth = nest(entries.values().map(Value::depth).max().unwrap_or(0))?;
        check_size(bytes, budget)?;
        budget.allocate(entries.len() * (size_of::<Value>() + size_of::<Rc<str>>()))?;
        Ok(Self::Map(Rc::new(Map { entries, bytes, depth })))
    }

    /// Bytes when written out, about as JSON counts them.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 5,
            Self::Number(_) => 8,
            Self::Text(text) => text.len() + 2,
            Self::List(list) => list.bytes,
            Self::Map(map) => map.bytes,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth,
            _ => 0,
        }
    }

    /// How an error calls it: `the text "three"`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(b) => format!("{b}"),
            Self::Number(n) => format!("the number {n}"),
            Self::Text(text) => crate::diagnostic::quoted(text),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }

    /// The text of a scalar, as HCL converts it.
    pub(crate) fn to_text(&self) -> Option<Rc<str>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(n) => Some(n.to_string().into()),
            Self::Bool(b) => Some(if *b { "true" } else { "false" }.into()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The number of a scalar, as HCL converts it.
    pub(crate) fn to_number(&self) -> Option<Number> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Text(text) => Number::parse(text),
            _ => None,
        }
    }

    /// The truth value of a scalar, as HCL converts it.
    pub(crate) fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            Self::Text(text) => match &**text {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// As JSON. The caller has checked the size.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Number(Number::Int(i)) => Json::from(*i),
            Self::Number(Number::Float(f)) => Json::from(*f),
            Self::Text(text) => Json::from(&**text),
            Self::List(list) => Json::Array(list.items.iter().map(Value::to_json).collect()),
            Self::Map(map) => Json::Object(map.entries.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect()),
        }
    }

    /// From JSON, for `jsondecode` and for Nix.
    pub(crate) fn from_json(json: &serde_json::Value, budget: &Budget) -> Spent<Self> {
        use serde_json::Value as Json;
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => match n.as_i64() {
                Some(int) => Self::Number(Number::Int(int)),
                None => n.as_f64().and_then(Number::from_f64).map_or(Self::Null, Self::Number),
            },
            Json::String(text) => Self::text(text.as_str(), budget)?,
            Json::Array(items) => {
                let items = items.iter().map(|item| Self::from_json(item, budget)).collect::<Spent<_>>()?;
                Self::list(items, budget)?
            }
            Json::Object(map) => {
                let entries = map.iter().map(|(k, v)| Ok((k.as_str().into(), Self::from_json(v, budget)?))).collect::<Spent<_>>()?;
                Self::map(entries, budget)?
            }
        })
    }

    /// Equality as `==` has it: no conversion between kinds. The work is counted.
    pub(crate) fn equals(&self, other: &Value, budget: &Budget) -> Spent<bool> {
        budget.work(1 + self.bytes().min(other.bytes()) / 16)?;
        Ok(self.same(other))
    }

    fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                Rc::ptr_eq(a, b) || (a.items.len() == b.items.len() && a.items.iter().zip(&b.items).all(|(x, y)| x.same(y)))
            }
            (Self::Map(a), Self::Map(b)) => {
                Rc::ptr_eq(a, b)
                    || (a.entries.len() == b.entries.len() && a.entries.iter().zip(&b.entries).all(|((k, x), (l, y))| k == l && x.same(y)))
            }
            _ => false,
        }
    }
}

fn check_size(bytes: usize, budget: &Budget) -> Spent<()> {
    if bytes > budget.limits().value_bytes {
        return Err(Exhausted(format!("a value has more than {} bytes, the limit", budget.limits().value_bytes)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn doubling_is_refused_when_it_is_built() {
        let budget = Budget::new(Limits::default());
        let mut value = Value::text("0123456789", &budget).unwrap();
        let mut doublings = 0;
        while let Ok(twice) = Value::list(vec![value.clone(), value.clone()], &budget) {
            value = twice;
            doublings += 1;
        }
        assert!((15..25).contains(&doublings), "{doublings}");
    }

    #[test]
    fn depth_is_bounded() {
        let budget = Budget::new(Limits::default());
        let nested = |depth| (0..depth).try_fold(Value::Null, |inner, _| Value::list(vec![inner], &budget));
        assert!(nested(MAX_VALUE_DEPTH).is_ok());
        assert!(nested(MAX_VALUE_DEPTH + 1).unwrap_err().0.contains("48 levels"));
    }

    #[test]
    fn numbers_are_exact_where_they_can_be() {
        for (text, shown) in [("3", "3"), ("3.0", "3"), ("-0.5", "-0.5"), ("9223372036854775807", "9223372036854775807"), ("1e3", "1000")] {
            assert_eq!(Number::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "three", "inf", "NaN", "1e999", "0x10", " 1"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }
}
