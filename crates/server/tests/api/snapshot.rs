//! Snapshots over HTTP.

use crate::world::World;
use base64::{Engine, engine::general_purpose::STANDARD};
use floe_state::archive;

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
