//! What registering a job would come to.

use super::AllocationListStub;
use floe_model::{
    Evaluation, Job, Namespace, Timestamp,
    alloc::AllocationMetric,
    diff::{DesiredUpdates, JobDiff},
    wire,
};
use std::collections::BTreeMap;

wire! {
    /// Asks what registering a job would come to.
    pub struct JobPlanRequest {
        "Job" job: Option<Job>,
        /// Whether the answer is to say what differs.
        "Diff" diff: bool,
        "PolicyOverride" policy_override: bool,
        #[serde(skip_serializing_if = "String::is_empty")]
        "Region" region: String,
        #[serde(skip_serializing_if = "Namespace::is_empty")]
        "Namespace" namespace: Namespace,
        #[serde(skip_serializing_if = "String::is_empty")]
        "SecretID" secret_id: String,
    }

    /// What registering the job would come to, had it been registered at the index of the answer.
    pub struct JobPlanResponse {
        /// The index to register the job by, so that it is refused if somebody else changed it in between; zero when there is no such job.
        "JobModifyIndex" job_modify_index: u64,
        /// What would be left for later. Their ids are of this answer alone.
        "CreatedEvals" created_evals: Vec<Evaluation>,
        "Diff" diff: Option<JobDiff>,
        "Annotations" annotations: Option<PlanAnnotations>,
        /// Why groups would find no node.
        "FailedTGAllocs" failed_tg_allocs: BTreeMap<String, AllocationMetric>,
        /// Never: periodic jobs are not supported yet.
        "NextPeriodicLaunch" next_periodic_launch: Timestamp,
        "Warnings" warnings: String,
    }

    /// What the scheduler would do.
    pub struct PlanAnnotations {
        "DesiredTGUpdates" desired_tg_updates: BTreeMap<String, DesiredUpdates>,
        /// None: floe preempts nothing yet.
        "PreemptedAllocs" preempted_allocs: Vec<AllocationListStub>,
    }
}
