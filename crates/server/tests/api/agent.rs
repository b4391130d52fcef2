//! The agent itself, the cluster's members, metrics, and what the node in the same process answers.

use crate::world::World;
use serde_json::json;

#[tokio::test]
async fn the_cluster_is_described() {
    let world = World::new().await;
    assert_eq!(world.get("/v1/status/leader").await.ok(), json!("127.0.0.1:4647"));
    assert_eq!(world.get("/v1/status/peers").await.ok(), json!(["127.0.0.1:4647"]));
    assert_eq!(world.get("/v1/regions").await.ok(), json!(["global"]));
    let members = world.get("/v1/agent/members").await.ok();
    let member = &members["Members"][0];
    assert_eq!((&members["ServerRegion"], &member["Status"], &member["Port"]), (&json!("global"), &json!("alive"), &json!(4647)));
    assert_eq!((&member["Addr"], &member["Tags"]["build"]), (&json!("127.0.0.1"), &json!("1.2.3")));
    world.end().await;
}

#[tokio::test]
async fn the_agent_says_who_and_how_it_is() {
    let world = World::new().await;
    let about = world.get("/v1/agent/self").await.ok();
    assert_eq!((&about["config"]["Region"], &about["stats"]["client"]["node_id"]), (&json!("global"), &json!("n1")));
    assert_eq!((&about["stats"]["raft"]["leader"], &about["member"]["Name"]), (&json!("true"), &json!("one.global")));
    let health = world.get("/v1/agent/health").await.ok();
    assert_eq!(health, json!({"client": {"ok": true, "message": "ok"}, "server": {"ok": true, "message": "ok"}}));
    assert_eq!(world.get("/v1/agent/health?type=client").await.ok(), json!({"client": {"ok": true, "message": "ok"}}));
    assert_eq!(world.get("/v1/agent/health?type=server").await.ok(), json!({"server": {"ok": true, "message": "ok"}}));
    world.get("/v1/agent/health?type=both").await.fails(400, "type \"both\" is neither client nor server");
    for path in ["/livez", "/readyz", "/healthz"] {
        let answer = world.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok\n"), "{path}");
    }
    world.end().await;
}

#[tokio::test]
async fn metrics_are_text_that_prometheus_reads() {
    let world = World::full().await;
    let answer = world.get("/v1/metrics?format=prometheus").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for line in
        ["nomad_nomad_job_status_running 3.0", "floe_nodes_ready 2.0", "nomad_client_uptime{node_id=\"n1\"} 7.0", "floe_raft_is_leader 1.0"]
    {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    world.get("/v1/metrics").await.fails_with(400, "ask for format=prometheus");
    world.get("/v1/metrics?format=xml").await.fails_with(400, "not supported yet: metrics format \"xml\"");
    world.end().await;
}

#[tokio::test]
async fn logs_come_plain_or_in_frames() {
    let world = World::full().await;
    let here = world.get("/v1/job/web/allocations?filter=NodeID==n1").await.column("ID").remove(0);
    let logs = |query: &str| format!("/v1/client/fs/logs/{here}?{query}");
    let plain = world.get(&logs("task=task&plain=true&type=stderr&origin=end&offset=7")).await;
    assert_eq!((plain.status.as_u16(), plain.text().as_str()), (200, "stderr 7 true"));
    assert_eq!(plain.header("content-type"), Some("application/octet-stream"));
    let frame = world.get(&logs("task=task&follow=True")).await.json();
    assert_eq!(frame, json!({"File": "task.stdout.0", "Offset": 10, "Data": "c3Rkb3V0IDAgZmFsc2U="}));
    world.get(&logs("")).await.fails(400, "must provide task name");
    world.get(&logs("task=task&type=both")).await.fails(400, "log type \"both\" must be stdout or stderr");
    world.get(&logs("task=task&origin=middle")).await.fails(400, "origin \"middle\" must be start or end");
    world.get(&logs("task=task&offset=-1")).await.fails_with(400, "invalid query parameter offset");
    world.get(&logs("task=nope")).await.fails_with(404, "task \"nope\" not found in allocation");
    world.end().await;
}
