//! Requests and responses, with the JSON names that clients know.

mod plan;

pub use plan::{JobPlanRequest, JobPlanResponse, PlanAnnotations};

use floe_model::{
    AllocClientStatus, AllocDesiredStatus, AllocId, Allocation, DeploymentId, EvalId, Job, JobId, JobStatus, JobType, Namespace, Nanos,
    Node, NodeId, NodeStatus, StringMap, TaskState, Timestamp,
    alloc::{AllocDeploymentStatus, RescheduleTracker},
    job::{JobSubmission, JobSummary},
    node::{DrainMetadata, DriverInfo, NodeReservedResources, NodeResources, SchedulingEligibility},
    resources::AllocatedResources,
    wire,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

wire! {
    /// Registers a job.
    pub struct JobRegisterRequest {
        "Job" job: Option<Job>,
        "Submission" submission: Option<JobSubmission>,
        "EnforceIndex" enforce_index: bool,
        "JobModifyIndex" job_modify_index: u64,
        "PreserveCounts" preserve_counts: bool,
        "PreserveResources" preserve_resources: bool,
        "PolicyOverride" policy_override: bool,
        "EvalPriority" eval_priority: i64,
        // Go's client puts these three beside every request.
        #[serde(skip_serializing_if = "String::is_empty")]
        "Region" region: String,
        #[serde(skip_serializing_if = "Namespace::is_empty")]
        "Namespace" namespace: Namespace,
        #[serde(skip_serializing_if = "String::is_empty")]
        "SecretID" secret_id: String,
    }

    /// A job was registered.
    pub struct JobRegisterResponse {
        "EvalID" eval_id: EvalId,
        "EvalCreateIndex" eval_create_index: u64,
        "JobModifyIndex" job_modify_index: u64,
        "Warnings" warnings: String,
        "Index" index: u64,
    }

    /// A job was stopped, or is to be evaluated.
    pub struct JobDeregisterResponse {
        "EvalID" eval_id: EvalId,
        "EvalCreateIndex" eval_create_index: u64,
        "JobModifyIndex" job_modify_index: u64,
        "Index" index: u64,
    }

    /// Asks whether a job would be taken.
    pub struct JobValidateRequest {
        "Job" job: Option<Job>,
        #[serde(skip_serializing_if = "String::is_empty")]
        "Region" region: String,
        #[serde(skip_serializing_if = "Namespace::is_empty")]
        "Namespace" namespace: Namespace,
        #[serde(skip_serializing_if = "String::is_empty")]
        "SecretID" secret_id: String,
    }

    /// Whether a job would be taken.
    pub struct JobValidateResponse {
        "DriverConfigValidated" driver_config_validated: bool,
        "ValidationErrors" validation_errors: Vec<String>,
        "Error" error: String,
        "Warnings" warnings: String,
    }

    /// Turns a job file into a job.
    pub struct JobsParseRequest {
        "JobHCL" job_hcl: String,
        "Variables" variables: String,
        "Canonicalize" canonicalize: bool,
    }

    /// Asks the scheduler to look at a job again.
    pub struct JobEvaluateRequest {
        "JobID" job_id: JobId,
        "EvalOptions" eval_options: EvalOptions,
    }

    /// How the scheduler is to look.
    pub struct EvalOptions {
        "ForceReschedule" force_reschedule: bool,
    }

    /// The short form of a job.
    pub struct JobListStub {
        "ID" id: JobId,
        "ParentID" parent_id: String,
        "Name" name: String,
        "Namespace" namespace: Namespace,
        "Datacenters" datacenters: Vec<String>,
        "NodePool" node_pool: String,
        "Type" job_type: JobType,
        "Priority" priority: i64,
        "Periodic" periodic: bool,
        "ParameterizedJob" parameterized_job: bool,
        "Stop" stop: bool,
        "Status" status: JobStatus,
        "StatusDescription" status_description: String,
        "JobSummary" job_summary: Option<JobSummary>,
        "Version" version: u64,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        "JobModifyIndex" job_modify_index: u64,
        "SubmitTime" submit_time: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Meta" meta: Option<StringMap>,
    }

    /// The kept versions of a job, newest first.
    pub struct JobVersionsResponse {
        "Versions" versions: Vec<Job>,
        "Diffs" diffs: Vec<serde_json::Value>,
    }

    /// The short form of an allocation.
    pub struct AllocationListStub {
        "ID" id: AllocId,
        "EvalID" eval_id: EvalId,
        "Name" name: String,
        "Namespace" namespace: Namespace,
        "NodeID" node_id: NodeId,
        "NodeName" node_name: String,
        "JobID" job_id: JobId,
        "JobType" job_type: JobType,
        "JobVersion" job_version: u64,
        "TaskGroup" task_group: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "AllocatedResources" allocated_resources: Option<AllocatedResources>,
        "DesiredStatus" desired_status: AllocDesiredStatus,
        "DesiredDescription" desired_description: String,
        "ClientStatus" client_status: AllocClientStatus,
        "ClientDescription" client_description: String,
        "TaskStates" task_states: BTreeMap<String, TaskState>,
        "DeploymentID" deployment_id: DeploymentId,
        "DeploymentStatus" deployment_status: Option<AllocDeploymentStatus>,
        "FollowupEvalID" followup_eval_id: EvalId,
        "NextAllocation" next_allocation: AllocId,
        "PreviousAllocation" previous_allocation: AllocId,
        "RescheduleTracker" reschedule_tracker: Option<RescheduleTracker>,
        "PreemptedAllocations" preempted_allocations: Vec<AllocId>,
        "PreemptedByAllocation" preempted_by_allocation: AllocId,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        "CreateTime" create_time: i64,
        "ModifyTime" modify_time: i64,
    }

    /// An allocation was stopped.
    pub struct AllocStopResponse {
        "EvalID" eval_id: EvalId,
        "Index" index: u64,
    }

    /// The short form of a node.
    pub struct NodeListStub {
        "Address" address: String,
        "ID" id: NodeId,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Attributes" attributes: Option<StringMap>,
        "Datacenter" datacenter: String,
        "Name" name: String,
        "NodeClass" node_class: String,
        "NodePool" node_pool: String,
        "Version" version: String,
        "Drain" drain: bool,
        "SchedulingEligibility" scheduling_eligibility: SchedulingEligibility,
        "Status" status: NodeStatus,
        "StatusDescription" status_description: String,
        "Drivers" drivers: BTreeMap<String, DriverInfo>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "NodeResources" node_resources: Option<NodeResources>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "ReservedResources" reserved_resources: Option<NodeReservedResources>,
        "LastDrain" last_drain: Option<DrainMetadata>,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
    }

    /// The services of a namespace.
    pub struct ServiceListStub {
        "Namespace" namespace: Namespace,
        "Services" services: Vec<ServiceStub>,
    }

    /// One service, with the tags of all its instances.
    pub struct ServiceStub {
        "ServiceName" service_name: String,
        "Tags" tags: Vec<String>,
    }

    /// The members of the cluster.
    pub struct ServerMembers {
        "ServerName" server_name: String,
        "ServerRegion" server_region: String,
        "ServerDC" server_dc: String,
        "Members" members: Vec<AgentMember>,
    }

    /// One server.
    pub struct AgentMember {
        "Name" name: String,
        "Addr" addr: String,
        "Port" port: u16,
        "Tags" tags: StringMap,
        "Status" status: String,
        "ProtocolMin" protocol_min: u8,
        "ProtocolMax" protocol_max: u8,
        "ProtocolCur" protocol_cur: u8,
        "DelegateMin" delegate_min: u8,
        "DelegateMax" delegate_max: u8,
        "DelegateCur" delegate_cur: u8,
    }

    /// A server's place in the agreement.
    pub struct RaftServer {
        "ID" id: String,
        "Node" node: String,
        "Address" address: String,
        "Leader" leader: bool,
        "Voter" voter: bool,
        "RaftProtocol" raft_protocol: String,
    }

    /// Who agrees with whom.
    pub struct RaftConfiguration {
        "Servers" servers: Vec<RaftServer>,
        "Index" index: u64,
    }

    /// Another server leads.
    pub struct LeadershipTransferResponse {
        "From" from: RaftServer,
        "To" to: RaftServer,
        "Noop" noop: bool,
    }

    /// Whether the cluster can lose servers.
    pub struct OperatorHealthReply {
        "Healthy" healthy: bool,
        "FailureTolerance" failure_tolerance: u64,
        "Servers" servers: Vec<ServerHealth>,
        "Leader" leader: String,
        "Voters" voters: Vec<String>,
    }

    /// Whether a server keeps up.
    pub struct ServerHealth {
        "ID" id: String,
        "Name" name: String,
        "Address" address: String,
        "SerfStatus" serf_status: String,
        "Version" version: String,
        "Leader" leader: bool,
        "LastContact" last_contact: Nanos,
        "LastTerm" last_term: u64,
        "LastIndex" last_index: u64,
        "Healthy" healthy: bool,
        "Voter" voter: bool,
        "StableSince" stable_since: Timestamp,
    }

    /// Asks for a token that lets one machine join.
    pub struct JoinTokenRequest {
        "Role" role: String,
        "TTL" ttl: Nanos,
    }

    /// A token that lets one machine join.
    pub struct JoinTokenResponse {
        "Token" token: String,
        "Role" role: String,
        "Expires" expires: Timestamp,
        "Servers" servers: Vec<String>,
    }

    /// What a restore came to.
    pub struct SnapshotRestoreResponse {
        "ContentDigest" content_digest: String,
        /// The index right after it.
        "Index" index: u64,
    }

    /// A root key, as everybody may see it.
    pub struct RootKeyMeta {
        "KeyID" key_id: String,
        "Algorithm" algorithm: String,
        /// active, inactive, rekeying or prepublished.
        "State" state: String,
        /// In nanoseconds since 1970.
        "CreateTime" create_time: i64,
        /// When it becomes active, in nanoseconds since 1970; zero unless it is prepublished.
        "PublishTime" publish_time: i64,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        /// The key-encryption keys that open it.
        "WrappedBy" wrapped_by: Vec<String>,
        /// How many things are sealed with it.
        "Sealed" sealed: u64,
        /// Why the server that answers cannot open it; empty when it can.
        "Closed" closed: String,
    }

    /// A root key was made.
    pub struct KeyringRotateResponse {
        "Key" key: RootKeyMeta,
    }

    /// Tasks are to be started anew.
    pub struct AllocRestartRequest {
        "TaskName" task_name: String,
        "AllTasks" all_tasks: bool,
    }

    /// Tasks get a signal.
    pub struct AllocSignalRequest {
        "Task" task: String,
        "Signal" signal: String,
    }

    /// A variable with what it holds.
    pub struct Variable {
        "Namespace" namespace: Namespace,
        "Path" path: String,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        /// In nanoseconds since 1970, as the next one.
        "CreateTime" create_time: i64,
        "ModifyTime" modify_time: i64,
        "Items" items: StringMap,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Lock" lock: Option<serde_json::Value>,
    }

    /// A variable without what it holds.
    pub struct VariableMetadata {
        "Namespace" namespace: Namespace,
        "Path" path: String,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        /// In nanoseconds since 1970, as the next one.
        "CreateTime" create_time: i64,
        "ModifyTime" modify_time: i64,
    }

    /// The cluster's authorities.
    pub struct AuthorityReply {
        "Step" step: String,
        "Begun" begun: Timestamp,
        "Authorities" authorities: Vec<AuthorityStatus>,
        "Pending" pending: Vec<PendingAgent>,
    }

    /// One of them.
    pub struct AuthorityStatus {
        "Fingerprint" fingerprint: String,
        "NotBefore" not_before: Timestamp,
        "NotAfter" not_after: Timestamp,
        "Signs" signs: bool,
    }

    /// An agent that the present step waits for.
    pub struct PendingAgent {
        "ID" id: String,
        "Name" name: String,
        "Role" role: String,
    }
}

/// What an agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSelf {
    /// Its configuration.
    pub config: serde_json::Value,
    /// Itself as a member, when it is a server.
    pub member: AgentMember,
    /// Figures by subsystem.
    pub stats: BTreeMap<String, StringMap>,
}

/// Whether an agent's parts are well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentHealth {
    /// The client part, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<PartHealth>,
    /// The server part, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<PartHealth>,
}

/// Whether one part is well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartHealth {
    /// Whether it is.
    pub ok: bool,
    /// In words.
    pub message: String,
}

impl From<&Allocation> for AllocationListStub {
    fn from(a: &Allocation) -> Self {
        AllocationListStub {
            id: a.id.clone(),
            eval_id: a.eval_id.clone(),
            name: a.name.clone(),
            namespace: a.namespace.clone(),
            node_id: a.node_id.clone(),
            node_name: a.node_name.clone(),
            job_id: a.job_id.clone(),
            job_type: a.job.as_ref().map(|j| j.job_type).unwrap_or_default(),
            job_version: a.job_version(),
            task_group: a.task_group.clone(),
            allocated_resources: None,
            desired_status: a.desired_status,
            desired_description: a.desired_description.clone(),
            client_status: a.client_status,
            client_description: a.client_description.clone(),
            task_states: a.task_states.clone(),
            deployment_id: a.deployment_id.clone(),
            deployment_status: a.deployment_status.clone(),
            followup_eval_id: a.followup_eval_id.clone(),
            next_allocation: a.next_allocation.clone(),
            previous_allocation: a.previous_allocation.clone(),
            reschedule_tracker: a.reschedule_tracker.clone(),
            preempted_allocations: a.preempted_allocations.clone(),
            preempted_by_allocation: a.preempted_by_allocation.clone(),
            create_index: a.create_index,
            modify_index: a.modify_index,
            create_time: a.create_time,
            modify_time: a.modify_time,
        }
    }
}

impl From<&Node> for NodeListStub {
    fn from(n: &Node) -> Self {
        NodeListStub {
            // The address alone: an IPv6 one stands in brackets only beside a port.
            address: n.http_addr.rsplit_once(':').map_or(n.http_addr.as_str(), |(host, _)| host).trim_matches(['[', ']']).to_owned(),
            id: n.id.clone(),
            attributes: None,
            datacenter: n.datacenter.clone(),
            name: n.name.clone(),
            node_class: n.node_class.clone(),
            node_pool: n.node_pool.clone(),
            version: n.attributes.get("nomad.version").cloned().unwrap_or_default(),
            drain: n.drain,
            scheduling_eligibility: n.scheduling_eligibility,
            status: n.status,
            status_description: n.status_description.clone(),
            drivers: n.drivers.clone(),
            node_resources: None,
            reserved_resources: None,
            last_drain: n.last_drain.clone(),
            create_index: n.create_index,
            modify_index: n.modify_index,
        }
    }
}

impl JobListStub {
    /// The short form of a job, with its counts.
    pub fn new(job: &Job, summary: Option<JobSummary>) -> Self {
        JobListStub {
            id: job.id.clone(),
            parent_id: job.parent_id.clone(),
            name: job.name.clone(),
            namespace: job.namespace.clone(),
            datacenters: job.datacenters.clone(),
            node_pool: job.node_pool.clone(),
            job_type: job.job_type,
            priority: job.priority(),
            periodic: job.periodic.is_some(),
            parameterized_job: job.parameterized_job.is_some(),
            stop: job.stop,
            status: job.status,
            status_description: job.status_description.clone(),
            job_summary: summary,
            version: job.version,
            create_index: job.create_index,
            modify_index: job.modify_index,
            job_modify_index: job.job_modify_index,
            submit_time: job.submit_time,
            meta: None,
        }
    }
}
