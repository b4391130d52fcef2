//! Recipients (`age1...`) and identities (`AGE-SECRET-KEY-1...`) of X25519, as age writes them: Bech32 of 32 bytes.

use super::MAX_KEYS;
use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";
const KEY_BYTES: usize = 32;

/// Why something is no key. None of them repeats a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("is no recipient: one begins with age1, as age-keygen prints it, and was it copied whole?")]
    Recipient,
    #[error(
        "is an identity, which is secret: recipients are public, as age-keygen -y prints them; this one is no secret any more if the file is public"
    )]
    SecretRecipient,
    #[error("not supported yet: recipients of SSH, of plugins and post-quantum ones; make an X25519 key with age-keygen")]
    RecipientNotYet,
    #[error("it holds no identity: a line with one begins with AGE-SECRET-KEY-1, as age-keygen writes it")]
    NoIdentity,
    #[error("line {0} is no identity: one begins with AGE-SECRET-KEY-1, and was it copied whole?")]
    Identity(usize),
    #[error("not supported yet: line {0} is no X25519 identity (encrypted files, SSH, plugins, post-quantum); make one with age-keygen")]
    IdentityNotYet(usize),
    #[error("it has more than {MAX_KEYS} identities")]
    TooMany,
}

/// Whom something is encrypted for. Public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipient(pub(super) [u8; KEY_BYTES]);

/// What opens what was encrypted for its recipient.
pub(crate) struct Identity {
    pub(super) secret: Zeroizing<[u8; KEY_BYTES]>,
    recipient: Recipient,
}

impl Identity {
    pub(super) fn new(secret: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let recipient = Recipient(x25519_dalek::x25519(*secret, x25519_dalek::X25519_BASEPOINT_BYTES));
        Self { secret, recipient }
    }

    pub(super) fn recipient(&self) -> &Recipient {
        &self.recipient
    }
}

impl FromStr for Recipient {
    type Err = KeysError;

    fn from_str(text: &str) -> Result<Self, KeysError> {
        if text.to_ascii_lowercase().starts_with(IDENTITY) {
            return Err(KeysError::SecretRecipient);
        }
        if text.starts_with("ssh-") || text.starts_with("age1pq1") || text.starts_with("age1tag1") || is_of_plugin(text) {
            return Err(KeysError::RecipientNotYet);
        }
        // One spelling each, or the same recipient had two ids.
        let weak = |key: &[u8; KEY_BYTES]| x25519_dalek::x25519([1; KEY_BYTES], *key) == [0; KEY_BYTES];
        let lower = !text.chars().any(|c| c.is_ascii_uppercase());
        bytes(text, RECIPIENT).filter(|key| lower && !weak(key)).map(|bytes| Self(*bytes)).ok_or(KeysError::Recipient)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = Hrp::parse(RECIPIENT).map_err(|_| fmt::Error)?;
        bech32::encode_to_fmt::<Bech32, _>(f, prefix, &self.0).map_err(|_| fmt::Error)
    }
}

/// The identities of a file: a line each; empty lines and those that begin with `#` are passed over.
pub(super) fn identities(file: &[u8]) -> Result<Vec<Identity>, KeysError> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(file.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if found.len() == MAX_KEYS {
            return Err(KeysError::TooMany);
        }
        found.push(identity(line, number)?);
    }
    if found.is_empty() { Err(KeysError::NoIdentity) } else { Ok(found) }
}

fn identity(line: &[u8], number: usize) -> Result<Identity, KeysError> {
    let others: [&[u8]; 5] = [b"age-encryption.org/", b"-----BEGIN", b"AGE-PLUGIN-", b"AGE-SECRET-KEY-PQ-", b"ssh-"];
    if others.iter().any(|other| line.starts_with(other)) {
        return Err(KeysError::IdentityNotYet(number));
    }
    let text = std::str::from_utf8(line).ok().filter(|text| text.starts_with("AGE-SECRET-KEY-1"));
    text.and_then(|text| bytes(text, IDENTITY)).map(Identity::new).ok_or(KeysError::Identity(number))
}

/// A plugin's recipient has its name between `age1` and another `1`, which Bech32 has nowhere behind the separator.
fn is_of_plugin(text: &str) -> bool {
    text.strip_prefix("age1").is_some_and(|rest| rest.contains('1'))
}

fn bytes(text: &str, prefix: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if checked.hrp().to_string().to_ascii_lowercase() != prefix {
        return None;
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let mut given = checked.byte_iter();
    for byte in key.iter_mut() {
        *byte = given.next()?;
    }
    given.next().is_none().then_some(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Made with age-keygen 1.1.1.
    const FILE: &str = include_str!("../../tests/vectors/identity.txt");
    const PUBLIC: &str = "age1q4vxl269648qlxghwe30z4ehkh4xtz8wtccvdthh9nvudt7mrcds4rjae0";

    #[test]
    fn a_file_of_age_keygen_is_read() {
        let found = identities(FILE.as_bytes()).unwrap();
        assert_eq!(found.iter().map(|i| i.recipient().to_string()).collect::<Vec<_>>(), [PUBLIC]);
        assert_eq!(PUBLIC.parse::<Recipient>().unwrap(), *found.first().unwrap().recipient());
    }

    #[test]
    fn what_is_no_recipient_is_refused() {
        let secret = FILE.lines().last().unwrap();
        let changed = PUBLIC.replace(PUBLIC.get(10..11).unwrap(), if PUBLIC.get(10..11) == Some("q") { "p" } else { "q" });
        for (text, why) in [
            ("", KeysError::Recipient),
            // Of small order: everybody could open what is wrapped for it.
            (&Recipient([0; KEY_BYTES]).to_string(), KeysError::Recipient),
            ("age1", KeysError::Recipient),
            (changed.as_str(), KeysError::Recipient),
            (PUBLIC.get(..61).unwrap(), KeysError::Recipient),
            (&PUBLIC.to_uppercase(), KeysError::Recipient),
            (secret, KeysError::SecretRecipient),
            ("ssh-ed25519 AAAA", KeysError::RecipientNotYet),
            ("age1yubikey1qqqq", KeysError::RecipientNotYet),
            ("age1pq1qqqq", KeysError::RecipientNotYet),
        ] {
            assert_eq!(text.parse::<Recipient>(), Err(why), "{text}");
        }
    }

    #[test]
    fn what_is_no_identity_file_is_refused() {
        let secret = FILE.lines().last().unwrap();
        for (file, why) in [
            (String::new(), KeysError::NoIdentity),
            ("# nothing\n\n".to_owned(), KeysError::NoIdentity),
            (format!("\n{PUBLIC}\n"), KeysError::Identity(2)),
            (secret.get(..70).unwrap().to_owned(), KeysError::Identity(1)),
            (secret.to_lowercase(), KeysError::Identity(1)),
            ("age-encryption.org/v1\n".to_owned(), KeysError::IdentityNotYet(1)),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), KeysError::IdentityNotYet(1)),
            ("AGE-PLUGIN-YUBIKEY-1QQQ".to_owned(), KeysError::IdentityNotYet(1)),
            (format!("{secret}\n").repeat(17), KeysError::TooMany),
        ] {
            let error = identities(file.as_bytes()).err().unwrap();
            assert_eq!(error, why);
            assert!(!error.to_string().contains(secret.get(20..30).unwrap()), "it repeats the secret");
        }
    }
}
