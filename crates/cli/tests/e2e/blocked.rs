//! What cannot be placed: why, and what happens when it can.

use crate::{
    api::{id, text},
    job::{Job, service},
    world::{World, world},
};
use serde_json::json;

/// Memory of the node in MiB.
const MEMORY: u64 = 200;

fn small_node(world: &World) -> std::sync::Arc<crate::agent::Agent> {
    world.agent("n1").set(|c| c["client"]["memory_total_mb"] = json!(MEMORY)).start()
}

fn with_memory(id: &str, mebibytes: u64) -> Job {
    service(id, "exec sleep 10000").task(|t| t["Resources"]["MemoryMB"] = json!(mebibytes))
}

#[test]
fn a_job_that_waits_for_room_gets_it_when_another_stops() {
    world(|world| {
        let agent = small_node(world);
        let (first, second) = (with_memory("first", 120), with_memory("second", 120));
        agent.api().run_one(&first);
        let eval = agent.api().evaluate(&second);
        let metric = &eval["FailedTGAllocs"]["g"];
        assert_eq!((&metric["NodesExhausted"], &metric["DimensionExhausted"]["memory"]), (&json!(1), &json!(1)), "{eval:#}");
        let blocked = text(&eval["BlockedEval"]).to_owned();
        assert_eq!(agent.api().get(&format!("/v1/evaluation/{blocked}"))["Status"], "blocked");
        let status = world.floe(&["job", "status", "second"]).ok();
        assert!(status.contains("Placement Failure") && status.contains("Dimension \"memory\" exhausted on 1 node"), "{status}");
        assert_eq!(agent.api().get("/v1/jobs?prefix=second")[0]["Status"], "pending");
        agent.api().stop(&first);
        agent.api().wait("the second runs", &second.path("/allocations"), |all| {
            all.as_array()?.iter().find(|a| a["ClientStatus"] == "running").map(id)
        });
        agent
            .api()
            .wait("the blocked evaluation is over", &format!("/v1/evaluation/{blocked}"), |e| (e["Status"] == "complete").then_some(()));
        assert!(!world.floe(&["job", "status", "second"]).ok().contains("Placement Failure"));
    });
}

#[test]
fn what_waits_gets_room_from_what_ends_by_itself_and_from_a_smaller_count() {
    world(|world| {
        let agent = small_node(world);
        let ends = with_memory("ends", 120).kind("batch").script("while [ ! -e /local/go ]; do sleep 0.02; done");
        let running = agent.api().run_one(&ends);
        let waits = with_memory("waits", 90).copies(2);
        let eval = agent.api().evaluate(&waits);
        assert_ne!(eval["BlockedEval"], "");
        std::fs::write(agent.data().join(format!("alloc/{running}/t/local/go")), "").unwrap();
        let count = |n: usize, what: &str| {
            agent.api().wait(what, &waits.path("/allocations"), |all| {
                (all.as_array()?.iter().filter(|a| a["ClientStatus"] == "running").count() == n).then_some(())
            });
        };
        count(2, "both run");
        let third = with_memory("third", 90);
        assert_ne!(agent.api().evaluate(&third)["BlockedEval"], "");
        agent.api().submit(&waits.clone().copies(1));
        count(1, "one is left");
        agent.api().wait("the third runs", &third.path("/allocations"), |all| {
            all.as_array()?.iter().find(|a| a["ClientStatus"] == "running").map(id)
        });
    });
}

#[test]
fn a_blocked_job_is_still_blocked_after_a_restart_and_wakes_then() {
    world(|world| {
        let agent = small_node(world);
        let (first, second) = (with_memory("first", 120), with_memory("second", 120));
        agent.api().run_one(&first);
        assert_ne!(agent.api().evaluate(&second)["BlockedEval"], "");
        agent.kill();
        agent.start();
        assert!(agent.api().allocs(&second).is_empty());
        agent.api().stop(&first);
        agent.api().wait("the second runs", &second.path("/allocations"), |all| {
            all.as_array()?.iter().find(|a| a["ClientStatus"] == "running").map(id)
        });
    });
}

#[test]
fn every_reason_why_nothing_fits_is_told() {
    world(|world| {
        let agent = world.agent("n1").set(|c| c["client"]["raw_exec"] = json!(false)).start();
        let base = |id: &str| service(id, "exec sleep 10000");
        let constraint = |l: &str, op: &str, r: &str| json!([{ "LTarget": l, "Operand": op, "RTarget": r }]);
        let reasons: Vec<(Job, &str)> = vec![
            (base("os").set(|j| j["Constraints"] = constraint("${attr.kernel.name}", "=", "windows")), "${attr.kernel.name} = windows"),
            (base("version").set(|j| j["Constraints"] = constraint("${attr.kernel.version}", "version", "> 99.0")), "version > 99.0"),
            (base("where").set(|j| j["Datacenters"] = json!(["mars"])), "No nodes were eligible"),
            (base("pool").set(|j| j["NodePool"] = json!("gpu")), "gpu"),
            (base("driver").driver("raw_exec"), "missing drivers"),
            (base("unknown-driver").driver("qemu"), "missing drivers"),
            (with_memory("memory", 10_000_000), "Dimension \"memory\" exhausted on 1 node"),
            (base("cpu").task(|t| t["Resources"]["CPU"] = json!(10_000_000)), "Dimension \"cpu\" exhausted on 1 node"),
            (base("disk").group(|g| g["EphemeralDisk"]["SizeMB"] = json!(1_000_000_000)), "Dimension \"disk\" exhausted on 1 node"),
        ];
        for (job, reason) in reasons {
            agent.api().evaluate(&job);
            let status = world.floe(&["job", "status", job.id()]).ok();
            assert!(status.contains(reason), "{reason:?} is not in:\n{status}");
        }
        let several = base("apart").copies(2).set(|j| j["Constraints"] = constraint("", "distinct_hosts", "true"));
        agent.api().evaluate(&several);
        assert_eq!(agent.api().get(&several.path("/summary"))["Summary"]["g"]["Queued"], 1);
        assert!(world.floe(&["job", "status", "apart"]).ok().contains("distinct_hosts"));
        // All of them wait, and waiting costs nothing: nobody looks at them again and again.
        agent.api().wait_quiet("/v1/evaluations");
    });
}

#[test]
fn a_node_tells_its_drivers_and_what_it_is() {
    world(|world| {
        let agent = world.start_agent("n1");
        let node = agent.api().get(&format!("/v1/node/{}", id(&agent.api().get("/v1/nodes")[0])));
        for driver in ["docker", "exec", "oci", "podman", "raw_exec"] {
            assert_eq!(
                (&node["Drivers"][driver]["Detected"], &node["Drivers"][driver]["Healthy"]),
                (&json!(true), &json!(true)),
                "{node:#}"
            );
        }
        let present =
            ["kernel.name", "kernel.version", "cpu.arch", "cpu.numcores", "memory.totalbytes", "os.name", "unique.network.ip-address"];
        for attribute in present {
            assert!(node["Attributes"][attribute].is_string(), "{attribute} is missing in {:#}", node["Attributes"]);
        }
        assert_eq!(node["Attributes"]["unique.network.ip-address"], "192.0.2.1");
        assert!(node["NodeResources"]["Cpu"]["CpuShares"].as_i64().is_some_and(|n| n > 100));
        assert_eq!(text(&node["SecretID"]), "");
        let status = world.floe(&["node", "status", "-self"]).ok();
        assert!(status.contains("docker, exec, oci, podman, raw_exec") && status.contains("ready"), "{status}");
    });
}
