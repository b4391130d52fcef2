//! The age file format, version 1 (C2SP, age-encryption.org/v1): what floe needs of it, for messages that fit in one chunk.
//!
//! One recipient of kind X25519 a file: the file key is sealed with what an ephemeral key and the recipient's agree on, the header is authenticated
//! with the file key, and the payload is one chunk of ChaCha20-Poly1305 under a key of its own. Files of more recipients, other kinds or more chunks
//! are refused: floe never makes them.

use super::keys::{Identity, Recipient};
use crate::cipher;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use ring::{aead, hmac};
use zeroize::Zeroizing;

const VERSION: &str = "age-encryption.org/v1\n";
const STANZA: &str = "-> X25519 ";
const MAC: &str = "---";
const X25519_INFO: &[u8] = b"age-encryption.org/v1/X25519";
const FILE_KEY_BYTES: usize = 16;
const PAYLOAD_NONCE_BYTES: usize = 16;
/// The nonce of the first chunk (eleven bytes that count) when it is the last one, too (the last byte).
const ONLY_CHUNK: [u8; aead::NONCE_LEN] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// The most bytes that are encrypted, far below the 64 KiB of a chunk.
const MAX_PLAIN_BYTES: usize = 4096;

/// Why something was not encrypted or not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgeError {
    #[error("draw random numbers")]
    Random(#[from] getrandom::Error),
    #[error("the recipient is no key that can be used: nothing would be secret")]
    WeakKey,
    #[error("more than {MAX_PLAIN_BYTES} bytes")]
    TooLarge,
    #[error("the wrap is not an age file for one X25519 recipient")]
    Form,
    #[error("the wrap is for another recipient, or was changed")]
    Refused,
}

/// Encrypts `plain` for `recipient`.
pub(super) fn encrypt(recipient: &Recipient, plain: &[u8]) -> Result<Vec<u8>, AgeError> {
    if plain.len() > MAX_PLAIN_BYTES {
        return Err(AgeError::TooLarge);
    }
    let ephemeral = cipher::random::<32>()?;
    let file_key = cipher::random::<FILE_KEY_BYTES>()?;
    let nonce = cipher::random::<PAYLOAD_NONCE_BYTES>()?;
    let share = x25519_dalek::x25519(*ephemeral, x25519_dalek::X25519_BASEPOINT_BYTES);
    let wrap_key = wrap_key(&ephemeral, &recipient.0, &share, &recipient.0)?;
    let body = cipher::seal_once(&wrap_key, [0; aead::NONCE_LEN], file_key.as_slice());
    let mut file = format!("{VERSION}{STANZA}{}\n{}\n{MAC}", BASE64.encode(share), BASE64.encode(body));
    let mac = hmac::sign(&mac_key(&file_key), file.as_bytes());
    file.push_str(&format!(" {}\n", BASE64.encode(mac)));
    let sealed = cipher::seal_once(&payload_key(&file_key, nonce.as_slice()), ONLY_CHUNK, plain);
    Ok([file.as_bytes(), nonce.as_slice(), &sealed].concat())
}

/// Opens what [`encrypt`], or age itself, made for the identity's recipient alone.
pub(super) fn decrypt(identity: &Identity, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    let parts = parse(file).ok_or(AgeError::Form)?;
    let wrap_key = wrap_key(&identity.secret, &parts.share, &parts.share, &identity.recipient().0)?;
    let file_key = cipher::open_once(&wrap_key, [0; aead::NONCE_LEN], &parts.body).ok_or(AgeError::Refused)?;
    let file_key: Zeroizing<[u8; FILE_KEY_BYTES]> = Zeroizing::new(file_key.as_slice().try_into().map_err(|_| AgeError::Refused)?);
    hmac::verify(&mac_key(&file_key), parts.authenticated, &parts.mac).map_err(|_| AgeError::Refused)?;
    cipher::open_once(&payload_key(&file_key, parts.nonce), ONLY_CHUNK, parts.sealed).ok_or(AgeError::Refused)
}

/// A file, taken apart.
struct Parts<'a> {
    /// The ephemeral public key.
    share: [u8; 32],
    /// The file key, sealed.
    body: [u8; FILE_KEY_BYTES + cipher::TAG_BYTES],
    /// What the MAC is over.
    authenticated: &'a [u8],
    mac: [u8; 32],
    nonce: &'a [u8],
    sealed: &'a [u8],
}

fn parse(file: &[u8]) -> Option<Parts<'_>> {
    let rest = file.strip_prefix(VERSION.as_bytes())?.strip_prefix(STANZA.as_bytes())?;
    let (share, rest) = line(rest)?;
    let (body, rest) = line(rest)?;
    let rest = rest.strip_prefix(MAC.as_bytes())?;
    let authenticated = file.get(..file.len() - rest.len())?;
    let (mac, payload) = line(rest.strip_prefix(b" ")?)?;
    let (nonce, sealed) = payload.split_at_checked(PAYLOAD_NONCE_BYTES)?;
    Some(Parts { share: base64(share)?, body: base64(body)?, authenticated, mac: base64(mac)?, nonce, sealed })
        .filter(|parts| parts.sealed.len() <= MAX_PLAIN_BYTES + cipher::TAG_BYTES)
}

/// What stands before the next line feed, and what comes behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

fn base64<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

/// The key that seals the file key: what `secret` and `public` agree on, bound to the ephemeral share and the recipient.
fn wrap_key(secret: &[u8; 32], public: &[u8; 32], share: &[u8; 32], recipient: &[u8; 32]) -> Result<cipher::Key, AgeError> {
    let agreed = Zeroizing::new(x25519_dalek::x25519(*secret, *public));
    // A public key of small order agrees on zero with everybody.
    if agreed.iter().all(|byte| *byte == 0) {
        return Err(AgeError::WeakKey);
    }
    Ok(cipher::derive(agreed.as_slice(), &[share.as_slice(), recipient].concat(), &[X25519_INFO]))
}

fn mac_key(file_key: &[u8; FILE_KEY_BYTES]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, cipher::derive::<32>(file_key, b"", &[b"header"]).as_slice())
}

fn payload_key(file_key: &[u8; FILE_KEY_BYTES], nonce: &[u8]) -> cipher::Key {
    cipher::derive(file_key, nonce, &[b"payload"])
}
