//! A user namespace that nobody lives in, whose only use is its id map: mounts of the task's writable directories are shown through it.
//!
//! Why mapped mounts and not `chown`: files keep on disk the ids that the task sees, so a data volume moves between nodes and id ranges,
//! a restart does not walk a million files, and files that the agent wrote as root belong to root inside as well.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe2};

use crate::error::{Doing, SystemError};
use crate::spec::ID_RANGE_SIZE;

/// Creates a user namespace in which ids 0 to 65535 are the host's ids from `start` on.
pub(super) fn user_namespace(start: u32) -> Result<OwnedFd, SystemError> {
    let flags = nix::fcntl::OFlag::O_CLOEXEC;
    let (ready_read, ready_write) = pipe2(flags).doing(|| "create a pipe")?;
    let (done_read, done_write) = pipe2(flags).doing(|| "create a pipe")?;
    // SAFETY: the shim has one thread, so the child owns every lock that it might meet, and it only makes system calls and exits.
    match unsafe { fork() }.doing(|| "fork for a user namespace")? {
        ForkResult::Child => {
            drop((ready_read, done_write));
            let answer = if unshare(CloneFlags::CLONE_NEWUSER).is_ok() { b"1" } else { b"0" };
            drop(File::from(ready_write).write_all(answer));
            // Until the parent has opened the namespace, or has died.
            drop(File::from(done_read).read(&mut [0u8; 1]));
            // SAFETY: ends this copy of the shim at once, without running any of its clean-up.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop((ready_write, done_read));
            let mut answer = [0u8; 1];
            let read = File::from(ready_read).read_exact(&mut answer);
            let result = if read.is_ok() && answer == *b"1" {
                map_and_open(child.as_raw(), start)
            } else {
                let limit = std::io::Error::other("the kernel refused (is user.max_user_namespaces 0?)");
                Err(SystemError::new("create a user namespace", limit))
            };
            drop(done_write);
            let _ = waitpid(child, None);
            result
        }
    }
}

fn map_and_open(pid: i32, start: u32) -> Result<OwnedFd, SystemError> {
    let map = format!("0 {start} {ID_RANGE_SIZE}\n");
    for file in ["uid_map", "gid_map"] {
        let path = format!("/proc/{pid}/{file}");
        fs::write(&path, &map).doing(|| format!("write {path}"))?;
    }
    let path = format!("/proc/{pid}/ns/user");
    Ok(File::open(&path).doing(|| format!("open {path}"))?.into())
}
