//! The secret that the first servers of a cluster share, and how they speak before there is any authority.
//!
//! There is nobody yet whose certificate could count, so what servers say is sealed with a key of the secret. A question says who asks and is
//! bound to that; its answer is bound to both ids and to the very question. So an answer that was recorded earlier, or that somebody else was
//! given, opens nothing, and a question that comes back to its sender is known by its own id. A question that is sent again by somebody else is
//! answered again, to the same key: so the answer must cost and change nothing.
//!
//! Each message has a key of its own: HKDF-SHA256 of the secret, with 32 random bytes as salt and everything that it is bound to as info, for one
//! use of ChaCha20-Poly1305. The secret is random and long because whoever records a message may guess at it for ever.

use crate::{AgentId, Fingerprint, JoinToken, random};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{aead, hkdf};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

const PREFIX: &str = "floe-bootstrap-1-";
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// The characters behind the prefix.
const BODY_CHARS: usize = (SECRET_BYTES + CHECKSUM_BYTES) * 4 / 3;
const CHECKSUM_DOMAIN: &[u8] = b"floe bootstrap secret checksum 1\0";
const QUESTION: &[u8] = b"floe bootstrap question 1\0";
const ANSWER: &[u8] = b"floe bootstrap answer 1\0";
const TOKEN: &[u8] = b"floe bootstrap token 1\0";

/// The random bytes that make each message's key its own.
pub const SALT_BYTES: usize = 32;
/// The most bytes of a sealed message.
pub const MAX_SEALED_BYTES: usize = 4096;

/// Why a text is not a bootstrap secret. None of them repeats the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It begins with something else.
    #[error("this is not a bootstrap secret: one begins with {PREFIX}; make one with floe server bootstrap-secret")]
    NotASecret,
    /// It was not copied whole.
    #[error("this bootstrap secret was copied wrongly: copy it again, whole ({BODY_CHARS} characters belong behind {PREFIX})")]
    Damaged,
}

/// Why a message is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It was not sealed for this with our secret.
    #[error("it was not sealed with this server's bootstrap secret: do all founding servers have the same one?")]
    OtherSecret,
    /// No message of ours is so large.
    #[error("it is larger than {MAX_SEALED_BYTES} bytes: is the other one of a newer version?")]
    TooLarge,
}

/// What the servers that are to begin a cluster share: 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapSecret(Zeroizing<[u8; SECRET_BYTES]>);

/// A message that only holders of the secret can read or make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Who says it.
    pub from: AgentId,
    /// Drawn for this message.
    pub salt: [u8; SALT_BYTES],
    /// What is said.
    pub sealed: Vec<u8>,
}

impl BootstrapSecret {
    /// A new secret.
    pub fn draw() -> Self {
        Self(random::bytes())
    }

    /// The text to carry, zeroed when dropped.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.0.to_vec());
        bytes.extend_from_slice(&checksum(self.0.as_slice()));
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Zeroizing::new(format!("{PREFIX}{}", *body))
    }

    /// Seals a question of `from`.
    pub fn ask(&self, from: AgentId, question: &[u8]) -> Sealed {
        self.seal(from, question, |salt| self.key(salt, &[QUESTION, from.bytes()]))
    }

    /// Opens a question.
    ///
    /// # Errors
    /// When it is no question that a holder of the secret asks in that name.
    pub fn hear(&self, question: &Sealed) -> Result<Vec<u8>, OpenError> {
        open(question, self.key(&question.salt, &[QUESTION, question.from.bytes()]))
    }

    /// Seals the answer of `from` to `question`.
    pub fn answer(&self, from: AgentId, question: &Sealed, answer: &[u8]) -> Sealed {
        self.seal(from, answer, |salt| self.key(salt, &answer_context(&from, question)))
    }

    /// Opens an answer to `question`.
    ///
    /// # Errors
    /// When it is not the answer to just this question, or not by a holder of the secret.
    pub fn read_answer(&self, question: &Sealed, answer: &Sealed) -> Result<Vec<u8>, OpenError> {
        open(answer, self.key(&answer.salt, &answer_context(&answer.from, question)))
    }

    /// The join token of the founding server `id`, for the cluster whose authority has this fingerprint. It is always the same one: whoever asks
    /// again is told nothing new.
    pub fn join_token(&self, fingerprint: Fingerprint, id: AgentId) -> JoinToken {
        let mut secret = Zeroizing::new([0; crate::token::SECRET_BYTES]);
        self.derive(&fingerprint.0, &[TOKEN, id.bytes()], secret.as_mut_slice());
        JoinToken::of(fingerprint, &secret)
    }

    fn seal(&self, from: AgentId, body: &[u8], key: impl FnOnce(&[u8; SALT_BYTES]) -> aead::LessSafeKey) -> Sealed {
        let salt = *random::bytes();
        let mut sealed = body.to_vec();
        let done = key(&salt).seal_in_place_append_tag(nonce(), aead::Aad::empty(), &mut sealed);
        done.expect("invariant: a message is shorter than the cipher's limit of 256 GiB");
        Sealed { from, salt, sealed }
    }

    fn key(&self, salt: &[u8; SALT_BYTES], context: &[&[u8]]) -> aead::LessSafeKey {
        let mut key = Zeroizing::new([0; 32]);
        self.derive(salt, context, key.as_mut_slice());
        let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key.as_slice());
        aead::LessSafeKey::new(key.expect("invariant: a key of ChaCha20 has 32 bytes"))
    }

    fn derive(&self, salt: &[u8; 32], context: &[&[u8]], into: &mut [u8]) {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(self.0.as_slice());
        let expanded = extracted.expand(context, Length(into.len())).and_then(|key| key.fill(into));
        expanded.expect("invariant: at most 32 bytes are asked of a hash that gives 8160");
    }
}

/// How many bytes are derived.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// What an answer is bound to.
fn answer_context<'a>(from: &'a AgentId, question: &'a Sealed) -> [&'a [u8]; 4] {
    [ANSWER, from.bytes(), question.from.bytes(), &question.salt]
}

fn open(message: &Sealed, key: aead::LessSafeKey) -> Result<Vec<u8>, OpenError> {
    if message.sealed.len() > MAX_SEALED_BYTES {
        return Err(OpenError::TooLarge);
    }
    let mut sealed = message.sealed.clone();
    let opened = key.open_in_place(nonce(), aead::Aad::empty(), &mut sealed).map_err(|_| OpenError::OtherSecret)?;
    Ok(opened.to_vec())
}

fn checksum(secret: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest: [u8; 32] = Sha256::new().chain_update(CHECKSUM_DOMAIN).chain_update(secret).finalize().into();
    *digest.first_chunk().expect("invariant: 32 bytes have 4 in front")
}

/// One message a key, so the nonce may be fixed.
fn nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

impl FromStr for BootstrapSecret {
    type Err = SecretError;

    /// Reads a secret; white space around it, as from a file, is no part of it.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(SecretError::NotASecret)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| SecretError::Damaged)?);
        let (secret, sum) = bytes.split_first_chunk::<SECRET_BYTES>().ok_or(SecretError::Damaged)?;
        if sum != checksum(secret) {
            return Err(SecretError::Damaged);
        }
        Ok(Self(Zeroizing::new(*secret)))
    }
}

impl fmt::Debug for BootstrapSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootstrapSecret").finish_non_exhaustive()
    }
}
