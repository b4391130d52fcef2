//! Devices: shown by nodes, given to one task at a time, seen by nobody else.

use crate::{
    agent::Agent,
    api::{id, text},
    job::{Job, batch, service},
    world::{World, world},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

/// Two devices, which are in truth such as every machine has.
fn two_devices(world: &World) -> Value {
    let device = |name: &str, host: &str| {
        let nodes = json!([{ "path": format!("/dev/acme{name}"), "hostPath": host }]);
        json!({ "name": name, "containerEdits": { "env": [format!("ACME_{name}=mine")], "deviceNodes": nodes } })
    };
    json!({
        "cdiVersion": "0.6.0",
        "kind": "acme.com/gpu",
        "annotations": { "model": "A1", "memory": "80 GiB" },
        "devices": [device("0", "/dev/null"), device("1", "/dev/zero")],
        "containerEdits": {
            "env": ["ACME_DRIVER=7"],
            "mounts": [{ "hostPath": world.file("driver", "the driver\n"), "containerPath": "/usr/lib/acme/driver", "options": ["ro", "bind"] }],
            "hooks": [{ "hookName": "createContainer", "path": "/bin/sh", "args": ["sh", "-c", "echo hooked > /run/floe/shim/rootfs/etc/acme"] }],
        },
    })
}

/// An agent that looks for devices in a folder of the test.
fn agent_with(world: &World, files: &[(&str, String)]) -> (Arc<Agent>, PathBuf) {
    let folder = world.dir().join("cdi");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    files.iter().for_each(|(name, text)| write(&folder.join(name), text));
    let agent = world.agent("n1").set(|c| c["client"]["cdi_spec_dirs"] = json!([folder])).start();
    (agent, folder)
}

fn write(path: &std::path::Path, text: &str) {
    // Not half a file, whenever the agent looks.
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::set_permissions(&fresh, PermissionsExt::from_mode(0o644)).unwrap();
    fs::rename(&fresh, path).unwrap();
}

fn asking(job: Job, device: &Value) -> Job {
    job.task(|t| t["Resources"]["Devices"] = json!([device]))
}

const LOOK: &str = "ls /dev | grep acme; env | grep ^ACME_ | sort; cat /usr/lib/acme/driver /etc/acme 2>/dev/null; echo looked";

fn node(agent: &Agent) -> Value {
    let api = agent.api();
    let nodes = api.get("/v1/nodes");
    api.get(&format!("/v1/node/{}", id(&nodes[0])))
}

#[test]
fn each_task_gets_devices_of_its_own_and_the_last_one_waits() {
    world(|world| {
        let (agent, _) = agent_with(world, &[("acme.json", two_devices(world).to_string())]);
        let has = node(&agent)["NodeResources"]["Devices"].clone();
        assert_eq!((&has[0]["Vendor"], &has[0]["Type"], &has[0]["Name"]), (&json!("acme"), &json!("gpu"), &json!("A1")), "{has:#}");
        assert_eq!(has[0]["Instances"][1], json!({"ID": "1", "Healthy": true, "HealthDescription": "", "Locality": null}), "{has:#}");
        assert_eq!(has[0]["Attributes"]["memory"], json!({"Int": 80, "Unit": "GiB"}), "{has:#}");

        let constraint = json!({ "LTarget": "${device.attr.memory}", "Operand": ">=", "RTarget": "40000 MiB" });
        let ask = json!({ "Name": "acme/gpu", "Count": 1, "Constraints": [constraint] });
        let pair = asking(
            service("pair", &format!("{LOOK}; echo x > /dev/acme$(ls /dev | grep acme | tail -c2) && echo wrote; exec sleep 10000")),
            &ask,
        );
        let allocs = agent.api().run(&pair.copies(2));
        let mut given = BTreeSet::new();
        for alloc in &allocs {
            let said = agent.api().wait_output(&id(alloc), "t", "wrote");
            let full = agent.api().alloc(&id(alloc));
            let held = &full["AllocatedResources"]["Tasks"]["t"]["Devices"][0];
            let own = text(&held["DeviceIDs"][0]).to_owned();
            assert_eq!(said, format!("acme{own}\nACME_{own}=mine\nACME_DRIVER=7\nthe driver\nhooked\nlooked\nwrote\n"));
            given.insert(own);
        }
        assert_eq!(given.len(), 2, "no two have the same");

        let shown = world.floe(&["node", "status", "-self"]).ok();
        assert!(shown.contains("acme/gpu/A1") && shown.contains("pair.g[0]") && shown.contains("pair.g[1]"), "{shown}");
        let shown = world.floe(&["alloc", "status", &id(&allocs[0])]).ok();
        assert!(shown.contains("acme/gpu/A1: "), "{shown}");

        let without = agent.api().run_one(&batch("without", LOOK));
        assert_eq!(agent.api().wait_output(&without, "t", "looked"), "looked\n");

        let third = asking(service("third", &format!("{LOOK}; exec sleep 10000")), &ask);
        let eval = agent.api().evaluate(&third);
        assert_eq!(eval["FailedTGAllocs"]["g"]["DimensionExhausted"]["device acme/gpu"], 1, "{eval:#}");
        let status = world.floe(&["job", "status", "third"]).ok();
        assert!(status.contains("Dimension \"device acme/gpu\" exhausted on 1 node"), "{status}");
        let both = asking(service("both", "exec sleep 10000"), &json!({ "Name": "gpu", "Count": 3 }));
        let eval = agent.api().evaluate(&both);
        assert_eq!(eval["FailedTGAllocs"]["g"]["ConstraintFiltered"]["missing 3 of device \"gpu\""], 1, "{eval:#}");

        agent.api().delete("/v1/job/pair");
        let alloc = agent.api().wait("the third runs", &third.path("/allocations"), |all| {
            all.as_array()?.iter().find(|a| a["ClientStatus"] == "running").map(id)
        });
        agent.api().wait_output(&alloc, "t", "hooked");
    });
}

#[test]
fn devices_come_and_go_while_the_agent_runs_and_tasks_keep_theirs() {
    world(|world| {
        let (agent, folder) = agent_with(world, &[("broken.json", "{".to_owned())]);
        assert!(text(&node(&agent)["Attributes"]["unique.devices.problems"]).contains("broken.json is no specification of devices"));
        let job = asking(service("waits", &format!("{LOOK}; exec sleep 10000")), &json!({ "Name": "gpu" }));
        let eval = agent.api().evaluate(&job);
        assert_eq!(eval["FailedTGAllocs"]["g"]["ConstraintFiltered"]["missing device \"gpu\""], 1, "{eval:#}");
        write(&folder.join("acme.json"), &two_devices(world).to_string());
        let alloc = agent
            .api()
            .wait("it runs", &job.path("/allocations"), |all| all.as_array()?.iter().find(|a| a["ClientStatus"] == "running").map(id));
        agent.api().wait_output(&alloc, "t", "hooked");

        fs::remove_file(folder.join("acme.json")).unwrap();
        fs::remove_file(folder.join("broken.json")).unwrap();
        let path = format!("/v1/node/{}", id(&agent.api().get("/v1/nodes")[0]));
        agent.api().wait("the node shows none any more", &path, |n| {
            let none = n["NodeResources"]["Devices"].as_array().is_none_or(Vec::is_empty);
            (none && n["Attributes"]["unique.devices.problems"].is_null()).then_some(())
        });
        let pid = agent.task_pid(&alloc, "t");
        agent.kill();
        agent.start();
        agent.api().wait_status(&alloc, "running");
        assert_eq!(agent.task_pid(&alloc, "t"), pid, "it runs on with what it has");
    });
}
