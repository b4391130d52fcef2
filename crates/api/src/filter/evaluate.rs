//! Whether an expression is true of an object.

use super::{
    BYTES_PER_STEP, MAX_STEPS, Problem,
    expression::{Base, Expression, Literal, Names, Quantifier, Selector, Test},
    pattern::Pattern,
};
use crate::query::parse_bool;
use serde_json::{Number, Value};

/// Whether `root` (written as `text`) is true of `object`. Every step is taken from `left`.
pub(super) fn holds(root: &Expression, text: &str, object: &Value, left: &mut u64) -> Result<bool, Problem> {
    Evaluation { text, object, frames: Vec::new(), left }.expression(root)
}

/// What a path leads to.
#[derive(Clone, Copy)]
enum Found<'v> {
    Value(&'v Value),
    /// The key of an object, which a body has a name for.
    Key(&'v str),
    /// The index of an element, which a body has a name for.
    Index(usize),
    Nothing,
}

struct Evaluation<'a, 'v> {
    text: &'a str,
    object: &'v Value,
    /// What the names of the bodies around stand for, the outermost first.
    frames: Vec<[Found<'v>; 2]>,
    left: &'a mut u64,
}

impl<'v> Evaluation<'_, 'v> {
    fn expression(&mut self, expression: &Expression) -> Result<bool, Problem> {
        match expression {
            Expression::And(parts) => self.until(parts, false),
            Expression::Or(parts) => self.until(parts, true),
            Expression::Not(inner) => Ok(!self.expression(inner)?),
            Expression::Match { selector, test } => self.test(selector, test),
            Expression::Each { quantifier, over, names, body } => self.each(*quantifier, over, *names, body),
        }
    }

    /// Looks at the parts up to the first that decides.
    fn until(&mut self, parts: &[Expression], decides: bool) -> Result<bool, Problem> {
        for part in parts {
            if self.expression(part)? == decides {
                return Ok(decides);
            }
        }
        Ok(!decides)
    }

    fn each(&mut self, quantifier: Quantifier, over: &Selector, names: Names, body: &Expression) -> Result<bool, Problem> {
        let decides = quantifier == Quantifier::Any;
        let frames: Box<dyn Iterator<Item = [Found<'v>; 2]>> = match (self.find(over), names) {
            (Found::Nothing, _) => return Ok(!decides),
            (Found::Value(Value::Array(items)), Names::One) => Box::new(items.iter().map(|v| [Found::Value(v), Found::Nothing])),
            (Found::Value(Value::Array(items)), Names::Two) => {
                Box::new(items.iter().enumerate().map(|(i, v)| [Found::Index(i), Found::Value(v)]))
            }
            (Found::Value(Value::Object(map)), _) => Box::new(map.iter().map(|(k, v)| [Found::Key(k), Found::Value(v)])),
            (other, _) => return Err(self.misfit(over, other, "any and all want a list or an object")),
        };
        for frame in frames {
            self.spend(1, over)?;
            self.frames.push(frame);
            let holds = self.expression(body);
            self.frames.pop();
            if holds? == decides {
                return Ok(decides);
            }
        }
        Ok(!decides)
    }

    fn test(&mut self, selector: &Selector, test: &Test) -> Result<bool, Problem> {
        let found = self.find(selector);
        self.spend(1 + size(found), selector)?;
        match (test, found) {
            (Test::IsEmpty, Found::Nothing) => Ok(true),
            (_, Found::Nothing) => Ok(false),
            (Test::Equals(literal), found) => self.equals(selector, found, literal),
            (Test::Contains(literal), found) => self.contains(selector, found, literal),
            (Test::IsEmpty, Found::Value(Value::Array(items))) => Ok(items.is_empty()),
            (Test::IsEmpty, Found::Value(Value::Object(map))) => Ok(map.is_empty()),
            (Test::IsEmpty, Found::Value(Value::String(s))) => Ok(s.is_empty()),
            (Test::IsEmpty, Found::Key(s)) => Ok(s.is_empty()),
            (Test::IsEmpty, found) => Err(self.misfit(selector, found, "it is never empty")),
            (Test::Matches(pattern), Found::Value(Value::String(s))) => self.matches(selector, pattern, s),
            (Test::Matches(pattern), Found::Key(s)) => self.matches(selector, pattern, s),
            (Test::Matches(_), found) => Err(self.misfit(selector, found, "matches wants a text")),
        }
    }

    fn equals(&self, selector: &Selector, found: Found<'v>, literal: &Literal) -> Result<bool, Problem> {
        let wrong = |kind: &str| Problem::new(literal.at, format!("{} is {kind}, and {:?} is none", self.written(selector), literal.text));
        match found {
            Found::Value(Value::Bool(b)) => Ok(parse_bool(&literal.text).ok_or_else(|| wrong("a boolean"))? == *b),
            Found::Value(Value::Number(n)) => same_number(n, &literal.text).ok_or_else(|| wrong("a number")),
            Found::Index(i) => same_number(&Number::from(i), &literal.text).ok_or_else(|| wrong("a number")),
            Found::Value(Value::String(s)) => Ok(*s == literal.text),
            Found::Key(s) => Ok(s == literal.text),
            found => Err(self.misfit(selector, found, "use contains, or any with a name for its elements")),
        }
    }

    fn contains(&self, selector: &Selector, found: Found<'v>, literal: &Literal) -> Result<bool, Problem> {
        match found {
            Found::Value(Value::Object(map)) => Ok(map.contains_key(&literal.text)),
            Found::Value(Value::String(s)) => Ok(s.contains(&literal.text)),
            Found::Key(s) => Ok(s.contains(&literal.text)),
            Found::Value(Value::Array(items)) => {
                if items.iter().any(|i| i.is_object() || i.is_array()) {
                    return Err(self.misfit(selector, found, "its elements have parts: use any with a name for them"));
                }
                Ok(items.iter().any(|item| match item {
                    Value::String(s) => *s == literal.text,
                    Value::Number(n) => same_number(n, &literal.text) == Some(true),
                    Value::Bool(b) => parse_bool(&literal.text) == Some(*b),
                    _ => false,
                }))
            }
            found => Err(self.misfit(selector, found, "contains and in want a list, an object or a text")),
        }
    }

    fn matches(&mut self, selector: &Selector, pattern: &Pattern, text: &str) -> Result<bool, Problem> {
        self.spend(pattern.steps(text), selector)?;
        Ok(pattern.is_match(text))
    }

    fn find(&self, selector: &Selector) -> Found<'v> {
        let base = match selector.base {
            Base::Object => Found::Value(self.object),
            Base::Name { depth, second } => {
                self.frames.get(depth).map_or(Found::Nothing, |[first, other]| if second { *other } else { *first })
            }
        };
        let found = selector.path.iter().fold(base, |at, key| {
            let next = match at {
                Found::Value(Value::Object(map)) => map.get(key),
                Found::Value(Value::Array(items)) => key.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => None,
            };
            next.map_or(Found::Nothing, Found::Value)
        });
        if matches!(found, Found::Value(Value::Null)) { Found::Nothing } else { found }
    }

    fn spend(&mut self, steps: u64, selector: &Selector) -> Result<(), Problem> {
        let spent = self.left.checked_sub(steps);
        *self.left = spent.ok_or_else(|| {
            Problem::new(
                selector.span.0,
                format!("the evaluation takes more than {MAX_STEPS} steps; ask for less with prefix or namespace"),
            )
        })?;
        Ok(())
    }

    fn written(&self, selector: &Selector) -> &str {
        self.text.get(selector.span.0..selector.span.1).unwrap_or_default()
    }

    fn misfit(&self, selector: &Selector, found: Found<'v>, hint: &str) -> Problem {
        let kind = match found {
            Found::Value(Value::Bool(_)) => "a boolean",
            Found::Value(Value::Number(_)) | Found::Index(_) => "a number",
            Found::Value(Value::String(_)) | Found::Key(_) => "a text",
            Found::Value(Value::Array(_)) => "a list",
            Found::Value(Value::Object(_)) => "an object",
            Found::Value(Value::Null) | Found::Nothing => "nothing",
        };
        Problem::new(selector.span.0, format!("{} is {kind}: {hint}", self.written(selector)))
    }
}

/// What looking at a value costs beyond the one step of the comparison.
fn size(found: Found<'_>) -> u64 {
    let steps = match found {
        Found::Value(Value::Array(items)) => items.len(),
        Found::Value(Value::String(s)) => s.len() / BYTES_PER_STEP,
        Found::Key(s) => s.len() / BYTES_PER_STEP,
        _ => 0,
    };
    u64::try_from(steps).unwrap_or(u64::MAX)
}

/// Whether `text` is this number; `None` when it is no number at all. Whole numbers are compared exactly.
fn same_number(number: &Number, text: &str) -> Option<bool> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(number.as_i64() == Some(whole) || number.is_f64() && number.as_f64() == text.parse().ok());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(number.as_u64() == Some(whole) || number.is_f64() && number.as_f64() == text.parse().ok());
    }
    let real: f64 = text.parse().ok().filter(|r: &f64| r.is_finite())?;
    Some(number.as_f64() == Some(real))
}
