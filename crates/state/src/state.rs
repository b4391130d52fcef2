//! The tables, the indexes that are derived from them, and reads.

use crate::{
    authorities::Authorities,
    fit::Usage,
    index::Index,
    keyring::{SealedAuthority, WrappedKey},
    requests::Request,
    restore::{Restored, Staging},
    table::Rows,
    tokens::{Founding, JoinToken},
};
use floe_model::{
    AllocId, Allocation, Deployment, DeploymentId, EvalId, Evaluation, Job, JobKey, Namespace, Node, NodeId, ServiceRegistration, Variable,
    VariableKey,
    job::{JobSubmission, JobSummary, TaskGroupSummary},
    keyring::KeyId,
};
use imbl::OrdMap;
use std::sync::Arc;

/// A table of the state; each remembers the index that last changed it, for blocking queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each variant is the table that it names")]
pub enum Table {
    Jobs,
    Nodes,
    Allocs,
    Evals,
    Deployments,
    Services,
    Variables,
}

/// How many tables there are.
pub(crate) const TABLES: usize = 7;

/// How many versions of a job are kept, beside the tagged ones.
pub const TRACKED_JOB_VERSIONS: usize = 6;

/// A service registration is found by namespace, name and id.
pub(crate) type ServiceKey = (Namespace, String, String);

/// Everything that the servers agree on. A clone is a snapshot: O(1), and never changes.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The place in the log of the last entry that was applied.
    pub(crate) log_index: u64,
    /// How far the index that everybody sees is ahead of it; grows with each restore.
    pub(crate) offset: u64,
    pub(crate) cluster_version: u32,
    pub(crate) table_index: [u64; TABLES],
    pub(crate) jobs: Rows<JobKey, Arc<Job>>,
    pub(crate) job_versions: Rows<(JobKey, u64), Arc<Job>>,
    pub(crate) submissions: Rows<(JobKey, u64), Arc<JobSubmission>>,
    pub(crate) nodes: Rows<NodeId, Arc<Node>>,
    pub(crate) allocs: Rows<AllocId, Arc<Allocation>>,
    pub(crate) evals: Rows<EvalId, Arc<Evaluation>>,
    pub(crate) deployments: Rows<DeploymentId, Arc<Deployment>>,
    pub(crate) services: Rows<ServiceKey, Arc<ServiceRegistration>>,
    pub(crate) variables: Rows<VariableKey, Arc<Variable>>,
    pub(crate) join_tokens: Rows<String, Arc<JoinToken>>,
    /// Servers, each with the client that may run in it.
    pub(crate) refused_agents: Rows<String, ()>,
    pub(crate) refused_clients: Rows<String, ()>,
    pub(crate) founding: Option<Arc<Founding>>,
    pub(crate) authorities: Option<Arc<Authorities>>,
    pub(crate) root_keys: Rows<KeyId, Arc<WrappedKey>>,
    /// By the fingerprints of their certificates.
    pub(crate) sealed_authorities: Rows<String, Arc<SealedAuthority>>,
    /// The newest restore.
    pub(crate) restored: Restored,
    /// The pieces of a restore that is under way.
    pub(crate) staging: Option<Arc<Staging>>,
    pub(crate) requests: Rows<String, Arc<Request>>,
    /// The ids of `requests` by index, oldest first. Derived; never encoded.
    pub(crate) request_order: OrdMap<u64, String>,
    /// Derived from the tables; never encoded.
    pub(crate) derived: Index,
}

impl State {
    /// The index of the last entry that was applied, as rows, answers and everybody outside of the log count: it never goes back, and is above the
    /// indexes of all rows, also of restored ones.
    pub fn index(&self) -> u64 {
        self.log_index.saturating_add(self.offset)
    }
    /// The place in the log of the last entry that was applied, as the servers' agreement counts. Nothing else may: see [`State::index`].
    pub fn log_index(&self) -> u64 {
        self.log_index
    }
    /// The index of the last entry that changed `table`.
    pub fn table_index(&self, table: Table) -> u64 {
        self.table_index.get(table as usize).copied().unwrap_or(0)
    }
    /// The version of commands that may be written; zero before the first entry.
    pub fn cluster_version(&self) -> u32 {
        self.cluster_version
    }

    /// The job, if it exists.
    pub fn job(&self, key: &JobKey) -> Option<&Arc<Job>> {
        self.jobs.get(key)
    }
    /// All jobs in order of namespace and id.
    pub fn jobs(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.values()
    }
    /// One version of a job, the present one included.
    pub fn job_version(&self, key: &JobKey, version: u64) -> Option<&Arc<Job>> {
        self.job_versions.get(&(key.clone(), version))
    }
    /// The kept versions of a job, newest first.
    pub fn job_versions(&self, key: &JobKey) -> Vec<Arc<Job>> {
        let mut all: Vec<_> = self.job_versions.range((key.clone(), 0)..=(key.clone(), u64::MAX)).map(|(_, j)| j.clone()).collect();
        all.reverse();
        all
    }
    /// The text that a version of a job was made from.
    pub fn submission(&self, key: &JobKey, version: u64) -> Option<&Arc<JobSubmission>> {
        self.submissions.get(&(key.clone(), version))
    }

    /// The node, if it is known.
    pub fn node(&self, id: &NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(id)
    }
    /// All nodes in order of id.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// The allocation, if it is known.
    pub fn alloc(&self, id: &AllocId) -> Option<&Arc<Allocation>> {
        self.allocs.get(id)
    }
    /// All allocations in order of id.
    pub fn allocs(&self) -> impl Iterator<Item = &Arc<Allocation>> {
        self.allocs.values()
    }
    /// The allocations on a node, ended ones included.
    pub fn allocs_of_node(&self, id: &NodeId) -> impl Iterator<Item = &Arc<Allocation>> {
        self.derived.node(id).into_iter().flat_map(|n| &n.allocs).filter_map(|a| self.allocs.get(a))
    }
    /// What is used of a node by its allocations that are not over, and by itself; `None` when nothing is.
    pub fn usage_of_node(&self, id: &NodeId) -> Option<&Usage> {
        self.derived.node(id).map(|n| &n.usage)
    }
    /// The allocations of a job, ended ones included.
    pub fn allocs_of_job(&self, key: &JobKey) -> impl Iterator<Item = &Arc<Allocation>> {
        self.derived.job(key).into_iter().flat_map(|j| &j.allocs).filter_map(|a| self.allocs.get(a))
    }

    /// The evaluation, if it is known.
    pub fn eval(&self, id: &EvalId) -> Option<&Arc<Evaluation>> {
        self.evals.get(id)
    }
    /// All evaluations in order of id.
    pub fn evals(&self) -> impl Iterator<Item = &Arc<Evaluation>> {
        self.evals.values()
    }
    /// The evaluations of a job that are not over.
    pub(crate) fn open_evals_of_job(&self, key: &JobKey) -> impl Iterator<Item = &Arc<Evaluation>> {
        self.derived.job(key).into_iter().flat_map(|j| &j.open_evals).filter_map(|e| self.evals.get(e))
    }
    /// The evaluations of a job.
    pub fn evals_of_job(&self, key: &JobKey) -> impl Iterator<Item = &Arc<Evaluation>> {
        self.derived.job(key).into_iter().flat_map(|j| &j.evals).filter_map(|e| self.evals.get(e))
    }

    /// The deployment, if it is known.
    pub fn deployment(&self, id: &DeploymentId) -> Option<&Arc<Deployment>> {
        self.deployments.get(id)
    }
    /// All deployments in order of id.
    pub fn deployments(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        self.deployments.values()
    }
    /// The deployments of a job.
    pub fn deployments_of_job(&self, key: &JobKey) -> impl Iterator<Item = &Arc<Deployment>> {
        self.derived.job(key).into_iter().flat_map(|j| &j.deployments).filter_map(|d| self.deployments.get(d))
    }
    /// The newest deployment of a job.
    pub fn latest_deployment(&self, key: &JobKey) -> Option<&Arc<Deployment>> {
        self.deployments_of_job(key).max_by_key(|d| d.create_index)
    }

    /// All service registrations in order of namespace, name and id.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceRegistration>> {
        self.services.values()
    }
    /// The instances of one service.
    pub fn service(&self, namespace: &Namespace, name: &str) -> impl Iterator<Item = &Arc<ServiceRegistration>> {
        let first = (namespace.clone(), name.to_owned(), String::new());
        self.services.range(first..).map(|(_, s)| s).take_while(move |s| s.service_name == name && s.namespace == *namespace)
    }
    /// The registrations that an allocation holds.
    pub fn services_of_alloc(&self, id: &AllocId) -> impl Iterator<Item = &Arc<ServiceRegistration>> {
        self.derived.services(id).into_iter().flatten().filter_map(|k| self.services.get(k))
    }

    /// The join tokens that have not been forgotten, in order of their hashes.
    pub fn join_tokens(&self) -> impl Iterator<Item = &Arc<JoinToken>> {
        self.join_tokens.values()
    }

    /// The join token whose secret has this hash.
    pub fn join_token(&self, hash: &str) -> Option<&Arc<JoinToken>> {
        self.join_tokens.get(hash)
    }

    /// Whether the agent with this id, server or client, was removed for good.
    pub fn is_agent_refused(&self, id: &str) -> bool {
        self.refused_agents.contains_key(id) || self.refused_clients.contains_key(id)
    }

    /// Whether the server with this id was removed for good.
    pub fn is_server_refused(&self, id: &str) -> bool {
        self.refused_agents.contains_key(id)
    }

    /// The servers that began the cluster together; `None` when one server did.
    pub fn founding(&self) -> Option<&Arc<Founding>> {
        self.founding.as_ref()
    }

    /// The cluster's authorities; `None` until the first one is to be replaced.
    pub fn authorities(&self) -> Option<&Arc<Authorities>> {
        self.authorities.as_ref()
    }

    /// Counts of a job's allocations by group and status; `None` when the job has no row.
    pub fn job_summary(&self, key: &JobKey) -> Option<JobSummary> {
        let job = self.jobs.get(key)?;
        let mut summary = JobSummary {
            job_id: key.id.clone(),
            namespace: key.namespace.clone(),
            create_index: job.create_index,
            modify_index: job.modify_index,
            ..JobSummary::default()
        };
        for group in &job.task_groups {
            summary.summary.insert(group.name.clone(), TaskGroupSummary::default());
        }
        let Some(derived) = self.derived.job(key) else { return Some(summary) };
        summary.modify_index = summary.modify_index.max(derived.last_change());
        summary.summary.extend(derived.groups.iter().map(|(group, counts)| (group.to_string(), counts.clone())));
        for (group, queued) in derived.newest_answer().and_then(|e| self.evals.get(e)).into_iter().flat_map(|e| &e.queued_allocations) {
            summary.summary.entry(group.clone()).or_default().queued = i64::try_from(*queued).unwrap_or(i64::MAX);
        }
        Some(summary)
    }
}
