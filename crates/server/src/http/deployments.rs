//! Deployments.

use super::{
    Ctx,
    answer::{Failure, Reply},
    page::Order,
};
use floe_model::{Deployment, DeploymentId};
use floe_state::{State, Table};
use std::sync::Arc;

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let wanted = |d: &&Arc<Deployment>| ctx.wants_namespace(&d.namespace) && ctx.wants_id(d.id.as_str());
    let rows = |state: &State| Ok(state.deployments().filter(wanted).cloned().collect());
    ctx.list(&[Table::Deployments], Order::Oldest, rows, |_, d: &Arc<Deployment>| d.clone()).await
}

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = DeploymentId::from(id);
    ctx.read(Table::Deployments, "deployment", |state| state.deployment(&id).map(|d| (d.modify_index, d.clone()))).await
}

pub(super) async fn of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    let all = ctx.query.flag("all").map_err(Failure::bad)?;
    let rows = |state: &State| {
        // Those of an earlier job of the same name are shown only when asked for.
        let created = state.job(&key).map_or(0, |j| j.create_index);
        Ok(state.deployments_of_job(&key).filter(|d| all || d.job_create_index >= created).cloned().collect())
    };
    ctx.list(&[Table::Deployments], Order::Newest, rows, |_, d: &Arc<Deployment>| d.clone()).await
}

/// `null` when the job never had one.
pub(super) async fn latest_of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    // When the latest is forgotten an older one takes its place, whose own index would go back.
    let find = |state: &State| Some((state.table_index(Table::Deployments), state.latest_deployment(&key).cloned()));
    ctx.read(Table::Deployments, "deployment", find).await
}
