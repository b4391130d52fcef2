//! What the cluster says of itself.

use floe_model::NodeStatus;
use std::collections::BTreeMap;

/// A member of the servers' agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its id, which is computed from its key: it goes with the machine's data, not with its name.
    pub id: String,
    /// What its agent is called.
    pub name: String,
    /// Host and port of its RPC.
    pub address: String,
    /// Whether it votes.
    pub is_voter: bool,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whether it answers and keeps up.
    pub is_healthy: bool,
    /// The newest version of commands that it knows; `None` when nobody said.
    pub commands: Option<u32>,
}

/// A machine that runs tasks, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// What its agent is called.
    pub name: String,
    /// Host and port of its agent's RPC; `None` when it does not say.
    pub address: Option<String>,
    /// Its datacenter.
    pub datacenter: String,
    /// Its pool.
    pub pool: String,
    /// Its class; empty for none.
    pub class: String,
    /// What jobs see of it.
    pub meta: BTreeMap<String, String>,
    /// The version of its floe.
    pub version: String,
    /// Where it stands.
    pub status: NodeStatus,
}

impl Node {
    /// Whether its agent is heard.
    pub(crate) fn answers(&self) -> bool {
        matches!(self.status, NodeStatus::Ready | NodeStatus::Initializing)
    }

    /// Whether the cluster counts on it. What is down is forgotten by itself in time.
    pub fn is_live(&self) -> bool {
        self.status != NodeStatus::Down
    }
}

/// A whole cluster; one that was never begun has no server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Its region; `None` when nobody said.
    pub region: Option<String>,
    /// The members of the agreement.
    pub servers: Vec<Server>,
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Running {
    /// Those that vote.
    pub fn voters(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|s| s.is_voter)
    }

    /// The newest version of floe among the nodes that are there.
    pub(crate) fn newest_version(&self) -> Option<&str> {
        let versions = self.nodes.iter().filter(|n| n.is_live()).map(|n| n.version.as_str());
        versions.max_by_key(|text| (semver::Version::parse(text).ok(), *text))
    }

    /// The newest version of commands that any server knows.
    pub(crate) fn newest_commands(&self) -> Option<u32> {
        self.servers.iter().filter_map(|s| s.commands).max()
    }
}
