//! What can go wrong, one enum per operation.
//!
//! Messages name the operation and its object; the kernel's own words stay in the source.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::attachment::{Protocol, RequestError};
use crate::config::{ConfigError, Subnet};

/// A call to the kernel that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The kernel refused.
    #[error("cannot {operation}")]
    Refused {
        /// What was tried, with its object.
        operation: String,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The kernel was built without something, or a module is not there.
    #[error("cannot {operation}: the kernel lacks {feature}; load the module or use a kernel that has it")]
    MissingFeature {
        /// What was tried, with its object.
        operation: String,
        /// The configuration symbol and the module's name.
        feature: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The kernel did not answer.
    #[error("cannot {operation}: no answer from the kernel within {deadline:?}")]
    Deadline {
        /// What was tried, with its object.
        operation: String,
        /// How long the answer was waited for.
        deadline: Duration,
    },
    /// The kernel's answer makes no sense to us.
    #[error("cannot {operation}: the kernel's answer is malformed")]
    Malformed {
        /// What was tried, with its object.
        operation: String,
    },
    /// More than one transaction may hold.
    #[error("cannot {operation}: the transaction has {bytes} bytes, at most {limit} are possible")]
    TooLarge {
        /// What was tried, with its object.
        operation: String,
        /// Size of the transaction.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
}

impl KernelError {
    pub(crate) fn refused(operation: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Refused { operation: operation.into(), source: source.into() }
    }

    /// The kernel's error number, where it gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } | Self::MissingFeature { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    pub(crate) fn is(&self, errno: nix::errno::Errno) -> bool {
        self.errno() == Some(errno as i32)
    }
}

/// The service behind a [`Network`](crate::Network) handle does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It was closed, or it ended.
    #[error("the network is closed")]
    Closed,
    /// It is stuck behind something else; what was asked for is undone should it still happen.
    #[error("the network did not answer within {0:?}")]
    Deadline(Duration),
}

/// Why the network could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The process may not do it.
    #[error("allocation networks need root ({missing}): run the agent as root, or leave the bridge network mode out")]
    Permission {
        /// The missing capabilities.
        missing: String,
    },
    /// The subnet belongs to something else.
    #[error("subnet {subnet} overlaps with {other}: choose another subnet for the allocations")]
    Overlap {
        /// As configured.
        subnet: Subnet,
        /// The route or address, and where it is.
        other: String,
    },
    /// The bridge's name belongs to something else.
    #[error("interface {name} exists and is not a bridge but {kind}: rename it or choose another bridge name")]
    NotABridge {
        /// The name.
        name: String,
        /// What it is.
        kind: String,
    },
    /// The namespace that should play the host cannot be entered.
    #[error("cannot enter the network namespace {}", path.display())]
    HostNamespace {
        /// As configured.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel did not do what it should.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The thread of the network ended.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Who holds a port of the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortHolder {
    /// Another attachment, or the same one twice.
    #[error("allocation {0}")]
    Allocation(String),
    /// A process that could be named.
    #[error("the process {name} (pid {pid}) of this host")]
    Process {
        /// Its process id.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// A process that could not be named, for instance because it lives in another process namespace.
    #[error("a process of this host")]
    UnknownProcess,
}

/// How many ports the kernel gives one bridge (`BR_MAX_PORTS` less the number 0), and so how many
/// allocations with a link fit on a node, however large the subnet.
pub const MAX_BRIDGE_PORTS: usize = 1_023;

/// Why an allocation could not be attached. Nothing of it remains.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The request makes no sense.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The id has an attachment.
    #[error("allocation {0} is attached already: detach it first")]
    Attached(String),
    /// Somebody has the port.
    #[error("port {port}/{protocol}{on} is already in use by {holder}", on = on(*host_ip))]
    PortInUse {
        /// Port on the host.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
        /// The address of the host, none for all.
        host_ip: Option<IpAddr>,
        /// Who has it.
        holder: PortHolder,
    },
    /// The address is not one of this host's.
    #[error("port {port}/{protocol} cannot be published on {host_ip}: this host has no such address")]
    NotALocalAddress {
        /// Port on the host.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
        /// The address asked for.
        host_ip: Ipv4Addr,
    },
    /// No address is left.
    #[error("no address is left in subnet {subnet}: all {capacity} are taken; stop allocations or configure a larger subnet")]
    Exhausted {
        /// The subnet.
        subnet: Subnet,
        /// How many addresses it has for allocations.
        capacity: usize,
    },
    /// The kernel's bound.
    #[error("bridge {bridge} is full: the kernel allows {MAX_BRIDGE_PORTS} ports; place the allocation on another node")]
    BridgeFull {
        /// The bridge.
        bridge: String,
    },
    /// The kernel did not do what it should.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The network does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

fn on(host_ip: Option<IpAddr>) -> String {
    host_ip.map(|ip| format!(" on {ip}")).unwrap_or_default()
}

/// Why one of the other operations failed. They are all safe to repeat.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The id cannot be one of an attachment.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The kernel did not do what it should.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The network does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
