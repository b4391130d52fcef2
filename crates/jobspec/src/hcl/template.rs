//! Templates: text with `${ ... }` and `%{ ... }`. What only the node knows stays as it was written.

use std::borrow::Cow;

use hcl_edit::{
    expr::{Expression, TraversalOperator},
    template::{Directive, Element, ForDirective, HeredocTemplate, Interpolation, StringTemplate, Template},
};

use super::{
    eval::{Context, Env, Unit, is_runtime_root, pairs, source_text, spend},
    scope::Scope,
};
use crate::{
    diagnostic::{At, Fallible, Fault},
    value::Value,
};

/// The value of text in quotes. One interpolation and nothing else gives its value, of whatever type.
pub(crate) fn string(cx: &Context<'_>, template: &StringTemplate, unit: Unit<'_>, env: &Env<'_>) -> Fallible<Value> {
    let at = template.get(0).map_or(At::File(unit.source), |first| {
        let last = template.get(template.len().saturating_sub(1)).unwrap_or(first);
        unit.at(super::eval::merge(hcl_edit::Span::span(first), hcl_edit::Span::span(last)))
    });
    quoted(cx, template, unit, env, &at)
}

/// As [`string`], for a bare template.
pub(crate) fn quoted(cx: &Context<'_>, template: &Template, unit: Unit<'_>, env: &Env<'_>, at: &At) -> Fallible<Value> {
    match template.as_single_element() {
        Some(Element::Interpolation(i)) if !is_runtime(&i.expr, env) => cx.eval(&i.expr, unit, env),
        _ => render(cx, template, unit, env, at),
    }
}

/// The text of a template.
pub(crate) fn render(cx: &Context<'_>, template: &Template, unit: Unit<'_>, env: &Env<'_>, at: &At) -> Fallible<Value> {
    dedented(cx, template, 0, unit, env, at)
}

/// The text of a heredoc. What `<<-` takes off its lines, the library's parser takes only off those outside of directives.
pub(crate) fn heredoc(cx: &Context<'_>, heredoc: &HeredocTemplate, unit: Unit<'_>, env: &Env<'_>, at: &At) -> Fallible<Value> {
    dedented(cx, &heredoc.template, heredoc.indent().unwrap_or(0), unit, env, at)
}

fn dedented(cx: &Context<'_>, template: &Template, indent: usize, unit: Unit<'_>, env: &Env<'_>, at: &At) -> Fallible<Value> {
    let mut out = Output { cx, text: String::new(), indent, level: 0 };
    out.elements(template, unit, env)?;
    cx.text(out.text, at)
}

/// True when the expression begins with a name that nothing here defines: it belongs to the node, or to a shell.
fn is_runtime(expression: &Expression, env: &Env<'_>) -> bool {
    let root = match expression {
        Expression::Variable(name) => name,
        Expression::Traversal(t) => {
            let splat = |op: &TraversalOperator| matches!(op, TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_));
            match &t.expr {
                Expression::Variable(name) if !t.operators.iter().any(|op| splat(op.value())) => name,
                _ => return false,
            }
        }
        _ => return false,
    };
    !Scope::is_root(root.as_str()) && env.get(root.as_str()).is_none()
}

struct Output<'c, 'a> {
    cx: &'c Context<'a>,
    text: String,
    /// Spaces that are taken off each line inside directives.
    indent: usize,
    /// How many directives are open.
    level: usize,
}

impl Output<'_, '_> {
    fn elements(&mut self, template: &Template, unit: Unit<'_>, env: &Env<'_>) -> Fallible<()> {
        // A template within a directive is a level of its own, and it is not an expression that would count itself.
        let elements: Vec<&Element> = template.iter().collect();
        for (i, element) in elements.iter().enumerate() {
            let before = i.checked_sub(1).and_then(|i| elements.get(i)).is_some_and(|e| strips(e).1);
            let after = elements.get(i + 1).is_some_and(|e| strips(e).0);
            self.element(element, (before, after), unit, env)?;
        }
        Ok(())
    }

    fn element(&mut self, element: &Element, strip: (bool, bool), unit: Unit<'_>, env: &Env<'_>) -> Fallible<()> {
        match element {
            Element::Literal(text) if self.level > 0 && self.indent > 0 => {
                let text = dedent(text.value(), self.indent);
                self.push(stripped(&text, strip), &unit.at_node(element))
            }
            Element::Literal(text) => self.push(stripped(text.value(), strip), &unit.at_node(element)),
            Element::Interpolation(i) => self.interpolation(i, unit, env),
            Element::Directive(directive) => match &**directive {
                Directive::If(d) => {
                    let (inner, strip) = match &d.else_expr {
                        _ if self.cx.condition(&d.if_expr.cond_expr, unit, env)? => {
                            let end = d.else_expr.as_ref().map_or(d.endif_expr.strip, |e| e.strip);
                            (Some(&d.if_expr.template), (d.if_expr.strip.strip_end(), end.strip_start()))
                        }
                        Some(e) => (Some(&e.template), (e.strip.strip_end(), d.endif_expr.strip.strip_start())),
                        None => (None, (false, false)),
                    };
                    inner.map_or(Ok(()), |template| self.inner(template, strip, unit, env))
                }
                Directive::For(d) => self.for_directive(d, unit, env),
            },
        }
    }

    fn for_directive(&mut self, d: &ForDirective, unit: Unit<'_>, env: &Env<'_>) -> Fallible<()> {
        let intro = &d.for_expr;
        let collection = self.cx.eval(&intro.collection_expr, unit, env)?;
        let strip = (intro.strip.strip_end(), d.endfor_expr.strip.strip_start());
        for (key, value) in pairs(&collection, &unit.at_node(&intro.collection_expr))? {
            spend(&unit.at_node(&intro.collection_expr), self.cx.budget.work(1))?;
            match &intro.key_var {
                Some(key_var) => {
                    let names = [(intro.value_var.as_str(), value), (key_var.as_str(), key)];
                    self.inner(&intro.template, strip, unit, &env.with(&names))?;
                }
                None => self.inner(&intro.template, strip, unit, &env.with(&[(intro.value_var.as_str(), value)]))?,
            }
        }
        Ok(())
    }

    /// The body of a directive, whose own markers strip its ends.
    fn inner(&mut self, template: &Template, strip: (bool, bool), unit: Unit<'_>, env: &Env<'_>) -> Fallible<()> {
        let start = self.text.len();
        self.level += 1;
        self.elements(template, unit, env)?;
        self.level -= 1;
        let written = self.text.get(start..).unwrap_or("");
        let kept = stripped(written, strip);
        if kept.len() < written.len() {
            let kept = kept.into_owned();
            self.text.truncate(start);
            self.text.push_str(&kept);
        }
        Ok(())
    }

    fn interpolation(&mut self, i: &Interpolation, unit: Unit<'_>, env: &Env<'_>) -> Fallible<()> {
        let at = unit.at_node(i);
        if is_runtime(&i.expr, env) {
            let written = hcl_edit::Span::span(i).and_then(|range| unit.text.get(range)).filter(|_| strips_nothing(i));
            self.suspect(&i.expr, &at);
            let text = written.map_or_else(|| format!("${{{}}}", source_text(&i.expr, unit)).into(), Cow::Borrowed);
            return self.push(text, &at);
        }
        let value = self.cx.eval(&i.expr, unit, env)?;
        match value.to_text() {
            Some(text) => self.push(Cow::Borrowed(&text), &at),
            None => Err(Fault::new(&at, format!("only text, numbers and true or false fit into text, found {}", value.describe()))),
        }
    }

    /// `${vra.x}` stays text, as it does in Nomad, but is hardly meant.
    fn suspect(&self, expression: &Expression, at: &At) {
        if let Expression::Traversal(t) = expression
            && let Expression::Variable(root) = &t.expr
            && !is_runtime_root(root.as_str())
            && let Some(near) = self.cx.budget.nearest(root.as_str(), ["var", "local"].into_iter())
        {
            let message =
                format!("{0} is no name that the job file knows, so ${{{0}...}} stays as it is: did you mean {near}?", root.as_str());
            self.cx.warn(at, message);
        }
    }

    fn push(&mut self, text: Cow<'_, str>, at: &At) -> Fallible<()> {
        if self.text.len() + text.len() > self.cx.budget.limits().value_bytes {
            let message = format!("a text has more than {} bytes, the limit", self.cx.budget.limits().value_bytes);
            return Err(Fault::fatal(at, message));
        }
        spend(at, self.cx.budget.work(1 + text.len() / 64))?;
        self.text.push_str(&text);
        Ok(())
    }
}

/// Whether the element strips the literal before it, and the one after it.
fn strips(element: &Element) -> (bool, bool) {
    match element {
        Element::Literal(_) => (false, false),
        Element::Interpolation(i) => (i.strip.strip_start(), i.strip.strip_end()),
        Element::Directive(d) => match &**d {
            Directive::If(d) => (d.if_expr.strip.strip_start(), d.endif_expr.strip.strip_end()),
            Directive::For(d) => (d.for_expr.strip.strip_start(), d.endfor_expr.strip.strip_end()),
        },
    }
}

/// Takes up to `indent` spaces and tabs off each line but the first, which goes on a line that has begun.
fn dedent(text: &str, indent: usize) -> String {
    let mut lines = text.split('\n');
    let mut out = lines.next().unwrap_or("").to_owned();
    for line in lines {
        let blank = line.bytes().take(indent).take_while(|b| matches!(b, b' ' | b'\t')).count();
        out.push('\n');
        out.push_str(line.get(blank..).unwrap_or(""));
    }
    out
}

fn strips_nothing(i: &Interpolation) -> bool {
    !i.strip.strip_start() && !i.strip.strip_end()
}

fn stripped(text: &str, (start, end): (bool, bool)) -> Cow<'_, str> {
    let text = if start { text.trim_start() } else { text };
    Cow::Borrowed(if end { text.trim_end() } else { text })
}
