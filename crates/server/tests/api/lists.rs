//! Lists: filters, pages, prefixes, namespaces.

use crate::world::{World, escape};

/// Every list with the field that tells its rows apart, how many rows [`World::full`] has there, and a filter with what is left.
const LISTS: &[(&str, &str, usize, &str, usize)] = &[
    ("/v1/jobs", "ID", 2, "Status == running and Type != batch", 1),
    ("/v1/jobs?namespace=*", "Namespace", 3, "ID == web", 2),
    ("/v1/jobs?meta=true", "ID", 2, "Meta[\"a.b\"] == dotted", 1),
    ("/v1/jobs", "ID", 2, "JobSummary.Summary.g.Running == 2", 1),
    ("/v1/job/web/allocations", "ID", 2, "ClientStatus == running and \"n1\" in NodeID", 1),
    ("/v1/job/web/evaluations", "ID", 1, "TriggeredBy == \"job-register\"", 1),
    ("/v1/job/web/deployments", "ID", 1, "Status != running and Status != successful", 0),
    ("/v1/job/web/services", "ID", 2, "Tags contains blue", 2),
    ("/v1/allocations", "ID", 3, "JobID matches `^batch/`", 1),
    ("/v1/allocations?namespace=*", "ID", 4, "TaskStates.task.State == running", 4),
    ("/v1/allocations?resources=true", "ID", 3, "AllocatedResources.Tasks.task is not empty", 3),
    ("/v1/evaluations?namespace=*", "ID", 4, "JobID == web", 3),
    ("/v1/deployments?namespace=*", "ID", 2, "Namespace == other", 1),
    ("/v1/nodes", "ID", 2, "Drivers.exec.Healthy == true and Name == `node-n2`", 1),
    ("/v1/nodes?os=true", "ID", 2, "Attributes[\"os.name\"] == nixos", 2),
    ("/v1/node/n1/allocations", "ID", 1, "any Job.TaskGroups as g { g.Count == 2 }", 1),
    ("/v1/services", "Namespace", 1, "any Services as s { s.ServiceName == www }", 1),
    ("/v1/service/www", "ID", 2, "Tags contains \"traefik.enable=true\"", 2),
    ("/v1/service/www", "ID", 2, "Tags not contains \"traefik.enable=true\"", 0),
    ("/v1/service/www?namespace=*", "ID", 2, "Port == 8080", 2),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_is_filtered() {
    let world = World::full().await;
    // Evaluations of deployments that ended and the like come later; the lists must hold still.
    world.wait("/v1/deployments?namespace=*", |d| d.as_array().unwrap().iter().all(|d| d["Status"] == "successful")).await;
    for (path, field, all, filter, left) in LISTS {
        let joint = if path.contains('?') { '&' } else { '?' };
        let whole = world.get(path).await.column(field);
        assert!(whole.len() >= *all, "{path}: {whole:?}");
        let kept = world.get(&format!("{path}{joint}filter={}", escape(filter))).await.column(field);
        assert_eq!(kept.len(), *left, "{path} where {filter}: {kept:?}");
        assert!(kept.iter().all(|id| whole.contains(id)));
        let rest = world.get(&format!("{path}{joint}filter={}", escape(&format!("not ({filter})")))).await.column(field);
        assert_eq!(kept.len() + rest.len(), whole.len(), "{path} where not {filter}");
    }
    world.end().await;
}

#[tokio::test]
async fn every_list_comes_in_pages() {
    let world = World::full().await;
    world.wait("/v1/deployments?namespace=*", |d| d.as_array().unwrap().iter().all(|d| d["Status"] == "successful")).await;
    for (path, field, ..) in LISTS {
        let joint = if path.contains('?') { '&' } else { '?' };
        for reverse in ["", "&reverse=true"] {
            let whole = world.get(&format!("{path}{joint}{reverse}")).await.ok();
            let (mut pages, mut token) = (Vec::new(), String::new());
            loop {
                let page = world.get(&format!("{path}{joint}per_page=1{reverse}&next_token={}", escape(&token))).await;
                assert_eq!(page.column(field).len(), 1, "{path}");
                pages.extend(page.ok().as_array().unwrap().clone());
                match page.header("x-nomad-nexttoken") {
                    Some(next) => token = next.to_owned(),
                    None => break,
                }
            }
            assert_eq!(serde_json::Value::from(pages), whole, "{path}{reverse}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_refused_with_its_place() {
    let world = World::full().await;
    let ask = |path: &str, filter: &str| format!("{path}?filter={}", escape(filter));
    world
        .get(&ask("/v1/jobs", "Status = running"))
        .await
        .fails(400, "filter: unexpected \"=\": equality is == at character 8\n  Status = running\n         ^");
    world.get(&ask("/v1/jobs", "Statsu == running")).await.fails(
        400,
        "filter: no object of this list has a field \"Statsu\" (did you mean Status?) at character 1\n  Statsu == running\n  ^",
    );
    // The list need not be there for a filter to be refused, nor for a misspelling to pass.
    world.get(&ask("/v1/service/none", "((")).await.fails_with(400, "expected a field");
    assert!(world.get(&ask("/v1/service/none", "Whatever == 1")).await.column("ID").is_empty());
    // A list that would block must not do so before it refuses.
    world.get(&format!("{}&index=1000000&wait=5m", ask("/v1/jobs", "Status"))).await.fails_with(400, "expected an operator");
    for path in ["/v1/job/web", "/v1/job/web/summary", "/v1/job/web/deployment", "/v1/node/n1", "/v1/agent/self", "/v1/status/peers"] {
        let words = format!("query parameter filter: GET {path} answers no list that it could narrow");
        world.get(&ask(path, "ID == x")).await.fails(400, &words);
        assert_eq!(world.get(&ask(path, "")).await.status, 200, "{path}: an empty filter is none");
    }
    world.end().await;
}

#[tokio::test]
async fn filters_and_pages_go_together() {
    let world = World::full().await;
    let all = world.get(&format!("/v1/allocations?namespace=*&filter={}", escape("JobID == web"))).await.column("ID");
    assert_eq!(all.len(), 3);
    for per_page in 1..5_usize {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let query = format!("namespace=*&per_page={per_page}&next_token={token}&filter={}", escape("JobID == web"));
            let page = world.get(&format!("/v1/allocations?{query}")).await;
            let rows = page.column("ID");
            assert!(rows.len() == per_page || page.header("x-nomad-nexttoken").is_none());
            found.extend(rows);
            match page.header("x-nomad-nexttoken") {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(found, all, "pages of {per_page}");
    }
    world.get("/v1/allocations?next_token=nonsense").await.fails_with(400, "invalid next_token \"nonsense\"");
    world.get("/v1/allocations?per_page=-1").await.fails_with(400, "invalid query parameter per_page");
    world.end().await;
}

#[tokio::test]
async fn lists_are_in_the_order_that_clients_know() {
    let world = World::full().await;
    let created =
        |list: &serde_json::Value| list.as_array().unwrap().iter().map(|r| r["CreateIndex"].as_u64().unwrap()).collect::<Vec<_>>();
    for path in ["/v1/allocations", "/v1/evaluations", "/v1/deployments"] {
        let (up, down) =
            (world.get(&format!("{path}?namespace=*")).await.ok(), world.get(&format!("{path}?namespace=*&reverse=true")).await.ok());
        assert!(created(&up).is_sorted(), "{path}: the oldest first");
        let mut turned = down.as_array().unwrap().clone();
        turned.reverse();
        assert_eq!(up, serde_json::Value::from(turned), "{path}");
    }
    assert_eq!(world.get("/v1/jobs?namespace=*").await.column("Namespace"), ["default", "default", "other"]);
    assert_eq!(world.get("/v1/jobs?namespace=*&reverse=1").await.column("ID"), ["web", "web", "batch/one"]);
    world.end().await;
}

#[tokio::test]
async fn prefixes_and_namespaces_narrow() {
    let world = World::full().await;
    assert_eq!(world.get("/v1/jobs?prefix=ba").await.column("ID"), ["batch/one"]);
    assert_eq!(world.get("/v1/jobs?namespace=other").await.column("ID"), ["web"]);
    assert!(world.get("/v1/jobs?namespace=none").await.column("ID").is_empty());
    assert_eq!(world.get("/v1/nodes?prefix=n2").await.column("ID"), ["n2"]);
    let alloc = world.get("/v1/allocations").await.column("ID").remove(0);
    assert_eq!(world.get(&format!("/v1/allocations?prefix={}", &alloc[..8])).await.column("ID"), [alloc]);
    assert_eq!(world.get("/v1/evaluations?job=batch/one").await.column("JobID"), ["batch/one"]);
    assert!(world.get("/v1/evaluations?status=blocked").await.column("ID").is_empty());
    assert!(
        world
            .get("/v1/allocations?task_states=false")
            .await
            .ok()
            .as_array()
            .unwrap()
            .iter()
            .all(|a| a["TaskStates"] == serde_json::json!({}))
    );
    world.end().await;
}
