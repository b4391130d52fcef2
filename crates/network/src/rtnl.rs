//! Routing netlink: the messages that make links, addresses and routes, and what dumps of them say.
//!
//! Pure: builds and reads messages, sends none.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NetlinkDeserializable, NetlinkHeader};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::attachment::INTERFACE;
use crate::config::Subnet;
use crate::netlink::Request;

/// Index of the loopback in every network namespace.
pub(crate) const LOOPBACK_INDEX: u32 = 1;
/// The table of local addresses, which repeats what the addresses say.
const TABLE_LOCAL: u32 = 255;

const FEATURE_BRIDGE: &str = "CONFIG_BRIDGE (module bridge)";
const FEATURE_VETH: &str = "CONFIG_VETH (module veth)";

/// A link as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LinkState {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// What created it, such as `bridge` or `veth`; empty for hardware and loopback.
    pub(crate) kind: String,
    pub(crate) alias: String,
    pub(crate) up: bool,
    /// Index of the bridge that it is a port of.
    pub(crate) bridge: Option<u32>,
    /// Index of the other end of a pair, in the other end's namespace.
    pub(crate) peer: Option<u32>,
    pub(crate) mac: Vec<u8>,
    pub(crate) mtu: u32,
    pub(crate) hairpin: bool,
    /// Whether a bridge listens in on who wants which multicast.
    pub(crate) multicast_snooping: bool,
}

/// An IPv4 address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressState {
    pub(crate) link: u32,
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix_len: u8,
}

/// An IPv4 route outside the local table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteState {
    pub(crate) destination: Subnet,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) link: Option<u32>,
}

/// The two ends of a pair that leads into an allocation's namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    /// Name of the host's end.
    pub(crate) host_interface: &'a str,
    /// Index of the bridge.
    pub(crate) bridge: u32,
    /// The namespace in which the other end is created.
    pub(crate) netns: BorrowedFd<'a>,
    /// Hardware address of the other end.
    pub(crate) mac: [u8; 6],
    pub(crate) mtu: Option<u32>,
}

/// Creates the bridge, up, with a hardware address that does not change as ports come and go.
pub(crate) fn create_bridge(name: &str, mac: [u8; 6], mtu: Option<u32>) -> Request {
    let mut message = named(name);
    furnish_bridge(&mut message, mac, mtu);
    new_link(format!("create the bridge {name}"), message, NLM_F_CREATE | NLM_F_EXCL).needs(FEATURE_BRIDGE)
}

/// Brings a bridge that exists into the same state.
pub(crate) fn configure_bridge(name: &str, mac: [u8; 6], mtu: Option<u32>) -> Request {
    let mut message = named(name);
    furnish_bridge(&mut message, mac, mtu);
    new_link(format!("configure the bridge {name}"), message, 0)
}

/// Multicast snooping is off: without a querier, which we are not, it only floods all the same, and with
/// it the kernel visits every port whenever one comes up.
fn furnish_bridge(message: &mut LinkMessage, mac: [u8; 6], mtu: Option<u32>) {
    set_up(message);
    message.attributes.push(LinkAttribute::Address(mac.to_vec()));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Bridge),
        LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)])),
    ]));
}

/// Creates a pair: this end in the bridge, the other end as `eth0` in the namespace, both down. Creating
/// the other end there is four times as fast as moving it.
pub(crate) fn create_pair(pair: &Pair<'_>) -> Request {
    let mut peer = named(INTERFACE);
    peer.attributes.push(LinkAttribute::NetNsFd(pair.netns.as_raw_fd()));
    peer.attributes.push(LinkAttribute::Address(pair.mac.to_vec()));
    peer.attributes.extend(pair.mtu.map(LinkAttribute::Mtu));
    let mut message = named(pair.host_interface);
    message
        .attributes
        .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)))]));
    message.attributes.push(LinkAttribute::Controller(pair.bridge));
    message.attributes.extend(pair.mtu.map(LinkAttribute::Mtu));
    let operation = format!("create the link {}", pair.host_interface);
    new_link(operation, message, NLM_F_CREATE | NLM_F_EXCL).needs(FEATURE_VETH)
}

/// Puts a link into the bridge, whether or not it is there.
pub(crate) fn enslave(name: &str, bridge: u32) -> Request {
    let mut message = named(name);
    message.attributes.push(LinkAttribute::Controller(bridge));
    new_link(format!("put the link {name} into the bridge"), message, 0)
}

/// Brings a link up by its name.
pub(crate) fn raise(name: &str) -> Request {
    let mut message = named(name);
    set_up(&mut message);
    new_link(format!("bring up the link {name}"), message, 0)
}

/// Marks a port of the bridge as ours and lets packets leave by it that came by it, or not.
pub(crate) fn configure_port(name: &str, alias: &str, hairpin: bool) -> Request {
    let mut message = named(name);
    message.attributes.push(LinkAttribute::IfAlias(alias.into()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(hairpin)])),
    ]));
    new_link(format!("configure the bridge port {name}"), message, 0)
}

/// Keeps a link from making up IPv6 addresses when it comes up. Each such address is announced to every
/// port of the bridge, so a new allocation would cost the more the more there are.
pub(crate) fn silence(name: &str) -> Request {
    let mut message = named(name);
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
    new_link(format!("keep the link {name} from IPv6 announcements"), message, 0)
}

/// Brings a link up.
pub(crate) fn bring_up(index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    set_up(&mut message);
    new_link(format!("bring up the link with index {index}"), message, 0)
}

/// Deletes a link; a pair goes together.
pub(crate) fn delete_link(name: &str) -> Request {
    Request::new(format!("delete the link {name}"), RouteNetlinkMessage::DelLink(named(name)), 0)
}

/// Gives a link an address, whether or not it has it.
pub(crate) fn add_address(index: u32, address: Ipv4Addr, prefix_len: u8) -> Request {
    let message = address_message(index, address, prefix_len);
    Request::new(format!("add the address {address}/{prefix_len}"), RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Takes an address from a link.
pub(crate) fn delete_address(state: &AddressState) -> Request {
    let message = address_message(state.link, state.address, state.prefix_len);
    Request::new(format!("delete the address {}/{}", state.address, state.prefix_len), RouteNetlinkMessage::DelAddress(message), 0)
}

/// Sets the default route, whether or not there is one.
pub(crate) fn add_default_route(gateway: Ipv4Addr) -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
    Request::new(format!("add the default route by {gateway}"), RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Asks for one link.
pub(crate) fn get_link(name: &str) -> Request {
    Request::new(format!("find the link {name}"), RouteNetlinkMessage::GetLink(named(name)), 0)
}

/// Asks for all links.
pub(crate) fn dump_links() -> Request {
    let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
    Request::new("list the links", message, NLM_F_DUMP)
}

/// Asks for all IPv4 addresses.
pub(crate) fn dump_addresses() -> Request {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    Request::new("list the addresses", RouteNetlinkMessage::GetAddress(message), NLM_F_DUMP)
}

/// Asks for all IPv4 routes.
pub(crate) fn dump_routes() -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    Request::new("list the routes", RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)
}

/// A link in an answer; none for anything else.
pub(crate) fn parse_link(kind: u16, payload: &[u8]) -> Option<LinkState> {
    let RouteNetlinkMessage::NewLink(message) = parse(kind, payload)? else { return None };
    let mut link = LinkState { index: message.header.index, up: message.header.flags.contains(LinkFlags::Up), ..LinkState::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Controller(index) => link.bridge = Some(index),
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::LinkInfo(infos) => infos.into_iter().for_each(|i| read_info(&mut link, i)),
            _ => {}
        }
    }
    Some(link)
}

fn read_info(link: &mut LinkState, info: LinkInfo) {
    match info {
        LinkInfo::Kind(kind) => link.kind = kind.to_string(),
        LinkInfo::Data(InfoData::Bridge(bridge)) => {
            link.multicast_snooping = bridge.contains(&InfoBridge::MulticastSnooping(true));
        }
        LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
            link.hairpin = port.contains(&InfoBridgePort::HairpinMode(true));
        }
        _ => {}
    }
}

/// An IPv4 address in an answer; none for anything else.
pub(crate) fn parse_address(kind: u16, payload: &[u8]) -> Option<AddressState> {
    let RouteNetlinkMessage::NewAddress(message) = parse(kind, payload)? else { return None };
    let (link, prefix_len) = (message.header.index, message.header.prefix_len);
    let of = |local: bool| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) if local => Some(*address),
            AddressAttribute::Address(IpAddr::V4(address)) if !local => Some(*address),
            _ => None,
        })
    };
    let address = of(true).or_else(|| of(false))?;
    Some(AddressState { link, address, prefix_len })
}

/// An IPv4 route in an answer; none for anything else, and for those of the local table.
pub(crate) fn parse_route(kind: u16, payload: &[u8]) -> Option<RouteState> {
    let RouteNetlinkMessage::NewRoute(message) = parse(kind, payload)? else { return None };
    if message.header.address_family != AddressFamily::Inet {
        return None;
    }
    let mut table = u32::from(message.header.table);
    let mut network = Ipv4Addr::UNSPECIFIED;
    let (mut gateway, mut link) = (None, None);
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = number,
            RouteAttribute::Destination(RouteAddress::Inet(address)) => network = address,
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => gateway = Some(address),
            RouteAttribute::Oif(index) => link = Some(index),
            _ => {}
        }
    }
    let destination = Subnet::new(network, message.header.destination_prefix_length);
    (table != TABLE_LOCAL).then_some(RouteState { destination, gateway, link })
}

fn parse(kind: u16, payload: &[u8]) -> Option<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = kind;
    RouteNetlinkMessage::deserialize(&header, payload).ok()
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.into()));
    message
}

fn set_up(message: &mut LinkMessage) {
    message.header.flags |= LinkFlags::Up;
    message.header.change_mask |= LinkFlags::Up;
}

fn new_link(operation: String, message: LinkMessage, flags: u16) -> Request {
    Request::new(operation, RouteNetlinkMessage::NewLink(message), flags)
}

fn address_message(index: u32, address: Ipv4Addr, prefix_len: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.index = index;
    message.header.prefix_len = prefix_len;
    message.attributes.push(AddressAttribute::Local(address.into()));
    message.attributes.push(AddressAttribute::Address(address.into()));
    if prefix_len < 31 {
        let broadcast = Subnet::new(address, prefix_len).broadcast();
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    message
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use crate::attributes::frames;
    use std::os::fd::AsFd;

    fn reread<T>(request: &Request, parse: impl Fn(u16, &[u8]) -> Option<T>) -> Option<T> {
        let frame = frames(request.bytes()).next().unwrap();
        parse(frame.kind, frame.payload)
    }

    #[test]
    fn the_bridge_is_created_up_with_a_fixed_address() {
        let mac = [2, 0xf1, 10, 0, 0, 1];
        let link = reread(&create_bridge("floe", mac, Some(1400)), parse_link).unwrap();
        assert_eq!((link.name.as_str(), link.kind.as_str()), ("floe", "bridge"));
        assert!(link.up);
        assert_eq!(link.mac, mac);
        assert_eq!(link.mtu, 1400);
    }

    #[test]
    fn a_pair_is_created_in_the_bridge() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let pair = Pair { host_interface: "fl0", bridge: 7, netns: file.as_fd(), mac: [2, 0xf1, 10, 0, 0, 2], mtu: None };
        let link = reread(&create_pair(&pair), parse_link).unwrap();
        assert_eq!((link.kind.as_str(), link.bridge, link.up), ("veth", Some(7), false));
        let port = reread(&configure_port("fl0", "floe/floe/a", true), parse_link).unwrap();
        assert!(port.hairpin);
        assert_eq!(port.alias, "floe/floe/a");
    }

    #[test]
    fn addresses_and_routes_are_read_back() {
        let address = Ipv4Addr::new(10, 0, 0, 2);
        let state = reread(&add_address(3, address, 24), parse_address).unwrap();
        assert_eq!(state, AddressState { link: 3, address, prefix_len: 24 });
        let route = reread(&add_default_route(address), parse_route).unwrap();
        assert_eq!(route.destination, Subnet::new(Ipv4Addr::UNSPECIFIED, 0));
        assert_eq!(route.gateway, Some(address));
    }

    #[test]
    fn answers_of_another_kind_are_nothing() {
        assert!(reread(&add_default_route(Ipv4Addr::LOCALHOST), parse_link).is_none());
        assert!(parse_link(16, &[1, 2, 3]).is_none());
    }
}
