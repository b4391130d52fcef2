//! Whether a group may run on a node at all, whatever runs there already; and why not.
//!
//! Order of the checks: constraints of the job, drivers, constraints of the group and its tasks, network, volumes, devices.
//! The first that fails gives the reason.

pub(crate) mod condition;
pub(crate) mod facts;
pub(crate) mod target;
pub(crate) mod units;
pub(crate) mod version;

use crate::devices::Asks;
use condition::Condition;
use facts::{Facts, Place, Question};
use floe_model::{
    Job, Node, TaskGroup,
    ids::{ALL_NODE_POOL, DEFAULT_NODE_POOL},
    network::{DEFAULT_HOST_NETWORK, NetworkMode, NetworkResource},
};

/// The attribute by which a client says that it can connect allocations to its bridge: `1` or `true`.
pub const BRIDGE_ATTRIBUTE: &str = "network.bridge";

/// The pool that a node is in.
pub(crate) fn pool_of(node: &Node) -> &str {
    if node.node_pool.is_empty() { DEFAULT_NODE_POOL } else { &node.node_pool }
}

/// Whether `job` may use nodes of this datacenter.
pub(crate) fn covers_datacenter(job: &Job, datacenter: &str) -> bool {
    job.datacenters.is_empty() || job.datacenters.iter().any(|pattern| glob(pattern, datacenter))
}

/// Whether `job` may use nodes of this pool.
pub(crate) fn covers_pool(job: &Job, pool: &str) -> bool {
    match job.node_pool.as_str() {
        ALL_NODE_POOL => true,
        "" => pool == DEFAULT_NODE_POOL,
        wanted => pool == wanted,
    }
}

/// Matches `text` against a pattern in which `*` stands for any run of characters. Linear in the product of the lengths at worst.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = text.find(piece) else { return false };
        text = text.get(at + piece.len()..).unwrap_or_default();
    }
    text.ends_with(tail)
}

/// The requirements of one group, compiled. Each with the place of its answers among the facts.
#[derive(Debug)]
pub(crate) struct Requirements<'a> {
    job: Vec<(Condition<'a>, Place)>,
    group: Vec<(Condition<'a>, Place)>,
    drivers: Vec<(&'a str, Place)>,
    network: Option<(&'a NetworkResource, Place)>,
    pub(crate) devices: Asks<'a>,
    spec: &'a TaskGroup,
}

impl<'a> Requirements<'a> {
    pub(crate) fn new(job: &'a Job, group: &'a TaskGroup, facts: &mut Facts) -> Self {
        let mut conditions = |list: &'a [_]| -> Vec<_> {
            let compiled = list.iter().filter_map(Condition::of_constraint);
            compiled.map(|c| (facts.place(c.question()), c)).map(|(place, c)| (c, place)).collect()
        };
        let of_job = conditions(&job.constraints);
        let mut of_group = conditions(&group.constraints);
        let mut drivers: Vec<&str> = Vec::new();
        for task in &group.tasks {
            of_group.extend(conditions(&task.constraints));
            if !drivers.contains(&task.driver.as_str()) {
                drivers.push(&task.driver);
            }
        }
        let drivers = drivers.into_iter().map(|d| (d, facts.place(Question::Driver(d.to_owned())))).collect();
        let network = group.network().map(|n| (n, facts.place(Question::Network(n.mode.clone()))));
        Self { job: of_job, group: of_group, drivers, network, devices: Asks::new(group), spec: group }
    }

    /// Why the group cannot run on `node`, which has that seat among the facts; `None` when it can.
    pub(crate) fn obstacle(&self, node: &Node, seat: Option<usize>, facts: &mut Facts) -> Option<String> {
        if let Some(why) = failing(&self.job, node, seat, facts) {
            return Some(why);
        }
        if !self.drivers.iter().all(|(d, place)| facts.ask(*place, seat, || has_driver(node, d))) {
            return Some("missing drivers".to_owned());
        }
        if let Some(why) = failing(&self.group, node, seat, facts) {
            return Some(why);
        }
        if let Some((network, _)) = self.network.filter(|(n, place)| !facts.ask(*place, seat, || offers_network(n, node))) {
            return Some(format!("missing network mode {:?}", network.mode));
        }
        let host_network = self.network.and_then(|(n, _)| host_network_obstacle(n, node));
        let devices = || self.devices.obstacle(node);
        host_network.or_else(|| volume_obstacle(self.spec, node)).or_else(devices).or_else(|| unsupported(self.spec))
    }
}

/// The first condition that does not hold, in words.
fn failing(list: &[(Condition<'_>, Place)], node: &Node, seat: Option<usize>, facts: &mut Facts) -> Option<String> {
    list.iter().find(|(c, place)| !facts.ask(*place, seat, || c.holds(node))).map(|(c, _)| c.to_string())
}

/// True when the node has the driver and it works.
fn has_driver(node: &Node, driver: &str) -> bool {
    match node.drivers.get(driver) {
        Some(info) => info.detected && info.healthy,
        None => node.attributes.get(&format!("driver.{driver}")).is_some_and(|v| is_true(v)),
    }
}

fn is_true(word: &str) -> bool {
    matches!(word, "1" | "true")
}

fn offers_network(network: &NetworkResource, node: &Node) -> bool {
    let offers = |mode: &str| node.node_resources.networks.iter().any(|n| n.mode == mode);
    match network.network_mode() {
        NetworkMode::Host | NetworkMode::None => true,
        NetworkMode::Bridge => offers("bridge") || node.attributes.get(BRIDGE_ATTRIBUTE).is_some_and(|v| is_true(v)),
        NetworkMode::Cni(_) | NetworkMode::Unknown(_) => offers(&network.mode),
    }
}

fn host_network_obstacle(network: &NetworkResource, node: &Node) -> Option<String> {
    let named = network.ports().map(|p| p.host_network.as_str()).filter(|n| !n.is_empty() && *n != DEFAULT_HOST_NETWORK);
    named.into_iter().find(|n| host_network_ip(node, n).is_none()).map(|n| format!("missing host network {n:?}"))
}

/// The node's address in one of its named networks.
pub(crate) fn host_network_ip<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    let network = node.host_networks.get(name)?;
    let on_device = |device: &str| node.node_resources.networks.iter().find(|n| n.device == device && !n.ip.is_empty());
    on_device(&network.interface).map(|n| n.ip.as_str())
}

fn volume_obstacle(group: &TaskGroup, node: &Node) -> Option<String> {
    let missing = |v: &&floe_model::volume::VolumeRequest| {
        v.volume_type == "host" && node.host_volumes.get(&v.source).is_none_or(|found| found.read_only && !v.read_only)
    };
    group.volumes.values().find(missing).map(|v| format!("missing host volume {:?}", v.source))
}

/// What the scheduler does not place yet. Such jobs are refused when they are registered; this keeps one that came in all the same
/// (from a newer server) from being placed as if it had not asked.
fn unsupported(group: &TaskGroup) -> Option<String> {
    if group.volumes.values().any(|v| v.volume_type != "host") {
        return Some("not supported yet: volumes other than host volumes".to_owned());
    }
    let mut resources = group.tasks.iter().filter_map(|t| t.resources.as_ref());
    resources.any(|r| r.cores.is_some_and(|n| n > 0)).then(|| "not supported yet: reserved cores".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use floe_model::{
        Task,
        group::Constraint,
        network::Port,
        node::{DriverInfo, HostNetworkInfo, HostVolumeInfo},
        resources::Resources,
        volume::VolumeRequest,
    };

    fn node() -> Node {
        let mut n = Node { datacenter: "dc1".to_owned(), ..Node::default() };
        n.drivers.insert("exec".to_owned(), DriverInfo { detected: true, healthy: true, ..DriverInfo::default() });
        n.attributes.insert("kernel.name".to_owned(), "linux".to_owned());
        n
    }

    fn job() -> Job {
        let task = Task { name: "t".to_owned(), driver: "exec".to_owned(), ..Task::default() };
        let group = TaskGroup { name: "g".to_owned(), tasks: vec![task], ..TaskGroup::default() };
        Job { task_groups: vec![group], ..Job::default() }
    }

    fn obstacle(job: &Job, node: &Node) -> Option<String> {
        let mut facts = Facts::new(1);
        let requirements = Requirements::new(job, &job.task_groups[0], &mut facts);
        let looked_up = requirements.obstacle(node, Some(0), &mut facts);
        assert_eq!(requirements.obstacle(node, Some(0), &mut facts), looked_up, "what is remembered is what was looked up");
        looked_up
    }

    fn constraint(l: &str, r: &str) -> Constraint {
        Constraint { l_target: l.to_owned(), r_target: r.to_owned(), operand: "=".to_owned() }
    }

    #[test]
    fn globs_match_whole_names() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("*", "dc1", true),
            ("dc1", "dc1", true),
            ("dc1", "dc11", false),
            ("dc*", "dc1", true),
            ("dc*", "edc1", false),
            ("*-eu-*", "a-eu-1", true),
            ("*-eu-*", "a-us-1", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(glob(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_failing_check_is_named() {
        let mut j = job();
        assert_eq!(obstacle(&j, &node()), None);
        j.task_groups[0].tasks[0].constraints.push(constraint("${meta.a}", "1"));
        assert_eq!(obstacle(&j, &node()).unwrap(), "${meta.a} = 1");
        j.task_groups[0].tasks[0].driver = "docker".to_owned();
        assert_eq!(obstacle(&j, &node()).unwrap(), "missing drivers");
        j.constraints.push(constraint("${attr.kernel.name}", "windows"));
        assert_eq!(obstacle(&j, &node()).unwrap(), "${attr.kernel.name} = windows");
    }

    #[test]
    fn a_driver_counts_when_it_works_and_an_attribute_stands_in_for_it() {
        let mut n = node();
        n.drivers.get_mut("exec").unwrap().healthy = false;
        assert_eq!(obstacle(&job(), &n).unwrap(), "missing drivers");
        n.drivers.clear();
        assert_eq!(obstacle(&job(), &n).unwrap(), "missing drivers");
        n.attributes.insert("driver.exec".to_owned(), "1".to_owned());
        assert_eq!(obstacle(&job(), &n), None);
    }

    #[test]
    fn a_network_mode_must_be_there() {
        let mut j = job();
        let mut n = node();
        for (mode, wanted) in [("host", None), ("none", None), ("", None), ("bridge", Some("missing network mode \"bridge\""))] {
            j.task_groups[0].networks = vec![NetworkResource { mode: mode.to_owned(), ..NetworkResource::default() }];
            assert_eq!(obstacle(&j, &n).as_deref(), wanted, "{mode}");
        }
        n.attributes.insert(BRIDGE_ATTRIBUTE.to_owned(), "1".to_owned());
        assert_eq!(obstacle(&j, &n), None);
        j.task_groups[0].networks[0].mode = "cni/mesh".to_owned();
        assert_eq!(obstacle(&j, &n).unwrap(), "missing network mode \"cni/mesh\"");
        n.node_resources.networks.push(NetworkResource { mode: "cni/mesh".to_owned(), ..NetworkResource::default() });
        assert_eq!(obstacle(&j, &n), None);
    }

    #[test]
    fn a_host_network_must_have_an_address() {
        let mut j = job();
        let port = Port { label: "p".to_owned(), host_network: "public".to_owned(), ..Port::default() };
        j.task_groups[0].networks = vec![NetworkResource { dynamic_ports: vec![port], ..NetworkResource::default() }];
        let mut n = node();
        assert_eq!(obstacle(&j, &n).unwrap(), "missing host network \"public\"");
        let info = HostNetworkInfo { name: "public".to_owned(), interface: "eth1".to_owned(), ..HostNetworkInfo::default() };
        n.host_networks.insert("public".to_owned(), info);
        let network = NetworkResource { device: "eth1".to_owned(), ip: "203.0.113.1".to_owned(), ..NetworkResource::default() };
        n.node_resources.networks.push(network);
        assert_eq!(obstacle(&j, &n), None);
    }

    #[test]
    fn a_host_volume_must_be_there_and_writable_where_it_is_written() {
        let mut j = job();
        let mut n = node();
        let request = VolumeRequest { volume_type: "host".to_owned(), source: "data".to_owned(), ..VolumeRequest::default() };
        j.task_groups[0].volumes.insert("v".to_owned(), request);
        assert_eq!(obstacle(&j, &n).unwrap(), "missing host volume \"data\"");
        n.host_volumes.insert("data".to_owned(), HostVolumeInfo { read_only: true, ..HostVolumeInfo::default() });
        assert!(obstacle(&j, &n).is_some());
        j.task_groups[0].volumes.get_mut("v").unwrap().read_only = true;
        assert_eq!(obstacle(&j, &n), None);
    }

    #[test]
    fn what_is_not_placed_yet_is_said() {
        let mut j = job();
        j.task_groups[0].tasks[0].resources = Some(Resources { cores: Some(1), ..Resources::default() });
        assert_eq!(obstacle(&j, &node()).unwrap(), "not supported yet: reserved cores");
    }
}
