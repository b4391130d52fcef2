//! What can be asked of the state. A command is a wish with everything decided that a pure function cannot decide.

use crate::{
    digest::Digest,
    keyring::{KeyringChange, KeyringRefusal},
    plan::Plan,
    requests::RequestId,
    restore::{Restore, RestoreRefusal, Restored, StageRestore},
    tokens::{FOUNDING_TIME, JoinRole, MAX_FOUNDERS, MAX_JOIN_TOKENS, MAX_REFUSED_AGENTS},
    variables::{VariableChange, VariableRefusal},
};
pub use floe_model::alloc::AllocUpdate;
use floe_model::{
    AllocId, DeploymentId, EvalId, Evaluation, Job, JobKey, Node, NodeId, NodeStatus, Timestamp, deployment::DeploymentStatus,
    job::JobSubmission,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The version of commands and snapshots that this build writes. Raised when an older build could not apply what we write.
///
/// | version | brings |
/// |---|---|
/// | 1 | the first one |
/// | 2, 3 | what [`Command::since`] says |
/// | 4 | [`crate::restore::ENDED_AFTER_A_PLAN`] |
/// | 5 | variables; [`crate::fit::DEVICES_ARE_HELD`]; [`TASKS_IN_ORDER`] |
pub const CLUSTER_VERSION: u32 = 5;

/// From this version of commands on, jobs may hold tasks that wait `after` others, which older servers would drop from the job, and the services of a
/// group are listed while its main tasks do their work.
pub const TASKS_IN_ORDER: u32 = 5;

/// What the leader puts into an entry because a pure function has neither clock nor chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The leader's time when it proposed the entry.
    pub now: Timestamp,
    /// 128 random bits, from which apply draws ids.
    pub seed: (u64, u64),
}

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Time and chance.
    pub stamp: Stamp,
    /// The wish.
    pub command: Command,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.command.name())
    }
}

/// A change of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// The first entry of a cluster, and each upgrade: which version of commands may be written from here on.
    SetClusterVersion {
        /// The version; never lower than the present one.
        version: u32,
    },
    /// Creates or replaces a job and asks the scheduler to look at it.
    RegisterJob(RegisterJob),
    /// Stops a job, and forgets it when `purge` is set.
    DeregisterJob {
        /// The job.
        key: JobKey,
        /// Forget it, rather than keep it as dead.
        purge: bool,
    },
    /// Asks the scheduler to look at a job again.
    EvaluateJob {
        /// The job.
        key: JobKey,
    },
    /// A node registers, or registers again with other attributes.
    RegisterNode {
        /// The node as its client sees it; what the servers decide (eligibility, events) is kept.
        node: Box<Node>,
    },
    /// Nodes were heard of again, or not heard of for too long.
    UpdateNodeStatus {
        /// The nodes with their new status.
        updates: Vec<NodeStatusUpdate>,
    },
    /// Forgets nodes that are down.
    DeleteNodes {
        /// The nodes.
        ids: Vec<NodeId>,
    },
    /// Clients report on their allocations: one command per server tick for all nodes.
    UpdateAllocs {
        /// The reports.
        updates: Vec<AllocUpdate>,
    },
    /// A user stops an allocation; the scheduler replaces it.
    StopAlloc {
        /// The allocation.
        id: AllocId,
    },
    /// The scheduler's proposal; the part that still fits is done.
    Plan(Box<Plan>),
    /// The scheduler says what became of evaluations, or makes new ones.
    UpdateEvals {
        /// The evaluations.
        evals: Vec<Evaluation>,
    },
    /// Forgets what is over: evaluations with their allocations, jobs, deployments.
    Collect {
        /// Terminal evaluations.
        evals: Vec<EvalId>,
        /// Terminal allocations.
        allocs: Vec<AllocId>,
        /// Dead jobs.
        jobs: Vec<JobKey>,
        /// Deployments that are over.
        deployments: Vec<DeploymentId>,
    },
    /// A deployment ends or pauses.
    UpdateDeployment {
        /// The deployment.
        id: DeploymentId,
        /// Its new status.
        status: DeploymentStatus,
        /// Why.
        description: String,
    },
    /// Lets one machine join the cluster.
    CreateJoinToken {
        /// The hash of the token's secret, as hexadecimal digits.
        hash: String,
        /// What the machine joins as.
        role: JoinRole,
        /// When the token ends.
        expires: Timestamp,
    },
    /// An agent is not to come back under its id: its server was removed for good.
    RefuseAgent {
        /// Its id, from its key.
        id: String,
    },
    /// A client is not to come back under its id: its certificate counts no more. Its node is down from now on.
    RefuseClient {
        /// Its id, from its key.
        id: String,
    },
    /// A server that was removed for good may come back under its id after all.
    AcceptServer {
        /// Its id, from its key.
        id: String,
    },
    /// A machine joins.
    UseJoinToken {
        /// The hash of the token's secret, as hexadecimal digits.
        hash: String,
        /// What the machine joins as.
        role: JoinRole,
        /// Its id, from its key.
        id: String,
    },
    /// A server says what its state amounts to, so that all can compare. Changes nothing.
    ReportDigest(Box<DigestReport>),
    /// A cluster that several servers begin together: who they are.
    BeginFounding {
        /// Their ids, from their keys.
        founders: BTreeSet<String>,
    },
    /// One of those servers is to join, by a token that is its own.
    AdmitFounder {
        /// The hash of the token's secret, as hexadecimal digits.
        hash: String,
        /// Its id, from its key.
        id: String,
    },
    /// A piece of a backup that is to be restored; kept until the last one.
    StageRestore(StageRestore),
    /// All pieces came: the backup's content takes the place of the present one.
    Restore(Restore),
    /// A write that is done at most once under its id, however often it comes.
    Once {
        /// Which write it is.
        request: RequestId,
        /// What to do; never another [`Command::Once`].
        command: Box<Command>,
    },
    /// Another authority is to take the place of the present one.
    BeginRotation {
        /// The certificate of the present authority, in DER.
        present: Vec<u8>,
        /// That of the next one.
        next: Vec<u8>,
    },
    /// An agent has done what the present step of the rotation asks.
    NoteRotation {
        /// Of which step it speaks: see [`crate::authorities::Authorities::round`].
        round: u64,
        /// Its id, from its key.
        id: String,
    },
    /// The rotation goes on with its next step, or is over.
    AdvanceRotation {
        /// Which step is over.
        round: u64,
    },
    /// The rotation is given up.
    CancelRotation {
        /// In which step.
        round: u64,
    },
    /// Root keys, and what is sealed with them.
    Keyring(Box<KeyringChange>),
    /// A variable, whose items are sealed.
    Variable(Box<VariableChange>),
}

/// See [`Command::ReportDigest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestReport {
    /// The server's id.
    pub server: String,
    /// The entry after which its state had this digest.
    pub index: u64,
    /// What the digest was made of: [`crate::digest::FORM`].
    pub form: String,
    /// The digest of the state.
    pub digest: Digest,
    /// The digests of its tables, by name.
    pub tables: Vec<(String, Digest)>,
}

impl Command {
    /// The first cluster version in which all servers know this command. It must not be written before.
    pub fn since(&self) -> u32 {
        match self {
            Command::Variable(_) => 5,
            Command::Keyring(_) => 3,
            Command::ReportDigest(_)
            | Command::AcceptServer { .. }
            | Command::RefuseClient { .. }
            | Command::BeginRotation { .. }
            | Command::NoteRotation { .. }
            | Command::AdvanceRotation { .. }
            | Command::CancelRotation { .. }
            | Command::BeginFounding { .. }
            | Command::AdmitFounder { .. }
            | Command::StageRestore(_)
            | Command::Restore(_) => 2,
            Command::Once { command, .. } => command.since().max(2),
            Command::RegisterJob(r) if r.job.task_groups.iter().flat_map(|g| &g.tasks).any(|t| !t.after.is_empty()) => TASKS_IN_ORDER,
            Command::SetClusterVersion { .. }
            | Command::RegisterJob(_)
            | Command::DeregisterJob { .. }
            | Command::EvaluateJob { .. }
            | Command::RegisterNode { .. }
            | Command::UpdateNodeStatus { .. }
            | Command::DeleteNodes { .. }
            | Command::UpdateAllocs { .. }
            | Command::StopAlloc { .. }
            | Command::Plan(_)
            | Command::UpdateEvals { .. }
            | Command::Collect { .. }
            | Command::UpdateDeployment { .. }
            | Command::CreateJoinToken { .. }
            | Command::RefuseAgent { .. }
            | Command::UseJoinToken { .. } => 1,
        }
    }

    /// The name of the kind of command, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Command::SetClusterVersion { .. } => "set-cluster-version",
            Command::RegisterJob(_) => "register-job",
            Command::DeregisterJob { .. } => "deregister-job",
            Command::EvaluateJob { .. } => "evaluate-job",
            Command::RegisterNode { .. } => "register-node",
            Command::UpdateNodeStatus { .. } => "update-node-status",
            Command::DeleteNodes { .. } => "delete-nodes",
            Command::UpdateAllocs { .. } => "update-allocs",
            Command::StopAlloc { .. } => "stop-alloc",
            Command::Plan(_) => "plan",
            Command::UpdateEvals { .. } => "update-evals",
            Command::Collect { .. } => "collect",
            Command::UpdateDeployment { .. } => "update-deployment",
            Command::CreateJoinToken { .. } => "create-join-token",
            Command::RefuseAgent { .. } => "refuse-agent",
            Command::RefuseClient { .. } => "refuse-client",
            Command::AcceptServer { .. } => "accept-server",
            Command::UseJoinToken { .. } => "use-join-token",
            Command::ReportDigest(_) => "report-digest",
            Command::BeginFounding { .. } => "begin-founding",
            Command::AdmitFounder { .. } => "admit-founder",
            Command::StageRestore(_) => "stage-restore",
            Command::Restore(_) => "restore",
            Command::Once { command, .. } => command.name(),
            Command::BeginRotation { .. } => "begin-rotation",
            Command::NoteRotation { .. } => "note-rotation",
            Command::AdvanceRotation { .. } => "advance-rotation",
            Command::CancelRotation { .. } => "cancel-rotation",
            Command::Keyring(change) => change.name(),
            Command::Variable(change) => change.name(),
        }
    }
}

/// See [`Command::RegisterJob`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegisterJob {
    /// The job: canonical, validated and supported.
    pub job: Box<Job>,
    /// The text that it was made from.
    pub submission: Option<JobSubmission>,
    /// Refuse unless the job's modify index is this (zero: unless it does not exist).
    pub enforce_index: Option<u64>,
    /// The priority of the evaluation, when it differs from the job's.
    pub eval_priority: Option<i64>,
}

/// A node's new status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatusUpdate {
    /// The node.
    pub id: NodeId,
    /// Its new status.
    pub status: NodeStatus,
    /// What happened, for the node's events.
    pub message: String,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done; nothing to say.
    Done,
    /// A job was registered, stopped or is to be evaluated.
    Job {
        /// The evaluation that was made; empty when none was needed.
        eval_id: EvalId,
        /// The job's modify index now.
        job_modify_index: u64,
    },
    /// Evaluations were made.
    Evals(Vec<EvalId>),
    /// A plan was applied.
    Plan {
        /// Nodes where placements did not fit any more; nothing was placed there.
        rejected: Vec<NodeId>,
    },
    /// A variable was written; its modify index is that of the entry.
    Variable {
        /// When it was made.
        create_index: u64,
        /// The same as a time, in nanoseconds since 1970.
        create_time: i64,
        /// When it was written, in nanoseconds since 1970.
        modify_time: i64,
    },
    /// A backup was restored.
    Restored(Restored),
    /// It was done before, under the same id. Not done again.
    Repeated {
        /// The index of its entry.
        index: u64,
        /// What it came to then.
        outcome: Box<Outcome>,
    },
    /// Nothing was changed, because the wish cannot be met.
    Refused(Refusal),
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The job does not exist.
    #[error("job {0:?} not found")]
    JobNotFound(JobKey),
    /// The id belongs to another write.
    #[error("the idempotency token {0:?} was used for another request: draw a new one for each request")]
    RequestIdReused(String),
    /// The node does not exist.
    #[error("node {0:?} not found")]
    NodeNotFound(NodeId),
    /// The allocation does not exist.
    #[error("allocation {0:?} not found")]
    AllocNotFound(AllocId),
    /// The deployment does not exist or is over.
    #[error("deployment {0:?} not found or already over")]
    DeploymentNotFound(DeploymentId),
    /// Somebody else changed the job in between. (The prefix is what clients match.)
    #[error("Enforcing job modify index {wanted}: {}", if *.found == 0 { "job does not exist".to_owned() } else { format!("job exists with conflicting job modify index: {found}") })]
    IndexConflict {
        /// The index that the caller saw.
        wanted: u64,
        /// The index that the job has (zero: it does not exist).
        found: u64,
    },
    /// A command of a newer version than the cluster runs.
    #[error("cluster version {wanted} is lower than the present version {present}")]
    VersionGoesBack {
        /// The version asked for.
        wanted: u32,
        /// The present version.
        present: u32,
    },
    /// Deregistering a node that still runs.
    #[error("node {0:?} is not down; only nodes that are down can be forgotten")]
    NodeNotDown(NodeId),
    /// More join tokens than anybody needs.
    #[error("{MAX_JOIN_TOKENS} join tokens wait already: let some expire first")]
    TooManyJoinTokens,
    /// A token that this cluster did not make, or that expired long ago.
    #[error("this cluster does not know the join token: make a new one on a server (floe server token)")]
    JoinTokenUnknown,
    /// A token past its time.
    #[error("the join token has expired: make a new one on a server (floe server token)")]
    JoinTokenExpired,
    /// A token that let another machine in.
    #[error("the join token was used already, by {0}: make a new one on a server (floe server token)")]
    JoinTokenUsed(String),
    /// A machine that was removed for good.
    #[error(
        "{0} was removed from the cluster for good: remove its data folder, and let it join as a new one, with a token (floe server token); a server \
         can also be taken in again as it is (floe operator raft add-peer)"
    )]
    AgentRefused(String),
    /// More removed machines than anybody has.
    #[error("{MAX_REFUSED_AGENTS} removed machines are remembered already, and there is no room for more")]
    TooManyRefusedAgents,
    /// A server that did not begin the cluster.
    #[error(
        "{0} is none of the servers that began this cluster: let it join with a token (floe server token -server, given as join_token_file)"
    )]
    NotFounder(String),
    /// A server that came too late.
    #[error(
        "the servers that began this cluster could join it by their bootstrap secret for {FOUNDING_TIME}, and that is over: let this one join with a \
         token (floe server token -server, given as join_token_file)"
    )]
    FoundingOver,
    /// More servers than can begin a cluster.
    #[error("{0} servers cannot begin a cluster together: at most {MAX_FOUNDERS} can")]
    TooManyFounders(usize),
    /// A backup that is not restored.
    #[error(transparent)]
    Restore(#[from] RestoreRefusal),
    /// One at a time.
    #[error("the authority is being replaced already: floe operator ca status says how far that has come")]
    RotationUnderWay,
    /// The server that asks has an authority that was replaced.
    #[error("this server's authority is not the cluster's present one: wait until it has caught up, and try again")]
    OtherAuthority,
    /// There is none, or it has gone on.
    #[error("no such step of a change of the authority is under way (any more): floe operator ca status says how far it has come")]
    NoSuchRotation,
    /// Agents have certificates of the next authority.
    #[error("the next authority signs already, so this cannot be cancelled: let it come to its end, and replace the authority again")]
    RotationTooFar,
    /// What is not done to the root keys.
    #[error(transparent)]
    Keyring(#[from] KeyringRefusal),
    /// What is not done to a variable.
    #[error(transparent)]
    Variable(#[from] VariableRefusal),
    /// A token for the other role.
    #[error("the join token is for a {given}, but this machine joins as a {wanted}: make one with -{wanted}")]
    JoinTokenRole {
        /// What the machine joins as.
        wanted: JoinRole,
        /// What the token is for.
        given: JoinRole,
    },
}
