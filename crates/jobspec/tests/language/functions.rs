//! Functions and operators: what they give, and how they refuse.

use super::value;

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (expression, wanted) in cases {
        assert_eq!(value(expression).as_deref(), Ok(*wanted), "{expression}");
    }
}

#[track_caller]
fn refuse(cases: &[(&str, &str)]) {
    for (expression, wanted) in cases {
        let message = value(expression).expect_err(expression);
        assert!(message.contains(wanted), "{expression}: {message}");
    }
}

#[test]
fn operators() {
    check(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 2 - 3", "5"),
        ("7 % 3", "1"),
        ("7 / 2", "3.5"),
        ("8 / 2", "4"),
        ("-3 + 1", "-2"),
        ("\"2\" + 1", "3"),
        ("1 < 2 && 2 <= 2", "true"),
        ("3 > 4 || 4 >= 5", "false"),
        ("!true", "false"),
        ("1 == 1.0", "true"),
        ("\"1\" == 1", "false"),
        ("[1, \"a\"] == [1, \"a\"]", "true"),
        ("{ a = 1 } != { a = 2 }", "true"),
        ("9223372036854775807 + 1", "9.223372036854776e+18"),
        ("false && 1 / 0 == 1", "false"),
        ("true ? 1 : 1 / 0", "1"),
        ("null == null", "true"),
    ]);
    refuse(&[
        ("1 % 0", "division by zero"),
        ("[] + 1", "expected a number"),
        ("1 ? 2 : 3", "true or false"),
        ("-\"x\"", "expected a number"),
    ]);
}

#[test]
fn collections_in_expressions() {
    check(&[
        ("[for k, v in { a = 1, b = 2 } : \"${k}${v}\"]", r#"["a1","b2"]"#),
        ("[for i, v in [\"x\", \"y\"] : i]", "[0,1]"),
        ("{ for v in [\"a\", \"b\"] : v => upper(v) if v != \"a\" }", r#"{"b":"B"}"#),
        ("[{ a = { b = 1 } }, { a = { b = 2 } }][*].a.b", "[1,2]"),
        ("[[1, 2], [3]].*[0]", "[1,2]"),
        ("[{ a = [1, 2] }, { a = [3] }][*].a[0]", "[1,3]"),
        ("{ a = 1 }[*].a", "[1]"),
        ("null[*].a", "[]"),
        ("{ (\"a${1}\") = 1, b : 2, \"c d\" = 3 }", r#"{"a1":1,"b":2,"c d":3}"#),
        ("{ a = [1, 2] }.a[1]", "2"),
        ("[10, 20].1", "20"),
        ("{ a = 1 }[\"a\"]", "1"),
    ]);
    check(&[("max([1, 5, 3]...)", "5"), ("concat([[1], [2]]...)", "[1,2]")]);
    refuse(&[
        ("max(5...)", "... needs a list"),
        ("[1][\"x\"]", "must be whole"),
        ("{}.a", "no attribute a"),
        ("1.5.x", "attributes like x"),
    ]);
}

#[test]
fn text() {
    check(&[
        (r#"chomp("a\n\r\n")"#, r#""a""#),
        (r#"indent(2, "a\nb")"#, r#""a\n  b""#),
        (r#"join("-", ["a", 1], [true])"#, r#""a-1-true""#),
        (r#"lower("ÄB")"#, r#""äb""#),
        (r#"upper("äb")"#, r#""ÄB""#),
        (r#"title("hello big world")"#, r#""Hello Big World""#),
        (r#"regex_replace("a1b22", "[0-9]+", "<$0>")"#, r#""a\u003c1\u003eb\u003c22\u003e""#),
        (r#"regex_replace("ab", "(a)(b)", "$2$${1}")"#, r#""ba""#),
        (r#"replace("aXbX", "X", "--")"#, r#""a--b--""#),
        (r#"split(",", "a,b,,c")"#, r#"["a","b","","c"]"#),
        (r#"strlen("héé")"#, "3"),
        (r#"strrev("abc")"#, r#""cba""#),
        (r#"substr("hello", 1, 3)"#, r#""ell""#),
        (r#"substr("hello", -3, -1)"#, r#""llo""#),
        (r#"substr("héllo", 1, 99)"#, r#""éllo""#),
        (r#"trim("??x?", "?")"#, r#""x""#),
        (r#"trimprefix("abc", "ab")"#, r#""c""#),
        (r#"trimsuffix("abc", "x")"#, r#""abc""#),
        (r#"trimspace(" a\n")"#, r#""a""#),
    ]);
    refuse(&[
        (r#"upper([])"#, "upper: argument 1: expected text, found a list"),
        (r#"regex_replace("a", "(", "")"#, "invalid pattern"),
        (r#"uppr("a")"#, "did you mean upper?"),
        (r#"join()"#, "join takes at least 2 arguments, 0 are given"),
        (r#"a::b()"#, "no namespaces"),
    ]);
}

#[test]
fn formats() {
    check(&[
        (r#"format("%s-%d-%v", "a", 3.9, true)"#, r#""a-3-true""#),
        (r#"format("%05d|%-5s|%5s|%+d", 42, "a", "b", 1)"#, r#""00042|a    |    b|+1""#),
        (r#"format("%.2f %e %g", 3.14159, 1500, 0.5)"#, r#""3.14 1.500000e+03 0.5""#),
        (r#"format("%x %X %o %b %#x", 255, 255, 8, 5, 16)"#, r#""ff FF 10 101 0x10""#),
        (r#"format("%q %t %%", "a\"b", true)"#, r#""\"a\\\"b\" true %""#),
        (r#"format("%v", [1, { a = "b" }])"#, r#""[1,{\"a\":\"b\"}]""#),
        (r#"format("%[2]s%[1]s", "a", "b")"#, r#""ba""#),
        (r#"format("%.2s", "abc")"#, r#""ab""#),
        (r#"format("%06.1f", -1.25)"#, r#""-001.2""#),
        (r#"formatlist("%s:%d", ["a", "b"], 80)"#, r#"["a:80","b:80"]"#),
    ]);
    refuse(&[
        (r#"format("%d", "x")"#, "%d needs a whole number"),
        (r#"format("%s")"#, "there is no argument for %s"),
        (r#"format("x", 1)"#, "1 arguments are given, the text uses 0"),
        (r#"format("%z", 1)"#, "unknown verb %z"),
        (r#"format("%")"#, "lone %"),
        (r#"format("%9999d", 1)"#, "more than 1024"),
        (r#"formatlist("%s%s", ["a"], ["b", "c"])"#, "same length"),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("abs(-3)", "3"),
        ("ceil(1.2)", "2"),
        ("floor(-1.2)", "-2"),
        ("log(8, 2)", "3"),
        ("max(1, 3.5, 2)", "3.5"),
        ("min(1, -3)", "-3"),
        ("parseint(\"ff\", 16)", "255"),
        ("pow(2, 10)", "1024"),
        ("pow(4, 0.5)", "2"),
        ("signum(-9)", "-1"),
    ]);
    refuse(&[
        ("parseint(\"x\", 10)", "no whole number"),
        ("parseint(\"1\", 99)", "base must be"),
        ("log(0, 2)", "no number"),
        ("pow(10, 999)", "too large"),
    ]);
}

#[test]
fn lists_and_maps() {
    check(&[
        ("chunklist([1, 2, 3], 2)", "[[1,2],[3]]"),
        ("coalesce(null, \"\", \"a\")", "\"\""),
        ("coalescelist([], [1])", "[1]"),
        ("compact([\"a\", \"\", null, \"b\"])", r#"["a","b"]"#),
        ("concat([1], [2, 3])", "[1,2,3]"),
        ("contains([\"a\"], \"a\")", "true"),
        ("distinct([\"b\", \"a\", \"b\", 1, 1])", r#"["b","a",1]"#),
        ("element([1, 2, 3], 4)", "2"),
        ("element([1, 2, 3], -1)", "3"),
        ("flatten([[1], [2, [3]], 4])", "[1,2,3,4]"),
        ("index([\"a\", \"b\"], \"b\")", "1"),
        ("index({ a = 5 }, \"a\")", "5"),
        ("keys({ b = 1, a = 2 })", r#"["a","b"]"#),
        ("values({ b = 1, a = 2 })", "[2,1]"),
        ("length([1, 2])", "2"),
        ("length({ a = 1 })", "1"),
        ("length(\"abc\")", "3"),
        ("lookup({ a = 1 }, \"b\", 7)", "7"),
        ("merge({ a = 1, b = 1 }, null, { b = 2 })", r#"{"a":1,"b":2}"#),
        ("range(3)", "[0,1,2]"),
        ("range(3, 1)", "[3,2]"),
        ("range(1, 8, 3)", "[1,4,7]"),
        ("reverse([1, 2])", "[2,1]"),
        ("setintersection([1, 2, 3], [2, 3], [3, 2])", "[2,3]"),
        ("setproduct([\"a\", \"b\"], [1, 2])", r#"[["a",1],["a",2],["b",1],["b",2]]"#),
        ("setunion([1, 2], [2, 3])", "[1,2,3]"),
        ("slice([1, 2, 3, 4], 1, 3)", "[2,3]"),
        ("sort([\"b\", \"a\"])", r#"["a","b"]"#),
        ("zipmap([\"a\", \"b\"], [1, 2])", r#"{"a":1,"b":2}"#),
    ]);
    refuse(&[
        ("element([], 0)", "the list is empty"),
        ("lookup({}, \"a\")", "no key \"a\""),
        ("slice([1], 0, 5)", "the list has 1"),
        ("range(1, 2, 0)", "must not be zero"),
        ("coalesce(null)", "all arguments are null"),
        ("zipmap([\"a\"], [])", "as many of both"),
        ("keys([1])", "expected a map"),
        ("index([1], 2)", "does not hold"),
    ]);
}

#[test]
fn encodings_and_hashes() {
    check(&[
        ("base64encode(\"héllo\")", r#""aMOpbGxv""#),
        ("base64decode(\"aMOpbGxv\")", r#""héllo""#),
        ("jsondecode(\"{\\\"a\\\": [1, 2.5, null]}\")", r#"{"a":[1,2.5,null]}"#),
        ("urlencode(\"a b&c/é\")", r#""a+b%26c%2F%C3%A9""#),
        ("csvdecode(\"a,b\\n1,\\\"x,\\\"\\\"y\\\"\\\"\\\"\\n\")", r#"[{"a":"1","b":"x,\"y\""}]"#),
        ("sha256(\"abc\")", r#""ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad""#),
        ("substr(sha512(\"abc\"), 0, 16)", r#""ddaf35a193617aba""#),
        // RFC 9562, appendix A.4.
        ("uuidv5(\"dns\", \"www.example.com\")", r#""2ed6657d-e927-568b-95e1-2665a8aea6a2""#),
        ("uuidv5(\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\", \"www.example.com\")", r#""2ed6657d-e927-568b-95e1-2665a8aea6a2""#),
    ]);
    refuse(&[
        ("base64decode(\"*\")", "invalid base64"),
        ("base64decode(\"/w==\")", "not UTF-8"),
        ("jsondecode(\"{\")", "invalid JSON"),
        ("csvdecode(\"a,b\\n1\\n\")", "row 1 has 1 fields"),
        ("csvdecode(\"a\\n\\\"x\")", "no closing quote"),
        ("uuidv5(\"nope\", \"x\")", "must be dns"),
        ("uuidv4()", "not supported yet: function uuidv4"),
        ("rsadecrypt(\"a\", \"b\")", "not supported yet: function rsadecrypt"),
        ("pathexpand(\"~\")", "not supported yet: function pathexpand"),
        ("abspath(\".\")", "not supported yet: function abspath"),
        ("yamlencode([])", "not supported yet: function yamlencode"),
    ]);
}

#[test]
fn moments() {
    check(&[
        ("timeadd(\"2024-02-28T23:30:00Z\", \"1h\")", r#""2024-02-29T00:30:00Z""#),
        ("timeadd(\"2024-01-01T00:00:00+02:00\", \"-30m\")", r#""2023-12-31T23:30:00+02:00""#),
        ("formatdate(\"EEEE, DD MMM YYYY hh:mm:ss ZZZ\", \"2018-01-02T23:12:01Z\")", r#""Tuesday, 02 Jan 2018 23:12:01 UTC""#),
        ("formatdate(\"H'h' AA D.M.YY Z\", \"2018-01-02T23:12:01+01:00\")", r#""11h PM 2.1.18 +01:00""#),
        ("formatdate(\"''YYYY\", \"2018-01-02T23:12:01Z\")", r#""'2018""#),
    ]);
    refuse(&[
        ("timeadd(\"yesterday\", \"1h\")", "is no moment"),
        ("timeadd(\"2024-01-01T00:00:00Z\", \"1 week\")", "invalid duration"),
        ("formatdate(\"YYYYY\", \"2018-01-02T23:12:01Z\")", "unknown letters"),
        ("timestamp()", "not supported yet"),
    ]);
}

#[test]
fn addresses() {
    check(&[
        ("cidrhost(\"10.12.112.0/20\", 16)", r#""10.12.112.16""#),
        ("cidrhost(\"10.12.112.0/20\", -1)", r#""10.12.127.255""#),
        ("cidrhost(\"fd00::/64\", 34)", r#""fd00::22""#),
        ("cidrnetmask(\"172.16.0.0/12\")", r#""255.240.0.0""#),
        ("cidrsubnet(\"172.16.0.0/12\", 4, 2)", r#""172.18.0.0/16""#),
        ("cidrsubnet(\"fd00::/48\", 16, 162)", r#""fd00:0:0:a2::/64""#),
        ("cidrsubnets(\"10.1.0.0/16\", 4, 4, 8, 4)", r#"["10.1.0.0/20","10.1.16.0/20","10.1.32.0/24","10.1.48.0/20"]"#),
        ("cidrsubnets(\"255.255.255.0/24\", 1, 1)", r#"["255.255.255.0/25","255.255.255.128/25"]"#),
    ]);
    refuse(&[
        ("cidrhost(\"10.0.0.0/30\", 4)", "has no host 4"),
        ("cidrhost(\"10.0.0.0/30\", -5)", "has no host -5"),
        ("cidrhost(\"10.0.0.0\", 1)", "is no address range"),
        ("cidrhost(\"10.0.0.0/33\", 1)", "is no address range"),
        ("cidrsubnet(\"10.0.0.0/30\", 3, 0)", "do not fit"),
        ("cidrsubnet(\"10.0.0.0/24\", 2, 4)", "no subnet 4"),
        ("cidrsubnets(\"10.0.0.0/24\", 1, 1, 1)", "no room for subnet 3"),
        ("cidrsubnets(\"0.0.0.0/0\", 1, 1, 1)", "no room for subnet 3"),
        ("cidrnetmask(\"fd00::/64\")", "only IPv4"),
    ]);
}

#[test]
fn files() {
    check(&[
        ("file(\"./a.txt\")", r#""text of a""#),
        ("filebase64(\"binary\")", r#""/wA=""#),
        ("fileexists(\"a.txt\")", "true"),
        ("fileexists(\"b.txt\")", "false"),
        ("fileset(\"conf\", \"*.conf\")", r#"["x.conf"]"#),
        ("fileset(\"conf\", \"**/*.conf\")", r#"["deep/y.conf","x.conf"]"#),
        ("fileset(\".\", \"?.txt\")", r#"["a.txt"]"#),
        ("basename(\"/a/b/\")", r#""b""#),
        ("dirname(\"a/b\")", r#""a""#),
        ("dirname(\"a\")", r#"".""#),
    ]);
    refuse(&[
        ("file(\"conf\")", "it is a folder"),
        ("file(\"binary\")", "not UTF-8"),
        ("file(\"/etc/passwd\")", "is refused"),
        ("file(\"conf/../../x\")", "is refused"),
        ("fileexists(\"..\")", "is refused"),
    ]);
    // The HTTP route has no files at all.
    for call in ["file(\"a\")", "filebase64(\"a\")", "fileset(\".\", \"*\")", "fileexists(\"a\")"] {
        let error = floe_jobspec::parse_hcl_text(&format!("job \"j\" {{\n  name = {call}\n}}\n"), "").unwrap_err();
        assert!(error.to_string().contains("file functions are not allowed here"), "{error}");
    }
}

#[test]
fn special_forms() {
    check(&[
        ("try(1 / 0, \"b\")", r#""b""#),
        ("can(1 / 0)", "false"),
        ("can(1)", "true"),
        ("convert(\"5\", number)", "5"),
        ("convert([\"b\", \"b\"], set(string))", r#"["b"]"#),
        ("convert({ a = 1 }, object({ a = string, b = optional(bool) }))", r#"{"a":"1","b":null}"#),
        ("convert([1, \"x\"], tuple([string, string]))", r#"["1","x"]"#),
        ("convert({ a = 1 }, map(string))", r#"{"a":"1"}"#),
    ]);
    refuse(&[
        ("try(1 / 0, [][0])", "there is none at 0"),
        ("try()", "at least one argument"),
        ("can()", "can takes one expression"),
        ("convert(1)", "convert takes a value and a type"),
        ("convert(\"x\", number)", "expected a number"),
        ("convert(1, strnig)", "expected a type"),
        ("convert([1], tuple([string, string]))", "expected 2 elements"),
        ("convert({}, object({ a = string }))", "attribute a is missing"),
        ("convert([\"x\"], list(number))", "element 0: expected a number"),
    ]);
}
