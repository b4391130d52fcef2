//! What a certificate says of an agent: id, cluster, role and name. All of them are checked when they are made, so that they can be printed and compared.

use crate::{MAX_NAME_BYTES, random};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Why a text is not an id, a role or a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The text of an id is not a UUID as floe writes it.
    #[error("{0:?} is not an id: 32 lower-case hexadecimal digits in five groups, as in 324be2de-a8bc-8446-9b02-33e51fa48902")]
    Id(String),
    /// The role is none that we know.
    #[error("{0:?} is not a role: use \"server\" or \"client\"")]
    Role(String),
    /// The name is empty.
    #[error("the agent's name is empty: give it one")]
    EmptyName,
    /// The name has too many bytes.
    #[error("the agent's name has {0} bytes, and at most {MAX_NAME_BYTES} are allowed: shorten it")]
    LongName(usize),
    /// The name has a character that it may not have.
    #[error("the agent's name has the character {0:?}: use letters and digits of ASCII, '-', '_' and '.'")]
    NameCharacter(char),
}

/// An agent's id: the first 16 bytes of SHA-256 of its public key (SubjectPublicKeyInfo, DER), in the form of a UUID of version 8.
///
/// 122 bits are of the hash: nobody finds a second key with a given id. Two keys of one maker with one id would take 2^61 attempts, and gain
/// nothing, for an id counts only together with a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentId(Uuid);

impl AgentId {
    /// The id of whoever has the key with this SubjectPublicKeyInfo.
    pub(crate) fn of_public_key(spki: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(spki).into();
        let (first, _) = digest.split_first_chunk().expect("invariant: 32 bytes have 16 in front");
        Self(uuid::Builder::from_custom_bytes(*first).into_uuid())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A cluster's id: a random UUID, drawn when its first authority is made. Later authorities keep it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(Uuid);

impl ClusterId {
    /// An id that no other cluster has.
    pub fn draw() -> Self {
        Self(uuid::Builder::from_random_bytes(*random::bytes()).into_uuid())
    }
}

/// Reads a UUID in the one form that we write.
fn parse_id(text: &str) -> Result<Uuid, IdentityError> {
    let id = Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text);
    id.ok_or_else(|| IdentityError::Id(text.chars().take(64).collect()))
}

macro_rules! id_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.hyphenated().fmt(f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}({self})", stringify!($name)) }
        }
        impl FromStr for $name {
            type Err = IdentityError;
            fn from_str(text: &str) -> Result<Self, IdentityError> { parse_id(text).map(Self) }
        }
    )*};
}
id_text!(AgentId, ClusterId);

/// What an agent may do in the cluster. One that is server and client at once has the certificate of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It keeps the state: it may speak for the cluster.
    Server,
    /// It runs allocations: it may speak for its own node only.
    Client,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Server => "server",
            Role::Client => "client",
        })
    }
}

impl FromStr for Role {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        match text {
            "server" => Ok(Role::Server),
            "client" => Ok(Role::Client),
            _ => Err(IdentityError::Role(text.chars().take(64).collect())),
        }
    }
}

/// What people call an agent: 1 to 255 letters and digits of ASCII, `-`, `_` and `.`. It identifies nobody: two agents may have one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text.is_empty() {
            return Err(IdentityError::EmptyName);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(IdentityError::LongName(text.len()));
        }
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
            Some(wrong) => Err(IdentityError::NameCharacter(wrong)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_are_read_in_the_form_in_which_they_are_written() {
        let cluster = ClusterId::draw();
        assert_eq!(cluster.to_string().parse(), Ok(cluster));
        let text = cluster.to_string();
        for wrong in
            [text.to_uppercase(), text.replace('-', ""), format!("{{{text}}}"), format!("{text} "), String::new(), "x".repeat(5000)]
        {
            let error = wrong.parse::<ClusterId>().unwrap_err();
            assert!(error.to_string().len() < 300, "{error}");
        }
    }

    #[test]
    fn every_cluster_has_an_id_of_its_own() {
        assert_ne!(ClusterId::draw(), ClusterId::draw());
    }

    #[test]
    fn names_are_bounded_and_plain() {
        for good in ["a", "server-1.example_x", &"n".repeat(MAX_NAME_BYTES)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        assert_eq!("".parse::<Name>(), Err(IdentityError::EmptyName));
        assert_eq!("n".repeat(256).parse::<Name>(), Err(IdentityError::LongName(256)));
        for wrong in ['/', ' ', '\n', '\0', 'ä', '=', ','] {
            assert_eq!(format!("a{wrong}").parse::<Name>(), Err(IdentityError::NameCharacter(wrong)));
        }
    }

    #[test]
    fn roles_are_words() {
        for role in [Role::Server, Role::Client] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("Server".parse::<Role>().is_err());
    }
}
