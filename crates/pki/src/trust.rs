//! Whose certificates count: the authorities of one cluster. During a rotation there are two, the old one and the new one.

use crate::{
    AgentId, CertificateDer, ClusterId, Fingerprint, MAX_AUTHORITIES, MAX_CHAIN, Name, PeerError, Role, Validity,
    certificate::{self, Leaf, Root},
};
use floe_model::{Nanos, Timestamp};
use rustls::pki_types::{TrustAnchor, UnixTime};

/// Why certificates cannot be trusted as authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// There is none.
    #[error("no authority is given: an agent needs the certificate of its cluster's authority")]
    Empty,
    /// There are too many.
    #[error("{0} authorities are given, and at most {MAX_AUTHORITIES} are allowed: remove those that are no longer used")]
    TooMany(usize),
    /// One is not an authority's certificate as floe makes it.
    #[error("the authority's certificate cannot be used: {0}; restore the file, or join the cluster again")]
    Malformed(&'static str),
    /// They are of several clusters.
    #[error("the authorities are of two clusters, {0} and {1}: keep those of one")]
    TwoClusters(ClusterId, ClusterId),
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which agent: computed from its key.
    pub id: AgentId,
    /// What it may do.
    pub role: Role,
    /// The cluster that it is of, which is ours.
    pub cluster: ClusterId,
    /// What people call it.
    pub name: Name,
    /// The last moment at which its certificate counts.
    pub not_after: Timestamp,
}

impl Peer {
    /// This peer, if it has the role.
    pub(crate) fn must_be(self, role: Role) -> Result<Self, PeerError> {
        if self.role != role {
            return Err(PeerError::WrongRole { name: self.name, has: self.role, needs: role });
        }
        Ok(self)
    }
}

impl From<Leaf> for Peer {
    /// What a checked certificate says.
    fn from(leaf: Leaf) -> Self {
        Self { id: leaf.key_id, role: leaf.role, cluster: leaf.cluster, name: leaf.name, not_after: leaf.validity.not_after }
    }
}

/// The authorities of one cluster, at least one and at most [`MAX_AUTHORITIES`].
#[derive(Clone, Debug)]
pub struct Trust {
    cluster: ClusterId,
    certificates: Vec<CertificateDer<'static>>,
    roots: Vec<Root>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl Trust {
    /// Trust in these authorities (certificates in DER), and in nobody else.
    ///
    /// # Errors
    /// When there are none or too many, one is not an authority's certificate, or they are of several clusters.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TrustError> {
        if certificates.len() > MAX_AUTHORITIES {
            return Err(TrustError::TooMany(certificates.len()));
        }
        let roots =
            certificates.iter().map(|der| certificate::read_root(der)).collect::<Result<Vec<_>, _>>().map_err(TrustError::Malformed)?;
        let cluster = roots.first().ok_or(TrustError::Empty)?.cluster;
        if let Some(other) = roots.iter().find(|root| root.cluster != cluster) {
            return Err(TrustError::TwoClusters(cluster, other.cluster));
        }
        let anchor = |der| webpki::anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned());
        let anchors = certificates.iter().map(anchor).collect::<Result<_, _>>();
        let anchors = anchors.map_err(|_| TrustError::Malformed("it cannot stand at the end of a chain"))?;
        Ok(Self { cluster, certificates, roots, anchors })
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The authorities' certificates, in the order in which they were given.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Says whose `chain` is at `now`. The first certificate is the peer's own; what follows it proves nothing and is not looked at.
    ///
    /// # Errors
    /// When the chain is empty or too long, or the certificate is not one of this cluster that counts now.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Peer, PeerError> {
        let own = first(chain)?;
        let leaf = certificate::read_leaf(own).map_err(PeerError::Malformed)?;
        self.check(own, &leaf, now)?;
        Ok(leaf.into())
    }

    /// As [`verify`](Self::verify), for where only one role will do.
    ///
    /// # Errors
    /// As there, and when the peer has another role.
    pub fn verify_role(&self, chain: &[CertificateDer<'_>], role: Role, now: Timestamp) -> Result<Peer, PeerError> {
        self.verify(chain, now)?.must_be(role)
    }

    /// Checks that `own`, which claims `leaf`, counts at `now`, and returns the authority that signed it.
    pub(crate) fn check(&self, own: &CertificateDer<'_>, leaf: &Leaf, now: Timestamp) -> Result<&CertificateDer<'static>, PeerError> {
        let (name, validity) = (&leaf.name, leaf.validity);
        // The claims are not proved here, but a wrong one can only lead to another refusal.
        if leaf.cluster != self.cluster {
            return Err(PeerError::OtherCluster { theirs: leaf.cluster, ours: self.cluster });
        }
        if now > validity.not_after {
            return Err(PeerError::Expired { name: name.clone(), not_after: validity.not_after, now });
        }
        if now < validity.not_before {
            return Err(PeerError::NotYetValid { name: name.clone(), not_before: validity.not_before, now });
        }
        let (root, signer) = self.signer(own, now).map_err(|error| refusal(name, error))?;
        let Validity { not_before, not_after } = root.validity;
        if now < not_before || now > not_after {
            return Err(PeerError::AuthorityTime { not_before, not_after, now });
        }
        if leaf.written_id != leaf.key_id {
            return Err(PeerError::ForeignId { name: name.clone(), written: leaf.written_id, key: leaf.key_id });
        }
        Ok(signer)
    }

    /// The authority that signed `own`, as it is and as we have read it.
    fn signer(&self, own: &CertificateDer<'_>, now: Timestamp) -> Result<(&Root, &CertificateDer<'static>), webpki::Error> {
        let now = UnixTime::since_unix_epoch(Nanos(now.0).to_std());
        let usage = webpki::KeyUsage::server_auth();
        let own = webpki::EndEntityCert::try_from(own)?;
        let path = own.verify_for_usage(&[webpki::ring::ED25519], &self.anchors, &[], now, usage, None, None)?;
        let mut all = self.anchors.iter().zip(self.roots.iter().zip(&self.certificates));
        all.find(|(anchor, _)| *anchor == path.anchor()).map(|(_, found)| found).ok_or(webpki::Error::UnknownIssuer)
    }
}

/// The first certificate of a chain that is not too long.
fn first<'a, 'b>(chain: &'a [CertificateDer<'b>]) -> Result<&'a CertificateDer<'b>, PeerError> {
    if chain.len() > MAX_CHAIN {
        return Err(PeerError::TooMany(chain.len()));
    }
    chain.first().ok_or(PeerError::NoCertificate)
}

fn refusal(name: &Name, error: webpki::Error) -> PeerError {
    use webpki::Error as E;
    match error {
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => PeerError::UnknownAuthority { name: name.clone() },
        other => PeerError::Unusable { name: name.clone(), flaw: other.to_string() },
    }
}

impl Fingerprint {
    /// The one certificate that a joining agent trusts: the last of `chain`, when it has this fingerprint.
    ///
    /// # Errors
    /// When the chain is empty or too long, or ends in another authority.
    pub fn end_of<'a, 'b>(self, chain: &'a [CertificateDer<'b>]) -> Result<&'a CertificateDer<'b>, PeerError> {
        first(chain)?;
        let last = chain.last().ok_or(PeerError::NoCertificate)?;
        let presented = Fingerprint::of(last);
        if presented == self { Ok(last) } else { Err(PeerError::OtherAuthority { pinned: self, presented }) }
    }
}
