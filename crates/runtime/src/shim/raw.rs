//! The `raw_exec` driver: a plain process on the host, in a cgroup of its own.
//!
//! It forks by itself because the standard library's `Command` would run a file that is not a program with a shell.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{
    ForkResult, Gid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fork, getpid, pipe2, setgid, setgroups, setsid, setuid,
};

use super::init::reset_signals;
use super::{RunningTask, StartError};
use crate::cgroup::Cgroup;
use crate::command;
use crate::error::{Doing, SystemError, chain};
use crate::process::ProcessId;
use crate::spec::TaskSpec;
use crate::user::{self, Identity};

/// What the child does, complete before the fork.
struct Plan<'a> {
    program: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    work_dir: PathBuf,
    cgroup: &'a Cgroup,
    identity: Option<Identity>,
    no_new_privs: bool,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// How the child failed, on its way through a pipe: the exec's errno, or a sentence about what came before it.
enum Failure {
    Exec(Errno),
    Preparation(String),
}

const EXEC_TAG: u8 = b'E';
const PREPARATION_TAG: u8 = b'P';

/// Starts the program.
pub(super) fn start(spec: &TaskSpec, cgroup: &Cgroup, stdout: OwnedFd, stderr: OwnedFd) -> Result<RunningTask, StartError> {
    let program = command::resolve(spec, probe)?;
    let work_dir = spec.work_dir.clone().unwrap_or_else(|| spec.task_root());
    command::check_work_dir(&work_dir, probe)?;
    let plan = Plan {
        program: CString::new(program.as_os_str().as_bytes()).map_err(|_| StartError::Nul)?,
        argv: super::argv(spec)?,
        envp: super::envp(spec)?,
        work_dir,
        cgroup,
        identity: spec.user.as_deref().map(user::resolve).transpose()?,
        no_new_privs: spec.no_new_privs,
        stdin: File::open("/dev/null").doing(|| "open /dev/null")?.into(),
        stdout,
        stderr,
    };
    let (failure, failure_write) = pipe2(OFlag::O_CLOEXEC).doing(|| "create a pipe")?;
    // SAFETY: the shim has one thread, so the child may allocate and take locks, and it leaves only by exec or `_exit`.
    match unsafe { fork() }.doing(|| "fork the task's process")? {
        ForkResult::Child => {
            drop(failure);
            fail(failure_write, become_program(&plan))
        }
        ForkResult::Parent { child } => {
            drop((failure_write, plan));
            match read_failure(failure)? {
                None => Ok(RunningTask { task: ProcessId::of(child.as_raw())?, child: child.as_raw(), link: None }),
                Some(Failure::Exec(errno)) => Err(StartError::Exec(command::explain_exec_failure(&spec.command, &program, errno as i32))),
                Some(Failure::Preparation(sentence)) => {
                    Err(StartError::Exec(format!("prepare the process of command {:?}: {sentence}", spec.command)))
                }
            }
        }
    }
}

/// In the child; returns only when it failed.
fn become_program(plan: &Plan<'_>) -> Failure {
    match prepare(plan) {
        Err(error) => Failure::Preparation(chain(&error)),
        Ok(()) => Failure::Exec(execve(&plan.program, &plan.argv, &plan.envp).err().unwrap_or(Errno::EINVAL)),
    }
}

/// As root until the last steps.
fn prepare(plan: &Plan<'_>) -> Result<(), SystemError> {
    setsid().doing(|| "start a session")?;
    reset_signals();
    plan.cgroup.join(getpid().as_raw().unsigned_abs())?;
    dup2_stdin(plan.stdin.as_fd())
        .and_then(|()| dup2_stdout(plan.stdout.as_fd()))
        .and_then(|()| dup2_stderr(plan.stderr.as_fd()))
        .doing(|| "set up the standard streams")?;
    if let Some(identity) = &plan.identity {
        let groups: Vec<Gid> = identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        setgroups(&groups).and_then(|()| setgid(gid)).and_then(|()| setuid(uid)).doing(|| "become the task's user")?;
    }
    chdir(&plan.work_dir).doing(|| format!("change to {}", plan.work_dir.display()))?;
    if plan.no_new_privs {
        nix::sys::prctl::set_no_new_privs().doing(|| "give up new privileges")?;
    }
    // Last, because a change of user clears it. The reason is the same as for a container's init.
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).doing(|| "tie the task to its shim")
}

fn fail(pipe: OwnedFd, failure: Failure) -> ! {
    let message = match failure {
        Failure::Exec(errno) => [&[EXEC_TAG][..], &(errno as i32).to_ne_bytes()].concat(),
        Failure::Preparation(sentence) => [&[PREPARATION_TAG][..], sentence.as_bytes()].concat(),
    };
    // Without the message the shim takes the end for the program's; there is nobody else to tell.
    drop(File::from(pipe).write_all(&message));
    // SAFETY: ends this copy of the shim without running its clean-up.
    unsafe { libc::_exit(127) }
}

/// `None`: the exec succeeded and closed the pipe.
fn read_failure(pipe: OwnedFd) -> Result<Option<Failure>, SystemError> {
    let mut message = Vec::new();
    File::from(pipe).read_to_end(&mut message).doing(|| "wait for the task's program to start")?;
    Ok(match message.split_first() {
        None => None,
        Some((&EXEC_TAG, errno)) => Some(Failure::Exec(Errno::from_raw(errno.try_into().map_or(0, i32::from_ne_bytes)))),
        Some((_, sentence)) => Some(Failure::Preparation(String::from_utf8_lossy(sentence).into_owned())),
    })
}

fn probe(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
