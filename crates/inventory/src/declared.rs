//! What an inventory says, with its defaults filled in. Made from what the rules give, so nothing here checks anything again.

use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// What a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It keeps the state and decides.
    Server,
    /// It runs tasks.
    Client,
    /// Both of it.
    Both,
}

impl Role {
    /// The role of what is a server, a client, or both; nothing for what is neither.
    pub fn of(is_server: bool, is_client: bool) -> Option<Role> {
        match (is_server, is_client) {
            (true, true) => Some(Role::Both),
            (true, false) => Some(Role::Server),
            (false, true) => Some(Role::Client),
            (false, false) => None,
        }
    }

    /// Whether it keeps the state.
    pub fn is_server(self) -> bool {
        self != Role::Client
    }

    /// Whether it runs tasks.
    pub fn is_client(self) -> bool {
        self != Role::Server
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Server => "server",
            Role::Client => "client",
            Role::Both => "both",
        })
    }
}

/// What an inventory says of all hosts together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Its name, for people.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The datacenter of hosts that name none.
    pub datacenter: String,
    /// Where agents speak with each other.
    pub rpc_port: u16,
    /// The file of the secret by which several servers begin the cluster.
    pub bootstrap_secret_file: Option<String>,
    /// The file of the token that lets a machine in.
    pub join_token_file: Option<String>,
    /// The file of the key that wraps the root keys.
    pub keyring_key_file: Option<String>,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// Its name, and its agent's.
    pub name: String,
    /// The address at which the other hosts reach it.
    pub address: String,
    /// What it is.
    pub role: Role,
    /// Its datacenter.
    pub datacenter: String,
    /// Its node pool; `None` is `default`.
    pub pool: Option<String>,
    /// Its class; `None` is none.
    pub class: Option<String>,
    /// Words about it.
    pub tags: Vec<String>,
    /// What jobs see of it.
    pub meta: BTreeMap<String, String>,
    /// Where it is deployed to.
    pub target_host: String,
    /// As whom.
    pub target_user: String,
}

impl Host {
    /// Its pool by name.
    pub fn pool(&self) -> &str {
        self.pool.as_deref().unwrap_or(floe_model::ids::DEFAULT_NODE_POOL)
    }

    /// Its class; empty for none.
    pub fn class(&self) -> &str {
        self.class.as_deref().unwrap_or_default()
    }

    /// What its node must have as meta: its own, and its tags as one of them, as `mkCluster` gives them.
    pub fn node_meta(&self) -> BTreeMap<&str, String> {
        let tags = (!self.tags.is_empty()).then(|| ("tags", self.tags.join(",")));
        self.meta.iter().map(|(k, v)| (k.as_str(), v.clone())).chain(tags).collect()
    }

    /// As whom and where it is deployed to, as ssh writes it.
    pub(crate) fn target(&self) -> String {
        format!("{}@{}", self.target_user, self.target_host)
    }
}

/// A whole inventory without mistakes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Declared {
    /// What holds for all hosts.
    pub cluster: Cluster,
    /// The hosts by name.
    pub hosts: BTreeMap<String, Host>,
}

impl Declared {
    /// The hosts that are servers, by name.
    pub fn servers(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|h| h.role.is_server())
    }

    /// The hosts that are clients and no servers, by name.
    pub fn clients(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|h| !h.role.is_server())
    }

    /// Where a host's agent is reached, as the cluster writes it: an IPv6 address stands in brackets.
    pub fn place(&self, host: &Host) -> String {
        let port = self.cluster.rpc_port;
        if host.address.contains(':') { format!("[{}]:{port}", host.address) } else { format!("{}:{port}", host.address) }
    }
}

/// Whether two texts name the same place, however an IPv6 address is written.
pub(crate) fn is_same_place(a: &str, b: &str) -> bool {
    let parse = |text: &str| -> Option<(IpAddr, u16)> {
        let (host, port) = text.rsplit_once(':')?;
        Some((host.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
    };
    a == b || parse(a).is_some_and(|place| Some(place) == parse(b))
}

/// How many of `voters` may fail, when `healthy` of them are well.
pub(crate) fn may_fail(voters: usize, healthy: usize) -> usize {
    healthy.saturating_sub(majority(voters))
}

/// How many of `voters` must be there.
pub(crate) fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

impl Declared {
    /// How many servers may fail once all of them vote.
    pub fn may_fail(&self) -> usize {
        let servers = self.servers().count();
        may_fail(servers, servers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        assert!(is_same_place("10.0.0.1:4647", "10.0.0.1:4647"));
        assert!(is_same_place("[fd00::1]:4647", "[fd00:0:0::1]:4647"));
        assert!(!is_same_place("[fd00::1]:4647", "[fd00::1]:4648"));
        assert!(!is_same_place("10.0.0.1:4647", "10.0.0.11:4647"));
        assert!(is_same_place("one:4647", "one:4647"));
    }

    #[test]
    fn three_tolerate_one_and_four_no_more() {
        assert_eq!([0, 1, 2, 3, 4, 5, 7].map(|n| may_fail(n, n)), [0, 0, 0, 1, 1, 2, 3]);
        assert_eq!(may_fail(3, 1), 0);
    }
}
