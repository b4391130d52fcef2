//! Every bound that a job file can reach: at it, and one past it. The bounds of the scanners are tested beside them.

use floe_jobspec::{Format, Limits, ParseInput, limits, parse};

use super::{hcl, value};

fn limited(source: &str, limits: Limits) -> Result<floe_jobspec::Parsed, String> {
    parse(&ParseInput { limits, ..ParseInput::text(source, "job.hcl", Format::Hcl2) }).map_err(|e| e.to_string())
}

#[test]
fn source_bytes() {
    let source = "job \"j\" {}\n";
    let at = |source_bytes| limited(source, Limits { source_bytes, ..Limits::default() });
    assert!(at(source.len()).is_ok());
    assert!(at(source.len() - 1).unwrap_err().contains("the job file has 11 bytes, more than 10, the limit"));
    let large = format!("job \"j\" {{\n  name = \"{}\"\n}}\n", "x".repeat(limits::MAX_SOURCE_BYTES));
    for format in [Format::Hcl2, Format::Json, Format::Nix] {
        let error = parse(&ParseInput::text(&large, "job", format)).unwrap_err().to_string();
        assert!(error.contains("more than 4194304, the limit"), "{error}");
    }
}

#[test]
fn depth_in_all_syntaxes() {
    // `job`, its label, `meta` and the root are levels too.
    let hcl = |n: usize| format!("job \"j\" {{\n  meta = {}1{}\n}}\n", "[".repeat(n), "]".repeat(n));
    let json = |n: usize| format!("{{\"job\":{{\"j\":{{\"meta\":{}1{}}}}}}}", "[".repeat(n), "]".repeat(n));
    let nix = |n: usize| format!("{{ job.j.meta = {}1{}; }}", "[".repeat(n), "]".repeat(n));
    let error = |source: &str, format| parse(&ParseInput::text(source, "job", format)).unwrap_err().to_string();
    for (source, past, format) in [
        (hcl(limits::MAX_DEPTH - 1), hcl(limits::MAX_DEPTH), Format::Hcl2),
        (json(limits::MAX_DEPTH - 3), json(limits::MAX_DEPTH - 2), Format::Json),
        (nix(limits::MAX_DEPTH - 3), nix(limits::MAX_DEPTH - 2), Format::Nix),
    ] {
        assert!(error(&source, format).contains("meta: expected a map, found a list"), "{}", error(&source, format));
        assert!(error(&past, format).contains("deeper than 32 levels, the limit"), "{}", error(&past, format));
    }
}

#[test]
fn steps() {
    let source = "job \"j\" {\n  name = join(\"\", [for x in range(1000) : \"a\"])\n}\n";
    let enough = (1..).map(|n| n * 500).find(|steps| limited(source, Limits { steps: *steps, ..Limits::default() }).is_ok()).unwrap();
    assert!(enough > 1_000, "{enough}");
    let error = limited(source, Limits { steps: enough - 500, ..Limits::default() }).unwrap_err();
    assert!(error.contains(&format!("more than {} steps, the limit", enough - 500)), "{error}");
}

#[test]
fn value_bytes() {
    let source = "job \"j\" {\n  name = \"0123456789\"\n}\n";
    assert!(limited(source, Limits { value_bytes: 10, ..Limits::default() }).is_ok());
    assert!(
        limited(source, Limits { value_bytes: 9, ..Limits::default() }).unwrap_err().contains("a value has more than 9 bytes, the limit")
    );
}

#[test]
fn allocated_bytes() {
    let source = "job \"j\" {\n  name = \"0123456789\"\n  region = \"0123456789\"\n}\n";
    assert!(limited(source, Limits { allocated_bytes: 20, ..Limits::default() }).is_ok());
    let error = limited(source, Limits { allocated_bytes: 19, ..Limits::default() }).unwrap_err();
    assert!(error.contains("makes more than 19 bytes, the limit"), "{error}");
}

#[test]
fn output_bytes() {
    // Each attribute counts its name and, written out, its value: 4 + 12.
    let source = "job \"j\" {\n  name = \"0123456789\"\n}\n";
    assert!(limited(source, Limits { output_bytes: 16, ..Limits::default() }).is_ok());
    assert!(limited(source, Limits { output_bytes: 15, ..Limits::default() }).unwrap_err().contains("the job has more than 15 bytes"));
}

#[test]
fn blocks() {
    let source = "job \"j\" {\n  dynamic \"group\" {\n    for_each = range(9)\n    labels = [group.value]\n    content {}\n  }\n}\n";
    assert!(limited(source, Limits { blocks: 10, ..Limits::default() }).is_ok());
    assert!(limited(source, Limits { blocks: 9, ..Limits::default() }).unwrap_err().contains("more than 9 blocks, the limit"));
}

#[test]
fn chains_of_locals() {
    let chain = |n: usize| {
        let lines: String = (1..n).map(|i| format!("locals {{\n  l{i} = local.l{}\n}}\n", i - 1)).collect();
        format!("locals {{\n  l0 = 1\n}}\n{lines}job \"j\" {{\n  priority = local.l{}\n}}\n", n - 1)
    };
    let longest = (1..250).rev().find(|n| hcl(&chain(*n)).is_ok()).unwrap();
    assert!(longest >= limits::MAX_EVAL_DEPTH - 1, "{longest}");
    let error = hcl(&chain(5_000)).unwrap_err().to_string();
    assert!(error.contains("nests deeper than 200 levels: shorten the chain of locals"), "{error}");
}

#[test]
fn elements() {
    assert!(value(&format!("length(range({}))", limits::MAX_ELEMENTS)).is_ok());
    assert!(value(&format!("range({})", limits::MAX_ELEMENTS + 1)).unwrap_err().contains("more than 65536 elements, the limit"));
    assert!(value("length(setproduct(range(256), range(256)))").is_ok());
    assert!(value("setproduct(range(256), range(257))").unwrap_err().contains("more than 65536 elements, the limit"));
}

#[test]
fn patterns() {
    let pattern = |n: usize| value(&format!("regex_replace(\"a\", \"{}\", \"b\")", "a".repeat(n)));
    assert!(pattern(limits::MAX_REGEX_BYTES).is_ok());
    assert!(pattern(limits::MAX_REGEX_BYTES + 1).unwrap_err().contains("more than 4096 bytes, the limit"));
    assert!(value("regex_replace(\"a\", \"(a{1000}){1000}\", \"b\")").unwrap_err().contains("invalid pattern"));
}

#[test]
fn errors() {
    let source = |n: usize| format!("job \"j\" {{\n{}}}\n", (0..n).map(|i| format!("  x{i} = 1\n")).collect::<String>());
    let report = |n| hcl(&source(n)).unwrap_err();
    assert_eq!((report(limits::MAX_ERRORS).errors.len(), report(limits::MAX_ERRORS).truncated), (limits::MAX_ERRORS, false));
    assert_eq!((report(limits::MAX_ERRORS + 1).errors.len(), report(limits::MAX_ERRORS + 1).truncated), (limits::MAX_ERRORS, true));
}

#[test]
fn a_bound_is_not_caught() {
    assert!(value("try(range(100000), 1)").unwrap_err().contains("the limit"));
    assert!(value("can(range(100000))").unwrap_err().contains("the limit"));
}

/// The bound on evaluations must hold on an ordinary thread's stack also where each level is a large one.
#[test]
fn deep_chains_fit_the_stack() {
    for level in [
        "[for k, v in { a = merge({ b = P }, {}) } : v.b if true][0]",
        "try(true ? [{ a = P }][*].a : null, [0])[0]",
        "\"%{ for x in [P] }${x}%{ endfor }\"",
        "((1 + (2 * (P - 1))) > 0 ? 1 : 2)",
        "format(\"%v\", P)",
    ] {
        let lines: String =
            (1..300).map(|i| format!("  l{} = {}\n", 300 - i, level.replace('P', &format!("local.l{}", 300 - i + 1)))).collect();
        let source = format!("locals {{\n  l300 = 1\n{lines}}}\njob \"j\" {{}}\n");
        let error = hcl(&source).unwrap_err().to_string();
        assert!(error.contains("nests deeper than 200 levels"), "{level}: {error}");
    }
}
