//! The door: a machine with a token gets a certificate; a member gets its next one in time.

use super::{Failure, Members, decode, encode};
use crate::{server::ServerError, signers::Signers};
use axum::{
    Extension,
    body::Bytes,
    extract::State as Shared,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use floe_api::rpc::{Join, Joined, Renew, Renewed};
use floe_model::{Nanos, Timestamp};
use floe_pki::{AgentId, Authority, BootstrapSecret, Credentials, JoinToken, Role, TokenHash};
use floe_rpc::Caller;
use floe_state::{Command, State, tokens::JoinRole};
use std::sync::Arc;

/// How long a certificate counts. Members renew theirs after two thirds of it.
pub const CERTIFICATE_LIFETIME: Nanos = Nanos::from_mins(30 * 24 * 60);

/// How long a cluster's authority counts.
pub const AUTHORITY_LIFETIME: Nanos = Nanos::from_mins(10 * 365 * 24 * 60);

/// Lets machines into the cluster: this server has the authority's key.
#[derive(Clone)]
pub struct Doorkeeper {
    pub(super) signers: Signers,
    pub(super) credentials: Credentials,
    pub(super) secret: Option<BootstrapSecret>,
}

impl Doorkeeper {
    /// A doorkeeper with the cluster's authorities. `secret` is that of the servers that begin the cluster together, for as long as it is configured.
    pub fn new(signers: Signers, credentials: Credentials, secret: Option<BootstrapSecret>) -> Self {
        Self { signers, credentials, secret }
    }

    /// A new token, and what the cluster is to know it by.
    pub(crate) fn draw_token(&self, state: &State) -> Result<(JoinToken, String), Failure> {
        let token = JoinToken::draw(self.signer(state)?.fingerprint());
        let hash = hex(token.hash());
        Ok((token, hash))
    }

    /// The authorities whose keys this server has.
    pub(crate) fn signers(&self) -> &Signers {
        &self.signers
    }

    /// The authority that signs now.
    pub(crate) fn signer(&self, state: &State) -> Result<Arc<Authority>, Failure> {
        let why =
            "the cluster's authority was replaced, and this server does not have the key of the new one yet: ask another server, or again";
        self.signers.signer(state).ok_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, why.to_owned()))
    }

    /// The certificates of the authorities that are trusted now, that of the one which signs first.
    pub(crate) fn authorities(&self, state: &State) -> Vec<Vec<u8>> {
        match state.authorities() {
            None => self.credentials.trust().certificates().iter().map(|c| c.to_vec()).collect(),
            Some(known) => known.trusted().into_iter().map(<[u8]>::to_vec).collect(),
        }
    }

    fn issue(&self, state: &State, request: &[u8], role: Role, now: Timestamp) -> Result<(Vec<u8>, AgentId), Failure> {
        let request = floe_pki::Request::verify(request).map_err(|e| (StatusCode::BAD_REQUEST, e.to_string()))?;
        let issued = self.signer(state)?.issue(&request, role, now, CERTIFICATE_LIFETIME);
        let certificate = issued.map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
        Ok((certificate.to_vec(), request.id()))
    }
}

pub(super) fn hex(hash: TokenHash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) const IN_THE_CLEAR: &str = "this cluster speaks in the clear (tls is off): nobody needs a certificate";

pub(super) fn door(members: &Members) -> Result<&Doorkeeper, Failure> {
    members.server.door().ok_or_else(|| (StatusCode::NOT_IMPLEMENTED, IN_THE_CLEAR.to_owned()))
}

/// A machine joins. The token is used up before the certificate leaves, so that it serves only one machine.
pub(super) async fn join(Shared(members): Shared<Members>, body: Bytes) -> Result<Response, Failure> {
    let door = door(&members)?;
    let join: Join = decode(&body)?;
    let token: JoinToken = join.token.parse().map_err(|e: floe_pki::TokenError| (StatusCode::BAD_REQUEST, e.to_string()))?;
    let (role, as_role) = if join.server { (Role::Server, JoinRole::Server) } else { (Role::Client, JoinRole::Client) };
    let state = members.server.view();
    // Told before the token is used up: the machine comes again when it is upgraded.
    let (known, cluster) = (join.version.max(1), state.cluster_version());
    if join.server && known < cluster {
        let why = format!("a server that joins must know version {cluster}, but it knows versions up to {known}: upgrade floe on it first");
        return Err((StatusCode::FORBIDDEN, why));
    }
    let (certificate, id) = door.issue(&state, &join.request, role, members.server.now())?;
    let used = Command::UseJoinToken { hash: hex(token.hash()), role: as_role, id: id.to_string() };
    members.server.propose(used).await.map_err(|error| match error {
        ServerError::Refused(why) => (StatusCode::FORBIDDEN, why.to_string()),
        ServerError::Propose(e) => (StatusCode::SERVICE_UNAVAILABLE, e.to_string()),
    })?;
    tracing::info!(%id, role = %as_role, "a machine joined the cluster");
    let authority_key = if join.server { door.signer(&state)?.key().to_vec() } else { Vec::new() };
    let joined = Joined { certificate, authorities: door.authorities(&state), authority_key, servers: members.server.rpc_addresses() };
    Ok(encode(&joined)?.into_response())
}

/// A member's next certificate, for the same key and the same role.
pub(super) async fn renew(
    Shared(members): Shared<Members>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Failure> {
    let door = door(&members)?;
    let Caller::Member(peer) = caller else { return Err((StatusCode::FORBIDDEN, IN_THE_CLEAR.to_owned())) };
    let (certificate, id) = door.issue(&members.server.view(), &decode::<Renew>(&body)?.request, peer.role, members.server.now())?;
    if id != peer.id {
        return Err((StatusCode::FORBIDDEN, format!("{} cannot get a certificate for {id}", peer.id)));
    }
    Ok(encode(&Renewed { certificate })?.into_response())
}
