//! The order of a group's tasks, with real containers: who starts when, whose end is whose, and agents that die in between.

use crate::{
    agent::Agent,
    api::{event, events, text},
    job::{Job, batch, seconds, service},
    restart::port,
    traffic::wait_page,
    world::{HOST, eventually, world},
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// The file in which the tasks of a test say what they do, each line its own write.
const SAYS: &str = "says() { echo \"$NOMAD_TASK_NAME $1\" >>/alloc/data/order; }; ";
/// Says that it is up, and stops as asked.
const STAYS: &str = "trap 'says down; exit 0' INT TERM; says up; while :; do sleep 0.05; done";

/// A further task of the group: as the first one, with another script, and what `edit` says.
fn also(job: Job, name: &str, script: &str, edit: impl FnOnce(&mut Value)) -> Job {
    job.group(|g| {
        let mut task = g["Tasks"][0].clone();
        for field in ["Lifecycle", "Leader", "After"] {
            task.as_object_mut().unwrap().remove(field);
        }
        task["Name"] = json!(name);
        task["Config"]["args"] = json!(["-c", format!("{SAYS}{script}")]);
        edit(&mut task);
        g["Tasks"].as_array_mut().unwrap().push(task);
    })
}

fn hook(name: &'static str, sidecar: bool) -> impl FnOnce(&mut Value) {
    move |task| task["Lifecycle"] = json!({ "Hook": name, "Sidecar": sidecar })
}

fn order_file(agent: &Agent, alloc: &str) -> PathBuf {
    agent.data().join(format!("alloc/{alloc}/alloc/data/order"))
}

/// What the tasks said, in the order in which they did.
fn order(agent: &Agent, alloc: &str) -> Vec<String> {
    fs::read_to_string(order_file(agent, alloc)).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Where in that order a task said something.
fn place(order: &[String], said: &str) -> usize {
    order.iter().position(|s| s == said).unwrap_or_else(|| panic!("nobody said {said:?}: {order:?}"))
}

fn said(agent: &Agent, alloc: &str, what: &str) -> Vec<String> {
    eventually(&format!("{what:?} was said"), || Some(order(agent, alloc)).filter(|o| o.iter().any(|s| s == what)))
}

/// Each line comes after the one before.
fn assert_order(order: &[String], lines: &[&str]) {
    let places: Vec<usize> = lines.iter().map(|l| place(order, l)).collect();
    assert!(places.is_sorted(), "{lines:?} at {places:?} in {order:?}");
}

fn state<'a>(alloc: &'a Value, task: &str) -> &'a Value {
    &alloc["TaskStates"][task]
}

/// Submits a job and waits until its allocation has this status; returns the allocation's id.
fn until(agent: &Agent, job: &Job, status: &str) -> String {
    agent.api().submit(job);
    agent.api().wait(&format!("it is {status}"), &job.path("/allocations"), |all| {
        all.as_array()?.iter().find(|a| a["ClientStatus"] == status).map(crate::api::id)
    })
}

#[test]
fn each_hook_has_its_moment_and_health_waits_for_all() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", &format!("{SAYS}{STAYS}"));
        let job = also(job, "init", "says begins; sleep 0.3; says ends", hook("prestart", false));
        let job = also(job, "proxy", STAYS, hook("prestart", true));
        let job = also(job, "warm", "says ran", hook("poststart", false));
        let job = also(job, "bye", "says ran", hook("poststop", false));
        let alloc = agent.api().run_one(&job);
        let full = agent.api().wait_alloc(&alloc, "is healthy", |a| a["DeploymentStatus"]["Healthy"] == true);
        let now = order(&agent, &alloc);
        assert_order(&now, &["init begins", "init ends", "t up", "warm ran"]);
        assert_order(&now, &["proxy up", "t up"]);
        for task in ["init", "warm"] {
            assert_eq!((&state(&full, task)["State"], &state(&full, task)["Failed"]), (&json!("dead"), &json!(false)), "{task}");
        }
        assert_eq!(state(&full, "bye")["State"], "pending");
        assert!(text(&event(&full, "t", "Task Setup")["DisplayMessage"]).contains("waits for the prestart tasks"));
        agent.api().stop(&job);
        let full = agent.api().wait_status(&alloc, "complete");
        assert_order(&order(&agent, &alloc), &["t down", "proxy down", "bye ran"]);
        assert_eq!(events(&full, "bye").iter().filter(|e| *e == "Started").count(), 1);
    });
}

#[test]
fn a_prestart_task_that_fails_keeps_the_main_task_from_starting_and_is_cleaned_up_after() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = also(service("s", &format!("{SAYS}{STAYS}")), "init", "says ran; exit 3", hook("prestart", false));
        let job = also(job, "bye", "says ran", hook("poststop", false));
        let alloc = until(&agent, &job, "failed");
        assert_eq!(order(&agent, &alloc), ["init ran", "bye ran"]);
        let full = agent.api().alloc(&alloc);
        assert!(text(&full["ClientDescription"]).starts_with("Failed tasks: init ("), "{}", full["ClientDescription"]);
        assert!(events(&full, "t").contains(&"Sibling Task Failed".to_owned()) && state(&full, "t")["Failed"] == false);
        let shown = world.floe(&["alloc", "status", &alloc]).ok();
        assert!(shown.contains("Sibling Task Failed") && shown.contains("Exit Code: 3"), "{shown}");
        let short = world.floe(&["alloc", "status", "-short", &alloc]).ok();
        assert!(short.contains("Exit Code: 3; Policy allows no restarts"), "{short}");
    });
}

#[test]
fn a_poststop_task_runs_after_a_failure_and_its_own_failure_counts() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = also(service("s", &format!("{SAYS}says up; exit 4")), "bye", "says ran", hook("poststop", false));
        let alloc = until(&agent, &job, "failed");
        assert_eq!(order(&agent, &alloc), ["t up", "bye ran"]);
        let full = agent.api().alloc(&alloc);
        assert_eq!((&state(&full, "bye")["Failed"], &state(&full, "t")["Failed"]), (&json!(false), &json!(true)));

        let job = also(batch("b", "true"), "bye", "exit 5", hook("poststop", false));
        let alloc = until(&agent, &job, "failed");
        assert_eq!(event(&agent.api().alloc(&alloc), "bye", "Terminated")["ExitCode"], 5);
    });
}

#[test]
fn the_leaders_end_ends_the_group() {
    world(|world| {
        let agent = world.start_agent("n1");
        let until_told = format!("{SAYS}says up; while [ ! -e /alloc/data/go ]; do sleep 0.05; done; says ends");
        let job = batch("b", &until_told).task(|t| t["Leader"] = json!(true));
        let job = also(job, "helper", STAYS, |_| {});
        let job = also(job, "proxy", STAYS, hook("prestart", true));
        let alloc = agent.api().run_one(&job);
        for up in ["t up", "helper up", "proxy up"] {
            said(&agent, &alloc, up);
        }
        fs::write(agent.data().join(format!("alloc/{alloc}/alloc/data/go")), "").unwrap();
        let full = agent.api().wait_status(&alloc, "complete");
        assert_order(&order(&agent, &alloc), &["t ends", "helper down", "proxy down"]);
        assert!(events(&full, "helper").contains(&"Leader Task Dead".to_owned()), "{:?}", events(&full, "helper"));
    });
}

#[test]
fn a_batch_is_over_when_its_main_tasks_are_whatever_its_sidecars_do() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = also(batch("b", &format!("{SAYS}says ran")), "proxy", STAYS, hook("prestart", true));
        let alloc = until(&agent, &job, "complete");
        assert_order(&order(&agent, &alloc), &["proxy up", "t ran", "proxy down"]);
        assert!(events(&agent.api().alloc(&alloc), "proxy").contains(&"Main Tasks Dead".to_owned()));
    });
}

#[test]
fn a_task_waits_until_another_is_healthy_and_a_batch_until_it_ended() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", &format!("{SAYS}{STAYS}")).task(|t| t["After"] = json!([{ "Task": "db", "State": "healthy" }]));
        // Its first life is too short to be healthy.
        let script = format!("says life; [ -e /alloc/data/lived ] || {{ touch /alloc/data/lived; exit 1; }}; {STAYS}");
        let job = also(job, "db", &script, |_| {}).restarts(3, 1);
        let job = job.set(|j| j["Update"]["MinHealthyTime"] = json!(seconds(1)));
        let alloc = agent.api().run_one(&job);
        said(&agent, &alloc, "t up");
        let full = agent.api().wait_alloc(&alloc, "runs", |a| state(a, "t")["State"] == "running");
        assert_eq!(order(&agent, &alloc), ["db life", "db life", "db up", "t up"]);
        assert!(text(&event(&full, "t", "Task Setup")["DisplayMessage"]).contains("waits for task \"db\" to be healthy"));

        let job = batch("b", &format!("{SAYS}says ran")).task(|t| t["After"] = json!([{ "Task": "fetch", "State": "exited" }]));
        let job = also(job, "fetch", "sleep 0.3; says ran", |_| {});
        let alloc = until(&agent, &job, "complete");
        assert_eq!(order(&agent, &alloc), ["fetch ran", "t ran"]);

        let job = service("w", "true").task(|t| t["After"] = json!([{ "Task": "nobody" }]));
        let answer = agent.api().send(crate::http::Request::new("PUT", "/v1/jobs").body(json!({ "Job": job.json() }).to_string()));
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains("the group has no such task"), "{}", answer.text());
    });
}

#[test]
fn an_agent_that_dies_between_two_tasks_goes_on_with_the_second() {
    world(|world| {
        let agent = world.start_agent("n1");
        let until_told = "says begins; while [ ! -e /alloc/data/go ]; do sleep 0.05; done; says ends";
        let job = also(service("s", &format!("{SAYS}{STAYS}")), "init", until_told, hook("prestart", false));
        let job = also(job, "bye", "says ran", hook("poststop", false));
        agent.api().submit(&job);
        let alloc = agent.api().wait("it runs", &job.path("/allocations"), |all| all.as_array()?.first().map(crate::api::id));
        said(&agent, &alloc, "init begins");
        agent.kill();
        fs::write(agent.data().join(format!("alloc/{alloc}/alloc/data/go")), "").unwrap();
        assert_eq!(said(&agent, &alloc, "init ends"), ["init begins", "init ends"], "nobody is there to start the next");
        agent.start();
        let full = agent.api().wait_alloc(&alloc, "runs", |a| state(a, "t")["State"] == "running");
        assert_eq!(said(&agent, &alloc, "t up"), ["init begins", "init ends", "t up"]);
        assert_eq!((&state(&full, "init")["State"], &state(&full, "init")["Failed"]), (&json!("dead"), &json!(false)));
        // One that dies later changes nothing of what comes last.
        agent.kill();
        agent.start();
        agent.api().stop(&job);
        assert_eq!(order(&agent, &alloc), ["init begins", "init ends", "t up", "t down", "bye ran"]);
    });
}

#[test]
fn an_agent_that_dies_while_the_last_task_runs_does_not_start_the_others_again() {
    world(|world| {
        let agent = world.start_agent("n1");
        let until_told = "says begins; while [ ! -e /alloc/data/go ]; do sleep 0.05; done; says ends";
        let job = also(service("s", &format!("{SAYS}says up; exit 1")), "bye", until_told, hook("poststop", false));
        agent.api().submit(&job);
        let alloc = agent.api().wait("it runs", &job.path("/allocations"), |all| all.as_array()?.first().map(crate::api::id));
        said(&agent, &alloc, "bye begins");
        agent.kill();
        agent.start();
        fs::write(agent.data().join(format!("alloc/{alloc}/alloc/data/go")), "").unwrap();
        let full = agent.api().wait_status(&alloc, "failed");
        assert_eq!(order(&agent, &alloc), ["t up", "bye begins", "bye ends"]);
        assert_eq!((&state(&full, "t")["Failed"], &state(&full, "bye")["Failed"]), (&json!(true), &json!(false)));
    });
}

#[test]
fn delays_pass_before_the_signal_and_a_run_has_its_longest_time() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", &format!("{SAYS}{STAYS}")).group(|g| {
            g["ShutdownDelay"] = json!(200_000_000);
            g["Tasks"][0]["ShutdownDelay"] = json!(100_000_000);
        });
        let alloc = agent.api().run_one(&job);
        said(&agent, &alloc, "t up");
        agent.api().stop(&job);
        let full = agent.api().alloc(&alloc);
        let waits = event(&full, "t", "Waiting for shutdown delay");
        let passed = event(&full, "t", "Killing")["Time"].as_i64().unwrap() - waits["Time"].as_i64().unwrap();
        assert!(passed >= 100_000_000, "{full:#}");

        let job = batch("b", &format!("{SAYS}{STAYS}")).group(|g| g["MaxRunDuration"] = json!(seconds(1)));
        let alloc = until(&agent, &job, "failed");
        let full = agent.api().alloc(&alloc);
        assert!(text(&full["ClientDescription"]).contains("max_run_duration of 1s"), "{}", full["ClientDescription"]);
        assert_eq!(order(&agent, &alloc), ["t up", "t down"]);
    });
}

#[test]
fn files_of_templates_are_made_anew_only_where_the_policy_says_so() {
    world(|world| {
        let agent = world.start_agent("n1");
        let script = format!("{SAYS}says \"$(cat /local/page)\"; echo mine >/local/page; [ $(wc -l </alloc/data/order) -ge 2 ]");
        for (anew, second) in [(false, "mine"), (true, "theirs")] {
            let job = batch(&format!("b-{anew}"), &script).template("theirs\n", "local/page").restarts(3, 1);
            let job = job.group(|g| g["RestartPolicy"]["RenderTemplates"] = json!(anew)).driver("exec").task(|t| {
                t["User"] = json!("root");
            });
            let alloc = until(&agent, &job, "complete");
            assert_eq!(order(&agent, &alloc), ["t theirs".to_owned(), format!("t {second}")], "{anew}");
        }
    });
}

#[test]
fn the_example_runs_as_the_guide_says() {
    world(|world| {
        let agent = world.start_agent("n1");
        let example = format!("{}/../../examples/order.hcl", env!("CARGO_MANIFEST_DIR"));
        let said = world.floe(&["job", "run", &example]).ok();
        assert!(said.contains("ended: task \"prepare\""), "{said}");
        let all = agent.api().get("/v1/job/order/allocations");
        let alloc = crate::api::id(&all[0]);
        let full = agent.api().alloc(&alloc);
        assert_eq!(wait_page(HOST, port(&full, "http")).trim(), "prepared");
        agent.api().stop_all_jobs();
        let full = agent.api().alloc(&alloc);
        assert_eq!(agent.api().logs(&alloc, "tidy", "stdout"), "tidied\n");
        let end = |task: &str| text(&state(&full, task)["FinishedAt"]).to_owned();
        assert!(end("web") <= end("store") && end("store") <= end("tidy"), "{full:#}");
    });
}

#[test]
fn a_node_without_servers_ends_what_is_not_to_run_alone() {
    world(|world| {
        let quick = |c: &mut Value| {
            c["server"]["min_heartbeat_ttl"] = json!("1s");
            // The servers are patient: what happens here is the node's own doing.
            c["server"]["heartbeat_grace"] = json!("1h");
        };
        let server = world.agent("s").server_only().set(quick).start();
        let client = world.agent("c").client_of(&server).start();
        let alone = service("alone", &format!("{SAYS}{STAYS}")).group(|g| {
            g["Disconnect"] = json!({ "StopOnClientAfter": seconds(3) });
            let policy = json!({ "Delay": seconds(5), "DelayFunction": "constant", "Unlimited": true });
            g["ReschedulePolicy"] = policy;
        });
        let alone = also(alone, "bye", "says ran", hook("poststop", false));
        let patient = service("patient", "exec sleep 10000");
        let ends = server.api().run_one(&alone);
        let stays = server.api().run_one(&patient);
        said(&client, &ends, "t up");
        let pid = client.task_pid(&stays, "t");
        server.kill();
        assert_eq!(said(&client, &ends, "bye ran"), ["t up", "t down", "bye ran"]);
        server.start();
        server.api().wait("another one runs", &alone.path("/allocations"), |all| {
            all.as_array()?.iter().find(|a| a["ClientStatus"] == "running" && a["ID"] != ends.as_str()).map(drop)
        });
        let full = server.api().alloc(&ends);
        assert_eq!(full["ClientStatus"], "failed", "{full:#}");
        assert!(text(&full["ClientDescription"]).contains("No server was reached"), "{}", full["ClientDescription"]);
        assert_eq!(
            (client.task_pid(&stays, "t"), &server.api().alloc(&stays)["ClientStatus"]),
            (pid, &json!("running")),
            "it never said so"
        );
    });
}

#[test]
fn tasks_are_started_anew_and_signalled_from_any_agent() {
    world(|world| {
        let server = world.agent("s1").server_only().start();
        let client = world.agent("c1").client_of(&server).start();
        let floe = |at: &Agent, words: &[&str]| world.floe(&[words, &["-address", &format!("http://{}", at.http())]].concat());
        let job = service("two", &format!("{SAYS}trap 'says hup' HUP; {STAYS}")).restarts(0, 5);
        let job = also(job, "other", STAYS, |_| {});
        let alloc = server.api().run_one(&job);
        said(&client, &alloc, "t up");
        said(&client, &alloc, "other up");
        let (first, other) = (client.task_pid(&alloc, "t"), client.task_pid(&alloc, "other"));

        floe(&server, &["alloc", "signal", "-s", "SIGHUP", &alloc, "t"]).ok();
        said(&client, &alloc, "t hup");
        floe(&client, &["alloc", "signal", "-s", "SIGNOPE", &alloc, "t"]).fails(1, &["invalid signal \"SIGNOPE\""]);
        floe(&client, &["alloc", "signal", "-s", "SIGHUP", &alloc, "none"]).fails(1, &["its tasks are: t, other"]);

        // Its policy allows no restart, and does not count this one.
        assert!(floe(&server, &["alloc", "restart", &alloc[..8], "t"]).ok().contains("told to start anew"));
        let second = eventually("another process runs", || client.try_task_pid(&alloc, "t").filter(|pid| *pid != first));
        let seen = server
            .api()
            .wait_alloc(&alloc, "runs again", |a| a["TaskStates"]["t"]["State"] == "running" && a["TaskStates"]["t"]["Restarts"] == 1);
        let kinds: Vec<&str> = seen["TaskStates"]["t"]["Events"].as_array().unwrap().iter().map(|e| text(&e["Type"])).collect();
        for kind in ["Signaling", "Restart Signaled", "Terminated", "Restarting"] {
            assert!(kinds.contains(&kind), "{kind} is not in {kinds:?}");
        }
        assert_eq!(client.task_pid(&alloc, "other"), other, "the other one never noticed");
        floe(&client, &["alloc", "restart", &alloc]).ok();
        eventually("all are others now", || {
            let pids = [client.try_task_pid(&alloc, "t")?, client.try_task_pid(&alloc, "other")?];
            (!pids.contains(&second) && !pids.contains(&other)).then_some(())
        });
        server.api().stop(&job);
        eventually("it is over", || (server.api().get(&format!("/v1/allocation/{alloc}"))["ClientStatus"] == "complete").then_some(()));
        floe(&server, &["alloc", "restart", &alloc]).fails(1, &["nothing was done"]);
        // A machine that runs tasks is not where secrets are read.
        floe(&client, &["var", "list"]).fails(1, &["from its servers"]);
    });
}
