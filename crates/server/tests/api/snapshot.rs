//! Snapshots over HTTP.

use crate::world::World;
use base64::{Engine, engine::general_purpose::STANDARD};
use floe_state::archive::{self, Origin};

#[tokio::test]
async fn a_snapshot_is_a_whole_file_with_its_digest_and_index() {
    let world = World::full().await;
    for path in ["/v1/operator/snapshot", "/v1/operator/snapshot?stale"] {
        let answer = world.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/octet-stream")), "{}", answer.text());
        let read = archive::decode(&answer.body).unwrap();
        let view = world.server.view();
        assert_eq!((read.metadata.index, answer.index()), (view.index(), view.index()));
        assert_eq!(read.metadata.cluster_id, world.server.consensus().cluster().unwrap().as_str());
        assert_eq!(read.metadata.digest, view.content_digest());
        assert!(read.has_same_digest() && read.metadata.created.0 > 0 && read.metadata.term > 0);
        let digest = format!("sha-256={}", STANDARD.encode(archive::sha256(&answer.body)));
        assert_eq!(answer.header("digest"), Some(digest.as_str()));
    }
    world.end().await;
}

/// Saves what a world has.
async fn saved(world: &World) -> Vec<u8> {
    world.get("/v1/operator/snapshot").await.body.to_vec()
}

#[tokio::test]
async fn a_restore_brings_everything_back_and_wakes_who_waits() {
    let world = World::full().await;
    let bytes = saved(&world).await;
    let before = archive::decode(&bytes).unwrap().state;
    let gone = world.delete("/v1/job/web?purge=true").await.ok();
    world.wait(&format!("/v1/evaluation/{}", gone["EvalID"].as_str().unwrap()), |e| e["Status"] == "complete").await;
    let seen = world.get("/v1/jobs").await;
    assert!(!seen.column("ID").contains(&"web".to_owned()));
    let (list, row) = (world.get("/v1/job/web").await.index(), world.get("/v1/node/n1").await.index());
    let (list, row) = (format!("/v1/jobs?index={}&wait=20s", list.max(seen.index())), format!("/v1/node/n1?index={row}&wait=20s"));
    let (listed, read, restored) = tokio::join!(world.get(&list), world.get(&row), world.put_bytes("/v1/operator/snapshot", bytes.clone()));
    let answer = restored.ok();
    let view = world.server.view();
    assert_eq!(answer["ContentDigest"], before.content_digest().to_string());
    assert_eq!((view.restored().digest, answer["Index"].as_u64()), (before.content_digest(), Some(view.restored().index)));
    assert!(restored.index() > before.index());
    assert!(listed.column("ID").contains(&"web".to_owned()), "a list that was waited for");
    assert!(listed.index() >= restored.index() && read.index() >= restored.index(), "a row that is as old as it was is news all the same");
    assert_eq!(
        world.get("/v1/job/web").await.ok()["ModifyIndex"],
        before.job(&floe_model::JobKey::new("default", "web")).unwrap().modify_index
    );
    // Nothing new: who waits from there on waits.
    let again = world.get(&format!("/v1/node/n1?index={}&wait=100ms", read.index())).await;
    assert_eq!(again.index(), read.index());
    world.end().await;
}

/// The same snapshot as if another cluster had made it.
fn from_elsewhere(bytes: &[u8]) -> Vec<u8> {
    let archive = archive::decode(bytes).unwrap();
    archive::encode(&archive.state, Origin { cluster_id: "elsewhere".to_owned(), ..archive.metadata.origin() }).unwrap()
}

#[tokio::test]
async fn what_is_not_restored_changes_nothing() {
    let world = World::full().await;
    let bytes = saved(&world).await;
    let before = world.server.view().content_digest();
    let put = |bytes: Vec<u8>| world.put_bytes("/v1/operator/snapshot", bytes);
    put(Vec::new()).await.fails_with(400, "it is empty");
    put(bytes[..bytes.len() - 1].to_vec()).await.fails_with(400, "cut off or damaged");
    put(b"\x1f\x8bnomad".to_vec()).await.fails_with(400, "snapshots of Nomad cannot be restored");
    let foreign = from_elsewhere(&bytes);
    put(foreign.clone()).await.fails_with(400, "it is of cluster elsewhere");
    let view = world.server.view();
    assert_eq!((view.content_digest(), view.staged_bytes(), view.restored().index), (before, 0, 0));
    assert_eq!(world.put_bytes("/v1/operator/snapshot?force", foreign).await.status, 200);
    world.end().await;
    // A cluster that has nothing to lose takes it.
    let (full, empty) = (World::full().await, World::new().await);
    let bytes = from_elsewhere(&saved(&full).await);
    let answer = empty.put_bytes("/v1/operator/snapshot", bytes.clone()).await.ok();
    assert_eq!(answer["ContentDigest"], archive::decode(&bytes).unwrap().metadata.digest.to_string());
    assert_eq!(empty.get("/v1/jobs?namespace=*").await.column("ID"), full.get("/v1/jobs?namespace=*").await.column("ID"));
    full.end().await;
    empty.end().await;
}

#[test]
fn a_request_may_carry_the_largest_snapshot() {
    assert_eq!(floe_api::MAX_SNAPSHOT_BODY_BYTES, archive::MAX_ARCHIVE_BYTES);
}
