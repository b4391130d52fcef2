//! Services of groups whose tasks have an order, and the version of commands that knows it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{
    AllocClientStatus::Running,
    JobType, TaskState, Timestamp,
    alloc::TaskPhase,
    task::{
        LifecycleHook::{Poststart, Poststop, Prestart},
        TaskLifecycle,
    },
};
use floe_state::{
    Command,
    command::{AllocUpdate, RegisterJob, TASKS_IN_ORDER},
};
use support::{Machine, NODE, alloc, job};

#[test]
fn services_of_a_group_are_those_of_its_main_tasks() {
    let phase = |state, failed| TaskState { state, failed, started_at: Timestamp(7), ..TaskState::default() };
    let never = TaskState::default();
    let (up, again, well, failed) =
        (phase(TaskPhase::Running, false), phase(TaskPhase::Pending, false), phase(TaskPhase::Dead, false), phase(TaskPhase::Dead, true));
    // The prestart task, the main task, its sidecar, the poststop task; and whether the group's service is listed.
    let moments = [
        ([&up, &never, &never, &never], false),
        ([&well, &never, &up, &never], false),
        ([&well, &up, &up, &never], true),
        ([&well, &again, &up, &never], true),
        ([&well, &up, &again, &never], true),
        ([&well, &up, &failed, &never], false),
        ([&failed, &never, &up, &never], false),
        ([&well, &well, &up, &never], false),
        ([&well, &well, &well, &up], false),
    ];
    for (version, all) in [(TASKS_IN_ORDER, false), (TASKS_IN_ORDER - 1, true)] {
        for (states, listed) in moments {
            let mut m = Machine::with_node();
            m.run(Command::SetClusterVersion { version });
            let mut j = job("a", JobType::Batch);
            let hooks = [Some((Prestart, false)), None, Some((Poststart, true)), Some((Poststop, false))];
            let names = ["init", "server", "proxy", "bye"];
            let tasks = names.iter().zip(hooks).map(|(name, hook)| floe_model::Task {
                name: (*name).to_owned(),
                lifecycle: hook.map(|(hook, sidecar)| TaskLifecycle { hook, sidecar }),
                ..j.task_groups[0].tasks[0].clone()
            });
            j.task_groups[0].tasks = tasks.collect();
            m.register(j.clone());
            m.place(vec![alloc("x", &j, 0)], &j);
            let update = AllocUpdate {
                id: "x".into(),
                node_id: NODE.into(),
                client_status: Running,
                task_states: names.iter().map(|n| (*n).to_owned()).zip(states.map(TaskState::clone)).collect(),
                ..AllocUpdate::default()
            };
            m.run(Command::UpdateAllocs { updates: vec![update] });
            assert_eq!(m.state.services().count(), usize::from(listed || all), "version {version}: {states:?}");
        }
    }
}

#[test]
fn a_job_whose_tasks_wait_is_written_when_all_servers_know_the_wait() {
    let register =
        |job| Command::RegisterJob(RegisterJob { job: Box::new(job), submission: None, enforce_index: None, eval_priority: None });
    let plain = job("a", JobType::Service);
    let mut waits = plain.clone();
    waits.task_groups[0].tasks[0].after.push(floe_model::task::TaskAfter::default());
    assert_eq!((register(plain).since(), register(waits).since()), (1, TASKS_IN_ORDER));
}
