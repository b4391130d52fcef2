//! Jobs: somebody runs them, changes how many are wanted, and stops them. When faults end, everything must come to rest as it was wanted last.

use crate::{
    executor::Owner,
    invariant::Invariant,
    nodes::{ALLOC_SHARES, FIT, node_id},
    world::World,
};
use floe_consensus::Consensus;
use floe_model::{
    AllocClientStatus, AllocDesiredStatus, EvalStatus, Job, JobKey, JobType, Namespace, Nanos, NodeId, NodeStatus, Task, TaskGroup,
    group::{DelayFunction, ReschedulePolicy},
    resources::Resources,
};
use floe_state::{Command, State, command::RegisterJob};
use std::{collections::BTreeSet, rc::Rc, time::Duration};
use tokio::time::{sleep, timeout};

/// How many jobs there are.
const JOBS: u64 = 3;
/// How long everything has to come to rest: a silent node counts as down after up to 13 seconds, and what failed is tried again after five.
const AT_REST: Duration = Duration::from_secs(90);

fn key(number: u64) -> JobKey {
    JobKey { namespace: Namespace::default(), id: format!("svc{number}").into() }
}

fn job(number: u64, count: u64) -> Command {
    let resources = Resources { cpu: Some(ALLOC_SHARES), memory_mb: Some(64), ..Resources::default() };
    let task = Task { name: "task".to_owned(), driver: "exec".to_owned(), resources: Some(resources), ..Task::default() };
    let again = ReschedulePolicy {
        delay: Some(Nanos::from_secs(5)),
        delay_function: Some(DelayFunction::Constant),
        unlimited: Some(true),
        ..ReschedulePolicy::default()
    };
    let group = TaskGroup {
        name: "g".to_owned(),
        count: Some(i64::try_from(count).unwrap_or(0)),
        tasks: vec![task],
        reschedule_policy: Some(again),
        ..TaskGroup::default()
    };
    let JobKey { namespace, id } = key(number);
    let job = Job { name: id.to_string(), id, namespace, job_type: JobType::Service, task_groups: vec![group], ..Job::default() };
    Command::RegisterJob(RegisterJob { job: Box::new(job), submission: None, enforce_index: None, eval_priority: None })
}

impl World {
    /// Somebody who runs jobs.
    pub(crate) async fn operate(self: Rc<Self>) {
        self.busy.set(self.busy.get() + 1);
        while !self.is_over.get() {
            sleep(Duration::from_millis(self.below(2500))).await;
            let number = self.below(JOBS);
            let command = match self.below(8) {
                0 => Command::DeregisterJob { key: key(number), purge: self.below(2) == 0 },
                _ => job(number, self.below(3 * FIT)),
            };
            self.wish(command).await;
        }
        self.busy.set(self.busy.get() - 1);
    }

    /// Has a server write a command. True when that is certain.
    async fn wish(self: &Rc<Self>, command: Command) -> bool {
        const PATIENCE: Duration = Duration::from_secs(8);
        let era = self.present_era.get();
        let names = self.names(|host| host.server.is_some() && host.era == era);
        let Some((owner, server)) = self.pick(&names).and_then(|name| self.server(&name)) else { return false };
        let ask = async move { server.propose(command).await.is_ok() };
        timeout(PATIENCE, Rc::clone(&self.executor).ask(owner, ask)).await == Ok(Some(true))
    }

    /// Everything that is wanted last runs where it can, and nothing else, in time.
    pub(crate) async fn must_come_to_rest(self: &Rc<Self>) {
        let Some(last) = self.nodes.len().checked_sub(1) else { return };
        self.must_be_quiet().await;
        // What somebody gave up waiting for may still be done, for a moment.
        sleep(Duration::from_secs(2)).await;
        // Where others have room for its work, one node never comes back.
        let stays_dead = last >= 2 && self.below(2) == 0;
        self.nodes.iter().enumerate().for_each(|(number, node)| node.is_alive.set(!(stays_dead && number == last)));
        let alive = (last + 1 - usize::from(stays_dead)) as u64;
        // It may have been the machine on which the leader ran, too.
        if stays_dead
            && self.below(2) == 0
            && let Some(leader) = self.leading()
        {
            self.trace.count("node dead with the leader");
            self.power_cycle(&leader);
        }
        let counts: Vec<u64> = (0..JOBS).map(|_| self.below(1 + alive * FIT / JOBS)).collect();
        self.trace.say(format_args!("wanted in the end: {counts:?} on {alive} nodes"));
        // However it ended before, no evaluation is lost more often than it is tried again.
        self.lose_work_at_last();
        for (number, count) in (0..).zip(&counts) {
            while !self.wish(job(number, *count)).await {
                sleep(Duration::from_millis(100)).await;
            }
        }
        // Of a moment at which not all of it is placed yet.
        let kept = if self.below(3) == 0 { self.back_up_the_leader().await } else { None };
        self.comes_to_rest(&counts, "the last fault").await;
        if let Some(backup) = kept
            && self.put_back_at_last(backup).await
        {
            self.trace.count("restored at last");
            self.comes_to_rest(&counts, "the last restore").await;
        }
    }

    async fn comes_to_rest(&self, counts: &[u64], after: &str) {
        let rest = async {
            while let Err(_why) = self.is_at_rest(counts) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(AT_REST, rest).await.is_err()
            && let Err(why) = self.is_at_rest(counts)
        {
            self.violated(Invariant::WorkIsPlaced, format!("{AT_REST:?} after {after}: {why}"));
        }
        self.trace.count("at rest");
    }

    /// Waits until nobody changes jobs or members, or restores a backup, any more.
    pub(crate) async fn must_be_quiet(&self) {
        while self.busy.get() > 0 {
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn newest(&self) -> Option<State> {
        let era = self.present_era.get();
        let hosts = self.hosts.borrow();
        let views = hosts.values().filter(|host| host.era == era).filter_map(|host| host.server.as_ref()).map(Consensus::view);
        views.max_by_key(State::log_index)
    }

    fn is_at_rest(&self, counts: &[u64]) -> Result<(), String> {
        let state = self.newest().ok_or("no server is open")?;
        if let Some(eval) = state.evals().find(|eval| !eval.is_terminal()) {
            let of = if eval.status == EvalStatus::Blocked { " though there is room" } else { "" };
            return Err(format!("evaluation {} of {} ({}) is {}{of}", eval.id, eval.job_id, eval.triggered_by, eval.status));
        }
        for (number, count) in (0..).zip(counts) {
            let key = key(number);
            let wanted = state.allocs_of_job(&key).filter(|a| !a.is_terminal());
            let is_there = |id: &NodeId| (0..).map(node_id).zip(&self.nodes).any(|(of, node)| of == *id && node.is_alive.get());
            let placed: Vec<_> = wanted.filter(|a| is_there(&a.node_id)).collect();
            let running = placed.iter().filter(|a| a.client_status == AllocClientStatus::Running).count();
            if (placed.len() as u64, running as u64) != (*count, *count) {
                return Err(format!("of svc{number} {count} are wanted, {} are placed, {running} run", placed.len()));
            }
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let id = node_id(number);
            let expected = if node.is_alive.get() { NodeStatus::Ready } else { NodeStatus::Down };
            let status = state.node(&id).map(|node| node.status);
            if status != Some(expected) && (node.is_alive.get() || status.is_some()) {
                return Err(format!("{id} should be {expected}, and is {status:?}"));
            }
            if !node.is_alive.get() {
                continue;
            }
            let of_node = state.allocs_of_node(&id).filter(|a| a.desired_status == AllocDesiredStatus::Run);
            let wanted: BTreeSet<_> = of_node.filter(|a| !a.client_status.is_terminal()).map(|a| a.id.clone()).collect();
            if node.running() != wanted {
                return Err(format!("{} runs {:?}, wanted are {wanted:?}", node_id(number), node.running()));
            }
        }
        Ok(())
    }

    /// Starts the nodes, and who runs jobs on them.
    pub(crate) fn begin_work(self: &Rc<Self>) {
        for number in 0..self.nodes.len() {
            self.executor.spawn(Owner::WORLD, Rc::clone(self).node(number));
        }
        if !self.nodes.is_empty() {
            self.executor.spawn(Owner::WORLD, Rc::clone(self).operate());
        }
    }
}
