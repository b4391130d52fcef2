//! What all TLS configurations have in common: the algorithms, the protocol, the clock, and how a handshake's signature is checked.

use crate::CertificateDer;
use floe_model::{Nanos, Timestamp};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{Resumption, WantsClientCert, danger::HandshakeSignatureValid, danger::ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms},
    pki_types::{ServerName, UnixTime},
    time_provider::TimeProvider,
};
use std::{fmt, sync::Arc};

/// The one protocol that is spoken inside: HTTP/2.
pub const ALPN_H2: &[u8] = b"h2";

/// The signatures that certificates and handshakes may have.
const ED25519_ONLY: WebPkiSupportedAlgorithms =
    WebPkiSupportedAlgorithms { all: &[webpki::ring::ED25519], mapping: &[(SignatureScheme::ED25519, &[webpki::ring::ED25519])] };

/// What a connection by rustls asks to be given as the server's name. It is neither sent nor checked: addresses are not identities.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("floe").expect("invariant: \"floe\" is a DNS name")
}

/// ring, whatever the process has for a default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A client's configuration that asks `verifier` about the server; whether the client has a certificate is left open.
pub(crate) fn client_builder(verifier: Arc<dyn ServerCertVerifier>, clock: &Clock) -> rustls::ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("invariant: ring has cipher suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// The rest of a client's configuration. (rustls sends nothing early unless it is told to.)
pub(crate) fn finish_client(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Arc::new(config)
}

/// Where the present time comes from. A clone reads the same clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that is read by calling `read`, which must not wait.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Nanos(self.now().0).to_std()))
    }
}

/// A moment as rustls hands it to a verifier, in whole seconds.
pub(crate) fn timestamp(at: UnixTime) -> Timestamp {
    Timestamp(Nanos::from_secs(i64::try_from(at.as_secs()).unwrap_or(i64::MAX)).0)
}

/// A presented chain in one piece.
pub(crate) fn chain<'a>(own: &'a CertificateDer<'_>, rest: &'a [CertificateDer<'_>]) -> Vec<CertificateDer<'a>> {
    std::iter::once(own).chain(rest).take(crate::MAX_CHAIN + 1).map(|der| CertificateDer::from(der.as_ref())).collect()
}

/// Checks that whoever presented `own` has its key.
pub(crate) fn verify_signature(
    message: &[u8],
    own: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    rustls::crypto::verify_tls13_signature(message, own, signature, &ED25519_ONLY)
}

/// The answer to a handshake of TLS 1.2, which no configuration offers.
pub(crate) fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("floe speaks TLS 1.3 only".to_owned()))
}

/// The signature schemes that are offered.
pub(crate) fn schemes() -> Vec<SignatureScheme> {
    ED25519_ONLY.supported_schemes()
}
