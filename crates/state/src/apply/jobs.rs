//! Jobs: register, stop, evaluate, and the status that follows from allocations and evaluations.

use super::writer::Writer;
use crate::command::{Outcome, Refusal, RegisterJob};
use floe_model::{EvalId, EvalTrigger, Job, JobKey, JobStatus, change};
use std::sync::Arc;

impl Writer<'_> {
    pub(super) fn register_job(&mut self, request: &RegisterJob) -> Result<Outcome, Refusal> {
        let mut job = (*request.job).clone();
        let key = job.key();
        let present = self.state.job(&key).cloned();
        if let Some(wanted) = request.enforce_index {
            let found = present.as_ref().map_or(0, |j| j.job_modify_index);
            if wanted != found {
                return Err(Refusal::IndexConflict { wanted, found });
            }
        }
        let unchanged = |old: &&Arc<Job>| !change::spec_changed(old, &job) && old.stop == job.stop;
        let job = match present.as_ref().filter(unchanged) {
            // The same job again is another look at it and nothing else: its index stays, so that what was read before is still current.
            Some(old) => old.clone(),
            None => {
                self.stamp_job(&mut job, present.as_deref());
                self.put_job(job)
            }
        };
        if let Some(submission) = &request.submission {
            self.state.submissions.insert((key.clone(), job.version), Arc::new(submission.clone()));
        }
        // The new evaluation looks at everything that a blocked one waits for.
        self.cancel_blocked(&key, "superseded by a newer version of the job", |_| true);
        let eval_id = if job.is_template() {
            EvalId::default()
        } else {
            self.new_eval(&job, EvalTrigger::JobRegister, |e| e.priority = request.eval_priority.unwrap_or(e.priority))
        };
        self.refresh_job_status(&key);
        Ok(Outcome::Job { eval_id, job_modify_index: job.job_modify_index })
    }

    /// Fills in what the servers know of a job that is registered, or registered again with changes.
    fn stamp_job(&self, job: &mut Job, present: Option<&Job>) {
        job.job_modify_index = self.index;
        job.submit_time = self.now.0;
        job.status = JobStatus::Pending;
        job.status_description.clear();
        job.stable = false;
        match present {
            None => {
                job.create_index = self.index;
                job.version = 0;
            }
            Some(old) => {
                job.create_index = old.create_index;
                job.status = old.status;
                job.version = old.version + 1;
            }
        }
    }

    pub(super) fn deregister_job(&mut self, key: &JobKey, purge: bool) -> Result<Outcome, Refusal> {
        let present = self.state.job(key).cloned().ok_or_else(|| Refusal::JobNotFound(key.clone()))?;
        let mut job = (*present).clone();
        if !job.stop {
            job.stop = true;
            job.version += 1;
            job.stable = false;
        }
        job.job_modify_index = self.index;
        let job = self.put_job(job);
        let eval_id = if job.is_template() { EvalId::default() } else { self.new_eval(&job, EvalTrigger::JobDeregister, |_| {}) };
        self.cancel_blocked(key, "the job was stopped", |_| true);
        self.cancel_deployments(key, "Cancelled because job is stopped");
        if purge {
            self.remove_job(key);
        } else {
            self.refresh_job_status(key);
        }
        Ok(Outcome::Job { eval_id, job_modify_index: self.index })
    }

    pub(super) fn evaluate_job(&mut self, key: &JobKey) -> Result<Outcome, Refusal> {
        let job = self.state.job(key).cloned().ok_or_else(|| Refusal::JobNotFound(key.clone()))?;
        let eval_id = self.new_eval(&job, EvalTrigger::JobRegister, |_| {});
        self.refresh_job_status(key);
        Ok(Outcome::Job { eval_id, job_modify_index: job.job_modify_index })
    }

    /// Brings a job's status in line with its allocations and evaluations.
    pub(super) fn refresh_job_status(&mut self, key: &JobKey) {
        let Some(job) = self.state.job(key) else { return };
        let status = self.job_status(job);
        if status != job.status {
            let mut job = (**job).clone();
            job.status = status;
            self.put_job(job);
        }
    }

    /// Running while anything runs or a template is enabled; dead when it is stopped or a batch is over; pending otherwise.
    fn job_status(&self, job: &Job) -> JobStatus {
        let key = job.key();
        if job.is_template() {
            return if job.stop { JobStatus::Dead } else { JobStatus::Running };
        }
        let derived = self.state.derived.job(&key);
        if derived.is_some_and(|d| d.running > 0) {
            return JobStatus::Running;
        }
        let any = derived.is_some_and(|d| !d.allocs.is_empty());
        if derived.is_some_and(|d| !d.open_evals.is_empty()) {
            return if any && !job.stop && !job.job_type.is_batch() { JobStatus::Running } else { JobStatus::Pending };
        }
        match (job.stop, any, job.job_type.is_batch()) {
            (true, ..) | (false, true, true) => JobStatus::Dead,
            (false, true, false) => JobStatus::Running,
            (false, false, _) => JobStatus::Pending,
        }
    }
}
