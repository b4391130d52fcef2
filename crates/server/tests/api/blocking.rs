//! Reads that wait.

use crate::world::{World, job, web};
use floe_state::Command;
use serde_json::json;

#[tokio::test]
async fn a_read_waits_until_there_is_something_newer() {
    let world = World::new().await;
    let index = world.get("/v1/jobs").await.index();
    let path = format!("/v1/jobs?index={index}&wait=20s");
    let job = json!({"Job": web()});
    let (answer, _) = tokio::join!(world.get(&path), world.put("/v1/jobs", &job));
    assert_eq!(answer.column("ID"), ["web"]);
    assert!(answer.index() > index);
    world.end().await;
}

#[tokio::test]
async fn a_read_that_waits_in_vain_answers_with_the_same_index() {
    let world = World::full().await;
    for path in ["/v1/jobs", "/v1/job/web", "/v1/job/web/allocations", "/v1/job/web/summary", "/v1/service/www", "/v1/node/n1"] {
        let first = world.get(path).await;
        let again = world.get(&format!("{path}?index={}&wait=5ms", first.index())).await;
        assert_eq!((again.ok(), again.index()), (first.ok(), first.index()), "{path}");
    }
    // An index of another read may be ahead of the thing's own; it must not go back.
    let ahead = world.server.view().index();
    let node = world.get(&format!("/v1/node/n1?index={ahead}&wait=5ms")).await;
    assert_eq!(node.index(), ahead);
    assert_eq!(world.get("/v1/node/n1?index=1000000000&wait=5ms").await.index(), 1_000_000_000);
    world.end().await;
}

#[tokio::test]
async fn who_waits_for_a_thing_hears_that_it_went() {
    let world = World::new().await;
    let job = json!({"Job": job("gone", "batch", 1)});
    world.put("/v1/jobs", &job).await.ok();
    let index = world.get("/v1/job/gone").await.index();
    let path = format!("/v1/job/gone?index={index}&wait=20s");
    let (answer, _) = tokio::join!(world.get(&path), world.delete("/v1/job/gone?purge=true"));
    answer.fails(404, "job not found");
    assert!(answer.index() > index, "and from which index on");
    // Who waits for a thing to come goes on from there.
    let path = format!("/v1/job/gone?index={}&wait=20s", answer.index());
    let (answer, _) = tokio::join!(world.get(&path), world.put("/v1/jobs", &job));
    assert_eq!(answer.ok()["ID"], "gone");
    world.end().await;
}

#[tokio::test]
async fn the_index_of_a_list_does_not_go_back_when_rows_go() {
    let world = World::full().await;
    world.delete("/v1/job/web").await.ok();
    let paths = ["/v1/job/web/allocations", "/v1/job/web/evaluations", "/v1/job/web/deployments", "/v1/job/web/deployment"];
    let lists = ["/v1/allocations", "/v1/evaluations", "/v1/deployments", "/v1/node/n1/allocations", "/v1/job/web/summary"];
    let all = [&paths[..], &lists[..]].concat();
    let mut before = Vec::new();
    for path in &all {
        before.push(world.get(path).await.index());
    }
    let view = world.server.view();
    let collect = Command::Collect {
        evals: view.evals().map(|e| e.id.clone()).collect(),
        allocs: view.allocs().map(|a| a.id.clone()).collect(),
        jobs: Vec::new(),
        deployments: view.deployments().map(|d| d.id.clone()).collect(),
    };
    world.server.propose(collect).await.unwrap();
    for (path, index) in all.iter().zip(before) {
        assert!(world.get(path).await.index() >= index, "{path}");
    }
    world.end().await;
}
