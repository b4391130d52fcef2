//! The cluster's certificate authority: a key that says who belongs to the cluster. The first server makes it; every server has it.

use crate::{
    CLOCK_SKEW, CertificateDer, ClusterId, Fingerprint, KeyError, Keypair, Request, Role, Validity,
    certificate::{self, Root},
    key::CertificateSigner,
    random,
};
use floe_model::{Nanos, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SanType, SerialNumber};
use std::{fmt, time::Duration};

/// Why an authority cannot be had, or does not issue a certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate is not that of an authority.
    #[error("the authority's certificate cannot be used: {0}; restore the server's files from another server or a backup")]
    Malformed(&'static str),
    /// The key is no key.
    #[error("the authority's key cannot be used")]
    Key(#[source] KeyError),
    /// Certificate and key are of two authorities.
    #[error("the authority's key is not that of its certificate: restore both files from the same server or backup")]
    OtherKey,
    /// The life asked for is shorter than a second.
    #[error("a certificate must live for at least a second, and {0} is asked for")]
    Lifetime(Nanos),
    /// The authority does not count now, so nothing that it signed would.
    #[error(
        "the cluster's authority counts from {not_before} to {not_after}, and this machine's clock says {now}: set the clock if it is wrong, else renew the authority"
    )]
    Time {
        /// Its first moment.
        not_before: Timestamp,
        /// Its last moment.
        not_after: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// The library does not build the certificate.
    #[error("cannot build the certificate")]
    Build(#[source] rcgen::Error),
}

/// A certificate authority with its secret key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    root: Root,
    key: Keypair,
    issuer: Issuer<'static, CertificateSigner>,
}

impl Authority {
    /// Makes an authority for `cluster` with a new key. It counts from five minutes before `now` until `lifetime` after it.
    ///
    /// # Errors
    /// When `lifetime` is shorter than a second.
    pub fn create(cluster: ClusterId, now: Timestamp, lifetime: Nanos) -> Result<Self, AuthorityError> {
        let key = Keypair::generate();
        let mut asked = blank(life(now, lifetime)?);
        // The key's id sets the names of old and new authority apart.
        asked.distinguished_name.push(DnType::CommonName, format!("floe {cluster} {}", key.id()));
        asked.subject_alt_names = vec![uri(&certificate::cluster_uri(cluster))?];
        asked.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        asked.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = asked.self_signed(&CertificateSigner(key.clone())).map_err(AuthorityError::Build)?;
        Self::assemble(certificate.der().clone(), key)
    }

    /// The authority of this certificate (DER) and key (PKCS#8, DER), as [`certificate`](Self::certificate) and [`key`](Self::key) gave them.
    ///
    /// # Errors
    /// When either is damaged, or the key is not that of the certificate.
    pub fn from_parts(certificate: &[u8], key: &[u8]) -> Result<Self, AuthorityError> {
        let key = Keypair::from_pkcs8(key).map_err(AuthorityError::Key)?;
        Self::assemble(CertificateDer::from(certificate.to_vec()), key)
    }

    fn assemble(certificate: CertificateDer<'static>, key: Keypair) -> Result<Self, AuthorityError> {
        let root = certificate::read_root(&certificate).map_err(AuthorityError::Malformed)?;
        if root.spki != key.spki() {
            return Err(AuthorityError::OtherKey);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, CertificateSigner(key.clone())).map_err(AuthorityError::Build)?;
        Ok(Self { certificate, root, key, issuer })
    }

    /// Its certificate, in DER. Public.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its secret key, as PKCS#8 in DER. Whoever reads it can admit anybody.
    pub fn key(&self) -> &[u8] {
        self.key.pkcs8()
    }

    /// The cluster that it speaks for.
    pub fn cluster(&self) -> ClusterId {
        self.root.cluster
    }

    /// How long it counts.
    pub fn validity(&self) -> Validity {
        self.root.validity
    }

    /// The fingerprint of its certificate, by which a join token names it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Issues a certificate (DER) that says that the asker has `role` in the cluster. It counts from five minutes before `now` until `lifetime` after
    /// it, and never outlives the authority.
    ///
    /// The id is computed from the request's key. Whether the asker may have the role and the name is for the caller to say.
    ///
    /// # Errors
    /// When the authority does not count at `now`, or `lifetime` is shorter than a second.
    pub fn issue(&self, request: &Request, role: Role, now: Timestamp, lifetime: Nanos) -> Result<CertificateDer<'static>, AuthorityError> {
        let own = self.root.validity;
        if now < own.not_before || now > own.not_after {
            return Err(AuthorityError::Time { not_before: own.not_before, not_after: own.not_after, now });
        }
        let wanted = life(now, lifetime)?;
        let within = Validity { not_before: wanted.not_before.max(own.not_before), not_after: wanted.not_after.min(own.not_after) };
        let mut asked = blank(within);
        asked.distinguished_name.push(DnType::CommonName, request.name().as_str());
        asked.subject_alt_names = vec![uri(&certificate::agent_uri(self.root.cluster, role, request.id()))?];
        asked.is_ca = IsCa::ExplicitNoCa;
        asked.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        asked.use_authority_key_identifier_extension = true;
        Ok(asked.signed_by(request, &self.issuer).map_err(AuthorityError::Build)?.into())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.root.cluster).field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// What can be said of the certificate (DER) of an authority: its fingerprint, and how long it counts.
///
/// # Errors
/// When it is none.
pub fn describe(certificate: &[u8]) -> Result<(Fingerprint, Validity), AuthorityError> {
    let root = certificate::read_root(certificate).map_err(AuthorityError::Malformed)?;
    Ok((Fingerprint::of(certificate), root.validity))
}

/// The life of a certificate that is made at `now`.
fn life(now: Timestamp, lifetime: Nanos) -> Result<Validity, AuthorityError> {
    if lifetime < Nanos::from_secs(1) {
        return Err(AuthorityError::Lifetime(lifetime));
    }
    Ok(Validity { not_before: now.plus(Nanos(-CLOCK_SKEW.0)), not_after: now.plus(lifetime) })
}

/// A certificate of which only serial number and life are said. A moment before 1970 is 1970.
fn blank(life: Validity) -> CertificateParams {
    let moment = |at: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(Nanos(at.0).to_std().as_secs());
    let mut asked = CertificateParams::default();
    asked.distinguished_name = rcgen::DistinguishedName::new();
    asked.serial_number = Some(SerialNumber::from_slice(random::bytes::<16>().as_slice()));
    asked.not_before = moment(life.not_before);
    asked.not_after = moment(life.not_after);
    asked
}

fn uri(text: &str) -> Result<SanType, AuthorityError> {
    Ok(SanType::URI(text.try_into().map_err(AuthorityError::Build)?))
}
