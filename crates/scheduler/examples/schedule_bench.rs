//! Measures placements per second on one core, and how the cost of one placement grows with nodes and with allocations.
//!
//! `cargo run --release -p floe-scheduler --example schedule_bench`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_wrap, clippy::panic)]

use floe_model::{
    Evaluation, Job, JobType, Node, Task, TaskGroup, Timestamp,
    canonical::canonicalize,
    group::{Constraint, Spread},
    node::DriverInfo,
    resources::Resources,
};
use floe_scheduler::{Request, Scheduler};
use floe_state::{Command, Entry, Outcome, Stamp, State, command::RegisterJob};
use std::time::Duration;

/// How long each measurement runs at least.
const MEASURE: Duration = Duration::from_millis(700);

struct Cluster {
    state: State,
    scheduler: Scheduler,
    seed: u64,
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        let mut cluster = Self { state: State::default(), scheduler: Scheduler::default(), seed: 0 };
        let mut ids = floe_state::ids::IdSource::new((1, 1));
        for i in 0..nodes {
            let node = node(i, &ids.next_uuid());
            cluster.run(Command::RegisterNode { node: Box::new(node) });
        }
        cluster
    }

    fn run(&mut self, command: Command) -> Outcome {
        self.seed += 1;
        let entry = Entry { stamp: Stamp { now: Timestamp(1_700_000_000_000_000_000), seed: (self.seed, 7) }, command };
        self.state.apply(self.state.index() + 1, &entry).outcome
    }

    fn register(&mut self, job: Job) -> Evaluation {
        let mut job = job;
        canonicalize(&mut job);
        let request = RegisterJob { job: Box::new(job), submission: None, enforce_index: None, eval_priority: None };
        match self.run(Command::RegisterJob(request)) {
            Outcome::Job { eval_id, .. } => (**self.state.eval(&eval_id).unwrap()).clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Schedules and does not apply: the same work again and again.
    fn schedule(&mut self, eval: &Evaluation) -> floe_scheduler::Decision {
        self.seed += 1;
        let request = Request { view: &self.state, eval, now: Timestamp(1_700_000_000_000_000_000), seed: (self.seed, 8) };
        self.scheduler.schedule(request)
    }

    /// Fills the cluster with `allocs` allocations of jobs of 500.
    fn fill(&mut self, allocs: usize) {
        let first = self.state.jobs().count();
        for i in 0..allocs.div_ceil(500) {
            let count = (allocs - i * 500).min(500);
            let eval = self.register(job(&format!("fill-{}", first + i), count, 1, 1));
            let decision = self.schedule(&eval);
            assert_eq!(decision.plan.placements.len(), count);
            self.run(Command::Plan(Box::new(decision.plan)));
        }
    }

    /// Seconds per placement, and what was measured.
    fn measure(&mut self, eval: &Evaluation, count: usize) -> f64 {
        assert_eq!(self.schedule(eval).plan.placements.len(), count);
        let start = cpu_time();
        let mut runs = 0;
        while cpu_time() - start < MEASURE {
            std::hint::black_box(self.schedule(eval));
            runs += 1;
        }
        (cpu_time() - start).as_secs_f64() / f64::from(runs) / count as f64
    }
}

/// Time that this thread spent on a processor, so that a busy machine does not count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

fn node(i: usize, id: &str) -> Node {
    let mut n = Node { id: id.into(), name: format!("node-{i}"), datacenter: format!("dc{}", i % 3), ..Node::default() };
    n.node_resources.cpu.cpu_shares = 64_000;
    n.node_resources.memory.memory_mb = 256_000;
    n.node_resources.disk.disk_mb = 4_000_000;
    n.attributes.insert("unique.network.ip-address".to_owned(), format!("10.{}.{}.{}", i >> 16, (i >> 8) & 255, i & 255));
    n.attributes.insert("kernel.name".to_owned(), "linux".to_owned());
    for a in 0..40 {
        n.attributes.insert(format!("attribute.number.{a}"), format!("{}", i % (a + 1)));
    }
    n.drivers.insert("exec".to_owned(), DriverInfo { detected: true, healthy: true, ..DriverInfo::default() });
    n
}

fn job(id: &str, count: usize, cpu: i64, memory_mb: i64) -> Job {
    let resources = Resources { cpu: Some(cpu), memory_mb: Some(memory_mb), ..Resources::default() };
    let task = Task { name: "task".to_owned(), driver: "exec".to_owned(), resources: Some(resources), ..Task::default() };
    let disk = floe_model::group::EphemeralDisk { size_mb: Some(10), ..floe_model::group::EphemeralDisk::default() };
    let linux = Constraint { l_target: "${attr.kernel.name}".to_owned(), r_target: "linux".to_owned(), operand: "=".to_owned() };
    let group = TaskGroup {
        name: "g".to_owned(),
        count: Some(count as i64),
        tasks: vec![task],
        ephemeral_disk: Some(disk),
        constraints: vec![linux],
        ..TaskGroup::default()
    };
    Job {
        id: id.into(),
        name: id.to_owned(),
        namespace: "default".into(),
        job_type: JobType::Service,
        task_groups: vec![group],
        ..Job::default()
    }
}

fn spread(mut job: Job) -> Job {
    job.spreads.push(Spread { attribute: "${node.datacenter}".to_owned(), weight: Some(50), ..Spread::default() });
    job
}

/// The exponent `b` of cost ~ size^b through the first and the last point.
fn exponent(points: &[(usize, f64)]) -> f64 {
    match (points.first(), points.last()) {
        (Some((n0, c0)), Some((n1, c1))) => (c1 / c0).ln() / (*n1 as f64 / *n0 as f64).ln(),
        _ => 0.0,
    }
}

fn line(label: &str, seconds: f64) {
    println!("{label:<58} {:>9.2} us/placement {:>10.0} placements/s", seconds * 1e6, 1.0 / seconds);
}

fn main() {
    for (what, count, spreads) in [("service of 100", 100, false), ("service of 1", 1, false), ("service of 100, spread", 100, true)] {
        println!("# {what}, empty cluster, by nodes");
        let mut points = Vec::new();
        for nodes in [100, 1000, 10_000] {
            let mut cluster = Cluster::new(nodes);
            let j = job("bench", count, 100, 128);
            let eval = cluster.register(if spreads { spread(j) } else { j });
            let cost = cluster.measure(&eval, count);
            line(&format!("{nodes} nodes"), cost);
            points.push((nodes, cost));
        }
        println!("cost ~ nodes^{:.3}\n", exponent(&points));
    }
    for (what, count) in [("service of 100", 100), ("service of 1", 1)] {
        println!("# {what}, 1000 nodes, by allocations that run already");
        let mut points = Vec::new();
        let mut cluster = Cluster::new(1000);
        let mut filled = 0;
        for allocs in [1000, 10_000, 100_000] {
            cluster.fill(allocs - filled);
            filled = allocs;
            let eval = cluster.register(job(&format!("bench-{allocs}"), count, 100, 128));
            let cost = cluster.measure(&eval, count);
            line(&format!("{allocs} allocations"), cost);
            points.push((allocs, cost));
        }
        println!("cost ~ allocations^{:.3}\n", exponent(&points));
    }
}
