//! The order of a group's tasks.

use super::problems;
use crate::generate::{self, canonical, set};
use floe_model::JobType;
use serde_json::{Value, json};

/// The problems of an ordinary job's group with these tasks besides `server`; each row sets a field of a task by its number, `server` being 0.
fn group(job_type: JobType, others: &[&str], fields: &[(usize, &str, Value)]) -> Vec<String> {
    let mut job = generate::ordinary(job_type);
    let server = job["TaskGroups"][0]["Tasks"][0].clone();
    for (i, name) in others.iter().enumerate() {
        let mut task = server.clone();
        task["Name"] = json!(name);
        set(&mut job, &format!("/TaskGroups/0/Tasks/{}", i + 1), task);
    }
    for (task, field, value) in fields {
        set(&mut job, &format!("/TaskGroups/0/Tasks/{task}/{field}"), value.clone());
    }
    problems(&canonical(job))
}

fn one(job_type: JobType, others: &[&str], fields: &[(usize, &str, Value)]) -> String {
    let found = group(job_type, others, fields);
    let [line] = found.as_slice() else { panic!("{fields:?}: {found:#?}") };
    line.strip_prefix("group \"front\"").unwrap().to_owned()
}

fn wait(task: &str, state: &str) -> Value {
    json!([{ "Task": task, "State": state }])
}
fn hook(hook: &str, sidecar: bool) -> Value {
    json!({ "Hook": hook, "Sidecar": sidecar })
}

#[test]
fn waits_that_can_be_met_are_taken() {
    use JobType::{Batch, Service};
    let taken = |job_type, fields: &[(usize, &str, Value)]| assert_eq!(group(job_type, &["db", "x"], fields), Vec::<String>::new());
    taken(Service, &[(0, "After", wait("db", "healthy")), (1, "After", wait("x", "started"))]);
    taken(Service, &[(0, "After", json!([{ "Task": "db" }]))]);
    taken(Service, &[(0, "After", wait("db", "healthy")), (1, "Lifecycle", hook("prestart", true))]);
    taken(Service, &[(0, "After", wait("db", "exited")), (1, "Lifecycle", hook("prestart", false))]);
    taken(Batch, &[(0, "After", wait("db", "exited")), (2, "Leader", json!(true))]);
    taken(Batch, &[(0, "After", json!([{ "Task": "db" }, { "Task": "x", "State": "exited" }]))]);
    taken(Service, &[(1, "Lifecycle", hook("poststart", false)), (1, "After", wait("x", "healthy"))]);
    taken(Service, &[(1, "Lifecycle", hook("poststop", false)), (2, "Lifecycle", hook("poststart", true))]);
}

#[test]
fn waits_that_nothing_can_meet_are_refused() {
    use JobType::{Batch, Service, System};
    let server = " -> task \"server\": ";
    let said = |job_type, fields: &[(usize, &str, Value)], want: &str| {
        assert_eq!(one(job_type, &["db", "web"], fields), format!("{server}{want}"), "{fields:?}");
    };
    said(
        Service,
        &[(0, "After", wait("dbb", "started"))],
        "after \"dbb\": the group has no such task; did you mean \"db\"? name another task of the same group",
    );
    said(Service, &[(0, "After", wait("server", "started"))], "after \"server\": a task cannot wait for itself; remove it");
    let again = "is started again whenever it ends; wait for \"started\" or \"healthy\"";
    said(Service, &[(0, "After", wait("db", "exited"))], &format!("after \"db\": a main task of a service job {again}"));
    said(System, &[(0, "After", wait("db", "exited"))], &format!("after \"db\": a main task of a system job {again}"));
    let sidecar = [(0, "After", wait("db", "exited")), (1, "Lifecycle", hook("prestart", true))];
    said(Batch, &sidecar, &format!("after \"db\": a sidecar {again}"));
    let leads = [(0, "After", wait("db", "exited")), (1, "Leader", json!(true))];
    let want = "after \"db\": the group ends with its leader, so this would never start; use a poststop task, or remove leader";
    said(Batch, &leads, want);
    let last = [(0, "After", wait("db", "started")), (1, "Lifecycle", hook("poststop", false))];
    said(Service, &last, "after \"db\": poststop tasks run when all others have ended, so this would never start; remove it");
    let stop = [(0, "After", wait("db", "started")), (0, "Lifecycle", hook("poststop", false))];
    said(Service, &stop, "after \"db\" says nothing new: poststop tasks run when all others have ended; remove it");
}

#[test]
fn tasks_that_wait_for_each_other_are_refused() {
    let found = one(JobType::Service, &["db", "x"], &[(0, "After", wait("db", "started")), (1, "After", wait("server", "started"))]);
    assert_eq!(
        found,
        ": tasks wait for each other: \"db\" waits for \"server\" (after), \"server\" waits for \"db\" (after); remove one of the after blocks"
    );
    let hooked = [(1, "Lifecycle", hook("prestart", false)), (1, "After", wait("server", "started"))];
    let found = one(JobType::Service, &["init"], &hooked);
    let ring = "\"init\" waits for \"server\" (after), \"server\" waits for \"init\" (prestart tasks come first)";
    assert_eq!(found, format!(": tasks wait for each other: {ring}; remove one of the after blocks"));
    let hooked = [(1, "Lifecycle", hook("poststart", true)), (0, "After", wait("warm", "healthy"))];
    let found = one(JobType::Service, &["warm"], &hooked);
    assert!(found.contains("\"warm\" waits for \"server\" (poststart tasks come after the main tasks)"), "{found}");
    // A ring that nobody of it begins: the way into it is not part of it.
    let names: Vec<String> = (1..50).map(|i| format!("t{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let chain = (1..49).map(|i| (i, "After", wait(&format!("t{:02}", i + 1), "started")));
    let back = chain.clone().chain([(49, "After", wait("t48", "started"))]).collect::<Vec<_>>();
    assert_eq!(group(JobType::Service, &names, &chain.collect::<Vec<_>>()), Vec::<String>::new());
    let found = one(JobType::Service, &names, &back);
    let ring = "\"t48\" waits for \"t49\" (after), \"t49\" waits for \"t48\" (after)";
    assert_eq!(found, format!(": tasks wait for each other: {ring}; remove one of the after blocks"));
}

#[test]
fn hooks_have_their_rules() {
    let leads = [(1, "Lifecycle", hook("prestart", true)), (1, "Leader", json!(true))];
    let want = " -> task \"db\": leader is for main tasks (this one has the hook prestart); remove leader, or lifecycle";
    assert_eq!(one(JobType::Service, &["db"], &leads), want);
    let sidecar = [(1, "Lifecycle", hook("poststop", true))];
    assert_eq!(
        one(JobType::Service, &["db"], &sidecar),
        " -> task \"db\": a poststop task runs when nothing is left to run beside; remove sidecar"
    );
}

#[test]
fn a_group_stops_within_the_sum_of_its_steps() {
    let mut job = canonical(generate::ordinary(JobType::Service));
    let group = &mut job.task_groups[0];
    let span = floe_model::Nanos::from_secs;
    let task = |name: &str, kill: i64, delay: i64, edit: fn(&mut floe_model::Task)| {
        let mut task =
            floe_model::Task { name: name.to_owned(), kill_timeout: Some(span(kill)), shutdown_delay: span(delay), ..Default::default() };
        edit(&mut task);
        task
    };
    let hook = |hook, sidecar| Some(floe_model::task::TaskLifecycle { hook, sidecar });
    use floe_model::task::LifecycleHook::{Poststop, Prestart};
    group.shutdown_delay = Some(span(100));
    group.tasks = vec![task("lead", 7, 1, |t| t.leader = true), task("a", 20, 0, |_| {}), task("b", 10, 15, |_| {})];
    assert_eq!(job.longest_stop(), span(100 + 8 + 25));
    let mut side = task("side", 40, 2, |_| {});
    side.lifecycle = hook(Prestart, true);
    let mut bye = task("bye", 1000, 0, |_| {});
    bye.lifecycle = hook(Poststop, false);
    job.task_groups[0].tasks.extend([side, bye]);
    assert_eq!(job.longest_stop(), span(100 + 8 + 25 + 42));
}
