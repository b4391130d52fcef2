//! Join tokens: what an operator carries from a cluster to a new machine. One use and a short life are the servers' to see to; they keep no more
//! than [`JoinToken::hash`].
//!
//! Text: `floe-join-1-` and 75 characters of base64url (RFC 4648, section 5, without padding): 32 bytes of the authority's fingerprint, 20 of the
//! secret, and 4 of a checksum, so that a token copied badly is told from one that the servers do not know.
//!
//! Servers look a token up by its hash, so nothing that depends on the secret is compared byte by byte, and no comparison in constant time is needed:
//! whoever measures the look-up learns about a hash that leads to no secret. 160 random bits need no slow hash.

use crate::{Fingerprint, random};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const PREFIX: &str = "floe-join-";
const VERSION: &str = "1";
pub(crate) const SECRET_BYTES: usize = 20;
const PAYLOAD_BYTES: usize = 32 + SECRET_BYTES;
const CHECKSUM_BYTES: usize = 4;
/// The characters behind the last dash of the prefix.
const BODY_CHARS: usize = (PAYLOAD_BYTES + CHECKSUM_BYTES) * 4 / 3 + 1;
/// What the hashes of tokens begin with, so that they are no hashes of anything else.
const HASH_DOMAIN: &[u8] = b"floe join token 1\0";
const CHECKSUM_DOMAIN: &[u8] = b"floe join token checksum 1\0";

/// Why a text is not a join token. None of them repeats the text, which is a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It begins with something else.
    #[error("this is not a join token: one begins with {PREFIX}{VERSION}-; draw one on a server of the cluster")]
    NotAToken,
    /// It is of a version that we do not know.
    #[error("this join token is of version {0:?}, and this floe knows version {VERSION}: install the version of floe that the servers run")]
    OtherVersion(String),
    /// Characters are missing, or there are too many.
    #[error("this join token has {0} characters behind its prefix, and {BODY_CHARS} belong there: copy it again, whole")]
    Length(usize),
    /// A character that no token has.
    #[error("this join token has a character at position {0} that no token has: copy it again")]
    Character(usize),
    /// The checksum says that a character is wrong.
    #[error("this join token was copied wrongly, its checksum does not match: copy it again")]
    Checksum,
}

/// A join token: which cluster to join, by its authority's fingerprint, and the secret that lets one in.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    fingerprint: Fingerprint,
    secret: [u8; SECRET_BYTES],
}

/// What servers keep of a join token: SHA-256 of its secret behind a prefix of its own. It lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash(pub [u8; 32]);

impl JoinToken {
    /// A new token for the cluster whose authority has this fingerprint.
    pub fn draw(fingerprint: Fingerprint) -> Self {
        Self::of(fingerprint, &random::bytes())
    }

    pub(crate) fn of(fingerprint: Fingerprint, secret: &[u8; SECRET_BYTES]) -> Self {
        Self { fingerprint, secret: *secret }
    }

    /// The fingerprint of the authority of the cluster to join.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What servers know the token by.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::new().chain_update(HASH_DOMAIN).chain_update(self.secret).finalize().into())
    }

    /// The text to carry, zeroed when dropped.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(PAYLOAD_BYTES + CHECKSUM_BYTES));
        bytes.extend_from_slice(&self.fingerprint.0);
        bytes.extend_from_slice(&self.secret);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Zeroizing::new(format!("{PREFIX}{VERSION}-{}", *body))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    /// Reads a token; white space around it, as from a file, is no part of it.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(TokenError::NotAToken)?;
        let (version, body) = rest.split_once('-').ok_or(TokenError::NotAToken)?;
        if version != VERSION {
            return Err(TokenError::OtherVersion(version.chars().take(8).collect()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if let Some(at) = body.chars().position(|c| !allowed(c)) {
            return Err(TokenError::Character(PREFIX.len() + VERSION.len() + 2 + at));
        }
        if body.len() != BODY_CHARS {
            return Err(TokenError::Length(body.len()));
        }
        // The last character has two bits to spare; a token in which they are set was not written by us.
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError::Checksum)?);
        let (payload, sum) = bytes.split_at_checked(PAYLOAD_BYTES).ok_or(TokenError::Length(body.len()))?;
        if sum != checksum(payload) {
            return Err(TokenError::Checksum);
        }
        let parts = payload.split_first_chunk().and_then(|(fingerprint, secret)| Some((*fingerprint, secret.try_into().ok()?)));
        let (fingerprint, secret) = parts.ok_or(TokenError::Length(body.len()))?;
        Ok(Self { fingerprint: Fingerprint(fingerprint), secret })
    }
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest: [u8; 32] = Sha256::new().chain_update(CHECKSUM_DOMAIN).chain_update(payload).finalize().into();
    *digest.first_chunk().expect("invariant: 32 bytes have 4 in front")
}

impl Drop for JoinToken {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl ZeroizeOnDrop for JoinToken {}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl fmt::Display for TokenHash {
    /// 64 hexadecimal digits, lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
