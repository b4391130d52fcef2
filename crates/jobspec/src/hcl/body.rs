//! A parsed HCL file to the tree: declarations are gathered, attributes evaluated, `dynamic` blocks expanded.

use std::{collections::BTreeMap, rc::Rc};

use hcl_edit::structure::{Attribute as HclAttribute, Block as HclBlock, BlockLabel, Body as HclBody, Structure};

use super::{
    eval::{Context, Env, Unit, pairs, spend},
    scope::Code,
    types::{self, Type},
    variables::{Declaration, Rule},
};
use crate::{
    diagnostic::{Fallible, Fault, Faults},
    tree::{Attribute, Block, Body, Label},
    value::Value,
};

/// What stands at the top of a file beside the job.
#[derive(Default)]
pub(crate) struct Preamble<'a> {
    pub(crate) declarations: Vec<Declaration<'a>>,
    pub(crate) locals: BTreeMap<Rc<str>, Code<'a>>,
}

/// Gathers variables and locals. `cx` has no variables: defaults are constants.
pub(crate) fn preamble<'a>(cx: &Context<'_>, file: &'a HclBody, unit: Unit<'a>, faults: &mut Faults) -> Preamble<'a> {
    let mut out = Preamble::default();
    for block in file.blocks() {
        match block.ident.as_str() {
            "variable" => {
                if let Some(declaration) = faults.take(declaration(cx, block, unit)) {
                    declare(&mut out, declaration, faults);
                }
            }
            "variables" => {
                for attribute in block.body.attributes() {
                    let value = cx.eval(&attribute.value, unit, &Env::EMPTY);
                    let Some(default) = faults.take(value) else { continue };
                    let kind = Type::of(&default);
                    let name = attribute.key.as_str().into();
                    let at = unit.at_node(&attribute.key);
                    declare(&mut out, Declaration { name, at, kind, default: Some(default), rules: Vec::new() }, faults);
                }
                refuse_blocks(&block.body, unit, "variables", faults);
            }
            "locals" => {
                for attribute in block.body.attributes() {
                    let name: Rc<str> = attribute.key.as_str().into();
                    if out.locals.insert(name.clone(), Code::Hcl(&attribute.value, unit)).is_some() {
                        faults.add(&unit.at_node(&attribute.key), format!("the local {name} is defined twice: remove one"));
                    }
                }
                refuse_blocks(&block.body, unit, "locals", faults);
            }
            _ => {}
        }
    }
    out
}

pub(crate) fn declare<'a>(out: &mut Preamble<'a>, declaration: Declaration<'a>, faults: &mut Faults) {
    if out.declarations.iter().any(|d| d.name == declaration.name) {
        faults.add(&declaration.at, format!("the variable {} is declared twice: remove one", declaration.name));
    } else {
        out.declarations.push(declaration);
    }
}

fn refuse_blocks(body: &HclBody, unit: Unit<'_>, owner: &str, faults: &mut Faults) {
    for block in body.blocks() {
        let message = format!("{owner} holds name = value, not blocks: write {} = {{ ... }}", block.ident.as_str());
        faults.add(&unit.at_node(&block.ident), message);
    }
}

const VARIABLE_FIELDS: &[&str] = &["type", "default", "description", "validation"];

fn declaration<'a>(cx: &Context<'_>, block: &'a HclBlock, unit: Unit<'a>) -> Fallible<Declaration<'a>> {
    let at = unit.at_node(&block.ident);
    let [label] = block.labels.as_slice() else {
        return Err(Fault::new(&at, "a variable has one label, its name: variable \"name\" { }"));
    };
    let mut declaration =
        Declaration { name: label.as_str().into(), at: unit.at_node(label), kind: Type::Any, default: None, rules: Vec::new() };
    let mut typed = false;
    for structure in block.body.iter() {
        match structure {
            Structure::Attribute(a) if a.key.as_str() == "type" => {
                declaration.kind = types::parse(&a.value, unit)?;
                typed = true;
            }
            Structure::Attribute(a) if a.key.as_str() == "default" => {
                declaration.default = Some(cx.eval(&a.value, unit, &Env::EMPTY)?);
            }
            Structure::Attribute(a) if a.key.as_str() == "description" => {}
            Structure::Block(b) if b.ident.as_str() == "validation" => declaration.rules.push(rule(b, unit)?),
            other => {
                let (name, node) = match other {
                    Structure::Attribute(a) => (a.key.as_str(), unit.at_node(&a.key)),
                    Structure::Block(b) => (b.ident.as_str(), unit.at_node(&b.ident)),
                };
                let near = floe_model::wire::nearest(name, VARIABLE_FIELDS).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                return Err(Fault::new(&node, format!("a variable has no {name}{near}")));
            }
        }
    }
    settle(cx, &mut declaration, typed)?;
    Ok(declaration)
}

/// The type comes from the default where none is given, and the default must have it.
pub(crate) fn settle(cx: &Context<'_>, declaration: &mut Declaration<'_>, typed: bool) -> Fallible<()> {
    let Some(default) = &declaration.default else { return Ok(()) };
    if !typed {
        declaration.kind = Type::of(default);
    }
    let converted = declaration.kind.convert(default, cx.budget);
    let name = format!("the default of variable {}", declaration.name);
    declaration.default = Some(converted.map_err(|e| e.within(&name).at(&declaration.at))?);
    Ok(())
}

fn rule<'a>(block: &'a HclBlock, unit: Unit<'a>) -> Fallible<Rule<'a>> {
    let field = |name: &str| {
        let attribute = block.body.get_attribute(name);
        attribute
            .map(|a| Code::Hcl(&a.value, unit))
            .ok_or_else(|| Fault::new(&unit.at_node(&block.ident), format!("a validation needs {name}")))
    };
    Ok(Rule { condition: field("condition")?, message: field("error_message")? })
}

/// The top of the file as a body: only what may hold the job.
pub(crate) fn file(cx: &Context<'_>, file: &HclBody, unit: Unit<'_>, faults: &mut Faults) -> Body {
    let mut out = Body::new(unit.at(Some(0..0)));
    for structure in file.iter() {
        match structure {
            Structure::Block(b) if matches!(b.ident.as_str(), "variable" | "variables" | "locals") => {}
            other => self::structure(cx, other, unit, &Env::EMPTY, &mut out, faults),
        }
    }
    out
}

fn body(cx: &Context<'_>, hcl: &HclBody, at: crate::diagnostic::At, unit: Unit<'_>, env: &Env<'_>, faults: &mut Faults) -> Body {
    let mut out = Body::new(at);
    for structure in hcl.iter() {
        if faults.is_fatal() {
            break;
        }
        self::structure(cx, structure, unit, env, &mut out, faults);
    }
    out
}

fn structure(cx: &Context<'_>, structure: &Structure, unit: Unit<'_>, env: &Env<'_>, out: &mut Body, faults: &mut Faults) {
    match structure {
        Structure::Attribute(a) => {
            let value = attribute(cx, a, unit, env);
            out.attributes.extend(faults.take(value));
        }
        Structure::Block(b) if b.ident.as_str() == "dynamic" => {
            if let Err(fault) = dynamic(cx, b, unit, env, out, faults) {
                faults.push(fault);
            }
        }
        Structure::Block(b) => {
            let block = block(cx, b, unit, env, faults);
            out.blocks.extend(faults.take(block));
        }
    }
}

fn attribute(cx: &Context<'_>, a: &HclAttribute, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Attribute> {
    let value_at = unit.at_node(&a.value);
    let value = cx.eval(&a.value, unit, env)?;
    spend(&value_at, cx.budget.output(value.bytes() + a.key.as_str().len()))?;
    Ok(Attribute { name: a.key.as_str().into(), name_at: unit.at_node(&a.key), value, value_at })
}

fn block(cx: &Context<'_>, b: &HclBlock, unit: Unit<'_>, env: &Env<'_>, faults: &mut Faults) -> Fallible<Block> {
    let kind_at = unit.at_node(&b.ident);
    spend(&kind_at, cx.budget.block())?;
    let labels = b.labels.iter().map(|l| label(l, unit)).collect();
    let body = body(cx, &b.body, kind_at.clone(), unit, env, faults);
    Ok(Block { kind: b.ident.as_str().into(), kind_at, labels, body })
}

/// A label is plain text; `${...}` in it is no template in HCL either.
fn label(label: &BlockLabel, unit: Unit<'_>) -> Label {
    Label { text: label.as_str().into(), at: unit.at_node(label) }
}

const DYNAMIC: &str = "a dynamic block is written dynamic \"block\" { for_each = [...]  content { ... } }";

/// What one `dynamic` block says.
struct Dynamic<'b> {
    kind: Rc<str>,
    iterator: &'b str,
    labels: Option<&'b HclAttribute>,
    content: &'b HclBlock,
    for_each: &'b HclAttribute,
}

fn dynamic_parts<'b>(b: &'b HclBlock, unit: Unit<'_>) -> Fallible<Dynamic<'b>> {
    let fault = |message: &str| Fault::new(&unit.at_node(&b.ident), message);
    let [label] = b.labels.as_slice() else { return Err(fault(DYNAMIC)) };
    let mut blocks = b.body.blocks();
    let (Some(content), None) = (blocks.next().filter(|c| c.ident.as_str() == "content"), blocks.next()) else {
        return Err(fault(DYNAMIC));
    };
    for a in b.body.attributes() {
        if !matches!(a.key.as_str(), "for_each" | "iterator" | "labels") {
            let message = format!("a dynamic block has no {}: it has for_each, iterator, labels and content", a.key.as_str());
            return Err(Fault::new(&unit.at_node(&a.key), message));
        }
    }
    let iterator = match b.body.get_attribute("iterator") {
        None => label.as_str(),
        Some(a) => match a.value.as_variable() {
            Some(name) => name.as_str(),
            None => return Err(Fault::new(&unit.at_node(&a.value), "iterator is a name without quotes")),
        },
    };
    let for_each = b.body.get_attribute("for_each").ok_or_else(|| fault(DYNAMIC))?;
    Ok(Dynamic { kind: label.as_str().into(), iterator, labels: b.body.get_attribute("labels"), content, for_each })
}

fn dynamic(cx: &Context<'_>, b: &HclBlock, unit: Unit<'_>, env: &Env<'_>, out: &mut Body, faults: &mut Faults) -> Fallible<()> {
    let parts = dynamic_parts(b, unit)?;
    let collection = cx.eval(&parts.for_each.value, unit, env)?;
    for (key, value) in pairs(&collection, &unit.at_node(&parts.for_each.value))? {
        if faults.is_fatal() {
            break;
        }
        let kind_at = unit.at_node(&b.ident);
        spend(&kind_at, cx.budget.block())?;
        let names = [(parts.iterator, iterator_value(cx, key, value).map_err(|e| e.at(&kind_at))?)];
        let inner = env.with(&names);
        let labels = match parts.labels {
            None => Vec::new(),
            Some(a) => label_values(&cx.eval(&a.value, unit, &inner)?, &unit.at_node(&a.value))?,
        };
        let body = body(cx, &parts.content.body, kind_at.clone(), unit, &inner, faults);
        out.blocks.push(Block { kind: parts.kind.clone(), kind_at, labels, body });
    }
    Ok(())
}

/// `{ key, value }` of one turn.
pub(crate) fn iterator_value(cx: &Context<'_>, key: Value, value: Value) -> Result<Value, crate::budget::Failure> {
    Ok(Value::map([("key".into(), key), ("value".into(), value)].into(), cx.budget)?)
}

pub(crate) fn label_values(labels: &Value, at: &crate::diagnostic::At) -> Fallible<Vec<Label>> {
    let wrong = || Fault::new(at, format!("labels must be a list of text, found {}", labels.describe()));
    let Value::List(list) = labels else { return Err(wrong()) };
    list.items.iter().map(|item| item.to_text().map(|text| Label { text, at: at.clone() }).ok_or_else(wrong)).collect()
}
