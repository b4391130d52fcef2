//! Which instances are given for which asks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use floe_model::{
    Allocation, Task,
    group::{Affinity, Constraint},
    node::NodeDevice,
    resources::Resources,
};

fn group(name: &str, memory: i64, ids: &[&str]) -> NodeDeviceResource {
    let instance = |id: &&str| NodeDevice { id: (*id).to_owned(), healthy: !id.starts_with("ill"), ..NodeDevice::default() };
    let memory = Attribute { int_val: Some(memory), unit: "GiB".to_owned(), ..Attribute::default() };
    NodeDeviceResource {
        vendor: "nvidia".to_owned(),
        device_type: "gpu".to_owned(),
        name: name.to_owned(),
        instances: ids.iter().map(instance).collect(),
        attributes: [("memory".to_owned(), memory)].into(),
    }
}

fn node() -> Node {
    let mut node = Node::default();
    node.node_resources.devices = vec![group("A100", 40, &["a0", "a1", "ill"]), group("H100", 80, &["h0", "h1"])];
    node
}

fn ask(name: &str, count: u64) -> RequestedDevice {
    RequestedDevice { name: name.to_owned(), count: Some(count), ..RequestedDevice::default() }
}

fn constrained(mut ask: RequestedDevice, l: &str, operand: &str, r: &str) -> RequestedDevice {
    ask.constraints.push(Constraint { l_target: l.to_owned(), r_target: r.to_owned(), operand: operand.to_owned() });
    ask
}

fn tasks(asks: &[RequestedDevice]) -> TaskGroup {
    let task = |(i, ask): (usize, &RequestedDevice)| Task {
        name: format!("t{i}"),
        resources: Some(Resources { devices: vec![ask.clone()], ..Resources::default() }),
        ..Task::default()
    };
    TaskGroup { tasks: asks.iter().enumerate().map(task).collect(), ..TaskGroup::default() }
}

/// The ids that are given, by task.
fn given(asks: &[RequestedDevice], usage: &Usage) -> Result<Vec<(String, Vec<String>)>, String> {
    let group = tasks(asks);
    let asks = Asks::new(&group);
    let mut given: Vec<_> = asks.assign(&node(), usage)?.devices.into_iter().map(|(task, d)| (task.to_owned(), d.device_ids)).collect();
    given.sort();
    Ok(given)
}

fn ids(asks: &[RequestedDevice]) -> Vec<String> {
    given(asks, &Usage::default()).unwrap().into_iter().flat_map(|(_, ids)| ids).collect()
}

fn obstacle(ask: &RequestedDevice) -> Option<String> {
    let group = tasks(std::slice::from_ref(ask));
    Asks::new(&group).obstacle(&node())
}

#[test]
fn what_is_named_is_given_from_one_group() {
    assert_eq!(ids(&[ask("gpu", 2)]), ["a0", "a1"]);
    assert_eq!(ids(&[ask("nvidia.com/gpu/H100", 2)]), ["h0", "h1"]);
    assert_eq!(obstacle(&ask("gpu", 3)).unwrap(), "missing 3 of device \"gpu\"", "five in two groups, one of them ill");
    assert_eq!(obstacle(&ask("amd/gpu", 1)).unwrap(), "missing device \"amd/gpu\"");
    assert_eq!(obstacle(&ask("gpu", 2)), None);
}

#[test]
fn who_may_have_less_is_served_first() {
    assert_eq!(ids(&[ask("gpu", 2), ask("nvidia/gpu/A100", 1)]), ["h0", "h1", "a0"]);
    let both = [ask("gpu", 1), constrained(ask("gpu", 1), "${device.model}", "=", "A100"), ask("gpu", 1)];
    assert_eq!(ids(&both), ["a1", "a0", "h0"]);
}

#[test]
fn what_is_held_is_not_given() {
    let mut usage = Usage::default();
    let mut alloc = Allocation { id: "x".into(), ..Allocation::default() };
    let device = AllocatedDeviceResource { device_ids: vec!["a0".to_owned()], ..held_of(&node().node_resources.devices[0]) };
    alloc.allocated_resources.tasks.entry("t".to_owned()).or_default().devices = vec![device];
    usage.add(&alloc);
    assert_eq!(given(&[ask("gpu", 1)], &usage).unwrap()[0].1, ["a1"]);
    assert_eq!(given(&[ask("gpu", 2)], &usage).unwrap()[0].1, ["h0", "h1"]);
    assert_eq!(given(&[ask("nvidia/gpu/A100", 2)], &usage), Err("device nvidia/gpu/A100".to_owned()));
    usage.remove(&alloc);
    assert_eq!(usage, Usage::default());
}

#[test]
fn constraints_speak_of_attributes_with_their_units() {
    let with = |l, operand, r| constrained(ask("gpu", 1), l, operand, r);
    assert_eq!(ids(&[with("${device.attr.memory}", ">=", "50000 MiB")]), ["h0"]);
    assert_eq!(ids(&[with("${device.attr.memory}", "=", "40 GiB")]), ["a0"]);
    assert_eq!(ids(&[with("${device.model}", "regexp", "^H")]), ["h0"]);
    assert_eq!(obstacle(&with("${device.vendor}", "!=", "nvidia")).unwrap(), "missing device \"gpu\"");
    assert_eq!(obstacle(&with("${device.attr.power}", "is_set", "")).unwrap(), "missing device \"gpu\"");
    assert_eq!(ids(&[with("${device.attr.power}", "is_not_set", "")]), ["a0"]);
    assert!(obstacle(&with("${attr.kernel.name}", "is_set", "")).is_some(), "a device is no node");
}

#[test]
fn constraints_on_ids_choose_instances() {
    let with = |operand, r| constrained(ask("gpu", 1), "${device.ids}", operand, r);
    assert_eq!(ids(&[with("set_contains", "h1")]), ["h1"]);
    assert_eq!(ids(&[with("set_contains_any", "a1,h1")]), ["a1"]);
    assert!(obstacle(&with("set_contains", "ill")).is_some(), "it is not well");
    assert!(obstacle(&with("set_contains", "a0,h0")).is_some(), "no group has both");
}

#[test]
fn what_is_liked_best_is_taken() {
    let affinity = |r: &str, weight| Affinity {
        l_target: "${device.model}".to_owned(),
        r_target: r.to_owned(),
        operand: "=".to_owned(),
        weight: Some(weight),
    };
    let mut wants = ask("gpu", 1);
    wants.affinities = vec![affinity("H100", 75), affinity("A100", 25)];
    assert_eq!(ids(std::slice::from_ref(&wants)), ["h0"]);
    let liking = |wants: &RequestedDevice| {
        let group = tasks(std::slice::from_ref(wants));
        Asks::new(&group).assign(&node(), &Usage::default()).unwrap().affinity
    };
    assert_eq!(liking(&wants), Some(0.75));
    wants.affinities = vec![affinity("A100", -50)];
    assert_eq!((ids(std::slice::from_ref(&wants)), liking(&wants)), (vec!["h0".to_owned()], None));
    assert_eq!(liking(&ask("gpu", 1)), None);
}
