//! The devices of all files together: which are there, which of two counts, and what several of them need.

use crate::{
    check::{is_name, quoted},
    edits::Edits,
    specification::{RawEdits, Specification},
};
use std::collections::{BTreeMap, BTreeSet};

/// The most devices of a node; those that come later in order of name are left out, and that is said.
pub const MAX_DEVICES: usize = 1_024;

/// Who makes a device, and what kind of device it is: `vendor.com/class`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The vendor, often as a domain.
    pub vendor: String,
    /// The class.
    pub class: String,
}

impl Kind {
    pub(crate) fn parse(text: &str) -> Result<Kind, String> {
        let kind = text.split_once('/').filter(|(vendor, class)| {
            let letter = |c: char| c.is_ascii_alphabetic();
            is_name(vendor, "_-.", letter) && is_name(class, "_-.", letter)
        });
        let (vendor, class) = kind.ok_or_else(|| format!("kind {} must be vendor/class, for example \"nvidia.com/gpu\"", quoted(text)))?;
        Ok(Kind { vendor: vendor.to_owned(), class: class.to_owned() })
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.vendor, self.class)
    }
}

/// The files of one folder, by name, each as it was read or with why it was not.
pub type Folder = Vec<(String, Result<Specification, String>)>;

/// A device that may be given.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Who makes it, and what it is.
    pub kind: Kind,
    /// Its name among those of its kind.
    pub name: String,
    /// What the file says about it and about all of its devices: the device's own word counts.
    pub annotations: BTreeMap<String, String>,
    /// Why it cannot be given, if so.
    pub obstacle: Option<String>,
    /// The file that it is from, by folder and place in that.
    file: (usize, usize),
    /// What it needs beside what all of the file's devices need.
    own: Edits,
    /// The device files that are its own.
    node_paths: BTreeSet<String>,
}

/// All devices, and what is wrong with the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    devices: BTreeMap<(Kind, String), Device>,
    /// What all devices of a file need.
    shared: BTreeMap<(usize, usize), Edits>,
    /// In words: files that are broken, devices that are in two files, and so on.
    pub problems: Vec<String>,
}

impl Registry {
    /// Lays folders over each other; what is in a later one counts.
    pub fn of(folders: &[Folder]) -> Registry {
        let mut registry = Registry::default();
        for (i, folder) in folders.iter().enumerate() {
            registry.add_folder(i, folder);
        }
        registry.leave_out_what_is_given_twice();
        registry.bound();
        registry
    }

    /// The devices in order of kind and name.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// What a container needs for these devices together. What all devices of a file need is there once.
    ///
    /// # Errors
    /// A device that is not there or cannot be given, or two that do not go together.
    pub fn edits<'a>(&self, wanted: impl IntoIterator<Item = (&'a Kind, &'a str)>) -> Result<Edits, String> {
        let mut all = Edits::default();
        let mut files = BTreeSet::new();
        for (kind, name) in wanted {
            let within = |why: &str| format!("device {kind}={name}: {why}");
            let device = self.devices.get(&(kind.clone(), name.to_owned())).ok_or_else(|| within("no file has it any more"))?;
            if let Some(obstacle) = &device.obstacle {
                return Err(within(obstacle));
            }
            if let Some(shared) = self.shared.get(&device.file).filter(|_| files.insert(device.file)) {
                all.add(shared).map_err(|e| within(&e))?;
            }
            all.add(&device.own).map_err(|e| within(&e))?;
        }
        Ok(all)
    }

    /// The device files on the host that make up this device.
    pub fn host_paths<'a>(&'a self, device: &'a Device) -> impl Iterator<Item = &'a str> {
        let shared = self.shared.get(&device.file).into_iter().flat_map(|edits| &edits.nodes);
        device.own.nodes.iter().chain(shared).map(|n| n.host_path.as_str())
    }

    fn add_folder(&mut self, folder: usize, files: &Folder) {
        let mut here: BTreeMap<(Kind, String), Device> = BTreeMap::new();
        let mut conflicts = BTreeSet::new();
        for (place, (file, read)) in files.iter().enumerate() {
            let specification = match read {
                Ok(specification) => specification,
                Err(why) => {
                    self.problems.push(format!("{file} {why}"));
                    continue;
                }
            };
            let shared = Edits::of(&specification.edits);
            for device in devices_of(specification, shared.as_ref().err(), (folder, place)) {
                let key = (device.kind.clone(), device.name.clone());
                if let Some(other) = here.insert(key.clone(), device) {
                    let other = files.get(other.file.1).map_or("another file", |(name, _)| name.as_str());
                    self.problems.push(format!("{file} and {other} both have device {}={}: neither is used", key.0, key.1));
                    conflicts.insert(key);
                }
            }
            self.shared.insert((folder, place), shared.unwrap_or_default());
        }
        here.retain(|key, _| !conflicts.contains(key));
        // Of a device that two files of this folder have nobody can say what it is, whatever another folder says.
        self.devices.retain(|key, _| !conflicts.contains(key));
        self.devices.extend(here);
    }

    /// Vendors give one device under several names: by number, by id, and all together. Of those that are the same, or of which one has all that
    /// another has, only the smallest may be given, the first of equals, or two containers would get the same device.
    fn leave_out_what_is_given_twice(&mut self) {
        let mut order: Vec<_> = self.devices.iter().filter(|(_, d)| !d.node_paths.is_empty()).map(|(key, d)| (d, key)).collect();
        order.sort_by_key(|(d, (_, name))| (d.node_paths.len(), name == "all", d.file, name.clone()));
        let mut kept: Vec<&Device> = Vec::new();
        let mut twice = Vec::new();
        for (device, key) in order {
            if kept.iter().any(|k| k.node_paths.is_subset(&device.node_paths)) {
                twice.push(key.clone());
            } else {
                kept.push(device);
            }
        }
        for key in twice {
            self.devices.remove(&key);
        }
    }

    fn bound(&mut self) {
        let beyond: Vec<_> = self.devices.keys().skip(MAX_DEVICES).cloned().collect();
        if !beyond.is_empty() {
            self.problems.push(format!("{} devices are left out: a node has at most {MAX_DEVICES}", beyond.len()));
        }
        for key in beyond {
            self.devices.remove(&key);
        }
    }
}

fn devices_of(specification: &Specification, shared: Option<&String>, file: (usize, usize)) -> Vec<Device> {
    let device = |raw: &crate::specification::RawDevice| {
        let own = Edits::of(&raw.container_edits);
        let mut annotations = specification.annotations.clone();
        annotations.extend(raw.annotations.clone());
        Device {
            kind: specification.kind.clone(),
            name: raw.name.clone(),
            annotations,
            obstacle: shared.or(own.as_ref().err()).cloned(),
            file,
            node_paths: node_paths(&raw.container_edits),
            own: own.unwrap_or_default(),
        }
    };
    specification.devices.iter().map(device).collect()
}

/// The files on the host, also of a device that cannot be given: it has them all the same.
fn node_paths(edits: &RawEdits) -> BTreeSet<String> {
    edits.device_nodes.iter().map(|n| if n.host_path.is_empty() { n.path.clone() } else { n.host_path.clone() }).collect()
}
