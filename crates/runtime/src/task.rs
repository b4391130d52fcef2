//! The agent's side: start a task's shim, find it again, ask and signal its task, and remove what is left.
//!
//! Everything here blocks, briefly; an async agent calls it on a blocking thread. To wait for a task without blocking, wait until
//! `TaskProcess::shim_pidfd` is readable, then call `TaskProcess::try_exit`.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cgroup::{Cgroup, Seen, TaskStats};
use crate::error::{Doing, SystemError, chain};
use crate::process::{self, ProcessId, boot_id};
use crate::records::{self, EXIT, ExitStatus, STARTED, Started, TASK, TaskHandle};
use crate::shim::{EXIT_TIMEOUT, START_TIMEOUT};
use crate::signal::Signal;
use crate::spec::{SpecError, TaskSpec};

/// Where a shim complains when it cannot write its records.
const SHIM_LOG: &str = "shim.log";
/// The end of that file, as far as it is quoted in an error.
const SHIM_LOG_QUOTE_BYTES: usize = 2_000;
/// How long a shim that was sent SIGKILL may take to be gone.
const SHIM_KILL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Why a task could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The specification cannot be honoured.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The directory's task still runs.
    #[error("task {id:?} already runs in {dir}: stop it first, or attach to it")]
    AlreadyRuns {
        /// The task.
        id: String,
        /// The shim's directory.
        dir: String,
    },
    /// The shim said why: a text for the user.
    #[error("{0}")]
    Task(String),
    /// The shim ended without a word.
    #[error("the shim of task {id:?} failed: {log}")]
    Shim {
        /// The task.
        id: String,
        /// What it wrote to its log.
        log: String,
    },
    /// The task did not start in time.
    #[error("task {id:?} did not start within {seconds} s: look for a volume or network file system that does not answer", seconds = START_TIMEOUT.as_secs())]
    TimedOut {
        /// The task.
        id: String,
    },
    /// The machine refused.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Starts a task: writes `task.json` to `dir`, runs `<exe> shim <dir>`, and returns when the task's program runs.
///
/// `dir` belongs to the shim from now until `destroy`. It may be used again for the same task after that task has ended; what the previous
/// run left there is removed. Neither it nor the task's directories may lie below `/run/floe/shim`, where the shim mounts.
///
/// # Errors
/// When the task could not be started; then nothing of it is left but `dir`, and the error says what to do.
pub fn spawn(spec: &TaskSpec, dir: &Path, exe: &Path) -> Result<TaskHandle, SpawnError> {
    spec.validate()?;
    if let Ok(Some(old)) = TaskHandle::load(dir)
        && old.shim.is_running()
    {
        return Err(SpawnError::AlreadyRuns { id: old.id, dir: dir.display().to_string() });
    }
    destroy(dir)?;
    DirBuilder::new().recursive(true).mode(0o700).create(dir).doing(|| format!("create {}", dir.display()))?;
    records::write(&dir.join(TASK), spec)?;
    let code = run_launcher(dir, exe)?;
    if code == Some(i32::from(EXIT_TIMEOUT)) {
        destroy(dir)?;
        return Err(SpawnError::TimedOut { id: spec.id.clone() });
    }
    let started: Option<Started> = records::read(&dir.join(STARTED))?;
    match (started, TaskHandle::load(dir)?) {
        (Some(_), Some(handle)) => Ok(handle),
        (_, handle) => {
            // It has cleaned up by now and only ends; the caller may start again at once.
            if let Some(shim) = handle.map(|handle| handle.shim.open()).transpose()?.flatten() {
                process::wait_ended(shim.as_fd(), SHIM_KILL_TIMEOUT)?;
            }
            Err(start_failure(spec, dir))
        }
    }
}

fn run_launcher(dir: &Path, exe: &Path) -> Result<Option<i32>, SystemError> {
    let what = || format!("run the shim {} shim {}", exe.display(), dir.display());
    let log = File::create(dir.join(SHIM_LOG)).doing(what)?;
    let status = Command::new(exe)
        .arg("shim")
        .arg(dir)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .status()
        .doing(what)?;
    Ok(status.code())
}

fn start_failure(spec: &TaskSpec, dir: &Path) -> SpawnError {
    match records::read::<ExitStatus>(&dir.join(EXIT)) {
        Ok(Some(ExitStatus { error: Some(error), .. })) => SpawnError::Task(error),
        _ => {
            let log = fs::read(dir.join(SHIM_LOG)).unwrap_or_default();
            let quote = log.get(log.len().saturating_sub(SHIM_LOG_QUOTE_BYTES)..).unwrap_or_default();
            SpawnError::Shim { id: spec.id.clone(), log: String::from_utf8_lossy(quote).trim().to_owned() }
        }
    }
}

/// What became of a task while nobody looked.
#[derive(Debug)]
pub enum Attached {
    /// It runs.
    Running(TaskProcess),
    /// It has ended, and everything of it is cleaned up but `dir`.
    Exited(ExitStatus),
    /// Nobody can tell how it ended; everything of it is cleaned up but `dir`.
    Lost {
        /// Why, in words for the user.
        reason: String,
    },
}

/// Finds a task again. A task whose shim was killed is ended too (the kernel does that at once, and this makes sure of it): nobody could
/// tell how it ends, and its output would go nowhere.
///
/// # Errors
/// When the machine cannot tell, or a dead task's processes cannot be killed.
pub fn reattach(handle: &TaskHandle) -> Result<Attached, SystemError> {
    let cgroup = Cgroup::new(&handle.cgroup)?;
    if let Some(shim) = handle.shim.open()? {
        return Ok(Attached::Running(TaskProcess { handle: handle.clone(), shim, cgroup }));
    }
    let exit = records::read::<ExitStatus>(&handle.dir.join(EXIT));
    // A directory that was used again has the cgroup of the task that runs there now.
    let is_current = TaskHandle::load(&handle.dir).ok().flatten().is_none_or(|current| current.shim == handle.shim);
    if is_current {
        cgroup.kill_all(Seen::default(), || ())?;
        cgroup.remove()?;
    }
    Ok(match exit {
        Ok(Some(status)) if is_current => Attached::Exited(status),
        _ => Attached::Lost { reason: lost_reason(&handle.shim)? },
    })
}

fn lost_reason(shim: &ProcessId) -> Result<String, SystemError> {
    if shim.boot_id != boot_id()? {
        return Ok("the machine was restarted while the task ran".to_owned());
    }
    Ok(format!("the task's shim (process {}) was killed, so the task was ended and its exit status is unknown", shim.pid))
}

/// A task whose shim runs.
#[derive(Debug)]
pub struct TaskProcess {
    handle: TaskHandle,
    shim: OwnedFd,
    cgroup: Cgroup,
}

/// Why a signal could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The task has ended.
    #[error("task {id:?} has ended: {signal} was not sent")]
    Ended {
        /// The task.
        id: String,
        /// The signal.
        signal: Signal,
    },
    /// The machine refused.
    #[error(transparent)]
    System(#[from] SystemError),
}

impl TaskProcess {
    /// How to find the task again.
    pub fn handle(&self) -> &TaskHandle {
        &self.handle
    }

    /// Readable when the shim has ended, and with it the task and all that belonged to it.
    pub fn shim_pidfd(&self) -> BorrowedFd<'_> {
        self.shim.as_fd()
    }

    /// The task's main process and when it started.
    pub fn started(&self) -> Option<Started> {
        records::read(&self.handle.dir.join(STARTED)).ok().flatten()
    }

    /// How the task ended; `None` while it runs, and for ever if the shim was killed (then `reattach` says `Lost`).
    pub fn try_exit(&self) -> Option<ExitStatus> {
        records::read(&self.handle.dir.join(EXIT)).ok().flatten()
    }

    /// Waits until the shim has ended; `false` when `timeout` passed before.
    ///
    /// # Errors
    /// When the machine refuses to wait.
    pub fn wait(&self, timeout: std::time::Duration) -> Result<bool, SystemError> {
        process::wait_ended(self.shim.as_fd(), timeout)
    }

    /// Sends a signal to the task's main process, and to no other process that might have its pid by now.
    ///
    /// # Errors
    /// When the task has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), SignalError> {
        let ended = || SignalError::Ended { id: self.handle.id.clone(), signal };
        let task = self.started().ok_or_else(ended)?.task;
        let pidfd = task.open()?.ok_or_else(ended)?;
        if process::send_signal(pidfd.as_fd(), signal)? { Ok(()) } else { Err(ended()) }
    }

    /// What asks it to stop, as its specification says; `None` when that cannot be read any more.
    pub fn kill_signal(&self) -> Option<Signal> {
        records::read::<TaskSpec>(&self.handle.dir.join(TASK)).ok().flatten().map(|spec| spec.kill_signal)
    }

    /// Sends SIGKILL to every process of the task. The shim then records the end and cleans up.
    pub fn kill_all(&self) {
        self.cgroup.kill_once();
    }

    /// What the task uses now.
    pub fn stats(&self) -> TaskStats {
        self.cgroup.stats()
    }
}

/// Ends whatever of a task still runs and removes everything: processes, cgroup, records, `dir` itself. Nothing to do is success.
///
/// # Errors
/// When processes cannot be killed or `dir` cannot be removed; calling it again continues.
pub fn destroy(dir: &Path) -> Result<(), SystemError> {
    let handle = TaskHandle::load(dir).ok().flatten();
    // A shim that was killed early has left no handle; then the task says where its cgroup is.
    let from_task =
        || records::read::<TaskSpec>(&dir.join(TASK)).ok().flatten().filter(|spec| spec.validate().is_ok()).map(|spec| spec.cgroup());
    let cgroup = handle.as_ref().map(|handle| handle.cgroup.clone()).or_else(from_task).map(Cgroup::new).transpose()?;
    // What the shim watches may begin to die with it.
    let mut seen = Seen::default();
    cgroup.iter().for_each(|cgroup| cgroup.see(&mut seen));
    if let Some(shim) = handle.as_ref().map(|handle| handle.shim.open()).transpose()?.flatten() {
        // The shim first: it could be about to start something.
        process::send_signal(shim.as_fd(), Signal::KILL)?;
        process::wait_ended(shim.as_fd(), SHIM_KILL_TIMEOUT)?;
    }
    if let Some(cgroup) = cgroup {
        cgroup.kill_all(seen, || ())?;
        cgroup.remove()?;
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SystemError::new(format!("remove {}", dir.display()), error)),
        _ => Ok(()),
    }
}

/// Destroys every task below `root` (one shim directory each) whose id the agent does not know. Returns the ids of what was there, and
/// what could not be removed, in words.
///
/// # Errors
/// When `root` cannot be read; not being there is nothing to do.
pub fn reap_leftovers(root: &Path, known_ids: &BTreeSet<String>) -> Result<Leftovers, SystemError> {
    let mut leftovers = Leftovers::default();
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(leftovers),
        entries => entries.doing(|| format!("read {}", root.display()))?,
    };
    for entry in entries.flatten() {
        let dir = entry.path();
        // Only what a shim made: somebody else's directory stays.
        if !dir.join(TASK).is_file() {
            continue;
        }
        let id = match records::read::<TaskSpec>(&dir.join(TASK)) {
            Ok(Some(spec)) => spec.id,
            _ => entry.file_name().to_string_lossy().into_owned(),
        };
        if known_ids.contains(&id) {
            continue;
        }
        match destroy(&dir) {
            Ok(()) => leftovers.destroyed.push(id),
            Err(error) => leftovers.failed.push((id, chain(&error))),
        }
    }
    Ok(leftovers)
}

/// What `reap_leftovers` found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Leftovers {
    /// Ids of tasks that are gone now.
    pub destroyed: Vec<String>,
    /// Ids of tasks of which something is still there, and why.
    pub failed: Vec<(String, String)>,
}
