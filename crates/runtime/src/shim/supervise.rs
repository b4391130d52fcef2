//! The loop in which a shim spends its life: wait for output, signals and ended children, until the task has ended.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as UnixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::RunningTask;
use super::output::Output;
use crate::cgroup::{Cgroup, Seen};
use crate::error::{Doing, SystemError};
use crate::process;
use crate::records::{ExitStatus, now_ns};
use crate::spec::TaskSpec;

/// Takes the signals out of their usual way: they wait in a descriptor, and none of them ends the shim.
pub(super) fn take_signals() -> Result<SignalFd, SystemError> {
    let mut set = SigSet::empty();
    for signal in [
        UnixSignal::SIGCHLD,
        UnixSignal::SIGTERM,
        UnixSignal::SIGINT,
        UnixSignal::SIGHUP,
        UnixSignal::SIGQUIT,
        UnixSignal::SIGUSR1,
        UnixSignal::SIGUSR2,
    ] {
        set.add(signal);
    }
    set.thread_block().doing(|| "block signals")?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).doing(|| "create a signal descriptor")
}

/// Runs until the task has ended and everything it left has been killed and its output stored.
pub(super) fn supervise(
    spec: &TaskSpec,
    task: RunningTask,
    cgroup: &Cgroup,
    mut output: Output,
    signals: &SignalFd,
) -> Result<ExitStatus, SystemError> {
    let wait_status = loop {
        wait_for_event(signals, &output)?;
        while let Ok(Some(signal)) = signals.read_signal() {
            if i32::try_from(signal.ssi_signo).is_ok_and(|number| number == libc::SIGTERM || number == libc::SIGINT) {
                pass_on(spec, &task);
            }
        }
        // Before looking for an end, so that a task that writes and ends at once is not cut short by a pipe that is still full.
        output.pump();
        if let Some(status) = reap(task.child) {
            break task.link.as_ref().and_then(super::link::ConnectedLink::wait_status).unwrap_or(status);
        }
    };
    let finished_at_ns = now_ns();
    cgroup.kill_all(Seen::default(), reap_orphans)?;
    output.drain();
    Ok(ExitStatus { oom_killed: cgroup.oom_kills() > 0, finished_at_ns, ..decode(wait_status) })
}

fn wait_for_event(signals: &SignalFd, output: &Output) -> Result<(), SystemError> {
    let mut fds: Vec<PollFd<'_>> =
        std::iter::once(signals.as_fd()).chain(output.pipes()).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(SystemError::new("wait for the task", error)),
    }
}

/// Somebody told the shim to end, as at machine shutdown: the task gets its own stop signal, and the shim ends after it.
fn pass_on(spec: &TaskSpec, task: &RunningTask) {
    if let Ok(Some(pidfd)) = task.task.open() {
        drop(process::send_signal(pidfd.as_fd(), spec.kill_signal));
    }
}

/// Collects every child that has ended; returns the wait status of the one that matters.
fn reap(child: i32) -> Option<i32> {
    let mut found = None;
    loop {
        let mut status = 0;
        // SAFETY: `status` lives during the call.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if ended <= 0 {
            return found;
        }
        if ended == child {
            found = Some(status);
        }
    }
}

/// Collects ended children while a cgroup is being emptied.
pub(super) fn reap_orphans() {
    reap(0);
}

fn decode(wait_status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(wait_status) {
        return ExitStatus { signal: libc::WTERMSIG(wait_status), ..ExitStatus::default() };
    }
    ExitStatus { exit_code: libc::WEXITSTATUS(wait_status), ..ExitStatus::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses() {
        assert_eq!(decode(3 << 8).exit_code, 3);
        assert_eq!(decode(9).signal, 9);
        assert_eq!(decode(11 | 0x80).signal, 11);
    }
}
