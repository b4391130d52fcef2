//! The cluster's authority: which one there is, and its replacement.

use super::{
    Ctx,
    answer::{Failure, Reply},
};
use crate::rpc::{AUTHORITY_LIFETIME, Doorkeeper};
use axum::http::StatusCode;
use floe_api::types::{AuthorityReply, AuthorityStatus, PendingAgent};
use floe_control::rotation::pending;
use floe_pki::Authority;
use floe_state::{Command, State, authorities::RotationStep};

fn door(ctx: &Ctx) -> Result<&Doorkeeper, Failure> {
    let clear = "this agent speaks in the clear (-dev, or tls.rpc = false): there is no authority";
    ctx.server()?.door().ok_or_else(|| Failure::bad(clear))
}

async fn newest(ctx: &Ctx) -> Result<State, Failure> {
    let unread = |e: floe_consensus::ReadError| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string());
    ctx.server()?.consensus().linearizable().await.map_err(unread)
}

/// How far a replacement has come, and who is waited for.
pub(super) async fn status(ctx: &Ctx) -> Result<Reply, Failure> {
    let (state, door) = (newest(ctx).await?, door(ctx)?);
    let members = ctx.server()?.consensus().members();
    let waited_for = pending(&state, members.iter().map(|m| m.id.as_str())).unwrap_or_default();
    let name = |id: &str| {
        let server = members.iter().find(|m| m.id.as_str() == id).map(|m| (m.address.name.clone(), "server"));
        server.or_else(|| state.node(&id.into()).map(|node| (node.name.clone(), "client"))).unwrap_or_default()
    };
    let pending = waited_for.into_iter().map(|id| {
        let (name, role) = name(&id);
        PendingAgent { id, name, role: role.to_owned() }
    });
    let rotation = state.authorities().and_then(|known| known.rotation.as_ref());
    let step = match rotation.map(|rotation| rotation.step) {
        None => "",
        Some(RotationStep::Trust) => "trust",
        Some(RotationStep::Renew) => "renew",
    };
    let authorities = door.authorities(&state);
    let described = authorities.iter().enumerate().map(|(place, der)| describe(der, place == 0)).collect::<Result<_, _>>();
    let authorities = described.map_err(|e| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, e))?;
    let begun = rotation.map(|rotation| rotation.begun).unwrap_or_default();
    Reply::plain(&AuthorityReply { step: step.to_owned(), begun, authorities, pending: pending.collect() })
}

fn describe(certificate: &[u8], signs: bool) -> Result<AuthorityStatus, String> {
    let known = floe_pki::authority::describe(certificate).map_err(|e| e.to_string())?;
    Ok(AuthorityStatus { fingerprint: known.0.to_string(), not_before: known.1.not_before, not_after: known.1.not_after, signs })
}

/// Begins the replacement of the authority; with `force` goes on to its next step without those that are waited for; with `cancel` gives it up.
pub(super) async fn rotate(ctx: &Ctx) -> Result<Reply, Failure> {
    let (force, cancel) = (ctx.query.flag("force").map_err(Failure::bad)?, ctx.query.flag("cancel").map_err(Failure::bad)?);
    let (state, door, server) = (newest(ctx).await?, door(ctx)?, ctx.server()?);
    let none = || Failure::bad("no change of the authority is under way: begin one (floe operator ca rotate)");
    let under_way = state.authorities().filter(|known| known.rotation.is_some());
    let command = match (force, cancel) {
        (true, true) => return Err(Failure::bad("force goes on and cancel gives up: choose one")),
        (true, false) => {
            let known = under_way.ok_or_else(none)?;
            let has_keys = known.trusted().iter().all(|certificate| door.signers().find(certificate).is_some());
            if !has_keys {
                let why = "this server does not have the next authority's key: ask one that has, or cancel the change (floe operator ca rotate -cancel)";
                return Err(Failure::bad(why));
            }
            Command::AdvanceRotation { round: known.round }
        }
        (false, true) => Command::CancelRotation { round: under_way.ok_or_else(none)?.round },
        (false, false) if under_way.is_some() => return Err(Failure::bad(floe_state::command::Refusal::RotationUnderWay)),
        (false, false) => {
            let internal = |e: String| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, e);
            let present = door.signer(&state).map_err(|(_, why)| internal(why))?;
            let next = Authority::create(present.cluster(), server.now(), AUTHORITY_LIFETIME).map_err(|e| internal(e.to_string()))?;
            let command = Command::BeginRotation { present: present.certificate().to_vec(), next: next.certificate().to_vec() };
            // Its key is on this server's disk before anybody hears of it.
            door.signers().add(next).map_err(internal)?;
            command
        }
    };
    server.propose(command).await?;
    Reply::plain(&serde_json::Value::Null)
}
