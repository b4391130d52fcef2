//! Reads of one thing.

use crate::world::{World, escape, web};
use serde_json::json;

#[tokio::test]
async fn a_job_is_read_in_all_its_parts() {
    let world = World::full().await;
    let job = world.get("/v1/job/web").await.ok();
    assert_eq!(
        (&job["ID"], &job["Namespace"], &job["Status"], &job["Version"]),
        (&json!("web"), &json!("default"), &json!("running"), &json!(0))
    );
    assert_eq!(world.get("/v1/job/web?namespace=other").await.ok()["Namespace"], "other");
    let summary = world.get("/v1/job/web/summary").await.ok();
    assert_eq!((&summary["JobID"], &summary["Summary"]["g"]["Running"]), (&json!("web"), &json!(2)));
    let versions = world.get("/v1/job/web/versions").await.ok();
    assert_eq!((versions["Versions"].as_array().unwrap().len(), &versions["Diffs"]), (1, &json!([])));
    let deployment = world.get("/v1/job/web/deployment").await.ok();
    assert_eq!((&deployment["JobID"], &deployment["TaskGroups"]["g"]["DesiredTotal"]), (&json!("web"), &json!(2)));
    assert_eq!(world.get("/v1/job/batch/one/deployment").await.ok(), json!(null));
    world.end().await;
}

#[tokio::test]
async fn what_does_not_exist_is_said_in_the_words_that_clients_match() {
    let world = World::new().await;
    for (path, words) in [
        ("/v1/job/nope", "job not found"),
        ("/v1/job/nope/summary", "job not found"),
        ("/v1/job/nope/versions", "job versions not found"),
        ("/v1/job/nope/submission", "job source not found"),
        ("/v1/job/nope/services", "job not found"),
        ("/v1/allocation/nope", "alloc not found"),
        ("/v1/allocation/nope/services", "alloc not found"),
        ("/v1/evaluation/nope", "eval not found"),
        ("/v1/evaluation/nope/allocations", "eval not found"),
        ("/v1/deployment/nope", "deployment not found"),
        ("/v1/deployment/allocations/nope", "deployment not found"),
        ("/v1/node/nope", "node not found"),
        ("/v1/client/fs/logs/nope?task=t", "alloc not found"),
    ] {
        world.get(path).await.fails(404, words);
    }
    // Lists of a job that does not exist are empty, as they are elsewhere.
    for list in ["allocations", "evaluations", "deployments"] {
        assert_eq!(world.get(&format!("/v1/job/nope/{list}")).await.ok(), json!([]), "{list}");
    }
    assert_eq!(world.get("/v1/job/nope/deployment").await.ok(), json!(null));
    assert_eq!(world.get("/v1/node/nope/allocations").await.ok(), json!([]));
    world.end().await;
}

#[tokio::test]
async fn allocations_evaluations_and_deployments_lead_to_each_other() {
    let world = World::full().await;
    let eval_id = world.get("/v1/job/web/evaluations").await.column("ID").pop().unwrap();
    let eval = world.get(&format!("/v1/evaluation/{eval_id}?related=true")).await.ok();
    assert_eq!((&eval["JobID"], &eval["Status"], &eval["RelatedEvals"]), (&json!("web"), &json!("complete"), &json!([])));
    let allocs = world.get(&format!("/v1/evaluation/{eval_id}/allocations")).await.column("ID");
    assert_eq!(allocs, world.get("/v1/job/web/allocations").await.column("ID"));
    let alloc = world.get(&format!("/v1/allocation/{}", allocs[0])).await.ok();
    assert_eq!((&alloc["EvalID"], &alloc["ClientStatus"], &alloc["Job"]["ID"]), (&json!(eval_id), &json!("running"), &json!("web")));
    let deployment = alloc["DeploymentID"].as_str().unwrap();
    assert_eq!(world.get(&format!("/v1/deployment/allocations/{deployment}")).await.column("ID"), allocs);
    assert_eq!(world.get(&format!("/v1/deployment/{deployment}")).await.ok()["ID"], deployment);
    let services = world.get(&format!("/v1/allocation/{}/services", allocs[0])).await;
    assert_eq!(services.column("ServiceName"), ["www"]);
    world.end().await;
}

#[tokio::test]
async fn a_node_and_its_allocations_are_read() {
    let world = World::full().await;
    let node = world.get("/v1/node/n1").await.ok();
    assert_eq!((&node["ID"], &node["Status"], &node["SchedulingEligibility"]), (&json!("n1"), &json!("ready"), &json!("eligible")));
    let allocs = world.get("/v1/node/n1/allocations").await.ok();
    assert!(allocs.as_array().unwrap().iter().all(|a| a["NodeID"] == "n1" && a["Job"].is_object()), "in their long form");
    let stub = &world.get("/v1/nodes?resources=true&os=true").await.ok()[0];
    assert_eq!((&stub["Attributes"]["os.name"], &stub["Address"]), (&json!("nixos"), &json!("10.0.0.1")));
    assert!(stub["NodeResources"].is_object() && stub["ReservedResources"].is_object());
    let stub = &world.get("/v1/nodes").await.ok()[0];
    assert!(stub.get("Attributes").is_none() && stub.get("NodeResources").is_none());
    world.end().await;
}

#[tokio::test]
async fn services_are_read_the_way_proxies_do() {
    let world = World::full().await;
    let list = world.get("/v1/services?namespace=default&stale").await.ok();
    assert_eq!(list, json!([{"Namespace": "default", "Services": [{"ServiceName": "www", "Tags": ["blue", "traefik.enable=true"]}]}]));
    let asked = format!("/v1/service/www?filter={}&namespace=default&stale=", escape("Tags contains \"traefik.enable=true\""));
    let instances = world.get(&asked).await.ok();
    assert_eq!(instances.as_array().unwrap().len(), 2);
    for instance in instances.as_array().unwrap() {
        let keys: Vec<&str> = instance.as_object().unwrap().keys().map(String::as_str).collect();
        for key in [
            "ID",
            "ServiceName",
            "Namespace",
            "NodeID",
            "Datacenter",
            "JobID",
            "AllocID",
            "Tags",
            "Address",
            "Port",
            "CreateIndex",
            "ModifyIndex",
        ] {
            assert!(keys.contains(&key), "{key} in {keys:?}");
        }
        assert_eq!((&instance["Port"], &instance["Datacenter"]), (&json!(8080), &json!("dc1")));
    }
    world.get("/v1/service/www?choose=1|x").await.fails(400, "not supported yet: query parameter choose");
    // A service that loses its last instance is an empty list, with a newer index.
    let index = world.get("/v1/service/www").await.index();
    world.delete("/v1/job/web").await.ok();
    let path = "/v1/service/www";
    let mut answer = world.get(&format!("{path}?index={index}&wait=20s")).await;
    while !answer.ok().as_array().unwrap().is_empty() {
        let seen = answer.index();
        answer = world.get(&format!("{path}?index={seen}&wait=20s")).await;
        assert!(answer.index() > seen, "the instances went in time");
    }
    assert!(answer.index() > index);
    world.end().await;
}

#[tokio::test]
async fn the_source_of_a_version_is_kept() {
    let world = World::new().await;
    let body = json!({"Job": web(), "Submission": {"Source": "job \"web\" {}", "Format": "hcl2"}});
    world.put("/v1/jobs", &body).await.ok();
    for path in ["/v1/job/web/submission", "/v1/job/web/submission?version=0"] {
        assert_eq!(world.get(path).await.ok()["Source"], "job \"web\" {}", "{path}");
    }
    world.get("/v1/job/web/submission?version=1").await.fails(404, "job source not found");
    world.get("/v1/job/web/versions?diffs=true").await.fails(400, "not supported yet: query parameter diffs");
    world.end().await;
}
