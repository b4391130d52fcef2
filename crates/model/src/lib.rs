//! The words of the cluster: jobs, nodes, allocations, evaluations, services.
//!
//! Every type here is the wire form of Nomad's API (same JSON names) and also what floe keeps in its state; one word per idea.
//! This crate decides nothing about placement and never reads a clock, a file or the network.
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | newtypes for identifiers |
//! | [`time`] | [`time::Nanos`] (a span) and [`time::Timestamp`] (a moment), as the wire writes them |
//! | [`wire`] | decoding of hostile JSON: case-insensitive keys, paths in errors, unknown keys reported |
//! | [`job`], [`group`], [`task`], [`network`], [`resources`], [`service`], [`consul`], [`volume`] | the job model |
//! | [`node`], [`alloc`], [`eval`], [`deployment`] | what the cluster makes of jobs |
//! | [`keyring`] | what is kept of root keys, and what they seal |
//! | [`variable`] | variables, which root keys seal |
//! | [`canonical`] | fills in the defaults |
//! | [`validate`] | the rules a job must keep |
//! | [`support`] | what floe does not act on yet, refused by name |
//! | [`change`] | which updates need a new allocation |
//! | [`diff`] | what differs between two versions of a job |
//! | [`declared`] | jobs that belong to a folder of files, and what brings a cluster in line with it |
#![forbid(unsafe_code)]

#[macro_use]
mod macros;

pub mod alloc;
pub mod canonical;
pub mod change;
pub mod consul;
pub mod declared;
pub mod deployment;
pub mod device;
pub mod diff;
pub mod eval;
pub mod group;
pub mod ids;
pub mod job;
pub mod keyring;
pub mod network;
pub mod node;
mod report;
pub mod resources;
pub mod service;
pub mod support;
pub mod task;
pub mod time;
pub mod validate;
pub mod variable;
pub mod volume;
pub mod wire;

pub use alloc::{AllocClientStatus, AllocDesiredStatus, Allocation, TaskEvent, TaskState};
pub use deployment::Deployment;
pub use eval::{EvalStatus, EvalTrigger, Evaluation};
pub use group::TaskGroup;
pub use ids::{AllocId, DeploymentId, EvalId, JobId, JobKey, Namespace, NodeId};
pub use job::{Job, JobStatus, JobType};
pub use keyring::{KeyId, Sealed, Wrapped};
pub use node::{Node, NodeStatus};
pub use service::ServiceRegistration;
pub use task::Task;
pub use time::{Nanos, Timestamp};
pub use variable::{Variable, VariableKey};

/// Free-form values, as in a driver's `config` block.
pub type Value = serde_json::Value;
/// A string map in stable order, so that encodings of equal values are equal bytes.
pub type StringMap = std::collections::BTreeMap<String, String>;
