//! Evaluations.

use super::{
    Ctx,
    answer::{Failure, Reply},
};
use floe_model::{EvalId, Evaluation};
use floe_state::Table;
use std::sync::Arc;

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let (job, status) = (ctx.query.get("job"), ctx.query.get("status"));
    let (rows, meta) = ctx
        .fetch(|state| {
            let rows: Vec<Arc<Evaluation>> = state
                .evals()
                .filter(|e| ctx.wants_namespace(&e.namespace) && e.id.as_str().starts_with(ctx.prefix()))
                .filter(|e| job.is_none_or(|j| e.job_id == *j) && status.is_none_or(|s| e.status.as_str() == s))
                .cloned()
                .collect();
            Ok((state.table_index(Table::Evals), rows))
        })
        .await?;
    let (rows, next) = ctx.page(rows, |e| e.id.to_string())?;
    Ok(Reply::read(&rows, meta)?.with_next_token(next))
}

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = EvalId::from(id);
    let related = ctx.query.flag("related").map_err(Failure::bad)?;
    ctx.read(|state| {
        let eval = state.eval(&id).ok_or_else(|| Failure::not_found("eval"))?;
        let mut eval = (**eval).clone();
        if related {
            let others = [&eval.next_eval, &eval.previous_eval, &eval.blocked_eval];
            eval.related_evals = others.into_iter().filter_map(|o| state.eval(o)).map(|e| e.stub()).collect();
        }
        Ok((eval.modify_index, eval))
    })
    .await
}

pub(super) async fn of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    ctx.read(|state| {
        let mut rows: Vec<Arc<Evaluation>> = state.evals_of_job(&key).cloned().collect();
        rows.sort_by_key(|e| std::cmp::Reverse(e.create_index));
        let index = rows.iter().map(|e| e.modify_index).max().unwrap_or_else(|| state.table_index(Table::Evals));
        Ok((index, rows))
    })
    .await
}
