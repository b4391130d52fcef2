//! What rustls asks during a handshake: what to show, and whether to believe. Each question is answered from what is current.

use super::Shared;
use crate::{AgentId, CertificateDer, PeerError, Role, tls};
use floe_model::Timestamp;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{ServerName, UnixTime},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use std::sync::Arc;

/// Shows the current certificate.
#[derive(Debug)]
pub(super) struct Presenter(pub(super) Arc<Shared>);

impl ResolvesServerCert for Presenter {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current().certified.clone())
    }
}

impl ResolvesClientCert for Presenter {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Believes whom the current trust says.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) shared: Arc<Shared>,
    pub(super) wanted: Wanted,
}

/// Who must be at the other end when we connect.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// Any server.
    Server,
    /// This agent, whatever its role.
    Agent(AgentId),
}

impl Verifier {
    fn check(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(), PeerError> {
        let peer = self.shared.verify(chain, now)?;
        match self.wanted {
            Wanted::Server => peer.must_be(Role::Server).map(drop),
            Wanted::Agent(id) if peer.id == id => Ok(()),
            Wanted::Agent(id) => Err(PeerError::OtherAgent { name: peer.name, has: peer.id, needs: id }),
        }
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

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: an agent has one certificate, and shows it without being told whom we trust.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.shared.verify(&tls::chain(own, rest), tls::timestamp(now))?;
        Ok(ClientCertVerified::assertion())
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
