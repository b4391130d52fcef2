//! Snapshots of the cluster, as they travel.

use super::{ApiClient, ApiError};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::Method;

/// Where snapshots are.
const PATH: &str = "/v1/operator/snapshot";

impl ApiClient {
    /// A snapshot, as it comes: of all that was acknowledged, or of what the agent that is asked knows. The file says itself whether it is whole.
    ///
    /// # Errors
    /// When the agent is away or refuses; later each piece may fail.
    pub async fn save_snapshot(&self, is_stale: bool) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + use<>, ApiError> {
        let response = self.send(Method::GET, PATH, &[("stale", is_stale.to_string())], None, None).await?;
        Ok(response.bytes_stream().map(|piece| piece.map_err(|e| ApiError::BadAnswer { path: PATH.to_owned(), cause: e.to_string() })))
    }
}
