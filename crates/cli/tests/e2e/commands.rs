//! Every command against a running agent, as people and scripts use it.

use crate::{
    api::{id, text},
    command::{FLOE, Running, run},
    job::{Job, batch, seconds, service, web},
    world::{World, eventually, world},
};
use serde_json::{Value, json};
use std::path::PathBuf;

fn file_of(world: &World, job: &Job) -> PathBuf {
    world.file(&format!("{}.json", job.id()), json!({ "Job": job.json() }).to_string())
}

#[test]
fn a_job_from_its_file_to_its_end() {
    world(|world| {
        let agent = world.start_agent("n1");
        let path = format!("{}/../../examples/hello.hcl", env!("CARGO_MANIFEST_DIR"));
        assert!(world.floe(&["job", "validate", &path]).ok().contains("Job validation successful"));
        let said = world.floe(&["job", "run", &path]).ok();
        for words in ["job \"hello\" submitted", "placed", "started", "healthy"] {
            assert!(said.contains(words), "{words:?} is not in:\n{said}");
        }
        let listed = world.floe(&["job", "status"]).ok();
        assert!(listed.contains("hello") && listed.contains("running"), "{listed}");
        // The beginning of an id is enough when it is clear.
        let status = world.floe(&["job", "status", "hel"]).ok();
        for words in ["ID          = hello", "Status      = running", "Latest Deployment", "successful", "Allocations"] {
            assert!(status.contains(words), "{words:?} is not in:\n{status}");
        }
        let inspected = world.floe(&["job", "inspect", "hello"]).json();
        assert_eq!(inspected["Job"]["TaskGroups"][0]["Networks"][0]["ReservedPorts"][0]["Value"], 8080);
        let stopped = world.floe(&["job", "stop", "hello"]).ok();
        assert!(stopped.contains("nothing of job \"hello\" runs any more"), "{stopped}");
        assert!(world.floe(&["job", "status"]).ok().contains("dead (stopped)"));
        world.floe(&["job", "stop", "-purge", "hello"]).ok();
        assert!(world.floe(&["job", "status"]).ok().contains("No running jobs"));
        drop(agent);
    });
}

#[test]
fn what_json_prints_is_json() {
    world(|world| {
        let agent = world.start_agent("n1");
        let alloc = agent.api().run_one(&web("web").announced("page", &["x"]));
        let node = id(&agent.api().get("/v1/nodes")[0]);
        let of = |arguments: &[&str]| world.floe(arguments).json();
        assert_eq!(of(&["job", "status", "-json"])[0]["ID"], "web");
        assert_eq!(of(&["job", "status", "-json", "web"])["Job"]["ID"], "web");
        assert_eq!(of(&["job", "inspect", "-json", "web"])["Job"]["ID"], "web");
        assert_eq!(of(&["alloc", "status", "-json"])[0]["ID"], alloc.as_str());
        assert_eq!(of(&["alloc", "status", "-json", &alloc[..8]])["ID"], alloc.as_str());
        assert_eq!(of(&["node", "status", "-json"])[0]["ID"], node.as_str());
        assert_eq!(of(&["node", "status", "-json", "-self"])["ID"], node.as_str());
        assert_eq!(of(&["node", "status", "-json", &node[..4]])["ID"], node.as_str());
        assert_eq!(of(&["service", "list", "-json"])[0]["Services"][0]["ServiceName"], "page");
        assert_eq!(of(&["service", "info", "-json", "page"])[0]["AllocID"], alloc.as_str());
        let output = of(&["job", "run", "-output", file_of(world, &service("x", "true")).to_str().unwrap()]);
        assert_eq!(output["Job"]["ID"], "x");
    });
}

#[test]
fn ids_may_be_short_and_unknown_ones_are_named() {
    world(|world| {
        let agent = world.start_agent("n1");
        let alloc = agent.api().run_one(&service("web-1", "exec sleep 1000"));
        agent.api().run_one(&service("web-2", "exec sleep 1000"));
        assert!(world.floe(&["alloc", "status", &alloc[..8]]).ok().contains(&alloc));
        assert!(world.floe(&["alloc", "status", &alloc]).ok().contains(&alloc));
        world.floe(&["job", "status", "web"]).fails(1, &["web-1", "web-2"]);
        world.floe(&["job", "status", "nothing"]).fails(1, &["nothing"]);
        world.floe(&["job", "inspect", "nothing"]).fails(1, &["nothing"]);
        world.floe(&["job", "stop", "nothing"]).fails(1, &["nothing"]);
        // A stop of something that was not spelt out wants a yes.
        world.floe(&["job", "stop", "web-"]).fails(1, &["web-1", "web-2"]);
        for command in [["alloc", "status"], ["alloc", "logs"], ["alloc", "stop"]] {
            world.floe(&[command[0], command[1], "00000000"]).fails(1, &["00000000"]);
        }
        world.floe(&["node", "status", "00000000"]).fails(1, &["00000000"]);
        world.floe(&["service", "info", "nothing"]).fails(1, &["nothing"]);
        world.floe(&["job", "run", "/nonexistent.hcl"]).fails(1, &["/nonexistent.hcl"]);
        world.floe(&["nonsense"]).fails(1, &["nonsense"]);
    });
}

#[test]
fn output_of_a_task() {
    world(|world| {
        let agent = world.start_agent("n1");
        let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i; done; echo trouble >&2; \
                      while [ ! -e /local/go ]; do sleep 0.02; done; echo after; while [ ! -e /local/end ]; do sleep 0.02; done; echo last";
        let alloc = agent.api().run_one(&batch("b", script));
        agent.api().wait_output(&alloc, "t", "line 12\n");
        let whole: String = (1..=12).map(|i| format!("line {i}\n")).collect();
        assert_eq!(world.floe(&["alloc", "logs", &alloc[..8]]).ok(), whole);
        assert_eq!(world.floe(&["alloc", "logs", &alloc, "t"]).ok(), whole);
        assert_eq!(world.floe(&["alloc", "logs", "-task", "t", &alloc]).ok(), whole);
        assert_eq!(world.floe(&["alloc", "logs", "-job", "b"]).ok(), whole);
        assert_eq!(world.floe(&["alloc", "logs", "-stderr", &alloc]).ok(), "trouble\n");
        assert_eq!(world.floe(&["alloc", "logs", "-tail", "-n", "2", &alloc]).ok(), "line 11\nline 12\n");
        assert_eq!(world.floe(&["alloc", "logs", "-tail", "-c", "8", &alloc]).ok(), "line 12\n");
        assert_eq!(world.floe(&["alloc", "logs", "-tail", &alloc]).ok().lines().count(), 10);
        world.floe(&["alloc", "logs", &alloc, "other"]).fails(1, &["other"]);
        let following = Running::start(world.command(&["alloc", "logs", "-f", &alloc]));
        following.wait_for("line 12\n");
        let local = agent.data().join(format!("alloc/{alloc}/t/local"));
        std::fs::write(local.join("go"), "").unwrap();
        following.wait_for("after\n");
        std::fs::write(local.join("end"), "").unwrap();
        // It ends by itself when the task has ended.
        assert!(following.wait().success());
        assert_eq!(following.stdout(), format!("{whole}after\nlast\n"));
        let following = Running::start(world.command(&["alloc", "logs", "-f", "-tail", "-n", "1", &alloc]));
        assert!(following.wait().success());
        assert_eq!(following.stdout(), "last\n");
    });
}

#[test]
fn a_stopped_allocation_is_replaced() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web");
        let first = agent.api().run_one(&job);
        let said = world.floe(&["alloc", "stop", &first[..8]]).ok();
        assert!(said.contains("is told to stop"), "{said}");
        agent.api().wait_status(&first, "complete");
        let second = agent.api().wait("a second one runs", &job.path("/allocations"), |allocs| {
            allocs.as_array()?.iter().find(|a| a["DesiredStatus"] == "run" && a["ClientStatus"] == "running").map(id)
        });
        assert_ne!(first, second);
        assert_eq!(agent.api().alloc(&second)["PreviousAllocation"], first.as_str());
        assert_eq!(agent.api().alloc(&first)["NextAllocation"], second.as_str());
        assert_eq!(agent.api().allocs(&job).len(), 2);
    });
}

#[test]
fn the_name_nomad_does_the_same() {
    world(|world| {
        let agent = world.start_agent("n1");
        let link = world.dir().join("nomad");
        std::os::unix::fs::symlink(FLOE, &link).unwrap();
        let nomad = |arguments: &[&str]| run(world.program(link.to_str().unwrap(), arguments));
        let file = file_of(world, &service("web", "exec sleep 1000"));
        assert!(nomad(&["run", "-detach", file.to_str().unwrap()]).ok().contains("submitted"));
        assert!(nomad(&["status", "web"]).ok().contains("ID          = web"));
        assert_eq!(nomad(&["version"]).ok(), world.floe(&["version"]).ok());
        // What scripts set for the other one counts; what is set for this one wins.
        let mut command = world.program(link.to_str().unwrap(), &["job", "status", "-json"]);
        command.env("NOMAD_ADDR", format!("http://{}", agent.http()));
        assert_eq!(run(command).json()[0]["ID"], "web");
        let mut command = world.command(&["job", "status"]);
        command.env("NOMAD_ADDR", format!("http://{}", agent.http())).env("FLOE_ADDR", "http://127.0.0.1:9");
        run(command).fails(1, &["127.0.0.1:9"]);
        // As an agent, too: a task's shim is started by the same name.
        let alloc = agent.api().run_one(&service("web", "exec sleep 1000"));
        assert_eq!(text(&agent.api().alloc(&alloc)["ClientStatus"]), "running");
    });
}

#[test]
fn a_submission_that_does_not_come_up_says_so_with_its_exit_code() {
    world(|world| {
        let agent = world.start_agent("n1");
        let big = service("big", "exec sleep 1000").task(|t| t["Resources"]["MemoryMB"] = json!(100_000_000));
        let result = world.floe(&["job", "run", "-detach", file_of(world, &big).to_str().unwrap()]);
        assert_eq!(result.code, Some(0));
        let running = Running::start(world.command(&["job", "run", file_of(world, &big).to_str().unwrap()]));
        running.wait_for("memory");
        drop(running);
        // The deployment of a service is given up when its deadline has passed.
        let bad = service("bad", "exec sleep 1000").task(|t| t["Config"]["command"] = json!("/no/such/program")).set(|j| {
            j["Update"]["HealthyDeadline"] = json!(seconds(2));
            j["Update"]["ProgressDeadline"] = json!(seconds(3));
            j["TaskGroups"][0]["Tasks"][0]["KillTimeout"] = json!(seconds(1));
        });
        let result = world.floe(&["job", "run", file_of(world, &bad).to_str().unwrap()]);
        assert_eq!(result.code, Some(2), "{result:#?}");
        assert!(result.stdout.contains("/no/such/program"), "{result:#?}");
        let checked = world.floe(&["job", "run", "-check-index", "0", file_of(world, &big).to_str().unwrap()]);
        checked.fails(1, &["job modify index"]);
        drop(agent);
    });
}

#[test]
fn without_an_agent_commands_say_how_to_get_one() {
    world(|world| {
        world.floe(&["job", "status"]).fails(1, &["127.0.0.1:4646", "is it running?"]);
        let file = file_of(world, &service("web", "true"));
        // A job can be checked without any.
        assert!(world.floe(&["job", "validate", file.to_str().unwrap()]).ok().contains("successful"));
    });
}

#[test]
fn a_follower_sees_the_next_life_of_its_task() {
    world(|world| {
        let agent = world.start_agent("n1");
        let script = "echo life $(cat /local/lives 2>/dev/null | wc -l); echo x >>/local/lives; while [ ! -e /local/go ]; do sleep 0.02; done; rm /local/go; exit 1";
        let alloc = agent.api().run_one(&service("s", script).restarts(3, 1));
        let following = Running::start(world.command(&["alloc", "logs", "-f", &alloc]));
        following.wait_for("life 0\n");
        std::fs::write(agent.data().join(format!("alloc/{alloc}/t/local/go")), "").unwrap();
        following.wait_for("life 1\n");
        let restarted = eventually("a restart is counted", || {
            Some(agent.api().alloc(&alloc)).filter(|a: &Value| a["TaskStates"]["t"]["Restarts"] == 1)
        });
        assert_eq!(restarted["ClientStatus"], "running");
    });
}
