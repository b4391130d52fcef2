//! How a node is set up.

use floe_model::{NodeId, StringMap};
use floe_network::NetworkConfig;
use floe_rpc::Servers;
use std::path::PathBuf;

/// How a node is set up.
#[derive(Clone)]
pub struct ClientConfig {
    /// The name that people know it by.
    pub name: String,
    /// The region that it belongs to.
    pub region: String,
    /// The datacenter that it stands in.
    pub datacenter: String,
    /// The pool that it belongs to.
    pub node_pool: String,
    /// A class of the user's choice.
    pub node_class: String,
    /// Metadata of the user's choice.
    pub meta: StringMap,
    /// The version of this build.
    pub version: &'static str,
    /// Where its HTTP API is reached, `host:port`.
    pub http_addr: String,
    /// Where this agent listens for RPC, `host:port`.
    pub rpc_addr: String,
    /// The node's id, from the key of this machine; drawn and kept when there is none.
    pub node_id: Option<NodeId>,
    /// Where servers listen for RPC.
    pub servers: Servers,
    /// The address that ports are announced under; that of the default route's interface when none is given.
    pub advertise_ip: Option<std::net::IpAddr>,
    /// The bridge that allocations are connected to.
    pub network: NetworkConfig,
    /// Whether tasks may run as plain processes of the host.
    pub raw_exec: bool,
    /// Folders with files about devices; what is in a later one counts.
    pub cdi_folders: Vec<PathBuf>,
    /// Images of containers.
    pub images: ImageSettings,
    /// The cgroup under which all tasks live.
    pub cgroup_parent: String,
    /// What the node keeps for itself.
    pub reserve: Reserve,
    /// What the node has, where the machine's own word is not to be believed.
    pub total: Override,
    /// This program: run again as the shim of each task.
    pub exe: PathBuf,
}

/// Images of containers on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// Registries, folders, and how long images stay.
    pub pulls: floe_images::Settings,
    /// Whether jobs may mount folders of the host into containers of images.
    pub host_paths: bool,
}

/// What a node keeps for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// Megahertz.
    pub cpu_mhz: u64,
    /// Mebibytes.
    pub memory_mb: u64,
    /// Mebibytes.
    pub disk_mb: u64,
    /// Ports, as in `22,8000-8100`.
    pub ports: String,
}

/// What a node has, as the user says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// Megahertz.
    pub cpu_mhz: Option<i64>,
    /// Mebibytes.
    pub memory_mb: Option<i64>,
    /// Mebibytes.
    pub disk_mb: Option<i64>,
    /// The first dynamic port.
    pub min_dynamic_port: Option<u16>,
    /// The last dynamic port.
    pub max_dynamic_port: Option<u16>,
}
