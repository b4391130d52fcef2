//! The order of a group's tasks: single lives as transcripts, and properties of random groups with random ends, kills and deaths of the agent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_model::{
    AllocClientStatus, Allocation, Job, JobType, Nanos, Task, TaskGroup, Timestamp,
    alloc::event,
    group::{RestartMode, RestartPolicy, UpdateStrategy},
    task::{AfterState, LifecycleHook, TaskAfter, TaskLifecycle},
};
use floe_tasks::{AllocMachine, Exit, Input, Recovered, Step};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const PRE: Option<(LifecycleHook, bool)> = Some((LifecycleHook::Prestart, false));
const PRE_SIDECAR: Option<(LifecycleHook, bool)> = Some((LifecycleHook::Prestart, true));
const POST: Option<(LifecycleHook, bool)> = Some((LifecycleHook::Poststart, false));
const POST_SIDECAR: Option<(LifecycleHook, bool)> = Some((LifecycleHook::Poststart, true));
const STOP: Option<(LifecycleHook, bool)> = Some((LifecycleHook::Poststop, false));

fn task(name: &str, hook: Option<(LifecycleHook, bool)>, attempts: i64) -> Task {
    Task {
        name: name.to_owned(),
        lifecycle: hook.map(|(hook, sidecar)| TaskLifecycle { hook, sidecar }),
        restart_policy: Some(RestartPolicy {
            attempts: Some(attempts),
            interval: Some(Nanos::from_secs(1000)),
            delay: Some(Nanos::from_secs(5)),
            mode: Some(RestartMode::Fail),
            render_templates: None,
        }),
        kill_timeout: Some(Nanos::from_secs(3)),
        ..Task::default()
    }
}

fn after(mut task: Task, other: &str, state: AfterState) -> Task {
    task.after.push(TaskAfter { task: other.to_owned(), state });
    task
}

fn leader(task: Task) -> Task {
    Task { leader: true, ..task }
}

fn alloc(job_type: JobType, tasks: Vec<Task>) -> Allocation {
    with_group(job_type, TaskGroup { tasks, ..TaskGroup::default() })
}

fn with_group(job_type: JobType, group: TaskGroup) -> Allocation {
    let update = UpdateStrategy {
        min_healthy_time: Some(Nanos::from_secs(10)),
        healthy_deadline: Some(Nanos::from_secs(60)),
        ..UpdateStrategy::default()
    };
    let group = TaskGroup { name: "g".to_owned(), update: Some(update), ..group };
    let job = Job { id: "j".into(), job_type, task_groups: vec![group], ..Job::default() };
    Allocation { id: "a".into(), task_group: "g".to_owned(), job: Some(Arc::new(job)), ..Allocation::default() }
}

fn at(s: i64) -> Timestamp {
    Timestamp(1).plus(Nanos::from_secs(s))
}

/// A machine with a clock, told in one line and answering in one line.
struct Life {
    machine: AllocMachine,
    now: i64,
}

impl Life {
    fn of(alloc: &Allocation) -> Life {
        Life { machine: AllocMachine::new(alloc, at(0)), now: 0 }
    }

    /// What it says to do but for reports: `start a, signal b, clean up`.
    fn tell(&mut self, input: Input) -> String {
        words(&self.machine.handle(input, at(self.now), 0))
    }
    fn prepared(&mut self) -> String {
        self.tell(Input::Prepared)
    }
    fn started(&mut self, task: &str) -> String {
        self.tell(Input::Started { task: task.to_owned(), at: at(self.now) })
    }
    fn exited(&mut self, task: &str, code: i32) -> String {
        self.tell(Input::Exited { task: task.to_owned(), exit: Exit { code, at: at(self.now), ..Exit::default() } })
    }
    fn stop(&mut self) -> String {
        self.tell(Input::Stop { reason: "the job was stopped".to_owned() })
    }
    /// Lets seconds pass, and says that they did.
    fn pass(&mut self, seconds: i64) -> String {
        self.now += seconds;
        self.tell(Input::Tick)
    }
    fn status(&self) -> AllocClientStatus {
        self.machine.status().0
    }
    fn kinds(&self, task: &str) -> Vec<String> {
        self.machine.task_states()[task].events.iter().map(|e| e.event_type.clone()).collect()
    }
    fn has(&self, task: &str, kind: &str) -> bool {
        self.kinds(task).contains(&kind.to_owned())
    }
}

fn words(steps: &[Step]) -> String {
    let word = |s: &Step| match s {
        Step::Start(t) | Step::StartAfterAll(t) => Some(format!("start {t}")),
        Step::Signal(t) => Some(format!("signal {t}")),
        Step::Kill(t) => Some(format!("kill {t}")),
        Step::CleanUp => Some("clean up".to_owned()),
        Step::Report | Step::WakeAt(_) => None,
    };
    steps.iter().filter_map(word).collect::<Vec<_>>().join(", ")
}

/// Every hook, in a batch whose main task leads nobody.
fn every_hook(job_type: JobType) -> Allocation {
    let tasks = vec![
        task("init", PRE, 0),
        task("proxy", PRE_SIDECAR, 5),
        task("web", None, 0),
        task("warm", POST, 0),
        task("logs", POST_SIDECAR, 5),
        task("bye", STOP, 0),
    ];
    alloc(job_type, tasks)
}

#[test]
fn each_hook_has_its_moment() {
    let mut life = Life::of(&every_hook(JobType::Batch));
    assert_eq!(life.prepared(), "start init, start proxy");
    assert_eq!(
        life.machine.task_states()["web"].events.last().unwrap().display_message,
        "Folders and network are ready; waits for the prestart tasks"
    );
    assert_eq!(life.started("init"), "");
    assert_eq!(life.status(), AllocClientStatus::Running);
    assert_eq!(life.exited("init", 0), "", "the sidecar does not run yet");
    assert_eq!(life.status(), AllocClientStatus::Running, "between two of its tasks");
    assert_eq!(life.started("proxy"), "start web");
    assert_eq!(life.started("web"), "start logs, start warm");
    life.started("warm");
    life.started("logs");
    assert_eq!(life.exited("warm", 0), "");
    assert_eq!(life.exited("web", 0), "signal logs, signal proxy", "nothing is left but sidecars");
    assert!(life.has("proxy", event::MAIN_DEAD) && !life.has("web", event::MAIN_DEAD));
    assert_eq!(life.exited("proxy", 1), "", "an end that was asked for");
    assert_eq!(life.exited("logs", 0), "start bye");
    assert_eq!(life.status(), AllocClientStatus::Running);
    life.started("bye");
    assert_eq!(life.exited("bye", 0), "clean up");
    assert_eq!(life.status(), AllocClientStatus::Complete);
}

#[test]
fn no_main_task_starts_after_a_prestart_task_that_failed() {
    let mut life = Life::of(&every_hook(JobType::Service));
    life.prepared();
    life.started("init");
    life.started("proxy");
    assert_eq!(life.exited("init", 3), "signal proxy");
    assert!(life.has("web", event::SIBLING_FAILED) && !life.machine.task_states()["web"].failed);
    assert_eq!(life.status(), AllocClientStatus::Running, "the sidecar and the poststop task are still to end");
    assert_eq!(life.exited("proxy", 0), "start bye");
    life.started("bye");
    assert_eq!(life.exited("bye", 0), "clean up");
    assert_eq!(life.machine.status(), (AllocClientStatus::Failed, "Failed tasks: init (Policy allows no restarts)".to_owned()));
}

#[test]
fn a_prestart_task_follows_its_restart_policy() {
    let mut life = Life::of(&alloc(JobType::Service, vec![task("init", PRE, 1), task("web", None, 0)]));
    life.prepared();
    life.started("init");
    assert_eq!(life.exited("init", 3), "");
    assert_eq!(life.pass(5), "start init");
    life.started("init");
    assert_eq!(life.exited("init", 0), "start web", "its good end is an end, in a service too");
}

#[test]
fn a_sidecar_is_started_again_however_it_ends() {
    for job_type in [JobType::Service, JobType::Batch] {
        let mut life = Life::of(&alloc(job_type, vec![task("proxy", PRE_SIDECAR, 3), task("web", None, 0)]));
        life.prepared();
        life.started("proxy");
        life.started("web");
        life.exited("proxy", 0);
        assert_eq!(life.pass(5), "start proxy");
        life.started("proxy");
        assert_eq!(life.stop(), "signal web");
        assert_eq!(life.exited("web", 0), "signal proxy", "sidecars end after the main tasks");
        assert_eq!(life.exited("proxy", 0), "clean up");
        assert_eq!(life.status(), AllocClientStatus::Complete);
    }
}

#[test]
fn a_main_task_waits_for_a_sidecar_that_is_down() {
    let mut life = Life::of(&alloc(JobType::Service, vec![task("init", PRE, 0), task("proxy", PRE_SIDECAR, 3), task("web", None, 0)]));
    life.prepared();
    life.started("init");
    life.started("proxy");
    life.exited("proxy", 1);
    assert_eq!(life.exited("init", 0), "");
    assert_eq!(life.pass(5), "start proxy");
    assert_eq!(life.started("proxy"), "start web");
}

#[test]
fn the_leader_ends_first_and_ends_the_others() {
    let tasks = || vec![task("proxy", PRE_SIDECAR, 3), leader(task("web", None, 0)), task("helper", None, 0), task("bye", STOP, 0)];
    let mut life = Life::of(&alloc(JobType::Batch, tasks()));
    life.prepared();
    for t in ["proxy", "web", "helper"] {
        life.started(t);
    }
    assert_eq!(life.exited("web", 0), "signal helper");
    assert!(life.has("helper", event::LEADER_DEAD));
    assert_eq!(life.exited("helper", 9), "signal proxy");
    assert_eq!(life.exited("proxy", 0), "start bye");
    life.started("bye");
    life.exited("bye", 0);
    assert_eq!(life.status(), AllocClientStatus::Complete);

    let mut life = Life::of(&alloc(JobType::Service, tasks()));
    life.prepared();
    for t in ["proxy", "web", "helper"] {
        life.started(t);
    }
    assert_eq!(life.stop(), "signal web");
    assert_eq!(life.pass(3), "kill web", "a step lasts no longer than its kill timeout");
    assert_eq!(life.exited("web", 137), "signal helper");
    assert_eq!(life.exited("helper", 0), "signal proxy");
    assert_eq!(life.exited("proxy", 0), "start bye");
    life.started("bye");
    assert_eq!(life.stop(), "", "a poststop task is not asked to stop");
    assert_eq!(life.exited("bye", 1), "clean up");
    assert_eq!(life.machine.status(), (AllocClientStatus::Failed, "Failed tasks: bye (Policy allows no restarts)".to_owned()));
}

#[test]
fn nothing_comes_after_what_never_ran() {
    let mut life = Life::of(&every_hook(JobType::Service));
    assert_eq!(life.stop(), "clean up");
    assert_eq!(life.status(), AllocClientStatus::Complete);
    let mut life = Life::of(&every_hook(JobType::Service));
    assert_eq!(life.tell(Input::PrepareFailed("no disk".to_owned())), "clean up");
    assert_eq!(life.machine.status(), (AllocClientStatus::Failed, "no disk".to_owned()));
}

#[test]
fn shutdown_delays_pass_before_anybody_is_asked() {
    let web = Task { shutdown_delay: Nanos::from_secs(4), ..task("web", None, 0) };
    let tasks = vec![web, task("other", None, 0), task("proxy", PRE_SIDECAR, 0)];
    let mut life =
        Life::of(&with_group(JobType::Service, TaskGroup { tasks, shutdown_delay: Some(Nanos::from_secs(10)), ..TaskGroup::default() }));
    life.prepared();
    life.started("proxy");
    life.started("web");
    life.started("other");
    assert_eq!(life.stop(), "");
    assert_eq!(life.pass(9), "");
    assert_eq!(life.pass(1), "signal other", "the group's delay first");
    assert!(life.has("web", event::WAITING_FOR_SHUTDOWN_DELAY) && !life.has("web", event::KILLING));
    life.exited("other", 0);
    assert_eq!(life.pass(4), "signal web", "then the task's own");
    assert_eq!(life.exited("web", 0), "signal proxy");
    assert_eq!(life.exited("proxy", 0), "clean up");
    // What ends by itself meanwhile did what was wanted.
    let group = TaskGroup { tasks: vec![task("web", None, 0)], shutdown_delay: Some(Nanos::from_secs(10)), ..TaskGroup::default() };
    let mut life = Life::of(&with_group(JobType::Service, group));
    life.prepared();
    life.started("web");
    life.stop();
    assert_eq!(life.exited("web", 5), "clean up");
    assert_eq!(life.status(), AllocClientStatus::Complete);
}

#[test]
fn a_group_that_runs_for_too_long_fails() {
    let tasks = vec![task("work", None, 3), task("bye", STOP, 0)];
    let group = || TaskGroup { tasks: tasks.clone(), max_run_duration: Some(Nanos::from_secs(30)), ..TaskGroup::default() };
    let mut life = Life::of(&with_group(JobType::Batch, group()));
    life.prepared();
    life.started("work");
    life.now = 20;
    life.exited("work", 1);
    assert_eq!(life.pass(5), "start work");
    life.started("work");
    assert_eq!(life.pass(4), "");
    let steps = life.machine.handle(Input::Tick, at(life.now), 0);
    assert!(steps.contains(&Step::WakeAt(at(30))), "from its first start: {steps:?}");
    assert_eq!(life.pass(1), "signal work");
    assert_eq!(life.exited("work", 0), "start bye");
    life.started("bye");
    life.exited("bye", 0);
    let why = "Failed tasks: work (The group ran longer than its max_run_duration of 30s)";
    assert_eq!(life.machine.status(), (AllocClientStatus::Failed, why.to_owned()));
}

#[test]
fn a_group_whose_node_is_cut_off_fails_and_is_known_to_have_failed() {
    let alloc = alloc(JobType::Service, vec![task("web", None, 3), task("proxy", PRE_SIDECAR, 3), task("bye", STOP, 0)]);
    let mut life = Life::of(&alloc);
    life.prepared();
    life.started("proxy");
    life.started("web");
    assert_eq!(life.tell(Input::CutOff { after: Nanos::from_secs(60) }), "signal web");
    assert_eq!(life.tell(Input::CutOff { after: Nanos::from_secs(60) }), "", "said once more");
    assert_eq!(life.exited("web", 0), "signal proxy");
    // The next agent goes on with it, whatever the servers say by then.
    let found = BTreeMap::from([("proxy".to_owned(), Recovered::Running)]);
    let (machine, steps) = AllocMachine::recover(&alloc, &life.machine.task_states(), found, at(2), 0);
    assert_eq!(words(&steps), "signal proxy");
    let mut life = Life { machine, now: 3 };
    assert_eq!(life.exited("proxy", 0), "start bye");
    life.started("bye");
    life.exited("bye", 0);
    let (status, words) = life.machine.status();
    assert_eq!(status, AllocClientStatus::Failed);
    assert!(words.contains("No server was reached for the stop_on_client_after of 1m0s"), "{words}");
}

#[test]
fn a_wait_for_a_start_for_health_and_for_an_end() {
    let tasks = vec![
        task("db", None, 3),
        after(task("web", None, 0), "db", AfterState::Healthy),
        after(task("watch", None, 0), "db", AfterState::Started),
        task("seed", POST, 0),
    ];
    let mut life = Life::of(&alloc(JobType::Service, tasks));
    assert_eq!(life.prepared(), "start db");
    let note = life.machine.task_states()["web"].events.last().unwrap().display_message.clone();
    assert_eq!(note, "Folders and network are ready; waits for task \"db\" to be healthy");
    assert_eq!(life.started("db"), "start watch");
    life.started("watch");
    life.now = 8;
    life.exited("db", 1);
    assert_eq!(life.pass(5), "start db");
    let steps = life.machine.handle(Input::Started { task: "db".to_owned(), at: at(13) }, at(13), 0);
    assert!(steps.contains(&Step::WakeAt(at(23))), "ten seconds on end: {steps:?}");
    assert_eq!(life.pass(9), "");
    assert_eq!(life.pass(1), "start web");
    assert_eq!(life.started("web"), "start seed", "after all main tasks, those that waited too");

    let tasks = vec![task("fetch", None, 0), after(task("build", None, 0), "fetch", AfterState::Exited)];
    let mut life = Life::of(&alloc(JobType::Batch, tasks));
    assert_eq!(life.prepared(), "start fetch");
    life.started("fetch");
    assert_eq!(life.exited("fetch", 0), "start build");
    life.started("build");
    assert_eq!(life.exited("build", 0), "clean up");
    assert_eq!(life.status(), AllocClientStatus::Complete);
}

#[test]
fn who_waits_for_what_failed_never_starts() {
    let tasks = vec![task("fetch", None, 0), after(task("build", None, 0), "fetch", AfterState::Exited)];
    let mut life = Life::of(&alloc(JobType::Batch, tasks));
    life.prepared();
    life.started("fetch");
    assert_eq!(life.exited("fetch", 1), "clean up");
    assert!(life.has("build", event::SIBLING_FAILED) && !life.has("build", event::STARTED));
    assert_eq!(life.status(), AllocClientStatus::Failed);
}

#[test]
fn health_wants_sidecars_up_and_prestart_tasks_ended() {
    let mut alloc = every_hook(JobType::Service);
    alloc.deployment_id = "d".into();
    let mut life = Life::of(&alloc);
    life.prepared();
    life.started("init");
    life.started("proxy");
    life.exited("init", 0);
    life.started("web");
    life.started("warm");
    assert_eq!(life.pass(11), "");
    assert_eq!(life.machine.health(), None, "a sidecar is missing");
    life.started("logs");
    life.exited("warm", 0);
    life.pass(9);
    assert_eq!(life.machine.health(), None);
    life.pass(1);
    assert_eq!(life.machine.health().unwrap().healthy, Some(true), "no end that was meant counts against it");
}

#[test]
fn health_is_bad_at_once_when_a_prestart_task_failed() {
    let mut alloc = every_hook(JobType::Service);
    alloc.deployment_id = "d".into();
    let mut life = Life::of(&alloc);
    life.prepared();
    life.started("init");
    life.exited("init", 1);
    assert_eq!(life.machine.health().unwrap().healthy, Some(false));
}

#[test]
fn a_start_that_was_killed_before_it_came_is_killed_when_it_comes() {
    let mut life = Life::of(&alloc(JobType::Service, vec![task("web", None, 0), task("bye", STOP, 0)]));
    life.prepared();
    assert_eq!(life.stop(), "signal web");
    assert_eq!(life.pass(3), "kill web", "which went nowhere");
    assert_eq!(life.started("web"), "kill web");
    assert_eq!(life.exited("web", 137), "start bye", "it did run");
}

#[test]
fn a_newer_version_changes_how_a_task_ends() {
    let mut life = Life::of(&alloc(JobType::Service, vec![task("web", None, 0), task("helper", None, 0)]));
    life.prepared();
    life.started("web");
    life.started("helper");
    let newer = vec![leader(Task { kill_timeout: Some(Nanos::from_secs(30)), ..task("web", None, 0) }), task("helper", None, 0)];
    life.tell(Input::Updated(Box::new(alloc(JobType::Service, newer))));
    assert_eq!(life.stop(), "signal web");
    assert_eq!(life.pass(29), "");
    assert_eq!(life.pass(1), "kill web");
}

#[test]
fn what_was_ending_goes_on_ending_after_the_agents_death() {
    let alloc = every_hook(JobType::Service);
    let mut life = Life::of(&alloc);
    life.prepared();
    life.started("init");
    life.started("proxy");
    life.exited("init", 0);
    for t in ["web", "warm", "logs"] {
        life.started(t);
    }
    assert_eq!(life.exited("web", 1), "signal warm");
    let saved = life.machine.task_states();
    let gone = |t: &str, code| (t.to_owned(), Recovered::Exited(Exit { code, at: at(1), ..Exit::default() }));
    // The sidecar that ended meanwhile is not started again, and the one that runs is asked when the step before is over.
    let found = BTreeMap::from([gone("warm", 143), gone("proxy", 2), ("logs".to_owned(), Recovered::Running)]);
    let (machine, steps) = AllocMachine::recover(&alloc, &saved, found, at(2), 0);
    assert_eq!(words(&steps), "signal logs");
    let mut life = Life { machine, now: 3 };
    assert_eq!(life.exited("logs", 0), "start bye");
    // The agent dies once more before it could say that the poststop task runs.
    let (machine, steps) =
        AllocMachine::recover(&alloc, &life.machine.task_states(), BTreeMap::from([("bye".to_owned(), Recovered::Running)]), at(4), 0);
    assert_eq!(words(&steps), "");
    let mut life = Life { machine, now: 5 };
    assert_eq!(life.exited("bye", 0), "clean up");
    assert_eq!(life.status(), AllocClientStatus::Failed);
}

#[test]
fn a_poststop_task_that_runs_proves_that_the_others_had_ended() {
    let alloc = alloc(JobType::Service, vec![task("web", None, 5), task("bye", STOP, 0)]);
    let mut life = Life::of(&alloc);
    life.prepared();
    life.started("web");
    let saved = life.machine.task_states();
    let exit = Exit { code: 1, at: at(1), ..Exit::default() };
    let found = BTreeMap::from([("web".to_owned(), Recovered::Exited(exit)), ("bye".to_owned(), Recovered::Running)]);
    let (machine, steps) = AllocMachine::recover(&alloc, &saved, found, at(2), 0);
    assert_eq!(words(&steps), "");
    assert!(machine.task_states()["web"].state == floe_model::alloc::TaskPhase::Dead);
}

#[test]
fn the_death_of_the_agent_between_prestart_and_main_starts_main_once() {
    let alloc = alloc(JobType::Service, vec![task("init", PRE, 0), task("web", None, 0)]);
    let mut life = Life::of(&alloc);
    life.prepared();
    let before = life.machine.task_states();
    life.started("init");
    let exit = |code| Recovered::Exited(Exit { code, at: at(1), ..Exit::default() });
    for saved in [before, life.machine.task_states()] {
        let again = |found: &[(&str, Recovered)]| {
            let found = found.iter().map(|(n, f)| ((*n).to_owned(), f.clone())).collect();
            words(&AllocMachine::recover(&alloc, &saved, found, at(2), 0).1)
        };
        assert_eq!(again(&[("init", exit(0))]), "start web");
        assert_eq!(again(&[("init", exit(0)), ("web", Recovered::Running)]), "");
        assert_eq!(again(&[("init", Recovered::Running)]), "");
        assert_eq!(again(&[("init", exit(1))]), "clean up");
    }
}

mod random;
