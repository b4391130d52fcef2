//! What devices bring along for a container: plain data, a part of the `TaskSpec`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::spec::ID_RANGE_SIZE;

/// What a container gets so that it can use the devices that were given to it (`exec` only).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceEdits {
    /// Device files. The container has none but these and the harmless ones that every container has.
    pub nodes: Vec<DeviceNode>,
    /// Files and directories of the host, wherever in the container: mount points are made in the view of the host, too.
    pub mounts: Vec<DeviceMount>,
    /// Programs of the host that are run as root, in order, once the container's file system is there and before the task starts.
    pub hooks: Vec<Hook>,
    /// Further groups of the task, as ids in the container.
    pub groups: Vec<u32>,
}

/// Block or character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeType {
    /// A block device.
    Block,
    /// A character device.
    Character,
}

/// A device file in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceNode {
    /// Inside; below `/dev`.
    pub path: PathBuf,
    /// On the host: says what the fields below leave open.
    pub host_path: PathBuf,
    /// What it is.
    pub node_type: Option<NodeType>,
    /// Its major and minor number.
    pub numbers: Option<(u32, u32)>,
    /// Permission bits. Default: all may do what `read` and `write` allow.
    pub mode: Option<u32>,
    /// Its owner, as an id in the container. Default: nobody there, so that a task cannot change the permissions; who is not the owner may
    /// then do what the owner could.
    pub uid: Option<u32>,
    /// Its group, as an id in the container.
    pub gid: Option<u32>,
    /// May be opened for reading.
    pub read: bool,
    /// May be opened for writing.
    pub write: bool,
}

/// A file or directory of the host in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceMount {
    /// On the host.
    pub source: PathBuf,
    /// Inside; absolute.
    pub destination: PathBuf,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether programs in it cannot be run.
    pub no_exec: bool,
}

/// A program that is run by the shim, as OCI's `createContainer` hooks are: it is told of the container as JSON on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// On the host.
    pub path: PathBuf,
    /// Its arguments, the first of which is its name. Default: the path.
    pub args: Vec<String>,
    /// Its environment, as `NAME=value`; nothing is added.
    pub env: Vec<String>,
    /// How long it may take, in seconds. Default, and the most: what is left for all hooks of a task.
    pub timeout_s: Option<u64>,
}

/// What libcontainer puts into every `/dev`. A node in such a place must be the same one.
const EVERYWHERE: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
/// Taken by file systems and links of every container.
const TAKEN: &[&str] = &[
    "/dev/pts",
    "/dev/shm",
    "/dev/mqueue",
    "/dev/console",
    "/dev/ptmx",
    "/dev/fd",
    "/dev/stdin",
    "/dev/stdout",
    "/dev/stderr",
    "/dev/core",
    "/dev/kcore",
];

impl DeviceEdits {
    /// True when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What cannot be honoured, in words.
    pub(crate) fn problem(&self, is_plain: fn(&Path) -> bool) -> Option<String> {
        let of_node = |node: &DeviceNode| {
            let (path, host) = (&node.path, &node.host_path);
            let below_dev = is_plain(path) && path.starts_with("/dev") && path != Path::new("/dev");
            if !below_dev || TAKEN.iter().any(|taken| path.starts_with(taken)) {
                return Some(format!("node {} must be below /dev, and not where every container has something else", path.display()));
            }
            if EVERYWHERE.iter().any(|p| path == Path::new(p)) && (path != host || node.numbers.is_some()) {
                return Some(format!("node {} is in every container, and cannot be another one", path.display()));
            }
            let ids = [node.uid, node.gid].into_iter().flatten();
            ids.into_iter()
                .any(|id| id >= ID_RANGE_SIZE)
                .then(|| format!("node {} has an owner beyond the container's ids", path.display()))
        };
        let of_mount = |mount: &DeviceMount| {
            let to = &mount.destination;
            let reserved = ["/proc", "/sys", "/dev"].iter().any(|prefix| to.starts_with(prefix));
            let good = is_plain(to) && to != Path::new("/") && !reserved && mount.source.is_absolute();
            (!good).then(|| {
                format!(
                    "mount {} must be absolute, without '..', and not at /, /proc, /sys or /dev (from {})",
                    to.display(),
                    mount.source.display()
                )
            })
        };
        let nodes = self.nodes.iter().find_map(of_node);
        let group = || self.groups.iter().find(|g| **g >= ID_RANGE_SIZE).map(|g| format!("group {g} is beyond the container's ids"));
        let hook = |hook: &Hook| (!hook.path.is_absolute()).then(|| format!("hook {} must be absolute", hook.path.display()));
        nodes.or_else(|| self.mounts.iter().find_map(of_mount)).or_else(group).or_else(|| self.hooks.iter().find_map(hook))
    }
}

impl DeviceNode {
    /// Whether libcontainer puts this very node into every container.
    pub(crate) fn is_everywhere(&self) -> bool {
        EVERYWHERE.iter().any(|p| self.path == Path::new(p))
    }

    /// Its permission bits in the container.
    pub(crate) fn bits(&self) -> u32 {
        let allowed = if self.read { 0o444 } else { 0 } | if self.write { 0o222 } else { 0 };
        let mode = self.mode.unwrap_or(0o666);
        let all = if self.uid.is_none() { mode | (mode >> 6 & 0o7) } else { mode };
        all & allowed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn node(path: &str) -> DeviceNode {
        let (node_type, numbers, mode, uid, gid) = (None, None, None, None, None);
        DeviceNode { path: path.into(), host_path: path.into(), node_type, numbers, mode, uid, gid, read: true, write: true }
    }

    #[test]
    fn permissions_come_from_what_is_allowed_and_said() {
        let bits = |mode, uid, read, write| DeviceNode { mode, uid, read, write, ..node("/dev/x") }.bits();
        assert_eq!(bits(None, None, true, true), 0o666);
        assert_eq!(bits(None, None, true, false), 0o444);
        assert_eq!(bits(Some(0o660), None, true, true), 0o666, "the task has it, whoever it runs as");
        assert_eq!(bits(Some(0o660), Some(0), true, true), 0o660);
        assert_eq!(bits(Some(0o660), Some(0), false, true), 0o220);
    }

    #[test]
    fn places_that_are_taken_are_refused() {
        let problem = |edits: DeviceEdits| edits.problem(|path| path.is_absolute());
        let of_node = |n: DeviceNode| problem(DeviceEdits { nodes: vec![n], ..DeviceEdits::default() });
        for good in ["/dev/nvidia0", "/dev/dri/card0", "/dev/urandom"] {
            assert_eq!(of_node(node(good)), None, "{good}");
        }
        for bad in ["/dev", "/dev/shm/x", "/dev/console", "/srv/x", "dev/x"] {
            assert!(of_node(node(bad)).is_some(), "{bad}");
        }
        assert!(of_node(DeviceNode { host_path: "/dev/zero".into(), ..node("/dev/null") }).is_some());
        assert!(of_node(DeviceNode { uid: Some(ID_RANGE_SIZE), ..node("/dev/x") }).is_some());
        let mount = |to: &str| DeviceMount { source: "/a".into(), destination: to.into(), read_only: true, no_exec: false };
        for (to, good) in [("/usr/bin/x", true), ("/", false), ("/proc/driver", false), ("/dev/x", false)] {
            assert_eq!(problem(DeviceEdits { mounts: vec![mount(to)], ..DeviceEdits::default() }).is_none(), good, "{to}");
        }
        assert!(problem(DeviceEdits { groups: vec![ID_RANGE_SIZE], ..DeviceEdits::default() }).is_some());
    }
}
