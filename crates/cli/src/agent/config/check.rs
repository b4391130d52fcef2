//! What is wrong with a configuration that has the right form.

use super::{AutopilotBlock, ClientBlock, PluginBlock, ServerBlock};
use anyhow::bail;
use floe_consensus::Timings;
use floe_control::keyring::MIN_ROTATION_THRESHOLD;
use floe_model::{Nanos, network, node::parse_port_list};
use std::collections::BTreeMap;

/// The most folders with files about devices: they are read every ten seconds.
pub(super) const MAX_CDI_FOLDERS: usize = 8;

/// Refuses what the server part cannot do.
pub(super) fn server(server: &ServerBlock) -> anyhow::Result<()> {
    if server.num_schedulers == Some(0) {
        bail!("server.num_schedulers is 0: nothing would ever be placed; leave it out for one worker a core");
    }
    if let Some(short) = server.root_key_rotation_threshold.filter(|t| *t < MIN_ROTATION_THRESHOLD) {
        bail!("server.root_key_rotation_threshold {short} is too short: take at least {MIN_ROTATION_THRESHOLD}");
    }
    if let Some(wrong) = server.root_key_gc_threshold.filter(|t| *t < Nanos::ZERO) {
        bail!("server.root_key_gc_threshold {wrong} is no time to wait: take 0s or more");
    }
    let most = u16::from(Timings::MAX_FACTOR);
    if let Some(factor) = server.raft_multiplier.filter(|factor| !(1..=most).contains(factor)) {
        bail!("server.raft_multiplier is {factor}: take 1 for a network of one place, and up to {most} for slower ones");
    }
    Ok(())
}

/// Refuses what would never find a server healthy: one is heard of with each heartbeat, of the servers' timings.
pub(super) fn autopilot(autopilot: &AutopilotBlock, timings: &Timings) -> anyhow::Result<()> {
    let heartbeat = timings.heartbeat;
    if let Some(contact) = autopilot.last_contact_threshold.filter(|contact| contact.to_std() <= heartbeat) {
        bail!("autopilot.last_contact_threshold {contact} is too short: servers hear from each other every {heartbeat:?}, so take more");
    }
    Ok(())
}

/// Refuses what the client part cannot do.
pub(super) fn client(client: &ClientBlock) -> anyhow::Result<()> {
    if let Some(folder) = client.cdi_spec_dirs.iter().flatten().find(|f| !f.starts_with('/')) {
        bail!("client.cdi_spec_dirs: {folder:?} must be an absolute path");
    }
    if client.cdi_spec_dirs.as_ref().is_some_and(|folders| folders.len() > MAX_CDI_FOLDERS) {
        bail!("client.cdi_spec_dirs names more than {MAX_CDI_FOLDERS} folders: put the files into fewer");
    }
    let list = &client.reserved.reserved_ports;
    if let Err(why) = parse_port_list(list) {
        bail!("client.reserved.reserved_ports: {why}");
    }
    for (name, value) in [
        ("cpu_total_compute", client.cpu_total_compute),
        ("memory_total_mb", client.memory_total_mb),
        ("disk_total_mb", client.disk_total_mb),
    ] {
        if value.is_some_and(|v| v <= 0) {
            bail!("client.{name} must be more than 0; leave it out for what the machine has");
        }
    }
    let first = client.min_dynamic_port.unwrap_or(network::DEFAULT_MIN_DYNAMIC_PORT);
    let last = client.max_dynamic_port.unwrap_or(network::DEFAULT_MAX_DYNAMIC_PORT);
    if first == 0 || first > last {
        bail!("client.min_dynamic_port {first} and client.max_dynamic_port {last} leave no port: take 1 to 65535, the smaller first");
    }
    Ok(())
}

/// Refuses drivers that there are none of.
pub(super) fn plugins(plugins: &BTreeMap<String, PluginBlock>) -> anyhow::Result<()> {
    match plugins.iter().find(|(name, _)| name.as_str() != "raw_exec") {
        Some((name, _)) if ["docker", "podman", "oci"].contains(&name.as_str()) => {
            bail!("not supported yet: plugin {name:?}; what is to be said about images stands in client.images")
        }
        Some((name, _)) => bail!("not supported yet: plugin {name:?}; only raw_exec has settings"),
        None => Ok(()),
    }
}
