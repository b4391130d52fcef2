//! Which cgroup hierarchies this machine has and where: all controllers in one tree (v2), each in its own (v1), or both (hybrid).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Doing, SystemError};

/// Controllers without which limits could not be kept.
pub const NEEDED_CONTROLLERS: &[&str] = &["cpu", "memory", "pids"];

/// The machine's cgroup trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One tree with every controller, mounted here.
    V2 {
        /// The mount point.
        root: PathBuf,
    },
    /// One tree per controller. On a hybrid machine a v2 tree without controllers is among them.
    V1 {
        /// Every tree.
        trees: Vec<Tree>,
    },
}

/// One v1 tree, or the v2 tree of a hybrid machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The mount point.
    pub root: PathBuf,
    /// What it controls: `memory`, or `cpu` and `cpuacct`. Empty for the trees that only keep track of processes.
    pub controllers: Vec<String>,
}

impl Layout {
    /// Looks at this machine.
    ///
    /// # Errors
    /// When `/proc` cannot be read or no cgroup tree is mounted.
    pub fn detect() -> Result<Self, SystemError> {
        const PATH: &str = "/proc/self/mountinfo";
        let mounts = fs::read_to_string(PATH).doing(|| format!("read {PATH}"))?;
        Self::from_mounts(&mounts).ok_or_else(|| {
            SystemError::new(
                "find a cgroup tree in /proc/self/mountinfo: mount one at /sys/fs/cgroup",
                std::io::Error::from(std::io::ErrorKind::NotFound),
            )
        })
    }

    /// The layout, looked up once: it does not change while the machine runs, and its text is long and slow to make for the kernel.
    ///
    /// # Errors
    /// As `detect`, and then the next call tries again.
    pub(crate) fn of_this_machine() -> Result<&'static Self, SystemError> {
        static LAYOUT: OnceLock<Layout> = OnceLock::new();
        match LAYOUT.get() {
            Some(layout) => Ok(layout),
            None => Self::detect().map(|layout| LAYOUT.get_or_init(|| layout)),
        }
    }

    /// Reads the layout from the text of `mountinfo`. The v2 tree counts as the layout only when no controller lives in a v1 tree.
    fn from_mounts(text: &str) -> Option<Self> {
        let mut trees = Vec::new();
        let mut unified = None;
        for line in text.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let mut right = right.split(' ');
            let (kind, options) = (right.next(), right.nth(1).unwrap_or(""));
            let mut left = left.split(' ').skip(3);
            let (Some(mounted_part), Some(point)) = (left.next(), left.next()) else { continue };
            // A bind mount of a part of a tree (inside of containers) is not the tree.
            if mounted_part != "/" || !point.starts_with("/sys/fs/cgroup") {
                continue;
            }
            match kind {
                Some("cgroup2") => unified = unified.or_else(|| Some(PathBuf::from(point))),
                Some("cgroup") => trees.push(Tree { root: point.into(), controllers: v1_controllers(options) }),
                _ => {}
            }
        }
        if trees.iter().any(|tree| !tree.controllers.is_empty()) {
            trees.extend(unified.map(|root| Tree { root, controllers: Vec::new() }));
            return Some(Self::V1 { trees });
        }
        unified.map(|root| Self::V2 { root })
    }

    /// Controllers that a task needs and this machine lacks.
    pub fn missing_controllers(&self) -> Vec<&'static str> {
        let present: Vec<String> = match self {
            Self::V2 { root } => fs::read_to_string(root.join("cgroup.controllers"))
                .unwrap_or_default()
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect(),
            Self::V1 { trees } => trees.iter().flat_map(|tree| tree.controllers.iter().cloned()).collect(),
        };
        NEEDED_CONTROLLERS.iter().copied().filter(|needed| !present.iter().any(|have| have == needed)).collect()
    }

    /// Every tree's root.
    pub(crate) fn roots(&self) -> Vec<&Path> {
        match self {
            Self::V2 { root } => vec![root],
            Self::V1 { trees } => trees.iter().map(|tree| tree.root.as_path()).collect(),
        }
    }

    /// The v1 tree of one controller.
    pub(crate) fn v1_root(&self, controller: &str) -> Option<&Path> {
        match self {
            Self::V2 { .. } => None,
            Self::V1 { trees } => {
                trees.iter().find(|tree| tree.controllers.iter().any(|have| have == controller)).map(|tree| tree.root.as_path())
            }
        }
    }
}

/// The super block's options name the controllers among other words; `name=systemd` is a tree without one.
fn v1_controllers(options: &str) -> Vec<String> {
    const KNOWN: &[&str] = &[
        "cpu",
        "cpuacct",
        "cpuset",
        "memory",
        "pids",
        "devices",
        "freezer",
        "blkio",
        "hugetlb",
        "net_cls",
        "net_prio",
        "perf_event",
        "rdma",
        "misc",
    ];
    options.split(',').filter(|word| KNOWN.contains(word)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn pure_v2() {
        let text = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(Layout::from_mounts(text).unwrap(), Layout::V2 { root: "/sys/fs/cgroup".into() });
    }

    #[test]
    fn hybrid_takes_the_v1_trees_and_keeps_the_v2_tree_for_tracking() {
        let text = "30 23 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n\
                    31 23 0:27 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd\n\
                    32 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct\n\
                    33 23 0:29 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory\n\
                    34 23 0:29 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let layout = Layout::from_mounts(text).unwrap();
        assert_eq!(layout.v1_root("cpuacct").unwrap(), Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(layout.roots().len(), 4);
        assert_eq!(layout.missing_controllers(), ["pids"]);
    }

    #[test]
    fn nothing_mounted() {
        assert!(Layout::from_mounts("22 27 0:21 / /proc rw - proc proc rw\n").is_none());
        assert!(Layout::from_mounts("nonsense").is_none());
    }

    #[test]
    fn this_machine_has_what_is_needed() {
        let missing = Layout::detect().unwrap().missing_controllers();
        assert!(missing.is_empty(), "enable these cgroup controllers to run the tests: {missing:?}");
    }
}
