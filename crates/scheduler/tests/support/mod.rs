//! A small cluster that is driven by hand: nodes, jobs and reports go in, plans come out as words.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, unreachable_pub)]

use floe_model::{
    AllocClientStatus, AllocDesiredStatus, Allocation, EvalStatus, Evaluation, Job, JobKey, JobType, Nanos, Node, NodeStatus, Task,
    TaskGroup, TaskState, Timestamp,
    alloc::{AllocDeploymentStatus, TaskPhase},
    canonical::canonicalize,
    group::{Constraint, UpdateStrategy},
    network::{NetworkResource, Port},
    node::{Attribute, DriverInfo, NodeDevice, NodeDeviceResource},
    resources::{RequestedDevice, Resources},
};
use floe_scheduler::{Decision, Request, Scheduler, explain};
use floe_state::{
    Command, Entry, Outcome, Plan, Stamp, State,
    command::{AllocUpdate, CLUSTER_VERSION, NodeStatusUpdate, RegisterJob},
};
use std::{fmt::Write, sync::Arc};

const SECOND: i64 = 1_000_000_000;

/// A cluster with its own clock.
pub struct World {
    pub state: State,
    pub now: Timestamp,
    scheduler: Scheduler,
    seed: u64,
    /// What happened, in words.
    pub log: String,
}

impl Default for World {
    fn default() -> Self {
        Self {
            state: State::default(),
            now: Timestamp(1_700_000_000 * SECOND),
            scheduler: Scheduler::default(),
            seed: 0,
            log: String::new(),
        }
    }
}

impl World {
    /// A cluster with `n` equal nodes `n1`, `n2`, ...
    pub fn with_nodes(n: usize) -> Self {
        let mut world = World::default();
        for i in 1..=n {
            world.add(node(i));
        }
        world
    }

    pub fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed << 32;
        self
    }

    pub fn seed(&mut self) -> (u64, u64) {
        self.seed += 1;
        (self.seed, 42)
    }

    /// All servers know all that this build does.
    pub fn of_today(mut self) -> Self {
        self.run(Command::SetClusterVersion { version: CLUSTER_VERSION });
        self
    }

    pub fn run(&mut self, command: Command) -> Outcome {
        let entry = Entry { stamp: Stamp { now: self.now, seed: self.seed() }, command };
        let index = self.state.index() + 1;
        self.state.apply(index, &entry).outcome
    }

    pub fn wait(&mut self, seconds: i64) {
        self.now = self.now.plus(Nanos::from_secs(seconds));
    }

    pub fn say(&mut self, what: &str) {
        writeln!(self.log, "## {what}").unwrap();
    }

    pub fn add(&mut self, node: Node) {
        self.run(Command::RegisterNode { node: Box::new(node) });
    }

    pub fn node_status(&mut self, id: &str, status: NodeStatus) {
        let update = NodeStatusUpdate { id: id.into(), status, message: String::new() };
        self.run(Command::UpdateNodeStatus { updates: vec![update] });
    }

    pub fn register(&mut self, job: &Job) {
        let mut job = job.clone();
        canonicalize(&mut job);
        let request = RegisterJob { job: Box::new(job), submission: None, enforce_index: None, eval_priority: None };
        self.run(Command::RegisterJob(request));
    }

    pub fn deregister(&mut self, id: &str, purge: bool) {
        self.run(Command::DeregisterJob { key: key(id), purge });
    }

    pub fn evaluate(&mut self, id: &str) {
        self.run(Command::EvaluateJob { key: key(id) });
    }

    /// The newest allocation of that name that is not over.
    pub fn find(&self, name: &str) -> Arc<Allocation> {
        let live = |a: &&Arc<Allocation>| a.name == name && !a.is_terminal();
        self.state.allocs().filter(live).max_by_key(|a| a.create_index).unwrap_or_else(|| panic!("no live allocation {name}")).clone()
    }

    pub fn live(&self, id: &str) -> Vec<Arc<Allocation>> {
        self.state.allocs_of_job(&key(id)).filter(|a| !a.is_terminal()).cloned().collect()
    }

    pub fn report(&mut self, name: &str, status: AllocClientStatus) {
        let alloc = self.find(name);
        self.report_alloc(&alloc, status, None);
    }

    pub fn report_health(&mut self, name: &str, healthy: bool) {
        let alloc = self.find(name);
        self.report_alloc(&alloc, AllocClientStatus::Running, Some(healthy));
    }

    pub fn report_alloc(&mut self, alloc: &Allocation, status: AllocClientStatus, healthy: Option<bool>) {
        let dead = status.is_terminal();
        let state = TaskState {
            state: if dead { TaskPhase::Dead } else { TaskPhase::Running },
            failed: status == AllocClientStatus::Failed,
            finished_at: if dead { self.now } else { Timestamp::NEVER },
            ..TaskState::default()
        };
        let update = AllocUpdate {
            id: alloc.id.clone(),
            node_id: alloc.node_id.clone(),
            client_status: status,
            task_states: [("task".to_owned(), state)].into(),
            deployment_status: healthy.map(|h| AllocDeploymentStatus {
                healthy: Some(h),
                timestamp: self.now,
                ..AllocDeploymentStatus::default()
            }),
            ..AllocUpdate::default()
        };
        self.run(Command::UpdateAllocs { updates: vec![update] });
    }

    /// All live allocations of a job run (and are healthy, if wanted).
    pub fn all_run(&mut self, id: &str, healthy: Option<bool>) {
        for alloc in self.live(id) {
            self.report_alloc(&alloc, AllocClientStatus::Running, healthy);
        }
    }

    /// Evaluations whose time has come, oldest first.
    pub fn due(&self) -> Vec<Arc<Evaluation>> {
        let due = |e: &&Arc<Evaluation>| e.status == EvalStatus::Pending && e.wait_until <= self.now;
        let mut evals: Vec<_> = self.state.evals().filter(due).cloned().collect();
        evals.sort_by_key(|e| (e.create_index, e.id.clone()));
        evals
    }

    pub fn decide(&mut self, eval: &Evaluation) -> Decision {
        let seed = self.seed();
        self.decide_with(eval, seed)
    }

    /// Decides with a scheduler that remembers what it has seen so far.
    pub fn decide_with(&mut self, eval: &Evaluation, seed: (u64, u64)) -> Decision {
        self.scheduler.schedule(Request { view: &self.state, eval, now: self.now, seed })
    }

    pub fn apply(&mut self, plan: &Plan) {
        match self.run(Command::Plan(Box::new(plan.clone()))) {
            Outcome::Plan { rejected } if rejected.is_empty() => {}
            other => panic!("a plan from this very state was not applied: {other:?}"),
        }
    }

    /// Answers one evaluation and notes what was done.
    pub fn answer(&mut self, eval: &Evaluation) {
        let decision = self.decide(eval);
        let words = transcript(&self.state, eval, &decision, self.now);
        self.log.push_str(&words);
        self.apply(&decision.plan);
    }

    /// Answers every evaluation that is due, until there is none.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            let Some(eval) = self.due().first().cloned() else { return };
            self.answer(&eval);
        }
        panic!("the cluster does not come to rest:\n{}", self.log);
    }

    /// Blocked evaluations are looked at again, as after a change of the cluster.
    pub fn wake(&mut self) {
        let blocked: Vec<_> = self.state.evals().filter(|e| e.status == EvalStatus::Blocked).cloned().collect();
        for eval in blocked {
            self.answer(&eval);
        }
    }

    /// Forgets the log: what follows is what a test is about.
    pub fn quiet(&mut self) {
        self.log.clear();
    }

    /// What is there now.
    pub fn show(&mut self, id: &str) {
        let mut rows: Vec<String> = self
            .state
            .allocs_of_job(&key(id))
            .map(|a| format!("{} v{} on {}: {} {}", a.name, a.job_version(), a.node_id, a.desired_status, a.client_status))
            .collect();
        rows.sort();
        for row in rows {
            writeln!(self.log, "= {row}").unwrap();
        }
        for d in self.state.deployments_of_job(&key(id)) {
            writeln!(self.log, "= deployment of v{}: {} ({})", d.job_version, d.status, d.status_description).unwrap();
        }
    }
}

pub fn key(id: &str) -> JobKey {
    JobKey::new("default", id)
}

pub fn node(i: usize) -> Node {
    let mut n = Node { id: format!("n{i}").into(), name: format!("node-{i}"), datacenter: "dc1".to_owned(), ..Node::default() };
    n.node_resources.cpu.cpu_shares = 4000;
    n.node_resources.memory.memory_mb = 8000;
    n.node_resources.disk.disk_mb = 100_000;
    n.attributes.insert("unique.network.ip-address".to_owned(), format!("10.0.0.{i}"));
    n.attributes.insert("kernel.name".to_owned(), "linux".to_owned());
    n.drivers.insert("exec".to_owned(), DriverInfo { detected: true, healthy: true, ..DriverInfo::default() });
    n
}

/// `n` GPUs of one model; the odd ones only where all are `well`.
pub fn gpus(n: usize, well: bool) -> NodeDeviceResource {
    let instance = |i: usize| NodeDevice { id: format!("gpu{i}"), healthy: well || i.is_multiple_of(2), ..NodeDevice::default() };
    let memory = Attribute { int_val: Some(80), unit: "GiB".to_owned(), ..Attribute::default() };
    NodeDeviceResource {
        vendor: "nvidia".to_owned(),
        device_type: "gpu".to_owned(),
        name: "H100".to_owned(),
        instances: (0..n).map(instance).collect(),
        attributes: [("memory".to_owned(), memory)].into(),
    }
}

/// Asks for devices, for the only task of a job.
pub fn asking(mut job: Job, name: &str, count: u64) -> Job {
    let device = RequestedDevice { name: name.to_owned(), count: Some(count), ..RequestedDevice::default() };
    job.task_groups[0].tasks[0].resources.as_mut().unwrap().devices.push(device);
    job
}

/// A job with one group `g` of one task `task`.
pub fn job(id: &str, job_type: JobType, count: i64) -> Job {
    let resources = Resources { cpu: Some(500), memory_mb: Some(256), ..Resources::default() };
    let task = Task { name: "task".to_owned(), driver: "exec".to_owned(), resources: Some(resources), ..Task::default() };
    let group = TaskGroup { name: "g".to_owned(), count: Some(count), tasks: vec![task], ..TaskGroup::default() };
    Job { id: id.into(), name: id.to_owned(), namespace: "default".into(), job_type, task_groups: vec![group], ..Job::default() }
}

pub fn service(count: i64) -> Job {
    job("web", JobType::Service, count)
}

/// The same job, asking for something that needs new allocations.
pub fn changed(job: &Job, value: &str) -> Job {
    let mut job = job.clone();
    job.task_groups[0].tasks[0].env.insert("V".to_owned(), value.to_owned());
    job
}

pub fn parallel(mut job: Job, max_parallel: i64) -> Job {
    job.update = Some(UpdateStrategy { max_parallel: Some(max_parallel), ..UpdateStrategy::default() });
    job
}

pub fn constraint(l: &str, operand: &str, r: &str) -> Constraint {
    Constraint { l_target: l.to_owned(), r_target: r.to_owned(), operand: operand.to_owned() }
}

pub fn static_port(label: &str, value: i64) -> NetworkResource {
    let port = Port { label: label.to_owned(), value, ..Port::default() };
    NetworkResource { mode: "host".to_owned(), reserved_ports: vec![port], ..NetworkResource::default() }
}

/// The plan in words: names instead of ids, in an order that does not depend on chance.
pub fn transcript(state: &State, eval: &Evaluation, decision: &Decision, now: Timestamp) -> String {
    let plan = &decision.plan;
    let version =
        state.job(&eval.job_key()).map_or("gone".to_owned(), |j| format!("v{}{}", j.version, if j.stop { " stopped" } else { "" }));
    let mut lines = vec![format!("{} of {} {version}", eval.triggered_by, eval.job_id)];
    lines.extend(plan.deployment_updates.iter().map(|u| format!("  deployment becomes {}: {}", u.status, u.description)));
    if let Some(d) = &plan.deployment {
        let groups: Vec<String> = d.task_groups.iter().map(|(name, g)| format!("{name} wants {}", g.desired_total)).collect();
        lines.push(format!("  deployment of v{} begins: {}", d.job_version, groups.join(", ")));
    }
    let mut changes: Vec<String> = plan.stops.iter().map(|s| stop_words(state, s)).collect();
    changes.extend(plan.placements.iter().map(|p| placement_words(state, p)));
    changes.sort();
    lines.extend(changes);
    lines.extend(
        plan.evals.iter().map(|e| format!("  {} in {} s ({})", e.triggered_by, e.wait_until.since(now).0 / SECOND, e.status_description)),
    );
    for e in &plan.on_commit {
        let queued: Vec<String> = e.queued_allocations.iter().filter(|(_, n)| **n > 0).map(|(g, n)| format!("{n} of {g} queued")).collect();
        let which = if e.id == eval.id { "this evaluation".to_owned() } else { format!("new {}", e.triggered_by) };
        lines.push(format!("  {which}: {} {}", e.status, queued.join(", ")).trim_end().to_owned());
    }
    if let Some(answered) = plan.on_commit.iter().find(|e| e.id == eval.id) {
        for (group, metric) in &answered.failed_tg_allocs {
            lines.extend(explain(metric, group).into_iter().map(|l| format!("    {l}")));
        }
    }
    lines.extend(decision.explanation.to_string().lines().map(|l| format!("  -> {l}")));
    lines.join("\n") + "\n"
}

fn stop_words(state: &State, stop: &floe_state::plan::Stop) -> String {
    let alloc = state.alloc(&stop.id).expect("a stop names an allocation that exists");
    let lost = stop.client_status.map(|s| format!(" ({s})")).unwrap_or_default();
    format!("  stop {} on {}{lost}: {}", alloc.name, alloc.node_id, stop.description)
}

fn placement_words(state: &State, p: &Allocation) -> String {
    assert_eq!(p.desired_status, AllocDesiredStatus::Run);
    if state.alloc(&p.id).is_some() {
        return format!("  update {} on {}", p.name, p.node_id);
    }
    let ports: Vec<String> = p.allocated_resources.shared.ports.iter().map(|m| format!(" {}={}->{}", m.label, m.value, m.to)).collect();
    let after = state.alloc(&p.previous_allocation).map(|a| format!(" after {} on {}", a.name, a.node_id)).unwrap_or_default();
    let tries = p.reschedule_tracker.as_ref().map(|t| format!(", try {}", t.events.len() + 1)).unwrap_or_default();
    let deployed = if p.deployment_id.is_empty() { "" } else { " for the deployment" };
    format!("  place {} on {}{}{after}{tries}{deployed}", p.name, p.node_id, ports.concat())
}
