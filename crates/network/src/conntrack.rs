//! Connections that the kernel remembers and must forget when an allocation goes or a port changes hands.
//!
//! Pure: builds and reads messages. A UDP "connection" lives as long as packets keep coming, with the
//! translation of its first packet: without this, a client that never pauses would go on talking to the
//! allocation that is gone, or, having met a closed port in between, never reach the new one. TCP
//! connections to an allocation that is gone end with a reset instead of silence.

use std::net::Ipv4Addr;

use netlink_packet_core::{DefaultNla, NLA_F_NESTED, NLM_F_DUMP};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem};

use crate::attachment::{Port, Protocol};
use crate::attributes::{find, netfilter_attributes};
use crate::netlink::Request;

const GET: u8 = 1;
const DELETE: u8 = 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FEATURE: &str = "CONFIG_NF_CT_NETLINK (module nf_conntrack_netlink)";

/// Which connections are to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    /// All from and to an allocation that is gone.
    Allocation(Ipv4Addr),
    /// Those to a UDP port of the host that nobody translated, now that it is published.
    Untranslated {
        /// Port on the host.
        host_port: u16,
        /// The only address it is published on.
        host_ip: Option<Ipv4Addr>,
    },
}

impl Stale {
    /// What publishing these ports makes stale.
    pub(crate) fn by_publishing(ports: &[Port]) -> Vec<Self> {
        let udp = ports.iter().filter(|port| port.protocol == Protocol::Udp);
        udp.map(|p| Self::Untranslated { host_port: p.host_port, host_ip: p.host_ip }).collect()
    }

    /// Whether this connection is to be forgotten; `local` are the addresses of the host.
    pub(crate) fn covers(&self, connection: &Connection, local: &[Ipv4Addr]) -> bool {
        match *self {
            Self::Allocation(address) => connection.source == address || connection.answered_by == address,
            Self::Untranslated { host_port, host_ip } => {
                let here = match host_ip {
                    Some(ip) => connection.destination == ip,
                    None => local.contains(&connection.destination),
                };
                here && connection.protocol == Protocol::Udp.number()
                    && connection.destination_port == host_port
                    && connection.answered_by == connection.destination
            }
        }
    }
}

/// A connection that the kernel remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
    /// Where the answers come from: not the destination when that was translated.
    pub(crate) answered_by: Ipv4Addr,
    /// The attributes that name it to the kernel, as they came.
    identity: Vec<(u16, Vec<u8>)>,
}

/// Asks for all IPv4 connections.
pub(crate) fn dump_connections() -> Request {
    request("list the connections", GET, vec![], NLM_F_DUMP)
}

/// Makes the kernel forget a connection.
pub(crate) fn delete_connection(connection: &Connection) -> Request {
    let attributes = connection.identity.iter().map(|(kind, value)| {
        let nested = if *kind == TUPLE_ORIGINAL { NLA_F_NESTED } else { 0 };
        DefaultNla::new(kind | nested, value.clone())
    });
    let operation = format!("forget a connection to {}", connection.destination);
    request(operation, DELETE, attributes.collect(), 0)
}

/// The connection in an answer to [`dump_connections`]; none for protocols without ports.
pub(crate) fn parse_connection(payload: &[u8]) -> Option<Connection> {
    let attribute = |wanted| netfilter_attributes(payload).find(|(k, _)| *k == wanted).map(|(_, v)| v);
    let original = tuple(attribute(TUPLE_ORIGINAL)?)?;
    let reply = tuple(attribute(TUPLE_REPLY)?)?;
    let identity = [TUPLE_ORIGINAL, ID, ZONE].into_iter().filter_map(|kind| Some((kind, attribute(kind)?.to_vec()))).collect();
    Some(Connection {
        source: original.source,
        destination: original.destination,
        destination_port: original.destination_port,
        protocol: original.protocol,
        answered_by: reply.source,
        identity,
    })
}

struct Tuple {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    destination_port: u16,
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    const IP: u16 = 1;
    const PROTO: u16 = 2;
    const V4_SOURCE: u16 = 1;
    const V4_DESTINATION: u16 = 2;
    const NUMBER: u16 = 1;
    const DESTINATION_PORT: u16 = 3;
    let (ip, proto) = (find(bytes, IP)?, find(bytes, PROTO)?);
    let address = |kind| Some(Ipv4Addr::from(*find(ip, kind)?.first_chunk::<4>()?));
    Some(Tuple {
        source: address(V4_SOURCE)?,
        destination: address(V4_DESTINATION)?,
        protocol: *find(proto, NUMBER)?.first()?,
        // Absent for ICMP, which has none.
        destination_port: find(proto, DESTINATION_PORT).and_then(|port| port.first_chunk()).map_or(0, |port| u16::from_be_bytes(*port)),
    })
}

fn request(operation: impl Into<String>, message_type: u8, attributes: Vec<DefaultNla>, flags: u16) -> Request {
    let subsys = NetfilterSubsystem::Conntrack;
    let inner = NetfilterMessageInner::Other { subsys, message_type, attributes };
    let header = NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0);
    Request::new(operation, NetfilterMessage::new(header, inner), flags).needs(FEATURE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::cast_possible_truncation)]
    use super::*;
    use crate::attributes::frames;

    const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
    const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const ALLOCATION: Ipv4Addr = Ipv4Addr::new(172, 26, 64, 2);

    fn connection(source: Ipv4Addr, destination: Ipv4Addr, answered_by: Ipv4Addr) -> Connection {
        let (destination_port, protocol) = (53, 17);
        Connection { source, destination, destination_port, protocol, answered_by, identity: vec![] }
    }

    fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
        let value = parts.concat();
        let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn tuple_of(kind: u16, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
        let leaf = |kind, value: &[u8]| nested(kind, &[value.to_vec()]);
        let ip = nested(1 | NLA_F_NESTED, &[leaf(1, &source.octets()), leaf(2, &destination.octets())]);
        let proto = nested(2 | NLA_F_NESTED, &[leaf(1, &[17]), leaf(2, &[0x80, 0]), leaf(3, &[0, 53])]);
        nested(kind | NLA_F_NESTED, &[ip, proto])
    }

    #[test]
    fn a_connection_is_read_and_named_by_what_was_read() {
        let mut payload = vec![2, 0, 0, 0];
        payload.extend(tuple_of(TUPLE_ORIGINAL, CLIENT, HOST));
        payload.extend(tuple_of(TUPLE_REPLY, ALLOCATION, CLIENT));
        payload.extend(nested(ID, &[vec![1, 2, 3, 4]]));
        let read = parse_connection(&payload).unwrap();
        assert_eq!((read.source, read.destination, read.answered_by), (CLIENT, HOST, ALLOCATION));
        assert_eq!((read.protocol, read.destination_port), (17, 53));
        let delete = delete_connection(&read);
        let frame = frames(delete.bytes()).next().unwrap();
        assert_eq!(frame.kind, 0x102);
        let original = netfilter_attributes(frame.payload).next().unwrap();
        assert_eq!(original.0, TUPLE_ORIGINAL);
        assert_eq!(tuple(original.1).unwrap().destination_port, 53);
        assert_eq!(netfilter_attributes(frame.payload).nth(1).unwrap(), (ID, &[1, 2, 3, 4][..]));
    }

    #[test]
    fn nonsense_is_no_connection() {
        assert_eq!(parse_connection(&[]), None);
        assert_eq!(parse_connection(&[0xff; 80]), None);
    }

    #[test]
    fn everything_of_an_allocation_is_stale_when_it_goes() {
        let stale = Stale::Allocation(ALLOCATION);
        assert!(stale.covers(&connection(CLIENT, HOST, ALLOCATION), &[]));
        assert!(stale.covers(&connection(ALLOCATION, CLIENT, CLIENT), &[]));
        assert!(!stale.covers(&connection(CLIENT, HOST, HOST), &[]));
    }

    #[test]
    fn only_untranslated_packets_to_this_host_are_stale_when_a_port_is_published() {
        let all = Stale::Untranslated { host_port: 53, host_ip: None };
        assert!(all.covers(&connection(CLIENT, HOST, HOST), &[HOST]));
        // Translated: another allocation's, or its own.
        assert!(!all.covers(&connection(CLIENT, HOST, ALLOCATION), &[HOST]));
        // Forwarded elsewhere: somebody's DNS query through this host.
        assert!(!all.covers(&connection(ALLOCATION, CLIENT, CLIENT), &[HOST]));
        let other_port = Connection { destination_port: 54, ..connection(CLIENT, HOST, HOST) };
        assert!(!all.covers(&other_port, &[HOST]));
        let tcp = Connection { protocol: 6, ..connection(CLIENT, HOST, HOST) };
        assert!(!all.covers(&tcp, &[HOST]));
        let one = Stale::Untranslated { host_port: 53, host_ip: Some(Ipv4Addr::LOCALHOST) };
        assert!(!one.covers(&connection(CLIENT, HOST, HOST), &[HOST]));
    }

    #[test]
    fn publishing_tcp_makes_nothing_stale() {
        let port = |protocol| Port { protocol, host_port: 53, host_ip: None, container_port: 53 };
        assert!(Stale::by_publishing(&[port(Protocol::Tcp)]).is_empty());
        assert_eq!(Stale::by_publishing(&[port(Protocol::Udp)]).len(), 1);
    }
}
