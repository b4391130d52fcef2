//! Allocations.

use super::{
    Ctx,
    answer::{Failure, Reply},
    jobs::job_outcome,
};
use floe_api::types::{AllocStopResponse, AllocationListStub};
use floe_model::{AllocId, Allocation, DeploymentId, EvalId, NodeId};
use floe_state::{Command, State, Table};
use std::sync::Arc;

/// The stubs of allocations, and the index at which one of them (or, when there is none, any) last changed.
fn stubs<'a>(state: &State, allocs: impl Iterator<Item = &'a Arc<Allocation>>, with_resources: bool) -> (u64, Vec<AllocationListStub>) {
    let mut index = 0;
    let stubs: Vec<_> = allocs
        .map(|a| {
            index = index.max(a.modify_index);
            let mut stub = AllocationListStub::from(&**a);
            if with_resources {
                stub.allocated_resources = Some(a.allocated_resources.clone());
            }
            stub
        })
        .collect();
    (if stubs.is_empty() { state.table_index(Table::Allocs) } else { index }, stubs)
}

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let resources = ctx.query.flag("resources").map_err(Failure::bad)?;
    let (rows, meta) = ctx
        .fetch(|state| {
            let rows = state.allocs().filter(|a| ctx.wants_namespace(&a.namespace) && a.id.as_str().starts_with(ctx.prefix()));
            Ok((state.table_index(Table::Allocs), stubs(state, rows, resources).1))
        })
        .await?;
    let (rows, next) = ctx.page(rows, |a| a.id.to_string())?;
    Ok(Reply::read(&rows, meta)?.with_next_token(next))
}

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = AllocId::from(id);
    ctx.read(|state| state.alloc(&id).map(|a| (a.modify_index, a.clone())).ok_or_else(|| Failure::not_found("alloc"))).await
}

pub(super) async fn stop(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    for name in ["no_shutdown_delay", "reschedule"] {
        if ctx.query.flag(name).map_err(Failure::bad)? {
            return Err(Failure::bad(format!("not supported yet: query parameter {name}")));
        }
    }
    let (index, outcome) = ctx.server()?.propose(Command::StopAlloc { id: id.into() }).await?;
    let (eval_id, _) = job_outcome(outcome)?;
    Reply::written(&AllocStopResponse { eval_id, index }, index)
}

pub(super) async fn of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    let all = ctx.query.flag("all").map_err(Failure::bad)?;
    ctx.read(|state| {
        // Those of an earlier job of the same name are shown only when asked for.
        let created = state.job(&key).map_or(0, |j| j.create_index);
        Ok(stubs(state, state.allocs_of_job(&key).filter(|a| all || a.job.as_ref().is_none_or(|j| j.create_index >= created)), false))
    })
    .await
}

pub(super) async fn of_eval(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = EvalId::from(id);
    ctx.read(|state| {
        let eval = state.eval(&id).ok_or_else(|| Failure::not_found("eval"))?;
        Ok(stubs(state, state.allocs_of_job(&eval.job_key()).filter(|a| a.eval_id == id), false))
    })
    .await
}

pub(super) async fn of_deployment(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = DeploymentId::from(id);
    ctx.read(|state| {
        let deployment = state.deployment(&id).ok_or_else(|| Failure::not_found("deployment"))?;
        Ok(stubs(state, state.allocs_of_job(&deployment.job_key()).filter(|a| a.deployment_id == id), false))
    })
    .await
}

pub(super) async fn of_node(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = NodeId::from(id);
    ctx.read(|state| {
        let allocs: Vec<Arc<Allocation>> = state.allocs_of_node(&id).cloned().collect();
        let index = allocs.iter().map(|a| a.modify_index).max().unwrap_or_else(|| state.table_index(Table::Allocs));
        Ok((index, allocs))
    })
    .await
}
