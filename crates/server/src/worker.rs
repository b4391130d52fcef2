//! A worker: takes an evaluation, asks the scheduler, proposes the plan, and tries again when part of it did not fit any more.

use crate::leader::LeaderHandle;
use floe_consensus::{Consensus, ProposeError, executor};
use floe_control::Delivery;
use floe_model::{Evaluation, JobType};
use floe_scheduler::{Decision, Request, Scheduler, plan_attempts};
use floe_state::{Command, Outcome, State};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How long a worker rests when nobody leads.
const REST: Duration = Duration::from_millis(100);

/// What became of an evaluation.
enum End {
    /// It is answered (or no longer ours to answer).
    Answered,
    /// The log could not be written: somebody should try again.
    TryAgain,
}

pub(crate) async fn run(consensus: Consensus, leader: LeaderHandle, stop: CancellationToken) {
    let mut scheduler = Scheduler::default();
    while let Some(delivery) = stop.run_until_cancelled(leader.dequeue(JobType::ALL)).await {
        let Some(delivery) = delivery else {
            tokio::time::sleep(REST).await;
            continue;
        };
        match work(&consensus, &leader, &delivery, &mut scheduler).await {
            Ok(End::Answered) => leader.ack(&delivery).await,
            Ok(End::TryAgain) => leader.nack(&delivery).await,
            Err(error) => {
                tracing::warn!(eval = %delivery.eval.id, %error, "the plan was not written");
                leader.nack(&delivery).await;
            }
        }
    }
}

async fn work(consensus: &Consensus, leader: &LeaderHandle, delivery: &Delivery, scheduler: &mut Scheduler) -> Result<End, ProposeError> {
    let eval = &delivery.eval;
    let mut based_on = eval.modify_index;
    for _ in 0..plan_attempts(eval.job_type) {
        let Some(view) = view_at(consensus, based_on).await else { return Ok(End::TryAgain) };
        let Some(decision) = decide(scheduler, consensus, view, eval.clone()).await else { return Ok(End::TryAgain) };
        if !leader.is_outstanding(delivery).await {
            return Ok(End::Answered);
        }
        let proposed = consensus.propose_as_leader(Command::Plan(Box::new(decision.plan))).await?;
        match proposed.outcome {
            Outcome::Plan { rejected } if rejected.is_empty() => return Ok(End::Answered),
            Outcome::Plan { rejected } => {
                tracing::debug!(eval = %eval.id, nodes = rejected.len(), "part of the plan did not fit any more");
                based_on = proposed.index;
            }
            other => {
                tracing::error!(eval = %eval.id, ?other, "a plan came to something that no plan comes to");
                return Ok(End::TryAgain);
            }
        }
    }
    // What is still wanted is queued, and waits for a change after the last plan.
    let Some(view) = view_at(consensus, based_on).await else { return Ok(End::TryAgain) };
    let Some(wanted) = decide(scheduler, consensus, view, eval.clone()).await else { return Ok(End::TryAgain) };
    let evals = floe_scheduler::give_up(eval, &wanted.plan, consensus.draw());
    consensus.propose_as_leader(Command::UpdateEvals { evals }).await?;
    Ok(End::Answered)
}

/// The state once it has come to `index`; `None` when this server stopped.
async fn view_at(consensus: &Consensus, index: u64) -> Option<State> {
    let mut views = consensus.watch();
    let view = views.wait_for(|view| view.index() >= index).await.ok()?;
    Some(view.clone())
}

/// Runs the scheduler on a thread of its own: it may take long, and heartbeats do not wait. `None` when it panicked.
async fn decide(scheduler: &mut Scheduler, consensus: &Consensus, view: State, eval: Arc<Evaluation>) -> Option<Decision> {
    let mut own = std::mem::take(scheduler);
    let (now, seed) = (consensus.now(), consensus.draw());
    let task = executor::blocking_or_lost(move || {
        let decision = own.schedule(Request { view: &view, eval: &eval, now, seed });
        (own, decision)
    });
    match task.await {
        Ok((own, decision)) => {
            *scheduler = own;
            Some(decision)
        }
        Err(error) => {
            tracing::error!(%error, "the scheduler failed");
            None
        }
    }
}
