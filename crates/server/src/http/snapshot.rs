//! Snapshots of the cluster, to keep elsewhere and to restore.

use super::{
    Ctx,
    answer::{Failure, Reply},
};
use crate::backup::{self, RestoreError, SaveError};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use floe_api::{DIGEST_HEADER, types::SnapshotRestoreResponse};

/// The state as a file: of everything that was acknowledged, or with `stale` of what this server knows.
pub(super) async fn save(ctx: &Ctx) -> Result<Reply, Failure> {
    let is_stale = ctx.query.flag("stale").map_err(Failure::bad)?;
    let backup = backup::save(ctx.server()?, is_stale).await.map_err(save_failure)?;
    let digest = format!("sha-256={}", STANDARD.encode(backup.sha256));
    let mut response = Response::new(Body::from(backup.bytes));
    let headers = response.headers_mut();
    // It is compressed already, and this type is not compressed again: see the router.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let digest = HeaderValue::from_str(&digest).map_err(|e| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    headers.insert(HeaderName::from_static(DIGEST_HEADER), digest);
    ctx.meta(backup.index)?.write(headers);
    Ok(Reply::Raw(response))
}

fn save_failure(error: SaveError) -> Failure {
    let status = match error {
        SaveError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        SaveError::Read(_) | SaveError::NoCluster | SaveError::Archive(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Failure::text(status, error.to_string())
}

/// The state becomes what is in a file. What is of another cluster, or redacted, is taken only with `force`, unless nothing is lost by it.
pub(super) async fn restore(ctx: &Ctx) -> Result<Reply, Failure> {
    let force = ctx.query.flag("force").map_err(Failure::bad)?;
    let restored = backup::restore(ctx.server()?.consensus(), ctx.body.clone(), force).await.map_err(restore_failure)?;
    let response = SnapshotRestoreResponse { content_digest: restored.digest.to_string(), index: restored.index };
    Reply::written(&response, restored.index)
}

fn restore_failure(error: RestoreError) -> Failure {
    match error {
        RestoreError::Unreadable(_) => Failure::bad(error),
        RestoreError::Write(error) => error.into(),
        RestoreError::Read(_) | RestoreError::NoCluster | RestoreError::Strange(_) => {
            Failure::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
        }
        RestoreError::Stopping => Failure::text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
