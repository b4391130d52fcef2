//! New versions and other counts of a job.

use crate::{
    agent::Agent,
    api::{events, id, text},
    job::{Job, seconds, service, web},
    world::{eventually, world},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn pids(agent: &Agent, allocs: &[Value]) -> BTreeMap<String, i32> {
    allocs.iter().map(|a| (id(a), agent.task_pid(&id(a), "t"))).collect()
}

fn running(agent: &Agent, job: &Job) -> Vec<Value> {
    agent.api().allocs(job).into_iter().filter(|a| a["ClientStatus"] == "running" && a["DesiredStatus"] == "run").collect()
}

fn deployment(agent: &Agent, job: &Job, status: &str) -> Value {
    agent.api().wait(&format!("the deployment is {status}"), &job.path("/deployment"), |d| (d["Status"] == status).then(|| d.clone()))
}

#[test]
fn counts_go_up_and_down_without_touching_the_rest() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "exec sleep 10000");
        let first = pids(&agent, &agent.api().run(&job));
        deployment(&agent, &job, "successful");
        let many = job.clone().copies(4);
        agent.api().submit(&many);
        agent.api().wait("four run", &job.path("/allocations"), |all| {
            (all.as_array()?.iter().filter(|a| a["ClientStatus"] == "running").count() == 4).then_some(())
        });
        deployment(&agent, &job, "successful");
        let mut names: Vec<String> = running(&agent, &job).iter().map(|a| text(&a["Name"]).to_owned()).collect();
        names.sort();
        assert_eq!(names, ["s.g[0]", "s.g[1]", "s.g[2]", "s.g[3]"]);
        let four = pids(&agent, &running(&agent, &job));
        agent.api().submit(&job.clone().copies(2));
        let over = agent.api().wait("two are over", &job.path("/allocations"), |all| {
            let over: Vec<Value> = all.as_array()?.iter().filter(|a| a["ClientStatus"] == "complete").cloned().collect();
            (over.len() == 2).then_some(over)
        });
        let mut names: Vec<&str> = over.iter().map(|a| text(&a["Name"])).collect();
        names.sort_unstable();
        assert_eq!(names, ["s.g[2]", "s.g[3]"]);
        for (alloc, pid) in pids(&agent, &running(&agent, &job)) {
            assert_eq!(four.get(&alloc), Some(&pid));
        }
        for (alloc, pid) in first {
            assert_eq!(four.get(&alloc), Some(&pid), "the first one was replaced");
        }
        agent.api().submit(&job.clone().copies(0));
        agent.api().wait("all are over", &job.path("/allocations"), |all| {
            all.as_array()?.iter().all(|a| a["ClientStatus"] == "complete").then_some(())
        });
        assert_ne!(agent.api().get(&job.path(""))["Stop"], true);
    });
}

#[test]
fn a_change_of_tags_touches_no_process() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web").copies(2).announced("web", &["old"]);
        let before = pids(&agent, &agent.api().run(&job));
        deployment(&agent, &job, "successful");
        agent.api().submit(&job.clone().announced("web", &["new", "shiny"]));
        agent.api().wait("the new tags are announced", "/v1/service/web", |instances| {
            let all = instances.as_array()?;
            (all.len() == 2 && all.iter().all(|i| i["Tags"] == json!(["new", "shiny"]))).then_some(())
        });
        let allocs = agent.api().wait("both have the new version", &job.path("/allocations"), |all| {
            let all = all.as_array()?;
            all.iter().all(|a| a["JobVersion"] == 1).then(|| all.clone())
        });
        assert_eq!(pids(&agent, &allocs), before);
        deployment(&agent, &job, "successful");
        for alloc in &allocs {
            let full = agent.api().alloc(&id(alloc));
            assert_eq!((&full["ClientStatus"], events(&full, "t").iter().filter(|e| *e == "Started").count()), (&json!("running"), 1));
        }
        // The node was told, too: after a restart it still knows.
        agent.kill();
        agent.start();
        assert_eq!(pids(&agent, &agent.api().allocs(&job)), before);
        let catalogue = agent.api().get("/v1/services");
        assert_eq!(catalogue[0]["Services"][0]["Tags"], json!(["new", "shiny"]));
    });
}

/// When each allocation's task ran: from and to, in nanoseconds.
fn spans(agent: &Agent, job: &Job) -> Vec<(i64, i64)> {
    let time = |alloc: &Value, kind: &str, missing: i64| {
        let events = alloc["TaskStates"]["t"]["Events"].as_array().unwrap().clone();
        events.iter().rev().find(|e| e["Type"] == kind).map_or(missing, |e| e["Time"].as_i64().unwrap())
    };
    let span = |alloc: &Value| {
        let full = agent.api().alloc(&id(alloc));
        (time(&full, "Started", i64::MAX), time(&full, "Killing", i64::MAX))
    };
    agent.api().allocs(job).iter().map(span).collect()
}

#[test]
fn a_new_version_comes_one_at_a_time() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "exec sleep 10000").copies(3);
        agent.api().run(&job);
        deployment(&agent, &job, "successful");
        let next = job.clone().task(|t| t["Env"] = json!({ "edition": "2" }));
        agent.api().submit(&next);
        let all = agent.api().wait("three of the new version run and the old ones are over", &job.path("/allocations"), |all| {
            let all = all.as_array()?;
            let new = all.iter().filter(|a| a["JobVersion"] == 1 && a["ClientStatus"] == "running").count();
            let old = all.iter().filter(|a| a["JobVersion"] == 0 && a["ClientStatus"] == "complete").count();
            (new == 3 && old == 3).then(|| all.clone())
        });
        assert_eq!(all.len(), 6);
        let deployed = deployment(&agent, &job, "successful");
        assert_eq!(deployed["TaskGroups"]["g"]["HealthyAllocs"], 3);
        // At every moment at which one was told to end, the two others had not been told yet, and ran.
        let spans = spans(&agent, &job);
        let mut ends: Vec<i64> = spans.iter().map(|s| s.1).filter(|e| *e != i64::MAX).collect();
        ends.sort_unstable();
        assert_eq!(ends.len(), 3, "{spans:?}");
        for end in ends {
            let others = spans.iter().filter(|(from, to)| *from < end && *to > end).count();
            assert!(others >= 2, "only {others} others ran when one was told to end: {spans:?}");
        }
    });
}

#[test]
fn a_version_that_never_gets_well_leaves_the_rest_of_the_old_one_running() {
    world(|world| {
        let agent = world.start_agent("n1");
        let deadlines = |job: Job| {
            job.set(|j| {
                j["Update"]["HealthyDeadline"] = json!(seconds(2));
                j["Update"]["ProgressDeadline"] = json!(seconds(3));
            })
            .task(|t| t["KillTimeout"] = json!(seconds(1)))
        };
        let job = deadlines(service("s", "exec sleep 10000").copies(3));
        let before = pids(&agent, &agent.api().run(&job));
        deployment(&agent, &job, "successful");
        let bad = job.clone().script("exit 1");
        agent.api().submit(&bad);
        let failed = deployment(&agent, &job, "failed");
        assert_eq!(failed["JobVersion"], 1);
        assert!(text(&failed["StatusDescription"]).to_lowercase().contains("progress deadline"), "{failed:#}");
        let left = pids(&agent, &running(&agent, &job));
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.iter().all(|(alloc, pid)| before.get(alloc) == Some(pid)));
        let status = world.floe(&["job", "status", "s"]).ok();
        assert!(status.contains("failed"), "{status}");
        // The way out is another version.
        agent.api().submit(&job.task(|t| t["Env"] = json!({ "edition": "3" })));
        let mended = agent.api().wait("the next version is whole", &bad.path("/deployment"), |d| {
            (d["JobVersion"] == 2 && d["Status"] == "successful").then(|| d.clone())
        });
        assert_eq!(mended["TaskGroups"]["g"]["HealthyAllocs"], 3);
    });
}

#[test]
fn a_job_that_is_submitted_unchanged_is_left_alone() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "exec sleep 10000").copies(2);
        let before = pids(&agent, &agent.api().run(&job));
        deployment(&agent, &job, "successful");
        let index = agent.api().get(&job.path(""))["JobModifyIndex"].clone();
        agent.api().evaluate(&job);
        assert_eq!(pids(&agent, &running(&agent, &job)), before);
        let after = agent.api().get(&job.path(""));
        assert_eq!((&after["Version"], &after["JobModifyIndex"]), (&json!(0), &index));
    });
}

#[test]
fn a_stopped_job_starts_again_and_a_purged_one_is_forgotten() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "exec sleep 10000");
        let first = agent.api().run_one(&job);
        agent.api().stop(&job);
        assert_eq!(agent.api().get(&job.path(""))["Status"], "dead");
        let second = agent.api().run_one(&job);
        assert_ne!(first, second);
        assert_eq!(agent.api().get(&job.path(""))["Status"], "running");
        agent.api().delete(&job.path("?purge=true"));
        agent.api().wait_status(&second, "complete");
        assert!(agent.api().try_get(&job.path("")).is_none());
        eventually("its folders are gone or its allocation is remembered", || {
            (agent.data().join(format!("alloc/{second}")).exists() == agent.api().try_get(&format!("/v1/allocation/{second}")).is_some())
                .then_some(())
        });
        let third = agent.api().run_one(&job);
        assert_eq!(agent.api().get(&job.path(""))["Version"], 0);
        assert_ne!(third, second);
    });
}
