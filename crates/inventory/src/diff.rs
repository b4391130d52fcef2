//! Where an inventory and a running cluster differ.

use crate::{
    declared::{Declared, Host, Role, is_same_place},
    matching::{Matched, Pair},
    running::{Node, Running, Server},
};
use serde::Serialize;

/// The attribute that says whether a host is there at all.
pub const HOST: &str = "host";
/// The attribute of the cluster as a whole.
pub const REGION: &str = "region";
/// What a column says of what is not there.
pub const NONE: &str = "-";

/// One thing that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Difference {
    /// The host, by the name that the inventory or else its agent gives it; [`NONE`] for the cluster.
    pub host: String,
    /// What differs: `host`, `role`, `name`, `address`, `vote`, `status`, `datacenter`, `pool`, `class`, `meta.KEY`, `version`, or `region`.
    pub what: String,
    /// What the inventory says; of a version, what the others have.
    pub declared: String,
    /// What runs.
    pub running: String,
}

/// All differences, by host. None means that the cluster is what the inventory says.
///
/// A node that is down and not declared is none: the cluster forgets it by itself.
pub fn diff(declared: &Declared, running: &Running) -> Vec<Difference> {
    let mut found = Vec::new();
    if let Some(region) = running.region.as_ref().filter(|r| **r != declared.cluster.region) {
        let region = (declared.cluster.region.clone(), region.clone());
        found.push(Difference { host: NONE.to_owned(), what: REGION.to_owned(), declared: region.0, running: region.1 });
    }
    let matched = Matched::new(declared, running);
    let mut of_hosts: Vec<Difference> = matched.pairs.iter().flat_map(|pair| of_host(declared, running, pair)).collect();
    for server in matched.servers {
        of_hosts.push(unexpected(&server.name, "server", Some(&server.address)));
    }
    for node in matched.nodes {
        of_hosts.push(unexpected(&node.name, "client", node.address.as_deref()));
    }
    // Stable: what is found first of a host is said first.
    of_hosts.sort_by(|a, b| a.host.cmp(&b.host));
    found.extend(of_hosts);
    found
}

fn unexpected(name: &str, role: &str, address: Option<&str>) -> Difference {
    let running = address.map_or_else(|| role.to_owned(), |a| format!("{role} at {a}"));
    Difference { host: name.to_owned(), what: HOST.to_owned(), declared: NONE.to_owned(), running }
}

/// What one host has to change in place, as [`Difference`]s; its absence, and a role that it cannot change in place, too.
pub(crate) fn of_host(declared: &Declared, running: &Running, pair: &Pair<'_>) -> Vec<Difference> {
    let host = pair.host;
    let mut found = Vec::new();
    let mut note = |what: &str, declared: &str, running: &str| {
        let [declared, running] = [declared, running].map(|t| if t.is_empty() { NONE } else { t }.to_owned());
        found.push(Difference { host: host.name.clone(), what: what.to_owned(), declared, running });
    };
    let place = declared.place(host);
    // A node that is down is what is left of a client, unless the host is to be one.
    let node = pair.node.filter(|n| n.is_live() || host.role.is_client());
    let Some(role) = Role::of(pair.server.is_some(), node.is_some()) else {
        note(HOST, &format!("{} at {place}", host.role), NONE);
        return found;
    };
    if role != host.role {
        note("role", &host.role.to_string(), &role.to_string());
    }
    let name = pair.server.map(|s| &s.name).or(node.map(|n| &n.name)).filter(|name| **name != host.name);
    if let Some(name) = name {
        note("name", &host.name, name);
    }
    if let Some(address) = address_of(pair.server, node).filter(|a| !is_same_place(a, &place)) {
        note("address", &place, address);
    }
    if let Some(server) = pair.server.filter(|_| host.role.is_server()) {
        of_server(running, server, &mut note);
    }
    if let Some(node) = node.filter(|_| host.role.is_client()) {
        of_node(running, host, node, &mut note);
    }
    found
}

/// Where the agent is: a machine that is both has one.
pub(crate) fn address_of<'a>(server: Option<&'a Server>, node: Option<&'a Node>) -> Option<&'a str> {
    server.map(|s| s.address.as_str()).or_else(|| node.filter(|n| n.is_live()).and_then(|n| n.address.as_deref()))
}

fn of_server(running: &Running, server: &Server, note: &mut impl FnMut(&str, &str, &str)) {
    if !server.is_voter {
        note("vote", "voter", "does not vote yet");
    }
    if !server.is_healthy {
        note("status", "healthy", "does not answer, or lags behind");
    }
    if let (Some(newest), Some(own)) = (running.newest_commands(), server.commands)
        && own < newest
    {
        note("version", &format!("cluster version {newest}"), &format!("cluster version {own}"));
    }
}

fn of_node(running: &Running, host: &Host, node: &Node, note: &mut impl FnMut(&str, &str, &str)) {
    if node.status != floe_model::NodeStatus::Ready {
        note("status", "ready", node.status.as_str());
    }
    // A node that is down tells of the time when it was not.
    if !node.is_live() {
        return;
    }
    for (what, declared, running) in [
        ("datacenter", host.datacenter.as_str(), node.datacenter.as_str()),
        ("pool", host.pool(), node.pool.as_str()),
        ("class", host.class(), node.class.as_str()),
    ] {
        if declared != running {
            note(what, declared, running);
        }
    }
    for (key, value) in host.node_meta() {
        let has = node.meta.get(key).map_or("", String::as_str);
        if has != value {
            note(&format!("meta.{key}"), &value, has);
        }
    }
    if let Some(newest) = running.newest_version().filter(|newest| *newest != node.version) {
        note("version", newest, &node.version);
    }
}
