//! Agents that stop, crash and come back while tasks run.

use crate::{
    agent::Agent,
    api::{Api, event, events, text},
    job::{Job, batch, service, web},
    traffic::{Hammer, wait_page},
    world::{HOST, World, eventually, world},
};
use serde_json::Value;
use std::{net::SocketAddr, path::Path};

/// A page that must stay, and what is known of it.
struct Served {
    alloc: String,
    pid: i32,
    address: String,
    port: u16,
}

fn serve(agent: &Agent, job: &Job) -> Served {
    let alloc = agent.api().run_one(job);
    let full = agent.api().wait_alloc(&alloc, "is healthy", |a| a["DeploymentStatus"]["Healthy"] == true);
    let served = Served {
        pid: agent.task_pid(&alloc, "t"),
        address: text(&full["NetworkStatus"]["Address"]).to_owned(),
        port: port(&full, "http"),
        alloc,
    };
    assert_eq!(wait_page(HOST, served.port).trim(), served.alloc);
    served
}

/// The number of a port on the host.
pub(crate) fn port(alloc: &Value, label: &str) -> u16 {
    let ports = alloc["AllocatedResources"]["Shared"]["Ports"].as_array().unwrap();
    let found = ports.iter().find(|p| p["Label"] == label).unwrap_or_else(|| panic!("no port {label:?} in {ports:?}"));
    u16::try_from(found["Value"].as_u64().unwrap()).unwrap()
}

fn runs(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Still the same process at the same place, never started again.
fn assert_untouched(agent: &Agent, served: &Served) {
    let alloc = agent.api().wait_status(&served.alloc, "running");
    assert_eq!(agent.task_pid(&served.alloc, "t"), served.pid);
    assert!(runs(served.pid));
    assert_eq!(text(&alloc["NetworkStatus"]["Address"]), served.address);
    assert_eq!((&alloc["TaskStates"]["t"]["Restarts"], &alloc["DesiredStatus"]), (&0.into(), &"run".into()));
    assert_eq!(events(&alloc, "t").iter().filter(|e| *e == "Started").count(), 1);
    assert_eq!(alloc["DeploymentStatus"]["Healthy"], true);
}

fn keeps_serving(stop: impl Fn(&Agent) + Send + Sync) {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web").announced("web", &["a"]);
        let served = serve(&agent, &job);
        let hammer = Hammer::start(SocketAddr::new(HOST.into(), served.port));
        for _ in 0..3 {
            stop(&agent);
            agent.start();
            assert_untouched(&agent, &served);
        }
        let answered = hammer.stop();
        assert!(answered > 50, "only {answered} requests were sent");
        let instances = agent.api().get("/v1/service/web");
        assert_eq!(instances.as_array().map(Vec::len), Some(1), "{instances}");
        assert_eq!(agent.api().allocs(&job).len(), 1);
    });
}

#[test]
fn a_killed_agent_finds_its_tasks_again_and_the_page_never_fails() {
    keeps_serving(Agent::kill);
}

#[test]
fn a_stopped_agent_finds_its_tasks_again_and_the_page_never_fails() {
    keeps_serving(|agent| assert!(agent.terminate().success()));
}

fn run_then_kill_agent(world: &World, job: &Job) -> (std::sync::Arc<Agent>, String) {
    let agent = world.start_agent("n1");
    let alloc = agent.api().run_one(job);
    agent.api().wait_output(&alloc, "t", "up");
    agent.kill();
    (agent, alloc)
}

/// A script that waits for a file in its folder, and then goes on.
fn waits_then(rest: &str) -> String {
    format!("echo up; while [ ! -e /local/go ]; do sleep 0.05; done; {rest}")
}

fn let_go(agent: &Agent, alloc: &str) {
    std::fs::write(agent.data().join(format!("alloc/{alloc}/t/local/go")), "").unwrap();
}

fn over(api: Api, alloc: &str, status: &str) -> Value {
    api.wait_status(alloc, status)
}

#[test]
fn an_end_while_the_agent_was_dead_is_noticed_with_its_exit_code() {
    world(|world| {
        let (agent, alloc) = run_then_kill_agent(world, &batch("b", &waits_then("exit 7")));
        let pid = agent.task_pid(&alloc, "t");
        let_go(&agent, &alloc);
        eventually("the task ends", || (!runs(pid)).then_some(()));
        agent.start();
        let alloc = over(agent.api(), &alloc, "failed");
        let ended = event(&alloc, "t", "Terminated");
        assert_eq!((&ended["ExitCode"], &ended["Details"]["exit_code"]), (&7.into(), &"7".into()), "{ended:#}");
        assert_eq!((&alloc["TaskStates"]["t"]["State"], &alloc["TaskStates"]["t"]["Failed"]), (&"dead".into(), &true.into()));
    });
}

#[test]
fn a_good_end_while_the_agent_was_dead_completes_the_batch() {
    world(|world| {
        let (agent, alloc) = run_then_kill_agent(world, &batch("b", &waits_then("echo done; exit 0")));
        let pid = agent.task_pid(&alloc, "t");
        let_go(&agent, &alloc);
        eventually("the task ends", || (!runs(pid)).then_some(()));
        agent.start();
        let full = over(agent.api(), &alloc, "complete");
        assert_eq!(event(&full, "t", "Terminated")["ExitCode"], 0);
        assert_eq!(agent.api().logs(&alloc, "t", "stdout"), "up\ndone\n");
        let job = agent.api().wait("the job is dead", "/v1/job/b", |j| (j["Status"] == "dead").then(|| j.clone()));
        assert_eq!(job["Stop"], false);
    });
}

#[test]
fn running_out_of_memory_while_the_agent_was_dead_is_noticed() {
    world(|world| {
        let (agent, alloc) = run_then_kill_agent(world, &batch("b", &waits_then("exec tail /dev/zero")));
        let pid = agent.task_pid(&alloc, "t");
        let_go(&agent, &alloc);
        eventually("the task ends", || (!runs(pid)).then_some(()));
        agent.start();
        let alloc = over(agent.api(), &alloc, "failed");
        let ended = event(&alloc, "t", "Terminated");
        assert_eq!(ended["Details"]["oom_killed"], "true", "{ended:#}");
        assert!(text(&ended["DisplayMessage"]).contains("OOM Killed"), "{ended:#}");
    });
}

#[test]
fn a_service_that_ended_while_the_agent_was_dead_is_started_again() {
    world(|world| {
        let script = "echo up; [ -e /local/second ] || { touch /local/second; while [ ! -e /local/go ]; do sleep 0.05; done; exit 1; }; exec sleep 1000";
        let (agent, alloc) = run_then_kill_agent(world, &service("s", script).restarts(2, 1));
        let pid = agent.task_pid(&alloc, "t");
        let_go(&agent, &alloc);
        eventually("the task ends", || (!runs(pid)).then_some(()));
        agent.start();
        let full = agent
            .api()
            .wait_alloc(&alloc, "was restarted", |a| a["TaskStates"]["t"]["Restarts"] == 1 && a["TaskStates"]["t"]["State"] == "running");
        assert_eq!(full["ClientStatus"], "running");
        assert_ne!(agent.task_pid(&alloc, "t"), pid);
    });
}

#[test]
fn a_job_that_was_stopped_while_its_node_was_dead_ends_when_it_is_back() {
    world(|world| {
        let server = world.agent("s").server_only().start();
        let client = world.agent("c").client_of(&server).start();
        let job = service("s", "exec sleep 1000");
        let alloc = server.api().run_one(&job);
        let pid = client.task_pid(&alloc, "t");
        client.kill();
        server.api().delete(&job.path(""));
        assert!(runs(pid));
        client.start();
        server.api().wait_status(&alloc, "complete");
        assert!(!runs(pid));
    });
}
