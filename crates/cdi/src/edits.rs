//! What a container gets, in the words of the runtime: only what floe can do. Everything else is refused with a reason.

use crate::{
    check::quoted,
    specification::{RawEdits, RawHook, RawMount, RawNode},
};
use std::collections::BTreeMap;

/// What a container must get so that it can use its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Variables of the environment.
    pub env: BTreeMap<String, String>,
    /// Device files.
    pub nodes: Vec<DeviceNode>,
    /// Files and folders of the host.
    pub mounts: Vec<Mount>,
    /// Programs of the host that look after the container before it starts.
    pub hooks: Vec<Hook>,
    /// Groups, as ids in the container.
    pub groups: Vec<u32>,
}

/// What kind of file a device node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeType {
    /// A block device.
    Block,
    /// A character device.
    Character,
}

/// A device file in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// Where it is in the container.
    pub path: String,
    /// The file on the host, which also says what is left open here.
    pub host_path: String,
    /// What it is, where the specification says so.
    pub node_type: Option<NodeType>,
    /// Its numbers, where the specification says them.
    pub numbers: Option<(u32, u32)>,
    /// Permission bits, where the specification says them.
    pub mode: Option<u32>,
    /// Owner and group as ids in the container, where the specification says them.
    pub owner: (Option<u32>, Option<u32>),
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
}

/// A file or folder of the host in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// On the host.
    pub host_path: String,
    /// In the container.
    pub container_path: String,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether programs in it may be run.
    pub no_exec: bool,
}

/// A program of the host that is run before the container's own starts, with the container's file system made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The program on the host.
    pub path: String,
    /// Its arguments, the first of which is its name.
    pub args: Vec<String>,
    /// Its environment, as `NAME=value`.
    pub env: Vec<String>,
    /// How long it may take, in seconds.
    pub timeout_s: Option<u64>,
}

/// The only moment at which floe can run a hook.
const HOOK: &str = "createContainer";

impl Edits {
    /// What a list of edits comes to.
    ///
    /// # Errors
    /// What of it floe does not do.
    pub(crate) fn of(raw: &RawEdits) -> Result<Edits, String> {
        let RawEdits { env, device_nodes, net_devices, mounts, hooks, additional_gids, intel_rdt } = raw;
        if intel_rdt.is_some() {
            return Err("not supported yet: intelRdt".to_owned());
        }
        if !net_devices.is_empty() {
            return Err("not supported yet: netDevices".to_owned());
        }
        Ok(Edits {
            env: env.iter().filter_map(|v| v.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            nodes: device_nodes.iter().map(node).collect::<Result<_, _>>()?,
            mounts: mounts.iter().map(mount).collect::<Result<_, _>>()?,
            hooks: hooks.iter().map(hook).collect::<Result<_, _>>()?,
            // Group 0 is what nobody needs: the container's root owns nothing of a device.
            groups: additional_gids.iter().copied().filter(|g| *g != 0).collect(),
        })
    }

    /// Adds what another device needs. What both need is there once.
    ///
    /// # Errors
    /// Two that want different things in the same place.
    pub(crate) fn add(&mut self, more: &Edits) -> Result<(), String> {
        for (name, value) in &more.env {
            if let Some(other) = self.env.insert(name.clone(), value.clone()).filter(|other| other != value) {
                return Err(format!("variable {name} is to be {} and {}", quoted(&other), quoted(value)));
            }
        }
        add_all(&mut self.nodes, &more.nodes, |n| &n.path, "device node")?;
        add_all(&mut self.mounts, &more.mounts, |m| &m.container_path, "mount")?;
        self.hooks.extend(more.hooks.iter().filter(|h| !self.hooks.contains(h)).cloned().collect::<Vec<_>>());
        self.groups.extend(more.groups.iter().filter(|g| !self.groups.contains(g)).copied().collect::<Vec<_>>());
        Ok(())
    }
}

fn add_all<T: Clone + PartialEq>(all: &mut Vec<T>, more: &[T], place: fn(&T) -> &String, what: &str) -> Result<(), String> {
    for one in more {
        match all.iter().find(|o| place(o) == place(one)) {
            Some(same) if same == one => {}
            Some(_) => return Err(format!("{what} {} is wanted in two ways", quoted(place(one)))),
            None => all.push(one.clone()),
        }
    }
    Ok(())
}

fn node(raw: &RawNode) -> Result<DeviceNode, String> {
    let RawNode { path, host_path, kind, major, minor, file_mode, permissions, uid, gid } = raw;
    let within = |why: &str| format!("device node {}: {why}", quoted(path));
    let node_type = match kind.as_str() {
        "" => None,
        "b" => Some(NodeType::Block),
        "c" | "u" => Some(NodeType::Character),
        _ => return Err(within("not supported yet: pipes")),
    };
    if !path.starts_with("/dev/") {
        return Err(within("not supported yet: device nodes outside of /dev"));
    }
    let number = |n: i64| u32::try_from(n).map_err(|_| within("its numbers must not be negative"));
    let numbers = match (major, minor) {
        (None, None) => None,
        // Go's encoders leave a zero out.
        (major, minor) => Some((number(major.unwrap_or(0))?, number(minor.unwrap_or(0))?)),
    };
    Ok(DeviceNode {
        path: path.clone(),
        host_path: if host_path.is_empty() { path.clone() } else { host_path.clone() },
        node_type,
        numbers,
        mode: file_mode.map(|mode| mode & 0o777),
        owner: (*uid, *gid),
        read: permissions.is_empty() || permissions.contains('r'),
        write: permissions.is_empty() || permissions.contains('w'),
    })
}

fn mount(raw: &RawMount) -> Result<Mount, String> {
    let RawMount { host_path, container_path, options, kind } = raw;
    let within = |why: String| format!("mount {}: {why}", quoted(container_path));
    if !matches!(kind.as_str(), "" | "bind" | "none") {
        return Err(within(format!("not supported yet: type {}", quoted(kind))));
    }
    let mut mount = Mount { host_path: host_path.clone(), container_path: container_path.clone(), read_only: false, no_exec: false };
    for option in options {
        match option.as_str() {
            "ro" => mount.read_only = true,
            "rw" => mount.read_only = false,
            "noexec" => mount.no_exec = true,
            // What every mount of floe is.
            "bind" | "rbind" | "nosuid" | "nodev" | "private" | "rprivate" | "slave" | "rslave" | "exec" | "relatime" => {}
            other => return Err(within(format!("not supported yet: option {}", quoted(other)))),
        }
    }
    Ok(mount)
}

fn hook(raw: &RawHook) -> Result<Hook, String> {
    let RawHook { hook_name, path, args, env, timeout } = raw;
    if hook_name != HOOK {
        return Err(format!("not supported yet: hook {hook_name} ({}); of the hooks floe runs {HOOK}", quoted(path)));
    }
    Ok(Hook { path: path.clone(), args: args.clone(), env: env.clone(), timeout_s: timeout.and_then(|t| u64::try_from(t).ok()) })
}
