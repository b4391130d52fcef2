//! Allocations.

use super::{
    Ctx,
    answer::{Failure, Reply},
    jobs::job_outcome,
    page::Order,
};
use floe_api::types::{AllocStopResponse, AllocationListStub};
use floe_model::{AllocId, Allocation, DeploymentId, EvalId, NodeId};
use floe_state::{Command, State, Table};
use std::sync::Arc;

/// Lists allocations in their short form, with the parts that are asked for.
async fn stubs(ctx: &Ctx, order: Order, rows: impl FnOnce(&State) -> Result<Vec<Arc<Allocation>>, Failure>) -> Result<Reply, Failure> {
    let resources = ctx.query.flag("resources").map_err(Failure::bad)?;
    let task_states = ctx.query.get("task_states").is_none() || ctx.query.flag("task_states").map_err(Failure::bad)?;
    ctx.list(&[Table::Allocs], order, rows, |_, alloc| {
        let mut stub = AllocationListStub::from(&**alloc);
        if resources {
            stub.allocated_resources = Some(alloc.allocated_resources.clone());
        }
        if !task_states {
            stub.task_states.clear();
        }
        stub
    })
    .await
}

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let wanted = |a: &&Arc<Allocation>| ctx.wants_namespace(&a.namespace) && ctx.wants_id(a.id.as_str());
    stubs(ctx, Order::Oldest, |state| Ok(state.allocs().filter(wanted).cloned().collect())).await
}

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = AllocId::from(id);
    ctx.read(Table::Allocs, "alloc", |state| state.alloc(&id).map(|a| (a.modify_index, a.clone()))).await
}

pub(super) async fn stop(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    for name in ["no_shutdown_delay", "reschedule"] {
        if ctx.query.flag(name).map_err(Failure::bad)? {
            return Err(Failure::bad(format!("not supported yet: query parameter {name}")));
        }
    }
    let (index, outcome) = ctx.write(Command::StopAlloc { id: id.into() }).await?;
    let (eval_id, _) = job_outcome(outcome)?;
    Reply::written(&AllocStopResponse { eval_id, index }, index)
}

pub(super) async fn of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    let all = ctx.query.flag("all").map_err(Failure::bad)?;
    stubs(ctx, Order::Id, |state| {
        // Those of an earlier job of the same name are shown only when asked for.
        let created = state.job(&key).map_or(0, |j| j.create_index);
        let shown = |a: &&Arc<Allocation>| all || a.job.as_ref().is_none_or(|j| j.create_index >= created);
        Ok(state.allocs_of_job(&key).filter(shown).cloned().collect())
    })
    .await
}

pub(super) async fn of_eval(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = EvalId::from(id);
    stubs(ctx, Order::Id, |state| {
        let eval = state.eval(&id).ok_or_else(|| Failure::not_found("eval"))?;
        Ok(state.allocs_of_job(&eval.job_key()).filter(|a| a.eval_id == id).cloned().collect())
    })
    .await
}

pub(super) async fn of_deployment(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = DeploymentId::from(id);
    stubs(ctx, Order::Id, |state| {
        let deployment = state.deployment(&id).ok_or_else(|| Failure::not_found("deployment"))?;
        Ok(state.allocs_of_job(&deployment.job_key()).filter(|a| a.deployment_id == id).cloned().collect())
    })
    .await
}

/// The allocations of a node in their long form.
pub(super) async fn of_node(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = NodeId::from(id);
    let rows = |state: &State| Ok(state.allocs_of_node(&id).cloned().collect());
    ctx.list(&[Table::Allocs], Order::Id, rows, |_, alloc: &Arc<Allocation>| alloc.clone()).await
}
