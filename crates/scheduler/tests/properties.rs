//! What must hold of every decision, whatever the cluster, the job and their history.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{
    AllocClientStatus, EvalStatus, Evaluation, Job, JobType, NodeStatus,
    group::{Spread, UpdateStrategy},
    node::SchedulingEligibility,
};
use floe_scheduler::{Decision, Request, schedule};
use floe_state::{Command, State, fit::Usage};
use proptest::prelude::*;
use std::collections::BTreeSet;
use support::{World, asking, changed, constraint, gpus, job, key, node, static_port};

/// What may happen to a cluster with one job.
#[derive(Clone, Debug)]
enum Event {
    Node { i: usize, cpu: i64, dc2: bool, windows: bool, eligible: bool, gpus: usize, well: bool },
    Down(usize),
    Forget(usize),
    Register(Spec),
    Stop { purge: bool },
    Report { nth: usize, what: u8 },
    StopAlloc(usize),
    Wait(i64),
    Wake,
    FailDeployment,
}

/// A job, in few words.
#[derive(Clone, Copy, Debug)]
struct Spec {
    count: i64,
    version: u8,
    cpu: i64,
    max_parallel: i64,
    port: bool,
    distinct: bool,
    linux: bool,
    spread: bool,
    dc1: bool,
    gpus: u64,
}

impl Spec {
    fn job(self, job_type: JobType) -> Job {
        let count = if job_type.is_system() { self.count.min(1) } else { self.count };
        let mut j = changed(&job("web", job_type, count), &self.version.to_string());
        let group = &mut j.task_groups[0];
        group.tasks[0].resources.as_mut().unwrap().cpu = Some(self.cpu);
        if self.port {
            group.networks = vec![static_port("http", 8080)];
        }
        if self.distinct {
            group.constraints.push(constraint("", "distinct_hosts", "true"));
        }
        if self.linux {
            group.constraints.push(constraint("${attr.kernel.name}", "=", "linux"));
        }
        if self.spread && !job_type.is_system() {
            group.spreads.push(Spread { attribute: "${node.datacenter}".to_owned(), weight: Some(50), ..Spread::default() });
        }
        if self.dc1 {
            j.datacenters = vec!["dc1".to_owned()];
        }
        if self.gpus > 0 {
            j = asking(j, "nvidia/gpu", self.gpus);
        }
        if !job_type.is_batch() {
            j.update = Some(UpdateStrategy { max_parallel: Some(self.max_parallel), ..UpdateStrategy::default() });
        }
        j
    }
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let rare = || prop::bool::weighted(0.25);
    let cpu = prop_oneof![Just(300i64), Just(1500), Just(3000)];
    let gpus = prop_oneof![2 => Just(0u64), 1 => 1..3u64];
    ((0..7i64, 0..3u8, cpu, 0..4i64, gpus), (rare(), rare(), any::<bool>(), rare(), any::<bool>())).prop_map(
        |((count, version, cpu, max_parallel, gpus), (port, distinct, linux, spread, dc1))| Spec {
            count,
            version,
            cpu,
            max_parallel,
            port,
            distinct,
            linux,
            spread,
            dc1,
            gpus,
        },
    )
}

fn any_event() -> impl Strategy<Value = Event> {
    let cpu = prop_oneof![Just(1000i64), Just(4000), Just(9000)];
    prop_oneof![
        3 => (1..6usize, cpu, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.8), 0..5usize, any::<bool>())
            .prop_map(|(i, cpu, dc2, windows, eligible, gpus, well)| Event::Node { i, cpu, dc2, windows, eligible, gpus, well }),
        1 => (1..6usize).prop_map(Event::Down),
        1 => (1..6usize).prop_map(Event::Forget),
        3 => any_spec().prop_map(Event::Register),
        1 => prop::bool::weighted(0.3).prop_map(|purge| Event::Stop { purge }),
        6 => (0..8usize, 0..6u8).prop_map(|(nth, what)| Event::Report { nth, what }),
        1 => (0..8usize).prop_map(Event::StopAlloc),
        2 => prop_oneof![Just(5i64), Just(60), Just(7200)].prop_map(Event::Wait),
        2 => Just(Event::Wake),
        1 => Just(Event::FailDeployment),
    ]
}

fn happen(w: &mut World, job_type: JobType, event: &Event) {
    match event {
        Event::Node { i, cpu, dc2, windows, eligible, gpus: has, well } => {
            let mut n = node(*i);
            n.node_resources.devices = vec![gpus(*has, *well)];
            n.node_resources.cpu.cpu_shares = *cpu;
            n.datacenter = if *dc2 { "dc2" } else { "dc1" }.to_owned();
            n.attributes.insert("kernel.name".to_owned(), if *windows { "windows" } else { "linux" }.to_owned());
            n.scheduling_eligibility = if *eligible { SchedulingEligibility::Eligible } else { SchedulingEligibility::Ineligible };
            w.add(n);
        }
        Event::Down(i) => w.node_status(&format!("n{i}"), NodeStatus::Down),
        Event::Forget(i) => _ = w.run(Command::DeleteNodes { ids: vec![format!("n{i}").as_str().into()] }),
        Event::Register(spec) => w.register(&spec.job(job_type)),
        Event::Stop { purge } => w.deregister("web", *purge),
        Event::Report { nth, what } => {
            let known: Vec<_> = w.state.allocs_of_job(&key("web")).filter(|a| !a.client_status.is_terminal()).cloned().collect();
            let Some(alloc) = known.get(nth % known.len().max(1)) else { return };
            let (status, healthy) = match what {
                0 | 1 => (AllocClientStatus::Running, Some(true)),
                2 => (AllocClientStatus::Running, Some(false)),
                3 => (AllocClientStatus::Running, None),
                4 => (AllocClientStatus::Failed, None),
                _ => (AllocClientStatus::Complete, None),
            };
            w.report_alloc(&alloc.clone(), status, healthy);
        }
        Event::StopAlloc(nth) => {
            let live = w.live("web");
            if let Some(alloc) = live.get(nth % live.len().max(1)) {
                w.run(Command::StopAlloc { id: alloc.id.clone() });
            }
        }
        Event::Wait(seconds) => w.wait(*seconds),
        Event::Wake => wake(w),
        Event::FailDeployment => {
            let active = w.state.latest_deployment(&key("web")).filter(|d| d.is_active()).map(|d| d.id.clone());
            if let Some(id) = active {
                let status = floe_model::deployment::DeploymentStatus::Failed;
                w.run(Command::UpdateDeployment { id, status, description: "test".to_owned() });
            }
        }
    }
}

fn wake(w: &mut World) {
    let blocked: Vec<Evaluation> = w.state.evals().filter(|e| e.status == EvalStatus::Blocked).map(|e| (**e).clone()).collect();
    for eval in blocked {
        answer(w, &eval);
    }
}

/// Answers an evaluation and checks everything that must hold of the answer.
fn answer(w: &mut World, eval: &Evaluation) {
    let seed = w.seed();
    let decision = schedule(Request { view: &w.state, eval, now: w.now, seed });
    assert_eq!(decision, schedule(Request { view: &w.state, eval, now: w.now, seed }), "not deterministic");
    assert_eq!(decision, w.decide_with(eval, seed), "depends on what was remembered");
    check_plan(&w.state, &decision);
    for waits in decision.plan.on_commit.iter().filter(|e| e.status == EvalStatus::Blocked) {
        // Or the servers take every earlier change for one that it has not seen, and ask again for ever.
        assert_eq!(waits.snapshot_index, w.state.index());
    }
    let before = w.state.clone();
    // Panics when a node is rejected: a plan from the present state always fits it.
    w.apply(&decision.plan);
    check_state(&before, &w.state);
    let again_seed = w.seed();
    let again = schedule(Request { view: &w.state, eval, now: w.now, seed: again_seed });
    let words = |state, d| support::transcript(state, eval, d, w.now);
    let quiet = again.plan.is_empty() && again.plan.evals.is_empty();
    assert!(quiet, "not idempotent:\n{}after\n{}", words(&w.state, &again), words(&before, &decision));
}

/// Placements go where the job may go; the update keeps its pace.
fn check_plan(state: &State, decision: &Decision) {
    let plan = &decision.plan;
    let job = plan.job.as_deref();
    for p in plan.placements.iter().filter(|p| state.alloc(&p.id).is_none()) {
        let (job, node) = (job.unwrap(), state.node(&p.node_id).unwrap());
        let asked = job.task_groups[0].tasks[0].resources.as_ref().unwrap().devices.iter().filter_map(|d| d.count).sum::<u64>();
        let given: Vec<_> = p.allocated_resources.tasks["task"].devices.iter().flat_map(|d| &d.device_ids).collect();
        assert_eq!(given.len() as u64, asked, "other devices than were asked for");
        let well = |id: &String| node.node_resources.devices.iter().flat_map(|d| &d.instances).any(|i| i.id == *id && i.healthy);
        assert!(given.iter().all(|id| well(id)), "a device that is not there, or not well");
        assert!(node.is_schedulable(), "placed on a node that takes no work");
        assert!(job.datacenters.iter().any(|dc| dc == "*" || *dc == node.datacenter), "placed outside the job's datacenters");
        let constraints = &job.group(&p.task_group).unwrap().constraints;
        if constraints.iter().any(|c| c.l_target.contains("kernel")) {
            assert_eq!(node.attributes["kernel.name"], "linux", "placed against a constraint");
        }
    }
    if let Some(max) = job.filter(|j| j.job_type == JobType::Service).and_then(|j| j.task_groups[0].update.as_ref()?.max_parallel)
        && max > 0
    {
        let replaced = plan.stops.iter().filter(|s| s.description.starts_with("replaced by")).count();
        assert!(i64::try_from(replaced).unwrap() <= max, "{replaced} replaced at once, {max} allowed");
    }
    for stop in &plan.stops {
        assert!(state.alloc(&stop.id).is_some(), "stops what is not there");
    }
}

/// Nodes are not overfull; a group has no more than it wants, each index once; siblings keep apart where they must.
fn check_state(before: &State, state: &State) {
    for node in state.nodes() {
        // Counted anew, so that what the state keeps is not asked about itself.
        let count = |s: &State| {
            let mut usage = Usage::of_node(node);
            s.allocs_of_node(&node.id).filter(|a| !a.is_terminal()).for_each(|a| usage.add(a));
            usage
        };
        let (was, is) = (count(before), count(state));
        // A node that shrank may be overfull; nothing may make it worse.
        if is.check(node).is_err() {
            assert!(was.check(node).is_err() && is.count() <= was.count(), "made node {} overfull", node.id);
        }
    }
    let Some(job) = state.job(&key("web")).filter(|j| !j.stop) else { return };
    let live: Vec<_> = state.allocs_of_job(&key("web")).filter(|a| !a.is_terminal()).collect();
    let names: BTreeSet<_> = live.iter().map(|a| if job.job_type.is_system() { a.node_id.to_string() } else { a.name.clone() }).collect();
    assert_eq!(names.len(), live.len(), "a name is used twice: {:#?}", live.iter().map(|a| &a.name).collect::<Vec<_>>());
    if !job.job_type.is_system() {
        assert!(live.len() <= job.task_groups[0].count() as usize, "{} live, {} wanted", live.len(), job.task_groups[0].count());
    }
}

proptest! {
    #[test]
    fn every_decision_of_a_random_history_keeps_the_rules(
        seed in any::<u64>(),
        job_type in prop::sample::select(JobType::ALL),
        events in prop::collection::vec(any_event(), 1..40),
    ) {
        let mut w = World::with_nodes(3).seeded(seed).of_today();
        for event in &events {
            happen(&mut w, job_type, event);
            let mut left = 100;
            while let Some(eval) = w.due().first().cloned() {
                answer(&mut w, &eval);
                left -= 1;
                prop_assert!(left > 0, "the cluster does not come to rest");
            }
        }
    }

    #[test]
    fn indexes_are_the_lowest_when_nothing_fails(counts in prop::collection::vec(0..12i64, 1..8)) {
        let mut w = World::with_nodes(4);
        for count in counts {
            w.register(&support::service(count));
            w.settle();
            w.all_run("web", Some(true));
            w.settle();
            let mut indexes: Vec<_> = w.live("web").iter().map(|a| a.index().unwrap()).collect();
            indexes.sort_unstable();
            prop_assert_eq!(indexes, (0..u32::try_from(count).unwrap()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn giving_up_fails_the_evaluation_and_leaves_a_blocked_one() {
    let mut w = World::with_nodes(1);
    // 500 MHz each: eight of nine fit on the node.
    w.register(&support::service(9));
    let eval = w.due().first().cloned().unwrap();
    let wanted = w.decide(&eval).plan;
    let evals = floe_scheduler::give_up(&eval, &wanted, (1, 2));
    let [failed, blocked] = evals.as_slice() else { panic!("{evals:?}") };
    assert_eq!((failed.status, &failed.id, &failed.blocked_eval), (EvalStatus::Failed, &eval.id, &blocked.id));
    assert_eq!(failed.status_description, "gave up after 5 plans that met a changed cluster");
    assert_eq!(
        (blocked.status, blocked.triggered_by.as_str(), &blocked.previous_eval),
        (EvalStatus::Blocked, "max-plan-attempts", &eval.id)
    );
    assert_eq!((&blocked.queued_allocations, blocked.snapshot_index), (&[("g".to_owned(), 9)].into(), w.state.index()));
    let queued = |w: &World| w.state.job_summary(&key("web")).unwrap().summary["g"].queued;
    w.run(Command::UpdateEvals { evals });
    assert_eq!(queued(&w), 9, "nothing is placed yet");
    w.wake();
    assert_eq!((w.live("web").len(), queued(&w)), (8, 1));
}
