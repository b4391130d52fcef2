//! What the machine is and has, in the attribute names that constraints use.

mod cpu;
mod network;
mod system;

use crate::config::ClientConfig;
use floe_model::{Node, NodeId, StringMap, Timestamp, network::NetworkResource, node::DriverInfo};
use floe_runtime::Problem;
use std::path::Path;

/// The attribute of nodes that can connect allocations to a bridge.
const BRIDGE_ATTRIBUTE: &str = "network.bridge";
/// The driver that runs tasks in containers.
pub(crate) const EXEC: &str = "exec";
/// The driver that runs tasks as plain processes.
pub(crate) const RAW_EXEC: &str = "raw_exec";

/// The drivers that run images of containers: three names for one thing.
pub(crate) const IMAGE_DRIVERS: [&str; 3] = ["docker", "podman", "oci"];

/// What was found out elsewhere.
pub(crate) struct Found<'a> {
    /// What tasks need and the machine lacks.
    pub(crate) problems: &'a [Problem],
    /// Why allocations cannot be connected to a bridge, if so.
    pub(crate) no_bridge: Option<&'a str>,
    /// Why images cannot be run, if so.
    pub(crate) no_images: Option<&'a str>,
    /// The folder whose disk allocations use.
    pub(crate) data: &'a Path,
    /// Now.
    pub(crate) now: Timestamp,
}

/// The node as it registers.
pub(crate) fn node(config: &ClientConfig, id: &NodeId, found: &Found<'_>) -> Node {
    let mut attributes = StringMap::new();
    let mut set = |k: &str, v: String| drop(attributes.insert(k.to_owned(), v));
    let cpu = cpu::read();
    let disk = system::disk(found.data);
    let memory_bytes = system::memory_bytes();
    for (key, value) in cpu.attributes().into_iter().chain(system::attributes()) {
        set(key, value);
    }
    set("memory.totalbytes", memory_bytes.to_string());
    set("unique.storage.volume", found.data.display().to_string());
    set("unique.storage.bytestotal", disk.total_bytes.to_string());
    set("unique.storage.bytesfree", disk.free_bytes.to_string());
    set("nomad.version", config.version.to_owned());
    set("nomad.service_discovery", "true".to_owned());
    set("unique.hostname", config.name.clone());
    let address = network::address(config.advertise_ip);
    set("unique.network.ip-address", address.ip.clone());
    set(floe_api::RPC_ADDRESS_ATTRIBUTE, config.rpc_addr.clone());
    set("nomad.bridge.hairpin_mode", config.network.hairpin.to_string());
    if found.no_bridge.is_none() {
        set(BRIDGE_ATTRIBUTE, "1".to_owned());
    }

    let mut node = Node {
        id: id.clone(),
        name: config.name.clone(),
        datacenter: config.datacenter.clone(),
        node_pool: config.node_pool.clone(),
        node_class: config.node_class.clone(),
        meta: config.meta.clone(),
        http_addr: config.http_addr.clone(),
        cgroup_parent: config.cgroup_parent.clone(),
        ..Node::default()
    };
    for (name, info) in drivers(config, found) {
        if info.detected {
            set(&format!("driver.{name}"), "1".to_owned());
        }
        node.drivers.insert(name.to_owned(), info);
    }
    node.attributes = attributes;
    resources(&mut node, config, &cpu, memory_bytes, disk.free_bytes, address);
    node
}

fn resources(node: &mut Node, config: &ClientConfig, cpu: &cpu::Cpu, memory_bytes: u64, disk_bytes: u64, address: network::Address) {
    let mebibytes = |bytes: u64| i64::try_from(bytes >> 20).unwrap_or(i64::MAX);
    let has = &mut node.node_resources;
    has.cpu.cpu_shares = config.total.cpu_mhz.unwrap_or_else(|| cpu.total_mhz());
    has.cpu.total_cpu_cores = u16::try_from(cpu.cores).unwrap_or(u16::MAX);
    has.memory.memory_mb = config.total.memory_mb.unwrap_or_else(|| mebibytes(memory_bytes));
    has.disk.disk_mb = config.total.disk_mb.unwrap_or_else(|| mebibytes(disk_bytes));
    has.min_dynamic_port = i64::from(config.total.min_dynamic_port.unwrap_or(floe_model::network::DEFAULT_MIN_DYNAMIC_PORT));
    has.max_dynamic_port = i64::from(config.total.max_dynamic_port.unwrap_or(floe_model::network::DEFAULT_MAX_DYNAMIC_PORT));
    has.networks = vec![NetworkResource {
        mode: "host".to_owned(),
        device: address.device,
        cidr: format!("{}/{}", address.ip, address.prefix_len),
        ip: address.ip,
        ..NetworkResource::default()
    }];
    let keeps = &mut node.reserved_resources;
    keeps.cpu.cpu_shares = config.reserve.cpu_mhz;
    keeps.memory.memory_mb = config.reserve.memory_mb;
    keeps.disk.disk_mb = config.reserve.disk_mb;
    keeps.networks.reserved_host_ports.clone_from(&config.reserve.ports);
}

fn drivers(config: &ClientConfig, found: &Found<'_>) -> Vec<(&'static str, DriverInfo)> {
    let lacks = found.problems.iter().map(|p| format!("{}: {}", p.what, p.how_to_fix)).collect::<Vec<_>>().join("; ");
    let well = found.problems.is_empty();
    let info = |detected: bool, healthy: bool, words: &str| DriverInfo {
        detected,
        healthy,
        health_description: words.to_owned(),
        update_time: found.now,
        ..DriverInfo::default()
    };
    let ready = |detected| info(detected && well, detected && well, if well { "Healthy" } else { &lacks });
    let raw = if config.raw_exec { ready(true) } else { info(false, false, "switched off; set client.raw_exec = true to allow it") };
    let image = || match found.no_images {
        None => ready(true),
        Some(why) => info(false, false, why),
    };
    let images = IMAGE_DRIVERS.map(|name| (name, image()));
    images.into_iter().chain([(EXEC, ready(true)), (RAW_EXEC, raw)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_what_every_machine_has() {
        let cpu = cpu::read();
        assert!(cpu.cores > 0 && cpu.total_mhz() > 0, "{cpu:?}");
        assert!(system::memory_bytes() > 1 << 20);
        let disk = system::disk(Path::new("/"));
        assert!(disk.total_bytes >= disk.free_bytes && disk.total_bytes > 0);
        let attributes: StringMap = system::attributes().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        assert_eq!(attributes.get("kernel.name").map(String::as_str), Some("linux"));
        assert!(attributes.contains_key("kernel.version") && attributes.contains_key("os.name"));
        assert!(network::address(None).ip.parse::<std::net::IpAddr>().is_ok());
    }
}
