//! `floe job plan`: what it says is what a run then does.

use crate::{
    job::{Job, service},
    world::{World, world},
};
use serde_json::{Value, json};

fn file_of(world: &World, job: &Job) -> String {
    let path = world.file(&format!("{}.json", job.id()), json!({ "Job": job.json() }).to_string());
    path.to_str().unwrap().to_owned()
}

/// What the plan says in JSON, and its exit code.
fn planned(world: &World, file: &str) -> (Value, i32) {
    let outcome = world.floe(&["job", "plan", "-json-output", file]);
    (serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome:#?}")), outcome.code.unwrap())
}

#[test]
fn a_plan_shows_the_change_that_a_run_makes() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "exec sleep 10000").set(|j| j["Update"]["MaxParallel"] = json!(2));
        let file = file_of(world, &job);

        // A job that is not there yet: all of it is new, and still is after the plan.
        let outcome = world.floe(&["plan", &file]);
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        for words in ["+ Job: \"s\"", "+ Task Group: \"g\" (1 create)", "+ Task: \"t\" (forces create)", "There is room for all of it"] {
            assert!(outcome.stdout.contains(words), "{words:?} is not in\n{}", outcome.stdout);
        }
        assert!(outcome.stdout.contains("floe job run -check-index 0 "), "{}", outcome.stdout);
        assert_eq!(agent.api().get("/v1/jobs"), json!([]));
        world.floe(&["job", "run", "-check-index", "0", &file]).ok();

        // The same again: nothing, in words and by the exit code.
        let (same, code) = planned(world, &file);
        assert_eq!((code, &same["Diff"]["Type"]), (0, &json!("None")));
        let index = same["JobModifyIndex"].as_u64().unwrap().to_string();
        let said = world.floe(&["job", "plan", &file]).ok();
        assert!(said.contains("Task Group \"g\": 1 ignore") && said.contains(&format!("-check-index {index} ")), "{said}");

        // A change of the task and of the count.
        let changed = job.clone().copies(2).script("exec sleep 20000");
        let file = file_of(world, &changed);
        let outcome = world.floe(&["job", "plan", &file]);
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        for words in [
            "+/- Task Group: \"g\" (1 create, 1 create/destroy update)",
            "+/- Count: \"1\" => \"2\" (forces create)",
            "+/- Task: \"t\" (forces create/destroy update)",
            "+/- args[1]: \"exec sleep 10000\" => \"exec sleep 20000\"",
        ] {
            assert!(outcome.stdout.contains(words), "{words:?} is not in\n{}", outcome.stdout);
        }
        assert!(!outcome.stdout.contains("KillTimeout"), "what stays is shown only with -verbose:\n{}", outcome.stdout);
        let verbose = world.floe(&["job", "plan", "-verbose", &file]).stdout;
        assert!(verbose.contains("    command: \"/bin/sh\""), "{verbose}");
        let without = world.floe(&["job", "plan", "-diff=false", &file]);
        assert_eq!((without.code, without.stdout.contains("Task: ")), (Some(1), false), "{without:#?}");

        // Somebody else is faster.
        let other = file_of(world, &job.clone().script("exec sleep 30000"));
        world.floe(&["job", "run", "-check-index", &index, &other]).ok();
        let file = file_of(world, &changed);
        let late = world.floe(&["job", "run", "-check-index", &index, &file]);
        late.fails(1, &["Enforcing job modify index", "conflicting job modify index", "floe job plan"]);

        // By the index of a new plan it goes, and what was planned is done.
        let (said, code) = planned(world, &file);
        assert_eq!(code, 1);
        let wanted = &said["Annotations"]["DesiredTGUpdates"]["g"];
        assert_eq!((&wanted["Place"], &wanted["DestructiveUpdate"], &wanted["Ignore"]), (&json!(1), &json!(1), &json!(0)));
        let index = said["JobModifyIndex"].as_u64().unwrap().to_string();
        world.floe(&["job", "run", "-check-index", &index, &file]).ok();
        let allocs = agent.api().allocs(&changed);
        let current = allocs.iter().filter(|a| a["DesiredStatus"] == "run").count();
        assert_eq!((current, allocs.len()), (2, 4), "{allocs:#?}");
        assert_eq!(planned(world, &file).1, 0);
    });
}

#[test]
fn what_cannot_be_planned_is_no_change() {
    world(|world| {
        let agent = world.start_agent("n1");
        let plan = |file: &str| world.floe(&["job", "plan", file]);
        plan("/nonexistent.hcl").fails(255, &["/nonexistent.hcl"]);
        let broken = world.file("broken.hcl", "job \"x\" {");
        plan(broken.to_str().unwrap()).fails(255, &["broken.hcl"]);
        world.floe(&["job", "plan"]).fails(255, &["FILE"]);
        world.floe(&["plan", "-nonsense", "x.hcl"]).fails(255, &["nonsense"]);
        let refused = file_of(world, &service("refused", "true").task(|t| t["Kind"] = json!("x")));
        plan(&refused).fails(255, &["not supported yet", "kind"]);
        // What finds no node is planned all the same, with what is missing.
        let big = file_of(world, &service("big", "true").task(|t| t["Resources"] = json!({ "CPU": 20, "MemoryMB": 100_000_000 })));
        let outcome = plan(&big);
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        assert!(outcome.stdout.contains("no node for 1 of them") && outcome.stdout.contains("memory"), "{}", outcome.stdout);
        assert_eq!(agent.api().get("/v1/jobs"), json!([]));
        agent.terminate();
        plan(&big).fails(255, &["cannot reach the agent"]);
    });
}
