//! Whether allocations fit on a node. The scheduler asks while it plans; apply asks again before it commits.

use floe_model::{Allocation, Node, network::PortMapping, node::parse_port_list, resources::Amounts};
use std::collections::BTreeMap;

/// Why a set of allocations does not fit on a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A resource is used up: `cpu`, `memory` or `disk`.
    #[error("{0} exhausted")]
    Resource(&'static str),
    /// A host port is wanted twice.
    #[error("port {port} on {host_ip} is already taken by allocation {holder}")]
    Port {
        /// The port.
        port: u16,
        /// The address on which it is wanted.
        host_ip: String,
        /// The allocation (or `the node's reserved ports`) that has it.
        holder: String,
    },
    /// The node takes no more allocations.
    #[error("node holds {0} allocations already, its maximum")]
    MaxAllocs(usize),
}

/// What is used of a node: amounts and host ports, with who uses them.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Sums over all allocations.
    pub amounts: Amounts,
    /// How many allocations.
    pub count: usize,
    /// Host ports in use, by number, with their address and holder. An empty address means all of them.
    ports: BTreeMap<u16, Vec<(String, String)>>,
}

impl Usage {
    /// The usage of a node that runs nothing: the ports that it keeps for itself.
    pub fn of_node(node: &Node) -> Usage {
        let mut usage = Usage::default();
        for port in parse_port_list(&node.reserved_resources.networks.reserved_host_ports).unwrap_or_default() {
            usage.ports.entry(port).or_default().push((String::new(), "the node's reserved ports".to_owned()));
        }
        usage
    }

    /// Adds an allocation.
    ///
    /// # Errors
    /// When one of its ports is taken. The usage then counts it all the same.
    pub fn add(&mut self, alloc: &Allocation) -> Result<(), Misfit> {
        let held = &alloc.allocated_resources;
        self.amounts = self.amounts.plus(held.amounts());
        self.count += 1;
        let mut first = Ok(());
        for mapping in &held.shared.ports {
            if let Err(e) = self.add_port(mapping, alloc.id.as_str()) {
                first = first.and(Err(e));
            }
        }
        first
    }

    fn add_port(&mut self, mapping: &PortMapping, holder: &str) -> Result<(), Misfit> {
        let Ok(port) = u16::try_from(mapping.value) else { return Ok(()) };
        let taken =
            self.holder_of(port, &mapping.host_ip).map(|h| Misfit::Port { port, host_ip: mapping.host_ip.clone(), holder: h.to_owned() });
        self.ports.entry(port).or_default().push((mapping.host_ip.clone(), holder.to_owned()));
        taken.map_or(Ok(()), Err)
    }

    /// Who has `port` on `host_ip`; an empty address stands for all addresses.
    pub fn holder_of(&self, port: u16, host_ip: &str) -> Option<&str> {
        let users = self.ports.get(&port)?;
        users.iter().find(|(ip, _)| ip.is_empty() || host_ip.is_empty() || ip == host_ip).map(|(_, holder)| holder.as_str())
    }

    /// Whether what is used is within what the node has.
    ///
    /// # Errors
    /// The first dimension that is exceeded.
    pub fn check(&self, node: &Node) -> Result<(), Misfit> {
        if let Some(dimension) = self.amounts.exceeds(node.capacity()) {
            return Err(Misfit::Resource(dimension));
        }
        match usize::try_from(node.node_max_allocs) {
            Ok(max) if max > 0 && self.count > max => Err(Misfit::MaxAllocs(max)),
            _ => Ok(()),
        }
    }
}

/// Whether all of `allocs` fit on `node` together.
///
/// # Errors
/// The first reason why not.
pub fn check<'a>(node: &Node, allocs: impl IntoIterator<Item = &'a Allocation>) -> Result<(), Misfit> {
    let mut usage = Usage::of_node(node);
    for alloc in allocs {
        usage.add(alloc)?;
    }
    usage.check(node)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::resources::{AllocatedResources, AllocatedTaskResources};

    fn node(cpu: i64, memory: i64) -> Node {
        let mut n = Node::default();
        n.node_resources.cpu.cpu_shares = cpu;
        n.node_resources.memory.memory_mb = memory;
        n.node_resources.disk.disk_mb = 1000;
        n
    }

    fn alloc(id: &str, cpu: i64, memory: i64, ports: &[(i64, &str)]) -> Allocation {
        let mut task = AllocatedTaskResources::default();
        task.cpu.cpu_shares = cpu;
        task.memory.memory_mb = memory;
        let mut held = AllocatedResources { tasks: [("t".to_owned(), task)].into(), ..AllocatedResources::default() };
        held.shared.disk_mb = 100;
        held.shared.ports =
            ports.iter().map(|(p, ip)| PortMapping { value: *p, host_ip: (*ip).to_owned(), ..PortMapping::default() }).collect();
        Allocation { id: id.into(), allocated_resources: held, ..Allocation::default() }
    }

    #[test]
    fn exactly_full_fits_and_one_more_does_not() {
        let (a, b) = (alloc("a", 60, 50, &[]), alloc("b", 40, 50, &[]));
        assert_eq!(check(&node(100, 100), [&a, &b]), Ok(()));
        assert_eq!(check(&node(99, 100), [&a, &b]), Err(Misfit::Resource("cpu")));
        assert_eq!(check(&node(100, 99), [&a, &b]), Err(Misfit::Resource("memory")));
    }

    #[test]
    fn a_port_is_held_per_address() {
        let n = node(1000, 1000);
        let a = alloc("a", 1, 1, &[(80, "10.0.0.1")]);
        assert_eq!(check(&n, [&a, &alloc("b", 1, 1, &[(80, "10.0.0.2")])]), Ok(()));
        let clash = check(&n, [&a, &alloc("b", 1, 1, &[(80, "10.0.0.1")])]).unwrap_err();
        assert_eq!(clash.to_string(), "port 80 on 10.0.0.1 is already taken by allocation a");
        assert!(check(&n, [&a, &alloc("b", 1, 1, &[(80, "")])]).is_err());
    }

    #[test]
    fn reserved_ports_are_taken() {
        let mut n = node(1000, 1000);
        n.reserved_resources.networks.reserved_host_ports = "22,8000-8002".to_owned();
        assert!(check(&n, [&alloc("a", 1, 1, &[(8001, "")])]).is_err());
        assert!(check(&n, [&alloc("a", 1, 1, &[(8003, "")])]).is_ok());
    }

    #[test]
    fn a_node_may_bound_its_allocations() {
        let mut n = node(1000, 1000);
        n.node_max_allocs = 1;
        assert!(check(&n, [&alloc("a", 1, 1, &[])]).is_ok());
        assert_eq!(check(&n, [&alloc("a", 1, 1, &[]), &alloc("b", 1, 1, &[])]), Err(Misfit::MaxAllocs(1)));
    }
}
