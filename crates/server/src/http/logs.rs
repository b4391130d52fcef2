//! A task's output: from the node in this process, or through the agent that has it.

use super::{
    Ctx,
    answer::{Failure, Reply},
    proxy,
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use floe_api::node::{LogError, LogKind, LogPiece, LogRequest};
use floe_model::AllocId;
use futures::{StreamExt, TryStreamExt};

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = AllocId::from(id);
    let request = parse(ctx, id.clone())?;
    let path = format!("/v1/client/fs/logs/{}", floe_api::client::escape(id.as_str()));
    if let Some(answer) = proxy::to_node_of(ctx, &id, Method::GET, &path).await? {
        return Ok(Reply::Raw(answer));
    }
    let node = ctx.agent.node.get().ok_or_else(|| Failure::text(StatusCode::NOT_FOUND, "this agent runs no tasks"))?;
    let plain = ctx.query.flag("plain").map_err(Failure::bad)?;
    let pieces = match node.logs(request).await {
        Ok(pieces) => pieces,
        // Somebody else's: a server knows whose.
        Err(LogError::UnknownAlloc(_)) if ctx.agent.server.is_none() && !ctx.passed_on => {
            return proxy::ask_server(ctx, Method::GET, &format!("/v1/client/fs/logs/{}", floe_api::client::escape(id.as_str())))
                .await
                .map(Reply::Raw);
        }
        Err(error) => return Err(failure(&error)),
    };
    let bytes = pieces.map(move |piece| piece.map(|p| if plain { p.data } else { frame(&p) })).map_err(std::io::Error::other);
    let mut response = Response::new(Body::from_stream(bytes));
    // A stream of unknown length that must not wait in a compressor: see the router.
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(Reply::Raw(response))
}

fn parse(ctx: &Ctx, alloc: AllocId) -> Result<LogRequest, Failure> {
    let task = ctx.query.get("task").filter(|t| !t.is_empty()).ok_or_else(|| Failure::bad("must provide task name"))?;
    let kind = match ctx.query.get("type").unwrap_or("stdout") {
        "stdout" | "" => LogKind::Stdout,
        "stderr" => LogKind::Stderr,
        other => return Err(Failure::bad(format!("log type {other:?} must be stdout or stderr"))),
    };
    let from_end = match ctx.query.get("origin").unwrap_or("start") {
        "start" | "" => false,
        "end" => true,
        other => return Err(Failure::bad(format!("origin {other:?} must be start or end"))),
    };
    Ok(LogRequest {
        alloc,
        task: task.to_owned(),
        kind,
        follow: ctx.query.flag("follow").map_err(Failure::bad)?,
        offset: ctx.query.number("offset").map_err(Failure::bad)?.unwrap_or(0),
        from_end,
    })
}

/// A piece as clients read it: JSON with the bytes in base64.
fn frame(piece: &LogPiece) -> Bytes {
    let json = serde_json::json!({ "File": piece.file, "Offset": piece.offset, "Data": base64(&piece.data) });
    Bytes::from(json.to_string())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn failure(error: &LogError) -> Failure {
    let status = match error {
        LogError::UnknownAlloc(_) | LogError::UnknownTask { .. } | LogError::NotStarted { .. } => StatusCode::NOT_FOUND,
        LogError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Failure::text(status, error.to_string())
}
