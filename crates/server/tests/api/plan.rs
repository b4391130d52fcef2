//! What registering a job would come to.

use crate::world::{World, job, web};
use serde_json::{Value, json};

fn plan(job: &Value) -> Value {
    json!({"Job": job, "Diff": true})
}

#[tokio::test]
async fn a_plan_says_what_the_registration_then_does() {
    let world = World::full().await;
    let index = world.get("/v1/job/web").await.ok()["JobModifyIndex"].clone();
    let same = world.put("/v1/job/web/plan", &plan(&web())).await.ok();
    assert_eq!((&same["JobModifyIndex"], &same["Diff"]["Type"], &same["CreatedEvals"]), (&index, &json!("None"), &json!([])));
    assert_eq!((&same["FailedTGAllocs"], &same["Warnings"]), (&json!({}), &json!("")));
    assert_eq!(same["NextPeriodicLaunch"], "0001-01-01T00:00:00Z");
    assert_eq!(same["Annotations"]["DesiredTGUpdates"]["g"]["Ignore"], 2);
    assert_eq!(same["Annotations"]["PreemptedAllocs"], json!([]));

    let mut changed = web();
    changed["TaskGroups"][0]["Tasks"][0]["Env"] = json!({"A": "1"});
    let before = world.server.view().digest();
    let said = world.put("/v1/job/web/plan", &plan(&changed)).await;
    assert_eq!(world.server.view().digest(), before, "a plan writes nothing");
    assert_eq!(said.index(), world.server.view().index());
    let said = said.ok();
    let group = &said["Diff"]["TaskGroups"][0];
    assert_eq!((&said["Diff"]["Type"], &said["Diff"]["ID"], &group["Type"]), (&json!("Edited"), &json!("web"), &json!("Edited")));
    assert_eq!(group["Tasks"][0]["Annotations"], json!(["forces create/destroy update"]));
    assert_eq!(group["Tasks"][0]["Fields"], json!([{"Type": "Added", "Name": "Env[A]", "Old": "", "New": "1", "Annotations": []}]));
    let wanted = &said["Annotations"]["DesiredTGUpdates"]["g"];
    let names = ["Place", "DestructiveUpdate", "Ignore", "Stop", "InPlaceUpdate", "Migrate", "Canary", "Preemptions"];
    assert_eq!(names.map(|k| wanted[k].as_u64().unwrap()), [0, 1, 1, 0, 0, 0, 0, 0], "{wanted}");
    assert_eq!(group["Updates"], json!({"create/destroy update": 1, "ignore": 1}));

    let mut more = web();
    more["TaskGroups"][0]["Count"] = json!(3);
    let group = world.put("/v1/job/web/plan", &plan(&more)).await.ok()["Diff"]["TaskGroups"][0].clone();
    let count = json!([{"Type": "Edited", "Name": "Count", "Old": "2", "New": "3", "Annotations": ["forces create"]}]);
    assert_eq!((&group["Fields"], &group["Updates"]), (&count, &json!({"create": 1, "in-place update": 2})));

    // By the index that it names, the registration does just that.
    let register = json!({"Job": changed, "EnforceIndex": true, "JobModifyIndex": said["JobModifyIndex"]});
    let eval = world.put("/v1/jobs", &register).await.ok()["EvalID"].as_str().unwrap().to_owned();
    world.wait(&format!("/v1/evaluation/{eval}"), |e| e["Status"] == "complete").await;
    let of_eval = world.get(&format!("/v1/evaluation/{eval}/allocations")).await.ok();
    assert_eq!(of_eval.as_array().unwrap().len(), 1, "one is replaced: {of_eval}");
    world.put("/v1/jobs", &register).await.fails_with(500, "Enforcing job modify index");
    world.end().await;
}

#[tokio::test]
async fn a_job_that_is_not_there_is_planned_and_not_made() {
    let world = World::full().await;
    let new = job("new/one", "batch", 2);
    let said = world.put("/v1/job/new/one/plan", &plan(&new)).await.ok();
    assert_eq!((&said["JobModifyIndex"], &said["Diff"]["Type"]), (&json!(0), &json!("Added")));
    assert_eq!(said["Annotations"]["DesiredTGUpdates"]["g"]["Place"], 2);
    let without = world.put("/v1/job/new%2Fone/plan?stale", &json!({"Job": new})).await.ok();
    assert_eq!((&without["Diff"], &without["Annotations"]), (&Value::Null, &said["Annotations"]));
    world.get("/v1/job/new/one").await.fails(404, "job not found");
    world.end().await;
}

#[tokio::test]
async fn what_finds_no_node_is_said_with_what_is_missing() {
    let world = World::full().await;
    let mut big = job("big", "service", 3);
    big["TaskGroups"][0]["Tasks"][0]["Resources"] = json!({"MemoryMB": 6000});
    let said = world.put("/v1/job/big/plan", &plan(&big)).await.ok();
    assert_eq!(said["Annotations"]["DesiredTGUpdates"]["g"]["Place"], 3);
    assert_eq!(said["FailedTGAllocs"]["g"]["DimensionExhausted"]["memory"], 2);
    assert_eq!(said["CreatedEvals"][0]["TriggeredBy"], "queued-allocs");
    let made_up = said["CreatedEvals"][0]["ID"].as_str().unwrap();
    world.get(&format!("/v1/evaluation/{made_up}")).await.fails(404, "eval not found");
    world.end().await;
}

#[tokio::test]
async fn what_would_be_refused_is_refused_here_in_the_same_words() {
    let world = World::new().await;
    let mut wrong = web();
    wrong["TaskGroups"][0]["Tasks"][0]["Kind"] = json!("x");
    let register = world.put("/v1/jobs", &json!({"Job": wrong})).await;
    world.put("/v1/job/web/plan", &plan(&wrong)).await.fails(400, &register.text());
    assert!(register.text().contains("not supported yet"), "{}", register.text());
    world.put("/v1/job/web/plan", &json!({})).await.fails(400, "Job must be specified");
    world.put("/v1/job/other/plan", &plan(&web())).await.fails(400, "Job ID does not match name");
    world.put("/v1/job/web/plan?idempotency_token=x", &plan(&web())).await.fails_with(400, "not supported yet");
    world.get("/v1/job/web/plan").await.fails_with(405, "not allowed");
    let mut unknown = plan(&web());
    unknown["Job"]["Pritority"] = json!(3);
    let said = world.put("/v1/job/web/plan", &unknown).await.ok();
    assert_eq!(said["Warnings"], "unknown field Job.Pritority (did you mean Priority?) was ignored");
    world.end().await;
}

#[tokio::test]
async fn many_plans_at_once_take_turns() {
    let world = World::full().await;
    let body = plan(&web());
    let answers = futures::future::join_all((0..12).map(|_| world.put("/v1/job/web/plan", &body))).await;
    for answer in answers {
        assert_eq!(answer.ok()["Diff"]["Type"], "None");
    }
    world.end().await;
}
