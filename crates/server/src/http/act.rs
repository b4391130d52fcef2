//! What is asked of tasks that run: by the node in this process, or through the agent that has them.

use super::{
    Ctx,
    answer::{Failure, Reply},
    proxy,
};
use axum::http::{Method, StatusCode};
use floe_api::{
    node::{ActError, ActRequest, TaskAction},
    types::{AllocRestartRequest, AllocSignalRequest},
};
use floe_model::AllocId;

pub(super) async fn restart(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let wish = if ctx.body.is_empty() { AllocRestartRequest::default() } else { ctx.decode::<AllocRestartRequest>()?.value };
    if wish.all_tasks {
        return Err(Failure::bad("not supported yet: AllTasks; without it, or with a TaskName, tasks that run are started anew"));
    }
    act(ctx, id, "restart", wish.task_name, TaskAction::Restart).await
}

pub(super) async fn signal(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let wish = ctx.decode::<AllocSignalRequest>()?.value;
    act(ctx, id, "signal", wish.task, TaskAction::Signal(wish.signal)).await
}

async fn act(ctx: &Ctx, id: String, verb: &str, task: String, action: TaskAction) -> Result<Reply, Failure> {
    let id = AllocId::from(id);
    let path = format!("/v1/client/allocation/{}/{verb}", floe_api::client::escape(id.as_str()));
    if let Some(answer) = proxy::to_node_of(ctx, &id, Method::PUT, &path).await? {
        return Ok(Reply::Raw(answer));
    }
    let node = ctx.agent.node.get().ok_or_else(|| Failure::text(StatusCode::NOT_FOUND, "this agent runs no tasks"))?;
    let task = Some(task).filter(|task| !task.is_empty());
    match node.act(ActRequest { alloc: id, task, action }).await {
        Ok(()) => Reply::plain(&serde_json::json!({})),
        // Somebody else's: a server knows whose.
        Err(ActError::UnknownAlloc(_)) if ctx.agent.server.is_none() && !ctx.passed_on => {
            proxy::ask_server(ctx, Method::PUT, &path).await.map(Reply::Raw)
        }
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &ActError) -> Failure {
    let status = match error {
        ActError::UnknownAlloc(_) | ActError::UnknownTask { .. } => StatusCode::NOT_FOUND,
        ActError::NotRunning(_) | ActError::InvalidSignal(_) => StatusCode::BAD_REQUEST,
        ActError::Signal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Failure::text(status, error.to_string())
}
