//! The key pair that an agent's id comes from.
//!
//! Ed25519, and no other kind: a public key has exactly one encoding, so it has exactly one id (a P-256 key has several), and a signature needs no
//! random number that could give the key away. ring signs; it keeps a copy of the secret that it never zeroes. The bytes that are held here are.

use crate::{AgentId, Name, parse, random, request};
use rustls::{
    SignatureScheme,
    pki_types::PrivatePkcs8KeyDer,
    sign::{Signer, SigningKey},
};
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// What stands before the 32 secret bytes in PKCS#8 (RFC 8410, section 7): version 0, Ed25519, an octet string in an octet string.
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why bytes are not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// They are not an Ed25519 key in PKCS#8.
    #[error("this is not an Ed25519 key in PKCS#8: restore the agent's key file, or remove it and join the cluster again")]
    Malformed,
}

/// A secret key with its public one. A clone is the same key.
#[derive(Clone)]
pub struct Keypair {
    pkcs8: Arc<Zeroizing<Vec<u8>>>,
    signing: Arc<dyn SigningKey>,
    spki: Arc<[u8]>,
}

impl Keypair {
    /// A new key pair, of the kernel's random numbers.
    pub fn generate() -> Self {
        Self::from_seed(&random::bytes())
    }

    fn from_seed(seed: &[u8; 32]) -> Self {
        let mut pkcs8 = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + seed.len()));
        pkcs8.extend_from_slice(&PKCS8_PREFIX);
        pkcs8.extend_from_slice(seed);
        Self::from_pkcs8(&pkcs8).expect("invariant: 32 bytes behind the prefix are an Ed25519 key")
    }

    /// The key pair in `der`: PKCS#8 of version 1 (as floe and OpenSSL write it) or 2.
    ///
    /// # Errors
    /// When the bytes are not PKCS#8, or the key is not Ed25519.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let key = PrivatePkcs8KeyDer::from(der);
        let signing = rustls::crypto::ring::sign::any_eddsa_type(&key).map_err(|_| KeyError::Malformed)?;
        let spki: Arc<[u8]> = signing.public_key().ok_or(KeyError::Malformed)?.as_ref().into();
        Ok(Self { pkcs8: Arc::new(Zeroizing::new(der.to_vec())), signing, spki })
    }

    /// The secret, as PKCS#8 in DER. Whoever copies it sees to it that nobody else reads it.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The id of whoever has this key.
    pub fn id(&self) -> AgentId {
        AgentId::of_public_key(&self.spki)
    }

    /// A request (PKCS#10, DER) for a certificate in the name `name`, signed with this key: what a CA needs to know that the key is ours.
    pub fn request(&self, name: &Name) -> Vec<u8> {
        request::build(self, name)
    }

    /// The public key as SubjectPublicKeyInfo in DER.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The key as rustls signs with it.
    pub(crate) fn tls(&self) -> Arc<dyn SigningKey> {
        self.signing.clone()
    }

    fn signer(&self) -> Box<dyn Signer> {
        self.signing.choose_scheme(&[SignatureScheme::ED25519]).expect("invariant: an Ed25519 key signs as Ed25519")
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keypair").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// A key pair as rcgen signs with it.
pub(crate) struct CertificateSigner(pub(crate) Keypair);

impl rcgen::PublicKeyData for CertificateSigner {
    fn der_bytes(&self) -> &[u8] {
        parse::ed25519_key(self.0.spki()).expect("invariant: the public key of a Keypair is Ed25519")
    }
    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for CertificateSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.signer().sign(message).map_err(|_| rcgen::Error::RingUnspecified)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The id of the seed of 32 sevens, computed with OpenSSL: `openssl pkey -pubout -outform DER`, SHA-256, 16 bytes, version 8, variant.
    const GOLDEN: &str = "324be2de-a8bc-8446-9b02-33e51fa48902";

    #[test]
    fn an_id_follows_from_the_key_and_never_changes() {
        let key = Keypair::from_seed(&[7; 32]);
        assert_eq!(key.id().to_string(), GOLDEN);
        assert_eq!(key.id(), GOLDEN.parse().unwrap());
        assert_ne!(Keypair::from_seed(&[8; 32]).id(), key.id());
    }

    #[test]
    fn a_key_survives_its_bytes() {
        let key = Keypair::generate();
        let again = Keypair::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(again.id(), key.id());
        assert_eq!(again.pkcs8(), key.pkcs8());
        assert_ne!(Keypair::generate().id(), key.id());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = Keypair::generate();
        let cut_short = key.pkcs8().split_last().unwrap().1;
        let beheaded = key.pkcs8().split_first().unwrap().1;
        for wrong in [&[], cut_short, beheaded, b"-----BEGIN PRIVATE KEY-----"] {
            assert_eq!(Keypair::from_pkcs8(wrong).unwrap_err(), KeyError::Malformed);
        }
        let p256 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        assert_eq!(Keypair::from_pkcs8(p256.serialized_der()).unwrap_err(), KeyError::Malformed);
    }

    #[test]
    fn a_key_is_printed_without_its_secret() {
        let key = Keypair::from_seed(&[0xab; 32]);
        let text = format!("{key:?}");
        assert_eq!(text, format!("Keypair {{ id: {:?}, .. }}", key.id()));
    }
}
