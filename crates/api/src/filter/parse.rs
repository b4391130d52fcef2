//! Text to expression, by recursive descent.

use super::{
    MAX_DEPTH, MAX_LENGTH, MAX_PATTERNS, MAX_TERMS, Problem,
    expression::{Base, Expression, Literal, Names, Quantifier, Selector, Test},
    lex::{Kind, Token, tokens},
    pattern::Pattern,
};

/// Words that stand between operands and are therefore no bare values.
const RESERVED: &[&str] = &["and", "or", "not", "in"];
/// What follows a selector; these words after `any` or `all` show that those are names of fields there.
const OPERATORS: &[&str] = &["contains", "matches", "is", "in", "not"];

/// The expression, and the first names of its paths with their places.
pub(super) fn parse(text: &str) -> Result<(Expression, Vec<(String, usize)>), Problem> {
    if text.len() > MAX_LENGTH {
        return Err(Problem::new(0, format!("the expression is longer than {MAX_LENGTH} bytes")));
    }
    let mut parser =
        Parser { text, tokens: tokens(text)?, next: 0, depth: 0, terms: 0, patterns: 0, scope: Vec::new(), fields: Vec::new() };
    let root = parser.or()?;
    match parser.peek() {
        Token { kind: Kind::End, .. } => Ok((root, parser.fields)),
        other => Err(other.unexpected("and, or, or the end")),
    }
}

/// The names of a body of `any` or `all`; `_` is none.
type Frame = [Option<String>; 2];

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    terms: usize,
    patterns: usize,
    scope: Vec<Frame>,
    fields: Vec<(String, usize)>,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.ahead(0)
    }
    /// The token `n` places on; beyond the end it is the end.
    fn ahead(&self, n: usize) -> &Token {
        self.tokens.get(self.next + n).or(self.tokens.last()).expect("invariant: the tokens end with one of kind End")
    }
    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }
    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_word(word);
        self.next += usize::from(found);
        found
    }
    fn eat_sign(&mut self, sign: &str) -> bool {
        let found = self.peek().is_sign(sign);
        self.next += usize::from(found);
        found
    }
    fn need_sign(&mut self, sign: &str) -> Result<(), Problem> {
        if self.eat_sign(sign) { Ok(()) } else { Err(self.peek().unexpected(&format!("{sign:?}"))) }
    }

    fn or(&mut self) -> Result<Expression, Problem> {
        let first = self.and()?;
        let mut rest = Vec::new();
        while self.eat_word("or") {
            rest.push(self.and()?);
        }
        Ok(chain(first, rest, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, Problem> {
        let first = self.not()?;
        let mut rest = Vec::new();
        while self.eat_word("and") {
            rest.push(self.not()?);
        }
        Ok(chain(first, rest, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, Problem> {
        let mut negated = false;
        while self.eat_word("not") {
            negated = !negated;
        }
        let operand = self.operand()?;
        Ok(if negated { Expression::Not(Box::new(operand)) } else { operand })
    }

    fn operand(&mut self) -> Result<Expression, Problem> {
        if self.peek().is_sign("(") {
            return self.nested("(", ")");
        }
        let quantifier = match self.peek().word() {
            Some("any") => Some(Quantifier::Any),
            Some("all") => Some(Quantifier::All),
            _ => None,
        };
        match (quantifier, &self.ahead(1).kind) {
            (Some(quantifier), Kind::Text(_)) => self.each(quantifier),
            (Some(quantifier), Kind::Word(w)) if !w.starts_with('.') && !OPERATORS.contains(&w.as_str()) => self.each(quantifier),
            _ => self.comparison(),
        }
    }

    /// An expression between two signs, one level deeper.
    fn nested(&mut self, open: &str, close: &str) -> Result<Expression, Problem> {
        let at = self.peek().span.0;
        self.need_sign(open)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Problem::new(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let inner = self.or()?;
        self.need_sign(close)?;
        self.depth -= 1;
        Ok(inner)
    }

    fn each(&mut self, quantifier: Quantifier) -> Result<Expression, Problem> {
        self.take();
        let over = self.selector()?;
        if !self.eat_word("as") {
            return Err(self.peek().unexpected("as"));
        }
        let first = self.name()?;
        let (names, frame) = if self.eat_sign(",") { (Names::Two, [first, self.name()?]) } else { (Names::One, [first, None]) };
        self.scope.push(frame);
        let body = Box::new(self.nested("{", "}")?);
        self.scope.pop();
        Ok(Expression::Each { quantifier, over, names, body })
    }

    fn name(&mut self) -> Result<Option<String>, Problem> {
        let token = self.take();
        match token.word() {
            Some("_") => Ok(None),
            Some(word) if is_name(word) && !RESERVED.contains(&word) => Ok(Some(word.to_owned())),
            _ => Err(token.unexpected("a name")),
        }
    }

    fn comparison(&mut self) -> Result<Expression, Problem> {
        let first = self.peek().clone();
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(Problem::new(first.span.0, format!("more than {MAX_TERMS} comparisons")));
        }
        // `value in selector` can only be told by what follows the value.
        let after = self.ahead(1);
        if after.is_word("in") || (after.is_word("not") && self.ahead(2).is_word("in")) {
            let value = self.value()?;
            let negated = self.eat_word("not");
            self.take();
            let selector = self.selector()?;
            return Ok(matching(selector, Test::Contains(value), negated));
        }
        let selector = self.selector()?;
        let operator = self.take();
        let (negated, operator) = if operator.is_word("not") { (true, self.take()) } else { (false, operator) };
        match &operator.kind {
            Kind::Sign("==") if !negated => Ok(matching(selector, Test::Equals(self.value()?), false)),
            Kind::Sign("!=") if !negated => Ok(matching(selector, Test::Equals(self.value()?), true)),
            Kind::Word(w) if w == "contains" => Ok(matching(selector, Test::Contains(self.value()?), negated)),
            Kind::Word(w) if w == "matches" => Ok(matching(selector, Test::Matches(self.pattern()?), negated)),
            Kind::Word(w) if w == "is" && !negated => {
                let negated = self.eat_word("not");
                if self.eat_word("empty") { Ok(matching(selector, Test::IsEmpty, negated)) } else { Err(self.peek().unexpected("empty")) }
            }
            _ if negated => Err(operator.unexpected("contains, matches or in")),
            _ => Err(operator.unexpected("an operator (==, !=, contains, matches, in, is empty)")),
        }
    }

    fn value(&mut self) -> Result<Literal, Problem> {
        let token = self.take();
        let at = token.span.0;
        match token.kind {
            Kind::Word(word) if RESERVED.contains(&word.as_str()) => {
                Err(Problem::new(at, format!("expected a value, found {word:?}; put it in double quotes if it is meant as text")))
            }
            Kind::Word(text) | Kind::Text(text) => Ok(Literal { text, at }),
            _ => Err(token.unexpected("a value")),
        }
    }

    fn pattern(&mut self) -> Result<Pattern, Problem> {
        let Literal { text, at } = self.value()?;
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(Problem::new(at, format!("more than {MAX_PATTERNS} patterns")));
        }
        Pattern::compile(&text).map_err(|message| Problem::new(at, message))
    }

    fn selector(&mut self) -> Result<Selector, Problem> {
        let token = self.take();
        let (from, mut to) = token.span;
        let mut path = match &token.kind {
            Kind::Text(pointer) => {
                let path = pointer_path(pointer).ok_or_else(|| token.unexpected("a field (a JSON pointer begins with \"/\")"))?;
                return self.resolved(path, token.span, false);
            }
            Kind::Word(word) => word.split('.').map(str::to_owned).collect::<Vec<_>>(),
            _ => return Err(token.unexpected("a field or a value")),
        };
        while self.eat_sign("[") {
            let index = self.take();
            let Kind::Text(key) = index.kind else { return Err(index.unexpected("a quoted key")) };
            path.push(key);
            to = self.peek().span.1;
            self.need_sign("]")?;
            if let Some(tail) = self.peek().word().and_then(|w| w.strip_prefix('.')) {
                path.extend(tail.split('.').map(str::to_owned));
                to = self.take().span.1;
            }
        }
        let written = self.text.get(from..to).unwrap_or_default();
        if !path.first().is_some_and(|name| is_name(name)) || written.ends_with('.') || written.contains("..") {
            return Err(Problem::new(from, format!("{written:?} is no field; a field is like Name, Meta.key or Meta[\"key\"]")));
        }
        self.resolved(path, (from, to), true)
    }

    /// Finds out where a path begins.
    fn resolved(&mut self, mut path: Vec<String>, span: (usize, usize), may_be_name: bool) -> Result<Selector, Problem> {
        let first = path.first().ok_or_else(|| Problem::new(span.0, "the path of a field is empty"))?;
        let bound = if may_be_name { self.bound(first) } else { None };
        let base = match bound {
            Some((depth, second)) => {
                path.remove(0);
                Base::Name { depth, second }
            }
            None => {
                self.fields.push((first.clone(), span.0));
                Base::Object
            }
        };
        Ok(Selector { base, path, span })
    }

    /// The innermost body that has this name: how deep it is, and whether the name is its second.
    fn bound(&self, name: &str) -> Option<(usize, bool)> {
        self.scope.iter().enumerate().rev().find_map(|(depth, [first, second])| {
            let is = |named: &Option<String>| named.as_deref() == Some(name);
            if is(first) { Some((depth, false)) } else { is(second).then_some((depth, true)) }
        })
    }
}

fn chain(first: Expression, mut rest: Vec<Expression>, all: fn(Vec<Expression>) -> Expression) -> Expression {
    if rest.is_empty() {
        return first;
    }
    rest.insert(0, first);
    all(rest)
}

fn matching(selector: Selector, test: Test, negated: bool) -> Expression {
    let positive = Expression::Match { selector, test };
    if negated { Expression::Not(Box::new(positive)) } else { positive }
}

/// A letter, and letters, digits and `_ - / : +` after it.
fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The keys of a JSON pointer (RFC 6901); `None` when it is none or leads nowhere.
fn pointer_path(pointer: &str) -> Option<Vec<String>> {
    let keys = pointer.strip_prefix('/').filter(|k| !k.is_empty())?;
    Some(keys.split('/').map(|k| k.replace("~1", "/").replace("~0", "~")).collect())
}
