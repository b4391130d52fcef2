//! Reads: consistent by default, any server's with `stale`, and blocking with `index`.

use super::{
    Ctx,
    answer::{Failure, Meta, Reply},
};
use axum::http::StatusCode;
use floe_state::State;
use serde::Serialize;
use std::time::Duration;

impl Ctx {
    /// A read. `f` gives the value and the index at which it last changed; with `index` in the query the answer waits until that is
    /// greater, or `wait` has passed.
    pub(crate) async fn read<T: Serialize>(&self, f: impl Fn(&State) -> Result<(u64, T), Failure>) -> Result<Reply, Failure> {
        let (value, meta) = self.fetch(f).await?;
        Reply::read(&value, meta)
    }

    /// As [`Ctx::read`], before the value is written as JSON.
    pub(crate) async fn fetch<T>(&self, f: impl Fn(&State) -> Result<(u64, T), Failure>) -> Result<(T, Meta), Failure> {
        let server = self.server()?;
        let after = self.query.number("index").map_err(Failure::bad)?.unwrap_or(0);
        let wait = self.query.wait().map_err(Failure::bad)?;
        let stale = self.query.flag("stale").map_err(Failure::bad)?;
        let mut changes = server.consensus().watch();
        // Up to a sixteenth is added, so that many clients that began together do not come back together.
        let deadline = tokio::time::Instant::now() + wait.to_std() + jitter(wait.to_std());
        let mut state = if stale { server.view() } else { linearizable(server).await? };
        loop {
            changes.borrow_and_update();
            let (index, value) = match f(&state) {
                // What does not exist may come: a blocking read waits for it like for any change.
                Err(failure) if after == 0 || tokio::time::Instant::now() >= deadline => return Err(failure),
                Err(_) => (0, None),
                Ok((index, value)) => (index, Some(value)),
            };
            let due = tokio::time::Instant::now() >= deadline;
            if let Some(value) = value
                && (after == 0 || index > after || due)
            {
                return Ok((value, self.meta(index.max(if due { after } else { 0 }))?));
            }
            tokio::select! {
                changed = changes.changed() => changed.map_err(|_| stopping())?,
                () = tokio::time::sleep_until(deadline) => {}
                () = server.stopping().cancelled() => return Err(stopping()),
            }
            state = server.view();
        }
    }

    fn meta(&self, index: u64) -> Result<Meta, Failure> {
        let status = self.server()?.consensus().status();
        let last_contact = status.last_quorum_contact.unwrap_or_default();
        let last_contact_ms = u64::try_from(last_contact.as_millis()).unwrap_or(u64::MAX);
        Ok(Meta { index, known_leader: status.leader.is_some(), last_contact_ms })
    }
}

/// Between nothing and a sixteenth of `wait`.
fn jitter(wait: Duration) -> Duration {
    let share = u32::try_from(crate::leader::seed().0 % 1024).unwrap_or(0);
    wait / 16 / 1024 * share
}

async fn linearizable(server: &crate::Server) -> Result<State, Failure> {
    server.consensus().linearizable().await.map_err(|e| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
}

fn stopping() -> Failure {
    Failure::text(StatusCode::SERVICE_UNAVAILABLE, "this server is stopping; ask another one")
}
