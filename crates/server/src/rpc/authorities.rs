//! What agents ask about the cluster's authorities: which are trusted, which one signs, and, servers only, for a key.

use super::{Failure, Members, decode, encode, join};
use axum::{
    Extension,
    body::Bytes,
    extract::State as Shared,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use floe_api::rpc::{AskAuthorities, AskAuthorityKey, Authorities, AuthorityKey};
use floe_pki::Fingerprint;
use floe_rpc::Caller;
use floe_state::{
    Command, State,
    authorities::{Rotation, RotationStep},
};

/// How often an agent asks, in milliseconds.
const ASK_EVERY_MS: u64 = 10_000;
/// How often it asks while an authority is replaced.
const ASK_SOON_MS: u64 = 1_000;
/// No server hears more often of agents than this, in milliseconds between two of them.
const APART_MS: u64 = 20;

/// An agent says whom it trusts and who signed its certificate, and hears what should be. What it says of itself is noted.
pub(super) async fn ask(Shared(members): Shared<Members>, Extension(caller): Extension<Caller>, body: Bytes) -> Result<Response, Failure> {
    let door = join::door(&members)?;
    let Caller::Member(peer) = caller else { return Err((StatusCode::FORBIDDEN, join::IN_THE_CLEAR.to_owned())) };
    let asks: AskAuthorities = decode(&body)?;
    let state = members.server.view();
    let (round, certificates, rotation) = match state.authorities() {
        None => (0, door.authorities(&state), None),
        Some(known) => (known.round, door.authorities(&state), known.rotation.as_ref()),
    };
    let id = peer.id.to_string();
    if rotation.is_some_and(|rotation| !rotation.done.contains(&id) && has_done(rotation, &asks)) {
        // Who is not noted now is noted when it asks again.
        if let Err(error) = members.server.propose(Command::NoteRotation { round, id }).await {
            tracing::debug!(%error, "an agent's part in the change of the authority was not noted");
        }
    }
    let again_ms = again_ms(&state, rotation.is_some());
    Ok(encode(&Authorities { round, certificates, again_ms })?.into_response())
}

/// Whether an agent that says this has done what the present step asks.
fn has_done(rotation: &Rotation, asks: &AskAuthorities) -> bool {
    let next = Fingerprint::of(&rotation.next).to_string();
    asks.trusts.contains(&next) && (rotation.step == RotationStep::Trust || asks.signer == next)
}

fn again_ms(state: &State, is_rotating: bool) -> u64 {
    let agents = u64::try_from(state.nodes().count()).unwrap_or(u64::MAX);
    let least = if is_rotating { ASK_SOON_MS } else { ASK_EVERY_MS };
    agents.saturating_mul(APART_MS).max(least)
}

/// Another server needs the key of an authority of the cluster, as it needed the first one's when it joined.
pub(super) async fn key(Shared(members): Shared<Members>, Extension(caller): Extension<Caller>, body: Bytes) -> Result<Response, Failure> {
    let door = join::door(&members)?;
    let Caller::Member(peer) = caller else { return Err((StatusCode::FORBIDDEN, join::IN_THE_CLEAR.to_owned())) };
    let is_member = members.server.consensus().members().iter().any(|member| member.id.as_str() == peer.id.to_string());
    if !is_member {
        return Err((
            StatusCode::FORBIDDEN,
            format!("{} is no member of the agreement (yet), and only members get keys of authorities", peer.id),
        ));
    }
    let wanted = decode::<AskAuthorityKey>(&body)?.certificate;
    let found = door.signers.find(&wanted).ok_or_else(|| (StatusCode::NOT_FOUND, "this server does not have that key".to_owned()))?;
    tracing::info!(server = %peer.id, authority = %found.fingerprint(), "another server gets the key of an authority");
    Ok(encode(&AuthorityKey { key: found.key().to_vec() })?.into_response())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::Node;
    use floe_state::{Entry, Stamp};

    #[test]
    fn an_agent_is_so_far_when_it_says_what_the_step_asks() {
        let next = Fingerprint::of(b"next").to_string();
        let asks = |trusts: &[&str], signer: &str| AskAuthorities {
            trusts: trusts.iter().map(|t| (*t).to_owned()).collect(),
            signer: signer.to_owned(),
        };
        let at = |step| Rotation { next: b"next".to_vec(), step, begun: floe_model::Timestamp(0), done: Default::default() };
        let (trust, renew) = (at(RotationStep::Trust), at(RotationStep::Renew));
        assert!(!has_done(&trust, &asks(&["old"], "old")));
        assert!(has_done(&trust, &asks(&["old", &next], "old")));
        assert!(!has_done(&renew, &asks(&["old", &next], "old")));
        assert!(has_done(&renew, &asks(&[&next, "old"], &next)));
        assert!(!has_done(&renew, &asks(&["old"], &next)), "it would refuse everybody else");
    }

    #[test]
    fn many_agents_ask_less_often() {
        let mut state = State::default();
        assert_eq!((again_ms(&state, false), again_ms(&state, true)), (ASK_EVERY_MS, ASK_SOON_MS));
        let most_soon = ASK_SOON_MS / APART_MS;
        for n in 0..=most_soon {
            assert_eq!(again_ms(&state, true), ASK_SOON_MS, "{n} agents");
            let node = Node { id: n.to_string().into(), name: "n".to_owned(), ..Node::default() };
            let entry = Entry { stamp: Stamp::default(), command: Command::RegisterNode { node: Box::new(node) } };
            state.apply(n + 1, &entry);
        }
        assert_eq!(again_ms(&state, true), ASK_SOON_MS + APART_MS);
        assert_eq!(again_ms(&state, false), ASK_EVERY_MS);
    }
}
