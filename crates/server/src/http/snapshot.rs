//! Snapshots of the cluster, to keep elsewhere and to restore.

use super::{
    Ctx,
    answer::{Failure, Reply},
};
use crate::backup::{self, SaveError};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use floe_api::DIGEST_HEADER;

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

/// The state becomes what is in a file.
pub(super) async fn restore(_ctx: &Ctx) -> Result<Reply, Failure> {
    Err(Failure::text(StatusCode::NOT_IMPLEMENTED, "not supported yet: restoring a snapshot"))
}
