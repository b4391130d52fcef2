//! Placement decisions: what a job needs, and where it goes. Pure.
//!
//! ```text
//! (View, Evaluation, now, seed)  --schedule-->  Plan (stops, placements, deployments, evaluations) + Explanation
//! ```
//!
//! The function is deterministic and never fails: what cannot be placed is explained and waits in a blocked evaluation. It changes
//! nothing; apply checks the plan again and does the part that still fits. It never looks at more nodes than it must, in an order drawn
//! from the seed, and at none of what other jobs run there: the state knows what is used of each node.
//!
//! | module | holds |
//! |---|---|
//! | `reconcile` | what each group of a service or batch job has, wants and needs; deployments; retries |
//! | `generic`, `system` | carry that out for the two families of jobs |
//! | `roster` | the schedulable nodes by datacenter and pool, kept between evaluations |
//! | `feasible` | whether a node is meant for a group: constraints, drivers, network; the answers are kept with the roster |
//! | `rules` | a group's requirements, compiled once per evaluation |
//! | `board` | the view with the plan so far laid over it |
//! | `place`, `rank`, `ports`, `ask` | finds the best of the first feasible nodes, and what the allocation holds there |
//! | `draft` | the plan's last form, and what becomes of the evaluation |
//! | [`preview`] | what would be decided if a job were registered |
//! | [`explain`], [`explanation`] | words |
#![forbid(unsafe_code)]

mod ask;
mod board;
mod chance;
mod devices;
mod draft;
pub mod explain;
pub mod explanation;
mod feasible;
mod generic;
mod place;
mod ports;
pub mod preview;
mod rank;
mod reconcile;
mod roster;
mod rules;
mod system;
mod words;

pub use explain::explain;
pub use explanation::Explanation;
pub use feasible::BRIDGE_ATTRIBUTE;
pub use preview::{Preview, preview};

use draft::Draft;
use explanation::Step;
use floe_model::{AllocClientStatus, Evaluation, Job, JobType, Timestamp};
use floe_state::{Plan, State, ids::IdSource, plan::Stop};
use place::Placer;
use reconcile::rollout;
use roster::Roster;

/// How many plans for one evaluation of a service job may meet a changed cluster.
pub const SERVICE_PLAN_ATTEMPTS: u32 = 5;
/// The same for a batch job.
pub const BATCH_PLAN_ATTEMPTS: u32 = 2;
/// The same for a system job.
pub const SYSTEM_PLAN_ATTEMPTS: u32 = 5;
/// The same for a sysbatch job.
pub const SYSBATCH_PLAN_ATTEMPTS: u32 = 2;

/// How many plans for one evaluation may meet a changed cluster before [`give_up`].
pub fn plan_attempts(job_type: JobType) -> u32 {
    match job_type {
        JobType::Service => SERVICE_PLAN_ATTEMPTS,
        JobType::Batch => BATCH_PLAN_ATTEMPTS,
        JobType::System => SYSTEM_PLAN_ATTEMPTS,
        JobType::Sysbatch => SYSBATCH_PLAN_ATTEMPTS,
    }
}

/// What is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The state that the decision is made from.
    pub view: &'a State,
    /// The evaluation to answer.
    pub eval: &'a Evaluation,
    /// The present time.
    pub now: Timestamp,
    /// Random bits, for ids and for the order of nodes. Never the same twice: a second attempt for the same evaluation needs its own, or
    /// its allocations would get the ids of the first.
    pub seed: (u64, u64),
}

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// For the state: changes, follow-up evaluations, and in `on_commit` what becomes of the evaluation itself.
    pub plan: Plan,
    /// For people.
    pub explanation: Explanation,
}

/// A scheduler that remembers which nodes there are, and which of the constraints that jobs had so far hold on each, so that an evaluation
/// costs no look at each. Its decisions do not depend on it.
///
/// Keep one per worker and per cluster: it takes two states with the same index of the node table for states with the same nodes.
#[derive(Debug, Default)]
pub struct Scheduler {
    roster: Option<Roster>,
}

impl Scheduler {
    /// Decides what to do about an evaluation.
    pub fn schedule(&mut self, request: Request<'_>) -> Decision {
        let roster = match self.roster.take() {
            Some(roster) if roster.is_current(request.view) => roster,
            _ => Roster::new(request.view),
        };
        decide(&request, self.roster.insert(roster))
    }
}

/// Decides what to do about an evaluation. See [`Scheduler`] for many in a row.
pub fn schedule(request: Request<'_>) -> Decision {
    Scheduler::default().schedule(request)
}

/// What becomes of an evaluation whose plans met a changed cluster too often: it fails, and a blocked one goes on when things calm down.
///
/// `wanted` is what would be decided now; it is not applied. All that it would place is queued, and the blocked one waits for a change
/// after the state that it was made from. The seed is for the new one's id.
pub fn give_up(eval: &Evaluation, wanted: &Plan, seed: (u64, u64)) -> Vec<Evaluation> {
    draft::give_up(eval, wanted, seed, plan_attempts(eval.job_type))
}

fn decide(request: &Request<'_>, roster: &mut Roster) -> Decision {
    let mut ids = IdSource::new(request.seed);
    let job = request.view.job(&request.eval.job_key()).map(|j| &**j);
    let draft = match job.filter(|j| !j.stop) {
        None => stop_all(request, job),
        // Its children have evaluations of their own.
        Some(job) if job.is_template() => Draft::default(),
        Some(job) => {
            let placer = Placer::new(request.view, job, request.eval, roster.candidates(job), request.seed);
            if job.job_type.is_system() {
                system::run(request, job, placer, &mut ids)
            } else {
                generic::run(request, job, placer, &mut ids)
            }
        }
    };
    draft::finish(request, job, draft, &mut ids)
}

/// The job is stopped or gone: so are its allocations.
fn stop_all(request: &Request<'_>, job: Option<&Job>) -> Draft {
    let key = request.eval.job_key();
    let mut draft = Draft { deployment_updates: rollout::outdated(request.view, &key, job), ..Draft::default() };
    for alloc in request.view.allocs_of_job(&key) {
        // A failed one that the job may still want replaced is stopped too, so that it stays over when the job starts again.
        let waits = alloc.client_status == AllocClientStatus::Failed && !alloc.is_server_terminal();
        if alloc.is_terminal() && (!waits || request.eval.job_type.is_batch()) {
            continue;
        }
        let lost = if waits { None } else { reconcile::lost(request.view, alloc) };
        draft.stops.push(Stop {
            id: alloc.id.clone(),
            description: lost.unwrap_or(words::JOB_STOPPED).to_owned(),
            client_status: lost.map(|_| AllocClientStatus::Lost),
            ..Stop::default()
        });
        draft.explanation.count(&alloc.task_group, Step::Stop, 1);
        draft.explanation.because(&alloc.task_group, lost.unwrap_or(words::JOB_STOPPED), 1);
    }
    draft
}
