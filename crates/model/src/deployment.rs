//! The deployment: a new version of a service job on its way.

use crate::{
    AllocId, DeploymentId, JobId, JobKey, Namespace,
    time::{Nanos, Timestamp},
};
use std::collections::BTreeMap;

words! {
    /// Where a deployment stands.
    pub enum DeploymentStatus {
        Running = "running",
        Paused = "paused",
        Failed = "failed",
        Successful = "successful",
        Cancelled = "cancelled",
        Initializing = "initializing",
        Pending = "pending",
        Blocked = "blocked",
        Unblocking = "unblocking",
    }
}

wire! {
    /// A deployment as the API speaks of it.
    pub struct Deployment {
        "ID" id: DeploymentId,
        "Namespace" namespace: Namespace,
        "JobID" job_id: JobId,
        "JobVersion" job_version: u64,
        "JobModifyIndex" job_modify_index: u64,
        "JobSpecModifyIndex" job_spec_modify_index: u64,
        "JobCreateIndex" job_create_index: u64,
        "IsMultiregion" is_multiregion: bool,
        "TaskGroups" task_groups: BTreeMap<String, DeploymentState>,
        "Status" status: DeploymentStatus,
        "StatusDescription" status_description: String,
        "EvalPriority" eval_priority: i64,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        "CreateTime" create_time: i64,
        "ModifyTime" modify_time: i64,
    }

    /// One group of a deployment.
    pub struct DeploymentState {
        "PlacedCanaries" placed_canaries: Vec<AllocId>,
        "AutoRevert" auto_revert: bool,
        "AutoPromote" auto_promote: bool,
        "ProgressDeadline" progress_deadline: Nanos,
        "RequireProgressBy" require_progress_by: Timestamp,
        "Promoted" promoted: bool,
        "DesiredCanaries" desired_canaries: i64,
        "DesiredTotal" desired_total: i64,
        "PlacedAllocs" placed_allocs: i64,
        "HealthyAllocs" healthy_allocs: i64,
        "UnhealthyAllocs" unhealthy_allocs: i64,
    }
}

impl Deployment {
    /// The job that it is about.
    pub fn job_key(&self) -> JobKey {
        JobKey { namespace: self.namespace.clone(), id: self.job_id.clone() }
    }
    /// True while it still has something to do.
    pub fn is_active(&self) -> bool {
        !matches!(self.status, DeploymentStatus::Failed | DeploymentStatus::Successful | DeploymentStatus::Cancelled)
    }
    /// True when every group has all its allocations healthy.
    pub fn is_complete(&self) -> bool {
        self.task_groups.values().all(|g| g.healthy_allocs >= g.desired_total && (g.desired_canaries == 0 || g.promoted))
    }
}
