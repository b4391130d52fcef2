//! What became of writes that carry an id: a write that is sent again under its id is not done again, and is told what the first one came to.
//!
//! Only writes that carry an id are remembered, the newest [`MAX_REQUESTS`] of the last [`REQUEST_KEPT`]; time is that of the stamps, so every server
//! remembers the same ones.

use crate::{command::Outcome, digest::Digest, state::State};
use floe_model::{Nanos, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many writes are remembered.
pub const MAX_REQUESTS: usize = 10_000;
/// How long a write is remembered.
pub const REQUEST_KEPT: Nanos = Nanos::from_mins(60);
/// The most bytes of an id.
pub const MAX_REQUEST_ID_BYTES: usize = 128;

/// Which write it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestId {
    /// The id that the caller gave it, at most [`MAX_REQUEST_ID_BYTES`].
    pub id: String,
    /// What the caller asked for, so that another write under the same id is refused.
    pub digest: Digest,
}

/// A write that was done, or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Which.
    pub request: RequestId,
    /// The index of its entry.
    pub index: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What it came to.
    pub outcome: Outcome,
}

impl State {
    /// The write that was remembered under this id.
    pub fn request(&self, id: &str) -> Option<&Arc<Request>> {
        self.requests.get(id)
    }

    pub(crate) fn set_request(&mut self, request: Request) {
        let id = request.request.id.clone();
        self.request_order.insert(request.index, id.clone());
        if let Some(old) = self.requests.insert(id, Arc::new(request)) {
            self.request_order.remove(&old.index);
        }
    }

    /// Forgets what is too old, and the oldest so that there is room for one more.
    pub(crate) fn forget_requests(&mut self, now: Timestamp) {
        while let Some((index, id)) = self.request_order.get_min().cloned() {
            let is_over = self.requests.get(&id).is_none_or(|r| r.at.plus(REQUEST_KEPT) <= now);
            if !is_over && self.requests.len() < MAX_REQUESTS {
                return;
            }
            self.request_order.remove(&index);
            self.requests.remove(&id);
        }
    }
}
