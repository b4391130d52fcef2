//! Variables of a job file: their declarations, and the values that the caller gives from flags, files and the environment.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    eval::{Context, Env, Unit},
    scope::Code,
    types::Type,
};
use crate::{
    diagnostic::{At, Fallible, Fault, Faults, Sources},
    limits::MAX_VARIABLES,
    value::Value,
};

/// Values for a job file's variables, from the strongest to the weakest: flags, files, the environment, then the defaults
/// in the job file itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// As `-var name=value` gives them.
    pub flags: BTreeMap<String, String>,
    /// Files of `name = value`, a later one before an earlier one.
    pub files: Vec<VariableFile>,
    /// As `NOMAD_VAR_name` gives them, without that prefix. Names that the job does not declare are passed over.
    pub environment: BTreeMap<String, String>,
    /// Whether a name in a file that the job does not declare is an error; otherwise it is a warning.
    pub strict: bool,
}

/// A file of `name = value`, in HCL or (where the name ends in `.json`) in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableFile {
    /// For messages.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// `variable "name" { ... }`.
pub(crate) struct Declaration<'a> {
    pub(crate) name: Rc<str>,
    pub(crate) at: At,
    pub(crate) kind: Type,
    pub(crate) default: Option<Value>,
    pub(crate) rules: Vec<Rule<'a>>,
}

/// `validation { condition, error_message }`.
pub(crate) struct Rule<'a> {
    pub(crate) condition: Code<'a>,
    pub(crate) message: Code<'a>,
}

/// A value from outside, before it is converted.
pub(crate) struct Given {
    pub(crate) value: Value,
    pub(crate) at: At,
}

/// What all inputs say, weakest first, so that a later one wins.
pub(crate) type Inputs = BTreeMap<String, Given>;

/// Reads text as `-var` and the environment give it: text for scalars, an expression for lists and maps.
fn given_text(cx: &Context<'_>, text: &str, kind: &Type, source: u32) -> Fallible<Given> {
    let at = At::File(source);
    let opens = text.trim_start().starts_with(['[', '{']);
    let is_expression = match kind {
        Type::Text | Type::Number | Type::Bool => false,
        Type::Any => opens,
        _ => true,
    };
    if !is_expression {
        return Ok(Given { value: cx.text(text, &at)?, at });
    }
    let expression = super::parse_expression(text, source)?;
    let value = cx.eval(&expression, Unit { source, text, fixed: None }, &Env::EMPTY)?;
    Ok(Given { value, at })
}

fn flags<'v>(
    cx: &Context<'_>,
    values: &'v BTreeMap<String, String>,
    declared: &BTreeMap<&str, &Declaration<'_>>,
    label: &str,
    sources: &mut Sources<'v>,
    inputs: &mut Inputs,
    faults: &mut Faults,
) {
    for (name, text) in values {
        let source = sources.add(&format!("{label}{name}"), text.as_str());
        match declared.get(name.as_str()) {
            Some(declaration) => {
                if let Some(given) = faults.take(given_text(cx, text, &declaration.kind, source)) {
                    inputs.insert(name.clone(), given);
                }
            }
            None if label == FLAG => faults.push(undeclared(cx, name, declared, &At::File(source))),
            None => {}
        }
    }
}

const FLAG: &str = "-var ";
const ENVIRONMENT: &str = "NOMAD_VAR_";

fn undeclared(cx: &Context<'_>, name: &str, declared: &BTreeMap<&str, &Declaration<'_>>, at: &At) -> Box<Fault> {
    let near = cx.budget.nearest(name, declared.keys().copied());
    let hint = near.map_or_else(|| format!("declare it with variable \"{name}\" {{ }}"), |near| format!("did you mean {near}?"));
    Fault::new(at, format!("the job has no variable {name}: {hint}"))
}

/// Finds the value of every declared variable. Context is without variables here: inputs are constants.
pub(crate) fn resolve<'v>(
    cx: &Context<'_>,
    declarations: &[Declaration<'_>],
    variables: &'v Variables,
    sources: &mut Sources<'v>,
    faults: &mut Faults,
    warnings: &mut Faults,
) -> BTreeMap<Rc<str>, Option<Value>> {
    let declared: BTreeMap<&str, &Declaration<'_>> = declarations.iter().map(|d| (&*d.name, d)).collect();
    let count = variables.flags.len() + variables.environment.len() + variables.files.len();
    if count > MAX_VARIABLES {
        faults.push(Fault::fatal(&At::File(0), format!("more than {MAX_VARIABLES} variables are given, the limit")));
        return BTreeMap::new();
    }
    let mut inputs = Inputs::new();
    flags(cx, &variables.environment, &declared, ENVIRONMENT, sources, &mut inputs, faults);
    for file in &variables.files {
        let source = sources.add(&file.name, file.text.as_str());
        for (name, at, value) in faults.take(read_file(cx, file, source)).unwrap_or_default() {
            if declared.contains_key(&*name) {
                inputs.insert(name.to_string(), Given { value, at });
            } else {
                let to = if variables.strict { &mut *faults } else { &mut *warnings };
                to.push(undeclared(cx, &name, &declared, &at));
            }
        }
    }
    flags(cx, &variables.flags, &declared, FLAG, sources, &mut inputs, faults);
    declarations.iter().map(|d| (d.name.clone(), faults.take(value_of(cx, d, inputs.get(&*d.name))))).collect()
}

fn value_of(cx: &Context<'_>, declaration: &Declaration<'_>, given: Option<&Given>) -> Fallible<Value> {
    let name = &declaration.name;
    match (given, &declaration.default) {
        (Some(given), _) => {
            declaration.kind.convert(&given.value, cx.budget).map_err(|e| e.within(&format!("variable {name}")).at(&given.at))
        }
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => {
            let message = format!("variable {name} has no value and no default: give it with -var '{name}=...' or NOMAD_VAR_{name}");
            Err(Fault::new(&declaration.at, message))
        }
    }
}

type Pairs = Vec<(Rc<str>, At, Value)>;

fn read_file(cx: &Context<'_>, file: &VariableFile, source: u32) -> Fallible<Pairs> {
    let limit = cx.budget.limits().source_bytes;
    if file.text.len() > limit {
        return Err(Fault::fatal(&At::File(source), format!("the file has more than {limit} bytes, the limit")));
    }
    if file.name.ends_with(".json") {
        return json_file(cx, &file.text, source);
    }
    let body = super::parse_body(&file.text, source)?;
    let unit = Unit { source, text: &file.text, fixed: None };
    let mut pairs = Pairs::new();
    for structure in body.iter() {
        match structure {
            hcl_edit::structure::Structure::Attribute(attribute) => {
                let value = cx.eval(&attribute.value, unit, &Env::EMPTY)?;
                pairs.push((attribute.key.as_str().into(), unit.at_node(&attribute.key), value));
            }
            hcl_edit::structure::Structure::Block(block) => {
                let message = format!("a variable file holds name = value, not blocks like {}", block.ident.as_str());
                return Err(Fault::new(&unit.at_node(&block.ident), message));
            }
        }
    }
    Ok(pairs)
}

fn json_file(cx: &Context<'_>, text: &str, source: u32) -> Fallible<Pairs> {
    let data = crate::json::parse(text, source)?;
    let crate::data::Node::Map(entries) = &data.node else {
        return Err(Fault::new(&data.at, "a variable file holds an object of names and values"));
    };
    entries.iter().map(|e| Ok((e.key.clone(), e.key_at.clone(), e.value.eval(cx, crate::data::Strings::Verbatim, &Env::EMPTY)?))).collect()
}

/// Checks the `validation` blocks, now that all variables are known.
pub(crate) fn validate(cx: &Context<'_>, declarations: &[Declaration<'_>], faults: &mut Faults) {
    for declaration in declarations {
        for rule in &declaration.rules {
            if let Err(fault) = check(cx, declaration, rule) {
                faults.push(fault);
            }
        }
    }
}

fn check(cx: &Context<'_>, declaration: &Declaration<'_>, rule: &Rule<'_>) -> Fallible<()> {
    let value = rule.condition.eval(cx, &Env::EMPTY)?;
    match value.to_bool() {
        Some(true) => Ok(()),
        Some(false) => {
            let message = rule.message.eval(cx, &Env::EMPTY)?.to_text().unwrap_or_else(|| "the value is not allowed".into());
            Err(Fault::new(&declaration.at, format!("variable {}: {message}", declaration.name)))
        }
        None => Err(Fault::new(&rule.condition.at(), format!("a condition must be true or false, found {}", value.describe()))),
    }
}
