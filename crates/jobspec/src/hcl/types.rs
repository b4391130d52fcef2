//! Type constraints of variables, and conversion to them as HCL does it.

use std::{collections::BTreeMap, fmt, rc::Rc};

use hcl_edit::expr::{Expression, ObjectKey};

use super::eval::Unit;
use crate::{
    budget::{Budget, Failure},
    diagnostic::{Fallible, Fault},
    value::{Entries, Value},
};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Any,
    Text,
    Number,
    Bool,
    List(Box<Type>),
    Set(Box<Type>),
    Map(Box<Type>),
    /// Attributes; true for one that may be absent.
    Object(BTreeMap<Rc<str>, (Type, bool)>),
    Tuple(Vec<Type>),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => f.write_str("any"),
            Type::Text => f.write_str("string"),
            Type::Number => f.write_str("number"),
            Type::Bool => f.write_str("bool"),
            Type::List(t) => write!(f, "list({t})"),
            Type::Set(t) => write!(f, "set({t})"),
            Type::Map(t) => write!(f, "map({t})"),
            Type::Object(_) => f.write_str("object"),
            Type::Tuple(_) => f.write_str("tuple"),
        }
    }
}

const EXPECTED: &str = "expected a type: string, number, bool, any, list(...), set(...), map(...), object({...}) or tuple([...])";

/// Reads the right side of `type = ...`.
pub(crate) fn parse(expression: &Expression, unit: Unit<'_>) -> Fallible<Type> {
    let fault = || Fault::new(&unit.at_node(expression), EXPECTED);
    match expression {
        Expression::Variable(name) => match name.as_str() {
            "string" => Ok(Type::Text),
            "number" => Ok(Type::Number),
            "bool" => Ok(Type::Bool),
            "any" => Ok(Type::Any),
            "list" => Ok(Type::List(Box::new(Type::Any))),
            "set" => Ok(Type::Set(Box::new(Type::Any))),
            "map" => Ok(Type::Map(Box::new(Type::Any))),
            _ => Err(fault()),
        },
        Expression::FuncCall(call) => match (call.name.name.as_str(), call.args.get(0), call.args.len()) {
            ("list", Some(inner), 1) => Ok(Type::List(Box::new(parse(inner, unit)?))),
            ("set", Some(inner), 1) => Ok(Type::Set(Box::new(parse(inner, unit)?))),
            ("map", Some(inner), 1) => Ok(Type::Map(Box::new(parse(inner, unit)?))),
            ("tuple", Some(Expression::Array(items)), 1) => {
                Ok(Type::Tuple(items.iter().map(|item| parse(item, unit)).collect::<Fallible<_>>()?))
            }
            ("object", Some(Expression::Object(object)), 1) => {
                let mut fields = BTreeMap::new();
                for (key, value) in object.iter() {
                    let name: Rc<str> = match key {
                        ObjectKey::Ident(name) => name.as_str().into(),
                        ObjectKey::Expression(Expression::String(name)) => name.as_str().into(),
                        ObjectKey::Expression(_) => return Err(fault()),
                    };
                    fields.insert(name, field(value.expr(), unit)?);
                }
                Ok(Type::Object(fields))
            }
            _ => Err(fault()),
        },
        _ => Err(fault()),
    }
}

fn field(expression: &Expression, unit: Unit<'_>) -> Fallible<(Type, bool)> {
    if let Expression::FuncCall(call) = expression
        && call.name.name.as_str() == "optional"
        && let (Some(inner), 1) = (call.args.get(0), call.args.len())
    {
        return Ok((parse(inner, unit)?, true));
    }
    Ok((parse(expression, unit)?, false))
}

impl Type {
    /// The type that a variable has by its default: HCL converts what is given to the same scalar.
    pub(crate) fn of(value: &Value) -> Type {
        match value {
            Value::Text(_) => Type::Text,
            Value::Number(_) => Type::Number,
            Value::Bool(_) => Type::Bool,
            Value::Null | Value::List(_) | Value::Map(_) => Type::Any,
        }
    }

    /// The value as this type; `null` fits every type.
    pub(crate) fn convert(&self, value: &Value, budget: &Budget) -> Result<Value, Failure> {
        budget.work(1)?;
        let wrong = |expected: &str| Err(Failure::Message(format!("expected {expected}, found {}", value.describe())));
        match (self, value) {
            (_, Value::Null) | (Type::Any, _) => Ok(value.clone()),
            (Type::Text, _) => value.to_text().map_or_else(|| wrong("text"), |text| Ok(Value::Text(text))),
            (Type::Number, _) => value.to_number().map_or_else(|| wrong("a number"), |n| Ok(Value::Number(n))),
            (Type::Bool, _) => value.to_bool().map_or_else(|| wrong("true or false"), |b| Ok(Value::Bool(b))),
            (Type::List(inner), Value::List(list)) => {
                let items = convert_items(&list.items, |_| Some(&**inner), budget)?;
                Ok(Value::list(items, budget)?)
            }
            (Type::Set(inner), Value::List(list)) => {
                let items = convert_items(&list.items, |_| Some(&**inner), budget)?;
                Ok(Value::list(crate::functions::collections::distinct(items, budget)?, budget)?)
            }
            (Type::Tuple(types), Value::List(list)) => {
                if types.len() != list.items.len() {
                    return Err(format!("expected {} elements, found {}", types.len(), list.items.len()).into());
                }
                Ok(Value::list(convert_items(&list.items, |i| types.get(i), budget)?, budget)?)
            }
            (Type::Map(inner), Value::Map(map)) => {
                let mut entries = Entries::new();
                for (key, item) in &map.entries {
                    entries.insert(key.clone(), inner.convert(item, budget).map_err(|e| e.within(key))?);
                }
                Ok(Value::map(entries, budget)?)
            }
            (Type::Object(fields), Value::Map(map)) => {
                let mut entries = Entries::new();
                for (name, (kind, optional)) in fields {
                    let value = match map.entries.get(name) {
                        Some(item) => kind.convert(item, budget).map_err(|e| e.within(name))?,
                        None if *optional => Value::Null,
                        None => return Err(format!("the attribute {name} is missing").into()),
                    };
                    entries.insert(name.clone(), value);
                }
                Ok(Value::map(entries, budget)?)
            }
            (Type::List(_) | Type::Set(_) | Type::Tuple(_), _) => wrong("a list"),
            (Type::Map(_) | Type::Object(_), _) => wrong("a map"),
        }
    }
}

fn convert_items<'t>(items: &[Value], kind: impl Fn(usize) -> Option<&'t Type>, budget: &Budget) -> Result<Vec<Value>, Failure> {
    items
        .iter()
        .enumerate()
        .map(|(i, item)| kind(i).unwrap_or(&Type::Any).convert(item, budget).map_err(|e| e.within(&format!("element {i}"))))
        .collect()
}
