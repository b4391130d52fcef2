//! Measures how long reading a job file takes.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use floe_jobspec::{Format, MemoryFiles, ParseInput, parse};
use std::time::Instant;

fn measure(what: &str, rounds: u32, source: &str, format: Format) {
    let page = include_bytes!("../../../examples/hello/index.html.tmpl").to_vec();
    let files = MemoryFiles([("hello/index.html.tmpl".to_owned(), page), ("big".to_owned(), vec![b'x'; 4 << 20])].into());
    let start = Instant::now();
    let mut outcome = String::new();
    for _ in 0..rounds {
        let parsed = parse(&ParseInput { files: &files, ..ParseInput::text(source, "job", format) });
        outcome = parsed.map_or_else(
            |e| e.errors.first().map(|e| e.message.clone()).unwrap_or_default(),
            |p| format!("{} groups", p.job.task_groups.len()),
        );
    }
    println!("{what}: {:?}, {} bytes: {outcome}", start.elapsed() / rounds, source.len());
}

fn main() {
    measure("hello.hcl", 200, include_str!("../../../examples/hello.hcl"), Format::Hcl2);
    measure("hello.json", 200, include_str!("../../../examples/hello.json"), Format::Json);
    measure("hello.nix", 200, include_str!("../../../examples/hello.nix"), Format::Nix);
    let group = |i: usize| {
        format!(
            "  group \"g{i}\" {{\n    task \"t\" {{\n      driver = \"exec\"\n      config {{\n        command = \"/bin/x\"\n      }}\n    }}\n  }}\n"
        )
    };
    measure("1000 groups", 5, &format!("job \"j\" {{\n{}}}\n", (0..1_000).map(group).collect::<String>()), Format::Hcl2);
    let heredoc = "0123456789 {{ env \"A\" }} $\n".repeat(140_000);
    measure("a heredoc", 3, &format!("job \"j\" {{\n  meta {{\n    a = <<E\n{heredoc}E\n  }}\n}}\n"), Format::Hcl2);
    let object = format!("{{{}}},", (0..1_000).map(|i| format!("k{i}=1,")).collect::<String>());
    measure("40 objects of 1000", 1, &format!("locals {{\n  x = [{}]\n}}\njob \"j\" {{}}\n", object.repeat(40)), Format::Hcl2);
    let hostile = |inner: &str| format!("locals {{\n  x = {inner}\n}}\njob \"j\" {{}}\n");
    for inner in [
        "[for a in range(60000) : length([for b in range(60000) : a])]",
        "\"%{ for a in range(60000) }%{ for b in range(60000) }%{ endfor }%{ endfor }\"",
        "[for a in range(60000) : regex_replace(\"a\", \"(a{100}){100}\", \"b\")]",
        "[for a in range(60000) : sha512(file(\"big\"))]",
        "[for a in range(60000) : can(range(60000).x)]",
        "distinct([for a in range(60000) : a])",
        "[for a in range(60000) : jsondecode(jsonencode(range(10000)))]",
        "[for a in range(60000) : sort([for b in range(1000) : \"${b}\"])]",
        "[for a in range(60000) : fileset(\".\", \"********************************************************************\")]",
    ] {
        measure(inner, 1, &hostile(inner), Format::Hcl2);
    }
}
