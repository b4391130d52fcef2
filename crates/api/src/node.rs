//! What an agent's HTTP layer asks of the node that runs in the same process. The client part implements it; the server part never knows
//! how tasks are run.

use crate::types::PartHealth;
use bytes::Bytes;
use floe_model::{AllocId, NodeId};
use futures::{future::BoxFuture, stream::BoxStream};

/// Which of a task's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogKind {
    /// As it stands in file names and queries.
    pub fn as_str(self) -> &'static str {
        match self {
            LogKind::Stdout => "stdout",
            LogKind::Stderr => "stderr",
        }
    }
}

/// Which part of a task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// The allocation.
    pub alloc: AllocId,
    /// The task.
    pub task: String,
    /// Which output.
    pub kind: LogKind,
    /// Go on with what is written later, until the reader leaves or the task's output ends.
    pub follow: bool,
    /// Bytes to skip, counted from the beginning, or from the end when `from_end`.
    pub offset: u64,
    /// Count `offset` back from the end.
    pub from_end: bool,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPiece {
    /// The file that it stands in.
    pub file: String,
    /// Where in that file the piece ends, in bytes.
    pub offset: u64,
    /// The piece.
    pub data: Bytes,
}

/// What somebody wants of tasks that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskAction {
    /// Start them anew, in place.
    Restart,
    /// Send them this signal, such as `SIGHUP`.
    Signal(String),
}

/// See [`NodeApi::act`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActRequest {
    /// The allocation.
    pub alloc: AllocId,
    /// The task; all that run when there is none.
    pub task: Option<String>,
    /// What is wanted.
    pub action: TaskAction,
}

/// What was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// The node does not have the allocation.
    #[error("allocation {0:?} is not on this node")]
    UnknownAlloc(AllocId),
    /// The allocation has no such task.
    #[error("task {task:?} not found in allocation {alloc:?}; its tasks are: {tasks}")]
    UnknownTask {
        /// The allocation.
        alloc: AllocId,
        /// The task that was asked for.
        task: String,
        /// The tasks that there are.
        tasks: String,
    },
    /// There is nobody to hear it.
    #[error("{0}: nothing was done")]
    NotRunning(String),
    /// No such signal.
    #[error("invalid signal {0:?}: name one, such as SIGHUP")]
    InvalidSignal(String),
    /// The process is not to be reached.
    #[error("signal task {task:?}: {why}")]
    Signal {
        /// The task.
        task: String,
        /// Why.
        why: String,
    },
}

/// Output that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The node does not have the allocation.
    #[error("allocation {0:?} is not on this node")]
    UnknownAlloc(AllocId),
    /// The allocation has no such task.
    #[error("task {task:?} not found in allocation {alloc:?}; its tasks are: {tasks}")]
    UnknownTask {
        /// The allocation.
        alloc: AllocId,
        /// The task that was asked for.
        task: String,
        /// The tasks that there are.
        tasks: String,
    },
    /// The task has not started.
    #[error("task {task:?} of allocation {alloc:?} has no output yet: it has not started")]
    NotStarted {
        /// The allocation.
        alloc: AllocId,
        /// The task.
        task: String,
    },
    /// The disk says no.
    #[error("read the output of task {task:?}")]
    Io {
        /// The task.
        task: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A figure for monitoring.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its name, for example `nomad_client_uptime`.
    pub name: &'static str,
    /// What it says, with its unit.
    pub help: &'static str,
    /// What tells it from others of the name.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// The node in the same process.
pub trait NodeApi: Send + Sync + 'static {
    /// Its id.
    fn node_id(&self) -> NodeId;
    /// Whether it is well.
    fn health(&self) -> PartHealth;
    /// Figures for monitoring.
    fn samples(&self) -> Vec<Sample>;
    /// A task's output, as it comes.
    fn logs(&self, request: LogRequest) -> BoxFuture<'static, Result<BoxStream<'static, Result<LogPiece, LogError>>, LogError>>;

    /// Does something to tasks that run; returns when it was begun.
    fn act(&self, request: ActRequest) -> BoxFuture<'static, Result<(), ActError>>;
}
