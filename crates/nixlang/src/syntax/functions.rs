//! Parsing functions: `x: body` and `{ a, b ? 1, ... } @ whole: body`.

use rnix::SyntaxKind as Kind;

use super::ast::{Span, Symbol};
use super::parser::Parser;
use super::tree::{Formal, Node, NodeId, Parameter, Pattern};
use crate::error::Fallible;

impl Parser<'_> {
    /// Whether a function begins here. A `{` does if what follows cannot be a set.
    pub(super) fn is_lambda(&self) -> bool {
        match (self.peek(), self.peek_at(1), self.peek_at(2)) {
            (Some(Kind::TOKEN_IDENT), Some(Kind::TOKEN_COLON | Kind::TOKEN_AT), _) => true,
            (Some(Kind::TOKEN_L_BRACE), Some(Kind::TOKEN_ELLIPSIS), _) => true,
            (Some(Kind::TOKEN_L_BRACE), Some(Kind::TOKEN_R_BRACE), Some(Kind::TOKEN_COLON | Kind::TOKEN_AT)) => true,
            (Some(Kind::TOKEN_L_BRACE), Some(Kind::TOKEN_IDENT), Some(third)) => {
                matches!(third, Kind::TOKEN_COMMA | Kind::TOKEN_QUESTION | Kind::TOKEN_R_BRACE)
            }
            _ => false,
        }
    }

    pub(super) fn lambda(&mut self, start: Span) -> Fallible<NodeId> {
        let parameter = self.parameter()?;
        self.expect(Kind::TOKEN_COLON)?;
        let body = self.expr()?;
        let mut children = vec![body];
        if let Parameter::Pattern(pattern) = &parameter {
            children.extend(pattern.formals.iter().filter_map(|formal| formal.default));
        }
        self.add(Node::Lambda(parameter, body), self.since(start), &children)
    }

    fn parameter(&mut self) -> Fallible<Parameter> {
        let mut before = None;
        if self.peek() == Some(Kind::TOKEN_IDENT) {
            let (name, span) = self.formal_name()?;
            if !self.next_if(Kind::TOKEN_AT) {
                return Ok(Parameter::Name(name));
            }
            before = Some(Formal { name, span, default: None });
        }
        let mut pattern = self.pattern()?;
        let at = self.here();
        if self.next_if(Kind::TOKEN_AT) {
            let (name, span) = self.formal_name()?;
            pattern.whole = Some(Formal { name, span, default: None });
        }
        if before.is_some() && pattern.whole.is_some() {
            return Err(self.syntax(at, "the pattern has an '@' name on both sides"));
        }
        pattern.whole = pattern.whole.or(before);
        self.refuse_duplicates(&pattern)?;
        Ok(Parameter::Pattern(pattern))
    }

    fn formal_name(&mut self) -> Fallible<(Symbol, Span)> {
        let span = self.here();
        if self.peek() != Some(Kind::TOKEN_IDENT) {
            return Err(self.unexpected("a name"));
        }
        let name = self.take();
        Ok((self.program.intern(name), span))
    }

    fn pattern(&mut self) -> Fallible<Pattern> {
        let mut pattern = Pattern::default();
        self.expect(Kind::TOKEN_L_BRACE)?;
        loop {
            match self.peek() {
                Some(Kind::TOKEN_R_BRACE) => break,
                Some(Kind::TOKEN_ELLIPSIS) => {
                    self.take();
                    pattern.has_ellipsis = true;
                    break;
                }
                Some(Kind::TOKEN_IDENT) => {
                    let (name, span) = self.formal_name()?;
                    let has_default = self.next_if(Kind::TOKEN_QUESTION);
                    let default = if has_default { Some(self.expr()?) } else { None };
                    pattern.formals.push(Formal { name, span, default });
                }
                _ => return Err(self.unexpected("an argument's name, '...' or '}'")),
            }
            if !self.next_if(Kind::TOKEN_COMMA) {
                break;
            }
        }
        if !self.next_if(Kind::TOKEN_R_BRACE) {
            return Err(self.unexpected("',' or '}'"));
        }
        Ok(pattern)
    }

    fn refuse_duplicates(&self, pattern: &Pattern) -> Fallible<()> {
        let mut formals: Vec<&Formal> = pattern.formals.iter().chain(pattern.whole.as_ref()).collect();
        formals.sort_by_key(|formal| (formal.name, formal.span.start));
        for pair in formals.windows(2) {
            if let [first, second] = pair
                && first.name == second.name
            {
                let message = format!("the argument '{}' is given twice", self.program.name(second.name));
                return Err(self.syntax(second.span, message).within(first.span, || "first given here".into()));
            }
        }
        Ok(())
    }
}
