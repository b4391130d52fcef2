//! The first connection of a joining agent. It knows one thing of the cluster: the fingerprint of its authority, from the join token.
//!
//! The server presents its own certificate and the authority's. The authority's must have the fingerprint, and must have signed the server's. The
//! agent has no certificate to present yet.
//!
//! The servers that are to begin a cluster do not even know a fingerprint: they take any certificate, and believe only what is sealed with their
//! secret ([`crate::bootstrap`]).

use crate::{CertificateDer, Clock, Fingerprint, PeerError, Role, Trust, tls};
use floe_model::Timestamp;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{ServerName, UnixTime},
};
use std::sync::Arc;

/// Connects to a server of the cluster whose authority has this fingerprint, without a certificate of one's own. The server's name is not checked.
///
/// After the handshake [`Fingerprint::end_of`] finds the authority's certificate in the connection's peer certificates.
pub fn pinned_client_config(fingerprint: Fingerprint, clock: &Clock) -> Arc<ClientConfig> {
    client_config(Verifier(Some(fingerprint)), clock)
}

/// Connects to whoever has the key of the certificate that he presents, without one of one's own. It proves nothing of who that is: what comes
/// must prove it by itself.
pub fn unpinned_client_config(clock: &Clock) -> Arc<ClientConfig> {
    client_config(Verifier(None), clock)
}

fn client_config(verifier: Verifier, clock: &Clock) -> Arc<ClientConfig> {
    tls::finish_client(tls::client_builder(Arc::new(verifier), clock).with_no_client_auth())
}

/// Believes the authority with this fingerprint; without one, anybody.
#[derive(Debug)]
struct Verifier(Option<Fingerprint>);

impl Verifier {
    fn check(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), PeerError> {
        let Some(fingerprint) = self.0 else { return Ok(()) };
        let authority = fingerprint.end_of(chain)?.clone().into_owned();
        let trust = Trust::new(vec![authority]).map_err(|_| PeerError::Malformed("its chain does not end in an authority"))?;
        trust.verify_role(chain, Role::Server, now).map(|_| ())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(&tls::chain(own, rest), tls::timestamp(now))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls::refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls::verify_signature(message, own, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::schemes()
    }
}
