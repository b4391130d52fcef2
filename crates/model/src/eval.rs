//! The evaluation: a job (or node) changed, so the scheduler must look again.

use crate::{
    DeploymentId, EvalId, JobId, JobKey, JobType, Namespace, NodeId,
    alloc::AllocationMetric,
    time::{Nanos, Timestamp},
};
use std::collections::BTreeMap;

words! {
    /// Where an evaluation stands.
    pub enum EvalStatus {
        Pending = "pending", Blocked = "blocked", Complete = "complete", Failed = "failed", Canceled = "canceled",
    }
    /// Why an evaluation was made.
    pub enum EvalTrigger {
        JobRegister = "job-register",
        JobDeregister = "job-deregister",
        PeriodicJob = "periodic-job",
        NodeDrain = "node-drain",
        NodeUpdate = "node-update",
        AllocStop = "alloc-stop",
        Scheduled = "scheduled",
        RollingUpdate = "rolling-update",
        DeploymentWatcher = "deployment-watcher",
        FailedFollowUp = "failed-follow-up",
        MaxPlans = "max-plan-attempts",
        RetryFailedAlloc = "alloc-failure",
        QueuedAllocs = "queued-allocs",
        Preemption = "preemption",
        Scaling = "job-scaling",
        MaxDisconnectTimeout = "max-disconnect-timeout",
        Reconnect = "reconnect",
        AllocReschedule = "alloc-reschedule",
    }
}

wire! {
    /// An evaluation as the API speaks of it.
    pub struct Evaluation {
        "ID" id: EvalId,
        "Priority" priority: i64,
        "Type" job_type: JobType,
        "TriggeredBy" triggered_by: EvalTrigger,
        "Namespace" namespace: Namespace,
        "JobID" job_id: JobId,
        "JobModifyIndex" job_modify_index: u64,
        "NodeID" node_id: NodeId,
        "NodeModifyIndex" node_modify_index: u64,
        "DeploymentID" deployment_id: DeploymentId,
        "Status" status: EvalStatus,
        "StatusDescription" status_description: String,
        "Wait" wait: Nanos,
        /// Not to be looked at before this moment.
        "WaitUntil" wait_until: Timestamp,
        "NextEval" next_eval: EvalId,
        "PreviousEval" previous_eval: EvalId,
        "BlockedEval" blocked_eval: EvalId,
        "RelatedEvals" related_evals: Vec<EvaluationStub>,
        /// Why groups could not be placed.
        "FailedTGAllocs" failed_tg_allocs: BTreeMap<String, AllocationMetric>,
        "ClassEligibility" class_eligibility: BTreeMap<String, bool>,
        "EscapedComputedClass" escaped_computed_class: bool,
        "QuotaLimitReached" quota_limit_reached: String,
        "AnnotatePlan" annotate_plan: bool,
        /// Allocations still wanted, by group.
        "QueuedAllocations" queued_allocations: BTreeMap<String, u64>,
        "SnapshotIndex" snapshot_index: u64,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        "CreateTime" create_time: i64,
        "ModifyTime" modify_time: i64,
    }

    /// The short form of an evaluation.
    pub struct EvaluationStub {
        "ID" id: EvalId,
        "Priority" priority: i64,
        "Type" job_type: JobType,
        "TriggeredBy" triggered_by: EvalTrigger,
        "Namespace" namespace: Namespace,
        "JobID" job_id: JobId,
        "NodeID" node_id: NodeId,
        "DeploymentID" deployment_id: DeploymentId,
        "Status" status: EvalStatus,
        "StatusDescription" status_description: String,
        "WaitUntil" wait_until: Timestamp,
        "NextEval" next_eval: EvalId,
        "PreviousEval" previous_eval: EvalId,
        "BlockedEval" blocked_eval: EvalId,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        "CreateTime" create_time: i64,
        "ModifyTime" modify_time: i64,
    }
}

impl Evaluation {
    /// The job that it is about.
    pub fn job_key(&self) -> JobKey {
        JobKey { namespace: self.namespace.clone(), id: self.job_id.clone() }
    }
    /// True when nobody will look at it any more.
    pub fn is_terminal(&self) -> bool {
        matches!(self.status, EvalStatus::Complete | EvalStatus::Failed | EvalStatus::Canceled)
    }
    /// The short form.
    pub fn stub(&self) -> EvaluationStub {
        EvaluationStub {
            id: self.id.clone(),
            priority: self.priority,
            job_type: self.job_type,
            triggered_by: self.triggered_by,
            namespace: self.namespace.clone(),
            job_id: self.job_id.clone(),
            node_id: self.node_id.clone(),
            deployment_id: self.deployment_id.clone(),
            status: self.status,
            status_description: self.status_description.clone(),
            wait_until: self.wait_until,
            next_eval: self.next_eval.clone(),
            previous_eval: self.previous_eval.clone(),
            blocked_eval: self.blocked_eval.clone(),
            create_index: self.create_index,
            modify_index: self.modify_index,
            create_time: self.create_time,
            modify_time: self.modify_time,
        }
    }
}
