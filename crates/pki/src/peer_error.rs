//! Why somebody at the other end is not accepted, in words that say whose fault it may be and what to do.

use crate::{AgentId, ClusterId, Fingerprint, MAX_CHAIN, Name, Role};
use floe_model::Timestamp;
use std::error::Error;

/// Why a presented chain of certificates is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No certificate where one is needed.
    #[error("the peer presented no certificate: is it an agent that has joined a cluster?")]
    NoCertificate,
    /// More certificates than anybody needs.
    #[error("the peer presented {0} certificates, and at most {MAX_CHAIN} are allowed: it is not a floe agent")]
    TooMany(usize),
    /// Not a certificate that floe makes.
    #[error("the peer's certificate cannot be used: {0}; is it an agent of a floe cluster?")]
    Malformed(&'static str),
    /// Not of our cluster.
    #[error(
        "the peer belongs to cluster {theirs}, and this agent to {ours}: correct the address, or let one of them leave its cluster and join the other"
    )]
    OtherCluster {
        /// The cluster that the certificate names.
        theirs: ClusterId,
        /// Ours.
        ours: ClusterId,
    },
    /// Of our cluster, as it says, but by none of its authorities that we trust.
    #[error(
        "no authority that this agent trusts signed the certificate of {name}: after a change of the cluster's authority, the one that has not heard of it must join again"
    )]
    UnknownAuthority {
        /// Who, as it says.
        name: Name,
    },
    /// Its time is over.
    #[error(
        "the certificate of {name} ended at {not_after}, and this machine's clock says {now}: if this clock is right, let {name} join again; if not, set it"
    )]
    Expired {
        /// Whose.
        name: Name,
        /// Its last moment.
        not_after: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// Its time has not begun.
    #[error(
        "the certificate of {name} begins at {not_before}, and this machine's clock says {now}: set the clock here, or that of the server that issued it"
    )]
    NotYetValid {
        /// Whose.
        name: Name,
        /// Its first moment.
        not_before: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// The authority's own time is over, or has not begun.
    #[error(
        "the cluster's authority counts from {not_before} to {not_after}, and this machine's clock says {now}: set the clock if it is wrong, else renew the authority"
    )]
    AuthorityTime {
        /// Its first moment.
        not_before: Timestamp,
        /// Its last moment.
        not_after: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// The id in the certificate is not that of its key.
    #[error(
        "the certificate of {name} is written for {written}, but its key has the id {key}: it was not made by floe; let {name} join again"
    )]
    ForeignId {
        /// Whose.
        name: Name,
        /// The id that is written in it.
        written: AgentId,
        /// The id of its key.
        key: AgentId,
    },
    /// Signed by the authority, but not a certificate to connect with.
    #[error("the certificate of {name} is not one to connect with ({flaw}): let {name} join again")]
    Unusable {
        /// Whose.
        name: Name,
        /// What is wrong with it.
        flaw: String,
    },
    /// Another role than is needed.
    #[error("{name} is a {has} of the cluster, and a {needs} is needed here: correct the address")]
    WrongRole {
        /// Who.
        name: Name,
        /// Its role.
        has: Role,
        /// The role that is needed.
        needs: Role,
    },
    /// Another agent than the one that was to be reached.
    #[error("agent {has} ({name}) answers at the address of agent {needs}: the address has gone over to another machine, correct it")]
    OtherAgent {
        /// What the one that answers is called.
        name: Name,
        /// Which it is.
        has: AgentId,
        /// Which was wanted.
        needs: AgentId,
    },
    /// Not the authority of the join token.
    #[error(
        "the server's authority has the fingerprint {presented}, and the join token is for {pinned}: correct the address, or draw a token there (a token ends when its cluster's authority is replaced)"
    )]
    OtherAuthority {
        /// What the token names.
        pinned: Fingerprint,
        /// What the server presented last.
        presented: Fingerprint,
    },
}

impl PeerError {
    /// The refusal that lies beneath a failed handshake, as rustls, tokio-rustls or hyper report it; `None` when it failed for another reason, or
    /// when it was the other end that refused (it has the reason, and here is only an alert).
    pub fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a PeerError> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = match (error.downcast_ref::<std::io::Error>(), error.downcast_ref()) {
                (Some(io), _) => io.get_ref().map(|inner| inner as _),
                (_, Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(inner)))) => Some(&*inner.0),
                _ => error.source(),
            };
        }
        None
    }
}

impl From<PeerError> for rustls::Error {
    fn from(error: PeerError) -> Self {
        rustls::CertificateError::Other(rustls::OtherError(std::sync::Arc::new(error))).into()
    }
}
