//! What registering a job would come to: the scheduler is asked about a copy of the state, and nothing is written.

use super::{
    Ctx,
    answer::{Failure, Reply},
    jobs,
};
use crate::admission;
use axum::http::StatusCode;
use floe_api::types::{JobPlanRequest, JobPlanResponse, PlanAnnotations};
use floe_consensus::executor;
use floe_model::{Job, Timestamp};
use floe_scheduler::Preview;
use floe_state::State;
use std::time::Duration;

/// How many jobs a server plans at once: each keeps a processor busy, and evaluations that are wanted in earnest come first.
pub(crate) const MAX_PLANS: usize = 2;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);

pub(super) async fn plan(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let decoded = ctx.decode::<JobPlanRequest>()?;
    let JobPlanRequest { job, diff, namespace, .. } = decoded.value;
    let mut job = jobs::submitted(ctx, job, namespace, Some(id))?;
    let warnings = admission::admit(&mut job, &decoded.unknown).map_err(Failure::bad)?;
    let server = ctx.server()?;
    let turn = tokio::time::timeout(TURN, server.plans().acquire()).await;
    let _turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
    let state = ctx.present_state().await?;
    let meta = ctx.meta(state.index())?;
    let (job, preview) = preview(ctx, state, job).await?;
    let response = JobPlanResponse {
        job_modify_index: preview.present.as_ref().map_or(0, |present| present.job_modify_index),
        diff: diff.then(|| preview.diff(&job)),
        annotations: Some(PlanAnnotations { desired_tg_updates: preview.desired(), preempted_allocs: Vec::new() }),
        created_evals: preview.evals,
        failed_tg_allocs: preview.failed,
        next_periodic_launch: Timestamp::NEVER,
        warnings: warnings.join("\n"),
    };
    Reply::read(&response, meta)
}

/// Runs the scheduler on a thread of its own: it may take long, and heartbeats do not wait.
async fn preview(ctx: &Ctx, state: State, job: Job) -> Result<(Job, Preview), Failure> {
    let consensus = ctx.server()?.consensus();
    let (now, seed) = (consensus.now(), consensus.draw());
    let work = executor::blocking_or_lost(move || {
        let preview = floe_scheduler::preview(&state, &job, now, seed);
        (job, preview)
    });
    let failed = |why: String| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, format!("plan the job: {why}"));
    let (job, preview) = work.await.map_err(|e| failed(e.to_string()))?;
    Ok((job, preview.map_err(|refusal| failed(refusal.to_string()))?))
}

fn busy() -> Failure {
    let text =
        format!("this server plans {MAX_PLANS} jobs already and none was done within {} s: try again, or ask another one", TURN.as_secs());
    Failure::text(StatusCode::SERVICE_UNAVAILABLE, text)
}
