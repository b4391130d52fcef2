//! The file system of an `image` task: the image's layers, mounted through an id map so that files belong to whom the image says, and above
//! them a folder for what the task writes. It is mounted in the shim's mount namespace alone and goes away with it.
//!
//! overlayfs cannot be mapped itself, but its lower layers can. The upper one holds the host's ids as they are: it belongs to one task, and
//! is thrown away with it.

use std::fs::{self, DirBuilder};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::unistd::{Gid, Uid, chown, unlinkat};

use super::StartError;
use super::rootfs::{ROOTFS, SCRATCH};
use crate::error::{Doing, SystemError};
use crate::mount::{Access, DetachedTree, Root, mount_new};
use crate::spec::{ImageRoot, TaskSpec};

/// Where the layers are mounted for overlayfs: short, for all their names have to fit into a page.
const LAYERS: &str = "/run/floe/shim/l";
/// Where files are made that are shown inside.
const FILES: &str = "/run/floe/shim/files";
/// What is mounted over; an image in which they are links could have it mounted elsewhere.
const MOUNT_POINTS: [&str; 3] = ["proc", "sys", "dev"];

/// Mounts the image at [`ROOTFS`].
pub(super) fn mount(spec: &TaskSpec, image: &ImageRoot, user_namespace: impl AsFd) -> Result<Root, StartError> {
    for dir in [LAYERS, FILES, SCRATCH] {
        DirBuilder::new().mode(0o755).create(dir).doing(|| format!("create {dir}"))?;
    }
    let mut lower = Vec::new();
    for (i, layer) in image.layers.iter().enumerate() {
        let at = format!("{LAYERS}/{i}");
        fs::create_dir(&at).doing(|| format!("create {at}"))?;
        let tree = DetachedTree::clone_of(layer)?;
        tree.restrict(Access::READ_ONLY)?;
        if !tree.map_ids(user_namespace.as_fd())? {
            return Err(StartError::NoIdMap(layer.display().to_string()));
        }
        tree.attach(Root::open(Path::new(&at))?.find(Path::new("/")).doing(|| format!("open {at}"))?.as_fd())?;
        lower.push(at);
    }
    if lower.is_empty() {
        let at = format!("{LAYERS}/none");
        fs::create_dir(&at).doing(|| format!("create {at}"))?;
        lower.push(at);
    }
    // overlayfs wants the highest first.
    lower.reverse();
    make_scratch(spec, image)?;
    let options = format!("lowerdir={},upperdir={SCRATCH}/upper,workdir={SCRATCH}/work,index=off", lower.join(":"));
    mount_new("overlay", Path::new(ROOTFS), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, &options)?;
    let root = Root::open(Path::new(ROOTFS))?.owned_by(spec.id_range_start);
    for name in MOUNT_POINTS {
        let path = Path::new(ROOTFS).join(name);
        // Not through the root: a link is not to be followed but to be seen.
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(StartError::OddImage(name)),
            Err(_) => drop(root.directory(&Path::new("/").join(name))?),
        }
    }
    Ok(root)
}

/// An empty folder for what the task writes: each start has a file system as the image says.
fn make_scratch(spec: &TaskSpec, image: &ImageRoot) -> Result<(), SystemError> {
    match fs::remove_dir_all(&image.scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(SystemError::new(format!("empty {}", image.scratch.display()), error));
        }
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&image.scratch).doing(|| format!("create {}", image.scratch.display()))?;
    for name in ["upper", "work"] {
        let path = image.scratch.join(name);
        DirBuilder::new().create(&path).doing(|| format!("create {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).doing(|| format!("open {}", path.display()))?;
    }
    let (uid, gid) = (Uid::from_raw(spec.id_range_start), Gid::from_raw(spec.id_range_start));
    chown(&image.scratch.join("upper"), Some(uid), Some(gid)).doing(|| "give the task its root")?;
    let tree = DetachedTree::clone_of(&image.scratch)?;
    tree.attach(Root::open(Path::new(SCRATCH))?.find(Path::new("/")).doing(|| format!("open {SCRATCH}"))?.as_fd())
}

/// Shows a small file inside, whatever the image has in its place.
pub(super) fn show_file(root: &Root, name: &str, content: &str) -> Result<(), SystemError> {
    let own = Path::new(FILES).join(name);
    fs::write(&own, content).doing(|| format!("write /etc/{name} for the task"))?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o644)).doing(|| format!("open /etc/{name} to the task"))?;
    show(root, &own, name)
}

/// Shows a file of the host inside, read-only, at `/etc/<name>`.
pub(super) fn show(root: &Root, host: &Path, name: &str) -> Result<(), SystemError> {
    let etc = root.directory(Path::new("/etc"))?;
    let inside = Path::new("/etc").join(name);
    // A link there would have it mounted where the link leads, or nowhere.
    let is_link = nix::fcntl::readlinkat(etc.as_fd(), name).is_ok();
    if is_link {
        unlinkat(etc.as_fd(), name, nix::unistd::UnlinkatFlags::NoRemoveDir)
            .doing(|| format!("take away the link {}", inside.display()))?;
    }
    let tree = DetachedTree::clone_of(host)?;
    tree.restrict(Access::READ_ONLY)?;
    tree.attach(root.file(&inside)?.as_fd())
}

/// Kernel parameters of the task's network namespace. The container may not set them, for the namespace is not its own; the shim, which has
/// entered it, may. Those of its other namespaces are set from inside.
///
/// In a network of its own a task may listen on every port and send echo requests, as images expect; neither needs a capability then.
pub(super) fn network_parameters(spec: &TaskSpec, image: &ImageRoot) -> Result<(), SystemError> {
    if spec.netns.is_some() {
        for (name, value) in [("ip_unprivileged_port_start", "0"), ("ping_group_range", "0 2147483647")] {
            // A kernel without one of them has no such limit.
            drop(fs::write(Path::new("/proc/sys/net/ipv4").join(name), value));
        }
    }
    for (name, value) in image.sysctls.iter().filter(|(name, _)| name.starts_with("net.")) {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let what = || format!("set sysctl {name:?} to {value:?} (is it there in this kernel, for network namespaces?)");
        let file = nix::fcntl::open(&path, flags, nix::sys::stat::Mode::empty()).doing(what)?;
        nix::unistd::write(&file, value.as_bytes()).doing(what)?;
    }
    Ok(())
}
