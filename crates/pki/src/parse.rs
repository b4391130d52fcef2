//! The parts of DER that certificates and requests share.

use crate::Name;
use x509_parser::{oid_registry::OID_SIG_ED25519, prelude::*};

/// What is said of bytes that do not hold what they should.
pub(crate) type Flaw = &'static str;

/// The 32 bytes of the Ed25519 key in `spki`, when that is its one encoding: 12 bytes of frame (RFC 8410, section 4) and the key.
pub(crate) fn ed25519_key(spki: &[u8]) -> Option<&[u8]> {
    const FRAME: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.strip_prefix(&FRAME).filter(|key| key.len() == 32)
}

/// True when `algorithm` is Ed25519, which takes no parameters.
pub(crate) fn is_ed25519(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    algorithm.algorithm == OID_SIG_ED25519 && algorithm.parameters.is_none()
}

/// The one name of a subject that holds nothing else.
pub(crate) fn only_name(subject: &X509Name<'_>) -> Result<Name, Flaw> {
    let mut attributes = subject.iter_attributes();
    let (Some(first), None) = (attributes.next(), attributes.next()) else { return Err("its subject is not one common name") };
    if *first.attr_type() != x509_parser::oid_registry::OID_X509_COMMON_NAME {
        return Err("its subject is not one common name");
    }
    let text = first.as_str().map_err(|_| "its name is not UTF-8")?;
    text.parse().map_err(|_| "its name is empty, too long, or has characters that names may not have")
}
