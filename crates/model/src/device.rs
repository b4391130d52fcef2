//! How a job names devices, and which of a node's groups a name means.

use crate::node::NodeDeviceResource;

/// What many vendors' names of the Container Device Interface end with; it is left out, as jobs write `nvidia/gpu`.
const COMMON_SUFFIX: &str = ".com";

/// The name of a device in a job: `type`, `vendor/type` or `vendor/type/name`. What is not said matches everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceName<'a> {
    /// Without [`COMMON_SUFFIX`]: `nvidia.com/gpu` and `nvidia/gpu` are the same.
    pub vendor: Option<&'a str>,
    /// What kind of device.
    pub device_type: &'a str,
    /// The model. It may hold slashes.
    pub name: Option<&'a str>,
}

impl<'a> DeviceName<'a> {
    /// Reads a name; `None` when one of its parts is empty.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        let name = match second {
            None => Self { vendor: None, device_type: first, name: None },
            Some(device_type) => Self { vendor: Some(short_vendor(first)), device_type, name: third },
        };
        let parts = [name.vendor, Some(name.device_type), name.name];
        parts.into_iter().flatten().all(|part| !part.is_empty()).then_some(name)
    }

    /// Whether it means this group of devices.
    pub fn matches(&self, group: &NodeDeviceResource) -> bool {
        self.vendor.is_none_or(|v| v == group.vendor)
            && self.device_type == group.device_type
            && self.name.is_none_or(|name| name == group.name)
    }

    /// How many of its parts are said: the more, the fewer groups it means.
    pub fn parts(&self) -> usize {
        1 + usize::from(self.vendor.is_some()) + usize::from(self.name.is_some())
    }
}

/// A vendor's name as nodes show it and jobs ask for it.
pub fn short_vendor(vendor: &str) -> &str {
    vendor.strip_suffix(COMMON_SUFFIX).filter(|short| !short.is_empty()).unwrap_or(vendor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_has_one_to_three_parts() {
        let name = |vendor, device_type, name| Some(DeviceName { vendor, device_type, name });
        for (text, wanted) in [
            ("gpu", name(None, "gpu", None)),
            ("nvidia/gpu", name(Some("nvidia"), "gpu", None)),
            ("nvidia.com/gpu", name(Some("nvidia"), "gpu", None)),
            ("a.org/fpga/X1/b", name(Some("a.org"), "fpga", Some("X1/b"))),
            (".com/gpu", name(Some(".com"), "gpu", None)),
            ("", None),
            ("/gpu", None),
            ("nvidia/", None),
            ("nvidia/gpu/", None),
        ] {
            assert_eq!(DeviceName::parse(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn what_a_name_leaves_out_may_be_anything() {
        let group = NodeDeviceResource {
            vendor: "nvidia".to_owned(),
            device_type: "gpu".to_owned(),
            name: "H100".to_owned(),
            ..NodeDeviceResource::default()
        };
        for (text, wanted) in [
            ("gpu", true),
            ("nvidia/gpu", true),
            ("nvidia.com/gpu/H100", true),
            ("amd/gpu", false),
            ("nvidia/gpu/A100", false),
            ("mig", false),
        ] {
            assert_eq!(DeviceName::parse(text).unwrap().matches(&group), wanted, "{text}");
        }
    }
}
