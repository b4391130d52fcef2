//! Tasks: how they end, are ended, and are started again; what they see, and what they must not.

use crate::{
    api::{event, events, id, text},
    job::{Job, batch, seconds, service},
    world::{PATIENCE, eventually, world},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn ended(alloc: &Value) -> Value {
    event(alloc, "t", "Terminated")
}

#[test]
fn restarts_are_counted_and_then_given_up() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "echo life; exit 3").restarts(2, 10);
        agent.api().submit(&job);
        let alloc = agent
            .api()
            .wait("it failed", &job.path("/allocations"), |all| all.as_array()?.iter().find(|a| a["ClientStatus"] == "failed").cloned());
        let full = agent.api().alloc(&id(&alloc));
        let kinds = events(&full, "t");
        let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
        assert_eq!((count("Started"), count("Restarting"), count("Not Restarting"), count("Terminated")), (3, 2, 1, 3), "{kinds:?}");
        let state = &full["TaskStates"]["t"];
        assert_eq!((&state["Restarts"], &state["State"], &state["Failed"]), (&json!(2), &json!("dead"), &json!(true)));
        assert_eq!(event(&full, "t", "Restarting")["StartDelay"].as_u64().map(|d| (10_000_000..=12_500_000).contains(&d)), Some(true));
        assert!(text(&event(&full, "t", "Not Restarting")["DisplayMessage"]).contains("Exceeded allowed attempts 2"));
        assert_eq!(agent.api().logs(&id(&alloc), "t", "stdout"), "life\nlife\nlife\n");
        assert_eq!(agent.api().allocs(&job).len(), 1);
    });
}

#[test]
fn a_failed_allocation_is_replaced_after_its_delay() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "exit 3").group(|g| {
            g["ReschedulePolicy"] = json!({ "Attempts": 1, "Interval": seconds(600), "Delay": seconds(5), "DelayFunction": "constant", "Unlimited": false });
        });
        agent.api().submit(&job);
        let two = agent.api().wait("the second failed, too", &job.path("/allocations"), |all| {
            let all = all.as_array()?;
            (all.len() == 2 && all.iter().all(|a| a["ClientStatus"] == "failed")).then(|| all.clone())
        });
        let (second, first) = if two[0]["NextAllocation"] == "" { (&two[0], &two[1]) } else { (&two[1], &two[0]) };
        let (first, second) = (agent.api().alloc(&id(first)), agent.api().alloc(&id(second)));
        assert_eq!((&second["PreviousAllocation"], &first["NextAllocation"]), (&first["ID"], &second["ID"]));
        let tracked = &second["RescheduleTracker"]["Events"][0];
        assert_eq!(tracked["PrevAllocID"], first["ID"]);
        let waited = second["CreateTime"].as_i64().unwrap() - ended(&first)["Time"].as_i64().unwrap();
        assert!((5_000..9_000).contains(&(waited / 1_000_000)), "it was replaced after {waited} ns");
        // One attempt was allowed, and it is used up.
        agent.api().wait("all evaluations are over", &job.path("/evaluations"), |evals| {
            evals.as_array()?.iter().all(|e| e["Status"] == "complete").then_some(())
        });
        assert_eq!(agent.api().allocs(&job).len(), 2);
    });
}

#[test]
fn every_end_is_told_as_it_was() {
    let ends = [
        ("zero", "exit 0", 0, 0),
        ("one", "exit 1", 1, 0),
        ("high", "exit 255", 255, 0),
        ("killed", "kill -9 $$", 137, 9),
        ("terminated", "kill -15 $$", 143, 15),
        ("aborted", "kill -6 $$", 134, 6),
    ];
    world(|world| {
        let agent = world.start_agent("n1");
        let mut job = batch("b", "true");
        let group = job.json()["TaskGroups"][0].clone();
        let groups = ends.map(|(name, script, ..)| {
            let mut group = group.clone();
            group["Name"] = json!(name);
            group["Tasks"][0]["Config"]["args"] = json!(["-c", script]);
            group
        });
        job = job.set(|j| j["TaskGroups"] = json!(groups));
        agent.api().submit(&job);
        for (name, _, code, signal) in ends {
            let status = if code == 0 { "complete" } else { "failed" };
            let alloc = agent.api().wait(&format!("{name} is {status}"), &job.path("/allocations"), |all| {
                all.as_array()?.iter().find(|a| a["TaskGroup"] == name && a["ClientStatus"] == status).map(id)
            });
            let ended = ended(&agent.api().alloc(&alloc));
            assert_eq!((&ended["ExitCode"], &ended["Signal"]), (&json!(code), &json!(signal)), "{name}: {ended:#}");
            assert_eq!(ended["Details"]["oom_killed"], "false", "{name}");
        }
        let summary = &agent.api().get(&job.path("/summary"))["Summary"];
        assert_eq!((&summary["zero"]["Complete"], &summary["killed"]["Failed"]), (&json!(1), &json!(1)), "{summary:#}");
        agent.api().wait("the job is dead", &job.path(""), |j| (j["Status"] == "dead").then_some(()));
    });
}

#[test]
fn too_much_memory_is_named_as_the_cause() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = batch("b", "exec tail /dev/zero");
        agent.api().submit(&job);
        let alloc = agent
            .api()
            .wait("it failed", &job.path("/allocations"), |all| all.as_array()?.iter().find(|a| a["ClientStatus"] == "failed").map(id));
        let ended = ended(&agent.api().alloc(&alloc));
        assert_eq!((&ended["Details"]["oom_killed"], &ended["Signal"]), (&json!("true"), &json!(9)), "{ended:#}");
        assert!(world.floe(&["alloc", "status", &alloc]).ok().contains("OOM Killed"));
    });
}

#[test]
fn a_task_that_does_not_listen_is_killed_after_its_time() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job =
            service("s", "trap '' INT TERM HUP; echo up; while :; do sleep 0.05; done").task(|t| t["KillTimeout"] = json!(seconds(1)));
        let alloc = agent.api().run_one(&job);
        agent.api().wait_output(&alloc, "t", "up");
        let began = Instant::now();
        agent.api().stop(&job);
        assert!((Duration::from_secs(1)..PATIENCE / 4).contains(&began.elapsed()), "it took {:?}", began.elapsed());
        let full = agent.api().alloc(&alloc);
        assert_eq!(event(&full, "t", "Killing")["KillTimeout"], seconds(1));
        assert_eq!(ended(&full)["Signal"], 9);
        assert!(events(&full, "t").contains(&"Killed".to_owned()));
        assert_eq!(full["ClientStatus"], "complete");
    });
}

#[test]
fn the_kill_signal_is_the_one_that_the_job_names() {
    world(|world| {
        let agent = world.start_agent("n1");
        let traps =
            |name: &str| service(name, "for s in INT TERM USR1 QUIT; do trap \"echo got $s; exit 0\" $s; done; sleep 1000 & echo up; wait");
        let (named, unnamed) = (traps("named").task(|t| t["KillSignal"] = json!("SIGUSR1")), traps("unnamed"));
        for (job, signal) in [(named, "USR1"), (unnamed, "INT")] {
            let alloc = agent.api().run_one(&job);
            agent.api().wait_output(&alloc, "t", "up");
            agent.api().stop(&job);
            assert_eq!(agent.api().logs(&alloc, "t", "stdout"), format!("up\ngot {signal}\n"));
            assert_eq!(ended(&agent.api().alloc(&alloc))["ExitCode"], 0);
        }
    });
}

#[test]
fn what_a_task_left_running_ends_with_it() {
    world(|world| {
        let agent = world.start_agent("n1");
        for driver in ["exec", "raw_exec"] {
            // The search for leftovers after the test is the check.
            let job = batch(&format!("b-{driver}"), "setsid sleep 10000 >/dev/null 2>&1 & sleep 10000 & exit 0").driver(driver);
            let alloc = agent.api().run_one(&job);
            agent.api().wait_status(&alloc, "complete");
        }
    });
}

#[test]
fn jobs_for_every_node_run_once_on_each() {
    world(|world| {
        let agent = world.start_agent("n1");
        let system = service("sys", "exec sleep 10000").kind("system");
        let sysbatch = service("sysb", "echo done").kind("sysbatch");
        let failing = service("sysf", "exit 9").kind("sysbatch");
        let alloc = agent.api().run_one(&system);
        let done = agent.api().run_one(&sysbatch);
        agent.api().wait_status(&done, "complete");
        agent.api().submit(&failing);
        agent
            .api()
            .wait("it failed", &failing.path("/allocations"), |all| all.as_array()?.iter().find(|a| a["ClientStatus"] == "failed").map(id));
        agent.api().wait("the batch is dead", &sysbatch.path(""), |j| (j["Status"] == "dead").then_some(()));
        assert_eq!(agent.api().get(&system.path(""))["Status"], "running");
        assert_eq!(agent.api().alloc(&alloc)["Name"], "sys.g[0]");
    });
}

#[test]
fn a_failing_batch_is_tried_as_often_as_it_says() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = batch("b", "echo x >>/alloc/data/lives; [ $(wc -l </alloc/data/lives) -ge 3 ] || exit 1").restarts(5, 5);
        let alloc = agent.api().run_one(&job);
        let full = agent.api().wait_status(&alloc, "complete");
        assert_eq!(full["TaskStates"]["t"]["Restarts"], 2);
        assert_eq!(full["TaskStates"]["t"]["Failed"], false);
    });
}

#[test]
fn a_task_sees_its_world_and_nothing_of_the_host() {
    world(|world| {
        let agent = world.start_agent("n1");
        let script = "id -u; hostname; echo $NOMAD_JOB_NAME $NOMAD_GROUP_NAME $NOMAD_TASK_NAME $NOMAD_ALLOC_INDEX $NOMAD_CPU_LIMIT $NOMAD_MEMORY_LIMIT $NOMAD_DC; \
                      echo $NOMAD_ALLOC_DIR $NOMAD_TASK_DIR $NOMAD_SECRETS_DIR; echo $NOMAD_META_color $color; \
                      ls -d /root /home /work /etc/shadow /var/lib/dpkg 2>/dev/null; touch /usr/x 2>/dev/null && echo wrote; \
                      for p in /proc/[0-9]*; do [ -e $p/comm ] && cat $p/comm; done 2>/dev/null | grep -c floe; \
                      echo t >/local/f && echo t >/alloc/data/f && echo t >/tmp/f && echo t >/secrets/f && echo writes; \
                      [ -r /proc/1/environ ] && tr '\\0' '\\n' </proc/1/environ | grep -c FLOE_E2E; sleep 0.1 && echo last";
        let job = batch("b", script).task(|t| {
            t["Meta"] = json!({ "color": "blue" });
            t["Env"] = json!({ "color": "${NOMAD_META_color}-${node.datacenter}" });
        });
        let alloc = agent.api().run_one(&job);
        agent.api().wait_status(&alloc, "complete");
        let output = agent.api().wait_output(&alloc, "t", "last");
        let lines: Vec<&str> = output.lines().collect();
        assert_ne!(lines[0], "0", "{output}");
        assert_eq!(lines[2], "b g t 0 20 32 dc1", "{output}");
        assert_eq!(lines[3], "/alloc /local /secrets", "{output}");
        assert_eq!(lines[4], "blue blue-dc1", "{output}");
        assert!(!output.contains("/etc/shadow") && !output.contains("/work") && !output.contains("wrote"), "{output}");
        assert!(lines.contains(&"writes"), "{output}");
    });
}

#[test]
fn endless_output_is_rotated_and_does_not_fill_the_disk() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = batch("b", "yes 0123456789 | head -c 6000000; echo end");
        let alloc = agent.api().run_one(&job);
        agent.api().wait_status(&alloc, "complete");
        let logs = agent.data().join(format!("alloc/{alloc}/alloc/logs"));
        let sizes: Vec<u64> = std::fs::read_dir(&logs).unwrap().flatten().map(|e| e.metadata().unwrap().len()).collect();
        assert!(sizes.iter().sum::<u64>() <= 2 << 20, "{sizes:?}");
        assert!(sizes.iter().all(|s| *s <= 1 << 20), "{sizes:?}");
        assert!(
            agent.api().logs(&alloc, "t", "stdout").ends_with("0123456789\nend\n")
                || agent.api().logs(&alloc, "t", "stdout").ends_with("end\n")
        );
    });
}

#[test]
fn several_tasks_of_a_group_share_a_folder_and_a_network() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job: Job =
            service("s", "echo hello >/alloc/data/greeting; exec busybox httpd -f -p 8000 -h /alloc/data").network("bridge").group(|g| {
                let mut second = g["Tasks"][0].clone();
                second["Name"] = json!("client");
                second["Config"]["args"] =
                    json!(["-c", "until busybox wget -qO- http://127.0.0.1:8000/greeting; do sleep 0.05; done; exec sleep 10000"]);
                g["Tasks"].as_array_mut().unwrap().push(second);
            });
        let alloc = agent.api().run_one(&job);
        agent.api().wait_output(&alloc, "client", "hello\n");
        let pids = [agent.task_pid(&alloc, "t"), agent.task_pid(&alloc, "client")];
        agent.api().stop(&job);
        eventually("both are gone", || pids.iter().all(|p| !std::path::Path::new(&format!("/proc/{p}")).exists()).then_some(()));
    });
}

/// The NixOS module runs the agent so. No container could be made before the agent set a umask of its own, for /run/floe was closed to the task.
#[test]
fn an_agent_that_closes_its_files_decides_nothing_for_its_tasks() {
    world(|world| {
        let agent = world.agent("n1").umask("077").start();
        for driver in ["exec", "raw_exec"] {
            let job = batch(driver, "umask; cat \"$NOMAD_TASK_DIR/page\"").driver(driver).group(|g| {
                g["Tasks"][0]["Templates"] = json!([{ "EmbeddedTmpl": "hello\n", "DestPath": "local/page" }]);
            });
            agent.api().submit(&job);
            let alloc = agent.api().wait("it ended", &job.path("/allocations"), |all| {
                all.as_array()?.iter().find(|a| a["ClientStatus"] == "complete" || a["ClientStatus"] == "failed").cloned()
            });
            assert_eq!(agent.api().logs(&id(&alloc), "t", "stdout"), "0022\nhello\n", "{driver}: {:?}", events(&alloc, "t"));
        }
    });
}
