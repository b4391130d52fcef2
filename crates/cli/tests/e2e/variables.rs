//! Variables by the command line, on a cluster that seals.

use crate::{
    cluster::three_with,
    keyring::kek,
    world::{World, eventually, world},
};
use serde_json::{Value, json};

/// `floe var` at this agent.
fn var(world: &World, address: &str, words: &[&str]) -> crate::command::Outcome {
    world.floe(&[&["var"], words, &["-address", address]].concat())
}

#[test]
fn a_variable_is_put_shown_changed_and_purged() {
    world(|world| {
        let keyring = json!({ "file": { "path": kek(world, "a.kek") } });
        let agent = world.agent("a").server_only().set(|c| c["keyring"] = keyring).start();
        let address = format!("http://{}", agent.http());
        let at = |words: &[&str]| var(world, &address, words);
        assert!(at(&["list"]).ok().contains("No variables found"));
        at(&["get", "app/db"]).fails(1, &["variable not found"]);
        let pem = world.file("pem", "two\nlines\n");
        let key = format!("key=@{}", pem.display());
        let written = at(&["put", "app/db", "password=hunter2", &key]).ok();
        for words in ["Path", "= app/db", "Check Index", "password", "= hunter2"] {
            assert!(written.contains(words), "{words:?} is not in:\n{written}");
        }
        let shown: Value = at(&["get", "-out", "json", "app/db"]).json();
        assert_eq!(shown["Items"], json!({ "password": "hunter2", "key": "two\nlines\n" }));
        assert_eq!(at(&["get", "-item", "password", "app/db"]).ok(), "hunter2\n");
        at(&["get", "-item", "user", "app/db"]).fails(1, &["has no item \"user\"", "key, password"]);
        assert_eq!(at(&["put", "-out", "none", "other", "a=b"]).ok(), "");
        assert_eq!(at(&["list", "-out", "terse"]).ok(), "app/db\nother\n");
        assert_eq!(at(&["list", "-out", "terse", "app/"]).ok(), "app/db\n");
        assert!(at(&["list"]).ok().contains("Last Updated"));

        let index = shown["ModifyIndex"].to_string();
        at(&["put", "-check-index", "0", "app/db", "x=y"]).fails(1, &["another index than was given", &index]);
        // What was read and changed is written back only if nobody else was faster.
        let spec = world.file("spec.json", shown.to_string());
        let spec = format!("@{}", spec.display());
        at(&["put", "-out", "none", &spec, "password=hunter3"]).ok();
        at(&["put", &spec, "password=hunter4"]).fails(1, &["another index than was given"]);
        at(&["put", "-out", "none", "-force", &spec, "password=hunter4"]).ok();
        assert_eq!(at(&["get", "-item", "password", "app/db"]).ok(), "hunter4\n");
        at(&["purge", "-check-index", &index, "app/db"]).fails(1, &["another index than was given"]);
        at(&["purge", "app/db"]).ok();
        at(&["get", "app/db"]).fails(1, &["variable not found"]);
        at(&["put", "-check-index", "7", "app/db", "x=y"]).fails(1, &["does not exist"]);
        at(&["put", "nomad/else", "x=y"]).fails(1, &["is reserved"]);
        // Neither the log nor a snapshot has it in the clear.
        let name = world.dir().join("backup.snap");
        world.floe(&["operator", "snapshot", "save", name.to_str().unwrap(), "-address", &address]).ok();
        assert!(world.floe(&["operator", "snapshot", "inspect", name.to_str().unwrap()]).ok().contains("variables"));
        assert!(agent.terminate().success());
        for file in [name, agent.data().join("server/raft.redb")] {
            let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            assert!(!bytes.windows(7).any(|w| w == b"hunter4"), "{} has it", file.display());
        }
    });
}

#[test]
fn every_server_takes_variables_and_shows_them_and_the_next_leader_too() {
    world(|world| {
        let file = kek(world, "a.kek");
        let servers = three_with(world, |c| c["keyring"] = json!({ "file": { "path": file } }));
        let address = |n: usize| format!("http://{}", servers[n].http());
        for n in 0..3 {
            eventually("it seals", || (var(world, &address(n), &["put", "v", &format!("written-at={n}")]).code == Some(0)).then_some(()));
            for other in 0..3 {
                eventually("it opens", || {
                    let shown = var(world, &address(other), &["get", "-item", "written-at", "v"]);
                    (shown.code == Some(0)).then(|| assert_eq!(shown.stdout, format!("{n}\n")))
                });
            }
        }
        servers[0].kill();
        eventually("the others take it", || (var(world, &address(1), &["put", "v", "written-at=later"]).code == Some(0)).then_some(()));
        assert_eq!(var(world, &address(2), &["get", "-item", "written-at", "v"]).ok(), "later\n");
    });
}
