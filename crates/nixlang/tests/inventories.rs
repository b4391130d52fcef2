//! Inventories of clusters are plain Nix, without nixpkgs: this crate reads them, and finds the same wrong as Nix does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_nixlang::{Limits, MemoryFiles, eval_file};
use serde_json::{Value, json};

const CHECK: &str = include_str!("../../../nix/lib/inventory.nix");
const SHIPPED: [(&str, &str, usize); 3] = [
    ("single", include_str!("../../../hosts/single.nix"), 1),
    ("trio", include_str!("../../../hosts/trio.nix"), 3),
    ("hetzner", include_str!("../../../hosts/hetzner.nix"), 3),
];

/// What `nix/lib/inventory.nix` says of an inventory.
fn checked(inventory: &str) -> Value {
    let files = MemoryFiles::new([("inventory.nix", CHECK), ("hosts.nix", inventory)]).unwrap();
    eval_file("check.nix", "import ./inventory.nix (import ./hosts.nix)", &files, &Limits::default()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn those_that_come_along_are_plain_data_and_right() {
    for (name, text, servers) in SHIPPED {
        let data = eval_file("hosts.nix", text, &MemoryFiles::default(), &Limits::default()).unwrap();
        assert_eq!(data["cluster"]["name"], name);
        let found = checked(text);
        assert_eq!((&found["errors"], &found["warnings"]), (&json!([]), &json!([])), "{name}");
        assert_eq!(found["servers"].as_array().unwrap().len(), servers);
    }
}

#[test]
fn mistakes_are_found_here_too() {
    let trio = SHIPPED[1].1;
    let errors = |text: &str| checked(text)["errors"].to_string();
    assert!(errors(&trio.replace("10.0.0.2", "10.0.0.1")).contains("is the address of one, too"));
    assert!(errors(&trio.replace("rack = \"r2\"", "rack = 2")).contains("hosts.three.meta: write a set of strings"));
    assert!(errors(&trio.replace("role = \"both\"", "role = \"bath\"")).contains("is no role; give one of server, client, both"));
    assert!(errors("{ cluster.name = \"x\"; hosts.a = { address = \"10.0.0\"; role = \"both\"; }; }").contains("is no IP address"));
}
