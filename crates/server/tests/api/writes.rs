//! Writes and what refuses them.

use crate::world::{World, job, web};
use serde_json::json;

#[tokio::test]
async fn tasks_are_restarted_and_signalled_where_they_run() {
    let world = World::full().await;
    let alloc = world.server.view().allocs().find(|a| a.node_id == "n1").unwrap().id.to_string();
    let at = |verb: &str| format!("/v1/client/allocation/{alloc}/{verb}");
    assert_eq!(world.put(&at("restart"), &json!({"TaskName": "task"})).await.ok(), json!({}));
    assert_eq!(world.put_bytes(&at("restart"), Vec::new()).await.ok(), json!({}));
    world.put(&at("restart"), &json!({"TaskName": "gone"})).await.fails(400, "task \"gone\" is not running: nothing was done");
    world.put(&at("restart"), &json!({"AllTasks": true})).await.fails_with(400, "not supported yet: AllTasks");
    assert_eq!(world.put(&at("signal"), &json!({"Task": "task", "Signal": "SIGHUP"})).await.ok(), json!({}));
    world.put(&at("signal"), &json!({"Task": "task", "Signal": "x"})).await.fails_with(400, "invalid signal \"x\"");
    world.put("/v1/client/allocation/none/signal", &json!({"Signal": "SIGHUP"})).await.fails(404, "alloc not found");
    world.get(&at("restart")).await.fails_with(405, "method GET not allowed");
    world.end().await;
}

#[tokio::test]
async fn a_job_is_registered_changed_stopped_and_purged() {
    let world = World::new().await;
    let first = world.put("/v1/jobs", &json!({"Job": web()})).await.ok();
    assert!(!first["EvalID"].as_str().unwrap().is_empty());
    assert_eq!((&first["Warnings"], &first["EvalCreateIndex"]), (&json!(""), &first["Index"]));
    let mut changed = web();
    changed["Priority"] = json!(70);
    let second = world.put("/v1/job/web", &json!({"Job": changed})).await.ok();
    assert!(second["JobModifyIndex"].as_u64() > first["JobModifyIndex"].as_u64());
    assert_eq!(world.get("/v1/job/web").await.ok()["Version"], 1);
    let evaluated = world.put("/v1/job/web/evaluate", &json!({"JobID": "web"})).await.ok();
    assert!(!evaluated["EvalID"].as_str().unwrap().is_empty());
    let stopped = world.delete("/v1/job/web").await.ok();
    assert!(!stopped["EvalID"].as_str().unwrap().is_empty());
    assert_eq!(world.get("/v1/job/web").await.ok()["Stop"], true);
    world.delete("/v1/job/web?purge=true&global=false").await.ok();
    world.get("/v1/job/web").await.fails(404, "job not found");
    world.end().await;
}

#[tokio::test]
async fn an_index_that_another_has_changed_is_refused() {
    let world = World::new().await;
    let body = |index: u64| json!({"Job": web(), "EnforceIndex": true, "JobModifyIndex": index});
    world.put("/v1/jobs", &body(7)).await.fails(500, "Enforcing job modify index 7: job does not exist");
    let index = world.put("/v1/jobs", &body(0)).await.ok()["JobModifyIndex"].as_u64().unwrap();
    for wrong in [0, index + 1000] {
        let words = format!("Enforcing job modify index {wrong}: job exists with conflicting job modify index: {index}");
        world.put("/v1/jobs", &body(wrong)).await.fails(500, &words);
    }
    world.put("/v1/jobs", &body(index)).await.ok();
    world.end().await;
}

#[tokio::test]
async fn jobs_that_make_no_sense_are_refused() {
    let world = World::new().await;
    world.put("/v1/jobs", &json!({})).await.fails(400, "Job must be specified");
    world.put("/v1/jobs", &json!({"Job": {}})).await.fails(400, "Job ID hasn't been provided");
    world.put("/v1/job/other", &json!({"Job": web()})).await.fails(400, "Job ID does not match name");
    world.put("/v1/validate/job", &json!({})).await.fails(400, "Job must be specified");
    world.put("/v1/jobs", &json!({"Job": {"ID": 7}})).await.fails_with(400, "Job.ID: ");
    world.put("/v1/jobs", &json!({"Job": web(), "PreserveResources": true})).await.fails(400, "not supported yet: PreserveResources");
    let mut nonsense = web();
    nonsense["Priority"] = json!(1000);
    nonsense["TaskGroups"][0]["Tasks"][0]["Driver"] = json!("");
    world.put("/v1/jobs", &json!({"Job": nonsense})).await.fails_with(400, "2 problems in the job:");
    let mut wild = web();
    wild["Namespace"] = json!("*");
    world.put("/v1/jobs", &json!({"Job": wild})).await.fails_with(400, "namespace");
    world.put("/v1/jobs?namespace=*", &json!({"Job": web()})).await.fails_with(400, "namespace");
    let broken = axum::http::Request::put("/v1/jobs").body("{".into()).unwrap();
    world.send(broken).await.fails_with(400, "invalid JSON");
    assert_eq!(world.get("/v1/jobs").await.ok(), json!([]));
    world.end().await;
}

#[tokio::test]
async fn writes_to_what_does_not_exist_are_refused() {
    let world = World::new().await;
    world.delete("/v1/job/nope").await.fails(404, "job not found");
    world.put("/v1/job/nope/evaluate", &json!({})).await.fails(404, "job not found");
    world.put("/v1/allocation/nope/stop", &json!({})).await.fails(404, "alloc not found");
    world.end().await;
}

#[tokio::test]
async fn what_is_not_supported_is_refused_and_not_ignored() {
    let world = World::full().await;
    for query in ["global=true", "no_shutdown_delay=true", "eval_priority=70"] {
        let name = query.split('=').next().unwrap();
        world.delete(&format!("/v1/job/web?{query}")).await.fails(400, &format!("not supported yet: query parameter {name}"));
    }
    let alloc = world.get("/v1/job/web/allocations").await.column("ID").remove(0);
    let stop = format!("/v1/allocation/{alloc}/stop");
    for name in ["no_shutdown_delay", "reschedule"] {
        world.put(&format!("{stop}?{name}=true"), &json!({})).await.fails(400, &format!("not supported yet: query parameter {name}"));
    }
    let force = json!({"JobID": "web", "EvalOptions": {"ForceReschedule": true}});
    world.put("/v1/job/web/evaluate", &force).await.fails(400, "not supported yet: ForceReschedule");
    world.end().await;
}

#[tokio::test]
async fn unknown_fields_are_warned_of_but_not_the_envelope_of_gos_client() {
    let world = World::new().await;
    let mut body = json!({"Job": web(), "Region": "", "Namespace": "", "SecretID": ""});
    assert_eq!(world.put("/v1/jobs", &body).await.ok()["Warnings"], "");
    assert_eq!(world.put("/v1/validate/job", &body).await.ok()["Warnings"], "");
    body["Job"]["Pritority"] = json!(3);
    let warning = "unknown field Job.Pritority (did you mean Priority?) was ignored";
    assert_eq!(world.put("/v1/jobs", &body).await.ok()["Warnings"], warning);
    // The envelope's namespace counts where the job has none.
    let body = json!({"Job": job("spaced", "batch", 1), "Namespace": "other"});
    world.put("/v1/jobs", &body).await.fails_with(400, "not supported yet: namespace");
    world.end().await;
}

#[tokio::test]
async fn an_allocation_that_is_stopped_is_replaced() {
    let world = World::full().await;
    let alloc = world.get("/v1/job/web/allocations").await.column("ID").remove(0);
    let answer = world.put(&format!("/v1/allocation/{alloc}/stop"), &json!({})).await;
    let eval = answer.ok()["EvalID"].as_str().unwrap().to_owned();
    assert_eq!(answer.ok()["Index"].as_u64(), Some(answer.index()));
    world.wait(&format!("/v1/evaluation/{eval}"), |e| e["Status"] == "complete").await;
    assert_eq!(world.get("/v1/job/web/allocations").await.column("ID").len(), 3);
    assert_eq!(world.get(&format!("/v1/allocation/{alloc}")).await.ok()["DesiredStatus"], "stop");
    world.end().await;
}

#[tokio::test]
async fn jobs_are_parsed_and_validated_without_being_registered() {
    let world = World::new().await;
    let hcl = "job \"parsed\" {\n group \"g\" {\n task \"t\" {\n driver = \"exec\"\n config {\n command = \"/bin/true\"\n }\n }\n }\n}\n";
    let plain = world.put("/v1/jobs/parse", &json!({"JobHCL": hcl})).await.ok();
    assert_eq!(plain["ID"], "parsed");
    let canonical = world.put("/v1/jobs/parse", &json!({"jobhcl": hcl, "canonicalize": true})).await.ok();
    assert_eq!(canonical["Priority"], 50);
    world.put("/v1/jobs/parse", &json!({"JobHCL": "job {"})).await.fails_with(400, "1");
    world.put("/v1/jobs/parse", &json!({"JobHCL": " "})).await.fails_with(400, "Job spec is empty");
    let valid = world.put("/v1/validate/job", &json!({"Job": canonical})).await.ok();
    assert_eq!((&valid["DriverConfigValidated"], &valid["ValidationErrors"], &valid["Error"]), (&json!(true), &json!([]), &json!("")));
    let mut wrong = web();
    wrong["Priority"] = json!(1000);
    let invalid = world.put("/v1/validate/job", &json!({"Job": wrong})).await.ok();
    assert_eq!(invalid["ValidationErrors"].as_array().unwrap().len(), 1);
    assert!(invalid["Error"].as_str().unwrap().contains("1 problem in the job"));
    assert_eq!(world.get("/v1/jobs").await.ok(), json!([]));
    world.end().await;
}

#[tokio::test]
async fn counts_are_kept_when_asked_for() {
    let world = World::new().await;
    world.put("/v1/jobs", &json!({"Job": job("web", "service", 3)})).await.ok();
    world.put("/v1/jobs", &json!({"Job": job("web", "service", 1), "PreserveCounts": true})).await.ok();
    assert_eq!(world.get("/v1/job/web").await.ok()["TaskGroups"][0]["Count"], 3);
    world.put("/v1/jobs", &json!({"Job": job("web", "service", 1)})).await.ok();
    assert_eq!(world.get("/v1/job/web").await.ok()["TaskGroups"][0]["Count"], 1);
    world.end().await;
}

#[tokio::test]
async fn a_write_that_is_sent_again_under_its_id_is_done_once() {
    let world = World::new().await;
    let body = json!({"Job": web()});
    let first = world.put("/v1/jobs?idempotency_token=one", &body).await.ok();
    let again = world.put("/v1/jobs?idempotency_token=one", &body).await;
    assert_eq!(again.ok(), first, "the same answer, with the index of the first");
    let evaluate = |id: &str| {
        let request = axum::http::Request::put("/v1/job/web/evaluate").header("idempotency-key", format!("\"{id}\""));
        request.body(axum::body::Body::from("{}")).unwrap()
    };
    let second = world.send(evaluate("two")).await.ok();
    assert_eq!(world.send(evaluate("two")).await.ok(), second);
    assert_ne!(world.send(evaluate("three")).await.ok(), second);
    // Beside those that the scheduler makes for what it cannot place.
    let evals = world.get("/v1/job/web/evaluations").await.ok();
    let asked = evals.as_array().unwrap().iter().filter(|e| e["TriggeredBy"] != "queued-allocs").count();
    assert_eq!(asked, 3, "registered, and evaluated twice: {evals:#}");
    let mut other = web();
    other["Priority"] = json!(70);
    let reused = world.put("/v1/jobs?idempotency_token=one", &json!({"Job": other})).await;
    reused.fails_with(422, "was used for another request");
    assert_eq!(world.get("/v1/job/web").await.ok()["Version"], 0);
    // A refusal is told again as well.
    let gone = "/v1/job/none?idempotency_token=four";
    world.delete(gone).await.fails(404, "job not found");
    world.delete(gone).await.fails(404, "job not found");
    world.end().await;
}

#[tokio::test]
async fn an_id_at_the_bound_is_taken_and_one_past_it_or_elsewhere_refused() {
    let world = World::new().await;
    let body = json!({"Job": web()});
    let register = |bytes: usize| format!("/v1/jobs?idempotency_token={}", "x".repeat(bytes));
    let limit = floe_state::requests::MAX_REQUEST_ID_BYTES;
    world.put(&register(limit), &body).await.ok();
    world.put(&register(limit + 1), &body).await.fails_with(400, "128 are allowed");
    world.put("/v1/validate/job?idempotency_token=x", &body).await.fails_with(400, "not supported yet");
    world.get("/v1/jobs?idempotency_token=x").await.fails_with(400, "not supported yet");
    world.end().await;
}
