//! Values from outside: where they come from, which one wins, what is refused.

use floe_jobspec::{Format, MemoryFiles, ParseInput, Parsed, VariableFile, Variables, limits::MAX_VARIABLES, parse};

const JOB: &str = r#"
variable "region" {
  default = "global"
}
variable "count" {
  type    = number
  default = 1
}
variable "tags" {
  type    = list(string)
  default = []
}
variable "any" {}
job "j" {
  region = var.region
  meta {
    count = var.count
    tags  = jsonencode(var.tags)
    any   = jsonencode(var.any)
  }
}
"#;

fn with(source: &str, format: Format, variables: Variables) -> Result<Parsed, String> {
    let files = MemoryFiles::default();
    parse(&ParseInput { variables, files: &files, ..ParseInput::text(source, "job.hcl", format) }).map_err(|e| e.to_string())
}

fn map(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn file(name: &str, text: &str) -> VariableFile {
    VariableFile { name: name.to_owned(), text: text.to_owned() }
}

#[test]
fn the_stronger_source_wins() {
    let mut variables =
        Variables { environment: map(&[("region", "env"), ("count", "2"), ("any", "e"), ("PATH", "/bin")]), ..Variables::default() };
    let meta = |v: &Variables| {
        let job = with(JOB, Format::Hcl2, v.clone()).unwrap().job;
        (job.region, job.meta["count"].clone(), job.meta["any"].clone())
    };
    assert_eq!(meta(&variables), ("env".into(), "2".into(), "\"e\"".into()));
    variables.files = vec![file("a.hcl", "count = 3\nany = { k = 1 }\n"), file("b.json", "{\"count\": \"4\"}")];
    assert_eq!(meta(&variables), ("env".into(), "4".into(), "{\"k\":1}".into()));
    variables.flags = map(&[("count", "5"), ("any", "[1, 2]")]);
    assert_eq!(meta(&variables), ("env".into(), "5".into(), "[1,2]".into()));
    let parsed = with(JOB, Format::Hcl2, variables).unwrap();
    assert_eq!(
        serde_json::to_value(parsed.variables).unwrap(),
        serde_json::json!({"region": "env", "count": 5, "tags": [], "any": [1, 2]})
    );
}

#[test]
fn lists_are_expressions_and_scalars_are_text() {
    let flags = map(&[("tags", "[\"a\", \"${1 + 1}\"]"), ("region", "[not a list]"), ("any", "x")]);
    let job = with(JOB, Format::Hcl2, Variables { flags, ..Variables::default() }).unwrap().job;
    assert_eq!((job.meta["tags"].as_str(), job.region.as_str()), (r#"["a","2"]"#, "[not a list]"));
}

#[test]
fn mistakes_are_named() {
    let error = |variables| with(JOB, Format::Hcl2, variables).unwrap_err();
    let flags = |pairs| error(Variables { flags: map(pairs), ..Variables::default() });
    assert_eq!(flags(&[("any", "x"), ("cuont", "1")]), "-var cuont: the job has no variable cuont: did you mean count?");
    assert_eq!(flags(&[("any", "x"), ("count", "many")]), "-var count: variable count: expected a number, found \"many\"");
    assert!(
        flags(&[("any", "x"), ("tags", "[")]).starts_with("-var tags:1:1: this bracket is never closed"),
        "{}",
        flags(&[("tags", "[")])
    );
    assert!(flags(&[]).contains("variable any has no value and no default: give it with -var 'any=...' or NOMAD_VAR_any"));
    let undeclared = vec![file("x.hcl", "any = 1\nother = 2\n")];
    let strict = Variables { files: undeclared, strict: true, ..Variables::default() };
    assert!(error(strict.clone()).starts_with("x.hcl:2:1: the job has no variable other"), "{}", error(strict.clone()));
    let lax = with(JOB, Format::Hcl2, Variables { strict: false, ..strict }).unwrap();
    assert_eq!(lax.warnings.len(), 1);
    assert!(lax.warnings[0].message.contains("no variable other"));
    let block = Variables { files: vec![file("x.hcl", "a {\n}\n")], ..Variables::default() };
    assert!(error(block).contains("x.hcl:1:1: a variable file holds name = value"));
    let reference = Variables { files: vec![file("x.hcl", "any = var.region\n")], ..Variables::default() };
    assert!(error(reference).contains("undeclared variable region"));
}

#[test]
fn the_number_of_values_is_bounded() {
    let environment = |n: usize| (0..n).map(|i| (format!("v{i}"), String::new())).collect();
    let parse = |n| with("job \"j\" {}", Format::Hcl2, Variables { environment: environment(n), ..Variables::default() });
    assert!(parse(MAX_VARIABLES).is_ok());
    assert!(parse(MAX_VARIABLES + 1).unwrap_err().contains("more than 4096 variables"));
}

#[test]
fn nix_gets_variables_as_arguments() {
    let source = "{ name ? \"none\", tags ? [ ], lib ? null }: { job.j = { inherit name; meta.tags = builtins.toJSON tags; }; }";
    let environment = map(&[("name", "env"), ("PATH", "/bin")]);
    let files = vec![file("x.json", "{\"tags\": [\"f\"]}")];
    let variables = Variables { environment, files, flags: map(&[("tags", "[\"a\"]")]), strict: true };
    let job = with(source, Format::Nix, variables).unwrap().job;
    assert_eq!((job.name.as_str(), job.meta["tags"].as_str()), ("env", "[\"a\"]"));
    let unknown = Variables { flags: map(&[("nmae", "x")]), ..Variables::default() };
    assert!(with(source, Format::Nix, unknown).unwrap_err().contains("nmae"));
    let hcl = Variables { files: vec![file("x.hcl", "name = 1")], ..Variables::default() };
    assert!(with(source, Format::Nix, hcl).unwrap_err().contains("not supported yet: the variable file x.hcl"));
}

#[test]
fn the_api_form_has_no_variables() {
    let variables = Variables { flags: map(&[("a", "1")]), ..Variables::default() };
    assert!(with("{\"ID\": \"x\"}", Format::Json, variables).unwrap_err().contains("remove -var"));
}

#[test]
fn the_http_route_takes_variables_as_text() {
    let parsed = floe_jobspec::parse_hcl_text(JOB, "any = \"x\"\n").unwrap();
    assert_eq!(parsed.job.meta["any"], "\"x\"");
    assert!(floe_jobspec::parse_hcl_text(JOB, "any = 1\nno = 2").unwrap_err().to_string().contains("no variable no"));
}
