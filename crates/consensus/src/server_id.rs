//! Who a server is, and where. The id never changes; the address may at any time.

use floe_state::command::CLUSTER_VERSION;
use floe_store::{DataFolder, LogError, LogStore};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A server's id. The agent derives it from the server's key pair; the log keeps it too, so that a log is never used under another id, and a
/// server that lost its log needs a new key pair and is another server.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerId(String);

impl ServerId {
    /// An id that no other server has.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// For an agent without a key pair, such as one of a development cluster of one: the id that the log in this folder has, or a new one, which
    /// the log keeps once the server was opened with it. Blocks, and reads the whole log.
    ///
    /// # Errors
    /// When the log cannot be opened.
    pub fn kept_in(data: &DataFolder) -> Result<Self, LogError> {
        let log = LogStore::open(data)?;
        let kept = log.server_id();
        log.close();
        Ok(kept.map_or_else(Self::random, Self))
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

/// Where a server is found and what it knows, as the membership says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAddress {
    /// Its name, for people.
    pub name: String,
    /// Host and port of its RPC.
    pub rpc: String,
    /// The newest version of commands that it knows; zero when it did not say. See [`ServerAddress::known_version`].
    #[serde(default)]
    pub version: u32,
}

/// What a server knows that does not say it: it is of a build from before servers did.
const UNSAID: u32 = 1;

impl ServerAddress {
    /// Where a server of this build is.
    pub fn new(name: String, rpc: String) -> Self {
        Self { name, rpc, version: CLUSTER_VERSION }
    }

    /// The newest version of commands that the server knows.
    pub fn known_version(&self) -> u32 {
        self.version.max(UNSAID)
    }
}

/// A server with its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
