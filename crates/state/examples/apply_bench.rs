//! Measures what one apply costs, and how that grows with the allocations that the state holds.
//!
//! `cargo run --release -p floe-state --example apply_bench [LARGEST]`: sizes go from 1,000 to LARGEST (1,000,000) in steps of ten.
//! Every apply works on a clone of the state, as in a server, where readers hold the state before it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_wrap, clippy::panic)]

use floe_model::{
    AllocClientStatus, AllocId, Allocation, Deployment, Evaluation, Job, JobType, Node, NodeId, Task, TaskGroup, TaskState, Timestamp,
    alloc::{AllocDeploymentStatus, TaskPhase},
    deployment::DeploymentState,
    network::PortMapping,
    resources::{AllocatedResources, AllocatedTaskResources},
};
use floe_state::{
    Command, Entry, Plan, Stamp, State,
    command::{AllocUpdate, RegisterJob},
    ids::IdSource,
    plan::Stop,
};
use std::time::Duration;

const NODES: usize = 1000;
/// Allocations of one job, where there are many jobs.
const PER_JOB: usize = 500;
/// How much one command holds: reports, placements.
const BATCH: usize = 100;
/// How long each measurement runs at least.
const MEASURE: Duration = Duration::from_millis(500);
/// A step through ids that visits them all in no order that the state knows.
const STRIDE: usize = 7919;

struct Bench {
    state: State,
    nodes: Vec<NodeId>,
    allocs: Vec<(AllocId, NodeId)>,
    ids: IdSource,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { state: State::default(), nodes: Vec::new(), allocs: Vec::new(), ids: IdSource::new((1, 1)) };
        for i in 0..NODES {
            let node = node(i, &bench.ids.next_uuid());
            bench.nodes.push(node.id.clone());
            bench.run(Command::RegisterNode { node: Box::new(node) });
        }
        bench
    }

    fn run(&mut self, command: Command) {
        let entry = entry(self.state.index(), command);
        self.state.apply(self.state.index() + 1, &entry);
    }

    /// Adds `count` allocations of jobs of `per_job`; each job is on one node, so that filling is quick.
    fn fill(&mut self, count: usize, per_job: usize, job_type: JobType) {
        for first in (0..count).step_by(per_job) {
            let at = self.allocs.len();
            let job = self.register(&format!("job-{at}"), job_type);
            let node = self.nodes.get(at / per_job % NODES).unwrap().clone();
            for start in (0..per_job.min(count - first)).step_by(PER_JOB) {
                let n = PER_JOB.min(per_job.min(count - first) - start);
                let placements: Vec<_> = (0..n).map(|i| self.alloc(&job, &node, start + i)).collect();
                self.allocs.extend(placements.iter().map(|p| (p.id.clone(), p.node_id.clone())));
                self.run(Command::Plan(Box::new(Plan { job: Some(Box::new(job.clone())), placements, ..Plan::default() })));
            }
        }
    }

    fn register(&mut self, id: &str, job_type: JobType) -> Job {
        let job = job(id, job_type);
        let key = job.key();
        self.run(Command::RegisterJob(RegisterJob { job: Box::new(job), submission: None, enforce_index: None, eval_priority: None }));
        // Answered: nothing is open.
        let evals = self.state.evals_of_job(&key).map(|e| done(e)).collect();
        self.run(Command::UpdateEvals { evals });
        (**self.state.job(&key).unwrap()).clone()
    }

    fn alloc(&mut self, job: &Job, node: &NodeId, index: usize) -> Allocation {
        Allocation { id: self.ids.next_uuid().into(), ..alloc(job, node, index) }
    }

    /// `count` allocations that are there, spread over all.
    fn some(&self, turn: usize, count: usize) -> Vec<&(AllocId, NodeId)> {
        (0..count).filter_map(|i| self.allocs.get((turn * count + i) * STRIDE % self.allocs.len())).collect()
    }

    /// Seconds that one of `commands` costs, each applied to a clone of the state.
    fn measure(&self, commands: &[Command]) -> f64 {
        let entries: Vec<Entry> = commands.iter().map(|c| entry(self.state.index(), c.clone())).collect();
        let start = cpu_time();
        let mut runs = 0;
        while cpu_time() - start < MEASURE {
            for entry in &entries {
                let mut state = self.state.clone();
                std::hint::black_box(state.apply(self.state.index() + 1, entry));
                runs += 1;
            }
        }
        (cpu_time() - start).as_secs_f64() / f64::from(runs)
    }

    fn reports(&self, batch: usize, status: AllocClientStatus, healthy: Option<bool>) -> Vec<Command> {
        let of = |turn| self.some(turn, batch).into_iter().map(|(id, node)| report(id, node, status, healthy)).collect();
        (0..64).map(|turn| Command::UpdateAllocs { updates: of(turn) }).collect()
    }

    /// Plans that place a job of [`BATCH`] on nodes of all kinds, and plans that stop as many.
    fn placements(&mut self) -> Vec<Command> {
        let job = self.register(&format!("next-{}", self.allocs.len()), JobType::Service);
        let plan = |this: &mut Self, turn: usize| {
            let nodes: Vec<_> = (0..BATCH).map(|i| this.nodes.get((turn * BATCH + i) * 31 % NODES).unwrap().clone()).collect();
            let placements = nodes.iter().enumerate().map(|(i, node)| this.alloc(&job, node, i)).collect();
            Command::Plan(Box::new(Plan { job: Some(Box::new(job.clone())), placements, ..Plan::default() }))
        };
        (0..16).map(|turn| plan(self, turn)).collect()
    }

    fn stops(&self) -> Vec<Command> {
        let stop = |id: &AllocId| Stop { id: id.clone(), description: "stopped".to_owned(), ..Stop::default() };
        let plan = |turn| Plan { stops: self.some(turn, BATCH).into_iter().map(|(id, _)| stop(id)).collect(), ..Plan::default() };
        (0..16).map(|turn| Command::Plan(Box::new(plan(turn)))).collect()
    }

    fn begin_deployment(&mut self) {
        let job = self.state.jobs().next().unwrap().clone();
        let state = DeploymentState { desired_total: i64::MAX, ..DeploymentState::default() };
        let deployment = Deployment {
            id: "deployment".into(),
            namespace: job.namespace.clone(),
            job_id: job.id.clone(),
            task_groups: [("g".to_owned(), state)].into(),
            ..Deployment::default()
        };
        let placements = self
            .state
            .allocs()
            .map(|a| Allocation { job: None, deployment_id: deployment.id.clone(), ..(**a).clone() })
            .collect::<Vec<_>>();
        self.run(Command::Plan(Box::new(Plan { deployment: Some(deployment), ..Plan::default() })));
        for part in placements.chunks(PER_JOB) {
            self.run(Command::Plan(Box::new(Plan { placements: part.to_vec(), ..Plan::default() })));
        }
    }
}

fn entry(index: u64, command: Command) -> Entry {
    Entry { stamp: Stamp { now: Timestamp(1_700_000_000_000_000_000), seed: (index, 7) }, command }
}

fn done(eval: &Evaluation) -> Evaluation {
    Evaluation { status: floe_model::EvalStatus::Complete, ..eval.clone() }
}

fn node(i: usize, id: &str) -> Node {
    let mut n = Node { id: id.into(), name: format!("node-{i}"), datacenter: "dc1".to_owned(), ..Node::default() };
    n.node_resources.cpu.cpu_shares = 100_000_000;
    n.node_resources.memory.memory_mb = 100_000_000;
    n.node_resources.disk.disk_mb = 100_000_000;
    n
}

fn job(id: &str, job_type: JobType) -> Job {
    let task = Task { name: "task".to_owned(), driver: "exec".to_owned(), ..Task::default() };
    let group = TaskGroup { name: "g".to_owned(), count: Some(1), tasks: vec![task], ..TaskGroup::default() };
    Job { id: id.into(), name: id.to_owned(), namespace: "default".into(), job_type, task_groups: vec![group], ..Job::default() }
}

/// One with a host port of its own, among the first allocations of a node.
fn alloc(job: &Job, node: &NodeId, index: usize) -> Allocation {
    let mut held = AllocatedTaskResources::default();
    (held.cpu.cpu_shares, held.memory.memory_mb) = (1, 1);
    let mut resources = AllocatedResources { tasks: [("task".to_owned(), held)].into(), ..AllocatedResources::default() };
    // A port on an address of its own: none clashes with any other.
    let host_ip = format!("{}:{index}", job.id);
    resources.shared.ports =
        vec![PortMapping { label: "http".to_owned(), value: 20_000 + (index % 10_000).cast_signed() as i64, to: 80, host_ip }];
    Allocation {
        name: floe_model::ids::alloc_name(&job.id, "g", u32::try_from(index).unwrap()),
        namespace: job.namespace.clone(),
        job_id: job.id.clone(),
        task_group: "g".to_owned(),
        node_id: node.clone(),
        allocated_resources: resources,
        ..Allocation::default()
    }
}

fn report(id: &AllocId, node: &NodeId, status: AllocClientStatus, healthy: Option<bool>) -> AllocUpdate {
    let phase = if status.is_terminal() { TaskPhase::Dead } else { TaskPhase::Running };
    AllocUpdate {
        id: id.clone(),
        node_id: node.clone(),
        client_status: status,
        task_states: [("task".to_owned(), TaskState { state: phase, ..TaskState::default() })].into(),
        deployment_status: healthy.map(|h| AllocDeploymentStatus { healthy: Some(h), ..AllocDeploymentStatus::default() }),
        ..AllocUpdate::default()
    }
}

/// Time that this thread spent on a processor, so that a busy machine does not count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// The exponent `b` of cost ~ size^b through the first and the last point.
fn exponent(points: &[(usize, f64)]) -> f64 {
    match (points.first(), points.last()) {
        (Some((n0, c0)), Some((n1, c1))) => (c1 / c0).ln() / (*n1 as f64 / *n0 as f64).ln(),
        _ => 0.0,
    }
}

fn series(title: &str, sizes: &[usize], per_item: usize, cost: impl Fn(usize) -> f64) {
    println!("# {title}");
    let mut points = Vec::new();
    for size in sizes {
        let seconds = cost(*size) / per_item as f64;
        println!("{size:>9} allocations {:>10.2} us each", seconds * 1e6);
        points.push((*size, seconds));
    }
    println!("cost ~ allocations^{:.3}\n", exponent(&points));
}

fn filled(size: usize, per_job: usize, job_type: JobType) -> Bench {
    let mut bench = Bench::new();
    bench.fill(size, per_job, job_type);
    bench
}

fn main() {
    let largest: usize = std::env::args().nth(1).map_or(1_000_000, |n| n.parse().unwrap());
    let sizes: Vec<usize> = std::iter::successors(Some(1000), |n| Some(n * 10)).take_while(|n| *n <= largest).collect();
    // Quadratic where something is wrong: a lesser largest size shows that as well.
    let one_job: Vec<usize> = sizes.iter().copied().filter(|n| *n <= 100_000).collect();
    let running = AllocClientStatus::Running;
    let many = |size| filled(size, PER_JOB, JobType::Service);
    let single = |size, job_type| filled(size, size, job_type);

    let reports = |bench: Bench, batch| bench.measure(&bench.reports(batch, running, None));
    series("a report alone, jobs of 500", &sizes, 1, |n| reports(many(n), 1));
    series("100 reports in a command, jobs of 500", &sizes, BATCH, |n| reports(many(n), BATCH));
    series("a placement, 100 in a plan on as many nodes", &sizes, BATCH, |n| {
        let mut bench = many(n);
        let plans = bench.placements();
        bench.measure(&plans)
    });
    series("a stop, 100 in a plan", &sizes, BATCH, |n| {
        let bench = many(n);
        bench.measure(&bench.stops())
    });
    series("a report alone, all of one batch job, the others ended", &one_job, 1, |n| {
        let mut bench = single(n, JobType::Batch);
        for part in bench.allocs.clone().chunks(PER_JOB) {
            let ended = part.iter().map(|(id, node)| report(id, node, AllocClientStatus::Complete, None)).collect();
            bench.run(Command::UpdateAllocs { updates: ended });
        }
        // New ones, with the greatest ids that there can be.
        let job = (**bench.state.jobs().next().unwrap()).clone();
        let node = bench.nodes.first().unwrap().clone();
        let last = Allocation { id: "ffffffff-ffff-4fff-8fff-ffffffffffff".into(), ..alloc(&job, &node, n) };
        let plan = Plan { job: Some(Box::new(job)), placements: vec![last.clone()], ..Plan::default() };
        bench.run(Command::Plan(Box::new(plan)));
        bench.measure(&[Command::UpdateAllocs { updates: vec![report(&last.id, &node, AllocClientStatus::Complete, None)] }])
    });
    series("a report of health alone, all of one deployment", &one_job, 1, |n| {
        let mut bench = single(n, JobType::Service);
        bench.begin_deployment();
        bench.measure(&bench.reports(1, running, Some(true)))
    });
    series("a summary of a job", &one_job, 1, |n| {
        let bench = single(n, JobType::Service);
        let key = bench.state.jobs().next().unwrap().key();
        let start = cpu_time();
        let mut runs = 0;
        while cpu_time() - start < MEASURE {
            std::hint::black_box(bench.state.job_summary(&key));
            runs += 1;
        }
        (cpu_time() - start).as_secs_f64() / f64::from(runs)
    });
}
