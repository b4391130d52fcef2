//! Evaluations.

use super::{
    Ctx,
    answer::{Failure, Reply},
    page::Order,
};
use floe_model::{EvalId, Evaluation};
use floe_state::Table;
use std::sync::Arc;

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let given = |name: &str| ctx.query.get(name).filter(|v| !v.is_empty());
    let (job, status) = (given("job"), given("status"));
    let wanted = |e: &&Arc<Evaluation>| {
        ctx.wants_namespace(&e.namespace)
            && ctx.wants_id(e.id.as_str())
            && job.is_none_or(|j| e.job_id == *j)
            && status.is_none_or(|s| e.status.as_str() == s)
    };
    ctx.list(
        &[Table::Evals],
        Order::Oldest,
        |state| Ok(state.evals().filter(wanted).cloned().collect()),
        |_, e: &Arc<Evaluation>| e.clone(),
    )
    .await
}

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = EvalId::from(id);
    let related = ctx.query.flag("related").map_err(Failure::bad)?;
    ctx.read(Table::Evals, "eval", |state| {
        let mut eval = (**state.eval(&id)?).clone();
        if related {
            let others = [&eval.next_eval, &eval.previous_eval, &eval.blocked_eval];
            eval.related_evals = others.into_iter().filter_map(|o| state.eval(o)).map(|e| e.stub()).collect();
        }
        Some((eval.modify_index, eval))
    })
    .await
}

pub(super) async fn of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    let rows = |state: &floe_state::State| Ok(state.evals_of_job(&key).cloned().collect());
    ctx.list(&[Table::Evals], Order::Newest, rows, |_, e: &Arc<Evaluation>| e.clone()).await
}
