//! Whether allocations fit on a node. The scheduler asks while it plans; apply asks again before it commits.

mod devices;
mod usage;

pub(crate) use devices::are_there;
pub use devices::held_of;
pub use usage::Usage;

/// The cluster version from which on jobs get devices: older servers would apply a plan without asking who holds them.
pub const DEVICES_ARE_HELD: u32 = 5;

/// Why a set of allocations does not fit on a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A resource is used up: `cpu`, `memory` or `disk`.
    #[error("{0} exhausted")]
    Resource(&'static str),
    /// A host port is wanted twice.
    #[error("port {port} on {host_ip} is already taken by {holder}")]
    Port {
        /// The port.
        port: u16,
        /// The address on which it is wanted.
        host_ip: String,
        /// Who has it: `allocation ID`, or `the node's reserved ports`.
        holder: String,
    },
    /// Two hold the same device.
    #[error("device {device} {id:?} is already held by allocation {holder}")]
    Device {
        /// `vendor/type`.
        device: String,
        /// Which one of those.
        id: String,
        /// The first of its holders.
        holder: String,
    },
    /// The node takes no more allocations.
    #[error("node holds {0} allocations already, its maximum")]
    MaxAllocs(usize),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::{
        Allocation, Node,
        network::PortMapping,
        resources::{AllocatedResources, AllocatedTaskResources},
    };

    fn check<'a>(node: &Node, allocs: impl IntoIterator<Item = &'a Allocation>) -> Result<(), Misfit> {
        let mut usage = Usage::of_node(node);
        allocs.into_iter().for_each(|a| usage.add(a));
        usage.check(node)
    }

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
