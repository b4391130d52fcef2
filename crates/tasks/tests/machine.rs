//! An allocation's life as a transcript: what happened, what the machine said to do, where it stood then.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_model::{
    AllocClientStatus, Allocation, Job, JobType, Nanos, Task, TaskGroup, Timestamp,
    alloc::event,
    group::{RestartMode, RestartPolicy, UpdateStrategy},
};
use floe_tasks::{AllocMachine, Exit, Input, Recovered, Step};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

fn alloc(tasks: &[&str], job_type: JobType, attempts: i64) -> Allocation {
    let restart_policy = Some(RestartPolicy {
        attempts: Some(attempts),
        interval: Some(Nanos::from_secs(100)),
        delay: Some(Nanos::from_secs(5)),
        mode: Some(RestartMode::Fail),
        render_templates: None,
    });
    let tasks = tasks
        .iter()
        .map(|n| Task {
            name: (*n).to_owned(),
            restart_policy: restart_policy.clone(),
            kill_timeout: Some(Nanos::from_secs(3)),
            ..Task::default()
        })
        .collect();
    let update = UpdateStrategy {
        min_healthy_time: Some(Nanos::from_secs(10)),
        healthy_deadline: Some(Nanos::from_secs(60)),
        ..UpdateStrategy::default()
    };
    let group = TaskGroup { name: "g".to_owned(), tasks, update: Some(update), ..TaskGroup::default() };
    let job = Job { id: "j".into(), job_type, task_groups: vec![group], ..Job::default() };
    Allocation { id: "a".into(), task_group: "g".to_owned(), job: Some(Arc::new(job)), ..Allocation::default() }
}

fn at(s: i64) -> Timestamp {
    Timestamp(1).plus(Nanos::from_secs(s))
}
fn exit(code: i32, s: i64) -> Exit {
    Exit { code, at: at(s), ..Exit::default() }
}
fn started(task: &str, s: i64) -> Input {
    Input::Started { task: task.to_owned(), at: at(s) }
}
fn exited(task: &str, code: i32, s: i64) -> Input {
    Input::Exited { task: task.to_owned(), exit: exit(code, s) }
}
fn stop() -> Input {
    Input::Stop { reason: "the job was stopped".to_owned() }
}
fn start(task: &str) -> Step {
    Step::Start(task.to_owned())
}
fn last_event(m: &AllocMachine, task: &str) -> String {
    m.task_states()[task].events.last().unwrap().event_type.clone()
}

fn kinds(m: &AllocMachine, task: &str) -> Vec<String> {
    m.task_states()[task].events.iter().map(|e| e.event_type.clone()).collect()
}

#[test]
fn a_service_starts_runs_and_is_stopped_in_order() {
    let mut m = AllocMachine::new(&alloc(&["t"], JobType::Service, 2), at(0));
    assert!(m.is_preparing());
    assert_eq!(m.status().0, AllocClientStatus::Pending);
    assert_eq!(m.handle(Input::Prepared, at(1), 0), vec![start("t"), Step::Report]);
    assert_eq!(last_event(&m, "t"), event::TASK_SETUP);
    assert_eq!(m.handle(started("t", 2), at(2), 0), vec![Step::Report]);
    assert_eq!(m.status().0, AllocClientStatus::Running);
    assert_eq!(m.handle(stop(), at(3), 0), vec![Step::Signal("t".to_owned()), Step::WakeAt(at(6)), Step::Report]);
    assert_eq!(m.handle(Input::Tick, at(6), 0), vec![Step::Kill("t".to_owned())]);
    assert_eq!(m.handle(Input::Tick, at(7), 0), vec![], "killed once");
    assert_eq!(m.handle(exited("t", 137, 7), at(7), 0), vec![Step::CleanUp, Step::Report]);
    assert_eq!(m.status().0, AllocClientStatus::Complete, "what was asked to stop did not fail");
    assert_eq!(last_event(&m, "t"), event::KILLED);
    m.handle(Input::Cleaned, at(8), 0);
    assert!(m.is_gone());
}

fn restart(task: &str) -> Input {
    Input::Restart { task: task.to_owned(), reason: "User requested task to restart".to_owned() }
}

#[test]
fn a_restart_that_was_asked_for_is_not_counted_by_the_policy() {
    // It allows none.
    let mut m = AllocMachine::new(&alloc(&["t"], JobType::Service, 0), at(0));
    m.handle(Input::Prepared, at(0), 0);
    assert_eq!(m.handle(restart("t"), at(0), 0), vec![], "it is starting anyhow");
    m.handle(started("t", 1), at(1), 0);
    assert_eq!(m.running().collect::<Vec<_>>(), ["t"]);
    assert_eq!(m.handle(restart("t"), at(2), 0), vec![Step::Signal("t".to_owned()), Step::WakeAt(at(5)), Step::Report]);
    assert_eq!(m.running().count(), 0);
    assert_eq!(m.handle(restart("t"), at(2), 0), vec![], "once is enough");
    assert_eq!(m.handle(Input::Tick, at(5), 0), vec![Step::Kill("t".to_owned())], "it does not listen");
    assert_eq!(m.handle(exited("t", 137, 6), at(6), 0), vec![start("t"), Step::Report]);
    assert_eq!(m.status().0, AllocClientStatus::Running);
    m.handle(started("t", 7), at(7), 0);
    assert_eq!(m.task_states()["t"].restarts, 1);
    assert_eq!(kinds(&m, "t")[3..], [event::RESTART_SIGNALED, event::TERMINATED, event::RESTARTING, event::STARTED]);
    // Its own failure is counted as before.
    m.handle(exited("t", 1, 8), at(8), 0);
    assert_eq!(m.status().0, AllocClientStatus::Failed);
    assert_eq!(m.handle(restart("t"), at(9), 0), vec![], "what is over is over");
}

#[test]
fn a_restart_ends_the_wait_for_one_and_gives_way_to_a_stop() {
    let mut m = AllocMachine::new(&alloc(&["t"], JobType::Service, 3), at(0));
    m.handle(Input::Prepared, at(0), 0);
    m.handle(started("t", 0), at(0), 0);
    m.handle(exited("t", 1, 1), at(1), 0);
    assert_eq!(m.handle(restart("t"), at(2), 0), vec![start("t"), Step::Report]);
    assert_eq!(m.handle(Input::Tick, at(6), 0), vec![], "and not twice");
    m.handle(started("t", 6), at(6), 0);
    m.handle(restart("t"), at(7), 0);
    assert_eq!(m.handle(stop(), at(8), 0), vec![Step::WakeAt(at(10)), Step::Report], "it was signalled already");
    assert_eq!(m.handle(restart("t"), at(8), 0), vec![]);
    assert_eq!(m.handle(Input::Tick, at(10), 0), vec![Step::Kill("t".to_owned())]);
    assert_eq!(m.handle(exited("t", 137, 11), at(11), 0), vec![Step::CleanUp, Step::Report], "it is not started again");
    assert_eq!(m.status().0, AllocClientStatus::Complete);
}

#[test]
fn a_signal_is_told() {
    let mut m = AllocMachine::new(&alloc(&["t"], JobType::Service, 3), at(0));
    m.handle(Input::Prepared, at(0), 0);
    m.handle(started("t", 0), at(0), 0);
    assert_eq!(m.handle(Input::Signaled { task: "t".to_owned(), signal: "SIGHUP".to_owned() }, at(1), 0), vec![Step::Report]);
    assert_eq!(last_event(&m, "t"), event::SIGNALING);
    assert_eq!(m.task_states()["t"].events.last().unwrap().task_signal, "SIGHUP");
}

#[test]
fn a_task_that_fails_is_restarted_and_then_given_up_with_its_siblings() {
    let mut m = AllocMachine::new(&alloc(&["bad", "good"], JobType::Service, 1), at(0));
    m.handle(Input::Prepared, at(0), 0);
    m.handle(started("bad", 0), at(0), 0);
    m.handle(started("good", 0), at(0), 0);
    assert_eq!(m.handle(exited("bad", 1, 1), at(1), 0), vec![Step::WakeAt(at(6)), Step::Report]);
    assert_eq!(m.status().0, AllocClientStatus::Running);
    assert_eq!(m.handle(Input::Tick, at(6), 0), vec![start("bad")]);
    m.handle(started("bad", 6), at(6), 0);
    let steps = m.handle(exited("bad", 1, 7), at(7), 0);
    assert_eq!(steps, vec![Step::Signal("good".to_owned()), Step::WakeAt(at(10)), Step::Report]);
    assert_eq!(
        m.status(),
        (AllocClientStatus::Running, "Tasks are stopping: a sibling failed".to_owned()),
        "it holds what it has until all ended"
    );
    assert_eq!(m.task_states()["bad"].restarts, 1);
    assert_eq!(kinds(&m, "good").iter().rev().take(2).collect::<Vec<_>>(), [event::KILLING, event::SIBLING_FAILED]);
    assert_eq!(m.handle(exited("good", 0, 8), at(8), 0), vec![Step::CleanUp, Step::Report]);
    assert!(!m.task_states()["good"].failed);
    let why = "Failed tasks: bad (Exceeded allowed attempts 1 in interval 1m40s and mode is \"fail\")";
    assert_eq!(m.status(), (AllocClientStatus::Failed, why.to_owned()));
}

#[test]
fn a_batch_is_complete_when_its_tasks_ended_well() {
    let mut m = AllocMachine::new(&alloc(&["a", "b"], JobType::Batch, 0), at(0));
    m.handle(Input::Prepared, at(0), 0);
    for t in ["a", "b"] {
        m.handle(started(t, 0), at(0), 0);
    }
    assert_eq!(m.handle(exited("a", 0, 1), at(1), 0), vec![Step::Report]);
    assert_eq!(m.handle(exited("b", 0, 2), at(2), 0), vec![Step::CleanUp, Step::Report]);
    assert_eq!(m.status().0, AllocClientStatus::Complete);
}

#[test]
fn what_cannot_be_prepared_fails_with_the_reason() {
    let mut m = AllocMachine::new(&alloc(&["t"], JobType::Service, 2), at(0));
    let steps = m.handle(Input::PrepareFailed("port 80/tcp is taken".to_owned()), at(1), 0);
    assert_eq!(steps, vec![Step::CleanUp, Step::Report]);
    assert_eq!(m.status(), (AllocClientStatus::Failed, "port 80/tcp is taken".to_owned()));
    assert_eq!(m.task_states()["t"].events.last().unwrap().setup_error, "port 80/tcp is taken");
}

#[test]
fn a_command_that_cannot_start_follows_the_policy_unless_it_never_can() {
    let mut m = AllocMachine::new(&alloc(&["t"], JobType::Service, 5), at(0));
    m.handle(Input::Prepared, at(0), 0);
    let fail = |fatal| Input::StartFailed { task: "t".to_owned(), error: "no such command".to_owned(), fatal };
    assert_eq!(m.handle(fail(false), at(0), 0), vec![Step::WakeAt(at(5)), Step::Report]);
    m.handle(Input::Tick, at(5), 0);
    assert_eq!(m.handle(fail(true), at(5), 0), vec![Step::CleanUp, Step::Report]);
    assert_eq!(m.status().0, AllocClientStatus::Failed);
}

#[test]
fn stopping_before_anything_ran_ends_at_once() {
    let mut m = AllocMachine::new(&alloc(&["t"], JobType::Service, 2), at(0));
    assert_eq!(m.handle(stop(), at(1), 0), vec![Step::CleanUp, Step::Report]);
    assert_eq!(m.status().0, AllocClientStatus::Complete);
    assert_eq!(m.handle(Input::Prepared, at(2), 0), vec![], "prepared too late starts nothing");
}

#[test]
fn stopping_while_a_task_starts_signals_it_when_it_runs() {
    let mut m = AllocMachine::new(&alloc(&["t"], JobType::Service, 2), at(0));
    m.handle(Input::Prepared, at(0), 0);
    assert_eq!(m.handle(stop(), at(1), 0), vec![Step::Signal("t".to_owned()), Step::WakeAt(at(4)), Step::Report]);
    assert_eq!(m.handle(started("t", 2), at(2), 0), vec![Step::Signal("t".to_owned()), Step::Report]);
    assert_eq!(m.handle(exited("t", 0, 3), at(3), 0), vec![Step::CleanUp, Step::Report]);
}

#[test]
fn health_needs_all_tasks_on_end() {
    let mut a = alloc(&["t"], JobType::Service, 2);
    a.deployment_id = "d".into();
    let mut m = AllocMachine::new(&a, at(0));
    m.handle(Input::Prepared, at(0), 0);
    assert!(m.handle(started("t", 1), at(1), 0).contains(&Step::WakeAt(at(11))));
    m.handle(exited("t", 1, 8), at(8), 0);
    m.handle(Input::Tick, at(13), 0);
    m.handle(started("t", 13), at(13), 0);
    m.handle(Input::Tick, at(22), 0);
    assert_eq!(m.health(), None, "the wait began again");
    m.handle(Input::Tick, at(23), 0);
    assert_eq!(m.health().unwrap().healthy, Some(true));
}

#[test]
fn health_is_bad_after_the_deadline() {
    let mut a = alloc(&["t"], JobType::Service, 2);
    a.deployment_id = "d".into();
    let mut m = AllocMachine::new(&a, at(0));
    assert_eq!(m.handle(Input::Tick, at(60), 0), vec![Step::Report]);
    assert_eq!(m.health().unwrap().healthy, Some(false));
}

#[test]
fn after_the_agents_death_what_runs_runs_on_and_what_ended_is_judged() {
    let a = alloc(&["one", "two"], JobType::Batch, 0);
    let mut m = AllocMachine::new(&a, at(0));
    m.handle(Input::Prepared, at(0), 0);
    for t in ["one", "two"] {
        m.handle(started(t, 0), at(0), 0);
    }
    let recovered = BTreeMap::from([("one".to_owned(), Recovered::Running), ("two".to_owned(), Recovered::Exited(exit(0, 5)))]);
    let (m, steps) = AllocMachine::recover(&a, &m.task_states(), recovered, at(9), 0);
    assert_eq!(steps, vec![]);
    assert_eq!(m.status().0, AllocClientStatus::Running);
    assert_eq!(m.task_states()["one"].started_at, at(0), "it has been running all the time");
    let recovered = BTreeMap::from([("one".to_owned(), Recovered::Lost("the machine was restarted".to_owned()))]);
    let (m, steps) = AllocMachine::recover(&a, &m.task_states(), recovered, at(9), 0);
    assert_eq!(steps, vec![Step::CleanUp]);
    assert_eq!(m.status().0, AllocClientStatus::Failed);
}

#[test]
fn what_the_servers_want_stopped_is_not_judged_after_the_agents_death() {
    let mut a = alloc(&["one", "two", "three"], JobType::Service, 5);
    let mut m = AllocMachine::new(&a, at(0));
    m.handle(Input::Prepared, at(0), 0);
    for t in ["one", "two", "three"] {
        m.handle(started(t, 0), at(0), 0);
    }
    let saved = m.task_states();
    a.desired_status = floe_model::AllocDesiredStatus::Stop;
    let recovered = BTreeMap::from([
        ("one".to_owned(), Recovered::Running),
        ("two".to_owned(), Recovered::Exited(exit(1, 5))),
        ("three".to_owned(), Recovered::Lost("its supervisor was killed".to_owned())),
    ]);
    let (mut m, steps) = AllocMachine::recover(&a, &saved, recovered, at(9), 0);
    assert_eq!(steps.first(), Some(&Step::Signal("one".to_owned())), "{steps:?}");
    assert!(!steps.iter().any(|s| matches!(s, Step::Start(_))), "{steps:?}");
    let steps = m.handle(Input::Exited { task: "one".to_owned(), exit: exit(1, 10) }, at(10), 0);
    assert!(steps.contains(&Step::CleanUp), "{steps:?}");
    assert_eq!(m.status().0, AllocClientStatus::Complete);
}

#[test]
fn a_wait_for_a_restart_goes_on_after_the_agents_death() {
    let a = alloc(&["t"], JobType::Service, 5);
    let mut m = AllocMachine::new(&a, at(0));
    m.handle(Input::Prepared, at(0), 0);
    m.handle(started("t", 0), at(0), 0);
    m.handle(Input::Exited { task: "t".to_owned(), exit: exit(1, 5) }, at(5), 0);
    let saved = m.task_states();
    let restarts = saved["t"].restarts;
    for found in [Recovered::Exited(exit(1, 5)), Recovered::Lost("the machine was restarted".to_owned())] {
        let (m, steps) = AllocMachine::recover(&a, &saved, BTreeMap::from([("t".to_owned(), found)]), at(6), 0);
        assert!(matches!(steps.as_slice(), [Step::WakeAt(_)]), "{steps:?}");
        assert_eq!((m.task_states()["t"].events.len(), m.task_states()["t"].restarts), (saved["t"].events.len(), restarts));
    }
    // It did start again, and the agent died before it could say so.
    for found in [Recovered::Exited(exit(1, 50)), Recovered::Running] {
        let judged = found != Recovered::Running;
        let (m, _) = AllocMachine::recover(&a, &saved, BTreeMap::from([("t".to_owned(), found)]), at(60), 0);
        let count = |kind: &str| m.task_states()["t"].events.iter().filter(|e| e.event_type == kind).count();
        assert_eq!((count("Started"), count("Terminated")), (2, 1 + usize::from(judged)));
    }
}

#[test]
fn what_was_received_but_never_prepared_is_prepared_after_the_agents_death() {
    let a = alloc(&["t"], JobType::Service, 2);
    let (m, steps) = AllocMachine::recover(&a, &BTreeMap::new(), BTreeMap::new(), at(9), 0);
    assert!(m.is_preparing() && steps.is_empty());
}

proptest! {
    /// Whatever happens in whatever order: no panic; nothing starts after the end; clean-up is asked for at most once; and once stopped,
    /// with processes that obey a kill, it is gone.
    #[test]
    fn every_life_ends(inputs in proptest::collection::vec((0u8..8, 0usize..2, 0i64..20), 0..60)) {
        let names = ["a", "b"];
        let mut m = AllocMachine::new(&alloc(&names, JobType::Service, 2), at(0));
        let (mut now, mut cleanups) = (0, 0);
        let mut ended = false;
        let mut check = |steps: Vec<Step>, ended: &mut bool| {
            for s in steps {
                match s {
                    Step::CleanUp => { cleanups += 1; *ended = true; }
                    Step::Start(_) | Step::Signal(_) | Step::Kill(_) => assert!(!*ended),
                    _ => {}
                }
            }
            assert!(cleanups <= 1);
        };
        for (kind, task, wait) in inputs {
            now += wait;
            let name = names[task].to_owned();
            let input = match kind {
                0 => Input::Prepared,
                1 => Input::Started { task: name, at: at(now) },
                2 => Input::StartFailed { task: name, error: "x".to_owned(), fatal: wait % 2 == 0 },
                3 => Input::Exited { task: name, exit: exit(i32::from(wait % 2 == 0), now) },
                4 => Input::PrepareFailed("x".to_owned()),
                5 if wait > 15 => stop(),
                _ => Input::Tick,
            };
            let steps = m.handle(input, at(now), 0);
            check(steps, &mut ended);
        }
        let steps = m.handle(stop(), at(now), 0);
        check(steps, &mut ended);
        for name in names {
            let steps = m.handle(Input::Exited { task: name.to_owned(), exit: exit(0, now) }, at(now + 10), 0);
            check(steps, &mut ended);
        }
        prop_assert!(ended && m.status().0.is_terminal());
        m.handle(Input::Cleaned, at(now), 0);
        prop_assert!(m.is_gone());
    }
}

#[test]
fn what_a_driver_tells_is_an_event_of_a_start_and_no_more() {
    let alloc = alloc(&["t"], JobType::Service, 1);
    let told = || Input::Told { task: "t".to_owned(), message: "Downloading image x".to_owned() };
    let mut machine = AllocMachine::new(&alloc, at(0));
    assert_eq!(machine.handle(told(), at(0), 0), [], "nothing is told of a task that is not starting");
    machine.handle(Input::Prepared, at(1), 0);
    assert_eq!(machine.handle(told(), at(2), 0), [Step::Report]);
    assert_eq!(last_event(&machine, "t"), event::DRIVER);
    machine.handle(started("t", 3), at(3), 0);
    machine.handle(exited("t", 1, 4), at(4), 0);
    machine.handle(Input::Tick, at(9), 0);
    machine.handle(told(), at(10), 0);
    // The agent dies during the second pull. Its last life was judged already, and is not judged again.
    let saved = machine.task_states();
    let recovered = BTreeMap::from([("t".to_owned(), Recovered::Exited(exit(1, 4)))]);
    let (mut again, steps) = AllocMachine::recover(&alloc, &saved, recovered, at(11), 0);
    assert_eq!(steps, [Step::WakeAt(at(9))]);
    assert_eq!(again.handle(Input::Tick, at(11), 0), [start("t")]);
    assert_eq!((again.task_states()["t"].restarts, again.task_states()["t"].failed), (1, false));
}
