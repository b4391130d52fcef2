//! The file system that a task in a container sees, built by the shim as real root in a mount namespace of its own: a small tmpfs with
//! the host's programs (`exec`), or the layers of an image, on which the task's directories and the volumes are mounted.
//!
//! It is built before libcontainer starts because the data directory may lie below a directory that only root can enter, and because
//! mounts made in the shim's namespace disappear with its last process, however that ends: nothing can be left on the host.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, fchown};

use super::container::MOUNTED_INSIDE;
use super::{StartError, idmap, image};
use crate::cgroup::{Cgroup, Layout};
use crate::error::{Doing, SystemError};
use crate::mount::{Access, DetachedTree, Root, mount_new, set_propagation};
use crate::spec::{DEFAULT_EXEC_USER, DEFAULT_IMAGE_USER, ID_RANGE_SIZE, ImageRoot, TaskSpec, ViewEntry};
use crate::user::{self, Identity};

/// Where the shim mounts the task's file system, in its own mount namespace only. Every directory above must be open to all, because the
/// container's root is nobody on the host.
pub(super) const ROOTFS: &str = "/run/floe/shim/rootfs";
/// The tmpfs in which all of that is. libcontainer's configuration and state are there too, beside what the task sees: they hold the
/// task's environment and need no cleaning up, because the tmpfs goes away with the shim's mount namespace.
const PRIVATE: &str = "/run/floe/shim";
/// Where an image's upper folder is mounted.
pub(super) const SCRATCH: &str = "/run/floe/shim/u";
/// libcontainer's configuration.
pub(super) const BUNDLE: &str = "/run/floe/shim/bundle";
/// libcontainer's state.
pub(super) const STATE: &str = "/run/floe/shim/state";
/// Where programs find libraries. Hooks of devices write it anew, which they could not where it is mounted.
const LIBRARY_CACHE: &str = "/etc/ld.so.cache";
/// Mount points and a few small files; a job cannot fill it.
const PRIVATE_OPTIONS: &str = "mode=0755,size=4m,nr_inodes=4096";

/// Builds the file system at [`ROOTFS`], and tells who the task runs as: that may stand in it.
pub(super) fn build(spec: &TaskSpec, cgroup: &Cgroup) -> Result<(Root, Identity), StartError> {
    enter_mount_namespace()?;
    let user_namespace = idmap::user_namespace(spec.id_range_start)?;
    let (root, identity) = match &spec.image {
        Some(image) => {
            let root = image::mount(spec, image, &user_namespace)?;
            let identity = user::resolve_in(&root, spec.user.as_deref().unwrap_or(DEFAULT_IMAGE_USER))?;
            (root, identity)
        }
        None => (Root::open(Path::new(ROOTFS))?, user::resolve(spec.user.as_deref().unwrap_or(DEFAULT_EXEC_USER))?),
    };
    if identity.uid >= ID_RANGE_SIZE || identity.gid >= ID_RANGE_SIZE {
        return Err(StartError::IdOutOfRange { uid: identity.uid, gid: identity.gid });
    }
    let builder = Builder { root, spec, identity, user_namespace };
    match &spec.image {
        Some(image) => builder.image_files(image)?,
        None => builder.host_files()?,
    }
    builder.task_dirs()?;
    builder.binds()?;
    builder.device_mounts()?;
    mount_sysfs()?;
    mount_cgroup_view(cgroup)?;
    // What is mounted on the host from now on does not appear in the task.
    set_propagation(Path::new(PRIVATE), MsFlags::MS_PRIVATE)?;
    Ok((builder.root, builder.identity))
}

/// Own mount namespace. Slave: an unmount on the host still reaches the shim, so it does not keep file systems busy.
fn enter_mount_namespace() -> Result<(), SystemError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o755).create(PRIVATE).doing(|| format!("create {PRIVATE}"))?;
    unshare(CloneFlags::CLONE_NEWNS).doing(|| "create a mount namespace")?;
    set_propagation(Path::new("/"), MsFlags::MS_SLAVE)?;
    mount_new("tmpfs", Path::new(PRIVATE), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, PRIVATE_OPTIONS)?;
    for (path, mode) in [(ROOTFS, 0o755), (BUNDLE, 0o700), (STATE, 0o700)] {
        fs::DirBuilder::new().mode(mode).create(path).doing(|| format!("create {path}"))?;
    }
    Ok(())
}

struct Builder<'a> {
    root: Root,
    spec: &'a TaskSpec,
    identity: Identity,
    user_namespace: OwnedFd,
}

impl Builder<'_> {
    /// The host's programs and the few files that they want.
    fn host_files(&self) -> Result<(), SystemError> {
        for dir in ["proc", "sys", "dev", "etc", "run", "var", "var/tmp"] {
            self.root.directory(&Path::new("/").join(dir))?;
        }
        self.host_view()?;
        self.generated_files()
    }

    /// What an image cannot know: names and addresses. Its other files are its own.
    fn image_files(&self, image: &ImageRoot) -> Result<(), SystemError> {
        let host = |name: &str| fs::canonicalize(Path::new("/etc").join(name));
        for (name, content) in [("resolv.conf", &self.spec.resolv_conf), ("hosts", &self.spec.hosts)] {
            match (content, host(name)) {
                (Some(content), _) => image::show_file(&self.root, name, content)?,
                (None, Ok(host)) => image::show(&self.root, &host, name)?,
                // A host without one has nothing to show.
                (None, Err(_)) => {}
            }
        }
        image::show_file(&self.root, "hostname", &format!("{}\n", super::container::hostname(self.spec)))?;
        for tmpfs in &image.tmpfs {
            self.root.directory(&tmpfs.destination)?;
        }
        if let Some(dir) = self.spec.work_dir.as_ref().filter(|dir| !MOUNTED_INSIDE.iter().any(|mount| dir.starts_with(mount))) {
            self.root.directory(dir)?;
        }
        image::network_parameters(self.spec, image)
    }

    /// Directories first, so that a symbolic link can be kept as a link when what it points to is in view.
    fn host_view(&self) -> Result<(), SystemError> {
        let mut links = Vec::new();
        for entry in &self.spec.host_view {
            match fs::symlink_metadata(&entry.host) {
                Err(_) => {}
                Ok(_) if entry.container == Path::new(LIBRARY_CACHE) && !self.spec.devices.hooks.is_empty() => {
                    self.copy(&entry.host, LIBRARY_CACHE)?
                }
                Ok(metadata) if metadata.is_symlink() => links.push(entry),
                Ok(_) => self.view(&entry.host, &entry.container)?,
            }
        }
        links.into_iter().try_for_each(|entry| self.view_link(entry))
    }

    /// A file of the task's own that begins as the host's is.
    fn copy(&self, host: &Path, container: &str) -> Result<(), SystemError> {
        drop(self.root.file(Path::new(container))?);
        let what = || format!("copy {} for the task", host.display());
        fs::copy(host, Path::new(ROOTFS).join(container.trim_start_matches('/'))).doing(what).map(drop)
    }

    fn view_link(&self, entry: &ViewEntry) -> Result<(), SystemError> {
        // A dangling link on the host is as good as a missing entry.
        let Ok(target) = fs::canonicalize(&entry.host) else { return Ok(()) };
        if self.root.find(&target).is_err() {
            return self.view(&target, &entry.container);
        }
        if let (Some(parent), Some(name)) = (entry.container.parent(), entry.container.file_name()) {
            let parent = self.root.directory(parent)?;
            let what = || format!("link {} in the task's file system", entry.container.display());
            match nix::unistd::symlinkat(&target, parent.as_fd(), name) {
                Err(nix::Error::EEXIST) => Ok(()),
                result => result.doing(what),
            }?;
        }
        Ok(())
    }

    fn view(&self, host: &Path, container: &Path) -> Result<(), SystemError> {
        let tree = DetachedTree::clone_of(host)?;
        tree.restrict(Access::READ_ONLY)?;
        self.attach(tree, host, container)
    }

    fn attach(&self, tree: DetachedTree, host: &Path, container: &Path) -> Result<(), SystemError> {
        let target = if host.is_dir() { self.root.directory(container)? } else { self.root.file(container)? };
        tree.attach(target.as_fd())
    }

    fn generated_files(&self) -> Result<(), SystemError> {
        let files = [("resolv.conf", self.spec.resolv_conf.as_deref()), ("hosts", self.spec.hosts.as_deref())];
        for (name, content) in files {
            let container = Path::new("/etc").join(name);
            match content {
                Some(content) => {
                    let path = Path::new(ROOTFS).join("etc").join(name);
                    fs::write(&path, content).doing(|| format!("write {} for the task", container.display()))?;
                }
                None => self.view_link(&ViewEntry { host: container.clone(), container })?,
            }
        }
        let hostname = format!("{}\n", super::container::hostname(self.spec));
        fs::write(Path::new(ROOTFS).join("etc/hostname"), hostname).doing(|| "write /etc/hostname for the task")?;
        // /var/tmp is where some programs put files that /tmp is too small for; here both are the task's own directory.
        let var_tmp = Path::new(ROOTFS).join("var/tmp");
        fs::remove_dir(&var_tmp).and_then(|()| symlink("/tmp", &var_tmp)).doing(|| "link /var/tmp for the task")
    }

    fn task_dirs(&self) -> Result<(), SystemError> {
        let dirs = &self.spec.dirs;
        self.shared_dir(&dirs.alloc)?;
        self.own_dir(&dirs.local, "/local", Access::READ_WRITE)?;
        self.own_dir(&dirs.secrets, "/secrets", Access::READ_WRITE_NO_EXEC)?;
        // An image has its own, which may hold something.
        if self.spec.image.is_some() { Ok(()) } else { self.own_dir(&dirs.tmp, "/tmp", Access::READ_WRITE) }
    }

    /// A directory of this task alone: it belongs to the task's user.
    fn own_dir(&self, host: &Path, container: &str, access: Access) -> Result<(), SystemError> {
        let mapped = self.writable(host, Path::new(container), access)?;
        let shift = if mapped { 0 } else { self.spec.id_range_start };
        let dir = open_dir(host)?;
        let (uid, gid) = (Uid::from_raw(self.identity.uid + shift), Gid::from_raw(self.identity.gid + shift));
        fchown(dir.as_fd(), Some(uid), Some(gid)).doing(|| format!("give {} to the task's user", host.display()))
    }

    /// The directory that all tasks of the allocation share, whoever they run as. Nobody else on the host can reach it, because the
    /// allocation's own directory is closed. Its logs are for reading only: a task must not rewrite what the shim appends to.
    fn shared_dir(&self, host: &Path) -> Result<(), SystemError> {
        self.writable(host, Path::new("/alloc"), Access::READ_WRITE)?;
        for name in ["", "data", "tmp"] {
            match open_dir(&host.join(name)) {
                Ok(dir) => File::from(dir)
                    .set_permissions(Permissions::from_mode(0o777))
                    .doing(|| format!("open {} to all tasks", host.join(name).display()))?,
                Err(error) if !name.is_empty() && error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        match self.spec.logs.dir.strip_prefix(host) {
            Ok(inside) if !inside.as_os_str().is_empty() && !self.spec.logs.disabled => {
                self.view(&self.spec.logs.dir, &Path::new("/alloc").join(inside))
            }
            _ => Ok(()),
        }
    }

    fn binds(&self) -> Result<(), SystemError> {
        for bind in &self.spec.binds {
            let access = if bind.read_only { Access::READ_ONLY } else { Access::READ_WRITE };
            let what = || format!("find {} to mount it at {}", bind.source.display(), bind.destination.display());
            // Held until it is mounted: its name stands for it.
            let held;
            let source = match &bind.below {
                Some(folder) => {
                    held = Root::open(folder)?.directory(&bind.source)?;
                    PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()))
                }
                None => fs::canonicalize(&bind.source).doing(what)?,
            };
            self.prepare_inside_task_dirs(&bind.destination, source.is_dir())?;
            self.writable(&source, &bind.destination, access)?;
        }
        Ok(())
    }

    /// What devices bring along. It is shown as it is on the host: libraries belong to root, and sockets to whoever they say.
    fn device_mounts(&self) -> Result<(), SystemError> {
        for (i, mount) in self.spec.devices.mounts.iter().enumerate() {
            let source = fs::canonicalize(&mount.source)
                .doing(|| format!("find {} of a device to mount it at {}", mount.source.display(), mount.destination.display()))?;
            self.prepare_inside_task_dirs(&mount.destination, source.is_dir())?;
            self.make_room(&mount.destination, i)?;
            let tree = DetachedTree::clone_of(&source)?;
            tree.restrict(Access { read_only: mount.read_only, no_exec: mount.no_exec })?;
            self.attach(tree, &source, &mount.destination)?;
        }
        Ok(())
    }

    /// Where a mount point would have to be made in the view of the host, which cannot be written: lays a directory of the task's own over the
    /// last one that is there. What is mounted below that one is not seen through it.
    fn make_room(&self, destination: &Path, number: usize) -> Result<(), SystemError> {
        if self.root.find(destination).is_ok() {
            return Ok(());
        }
        let Some((at, dir)) = destination.ancestors().skip(1).find_map(|at| Some((at, self.root.find(at).ok()?))) else { return Ok(()) };
        let what = || format!("make room for {} in {}", destination.display(), at.display());
        if !nix::sys::statvfs::fstatvfs(&dir).doing(what)?.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY) {
            return Ok(());
        }
        let own = Path::new(PRIVATE).join(format!("over{number}"));
        for name in ["", "upper", "work"] {
            fs::DirBuilder::new().mode(0o755).create(own.join(name)).doing(what)?;
        }
        let through = format!("/proc/self/fd/{}", dir.as_raw_fd());
        let options = format!("lowerdir={through},upperdir={},workdir={}", own.join("upper").display(), own.join("work").display());
        mount_new("overlay", Path::new(&through), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, &options)
    }

    /// A mount point below a task's directory is made in the directory itself: through the id map the shim's root does not exist and may
    /// not own files. The directory is the root of the look-up, so a link that a task left there leads nowhere else.
    fn prepare_inside_task_dirs(&self, destination: &Path, is_dir: bool) -> Result<(), SystemError> {
        let dirs = &self.spec.dirs;
        let tmp = self.spec.image.is_none().then_some((&dirs.tmp, "/tmp"));
        for (host, container) in [(&dirs.alloc, "/alloc"), (&dirs.local, "/local"), (&dirs.secrets, "/secrets")].into_iter().chain(tmp) {
            match destination.strip_prefix(container) {
                Ok(inside) if !inside.as_os_str().is_empty() => {
                    let root = Root::open(host)?;
                    drop(if is_dir { root.directory(inside)? } else { root.file(inside)? });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Mounts through the id map where the file system can do that. Tells whether it could.
    fn writable(&self, host: &Path, container: &Path, access: Access) -> Result<bool, SystemError> {
        let tree = DetachedTree::clone_of(host)?;
        tree.restrict(access)?;
        let mapped = tree.map_ids(self.user_namespace.as_fd())?;
        self.attach(tree, host, container)?;
        Ok(mapped)
    }
}

/// Opens a directory that a task may have replaced by something else, without following links.
fn open_dir(path: &Path) -> Result<OwnedFd, SystemError> {
    nix::fcntl::open(path, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
        .doing(|| format!("open directory {}", path.display()))
}

/// sysfs shows the devices of the network namespace in which it is mounted, which is the task's: the shim is already in it. Only that
/// namespace's owner may mount it, so it cannot be done from inside of the container.
fn mount_sysfs() -> Result<(), SystemError> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount_new("sysfs", &Path::new(ROOTFS).join("sys"), flags, "")
}

/// Programs size themselves by the limits they read in `/sys/fs/cgroup`: show them the task's own cgroup, read-only.
fn mount_cgroup_view(cgroup: &Cgroup) -> Result<(), SystemError> {
    let target = Path::new("/sys/fs/cgroup");
    let root = Root::open(Path::new(ROOTFS))?;
    // Some kernels have no cgroup directory in sysfs.
    let Ok(place) = root.find(target) else { return Ok(()) };
    match cgroup.layout() {
        Layout::V2 { root: tree } => {
            let view = DetachedTree::clone_of(&tree.join(cgroup.path()))?;
            view.restrict(Access::READ_ONLY)?;
            view.attach(place.as_fd())
        }
        Layout::V1 { trees } => {
            mount_new(
                "tmpfs",
                &Path::new(ROOTFS).join("sys/fs/cgroup"),
                MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
                "mode=0755,size=64k",
            )?;
            for tree in trees {
                let own = tree.root.join(cgroup.path());
                if !tree.controllers.is_empty() && own.is_dir() {
                    let name = tree.root.file_name().unwrap_or(OsStr::new("cgroup"));
                    let view = DetachedTree::clone_of(&own)?;
                    view.restrict(Access::READ_ONLY)?;
                    view.attach(root.directory(&target.join(name))?.as_fd())?;
                }
            }
            Ok(())
        }
    }
}

/// Where a command may be: decided by `command::candidates`, looked up here inside the task's own file system.
pub(super) fn probe(root: &Root, path: &Path) -> io::Result<Option<fs::Metadata>> {
    match root.find(path) {
        Ok(fd) => File::from(fd).metadata().map(Some),
        Err(nix::Error::ENOENT | nix::Error::ENOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The rootfs path for the container's configuration.
pub(super) fn path() -> PathBuf {
    PathBuf::from(ROOTFS)
}
