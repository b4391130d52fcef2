//! Data (JSON, Nix) to the tree: the schema says which keys are blocks and which are attributes.

use std::{collections::BTreeMap, rc::Rc};

use crate::{
    data::{Data, Entry, Node, Strings},
    diagnostic::{At, Fallible, Fault, Faults},
    hcl::{
        body::{Preamble, declare, iterator_value, label_values, settle},
        eval::{Context, Env, Unit, pairs, spend},
        scope::Code,
        types::{self, Type},
        variables::{Declaration, Rule},
    },
    schema::{Child, Label, Schema},
    tree::{self, Attribute, Block, Body},
};

pub(crate) struct Reader<'r, 'a> {
    pub(crate) cx: &'r Context<'a>,
    pub(crate) strings: Strings,
    pub(crate) faults: &'r mut Faults,
}

/// HCL's JSON form has comments under this key.
const COMMENT: &str = "//";

impl Reader<'_, '_> {
    /// An object as the inside of a block.
    pub(crate) fn body(&mut self, schema: &Schema, entries: &[Entry], at: &At, env: &Env<'_>) -> Body {
        let mut out = Body::new(at.clone());
        for entry in entries {
            if self.faults.is_fatal() {
                break;
            }
            let done = match (schema.child(&entry.key), &*entry.key) {
                (_, COMMENT) if self.strings == Strings::Templates => Ok(()),
                (Some(child), _) => self.blocks(child, entry, env, &mut out),
                (None, "dynamic") if self.strings == Strings::Templates => self.dynamic(schema, entry, env, &mut out),
                (None, _) => self.attribute(schema, entry, env, &mut out),
            };
            if let Err(fault) = done {
                self.faults.push(fault);
            }
        }
        out
    }

    fn attribute(&mut self, schema: &Schema, entry: &Entry, env: &Env<'_>, out: &mut Body) -> Fallible<()> {
        let is_map = schema.attr(&entry.key).is_some_and(|a| a.kind.is_map());
        // A map that HCL writes as a block may come as a list of one.
        let data = match &entry.value.node {
            Node::List(items) if is_map => match items.as_slice() {
                [one] => one,
                _ => &entry.value,
            },
            _ => &entry.value,
        };
        let value = data.eval(self.cx, self.strings, env)?;
        spend(&data.at, self.cx.budget.output(value.bytes() + entry.key.len()))?;
        let (name, name_at, value_at) = (entry.key.clone(), entry.key_at.clone(), data.at.clone());
        out.attributes.push(Attribute { name, name_at, value, value_at });
        Ok(())
    }

    fn blocks(&mut self, child: &Child, entry: &Entry, env: &Env<'_>, out: &mut Body) -> Fallible<()> {
        self.block_values(child, &entry.key_at, &entry.value, env, out)
    }

    fn block_values(&mut self, child: &Child, key_at: &At, value: &Data, env: &Env<'_>, out: &mut Body) -> Fallible<()> {
        match (&value.node, child.label) {
            (Node::Null, _) => Ok(()),
            (Node::List(items), _) => {
                for item in items {
                    if matches!(item.node, Node::List(_)) {
                        return Err(self.no_block(child, item));
                    }
                    self.block_values(child, &item.at, item, env, out)?;
                }
                Ok(())
            }
            (Node::Map(entries), Label::None) => self.block(child, key_at, Vec::new(), entries, env, out),
            (Node::Map(labels), _) => {
                for label in labels {
                    if &*label.key == COMMENT && self.strings == Strings::Templates {
                        continue;
                    }
                    self.labelled(child, label, env, out)?;
                }
                Ok(())
            }
            _ => Err(self.no_block(child, value)),
        }
    }

    fn labelled(&mut self, child: &Child, entry: &Entry, env: &Env<'_>, out: &mut Body) -> Fallible<()> {
        let bodies: &[Data] = match &entry.value.node {
            Node::List(items) => items,
            Node::Null => &[],
            _ => std::slice::from_ref(&entry.value),
        };
        for data in bodies {
            let Node::Map(entries) = &data.node else { return Err(self.no_block(child, data)) };
            let label = tree::Label { text: entry.key.clone(), at: entry.key_at.clone() };
            self.block(child, &entry.key_at, vec![label], entries, env, out)?;
        }
        Ok(())
    }

    fn no_block(&self, child: &Child, data: &Data) -> Box<Fault> {
        let form = match child.label {
            Label::None => "a map, or a list of maps",
            _ => "a map of names to maps",
        };
        Fault::new(&data.at, format!("{}: expected {form}, found {}", child.name, data.describe()))
    }

    fn block(
        &mut self,
        child: &Child,
        at: &At,
        labels: Vec<tree::Label>,
        entries: &[Entry],
        env: &Env<'_>,
        out: &mut Body,
    ) -> Fallible<()> {
        spend(at, self.cx.budget.block())?;
        let body = self.body(child.schema, entries, at, env);
        out.blocks.push(Block { kind: child.name.into(), kind_at: at.clone(), labels, body });
        Ok(())
    }

    fn dynamic(&mut self, schema: &Schema, entry: &Entry, env: &Env<'_>, out: &mut Body) -> Fallible<()> {
        let form = || Fault::new(&entry.key_at, "dynamic is written {\"block\": {\"for_each\": [...], \"content\": {...}}}");
        let Node::Map(kinds) = &entry.value.node else { return Err(form()) };
        for kind in kinds {
            let Some(child) = schema.child(&kind.key) else {
                return Err(Fault::new(&kind.key_at, format!("unknown block {}", kind.key)));
            };
            let parts = match &kind.value.node {
                Node::List(items) => items.as_slice(),
                _ => std::slice::from_ref(&kind.value),
            };
            for part in parts {
                self.expand(child, kind, part, env, out)?;
            }
        }
        Ok(())
    }

    fn expand(&mut self, child: &Child, kind: &Entry, part: &Data, env: &Env<'_>, out: &mut Body) -> Fallible<()> {
        let at = &kind.key_at;
        let (Some(for_each), Some(content)) = (part.get("for_each"), part.get("content")) else {
            return Err(Fault::new(at, "a dynamic block needs for_each and content"));
        };
        let Node::Map(entries) = &content.node else { return Err(self.no_block(child, content)) };
        let iterator: Rc<str> = match part.get("iterator").map(|i| &i.node) {
            None => kind.key.clone(),
            Some(Node::Text(name)) => name.clone(),
            Some(_) => return Err(Fault::new(at, "iterator must be a name")),
        };
        let collection = for_each.eval(self.cx, self.strings, env)?;
        for (key, value) in pairs(&collection, &for_each.at)? {
            if self.faults.is_fatal() {
                break;
            }
            let names = [(&*iterator, iterator_value(self.cx, key, value).map_err(|e| e.at(at))?)];
            let inner = env.with(&names);
            let labels = match part.get("labels") {
                None => Vec::new(),
                Some(labels) => label_values(&labels.eval(self.cx, self.strings, &inner)?, &labels.at)?,
            };
            self.block(child, at, labels, entries, &inner, out)?;
        }
        Ok(())
    }
}

/// Splits a JSON job file into variables and locals, and the rest.
pub(crate) fn preamble<'a>(cx: &Context<'_>, file: &'a [Entry], faults: &mut Faults) -> (Preamble<'a>, Vec<&'a Entry>) {
    let mut out = Preamble { declarations: Vec::new(), locals: BTreeMap::new() };
    let mut rest = Vec::new();
    for entry in file {
        let result = match &*entry.key {
            "variable" => declarations(cx, entry, &mut out, faults),
            "variables" => shorthand(cx, entry, &mut out, faults),
            "locals" => locals(entry, &mut out),
            _ => {
                rest.push(entry);
                Ok(())
            }
        };
        if let Err(fault) = result {
            faults.push(fault);
        }
    }
    (out, rest)
}

fn entries(entry: &Entry) -> Fallible<&[Entry]> {
    match &entry.value.node {
        Node::Map(entries) => Ok(entries),
        _ => Err(Fault::new(&entry.value.at, format!("{}: expected a map, found {}", entry.key, entry.value.describe()))),
    }
}

fn locals<'a>(entry: &'a Entry, out: &mut Preamble<'a>) -> Fallible<()> {
    for local in entries(entry)? {
        out.locals.insert(local.key.clone(), Code::Json(&local.value));
    }
    Ok(())
}

fn shorthand<'a>(cx: &Context<'_>, entry: &'a Entry, out: &mut Preamble<'a>, faults: &mut Faults) -> Fallible<()> {
    for variable in entries(entry)? {
        let default = variable.value.eval(cx, Strings::Templates, &Env::EMPTY)?;
        let kind = Type::of(&default);
        let (name, at) = (variable.key.clone(), variable.key_at.clone());
        declare(out, Declaration { name, at, kind, default: Some(default), rules: Vec::new() }, faults);
    }
    Ok(())
}

fn declarations<'a>(cx: &Context<'_>, entry: &'a Entry, out: &mut Preamble<'a>, faults: &mut Faults) -> Fallible<()> {
    for variable in entries(entry)? {
        let declaration = declaration(cx, variable)?;
        declare(out, declaration, faults);
    }
    Ok(())
}

fn declaration<'a>(cx: &Context<'_>, variable: &'a Entry) -> Fallible<Declaration<'a>> {
    let (name, at) = (variable.key.clone(), variable.key_at.clone());
    let mut out = Declaration { name, at, kind: Type::Any, default: None, rules: Vec::new() };
    let mut typed = false;
    for field in entries(variable)? {
        match (&*field.key, &field.value.node) {
            ("description" | COMMENT, _) => {}
            ("default", _) => out.default = Some(field.value.eval(cx, Strings::Templates, &Env::EMPTY)?),
            ("type", Node::Text(text)) => {
                out.kind = parse_type(text, &field.value.at)?;
                typed = true;
            }
            ("validation", Node::List(items)) => {
                for item in items {
                    out.rules.push(rule(item)?);
                }
            }
            ("validation", _) => out.rules.push(rule(&field.value)?),
            _ => {
                return Err(Fault::new(
                    &field.key_at,
                    format!("a variable has no {}: it has type, default, description and validation", field.key),
                ));
            }
        }
    }
    settle(cx, &mut out, typed)?;
    Ok(out)
}

fn rule(data: &Data) -> Fallible<Rule<'_>> {
    match (data.get("condition"), data.get("error_message")) {
        (Some(condition), Some(message)) => Ok(Rule { condition: Code::Json(condition), message: Code::Json(message) }),
        _ => Err(Fault::new(&data.at, "a validation needs condition and error_message")),
    }
}

/// In JSON a type stands in a string, as an expression or (older) in `${...}`.
fn parse_type(text: &str, at: &At) -> Fallible<Type> {
    let At::Text(span) = at else { return Err(Fault::new(at, "a type must be text")) };
    let inner = text.strip_prefix("${").and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let expression = crate::hcl::parse_expression(inner, span.source).map_err(|_| Fault::new(at, "this is no type"))?;
    types::parse(&expression, Unit { source: span.source, text: inner, fixed: Some(*span) })
}
