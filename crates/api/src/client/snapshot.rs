//! Snapshots of the cluster, as they travel.

use super::{ApiClient, ApiError, Body, answer};
use crate::types::SnapshotRestoreResponse;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::Method;
use std::time::Duration;

/// Where snapshots are.
const PATH: &str = "/v1/operator/snapshot";
/// How long a restore may take: the snapshot goes through the log of every server, and is read by each.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(600);

impl ApiClient {
    /// A snapshot, as it comes: of all that was acknowledged, or of what the agent that is asked knows. The file says itself whether it is whole.
    ///
    /// # Errors
    /// When the agent is away or refuses; later each piece may fail.
    pub async fn save_snapshot(&self, is_stale: bool) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + use<>, ApiError> {
        let response = self.send(Method::GET, PATH, &[("stale", is_stale.to_string())], None, None).await?;
        Ok(response.bytes_stream().map(|piece| piece.map_err(|e| ApiError::BadAnswer { path: PATH.to_owned(), cause: e.to_string() })))
    }

    /// Replaces the cluster's state by a snapshot. `force` allows one of another cluster, or a redacted one, to replace jobs.
    ///
    /// # Errors
    /// As [`ApiClient::get`].
    pub async fn restore_snapshot(&self, bytes: Vec<u8>, force: bool) -> Result<SnapshotRestoreResponse, ApiError> {
        let body = Body { content_type: "application/octet-stream", bytes };
        let response = self.send(Method::PUT, PATH, &[("force", force.to_string())], Some(body), Some(RESTORE_TIMEOUT)).await?;
        Ok(answer(PATH, response).await?.value)
    }
}
