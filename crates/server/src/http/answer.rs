//! What an action answers: a value with its index, or a failure in plain text.

use crate::server::ServerError;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use floe_api::{INDEX_HEADER, KNOWN_LEADER_HEADER, LAST_CONTACT_HEADER, NEXT_TOKEN_HEADER, REASON_HEADER, Reason};
use floe_consensus::ProposeError;
use floe_state::{command::Refusal, keyring::KeyringRefusal, variables::VariableRefusal};
use serde::Serialize;

/// What a read is true of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meta {
    pub(crate) index: u64,
    pub(crate) known_leader: bool,
    pub(crate) last_contact_ms: u64,
}

impl Meta {
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        // A client takes zero for "no header".
        headers.insert(HeaderName::from_static(INDEX_HEADER), HeaderValue::from(self.index.max(1)));
        let known_leader = HeaderValue::from_static(if self.known_leader { "true" } else { "false" });
        headers.insert(HeaderName::from_static(KNOWN_LEADER_HEADER), known_leader);
        headers.insert(HeaderName::from_static(LAST_CONTACT_HEADER), HeaderValue::from(self.last_contact_ms));
    }
}

/// An answer.
pub(crate) enum Reply {
    Json { body: Vec<u8>, meta: Option<Meta>, status: StatusCode, next_token: Option<String> },
    Raw(Response),
}

impl Reply {
    /// A value that is not of the state.
    pub(crate) fn plain(value: &impl Serialize) -> Result<Reply, Failure> {
        Ok(Reply::Json { body: to_json(value)?, meta: None, status: StatusCode::OK, next_token: None })
    }
    /// A value of the state.
    pub(crate) fn read(value: &impl Serialize, meta: Meta) -> Result<Reply, Failure> {
        Ok(Reply::Json { body: to_json(value)?, meta: Some(meta), status: StatusCode::OK, next_token: None })
    }
    /// What a write came to.
    pub(crate) fn written(value: &impl Serialize, index: u64) -> Result<Reply, Failure> {
        let meta = Meta { index, known_leader: true, last_contact_ms: 0 };
        Ok(Reply::Json { body: to_json(value)?, meta: Some(meta), status: StatusCode::OK, next_token: None })
    }
    pub(crate) fn with_status(mut self, code: StatusCode) -> Reply {
        if let Reply::Json { status, .. } = &mut self {
            *status = code;
        }
        self
    }
    pub(crate) fn with_next_token(mut self, token: Option<String>) -> Reply {
        if let Reply::Json { next_token, .. } = &mut self {
            *next_token = token;
        }
        self
    }

    pub(crate) fn into_response(self, pretty: bool) -> Response {
        let (body, meta, status, next_token) = match self {
            Reply::Raw(response) => return response,
            Reply::Json { body, meta, status, next_token } => (body, meta, status, next_token),
        };
        let mut response = Response::new(Body::from(if pretty { indented(body) } else { body }));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(meta) = meta {
            meta.write(headers);
        }
        if let Some(token) = next_token.and_then(|t| HeaderValue::from_str(&t).ok()) {
            headers.insert(HeaderName::from_static(NEXT_TOKEN_HEADER), token);
        }
        response
    }
}

/// JSON that a person reads, with a line break at the end. It is read once more for that, so that all others pay nothing.
fn indented(json: Vec<u8>) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(&json) {
        Ok(value) => format!("{value:#}\n").into_bytes(),
        Err(_) => json,
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|e| Failure::text(StatusCode::INTERNAL_SERVER_ERROR, format!("write the answer: {e}")))
}

/// Why there is no answer: a status code and words, as plain text.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
    meta: Option<Meta>,
    reason: Option<Reason>,
}

impl Failure {
    pub(crate) fn text(status: StatusCode, message: impl Into<String>) -> Self {
        Failure { status, message: message.into(), meta: None, reason: None }
    }
    /// The request makes no sense.
    pub(crate) fn bad(error: impl std::fmt::Display) -> Self {
        Failure::text(StatusCode::BAD_REQUEST, error.to_string())
    }
    /// The thing does not exist. The words are what clients match.
    pub(crate) fn not_found(what: &str) -> Self {
        Failure::text(StatusCode::NOT_FOUND, format!("{what} not found"))
    }
    /// A read that failed is true of an index, too: who waits for a thing to come goes on from there.
    pub(crate) fn with_meta(mut self, meta: Meta) -> Self {
        self.meta = Some(meta);
        self
    }
    /// The same in a form that programs go by.
    pub(crate) fn with_reason(mut self, reason: Option<Reason>) -> Self {
        self.reason = reason;
        self
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        match &error {
            ServerError::Refused(refusal) => refused(refusal),
            ServerError::Propose(why) => Failure::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).with_reason(reason(why)),
        }
    }
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        ServerError::from(error).into()
    }
}

/// What a program may do about a write that did not get into the log, or of which nobody knows.
fn reason(error: &ProposeError) -> Option<Reason> {
    match error {
        ProposeError::Timeout { .. } | ProposeError::OutcomeUnknown { .. } | ProposeError::Interrupted { .. } => Some(Reason::InDoubt),
        ProposeError::NotYet { .. } => Some(Reason::AheadOfCluster),
        ProposeError::Unavailable { .. }
        | ProposeError::NotLeading { .. }
        | ProposeError::Overloaded { .. }
        | ProposeError::TooLarge { .. }
        | ProposeError::Behind { .. }
        | ProposeError::Stopped { .. }
        | ProposeError::Encode { .. } => None,
    }
}

fn refused(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::JobNotFound(_) => Failure::not_found("job"),
        Refusal::NodeNotFound(_) => Failure::not_found("node"),
        Refusal::AllocNotFound(_) => Failure::not_found("alloc"),
        Refusal::DeploymentNotFound(_) => Failure::not_found("deployment"),
        Refusal::Keyring(KeyringRefusal::NotFound(_)) => Failure::text(StatusCode::NOT_FOUND, refusal.to_string()),
        Refusal::Variable(VariableRefusal::Conflict { .. }) => Failure::text(StatusCode::CONFLICT, refusal.to_string()),
        Refusal::Restore(_) | Refusal::Keyring(_) | Refusal::Variable(_) => Failure::bad(refusal),
        // Clients match the words; the code is what they have always got.
        Refusal::IndexConflict { .. } => Failure::text(StatusCode::INTERNAL_SERVER_ERROR, refusal.to_string()),
        Refusal::VersionGoesBack { .. }
        | Refusal::NodeNotDown(_)
        | Refusal::TooManyJoinTokens
        | Refusal::TooManyRefusedAgents
        | Refusal::TooManyFounders(_)
        | Refusal::RotationUnderWay
        | Refusal::OtherAuthority
        | Refusal::NoSuchRotation
        | Refusal::RotationTooFar => Failure::bad(refusal),
        Refusal::AgentRefused(_) | Refusal::NotFounder(_) | Refusal::FoundingOver => {
            Failure::text(StatusCode::FORBIDDEN, refusal.to_string())
        }
        Refusal::RequestIdReused(_) => Failure::text(StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()),
        Refusal::JoinTokenUnknown | Refusal::JoinTokenExpired | Refusal::JoinTokenUsed(_) | Refusal::JoinTokenRole { .. } => {
            Failure::text(StatusCode::FORBIDDEN, refusal.to_string())
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], self.message).into_response();
        if let Some(meta) = self.meta {
            meta.write(response.headers_mut());
        }
        if let Some(reason) = self.reason {
            response.headers_mut().insert(HeaderName::from_static(REASON_HEADER), HeaderValue::from_static(reason.as_str()));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_go_by_is_in_a_header() {
        let header = |error: ProposeError| {
            let response = Failure::from(error).into_response();
            response.headers().get(REASON_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let after = std::time::Duration::from_secs(1);
        assert_eq!(header(ProposeError::Timeout { command: "x", after }).as_deref(), Some("in-doubt"));
        assert_eq!(header(ProposeError::OutcomeUnknown { command: "x" }).as_deref(), Some("in-doubt"));
        assert_eq!(header(ProposeError::NotYet { command: "x", needed: 2, present: 1 }).as_deref(), Some("ahead-of-cluster"));
        assert_eq!(header(ProposeError::NotLeading { command: "x" }), None);
    }
}
