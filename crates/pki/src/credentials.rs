//! What a running agent shows and whom it believes. Certificate and trust may be exchanged while connections go on: each new handshake looks them up.

mod verifier;

use crate::{
    AgentId, CertificateDer, Clock, Fingerprint, Keypair, Lag, Peer, PeerError, Trust, Validity, certificate,
    lag::LagWatch,
    tls::{self, ALPN_H2},
};
use floe_model::Timestamp;
use rustls::{ClientConfig, ServerConfig, sign::CertifiedKey};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};
use verifier::{Presenter, Verifier, Wanted};

/// Why a certificate cannot be the agent's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// It is for another key.
    #[error(
        "the certificate is for the key of {certificate}, and this agent's key is that of {ours}: restore both files together, or join again"
    )]
    OtherKey {
        /// The id of the certificate's key.
        certificate: AgentId,
        /// The id of ours.
        ours: AgentId,
    },
    /// Those whom the agent trusts would refuse it.
    #[error("the agent's own certificate is not accepted by the authorities that it trusts itself: join the cluster again")]
    Own(#[source] PeerError),
}

/// Key, certificate and trust of a running agent. A clone shares them: what one replaces, all have.
#[derive(Clone)]
pub struct Credentials(Arc<Shared>);

struct Shared {
    key: Keypair,
    clock: Clock,
    /// Held only for as long as it takes to copy or exchange a pointer.
    current: RwLock<Arc<Material>>,
    lag: LagWatch,
}

/// What is exchanged as a whole.
struct Material {
    /// The certificate and that of the authority which signed it, with the key.
    certified: Arc<CertifiedKey>,
    me: Peer,
    validity: Validity,
    issuer: Fingerprint,
    trust: Trust,
}

impl Credentials {
    /// The credentials of the agent with `key` and `certificate` (DER), which believes `trust`. `clock` is read at every handshake.
    ///
    /// The certificate's age is not looked at: an agent whose clock is wrong starts, and says so when it connects (see [`validity`](Self::validity)).
    ///
    /// # Errors
    /// When the certificate is for another key, or would be refused under `trust`.
    pub fn new(key: Keypair, certificate: CertificateDer<'static>, trust: Trust, clock: Clock) -> Result<Self, CredentialsError> {
        let material = Material::new(&key, certificate, trust)?;
        Ok(Self(Arc::new(Shared { key, clock, current: RwLock::new(Arc::new(material)), lag: LagWatch::default() })))
    }

    /// Exchanges certificate and trust. Connections that are there go on; every handshake that begins from now on uses the new ones.
    ///
    /// # Errors
    /// As [`new`](Self::new); then nothing is exchanged.
    pub fn replace(&self, certificate: CertificateDer<'static>, trust: Trust) -> Result<(), CredentialsError> {
        let material = Arc::new(Material::new(&self.0.key, certificate, trust)?);
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = material;
        Ok(())
    }

    /// The agent as others see it.
    pub fn me(&self) -> Peer {
        self.0.current().me.clone()
    }

    /// How long the agent's certificate counts, and so when to renew it.
    pub fn validity(&self) -> Validity {
        self.0.current().validity
    }

    /// The authority that signed the agent's certificate.
    pub fn issuer(&self) -> Fingerprint {
        self.0.current().issuer
    }

    /// Whom the agent believes.
    pub fn trust(&self) -> Trust {
        self.0.current().trust.clone()
    }

    /// The agent's key pair, to ask for the next certificate with.
    pub fn keypair(&self) -> &Keypair {
        &self.0.key
    }

    /// For accepting connections. A client may present no certificate, for a joining agent has none: [`peer`](Self::peer) says who is there, and the
    /// caller decides what nobody may do. A certificate that does not count fails the handshake.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_details(tls::provider(), Arc::new(self.0.clock.clone()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("invariant: ring has cipher suites of TLS 1.3")
            .with_client_cert_verifier(Arc::new(self.verifier(Wanted::Server)))
            .with_cert_resolver(Arc::new(Presenter(self.0.clone())));
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        // Without a ticket nothing is resumed and nothing can be sent early.
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// For connecting to a server of the cluster, with the agent's own certificate. The server's role is checked, its name is not.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.connecting(Wanted::Server)
    }

    /// For connecting to one agent of the cluster, whatever its role: nobody else may answer at its address.
    pub fn agent_config(&self, id: AgentId) -> Arc<ClientConfig> {
        self.connecting(Wanted::Agent(id))
    }

    fn connecting(&self, wanted: Wanted) -> Arc<ClientConfig> {
        let builder = tls::client_builder(Arc::new(self.verifier(wanted)), &self.0.clock);
        tls::finish_client(builder.with_client_cert_resolver(Arc::new(Presenter(self.0.clone()))))
    }

    fn verifier(&self, wanted: Wanted) -> Verifier {
        Verifier { shared: self.0.clone(), wanted }
    }

    /// Who is at the other end, from the certificates that a connection's handshake left (`peer_certificates` of rustls); `None` when there are none.
    ///
    /// They are checked again, so a long connection can be asked whether its peer is still believed.
    ///
    /// # Errors
    /// When the certificates no longer count.
    pub fn peer(&self, presented: Option<&[CertificateDer<'_>]>) -> Result<Option<Peer>, PeerError> {
        let Some(chain) = presented.filter(|chain| !chain.is_empty()) else { return Ok(None) };
        self.0.verify(chain, self.0.clock.now()).map(Some)
    }

    /// What certificates of the last two minutes showed of this machine's clock, if it is behind.
    pub fn lag(&self) -> Option<Lag> {
        self.0.lag.present(self.0.clock.now())
    }

    /// As [`lag`](Self::lag), but at most once a minute: for a warning in the log.
    pub fn lag_to_tell(&self) -> Option<Lag> {
        self.0.lag.to_tell(self.0.clock.now())
    }
}

impl Shared {
    fn current(&self) -> Arc<Material> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who presents these certificates, if they count at `now`.
    fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Peer, PeerError> {
        let trust = &self.current().trust;
        let verified = trust.verify(chain, now);
        if let Err(PeerError::NotYetValid { name, not_before, now }) = &verified {
            // Anybody can write a certificate that begins tomorrow; only one that will count says something about clocks.
            if trust.verify(chain, *not_before).is_ok() {
                self.lag.note(Lag { name: name.clone(), not_before: *not_before, now: *now });
            }
        }
        verified
    }
}

impl Material {
    fn new(key: &Keypair, own: CertificateDer<'static>, trust: Trust) -> Result<Self, CredentialsError> {
        let leaf = certificate::read_leaf(&own).map_err(|flaw| CredentialsError::Own(PeerError::Malformed(flaw)))?;
        if leaf.key_id != key.id() {
            return Err(CredentialsError::OtherKey { certificate: leaf.key_id, ours: key.id() });
        }
        // At its own last moment it counts, whatever the clock says.
        let signer = trust.check(&own, &leaf, leaf.validity.not_after).map_err(CredentialsError::Own)?;
        let issuer = Fingerprint::of(signer);
        let certified = Arc::new(CertifiedKey::new(vec![own, signer.clone()], key.tls()));
        let validity = leaf.validity;
        Ok(Self { certified, me: leaf.into(), validity, issuer, trust })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.0.current().me).finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("key", &self.key).finish_non_exhaustive()
    }
}
