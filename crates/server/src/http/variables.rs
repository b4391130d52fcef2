//! Variables: sealed here before they go into the log, and opened here when they are read.

use super::{
    Ctx,
    answer::{Failure, Meta, Reply},
    page::{Key, Order, Row},
};
use crate::{Server, keyring::NO_KEK, server::ServerError};
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use floe_api::types::{self, VariableMetadata};
use floe_keyring::RootKey;
use floe_model::{
    KeyId, Sealed, StringMap, Variable, VariableKey,
    variable::{self, check_items, check_path},
};
use floe_state::{
    Command, Outcome, State, Table,
    command::Refusal,
    variables::{VariableChange, VariableRefusal},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// What clients match.
const WHAT: &str = "variable";

impl Row for Arc<Variable> {
    fn key(&self) -> Key<'_> {
        Key { created: self.create_index, namespace: self.key.namespace.as_str(), id: &self.key.path }
    }
}

fn metadata(row: &Variable) -> VariableMetadata {
    VariableMetadata {
        namespace: row.key.namespace.clone(),
        path: row.key.path.clone(),
        create_index: row.create_index,
        modify_index: row.modify_index,
        create_time: row.create_time,
        modify_time: row.modify_time,
    }
}

/// The variables by namespace and path, without what they hold.
pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let rows = |state: &State| {
        let wanted = state.variables().filter(|v| ctx.wants_namespace(&v.key.namespace) && ctx.wants_id(&v.key.path));
        Ok(wanted.cloned().collect())
    };
    ctx.list(&[Table::Variables], Order::Id, rows, |_, row: &Arc<Variable>| metadata(row)).await
}

pub(super) async fn read(ctx: &Ctx, path: String) -> Result<Reply, Failure> {
    let key = key(ctx, path)?;
    let index = |state: &State| state.variable(&key).map_or_else(|| state.table_index(Table::Variables), |row| row.modify_index);
    let (state, meta) = ctx.state_after(index).await?;
    match state.variable(&key) {
        Some(row) => Reply::read(&opened(ctx.server()?, row).await?, meta),
        None => Err(Failure::not_found(WHAT).with_meta(meta)),
    }
}

pub(super) async fn put(ctx: &Ctx, path: String) -> Result<Reply, Failure> {
    let decoded = ctx.decode::<types::Variable>()?;
    if let Some(unknown) = decoded.unknown.first() {
        return Err(Failure::bad(format!("the variable has a key that nobody knows: {unknown}")));
    }
    let wish = decoded.value;
    let check_index = check_index(ctx)?;
    if wish.lock.is_some() {
        return Err(Failure::bad("not supported yet: Lock"));
    }
    if !wish.path.is_empty() && wish.path != path {
        return Err(Failure::bad(format!("the path {:?} in the body is not that of the request, {path:?}", wish.path)));
    }
    let mut key = key(ctx, path)?;
    match ctx.query.get("namespace").filter(|n| !n.is_empty()) {
        None if !wish.namespace.is_empty() => key.namespace = wish.namespace,
        Some(asked) if !wish.namespace.is_empty() && wish.namespace != *asked => {
            return Err(Failure::bad(format!(
                "the namespace {:?} in the body is not that of the request, {asked:?}",
                wish.namespace.as_str()
            )));
        }
        _ => {}
    }
    check_items(&wish.items).map_err(Failure::bad)?;
    let server = ctx.server()?;
    let items = seal(server, &key, &wish.items).await?;
    let change = VariableChange::Put { key: key.clone(), items, check_index };
    let (index, outcome) = match write(ctx, change).await {
        Err(Refused::Conflict(failure)) => return conflict(server, &key, failure).await,
        Err(Refused::Other(failure)) => return Err(failure),
        Ok(written) => written,
    };
    let Outcome::Variable { create_index, create_time, modify_time } = outcome else {
        return Err(Failure::text(StatusCode::INTERNAL_SERVER_ERROR, format!("a change of a variable came to {outcome:?}")));
    };
    let VariableKey { namespace, path } = key;
    let written =
        types::Variable { namespace, path, create_index, modify_index: index, create_time, modify_time, items: wish.items, lock: None };
    Reply::written(&written, index)
}

pub(super) async fn delete(ctx: &Ctx, path: String) -> Result<Reply, Failure> {
    let key = key(ctx, path)?;
    let change = VariableChange::Delete { key: key.clone(), check_index: check_index(ctx)? };
    let index = match write(ctx, change).await {
        Err(Refused::Conflict(failure)) => return conflict(ctx.server()?, &key, failure).await,
        Err(Refused::Other(failure)) => return Err(failure),
        Ok((index, _)) => index,
    };
    let mut response: Response = StatusCode::NO_CONTENT.into_response();
    Meta { index, known_leader: true, last_contact_ms: 0 }.write(response.headers_mut());
    Ok(Reply::Raw(response))
}

fn key(ctx: &Ctx, path: String) -> Result<VariableKey, Failure> {
    for name in ["lock-acquire", "lock-renew", "lock-release"] {
        if ctx.query.get(name).is_some() {
            return Err(Failure::bad(format!("not supported yet: query parameter {name}")));
        }
    }
    check_path(&path).map_err(Failure::bad)?;
    let namespace = ctx.query.namespace();
    if namespace == "*" {
        return Err(Failure::bad("a variable is in one namespace: name it, rather than *"));
    }
    Ok(VariableKey { namespace, path })
}

fn check_index(ctx: &Ctx) -> Result<Option<u64>, Failure> {
    ctx.query.number("cas").map_err(Failure::bad)
}

/// A write that was not done.
enum Refused {
    /// Another one was first; what clients get shows its variable.
    Conflict(Failure),
    Other(Failure),
}

async fn write(ctx: &Ctx, change: VariableChange) -> Result<(u64, Outcome), Refused> {
    let command = ctx.once(Command::Variable(Box::new(change)));
    let server = ctx.server().map_err(Refused::Other)?;
    server.propose(command).await.map_err(|error| match &error {
        ServerError::Refused(Refusal::Variable(VariableRefusal::Conflict { .. })) => Refused::Conflict(error.into()),
        _ => Refused::Other(error.into()),
    })
}

/// The variable that was in the way, or what stands for none.
async fn conflict(server: &Server, key: &VariableKey, failure: Failure) -> Result<Reply, Failure> {
    let shown = match server.view().variable(key) {
        // It cannot be shown here; the words say as much.
        Some(row) => opened(server, row).await.map_err(|_| failure)?,
        None => types::Variable { namespace: key.namespace.clone(), path: key.path.clone(), ..types::Variable::default() },
    };
    Ok(Reply::plain(&shown)?.with_status(StatusCode::CONFLICT))
}

/// How long a request waits for the cluster's first root key, or until this server has opened one that is new.
const KEY_WAIT: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

async fn seal(server: &Server, key: &VariableKey, items: &StringMap) -> Result<Sealed, Failure> {
    let active = wait_for_key(server, |state| state.active_root_key().map(|active| active.id.clone())).await?;
    active.seal(&key.context(), &variable::pack(items)).map_err(|error| internal(error.to_string()))
}

/// A root key of the state, opened. One that may still come or open is waited for.
async fn wait_for_key(server: &Server, find: impl Fn(&State) -> Option<KeyId>) -> Result<Arc<RootKey>, Failure> {
    let deadline = Instant::now() + KEY_WAIT;
    loop {
        let found = find(&server.view());
        if let Some(root) = found.as_ref().and_then(|id| server.root_keys().get(id)) {
            return Ok(root);
        }
        let closed = found.as_ref().and_then(|id| server.root_keys().closed().remove(id));
        let (why, is_final) = match (&found, closed) {
            (Some(id), Some(why)) => (format!("root key {id} is needed for this, and this server cannot open it: {why}"), true),
            (Some(id), None) => {
                let is_gone = server.view().root_key(id).is_none();
                let why = if is_gone { "was removed" } else { "has not been opened yet: try again in some seconds" };
                (format!("root key {id} is needed for this, and {why}"), is_gone)
            }
            (None, _) if server.config().keks.is_none() => {
                (format!("variables are kept sealed, and nothing can be sealed: {NO_KEK}"), true)
            }
            (None, _) => ("the cluster has no root key yet: try again in some seconds".to_owned(), false),
        };
        if is_final || Instant::now() >= deadline {
            return Err(internal(why));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn internal(message: String) -> Failure {
    Failure::text(StatusCode::INTERNAL_SERVER_ERROR, message)
}

/// The variable with what it holds.
async fn opened(server: &Server, row: &Variable) -> Result<types::Variable, Failure> {
    let root = wait_for_key(server, |_| Some(row.items.key.clone())).await?;
    let plain = root.open(&row.key.context(), &row.items).map_err(|error| internal(format!("variable {}: {error}", row.key)))?;
    let items = variable::unpack(&plain).ok_or_else(|| internal(format!("variable {}: what it holds is damaged", row.key)))?;
    let VariableMetadata { namespace, path, create_index, modify_index, create_time, modify_time } = metadata(row);
    Ok(types::Variable { namespace, path, create_index, modify_index, create_time, modify_time, items, lock: None })
}
