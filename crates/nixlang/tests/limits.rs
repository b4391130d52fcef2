//! Every bound: a file at it evaluates, one past it ends in an error that names
//! the bound. And hostile files end in an error at all, in bounded time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::time::{Duration, Instant};

use floe_nixlang::limits::{
    DEFAULT_FUEL, DEFAULT_STRING_BYTES, MAX_ATTRPATH_LEN, MAX_DEPTH, MAX_EXPRESSION_DEPTH, MAX_MEMORY_BYTES, MAX_MESSAGES,
    MAX_OUTPUT_DEPTH, MAX_SOURCE_BYTES,
};
use floe_nixlang::{ErrorKind, EvalError, Limits, MemoryFiles, Request, eval_file, evaluate};
use serde_json::Value;

fn eval(source: &str, limits: &Limits) -> Result<Value, EvalError> {
    eval_file("job.nix", source, &MemoryFiles::default(), limits)
}

/// `limits` with one field at exactly what `source` needs: found by bisection, so
/// that the test also fails where a bound is not counted at all.
fn least(mut fits: impl FnMut(u64) -> bool, most: u64) -> u64 {
    let (mut low, mut high) = (0, most);
    assert!(fits(high), "does not fit into {most}");
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

fn refused(result: Result<Value, EvalError>, name: &str) {
    let error = result.expect_err(name);
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    assert!(error.message.contains(name), "{error}");
}

#[test]
fn fuel() {
    let source = "builtins.foldl' (a: b: a + b) 0 (builtins.genList (n: n) 1000)";
    let with = |fuel| eval(source, &Limits { fuel, ..Limits::default() });
    let needed = least(|fuel| with(fuel).is_ok(), 1_000_000);
    assert!(needed > 3_000, "{needed}");
    assert_eq!(with(needed).unwrap(), 499_500);
    refused(with(needed - 1), "limit fuel");
}

#[test]
fn memory() {
    let source = "builtins.length (builtins.genList (n: n) 10000)";
    let with = |memory_bytes| eval(source, &Limits { memory_bytes, ..Limits::default() });
    let needed = least(|bytes| with(bytes).is_ok(), 10_000_000);
    assert!(needed > 10_000 * 64, "{needed}");
    assert_eq!(with(needed).unwrap(), 10_000);
    refused(with(needed - 1), "limit memory_bytes");
}

#[test]
fn depth() {
    let source = "let f = n: if n == 0 then 0 else 1 + f (n - 1); in f 100";
    let with = |depth| eval(source, &Limits { depth, ..Limits::default() });
    let needed = u32::try_from(least(|depth| with(u32::try_from(depth).unwrap()).is_ok(), 10_000)).unwrap();
    assert!(needed > 100, "{needed}");
    assert_eq!(with(needed).unwrap(), 100);
    refused(with(needed - 1), "limit depth");
}

#[test]
fn source_bytes() {
    let with = |source_bytes| eval("1 + 22", &Limits { source_bytes, ..Limits::default() });
    assert_eq!(with(6).unwrap(), 23);
    refused(with(5), "limit source_bytes is 5");
}

#[test]
fn imported_files() {
    let files = MemoryFiles::new([("a.nix", "1"), ("b.nix", "22222")]).unwrap();
    let with = |limits: Limits| eval_file("job.nix", "import ./a.nix + import ./b.nix + import ./a.nix", &files, &limits);
    assert_eq!(with(Limits { files: 2, ..Limits::default() }).unwrap(), 22_224);
    refused(with(Limits { files: 1, ..Limits::default() }), "limit files");
    let source = "builtins.readFile ./b.nix";
    let read = |source_bytes| eval_file("job.nix", source, &files, &Limits { source_bytes, ..Limits::default() });
    assert_eq!(read(25).unwrap(), "22222");
    let long = MemoryFiles::new([("b.nix", "2".repeat(26).as_str())]).unwrap();
    let read = |source_bytes| eval_file("job.nix", source, &long, &Limits { source_bytes, ..Limits::default() });
    assert!(read(26).is_ok());
    refused(read(25), "cannot read 'b.nix': it has more than 25 bytes");
}

#[test]
fn string_bytes() {
    // Each makes one string of 100 bytes, and none that is longer.
    let files = MemoryFiles::new([("half", "x".repeat(50).as_str()), ("whole", "x".repeat(100).as_str())]).unwrap();
    for source in [
        "let h = builtins.readFile ./half; in h + h",
        "let h = builtins.readFile ./half; in \"${h}${h}\"",
        "builtins.readFile ./whole",
        "builtins.concatStringsSep \"xx\" (builtins.genList (n: \"x\") 34)",
        "builtins.concatStringsSep \"\" (builtins.genList (n: \"x\") 100)",
        "builtins.replaceStrings [ \"y\" ] [ (builtins.readFile ./half) ] \"yy\"",
        "let h = builtins.readFile ./half; in toString [ h (builtins.substring 0 49 h) ]",
        "builtins.toJSON (builtins.genList (n: 1000) 20 ++ [ ])",
    ] {
        let with = |string_bytes| eval_file("job.nix", source, &files, &Limits { string_bytes, ..Limits::default() });
        let text = with(DEFAULT_STRING_BYTES).unwrap();
        let bytes = text.as_str().unwrap().len();
        assert!((100..=101).contains(&bytes), "{source}: {bytes}");
        assert_eq!(with(bytes).unwrap(), text, "{source}");
        refused(with(bytes - 1), "limit string_bytes");
    }
}

#[test]
fn list_len() {
    // The set `builtins` counts as well, so the bounds here are above its size.
    for source in [
        "builtins.length (builtins.genList (n: n) 500)",
        "let l = builtins.genList (n: n) 250; in builtins.length (l ++ l)",
        "let l = builtins.genList (n: n) 250; in builtins.length (builtins.concatLists [ l l ])",
        "let l = builtins.genList (n: n) 250; in builtins.length (builtins.concatMap (x: [ x x ]) l)",
        "let n = x: { name = x; value = x; }; l = builtins.genList (x: n (toString x)) 500; in builtins.length (builtins.attrNames (builtins.listToAttrs l))",
    ] {
        let with = |list_len| eval(source, &Limits { list_len, ..Limits::default() });
        assert_eq!(with(500).unwrap(), 500, "{source}");
        refused(with(499), "limit list_len");
    }
}

#[test]
fn output() {
    let with = |output_bytes| eval("[ 1 \"ab\" { c = null; } ]", &Limits { output_bytes, ..Limits::default() });
    let needed = usize::try_from(least(|bytes| with(usize::try_from(bytes).unwrap()).is_ok(), 10_000)).unwrap();
    assert!(needed >= 20, "{needed}");
    refused(with(needed - 1), "limit output_bytes");

    let nested = |depth: usize| format!("{}1{}", "[ ".repeat(depth), " ]".repeat(depth));
    let with = |depth| eval(&nested(depth), &Limits { output_depth: 20, ..Limits::default() });
    assert!(with(20).is_ok());
    refused(with(21), "limit output_depth");
    let text = eval(&format!("builtins.toJSON {}", nested(100)), &Limits::default()).unwrap();
    assert!(serde_json::from_str::<Value>(text.as_str().unwrap()).is_ok());
}

#[test]
fn limits_have_limits() {
    let most = Limits {
        memory_bytes: MAX_MEMORY_BYTES,
        depth: MAX_DEPTH,
        output_depth: MAX_OUTPUT_DEPTH,
        source_bytes: MAX_SOURCE_BYTES,
        ..Limits::default()
    };
    assert_eq!(eval("1", &most).unwrap(), 1);
    refused(eval("1", &Limits { depth: MAX_DEPTH + 1, ..most.clone() }), "limits: depth");
    refused(eval("1", &Limits { memory_bytes: MAX_MEMORY_BYTES + 1, ..most.clone() }), "limits: memory_bytes");
    refused(eval("1", &Limits { output_depth: MAX_OUTPUT_DEPTH + 1, ..most.clone() }), "limits: output_depth");
    refused(eval("1", &Limits { source_bytes: MAX_SOURCE_BYTES + 1, ..most }), "limits: source_bytes");
}

#[test]
fn the_deepest_result_is_dropped_on_a_small_stack() {
    let limits = Limits { output_depth: MAX_OUTPUT_DEPTH, ..Limits::default() };
    let source = "builtins.foldl' (acc: n: { a = acc; }) 1 (builtins.genList (n: n) 512)";
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let thread = small.spawn(move || drop(eval(source, &limits).unwrap())).unwrap();
    thread.join().unwrap();
}

#[test]
fn expression_depth() {
    // A sum is as deep as it has operators: its own node, and one operand.
    let sum = |terms: u32| format!("{}1", "1 + ".repeat(usize::try_from(terms).unwrap() - 1));
    assert_eq!(eval(&sum(MAX_EXPRESSION_DEPTH), &Limits::default()).unwrap(), MAX_EXPRESSION_DEPTH);
    refused(eval(&sum(MAX_EXPRESSION_DEPTH + 1), &Limits::default()), "nested more than 1000 deep");
}

#[test]
fn attribute_path_length() {
    let binding = |parts: usize| format!("builtins.length (builtins.attrNames {{ {} = 1; }})", vec!["a"; parts].join("."));
    assert_eq!(eval(&binding(MAX_ATTRPATH_LEN), &Limits::default()).unwrap(), 1);
    refused(eval(&binding(MAX_ATTRPATH_LEN + 1), &Limits::default()), "more than 64 parts");
}

#[test]
fn messages_are_kept_up_to_a_number() {
    let messages = |count: usize| {
        let source = format!("builtins.foldl' (a: n: builtins.trace \"m\" n) 0 (builtins.genList (n: n) {count})");
        let (files, limits) = (MemoryFiles::default(), Limits::default());
        let request = Request { source_name: "job.nix", source: &source, files: &files, limits: &limits, args: None };
        evaluate(&request).unwrap().messages.len()
    };
    assert_eq!(messages(MAX_MESSAGES), MAX_MESSAGES);
    assert_eq!(messages(MAX_MESSAGES + 1), MAX_MESSAGES);
}

/// Each must end in an error, whatever its kind, and soon. The time is generous:
/// it is for unoptimised builds on a busy machine.
fn ends(name: &str, source: &str) -> EvalError {
    let start = Instant::now();
    // A tenth of the default fuel: what does not end by then does not end.
    let limits = Limits { fuel: DEFAULT_FUEL / 10, ..Limits::default() };
    let error = eval(source, &limits).expect_err(name);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(60), "{name} took {took:?}");
    assert_ne!(error.kind, ErrorKind::Internal, "{name}: {error}");
    error
}

#[test]
fn hostile_sources_are_refused_by_the_parser() {
    let half = 99_000;
    for (name, source) in [
        ("parentheses", "(".repeat(100_000)),
        ("lists", "[".repeat(100_000)),
        ("sets", "{a=".repeat(60_000)),
        ("interpolations", "\"${".repeat(60_000)),
        ("minuses", format!("{}1", "- ".repeat(half))),
        ("nots", format!("{}true", "! ".repeat(half))),
        ("concatenations", format!("{}[]", "[]++".repeat(half / 2))),
        ("updates", format!("{}{{}}", "{}//".repeat(half / 2))),
        ("implications", format!("{}a", "a->".repeat(half))),
        ("sums", format!("{}1", "1+ ".repeat(half))),
        ("applications", "a ".repeat(half)),
        ("selections", format!("[{}]", "a.a or ".repeat(half / 2))),
        ("has", format!("a{}", " ? a".repeat(half / 2))),
        ("lambdas", format!("{}1", "a: ".repeat(half))),
        ("patterns", format!("{}1", "{}: ".repeat(half / 2))),
        ("lets", format!("{}1", "let a=1; in ".repeat(half / 6))),
        ("withs", format!("{}1", "with a; ".repeat(half / 3))),
        ("asserts", format!("{}1", "assert a; ".repeat(half / 3))),
        ("ifs", format!("{}1", "if a then a else ".repeat(half / 5))),
        ("conditions", "if ".repeat(half)),
        ("defaults", "{a?".repeat(60_000)),
        ("inherits", "{inherit(".repeat(40_000)),
        ("keys", "{${".repeat(60_000)),
        ("tokens", "a.".repeat(500_000)),
        ("paths", "a/".repeat(400_000)),
        ("searches", "<a/".repeat(300_000)),
        ("spaces", " ".repeat(1_000_000)),
        ("comment", format!("/*{}", "*".repeat(1_000_000))),
        ("quotes", "''".repeat(200_001)),
        ("nul", "\0".repeat(1_000)),
    ] {
        let error = ends(name, &source);
        assert!(matches!(error.kind, ErrorKind::Limit | ErrorKind::Syntax), "{name}: {:?}", error.kind);
        assert!(error.to_string().len() < 2_000, "{name}: the error has {} bytes", error.to_string().len());
    }
}

#[test]
fn nested_sets_of_bindings_stay_shallow() {
    // Legal nesting to the limits, all at once: brackets, chains, lambdas.
    let chain = "1 + ".repeat(400);
    let deep = format!("{}{chain}1{}", "(x: ".repeat(120), ") 1".repeat(120));
    assert_eq!(eval(&deep, &Limits::default()).unwrap(), 401);
}

#[test]
fn endless_programs_end() {
    for (name, source, says) in [
        ("blackhole", "let x = x; in x", "infinite recursion"),
        ("cycle", "let a = b; b = c; c = a; in a", "infinite recursion"),
        ("rec", "rec { a = b + 1; b = a; }", "infinite recursion"),
        ("self", "let x = { a = x; }; in x", "limit output_depth"),
        ("list", "let x = [ x ]; in x", "limit output_depth"),
        ("calls", "let f = x: f x; in f 1", "limit depth"),
        ("growth", "let f = x: 1 + f (x + 1); in f 1", "limit depth"),
        ("omega", "(x: x x) (x: x x)", "limit depth"),
        ("with", "let f = x: with x; f x; in f { }", "limit depth"),
        ("functor", "let s = { __functor = s: x: s x; }; in s 1", "limit depth"),
        ("to string", "let s = { __toString = s: s; }; in \"${s}\"", "limit depth"),
        ("out path", "let s = { outPath = s; }; in \"${s}\"", "limit depth"),
        ("rendered out path", "let s = { outPath = s; }; in s", "limit depth"),
        ("rendered to string", "let s = { __toString = s: s; }; in s", "limit depth"),
        ("json", "let f = x: builtins.toJSON [ [ [ [ [ [ [ [ [ [ (f x) ] ] ] ] ] ] ] ] ] ]; in f 1", "limit depth"),
        ("to string list", "let l = [ l ]; in toString l", "limit depth"),
        ("equal", "let a = [ a ]; b = [ b ]; in a == b", "limit depth"),
        ("compare", "let a = [ a ]; b = [ b ]; in a < b", "limit depth"),
        ("map", "let f = x: map f [ x ]; g = l: g (builtins.head l); in g (f 1)", "limit depth"),
        ("sort", "let f = a: b: builtins.head (builtins.sort f [ 1 2 ]) == 1; in f 1 2", "limit depth"),
        ("fold", "let f = a: b: builtins.foldl' f 0 [ 1 2 ]; in f 1 2", "limit depth"),
        ("filter", "let f = x: builtins.filter f [ 1 ] == [ ]; in f 1", "limit depth"),
        ("attrs", "let f = n: v: builtins.mapAttrs f { a = 1; }; g = x: g x.a; in g (f 1 2)", "limit depth"),
        ("zip", "let f = n: v: builtins.zipAttrsWith f [ { a = 1; } ]; g = x: g x.a; in g (f 1 2)", "limit depth"),
        ("try", "let f = x: (builtins.tryEval (f x)).value; in f 1", "limit depth"),
        ("select", "let f = x: (f x).a.b or (f x); in f 1", "limit depth"),
        ("default", "let f = { a ? f { } }: a; in f { }", "limit depth"),
        ("lazy", "let f = n: { next = f (n + 1); }; g = x: g x.next; in g (f 1)", "limit depth"),
        ("thunks", "builtins.foldl' (acc: n: { v = acc.v + n; }) { v = 0; } (builtins.genList (n: n) 100000)", "limit depth"),
    ] {
        let error = ends(name, source);
        assert!(error.message.contains(says), "{name}: {error}");
    }
}

#[test]
fn greedy_programs_end() {
    for (name, source, says) in [
        ("strings", "let f = s: n: if n == 0 then s else f (s + s) (n - 1); in builtins.stringLength (f \"xxxxxxxx\" 60)", "limit"),
        ("lists", "let f = l: n: if n == 0 then l else f (l ++ l) (n - 1); in builtins.length (f [ 1 ] 60)", "limit"),
        ("genList", "builtins.length (builtins.genList (n: n) 9000000000000000000)", "limit list_len"),
        ("fibonacci", "let f = n: if n < 2 then n else f (n - 1) + f (n - 2); in f 60", "limit"),
        (
            "laughs",
            "let a = [ 1 1 1 1 1 1 1 1 1 1 ]; b = [ a a a a a a a a a a ]; c = [ b b b b b b b b b b ]; d = [ c c c c c c c c c c ]; e = [ d d d d d d d d d d ]; f = [ e e e e e e e e e e ]; in [ f f f f f f f f f f ]",
            "limit",
        ),
        ("sets", "builtins.foldl' (acc: n: acc // { ${toString n} = n; }) { } (builtins.genList (n: n) 100000)", "limit"),
        (
            "replace",
            "let s = builtins.concatStringsSep \"\" (builtins.genList (n: \"a\") 10000); f = n: s: if n == 0 then s else f (n - 1) (builtins.replaceStrings [ \"a\" ] [ s ] s); in builtins.stringLength (f 5 s)",
            "limit",
        ),
        (
            "split",
            "let s = builtins.concatStringsSep \"\" (builtins.genList (n: \"a\") 100000); in builtins.length (builtins.split \"a*b\" s) + builtins.length (builtins.split \"\" s)",
            "limit",
        ),
        (
            "regexes",
            "builtins.length (builtins.filter (n: builtins.match \"(a|${toString n})*\" \"a\" == null) (builtins.genList (n: n) 100000))",
            "limit",
        ),
        ("elem", "let l = builtins.genList (n: n) 100000; in builtins.all (x: builtins.elem x l) (builtins.sort (a: b: a > b) l)", "limit"),
        ("quadratic", "let l = builtins.genList (n: n) 100000; in builtins.foldl' (acc: n: acc ++ [ n ]) [ ] l", "limit"),
        ("json", "let f = n: if n == 0 then \"1\" else let s = f (n - 1); in \"[${s},${s}]\"; in builtins.fromJSON (f 40)", "limit"),
    ] {
        let error = ends(name, source);
        assert!(error.message.contains(says), "{name}: {error}");
    }
}

#[test]
fn limits_cannot_be_caught() {
    let source = "let f = x: f x; in (builtins.tryEval (f 1)).success";
    refused(eval(source, &Limits::default()), "limit depth");
}

#[test]
fn deep_but_finite_recursion_works() {
    let source = "let f = n: if n == 0 then 0 else 1 + f (n - 1); in f 2500";
    assert_eq!(eval(source, &Limits::default()).unwrap(), 2_500);
    let limits = Limits { depth: MAX_DEPTH, ..Limits::default() };
    let source = "let f = n: if n == 0 then 0 else 1 + f (n - 1); in f 12000";
    assert_eq!(eval(source, &limits).unwrap(), 12_000);
}
