//! Host ports: fixed ones are checked, dynamic ones are drawn from the node's range.

use crate::{chance::Chance, feasible};
use floe_model::{
    Node,
    network::{DEFAULT_HOST_NETWORK, NetworkMode, NetworkResource, Port, PortMapping},
};
use floe_state::fit::Usage;

/// How many ports are drawn at random before the range is searched one by one.
const RANDOM_TRIES: usize = 20;

/// Why a group's ports cannot be had on a node: the words of the explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortConflict(pub(crate) String);

/// The address under which the node's ports are reached by default; empty when it is not known, which stands for all addresses.
pub(crate) fn default_ip(node: &Node) -> &str {
    let of_host = |n: &&NetworkResource| !n.ip.is_empty() && n.network_mode() == NetworkMode::Host;
    let attribute = || node.attributes.get("unique.network.ip-address").map(String::as_str);
    let networks = &node.node_resources.networks;
    networks.iter().find(of_host).map(|n| n.ip.as_str()).or_else(attribute).unwrap_or_default()
}

fn ip_of<'a>(port: &Port, node: &'a Node) -> &'a str {
    match port.host_network.as_str() {
        "" | DEFAULT_HOST_NETWORK => default_ip(node),
        name => feasible::host_network_ip(node, name).unwrap_or_default(),
    }
}

/// A number for each port of `network`, in the order of [`NetworkResource::ports`].
///
/// # Errors
/// Names the port that cannot be had.
pub(crate) fn assign(network: &NetworkResource, node: &Node, usage: &Usage, chance: &mut Chance) -> Result<Vec<u16>, PortConflict> {
    let mut chosen: Vec<(u16, &str)> = Vec::new();
    for port in &network.reserved_ports {
        let ip = ip_of(port, node);
        let number = u16::try_from(port.value).map_err(|_| PortConflict(format!("ports: {} ({}) is no port", port.value, port.label)))?;
        if is_taken(usage, &chosen, number, ip) {
            return Err(PortConflict(format!("ports: {number} ({}) in use", port.label)));
        }
        chosen.push((number, ip));
    }
    let fixed: Vec<u16> = network.reserved_ports.iter().filter_map(|p| u16::try_from(p.value).ok()).collect();
    for port in &network.dynamic_ports {
        let ip = ip_of(port, node);
        let free = |n: u16| !fixed.contains(&n) && !is_taken(usage, &chosen, n, ip);
        let number = draw(node.dynamic_port_range(), free, chance)
            .ok_or_else(|| PortConflict(format!("ports: no dynamic port left ({})", port.label)))?;
        chosen.push((number, ip));
    }
    Ok(chosen.into_iter().map(|(n, _)| n).collect())
}

fn is_taken(usage: &Usage, chosen: &[(u16, &str)], port: u16, ip: &str) -> bool {
    let clash = |(p, other): &(u16, &str)| *p == port && (ip.is_empty() || other.is_empty() || ip == *other);
    usage.holder_of(port, ip).is_some() || chosen.iter().any(clash)
}

fn draw((first, last): (u16, u16), free: impl Fn(u16) -> bool, chance: &mut Chance) -> Option<u16> {
    let size = usize::from(last.checked_sub(first)?) + 1;
    let pick = |offset: usize| u16::try_from(usize::from(first) + offset).ok();
    for _ in 0..RANDOM_TRIES {
        if let Some(port) = pick(chance.below(size)).filter(|p| free(*p)) {
            return Some(port);
        }
    }
    (first..=last).find(|p| free(*p))
}

/// The mappings of an allocation that was given `numbers` by [`assign`], and the network that says so in the group's words.
pub(crate) fn mappings(network: &NetworkResource, node: &Node, numbers: &[u16]) -> (Vec<PortMapping>, NetworkResource) {
    let mut given = network.clone();
    default_ip(node).clone_into(&mut given.ip);
    let mut mappings = Vec::with_capacity(numbers.len());
    for (port, number) in given.reserved_ports.iter_mut().chain(&mut given.dynamic_ports).zip(numbers) {
        port.value = i64::from(*number);
        // Zero and -1 both stand for the number on the host.
        if port.to <= 0 {
            port.to = port.value;
        }
        let host_ip = ip_of(port, node).to_owned();
        mappings.push(PortMapping { label: port.label.clone(), value: port.value, to: port.to, host_ip });
    }
    (mappings, given)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use floe_model::Allocation;

    fn node(first: i64, last: i64) -> Node {
        let mut n = Node::default();
        n.attributes.insert("unique.network.ip-address".to_owned(), "10.0.0.1".to_owned());
        n.node_resources.min_dynamic_port = first;
        n.node_resources.max_dynamic_port = last;
        n
    }

    fn port(label: &str, value: i64, to: i64) -> Port {
        Port { label: label.to_owned(), value, to, ..Port::default() }
    }

    fn network(fixed: &[Port], dynamic: &[Port]) -> NetworkResource {
        NetworkResource { reserved_ports: fixed.to_vec(), dynamic_ports: dynamic.to_vec(), ..NetworkResource::default() }
    }

    fn holding(ports: &[i64]) -> Usage {
        let mut alloc = Allocation { id: "other".into(), ..Allocation::default() };
        alloc.allocated_resources.shared.ports =
            ports.iter().map(|p| PortMapping { value: *p, host_ip: "10.0.0.1".to_owned(), ..PortMapping::default() }).collect();
        let mut usage = Usage::default();
        usage.add(&alloc);
        usage
    }

    fn chance() -> Chance {
        Chance::new((1, 2))
    }

    #[test]
    fn fixed_ports_are_given_when_free() {
        let wanted = network(&[port("http", 80, 0)], &[]);
        assert_eq!(assign(&wanted, &node(1, 2), &Usage::default(), &mut chance()), Ok(vec![80]));
        let conflict = assign(&wanted, &node(1, 2), &holding(&[80]), &mut chance()).unwrap_err();
        assert_eq!(conflict.0, "ports: 80 (http) in use");
        let odd = network(&[port("x", 70_000, 0)], &[]);
        assert_eq!(assign(&odd, &node(1, 2), &Usage::default(), &mut chance()).unwrap_err().0, "ports: 70000 (x) is no port");
        let twice = network(&[port("a", 80, 0), port("b", 80, 0)], &[]);
        assert_eq!(assign(&twice, &node(1, 2), &Usage::default(), &mut chance()).unwrap_err().0, "ports: 80 (b) in use");
    }

    #[test]
    fn dynamic_ports_fill_the_range_to_the_last_one_and_not_past_it() {
        let wanted = network(&[], &[port("a", 0, 0), port("b", 0, 0)]);
        let mut got = assign(&wanted, &node(100, 103), &holding(&[100, 102]), &mut chance()).unwrap();
        got.sort_unstable();
        assert_eq!(got, [101, 103]);
        let conflict = assign(&wanted, &node(100, 103), &holding(&[100, 101, 102]), &mut chance()).unwrap_err();
        assert_eq!(conflict.0, "ports: no dynamic port left (b)");
        assert!(assign(&wanted, &node(103, 100), &Usage::default(), &mut chance()).is_err());
    }

    #[test]
    fn dynamic_ports_avoid_the_groups_own_fixed_ones() {
        let wanted = network(&[port("a", 100, 0)], &[port("b", 0, 0)]);
        assert_eq!(assign(&wanted, &node(100, 101), &Usage::default(), &mut chance()), Ok(vec![100, 101]));
    }

    #[test]
    fn mappings_say_where_a_port_leads() {
        let wanted = network(&[port("a", 8080, 80)], &[port("b", 0, 0), port("c", 0, -1)]);
        let (mappings, given) = mappings(&wanted, &node(1, 2), &[8080, 21_000, 22_000]);
        let seen: Vec<_> = mappings.iter().map(|m| (m.label.as_str(), m.value, m.to, m.host_ip.as_str())).collect();
        assert_eq!(seen, [("a", 8080, 80, "10.0.0.1"), ("b", 21_000, 21_000, "10.0.0.1"), ("c", 22_000, 22_000, "10.0.0.1")]);
        assert_eq!((given.ip.as_str(), given.dynamic_ports[1].value), ("10.0.0.1", 22_000));
    }

    #[test]
    fn the_address_is_the_host_networks_own_before_the_attribute() {
        let mut n = node(1, 2);
        assert_eq!(default_ip(&n), "10.0.0.1");
        n.node_resources.networks.push(NetworkResource {
            mode: "bridge".to_owned(),
            ip: "172.26.64.1".to_owned(),
            ..NetworkResource::default()
        });
        assert_eq!(default_ip(&n), "10.0.0.1");
        n.node_resources.networks.push(NetworkResource {
            mode: "host".to_owned(),
            ip: "10.0.0.2".to_owned(),
            ..NetworkResource::default()
        });
        assert_eq!(default_ip(&n), "10.0.0.2");
        assert_eq!(default_ip(&Node::default()), "");
    }
}
