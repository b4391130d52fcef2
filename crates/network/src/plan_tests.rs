//! Tests of the decisions: each starts from a world in which nothing is to do and breaks one thing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::attachment::{PortMap, Protocol};

const BRIDGE: u32 = 5;
const OUTER: u32 = 9;
const INNER: u32 = 2;
const HOST_INTERFACE: &str = "fl0123456789ab";

fn config() -> NetworkConfig {
    NetworkConfig::default()
}

fn address(link: u32, text: &str) -> AddressState {
    let subnet: Subnet = text.parse().unwrap();
    AddressState { link, address: subnet.network(), prefix_len: subnet.prefix_len() }
}

fn route(text: &str, gateway: Option<&str>, link: u32) -> RouteState {
    let gateway = gateway.map(|g| g.parse().unwrap());
    RouteState { destination: text.parse().unwrap(), gateway, link: Some(link) }
}

fn link(index: u32, name: &str, kind: &str) -> LinkState {
    LinkState { index, name: name.into(), kind: kind.into(), up: true, ..LinkState::default() }
}

/// A host with an uplink, the bridge and one port.
fn host() -> Observed {
    let mac = names::hardware_address(config().subnet.gateway()).to_vec();
    let outer = LinkState {
        bridge: Some(BRIDGE),
        peer: Some(INNER),
        hairpin: true,
        alias: "floe/floe/a".into(),
        ..link(OUTER, HOST_INTERFACE, "veth")
    };
    Observed {
        links: vec![link(1, "lo", ""), link(3, "eth0", ""), LinkState { mac, ..link(BRIDGE, "floe", "bridge") }, outer],
        addresses: vec![address(3, "192.0.2.2/24"), address(BRIDGE, "172.26.64.1/20")],
        routes: vec![route("0.0.0.0/0", Some("192.0.2.1"), 3), route("192.0.2.0/24", None, 3), route("172.26.64.0/20", None, BRIDGE)],
    }
}

fn inside() -> Observed {
    let inner = LinkState { peer: Some(OUTER), ..link(INNER, INTERFACE, "veth") };
    Observed {
        links: vec![link(1, "lo", ""), inner],
        addresses: vec![address(INNER, "172.26.64.2/20")],
        routes: vec![route("0.0.0.0/0", Some("172.26.64.1"), INNER), route("172.26.64.0/20", None, INNER)],
    }
}

fn attachment(id: &str, last: u8) -> Attachment {
    Attachment {
        id: id.into(),
        netns: config().netns_dir.join(id),
        link: Some(Link {
            interface: INTERFACE.into(),
            host_interface: format!("fl0123456789{last:02x}"),
            address: Ipv4Addr::new(172, 26, 64, last),
            gateway: Ipv4Addr::new(172, 26, 64, 1),
            prefix_len: 20,
        }),
        ports: vec![],
    }
}

fn the_link() -> Link {
    Link { host_interface: HOST_INTERFACE.into(), ..attachment("a", 2).link.unwrap() }
}

fn published(id: &str, last: u8, host_port: u16) -> Attachment {
    let port = PortMap { host_ip: None, host_port, container_port: 80, protocol: Protocol::Tcp };
    Attachment { ports: vec![port], ..attachment(id, last) }
}

#[test]
fn nothing_is_done_when_all_is_right() {
    assert_eq!(overlap(&config(), &host()), None);
    assert_eq!(bridge_steps(&config(), &host()).unwrap(), []);
    assert!(leaked_links(&config(), &host(), &BTreeSet::from([HOST_INTERFACE])).is_empty());
    assert_eq!(wiring(&config(), &the_link(), &host(), &inside()), Wiring::Intact);
}

#[test]
fn an_overlap_names_the_address_or_the_route() {
    let mut world = host();
    world.addresses.push(address(3, "172.26.70.9/24"));
    assert_eq!(overlap(&config(), &world).unwrap(), "the address 172.26.70.9/24 of interface eth0");
    let mut world = host();
    world.routes.push(route("172.16.0.0/12", Some("192.0.2.7"), 3));
    assert_eq!(overlap(&config(), &world).unwrap(), "the route to 172.16.0.0/12 by interface eth0");
    world.routes.push(RouteState { link: None, ..route("172.26.64.0/24", None, 3) });
    world.routes.swap_remove(3);
    assert_eq!(overlap(&config(), &world).unwrap(), "the route to 172.26.64.0/24");
}

#[test]
fn a_missing_bridge_is_created() {
    let mut world = host();
    world.links.retain(|l| l.index != BRIDGE);
    assert_eq!(bridge_steps(&config(), &world).unwrap(), [BridgeStep::Create, BridgeStep::AddAddress]);
}

#[test]
fn another_interface_of_that_name_is_refused() {
    let mut world = host();
    world.links[2].kind = "dummy".into();
    let error = bridge_steps(&config(), &world).unwrap_err();
    assert!(error.to_string().starts_with("interface floe exists and is not a bridge but dummy"));
}

#[test]
fn a_bridge_is_repaired_thing_by_thing() {
    let mut world = host();
    world.links[2].up = false;
    assert_eq!(bridge_steps(&config(), &world).unwrap(), [BridgeStep::Configure]);
    let mut world = host();
    world.links[2].multicast_snooping = true;
    assert_eq!(bridge_steps(&config(), &world).unwrap(), [BridgeStep::Configure]);
    let mut world = host();
    world.links[2].mac = vec![0; 6];
    assert_eq!(bridge_steps(&config(), &world).unwrap(), [BridgeStep::Configure]);
    let mtu = NetworkConfig { mtu: Some(1400), ..config() };
    assert_eq!(bridge_steps(&mtu, &host()).unwrap(), [BridgeStep::Configure]);
    let mut world = host();
    world.addresses[1] = address(BRIDGE, "10.0.0.1/24");
    assert_eq!(
        bridge_steps(&config(), &world).unwrap(),
        [BridgeStep::DeleteAddress(address(BRIDGE, "10.0.0.1/24")), BridgeStep::AddAddress]
    );
}

#[test]
fn only_our_own_links_are_leaks() {
    let nobody = BTreeSet::new();
    assert_eq!(leaked_links(&config(), &host(), &nobody), [HOST_INTERFACE]);
    // Somebody else's container on our bridge.
    let mut world = host();
    world.links[3].name = "veth1234".into();
    assert!(leaked_links(&config(), &world, &nobody).is_empty());
    // Our name, another agent's bridge and alias.
    let mut world = host();
    world.links[3].bridge = Some(77);
    world.links[3].alias = "floe/other/a".into();
    assert!(leaked_links(&config(), &world, &nobody).is_empty());
    // Taken out of the bridge, yet marked.
    let mut world = host();
    world.links[3].bridge = None;
    assert_eq!(leaked_links(&config(), &world, &nobody), [HOST_INTERFACE]);
    // The bridge is gone and the link is unmarked: nothing says that it is ours.
    world.links[3].alias.clear();
    world.links.remove(2);
    assert!(leaked_links(&config(), &world, &nobody).is_empty());
}

#[test]
fn a_pair_that_is_missing_or_leads_elsewhere_is_rebuilt() {
    let rebuilds = |host: &Observed, inside: &Observed| matches!(wiring(&config(), &the_link(), host, inside), Wiring::Rebuild(_));
    let mut outer = host();
    outer.links.pop();
    assert!(rebuilds(&outer, &inside()));
    let mut inner = inside();
    inner.links.pop();
    assert!(rebuilds(&host(), &inner));
    let mut inner = inside();
    inner.links[1].peer = Some(OUTER + 1);
    assert!(rebuilds(&host(), &inner));
}

#[test]
fn a_pair_with_something_wrong_is_configured_again() {
    type Breakage = fn(&mut Observed, &mut Observed);
    let breakages: [Breakage; 8] = [
        |host, _| host.links[3].bridge = None,
        |host, _| host.links[3].up = false,
        |host, _| host.links[3].hairpin = false,
        |host, _| host.links[3].alias.clear(),
        |_, inside| inside.links[0].up = false,
        |_, inside| inside.links[1].up = false,
        |_, inside| inside.addresses.clear(),
        |_, inside| inside.routes.clear(),
    ];
    for (number, breakage) in breakages.iter().enumerate() {
        let (mut outer, mut inner) = (host(), inside());
        breakage(&mut outer, &mut inner);
        let wiring = wiring(&config(), &the_link(), &outer, &inner);
        assert!(matches!(wiring, Wiring::Reconfigure(_)), "{number}: {wiring:?}");
    }
}

#[test]
fn known_attachments_keep_their_addresses_and_ports() {
    let known = [published("a", 2, 80), published("b", 3, 81)];
    let mut admission = admit(&config(), &known);
    assert_eq!(admission.admitted.len(), 2);
    assert!(admission.broken.is_empty());
    assert_eq!(admission.pool.take(), Some(Ipv4Addr::new(172, 26, 64, 4)));
    let port = admission.admitted[0].1[0];
    assert_eq!(admission.ports.take("c", &[port]).unwrap_err().holder, "a");
}

#[test]
fn records_that_contradict_each_other_are_broken() {
    let reason = |known: &[Attachment]| {
        let mut broken = admit(&config(), known).broken;
        assert_eq!(broken.len(), 1);
        broken.remove(0).reason
    };
    let a = || published("a", 2, 80);
    assert_eq!(reason(&[a(), a()]), BrokenReason::Duplicate("id"));
    let mut same_address = published("b", 3, 81);
    same_address.link.as_mut().unwrap().address = Ipv4Addr::new(172, 26, 64, 2);
    assert_eq!(reason(&[a(), same_address]), BrokenReason::Duplicate("address"));
    assert_eq!(reason(&[a(), published("b", 3, 80)]), BrokenReason::Duplicate("published port"));
    let mut same_link = published("b", 3, 81);
    same_link.link.as_mut().unwrap().host_interface = the_link().host_interface.replace("ab", "02");
    assert_eq!(reason(&[a(), same_link]), BrokenReason::Duplicate("link"));
}

#[test]
fn records_that_do_not_fit_the_configuration_are_broken() {
    let reason = |attachment: Attachment| admit(&config(), &[attachment]).broken.remove(0).reason;
    let mut elsewhere = attachment("a", 2);
    elsewhere.link.as_mut().unwrap().address = Ipv4Addr::new(10, 0, 0, 2);
    assert!(matches!(reason(elsewhere), BrokenReason::OutsideSubnet { .. }));
    let mut prefix = attachment("a", 2);
    prefix.link.as_mut().unwrap().prefix_len = 24;
    assert!(matches!(reason(prefix), BrokenReason::OutsideSubnet { .. }));
    let path = Attachment { netns: "/etc/passwd".into(), ..attachment("a", 2) };
    assert!(matches!(reason(path), BrokenReason::Record(_)));
    let id = Attachment { id: "../a".into(), ..attachment("a", 2) };
    assert!(matches!(reason(id), BrokenReason::Record(_)));
    let mut foreign = attachment("a", 2);
    foreign.link.as_mut().unwrap().host_interface = "eth0".into();
    assert!(matches!(reason(foreign), BrokenReason::Record(_)));
    let unlinked = Attachment { link: None, ..published("a", 2, 80) };
    assert!(matches!(reason(unlinked), BrokenReason::Record(_)));
}

#[test]
fn a_broken_record_takes_nothing_from_the_others() {
    let known = [published("a", 2, 80), published("b", 3, 80), published("c", 3, 81)];
    let admission = admit(&config(), &known);
    let ids: Vec<_> = admission.admitted.iter().map(|(a, _)| a.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
}
