//! Who a server is, and where. The id never changes; the address may at any time.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A server's id: drawn at its first start and kept in its log, so that a server that lost its log is another server.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerId(String);

impl ServerId {
    /// An id that no other server has.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ServerId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a server is found, as the membership says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAddress {
    /// Its name, for people.
    pub name: String,
    /// Host and port of its RPC.
    pub rpc: String,
}

/// A server with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Which.
    pub id: ServerId,
    /// Where.
    pub address: ServerAddress,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} at {})", self.id, self.address.name, self.address.rpc)
    }
}
