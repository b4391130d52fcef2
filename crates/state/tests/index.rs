//! What the state derives from its rows is what one finds by counting the rows anew, after any history.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{
    AllocClientStatus, Allocation, Deployment, Job, JobType, NodeId, NodeStatus,
    alloc::AllocDeploymentStatus,
    deployment::DeploymentState,
    job::{JobSummary, TaskGroupSummary},
};
use floe_state::{
    Command, Plan, State,
    command::{AllocUpdate, NodeStatusUpdate},
    fit::Usage,
    plan::Stop,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use support::{Machine, alloc, job, key, node};

const STATUSES: [AllocClientStatus; 5] = [
    AllocClientStatus::Pending,
    AllocClientStatus::Running,
    AllocClientStatus::Complete,
    AllocClientStatus::Failed,
    AllocClientStatus::Unknown,
];

/// What may happen; small numbers name nodes, jobs, ports and allocations that there are.
#[derive(Clone, Debug)]
enum Event {
    Node { n: u8, reserved: &'static str },
    Down(u8),
    Forget(u8),
    Register { j: u8, count: i64 },
    Deregister { j: u8, purge: bool },
    Place { j: u8, n: u8, port: u8, two: bool, deploy: bool },
    Replace { nth: usize, n: u8, cpu: i64 },
    Stop { nth: usize, lost: bool },
    Report { nth: usize, status: usize, healthy: Option<bool> },
    Collect,
}

fn any_event() -> impl Strategy<Value = Event> {
    let nth = || 0..40usize;
    prop_oneof![
        2 => (0..3u8, prop::sample::select(vec!["", "20001", "20000-20001,22"])).prop_map(|(n, reserved)| Event::Node { n, reserved }),
        1 => (0..3u8).prop_map(Event::Down),
        1 => (0..3u8).prop_map(Event::Forget),
        2 => (0..2u8, 0..4i64).prop_map(|(j, count)| Event::Register { j, count }),
        1 => (0..2u8, any::<bool>()).prop_map(|(j, purge)| Event::Deregister { j, purge }),
        6 => (0..2u8, 0..3u8, 0..4u8, any::<bool>(), any::<bool>())
            .prop_map(|(j, n, port, two, deploy)| Event::Place { j, n, port, two, deploy }),
        2 => (nth(), 0..3u8, 0..500i64).prop_map(|(nth, n, cpu)| Event::Replace { nth, n, cpu }),
        3 => (nth(), any::<bool>()).prop_map(|(nth, lost)| Event::Stop { nth, lost }),
        6 => (nth(), 0..STATUSES.len(), any::<Option<bool>>()).prop_map(|(nth, status, healthy)| Event::Report { nth, status, healthy }),
        1 => Just(Event::Collect),
    ]
}

fn some_job(j: u8, count: i64) -> Job {
    let mut j = job(&format!("j{j}"), if j == 0 { JobType::Service } else { JobType::Batch });
    j.task_groups[0].count = Some(count);
    j
}

fn nth(m: &Machine, nth: usize) -> Option<Allocation> {
    let all: Vec<_> = m.state.allocs().collect();
    all.get(nth % all.len().max(1)).map(|a| (***a).clone())
}

fn happen(m: &mut Machine, event: &Event) {
    let command = match event {
        Event::Node { n, reserved } => {
            let mut node = node(&format!("n{n}"));
            node.reserved_resources.networks.reserved_host_ports = (*reserved).to_owned();
            Command::RegisterNode { node: Box::new(node) }
        }
        Event::Down(n) => {
            let update = NodeStatusUpdate { id: format!("n{n}").into(), status: NodeStatus::Down, message: String::new() };
            Command::UpdateNodeStatus { updates: vec![update] }
        }
        Event::Forget(n) => Command::DeleteNodes { ids: vec![format!("n{n}").into()] },
        Event::Register { j, count } => return drop(m.register(some_job(*j, *count))),
        Event::Deregister { j, purge } => Command::DeregisterJob { key: key(&format!("j{j}")), purge: *purge },
        Event::Place { j, n, port, two, deploy } => return place(m, *j, *n, *port, *two, *deploy),
        Event::Replace { nth: i, n, cpu } => {
            let Some(mut row) = nth(m, *i) else { return };
            // The node may be another one: no scheduler says so, but no row may be left behind on the node before.
            row.node_id = format!("n{n}").into();
            row.allocated_resources.tasks.get_mut("server").unwrap().cpu.cpu_shares = *cpu;
            Command::Plan(Box::new(Plan { placements: vec![row], ..Plan::default() }))
        }
        Event::Stop { nth: i, lost } => {
            let Some(row) = nth(m, *i) else { return };
            let stop = Stop { id: row.id, client_status: lost.then_some(AllocClientStatus::Lost), ..Stop::default() };
            Command::Plan(Box::new(Plan { stops: vec![stop], ..Plan::default() }))
        }
        Event::Report { nth: i, status, healthy } => {
            let Some(row) = nth(m, *i) else { return };
            let health = AllocDeploymentStatus { healthy: *healthy, ..AllocDeploymentStatus::default() };
            let update = AllocUpdate {
                id: row.id,
                node_id: row.node_id,
                client_status: STATUSES[*status],
                deployment_status: Some(health),
                ..AllocUpdate::default()
            };
            Command::UpdateAllocs { updates: vec![update] }
        }
        Event::Collect => {
            let (evals, allocs) = (m.state.evals().map(|e| e.id.clone()).collect(), m.state.allocs().map(|a| a.id.clone()).collect());
            Command::Collect { evals, allocs, jobs: m.state.jobs().map(|j| j.key()).collect(), deployments: vec![] }
        }
    };
    m.run(command);
}

/// Places one or two allocations, for the job's deployment if wanted; it never ends, as it wants more than there will be.
fn place(m: &mut Machine, j: u8, n: u8, port: u8, two: bool, deploy: bool) {
    let (job, at) = (some_job(j, 1), m.state.index());
    let id = format!("d{j}");
    let deployment = (deploy && m.state.deployment(&id.as_str().into()).is_none()).then(|| Deployment {
        id: id.as_str().into(),
        namespace: "default".into(),
        job_id: job.id.clone(),
        task_groups: [("web".to_owned(), DeploymentState { desired_total: i64::MAX, ..DeploymentState::default() })].into(),
        ..Deployment::default()
    });
    let make = |i: u32| Allocation {
        node_id: format!("n{n}").into(),
        deployment_id: if deploy { id.as_str().into() } else { "".into() },
        ..alloc(&format!("a{at}-{i}"), &job, u32::from(port) + i)
    };
    let placements = (0..=u32::from(two)).map(make).collect();
    let job = m.state.job(&job.key()).map(|j| Box::new((**j).clone()));
    m.run(Command::Plan(Box::new(Plan { job, placements, deployment, ..Plan::default() })));
}

/// The usage of a node, counted from its allocations.
fn used(state: &State, id: &NodeId) -> Usage {
    let mut usage = state.node(id).map_or_else(Usage::default, |n| Usage::of_node(n));
    state.allocs().filter(|a| a.node_id == *id && !a.is_terminal()).for_each(|a| usage.add(a));
    usage
}

/// A job's summary without what is queued, counted from its allocations.
fn summed(state: &State, job: &Job) -> JobSummary {
    let mut groups: BTreeMap<String, TaskGroupSummary> = job.task_groups.iter().map(|g| (g.name.clone(), Default::default())).collect();
    let mut modify_index = job.modify_index;
    for alloc in state.allocs().filter(|a| a.job_id == job.id) {
        modify_index = modify_index.max(alloc.modify_index);
        let counts = groups.entry(alloc.task_group.clone()).or_default();
        match alloc.client_status {
            AllocClientStatus::Pending => counts.starting += 1,
            AllocClientStatus::Running => counts.running += 1,
            AllocClientStatus::Complete => counts.complete += 1,
            AllocClientStatus::Failed => counts.failed += 1,
            AllocClientStatus::Lost => counts.lost += 1,
            AllocClientStatus::Unknown => counts.unknown += 1,
        }
    }
    JobSummary {
        job_id: job.id.clone(),
        namespace: job.namespace.clone(),
        summary: groups,
        create_index: job.create_index,
        modify_index,
        ..JobSummary::default()
    }
}

fn check(state: &State) {
    for id in ["n0", "n1", "n2"].map(NodeId::from) {
        assert_eq!(state.usage_of_node(&id).cloned().unwrap_or_default(), used(state, &id), "usage of {id}");
        let mut anew: Vec<_> = state.allocs().filter(|a| a.node_id == id).map(|a| a.id.clone()).collect();
        anew.sort();
        assert_eq!(state.allocs_of_node(&id).map(|a| a.id.clone()).collect::<Vec<_>>(), anew, "allocations of {id}");
    }
    for d in state.deployments().filter(|d| d.is_active()) {
        let healthy = state.allocs().filter(|a| a.deployment_id == d.id && a.is_healthy() && !a.is_terminal()).count();
        assert_eq!(usize::try_from(d.task_groups["web"].healthy_allocs), Ok(healthy), "healthy of {}", d.id);
    }
    for job in state.jobs() {
        assert_eq!(state.job_summary(&job.key()), Some(summed(state, job)));
        assert_eq!(state.allocs_of_job(&job.key()).count(), state.allocs().filter(|a| a.job_id == job.id).count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_derived_is_what_counting_anew_finds(events in prop::collection::vec(any_event(), 0..60)) {
        let mut m = Machine::default();
        for n in 0..2 {
            happen(&mut m, &Event::Node { n, reserved: "" });
            happen(&mut m, &Event::Register { j: n, count: 1 });
        }
        for event in &events {
            happen(&mut m, event);
            check(&m.state);
        }
        let read = State::decode(&m.state.encode()).unwrap();
        check(&read);
        assert_eq!(read.table_digests(), m.state.table_digests());
        assert_eq!(read.digest(), m.state.digest());
    }
}
