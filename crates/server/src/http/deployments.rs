//! Deployments.

use super::{
    Ctx,
    answer::{Failure, Reply},
};
use floe_model::{Deployment, DeploymentId};
use floe_state::Table;
use std::sync::Arc;

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let (rows, meta) = ctx
        .fetch(|state| {
            let wanted = |d: &&Arc<Deployment>| ctx.wants_namespace(&d.namespace) && d.id.as_str().starts_with(ctx.prefix());
            Ok((state.table_index(Table::Deployments), state.deployments().filter(wanted).cloned().collect::<Vec<_>>()))
        })
        .await?;
    let (rows, next) = ctx.page(rows, |d| d.id.to_string())?;
    Ok(Reply::read(&rows, meta)?.with_next_token(next))
}

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = DeploymentId::from(id);
    ctx.read(|state| state.deployment(&id).map(|d| (d.modify_index, d.clone())).ok_or_else(|| Failure::not_found("deployment"))).await
}

pub(super) async fn of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    ctx.read(|state| {
        let rows: Vec<Arc<Deployment>> = state.deployments_of_job(&key).cloned().collect();
        let index = rows.iter().map(|d| d.modify_index).max().unwrap_or_else(|| state.table_index(Table::Deployments));
        Ok((index, rows))
    })
    .await
}

/// `null` when the job never had one.
pub(super) async fn latest_of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    ctx.read(|state| {
        let latest = state.latest_deployment(&key).cloned();
        Ok((latest.as_ref().map_or_else(|| state.table_index(Table::Deployments), |d| d.modify_index), latest))
    })
    .await
}
