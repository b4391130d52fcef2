//! Networks and ports: what a group asks for, and what a node offers.

use crate::StringMap;

/// The first port that is given to a dynamic port, where a node says nothing.
pub const DEFAULT_MIN_DYNAMIC_PORT: u16 = 20_000;
/// The last port that is given to a dynamic port, where a node says nothing.
pub const DEFAULT_MAX_DYNAMIC_PORT: u16 = 32_000;
/// The host network of ports that name none.
pub const DEFAULT_HOST_NETWORK: &str = "default";

wire! {
    /// A network: a group's request, or a device of a node.
    pub struct NetworkResource {
        /// `host`, `bridge`, `none` or `cni/<name>`; empty means `host`.
        "Mode" mode: String,
        "Device" device: String,
        "CIDR" cidr: String,
        "IP" ip: String,
        "DNS" dns: Option<DnsConfig>,
        "ReservedPorts" reserved_ports: Vec<Port>,
        "DynamicPorts" dynamic_ports: Vec<Port>,
        "Hostname" hostname: String,
        "MBits" mbits: Option<i64>,
        "CNI" cni: Option<CniConfig>,
    }

    /// A port that a group asks for by label.
    pub struct Port {
        "Label" label: String,
        /// The port on the host; zero for a dynamic port.
        "Value" value: i64,
        /// The port inside the allocation's network; zero means the same as on the host, -1 likewise.
        "To" to: i64,
        "HostNetwork" host_network: String,
        "IgnoreCollision" ignore_collision: bool,
    }

    /// Name resolution inside an allocation.
    pub struct DnsConfig {
        "Servers" servers: Vec<String>,
        "Searches" searches: Vec<String>,
        "Options" options: Vec<String>,
    }

    /// Arguments for a CNI plugin.
    pub struct CniConfig {
        "Args" args: StringMap,
    }

    /// A port that an allocation holds.
    pub struct PortMapping {
        "Label" label: String,
        "Value" value: i64,
        "To" to: i64,
        "HostIP" host_ip: String,
    }
}

/// How an allocation is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMode<'a> {
    /// The host's own network.
    Host,
    /// A network namespace of its own, connected to the node's bridge.
    Bridge,
    /// A network namespace of its own with nothing but a loopback.
    None,
    /// A network made by the named CNI configuration.
    Cni(&'a str),
    /// Something that floe does not know.
    Unknown(&'a str),
}

impl NetworkResource {
    /// The mode, parsed.
    pub fn network_mode(&self) -> NetworkMode<'_> {
        match self.mode.as_str() {
            "" | "host" => NetworkMode::Host,
            "bridge" => NetworkMode::Bridge,
            "none" => NetworkMode::None,
            other => match other.strip_prefix("cni/") {
                Some(name) => NetworkMode::Cni(name),
                None => NetworkMode::Unknown(other),
            },
        }
    }
    /// All ports asked for: those with a fixed number first.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.reserved_ports.iter().chain(&self.dynamic_ports)
    }
}
