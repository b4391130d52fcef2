//! Who is who in a cluster: keys, certificates and trust, and the TLS configurations that follow from them.
//!
//! | module | holds |
//! |---|---|
//! | [`identity`] | [`AgentId`], [`ClusterId`], [`Role`], [`Name`]: the words of a certificate |
//! | [`key`] | [`Keypair`]: the secret that an agent's id comes from |
//! | [`request`] | [`Request`]: what an agent asks to be certified, with the proof that it has the key |
//! | [`authority`] | [`Authority`]: the cluster's certificate authority (CA), which issues certificates |
//! | [`trust`] | [`Trust`]: whose certificates count; a chain becomes a [`Peer`] |
//! | [`credentials`] | [`Credentials`]: key, certificate and trust of a running agent, exchangeable while it runs |
//! | [`pinned`] | the configuration of a joining agent, which knows no more than a fingerprint |
//! | [`token`] | [`JoinToken`]: what brings a new agent in |
//! | [`bootstrap`] | [`BootstrapSecret`]: how the first servers speak before there is an authority |
//! | [`validity`] | [`Validity`] and when to renew |
//! | [`lag`] | [`Lag`]: what certificates of others say of this machine's clock |
//!
//! What holds everywhere:
//! - An id is computed from a public key, never taken from what somebody says.
//! - Nothing here reads a clock: the time is an argument, or comes from the [`Clock`] that the agent hands over.
//! - TLS is 1.3 with Ed25519 certificates and nothing else, from ring, with the provider passed by hand: no process default is used or set.
//! - No session is resumed and no data is sent early: each connection looks at the certificates and the trust of its own moment.
//! - No file is read or written, and there is no task, thread or socket.
#![forbid(unsafe_code)]

pub mod authority;
pub mod bootstrap;
mod certificate;
pub mod credentials;
mod fingerprint;
pub mod identity;
pub mod key;
pub mod lag;
mod parse;
mod peer_error;
pub mod pinned;
mod random;
pub mod request;
mod tls;
pub mod token;
pub mod trust;
pub mod validity;

pub use authority::{Authority, AuthorityError};
pub use bootstrap::BootstrapSecret;
pub use credentials::{Credentials, CredentialsError};
pub use fingerprint::Fingerprint;
pub use identity::{AgentId, ClusterId, IdentityError, Name, Role};
pub use key::{KeyError, Keypair};
pub use lag::Lag;
pub use peer_error::PeerError;
pub use pinned::{pinned_client_config, unpinned_client_config};
pub use request::{Request, RequestError};
pub use tls::{ALPN_H2, Clock, server_name};
pub use token::{JoinToken, TokenError, TokenHash};
pub use trust::{Peer, Trust, TrustError};
pub use validity::Validity;

pub use rustls::pki_types::CertificateDer;

/// The most bytes of one certificate. Ours take about 530, with the longest name 790.
pub const MAX_CERTIFICATE_BYTES: usize = 4096;
/// The most certificates that a peer may present. Ours are two: its own and the authority's.
pub const MAX_CHAIN: usize = 4;
/// The most authorities that are trusted at once. A rotation needs two.
pub const MAX_AUTHORITIES: usize = 4;
/// The most bytes of a request. Ours take about 140, with the longest name 410.
pub const MAX_REQUEST_BYTES: usize = 2048;
/// The most bytes of a name.
pub const MAX_NAME_BYTES: usize = 255;
/// How long before its making a certificate begins: machines whose clocks are this far behind accept it at once.
pub const CLOCK_SKEW: floe_model::Nanos = floe_model::Nanos::from_mins(5);
