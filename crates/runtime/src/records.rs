//! The files through which a shim and the agents that come and go tell each other things. Each one appears complete or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, SystemError};
use crate::process::ProcessId;

/// Written by the agent: the task.
pub(crate) const TASK: &str = "task.json";
/// Written by the shim before anything else exists: how to find the shim again.
pub(crate) const HANDLE: &str = "handle.json";
/// Written by the shim when the task's program runs.
pub(crate) const STARTED: &str = "started.json";
/// Written by the shim when the task has ended, or could not be started.
pub(crate) const EXIT: &str = "exit.json";

/// How to find a task's shim again, now or after the agent was restarted. The agent keeps it; the shim keeps a copy in its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskHandle {
    /// The task's id.
    pub id: String,
    /// The shim.
    pub shim: ProcessId,
    /// The shim's directory.
    pub dir: PathBuf,
    /// The task's cgroup, relative to the hierarchy's root.
    pub cgroup: PathBuf,
}

impl TaskHandle {
    /// The copy that the shim keeps in its directory: for an agent that was killed before it could keep the handle itself.
    ///
    /// # Errors
    /// When the file is there but cannot be read. Nothing there is `None`.
    pub fn load(dir: &Path) -> Result<Option<Self>, SystemError> {
        read(&dir.join(HANDLE))
    }
}

/// A task that runs or ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The task's main process, in the host's pid namespace.
    pub task: ProcessId,
    /// The shim.
    pub shim: ProcessId,
    /// Nanoseconds since 1970.
    pub started_at_ns: u64,
}

/// How a task ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// What the program returned; 0 when a signal ended it.
    pub exit_code: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// Whether the kernel killed one of its processes because the memory limit was reached.
    pub oom_killed: bool,
    /// Nanoseconds since 1970.
    pub finished_at_ns: u64,
    /// Why the task could not be started or be cleaned up, in words for the user.
    pub error: Option<String>,
}

impl ExitStatus {
    /// Whether the program ran and returned 0.
    pub fn is_success(&self) -> bool {
        self.exit_code == 0 && self.signal == 0 && self.error.is_none()
    }

    /// A task that never ran.
    pub(crate) fn failed_to_start(error: String) -> Self {
        Self { exit_code: -1, finished_at_ns: now_ns(), error: Some(error), ..Self::default() }
    }
}

/// Nanoseconds since 1970; 0 on a machine whose clock is before that.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

/// Reads a record; `None` when it is not there.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, SystemError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SystemError::new(format!("read {}", path.display()), error)),
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from).doing(|| format!("parse {}", path.display())),
    }
}

/// Writes a record so that a reader sees the old one, or the new one, or none. Only root may read it: it may hold secrets.
///
/// Nothing is synced: a record describes processes of this boot, which a power cut ends as well. An exit status that a power cut takes
/// away makes its task lost, exactly as if it had still been running.
pub(crate) fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), SystemError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let attempt = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        fs::rename(&temporary, path)
    };
    attempt().doing(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn records_round_trip_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EXIT);
        assert_eq!(read::<ExitStatus>(&path).unwrap(), None);
        let status = ExitStatus { exit_code: 3, error: Some("why".into()), ..ExitStatus::default() };
        write(&path, &status).unwrap();
        assert_eq!(read::<ExitStatus>(&path).unwrap(), Some(status));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(EXIT);
        fs::write(&path, "{").unwrap();
        assert!(read::<ExitStatus>(&path).unwrap_err().to_string().contains("exit.json"));
    }
}
