//! The rules that hold for every route.

use crate::world::{World, job, web};
use axum::{body::Body, http::Request};
use floe_api::{MAX_BODY_BYTES, MAX_JOB_BODY_BYTES};
use serde_json::{Value, json};

#[tokio::test]
async fn put_and_post_write_alike_and_keys_match_in_any_case() {
    let world = World::new().await;
    let lower: Value = serde_json::from_str(&json!({"Job": web()}).to_string().to_lowercase()).unwrap();
    for method in ["PUT", "POST"] {
        for path in ["/v1/jobs", "/v1/job/web"] {
            let request = Request::builder().method(method).uri(path).body(Body::from(lower.to_string())).unwrap();
            assert_ne!(world.send(request).await.ok()["JobModifyIndex"], 0, "{method} {path}");
        }
    }
    assert_eq!(world.get("/v1/job/web").await.ok()["TaskGroups"][0]["Services"][0]["Name"], "www");
    world.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_plain_text() {
    let world = World::new().await;
    world.get("/v1/nonsense").await.fails(404, "no such path: /v1/nonsense");
    world.get("/").await.fails(404, "no such path: /");
    world.get("/v1/jobs/parse").await.fails(405, "method GET not allowed on /v1/jobs/parse");
    world.delete("/v1/nodes").await.fails(405, "method DELETE not allowed on /v1/nodes");
    world.get("/v1/volumes").await.fails(501, "not supported yet: GET /v1/volumes");
    world.put("/v1/job/web/periodic/force", &json!({})).await.fails(501, "not supported yet: PUT /v1/job/web/periodic/force");
    let patch = Request::patch("/v1/jobs").body(Body::empty()).unwrap();
    world.send(patch).await.fails(405, "method not allowed");
    world.get("/v1/jobs?index=abc").await.fails(400, "invalid query parameter index: \"abc\" is not a number");
    world.get("/v1/jobs?stale=maybe").await.fails(400, "invalid query parameter stale: \"maybe\" is not a boolean");
    world.get("/v1/jobs?index=1&wait=5").await.fails_with(400, "invalid query parameter wait");
    world.get("/v1/jobs?region=mars").await.fails_with(504, "No path to region");
    assert_eq!(world.get("/v1/jobs?region=global&stale&namespace=").await.ok(), json!([]));
    world.end().await;
}

#[tokio::test]
async fn bodies_are_bounded() {
    let world = World::new().await;
    let sized = |path: &str, size: usize| Request::put(path).body(Body::from(vec![b' '; size])).unwrap();
    for (path, limit) in [("/v1/jobs", MAX_JOB_BODY_BYTES), ("/v1/allocation/x/stop", MAX_BODY_BYTES)] {
        assert_ne!(world.send(sized(path, limit)).await.status, 413, "{path}");
        world.send(sized(path, limit + 1)).await.fails(413, &format!("the body is larger than the limit of {limit} bytes"));
    }
    world.end().await;
}

#[tokio::test]
async fn reads_carry_their_headers_and_the_index_is_never_zero() {
    let world = World::new().await;
    for path in ["/v1/jobs", "/v1/nodes", "/v1/allocations", "/v1/evaluations", "/v1/deployments", "/v1/services", "/v1/service/x"] {
        let answer = world.get(path).await;
        assert_eq!(answer.ok(), json!([]), "{path}: an empty list is [], never null");
        assert_eq!((answer.index(), answer.header("x-nomad-knownleader")), (1, Some("true")), "{path}");
        assert_eq!(answer.header("x-nomad-lastcontact"), Some("0"), "{path}: the leader has just heard of the leader");
        assert_eq!(answer.header("x-nomad-nexttoken"), None, "{path}");
    }
    let written = world.put("/v1/jobs", &json!({"Job": web()})).await;
    assert_eq!(written.index(), written.ok()["Index"].as_u64().unwrap());
    assert_eq!(written.header("x-nomad-knownleader"), Some("true"));
    world.end().await;
}

#[tokio::test]
async fn answers_are_indented_and_compressed_when_asked_for() {
    let world = World::full().await;
    let (plain, pretty) = (world.get("/v1/job/web").await, world.get("/v1/job/web?pretty").await);
    assert_eq!(plain.ok(), pretty.ok());
    assert!(!plain.text().contains('\n') && pretty.text().starts_with("{\n  \"") && pretty.text().ends_with("}\n"));
    assert_eq!(world.get("/v1/job/web?pretty=0").await.body, plain.body);

    let gzip = |path: &str| Request::get(path).header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    let packed = world.send(gzip("/v1/job/web")).await;
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), (Some("gzip"), Some("accept-encoding")));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < plain.body.len());
    assert_eq!(packed.index(), plain.index());
    assert_eq!(plain.header("content-encoding"), None);
    // A log that is followed must not wait in a compressor.
    let alloc = world.get("/v1/job/web/allocations?filter=NodeID==n1").await.column("ID").remove(0);
    assert_eq!(world.send(gzip(&format!("/v1/client/fs/logs/{alloc}?task=task"))).await.header("content-encoding"), None);
    world.end().await;
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = World::full().await;
    let listener = floe_server::listen("127.0.0.1:0".parse().unwrap(), "a test").await.unwrap();
    let base = format!("http://{}", listener.address);
    let serving = floe_server::serve(listener, world.router.clone(), floe_rpc::Acceptor::new(floe_rpc::Security::Plain));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, status) in [("/v1/job/web", 200), ("/v1/jobs", 200), ("/v1/job/nope", 404)] {
        let get = client.get(format!("{base}{path}")).send().await.unwrap();
        let head = client.head(format!("{base}{path}")).send().await.unwrap();
        assert_eq!((head.status().as_u16(), get.status()), (status, head.status()), "{path}");
        for name in ["x-nomad-index", "content-type", "content-length"] {
            assert_eq!(head.headers().get(name), get.headers().get(name), "{path}: {name}");
            assert!(get.headers().contains_key(name), "{path}: {name}");
        }
        assert!(head.bytes().await.unwrap().is_empty() && !get.bytes().await.unwrap().is_empty());
    }
    serving.stop().await;
    world.end().await;
}

#[tokio::test]
async fn ids_of_jobs_may_hold_slashes() {
    let world = World::new().await;
    world.put("/v1/jobs", &json!({"Job": job("a/dispatch-1", "batch", 1)})).await.ok();
    for path in ["/v1/job/a/dispatch-1", "/v1/job/a%2Fdispatch-1", "/v1/job/a%2fdispatch-1/"] {
        assert_eq!(world.get(path).await.ok()["ID"], "a/dispatch-1", "{path}");
    }
    assert_eq!(world.get("/v1/job/a/dispatch-1/summary").await.ok()["JobID"], "a/dispatch-1");
    world.end().await;
}
