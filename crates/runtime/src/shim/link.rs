//! The shim's side of the socket to a container's init, and the pipe that tells whether a program could be started.

use std::fs::File;
use std::io::{self, IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials, recv, recvmsg, send, setsockopt, socketpair, sockopt,
};
use nix::unistd::pipe2;

use super::init::{GO, HELLO};
use crate::error::{Doing, SystemError};

/// How long a program that is already running in its container may take to get to its exec.
const EXEC_TIMEOUT: Duration = Duration::from_secs(30);

/// Both channels; init's ends stay open here until the container exists.
pub(super) struct Link {
    shim: OwnedFd,
    init: OwnedFd,
    failure_read: OwnedFd,
    failure_write: OwnedFd,
}

/// How an attempt to exec ended.
pub(super) enum ExecOutcome {
    /// The program runs.
    Running,
    /// The kernel refused with this errno.
    Refused(i32),
}

impl Link {
    pub(super) fn new() -> Result<Self, SystemError> {
        let (shim, init) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).doing(|| "create a socket pair")?;
        setsockopt(&shim, sockopt::PassCred, &true).doing(|| "ask for credentials on a socket")?;
        let (failure_read, failure_write) = pipe2(OFlag::O_CLOEXEC).doing(|| "create a pipe")?;
        Ok(Self { shim, init, failure_read, failure_write })
    }

    pub(super) fn init_ends(&self) -> (RawFd, RawFd) {
        (self.init.as_raw_fd(), self.failure_write.as_raw_fd())
    }

    /// Gives up init's ends once init has its own copies of them.
    pub(super) fn connected(self) -> ConnectedLink {
        ConnectedLink { socket: self.shim, failure: self.failure_read }
    }
}

/// After init was started.
pub(super) struct ConnectedLink {
    socket: OwnedFd,
    failure: OwnedFd,
}

impl ConnectedLink {
    /// Waits for the program's announcement; the kernel vouches for its pid.
    pub(super) fn program_pid(&self) -> Result<i32, SystemError> {
        let what = || "learn the pid of the task's process";
        wait_readable(&self.socket).doing(what)?;
        let mut buffer = [0u8; 8];
        let mut space = nix::cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).doing(what)?;
        let length = message.bytes;
        let pid = message.cmsgs().doing(what)?.find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        match pid {
            Some(pid) if buffer.get(..length) == Some(HELLO) => Ok(pid),
            _ => Err(SystemError::new(what(), io::Error::from(io::ErrorKind::UnexpectedEof))),
        }
    }

    /// Lets the program start and waits until it has, or has failed to.
    pub(super) fn go(&self) -> Result<ExecOutcome, SystemError> {
        let what = || "start the task's program";
        send(self.socket.as_raw_fd(), GO, MsgFlags::MSG_NOSIGNAL).doing(what)?;
        wait_readable(&self.failure).doing(what)?;
        let mut errno = [0u8; 4];
        match File::from(self.failure.try_clone().doing(what)?).read_exact(&mut errno) {
            Ok(()) => Ok(ExecOutcome::Refused(i32::from_ne_bytes(errno))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(ExecOutcome::Running),
            Err(error) => Err(SystemError::new(what(), error)),
        }
    }

    /// The program's wait status, if init could still send it.
    pub(super) fn wait_status(&self) -> Option<i32> {
        let mut buffer = [0u8; 4];
        match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(4) => Some(i32::from_ne_bytes(buffer)),
            _ => None,
        }
    }
}

fn wait_readable(fd: &OwnedFd) -> io::Result<()> {
    let timeout = PollTimeout::try_from(EXEC_TIMEOUT).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
