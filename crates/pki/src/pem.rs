//! Keys and certificates as text (PEM, RFC 7468), so that files can be looked at with the tools that people have.

use crate::{CertificateDer, MAX_CHAIN};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";
/// The characters of a line.
const LINE_CHARS: usize = 64;

/// Why a text does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// It is damaged.
    #[error("the text is not PEM, or is damaged: restore the file, or join the cluster again")]
    Damaged,
    /// It has a section of another kind.
    #[error("the text has a section that is not a {0}: are the files of key and certificate exchanged?")]
    OtherSection(&'static str),
    /// It has none, or too many.
    #[error("the text has {found} sections of the kind {kind}, and there must be 1 to {most}")]
    Count {
        /// What is looked for.
        kind: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
}

/// Certificates as text, in their order.
pub fn certificates_to_pem(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|der| section(CERTIFICATE, der).to_string()).collect()
}

/// The certificates in `text`, at most [`MAX_CHAIN`], in their order. They are not looked into.
///
/// # Errors
/// When the text is damaged, has no certificate or too many, or anything else in PEM.
pub fn certificates_from_pem(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let sections = sections(text, SectionKind::Certificate, CERTIFICATE, MAX_CHAIN)?;
    Ok(sections.iter().map(|der| CertificateDer::from(der.to_vec())).collect())
}

/// A secret key (PKCS#8, DER) as text, zeroed when dropped.
pub fn key_to_pem(pkcs8: &[u8]) -> Zeroizing<String> {
    section(PRIVATE_KEY, pkcs8)
}

/// The secret key (PKCS#8, DER) in `text`, zeroed when dropped. It is not looked into.
///
/// # Errors
/// When the text is damaged, does not have exactly one key, or has anything else in PEM.
pub fn key_from_pem(text: &str) -> Result<Zeroizing<Vec<u8>>, PemError> {
    let found = sections(text, SectionKind::PrivateKey, PRIVATE_KEY, 1)?;
    found.into_iter().next().ok_or(PemError::Count { kind: PRIVATE_KEY, found: 0, most: 1 })
}

fn section(kind: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // Room for all of it: a text that grows leaves copies of itself behind.
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE_CHARS + 2 * kind.len() + 64));
    text.extend(["-----BEGIN ", kind, "-----\n"]);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at_checked(LINE_CHARS).unwrap_or((rest, ""));
        text.extend([line, "\n"]);
        rest = next;
    }
    text.extend(["-----END ", kind, "-----\n"]);
    text
}

/// The sections of `text`, all of one kind, from one to `most`.
fn sections(text: &str, kind: SectionKind, name: &'static str, most: usize) -> Result<Vec<Zeroizing<Vec<u8>>>, PemError> {
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (has, der) = section.map_err(|_| PemError::Damaged)?;
        let der = Zeroizing::new(der);
        if has != kind {
            return Err(PemError::OtherSection(name));
        }
        found.push(der);
    }
    if found.is_empty() || found.len() > most {
        return Err(PemError::Count { kind: name, found: found.len(), most });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Keypair;
    use proptest::prelude::*;

    fn der(bytes: &[u8]) -> CertificateDer<'static> {
        bytes.to_vec().into()
    }

    #[test]
    fn a_key_survives_its_text() {
        let key = Keypair::generate();
        let text = key_to_pem(key.pkcs8());
        assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI"), "{}", *text);
        assert_eq!(key_from_pem(&text).unwrap().as_slice(), key.pkcs8());
    }

    #[test]
    fn what_is_not_looked_for_is_refused() {
        let (key, one) = (key_to_pem(b"key").to_string(), certificates_to_pem(&[der(b"one")]));
        assert_eq!(key_from_pem(&one), Err(PemError::OtherSection(PRIVATE_KEY)));
        assert_eq!(certificates_from_pem(&format!("{one}{key}")), Err(PemError::OtherSection(CERTIFICATE)));
        assert_eq!(key_from_pem(&format!("{key}{key}")), Err(PemError::Count { kind: PRIVATE_KEY, found: 2, most: 1 }));
        assert_eq!(certificates_from_pem(""), Err(PemError::Count { kind: CERTIFICATE, found: 0, most: MAX_CHAIN }));
        assert_eq!(certificates_from_pem(&one.repeat(MAX_CHAIN)).unwrap().len(), MAX_CHAIN);
        let too_many = MAX_CHAIN + 1;
        assert_eq!(
            certificates_from_pem(&one.repeat(too_many)),
            Err(PemError::Count { kind: CERTIFICATE, found: too_many, most: MAX_CHAIN })
        );
        for damaged in [one.replace("END", "ENDE"), one.replace("b25l", "b25*"), one.split_at(30).0.to_owned()] {
            assert_eq!(certificates_from_pem(&damaged), Err(PemError::Damaged), "{damaged}");
        }
    }

    proptest! {
        #[test]
        fn certificates_survive_their_text(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..=MAX_CHAIN)) {
            let certificates: Vec<_> = all.iter().map(|bytes| der(bytes)).collect();
            let text = certificates_to_pem(&certificates);
            prop_assert!(text.lines().all(|line| line.len() <= LINE_CHARS));
            prop_assert_eq!(certificates_from_pem(&text), Ok(certificates));
        }
    }
}
