//! The bindings of sets and `let`: merges `a.b = 1; a.c = 2;` and
//! `a = { ... }; a.d = 3;` into one tree, then lowers it.

use std::collections::HashMap;

use super::ast::{BindValue, Bindings, Expr, ExprId, Span, Symbol};
use super::lower::Lowering;
use super::tree::{self, Attr, AttrName, Entry, Node, NodeId};
use crate::error::{Failure, Fallible};
use crate::value::Value;

/// A set while its bindings are being collected.
pub(super) struct SetBuilder {
    recursive: bool,
    span: Span,
    fields: Vec<Field>,
    by_name: HashMap<Symbol, usize>,
    dynamic: Vec<Dynamic>,
    inherit_from: Vec<NodeId>,
}

struct Field {
    name: Symbol,
    span: Span,
    value: FieldValue,
}

enum FieldValue {
    Expr(NodeId),
    Set(SetBuilder),
    Inherit,
    InheritFrom(usize),
}

struct Dynamic {
    key: NodeId,
    span: Span,
    value: FieldValue,
}

impl SetBuilder {
    pub(super) fn new(lowering: &Lowering<'_>, bindings: &tree::Bindings, span: Span) -> Fallible<Self> {
        let mut builder = Self::empty(bindings.recursive, span);
        builder.add_entries(lowering, &bindings.entries)?;
        Ok(builder)
    }

    fn empty(recursive: bool, span: Span) -> Self {
        Self { recursive, span, fields: Vec::new(), by_name: HashMap::new(), dynamic: Vec::new(), inherit_from: Vec::new() }
    }

    /// Where the first `${key} = ...` stands.
    pub(super) fn dynamic_span(&self) -> Option<Span> {
        self.dynamic.first().map(|dynamic| dynamic.span)
    }

    fn add_entries(&mut self, lowering: &Lowering<'_>, entries: &[Entry]) -> Fallible<()> {
        for entry in entries {
            match entry {
                Entry::Inherit { from, names } => self.add_inherit(lowering, *from, names)?,
                Entry::Binding { path, span, value } => self.add_binding(lowering, path, *span, *value)?,
            }
        }
        Ok(())
    }

    fn add_inherit(&mut self, lowering: &Lowering<'_>, from: Option<NodeId>, names: &[Attr]) -> Fallible<()> {
        let source = from.map(|from| {
            self.inherit_from.push(from);
            self.inherit_from.len() - 1
        });
        for attr in names {
            let AttrName::Static(name) = attr.name else {
                return Err(lowering.syntax(attr.span, "dynamic attributes are not allowed in 'inherit'"));
            };
            if let Some(first) = self.field(name) {
                return Err(twice(lowering, name, attr.span, first.span));
            }
            let value = source.map_or(FieldValue::Inherit, FieldValue::InheritFrom);
            self.insert(Field { name, span: attr.span, value });
        }
        Ok(())
    }

    fn field(&mut self, name: Symbol) -> Option<&mut Field> {
        self.fields.get_mut(*self.by_name.get(&name)?)
    }

    fn insert(&mut self, field: Field) {
        self.by_name.insert(field.name, self.fields.len());
        self.fields.push(field);
    }

    fn add_binding(&mut self, lowering: &Lowering<'_>, path: &[Attr], span: Span, value: NodeId) -> Fallible<()> {
        let Some((last, outer)) = path.split_last() else {
            return Err(lowering.syntax(span, "a name is missing"));
        };
        let mut target = self;
        for attr in outer {
            target = target.nested(lowering, attr, span)?;
        }
        target.set(lowering, last, value, span)
    }

    /// The set at `attr`, made if it is not there yet.
    fn nested(&mut self, lowering: &Lowering<'_>, attr: &Attr, span: Span) -> Fallible<&mut Self> {
        let new = FieldValue::Set(Self::empty(false, span));
        let (value, first) = match attr.name {
            AttrName::Dynamic(key) => {
                self.dynamic.push(Dynamic { key, span, value: new });
                (self.dynamic.last_mut().map(|dynamic| &mut dynamic.value), span)
            }
            AttrName::Static(name) => {
                if self.field(name).is_none() {
                    self.insert(Field { name, span, value: new });
                }
                match self.field(name) {
                    Some(field) => (Some(&mut field.value), field.span),
                    None => (None, span),
                }
            }
        };
        match value.map(|value| value.open(lowering)).transpose()?.flatten() {
            Some(set) => Ok(set),
            None => Err(already_defined(lowering, attr, span, first)),
        }
    }

    fn set(&mut self, lowering: &Lowering<'_>, attr: &Attr, value: NodeId, span: Span) -> Fallible<()> {
        let name = match attr.name {
            AttrName::Static(name) => name,
            AttrName::Dynamic(key) => {
                self.dynamic.push(Dynamic { key, span, value: FieldValue::Expr(value) });
                return Ok(());
            }
        };
        let Some(field) = self.field(name) else {
            self.insert(Field { name, span, value: FieldValue::Expr(value) });
            return Ok(());
        };
        // Two set literals with one name are merged; anything else is a mistake.
        let first = field.span;
        match (lowering.tree.node(value), field.value.open(lowering)?) {
            (Node::Set(more), Some(target)) => target.add_entries(lowering, &more.entries),
            _ => Err(twice(lowering, name, span, first)),
        }
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
        let mut outside = Vec::with_capacity(self.fields.len());
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
        let inherit_from = lowering.all(&self.inherit_from)?;
        let mut fields = Vec::with_capacity(self.fields.len());
        for (field, outside) in self.fields.into_iter().zip(outside) {
            let value = match (field.value, outside) {
                (_, Some(expr)) => BindValue::Outside(expr),
                (FieldValue::InheritFrom(source), None) => {
                    let site = lowering.program.add(Expr::Const(Value::Null), field.span);
                    BindValue::From(source, site)
                }
                (value, None) => BindValue::Inside(value.lower(lowering, Some(field.name), field.span)?),
            };
            fields.push((field.name, value));
        }
        let mut dynamic = Vec::with_capacity(self.dynamic.len());
        for entry in self.dynamic {
            let key = lowering.expr(entry.key)?;
            dynamic.push((key, entry.value.lower(lowering, None, entry.span)?));
        }
        Ok(Bindings { recursive: self.recursive, fields, dynamic, inherit_from })
    }
}

impl FieldValue {
    /// The value as a set that more bindings can go into, if it is a set literal.
    fn open(&mut self, lowering: &Lowering<'_>) -> Fallible<Option<&mut SetBuilder>> {
        if let Self::Expr(node) = *self
            && let Node::Set(bindings) = lowering.tree.node(node)
        {
            *self = Self::Set(SetBuilder::new(lowering, bindings, lowering.tree.span(node))?);
        }
        Ok(match self {
            Self::Set(set) => Some(set),
            _ => None,
        })
    }

    fn lower(self, lowering: &mut Lowering<'_>, name: Option<Symbol>, span: Span) -> Fallible<ExprId> {
        match self {
            Self::Expr(node) => lowering.named(node, name),
            Self::Set(set) => {
                let span = set.span;
                let bindings = set.lower(lowering)?;
                Ok(lowering.program.add(Expr::Attrs(bindings.into()), span))
            }
            Self::Inherit | Self::InheritFrom(_) => Err(lowering.syntax(span, "a value is missing")),
        }
    }
}

/// The variable that `inherit name` means: the one outside of the bindings.
fn inherited(lowering: &mut Lowering<'_>, field: &Field) -> Fallible<ExprId> {
    let variable = lowering.variable(field.name, field.span)?;
    Ok(lowering.program.add(variable, field.span))
}

fn already_defined(lowering: &Lowering<'_>, attr: &Attr, span: Span, first: Span) -> Box<Failure> {
    match attr.name {
        AttrName::Static(name) => twice(lowering, name, span, first),
        AttrName::Dynamic(_) => lowering.syntax(span, "a name is missing"),
    }
}

fn twice(lowering: &Lowering<'_>, name: Symbol, span: Span, first: Span) -> Box<Failure> {
    let message = format!("the attribute '{}' is already defined", lowering.program.name(name));
    lowering.syntax(span, message).within(first, || "first defined here".into())
}
