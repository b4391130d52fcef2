//! Data with places: what JSON text and evaluated Nix have in common.

use std::rc::Rc;

use crate::{
    diagnostic::{At, Fallible},
    hcl::eval::{Context, Env, spend},
    value::{Entries, Number, Value},
};

#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) at: At,
    pub(crate) node: Node,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(Rc<str>),
    List(Vec<Data>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Rc<str>,
    pub(crate) key_at: At,
    pub(crate) value: Data,
}

/// How text in data is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strings {
    /// As templates: HCL's JSON form.
    Templates,
    /// As they are: Nix has its own interpolation.
    Verbatim,
}

impl Data {
    pub(crate) fn get(&self, key: &str) -> Option<&Data> {
        match &self.node {
            Node::Map(entries) => entries.iter().find(|e| &*e.key == key).map(|e| &e.value),
            _ => None,
        }
    }

    /// How an error calls it.
    pub(crate) fn describe(&self) -> String {
        match &self.node {
            Node::Null => "null".to_owned(),
            Node::Bool(b) => b.to_string(),
            Node::Number(n) => format!("the number {n}"),
            Node::Text(text) => crate::diagnostic::quoted(text),
            Node::List(_) => "a list".to_owned(),
            Node::Map(_) => "a map".to_owned(),
        }
    }

    /// The value, with templates filled in where `strings` says so.
    pub(crate) fn eval(&self, cx: &Context<'_>, strings: Strings, env: &Env<'_>) -> Fallible<Value> {
        spend(&self.at, cx.budget.work(1))?;
        match &self.node {
            Node::Null => Ok(Value::Null),
            Node::Bool(b) => Ok(Value::Bool(*b)),
            Node::Number(n) => Ok(Value::Number(*n)),
            Node::Text(text) if strings == Strings::Templates && (text.contains("${") || text.contains("%{")) => {
                self.template(text, cx, env)
            }
            Node::Text(text) => cx.text(text.clone(), &self.at),
            Node::List(items) => {
                let items = items.iter().map(|item| item.eval(cx, strings, env)).collect::<Fallible<Vec<_>>>()?;
                spend(&self.at, Value::list(items, cx.budget))
            }
            Node::Map(entries) => {
                let mut map = Entries::new();
                for entry in entries {
                    map.insert(entry.key.clone(), entry.value.eval(cx, strings, env)?);
                }
                spend(&self.at, Value::map(map, cx.budget))
            }
        }
    }

    fn template(&self, text: &str, cx: &Context<'_>, env: &Env<'_>) -> Fallible<Value> {
        let (source, fixed) = match self.at {
            At::Text(span) => (span.source, Some(span)),
            At::Path(_) | At::File(_) => (0, None),
        };
        let unit = crate::hcl::eval::Unit { source, text, fixed };
        spend(&self.at, cx.budget.work(text.len()))?;
        let template = crate::hcl::parse_template(text, source).map_err(|mut fault| {
            fault.at = self.at.clone();
            fault
        })?;
        crate::hcl::template::quoted(cx, &template, unit, env, &self.at)
    }

    /// As JSON, without templates.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.node {
            Node::Null => Json::Null,
            Node::Bool(b) => Json::Bool(*b),
            Node::Number(Number::Int(i)) => Json::from(*i),
            Node::Number(Number::Float(f)) => Json::from(*f),
            Node::Text(text) => Json::from(&**text),
            Node::List(items) => Json::Array(items.iter().map(Data::to_json).collect()),
            Node::Map(entries) => Json::Object(entries.iter().map(|e| (e.key.to_string(), e.value.to_json())).collect()),
        }
    }
}
