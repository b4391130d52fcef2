//! Clusters and inventories in few words.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it")]

use floe_inventory::{Cluster, Declared, Host, Node, Role, Running, Server};
use floe_model::NodeStatus;

pub(crate) fn declared(hosts: impl IntoIterator<Item = Host>) -> Declared {
    let cluster = Cluster {
        name: "test".to_owned(),
        region: "global".to_owned(),
        datacenter: "dc1".to_owned(),
        rpc_port: 4647,
        bootstrap_secret_file: Some("/etc/floe/bootstrap-secret".to_owned()),
        join_token_file: Some("/etc/floe/join-token".to_owned()),
        keyring_key_file: None,
    };
    Declared { cluster, hosts: hosts.into_iter().map(|h| (h.name.clone(), h)).collect() }
}

pub(crate) fn host(name: &str, number: u8, role: Role, datacenter: &str) -> Host {
    let address = format!("10.0.0.{number}");
    Host {
        name: name.to_owned(),
        target_host: address.clone(),
        address,
        role,
        datacenter: datacenter.to_owned(),
        pool: None,
        class: None,
        tags: Vec::new(),
        meta: std::collections::BTreeMap::new(),
        target_user: "root".to_owned(),
    }
}

/// A server that is well, and neither votes nor leads.
pub(crate) fn server(id: &str, name: &str, address: &str) -> Server {
    Server {
        id: id.to_owned(),
        name: name.to_owned(),
        address: address.to_owned(),
        is_voter: false,
        is_leader: false,
        is_healthy: true,
        commands: None,
    }
}

/// A node that is as its host is declared.
pub(crate) fn node(id: &str, declared: &Declared, host: &Host, version: &str) -> Node {
    Node {
        id: id.to_owned(),
        name: host.name.clone(),
        address: Some(declared.place(host)),
        datacenter: host.datacenter.clone(),
        pool: host.pool().to_owned(),
        class: host.class().to_owned(),
        meta: host.node_meta().into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        version: version.to_owned(),
        status: NodeStatus::Ready,
    }
}

/// A machine of a cluster: what it is as a server (votes, well, knows which commands) and as a node (status, datacenter, version).
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) address: u8,
    pub(crate) server: Option<(bool, bool, Option<u32>)>,
    pub(crate) node: Option<(NodeStatus, &'static str, &'static str)>,
}

/// A cluster of machines; nobody leads.
pub(crate) fn running(machines: impl IntoIterator<Item = Machine>) -> Running {
    let mut cluster = Running { region: Some("global".to_owned()), ..Running::default() };
    for (n, machine) in machines.into_iter().enumerate() {
        let (id, address) = (format!("id-{n}"), format!("10.0.0.{}:4647", machine.address));
        if let Some((is_voter, is_healthy, commands)) = machine.server {
            cluster.servers.push(Server { is_voter, is_healthy, commands, ..server(&id, machine.name, &address) });
        }
        if let Some((status, datacenter, version)) = machine.node {
            cluster.nodes.push(Node {
                id,
                name: machine.name.to_owned(),
                address: Some(address),
                datacenter: datacenter.to_owned(),
                pool: "default".to_owned(),
                class: String::new(),
                meta: std::collections::BTreeMap::new(),
                version: version.to_owned(),
                status,
            });
        }
    }
    cluster
}

/// Compares with what is written down; `INVENTORY_ACCEPT=1` writes it down anew.
pub(crate) fn compare(name: &str, said: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("INVENTORY_ACCEPT").is_some() {
        std::fs::write(&path, said).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(said, golden, "INVENTORY_ACCEPT=1 cargo test -p floe-inventory accepts it");
}
