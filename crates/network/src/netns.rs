//! Named network namespaces without forking, and doing things inside them.
//!
//! A thread that enters a namespace must never come back to other work, so each such job has a thread of
//! its own that ends with it. No process is created.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use crate::error::KernelError;
use crate::netlink::{Channel, Family, refusal};

/// The namespace of the calling thread. `/proc/self` would be that of the process's first thread.
const OWN: &str = "/proc/thread-self/ns/net";
/// How many mounts on one file are taken off; more than one is another program's doing.
const MAX_STACKED_MOUNTS: usize = 16;

/// A network namespace and a routing socket inside it.
pub(crate) struct Namespace {
    pub(crate) file: File,
    pub(crate) channel: Channel,
}

/// Creates a namespace and gives it a name. Nothing remains of it when that fails.
pub(crate) fn create(path: &Path) -> Result<Namespace, KernelError> {
    let operation = || format!("create the network namespace {}", path.display());
    File::create_new(path).map_err(|e| KernelError::refused(operation(), e))?;
    let created = on_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| refusal(&operation(), missing_feature(e), e as i32))?;
        mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(|e| KernelError::refused(operation(), e))?;
        let file = File::open(OWN).map_err(|e| KernelError::refused(operation(), e))?;
        Ok(Namespace { file, channel: Channel::open(Family::Route)? })
    });
    if created.is_err()
        && let Err(error) = remove(path)
    {
        tracing::warn!(%error, "a namespace that could not be created could not be removed either");
    }
    created
}

/// Opens a named namespace; none when the name is missing or is not one of a namespace, as after a
/// reboot or when the agent was killed between two steps.
pub(crate) fn open(path: &Path) -> Result<Option<Namespace>, KernelError> {
    let operation = || format!("open the network namespace {}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(KernelError::refused(operation(), e)),
    };
    let kind = fstatfs(&file).map_err(|e| KernelError::refused(operation(), e))?.filesystem_type();
    if kind != NSFS_MAGIC {
        return Ok(None);
    }
    let channel = on_thread(|| {
        setns(&file, CloneFlags::CLONE_NEWNET).map_err(|e| KernelError::refused(operation(), e))?;
        Channel::open(Family::Route)
    })?;
    Ok(Some(Namespace { file, channel }))
}

/// Takes a namespace's name away; the kernel collects it, with the links in it, as soon as no process
/// and no socket is left inside. A name that does not exist is no error.
pub(crate) fn remove(path: &Path) -> Result<(), KernelError> {
    let operation = || format!("remove the network namespace {}", path.display());
    for _ in 0..MAX_STACKED_MOUNTS {
        match umount2(path, MntFlags::MNT_DETACH) {
            Ok(()) => {}
            // Not a mount (any more), or not there at all.
            Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => break,
            Err(e) => return Err(KernelError::refused(operation(), e)),
        }
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(KernelError::refused(operation(), e)),
        _ => Ok(()),
    }
}

/// The names in the directory of the namespaces; none when it does not exist.
pub(crate) fn list(directory: &Path) -> Result<Vec<String>, KernelError> {
    let refused = |e| KernelError::refused(format!("list the namespaces in {}", directory.display()), e);
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(refused(e)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<io::Result<_>>().map_err(refused)?;
    names.sort();
    Ok(names)
}

/// Makes the directory of the namespaces.
pub(crate) fn prepare(directory: &Path) -> Result<(), KernelError> {
    std::fs::create_dir_all(directory).map_err(|e| KernelError::refused(format!("create the directory {}", directory.display()), e))
}

/// Moves the calling thread into the namespace that plays the host.
pub(crate) fn enter_host(path: &PathBuf) -> io::Result<()> {
    setns(File::open(path)?, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

fn missing_feature(errno: nix::errno::Errno) -> Option<&'static str> {
    (errno == nix::errno::Errno::EINVAL).then_some("CONFIG_NET_NS")
}

/// Runs a job on a thread that ends with it.
fn on_thread<T: Send>(job: impl FnOnce() -> Result<T, KernelError> + Send) -> Result<T, KernelError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("floe-netns".into()).spawn_scoped(scope, job);
        let thread = thread.map_err(|e| KernelError::refused("start a thread for a network namespace", e))?;
        let lost = |_| KernelError::Malformed { operation: "work in a network namespace".into() };
        thread.join().map_err(lost).flatten()
    })
}
