//! Random histories of several jobs with clients that start, fail and get healthy: in the end everything is as wanted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{AllocClientStatus, AllocDesiredStatus, EvalStatus, Job, JobType, NodeStatus};
use floe_state::Command;
use proptest::prelude::*;
use support::{World, changed, job, key, node, parallel};

#[derive(Clone, Debug)]
enum Event {
    NodeComes(usize),
    NodeGoes(usize),
    Change {
        job: usize,
        count: i64,
        version: u8,
    },
    Stop(usize),
    StopAlloc {
        job: usize,
        nth: usize,
    },
    /// Clients work: each byte decides what one allocation does.
    Clients(Vec<u8>),
    Wait(i64),
}

const JOBS: [(&str, JobType); 4] =
    [("web", JobType::Service), ("report", JobType::Batch), ("agent", JobType::System), ("sweep", JobType::Sysbatch)];

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (1..7usize).prop_map(Event::NodeComes),
        2 => (1..7usize).prop_map(Event::NodeGoes),
        4 => (0..4usize, 0..6i64, 0..4u8).prop_map(|(job, count, version)| Event::Change { job, count, version }),
        1 => (0..4usize).prop_map(Event::Stop),
        1 => (0..4usize, 0..6usize).prop_map(|(job, nth)| Event::StopAlloc { job, nth }),
        6 => prop::collection::vec(any::<u8>(), 12).prop_map(Event::Clients),
        2 => prop_oneof![Just(10i64), Just(120), Just(7200)].prop_map(Event::Wait),
    ]
}

fn describe(which: usize, count: i64, version: u8) -> Job {
    let (id, job_type) = JOBS[which];
    let count = if job_type.is_system() { 1 } else { count };
    let j = changed(&job(id, job_type, count), &version.to_string());
    if job_type.is_batch() { j } else { parallel(j, i64::from(version % 3)) }
}

/// What clients report: they end what is to be stopped, start what is new; `whims` decides who fails and who ends.
fn clients(w: &mut World, whims: &[u8]) {
    let up = |id: &floe_model::NodeId| w.state.node(id).is_some_and(|n| n.status == NodeStatus::Ready);
    let allocs: Vec<_> = w.state.allocs().filter(|a| !a.client_status.is_terminal() && up(&a.node_id)).cloned().collect();
    for (i, alloc) in allocs.iter().enumerate() {
        let whim = whims.get(i % whims.len().max(1)).copied().unwrap_or(u8::MAX);
        let is_batch = alloc.job.as_ref().is_some_and(|j| j.job_type.is_batch());
        if alloc.desired_status != AllocDesiredStatus::Run {
            w.report_alloc(alloc, AllocClientStatus::Complete, None);
        } else if whim < 30 {
            w.report_alloc(alloc, AllocClientStatus::Failed, Some(false));
        } else if is_batch && whim < 120 {
            w.report_alloc(alloc, AllocClientStatus::Complete, None);
        } else if whim < 140 {
            w.report_alloc(alloc, AllocClientStatus::Running, Some(false));
        } else {
            w.report_alloc(alloc, AllocClientStatus::Running, Some(true));
        }
    }
}

fn happen(w: &mut World, event: &Event) {
    match event {
        Event::NodeComes(i) => w.add(node(*i)),
        Event::NodeGoes(i) => w.node_status(&format!("n{i}"), NodeStatus::Down),
        Event::Change { job, count, version } => w.register(&describe(*job, *count, *version)),
        Event::Stop(which) => w.deregister(JOBS[*which].0, false),
        Event::StopAlloc { job, nth } => {
            let live = w.live(JOBS[*job].0);
            if let Some(alloc) = live.get(nth % live.len().max(1)) {
                w.run(Command::StopAlloc { id: alloc.id.clone() });
            }
        }
        Event::Clients(whims) => clients(w, whims),
        Event::Wait(seconds) => w.wait(*seconds),
    }
}

fn blocked(w: &World) -> bool {
    w.state.evals().any(|e| e.status == EvalStatus::Blocked)
}

/// Everybody behaves from here on: evaluations are answered, clients start what they should, time passes.
fn calm_down(w: &mut World) {
    for _ in 0..60 {
        w.settle();
        let index = w.state.index();
        clients(w, &[]);
        w.settle();
        if blocked(w) {
            w.wake();
        }
        w.wait(3600);
        if w.due().is_empty() && !blocked(w) && quiet_since(w, index) {
            return;
        }
    }
    panic!("the cluster does not converge:\n{}", w.log);
}

/// True when nothing but the clients' repeated reports happened after `index`.
fn quiet_since(w: &World, index: u64) -> bool {
    w.state.evals().all(|e| e.modify_index <= index && e.is_terminal()) && w.state.deployments().all(|d| !d.is_active())
}

fn check(w: &World, which: usize, job: &Job) {
    let (id, job_type) = JOBS[which];
    let row = w.state.job(&key(id)).unwrap();
    let current =
        |a: &&std::sync::Arc<floe_model::Allocation>| a.job_version() == row.version && a.desired_status == AllocDesiredStatus::Run;
    let live: Vec<_> = w.live(id);
    assert!(live.iter().all(|a| current(&a)), "{id}: an old version is left over\n{}", w.log);
    match job_type {
        JobType::Service => assert_eq!(live.len(), job.task_groups[0].count() as usize, "{id}\n{}", w.log),
        JobType::Batch => {
            let done = w.state.allocs_of_job(&key(id)).filter(|a| a.ran_successfully() && current(a)).count();
            assert_eq!(live.len() + done, job.task_groups[0].count() as usize, "{id}\n{}", w.log);
        }
        JobType::System => assert_eq!(live.len(), w.state.nodes().filter(|n| n.is_schedulable()).count(), "{id}\n{}", w.log),
        JobType::Sysbatch => {
            for n in w.state.nodes().filter(|n| n.is_schedulable()) {
                let ran = w.state.allocs_of_job(&key(id)).any(|a| a.node_id == n.id && current(&a));
                assert!(ran, "{id} did not run on {}\n{}", n.id, w.log);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_histories_converge(seed in any::<u64>(), events in prop::collection::vec(any_event(), 1..50), last in 10..14u8) {
        let mut w = World::with_nodes(3).seeded(seed);
        for event in &events {
            happen(&mut w, event);
            w.settle();
            if blocked(&w) {
                w.wake();
            }
        }
        w.quiet();
        for i in 1..=6 {
            w.add(node(i));
        }
        let jobs: Vec<Job> = (0..JOBS.len()).map(|which| describe(which, 3, last)).collect();
        for job in &jobs {
            w.register(job);
        }
        calm_down(&mut w);
        for (which, job) in jobs.iter().enumerate() {
            check(&w, which, job);
        }
    }
}
