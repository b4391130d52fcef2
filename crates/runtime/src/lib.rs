//! Runs tasks: the drivers `exec` (a container), `image` (a container of an image's layers) and `raw_exec` (a plain process), one small shim process per task, cgroups and log files.
//!
//! The agent is multi-threaded and asynchronous, and creating a container forks in ways that only a single-threaded process survives. So
//! the agent never does it: `spawn` runs the agent's own executable again as `<exe> shim <dir>`, which must call `shim::main` before any
//! thread exists. The shim is the task's parent, outlives the agent, and leaves what it knows in files below `<dir>`:
//!
//! | file | writer | content |
//! |---|---|---|
//! | `task.json` | agent | the `TaskSpec` |
//! | `handle.json` | shim | the `TaskHandle` |
//! | `started.json` | shim | `Started`: the task's process |
//! | `exit.json` | shim | `ExitStatus` |
//!
//! Invariants: no function of this crate but `shim::main` forks; no process is signalled by a bare pid; every mount lives in a mount
//! namespace that dies with the shim and its container, so nothing is ever mounted on the host; this crate knows no jobs, servers or clocks
//! of the cluster.

mod cgroup;
mod command;
mod devices;
mod error;
mod logs;
mod mount;
mod preflight;
mod process;
mod records;
mod seccomp;
pub mod shim;
mod signal;
mod spec;
mod task;
mod user;

pub use cgroup::{Cgroup, Layout, NEEDED_CONTROLLERS, TaskStats, Tree};
pub use devices::{DeviceEdits, DeviceMount, DeviceNode, Hook, NodeType};
pub use error::{SystemError, chain};
pub use preflight::{Problem, image_preflight, preflight};
pub use process::{ProcessId, boot_id};
pub use records::{ExitStatus, Started, TaskHandle};
pub use signal::{Signal, UnknownSignal};
pub use spec::{
    Bind, CpuQuota, DEFAULT_CGROUP_PARENT, DEFAULT_EXEC_USER, DEFAULT_ID_RANGE_START, DEFAULT_IMAGE_USER, DEFAULT_PIDS, DEFAULT_SHM_BYTES,
    Driver, ID_RANGE_SIZE, ImageRoot, LogSpec, MAX_HOSTNAME_BYTES, MAX_ID_BYTES, MAX_IMAGE_LAYERS, MAX_LOG_FILES, Resources, SHIMS_CGROUP,
    SeenDirs, SpecError, TaskDirs, TaskSpec, Tmpfs, Ulimit, ViewEntry, default_host_view,
};
pub use task::{Attached, Leftovers, SignalError, SpawnError, TaskProcess, destroy, reap_leftovers, reattach, spawn};
