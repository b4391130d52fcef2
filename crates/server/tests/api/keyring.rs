//! Root keys over HTTP, on a server that has no key-encryption key.

use crate::world::World;
use floe_model::keyring::{KeyId, Wrapped};
use floe_state::{
    Command,
    keyring::{Activation, KeyringChange, NewKey},
};

/// A key that another server made.
async fn put(world: &World, id: &str, after: Option<&str>) {
    let wraps = vec![Wrapped { kek: "age:far-away".to_owned(), bytes: vec![42; 60] }];
    let new = NewKey { id: KeyId::from(id), wraps, after: after.map(KeyId::from), activation: Activation::Now };
    world.server.propose(Command::Keyring(Box::new(KeyringChange::Put(new)))).await.unwrap();
}

/// The keys, once the server has tried to open both.
async fn looked_at(world: &World) -> serde_json::Value {
    for _ in 0..400 {
        let keys = world.get("/v1/operator/keyring/keys").await.ok();
        if (0..2).all(|n| keys[n]["Closed"] != "") {
            return keys;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("nobody looks at the keys");
}

#[tokio::test]
async fn a_server_without_a_key_encryption_key_says_what_to_configure() {
    let world = World::new().await;
    for answer in [world.get("/v1/operator/keyring/keys").await, world.put("/v1/operator/keyring/rotate", &().into()).await] {
        assert_eq!(answer.status.as_u16(), 400);
        assert!(answer.text().contains("no key-encryption key") && answer.text().contains("keyring \"file\""), "{}", answer.text());
    }
    assert_eq!(world.get("/v1/metrics?format=prometheus").await.text().lines().filter(|l| l.starts_with("floe_root_keys")).count(), 2);
    put(&world, "one", None).await;
    put(&world, "two", Some("one")).await;
    let shown = looked_at(&world).await;
    assert_eq!((&shown[0]["KeyID"], &shown[0]["State"], &shown[1]["State"]), (&"one".into(), &"inactive".into(), &"active".into()));
    assert_eq!((&shown[1]["WrappedBy"][0], &shown[1]["PublishTime"]), (&"age:far-away".into(), &0.into()));
    assert!(shown[1]["Closed"].as_str().unwrap().contains("age:far-away"), "{shown}");
    assert!(!shown.to_string().contains("42,42"), "no wrap is shown: {shown}");
    let health = world.get("/v1/agent/health").await.ok();
    assert_eq!(health["server"]["ok"], true, "it does everything else");
    assert!(health["server"]["message"].as_str().unwrap().contains("2 root keys cannot be opened here"), "{health}");
    assert!(world.get("/v1/metrics?format=prometheus").await.text().contains("floe_root_keys_closed 2"));
    world.end().await;
}

#[tokio::test]
async fn keys_are_removed_and_questions_that_make_no_sense_refused() {
    let world = World::new().await;
    put(&world, "one", None).await;
    put(&world, "two", Some("one")).await;
    let active = world.delete("/v1/operator/keyring/key/two?force=true").await;
    assert_eq!(active.status.as_u16(), 400);
    assert!(active.text().contains("is active: rotate first"), "{}", active.text());
    let removed = world.delete("/v1/operator/keyring/key/one").await;
    assert_eq!((removed.status.as_u16(), removed.index() > 1), (200, true));
    assert_eq!(world.delete("/v1/operator/keyring/key/one").await.status.as_u16(), 404);
    for (query, why) in [
        ("full=true&publish_time=99999999999999999", "choose one"),
        ("publish_time=5", "in the future"),
        ("publish_time=9223372036854775807", "at most"),
        ("publish_time=x", "not a number"),
        ("full=perhaps", "full"),
        ("algo=aes256-gcm", "not supported yet"),
    ] {
        let answer = world.put(&format!("/v1/operator/keyring/rotate?{query}"), &().into()).await;
        assert!(answer.status.as_u16() == 400 && answer.text().contains(why), "{query}: {}", answer.text());
    }
    world.end().await;
}
