//! The allocation: a group of a job placed on a node, and what became of it.

mod reason;

use crate::{
    AllocId, DeploymentId, EvalId, Job, JobId, JobKey, Namespace, NodeId, StringMap,
    group::DelayFunction,
    network::DnsConfig,
    resources::{AllocatedResources, Resources},
    time::{Nanos, Timestamp},
};
use std::{collections::BTreeMap, sync::Arc};

words! {
    /// What the servers want of an allocation.
    pub enum AllocDesiredStatus { Run = "run", Stop = "stop", Evict = "evict" }
    /// What the client says of an allocation (`lost` and `unknown` are said by the servers).
    pub enum AllocClientStatus {
        Pending = "pending", Running = "running", Complete = "complete", Failed = "failed", Lost = "lost", Unknown = "unknown",
    }
    /// Where a task stands.
    pub enum TaskPhase { Pending = "pending", Running = "running", Dead = "dead" }
}

impl AllocClientStatus {
    /// True when nothing will run any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, AllocClientStatus::Complete | AllocClientStatus::Failed | AllocClientStatus::Lost)
    }
}

wire! {
    /// An allocation as the API speaks of it. Times are nanoseconds since 1970.
    pub struct Allocation {
        "ID" id: AllocId,
        "Namespace" namespace: Namespace,
        "EvalID" eval_id: EvalId,
        "Name" name: String,
        "NodeID" node_id: NodeId,
        "NodeName" node_name: String,
        "JobID" job_id: JobId,
        /// The job as it was when the allocation was placed.
        #[serde(with = "shared_job")]
        "Job" job: Option<Arc<Job>>,
        "TaskGroup" task_group: String,
        "AllocatedResources" allocated_resources: AllocatedResources,
        "Metrics" metrics: AllocationMetric,
        "DesiredStatus" desired_status: AllocDesiredStatus,
        "DesiredDescription" desired_description: String,
        "DesiredTransition" desired_transition: DesiredTransition,
        "ClientStatus" client_status: AllocClientStatus,
        "ClientDescription" client_description: String,
        "TaskStates" task_states: BTreeMap<String, TaskState>,
        "DeploymentID" deployment_id: DeploymentId,
        "DeploymentStatus" deployment_status: Option<AllocDeploymentStatus>,
        "FollowupEvalID" followup_eval_id: EvalId,
        "PreviousAllocation" previous_allocation: AllocId,
        "NextAllocation" next_allocation: AllocId,
        "RescheduleTracker" reschedule_tracker: Option<RescheduleTracker>,
        "NetworkStatus" network_status: Option<AllocNetworkStatus>,
        "PreemptedAllocations" preempted_allocations: Vec<AllocId>,
        "PreemptedByAllocation" preempted_by_allocation: AllocId,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        /// The index at which the servers last changed what they want; a client's report does not move it.
        "AllocModifyIndex" alloc_modify_index: u64,
        "CreateTime" create_time: i64,
        "ModifyTime" modify_time: i64,
    }

    /// Why a node was chosen, or why none was.
    pub struct AllocationMetric {
        "NodesEvaluated" nodes_evaluated: u64,
        "NodesFiltered" nodes_filtered: u64,
        "NodesInPool" nodes_in_pool: u64,
        "NodePool" node_pool: String,
        "NodesAvailable" nodes_available: BTreeMap<String, u64>,
        "ClassFiltered" class_filtered: BTreeMap<String, u64>,
        "ConstraintFiltered" constraint_filtered: BTreeMap<String, u64>,
        "NodesExhausted" nodes_exhausted: u64,
        "ClassExhausted" class_exhausted: BTreeMap<String, u64>,
        "DimensionExhausted" dimension_exhausted: BTreeMap<String, u64>,
        "QuotaExhausted" quota_exhausted: Vec<String>,
        "ResourcesExhausted" resources_exhausted: BTreeMap<String, Resources>,
        "Scores" scores: BTreeMap<String, f64>,
        "AllocationTime" allocation_time: Nanos,
        "CoalescedFailures" coalesced_failures: u64,
        "ScoreMetaData" score_meta_data: Vec<NodeScoreMeta>,
    }

    /// The scores of one node.
    pub struct NodeScoreMeta {
        "NodeID" node_id: NodeId,
        "Scores" scores: BTreeMap<String, f64>,
        "NormScore" norm_score: f64,
    }

    /// Wishes about an allocation that are not a status yet.
    pub struct DesiredTransition {
        "Migrate" migrate: Option<bool>,
        "Reschedule" reschedule: Option<bool>,
        "ForceReschedule" force_reschedule: Option<bool>,
        "NoShutdownDelay" no_shutdown_delay: Option<bool>,
        "MigrateDisablePlacement" migrate_disable_placement: Option<bool>,
    }

    /// The health of an allocation within its deployment.
    pub struct AllocDeploymentStatus {
        "Healthy" healthy: Option<bool>,
        "Timestamp" timestamp: Timestamp,
        "Canary" canary: bool,
        "ModifyIndex" modify_index: u64,
    }

    /// The network that a client gave an allocation.
    pub struct AllocNetworkStatus {
        "InterfaceName" interface_name: String,
        "Address" address: String,
        "AddressIPv6" address_ipv6: String,
        "DNS" dns: Option<DnsConfig>,
    }

    /// What happened to an allocation's predecessors.
    pub struct RescheduleTracker {
        "Events" events: Vec<RescheduleEvent>,
        "LastReschedule" last_reschedule: String,
    }

    /// One replacement of a failed allocation.
    pub struct RescheduleEvent {
        "RescheduleTime" reschedule_time: i64,
        "PrevAllocID" prev_alloc_id: AllocId,
        "PrevNodeID" prev_node_id: NodeId,
        "Delay" delay: Nanos,
    }

    /// What became of a task.
    pub struct TaskState {
        "State" state: TaskPhase,
        "Failed" failed: bool,
        "Restarts" restarts: u64,
        "LastRestart" last_restart: Timestamp,
        "StartedAt" started_at: Timestamp,
        "FinishedAt" finished_at: Timestamp,
        "Events" events: Vec<TaskEvent>,
    }

    /// Something that happened to a task.
    pub struct TaskEvent {
        "Type" event_type: String,
        "Time" time: i64,
        "DisplayMessage" display_message: String,
        "Details" details: StringMap,
        "Message" message: String,
        "FailsTask" fails_task: bool,
        "RestartReason" restart_reason: String,
        "SetupError" setup_error: String,
        "DriverError" driver_error: String,
        "DriverMessage" driver_message: String,
        "ExitCode" exit_code: i64,
        "Signal" signal: i64,
        "KillReason" kill_reason: String,
        "KillTimeout" kill_timeout: Nanos,
        "KillError" kill_error: String,
        /// Nanoseconds.
        "StartDelay" start_delay: i64,
        "DownloadError" download_error: String,
        "ValidationError" validation_error: String,
        "DiskLimit" disk_limit: i64,
        "DiskSize" disk_size: i64,
        "FailedSibling" failed_sibling: String,
        "VaultError" vault_error: String,
        "TaskSignalReason" task_signal_reason: String,
        "TaskSignal" task_signal: String,
        "GenericSource" generic_source: String,
    }
}

/// How many events a task keeps.
pub const MAX_TASK_EVENTS: usize = 10;

/// Types of task events, as clients match them.
pub mod event {
    #![allow(missing_docs, reason = "each constant is the word that it holds")]
    pub const RECEIVED: &str = "Received";
    pub const TASK_SETUP: &str = "Task Setup";
    pub const SETUP_FAILURE: &str = "Setup Failure";
    pub const DRIVER_FAILURE: &str = "Driver Failure";
    pub const DRIVER: &str = "Driver";
    pub const STARTED: &str = "Started";
    pub const TERMINATED: &str = "Terminated";
    pub const KILLING: &str = "Killing";
    pub const KILLED: &str = "Killed";
    pub const RESTARTING: &str = "Restarting";
    pub const NOT_RESTARTING: &str = "Not Restarting";
    pub const SIBLING_FAILED: &str = "Sibling Task Failed";
    pub const RESTORE_FAILED: &str = "Failed Restoring Task";
    pub const RESTART_SIGNALED: &str = "Restart Signaled";
    pub const SIGNALING: &str = "Signaling";
    pub const LEADER_DEAD: &str = "Leader Task Dead";
    pub const MAIN_DEAD: &str = "Main Tasks Dead";
    pub const WAITING_FOR_SHUTDOWN_DELAY: &str = "Waiting for shutdown delay";
}

impl TaskState {
    /// Notes that something happened, forgetting the oldest beyond [`MAX_TASK_EVENTS`].
    pub fn push_event(&mut self, event: TaskEvent) {
        self.events.push(event);
        if self.events.len() > MAX_TASK_EVENTS {
            self.events.remove(0);
        }
    }
}

impl Allocation {
    /// The job that it belongs to.
    pub fn job_key(&self) -> JobKey {
        JobKey { namespace: self.namespace.clone(), id: self.job_id.clone() }
    }
    /// True when neither the servers want it nor the client runs it.
    pub fn is_terminal(&self) -> bool {
        self.is_server_terminal() || self.client_status.is_terminal()
    }
    /// True when the servers want it stopped.
    pub fn is_server_terminal(&self) -> bool {
        self.desired_status != AllocDesiredStatus::Run
    }
    /// True while it holds its node's resources: until the client said that it ended.
    pub fn holds_resources(&self) -> bool {
        !self.client_status.is_terminal()
    }
    /// The version of the job that it runs.
    pub fn job_version(&self) -> u64 {
        self.job.as_ref().map_or(0, |j| j.version)
    }
    /// Its index within the group, from its name.
    pub fn index(&self) -> Option<u32> {
        crate::ids::alloc_index(&self.name)
    }
    /// True when its tasks ended well.
    pub fn ran_successfully(&self) -> bool {
        self.client_status == AllocClientStatus::Complete
    }
    /// True when it is known to be healthy in its deployment.
    pub fn is_healthy(&self) -> bool {
        self.deployment_status.as_ref().and_then(|s| s.healthy) == Some(true)
    }
    /// True when it is known to be unhealthy in its deployment.
    pub fn is_unhealthy(&self) -> bool {
        self.deployment_status.as_ref().and_then(|s| s.healthy) == Some(false)
    }
    /// The moment when its last task ended, `None` while any runs or none ever ended.
    pub fn finished_at(&self) -> Option<Timestamp> {
        if !self.client_status.is_terminal() {
            return None;
        }
        self.task_states.values().map(|s| s.finished_at).max().filter(|t| !t.is_never())
    }
}

/// What a client says of one of its allocations: on the wire, in the log and in its own database.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AllocUpdate {
    /// The allocation.
    pub id: AllocId,
    /// The node that says so; a word about another node's allocation is ignored.
    pub node_id: NodeId,
    /// Where it stands.
    pub client_status: AllocClientStatus,
    /// The same in words.
    pub client_description: String,
    /// Where its tasks stand.
    pub task_states: BTreeMap<String, TaskState>,
    /// Its health within its deployment, once known.
    pub deployment_status: Option<AllocDeploymentStatus>,
    /// Its network, once made.
    pub network_status: Option<AllocNetworkStatus>,
}

/// The delay before the replacement number `attempts` (from zero) under a policy's function.
pub fn reschedule_delay(function: DelayFunction, base: Nanos, max: Nanos, attempts: u32) -> Nanos {
    let capped = |n: i64| if max.0 > 0 { n.min(max.0) } else { n };
    match function {
        DelayFunction::Constant => base,
        DelayFunction::Exponential => {
            Nanos(capped(base.0.saturating_mul(1i64.checked_shl(attempts).filter(|n| *n > 0).unwrap_or(i64::MAX))))
        }
        DelayFunction::Fibonacci => {
            let (mut a, mut b) = (base.0, base.0);
            for _ in 0..attempts.min(100) {
                (a, b) = (b, a.saturating_add(b));
            }
            Nanos(capped(a))
        }
    }
}

mod shared_job {
    //! Serialises a shared job as the job itself.
    use super::{Arc, Job};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(job: &Option<Arc<Job>>, s: S) -> Result<S::Ok, S::Error> {
        job.as_deref().serialize(s)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Arc<Job>>, D::Error> {
        Ok(Option::<Job>::deserialize(d)?.map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_by_their_function_up_to_the_maximum() {
        let (base, max) = (Nanos::from_secs(5), Nanos::from_secs(60));
        let secs = |f, n| reschedule_delay(f, base, max, n).0 / 1_000_000_000;
        assert_eq!([0, 1, 2, 3, 4, 9].map(|n| secs(DelayFunction::Exponential, n)), [5, 10, 20, 40, 60, 60]);
        assert_eq!([0, 1, 2, 3, 4, 9].map(|n| secs(DelayFunction::Fibonacci, n)), [5, 5, 10, 15, 25, 60]);
        assert_eq!([0, 9].map(|n| secs(DelayFunction::Constant, n)), [5, 5]);
        assert_eq!(reschedule_delay(DelayFunction::Exponential, base, Nanos::ZERO, 200).0, i64::MAX);
    }
}
