//! `floe job reconcile`: a folder of job files against a running cluster.

use crate::{
    cluster::three,
    command::Running,
    job::{Job, service},
    world::{World, world},
};
use serde_json::{Value, json};
use std::fs;

const OWNER: &str = "floe.declared-by";

fn declare(world: &World, name: &str, job: &Job) {
    world.file(&format!("jobs/{name}"), json!({ "Job": job.json() }).to_string());
}

fn reconcile(world: &World, more: &[&str]) -> crate::command::Outcome {
    let folder = world.dir().join("jobs");
    let fixed = ["job", "reconcile", "-owner", "me", "-wait", "20s"];
    world.floe(&[fixed.as_slice(), more, &[folder.to_str().unwrap()]].concat())
}

/// The words at the beginning of each line, and the last line.
fn said(text: &str) -> (Vec<String>, String) {
    let mut lines: Vec<String> = text.lines().map(|l| l.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    lines.pop();
    (lines, text.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn the_cluster_follows_the_folder() {
    world(|world| {
        let agent = world.start_agent("n1");
        let (a, b) = (service("a", "exec sleep 10000"), service("b", "exec sleep 10000"));
        declare(world, "a.json", &a);
        declare(world, "b.json", &b);
        world.file("jobs/notes.txt", "no job");
        let hcl = "job \"c\" {\n group \"g\" {\n count = 0\n task \"t\" {\n driver = \"exec\"\n config {\n command = \"/bin/true\"\n }\n }\n }\n}\n";
        world.file("jobs/c.hcl", hcl);

        // What would be done, and nothing is.
        let dry = reconcile(world, &["-dry-run", "-prune"]);
        assert_eq!(dry.code, Some(1), "{dry:#?}");
        assert!(dry.stdout.contains("+ Job: \"a\"") && dry.stdout.ends_with("dry run: 3 created\n"), "{}", dry.stdout);
        assert_eq!(agent.api().get("/v1/jobs"), json!([]));

        assert_eq!(
            said(&reconcile(world, &["-prune"]).ok()),
            (vec!["created a".into(), "created b".into(), "created c".into()], "3 created".into())
        );
        let job = agent.api().get("/v1/job/a");
        assert_eq!(job["Meta"][OWNER], "me");
        assert!(agent.api().get("/v1/job/a/submission")["Source"].as_str().unwrap().contains("sleep 10000"));
        assert_eq!(said(&reconcile(world, &["-prune"]).ok()).1, "3 unchanged");
        assert_eq!(agent.api().get("/v1/job/a")["JobModifyIndex"], job["JobModifyIndex"], "nothing was registered again");
        assert_eq!(reconcile(world, &["-prune", "-dry-run"]).code, Some(0));

        // One changes, one goes; first it is kept, then it is stopped.
        declare(world, "a.json", &a.clone().script("exec sleep 20000"));
        fs::remove_file(world.dir().join("jobs/b.json")).unwrap();
        let text = reconcile(world, &[]).ok();
        assert_eq!(
            said(&text),
            (vec!["changed a".into(), "unchanged c".into(), "kept b:".into()], "1 changed, 1 unchanged, 1 kept".into())
        );
        assert_ne!(agent.api().get("/v1/job/b")["Stop"], true);
        let dry = reconcile(world, &["-prune", "-dry-run"]);
        assert_eq!((dry.code, said(&dry.stdout).1.as_str()), (Some(1), "dry run: 2 unchanged, 1 pruned"));
        assert_ne!(agent.api().get("/v1/job/b")["Stop"], true);
        assert_eq!(said(&reconcile(world, &["-prune"]).ok()).1, "2 unchanged, 1 pruned");
        assert_eq!(agent.api().get("/v1/job/b")["Stop"], true);
        agent.api().wait("b is over", "/v1/job/b/allocations", |all| {
            all.as_array()?.iter().all(|a| a["ClientStatus"] == "complete").then_some(())
        });
        assert_eq!(said(&reconcile(world, &["-prune"]).ok()).1, "2 unchanged");

        // It comes back; and what somebody stopped by hand does, too.
        declare(world, "b.json", &b);
        world.floe(&["job", "stop", "-detach", "a"]).ok();
        assert_eq!(said(&reconcile(world, &["-prune"]).ok()).1, "2 changed, 1 unchanged");
        for id in ["a", "b"] {
            agent.api().wait("it runs again", &format!("/v1/job/{id}/allocations"), |all| {
                all.as_array()?.iter().any(|a| a["ClientStatus"] == "running" && a["DesiredStatus"] == "run").then_some(())
            });
        }
    });
}

#[test]
fn what_others_have_is_left_alone_and_one_failure_stops_nobody_else() {
    world(|world| {
        let agent = world.start_agent("n1");
        let idle = |id: &str| service(id, "exec sleep 10000").copies(0);
        agent.api().submit(&idle("by-hand"));
        agent.api().submit(&idle("yours").set(|j| j["Meta"] = json!({ OWNER: "you" })));
        agent.api().submit(&idle("also-yours").set(|j| j["Meta"] = json!({ OWNER: "you" })));
        agent.api().submit(&idle("mine").set(|j| j["Meta"] = json!({ OWNER: "me" })));
        let index = |id: &str| agent.api().get(&format!("/v1/job/{id}"))["JobModifyIndex"].clone();
        let before: Vec<Value> = ["by-hand", "yours", "also-yours", "mine"].map(index).to_vec();

        declare(world, "1-by-hand.json", &idle("by-hand").copies(1));
        declare(world, "2-yours.json", &idle("yours").copies(1));
        world.file("jobs/3-broken.hcl", "job \"mine\" {");
        declare(world, "4-refused.json", &idle("refused").task(|t| t["Kind"] = json!("x")));
        declare(world, "5-marked.json", &idle("marked").set(|j| j["Meta"] = json!({ OWNER: "me" })));
        declare(world, "6-twice.json", &idle("twice"));
        declare(world, "7-twice.json", &idle("twice"));
        declare(world, "8-good.json", &idle("good"));
        let outcome = reconcile(world, &["-prune"]);
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        let text = outcome.stdout;
        for words in [
            "failed     3-broken.hcl: ",
            "failed     5-marked.json: it sets meta \"floe.declared-by\" itself",
            "refused    by-hand (1-by-hand.json): it was not declared but run by hand",
            "refused    yours (2-yours.json): it is declared by \"you\"",
            "not supported yet",
            "refused    twice (6-twice.json, 7-twice.json): several files declare it",
            "created    good (8-good.json)",
            // Its file may be the broken one.
            "kept       mine: it is declared no longer, unless by a file that could not be read",
            "1 created, 1 kept, 4 refused, 3 failed",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
        assert_eq!(["by-hand", "yours", "also-yours", "mine"].map(index).to_vec(), before, "nobody else's was touched");
        assert_eq!(reconcile(world, &["-dry-run"]).code, Some(255));

        // An empty folder prunes what is the owner's, and nothing else.
        fs::remove_dir_all(world.dir().join("jobs")).unwrap();
        reconcile(world, &["-prune"]).fails(1, &["read the folder"]);
        fs::create_dir(world.dir().join("jobs")).unwrap();
        assert_eq!(said(&reconcile(world, &["-prune"]).ok()).1, "2 pruned");
        assert_eq!(index("also-yours"), before[2]);
    });
}

#[test]
fn it_waits_for_the_cluster_and_says_when_none_comes() {
    world(|world| {
        declare(world, "a.json", &service("a", "exec sleep 10000").copies(0));
        let folder = world.dir().join("jobs").to_str().unwrap().to_owned();
        world.floe(&["job", "reconcile", "-owner", "me", &folder]).fails(1, &["cannot reach the agent", "waited for 0s"]);
        world.floe(&["job", "reconcile", "-owner", "me", "-dry-run", &folder]).fails(255, &["cannot reach the agent"]);
        world.floe(&["job", "reconcile", "-owner", "a b", &folder]).fails(1, &["owner \"a b\""]);
        world.floe(&["job", "reconcile", &folder]).fails(1, &["--owner"]);
        world.floe(&["job", "reconcile", "-owner", "me", "-wait", "5", &folder]).fails(1, &["unit"]);
        // One that was there before the agent.
        let early = world.command(&["job", "reconcile", "-owner", "me", "-wait", "1m", &folder]);
        let early = Running::start(early);
        let agent = world.start_agent("n1");
        assert!(early.wait().success(), "{}", early.stdout());
        assert!(early.stdout().ends_with("1 created\n"), "{}", early.stdout());
        assert_eq!(agent.api().get("/v1/job/a")["Meta"][OWNER], "me");
    });
}

#[test]
fn several_machines_that_declare_the_same_do_it_once() {
    world(|world| {
        let servers = three(world);
        let client = world.agent("c1").client_of(&servers[0]).start();
        let ids: Vec<String> = (0..6).map(|i| format!("j{i}")).collect();
        ids.iter().for_each(|id| declare(world, &format!("{id}.json"), &service(id, "exec sleep 10000").copies(0)));
        let folder = world.dir().join("jobs").to_str().unwrap().to_owned();
        let agents: Vec<String> = servers.iter().chain([&client]).map(|agent| format!("http://{}", agent.http())).collect();

        // Each of them plans, also an agent that is no server, and all say the same.
        let plans = agents.iter().map(|at| world.floe(&["job", "plan", "-json-output", "-address", at, &format!("{folder}/j0.json")]));
        let plans: Vec<String> = plans.map(|outcome| outcome.stdout).collect();
        let diffs: Vec<Value> = plans.iter().map(|p| serde_json::from_str::<Value>(p).unwrap()["Diff"].clone()).collect();
        assert!(diffs.iter().all(|d| *d == diffs[0] && d["Type"] == "Added"), "{diffs:#?}");

        // All at once: each job is made by one of them, whoever is faster, and none of them fails.
        let command = |at: &String| world.command(&["job", "reconcile", "-owner", "me", "-prune", "-wait", "20s", "-address", at, &folder]);
        let running: Vec<Running> = agents.iter().map(|at| Running::start(command(at))).collect();
        for one in &running {
            assert!(one.wait().success(), "{}", one.stdout());
        }
        let created: usize = running.iter().map(|one| one.stdout().lines().filter(|l| l.starts_with("created ")).count()).sum();
        assert_eq!(created, ids.len(), "{:#?}", running.iter().map(Running::stdout).collect::<Vec<_>>());
        let jobs = servers[1].api().get("/v1/jobs");
        assert!(jobs.as_array().unwrap().iter().all(|j| j["Version"] == 0) && jobs.as_array().unwrap().len() == ids.len(), "{jobs:#}");
    });
}
