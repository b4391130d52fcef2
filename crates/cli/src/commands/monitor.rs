//! Watching a job come up: its evaluation, its allocations, its deployment.

use crate::output::{self, Progress};
use floe_api::{ApiClient, types::AllocationListStub};
use floe_model::{
    AllocClientStatus, AllocDesiredStatus, Deployment, EvalStatus, Evaluation, JobType, Nanos,
    alloc::{TaskPhase, event},
    deployment::DeploymentStatus,
    ids,
};
use std::collections::{BTreeMap, BTreeSet};

/// How long one look waits for something new.
const LOOK: Nanos = Nanos::from_secs(2);

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Everything that was asked for runs (or, for a batch job, was placed).
    Up,
    /// Not everything: why was said already.
    Short,
}

/// Watches one submission.
pub(super) struct Monitor<'a> {
    client: &'a ApiClient,
    job: String,
    verbose: bool,
    progress: &'a mut Progress,
    /// What was said of each allocation.
    said: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Monitor<'a> {
    pub(super) fn new(client: &'a ApiClient, job: &str, verbose: bool, progress: &'a mut Progress) -> Self {
        Self { client, job: job.to_owned(), verbose, progress, said: BTreeMap::new() }
    }

    /// Follows the evaluation to its end, and what came of it until it runs.
    pub(super) async fn follow(&mut self, eval_id: &str) -> anyhow::Result<Came> {
        let eval = self.evaluation(eval_id).await?;
        if eval.status == EvalStatus::Failed {
            self.progress.failed(&format!("evaluation {} failed: {}", self.id(eval_id), eval.status_description));
            return Ok(Came::Short);
        }
        let mut came = Came::Up;
        for (group, metric) in &eval.failed_tg_allocs {
            came = Came::Short;
            let missing = eval.queued_allocations.get(group).copied().unwrap_or(1);
            self.progress
                .failed(&format!("group {group:?}: {missing} allocation{} could not be placed:", if missing == 1 { "" } else { "s" }));
            for line in floe_scheduler::explain(metric, group) {
                self.progress.say(&format!("    {line}"));
            }
        }
        if !eval.blocked_eval.is_empty() {
            self.progress.say(&format!("  evaluation {} waits for capacity", self.id(eval.blocked_eval.as_str())));
        }
        let ran = self.allocations(&eval).await?;
        Ok(if came == Came::Up { ran } else { came })
    }

    async fn evaluation(&mut self, id: &str) -> anyhow::Result<Evaluation> {
        let mut index = 0;
        loop {
            self.progress.waiting(format!("evaluation {} is looked at", self.id(id)));
            let answer = self.client.evaluation(id, index, LOOK).await?;
            if answer.value.is_terminal() || answer.value.status == EvalStatus::Blocked {
                return Ok(answer.value);
            }
            index = answer.index;
        }
    }

    /// Follows the allocations of the job's present version until all run (and are healthy, in a deployment) or one is given up.
    async fn allocations(&mut self, eval: &Evaluation) -> anyhow::Result<Came> {
        let mut index = 0;
        loop {
            let answer = self.client.job_allocations(&self.job, index, LOOK).await?;
            index = answer.index;
            let mine: Vec<&AllocationListStub> =
                answer.value.iter().filter(|a| a.eval_id == eval.id || a.desired_status == AllocDesiredStatus::Run).collect();
            for alloc in &mine {
                self.say_news(alloc);
            }
            let deployment = self.client.job_deployment(&self.job).await?;
            if let Some(came) = self.verdict(&mine, deployment.as_ref()) {
                return Ok(came);
            }
        }
    }

    fn verdict(&mut self, allocs: &[&AllocationListStub], deployment: Option<&Deployment>) -> Option<Came> {
        if let Some(deployment) = deployment.filter(|d| !d.is_active()) {
            let id = self.id(deployment.id.as_str());
            return Some(if deployment.status == DeploymentStatus::Successful {
                self.progress.done(&format!("healthy: deployment {id} is successful"));
                Came::Up
            } else {
                self.progress.failed(&format!("deployment {id} is {}: {}", deployment.status, deployment.status_description));
                Came::Short
            });
        }
        if deployment.is_some() {
            self.progress.waiting("waits until everything is healthy");
            return None;
        }
        let wanted: Vec<_> = allocs.iter().filter(|a| a.desired_status == AllocDesiredStatus::Run).collect();
        if let Some(failed) = wanted.iter().find(|a| a.client_status == AllocClientStatus::Failed) {
            self.progress.failed(&format!("allocation {} failed: {}", self.id(failed.id.as_str()), failed.client_description));
            return Some(Came::Short);
        }
        self.progress.waiting("waits until everything runs");
        wanted.iter().all(|a| a.client_status != AllocClientStatus::Pending).then_some(Came::Up)
    }

    /// Says what is new of an allocation: placed, its folders and network ready, started, and what went wrong.
    fn say_news(&mut self, alloc: &AllocationListStub) {
        let id = self.id(alloc.id.as_str());
        let said = self.said.entry(alloc.id.to_string()).or_default();
        let mut news = Vec::new();
        if said.insert("placed".to_owned()) {
            news.push((true, format!("placed: allocation {id} ({}) on node {}", alloc.name, alloc.node_name)));
        }
        for (task, state) in &alloc.task_states {
            for happened in &state.events {
                let key = format!("{task} {} {}", happened.event_type, happened.time);
                let (well, words) = match happened.event_type.as_str() {
                    event::RECEIVED => continue,
                    event::TASK_SETUP => (true, format!("ready: {} (task {task:?} of {id})", happened.display_message.to_lowercase())),
                    // The root file system is made together with the process, so both are said at once.
                    event::STARTED => (true, format!("started: task {task:?} of {id}, in its own root file system")),
                    event::TERMINATED if happened.exit_code == 0 && happened.signal == 0 => {
                        (true, format!("ended: task {task:?} of {id}, with success"))
                    }
                    kind => (false, format!("{kind}: {} (task {task:?} of {id})", happened.display_message)),
                };
                if said.insert(key) {
                    news.push((well, words));
                }
            }
        }
        for (well, words) in news {
            if well { self.progress.done(&words) } else { self.progress.failed(&words) }
        }
    }

    fn id(&self, full: &str) -> String {
        output::id(full, self.verbose)
    }
}

/// Waits until nothing of a job runs any more.
pub(super) async fn until_stopped(client: &ApiClient, job: &str, progress: &mut Progress) -> anyhow::Result<()> {
    let mut index = 0;
    loop {
        let answer = client.job_allocations(job, index, LOOK).await?;
        let running: Vec<String> =
            answer.value.iter().filter(|a| !a.client_status.is_terminal()).map(|a| ids::short(a.id.as_str()).to_owned()).collect();
        if running.is_empty() {
            return Ok(());
        }
        progress.waiting(format!("waits for {} to end", running.join(", ")));
        index = answer.index;
    }
}

/// True when a batch job's allocations have all ended.
pub(super) fn is_over(job_type: JobType, allocs: &[AllocationListStub]) -> bool {
    job_type.is_batch() && !allocs.is_empty() && allocs.iter().all(|a| a.client_status.is_terminal())
}

/// True while a task of the allocation runs.
pub(super) fn runs(alloc: &AllocationListStub) -> bool {
    alloc.task_states.values().any(|s| s.state == TaskPhase::Running)
}
