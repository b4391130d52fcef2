//! Text: heredocs, templates, escapes, and what stays for the node.

use super::hcl;

fn name(expression: &str) -> String {
    hcl(&format!("job \"j\" {{\n  name = {expression}\n}}\n")).unwrap_or_else(|e| panic!("{e}")).job.name
}

#[test]
fn heredocs_keep_their_lines() {
    assert_eq!(name("<<EOF\n  a\nb\nEOF"), "  a\nb\n");
    assert_eq!(name("<<-EOF\n    a\n      b\n\n    c\n    EOF"), "a\n  b\n\nc\n");
    assert_eq!(name("<<EOF\n$${x} %%{y} \\n \"q\"\nEOF"), "${x} %{y} \\n \"q\"\n");
    assert_eq!(name("<<EOF\na EOF b\nEOF"), "a EOF b\n");
}

#[test]
fn directives_inside_heredocs() {
    assert_eq!(name("<<-EOF\n  %{ if true ~}\n  yes\n  %{ else ~}\n  no\n  %{ endif ~}\n  end\n  EOF"), "yes\nend\n");
    assert_eq!(name("<<-EOF\n  %{ for x in [1, 2] ~}\n    - ${x}\n  %{ endfor ~}\n  EOF"), "- 1\n- 2\n");
    assert_eq!(name("\"%{ for x in [\"a\", \"b\"] }<${x}>%{ endfor }\""), "<a><b>");
    assert_eq!(name("\"%{ if false }x%{ endif }y\""), "y");
}

#[test]
fn what_the_node_fills_in_stays_as_written() {
    for text in [
        "${attr.kernel.name}",
        "${attr.driver.docker.version} and ${node.unique.name}",
        "${NOMAD_PORT_http}",
        "${NOMAD_META_some-key}",
        "${env[\"HOME\"]}",
        "${meta.rack}",
        "${ device.attr.memory }",
        "${secret.db.password}",
        "${BASE}-${JOB}",
        "${attr.unique.network.ip-address}:${NOMAD_ADDR_my_port}",
    ] {
        assert_eq!(name(&format!("\"{text}\"")), text);
        assert_eq!(name(&format!("<<E\n{text}\nE")), format!("{text}\n"));
    }
    assert_eq!(name("node.unique.name"), "${node.unique.name}");
    assert_eq!(name("upper(meta.rack)"), "${META.RACK}");
}

#[test]
fn escapes() {
    assert_eq!(name(r#""a\tb\\c\u00e9\U0001F600\"""#), "a\tb\\cé😀\"");
    assert_eq!(name(r#""$${attr.x} $$ % %% $5""#), "${attr.x} $$ % %% $5");
}

#[test]
fn a_lone_interpolation_keeps_its_type() {
    let job =
        hcl("locals {\n  n = [1]\n}\njob \"j\" {\n  priority = \"${length(local.n)}\"\n  datacenters = \"${[\"a\"]}\"\n}\n").unwrap().job;
    assert_eq!((job.priority, job.datacenters), (Some(1), vec!["a".to_owned()]));
}

#[test]
fn a_byte_order_mark_is_no_text() {
    assert!(hcl("\u{feff}job \"j\" {}\n").is_ok());
}
