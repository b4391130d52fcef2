//! Devices of a container: its device files, what the device controller allows, and the hooks.
//!
//! A container cannot make device files (it has a user namespace of its own), and files of the host's `/dev` belong to ids that it does not have.
//! So the shim makes them, as real root, on a small file system of its own, which is gone with it; libcontainer binds them into the container's `/dev`.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::MsFlags;
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Gid, Pid, Uid, chown};
use oci_spec::OciSpecError;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, Mount, MountBuilder};

use super::init::reset_signals;
use super::rootfs::BUNDLE;
use crate::devices::{DeviceNode, Hook, NodeType};
use crate::error::{Doing, SystemError};
use crate::mount::mount_new;
use crate::process;
use crate::spec::TaskSpec;

/// Where the device files are made, in the shim's mount namespace only.
const NODES: &str = "/run/floe/shim/devices";
/// How long all hooks of a task may take together: the agent waits a minute for the start.
const HOOKS_TIMEOUT: Duration = Duration::from_secs(40);
/// How much of what a failed hook said is shown, in bytes.
const MAX_COMPLAINT_BYTES: usize = 2_048;

/// A device file that was made.
pub(super) struct Made<'a> {
    node: &'a DeviceNode,
    source: PathBuf,
    node_type: NodeType,
    numbers: (u32, u32),
}

/// Makes the task's device files.
pub(super) fn make(spec: &TaskSpec) -> Result<Vec<Made<'_>>, SystemError> {
    let wanted: Vec<&DeviceNode> = spec.devices.nodes.iter().filter(|n| !n.is_everywhere()).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    DirBuilder::new().mode(0o755).create(NODES).doing(|| format!("create {NODES}"))?;
    // The only file system of the container, beside its /dev, that may hold devices.
    mount_new("tmpfs", Path::new(NODES), MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, "mode=0755,size=64k")?;
    wanted.into_iter().enumerate().map(|(i, node)| make_one(node, Path::new(NODES).join(i.to_string()), spec.id_range_start)).collect()
}

fn make_one(node: &DeviceNode, source: PathBuf, shift: u32) -> Result<Made<'_>, SystemError> {
    let (node_type, numbers) = look_up(node)?;
    let what = || format!("make the device file {}", node.path.display());
    let flag = if node_type == NodeType::Block { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
    let device = makedev(u64::from(numbers.0), u64::from(numbers.1));
    mknod(&source, flag, Mode::empty(), device).doing(what)?;
    let shifted = |id: Option<u32>| id.map(|id| id + shift);
    chown(&source, shifted(node.uid).map(Uid::from_raw), shifted(node.gid).map(Gid::from_raw)).doing(what)?;
    // Not by mknod, which heeds the umask.
    fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(node.bits())).doing(what)?;
    Ok(Made { node, source, node_type, numbers })
}

/// What the host's file says where the specification does not.
fn look_up(node: &DeviceNode) -> Result<(NodeType, (u32, u32)), SystemError> {
    if let (Some(node_type), Some(numbers)) = (node.node_type, node.numbers) {
        return Ok((node_type, numbers));
    }
    let what = || format!("look at the device {} (is its driver loaded?)", node.host_path.display());
    let metadata = fs::metadata(&node.host_path).doing(what)?;
    let kind = metadata.file_type();
    let found = match (kind.is_block_device(), kind.is_char_device()) {
        (true, _) => NodeType::Block,
        (_, true) => NodeType::Character,
        _ => return Err(SystemError::new(what(), io::Error::other("it is no device"))),
    };
    if node.node_type.is_some_and(|wanted| wanted != found) {
        return Err(SystemError::new(what(), io::Error::other("it is another type of device than its specification says")));
    }
    let numbers = node.numbers.unwrap_or_else(|| (libc::major(metadata.rdev()), libc::minor(metadata.rdev())));
    Ok((found, numbers))
}

impl Made<'_> {
    /// How libcontainer is to put it into the container's `/dev`.
    pub(super) fn mount(&self) -> Result<Mount, OciSpecError> {
        let options = ["bind", "nosuid", "noexec"].map(str::to_owned).to_vec();
        MountBuilder::default().destination(&self.node.path).typ("bind").source(&self.source).options(options).build()
    }

    /// What the device controller is to allow.
    pub(super) fn rule(&self) -> Result<LinuxDeviceCgroup, OciSpecError> {
        let access: String = [(self.node.read, 'r'), (self.node.write, 'w')].into_iter().filter(|(may, _)| *may).map(|(_, c)| c).collect();
        LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(if self.node_type == NodeType::Block { LinuxDeviceType::B } else { LinuxDeviceType::C })
            .major(i64::from(self.numbers.0))
            .minor(i64::from(self.numbers.1))
            .access(access)
            .build()
    }
}

/// Runs the hooks in order. The container's file system is there, and its configuration lies in the bundle; it has no process yet.
pub(super) fn run_hooks(spec: &TaskSpec) -> Result<(), SystemError> {
    let deadline = Instant::now() + HOOKS_TIMEOUT;
    spec.devices.hooks.iter().try_for_each(|hook| run_hook(hook, &spec.id, deadline))
}

fn run_hook(hook: &Hook, id: &str, deadline: Instant) -> Result<(), SystemError> {
    let what = || format!("run the device's hook {}", hook.path.display());
    let own = hook.timeout_s.map(Duration::from_secs).unwrap_or(HOOKS_TIMEOUT);
    let timeout = own.min(deadline.saturating_duration_since(Instant::now()));
    // A file and not a pipe: nobody has to read while the hook runs, and a child of it that stays keeps nobody waiting.
    let mut said = complaints().doing(what)?;
    let mut child = start(hook, &said).doing(what)?;
    let told = tell(&mut child, id);
    let status = wait(&mut child, timeout).and_then(|status| told.map(|()| status)).doing(what)?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(SystemError::new(what(), io::Error::other(format!("{status}{}", tail(&mut said))))),
        None => Err(SystemError::new(what(), io::Error::other(format!("it took longer than {} s{}", timeout.as_secs(), tail(&mut said))))),
    }
}

fn complaints() -> io::Result<File> {
    let fd: OwnedFd = nix::sys::memfd::memfd_create(c"hook", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    Ok(fd.into())
}

fn start(hook: &Hook, said: &File) -> io::Result<Child> {
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|v| v.split_once('=')));
    command.current_dir(BUNDLE).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(said.try_clone()?).process_group(0);
    // SAFETY: only changes the child's signals, by calls that are allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            reset_signals();
            Ok(())
        });
    }
    command.spawn()
}

/// The state of the container, as OCI's hooks read it.
fn tell(child: &mut Child, id: &str) -> io::Result<()> {
    let state = serde_json::json!({
        "ociVersion": "1.0.2", "id": id, "status": "creating", "pid": std::process::id(), "bundle": BUNDLE, "annotations": {},
    });
    let Some(mut stdin) = child.stdin.take() else { return Ok(()) };
    match stdin.write_all(state.to_string().as_bytes()) {
        // It does not want to know, or has ended: its status tells.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Its status, or `None` when it took too long and was killed.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let ended = match process::pidfd_open(pid)? {
        Some(pidfd) => process::wait_ended(pidfd.as_fd(), timeout).map_err(io::Error::other)?,
        None => true,
    };
    if !ended {
        // With what it has started: it leads a group of its own.
        killpg(Pid::from_raw(pid), Signal::SIGKILL)?;
        child.wait()?;
        return Ok(None);
    }
    child.wait().map(Some)
}

/// The end of what it said, after a colon.
fn tail(said: &mut File) -> String {
    let mut text = Vec::new();
    let read = said.rewind().and_then(|()| said.read_to_end(&mut text));
    let start = text.len().saturating_sub(MAX_COMPLAINT_BYTES);
    let text = String::from_utf8_lossy(text.get(start..).unwrap_or_default()).trim().to_owned();
    if read.is_err() || text.is_empty() { String::new() } else { format!(": {text}") }
}
