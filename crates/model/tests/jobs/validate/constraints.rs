//! Constraints, affinities and spreads.

use super::{accept, expect, problems};
use crate::generate::changed;
use serde_json::{Value, json};

#[test]
fn rules_of_constraints_affinities_and_spreads() {
    let c = |l: &str, op: &str, r: &str| json!([{"LTarget": l, "RTarget": r, "Operand": op}]);
    let g = "/TaskGroups/0/Constraints";
    let at = "group \"front\" -> constraint 1: ";
    let rows: &[(Value, &str)] = &[
        (
            c("a", "~", "b"),
            "operator \"~\" is unknown; use one of: = == is != not < <= > >= regexp version semver set_contains set_contains_all set_contains_any is_set is_not_set distinct_hosts distinct_property",
        ),
        (c("", "=", "b"), "attribute is missing; name one, for example \"${attr.kernel.name}\""),
        (c("a", "=", ""), "value is missing; say what the attribute is compared with"),
        (c("a", "set_contains", ""), "value is missing; say what the attribute is compared with"),
        (c("a", "regexp", "("), "value \"(\" is not a regular expression: unclosed group"),
        (c("a", "version", ">= x"), "value \">= x\" is not a condition on a version; write for example \">= 1.2, < 2.0\""),
        (c("a", "semver", "1.2beta"), "value \"1.2beta\" is not a condition on a version; write for example \">= 1.2, < 2.0\""),
        (c("a", "is_set", "x"), "operator \"is_set\" takes no value; remove it"),
        (c("", "distinct_hosts", "maybe"), "value of distinct_hosts \"maybe\" is unknown; use one of: true, false"),
        (
            c("a", "distinct_property", "0"),
            "value of distinct_property must be a number from 1 (it is \"0\"); it bounds how many allocations share one value",
        ),
    ];
    for (value, want) in rows {
        let found = problems(&changed(&[(g, value.clone())]));
        let found: Vec<String> = found.iter().map(|l| without_guess(l)).collect();
        assert_eq!(found, [format!("{at}{want}")], "{value}");
    }
    accept(&[
        (g, c("a", "regexp", "^x[0-9]+$")),
        (g, c("a", "regexp", "${meta.pattern}(")),
        (g, c("a", "version", ">= 1.2, < 2.0, ~> 1.5")),
        (g, c("a", "version", "1.2beta")),
        (g, c("a", "semver", ">= v1.2.3-rc.1")),
        (g, c("", "distinct_hosts", "true")),
        (g, c("", "distinct_hosts", "")),
        (g, c("${meta.rack}", "distinct_property", "")),
        (g, c("${meta.rack}", "distinct_property", "2")),
        (g, c("a", "is_not_set", "")),
        ("/Affinities", json!([{"LTarget": "a", "RTarget": "b", "Weight": -100}])),
        ("/Spreads", json!([{"Attribute": "a", "SpreadTarget": [{"Value": "x", "Percent": 60}, {"Value": "y", "Percent": 40}]}])),
    ]);
    expect(&[
        ("/Affinities", json!([{"LTarget": "a", "RTarget": "b", "Weight": 101}]), "affinity 1: weight must be at most 100 (it is 101)"),
        (
            "/Affinities",
            json!([{"LTarget": "a", "RTarget": "b", "Weight": 0}]),
            "affinity 1: weight must not be 0: it would have no effect; set it from -100 to 100",
        ),
        (
            "/Affinities",
            json!([{"Operand": "distinct_hosts"}]),
            "affinity 1: operator \"distinct_hosts\" is only for constraints; use spread",
        ),
        ("/Spreads", json!([{}]), "spread 1: attribute is missing; name one, for example \"${node.datacenter}\""),
        ("/Spreads", json!([{"Attribute": "a", "Weight": 101}]), "spread 1: weight must be at most 100 (it is 101)"),
        ("/Spreads", json!([{"Attribute": "a", "Weight": 0}]), "spread 1: weight must be at least 1 (it is 0)"),
    ]);
    let over = problems(&changed(&[(
        "/Spreads",
        json!([{"Attribute": "a", "SpreadTarget": [{"Value": "x", "Percent": 60}, {"Value": "y", "Percent": 41}]}]),
    )]));
    assert_eq!(over, ["spread 1: the percentages of the targets must be at most 100 together (they are 101); lower them"]);
    let in_task = problems(&changed(&[("/TaskGroups/0/Tasks/0/Constraints", c("", "distinct_hosts", "true"))]));
    assert_eq!(
        in_task,
        ["group \"front\" -> task \"server\": constraint \"distinct_hosts\" is not allowed in a task; move it to the group"]
    );
}

/// A line without its guess, which is `nearest`'s business.
fn without_guess(line: &str) -> String {
    match (line.find("did you mean"), line.find("? use one of")) {
        (Some(a), Some(b)) => format!("{}{}", &line[..a], &line[b + 2..]),
        _ => line.to_owned(),
    }
}
