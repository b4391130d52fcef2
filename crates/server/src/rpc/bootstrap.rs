//! What servers that begin a cluster together ask of each other: those that still wait, and those that are in the cluster already.
//!
//! Nobody has a certificate that counts yet. What is said is sealed with the servers' secret; see [`floe_pki::bootstrap`].

use super::{Failure, Members, encode, join};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State as Shared},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use floe_api::rpc::{BOOTSTRAP, Bootstrap, Standing};
use floe_control::bootstrap::Founder;
use floe_pki::{
    AgentId, BootstrapSecret,
    bootstrap::{MAX_SEALED_BYTES, Sealed},
};
use floe_state::Command;
use tokio::sync::watch;

/// The most bytes of a message as it travels: MessagePack takes up to two for each byte.
const MAX_MESSAGE_BYTES: usize = 2 * MAX_SEALED_BYTES + 1024;

/// A question of `from`, as it travels.
///
/// # Errors
/// When it cannot be encoded.
pub fn seal_question(secret: &BootstrapSecret, from: AgentId) -> Result<(Sealed, Vec<u8>), String> {
    let question = secret.ask(from, &[]);
    let message = write(&question).map_err(|(_, why)| why)?;
    Ok((question, message))
}

/// What the answer to `question` says, and who says it.
///
/// # Errors
/// When it is not the answer of a holder of the secret to this question, or of another version.
pub fn open_answer(secret: &BootstrapSecret, question: &Sealed, message: &[u8]) -> Result<(AgentId, Standing), String> {
    let answer = read(message).map_err(|(_, why)| why)?;
    let opened = secret.read_answer(question, &answer).map_err(|e| format!("its answer was not understood: {e}"))?;
    let standing = rmp_serde::from_slice(&opened).map_err(|e| format!("its answer was not understood ({e}): is it of a newer version?"))?;
    Ok((answer.from, standing))
}

fn write(message: &Sealed) -> Result<Vec<u8>, Failure> {
    encode(&Bootstrap { from: message.from.to_string(), salt: message.salt.to_vec(), sealed: message.sealed.clone() })
}

fn read(message: &[u8]) -> Result<Sealed, Failure> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("a bootstrap message has at most {MAX_MESSAGE_BYTES} bytes")));
    }
    let message: Bootstrap =
        rmp_serde::from_slice(message).map_err(|e| (StatusCode::BAD_REQUEST, format!("decode bootstrap message: {e}")))?;
    let refuse = |why: String| (StatusCode::BAD_REQUEST, format!("decode bootstrap message: {why}"));
    let from = message.from.parse().map_err(|e: floe_pki::IdentityError| refuse(e.to_string()))?;
    let salt = message.salt.try_into().map_err(|_| refuse("its salt is not 32 bytes long".to_owned()))?;
    Ok(Sealed { from, salt, sealed: message.sealed })
}

fn hear(secret: &BootstrapSecret, body: &[u8]) -> Result<Sealed, Failure> {
    let question = read(body)?;
    secret.hear(&question).map_err(|e| (StatusCode::FORBIDDEN, format!("the question was not understood: {e}")))?;
    Ok(question)
}

fn reply(secret: &BootstrapSecret, own: AgentId, question: &Sealed, standing: &Standing) -> Result<Response, Failure> {
    Ok(write(&secret.answer(own, question, &encode(standing)?))?.into_response())
}

/// What a server that waits shares with its port.
#[derive(Clone)]
struct Waiting {
    secret: BootstrapSecret,
    own: watch::Receiver<Founder<AgentId>>,
}

/// The RPC port of a server that waits: it says how far it is, and nothing else.
pub fn waiting_router(secret: BootstrapSecret, own: watch::Receiver<Founder<AgentId>>) -> Router {
    let wait = || async {
        let why = "this server is in no cluster yet: it waits for the other servers that are to begin one (bootstrap_expect)";
        (StatusCode::SERVICE_UNAVAILABLE, why)
    };
    Router::new()
        .route(BOOTSTRAP, post(waiting))
        .fallback(wait)
        .layer(DefaultBodyLimit::max(2 * MAX_MESSAGE_BYTES))
        .with_state(Waiting { secret, own })
}

async fn waiting(Shared(waiting): Shared<Waiting>, body: Bytes) -> Result<Response, Failure> {
    let question = hear(&waiting.secret, &body)?;
    let own = waiting.own.borrow().clone();
    let supports = own.supports.map(|id| id.to_string()).unwrap_or_default();
    reply(&waiting.secret, own.id, &question, &Standing::Waiting { expect: own.expect, supports })
}

/// A server of the cluster answers one that waits.
pub(super) async fn member(Shared(members): Shared<Members>, body: Bytes) -> Result<Response, Failure> {
    let door = join::door(&members)?;
    let secret = door.secret.as_ref().ok_or_else(|| {
        let why = "this server is in a cluster and has no bootstrap secret (any more): join it with a token (floe server token -server)";
        (StatusCode::NOT_FOUND, why.to_owned())
    })?;
    let question = hear(secret, &body)?;
    let standing = admit(&members, door, secret, question.from).await;
    reply(secret, door.credentials.me().id, &question, &standing)
}

/// Gives one of the servers that began the cluster its token. The same question again, also by somebody who recorded it, changes nothing.
async fn admit(members: &Members, door: &join::Doorkeeper, secret: &BootstrapSecret, id: AgentId) -> Standing {
    let server = &members.server;
    let state = match server.consensus().linearizable().await {
        Ok(state) => state,
        Err(error) => return Standing::NotNow { why: error.to_string() },
    };
    if let Err(refusal) = state.founder_until(&id.to_string(), server.now()) {
        return Standing::Refused { why: refusal.to_string() };
    }
    let signer = match door.signer(&state) {
        Ok(signer) => signer,
        Err((_, why)) => return Standing::NotNow { why },
    };
    let token = secret.join_token(signer.fingerprint(), id);
    let hash = join::hex(token.hash());
    if state.join_token(&hash).is_none()
        && let Err(error) = server.propose(Command::AdmitFounder { hash, id: id.to_string() }).await
    {
        return Standing::NotNow { why: error.to_string() };
    }
    Standing::Member { token: token.text().to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_pki::Keypair;

    #[test]
    fn a_standing_travels_sealed() {
        let (secret, asker, answerer) = (BootstrapSecret::draw(), Keypair::generate().id(), Keypair::generate().id());
        let (question, message) = seal_question(&secret, asker).unwrap();
        assert_eq!(hear(&secret, &message).unwrap(), question);
        assert_eq!(hear(&BootstrapSecret::draw(), &message).unwrap_err().0, StatusCode::FORBIDDEN);
        let standing = Standing::Waiting { expect: 3, supports: asker.to_string() };
        let answer = write(&secret.answer(answerer, &question, &encode(&standing).unwrap())).unwrap();
        assert_eq!(open_answer(&secret, &question, &answer), Ok((answerer, standing)));
        let (other, _) = seal_question(&secret, asker).unwrap();
        assert!(open_answer(&secret, &other, &answer).unwrap_err().contains("was not understood"));
        let later = write(&secret.answer(answerer, &question, b"\xa9something")).unwrap();
        assert!(open_answer(&secret, &question, &later).unwrap_err().contains("newer version"));
    }

    #[test]
    fn messages_are_bounded_and_checked_before_they_are_opened() {
        let status = |message: &[u8]| read(message).unwrap_err().0;
        assert_eq!(status(&[0xff; MAX_MESSAGE_BYTES]), StatusCode::BAD_REQUEST);
        assert_eq!(status(&[0xff; MAX_MESSAGE_BYTES + 1]), StatusCode::PAYLOAD_TOO_LARGE);
        let sealed = BootstrapSecret::draw().ask(Keypair::generate().id(), &[0; MAX_SEALED_BYTES - 16]);
        let message = write(&sealed).unwrap();
        assert_eq!(read(&message).unwrap(), sealed, "the longest sealed message fits");
        let with = |change: fn(&mut Bootstrap)| {
            let mut message: Bootstrap = rmp_serde::from_slice(&message).unwrap();
            change(&mut message);
            read(&encode(&message).unwrap()).unwrap_err().1
        };
        assert!(with(|m| m.from = "me".to_owned()).contains("is not an id"));
        assert!(with(|m| m.salt.truncate(31)).contains("its salt is not 32 bytes long"));
    }
}
