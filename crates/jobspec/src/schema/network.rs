//! Networks, ports and resources.

use serde_json::Value as Json;

use super::{
    Child, EMPTY, INT, Kind, PORT, Schema, attr, labelled, many, named, one,
    policy::{AFFINITY, CONSTRAINT},
};
use crate::convert::{Finish, Output};

pub(super) static NETWORK: Schema = Schema {
    attrs: &[
        attr("mode", "Mode", Kind::Text),
        attr("device", "Device", Kind::Text),
        attr("cidr", "CIDR", Kind::Text),
        attr("ip", "IP", Kind::Text),
        attr("hostname", "Hostname", Kind::Text),
        attr("mbits", "MBits", INT),
    ],
    children: &[named("port", "~ports", "Label", &PORT_BLOCK), one("dns", "DNS", &DNS), one("cni", "CNI", &CNI)],
    required: &[],
    finish: ports,
};

static PORT_BLOCK: Schema = Schema {
    attrs: &[
        attr("static", "Value", PORT),
        attr("to", "To", Kind::Int(-1, 65_535)),
        attr("host_network", "HostNetwork", Kind::Text),
        attr("ignore_collision", "IgnoreCollision", Kind::Bool),
    ],
    ..EMPTY
};

static DNS: Schema = Schema {
    attrs: &[attr("servers", "Servers", Kind::Texts), attr("searches", "Searches", Kind::Texts), attr("options", "Options", Kind::Texts)],
    ..EMPTY
};

static CNI: Schema = Schema { attrs: &[attr("args", "Args", Kind::TextMap)], ..EMPTY };

/// A port with a number of its own is reserved, the others are dynamic.
fn ports(out: &mut Output, _: &mut Finish<'_>) {
    let Some(Json::Array(ports)) = out.remove("~ports") else { return };
    let (reserved, dynamic): (Vec<Json>, Vec<Json>) =
        ports.into_iter().partition(|port| port.get("Value").and_then(Json::as_i64).is_some_and(|value| value != 0));
    for (key, list) in [("ReservedPorts", reserved), ("DynamicPorts", dynamic)] {
        if !list.is_empty() {
            out.insert(key.into(), Json::Array(list));
        }
    }
}

pub(super) static RESOURCES: Schema = Schema {
    attrs: &[
        attr("cpu", "CPU", INT),
        attr("cores", "Cores", INT),
        attr("memory", "MemoryMB", INT),
        attr("memory_max", "MemoryMaxMB", INT),
        attr("secrets", "SecretsMB", INT),
        attr("disk", "DiskMB", INT),
        attr("iops", "IOPS", INT),
    ],
    children: RESOURCE_CHILDREN,
    ..EMPTY
};

const RESOURCE_CHILDREN: &[Child] =
    &[many("network", "Networks", &NETWORK), labelled("device", "Devices", "Name", &DEVICE), one("numa", "NUMA", &NUMA)];

static DEVICE: Schema = Schema {
    attrs: &[attr("name", "Name", Kind::Text), attr("count", "Count", super::COUNT)],
    children: &[many("constraint", "Constraints", &CONSTRAINT), many("affinity", "Affinities", &AFFINITY)],
    ..EMPTY
};

static NUMA: Schema = Schema { attrs: &[attr("affinity", "Affinity", Kind::Text), attr("devices", "Devices", Kind::Texts)], ..EMPTY };
