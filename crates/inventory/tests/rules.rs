//! Inventories as floe reads them without Nix: those that come along, those that are refused, and what only Nix can evaluate.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_inventory::{Checked, Declared, Kind, ReadError, Role, check_data, check_file, kind_of};
use floe_nixlang::{Limits, MemoryFiles, eval_file};
use std::fmt::Write;
use support::compare;

/// Every inventory that comes along.
const SHIPPED: [(&str, &str, &str); 5] = [
    ("hosts/single.nix", "single", include_str!("../../../hosts/single.nix")),
    ("hosts/trio.nix", "trio", include_str!("../../../hosts/trio.nix")),
    ("hosts/hetzner.nix", "hetzner", include_str!("../../../hosts/hetzner.nix")),
    ("templates/default/hosts.nix", "mine", include_str!("../../../templates/default/hosts.nix")),
    ("templates/hetzner/hosts.nix", "mine", include_str!("../../../templates/hetzner/hosts.nix")),
];

/// The table that the modules' tests put to Nix.
const REFUSED: &str = include_str!("../../../nix/tests/refused-inventories.nix");

fn check(text: &str) -> Result<Checked, ReadError> {
    check_file("hosts.nix", &MemoryFiles::new([("hosts.nix", text)]).unwrap())
}

fn declared(text: &str) -> Declared {
    let checked = check(text).unwrap();
    assert_eq!(checked.errors, [""; 0]);
    checked.declared.unwrap()
}

fn errors(text: &str) -> Vec<String> {
    let checked = check(text).unwrap();
    assert!(checked.declared.is_none() && !checked.errors.is_empty(), "{text}");
    checked.errors
}

#[test]
fn those_that_come_along_can_be_used() {
    let mut said = String::new();
    for (file, name, text) in SHIPPED {
        let found = declared(text);
        assert_eq!((found.cluster.name.as_str(), check(text).unwrap().warnings.len()), (name, 0), "{file}");
        writeln!(said, "{file}: {} servers, {} may fail", found.servers().count(), found.may_fail()).unwrap();
        for host in found.hosts.values() {
            let (pool, class) = (host.pool(), host.class());
            let line = format!("  {} {} {} {} {pool} {class}", host.name, host.role, found.place(host), host.datacenter);
            writeln!(said, "{}", line.trim_end()).unwrap();
        }
    }
    compare("shipped.txt", &said);
}

#[test]
fn what_nix_refuses_is_refused_with_the_same_words() {
    let files = MemoryFiles::new([("refused.nix", REFUSED)]).unwrap();
    let cases = eval_file("all.nix", "{ lib }: import ./refused.nix { inherit lib; }", &files, &Limits::default()).unwrap();
    let mut said = String::new();
    for (name, case) in cases.as_object().unwrap() {
        let found = check_data(&case["inventory"].to_string()).unwrap();
        let says = case["says"].as_str().unwrap();
        assert!(
            found.errors.len() == 1 && found.errors[0].contains(says),
            "{name}: {says:?} and nothing else is to be in {:?}",
            found.errors
        );
        writeln!(said, "{name}\n    {}", found.errors[0]).unwrap();
    }
    compare("refused.txt", &said);
}

#[test]
fn every_mistake_is_named_at_once() {
    let found = errors(
        "{
          cluster = { name = \"test\"; rpcPort = 80; nmae = 1; };
          hosts = {
            a = { address = \"10.0.0.1\"; role = \"bath\"; hardware = ./a.nix; };
            b = { address = \"10.0.0.1\"; };
            c = { role = \"server\"; gpu = true; };
          };
        }",
    );
    let named = [
        "cluster.nmae",
        "cluster.rpcPort",
        "hosts.a.role",
        "hosts.a.hardware",
        "hosts.b.role",
        "hosts.c.address",
        "hosts.c.gpu",
        "hosts.b.address",
    ];
    for what in named {
        assert!(found.iter().any(|e| e.starts_with(&format!("{what}:"))), "{what} is not in {found:#?}");
    }
    assert_eq!(found.len(), named.len(), "{found:#?}");
}

#[test]
fn an_even_number_is_warned_of_and_a_whole_inventory_is_declared() {
    let checked = check(
        "{ cluster = { name = \"x\"; evenServers = true; rpcPort = 5000; };
           hosts.a = { address = \"fd00::1\"; role = \"server\"; };
           hosts.b = { address = \"10.0.0.2\"; role = \"both\"; pool = \"fast\"; tags = [ \"t\" \"u\" ]; meta.rack = \"r1\"; publicAddress = \"192.0.2.1\"; }; }",
    )
    .unwrap();
    assert_eq!(checked.warnings, ["2 servers tolerate no more failures than 1"]);
    let declared = checked.declared.unwrap();
    let (a, b) = (&declared.hosts["a"], &declared.hosts["b"]);
    assert_eq!((declared.place(a).as_str(), declared.place(b).as_str()), ("[fd00::1]:5000", "10.0.0.2:5000"));
    assert_eq!((a.role, b.role, a.pool(), b.pool(), a.class()), (Role::Server, Role::Both, "default", "fast", ""));
    assert_eq!((b.target_host.as_str(), b.target_user.as_str()), ("192.0.2.1", "root"));
    assert_eq!(b.node_meta(), [("rack", "r1".to_owned()), ("tags", "t,u".to_owned())].into());
}

/// A hundred hosts, made by the library.
const MADE: &str = "{ lib, ... }: {
  cluster.name = \"many\";
  hosts = lib.listToAttrs (lib.genList (n: lib.nameValuePair \"host-${toString n}\" {
    address = \"10.0.0.${toString n}\"; role = if n < 3 then \"server\" else \"client\"; }) 100);
}";

#[test]
fn a_function_gets_the_library() {
    let found = declared(MADE);
    assert_eq!((found.servers().count(), found.clients().count()), (3, 97));
    let plain = MADE.replace("{ lib, ... }:", "{ lib }:");
    assert_eq!(declared(&plain), found);
    assert_eq!(declared(&MADE.replace("{ lib, ... }:", "args: with args;")), found);
    assert_eq!(declared("{ ... }: { cluster.name = \"x\"; hosts.a = { address = \"10.0.0.1\"; role = \"both\"; }; }").hosts.len(), 1);
    assert_eq!(declared(&MADE.replace("{ lib, ... }:", "{ lib, size ? 4 }:")), found);
}

#[test]
fn what_only_nix_can_evaluate_is_said_by_the_construct() {
    let one = "{ cluster.name = NAME; hosts.a = { address = \"10.0.0.1\"; role = \"both\"; }; }";
    for (text, construct) in [
        ("{ lib, pkgs, ... }: { }".to_owned(), "asks for \"pkgs\""),
        (one.replace("NAME", "builtins.getEnv \"CLUSTER\""), "builtins.getEnv"),
        (one.replace("NAME", "(import <nixpkgs> { }).lib.version"), "<nixpkgs>"),
        (one.replace("NAME", "import ../name.nix"), "../name.nix"),
        (one.replace("NAME", "import /etc/name.nix"), "/etc/name.nix"),
        (format!("{{ lib }}: {}", one.replace("NAME", "lib.trivial.release")), "attribute 'trivial' missing"),
        (format!("{{ lib }}: {}", one.replace("NAME", "lib.mkForce \"x\"")), "lib.mkForce"),
    ] {
        match check(&text) {
            Err(ReadError::NeedsNix(why)) => {
                assert!(why.contains(construct) && why.contains("hosts.nix") && !why.contains(".floe-"), "{why}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_inventory_to_anybody_is_said_with_its_place() {
    let endless = "let i = { cluster.name = i.cluster.name; hosts.a = { address = \"10.0.0.1\"; role = \"both\"; }; }; in i";
    for (text, words) in [
        ("{ cluster = ; }", "hosts.nix:1:13"),
        (endless, "infinite recursion"),
        ("{ cluster.name = import ./none.nix; hosts = { }; }", "no such file"),
        ("{ cluster.name = throw \"not yet\"; hosts = { }; }", "not yet"),
        ("let f = n: f (n + 1); in f 0", "limit"),
    ] {
        match check(text) {
            Err(ReadError::Wrong(why)) => assert!(why.contains(words) && !why.contains(".floe-"), "{why}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(matches!(check_data("{"), Err(ReadError::Wrong(_))));
    assert_eq!(errors("5"), ["an inventory is a set: { cluster = { name = \"...\"; }; hosts = { ... }; }"]);
}

#[test]
fn an_inventory_may_have_other_files_in_its_folder_and_any_name() {
    let text = "{ cluster.name = import ./sub/name.nix; hosts.a = { address = \"10.0.0.1\"; role = \"both\"; }; }";
    let name = "my \"${hosts}\" \\ file.nix";
    let files = MemoryFiles::new([(name, text), ("sub/name.nix", "\"far\"")]).unwrap();
    assert_eq!(check_file(name, &files).unwrap().declared.unwrap().cluster.name, "far");
}

#[test]
fn files_of_a_folder_are_told_apart() {
    let kind = |text: &str| kind_of("x.nix", &MemoryFiles::new([("x.nix", text)]).unwrap());
    for (_, _, text) in SHIPPED {
        assert_eq!(kind(text), Ok(Kind::Inventory));
    }
    assert_eq!(kind(include_str!("../../../templates/default/flake.nix")), Ok(Kind::Other));
    assert_eq!(kind(include_str!("../../../templates/default/common.nix")), Ok(Kind::Other));
    assert_eq!(kind("{ lib, pkgs, ... }: { }"), Ok(Kind::Function));
    assert_eq!(kind("[ 1 ]"), Ok(Kind::Other));
    assert!(matches!(kind("{ a = ; }"), Err(ReadError::Wrong(_))));
    assert!(matches!(kind("with import <nixpkgs> { }; mkShell { }"), Err(ReadError::NeedsNix(_))));
}
