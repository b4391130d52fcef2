//! Requests for a certificate (PKCS#10): a public key, a name, and a signature that proves that the sender has the secret key.
//!
//! A request asks for nothing else. Cluster, role and id are the authority's to say, and a request that names any attribute is refused.

use crate::{AgentId, Keypair, MAX_REQUEST_BYTES, Name, key::CertificateSigner, parse};
use x509_parser::prelude::*;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It has too many bytes.
    #[error("the certificate request has {0} bytes, and at most {MAX_REQUEST_BYTES} are allowed: use one that floe made")]
    TooLarge(usize),
    /// It is not what floe makes.
    #[error("the certificate request cannot be used: {0}; use one that this version of floe made")]
    Malformed(&'static str),
    /// The signature is not by the key within.
    #[error("the certificate request is not signed by its own key: it was damaged or forged; let the agent ask again")]
    Signature,
}

/// A request whose signature was checked. There is no other way to come by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    name: Name,
    id: AgentId,
    key: Vec<u8>,
}

impl Request {
    /// Reads and checks a request in DER.
    ///
    /// # Errors
    /// When it is too large, not a request, not of an Ed25519 key, without a proper name, asks for more, or is not signed by its own key.
    pub fn verify(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge(der.len()));
        }
        let malformed = RequestError::Malformed;
        let Ok((rest, request)) = X509CertificationRequest::from_der(der) else { return Err(malformed("it is not PKCS#10")) };
        if !rest.is_empty() {
            return Err(malformed("something stands behind its end"));
        }
        let info = &request.certification_request_info;
        let spki = info.subject_pki.raw;
        let key = parse::ed25519_key(spki).ok_or(malformed("its key is not Ed25519"))?;
        if !parse::is_ed25519(&request.signature_algorithm) {
            return Err(malformed("its signature is not Ed25519"));
        }
        if !info.attributes().is_empty() {
            return Err(malformed("it asks for more than a name"));
        }
        let signature = &request.signature_value;
        if signature.unused_bits != 0 || webpki::ring::ED25519.verify_signature(key, info.raw, &signature.data).is_err() {
            return Err(RequestError::Signature);
        }
        let name = parse::only_name(&info.subject).map_err(malformed)?;
        Ok(Self { name, id: AgentId::of_public_key(spki), key: key.to_vec() })
    }

    /// The name that is asked for. Whether the asker may have it is for the caller to say.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The id of the asker. On a renewal the caller compares it with that of the connection's peer.
    pub fn id(&self) -> AgentId {
        self.id
    }
}

impl rcgen::PublicKeyData for Request {
    fn der_bytes(&self) -> &[u8] {
        &self.key
    }
    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

/// The request of `key` for `name`, in DER.
pub(crate) fn build(key: &Keypair, name: &Name) -> Vec<u8> {
    let mut asked = rcgen::CertificateParams::default();
    asked.distinguished_name = rcgen::DistinguishedName::new();
    asked.distinguished_name.push(rcgen::DnType::CommonName, name.as_str());
    let request = asked.serialize_request(&CertificateSigner(key.clone()));
    request.expect("invariant: a name and an Ed25519 key make a request").der().to_vec()
}
