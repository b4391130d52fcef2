//! Reads: consistent by default, any server's with `stale`, and blocking with `index`.

use super::{
    Ctx,
    answer::{Failure, Meta, Reply},
};
use axum::http::StatusCode;
use floe_state::{State, Table};
use serde::Serialize;
use std::time::Duration;

impl Ctx {
    /// A read of one thing: `find` gives it with the index at which it last changed. With `index` in the query the answer waits until
    /// that is greater, or `wait` has passed. What does not exist has the index of its `table`, so that who waits hears that it went.
    pub(crate) async fn read<T: Serialize>(
        &self,
        table: Table,
        what: &str,
        find: impl Fn(&State) -> Option<(u64, T)>,
    ) -> Result<Reply, Failure> {
        let index = |state: &State| find(state).map_or_else(|| state.table_index(table), |(index, _)| index);
        let (state, meta) = self.state_after(index).await?;
        match find(&state) {
            Some((_, value)) => Reply::read(&value, meta),
            None => Err(Failure::not_found(what).with_meta(meta)),
        }
    }

    /// The state that an answer is read from, once the index that `index_of` finds in it is greater than the one in the query. The
    /// index of the answer is never smaller than the one in the query, because clients take that for a broken server.
    pub(crate) async fn state_after(&self, index_of: impl Fn(&State) -> u64) -> Result<(State, Meta), Failure> {
        let server = self.server()?;
        let after = self.query.number("index").map_err(Failure::bad)?.unwrap_or(0);
        let wait = self.query.wait().map_err(Failure::bad)?.to_std();
        let stale = self.query.flag("stale").map_err(Failure::bad)?;
        let mut changes = server.consensus().watch();
        // Up to a sixteenth is added, so that many clients that began together do not come back together.
        let deadline = tokio::time::Instant::now() + wait + jitter(wait);
        let mut state = if stale { server.view() } else { linearizable(server).await? };
        loop {
            changes.borrow_and_update();
            // Of what a restore brought back all counts as changed then, also a row that is older than what the client saw.
            let index = index_of(&state).max(state.restored().index);
            if index > after || after == 0 || tokio::time::Instant::now() >= deadline {
                let meta = self.meta(index.max(after))?;
                return Ok((state, meta));
            }
            tokio::select! {
                changed = changes.changed() => changed.map_err(|_| stopping())?,
                () = tokio::time::sleep_until(deadline) => {}
                () = server.stopping().cancelled() => return Err(stopping()),
            }
            state = server.view();
        }
    }

    /// The state now: all that was written before, or with `stale` in the query what this server has of it.
    pub(super) async fn present_state(&self) -> Result<State, Failure> {
        let server = self.server()?;
        if self.query.flag("stale").map_err(Failure::bad)? { Ok(server.view()) } else { linearizable(server).await }
    }

    /// What a read at `index` is true of.
    pub(super) fn meta(&self, index: u64) -> Result<Meta, Failure> {
        let status = self.server()?.consensus().status();
        // The leader has always just heard of the leader.
        let leads = status.leader.as_ref().is_some_and(|leader| leader.id == status.id);
        let last_contact = status.last_quorum_contact.filter(|_| !leads).unwrap_or_default();
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
