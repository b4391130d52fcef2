//! Rules of a group's network and its ports.

use super::names::{self, is_dns_name, is_interpolated};
use crate::{
    TaskGroup,
    network::{CniConfig, DnsConfig, NetworkMode, NetworkResource, Port},
    report::{Report, labelled, quoted},
};
use std::{collections::BTreeMap, net::IpAddr};

/// The highest port.
pub(super) const MAX_PORT: i64 = 65_535;

pub(super) fn group_networks(report: &mut Report, group: &TaskGroup, networks: &[NetworkResource]) {
    if networks.len() > 1 {
        report.say(format_args!("only one network is allowed (there are {}); put all ports into one", networks.len()));
    }
    if let Some(first) = networks.first() {
        report.within("network", |r| network(r, first));
    }
    let in_tasks = group.tasks.iter().filter_map(|t| t.resources.as_ref()).flat_map(|r| &r.networks);
    let labels = networks.iter().chain(in_tasks).flat_map(NetworkResource::ports).map(|p| p.label.as_str());
    names::unique(report, "port", labels);
}

fn network(report: &mut Report, n: &NetworkResource) {
    let NetworkResource {
        mode,
        dns,
        reserved_ports,
        dynamic_ports,
        hostname,
        mbits,
        cni,
        // A node's, not a job's.
        device: _,
        cidr: _,
        ip: _,
    } = n;
    match n.network_mode() {
        NetworkMode::Cni("") => report.say("mode \"cni/\" names no configuration; write \"cni/<name>\""),
        NetworkMode::Unknown(_) => {
            report.say(format_args!("mode {} is unknown; use one of: bridge, host, none, cni/<name>", quoted(mode)));
        }
        NetworkMode::Host | NetworkMode::Bridge | NetworkMode::None | NetworkMode::Cni(_) => {}
    }
    if !hostname.is_empty() && !is_interpolated(hostname) && !is_dns_name(hostname) {
        report.say(format_args!("hostname {} is not a host name (letters, digits, dashes and dots); rename it", quoted(hostname)));
    }
    if mbits.is_some_and(|m| m != 0) {
        report.warn("mbits has no effect; remove it");
    }
    dns.iter().for_each(|d| report.within("dns", |r| name_service(r, d)));
    cni.iter().for_each(|CniConfig { args }| report.within("cni", |r| names::environment(r, "args", args)));
    if report.list("ports", reserved_ports.len().saturating_add(dynamic_ports.len())) {
        ports(report, n);
    }
}

fn ports(report: &mut Report, n: &NetworkResource) {
    let mut held: BTreeMap<(&str, i64), &str> = BTreeMap::new();
    let fixed = n.reserved_ports.iter().map(|p| (p, true));
    for (i, (p, is_fixed)) in fixed.chain(n.dynamic_ports.iter().map(|p| (p, false))).enumerate() {
        report.within(labelled("port", &p.label, i), |r| {
            port(r, p, is_fixed);
            let is_exclusive = is_fixed && !p.ignore_collision;
            if let Some(other) = is_exclusive.then(|| held.insert((&p.host_network, p.value), &p.label)).flatten() {
                r.say(format_args!("static port {} is also port {}; choose another", p.value, quoted(other)));
            }
        });
    }
}

fn port(report: &mut Report, p: &Port, is_fixed: bool) {
    let Port { label, value, to, host_network, ignore_collision: _ } = p;
    names::name(report, "label", label);
    names::name(report, "host_network", host_network);
    if is_fixed {
        report.between("static", *value, 1, MAX_PORT, "");
    } else if *value != 0 {
        report.say(format_args!("a dynamic port has no number (it is {value}); set static instead"));
    }
    report.between("to", *to, -1, MAX_PORT, "");
}

fn name_service(report: &mut Report, dns: &DnsConfig) {
    let DnsConfig { servers, searches, options } = dns;
    for server in servers.iter().filter(|s| !is_interpolated(s) && s.parse::<IpAddr>().is_err()) {
        report.say(format_args!("server {} is not an IP address; write for example \"192.0.2.53\"", quoted(server)));
    }
    // They become words of one line in resolv.conf.
    for word in searches.iter().chain(options) {
        if word.is_empty() || word.contains(char::is_whitespace) || word.chars().any(char::is_control) {
            report.say(format_args!("{} must be one word; split it", quoted(word)));
        }
    }
}
