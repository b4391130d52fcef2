//! Devices: which of a node's groups a task may have, and which instances it is given.
//!
//! Each ask is met from one group. Asks that mean fewer groups are served first; among the groups that an ask may have the one that its affinities
//! like best is taken, then the first. There is no search back: a group with asks that overlap may find no room where another order had found some.

use crate::feasible::condition::Condition;
use floe_model::{
    Node, TaskGroup,
    device::DeviceName,
    node::{Attribute, NodeDeviceResource},
    resources::{AllocatedDeviceResource, RequestedDevice},
};
use floe_state::fit::{Usage, held_of};

/// What stands for the ids of a group's instances.
const IDS: &str = "${device.ids}";

/// What the tasks of a group ask for, in the order in which it is served.
#[derive(Debug, Default)]
pub(crate) struct Asks<'a> {
    asks: Vec<Ask<'a>>,
    /// Some servers of the cluster do not know yet that devices are held.
    is_too_early: bool,
}

#[derive(Debug)]
struct Ask<'a> {
    task: &'a str,
    text: &'a str,
    name: Option<DeviceName<'a>>,
    count: usize,
    constraints: Vec<Condition<'a>>,
    affinities: Vec<(Condition<'a>, f64)>,
}

/// What is given, and how much it is liked.
#[derive(Debug, Default)]
pub(crate) struct Given<'a> {
    /// By task.
    pub(crate) devices: Vec<(&'a str, AllocatedDeviceResource)>,
    /// From -1 to 1; `None` when nothing liked or disliked it.
    pub(crate) affinity: Option<f64>,
}

impl<'a> Asks<'a> {
    pub(crate) fn new(group: &'a TaskGroup) -> Self {
        let of_task = |task: &'a floe_model::Task| {
            let devices = task.resources.iter().flat_map(|r| &r.devices);
            devices.map(|d| Ask::new(&task.name, d))
        };
        let mut asks: Vec<Ask<'a>> = group.tasks.iter().flat_map(of_task).collect();
        asks.sort_by_key(|ask| std::cmp::Reverse((ask.name.map_or(0, |n| n.parts()), ask.constraints.len(), ask.count)));
        Self { asks, is_too_early: false }
    }

    /// The cluster has servers that would not check who holds what.
    pub(crate) fn postpone(&mut self) {
        self.is_too_early = !self.asks.is_empty();
    }

    /// True when some ask prefers some devices.
    pub(crate) fn have_affinities(&self) -> bool {
        self.asks.iter().any(|a| !a.affinities.is_empty())
    }

    /// Why the node could not give the devices, if nobody held any; `None` when it could.
    pub(crate) fn obstacle(&self, node: &Node) -> Option<String> {
        if self.is_too_early {
            return Some("not supported yet: devices, before every server runs a version that has them".to_owned());
        }
        self.asks.iter().find_map(|ask| ask.obstacle(node))
    }

    /// Instances of `node` that nobody holds.
    ///
    /// # Errors
    /// Names the ask that finds none left.
    pub(crate) fn assign(&self, node: &Node, usage: &Usage) -> Result<Given<'a>, String> {
        let mut given = Given::default();
        let (mut liked, mut weights) = (0.0, 0.0);
        for ask in &self.asks {
            let best = ask
                .groups(node)
                .filter_map(|group| Some((group, ask.free(group, usage, &given.devices)?, ask.liking(group))))
                // The first of equals.
                .reduce(|best, next| if next.2 > best.2 { next } else { best });
            let Some((group, ids, liking)) = best else { return Err(format!("device {}", ask.text)) };
            liked += liking;
            weights += ask.affinities.iter().map(|(_, w)| w.abs()).sum::<f64>();
            let device_ids = ids.into_iter().map(str::to_owned).collect();
            given.devices.push((ask.task, AllocatedDeviceResource { device_ids, ..held_of(group) }));
        }
        given.affinity = (liked != 0.0).then(|| liked / weights);
        Ok(given)
    }
}

impl<'a> Ask<'a> {
    fn new(task: &'a str, device: &'a RequestedDevice) -> Self {
        let RequestedDevice { name, count, constraints, affinities } = device;
        Self {
            task,
            text: name,
            name: DeviceName::parse(name),
            count: usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX),
            constraints: constraints.iter().filter_map(Condition::of_constraint).collect(),
            affinities: affinities.iter().map(|a| (Condition::of_affinity(a), f64::from(a.weight.unwrap_or_default()))).collect(),
        }
    }

    /// The groups that may meet it, whoever holds them.
    fn groups<'n>(&self, node: &'n Node) -> impl Iterator<Item = &'n NodeDeviceResource> {
        let named = node.node_resources.devices.iter().filter(|g| self.name.is_some_and(|name| name.matches(g)));
        named.filter(|g| self.constraints.iter().all(|c| c.holds_of(|target| resolve(target, g, None))))
    }

    fn obstacle(&self, node: &Node) -> Option<String> {
        let well = |group: &NodeDeviceResource| group.instances.iter().filter(|i| i.healthy && self.may_be(group, &i.id)).count();
        if self.groups(node).any(|group| well(group) >= self.count) {
            return None;
        }
        Some(match self.count {
            1 => format!("missing device {:?}", self.text),
            n => format!("missing {n} of device {:?}", self.text),
        })
    }

    /// As many instances as are wanted, that are well and that nobody holds; `None` when there are fewer.
    fn free<'n>(&self, group: &'n NodeDeviceResource, usage: &Usage, given: &[(&str, AllocatedDeviceResource)]) -> Option<Vec<&'n str>> {
        let same = |d: &AllocatedDeviceResource| (&d.vendor, &d.device_type) == (&group.vendor, &group.device_type);
        let is_given = |id: &String| given.iter().any(|(_, d)| same(d) && d.device_ids.contains(id));
        let free = group
            .instances
            .iter()
            .filter(|i| i.healthy && self.may_be(group, &i.id) && !usage.holds_device(group, &i.id) && !is_given(&i.id));
        let ids: Vec<&str> = free.map(|i| i.id.as_str()).take(self.count).collect();
        (ids.len() == self.count).then_some(ids)
    }

    /// Whether constraints on ids let it be this one.
    fn may_be(&self, group: &NodeDeviceResource, id: &str) -> bool {
        let on_ids = self.constraints.iter().filter(|c| c.speaks_of(IDS));
        on_ids.into_iter().all(|c| c.allows_one(IDS, |target| resolve(target, group, Some(id))))
    }

    fn liking(&self, group: &NodeDeviceResource) -> f64 {
        let liked = self.affinities.iter().filter(|(c, _)| c.holds_of(|target| resolve(target, group, None)));
        liked.map(|(_, weight)| weight).sum()
    }
}

/// What a target stands for: in a group, or in one of its instances.
fn resolve(target: &str, group: &NodeDeviceResource, id: Option<&str>) -> Option<String> {
    let Some(name) = target.strip_prefix("${device.").and_then(|t| t.strip_suffix('}')) else {
        // Something else of the node is nothing of a device.
        return (!target.starts_with("${")).then(|| target.to_owned());
    };
    match name {
        "model" => Some(group.name.clone()),
        "vendor" => Some(group.vendor.clone()),
        "type" => Some(group.device_type.clone()),
        "ids" => Some(id.map_or_else(|| group.instances.iter().map(|i| i.id.as_str()).collect::<Vec<_>>().join(","), str::to_owned)),
        _ => name.strip_prefix("attr.").and_then(|key| group.attributes.get(key)).and_then(words),
    }
}

/// An attribute as text, with its unit.
fn words(attribute: &Attribute) -> Option<String> {
    let Attribute { float_val, int_val, string_val, bool_val, unit } = attribute;
    let with_unit = |n: String| if unit.is_empty() { n } else { format!("{n} {unit}") };
    let number = int_val.map(|n| n.to_string()).or_else(|| float_val.map(|n| n.to_string())).map(with_unit);
    number.or_else(|| string_val.clone()).or_else(|| bool_val.map(|b| b.to_string()))
}

#[cfg(test)]
mod tests;
