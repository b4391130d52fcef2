//! The words of each step: what people read and type.

use super::servers::Member;
use crate::{
    declared::{Declared, Host},
    running::{Node, Server},
};
use std::collections::BTreeSet;

/// What a step says.
#[derive(Default)]
pub(super) struct Words {
    pub(super) title: String,
    pub(super) why: String,
    pub(super) commands: Vec<String>,
    pub(super) wait: String,
}

const HEALTHY: &str = "`floe operator autopilot health` says that all servers are healthy";
const MEMBERS: &str = "floe operator raft list-peers";

/// The address of a `host:port`, without brackets.
pub(super) fn host_of(place: &str) -> String {
    place.rsplit_once(':').map_or(place, |(host, _)| host).trim_matches(['[', ']']).to_owned()
}

fn rebuild(host: &Host) -> String {
    rebuild_at(host, None)
}

/// A host that moves is where it was until it is switched, unless the inventory says otherwise.
fn rebuild_at(host: &Host, old: Option<&str>) -> String {
    let target = match old.filter(|_| host.target_host == host.address) {
        Some(place) => format!("{}@{}", host.target_user, host_of(place)),
        None => host.target(),
    };
    format!("nixos-rebuild switch --flake .#{} --target-host {target}", host.name)
}

fn is_ready(host: &Host) -> String {
    format!("`floe node status` shows {} as ready", host.name)
}

pub(super) fn secrets(declared: &Declared, servers: &[&Host]) -> Words {
    let mut commands = Vec::new();
    let mut bring = |made: &str, path: &str| {
        commands.extend(servers.iter().map(|h| format!("scp {made} {}:{path}", h.target())));
    };
    let mut make = Vec::new();
    if let Some(path) = declared.cluster.bootstrap_secret_file.as_ref().filter(|_| servers.len() > 1) {
        make.push("(umask 077; floe server bootstrap-secret > bootstrap-secret)".to_owned());
        bring("bootstrap-secret", path);
    }
    if let Some(path) = &declared.cluster.keyring_key_file {
        make.push("floe server keyring-key -out keyring-key".to_owned());
        bring("keyring-key", path);
    }
    make.append(&mut commands);
    Words {
        title: "Make what the servers share, and bring it to each of them".to_owned(),
        why: "by a way that nobody reads along: scp, or what sops-nix or agenix puts at these paths".to_owned(),
        commands: make,
        wait: String::new(),
    }
}

pub(super) fn begin(servers: &[&Host]) -> Words {
    let (title, why) = match servers {
        [one] => (format!("Switch {}, which begins the cluster alone", one.name), String::new()),
        all => (
            format!("Switch the {} servers, which begin the cluster together", all.len()),
            "in any order: none begins before all are there, and each says what it waits for".to_owned(),
        ),
    };
    let commands = servers.iter().map(|h| rebuild(h)).collect();
    Words {
        title,
        why,
        commands,
        wait: format!("`{MEMBERS}` shows {} that vote{}", servers.len(), if servers.len() == 1 { "s" } else { "" }),
    }
}

pub(super) fn start(host: &Host, server: Option<&Server>) -> Words {
    let mut commands = vec![rebuild(host), restart(host)];
    if let Some(server) = server {
        let id = &server.id;
        commands.push(format!("# if its disk is lost: floe operator raft remove-peer -peer-id {id}, then ask for a plan again"));
    }
    Words {
        title: format!("Bring {} back", host.name),
        why: "it is declared, and its agent does not answer".to_owned(),
        commands,
        wait: if server.is_some() { HEALTHY.to_owned() } else { is_ready(host) },
    }
}

/// `there` are the hosts that run and stay, each with where it is.
pub(super) fn keep_open(addresses: &[String], others: &BTreeSet<String>, there: &[(&Host, Option<&str>)]) -> Words {
    let list: Vec<String> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    Words {
        title: "Open the firewalls for those that go or move, with the inventory as it was".to_owned(),
        why: format!(
            "a switch lets in the addresses of the inventory and no others, and {} must be heard until the end: give all hosts this module, switch them \
             (no agent restarts), and take the new inventory then",
            others.join(", ")
        ),
        commands: [format!("# {{ services.floe.firewallPeers = [ {} ]; }}", list.join(" "))]
            .into_iter()
            .chain(there.iter().map(|(host, old)| rebuild_at(host, *old)))
            .collect(),
        wait: String::new(),
    }
}

fn restart(host: &Host) -> String {
    format!("ssh {} systemctl restart floe    # and look: systemctl status floe", host.target())
}

/// `old` is where the host's agent is now.
pub(super) fn switch(declared: &Declared, host: &Host, changes: &[String], old: Option<&str>) -> Words {
    let has = |what: &str| changes.iter().any(|c| c == what);
    let title = match changes {
        [one] if one == "status" => format!("Start {}'s agent again, whose node is not ready", host.name),
        [] => format!("Switch {}, so that it knows the new hosts and lets them in", host.name),
        changes => format!("Switch {}, which changes its {}", host.name, changes.join(", ")),
    };
    let mut wait = if host.role.is_server() { HEALTHY.to_owned() } else { is_ready(host) };
    if has("address") {
        let place = declared.place(host);
        let shows =
            if host.role.is_server() { format!("`{MEMBERS}` shows it at {place}") } else { "its new address can be reached".to_owned() };
        wait = format!("{shows}, and {wait}");
    }
    let restart = has("status").then(|| restart(host));
    let commands = [rebuild_at(host, old.filter(|_| has("address")))].into_iter().chain(restart).collect();
    Words { title, why: "its agent restarts, and its tasks run on".to_owned(), commands, wait }
}

pub(super) fn await_vote(host: &Host) -> Words {
    Words {
        title: format!("Wait until {} votes", host.name),
        why: "it has joined, and gets its vote once it has been well for a while".to_owned(),
        commands: vec![MEMBERS.to_owned()],
        wait: format!("`{MEMBERS}` shows {} as a voter", host.name),
    }
}

pub(super) fn hand_over(from: &str, to: &Member, reason: &str) -> Words {
    Words {
        title: format!("Have {} lead", to.name),
        why: format!("{from} leads, and {reason}"),
        commands: vec![format!("floe operator raft transfer-leadership -peer-address {}", to.address)],
        wait: format!("`{MEMBERS}` shows {} as the leader", to.name),
    }
}

pub(super) fn remove_server(member: &Member, comes_back: Option<&Host>) -> Words {
    let id = member.id.as_deref().unwrap_or_default();
    let why = match comes_back {
        Some(host) => format!("it is to be a {}, and comes back as a new machine", host.role),
        None if member.is_healthy => "it is not declared; stop its agent afterwards: it is let in no more".to_owned(),
        None => "it does not answer, and is not declared".to_owned(),
    };
    Words {
        title: format!("Remove server {} at {}", member.name, member.address),
        why,
        commands: vec![format!("floe operator raft remove-peer -peer-id {id}")],
        wait: format!("`{MEMBERS}` does not show it any more, and {HEALTHY}"),
    }
}

/// The commands that let a machine in, with its token at the place where its agent looks for it.
fn token(declared: &Declared, host: &Host, flags: &str) -> Vec<String> {
    let file = format!("{}.token", host.name);
    let make = format!("(umask 077; floe server token{flags} > {file})    # on a server; it counts for an hour");
    let path = declared.cluster.join_token_file.as_deref().unwrap_or("its services.floe.joinTokenFile");
    vec![make, format!("scp {file} {}:{path}", host.target())]
}

/// The commands by which a machine becomes another one: who it was and what it ran goes, and with the reboot its tasks. What it is next is there before
/// that, for a server that forgot who it was and is told nothing new begins a cluster of its own.
fn become_another(declared: &Declared, host: &Host, flags: &str) -> Vec<String> {
    let target = host.target();
    let mut commands = token(declared, host, flags);
    commands.push(rebuild(host).replacen(" switch ", " boot ", 1));
    commands.push(format!(
        "ssh {target} 'systemctl stop floe && rm -rf /var/lib/floe/identity /var/lib/floe/server /var/lib/floe/client && reboot'"
    ));
    commands
}

pub(super) fn join_server(declared: &Declared, host: &Host, was_client: Option<&Node>) -> Words {
    let flags = " -server";
    let (why, commands) = match was_client {
        Some(node) => {
            let mut commands = become_another(declared, host, flags);
            // Only now: what is placed elsewhere must not run here any more.
            commands.push(format!("floe node revoke {}    # who it was; its work is placed elsewhere", node.id));
            ("a client cannot become a server in place: it joins as a new machine, and its tasks end".to_owned(), commands)
        }
        None => (String::new(), let_in(declared, host, flags)),
    };
    Words { title: format!("Let {} in as a server", host.name), why, commands, wait: format!("`{MEMBERS}` shows {} as a voter", host.name) }
}

fn let_in(declared: &Declared, host: &Host, flags: &str) -> Vec<String> {
    let mut commands = token(declared, host, flags);
    commands.push(rebuild(host));
    commands
}

pub(super) fn join_client(declared: &Declared, host: &Host, was_server: bool) -> Words {
    let (why, commands) = match was_server {
        true => ("it was removed as a server, and joins as a new machine".to_owned(), become_another(declared, host, "")),
        false => (String::new(), let_in(declared, host, "")),
    };
    Words { title: format!("Let {} in as a client", host.name), why, commands, wait: is_ready(host) }
}

pub(super) fn remove_client(node: &Node) -> Words {
    let address = node.address.as_deref().map(host_of);
    Words {
        title: format!("Take client {} out", node.name),
        why: "it is not declared. floe has no drains yet: what runs there ends with the machine, and is placed elsewhere after that"
            .to_owned(),
        commands: vec![
            format!("ssh root@{} poweroff", address.unwrap_or_else(|| node.name.clone())),
            format!("floe node revoke {}", node.id),
        ],
        wait: format!("`floe node status {}` shows that nothing runs there any more", node.id),
    }
}

pub(super) fn open_for_clients(hosts: &[&Host]) -> Words {
    let names: Vec<&str> = hosts.iter().map(|h| h.name.as_str()).collect();
    Words {
        title: format!("Switch the servers, so that they let the clients in: {}", names.join(", ")),
        why: "only their firewalls change: no agent restarts".to_owned(),
        commands: hosts.iter().map(|h| rebuild(h)).collect(),
        wait: String::new(),
    }
}

pub(super) fn refresh(hosts: &[&Host], kept_open: bool) -> Words {
    let names: Vec<&str> = hosts.iter().map(|h| h.name.as_str()).collect();
    let (title, why) = match kept_open {
        true => ("Take services.floe.firewallPeers out again, and switch all hosts", "nobody is at the old addresses any more".to_owned()),
        false => ("Switch the other hosts, whose lists have changed", format!("servers one after the other, until {HEALTHY}")),
    };
    Words {
        title: format!("{title}: {}", names.join(", ")),
        why,
        commands: hosts.iter().map(|h| rebuild(h)).collect(),
        wait: String::new(),
    }
}
