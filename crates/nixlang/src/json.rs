//! Values to JSON and back. What JSON cannot say is refused with the place in
//! the result where it stands.

use serde_json::{Map, Number, Value as Json};

use crate::error::{Failure, Fallible};
use crate::eval::Evaluator;
use crate::syntax::{ExprId, Span};
use crate::value::{ThunkId, Value};

/// What a number, a bracket pair or `null` counts of the output's bytes, besides
/// its text.
const NODE_BYTES: usize = 8;

/// The whole value behind `root`, evaluated, as JSON.
pub(crate) fn render(evaluator: &mut Evaluator<'_>, root: ThunkId, site: ExprId) -> Fallible<Json> {
    let bytes_left = evaluator.limits.output_bytes;
    Renderer { evaluator, path: Vec::new(), bytes_left }.thunk(root, site)
}

enum Step {
    Name(std::rc::Rc<str>),
    Index(usize),
}

struct Renderer<'r, 'a> {
    evaluator: &'r mut Evaluator<'a>,
    path: Vec<Step>,
    bytes_left: usize,
}

impl Renderer<'_, '_> {
    fn thunk(&mut self, thunk: ThunkId, site: ExprId) -> Fallible<Json> {
        let value = self.evaluator.force(thunk, site);
        let value = match value {
            Ok(value) => value,
            Err(failure) if self.path.is_empty() => return Err(failure),
            Err(failure) => {
                let origin = self.evaluator.span(self.evaluator.heap.origin(thunk));
                return Err(failure.within(origin, || format!("while rendering {}", self.place())));
            }
        };
        self.value(value, thunk)
    }

    fn value(&mut self, value: Value, thunk: ThunkId) -> Fallible<Json> {
        let site = self.evaluator.heap.origin(thunk);
        match value {
            Value::Null => self.pay(NODE_BYTES, site).map(|()| Json::Null),
            Value::Bool(value) => self.pay(NODE_BYTES, site).map(|()| Json::Bool(value)),
            Value::Int(int) => self.pay(NODE_BYTES, site).map(|()| Json::from(int)),
            Value::Float(float) => self.float(float, site),
            Value::Str(text) => {
                self.pay(NODE_BYTES + text.len(), site)?;
                self.evaluator.burn_bulk(text.len(), site)?;
                Ok(Json::String(text.to_string()))
            }
            Value::List(items) => self.nested(site, |renderer| renderer.list(&items, site)),
            Value::Attrs(_) => self.nested(site, |renderer| renderer.set(value, site)),
            Value::Path(_) => {
                let hint = "a path has no JSON form: use builtins.readFile for its text, or write it as a string";
                Err(self.refuse(self.evaluator.span(site), hint))
            }
            Value::Lambda(lambda, _) => Err(self.refuse(lambda.span, "a function has no JSON form")),
            Value::Builtin(_) | Value::Partial(_) => Err(self.refuse(self.evaluator.span(site), "a function has no JSON form")),
        }
    }

    fn float(&mut self, float: f64, site: ExprId) -> Fallible<Json> {
        self.pay(NODE_BYTES, site)?;
        match Number::from_f64(float) {
            Some(number) => Ok(Json::Number(number)),
            None => Err(self.refuse(self.evaluator.span(site), &format!("the float {float} has no JSON form"))),
        }
    }

    fn list(&mut self, items: &[ThunkId], site: ExprId) -> Fallible<Json> {
        let mut rendered = Vec::new();
        for (index, &item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            rendered.push(self.thunk(item, site)?);
            self.path.pop();
        }
        Ok(Json::Array(rendered))
    }

    /// A set with `__toString` or `outPath` is what those give, as in Nix.
    fn set(&mut self, value: Value, site: ExprId) -> Fallible<Json> {
        if let Some(text) = self.evaluator.string_of_set(&value, site)? {
            let text = self.evaluator.done(text, site)?;
            return self.thunk(text, site);
        }
        let Value::Attrs(attrs) = value else {
            return Ok(Json::Null);
        };
        let mut rendered = Map::new();
        for (name, thunk) in self.evaluator.sorted(&attrs, site)? {
            self.pay(name.len(), site)?;
            self.path.push(Step::Name(std::rc::Rc::clone(&name)));
            rendered.insert(name.to_string(), self.thunk(thunk, site)?);
            self.path.pop();
        }
        Ok(Json::Object(rendered))
    }

    fn nested(&mut self, site: ExprId, inner: impl FnOnce(&mut Self) -> Fallible<Json>) -> Fallible<Json> {
        let most = self.evaluator.limits.output_depth;
        if self.path.len() >= most as usize {
            let message = format!("{} is nested more than {most} deep (limit output_depth)", self.place());
            return Err(self.evaluator.limit(site, message));
        }
        self.pay(NODE_BYTES, site)?;
        // Counted as evaluation too: a set's `outPath` is no step of the path, and
        // `toJSON` can stand inside of what is being rendered.
        self.evaluator.enter(site)?;
        let rendered = inner(self);
        self.evaluator.leave();
        rendered
    }

    fn pay(&mut self, bytes: usize, site: ExprId) -> Fallible<()> {
        self.evaluator.burn(1, site)?;
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None => {
                let most = self.evaluator.limits.output_bytes;
                Err(self.evaluator.limit(site, format!("the result has more than {most} bytes (limit output_bytes)")))
            }
        }
    }

    fn refuse(&self, span: Span, message: &str) -> Box<Failure> {
        let message = if self.path.is_empty() { message.into() } else { format!("{}: {message}", self.place()) };
        Failure::new(crate::error::ErrorKind::Evaluation, span, message)
    }

    /// The place in the result, such as `groups[0].count`.
    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            match step {
                Step::Name(name) if place.is_empty() => place.push_str(name),
                Step::Name(name) => {
                    place.push('.');
                    place.push_str(name);
                }
                Step::Index(index) => place.push_str(&format!("[{index}]")),
            }
        }
        if place.is_empty() { "the result".into() } else { place }
    }
}

/// JSON as a value. `serde_json` bounds the nesting of what it parses, so this
/// recursion is bounded too; for arguments the depth is counted as well.
pub(crate) fn value(evaluator: &mut Evaluator<'_>, json: Json, site: ExprId) -> Fallible<Value> {
    evaluator.burn(1, site)?;
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(value) => Ok(Value::Bool(value)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Ok(Value::Int(int)),
            (None, Some(float)) if !number.is_u64() => Ok(Value::Float(float)),
            _ => Err(evaluator.error(site, format!("the number {number} does not fit into 64 bits"))),
        },
        Json::String(text) => evaluator.string(&text, site),
        Json::Array(items) => {
            let mut thunks = Vec::with_capacity(items.len());
            for item in items {
                thunks.push(nested(evaluator, item, site)?);
            }
            evaluator.list(thunks, site)
        }
        Json::Object(entries) => {
            let mut attrs = Vec::with_capacity(entries.len());
            for (name, item) in entries {
                attrs.push((evaluator.intern(&name, site)?, nested(evaluator, item, site)?));
            }
            evaluator.attrs(attrs, site)
        }
    }
}

fn nested(evaluator: &mut Evaluator<'_>, json: Json, site: ExprId) -> Fallible<ThunkId> {
    let value = evaluator.nested(site, |evaluator| value(evaluator, json, site))?;
    evaluator.done(value, site)
}
