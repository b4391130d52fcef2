//! What a scheduler proposes. Apply checks each touched node again and does the part that still fits.

use floe_model::{AllocClientStatus, AllocId, Allocation, Deployment, DeploymentId, EvalId, Evaluation, Job, deployment::DeploymentStatus};
use serde::{Deserialize, Serialize};

/// The cluster version from which on a plan for an evaluation that has ended changes nothing. Such a plan was on its way when the evaluation was
/// canceled or answered otherwise; another one of the job may be at work already, and both would place.
pub const ENDED_CHANGES_NOTHING: u32 = 3;

/// A proposal to change allocations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The evaluation that it answers.
    pub eval_id: EvalId,
    /// The state that it was made from.
    pub based_on: u64,
    /// All placements or none.
    pub all_at_once: bool,
    /// The job whose version the placements run; sent once, not with each allocation. `None` when only stopping.
    pub job: Option<Box<Job>>,
    /// Allocations to stop.
    pub stops: Vec<Stop>,
    /// New allocations, and existing ones (same id) to be updated in place. Their `job` field is empty.
    pub placements: Vec<Allocation>,
    /// A deployment to begin.
    pub deployment: Option<Deployment>,
    /// Deployments to end.
    pub deployment_updates: Vec<DeploymentUpdate>,
    /// Evaluations that the stops refer to (follow-ups): written whatever becomes of the placements.
    pub evals: Vec<Evaluation>,
    /// Evaluations to write once everything was placed: the answered one as complete, a blocked one for what found no node. Written in the
    /// same entry as the placements, so that an evaluation costs one write to disk.
    pub on_commit: Vec<Evaluation>,
}

impl Plan {
    /// True when it changes no allocation and no deployment.
    pub fn is_empty(&self) -> bool {
        self.stops.is_empty() && self.placements.is_empty() && self.deployment.is_none() && self.deployment_updates.is_empty()
    }
}

/// An allocation to stop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stop {
    /// The allocation.
    pub id: AllocId,
    /// Why, for people.
    pub description: String,
    /// Set when the servers speak for a client that is gone: `lost`.
    pub client_status: Option<AllocClientStatus>,
    /// The evaluation that will replace it later.
    pub followup_eval_id: EvalId,
}

/// A deployment's end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentUpdate {
    /// The deployment.
    pub id: DeploymentId,
    /// Its new status.
    pub status: DeploymentStatus,
    /// Why.
    pub description: String,
}
