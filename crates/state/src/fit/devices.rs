//! Which allocations hold which devices of a node.

use super::Misfit;
use floe_model::{
    AllocId, Allocation, Node,
    node::{NodeDevice, NodeDeviceResource},
    resources::AllocatedDeviceResource,
};
use imbl::OrdMap;
use std::sync::Arc;

/// One instance of a device, on whatever node. What its model is called does not matter: a new driver may call it otherwise while it is held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Instance {
    vendor: Box<str>,
    device_type: Box<str>,
    id: Box<str>,
}

impl Instance {
    fn of(held: &AllocatedDeviceResource, id: &str) -> Self {
        Self { vendor: held.vendor.as_str().into(), device_type: held.device_type.as_str().into(), id: id.into() }
    }
}

/// Who holds what, in order, so that equal holdings are equal. A clone costs a few pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    by_instance: OrdMap<Instance, Arc<[AllocId]>>,
    /// How many instances have more than one holder.
    shared: usize,
}

impl Holders {
    pub(super) fn add(&mut self, alloc: &Allocation) {
        for instance in instances(alloc) {
            let holders = self.by_instance.get(&instance).cloned().unwrap_or_default();
            self.shared += usize::from(holders.len() == 1);
            let at = holders.partition_point(|h| *h < alloc.id);
            let more = holders.iter().take(at).chain([&alloc.id]).chain(holders.iter().skip(at)).cloned().collect();
            self.by_instance.insert(instance, more);
        }
    }

    pub(super) fn remove(&mut self, alloc: &Allocation) {
        for instance in instances(alloc) {
            let Some(holders) = self.by_instance.get(&instance) else { continue };
            let Ok(at) = holders.binary_search(&alloc.id) else { continue };
            let rest: Arc<[AllocId]> = holders.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, h)| h.clone()).collect();
            self.shared -= usize::from(rest.len() == 1);
            if rest.is_empty() {
                self.by_instance.remove(&instance);
            } else {
                self.by_instance.insert(instance, rest);
            }
        }
    }

    pub(super) fn is_held(&self, group: &NodeDeviceResource, id: &str) -> bool {
        self.by_instance.contains_key(&Instance::of(&held_of(group), id))
    }

    /// An instance that two hold.
    pub(super) fn conflict(&self) -> Option<Misfit> {
        if self.shared == 0 {
            return None;
        }
        let shared = self.by_instance.iter().find(|(_, holders)| holders.len() > 1);
        shared.map(|(instance, holders)| Misfit::Device {
            device: format!("{}/{}", instance.vendor, instance.device_type),
            id: instance.id.to_string(),
            holder: holders.first().map(ToString::to_string).unwrap_or_default(),
        })
    }
}

fn instances(alloc: &Allocation) -> impl Iterator<Item = Instance> {
    let held = alloc.allocated_resources.tasks.values().flat_map(|t| &t.devices);
    held.flat_map(|d| d.device_ids.iter().map(|id| Instance::of(d, id)))
}

/// An allocation's word for a group of devices, without any of them.
pub fn held_of(group: &NodeDeviceResource) -> AllocatedDeviceResource {
    AllocatedDeviceResource {
        vendor: group.vendor.clone(),
        device_type: group.device_type.clone(),
        name: group.name.clone(),
        device_ids: Vec::new(),
    }
}

/// Whether the node has all devices that the allocation holds, and they are well. Asked of new allocations only: one that runs keeps what it has,
/// whatever became of that, until it ends.
pub(crate) fn are_there(alloc: &Allocation, node: &Node) -> bool {
    let well = |held: &AllocatedDeviceResource, id: &String| {
        let same = |g: &&NodeDeviceResource| (&g.vendor, &g.device_type, &g.name) == (&held.vendor, &held.device_type, &held.name);
        let is_well = |i: &NodeDevice| i.id == *id && i.healthy;
        node.node_resources.devices.iter().filter(same).any(|g| g.instances.iter().any(is_well))
    };
    let held = alloc.allocated_resources.tasks.values().flat_map(|t| &t.devices);
    held.flat_map(|d| d.device_ids.iter().map(move |id| (d, id))).all(|(d, id)| well(d, id))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn alloc(id: u8, devices: &[u8]) -> Allocation {
        let device = AllocatedDeviceResource {
            vendor: "v".to_owned(),
            device_type: "gpu".to_owned(),
            name: "X".to_owned(),
            device_ids: devices.iter().map(ToString::to_string).collect(),
        };
        let mut alloc = Allocation { id: id.to_string().into(), ..Allocation::default() };
        alloc.allocated_resources.tasks.entry("t".to_owned()).or_default().devices.push(device);
        alloc
    }

    #[test]
    fn a_second_holder_is_named() {
        let mut holders = Holders::default();
        holders.add(&alloc(2, &[7]));
        assert_eq!(holders.conflict(), None);
        holders.add(&alloc(1, &[6, 7]));
        assert_eq!(holders.conflict().unwrap().to_string(), "device v/gpu \"7\" is already held by allocation 1");
    }

    proptest! {
        #[test]
        fn what_was_removed_was_never_there(
            allocs in prop::collection::vec((0..4u8, prop::collection::vec(0..4u8, 0..4), any::<bool>()), 0..10),
        ) {
            let mut holders = Holders::default();
            allocs.iter().for_each(|(id, devices, _)| holders.add(&alloc(*id, devices)));
            allocs.iter().filter(|(.., stays)| !stays).for_each(|(id, devices, _)| holders.remove(&alloc(*id, devices)));
            let mut wanted = Holders::default();
            allocs.iter().rev().filter(|(.., stays)| *stays).for_each(|(id, devices, _)| wanted.add(&alloc(*id, devices)));
            prop_assert_eq!(&holders, &wanted);
            let mut held: Vec<u8> = allocs.iter().filter(|(.., stays)| *stays).flat_map(|(_, d, _)| d.clone()).collect();
            let all = held.len();
            held.sort_unstable();
            held.dedup();
            prop_assert_eq!(holders.conflict().is_some(), held.len() < all);
        }
    }
}
