//! A task's cgroup: create it, put a process in, kill all that is in it, remove it. Works on v1, hybrid and v2 machines.
//!
//! Written here and not left to libcontainer because a cgroup outlives its shim when the shim is killed: another process must be able
//! to count, kill and remove what is in it, and `raw_exec` tasks need one without a container.

mod layout;
mod limits;
mod stats;

use std::collections::{BTreeMap, btree_map::Entry};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use layout::{Layout, NEEDED_CONTROLLERS, Tree};
pub use stats::TaskStats;

use crate::error::{Doing, SystemError};
use crate::process;
use crate::spec::Resources;

/// How long killed processes may take to disappear before a clean-up gives up: a process in an uninterruptible system call cannot be killed.
pub(crate) const KILL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a process that was killed and left its cgroup may take to be gone.
const DYING_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between looks at a cgroup whose processes are ending: v1 has no event that tells when the last one is gone.
const KILL_POLL: Duration = Duration::from_millis(2);

/// Processes of a cgroup. Version 2 does not name those any more that begin to die: who wants to wait for them must have seen them before.
#[derive(Default)]
pub(crate) struct Seen(BTreeMap<i32, OwnedFd>);

/// One cgroup: the same relative path in every tree of the machine.
#[derive(Debug, Clone)]
pub struct Cgroup {
    layout: &'static Layout,
    path: PathBuf,
}

impl Cgroup {
    /// Names a cgroup; nothing is created. `path` is relative to the trees' roots.
    ///
    /// # Errors
    /// When this machine's cgroup trees cannot be found.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, SystemError> {
        Ok(Self { layout: Layout::of_this_machine()?, path: path.into() })
    }

    /// The machine's trees.
    pub fn layout(&self) -> &Layout {
        self.layout
    }

    /// The path in every tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn dirs(&self) -> impl Iterator<Item = PathBuf> {
        self.layout.roots().into_iter().map(|root| root.join(&self.path))
    }

    /// The directory of a v1 controller, or the v2 directory.
    pub(crate) fn dir(&self, controller: &str) -> Option<PathBuf> {
        match self.layout {
            Layout::V2 { root } => Some(root.join(&self.path)),
            Layout::V1 { .. } => self.layout.v1_root(controller).map(|root| root.join(&self.path)),
        }
    }

    /// Creates the cgroup in the trees of the controllers that matter.
    pub(crate) fn create(&self) -> Result<(), SystemError> {
        match self.layout {
            Layout::V2 { root } => create_v2(root, &self.path),
            Layout::V1 { .. } => {
                for dir in self.tracked_v1_dirs() {
                    fs::create_dir_all(&dir).doing(|| format!("create cgroup {}", dir.display()))?;
                }
                Ok(())
            }
        }
    }

    /// The v1 trees that a plain process joins: those that count, limit or freeze. The others stay the parent's.
    fn tracked_v1_dirs(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> =
            ["cpu", "cpuacct", "memory", "pids", "freezer"].iter().filter_map(|controller| self.dir(controller)).collect();
        dirs.dedup();
        dirs
    }

    /// Writes the limits.
    pub(crate) fn limit(&self, resources: &Resources) -> Result<(), SystemError> {
        let settings = match self.layout {
            Layout::V2 { .. } => limits::v2(resources),
            Layout::V1 { .. } => limits::v1(resources),
        };
        for setting in settings {
            let Some(dir) = self.dir(setting.controller) else {
                return Err(missing_controller(setting.controller));
            };
            let file = dir.join(setting.file);
            match fs::write(&file, &setting.value) {
                Err(error) if setting.required => {
                    return Err(SystemError::new(
                        format!("write {} to {} (is the {} controller enabled?)", setting.value, file.display(), setting.controller),
                        error,
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves a process in. Its later children follow.
    pub(crate) fn join(&self, pid: u32) -> Result<(), SystemError> {
        let dirs = match self.layout {
            Layout::V2 { root } => vec![root.join(&self.path)],
            Layout::V1 { .. } => self.tracked_v1_dirs(),
        };
        dirs.iter().try_for_each(|dir| write_procs(dir, pid))
    }

    /// Moves this process, in the trees by which a service manager finds the processes of a unit, out of the agent's unit: stopping the
    /// agent must not end it. Does nothing when it is in no unit, because every move waits for all processors (milliseconds).
    pub(crate) fn leave_unit(&self) -> Result<(), SystemError> {
        const PATH: &str = "/proc/self/cgroup";
        if !is_in_unit(&fs::read_to_string(PATH).doing(|| format!("read {PATH}"))?) {
            return Ok(());
        }
        let pid = std::process::id();
        match self.layout {
            Layout::V2 { root } => {
                create_v2(root, &self.path)?;
                write_procs(&root.join(&self.path), pid)
            }
            Layout::V1 { trees } => trees.iter().filter(|tree| tree.controllers.is_empty()).try_for_each(|tree| {
                let dir = tree.root.join(&self.path);
                fs::create_dir_all(&dir).doing(|| format!("create cgroup {}", dir.display()))?;
                write_procs(&dir, pid)
            }),
        }
    }

    /// Every process in the cgroup and the cgroups below it. On v1 two trees are asked, because a process that is root on the host could
    /// leave one of them; all would only take longer.
    pub fn processes(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        for dir in ["pids", "freezer"].iter().filter_map(|controller| self.dir(controller)).collect::<std::collections::BTreeSet<_>>() {
            collect_processes(&dir, &mut pids);
        }
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Sends SIGKILL to everything in the cgroup, once. Returns whether something was there.
    pub(crate) fn kill_once(&self) -> bool {
        if let Layout::V2 { root } = self.layout {
            let dir = root.join(&self.path);
            let pids = self.processes();
            if !pids.is_empty() && fs::write(dir.join("cgroup.kill"), "1").is_err() {
                pids.iter().for_each(|pid| kill_pid(*pid));
            }
            return !pids.is_empty();
        }
        if self.processes().is_empty() {
            return false;
        }
        // Frozen processes cannot fork away from the list that is being worked through.
        let freezer = self.dir("freezer").map(|dir| dir.join("freezer.state"));
        let set_state = |state: &str| freezer.as_ref().is_some_and(|file| fs::write(file, state).is_ok());
        set_state("FROZEN");
        let pids = self.processes();
        pids.iter().for_each(|pid| kill_pid(*pid));
        set_state("THAWED");
        !pids.is_empty()
    }

    /// Adds what is in it now.
    pub(crate) fn see(&self, seen: &mut Seen) {
        for pid in self.processes() {
            if let Entry::Vacant(new) = seen.0.entry(pid)
                && let Ok(Some(pidfd)) = process::pidfd_open(pid)
            {
                new.insert(pidfd);
            }
        }
    }

    /// Kills until nothing is left of what is in it or was `seen` in it; `reap` is called between two looks, for a caller that is the parent.
    ///
    /// # Errors
    /// When processes are still there after [`KILL_TIMEOUT`].
    pub(crate) fn kill_all(&self, mut seen: Seen, mut reap: impl FnMut()) -> Result<(), SystemError> {
        let deadline = Instant::now() + KILL_TIMEOUT;
        loop {
            self.see(&mut seen);
            if !self.kill_once() {
                break;
            }
            reap();
            if Instant::now() >= deadline {
                let left = self.processes();
                return Err(SystemError::new(
                    format!(
                        "kill processes {left:?} of cgroup {}: they hang in the kernel (look at their state with ps)",
                        self.path.display()
                    ),
                    io::Error::from(io::ErrorKind::TimedOut),
                ));
            }
            std::thread::sleep(KILL_POLL);
        }
        // Version 2 takes a process off the list when it begins to die, a moment before its memory and files are gone.
        let deadline = Instant::now() + DYING_TIMEOUT;
        for pidfd in seen.0.values() {
            process::wait_ended(pidfd.as_fd(), deadline.saturating_duration_since(Instant::now()))?;
        }
        reap();
        Ok(())
    }

    /// Removes the cgroup from every tree; not being there is success.
    ///
    /// # Errors
    /// When processes are still in it.
    pub fn remove(&self) -> Result<(), SystemError> {
        let deadline = Instant::now() + KILL_TIMEOUT;
        for dir in self.dirs() {
            // The kernel answers EBUSY for a moment after the last process is gone.
            while let Err(error) = remove_tree(&dir) {
                if error.raw_os_error() != Some(libc::EBUSY) || Instant::now() >= deadline {
                    return Err(SystemError::new(format!("remove cgroup {}", dir.display()), error));
                }
                std::thread::sleep(KILL_POLL);
            }
        }
        Ok(())
    }

    /// Removes the cgroup where nothing is in it: neither processes nor other cgroups. What is in use stays as it is.
    pub fn remove_if_empty(&self) {
        for dir in self.dirs() {
            // One that is busy belongs to somebody; one that is not there needs no removal.
            let _ = std::fs::remove_dir(dir);
        }
    }

    /// Whether the cgroup exists in any tree.
    pub fn exists(&self) -> bool {
        self.dirs().any(|dir| dir.exists())
    }
}

/// Whether one of the trees without controllers places the process below its root. Lines are `number:controllers:path`.
fn is_in_unit(cgroups: &str) -> bool {
    cgroups
        .lines()
        .filter_map(|line| line.split_once(':')?.1.split_once(':'))
        .any(|(controllers, path)| (controllers.is_empty() || controllers.starts_with("name=")) && path != "/")
}

fn missing_controller(controller: &str) -> SystemError {
    SystemError::new(
        format!("find the cgroup controller {controller}: enable it in the kernel's command line"),
        io::Error::from(io::ErrorKind::NotFound),
    )
}

fn write_procs(dir: &Path, pid: u32) -> Result<(), SystemError> {
    let file = dir.join("cgroup.procs");
    fs::write(&file, pid.to_string()).doing(|| format!("move process {pid} into {}", file.display()))
}

/// Creates every level and hands the controllers down to the leaf. A controller that cannot be handed down shows when a limit is written.
fn create_v2(root: &Path, path: &Path) -> Result<(), SystemError> {
    let mut dir = root.to_owned();
    for part in path {
        for controller in NEEDED_CONTROLLERS.iter().chain(&["io", "cpuset"]) {
            drop(fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")));
        }
        dir.push(part);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result.doing(|| format!("create cgroup {}", dir.display()))?,
        }
    }
    Ok(())
}

fn kill_pid(pid: i32) {
    // A pid of 0 means a process of another pid namespace, and kill(0) would be our own group.
    if pid > 0 {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn collect_processes(dir: &Path, pids: &mut Vec<i32>) {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in child_dirs(dir) {
        collect_processes(&child, pids);
    }
}

fn child_dirs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    child_dirs(dir).iter().try_for_each(|child| remove_tree(child))?;
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_in_the_trees_that_only_track() {
        assert!(is_in_unit("0::/system.slice/floe.service\n"));
        assert!(is_in_unit("12:pids:/\n1:name=systemd:/system.slice/floe.service\n0::/\n"));
        assert!(!is_in_unit("12:memory:/user.slice\n1:name=systemd:/\n0::/\n"));
        assert!(!is_in_unit(""));
    }
}
