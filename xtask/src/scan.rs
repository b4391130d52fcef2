//! Finds the paths a Rust source names (`std::fs::read`, `use std::{fs, time::Instant}`), outside tests.
//!
//! It works on tokens, so comments and strings never count, and code inside macro calls does. It knows `use` with braces, globs and `as`,
//! and resolves the first segment of a path through the file's own `use` lines. It does not resolve names across files, and it does not
//! expand macros: a path built by a macro of another crate is not seen.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path and the line that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Segments; a glob ends in `*`.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// A file of tests only: `#[cfg(test)] mod name;`, with its `#[path = "..."]` where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestModule {
    pub(crate) name: String,
    pub(crate) path: Option<String>,
}

/// What a file names outside its tests.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) named: Vec<Named>,
    pub(crate) test_modules: Vec<TestModule>,
}

/// Scans one source file.
pub(crate) fn scan(source: &str) -> Result<Scan> {
    let stream = TokenStream::from_str(source).map_err(|error| anyhow!("{error} at line {}", error.span().start().line))?;
    let mut walker = Walker::default();
    walker.walk(&stream.into_iter().collect::<Vec<_>>());
    Ok(walker.finish())
}

#[derive(Default)]
struct Walker {
    imports: Vec<Named>,
    /// What a name of this file stands for, by its `use` lines.
    aliases: BTreeMap<String, Vec<String>>,
    inline: Vec<Named>,
    test_modules: Vec<TestModule>,
}

/// What the attributes before an item say.
#[derive(Default)]
struct Attributes {
    is_test: bool,
    path: Option<String>,
}

impl Walker {
    fn walk(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        let mut after_dot_or_path = false;
        while let Some(token) = tokens.get(at) {
            if is_punct(tokens.get(at), '#') {
                let (next, attributes, is_inner) = read_attributes(tokens, at);
                if attributes.is_test && is_inner {
                    return;
                }
                at = if attributes.is_test { self.skip_item(tokens, next, attributes) } else { next };
                continue;
            }
            match token {
                TokenTree::Ident(ident) if ident == "use" && !after_dot_or_path => {
                    let end = position_of(tokens, at, ';');
                    self.read_use(tokens.get(at + 1..end).unwrap_or_default(), &mut Vec::new());
                    at = end;
                }
                TokenTree::Ident(_) if !after_dot_or_path => {
                    let (next, named) = read_path(tokens, at);
                    self.inline.extend((named.path.len() > 1).then_some(named));
                    at = next;
                    continue;
                }
                TokenTree::Group(group) => self.walk(&group.stream().into_iter().collect::<Vec<_>>()),
                _ => {}
            }
            after_dot_or_path = is_punct(tokens.get(at), '.');
            at += 1;
        }
    }

    /// Skips an item of tests and returns the position after it. Remembers the file of a `mod name;`.
    fn skip_item(&mut self, tokens: &[TokenTree], start: usize, attributes: Attributes) -> usize {
        let mut words = Vec::new();
        for (at, token) in tokens.iter().enumerate().skip(start) {
            match token {
                TokenTree::Ident(ident) => words.push(ident.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == ';' => {
                    if let Some(name) = words.iter().skip_while(|word| *word != "mod").nth(1) {
                        self.test_modules.push(TestModule { name: name.clone(), path: attributes.path });
                    }
                    return at + 1;
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && !ends_with_semicolon(&words) => return at + 1,
                _ => {}
            }
        }
        tokens.len()
    }

    /// Reads the tree after `use`, with the segments before it in `prefix`.
    fn read_use(&mut self, tree: &[TokenTree], prefix: &mut Vec<String>) {
        let depth = prefix.len();
        let mut last_line = 0;
        let mut alias = None;
        let mut is_leaf = true;
        let mut tokens = tree.iter();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) if ident == "as" => alias = tokens.next().map(ToString::to_string),
                TokenTree::Ident(ident) => {
                    last_line = ident.span().start().line;
                    // `std::time::{self}` is `std::time`.
                    if ident != "self" || prefix.is_empty() {
                        prefix.push(ident.to_string());
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    last_line = punct.span().start().line;
                    prefix.push("*".to_owned());
                }
                TokenTree::Group(group) => {
                    is_leaf = false;
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for part in inner.split(|token| is_punct(Some(token), ',')).filter(|part| !part.is_empty()) {
                        self.read_use(part, prefix);
                    }
                }
                _ => {}
            }
        }
        if is_leaf && !prefix.is_empty() {
            let name = alias.or_else(|| prefix.last().cloned()).unwrap_or_default();
            self.aliases.insert(name, prefix.clone());
            self.imports.push(Named { path: prefix.clone(), line: last_line });
        }
        prefix.truncate(depth);
    }

    fn finish(self) -> Scan {
        let resolve = |named: Named| {
            let full = named.path.first().and_then(|first| self.aliases.get(first));
            let path = full.into_iter().flatten().cloned().chain(named.path.iter().skip(usize::from(full.is_some())).cloned()).collect();
            Named { path, line: named.line }
        };
        let mut named: Vec<Named> = self.imports;
        named.extend(self.inline.into_iter().map(resolve));
        named.sort_by_key(|named| named.line);
        Scan { named, test_modules: self.test_modules }
    }
}

/// Reads `a::b::c` from `start`; generic arguments end it. Returns the position after it.
fn read_path(tokens: &[TokenTree], start: usize) -> (usize, Named) {
    let mut named = Named { path: Vec::new(), line: 0 };
    let mut at = start;
    while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
        if named.path.is_empty() {
            named.line = ident.span().start().line;
        }
        named.path.push(ident.to_string());
        if !(is_punct(tokens.get(at + 1), ':') && is_punct(tokens.get(at + 2), ':')) {
            return (at + 1, named);
        }
        at += 3;
    }
    (at, named)
}

/// Reads all attributes from `start`: the position after them, what they say, and whether they are inner ones (`#![...]`).
fn read_attributes(tokens: &[TokenTree], start: usize) -> (usize, Attributes, bool) {
    let mut attributes = Attributes::default();
    let mut at = start;
    let mut is_inner = false;
    while is_punct(tokens.get(at), '#') {
        let bang = is_punct(tokens.get(at + 1), '!');
        let Some(TokenTree::Group(group)) = tokens.get(at + 1 + usize::from(bang)) else { return (at + 1, attributes, is_inner) };
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        if is_test_attribute(&inner) {
            attributes.is_test = true;
            is_inner = bang;
        }
        if let [TokenTree::Ident(name), _, TokenTree::Literal(value)] = inner.as_slice()
            && name == "path"
        {
            attributes.path = Some(value.to_string().trim_matches('"').to_owned());
        }
        at += 2 + usize::from(bang);
    }
    (at, attributes, is_inner)
}

/// `#[test]`, `#[cfg(test)]` or `#[cfg(all(test, ...))]`. `any(test, ...)` and `not(test)` are also code of the product.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    match tokens {
        [TokenTree::Ident(name)] => name == "test",
        [TokenTree::Ident(name), TokenTree::Group(group)] if name == "cfg" || name == "all" => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            inner.split(|token| is_punct(Some(token), ',')).any(is_test_attribute)
        }
        _ => false,
    }
}

/// Whether an item that begins with these words ends at `;` even when a brace comes first, as in `use a::{b};` and `const A: B = B { .. };`.
fn ends_with_semicolon(words: &[String]) -> bool {
    let mut words = words.iter().map(String::as_str).skip_while(|word| matches!(*word, "pub" | "crate" | "super"));
    match words.next() {
        Some("use" | "static" | "type" | "let") => true,
        Some("const") => !matches!(words.next(), Some("fn" | "unsafe" | "async" | "extern")),
        _ => false,
    }
}

fn position_of(tokens: &[TokenTree], start: usize, wanted: char) -> usize {
    tokens.iter().skip(start).position(|token| is_punct(Some(token), wanted)).map_or(tokens.len(), |offset| start + offset)
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn paths(source: &str) -> Vec<String> {
        scan(source).unwrap().named.into_iter().map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn use_trees_are_flattened() {
        assert_eq!(
            paths("use std::{fs, time::{Duration, Instant as Now}, collections::*};"),
            ["std::fs", "std::time::Duration", "std::time::Instant", "std::collections::*",]
        );
        assert_eq!(paths("pub(crate) use ::std::time::{self};"), ["std::time"]);
    }

    #[test]
    fn a_path_is_resolved_through_the_imports_of_the_file() {
        assert_eq!(paths("use std::time;\nfn f() { time::Instant::now(); }"), ["std::time", "std::time::Instant::now"]);
        assert_eq!(paths("use std as s;\nfn f() { s::fs::read(p); }"), ["std", "std::fs::read"]);
        assert_eq!(paths("fn f() { crate::thread::start(); self.thread.join(); }"), ["crate::thread::start"]);
    }

    #[test]
    fn comments_and_strings_do_not_count_and_macro_arguments_do() {
        let source = "//! std::fs\n/// std::net\n// std::thread\n/* std::process */ fn f() { g(\"std::fs::read\", r#\"std::net\"#, 's'); }";
        assert_eq!(paths(source), Vec::<String>::new());
        assert_eq!(paths("fn f() { assert!(vec![std::fs::read(p)].is_empty()); }"), ["std::fs::read"]);
    }

    #[test]
    fn test_items_are_skipped_and_the_code_after_them_is_not() {
        for item in [
            "#[cfg(test)] mod tests { use std::fs; }",
            "#[cfg(test)] use std::{fs, net};",
            "#[cfg(test)] const A: B = B { c: std::fs::x() };",
            "#[cfg(test)] const fn a() { std::fs::x() }",
            "#[cfg(all(test, unix))] #[allow(dead_code)] fn f() { std::fs::x() }",
            "#[test] fn f() { std::fs::x() }",
        ] {
            assert_eq!(paths(&format!("{item} use std::process;")), ["std::process"], "{item}");
        }
        assert_eq!(paths("#![cfg(test)] use std::fs;"), Vec::<String>::new());
    }

    #[test]
    fn code_that_is_only_partly_for_tests_counts() {
        assert_eq!(paths("#[cfg(not(test))] use std::fs;"), ["std::fs"]);
        assert_eq!(paths("#[cfg(any(test, feature = \"x\"))] use std::fs;"), ["std::fs"]);
        assert_eq!(paths("#[derive(Debug)] struct A { a: std::fs::File }"), ["std::fs::File"]);
    }

    #[test]
    fn files_of_tests_are_found() {
        let found = scan("#[cfg(test)] mod tests;\n#[cfg(test)] #[path = \"plan_tests.rs\"] mod more;\nmod code;").unwrap();
        assert_eq!(
            found.test_modules,
            [
                TestModule { name: "tests".to_owned(), path: None },
                TestModule { name: "more".to_owned(), path: Some("plan_tests.rs".to_owned()) },
            ]
        );
    }

    #[test]
    fn lines_are_those_of_the_source() {
        let found = scan("//! A.\n\nuse std::{\n    fmt,\n    fs,\n};\n").unwrap();
        assert_eq!(found.named.iter().map(|named| named.line).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn what_is_not_rust_is_an_error() {
        assert!(scan("fn f( {").is_err());
    }
}
