//! Devices as the servers hear of them: groups of the same vendor, type and model, with their instances.

use floe_cdi::{Device, Registry};
use floe_model::{
    device::short_vendor,
    node::{Attribute, NodeDevice, NodeDeviceLocality, NodeDeviceResource},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
};

/// The annotation by which a file names the model of a device. Without it the model is called as the type is.
const MODEL: &str = "model";
/// The attribute that holds vendor and class as the files write them.
const KIND_ATTRIBUTE: &str = "cdi_kind";

/// The name of a device's group: vendor, type, model.
fn group_of(device: &Device) -> (&str, &str, &str) {
    let class = device.kind.class.as_str();
    let model = device.annotations.get(MODEL).map(String::as_str).filter(|m| !m.is_empty());
    (short_vendor(&device.kind.vendor), class, model.unwrap_or(class))
}

/// True when the device is what an allocation holds by these names.
pub(super) fn is(device: &Device, vendor: &str, device_type: &str, id: &str) -> bool {
    (short_vendor(&device.kind.vendor), device.kind.class.as_str(), device.name.as_str()) == (vendor, device_type, id)
}

/// All groups, and what could not be shown.
pub(super) fn of(registry: &Registry) -> (Vec<NodeDeviceResource>, Vec<String>) {
    let mut groups: BTreeMap<(&str, &str, &str), NodeDeviceResource> = BTreeMap::new();
    let (mut seen, mut problems) = (BTreeSet::new(), Vec::new());
    for device in registry.devices() {
        let (vendor, device_type, name) = group_of(device);
        if !seen.insert((vendor, device_type, &device.name)) {
            problems
                .push(format!("device {}={} is left out: {vendor}/{device_type} has one of that name already", device.kind, device.name));
            continue;
        }
        let attributes = attributes(device);
        let group = groups.entry((vendor, device_type, name)).or_insert_with(|| NodeDeviceResource {
            vendor: vendor.to_owned(),
            device_type: device_type.to_owned(),
            name: name.to_owned(),
            instances: Vec::new(),
            attributes: attributes.clone(),
        });
        // A group has what all of its devices have.
        group.attributes.retain(|key, value| attributes.get(key) == Some(value));
        group.instances.push(instance(registry, device));
    }
    (groups.into_values().collect(), problems)
}

fn attributes(device: &Device) -> BTreeMap<String, Attribute> {
    let annotations = device.annotations.iter().filter(|(key, _)| *key != MODEL);
    let mut attributes: BTreeMap<_, _> = annotations.map(|(key, value)| (key.clone(), attribute(value))).collect();
    attributes.insert(KIND_ATTRIBUTE.to_owned(), attribute(&device.kind.to_string()));
    attributes
}

/// A number with or without a unit (`80 GiB`), a truth value, or text.
fn attribute(text: &str) -> Attribute {
    let none = Attribute::default();
    if let Ok(bool_val) = text.parse::<bool>() {
        return Attribute { bool_val: Some(bool_val), ..none };
    }
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let unit = unit.trim();
    let is_unit = unit.len() <= 8 && unit.bytes().all(|b| b.is_ascii_alphabetic() || b == b'/');
    let unit = || unit.to_owned();
    match (number.parse::<i64>(), number.parse::<f64>()) {
        (Ok(n), _) if is_unit => Attribute { int_val: Some(n), unit: unit(), ..none },
        (_, Ok(n)) if is_unit && n.is_finite() => Attribute { float_val: Some(n), unit: unit(), ..none },
        _ => Attribute { string_val: Some(text.to_owned()), ..none },
    }
}

fn instance(registry: &Registry, device: &Device) -> NodeDevice {
    let missing = || registry.host_paths(device).find(|path| !is_device(path)).map(|path| format!("{path} is no device of this machine"));
    let ill = device.obstacle.clone().or_else(missing);
    NodeDevice {
        id: device.name.clone(),
        healthy: ill.is_none(),
        health_description: ill.unwrap_or_default(),
        locality: registry.host_paths(device).find_map(pci_bus_id).map(|pci_bus_id| NodeDeviceLocality { pci_bus_id }),
    }
}

fn is_device(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|m| m.file_type().is_char_device() || m.file_type().is_block_device())
}

/// Where on the bus the device behind a file sits, when the kernel tells.
fn pci_bus_id(path: &str) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let kind = if metadata.file_type().is_block_device() { "block" } else { "char" };
    let (major, minor) = (nix::sys::stat::major(metadata.rdev()), nix::sys::stat::minor(metadata.rdev()));
    let link = fs::read_link(format!("/sys/dev/{kind}/{major}:{minor}/device")).ok()?;
    link.file_name()?.to_str().filter(|name| is_pci_address(name)).map(str::to_owned)
}

/// `0000:3b:00.0`.
fn is_pci_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let lengths: Vec<usize> = parts.iter().map(|p| p.len()).collect();
    lengths == [4, 2, 2, 1] && parts.concat().bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_become_numbers_where_they_are() {
        let none = Attribute::default();
        let int = |n, unit: &str| Attribute { int_val: Some(n), unit: unit.to_owned(), ..none.clone() };
        let text = |t: &str| Attribute { string_val: Some(t.to_owned()), ..none.clone() };
        for (from, wanted) in [
            ("80 GiB", int(80, "GiB")),
            ("7", int(7, "")),
            ("1.5 GB/s", Attribute { float_val: Some(1.5), unit: "GB/s".to_owned(), ..none.clone() }),
            ("true", Attribute { bool_val: Some(true), ..none.clone() }),
            ("580.95.05", text("580.95.05")),
            ("7 of 9", text("7 of 9")),
            ("inf", text("inf")),
            ("", text("")),
        ] {
            assert_eq!(attribute(from), wanted, "{from:?}");
        }
    }

    #[test]
    fn addresses_on_the_bus_are_known_by_their_form() {
        assert!(is_pci_address("0000:3b:00.0"));
        for other in ["", "virtio0", "0000:3b:00", "0000:3g:00.0", "1-1:1.0"] {
            assert!(!is_pci_address(other), "{other}");
        }
    }
}
