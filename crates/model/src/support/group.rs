//! What floe does not act on in a group.

use super::{service, task, update};
use crate::{
    JobType, Nanos, TaskGroup,
    canonical::default_migrate,
    consul::Consul,
    group::{DisconnectStrategy, EphemeralDisk},
    network::{DEFAULT_HOST_NETWORK, NetworkMode, NetworkResource, Port},
    report::{Report, labelled, quoted},
};

pub(super) fn group(r: &mut Report, job_type: JobType, group: &TaskGroup) {
    let TaskGroup {
        // Acted on.
        name: _,
        count: _,
        constraints: _,
        affinities: _,
        spreads: _,
        reschedule_policy: _,
        meta: _,
        restart_policy: _,
        shutdown_delay: _,
        max_run_duration: _,
        // Looked at.
        tasks,
        volumes,
        disconnect,
        ephemeral_disk,
        update: updates,
        migrate,
        networks,
        services,
        stop_after_client_disconnect,
        max_client_disconnect,
        scaling,
        consul,
        prevent_reschedule_on_lost,
    } = group;
    for (i, label) in volumes.keys().enumerate() {
        r.refuse_if(true, &labelled("volume", label, i), "");
    }
    if let Some(DisconnectStrategy { stop_on_client_after: _, lost_after, replace, reconcile }) = disconnect {
        r.within("disconnect", |r| {
            r.refuse_if(lost_after.is_some(), "lost_after", "allocations of a node that is down are lost, and replaced; remove it");
            r.refuse_if(*replace == Some(false), "replace", "allocations of a node that is down are replaced; remove it");
            let best = matches!(reconcile.as_str(), "" | "best_score");
            r.refuse_if(!best, &format!("reconcile {}", quoted(reconcile)), "the one that was placed last is kept; remove it");
        });
    }
    if let Some(EphemeralDisk { size_mb: _, sticky, migrate }) = ephemeral_disk {
        r.within("ephemeral_disk", |r| {
            r.refuse_if(*sticky == Some(true), "sticky", "a replacement starts with an empty disk; remove it");
            r.refuse_if(*migrate == Some(true), "migrate", "a replacement starts with an empty disk; remove it");
        });
    }
    updates.iter().for_each(|u| r.within("update", |r| update(r, job_type, u)));
    let own_migrate = migrate.as_ref().is_some_and(|m| *m != default_migrate());
    r.refuse_if(own_migrate, "migrate", "draining follows the defaults; remove the block");
    networks.iter().for_each(|n| r.within("network", |r| network(r, n)));
    for (i, s) in services.iter().enumerate() {
        r.within(labelled("service", &s.name, i), |r| service::service(r, s));
    }
    let is_set = |span: Option<Nanos>| span.is_some_and(|s| s != Nanos::ZERO);
    r.refuse_if(is_set(*stop_after_client_disconnect), "stop_after_client_disconnect", "remove it");
    r.refuse_if(is_set(*max_client_disconnect), "max_client_disconnect", "remove it");
    r.refuse_if(*prevent_reschedule_on_lost == Some(true), "prevent_reschedule_on_lost", "remove it");
    r.refuse_if(scaling.is_some(), "scaling", "set count");
    r.refuse_if(asks_consul(consul.as_ref()), "consul", "services go to the cluster's own registry");
    for (i, t) in tasks.iter().enumerate() {
        r.within(labelled("task", &t.name, i), |r| task::task(r, t));
    }
}

/// Some clients write the block into every group, with nothing in it: that asks for nothing.
pub(crate) fn asks_consul(consul: Option<&Consul>) -> bool {
    consul.is_some_and(|Consul { namespace, cluster, partition }| {
        !namespace.is_empty() || !partition.is_empty() || !matches!(cluster.as_str(), "" | "default")
    })
}

/// A group's network. `mbits` has no effect in the job language itself; `validate` warns of it.
fn network(r: &mut Report, n: &NetworkResource) {
    let NetworkResource { mode: _, reserved_ports, dynamic_ports, mbits: _, device, cidr, ip, dns, hostname, cni } = n;
    let mode = n.network_mode();
    match mode {
        NetworkMode::Host => {
            r.refuse_if(dns.is_some(), "dns in host mode", "tasks use the node's; set mode to \"bridge\", or remove dns");
            r.refuse_if(!hostname.is_empty(), "hostname in host mode", "tasks use the node's; set mode to \"bridge\", or remove hostname");
        }
        NetworkMode::Bridge | NetworkMode::None => {}
        NetworkMode::Cni(_) | NetworkMode::Unknown(_) => {
            r.refuse_if(true, &format!("mode {}", quoted(&n.mode)), "use \"bridge\", \"host\" or \"none\"");
        }
    }
    for (field, value) in [("device", device), ("cidr", cidr), ("ip", ip)] {
        r.refuse_if(!value.is_empty(), field, "the node chooses its addresses; remove it");
    }
    r.refuse_if(cni.is_some(), "cni", "remove it");
    for (i, p) in reserved_ports.iter().chain(dynamic_ports).enumerate() {
        r.within(labelled("port", &p.label, i), |r| port(r, p, mode));
    }
}

fn port(r: &mut Report, p: &Port, mode: NetworkMode<'_>) {
    let Port { label: _, value: _, to: _, host_network, ignore_collision } = p;
    r.refuse_if(mode == NetworkMode::None, "ports in mode \"none\"", "there is nothing to reach; set mode to \"bridge\"");
    let own_network = !host_network.is_empty() && host_network != DEFAULT_HOST_NETWORK;
    r.refuse_if(own_network, &format!("host_network {}", quoted(host_network)), "there is one, \"default\"; remove it");
    r.refuse_if(*ignore_collision, "ignore_collision", "give each allocation its own port; remove it");
}
