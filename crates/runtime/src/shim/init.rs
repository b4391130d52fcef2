//! The first process of an `exec` container: it starts the task's program, collects orphans, and passes the program's exit status on.
//!
//! It exists because the kernel treats process 1 of a pid namespace specially: signals without a handler do nothing to it, and orphans
//! that it does not collect stay for ever. Programs are rarely written for that.
//!
//! It is a copy of the shim that runs with the task's user and without capabilities, cannot be traced, and loads the system call filter
//! before it forks. It talks to the shim over one socket:
//!
//! | from | message | meaning |
//! |---|---|---|
//! | program, before exec | `HELLO` with credentials | the kernel tells the shim the program's pid on the host |
//! | shim | `GO` | the shim has noted who the program is |
//! | init | 4 bytes | the program's wait status |

use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::errno::Errno;
use nix::unistd::{ForkResult, execve, fork, setsid};
use oci_spec::runtime::Spec;

use crate::seccomp::Filter;

/// The program is about to start.
pub(super) const HELLO: &[u8] = b"H";
/// The program may start.
pub(super) const GO: &[u8] = b"G";

/// What init needs to start the program, prepared before any restriction applies.
pub(super) struct Plan {
    pub(super) path: CString,
    pub(super) argv: Vec<CString>,
    pub(super) envp: Vec<CString>,
    /// Init's end of the socket to the shim.
    pub(super) link: RawFd,
    /// Where the errno of a failed exec goes; closed by a successful one.
    pub(super) failure: RawFd,
    /// What the program may ask of the kernel.
    pub(super) filter: Filter,
}

/// Makes libcontainer start init instead of the program itself. The environment is passed to the program exactly as planned:
/// libcontainer's own copy of it has additions.
#[derive(Clone)]
pub(super) struct InitExecutor {
    plan: Rc<Plan>,
}

impl InitExecutor {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan: Rc::new(plan) }
    }
}

impl Executor for InitExecutor {
    fn exec(&self, _spec: &Spec) -> Result<(), ExecutorError> {
        let failed = |what: &str, errno: Errno| ExecutorError::Other(format!("{what}: {errno}"));
        close_all_but(self.plan.link, self.plan.failure).map_err(|errno| failed("close descriptors", errno))?;
        // The task does not outlive its shim: nobody could tell how it ended, and its output would go nowhere.
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(|errno| failed("tie the task to its shim", errno))?;
        self.plan.filter.load().map_err(|errno| failed("load the system call filter", errno))?;
        // SAFETY: this process has one thread.
        match unsafe { fork() }.map_err(|errno| failed("fork the task's process", errno))? {
            ForkResult::Child => become_program(&self.plan),
            ForkResult::Parent { child } => watch(child.as_raw(), &self.plan),
        }
    }

    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    fn setup_envs(&self, _envs: std::collections::HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}

fn close_all_but(one: RawFd, other: RawFd) -> nix::Result<()> {
    let (low, high) = (one.min(other), one.max(other));
    for (first, last) in [(3, low - 1), (low + 1, high - 1), (high + 1, RawFd::MAX)] {
        if first <= last {
            // SAFETY: no value that owns one of these descriptors is used again: this copy of the shim only forks, waits and exits.
            let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            Errno::result(result)?;
        }
    }
    Ok(())
}

/// In the child: announce, wait for the answer, become the program.
fn become_program(plan: &Plan) -> ! {
    let attempt = || -> nix::Result<()> {
        setsid()?;
        send(plan.link, HELLO)?;
        receive_go(plan.link)?;
        reset_signals();
        execve(&plan.path, &plan.argv, &plan.envp).map(drop)
    };
    let errno = attempt().err().unwrap_or(Errno::EINVAL) as i32;
    let bytes = errno.to_ne_bytes();
    // SAFETY: the buffer lives during the call; `_exit` ends this copy without running the shim's clean-up.
    unsafe {
        libc::write(plan.failure, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(127)
    }
}

/// In init: collect everything that ends; when the program has, pass its status on and end, which makes the kernel end the rest.
fn watch(program: i32, plan: &Plan) -> ! {
    // SAFETY: closes init's copies of descriptors that it does not use; without this the shim would not see a successful exec, nor the
    // end of the output.
    unsafe {
        for fd in [plan.failure, 0, 1, 2] {
            libc::close(fd);
        }
    }
    let mut status = 0;
    loop {
        // SAFETY: `status` lives during the call.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        let failed = ended < 0 && io::Error::last_os_error().raw_os_error() != Some(libc::EINTR);
        if ended == program || failed {
            let _ = send(plan.link, &status.to_ne_bytes());
            // SAFETY: ends this copy without running the shim's clean-up.
            unsafe { libc::_exit(0) }
        }
    }
}

fn send(link: RawFd, message: &[u8]) -> nix::Result<()> {
    // SAFETY: the buffer lives during the call.
    let result = unsafe { libc::send(link, message.as_ptr().cast(), message.len(), libc::MSG_NOSIGNAL) };
    Errno::result(result).map(drop)
}

fn receive_go(link: RawFd) -> nix::Result<()> {
    let mut buffer = [0u8; 8];
    // SAFETY: the buffer lives during the call and its length is passed.
    let length = Errno::result(unsafe { libc::recv(link, buffer.as_mut_ptr().cast(), buffer.len(), 0) })?;
    if buffer.get(..usize::try_from(length).unwrap_or(0)) == Some(GO) { Ok(()) } else { Err(Errno::EPIPE) }
}

/// The shim blocks and ignores signals for its own purposes; a program expects the defaults.
pub(super) fn reset_signals() {
    // SAFETY: changes only this process's signal state, with a set that lives during the calls.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}
