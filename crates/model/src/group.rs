//! The group: tasks that run together on one node, and the policies that govern them.

use crate::{
    StringMap, Task, consul::Consul, job::ScalingPolicy, network::NetworkResource, service::Service, task::LifecycleHook, time::Nanos,
    volume::VolumeRequest,
};
use std::collections::BTreeMap;

words! {
    /// What happens when a task has used up its restarts within the interval.
    pub enum RestartMode { Fail = "fail", Delay = "delay" }
    /// How a delay grows from one attempt to the next.
    pub enum DelayFunction { Exponential = "exponential", Constant = "constant", Fibonacci = "fibonacci" }
    /// What makes an allocation healthy during an update.
    pub enum HealthCheck { Checks = "checks", TaskStates = "task_states", Manual = "manual" }
}

wire! {
    /// A group of tasks.
    pub struct TaskGroup {
        "Name" name: String,
        "Count" count: Option<i64>,
        "Constraints" constraints: Vec<Constraint>,
        "Affinities" affinities: Vec<Affinity>,
        "Tasks" tasks: Vec<Task>,
        "Spreads" spreads: Vec<Spread>,
        "Volumes" volumes: BTreeMap<String, VolumeRequest>,
        "RestartPolicy" restart_policy: Option<RestartPolicy>,
        "Disconnect" disconnect: Option<DisconnectStrategy>,
        "ReschedulePolicy" reschedule_policy: Option<ReschedulePolicy>,
        "EphemeralDisk" ephemeral_disk: Option<EphemeralDisk>,
        "Update" update: Option<UpdateStrategy>,
        "Migrate" migrate: Option<MigrateStrategy>,
        "Networks" networks: Vec<NetworkResource>,
        "Meta" meta: StringMap,
        "Services" services: Vec<Service>,
        "ShutdownDelay" shutdown_delay: Option<Nanos>,
        "MaxRunDuration" max_run_duration: Option<Nanos>,
        "StopAfterClientDisconnect" stop_after_client_disconnect: Option<Nanos>,
        "MaxClientDisconnect" max_client_disconnect: Option<Nanos>,
        "Scaling" scaling: Option<ScalingPolicy>,
        "Consul" consul: Option<Consul>,
        "PreventRescheduleOnLost" prevent_reschedule_on_lost: Option<bool>,
    }

    /// A condition on a node's attributes (or on where siblings run).
    pub struct Constraint {
        "LTarget" l_target: String,
        "RTarget" r_target: String,
        "Operand" operand: String,
    }

    /// A preference, with a weight from -100 to 100.
    pub struct Affinity {
        "LTarget" l_target: String,
        "RTarget" r_target: String,
        "Operand" operand: String,
        "Weight" weight: Option<i8>,
    }

    /// A wish to spread over the values of an attribute.
    pub struct Spread {
        "Attribute" attribute: String,
        "Weight" weight: Option<i8>,
        "SpreadTarget" spread_target: Vec<SpreadTarget>,
    }

    /// The share of one value of a [`Spread`].
    pub struct SpreadTarget {
        "Value" value: String,
        "Percent" percent: u8,
    }

    /// How often a task is started again on the same node.
    pub struct RestartPolicy {
        "Interval" interval: Option<Nanos>,
        "Attempts" attempts: Option<i64>,
        "Delay" delay: Option<Nanos>,
        "Mode" mode: Option<RestartMode>,
        "RenderTemplates" render_templates: Option<bool>,
    }

    /// What happens when the node loses its servers.
    pub struct DisconnectStrategy {
        "LostAfter" lost_after: Option<Nanos>,
        "StopOnClientAfter" stop_on_client_after: Option<Nanos>,
        "Replace" replace: Option<bool>,
        "Reconcile" reconcile: String,
    }

    /// How a failed allocation is replaced on another node.
    pub struct ReschedulePolicy {
        "Attempts" attempts: Option<i64>,
        "Interval" interval: Option<Nanos>,
        "Delay" delay: Option<Nanos>,
        "DelayFunction" delay_function: Option<DelayFunction>,
        "MaxDelay" max_delay: Option<Nanos>,
        "Unlimited" unlimited: Option<bool>,
    }

    /// How a new version replaces the old.
    pub struct UpdateStrategy {
        "Stagger" stagger: Option<Nanos>,
        "MaxParallel" max_parallel: Option<i64>,
        "HealthCheck" health_check: Option<HealthCheck>,
        "MinHealthyTime" min_healthy_time: Option<Nanos>,
        "HealthyDeadline" healthy_deadline: Option<Nanos>,
        "ProgressDeadline" progress_deadline: Option<Nanos>,
        "Canary" canary: Option<i64>,
        "AutoRevert" auto_revert: Option<bool>,
        "AutoPromote" auto_promote: Option<bool>,
    }

    /// How allocations move off a draining node.
    pub struct MigrateStrategy {
        "MaxParallel" max_parallel: Option<i64>,
        "HealthCheck" health_check: Option<HealthCheck>,
        "MinHealthyTime" min_healthy_time: Option<Nanos>,
        "HealthyDeadline" healthy_deadline: Option<Nanos>,
    }

    /// The disk that an allocation shares among its tasks.
    pub struct EphemeralDisk {
        "Sticky" sticky: Option<bool>,
        "Migrate" migrate: Option<bool>,
        /// Mebibytes.
        "SizeMB" size_mb: Option<i64>,
    }
}

/// The disk that a group asks for where it says nothing, in mebibytes.
pub const DEFAULT_EPHEMERAL_DISK_MB: i64 = 300;

impl TaskGroup {
    /// How many allocations are wanted; one where nothing is said.
    pub fn count(&self) -> u32 {
        u32::try_from(self.count.unwrap_or(1)).unwrap_or(0)
    }
    /// The task called `name`.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|t| t.name == name)
    }
    /// The group's network, of which there is at most one.
    pub fn network(&self) -> Option<&NetworkResource> {
        self.networks.first()
    }
    /// How long a node may be without servers before it ends the group's allocations; `None` where it never does.
    pub fn stop_on_client_after(&self) -> Option<Nanos> {
        self.disconnect.as_ref()?.stop_on_client_after.filter(|s| *s > Nanos::ZERO)
    }
    /// The longest time that its tasks may take to stop: the leader first, then the other main tasks, then sidecars, each step as long as its
    /// slowest task. Poststop tasks come on top; they end by themselves.
    pub fn longest_stop(&self) -> Nanos {
        let slowest = |of: fn(&Task) -> bool| {
            let spans = self.tasks.iter().filter(|t| t.hook() != Some(LifecycleHook::Poststop) && of(t));
            spans.map(|t| t.kill_timeout().saturating_add(t.shutdown_delay)).max().unwrap_or_default()
        };
        let steps = [slowest(|t| t.leader), slowest(|t| !t.leader && !t.is_sidecar()), slowest(Task::is_sidecar)];
        steps.into_iter().fold(self.shutdown_delay.unwrap_or_default(), Nanos::saturating_add)
    }
    /// Mebibytes of disk asked for.
    pub fn disk_mb(&self) -> i64 {
        self.ephemeral_disk.as_ref().and_then(|d| d.size_mb).unwrap_or(DEFAULT_EPHEMERAL_DISK_MB)
    }
}
