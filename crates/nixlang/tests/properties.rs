//! Properties: whatever the input, the evaluator answers; and where there is a
//! simpler truth to compare with, it agrees.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;

use floe_nixlang::{ErrorKind, EvalError, Limits, MemoryFiles, eval_file};
use proptest::prelude::*;
use serde_json::{Value, json};

fn eval(source: &str) -> Result<Value, EvalError> {
    let limits = Limits { fuel: 200_000, memory_bytes: 16 << 20, depth: 1_000, ..Limits::default() };
    let files = MemoryFiles::new([("a.nix", "1"), ("b/default.nix", "{ x }: x")]).unwrap();
    eval_file("job.nix", source, &files, &limits)
}

/// Any answer will do, but an answer it must be, and one that can be printed.
fn answers(source: &str) {
    if let Err(error) = eval(source) {
        assert_ne!(error.kind, ErrorKind::Internal, "{source:?}: {error}");
        assert!(error.line >= 1 && error.column >= 1, "{error}");
        assert!(error.to_string().len() < 50_000, "{source:?}");
    }
}

/// Everything of the language that the golden cases show.
fn corpus() -> Vec<String> {
    let files = [
        include_str!("golden/language.txt"),
        include_str!("golden/builtins.txt"),
        include_str!("golden/lib.txt"),
        include_str!("../src/builtins/lib.nix"),
    ];
    let cases = files.iter().flat_map(|text| text.split("\n\n"));
    cases.map(|case| case.lines().filter(|line| !line.starts_with("=> ")).collect::<Vec<_>>().join("\n")).collect()
}

const WORDS: [&str; 63] = [
    "a",
    "b",
    "x",
    "1",
    "2.5",
    "\"s\"",
    "''t''",
    "''",
    "\"",
    "${",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    ";",
    ":",
    ",",
    ".",
    "=",
    "@",
    "?",
    "...",
    "let",
    "in",
    "rec",
    "with",
    "inherit",
    "if",
    "then",
    "else",
    "assert",
    "or",
    "!",
    "-",
    "+",
    "*",
    "/",
    "++",
    "//",
    "==",
    "!=",
    "<",
    "<=",
    "&&",
    "||",
    "->",
    "./a.nix",
    "import",
    "builtins",
    "map",
    "toString",
    "null",
    "true",
    "throw",
    "#",
    "/*",
    "*/",
    "\n",
    "__functor",
    "<a>",
    "|>",
];

fn word_soup() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..40).prop_map(|words| words.join(" "))
}

/// A change to a source: where, how much is taken away, and what is put there.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        Just(String::new()),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..6_usize, piece), 1..6);
    (prop::sample::select(corpus()), edits).prop_map(|(source, edits)| {
        let mut chars: Vec<char> = source.chars().collect();
        for (at, removed, piece) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, piece.chars());
        }
        chars.into_iter().collect()
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_filter("has a literal", |int| *int != i64::MIN).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            // Not the names that turn a set into something else.
            prop::collection::btree_map("[a-z ]{0,6}", inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

fn nix_string(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${").replace('\r', "\\r");
    format!("\"{escaped}\"")
}

fn nix_text(value: &Value) -> String {
    match value {
        Value::String(text) => nix_string(text),
        Value::Number(number) => format!("({number})"),
        Value::Array(items) => format!("[ {} ]", items.iter().map(nix_text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let bind = |(name, value): (&String, &Value)| format!("{} = {};", nix_string(name), nix_text(value));
            format!("{{ {} }}", map.iter().map(bind).collect::<String>())
        }
        other => other.to_string(),
    }
}

fn checked(operator: &str, a: i64, b: i64) -> Option<i64> {
    match operator {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        _ => a.checked_div(b),
    }
}

/// Small numbers, large ones, and the edges.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![-20..20_i64, any::<i64>(), prop::sample::select(vec![i64::MIN, i64::MIN + 1, i64::MAX, 0, -1])]
}

fn literal(int: i64) -> String {
    // The least integer has no literal of its own, as in Nix.
    if int == i64::MIN { "(-9223372036854775807 - 1)".into() } else { format!("({int})") }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        answers(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,80}") {
        answers(&text);
    }

    #[test]
    fn any_words_are_answered(text in word_soup()) {
        answers(&text);
    }

    #[test]
    fn any_change_to_a_source_is_answered(source in mutated()) {
        answers(&source);
    }

    #[test]
    fn arithmetic_is_checked(a in number(), b in number(), operator in prop::sample::select(vec!["+", "-", "*", "/"])) {
        let result = eval(&format!("{} {operator} {}", literal(a), literal(b)));
        match checked(operator, a, b) {
            Some(want) => prop_assert_eq!(result.unwrap(), want),
            None => {
                let message = &result.unwrap_err().message;
                let says = if operator == "/" && b == 0 { "division by zero" } else { "integer overflow" };
                prop_assert!(message.contains(says), "{}", message);
            }
        }
    }

    #[test]
    fn comparisons_agree(a in number(), b in number()) {
        let (x, y) = (literal(a), literal(b));
        let result = eval(&format!("[ ({x} < {y}) ({x} <= {y}) ({x} == {y}) ({x} != {y}) ({x} > {y}) ({x} >= {y}) ]"));
        prop_assert_eq!(result.unwrap(), json!([a < b, a <= b, a == b, a != b, a > b, a >= b]));
    }

    #[test]
    fn data_is_its_own_value(value in any_json()) {
        prop_assert_eq!(eval(&nix_text(&value)).unwrap(), value);
    }

    #[test]
    fn json_goes_round(value in any_json()) {
        let source = format!("let v = {}; in builtins.fromJSON (builtins.toJSON v) == v", nix_text(&value));
        prop_assert_eq!(eval(&source).unwrap(), true);
    }

    #[test]
    fn sorting_is_stable(keys in prop::collection::vec(0..5_i64, 0..30)) {
        let items: Vec<Value> = keys.iter().enumerate().map(|(at, key)| json!({ "k": key, "at": at })).collect();
        let mut want = items.clone();
        want.sort_by_key(|item| item["k"].as_i64());
        let source = format!("builtins.sort (a: b: a.k < b.k) {}", nix_text(&json!(items)));
        prop_assert_eq!(eval(&source).unwrap(), json!(want));
    }

    #[test]
    fn a_contradictory_order_is_answered(items in prop::collection::vec(any::<i8>(), 0..40), twist in 1..7_i64) {
        let source = format!("builtins.length (builtins.sort (a: b: (a * {twist} - b) / 3 < b - a) {})", nix_text(&json!(items)));
        prop_assert_eq!(eval(&source).unwrap(), items.len());
    }

    #[test]
    fn updates_prefer_the_right(a in prop::collection::btree_map("[a-e]", any::<i8>(), 0..5), b in prop::collection::btree_map("[a-e]", any::<i8>(), 0..5)) {
        let mut want: BTreeMap<String, i8> = a.clone();
        want.extend(b.clone());
        prop_assert_eq!(eval(&format!("{} // {}", nix_text(&json!(a)), nix_text(&json!(b)))).unwrap(), json!(want));
    }

    #[test]
    fn substrings_agree(text in "[a-zé]{0,10}", start in 0..12_usize, length in 0..12_usize) {
        let from = start.min(text.len());
        let to = (start + length).clamp(from, text.len());
        let result = eval(&format!("builtins.substring {start} {length} {}", nix_string(&text)));
        match text.get(from..to) {
            Some(part) => prop_assert_eq!(result.unwrap(), part),
            None => prop_assert!(result.unwrap_err().message.contains("cut a character")),
        }
    }

    #[test]
    fn replacing_agrees(text in "[ab]{0,12}", to in "[abc]{0,3}", from in "[ab]{1,2}") {
        let source = format!("builtins.replaceStrings [ \"{from}\" ] [ \"{to}\" ] \"{text}\"");
        prop_assert_eq!(eval(&source).unwrap(), text.replace(&from, &to));
    }

    #[test]
    fn any_pattern_is_answered(pattern in "[ab(){}|*+?.^$\\[\\]\\\\:0-9-]{0,12}", text in "[ab]{0,8}") {
        answers(&format!("builtins.match {} \"{text}\"", nix_string(&pattern)));
        answers(&format!("builtins.split {} \"{text}\"", nix_string(&pattern)));
    }
}
