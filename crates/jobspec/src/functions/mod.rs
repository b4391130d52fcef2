//! The functions of the job language. All are pure; those that read files do so through [`Files`](crate::Files).

mod cidr;
pub(crate) mod collections;
mod encoding;
mod files;
mod format;
mod hash;
mod numbers;
mod sets;
mod strings;
mod time;

use std::rc::Rc;

use crate::{
    budget::{Budget, Failure},
    files::Files,
    hcl::eval::Context,
    value::{List, Map, Number, Value},
};

pub(crate) type Done = Result<Value, Failure>;

/// A function: its name, how many arguments it takes, and what it does.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    name: &'static str,
    min: usize,
    max: usize,
    run: fn(&Call<'_>) -> Done,
}

const fn function(name: &'static str, min: usize, max: usize, run: fn(&Call<'_>) -> Done) -> Function {
    Function { name, min, max, run }
}

/// Any number of arguments.
const ANY: usize = usize::MAX;

const TABLES: &[&[Function]] = &[
    strings::FUNCTIONS,
    format::FUNCTIONS,
    numbers::FUNCTIONS,
    collections::FUNCTIONS,
    sets::FUNCTIONS,
    encoding::FUNCTIONS,
    hash::FUNCTIONS,
    time::FUNCTIONS,
    cidr::FUNCTIONS,
    files::FUNCTIONS,
];

/// Functions that Nomad has and floe refuses, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("abspath", "a job file may only name files in its own folder"),
    ("pathexpand", "a job file may only name files in its own folder"),
    ("bcrypt", "hash the password beforehand, or keep it in a variable of the cluster"),
    ("rsadecrypt", "keep secrets in variables of the cluster"),
    ("uuidv4", "a job file must give the same job each time; use uuidv5, or NOMAD_ALLOC_ID at run time"),
    ("timestamp", "a job file must give the same job each time"),
    ("yamldecode", "convert the text to JSON and use jsondecode"),
    ("yamlencode", "use jsonencode: JSON is YAML"),
];

/// The special forms, which do not evaluate all their arguments.
const FORMS: &[&str] = &["try", "can", "convert"];

/// The function called `name`, or a message that says why there is none.
pub(crate) fn find(name: &str) -> Result<Function, String> {
    let all = || TABLES.iter().copied().flatten();
    if let Some(found) = all().find(|f| f.name == name) {
        return Ok(*found);
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(n, _)| *n == name) {
        return Err(format!("not supported yet: function {name}: {reason}"));
    }
    if FORMS.contains(&name) {
        let count = if name == "convert" { "a value and a type" } else { "one expression" };
        return Err(format!("{name} takes {count}"));
    }
    let names: Vec<&str> = all().map(|f| f.name).chain(FORMS.iter().copied()).collect();
    let near = floe_model::wire::nearest(name, &names).map(|n| format!(": did you mean {n}?")).unwrap_or_default();
    Err(format!("unknown function {name}{near}"))
}

/// Calls it, after its arguments are counted and paid for.
pub(crate) fn call(function: Function, args: &[Value], cx: &Context<'_>) -> Done {
    if args.len() < function.min || args.len() > function.max {
        let wanted = match (function.min, function.max) {
            (min, ANY) => format!("at least {min}"),
            (min, max) if min == max => min.to_string(),
            (min, max) => format!("{min} to {max}"),
        };
        return Err(format!("{} takes {wanted} arguments, {} are given", function.name, args.len()).into());
    }
    let bytes: usize = args.iter().map(Value::bytes).sum();
    cx.budget.work(args.len() + bytes / 64)?;
    (function.run)(&Call { args, budget: cx.budget, files: cx.files }).map_err(|e| e.within(function.name))
}

/// The arguments of one call.
pub(crate) struct Call<'c> {
    args: &'c [Value],
    budget: &'c Budget,
    files: &'c dyn Files,
}

impl<'c> Call<'c> {
    fn len(&self) -> usize {
        self.args.len()
    }
    fn arg(&self, i: usize) -> &'c Value {
        self.args.get(i).unwrap_or(&Value::Null)
    }
    fn wrong(&self, i: usize, expected: &str) -> Failure {
        Failure::Message(format!("argument {}: expected {expected}, found {}", i + 1, self.arg(i).describe()))
    }
    fn text(&self, i: usize) -> Result<Rc<str>, Failure> {
        self.arg(i).to_text().ok_or_else(|| self.wrong(i, "text"))
    }
    fn number(&self, i: usize) -> Result<Number, Failure> {
        self.arg(i).to_number().ok_or_else(|| self.wrong(i, "a number"))
    }
    fn int(&self, i: usize) -> Result<i64, Failure> {
        match self.arg(i).to_number() {
            Some(Number::Int(int)) => Ok(int),
            _ => Err(self.wrong(i, "a whole number")),
        }
    }
    fn count(&self, i: usize) -> Result<usize, Failure> {
        usize::try_from(self.int(i)?).map_err(|_| self.wrong(i, "a number that is not negative"))
    }
    fn list(&self, i: usize) -> Result<&'c List, Failure> {
        match self.arg(i) {
            Value::List(list) => Ok(list),
            _ => Err(self.wrong(i, "a list")),
        }
    }
    fn map(&self, i: usize) -> Result<&'c Map, Failure> {
        match self.arg(i) {
            Value::Map(map) => Ok(map),
            _ => Err(self.wrong(i, "a map")),
        }
    }
    /// The elements of a list as text.
    fn texts(&self, i: usize) -> Result<Vec<Rc<str>>, Failure> {
        self.list(i)?.items.iter().map(|item| item.to_text().ok_or_else(|| self.wrong(i, "a list of text"))).collect()
    }
    fn make_text(&self, text: impl Into<Rc<str>>) -> Done {
        Ok(Value::text(text, self.budget)?)
    }
    fn make_list(&self, items: Vec<Value>) -> Done {
        Ok(Value::list(items, self.budget)?)
    }
    fn make_map(&self, entries: crate::value::Entries) -> Done {
        Ok(Value::map(entries, self.budget)?)
    }
    fn make_texts(&self, texts: impl Iterator<Item = impl Into<Rc<str>>>) -> Done {
        let items = texts.map(|text| self.make_text(text)).collect::<Result<Vec<_>, _>>()?;
        self.make_list(items)
    }
    /// Refuses a result before it is made.
    fn room(&self, bytes: usize) -> Result<(), Failure> {
        Ok(self.budget.allocate(bytes)?)
    }
    fn same(&self, a: &Value, b: &Value) -> Result<bool, Failure> {
        Ok(a.equals(b, self.budget)?)
    }
}

fn int(value: usize) -> Value {
    Value::Number(Number::Int(i64::try_from(value).unwrap_or(i64::MAX)))
}
