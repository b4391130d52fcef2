//! Small builders for the tests of the state machine.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub)]

use floe_model::{
    AllocClientStatus, Allocation, Job, JobKey, JobType, Node, Task, TaskGroup, TaskState, Timestamp,
    alloc::TaskPhase,
    network::PortMapping,
    resources::{AllocatedResources, AllocatedTaskResources},
    service::Service,
};
use floe_state::{
    Applied, Command, Entry, Outcome, Plan, Stamp, State,
    command::{AllocUpdate, RegisterJob},
};

pub const NODE: &str = "11111111-1111-4111-8111-111111111111";

/// A state with its own clock and seeds: one step a command.
#[derive(Clone, Default)]
pub struct Machine {
    pub state: State,
    pub log: Vec<(u64, Entry)>,
}

impl Machine {
    pub fn run(&mut self, command: Command) -> Applied {
        let index = self.state.log_index() + 1;
        let stamp = Stamp { now: Timestamp(1_700_000_000_000_000_000 + index.cast_signed() * 1_000_000_000), seed: (index, 7) };
        let entry = Entry { stamp, command };
        self.log.push((index, entry.clone()));
        self.state.apply(index, &entry)
    }
    pub fn register(&mut self, job: Job) -> Outcome {
        self.run(Command::RegisterJob(RegisterJob { job: Box::new(job), submission: None, enforce_index: None, eval_priority: None }))
            .outcome
    }
    /// A node, and jobs with a running allocation each.
    pub fn busy(jobs: usize) -> Self {
        let mut m = Machine::with_node();
        m.run(Command::SetClusterVersion { version: 1 });
        for i in 0..jobs {
            let j = job(&format!("j{i}"), JobType::Service);
            m.register(j.clone());
            m.place(vec![alloc(&format!("a{i}"), &j, u32::try_from(i).unwrap())], &j);
            m.report(&format!("a{i}"), AllocClientStatus::Running);
        }
        m
    }
    pub fn with_node() -> Self {
        let mut m = Machine::default();
        m.run(Command::RegisterNode { node: Box::new(node(NODE)) });
        m
    }
    pub fn place(&mut self, allocs: Vec<Allocation>, job: &Job) -> Outcome {
        let job = self.state.job(&job.key()).map(|j| Box::new((**j).clone()));
        self.run(Command::Plan(Box::new(Plan { job, placements: allocs, ..Plan::default() }))).outcome
    }
    pub fn report(&mut self, id: &str, status: AllocClientStatus) -> Outcome {
        let phase = match status {
            AllocClientStatus::Running => TaskPhase::Running,
            AllocClientStatus::Pending => TaskPhase::Pending,
            _ => TaskPhase::Dead,
        };
        let task = TaskState { state: phase, ..TaskState::default() };
        let update = AllocUpdate {
            id: id.into(),
            node_id: NODE.into(),
            client_status: status,
            task_states: [("server".to_owned(), task)].into(),
            ..AllocUpdate::default()
        };
        self.run(Command::UpdateAllocs { updates: vec![update] }).outcome
    }
}

pub fn node(id: &str) -> Node {
    let mut n = Node { id: id.into(), name: format!("node-{id}"), datacenter: "dc1".to_owned(), ..Node::default() };
    n.node_resources.cpu.cpu_shares = 1000;
    n.node_resources.memory.memory_mb = 1000;
    n.node_resources.disk.disk_mb = 10_000;
    n.attributes.insert("unique.network.ip-address".to_owned(), "10.0.0.1".to_owned());
    n
}

pub fn job(id: &str, job_type: JobType) -> Job {
    let task = Task { name: "server".to_owned(), driver: "exec".to_owned(), ..Task::default() };
    let service = Service { name: format!("{id}-web"), provider: "nomad".to_owned(), port_label: "http".to_owned(), ..Service::default() };
    let group = TaskGroup { name: "web".to_owned(), count: Some(1), tasks: vec![task], services: vec![service], ..TaskGroup::default() };
    Job {
        id: id.into(),
        name: id.to_owned(),
        namespace: "default".into(),
        job_type,
        priority: Some(50),
        task_groups: vec![group],
        ..Job::default()
    }
}

pub fn alloc(id: &str, job: &Job, index: u32) -> Allocation {
    let mut held = AllocatedTaskResources::default();
    held.cpu.cpu_shares = 400;
    held.memory.memory_mb = 100;
    let mut resources = AllocatedResources { tasks: [("server".to_owned(), held)].into(), ..AllocatedResources::default() };
    resources.shared.ports =
        vec![PortMapping { label: "http".to_owned(), value: 20_000 + i64::from(index), to: 80, host_ip: "10.0.0.1".to_owned() }];
    Allocation {
        id: id.into(),
        name: floe_model::ids::alloc_name(&job.id, "web", index),
        namespace: job.namespace.clone(),
        job_id: job.id.clone(),
        task_group: "web".to_owned(),
        node_id: NODE.into(),
        allocated_resources: resources,
        ..Allocation::default()
    }
}

pub fn key(id: &str) -> JobKey {
    JobKey::new("default", id)
}
