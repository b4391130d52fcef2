//! What this machine lacks to run tasks, found out before the first task fails.

use std::fs;
use std::path::Path;

use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};

use crate::cgroup::Layout;
use crate::error::{Doing, SystemError};
use crate::mount::{mount_new, set_propagation};

/// Mounts by descriptor with attributes, which both this crate and libcontainer use, came with this kernel.
const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is missing.
    pub what: String,
    /// What to do about it.
    pub how_to_fix: String,
}

/// Everything that is missing; empty when tasks can run.
pub fn preflight() -> Vec<Problem> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let user_namespaces = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    [root(nix::unistd::geteuid().is_root()), old_kernel(&kernel), cgroups(), no_user_namespaces(&user_namespaces), no_seccomp(&status)]
        .into_iter()
        .flatten()
        .collect()
}

/// overlayfs takes layers that show other owners since this kernel.
const OLDEST_KERNEL_FOR_IMAGES: (u32, u32) = (5, 19);

/// What is missing to run images; `None` when they can run wherever [`preflight`] finds nothing.
pub fn image_preflight() -> Option<Problem> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    older_than(&kernel, OLDEST_KERNEL_FOR_IMAGES, "for images").or_else(no_overlay)
}

/// Mounts an overlay where nobody sees it: a kernel that has it as a module loads it for that.
fn no_overlay() -> Option<Problem> {
    // Another agent may look at the same time.
    let place = format!("/run/floe/probe-{}", std::process::id());
    let path = place.clone();
    let try_it = move || -> Result<(), SystemError> {
        let at = Path::new(&path);
        fs::create_dir_all(at).doing(|| format!("create {path}"))?;
        // Of this thread alone, and gone with it.
        unshare(CloneFlags::CLONE_NEWNS).doing(|| "create a mount namespace")?;
        set_propagation(Path::new("/"), MsFlags::MS_PRIVATE)?;
        mount_new("tmpfs", at, MsFlags::empty(), "mode=0700,size=64k")?;
        for name in ["lower", "upper", "work", "all"] {
            fs::create_dir(at.join(name)).doing(|| "create a folder in a new tmpfs")?;
        }
        let options = format!("lowerdir={path}/lower,upperdir={path}/upper,workdir={path}/work");
        mount_new("overlay", &at.join("all"), MsFlags::empty(), &options)
    };
    let tried = std::thread::spawn(try_it).join();
    drop(fs::remove_dir(&place));
    match tried {
        Ok(Ok(())) => None,
        Ok(Err(error)) => problem(crate::error::chain(&error), "boot a kernel with CONFIG_OVERLAY_FS (modprobe overlay)"),
        Err(_) => problem("overlayfs could not be tried", "start the agent again"),
    }
}

fn problem(what: impl Into<String>, how_to_fix: impl Into<String>) -> Option<Problem> {
    Some(Problem { what: what.into(), how_to_fix: how_to_fix.into() })
}

fn root(is_root: bool) -> Option<Problem> {
    if is_root {
        return None;
    }
    problem("the agent does not run as root", "run a client agent as root; its tasks do not (each gets a user namespace of its own)")
}

fn old_kernel(release: &str) -> Option<Problem> {
    older_than(release, OLDEST_KERNEL, "for the exec driver")
}

fn older_than(release: &str, oldest: (u32, u32), purpose: &str) -> Option<Problem> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => return problem(format!("the kernel's version {:?} cannot be read", release.trim()), "mount /proc"),
    };
    if version >= oldest {
        return None;
    }
    problem(format!("kernel {} is too old {purpose}", release.trim()), format!("boot Linux {}.{} or newer", oldest.0, oldest.1))
}

fn cgroups() -> Option<Problem> {
    const FIX: &str =
        "boot with cgroups version 2 (systemd.unified_cgroup_hierarchy=1), and remove cgroup_disable= from the kernel's command line";
    match Layout::detect() {
        Err(error) => problem(crate::error::chain(&error), FIX),
        Ok(layout) => match layout.missing_controllers().as_slice() {
            [] => None,
            missing => problem(format!("the cgroup controllers {} are missing", missing.join(", ")), FIX),
        },
    }
}

fn no_user_namespaces(limit: &str) -> Option<Problem> {
    match limit.trim().parse::<u64>() {
        Ok(limit) if limit > 0 => None,
        Ok(_) => problem("user namespaces are switched off", "set sysctl user.max_user_namespaces=65536"),
        Err(_) => problem("the kernel has no user namespaces", "boot a kernel with CONFIG_USER_NS"),
    }
}

fn no_seccomp(status: &str) -> Option<Problem> {
    if status.lines().any(|line| line.starts_with("Seccomp:")) {
        return None;
    }
    problem("the kernel cannot filter system calls", "boot a kernel with CONFIG_SECCOMP_FILTER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_run_tasks() {
        assert_eq!(preflight(), [], "the tests of this crate need root and a machine that can run tasks");
    }

    #[test]
    fn this_machine_can_run_images() {
        assert_eq!(image_preflight(), None, "the tests of images need overlayfs");
        assert!(older_than("5.18.1", OLDEST_KERNEL_FOR_IMAGES, "for images").is_some_and(|p| p.what.contains("for images")));
        assert!(older_than("5.19.0", OLDEST_KERNEL_FOR_IMAGES, "for images").is_none());
    }

    #[test]
    fn each_lack_is_named_with_its_cure() {
        assert!(root(false).is_some_and(|problem| problem.how_to_fix.contains("root")));
        assert!(old_kernel("5.11.22-generic\n").is_some() && old_kernel("5.12.0").is_none() && old_kernel("6.1.0-37-amd64").is_none());
        assert!(old_kernel("").is_some());
        assert!(no_user_namespaces("0\n").is_some_and(|problem| problem.how_to_fix.contains("user.max_user_namespaces")));
        assert!(no_user_namespaces("").is_some() && no_user_namespaces("1").is_none());
        assert!(no_seccomp("Name:\tx\n").is_some() && no_seccomp("Seccomp:\t0\n").is_none());
    }
}
