//! The bindings of sets and `let`: merges `a.b = 1; a.c = 2;` and
//! `a = { ... }; a.d = 3;` into one tree, then lowers it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rnix::ast::{self, HasEntry, InterpolPart};
use rowan::ast::AstNode;

use super::ast::{BindValue, Bindings, Expr, ExprId, Key, Span, Symbol};
use super::lower::Lowering;
use crate::error::{ErrorKind, Failure, Fallible};
use crate::limits::MAX_ATTRPATH_LEN;

/// A set while its bindings are being collected.
pub(super) struct SetBuilder {
    recursive: bool,
    span: Span,
    fields: Vec<Field>,
    by_name: HashMap<Symbol, usize>,
    dynamic: Vec<Dynamic>,
    inherit_from: Vec<ast::Expr>,
}

struct Field {
    name: Symbol,
    span: Span,
    value: FieldValue,
}

enum FieldValue {
    Expr(ast::Expr),
    Set(SetBuilder),
    Inherit,
    InheritFrom(usize),
}

struct Dynamic {
    key: ast::Attr,
    span: Span,
    value: FieldValue,
}

/// A name in a binding's path, before dynamic ones are lowered.
enum PathStep {
    Static(Symbol),
    Dynamic(ast::Attr),
}

impl SetBuilder {
    fn new(recursive: bool, span: Span) -> Self {
        Self { recursive, span, fields: Vec::new(), by_name: HashMap::new(), dynamic: Vec::new(), inherit_from: Vec::new() }
    }

    pub(super) fn of_set(lowering: &mut Lowering<'_>, set: &ast::AttrSet) -> Fallible<Self> {
        let span = lowering.span(set.syntax());
        Self::of_entries(lowering, set.entries(), set.rec_token().is_some(), span)
    }

    pub(super) fn of_entries(
        lowering: &mut Lowering<'_>,
        entries: impl Iterator<Item = ast::Entry>,
        recursive: bool,
        span: Span,
    ) -> Fallible<Self> {
        let mut builder = Self::new(recursive, span);
        builder.add_entries(lowering, entries)?;
        Ok(builder)
    }

    /// Where the first `${key} = ...` stands.
    pub(super) fn dynamic_span(&self) -> Option<Span> {
        self.dynamic.first().map(|dynamic| dynamic.span)
    }

    fn add_entries(&mut self, lowering: &mut Lowering<'_>, entries: impl Iterator<Item = ast::Entry>) -> Fallible<()> {
        for entry in entries {
            match entry {
                ast::Entry::Inherit(inherit) => self.add_inherit(lowering, &inherit)?,
                ast::Entry::AttrpathValue(binding) => self.add_binding(lowering, &binding)?,
            }
        }
        Ok(())
    }

    fn add_inherit(&mut self, lowering: &mut Lowering<'_>, inherit: &ast::Inherit) -> Fallible<()> {
        let source = match inherit.from() {
            Some(from) => {
                self.inherit_from.push(lowering.present(from.expr(), from.syntax())?);
                Some(self.inherit_from.len() - 1)
            }
            None => None,
        };
        for attr in inherit.attrs() {
            let span = lowering.span(attr.syntax());
            let Key::Static(name) = lowering.key(&attr)? else {
                return Err(lowering.syntax(span, "dynamic attributes are not allowed in 'inherit'"));
            };
            let value = source.map_or(FieldValue::Inherit, FieldValue::InheritFrom);
            match self.by_name.get(&name) {
                Some(_) => return Err(self.defined_twice(lowering, name, span)),
                None => self.insert(Field { name, span, value }),
            }
        }
        Ok(())
    }

    fn insert(&mut self, field: Field) {
        self.by_name.insert(field.name, self.fields.len());
        self.fields.push(field);
    }

    fn add_binding(&mut self, lowering: &mut Lowering<'_>, binding: &ast::AttrpathValue) -> Fallible<()> {
        let node = binding.syntax();
        let path = lowering.present(binding.attrpath(), node)?;
        let value = lowering.present(binding.value(), node)?;
        let span = lowering.span(path.syntax());
        let mut steps = Vec::new();
        for attr in path.attrs() {
            if steps.len() >= MAX_ATTRPATH_LEN {
                let message = format!("the attribute path has more than {MAX_ATTRPATH_LEN} parts");
                return Err(Failure::new(ErrorKind::Limit, span, message));
            }
            steps.push(match static_name(lowering, &attr)? {
                Some(name) => PathStep::Static(name),
                None => PathStep::Dynamic(attr),
            });
        }
        let Some(last) = steps.pop() else {
            return Err(lowering.syntax(span, "a name is missing"));
        };
        let mut target = self;
        for step in steps {
            target = target.nested(lowering, step, span)?;
        }
        target.set(lowering, last, value, span)
    }

    /// The set at `step`, made if it is not there yet.
    fn nested(&mut self, lowering: &mut Lowering<'_>, step: PathStep, span: Span) -> Fallible<&mut Self> {
        let name = match step {
            PathStep::Static(name) => name,
            PathStep::Dynamic(key) => {
                let value = FieldValue::Set(Self::new(false, span));
                self.dynamic.push(Dynamic { key, span, value });
                return match self.dynamic.last_mut() {
                    Some(Dynamic { value: FieldValue::Set(set), .. }) => Ok(set),
                    _ => Err(lowering.syntax(span, "a name is missing")),
                };
            }
        };
        let at = match self.by_name.entry(name) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(free) => {
                free.insert(self.fields.len());
                self.fields.push(Field { name, span, value: FieldValue::Set(Self::new(false, span)) });
                self.fields.len() - 1
            }
        };
        let first = self.fields.get(at).map(|field| field.span);
        let field = self.fields.get_mut(at);
        match field.map(|field| field.open(lowering)).transpose()?.flatten() {
            Some(set) => Ok(set),
            None => Err(twice(lowering, name, span, first)),
        }
    }

    fn set(&mut self, lowering: &mut Lowering<'_>, step: PathStep, value: ast::Expr, span: Span) -> Fallible<()> {
        let name = match step {
            PathStep::Static(name) => name,
            PathStep::Dynamic(key) => {
                self.dynamic.push(Dynamic { key, span, value: FieldValue::Expr(value) });
                return Ok(());
            }
        };
        let Some(&at) = self.by_name.get(&name) else {
            self.insert(Field { name, span, value: FieldValue::Expr(value) });
            return Ok(());
        };
        // Two set literals with one name are merged; anything else is a mistake.
        let first = self.fields.get(at).map(|field| field.span);
        let ast::Expr::AttrSet(set) = value else {
            return Err(twice(lowering, name, span, first));
        };
        match self.fields.get_mut(at).map(|field| field.open(lowering)).transpose()?.flatten() {
            Some(target) => target.add_entries(lowering, set.entries()),
            None => Err(twice(lowering, name, span, first)),
        }
    }

    fn defined_twice(&self, lowering: &Lowering<'_>, name: Symbol, span: Span) -> Box<Failure> {
        let first = self.by_name.get(&name).and_then(|&at| self.fields.get(at)).map(|field| field.span);
        twice(lowering, name, span, first)
    }

    pub(super) fn lower(self, lowering: &mut Lowering<'_>) -> Fallible<Bindings> {
        Ok(self.lower_with(lowering, |_| Ok(()))?.0)
    }

    /// Lowers the bindings, and `body` where they are visible if they are recursive.
    pub(super) fn lower_with<T>(
        mut self,
        lowering: &mut Lowering<'_>,
        body: impl FnOnce(&mut Lowering<'_>) -> Fallible<T>,
    ) -> Fallible<(Bindings, T)> {
        self.fields.sort_by_key(|field| field.name);
        let mut outside = Vec::new();
        for field in &self.fields {
            outside.push(match field.value {
                FieldValue::Inherit => Some(inherited(lowering, field)?),
                _ => None,
            });
        }
        let names: Vec<Symbol> = self.fields.iter().map(|field| field.name).collect();
        let recursive = self.recursive;
        let inner = |lowering: &mut Lowering<'_>| {
            let bindings = self.lower_inside(lowering, outside)?;
            Ok((bindings, body(lowering)?))
        };
        if recursive { lowering.scope(&names, inner) } else { inner(lowering) }
    }

    fn lower_inside(self, lowering: &mut Lowering<'_>, outside: Vec<Option<ExprId>>) -> Fallible<Bindings> {
        let sources: Fallible<Vec<ExprId>> = self.inherit_from.iter().map(|source| lowering.expr(source)).collect();
        let mut fields = Vec::with_capacity(self.fields.len());
        for (field, outside) in self.fields.into_iter().zip(outside) {
            let value = match (field.value, outside) {
                (_, Some(expr)) => BindValue::Outside(expr),
                (FieldValue::InheritFrom(source), None) => {
                    let site = lowering.program.add(Expr::Const(crate::value::Value::Null), field.span);
                    BindValue::From(source, site)
                }
                (value, None) => BindValue::Inside(value.lower(lowering, Some(field.name), field.span)?),
            };
            fields.push((field.name, value));
        }
        let mut dynamic = Vec::with_capacity(self.dynamic.len());
        for entry in self.dynamic {
            let key = dynamic_key(lowering, &entry)?;
            dynamic.push((key, entry.value.lower(lowering, None, entry.span)?));
        }
        Ok(Bindings { recursive: self.recursive, fields, dynamic, inherit_from: sources? })
    }
}

impl Field {
    /// The field as a set that more bindings can go into, if it is a set literal.
    fn open(&mut self, lowering: &mut Lowering<'_>) -> Fallible<Option<&mut SetBuilder>> {
        if let FieldValue::Expr(ast::Expr::AttrSet(set)) = &self.value {
            let builder = SetBuilder::of_set(lowering, set)?;
            self.value = FieldValue::Set(builder);
        }
        Ok(match &mut self.value {
            FieldValue::Set(set) => Some(set),
            _ => None,
        })
    }
}

impl FieldValue {
    fn lower(self, lowering: &mut Lowering<'_>, name: Option<Symbol>, span: Span) -> Fallible<ExprId> {
        match self {
            Self::Expr(expr) => lowering.named(&expr, name),
            Self::Set(set) => {
                let set_span = set.span;
                let bindings = lowering.nest(set_span, |lowering| set.lower(lowering))?;
                Ok(lowering.program.add(Expr::Attrs(bindings.into()), set_span))
            }
            Self::Inherit | Self::InheritFrom(_) => Err(lowering.syntax(span, "a value is missing")),
        }
    }
}

fn static_name(lowering: &mut Lowering<'_>, attr: &ast::Attr) -> Fallible<Option<Symbol>> {
    // A dynamic key must be lowered later, in the scope of the finished set.
    if let ast::Attr::Ident(_) = attr {
        return Ok(match lowering.key(attr)? {
            Key::Static(name) => Some(name),
            Key::Dynamic(_) => None,
        });
    }
    let string = match attr {
        ast::Attr::Str(string) => Some(string.clone()),
        ast::Attr::Dynamic(dynamic) => match dynamic.expr() {
            Some(ast::Expr::Str(string)) => Some(string),
            _ => None,
        },
        ast::Attr::Ident(_) => None,
    };
    let is_plain = string.is_some_and(|string| string.parts().all(|part| matches!(part, InterpolPart::Literal(_))));
    match is_plain.then(|| lowering.key(attr)).transpose()? {
        Some(Key::Static(name)) => Ok(Some(name)),
        _ => Ok(None),
    }
}

fn dynamic_key(lowering: &mut Lowering<'_>, entry: &Dynamic) -> Fallible<ExprId> {
    match lowering.key(&entry.key)? {
        Key::Dynamic(expr) => Ok(expr),
        Key::Static(name) => {
            let text = lowering.program.name(name);
            Ok(lowering.program.add(Expr::Const(crate::value::Value::Str(text)), entry.span))
        }
    }
}

/// The variable that `inherit name` means: the one outside of the bindings.
fn inherited(lowering: &mut Lowering<'_>, field: &Field) -> Fallible<ExprId> {
    let name = lowering.program.name(field.name);
    let variable = lowering.variable(&name, field.span)?;
    Ok(lowering.program.add(variable, field.span))
}

fn twice(lowering: &Lowering<'_>, name: Symbol, span: Span, first: Option<Span>) -> Box<Failure> {
    let message = format!("the attribute '{}' is already defined", lowering.program.name(name));
    let failure = lowering.syntax(span, message);
    match first {
        Some(first) => failure.within(first, || "first defined here".into()),
        None => failure,
    }
}
