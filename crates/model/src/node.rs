//! The node: a machine that runs allocations.

use crate::{
    NodeId, StringMap,
    group::{Affinity, Constraint},
    network::{DEFAULT_MAX_DYNAMIC_PORT, DEFAULT_MIN_DYNAMIC_PORT, NetworkResource},
    resources::Amounts,
    time::{Nanos, Timestamp},
};
use std::collections::BTreeMap;

words! {
    /// Where a node stands.
    pub enum NodeStatus { Initializing = "initializing", Ready = "ready", Down = "down", Disconnected = "disconnected" }
    /// Whether new work may be placed on a node.
    pub enum SchedulingEligibility { Eligible = "eligible", Ineligible = "ineligible" }
    /// Where a drain stands.
    pub enum DrainStatus { Draining = "draining", Complete = "complete", Canceled = "canceled" }
}

wire! {
    /// A node as the API speaks of it.
    pub struct Node {
        "ID" id: NodeId,
        "Datacenter" datacenter: String,
        "Name" name: String,
        "HTTPAddr" http_addr: String,
        "TLSEnabled" tls_enabled: bool,
        "Attributes" attributes: StringMap,
        "NodeResources" node_resources: NodeResources,
        "ReservedResources" reserved_resources: NodeReservedResources,
        "Links" links: StringMap,
        "Meta" meta: StringMap,
        "NodeClass" node_class: String,
        "NodePool" node_pool: String,
        "CgroupParent" cgroup_parent: String,
        "Drain" drain: bool,
        "DrainStrategy" drain_strategy: Option<DrainStrategy>,
        "SchedulingEligibility" scheduling_eligibility: SchedulingEligibility,
        "Status" status: NodeStatus,
        "StatusDescription" status_description: String,
        /// Seconds since 1970.
        "StatusUpdatedAt" status_updated_at: i64,
        "Events" events: Vec<NodeEvent>,
        "Drivers" drivers: BTreeMap<String, DriverInfo>,
        "HostVolumes" host_volumes: BTreeMap<String, HostVolumeInfo>,
        "GCVolumesOnNodeGC" gc_volumes_on_node_gc: bool,
        "HostNetworks" host_networks: BTreeMap<String, HostNetworkInfo>,
        "LastDrain" last_drain: Option<DrainMetadata>,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
        "NodeMaxAllocs" node_max_allocs: i64,
    }

    /// What a node has.
    pub struct NodeResources {
        "Cpu" cpu: NodeCpuResources,
        "Memory" memory: NodeMemoryResources,
        "Disk" disk: NodeDiskResources,
        "Networks" networks: Vec<NetworkResource>,
        "Devices" devices: Vec<NodeDeviceResource>,
        "MinDynamicPort" min_dynamic_port: i64,
        "MaxDynamicPort" max_dynamic_port: i64,
    }

    /// A node's processors.
    pub struct NodeCpuResources {
        /// Megahertz in all.
        "CpuShares" cpu_shares: i64,
        "TotalCpuCores" total_cpu_cores: u16,
        "ReservableCpuCores" reservable_cpu_cores: Vec<u16>,
    }

    /// A node's memory.
    pub struct NodeMemoryResources {
        "MemoryMB" memory_mb: i64,
    }

    /// A node's disk.
    pub struct NodeDiskResources {
        "DiskMB" disk_mb: i64,
    }

    /// What a node keeps for itself.
    pub struct NodeReservedResources {
        "Cpu" cpu: NodeReservedCpuResources,
        "Memory" memory: NodeReservedMemoryResources,
        "Disk" disk: NodeReservedDiskResources,
        "Networks" networks: NodeReservedNetworkResources,
    }

    /// Megahertz kept.
    pub struct NodeReservedCpuResources {
        "CpuShares" cpu_shares: u64,
    }

    /// Mebibytes kept.
    pub struct NodeReservedMemoryResources {
        "MemoryMB" memory_mb: u64,
    }

    /// Mebibytes kept.
    pub struct NodeReservedDiskResources {
        "DiskMB" disk_mb: u64,
    }

    /// Ports kept, as in `22,80,8000-8100`.
    pub struct NodeReservedNetworkResources {
        "ReservedHostPorts" reserved_host_ports: String,
    }

    /// A kind of device on a node.
    pub struct NodeDeviceResource {
        "Vendor" vendor: String,
        "Type" device_type: String,
        "Name" name: String,
        "Instances" instances: Vec<NodeDevice>,
        "Attributes" attributes: BTreeMap<String, Attribute>,
    }

    /// One device.
    pub struct NodeDevice {
        "ID" id: String,
        "Healthy" healthy: bool,
        "HealthDescription" health_description: String,
        "Locality" locality: Option<NodeDeviceLocality>,
    }

    /// Where a device sits.
    pub struct NodeDeviceLocality {
        "PciBusID" pci_bus_id: String,
    }

    /// A device's attribute, with a unit.
    pub struct Attribute {
        #[serde(skip_serializing_if = "Option::is_none")]
        "Float" float_val: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Int" int_val: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "String" string_val: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Bool" bool_val: Option<bool>,
        "Unit" unit: String,
    }

    /// A task driver on a node.
    pub struct DriverInfo {
        "Attributes" attributes: StringMap,
        "Detected" detected: bool,
        "Healthy" healthy: bool,
        "HealthDescription" health_description: String,
        "UpdateTime" update_time: Timestamp,
    }

    /// A host volume on a node.
    pub struct HostVolumeInfo {
        "Path" path: String,
        "ReadOnly" read_only: bool,
        "ID" id: String,
    }

    /// A named network of a node.
    pub struct HostNetworkInfo {
        "Name" name: String,
        "CIDR" cidr: String,
        "Interface" interface: String,
        "ReservedPorts" reserved_ports: String,
    }

    /// A drain in progress.
    pub struct DrainStrategy {
        "Deadline" deadline: Nanos,
        "IgnoreSystemJobs" ignore_system_jobs: bool,
        "ForceDeadline" force_deadline: Timestamp,
        "StartedAt" started_at: Timestamp,
    }

    /// The last drain.
    pub struct DrainMetadata {
        "StartedAt" started_at: Timestamp,
        "UpdatedAt" updated_at: Timestamp,
        "Status" status: DrainStatus,
        "AccessorID" accessor_id: String,
        "Meta" meta: StringMap,
    }

    /// Something that happened to a node.
    pub struct NodeEvent {
        "Message" message: String,
        "Subsystem" subsystem: String,
        "Details" details: StringMap,
        "Timestamp" timestamp: Timestamp,
        "CreateIndex" create_index: u64,
    }

    /// What a job asks of a device; kept here so that the words stay together.
    pub struct DeviceRequest {
        "Constraints" constraints: Vec<Constraint>,
        "Affinities" affinities: Vec<Affinity>,
    }
}

/// How many events a node keeps.
pub const MAX_NODE_EVENTS: usize = 10;

impl Node {
    /// True when new work may be placed here.
    pub fn is_schedulable(&self) -> bool {
        self.status == NodeStatus::Ready && self.scheduling_eligibility == SchedulingEligibility::Eligible && !self.drain
    }
    /// What allocations may use: what the node has less what it keeps.
    pub fn capacity(&self) -> Amounts {
        let (has, keeps) = (&self.node_resources, &self.reserved_resources);
        let less = |a: i64, b: u64| a.saturating_sub(i64::try_from(b).unwrap_or(i64::MAX)).max(0);
        Amounts {
            cpu_mhz: less(has.cpu.cpu_shares, keeps.cpu.cpu_shares),
            memory_mb: less(has.memory.memory_mb, keeps.memory.memory_mb),
            disk_mb: less(has.disk.disk_mb, keeps.disk.disk_mb),
        }
    }
    /// The range from which dynamic ports are given, both ends included.
    pub fn dynamic_port_range(&self) -> (u16, u16) {
        let port = |n: i64, default: u16| u16::try_from(n).ok().filter(|p| *p > 0).unwrap_or(default);
        (
            port(self.node_resources.min_dynamic_port, DEFAULT_MIN_DYNAMIC_PORT),
            port(self.node_resources.max_dynamic_port, DEFAULT_MAX_DYNAMIC_PORT),
        )
    }
    /// Notes that something happened, forgetting the oldest beyond [`MAX_NODE_EVENTS`].
    pub fn push_event(&mut self, event: NodeEvent) {
        self.events.push(event);
        if self.events.len() > MAX_NODE_EVENTS {
            self.events.remove(0);
        }
    }
}

/// Parses a list of ports like `22,80,8000-8100`.
///
/// # Errors
/// Names the part that is no port or range.
pub fn parse_port_list(list: &str) -> Result<Vec<u16>, String> {
    let mut ports = Vec::new();
    for part in list.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let parse = |s: &str| s.trim().parse::<u16>().map_err(|_| format!("{part:?} is not a port or a range of ports"));
        let (first, last) = (parse(first)?, parse(last)?);
        if first > last {
            return Err(format!("{part:?} is an empty range of ports"));
        }
        ports.extend(first..=last);
        if ports.len() > usize::from(u16::MAX) {
            return Err("the list names more ports than there are".to_owned());
        }
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn port_lists_read_ranges() {
        assert_eq!(parse_port_list("22, 80-82").unwrap(), vec![22, 80, 81, 82]);
        assert_eq!(parse_port_list("").unwrap(), Vec::<u16>::new());
        for bad in ["x", "1-", "9-8", "70000", "1-65535,1"] {
            assert!(parse_port_list(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn capacity_never_goes_below_zero() {
        let mut node = Node::default();
        node.node_resources.memory.memory_mb = 100;
        node.reserved_resources.memory.memory_mb = u64::MAX;
        assert_eq!(node.capacity().memory_mb, 0);
    }
}
