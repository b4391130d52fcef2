//! What a user reads when a file is wrong: text in, text out. Each case of
//! `tests/golden/errors.txt` is a file, `---`, the printed error, `===`.
//!
//! To accept a change: `NIXLANG_ACCEPT=1 cargo test -p floe-nixlang --test errors`,
//! then read the difference before committing it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fmt::Write;

use floe_nixlang::{ErrorKind, Limits, MemoryFiles, eval_file};

fn files() -> MemoryFiles {
    MemoryFiles::new([
        ("file.nix", "1"),
        ("cycle-a.nix", "import ./cycle-b.nix"),
        ("cycle-b.nix", "# back\nimport ./cycle-a.nix"),
        ("broken.nix", "{\n  a = 1;\n  b = ;\n}\n"),
        ("throws.nix", "{\n  a = throw \"from the import\";\n}.a\n"),
        ("folder/empty/x.nix", "1"),
    ])
    .unwrap()
}

#[test]
fn errors_read_as_written_down() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/errors.txt");
    let golden = std::fs::read_to_string(path).unwrap();
    let mut actual = String::new();
    let mut cases = 0;
    for case in golden.split_inclusive("\n===\n") {
        let (source, _) = case.split_once("\n---\n").unwrap_or_else(|| panic!("no --- in {case}"));
        let error = match eval_file("job.nix", source, &files(), &Limits::default()) {
            Ok(value) => panic!("{source}\nis no error: {value}"),
            Err(error) => error,
        };
        assert_ne!(error.kind, ErrorKind::Internal, "{source}");
        write!(actual, "{source}\n---\n{error}\n===\n").unwrap();
        cases += 1;
    }
    assert!(cases > 100, "only {cases} cases were read");
    if std::env::var_os("NIXLANG_ACCEPT").is_some() {
        std::fs::write(path, &actual).unwrap();
        return;
    }
    let difference = golden.lines().zip(actual.lines()).find(|(want, got)| want != got);
    assert!(golden == actual, "the first difference:\n want {}\n got  {}", difference.unwrap().0, difference.unwrap().1);
}

#[test]
fn kinds_can_be_told_apart() {
    for (source, kind) in [
        ("1 +", ErrorKind::Syntax),
        ("1 + null", ErrorKind::Evaluation),
        ("throw \"x\"", ErrorKind::Thrown),
        ("assert false; 1", ErrorKind::Assertion),
        ("abort \"x\"", ErrorKind::Aborted),
        ("let f = x: f x; in f 1", ErrorKind::Limit),
        ("builtins.currentSystem", ErrorKind::Unsupported),
        ("import ./nothing.nix", ErrorKind::File),
        ("import ../x.nix", ErrorKind::File),
    ] {
        let error = eval_file("job.nix", source, &files(), &Limits::default()).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
}

#[test]
fn places_are_fields_too() {
    let source = "{\n  a = 1;\n\tb = missing;\n}";
    let error = eval_file("dir/job.nix", source, &files(), &Limits::default()).unwrap_err();
    assert_eq!((error.file.as_str(), error.line, error.column), ("dir/job.nix", 3, 6));
    assert_eq!(error.line_text, "\tb = missing;");
    assert_eq!(error.to_string(), "dir/job.nix:3:6: undefined variable 'missing'\n    \tb = missing;\n    \t    ^^^^^^^");
}

#[test]
fn nothing_is_written_to_the_terminal() {
    let error = eval_file("job.nix", "throw \"a\u{1b}[31mb\u{7}\" # \u{1b}", &files(), &Limits::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
    assert!(text.contains("a\u{fffd}[31mb\u{fffd}"), "{text:?}");
}
