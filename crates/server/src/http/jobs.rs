//! Jobs.

use super::{
    Ctx,
    answer::{Failure, Reply},
    page::Order,
};
use crate::admission;
use axum::http::StatusCode;
use floe_api::types::{
    JobDeregisterResponse, JobListStub, JobRegisterRequest, JobRegisterResponse, JobValidateRequest, JobValidateResponse,
    JobVersionsResponse, JobsParseRequest,
};
use floe_model::{EvalId, Job, JobKey, Namespace, canonical, wire};
use floe_state::{Command, Outcome, State, Table, command::RegisterJob};
use serde::de::DeserializeOwned;
use std::sync::Arc;

impl Ctx {
    /// The body as a request, with the keys that nobody knows.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<wire::Decoded<T>, Failure> {
        wire::from_slice(&self.body).map_err(Failure::bad)
    }
    /// The key of a job of the namespace that is asked for.
    pub(crate) fn job_key(&self, id: &str) -> JobKey {
        JobKey { namespace: self.query.namespace(), id: id.into() }
    }
}

/// What the counts of a job follow from.
const SUMMARY_TABLES: &[Table] = &[Table::Jobs, Table::Allocs, Table::Evals];

/// The job, or the failure that clients know.
pub(crate) fn find<'s>(state: &'s State, key: &JobKey) -> Result<&'s Arc<Job>, Failure> {
    state.job(key).ok_or_else(|| Failure::not_found("job"))
}

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let with_meta = ctx.query.flag("meta").map_err(Failure::bad)?;
    let rows =
        |state: &State| Ok(state.jobs().filter(|j| ctx.wants_namespace(&j.namespace) && ctx.wants_id(j.id.as_str())).cloned().collect());
    ctx.list(SUMMARY_TABLES, Order::Id, rows, |state, job: &Arc<Job>| {
        let mut stub = JobListStub::new(job, state.job_summary(&job.key()));
        stub.meta = with_meta.then(|| job.meta.clone());
        stub
    })
    .await
}

/// The job of a request, in the namespace that is meant. `path_id` is the id that the path names, if it names one.
pub(super) fn submitted(ctx: &Ctx, job: Option<Job>, namespace: Namespace, path_id: Option<String>) -> Result<Job, Failure> {
    let mut job = job.ok_or_else(|| Failure::bad("Job must be specified"))?;
    if job.id.is_empty() {
        return Err(Failure::bad("Job ID hasn't been provided"));
    }
    if path_id.is_some_and(|id| job.id != *id) {
        return Err(Failure::bad("Job ID does not match name"));
    }
    if job.namespace.is_empty() {
        job.namespace = if namespace.is_empty() { ctx.query.namespace() } else { namespace };
    }
    Ok(job)
}

pub(super) async fn register(ctx: &Ctx, path_id: Option<String>) -> Result<Reply, Failure> {
    let decoded = ctx.decode::<JobRegisterRequest>()?;
    let request = decoded.value;
    if request.preserve_resources {
        return Err(Failure::bad("not supported yet: PreserveResources"));
    }
    let mut job = submitted(ctx, request.job, request.namespace, path_id)?;
    if request.preserve_counts {
        admission::preserve_counts(&mut job, &ctx.server()?.view());
    }
    let warnings = admission::admit(&mut job, &decoded.unknown).map_err(Failure::bad)?;
    let command = RegisterJob {
        job: Box::new(job),
        submission: request.submission,
        enforce_index: request.enforce_index.then_some(request.job_modify_index),
        eval_priority: (request.eval_priority > 0).then_some(request.eval_priority),
    };
    let (index, outcome) = ctx.write(Command::RegisterJob(command)).await?;
    let (eval_id, job_modify_index) = job_outcome(outcome)?;
    let response = JobRegisterResponse {
        eval_create_index: if eval_id.is_empty() { 0 } else { index },
        eval_id,
        job_modify_index,
        warnings: warnings.join("\n"),
        index,
    };
    Reply::written(&response, index)
}

pub(crate) fn job_outcome(outcome: Outcome) -> Result<(EvalId, u64), Failure> {
    match outcome {
        Outcome::Job { eval_id, job_modify_index } => Ok((eval_id, job_modify_index)),
        other => Err(Failure::text(StatusCode::INTERNAL_SERVER_ERROR, format!("a change of a job came to {other:?}"))),
    }
}

pub(super) fn parse(ctx: &Ctx) -> Result<Reply, Failure> {
    let request = ctx.decode::<JobsParseRequest>()?.value;
    if request.job_hcl.trim().is_empty() {
        return Err(Failure::bad("Job spec is empty: JobHCL has no text"));
    }
    let mut job = floe_jobspec::parse_hcl_text(&request.job_hcl, &request.variables).map_err(Failure::bad)?.job;
    if request.canonicalize {
        canonical::canonicalize(&mut job);
    }
    Reply::plain(&job)
}

pub(super) fn validate(ctx: &Ctx) -> Result<Reply, Failure> {
    let decoded = ctx.decode::<JobValidateRequest>()?;
    let mut job = decoded.value.job.ok_or_else(|| Failure::bad("Job must be specified"))?;
    let mut response = JobValidateResponse { driver_config_validated: true, ..JobValidateResponse::default() };
    match admission::admit(&mut job, &decoded.unknown) {
        Ok(warnings) => response.warnings = warnings.join("\n"),
        Err(rejection) => {
            response.error = rejection.to_string();
            response.validation_errors = rejection.0;
        }
    }
    Reply::plain(&response)
}

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    ctx.read(Table::Jobs, "job", |state| state.job(&key).map(|j| (j.modify_index, j.clone()))).await
}

pub(super) async fn stop(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let purge = ctx.query.flag("purge").map_err(Failure::bad)?;
    for name in ["global", "no_shutdown_delay"] {
        if ctx.query.flag(name).map_err(Failure::bad)? {
            return Err(Failure::bad(format!("not supported yet: query parameter {name}")));
        }
    }
    if ctx.query.number("eval_priority").map_err(Failure::bad)?.is_some_and(|p| p > 0) {
        return Err(Failure::bad("not supported yet: query parameter eval_priority"));
    }
    let (index, outcome) = ctx.write(Command::DeregisterJob { key: ctx.job_key(&id), purge }).await?;
    deregistered(outcome, index)
}

pub(super) async fn evaluate(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    if !ctx.body.is_empty() && ctx.decode::<floe_api::types::JobEvaluateRequest>()?.value.eval_options.force_reschedule {
        return Err(Failure::bad("not supported yet: ForceReschedule"));
    }
    let (index, outcome) = ctx.write(Command::EvaluateJob { key: ctx.job_key(&id) }).await?;
    deregistered(outcome, index)
}

/// The answers to stopping and to evaluating have the same form.
fn deregistered(outcome: Outcome, index: u64) -> Result<Reply, Failure> {
    let (eval_id, job_modify_index) = job_outcome(outcome)?;
    Reply::written(&JobDeregisterResponse { eval_id, eval_create_index: index, job_modify_index, index }, index)
}

pub(super) async fn summary(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    ctx.read(Table::Jobs, "job", |state| {
        let index = SUMMARY_TABLES.iter().map(|t| state.table_index(*t)).max().unwrap_or(0);
        state.job_summary(&key).map(|summary| (index, summary))
    })
    .await
}

pub(super) async fn versions(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    if ctx.query.flag("diffs").map_err(Failure::bad)? {
        return Err(Failure::bad("not supported yet: query parameter diffs"));
    }
    let key = ctx.job_key(&id);
    ctx.read(Table::Jobs, "job versions", |state| {
        let versions = state.job_versions(&key);
        let index = versions.first()?.modify_index;
        Some((index, JobVersionsResponse { versions: versions.iter().map(|j| (**j).clone()).collect(), diffs: Vec::new() }))
    })
    .await
}

pub(super) async fn submission(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    let version = ctx.query.number("version").map_err(Failure::bad)?;
    ctx.read(Table::Jobs, "job source", |state| {
        let job = state.job(&key)?;
        Some((job.modify_index, state.submission(&key, version.unwrap_or(job.version))?.clone()))
    })
    .await
}
