//! What is used of a node. Sums that can be taken back exactly, so that the usage of every node is kept instead of counted.

use super::{Misfit, devices::Holders};
use floe_model::{
    AllocId, Allocation, Node,
    network::PortMapping,
    node::{NodeDeviceResource, parse_port_list},
    resources::Amounts,
};
use imbl::OrdMap;
use std::sync::Arc;

/// Who holds the ports that a node keeps for itself.
const RESERVED: &str = "the node's reserved ports";

/// What is used of a node: amounts, host ports and devices, with who uses them. A clone costs a few pointers.
///
/// It depends only on what was added and not removed again, not on the order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    sum: Sum,
    count: usize,
    /// Host ports that allocations hold; the users of one port are in order.
    ports: OrdMap<u16, Arc<[PortUse]>>,
    /// The ports that the node keeps for itself: first and last of each run, in order.
    reserved: Arc<[(u16, u16)]>,
    /// How many pairs of users want the same port on the same address; the node's own reservation counts as a user.
    clashes: usize,
    devices: Holders,
}

/// Sums that neither overflow nor stop at a largest number: 2^64 allocations at the least would be needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    cpu_mhz: i128,
    memory_mb: i128,
    disk_mb: i128,
}

impl Sum {
    fn plus(self, other: Amounts, sign: i128) -> Sum {
        Sum {
            cpu_mhz: self.cpu_mhz + sign * i128::from(other.cpu_mhz),
            memory_mb: self.memory_mb + sign * i128::from(other.memory_mb),
            disk_mb: self.disk_mb + sign * i128::from(other.disk_mb),
        }
    }
}

/// One user of a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PortUse {
    /// Empty: all addresses.
    host_ip: Box<str>,
    holder: AllocId,
}

impl PortUse {
    fn of(mapping: &PortMapping, holder: &AllocId) -> Self {
        Self { host_ip: mapping.host_ip.as_str().into(), holder: holder.clone() }
    }
    fn clashes_with(&self, host_ip: &str) -> bool {
        self.host_ip.is_empty() || host_ip.is_empty() || &*self.host_ip == host_ip
    }
}

impl Usage {
    /// The usage of a node that runs nothing: the ports that it keeps for itself.
    pub fn of_node(node: &Node) -> Usage {
        let mut usage = Usage::default();
        usage.reserve(node);
        usage
    }

    /// Sums over all allocations.
    pub fn amounts(&self) -> Amounts {
        // Far beyond what any node has, so the end of the range says the same as the number.
        let clamp = |n: i128| i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX });
        Amounts { cpu_mhz: clamp(self.sum.cpu_mhz), memory_mb: clamp(self.sum.memory_mb), disk_mb: clamp(self.sum.disk_mb) }
    }

    /// How many allocations.
    pub fn count(&self) -> usize {
        self.count
    }

    /// True when nothing is used or kept back.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 && self.reserved.is_empty()
    }

    /// Takes over the ports that the node keeps for itself now.
    pub(crate) fn reserve(&mut self, node: &Node) {
        self.clashes -= self.reserved_clashes();
        self.reserved = runs(parse_port_list(&node.reserved_resources.networks.reserved_host_ports).unwrap_or_default());
        self.clashes += self.reserved_clashes();
    }

    /// The node is gone, and with it what it kept for itself.
    pub(crate) fn unreserve(&mut self) {
        self.clashes -= self.reserved_clashes();
        self.reserved = Arc::default();
    }

    fn reserved_clashes(&self) -> usize {
        if self.reserved.is_empty() {
            return 0;
        }
        self.ports.iter().filter(|(port, _)| self.is_reserved(**port)).map(|(_, users)| users.len()).sum()
    }

    fn is_reserved(&self, port: u16) -> bool {
        let at = self.reserved.partition_point(|(_, last)| *last < port);
        self.reserved.get(at).is_some_and(|(first, _)| *first <= port)
    }

    /// Adds an allocation.
    pub fn add(&mut self, alloc: &Allocation) {
        let held = &alloc.allocated_resources;
        self.sum = self.sum.plus(held.amounts(), 1);
        self.count += 1;
        for mapping in &held.shared.ports {
            self.add_port(mapping, &alloc.id);
        }
        self.devices.add(alloc);
    }

    /// Takes an allocation back that was added before as it is now.
    pub fn remove(&mut self, alloc: &Allocation) {
        let held = &alloc.allocated_resources;
        self.sum = self.sum.plus(held.amounts(), -1);
        self.count = self.count.saturating_sub(1);
        for mapping in &held.shared.ports {
            self.remove_port(mapping, &alloc.id);
        }
        self.devices.remove(alloc);
    }

    fn add_port(&mut self, mapping: &PortMapping, holder: &AllocId) {
        let Ok(port) = u16::try_from(mapping.value) else { return };
        let new = PortUse::of(mapping, holder);
        self.clashes += usize::from(self.is_reserved(port));
        let users = match self.ports.get(&port) {
            None => Arc::from([new]),
            Some(users) => {
                self.clashes += users.iter().filter(|u| u.clashes_with(&new.host_ip)).count();
                let at = users.partition_point(|u| *u < new);
                users.iter().take(at).cloned().chain([new]).chain(users.iter().skip(at).cloned()).collect()
            }
        };
        self.ports.insert(port, users);
    }

    fn remove_port(&mut self, mapping: &PortMapping, holder: &AllocId) {
        let Ok(port) = u16::try_from(mapping.value) else { return };
        let old = PortUse::of(mapping, holder);
        let Some(users) = self.ports.get(&port) else { return };
        let Ok(at) = users.binary_search(&old) else { return };
        let rest: Arc<[PortUse]> = users.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, u)| u.clone()).collect();
        self.clashes -= usize::from(self.is_reserved(port)) + rest.iter().filter(|u| u.clashes_with(&old.host_ip)).count();
        if rest.is_empty() {
            self.ports.remove(&port);
        } else {
            self.ports.insert(port, rest);
        }
    }

    /// Who has `port` on `host_ip`; an empty address stands for all addresses.
    pub fn holder_of(&self, port: u16, host_ip: &str) -> Option<&str> {
        if self.is_reserved(port) {
            return Some(RESERVED);
        }
        self.ports.get(&port)?.iter().find(|u| u.clashes_with(host_ip)).map(|u| u.holder.as_str())
    }

    /// True when an allocation holds this instance of the group.
    pub fn holds_device(&self, group: &NodeDeviceResource, id: &str) -> bool {
        self.devices.is_held(group, id)
    }

    /// A port or device that two of the users hold: the node changed its addresses or what it keeps for itself. Nothing more fits until one is gone.
    pub fn conflict(&self) -> Option<Misfit> {
        if self.clashes == 0 {
            return self.devices.conflict();
        }
        self.ports.iter().find_map(|(port, users)| {
            let misfit = |u: &PortUse, holder: String| Misfit::Port { port: *port, host_ip: (*u.host_ip).to_owned(), holder };
            if self.is_reserved(*port) {
                return users.first().map(|u| misfit(u, RESERVED.to_owned()));
            }
            let first_of = |i: usize, u: &PortUse| users.iter().take(i).find(|first| first.clashes_with(&u.host_ip));
            let second = |(i, u): (usize, &PortUse)| first_of(i, u).map(|first| misfit(u, format!("allocation {}", first.holder)));
            users.iter().enumerate().find_map(second)
        })
    }

    /// Whether what is used is within what the node has.
    ///
    /// # Errors
    /// A port or device that is held twice, or the first dimension that is exceeded.
    pub fn check(&self, node: &Node) -> Result<(), Misfit> {
        if let Some(conflict) = self.conflict() {
            return Err(conflict);
        }
        if let Some(dimension) = self.amounts().exceeds(node.capacity()) {
            return Err(Misfit::Resource(dimension));
        }
        match usize::try_from(node.node_max_allocs) {
            Ok(max) if max > 0 && self.count > max => Err(Misfit::MaxAllocs(max)),
            _ => Ok(()),
        }
    }
}

/// Ports as runs: first and last of each.
fn runs(mut ports: Vec<u16>) -> Arc<[(u16, u16)]> {
    ports.sort_unstable();
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match runs.last_mut() {
            Some((_, last)) if u32::from(port) <= u32::from(*last) + 1 => *last = port,
            _ => runs.push((port, port)),
        }
    }
    runs.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::resources::{AllocatedResources, AllocatedTaskResources};
    use proptest::prelude::*;

    fn alloc(id: u8, cpu: i64, ports: &[(u16, u8)]) -> Allocation {
        let mut task = AllocatedTaskResources::default();
        task.cpu.cpu_shares = cpu;
        let mut held = AllocatedResources { tasks: [("t".to_owned(), task)].into(), ..AllocatedResources::default() };
        let address = |n: u8| if n == 0 { String::new() } else { format!("10.0.0.{n}") };
        let mapping = |(value, ip): &(u16, u8)| PortMapping { value: i64::from(*value), host_ip: address(*ip), ..PortMapping::default() };
        held.shared.ports = ports.iter().map(mapping).collect();
        Allocation { id: id.to_string().into(), allocated_resources: held, ..Allocation::default() }
    }

    fn node(reserved: &str) -> Node {
        let mut n = Node::default();
        n.reserved_resources.networks.reserved_host_ports = reserved.to_owned();
        n
    }

    #[test]
    fn runs_join_neighbours() {
        let reserved = |list: &str| Usage::of_node(&node(list)).reserved.to_vec();
        assert_eq!(reserved("8002,8000-8001,22,22,65534-65535"), [(22, 22), (8000, 8002), (65534, 65535)]);
        assert_eq!(reserved("nonsense"), []);
        let usage = Usage::of_node(&node("22,8000-8002"));
        let taken: Vec<u16> = (0..=u16::MAX).filter(|p| usage.holder_of(*p, "10.0.0.1").is_some()).collect();
        assert_eq!(taken, [22, 8000, 8001, 8002]);
    }

    #[test]
    fn sums_go_beyond_the_largest_number_and_back() {
        let (a, b) = (alloc(1, i64::MAX, &[]), alloc(2, 5, &[]));
        let mut usage = Usage::default();
        for each in [&a, &b, &a] {
            usage.add(each);
        }
        assert_eq!(usage.amounts().cpu_mhz, i64::MAX);
        usage.remove(&a);
        usage.remove(&a);
        assert_eq!((usage.amounts().cpu_mhz, usage.count()), (5, 1));
    }

    #[test]
    fn what_a_node_keeps_for_itself_later_clashes_with_who_is_there() {
        let mut usage = Usage::default();
        usage.add(&alloc(1, 1, &[(80, 1), (81, 1)]));
        assert_eq!(usage.conflict(), None);
        usage.reserve(&node("80"));
        assert_eq!(usage.conflict().unwrap().to_string(), "port 80 on 10.0.0.1 is already taken by the node's reserved ports");
        usage.reserve(&node("82"));
        assert_eq!(usage.conflict(), None);
        usage.unreserve();
        assert_eq!(usage.holder_of(82, ""), None);
    }

    proptest! {
        #[test]
        fn what_was_removed_was_never_there(
            allocs in prop::collection::vec((any::<u8>(), any::<i64>(), prop::collection::vec((1..5u16, 0..3u8), 0..3), any::<bool>()), 0..12),
            reserved in prop::sample::select(vec!["", "2", "1-3", "4,9"]),
        ) {
            let all: Vec<(Allocation, bool)> = allocs.iter().map(|(id, cpu, ports, stays)| (alloc(*id, *cpu, ports), *stays)).collect();
            let mut usage = Usage::of_node(&node("3"));
            all.iter().for_each(|(a, _)| usage.add(a));
            usage.reserve(&node(reserved));
            all.iter().filter(|(_, stays)| !stays).for_each(|(a, _)| usage.remove(a));
            let mut wanted = Usage::of_node(&node(reserved));
            // In the other order: it must not matter.
            all.iter().rev().filter(|(_, stays)| *stays).for_each(|(a, _)| wanted.add(a));
            prop_assert_eq!(&usage, &wanted);
            // A clash is a port that one of two cannot have.
            let held: Vec<(i64, &str)> = all.iter().filter(|(_, stays)| *stays)
                .flat_map(|(a, _)| a.allocated_resources.shared.ports.iter().map(|p| (p.value, p.host_ip.as_str()))).collect();
            let same = |(p, ip): &(i64, &str), (q, jp): &(i64, &str)| p == q && (ip.is_empty() || jp.is_empty() || ip == jp);
            let twice = held.iter().enumerate().any(|(i, a)| held.iter().skip(i + 1).any(|b| same(a, b)));
            let kept = held.iter().any(|(p, _)| wanted.is_reserved(u16::try_from(*p).unwrap()));
            prop_assert_eq!(usage.conflict().is_some(), twice || kept);
        }
    }
}
