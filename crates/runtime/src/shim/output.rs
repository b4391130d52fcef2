//! The task's output on its way from two pipes into log files.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use super::swallowing_device;
use crate::error::{Doing, SystemError};
use crate::logs::RotatingLog;
use crate::spec::LogSpec;

/// What is read of one stream before the others get their turn.
const CHUNK_BYTES: usize = 64 * 1024;

/// Both streams; none when the task's logs are disabled.
pub(super) struct Output {
    streams: Vec<Stream>,
    buffer: Box<[u8]>,
}

struct Stream {
    pipe: File,
    log: RotatingLog,
}

/// Opens the logs and the pipes. Returns the ends that become the task's standard output and standard error.
pub(super) fn open(logs: &LogSpec) -> Result<(Output, OwnedFd, OwnedFd), SystemError> {
    let buffer = vec![0; CHUNK_BYTES].into_boxed_slice();
    if logs.disabled {
        return Ok((Output { streams: Vec::new(), buffer }, swallowing_device()?, swallowing_device()?));
    }
    let (stdout, stdout_write) = open_stream(logs, "stdout")?;
    let (stderr, stderr_write) = open_stream(logs, "stderr")?;
    Ok((Output { streams: vec![stdout, stderr], buffer }, stdout_write, stderr_write))
}

fn open_stream(logs: &LogSpec, name: &str) -> Result<(Stream, OwnedFd), SystemError> {
    let log = RotatingLog::open(&logs.dir, &format!("{}.{name}", logs.stem), logs.max_files, logs.max_file_bytes)?;
    let (read, write) = pipe2(OFlag::O_CLOEXEC).doing(|| format!("create a pipe for {name}"))?;
    // Only this end: a task that asks must see an ordinary blocking pipe.
    fcntl(read.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing(|| format!("set up the pipe for {name}"))?;
    Ok((Stream { pipe: File::from(read), log }, write))
}

/// Whether a stream may have more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pumped {
    Some,
    NothingNow,
    Ended,
}

impl Output {
    /// The pipes that are still open, to wait on.
    pub(super) fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.iter().map(|stream| stream.pipe.as_fd())
    }

    /// Copies at most one chunk of each stream and forgets the streams that have ended.
    pub(super) fn pump(&mut self) {
        let buffer = &mut self.buffer;
        self.streams.retain_mut(|stream| stream.pump(buffer) != Pumped::Ended);
    }

    /// Copies what is left in the pipes. The writers are gone, so there is an end.
    pub(super) fn drain(&mut self) {
        for stream in &mut self.streams {
            while stream.pump(&mut self.buffer) == Pumped::Some {}
        }
    }
}

impl Stream {
    fn pump(&mut self, buffer: &mut [u8]) -> Pumped {
        match self.pipe.read(buffer) {
            Ok(0) => Pumped::Ended,
            Ok(count) => {
                self.log.write(buffer.get(..count).unwrap_or_default());
                Pumped::Some
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Pumped::Some,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Pumped::NothingNow,
            Err(_) => Pumped::Ended,
        }
    }
}
