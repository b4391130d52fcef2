//! What a caller asks for and what it gets: the types that cross the crate's border.
//!
//! Pure. [`Attachment`] is serialisable because the client keeps it in its local database and hands it
//! back to [`Network::open`](crate::Network::open) after a restart.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Longest id of an attachment, in bytes; an allocation's id has 36.
pub const MAX_ID: usize = 64;
/// Most port maps of one attachment.
pub const MAX_PORTS: usize = 1_024;
/// Name of the interface inside an allocation's namespace.
pub const INTERFACE: &str = "eth0";

/// Asks for a namespace on the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachRequest {
    /// Name of the attachment: the allocation's id, 1 to [`MAX_ID`] letters, digits, `-`, `_` or `.`.
    pub id: String,
    /// Ports of the host that lead to the allocation, at most [`MAX_PORTS`].
    pub ports: Vec<PortMap>,
}

/// A port of the host that leads to a port of an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortMap {
    /// The only address of the host that answers; none means all of them.
    pub host_ip: Option<IpAddr>,
    /// Port on the host, not 0.
    pub host_port: u16,
    /// Port in the allocation's namespace, not 0.
    pub container_port: u16,
    /// A port that serves both protocols takes two entries.
    pub protocol: Protocol,
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The number in the IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp].into_iter().find(|p| p.number() == number)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A namespace that belongs to an allocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// As in the request.
    pub id: String,
    /// Path of the namespace, for `setns` or the runtime's configuration.
    pub netns: PathBuf,
    /// The way to the bridge; none when the namespace has only its loopback.
    pub link: Option<Link>,
    /// As in the request.
    pub ports: Vec<PortMap>,
}

/// The pair of interfaces that ties a namespace to the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Name inside the namespace: [`INTERFACE`].
    pub interface: String,
    /// Name of the end on the host.
    pub host_interface: String,
    /// The allocation's address.
    pub address: Ipv4Addr,
    /// The bridge's address, the namespace's default route.
    pub gateway: Ipv4Addr,
    /// Prefix length of the subnet.
    pub prefix_len: u8,
}

/// What is wrong with a request, whatever the state of the node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The id cannot name a file.
    #[error("attachment id `{0}` is not usable: take 1 to {MAX_ID} letters, digits, `-`, `_` or `.`, no leading `.`")]
    Id(String),
    /// Too many ports.
    #[error("attachment `{id}` publishes {count} ports, at most {MAX_PORTS} are possible")]
    TooManyPorts {
        /// The attachment.
        id: String,
        /// How many were asked for.
        count: usize,
    },
    /// Port 0 is nobody's.
    #[error("attachment `{id}` publishes port 0: give host and container port explicitly")]
    PortZero {
        /// The attachment.
        id: String,
    },
    /// Two entries for one port.
    #[error("attachment `{id}` publishes port {port}/{protocol} twice")]
    Duplicate {
        /// The attachment.
        id: String,
        /// Port on the host.
        port: u16,
        /// Protocol of the port.
        protocol: Protocol,
    },
    /// IPv6 port maps will come later.
    #[error("attachment `{id}` publishes a port on {host_ip}: IPv6 port maps are not supported yet, give an IPv4 address or none")]
    Ipv6 {
        /// The attachment.
        id: String,
        /// The address asked for.
        host_ip: IpAddr,
    },
}

/// A port map after validation: IPv4, and "all addresses" written in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) protocol: Protocol,
    pub(crate) host_port: u16,
    pub(crate) host_ip: Option<Ipv4Addr>,
    pub(crate) container_port: u16,
}

/// Checks an id, which also becomes a file name.
pub(crate) fn check_id(id: &str) -> Result<(), RequestError> {
    let good =
        (1..=MAX_ID).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if good { Ok(()) } else { Err(RequestError::Id(id.chars().take(MAX_ID + 1).collect())) }
}

/// Checks a request's port maps and brings them into one form.
pub(crate) fn check_ports(id: &str, ports: &[PortMap]) -> Result<Vec<Port>, RequestError> {
    if ports.len() > MAX_PORTS {
        return Err(RequestError::TooManyPorts { id: id.into(), count: ports.len() });
    }
    let mut seen = BTreeSet::new();
    ports
        .iter()
        .map(|map| {
            let port = check_port(id, map)?;
            if seen.insert((port.protocol, port.host_port, port.host_ip)) {
                Ok(port)
            } else {
                let (port, protocol) = (map.host_port, map.protocol);
                Err(RequestError::Duplicate { id: id.into(), port, protocol })
            }
        })
        .collect()
}

fn check_port(id: &str, map: &PortMap) -> Result<Port, RequestError> {
    if map.host_port == 0 || map.container_port == 0 {
        return Err(RequestError::PortZero { id: id.into() });
    }
    let host_ip = match map.host_ip {
        None | Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => None,
        Some(IpAddr::V4(address)) => Some(address),
        Some(host_ip @ IpAddr::V6(_)) => {
            return Err(RequestError::Ipv6 { id: id.into(), host_ip });
        }
    };
    Ok(Port { protocol: map.protocol, host_port: map.host_port, host_ip, container_port: map.container_port })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::cast_possible_truncation)]
    use super::*;

    fn map(host_ip: Option<&str>, host_port: u16) -> PortMap {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        PortMap { host_ip, host_port, container_port: 80, protocol: Protocol::Tcp }
    }

    #[test]
    fn ids_are_safe_file_names_of_bounded_length() {
        check_id("0aa0ae4e-2d1b-4a4e-8a43-4f3a2f7f0c11").unwrap();
        check_id(&"a".repeat(MAX_ID)).unwrap();
        for bad in [String::new(), "a".repeat(MAX_ID + 1), "..".into(), "a/b".into(), "a\0".into()] {
            assert!(check_id(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_hostile_id_makes_a_short_message() {
        assert!(check_id(&"x".repeat(1 << 20)).unwrap_err().to_string().len() < 256);
    }

    #[test]
    fn the_number_of_ports_is_bounded() {
        let maps: Vec<_> = (1..=MAX_PORTS as u16 + 1).map(|p| map(None, p)).collect();
        assert_eq!(check_ports("a", &maps[..MAX_PORTS]).unwrap().len(), MAX_PORTS);
        assert!(matches!(check_ports("a", &maps), Err(RequestError::TooManyPorts { .. })));
    }

    #[test]
    fn port_zero_and_ipv6_are_refused() {
        assert!(matches!(check_ports("a", &[map(None, 0)]), Err(RequestError::PortZero { .. })));
        let error = check_ports("a", &[map(Some("::1"), 80)]).unwrap_err();
        assert!(error.to_string().contains("not supported yet"), "{error}");
    }

    #[test]
    fn unspecified_means_all_addresses() {
        let ports = check_ports("a", &[map(Some("0.0.0.0"), 80)]).unwrap();
        assert_eq!(ports[0].host_ip, None);
        let twice = [map(Some("0.0.0.0"), 80), map(None, 80)];
        assert!(matches!(check_ports("a", &twice), Err(RequestError::Duplicate { .. })));
    }

    #[test]
    fn one_number_may_serve_both_protocols() {
        let udp = PortMap { protocol: Protocol::Udp, ..map(None, 53) };
        assert_eq!(check_ports("a", &[map(None, 53), udp]).unwrap().len(), 2);
    }

    #[test]
    fn an_attachment_survives_the_database() {
        let attachment = Attachment {
            id: "a".into(),
            netns: "/run/floe/netns/a".into(),
            link: Some(Link {
                interface: INTERFACE.into(),
                host_interface: "fl0".into(),
                address: Ipv4Addr::new(10, 0, 0, 2),
                gateway: Ipv4Addr::new(10, 0, 0, 1),
                prefix_len: 24,
            }),
            ports: vec![map(Some("127.0.0.1"), 80)],
        };
        let text = serde_json::to_string(&attachment).unwrap();
        assert!(text.contains(r#""protocol":"tcp""#), "{text}");
        assert_eq!(serde_json::from_str::<Attachment>(&text).unwrap(), attachment);
    }
}
