//! The root keys: which there are, a new one, and one less. No key is ever in an answer.

use super::{
    Ctx,
    answer::{Failure, Reply},
};
use crate::keyring::{self, KeyringError, NO_KEK};
use axum::http::StatusCode;
use floe_api::types::{KeyringRotateResponse, RootKeyMeta};
use floe_model::{Nanos, Timestamp, keyring::KeyId};
use floe_state::{
    Command, State,
    keyring::{Activation, KeyState, KeyringChange, WrappedKey},
};

/// What root keys seal with: each message by a key that is derived from the root key for it alone.
const ALGORITHM: &str = "chacha20-poly1305";
/// How long a key may be prepublished: as long as it waits, the leader makes no other by itself.
pub(super) const MAX_PREPUBLISHED: Nanos = Nanos::from_hours(365 * 24);

/// The root keys, oldest first.
pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let (state, meta) = ctx.state_after(State::index).await?;
    let server = ctx.server()?;
    if state.root_keys().next().is_none() && server.config().keks.is_none() {
        return Err(Failure::bad(NO_KEK));
    }
    let closed = server.root_keys().closed();
    let mut keys: Vec<RootKeyMeta> = state.root_keys().map(|key| shown(&state, key, closed.get(&key.id))).collect();
    keys.sort_by_key(|key| key.create_index);
    Reply::read(&keys, meta)
}

fn shown(state: &State, key: &WrappedKey, closed: Option<&String>) -> RootKeyMeta {
    let publish_time = if let KeyState::Prepublished { publish } = key.state { publish.0 } else { 0 };
    RootKeyMeta {
        key_id: key.id.to_string(),
        algorithm: ALGORITHM.to_owned(),
        state: key.state.name().to_owned(),
        create_time: key.create_time.0,
        publish_time,
        create_index: key.create_index,
        modify_index: key.modify_index,
        wrapped_by: key.wraps.iter().map(|wrap| wrap.kek.clone()).collect(),
        sealed: state.sealed_with(&key.id) as u64,
        closed: closed.cloned().unwrap_or_default(),
    }
}

/// Makes a new root key.
pub(super) async fn rotate(ctx: &Ctx) -> Result<Reply, Failure> {
    let server = ctx.server()?;
    let activation = activation(ctx)?;
    // Whom this server saw active must be what all agree on.
    let unread = |e: floe_consensus::ReadError| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string());
    server.consensus().linearizable().await.map_err(unread)?;
    let (id, index) = keyring::make(server, activation).await.map_err(failure)?;
    let state = server.view();
    let key = state.root_key(&id).ok_or_else(|| Failure::not_found("root key"))?;
    Reply::written(&KeyringRotateResponse { key: shown(&state, key, None) }, index)
}

fn activation(ctx: &Ctx) -> Result<Activation, Failure> {
    let full = ctx.query.flag("full").map_err(Failure::bad)?;
    if let Some(other) = ctx.query.get("algo").filter(|algo| !algo.is_empty() && *algo != ALGORITHM) {
        return Err(Failure::bad(format!("not supported yet: algo {other:?}; root keys seal with {ALGORITHM}")));
    }
    let at = ctx.query.number("publish_time").map_err(Failure::bad)?.filter(|at| *at > 0);
    let Some(at) = at else { return Ok(if full { Activation::Full } else { Activation::Now }) };
    if full {
        return Err(Failure::bad("full seals everything anew at once, and publish_time waits: choose one"));
    }
    let (at, now) = (Timestamp(i64::try_from(at).unwrap_or(i64::MAX)), ctx.server()?.now());
    if at <= now || at > now.plus(MAX_PREPUBLISHED) {
        return Err(Failure::bad(format!(
            "publish_time must be in the future, and at most {MAX_PREPUBLISHED} from now (nanoseconds since 1970)"
        )));
    }
    Ok(Activation::At(at))
}

/// Forgets a root key.
pub(super) async fn remove(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let force = ctx.query.flag("force").map_err(Failure::bad)?;
    let change = KeyringChange::Delete { id: KeyId::new(id), force };
    let (index, _) = ctx.server()?.propose(Command::Keyring(Box::new(change))).await?;
    Reply::written(&serde_json::Value::Null, index)
}

fn failure(error: KeyringError) -> Failure {
    match error {
        KeyringError::Propose(error) => error.into(),
        KeyringError::NoKek => Failure::bad(error),
        other => Failure::text(StatusCode::INTERNAL_SERVER_ERROR, other.to_string()),
    }
}
