//! Golden texts: each file in `golden/` is parsed, and what comes out (the job's JSON without its empty parts, or the errors)
//! must be the text in the file of the same name with `.out` at its end. `FLOE_ACCEPT=1 cargo test -p floe-jobspec --test golden`
//! accepts a change.
#![allow(clippy::unwrap_used, clippy::panic)]

use floe_jobspec::{Format, MemoryFiles, ParseInput, parse};
use serde_json::Value;
use std::path::Path;

/// Drops what says nothing, so that the text shows what the file set.
fn compact(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(compact);
            map.retain(|_, v| !is_nothing(v));
        }
        Value::Array(items) => items.iter_mut().for_each(compact),
        _ => {}
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_i64() == Some(0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

fn outcome(source: &str, name: &str) -> String {
    let files = MemoryFiles([("motd.txt".to_owned(), b"welcome\n".to_vec()), ("conf/a.conf".to_owned(), b"a".to_vec())].into());
    match parse(&ParseInput { files: &files, ..ParseInput::text(source, name, Format::from_path(name)) }) {
        Ok(parsed) => {
            let mut job = serde_json::to_value(&parsed.job).unwrap();
            compact(&mut job);
            let warnings: String = parsed.warnings.iter().map(|w| format!("warning: {w}\n")).collect();
            warnings + &serde_json::to_string_pretty(&job).unwrap() + "\n"
        }
        Err(errors) => format!("{errors}\n"),
    }
}

#[test]
fn golden_texts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<String> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|n| !n.ends_with(".out"));
    names.sort();
    assert!(names.len() >= 20, "only {} files in {}", names.len(), folder.display());
    let accept = std::env::var_os("FLOE_ACCEPT").is_some();
    let mut wrong = Vec::new();
    for name in names {
        let found = outcome(&std::fs::read_to_string(folder.join(&name)).unwrap(), &name);
        let golden = folder.join(format!("{name}.out"));
        if accept {
            std::fs::write(&golden, &found).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != found {
            wrong.push(format!("{name} gives\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
