//! The job: what a user asks for.

use crate::{
    JobId, JobKey, Namespace, StringMap, TaskGroup, Value,
    group::{Affinity, Constraint, MigrateStrategy, ReschedulePolicy, Spread, UpdateStrategy},
    time::Nanos,
};

/// The default priority of a job.
pub const DEFAULT_PRIORITY: i64 = 50;
/// The highest priority that a job may have.
pub const MAX_PRIORITY: i64 = 100;

words! {
    /// How a job's groups are run.
    pub enum JobType { Service = "service", Batch = "batch", System = "system", Sysbatch = "sysbatch" }
    /// Where a job stands.
    pub enum JobStatus { Pending = "pending", Running = "running", Dead = "dead" }
}

impl JobType {
    /// True for the types that place one allocation on every feasible node.
    pub fn is_system(self) -> bool {
        matches!(self, JobType::System | JobType::Sysbatch)
    }
    /// True for the types whose tasks end by themselves.
    pub fn is_batch(self) -> bool {
        matches!(self, JobType::Batch | JobType::Sysbatch)
    }
}

wire! {
    /// A job as the API speaks of it. Fields from `Stop` on are set by the server.
    pub struct Job {
        "Region" region: String,
        "Namespace" namespace: Namespace,
        "ID" id: JobId,
        "Name" name: String,
        "Type" job_type: JobType,
        /// 1 to [`MAX_PRIORITY`].
        "Priority" priority: Option<i64>,
        "AllAtOnce" all_at_once: bool,
        /// Globs over the nodes' datacenters; empty means any.
        "Datacenters" datacenters: Vec<String>,
        "NodePool" node_pool: String,
        "Constraints" constraints: Vec<Constraint>,
        "Affinities" affinities: Vec<Affinity>,
        "TaskGroups" task_groups: Vec<TaskGroup>,
        "Update" update: Option<UpdateStrategy>,
        "Multiregion" multiregion: Option<Multiregion>,
        "Spreads" spreads: Vec<Spread>,
        "Periodic" periodic: Option<PeriodicConfig>,
        "ParameterizedJob" parameterized_job: Option<ParameterizedJobConfig>,
        "Reschedule" reschedule: Option<ReschedulePolicy>,
        "Migrate" migrate: Option<MigrateStrategy>,
        "Meta" meta: StringMap,
        "UI" ui: Option<JobUiConfig>,
        "Stop" stop: bool,
        "ParentID" parent_id: String,
        "Dispatched" dispatched: bool,
        "DispatchIdempotencyToken" dispatch_idempotency_token: String,
        /// Base64, as Go writes bytes.
        "Payload" payload: Option<String>,
        "ConsulNamespace" consul_namespace: String,
        "VaultNamespace" vault_namespace: String,
        "NomadTokenID" nomad_token_id: String,
        "Status" status: JobStatus,
        "StatusDescription" status_description: String,
        "Stable" stable: bool,
        "Version" version: u64,
        /// Nanoseconds since 1970.
        "SubmitTime" submit_time: i64,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        "JobModifyIndex" job_modify_index: u64,
        "VersionTag" version_tag: Option<JobVersionTag>,
    }

    /// A named version, kept for ever.
    pub struct JobVersionTag {
        "Name" name: String,
        "Description" description: String,
        "TaggedTime" tagged_time: i64,
    }

    /// What the web UI shows beside a job.
    pub struct JobUiConfig {
        "Description" description: String,
        "Links" links: Vec<JobUiLink>,
    }

    /// A link of [`JobUiConfig`].
    pub struct JobUiLink {
        "Label" label: String,
        "URL" url: String,
    }

    /// Launches a child job at the times of a cron expression.
    pub struct PeriodicConfig {
        "Enabled" enabled: Option<bool>,
        "Spec" spec: String,
        "Specs" specs: Vec<String>,
        "SpecType" spec_type: String,
        "ProhibitOverlap" prohibit_overlap: bool,
        "TimeZone" time_zone: String,
    }

    /// Makes a job a template that is dispatched with a payload.
    pub struct ParameterizedJobConfig {
        "Payload" payload: String,
        "MetaRequired" meta_required: Vec<String>,
        "MetaOptional" meta_optional: Vec<String>,
    }

    /// A job that spans regions.
    pub struct Multiregion {
        "Strategy" strategy: Option<MultiregionStrategy>,
        "Regions" regions: Vec<MultiregionRegion>,
    }

    /// How a multi-region deployment goes from region to region.
    pub struct MultiregionStrategy {
        "MaxParallel" max_parallel: Option<i64>,
        "OnFailure" on_failure: String,
    }

    /// One region of a [`Multiregion`] job.
    pub struct MultiregionRegion {
        "Name" name: String,
        "Count" count: Option<i64>,
        "Datacenters" datacenters: Vec<String>,
        "NodePool" node_pool: String,
        "Meta" meta: StringMap,
    }

    /// The source that a job was made from, kept for people.
    pub struct JobSubmission {
        "Source" source: String,
        /// `hcl2`, `json` or `nix`.
        "Format" format: String,
        "VariableFlags" variable_flags: StringMap,
        "Variables" variables: String,
    }

    /// Counts of a job's allocations by group.
    pub struct JobSummary {
        "JobID" job_id: JobId,
        "Namespace" namespace: Namespace,
        "Summary" summary: std::collections::BTreeMap<String, TaskGroupSummary>,
        "Children" children: Option<JobChildrenSummary>,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
    }

    /// Counts of the children of a periodic or parameterized job.
    pub struct JobChildrenSummary {
        "Pending" pending: i64,
        "Running" running: i64,
        "Dead" dead: i64,
    }

    /// Counts of a group's allocations by client status.
    pub struct TaskGroupSummary {
        "Queued" queued: i64,
        "Complete" complete: i64,
        "Failed" failed: i64,
        "Running" running: i64,
        "Starting" starting: i64,
        "Lost" lost: i64,
        "Unknown" unknown: i64,
    }

    /// Bounds and policy for automatic scaling.
    pub struct ScalingPolicy {
        "ID" id: String,
        "Namespace" namespace: String,
        "Type" policy_type: String,
        "Target" target: StringMap,
        "Min" min: Option<i64>,
        "Max" max: Option<i64>,
        "Policy" policy: std::collections::BTreeMap<String, Value>,
        "Enabled" enabled: Option<bool>,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
    }
}

impl Job {
    /// What the job is known by.
    pub fn key(&self) -> JobKey {
        JobKey { namespace: self.namespace.clone(), id: self.id.clone() }
    }
    /// The group called `name`.
    pub fn group(&self, name: &str) -> Option<&TaskGroup> {
        self.task_groups.iter().find(|g| g.name == name)
    }
    /// The priority, or the default where none is set.
    pub fn priority(&self) -> i64 {
        self.priority.unwrap_or(DEFAULT_PRIORITY)
    }
    /// True when the job runs children rather than allocations of its own.
    pub fn is_template(&self) -> bool {
        self.periodic.is_some() || (self.parameterized_job.is_some() && !self.dispatched)
    }
    /// The longest time that the allocations of any group may take to stop, without their poststop tasks: those end by themselves.
    pub fn longest_stop(&self) -> Nanos {
        self.task_groups.iter().map(TaskGroup::longest_stop).max().unwrap_or_default()
    }
}
