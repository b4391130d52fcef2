//! The HTTP API of a server that is in no cluster yet: it says what it waits for.

use axum::{Router, extract::State, http::StatusCode};
use tokio::sync::watch;

/// Answers everything with `why`, as it is at the moment.
pub fn waiting_router(why: watch::Receiver<String>) -> Router {
    let answer = |State(why): State<watch::Receiver<String>>| async move { (StatusCode::SERVICE_UNAVAILABLE, why.borrow().clone()) };
    Router::new().fallback(answer).with_state(why)
}
