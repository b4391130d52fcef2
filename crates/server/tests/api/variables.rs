//! Variables over HTTP.

use crate::world::World;
use floe_model::{Sealed, VariableKey};
use floe_state::{Command, variables::VariableChange};
use serde_json::{Value, json};

fn items(pairs: &[(&str, &str)]) -> Value {
    json!({"Items": pairs.iter().copied().collect::<std::collections::BTreeMap<_, _>>()})
}

#[tokio::test]
async fn a_variable_is_written_read_listed_and_removed() {
    let world = World::sealing().await;
    world.get("/v1/var/app/db").await.fails(404, "variable not found");
    let written = world.put("/v1/var/app/db", &items(&[("user", "u"), ("password", "hunter2")])).await;
    let index = written.index();
    let shown = written.ok();
    assert_eq!((&shown["Namespace"], &shown["Path"]), (&"default".into(), &"app/db".into()));
    assert_eq!((&shown["CreateIndex"], &shown["ModifyIndex"]), (&index.into(), &index.into()));
    assert!(shown["CreateTime"].as_i64().unwrap() > 0 && shown["CreateTime"] == shown["ModifyTime"]);
    let read = world.get("/v1/var/app/db").await;
    assert_eq!((read.index(), read.ok()), (index, shown.clone()));
    assert_eq!(shown["Items"], json!({"user": "u", "password": "hunter2"}));
    assert!(shown.get("Lock").is_none());
    // It is nowhere in the clear.
    let state = world.server.view().encode();
    assert!(!state.windows(7).any(|w| w == b"hunter2") && !state.windows(8).any(|w| w == b"password"));

    world.put("/v1/var/app/cache", &items(&[("k", "v")])).await.ok();
    world.put("/v1/var/other", &items(&[("k", "v")])).await.ok();
    world.put("/v1/var/app/far?namespace=far", &items(&[("k", "v")])).await.ok();
    assert_eq!(world.get("/v1/vars").await.column("Path"), ["app/cache", "app/db", "other"]);
    assert_eq!(world.get("/v1/vars?prefix=app%2F").await.column("Path"), ["app/cache", "app/db"]);
    assert_eq!(world.get("/v1/vars?namespace=*&per_page=2&reverse=true").await.column("Path"), ["app/far", "other"]);
    assert_eq!(world.get("/v1/vars?filter=Path%20contains%20%22cache%22").await.column("Path"), ["app/cache"]);
    assert!(world.get("/v1/vars").await.ok()[0].get("Items").is_none(), "a list shows no secret");

    let before = world.get("/v1/vars").await.index();
    let gone = world.delete("/v1/var/app/db").await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    assert!(gone.index() > before);
    assert_eq!(world.delete("/v1/var/app/db").await.status.as_u16(), 204, "what is gone is gone");
    let missing = world.get("/v1/var/app/db").await;
    assert_eq!((missing.status.as_u16(), missing.index()), (404, gone.index()), "who waits hears that it went");
    world.end().await;
}

#[tokio::test]
async fn who_names_an_index_gets_what_was_in_the_way() {
    let world = World::sealing().await;
    let first = world.put("/v1/var/a?cas=0", &items(&[("k", "1")])).await.ok();
    for answer in [world.put("/v1/var/a?cas=0", &items(&[("k", "2")])).await, world.delete("/v1/var/a?cas=1").await] {
        assert_eq!((answer.status.as_u16(), answer.json()), (409, first.clone()));
    }
    let none = world.put("/v1/var/b?cas=7", &items(&[("k", "2")])).await;
    assert_eq!((none.status.as_u16(), &none.json()["ModifyIndex"], &none.json()["Path"]), (409, &0.into(), &"b".into()));
    let second = world.put(&format!("/v1/var/a?cas={}", first["ModifyIndex"]), &items(&[("k", "2")])).await.ok();
    assert_eq!((&second["CreateIndex"], &second["CreateTime"]), (&first["CreateIndex"], &first["CreateTime"]));
    assert!(second["ModifyIndex"].as_u64() > first["ModifyIndex"].as_u64());
    assert_eq!(world.delete(&format!("/v1/var/a?cas={}", second["ModifyIndex"])).await.status.as_u16(), 204);
    world.end().await;
}

#[tokio::test]
async fn a_write_under_an_id_is_done_once() {
    let world = World::sealing().await;
    let one = world.put("/v1/var/a?idempotency_token=one", &items(&[("k", "1")])).await.ok();
    world.put("/v1/var/a", &items(&[("k", "2")])).await.ok();
    assert_eq!(world.put("/v1/var/a?idempotency_token=one", &items(&[("k", "1")])).await.ok(), one);
    assert_eq!(world.get("/v1/var/a").await.ok()["Items"]["k"], "2", "and not again");
    world.end().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let world = World::sealing().await;
    let good = items(&[("k", "v")]);
    for (path, part) in [
        ("nomad/x", "is reserved"),
        ("a//b", "empty part"),
        ("a.b", "characters that are not allowed"),
        ("a?lock-acquire", "not supported yet: query parameter lock-acquire"),
        ("a?cas=x", "cas"),
        ("a?namespace=*", "one namespace"),
    ] {
        world.put(&format!("/v1/var/{path}"), &good).await.fails_with(400, part);
    }
    world.put(&format!("/v1/var/{}", "x".repeat(129)), &good).await.fails_with(400, "at most 128");
    for (body, part) in [
        (json!({}), "no items"),
        (items(&[("", "v")]), "empty key"),
        (json!({"Items": {"k": 1}}), "Items"),
        (json!({"Items": {"k": "v"}, "Path": "b"}), "is not that of the request"),
        (json!({"Items": {"k": "v"}, "Lock": {"TTL": "15s"}}), "not supported yet: Lock"),
        (json!({"Items": {"k": "v"}, "Owner": "x"}), "Owner"),
        (items(&[("k", &"v".repeat(64 << 10))]), "at most 65536"),
    ] {
        world.put("/v1/var/a", &body).await.fails_with(400, part);
    }
    let other = json!({"Items": {"k": "v"}, "Namespace": "b"});
    world.put("/v1/var/a?namespace=c", &other).await.fails_with(400, "is not that of the request");
    assert_eq!(world.put("/v1/var/a", &other).await.ok()["Namespace"], "b");
    world.end().await;
}

#[tokio::test]
async fn a_full_rotation_seals_all_anew_and_nobody_sees_it() {
    let world = World::sealing().await;
    for n in 0..30 {
        world.put(&format!("/v1/var/v{n}"), &items(&[("k", &"x".repeat(20_000))])).await.ok();
    }
    let before = world.get("/v1/var/v7").await;
    let first = world.server.view().active_root_key().unwrap().id.clone();
    world.put("/v1/operator/keyring/rotate?full=true", &Value::Null).await.ok();
    for _ in 0..400 {
        if world.server.view().sealed_with(&first) == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let keys = world.get("/v1/operator/keyring/keys").await.ok();
    assert_eq!((&keys[0]["State"], &keys[0]["Sealed"], &keys[1]["Sealed"]), (&"inactive".into(), &0.into(), &30.into()));
    let after = world.get("/v1/var/v7").await;
    assert_eq!((after.index(), after.ok()), (before.index(), before.ok()));
    world.end().await;
}

#[tokio::test]
async fn without_a_key_it_is_said_what_is_missing() {
    let world = World::new().await;
    world.put("/v1/var/a", &items(&[("k", "v")])).await.fails_with(500, "no key-encryption key");
    assert!(world.get("/v1/vars").await.ok().as_array().unwrap().is_empty());
    world.end().await;
}

#[tokio::test]
async fn the_items_of_one_are_not_taken_for_those_of_another() {
    let world = World::sealing().await;
    world.put("/v1/var/a", &items(&[("k", "v")])).await.ok();
    let key = |path: &str| VariableKey { namespace: "default".into(), path: path.to_owned() };
    let stolen: Sealed = world.server.view().variable(&key("a")).unwrap().items.clone();
    let put = VariableChange::Put { key: key("b"), items: stolen, check_index: None };
    world.server.propose(Command::Variable(Box::new(put))).await.unwrap();
    world.get("/v1/var/b").await.fails_with(500, "not sealed with root key");
    world.end().await;
}
