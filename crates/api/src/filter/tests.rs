//! Expressions with their results, mistakes with their places, and every bound at the limit and one past it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use proptest::prelude::*;
use serde_json::json;

/// An object with a value of every kind.
fn object() -> Value {
    json!({
        "ID": "5f0c1d2e-aaaa", "Name": "web", "Namespace": "default", "Status": "running", "Type": "service", "Stop": false, "Priority": 50, "Weight": 1.5,
        "SubmitTime": 1_700_000_000_123_456_789_i64, "Big": u64::MAX, "Datacenters": ["dc1", "dc2"], "Ports": [80, 443], "Flags": [true],
        "Tags": ["traefik.enable=true", "a \"b\""], "None": [], "Empty": "", "Nothing": null, "Periodic": true,
        "Meta": {"a": "1", "a.b": "dotted", "a/b": "slashed", "c~d": "tilde", "owner": "team-a"},
        "JobSummary": {"Summary": {"web": {"Running": 2, "Failed": 0}, "db": {"Running": 0, "Failed": 1}}, "Children": {}},
        "Drivers": {"exec": {"Healthy": true, "Detected": true}, "oci": {"Healthy": false, "Detected": true}},
        "TaskGroups": [
            {"Name": "web", "Count": 2, "Tasks": [{"Name": "nginx", "Driver": "oci"}]},
            {"Name": "db", "Count": 1, "Tasks": [{"Name": "pg", "Driver": "exec"}, {"Name": "backup", "Driver": "exec"}]},
        ],
        "any": "thing",
    })
}

impl Filter {
    /// What a list is narrowed to.
    fn select<T: Serialize>(&self, rows: Vec<T>) -> Result<Vec<T>, FilterError> {
        let mut selection = self.selection();
        let mut kept = Vec::new();
        for row in rows {
            if selection.keeps(&row)? {
                kept.push(row);
            }
        }
        selection.finish().map(|()| kept)
    }
}

fn holds(text: &str) -> Result<bool, FilterError> {
    Filter::parse(text)?.select(vec![object()]).map(|kept| !kept.is_empty())
}

const TABLE: &[(&str, bool)] = &[
    // Equality, by what stands there.
    (r#"Status == "running""#, true),
    (r#"Status == "dead""#, false),
    (r#"Status != "dead""#, true),
    ("Status == running", true),
    ("Status==running", true),
    ("Status == `running`", true),
    ("ID == 5f0c1d2e-aaaa", true),
    ("Priority == 50", true),
    (r#"Priority == "50""#, true),
    ("Priority == 50.0", true),
    ("Priority == -50", false),
    ("Priority != 51", true),
    ("Weight == 1.5", true),
    ("Weight == 1", false),
    ("SubmitTime == 1700000000123456789", true),
    ("SubmitTime == 1700000000123456788", false),
    ("Big == 18446744073709551615", true),
    ("Stop == false", true),
    ("Stop == F", true),
    ("Stop != true", true),
    ("Periodic == 1", true),
    (r#"Empty == """#, true),
    // Paths.
    ("JobSummary.Summary.web.Running == 2", true),
    (r#"JobSummary.Summary["web"].Running == 2"#, true),
    (r#"JobSummary["Summary"]["db"].Failed == 1"#, true),
    ("Drivers.exec.Healthy == true", true),
    ("Drivers.oci.Healthy == true", false),
    ("Drivers.raw_exec.Healthy == true", false),
    ("Drivers.raw_exec.Healthy != true", true),
    (r#"Meta["a.b"] == dotted"#, true),
    ("Meta[`a.b`] == dotted", true),
    ("Meta.a == 1", true),
    (r#""/Meta/a" == 1"#, true),
    (r#""/Meta/a.b" == "dotted""#, true),
    (r#""/Meta/a~1b" == slashed"#, true),
    (r#""/Meta/c~0d" == tilde"#, true),
    ("Datacenters.0 == dc1", true),
    ("Datacenters.2 == dc1", false),
    ("TaskGroups.1.Tasks.0.Name == pg", true),
    // Containing.
    (r#"Tags contains "traefik.enable=true""#, true),
    (r#"Tags contains "traefik.enable""#, false),
    (r#"Tags not contains "traefik.enable=true""#, false),
    (r#"Tags contains "a \"b\"""#, true),
    (r#""dc1" in Datacenters"#, true),
    ("dc3 not in Datacenters", true),
    ("dc1 in Datacenters", true),
    ("80 in Ports", true),
    ("Ports contains 81", false),
    ("Ports contains http", false),
    ("Flags contains true", true),
    ("Name contains e", true),
    (r#""we" in Name"#, true),
    (r#"Meta contains "owner""#, true),
    ("nobody in Meta", false),
    (r#"owner in "/Meta""#, true),
    (r#"None contains "x""#, false),
    // Emptiness and what is not there.
    ("None is empty", true),
    ("Tags is empty", false),
    ("Tags is not empty", true),
    ("Empty is empty", true),
    ("Name is not empty", true),
    ("JobSummary.Children is empty", true),
    ("Meta.nobody is empty", true),
    ("Meta.nobody is not empty", false),
    ("Meta.nobody == x", false),
    ("Meta.nobody != x", true),
    ("Meta.nobody contains x", false),
    ("x not in Meta.nobody", true),
    ("Meta.nobody matches `.*`", false),
    ("Meta.nobody not matches `.*`", true),
    ("Nothing == x", false),
    ("Nothing is empty", true),
    ("Nothing.deeper.still is empty", true),
    // Patterns.
    ("Name matches `^w.b$`", true),
    ("Name matches e", true),
    ("Name not matches `^x`", true),
    (r#"ID matches "^[0-9a-f]{8}-\\w+$""#, true),
    // Together: not binds tighter than and, and than or.
    ("Name == web and Status == running", true),
    ("Name == web and Status == dead", false),
    ("Name == x or Status == running", true),
    ("Name == web or Name == x and Status == dead", true),
    ("(Name == web or Name == x) and Status == dead", false),
    ("not Name == x", true),
    ("not not Name == web", true),
    ("not Name == web and Name == x", false),
    ("not (Name == web and Name == x)", true),
    ("((Name == web))", true),
    ("(Name == web)and(Stop == false)", true),
    (" \t\r\n Name == web \n and\nStop == false ", true),
    // Any and all.
    ("any TaskGroups as g { g.Name == db }", true),
    ("all TaskGroups as g { g.Name == db }", false),
    ("all TaskGroups as g { g.Tasks is not empty }", true),
    ("any TaskGroups as g { any g.Tasks as t { t.Driver == exec and g.Count == 1 } }", true),
    ("any TaskGroups as g { all g.Tasks as t { t.Driver == raw_exec } }", false),
    ("any TaskGroups as i, g { i == 1 and g.Name == db }", true),
    ("any TaskGroups as i, g { i == 0 and g.Name == db }", false),
    ("any Drivers as name { name == oci }", true),
    ("any Drivers as name, d { name == oci and d.Healthy == true }", false),
    ("any Drivers as _, d { d.Healthy == true }", true),
    ("all Meta as key, value { key is not empty and value is not empty }", true),
    ("any Meta as key { key matches `^own` }", true),
    ("any Tags as t { t == `traefik.enable=true` }", true),
    ("any Tags as Name { Name == web }", false),
    ("any Tags as t { Name == web }", true),
    ("any Meta.nobody as x { x == 1 }", false),
    ("all Meta.nobody as x { x == 1 }", true),
    ("all None as x { x == 1 }", true),
    ("not any TaskGroups as g { g.Count == 7 }", true),
    ("any == thing", true),
];

#[test]
fn expressions_mean_what_they_say() {
    assert!(TABLE.len() >= 60);
    for (text, expected) in TABLE {
        match holds(text) {
            Ok(found) => assert_eq!(found, *expected, "{text}"),
            Err(e) => panic!("{text}: {e}"),
        }
    }
}

const WRONG: &[(&str, usize, &str)] = &[
    ("", 1, "expected a field or a value, found the end"),
    ("Name", 5, "expected an operator (==, !=, contains, matches, in, is empty), found the end"),
    ("Name ==", 8, "expected a value, found the end"),
    ("Name = web", 6, "unexpected \"=\": equality is =="),
    ("Name == web or", 15, "expected a field or a value, found the end"),
    ("Name == web Status == x", 13, "expected and, or, or the end, found \"Status\""),
    ("(Name == web", 13, "expected \")\", found the end"),
    ("Name == web)", 12, "expected and, or, or the end, found \")\""),
    ("Priority < 3", 10, "not supported: operator <"),
    ("Priority >= 3", 10, "not supported: operator >="),
    ("Name is full", 9, "expected empty, found \"full\""),
    ("Name not == web", 10, "expected contains, matches or in, found \"==\""),
    ("Name == and", 9, "expected a value, found \"and\"; put it in double quotes if it is meant as text"),
    ("Name == \"web", 9, "a quoted text has no end"),
    ("Name == `web", 9, "a quoted text has no end"),
    (r#"Name == "\d""#, 10, "unknown escape; write \\\\ for a backslash, or put the text in backquotes"),
    ("Name == wéb", 10, "unexpected 'é'; a value with such characters is written in double quotes"),
    ("Name matches `(`", 14, "invalid pattern: unclosed group"),
    ("Meta[a] == 1", 6, "expected a quoted key, found \"a\""),
    ("Meta. == 1", 1, "\"Meta.\" is no field; a field is like Name, Meta.key or Meta[\"key\"]"),
    ("9 == 1", 1, "\"9\" is no field; a field is like Name, Meta.key or Meta[\"key\"]"),
    ("\"Meta\" == 1", 1, "expected a field (a JSON pointer begins with \"/\"), found a quoted text"),
    ("any Tags { x == 1 }", 10, "expected as, found \"{\""),
    ("any Tags as 1 { x == 1 }", 13, "expected a name, found \"1\""),
    ("any Tags as t x == 1", 15, "expected \"{\", found \"x\""),
    ("x in [\"a\"]", 6, "expected a field or a value, found \"[\""),
    // What only shows beside the object.
    ("Naem == web", 1, "no object of this list has a field \"Naem\" (did you mean Name?)"),
    ("status == running", 1, "no object of this list has a field \"status\" (did you mean Status?)"),
    ("Name == web and Stauts == x", 17, "no object of this list has a field \"Stauts\" (did you mean Status?)"),
    ("Priority == high", 13, "Priority is a number, and \"high\" is none"),
    ("Stop == no", 9, "Stop is a boolean, and \"no\" is none"),
    ("Tags == x", 1, "Tags is a list: use contains, or any with a name for its elements"),
    ("Meta == x", 1, "Meta is an object: use contains, or any with a name for its elements"),
    ("Priority contains 5", 1, "Priority is a number: contains and in want a list, an object or a text"),
    ("TaskGroups contains web", 1, "TaskGroups is a list: its elements have parts: use any with a name for them"),
    ("Priority is empty", 1, "Priority is a number: it is never empty"),
    ("Stop matches x", 1, "Stop is a boolean: matches wants a text"),
    ("any Name as n { n == x }", 5, "Name is a text: any and all want a list or an object"),
];

#[test]
fn mistakes_are_explained_at_their_place() {
    for (text, position, message) in WRONG {
        let error = holds(text).expect_err(text);
        assert_eq!((error.position, error.message.as_str()), (*position, *message), "{text}");
    }
}

/// The page that people read shows nothing that is wrong.
#[test]
fn the_documented_expressions_are_read() {
    let page = include_str!("../../../../docs/reference/lists.md");
    let shown = page.split("```bexpr\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(shown.lines().count() > 5);
    for text in shown.lines() {
        assert!(holds(text).is_ok(), "{text}: {:?}", holds(text));
    }
    let error = Filter::parse("Status = running").unwrap_err().to_string();
    assert!(page.contains(&error), "{error}");
}

#[test]
fn an_error_shows_the_place() {
    let error = holds("Name == web and\nPriority < 3").unwrap_err().to_string();
    assert_eq!(error, "filter: not supported: operator < at character 26\n  Name == web and Priority < 3\n                           ^");
    let long = format!("{}Name =", "Name == web and ".repeat(100));
    let error = holds(&long).unwrap_err().to_string();
    let (shown, caret) = (error.lines().nth(1).unwrap(), error.lines().nth(2).unwrap());
    assert_eq!(shown.chars().nth(caret.chars().count() - 1), Some('='), "{error}");
    assert!(shown.len() < 100, "{error}");
}

#[test]
fn lists_are_filtered_in_order_and_empty_ones_take_any_field() {
    let rows: Vec<Value> = (0..10).map(|n| json!({"N": n, "Even": n % 2 == 0})).collect();
    let kept = Filter::parse("Even == true and N != 4").unwrap().select(rows.clone()).unwrap();
    assert_eq!(kept.iter().map(|r| r["N"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 2, 6, 8]);
    assert_eq!(Filter::parse("Whatever == 1").unwrap().select(Vec::<Value>::new()).unwrap(), Vec::<Value>::new());
    // One object that has the field is enough.
    let mixed = vec![json!({"A": 1}), json!({"B": 1})];
    assert_eq!(Filter::parse("A == 1 or B == 1").unwrap().select(mixed.clone()).unwrap().len(), 2);
    assert!(Filter::parse("C == 1 or B == 1").unwrap().select(mixed).is_err());
}

#[test]
fn the_length_is_bounded() {
    let long = |length: usize| format!("Name == \"{}\"", "x".repeat(length - 10));
    assert_eq!(long(MAX_LENGTH).len(), MAX_LENGTH);
    assert!(Filter::parse(&long(MAX_LENGTH)).is_ok());
    assert!(Filter::parse(&long(MAX_LENGTH + 1)).unwrap_err().message.contains("longer than 4096 bytes"));
}

#[test]
fn the_depth_is_bounded() {
    let parentheses = |depth: usize| format!("{}Name == web{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(holds(&parentheses(MAX_DEPTH)), Ok(true));
    assert!(holds(&parentheses(MAX_DEPTH + 1)).unwrap_err().message.contains("nested deeper than 32 levels"));
    let bodies = |depth: usize| format!("{}Name == web{}", "any None as x { ".repeat(depth), " }".repeat(depth));
    assert_eq!(holds(&bodies(MAX_DEPTH)), Ok(false));
    assert!(holds(&bodies(MAX_DEPTH + 1)).unwrap_err().message.contains("nested deeper than 32 levels"));
    // A row of negations does not nest.
    assert_eq!(holds(&format!("{}Name == x", "not ".repeat(501))), Ok(true));
}

#[test]
fn the_number_of_comparisons_is_bounded() {
    let terms = |n: usize| vec!["Name == web"; n].join(" and ");
    assert_eq!(holds(&terms(MAX_TERMS)), Ok(true));
    assert!(holds(&terms(MAX_TERMS + 1)).unwrap_err().message.contains("more than 128 comparisons"));
}

#[test]
fn patterns_are_bounded_in_number_and_size() {
    let patterns = |n: usize| vec!["Name matches w"; n].join(" and ");
    assert_eq!(holds(&patterns(MAX_PATTERNS)), Ok(true));
    assert!(holds(&patterns(MAX_PATTERNS + 1)).unwrap_err().message.contains("more than 16 patterns"));
    // The largest that fits, and one more.
    let sized = |n: usize| holds(&format!("Name matches `(?:[01]*1){{{n}}}`"));
    let most = (1..1000).take_while(|n| sized(*n).is_ok()).count();
    assert!((150..500).contains(&most), "{most}");
    let error = sized(most + 1).unwrap_err();
    assert_eq!(error.message, format!("the pattern needs more than {MAX_PATTERN_BYTES} bytes"));
}

#[test]
fn the_evaluation_is_bounded() {
    // A comparison costs one step and one for each element of what it looks at.
    let row = json!({"L": vec![0; 99_999]});
    let terms = |n: usize| Filter::parse(&vec!["L is empty"; n].join(" or ")).unwrap();
    let allowed = usize::try_from(MAX_STEPS).unwrap() / 100_000;
    assert_eq!(terms(allowed).select(vec![&row]).unwrap().len(), 0);
    let error = terms(allowed + 1).select(vec![&row]).unwrap_err();
    assert_eq!((error.message.contains("more than 10000000 steps"), error.position), (true, allowed * "L is empty or ".len() + 1));
    // The bound is for the whole list.
    assert!(terms(allowed / 2).select(vec![&row; 2]).is_ok());
    assert!(terms(allowed / 2).select(vec![&row; 3]).is_err());
    // The worst pattern on a long text costs as much as anything else.
    let row = json!({"T": "01".repeat(100_000)});
    let worst = Filter::parse("T matches `(?:[01]*1){220}x`").unwrap();
    assert!(worst.select(vec![row]).unwrap_err().message.contains("steps"));
    // Bodies within bodies multiply: a small request must not take a long time.
    let row = json!({"L": vec![0; 999]});
    let nested = format!("{}L is not empty{}", "all L as x { ".repeat(8), " }".repeat(8));
    assert!(Filter::parse(&nested).unwrap().select(vec![row]).unwrap_err().message.contains("steps"));
}

/// Expressions that are well typed for [`row`].
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "A (==|!=) [ab]",
        "B (==|!=) [0-3]",
        "(A|L) (not )?contains [ab]",
        "[ab] (not )?in L",
        "(A|L|M|M\\.x) is (not )?empty",
        "A (not )?matches `\\^[ab]`",
        "(any|all) L as l \\{ l == [ab] \\}",
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("not {a}")),
        ]
    })
}

fn row() -> impl Strategy<Value = Value> {
    (prop::sample::select(vec!["", "a", "b", "ab"]), 0..4, prop::collection::vec("[abc]", 0..3), any::<bool>())
        .prop_map(|(a, b, l, m)| json!({"A": a, "B": b, "L": l, "M": if m { json!({"x": a}) } else { json!({}) }}))
}

fn select(text: &str, rows: &[Value]) -> Vec<Value> {
    Filter::parse(text).and_then(|f| f.select(rows.to_vec())).unwrap_or_else(|e| panic!("{text}: {e}"))
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = holds(&text);
    }

    #[test]
    fn any_row_of_tokens_is_read_or_refused(tokens in prop::collection::vec(prop::sample::select(vec![
        "Name", "Meta", "TaskGroups", "any", "all", "as", "g", "{", "}", "(", ")", "[", "]", ",", "==", "!=", "<", "in", "is", "not",
        "empty", "contains", "matches", "and", "or", "\"/Meta/a\"", "`x`", "1", ".a", "_",
    ]), 0..14)) {
        let text = tokens.join(" ");
        if let Err(error) = holds(&text) {
            prop_assert!(error.position >= 1 && error.position <= text.chars().count() + 1);
            let _ = error.to_string();
        }
    }

    #[test]
    fn de_morgan_holds(a in expression(), b in expression(), rows in prop::collection::vec(row(), 1..5)) {
        prop_assert_eq!(select(&format!("not ({a} and {b})"), &rows), select(&format!("not {a} or not {b}"), &rows));
        prop_assert_eq!(select(&format!("not ({a} or {b})"), &rows), select(&format!("not {a} and not {b}"), &rows));
        prop_assert_eq!(select(&format!("not not {a}"), &rows), select(&a, &rows));
    }

    #[test]
    fn what_is_not_any_is_all_not(c in "[abc]", rows in prop::collection::vec(row(), 1..5)) {
        let both = |l: &str, r: &str| (select(l, &rows), select(r, &rows));
        let (any, all) = both(&format!("not any L as l {{ l == {c} }}"), &format!("all L as l {{ l != {c} }}"));
        prop_assert_eq!(any, all);
        let (any, contains) = both(&format!("any L as l {{ l == {c} }}"), &format!("L contains {c}"));
        prop_assert_eq!(any, contains);
        let (contains, within) = both(&format!("L not contains {c}"), &format!("{c} not in L"));
        prop_assert_eq!(contains, within);
    }

    #[test]
    fn a_filter_and_its_negation_part_the_list(a in expression(), rows in prop::collection::vec(row(), 1..6)) {
        prop_assert_eq!(select(&a, &rows).len() + select(&format!("not {a}"), &rows).len(), rows.len());
    }
}
