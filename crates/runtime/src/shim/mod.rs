//! The shim: one small single-threaded process per task, which is the task's parent, outlives the agent, copies its output into log files
//! and leaves its exit status behind as a file.
//!
//! Rules: no thread, no async runtime (creating containers forks, and a fork of a process with threads hangs sooner or later); nothing is
//! ever asked of the agent; every way to end goes through `finish`, which leaves neither a process nor a cgroup.
//!
//! | step | what exists afterwards |
//! |---|---|
//! | `main` forks and the child becomes a session of its own | `handle.json` |
//! | cgroup, file system, container or process | the task's program |
//! | `started.json` | the agent's `spawn` returns |
//! | supervise: output, signals, ended children | logs |
//! | `finish`: kill the rest, `exit.json`, remove the cgroup | nothing but the records |

mod container;
mod devices;
mod idmap;
mod image;
mod init;
mod link;
mod output;
mod raw;
mod rootfs;
mod supervise;

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::unistd::{ForkResult, fork, pipe2, setsid};

use crate::cgroup::{Cgroup, Seen};
use crate::error::{Doing, SystemError, chain};
use crate::process::ProcessId;
use crate::records::{self, EXIT, ExitStatus, HANDLE, STARTED, Started, TASK, TaskHandle};
use crate::spec::{Driver, SHIMS_CGROUP, SpecError, TaskSpec};
use crate::user::UserError;

/// How long the agent's `spawn` waits for a task to start, for instance while a volume on the network is mounted.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);
/// What the first process returns when [`START_TIMEOUT`] has passed.
pub(crate) const EXIT_TIMEOUT: u8 = 124;
/// The kernel's killer leaves the shim alone; it is the task that uses the memory.
const SHIM_OOM_SCORE: &str = "-998";

/// Why a task could not be started. The texts are for users.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Command(#[from] crate::command::CommandError),
    #[error("{0}")]
    Exec(String),
    #[error("user id {uid} or group id {gid} is not below 65536, and containers have no larger ids: choose another user for the task")]
    IdOutOfRange { uid: u32, gid: u32 },
    #[error("unknown capability {0:?}: use a name such as CAP_NET_BIND_SERVICE")]
    UnknownCapability(String),
    #[error(transparent)]
    WorkDir(#[from] crate::command::WorkDirError),
    #[error(
        "the file system of {0} cannot show files with other owners (id-mapped mounts), which images need: move data_dir to ext4, xfs, btrfs or tmpfs"
    )]
    NoIdMap(String),
    #[error("the image's /{0} is no directory: floe does not mount over it, because it could be a way out of the image")]
    OddImage(&'static str),
    #[error("unknown ulimit {0:?}: use a name such as nofile")]
    UnknownUlimit(String),
    #[error("ulimit {name:?} of {hard} is above the node's {most}: lower it, or raise the limit of floe's service there")]
    UlimitAboveNode { name: String, hard: u64, most: u64 },
    #[error("command, arguments and environment must not hold a NUL byte")]
    Nul,
    #[error("the container has no first process")]
    NoInit,
    #[error("build the container's configuration")]
    Configuration(#[from] oci_spec::OciSpecError),
    #[error("create the container")]
    Container(#[from] libcontainer::error::LibcontainerError),
}

/// A task whose program runs.
struct RunningTask {
    /// The program.
    task: ProcessId,
    /// The shim's own child, which ends when the task has: the program itself, or the container's init.
    child: i32,
    /// How init passes the program's status on.
    link: Option<link::ConnectedLink>,
}

/// The program that `<agent> shim <dir>` is. Call it before anything else in `main`: before threads, runtimes and loggers.
///
/// Returns when the task's program runs, or could not be started; the shim itself goes on in the background.
pub fn main(dir: &Path) -> ExitCode {
    match launch(dir) {
        Ok(code) => code,
        Err(error) => {
            complain(&chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The shim's standard error is a file beside the records.
fn complain(text: &str) {
    #[allow(clippy::print_stderr)]
    {
        eprintln!("shim: {text}");
    }
}

fn launch(dir: &Path) -> Result<ExitCode, SystemError> {
    let threads = fs::read_dir("/proc/self/task").doing(|| "count the shim's threads")?.count();
    if threads != 1 {
        return Err(SystemError::new(
            format!("start a shim in a process with {threads} threads"),
            std::io::Error::other("call shim::main first in main"),
        ));
    }
    let (ready, ready_write) = pipe2(OFlag::O_CLOEXEC).doing(|| "create a pipe")?;
    // SAFETY: the process has one thread, as was just checked.
    match unsafe { fork() }.doing(|| "fork the shim")? {
        ForkResult::Parent { .. } => {
            drop(ready_write);
            Ok(wait_ready(&ready))
        }
        ForkResult::Child => {
            drop(ready);
            Ok(run(dir, ready_write))
        }
    }
}

/// The child closes its end when the task runs, or by ending.
fn wait_ready(ready: &OwnedFd) -> ExitCode {
    let timeout = PollTimeout::try_from(START_TIMEOUT).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(ready.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(0) => ExitCode::from(EXIT_TIMEOUT),
        _ => ExitCode::SUCCESS,
    }
}

/// The life of the shim.
fn run(dir: &Path, ready: OwnedFd) -> ExitCode {
    let (spec, cgroup) = match set_up(dir) {
        Ok(set_up) => set_up,
        Err(error) => return record_exit(dir, &ExitStatus::failed_to_start(chain(&error))),
    };
    let mut ready = Some(ready);
    let status = match run_task(&spec, dir, &cgroup, &mut ready) {
        Ok(status) => status,
        Err(error) => ExitStatus::failed_to_start(chain(&error)),
    };
    let code = finish(dir, &cgroup, status);
    // A start that failed is reported only now, when nothing is left of it.
    drop(ready);
    code
}

fn set_up(dir: &Path) -> Result<(TaskSpec, Cgroup), StartError> {
    setsid().doing(|| "start a session")?;
    nix::sys::prctl::set_child_subreaper(true).doing(|| "become a subreaper")?;
    nix::sys::prctl::set_name(c"floe-shim").doing(|| "name the shim")?;
    let spec: TaskSpec = records::read(&dir.join(TASK))?.ok_or_else(|| {
        SystemError::new(format!("read {}", dir.join(TASK).display()), std::io::Error::from(std::io::ErrorKind::NotFound))
    })?;
    spec.validate()?;
    let cgroup = Cgroup::new(spec.cgroup())?;
    let shim = ProcessId::of(own_pid())?;
    records::write(&dir.join(HANDLE), &TaskHandle { id: spec.id.clone(), shim, dir: dir.to_owned(), cgroup: spec.cgroup() })?;
    Cgroup::new(Path::new(&spec.cgroup_parent).join(SHIMS_CGROUP))?.leave_unit()?;
    Ok((spec, cgroup))
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

fn run_task(spec: &TaskSpec, dir: &Path, cgroup: &Cgroup, ready: &mut Option<OwnedFd>) -> Result<ExitStatus, StartError> {
    let signals = supervise::take_signals()?;
    let (output, stdout, stderr) = output::open(&spec.logs)?;
    cgroup.create()?;
    set_oom_score("0");
    enter_network_namespace(spec)?;
    let task = match spec.driver {
        Driver::Exec | Driver::Image => container::start(spec, cgroup, stdout, stderr)?,
        Driver::RawExec => raw::start(spec, cgroup, stdout, stderr)?,
    };
    set_oom_score(SHIM_OOM_SCORE);
    let started = Started { task: task.task.clone(), shim: ProcessId::of(own_pid())?, started_at_ns: records::now_ns() };
    records::write(&dir.join(STARTED), &started)?;
    *ready = None;
    Ok(supervise::supervise(spec, task, cgroup, output, &signals)?)
}

/// The shim itself joins the namespace and its task inherits it: a container with a user namespace of its own is not allowed to join a
/// namespace that it does not own. The shim makes no use of the network.
fn enter_network_namespace(spec: &TaskSpec) -> Result<(), SystemError> {
    let Some(path) = &spec.netns else { return Ok(()) };
    let what = || format!("enter network namespace {}", path.display());
    let namespace = File::open(path).doing(what)?;
    setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).doing(what)
}

/// Best effort: without the right to lower it the score stays as it is.
fn set_oom_score(score: &str) {
    drop(fs::write("/proc/self/oom_score_adj", score));
}

/// Leaves nothing but the records. The status is written first: what goes wrong afterwards must not lose it.
fn finish(dir: &Path, cgroup: &Cgroup, mut status: ExitStatus) -> ExitCode {
    let killed = cgroup.kill_all(Seen::default(), supervise::reap_orphans);
    let code = record_exit(dir, &status);
    let cleaned = killed.and_then(|()| cgroup.remove());
    if let Err(error) = cleaned {
        let text = chain(&error);
        complain(&text);
        status.error.get_or_insert(format!("clean up after the task: {text}"));
        return record_exit(dir, &status);
    }
    code
}

fn record_exit(dir: &Path, status: &ExitStatus) -> ExitCode {
    match records::write(&dir.join(EXIT), status) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{}: the status was {status:?}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The program's arguments; the first is the command as the user wrote it.
fn argv(spec: &TaskSpec) -> Result<Vec<CString>, StartError> {
    std::iter::once(&spec.command).chain(&spec.args).map(|arg| c_string(arg)).collect()
}

/// The program's environment.
fn envp(spec: &TaskSpec) -> Result<Vec<CString>, StartError> {
    spec.env.iter().map(|(key, value)| c_string(&format!("{key}={value}"))).collect()
}

fn c_string(text: &str) -> Result<CString, StartError> {
    CString::new(text).map_err(|_| StartError::Nul)
}

/// Opens a device that swallows what a task with disabled logs writes. Not `/dev/null`: libcontainer replaces every standard stream that
/// is `/dev/null` by the container's own, opened for reading only.
fn swallowing_device() -> Result<OwnedFd, SystemError> {
    Ok(File::options().write(true).open("/dev/zero").doing(|| "open /dev/zero")?.into())
}
