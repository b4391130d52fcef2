//! The example job says the same in its three syntaxes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_jobspec::{Format, MemoryFiles, ParseInput, parse};
use floe_model::{Job, canonical::canonicalize, validate::validate};

const PAGE: &str = include_str!("../../../examples/hello/index.html.tmpl");

fn hello(source: &str, name: &str) -> Job {
    let files = MemoryFiles([("hello/index.html.tmpl".to_owned(), PAGE.as_bytes().to_vec())].into());
    let format = Format::from_path(name);
    assert_eq!(Format::sniff(source), format, "{name}");
    let parsed = parse(&ParseInput { files: &files, ..ParseInput::text(source, name, format) }).unwrap_or_else(|e| panic!("{e}"));
    assert!(parsed.warnings.is_empty());
    parsed.job
}

#[test]
fn the_three_syntaxes_say_the_same() {
    let hcl = hello(include_str!("../../../examples/hello.hcl"), "hello.hcl");
    let json = hello(include_str!("../../../examples/hello.json"), "hello.json");
    let nix = hello(include_str!("../../../examples/hello.nix"), "hello.nix");
    assert_eq!(hcl, json);
    assert_eq!(hcl, nix);

    let mut job = hcl;
    canonicalize(&mut job);
    validate(&job).unwrap();
    let task = &job.task_groups[0].tasks[0];
    assert_eq!(task.templates[0].embedded_tmpl, PAGE);
    assert_eq!(task.config["args"][4], "${NOMAD_PORT_http}");
    assert_eq!(job.task_groups[0].networks[0].reserved_ports[0].value, 8080);
}

#[test]
fn the_order_of_the_example_is_valid_and_acted_on() {
    let mut job = hello(include_str!("../../../examples/order.hcl"), "order.hcl");
    canonicalize(&mut job);
    validate(&job).unwrap();
    assert_eq!(floe_model::support::unsupported(&job), Vec::<String>::new());
    let web = job.task_groups[0].task("web").unwrap();
    assert_eq!((web.after[0].task.as_str(), web.after[0].state), ("store", floe_model::task::AfterState::Healthy));
    assert!(web.leader && job.task_groups[0].task("store").unwrap().is_sidecar());
}

/// What the API answers can be given back as a file.
#[test]
fn the_api_form_is_read_back() {
    let hcl = hello(include_str!("../../../examples/hello.hcl"), "hello.hcl");
    let wire = serde_json::to_string_pretty(&hcl).unwrap();
    let again = |source: &str, format| parse(&ParseInput::text(source, "job", format)).unwrap_or_else(|e| panic!("{e}")).job;
    assert_eq!(again(&wire, Format::Json), hcl);
    assert_eq!(again(&format!("{{\"Job\": {wire}}}"), Format::Json), hcl);
    let nix = format!("{{ Job = builtins.fromJSON {}; }}", serde_json::Value::from(wire).to_string().replace("${", "\\${"));
    assert_eq!(again(&nix, Format::Nix), hcl);
}
