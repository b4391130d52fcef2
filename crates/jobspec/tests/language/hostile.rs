//! Files that want to hurt: amplification ends at a bound, mutations never end in a panic.

use std::time::{Duration, Instant};

use floe_jobspec::{Format, Limits, MemoryFiles, ParseInput, VariableFile, Variables, limits, parse};
use proptest::prelude::*;

use super::hcl;

/// The bounds allow seconds of work at the very most; unoptimised builds are some ten times slower.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tenth of the usual bounds, so that unoptimised builds reach them soon: what grows without end reaches these too.
fn limits() -> Limits {
    Limits { steps: limits::MAX_STEPS / 10, allocated_bytes: limits::MAX_ALLOCATED_BYTES / 10, ..Limits::default() }
}

#[track_caller]
fn stopped(source: &str) {
    let start = Instant::now();
    let input = ParseInput { limits: limits(), ..ParseInput::text(source, "job.hcl", Format::Hcl2) };
    let error = parse(&input).expect_err("the file asks for too much").to_string();
    assert!(error.contains("the limit") || error.contains("levels"), "{error}");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

fn doubling(line: impl Fn(usize) -> String) -> String {
    let lines: String = (1..60).map(|i| format!("  l{i} = {}\n", line(i - 1))).collect();
    format!("locals {{\n  l0 = \"0123456789\"\n{lines}}}\njob \"j\" {{}}\n")
}

#[test]
fn doubling_by_locals() {
    stopped(&doubling(|i| format!("\"${{local.l{i}}}${{local.l{i}}}\"")));
    stopped(&doubling(|i| format!("[local.l{i}, local.l{i}]")));
    stopped(&doubling(|i| format!("{{ a = local.l{i}, b = local.l{i} }}")));
    stopped(&doubling(|i| format!("join(local.l{i}, [local.l{i}, local.l{i}])")));
    stopped(&doubling(|i| format!("replace(local.l{i}, \"0\", local.l{i})")));
    stopped(&doubling(|i| format!("jsonencode([local.l{i}, local.l{i}])")));
    stopped(&doubling(|i| format!("format(\"%s%s\", local.l{i}, local.l{i})")));
    stopped(&doubling(|i| format!("flatten([[local.l{i}], [local.l{i}]])")).replace("l0 = \"0123456789\"", "l0 = [1]"));
    stopped(&doubling(|i| format!("concat(local.l{i}, local.l{i})")).replace("l0 = \"0123456789\"", "l0 = [1]"));
    stopped(&doubling(|i| format!("<<E\n${{local.l{i}}}${{local.l{i}}}\nE")));
}

#[test]
fn loops_in_loops() {
    let nested = |inner: &str| format!("locals {{\n  x = {inner}\n}}\njob \"j\" {{}}\n");
    stopped(&nested("[for a in range(60000) : [for b in range(60000) : a]]"));
    stopped(&nested("[for a in range(60000) : length([for b in range(60000) : a])]"));
    stopped(&nested("\"%{ for a in range(60000) }%{ for b in range(60000) }x%{ endfor }%{ endfor }\""));
    stopped(&nested("\"%{ for a in range(60000) }%{ for b in range(60000) }%{ endfor }%{ endfor }\""));
    stopped(&nested("[for a in range(60000) : sha256(join(\"\", [for b in range(500) : \"xxxxxxxxxx\"]))]"));
    stopped(&nested("[for a in range(60000) : regex_replace(\"a\", \"(a{100}){100}\", \"b\")]"));
    let variables: String = (0..2_000).map(|i| format!("variable \"v{i}\" {{\n  default = 1\n}}\n")).collect();
    stopped(&(variables + &nested("[for a in range(60000) : can(var.none)]")));
    stopped(&nested("distinct([for a in range(60000) : a])"));
    stopped(&nested("indent(8000000, \"\\n\\n\\n\")"));
    stopped("job \"j\" {\n  dynamic \"group\" {\n    for_each = range(60000)\n    labels = [group.value]\n    content {}\n  }\n}\n");
}

#[test]
fn files_are_paid_for() {
    let files = MemoryFiles([("big".to_owned(), vec![b'x'; 4 << 20])].into());
    let source = "locals {\n  x = [for a in range(60000) : sha256(file(\"big\"))]\n}\njob \"j\" {}\n";
    let error = parse(&ParseInput { files: &files, limits: limits(), ..ParseInput::text(source, "job.hcl", Format::Hcl2) }).unwrap_err();
    assert!(error.to_string().contains("the limit"), "{error}");
    let files = MemoryFiles([("big".to_owned(), vec![b'x'; (4 << 20) + 1])].into());
    let source = "job \"j\" {\n  name = file(\"big\")\n}\n";
    let error = parse(&ParseInput { files: &files, ..ParseInput::text(source, "job.hcl", Format::Hcl2) }).unwrap_err();
    assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
}

#[test]
fn large_files_are_read_in_time() {
    let start = Instant::now();
    let groups: String = (0..1_000).map(|i| format!("  group \"g{i}\" {{\n    task \"t\" {{\n      driver = \"exec\"\n      config {{\n        command = \"/bin/x\"\n      }}\n    }}\n  }}\n")).collect();
    assert_eq!(hcl(&format!("job \"j\" {{\n{groups}}}\n")).unwrap().job.task_groups.len(), 1_000);
    let text = format!("job \"j\" {{\n  meta {{\n    a = <<E\n{}E\n  }}\n}}\n", "0123456789 {{ env \"A\" }} $\n".repeat(20_000));
    assert_eq!(hcl(&text).unwrap().job.meta["a"].len(), 20_000 * 27);
    let objects = format!(
        "locals {{\n  x = [{}]\n}}\njob \"j\" {{}}\n",
        format!("{{{}}},", (0..1_000).map(|i| format!("k{i}=1,")).collect::<String>()).repeat(4)
    );
    assert!(hcl(&objects).is_ok());
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

const SEEDS: &[(&str, Format)] = &[
    (include_str!("../golden/language.hcl"), Format::Hcl2),
    (include_str!("../golden/sugar.hcl"), Format::Hcl2),
    (include_str!("../../../../examples/hello.hcl"), Format::Hcl2),
    (include_str!("../golden/language.json"), Format::Json),
    (include_str!("../golden/error-wire.json"), Format::Json),
];

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "${",
    "%{",
    "$${",
    "<<EOF\n",
    "<<-E\n",
    "\n",
    "=",
    ",",
    ".",
    "*",
    "...",
    "for",
    " in ",
    "if",
    "null",
    "é",
    "\\",
    "#",
    "/*",
    "var.",
    "local.",
    "dynamic",
    "~}",
    "-",
    "1e999",
    "99999999999999999999",
    "\u{feff}",
    "\0",
    "? 1 :",
    "[*]",
    "endfor",
    ":",
];

fn mutate(source: &str, edits: &[(prop::sample::Index, prop::sample::Index, u8)]) -> String {
    let mut chars: Vec<char> = source.chars().collect();
    for (place, piece, kind) in edits {
        let at = place.index(chars.len().max(1)).min(chars.len());
        let piece = PIECES[piece.index(PIECES.len())];
        match kind % 4 {
            0 => drop(chars.splice(at..at, piece.chars())),
            1 => drop(chars.drain(at..(at + 1 + usize::from(*kind) / 8).min(chars.len()))),
            2 => chars.truncate(at.max(1)),
            _ => {
                let copy: Vec<char> = chars[at..(at + usize::from(*kind)).min(chars.len())].to_vec();
                drop(chars.splice(at..at, copy));
            }
        }
    }
    chars.into_iter().collect()
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

/// Errors must point into the text, or at a whole file.
fn judge(source: &str, format: Format) {
    let files = MemoryFiles::default();
    let variables =
        Variables { files: vec![VariableFile { name: "v".to_owned(), text: "image = \"x\"\n".to_owned() }], ..Variables::default() };
    if let Err(errors) = parse(&ParseInput { files: &files, variables, ..ParseInput::text(source, "job", format) }) {
        assert!(!errors.errors.is_empty());
        for error in &errors.errors {
            assert!(!error.message.is_empty(), "{source}");
            if let (Some(place), "job") = (&error.place, error.file.as_str()) {
                assert!(place.line <= source.lines().count() + 1, "{error}");
            }
        }
        let _ = errors.to_string();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_files_are_refused_or_read(seed in 0..SEEDS.len(), edits in edits()) {
        let (source, format) = SEEDS[seed];
        judge(&mutate(source, &edits), format);
    }

    #[test]
    fn any_text_is_refused_or_read(text in "\\PC{0,80}") {
        judge(&text, Format::Hcl2);
        judge(&text, Format::Json);
        prop_assert!(matches!(Format::sniff(&text), Format::Hcl2 | Format::Json | Format::Nix));
    }

    #[test]
    fn any_pieces_are_refused_or_read(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30)) {
        judge(&format!("job \"j\" {{\n  name = {}\n}}\n", pieces.concat()), Format::Hcl2);
        judge(&format!("{{\"job\": {{\"j\": {{\"name\": {}}}}}}}", serde_json::Value::from(pieces.concat())), Format::Json);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn mutated_nix_is_refused_or_read(edits in edits()) {
        judge(&mutate(include_str!("../golden/plain.nix"), &edits), Format::Nix);
    }
}
