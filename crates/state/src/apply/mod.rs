//! The one way to change the state: a function of the state, the index and the entry.
//!
//! Each kind of command has a file; all write through [`Writer`], which keeps the derived indexes true and notes what changed.

mod allocs;
mod authorities;
mod collect;
mod deployments;
mod evals;
mod jobs;
mod keyring;
mod nodes;
mod plans;
mod restore;
mod services;
mod tokens;
mod variables;
mod writer;

use crate::{
    command::{Command, Entry, Outcome, Refusal},
    ids::IdSource,
    requests::{Request, RequestId},
    state::State,
};
use floe_model::{AllocId, DeploymentId, EvalId, JobKey, NodeId, VariableKey};
use writer::Writer;

/// What an entry did.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// For the proposer.
    pub outcome: Outcome,
    /// For the watchers.
    pub effects: Effects,
}

/// What changed, in the order in which it changed; a thing that changed twice stands twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The changes.
    pub changes: Vec<Change>,
}

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the table, with the key of the row")]
pub enum Change {
    Job(JobKey),
    Node(NodeId),
    Alloc(AllocId),
    Eval(EvalId),
    Deployment(DeploymentId),
    Service {
        namespace: floe_model::Namespace,
        name: String,
    },
    Variable(VariableKey),
    /// A backup was restored: every row of every table may be another one.
    Everything,
}

impl State {
    /// Applies the entry at this place in the log. Never fails: what cannot be done is refused in the outcome, and then nothing
    /// changed (but that the pieces of a backup are gone that was to be restored and is refused).
    pub fn apply(&mut self, index: u64, entry: &Entry) -> Applied {
        self.log_index = index;
        let index = self.index();
        let mut w = Writer { state: self, index, now: entry.stamp.now, ids: IdSource::new(entry.stamp.seed), effects: Effects::default() };
        w.drop_abandoned_staging();
        let outcome = w.run(&entry.command).unwrap_or_else(Outcome::Refused);
        Applied { outcome, effects: w.effects }
    }

    /// Notes that an entry without a command (a blank or a membership change) stands at this place in the log.
    pub fn skip(&mut self, index: u64) {
        self.log_index = index;
    }
}

impl Writer<'_> {
    fn run(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        match command {
            Command::SetClusterVersion { version } => self.set_cluster_version(*version),
            Command::RegisterJob(request) => self.register_job(request),
            Command::DeregisterJob { key, purge } => self.deregister_job(key, *purge),
            Command::EvaluateJob { key } => self.evaluate_job(key),
            Command::RegisterNode { node } => self.register_node(node),
            Command::UpdateNodeStatus { updates } => self.update_node_status(updates),
            Command::DeleteNodes { ids } => self.delete_nodes(ids),
            Command::UpdateAllocs { updates } => self.update_allocs(updates),
            Command::StopAlloc { id } => self.stop_alloc(id),
            Command::Plan(plan) => self.apply_plan(plan),
            Command::UpdateEvals { evals } => self.update_evals(evals),
            Command::Collect { evals, allocs, jobs, deployments } => self.collect(evals, allocs, jobs, deployments),
            Command::CreateJoinToken { hash, role, expires } => self.create_join_token(hash, *role, *expires),
            Command::RefuseAgent { id } => self.refuse_agent(id),
            Command::RefuseClient { id } => self.refuse_client(id),
            Command::AcceptServer { id } => self.accept_server(id),
            Command::UseJoinToken { hash, role, id } => self.use_join_token(hash, *role, id),
            Command::Once { request, command } => self.once(request, command),
            // The servers compare what is reported; the state has no part in it.
            Command::ReportDigest(_) => Ok(Outcome::Done),
            Command::BeginFounding { founders } => self.begin_founding(founders),
            Command::AdmitFounder { hash, id } => self.admit_founder(hash, id),
            Command::StageRestore(piece) => self.stage_restore(piece),
            Command::Restore(wish) => self.restore(wish),
            Command::BeginRotation { present, next } => self.begin_rotation(present, next),
            Command::NoteRotation { round, id } => self.note_rotation(*round, id),
            Command::AdvanceRotation { round } => self.advance_rotation(*round),
            Command::CancelRotation { round } => self.cancel_rotation(*round),
            Command::Keyring(change) => self.keyring(change),
            Command::Variable(change) => self.variable(change),
            Command::UpdateDeployment { id, status, description } => self.update_deployment(id, *status, description),
        }
    }

    /// Does a write unless it was done under its id, and remembers what it came to, refusals too.
    fn once(&mut self, request: &RequestId, command: &Command) -> Result<Outcome, Refusal> {
        self.state.forget_requests(self.now);
        if let Some(known) = self.state.request(&request.id) {
            return match known.request == *request {
                true => Ok(Outcome::Repeated { index: known.index, outcome: Box::new(known.outcome.clone()) }),
                false => Err(Refusal::RequestIdReused(request.id.clone())),
            };
        }
        let outcome = match command {
            // One within another would go as deep as somebody likes.
            Command::Once { request, .. } => Outcome::Refused(Refusal::RequestIdReused(request.id.clone())),
            command => self.run(command).unwrap_or_else(Outcome::Refused),
        };
        self.state.set_request(Request { request: request.clone(), index: self.index, at: self.now, outcome: outcome.clone() });
        Ok(outcome)
    }

    fn set_cluster_version(&mut self, version: u32) -> Result<Outcome, Refusal> {
        let present = self.state.cluster_version;
        if version < present {
            return Err(Refusal::VersionGoesBack { wanted: version, present });
        }
        self.state.cluster_version = version;
        Ok(Outcome::Done)
    }
}
