//! Which machine of the inventory is which server and node of the cluster: by name, or by the address of an agent that is called otherwise.

use crate::{
    declared::{Declared, Host, is_same_place},
    running::{Node, Running, Server},
};
use std::cmp::Reverse;

/// A host of the inventory with what runs of it.
pub(crate) struct Pair<'a> {
    pub(crate) host: &'a Host,
    pub(crate) server: Option<&'a Server>,
    pub(crate) node: Option<&'a Node>,
}

/// Everything, each thing once.
pub(crate) struct Matched<'a> {
    /// By the hosts' names.
    pub(crate) pairs: Vec<Pair<'a>>,
    /// Members that are no host's, by name and id.
    pub(crate) servers: Vec<&'a Server>,
    /// Live nodes that are no host's, by name and id.
    pub(crate) nodes: Vec<&'a Node>,
}

impl<'a> Matched<'a> {
    pub(crate) fn new(declared: &'a Declared, running: &'a Running) -> Self {
        let pairs: Vec<Pair<'a>> = declared
            .hosts
            .values()
            .map(|host| {
                let server = server_of(declared, running, host);
                Pair { host, server, node: node_of(declared, running, host, server) }
            })
            .collect();
        let is_free = |id: &str, taken: &dyn Fn(&Pair<'a>) -> Option<&'a str>| pairs.iter().all(|p| taken(p) != Some(id));
        let mut servers: Vec<&Server> = running.servers.iter().filter(|s| is_free(&s.id, &|p| p.server.map(|s| s.id.as_str()))).collect();
        let mut nodes: Vec<&Node> =
            running.nodes.iter().filter(|n| n.is_live() && is_free(&n.id, &|p| p.node.map(|n| n.id.as_str()))).collect();
        servers.sort_by_key(|s| (&s.name, &s.id));
        nodes.sort_by_key(|n| (&n.name, &n.id));
        Matched { pairs, servers, nodes }
    }
}

/// Of several members with the host's name (a machine that lost its disk and joined anew) the one that is well. Else the agent that answers at the
/// host's address, if no other host is called like it: a machine that is to get another name.
fn server_of<'a>(declared: &Declared, running: &'a Running, host: &Host) -> Option<&'a Server> {
    let named = running.servers.iter().filter(|s| s.name == host.name);
    let best = named.max_by_key(|s| (s.is_healthy, s.is_voter, s.is_leader, Reverse(&s.id)));
    let place = declared.place(host);
    let there = |s: &&Server| s.is_healthy && is_same_place(&s.address, &place) && !declared.hosts.contains_key(&s.name);
    best.or_else(|| running.servers.iter().filter(there).min_by_key(|s| &s.id))
}

/// Of a host with a server the node of the same id, and no other: one machine has one. Else of the nodes with the host's name the one that is there,
/// else the one that answers at the host's address; never that of a member, for it goes where the member goes.
fn node_of<'a>(declared: &Declared, running: &'a Running, host: &Host, server: Option<&Server>) -> Option<&'a Node> {
    if let Some(server) = server {
        return running.nodes.iter().find(|n| n.id == server.id);
    }
    let is_free = |n: &&Node| running.servers.iter().all(|s| s.id != n.id);
    let named = running.nodes.iter().filter(is_free).filter(|n| n.name == host.name);
    let best = named.max_by_key(|n| (n.is_live(), Reverse(&n.id)));
    let place = declared.place(host);
    let is_there = |n: &&Node| n.answers() && n.address.as_ref().is_some_and(|a| is_same_place(a, &place));
    best.or_else(|| {
        running.nodes.iter().filter(is_free).filter(is_there).filter(|n| !declared.hosts.contains_key(&n.name)).min_by_key(|n| &n.id)
    })
}
