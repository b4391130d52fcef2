//! Processes that are named safely: a pid alone may belong to somebody else tomorrow, so a process is its pid, its start time
//! and the boot it belongs to, and signals go through a pidfd that was checked against them.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, SystemError};
use crate::signal::Signal;

/// A process of this boot, told apart from a later one with the same pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid in the host's namespace.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks after boot.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl ProcessId {
    /// Reads what identifies the process that has this pid now.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: i32) -> Result<Self, SystemError> {
        let stat = read_stat(pid).doing(|| format!("read the start time of process {pid}"))?;
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id()? })
    }

    /// A checked handle, or nothing when that process has ended (or is a zombie, or belongs to an earlier boot).
    ///
    /// # Errors
    /// Only when the machine cannot tell.
    pub fn open(&self) -> Result<Option<OwnedFd>, SystemError> {
        if self.boot_id != boot_id()? {
            return Ok(None);
        }
        let Some(fd) = pidfd_open(self.pid).doing(|| format!("open a pidfd for process {}", self.pid))? else {
            return Ok(None);
        };
        // The pidfd pins whoever has the pid now; reading the start time afterwards tells whether that is the one meant.
        match read_stat(self.pid) {
            Ok(stat) if stat.start_time == self.start_time && !stat.is_dead => Ok(Some(fd)),
            _ => Ok(None),
        }
    }

    /// Whether the process runs.
    pub fn is_running(&self) -> bool {
        matches!(self.open(), Ok(Some(_)))
    }
}

/// The identity of this boot.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> Result<String, SystemError> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(PATH).doing(|| format!("read {PATH}"))?.trim().to_owned())
}

struct Stat {
    start_time: u64,
    is_dead: bool,
}

fn read_stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "malformed stat line"))
}

/// The second field is the program's name in parentheses and may itself hold spaces and parentheses, so fields count from the last `)`.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { start_time, is_dead: matches!(state, "Z" | "X" | "x") })
}

/// A pidfd, or nothing when no process has the pid.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<Option<OwnedFd>> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ESRCH) => Ok(None),
            _ => Err(error),
        };
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Sends a signal through a pidfd. `false`: the process had ended.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> Result<bool, SystemError> {
    // SAFETY: the descriptor is open for the length of the call; a null siginfo asks for the default one.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.number(), std::ptr::null::<libc::siginfo_t>(), 0) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ESRCH) => Ok(false),
        _ => Err(SystemError::new(format!("send {signal}"), error)),
    }
}

/// Waits until the process behind a pidfd has ended. `false`: it had not when the time was over.
pub(crate) fn wait_ended(pidfd: BorrowedFd<'_>, timeout: Duration) -> Result<bool, SystemError> {
    let deadline = std::time::Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(SystemError::new("wait for a process to end", error)),
            Ok(ready) => return Ok(ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn me() -> ProcessId {
        ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn own_process_is_running_and_impostors_are_not() {
        assert!(me().is_running());
        assert!(!ProcessId { start_time: me().start_time + 1, ..me() }.is_running());
        assert!(!ProcessId { boot_id: "another".to_owned(), ..me() }.is_running());
        assert!(!ProcessId { pid: i32::MAX, ..me() }.is_running());
    }

    #[test]
    fn zombie_counts_as_ended() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let fd = pidfd_open(pid).unwrap().unwrap();
        assert!(wait_ended(std::os::fd::AsFd::as_fd(&fd), Duration::from_secs(10)).unwrap());
        assert!(!ProcessId::of(pid).unwrap().is_running());
        child.wait().unwrap();
    }

    #[test]
    fn stat_with_a_hostile_program_name() {
        let stat = parse_stat("7 (a) Z (b)) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 1 0 98765 1 1").unwrap();
        assert_eq!(stat.start_time, 98765);
        assert!(!stat.is_dead);
        assert!(parse_stat("").is_none() && parse_stat("1 (x) S 1").is_none());
    }
}
