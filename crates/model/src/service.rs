//! Services: what a job announces, and the registrations that others find.

use crate::{AllocId, JobId, Namespace, NodeId, StringMap, consul::ConsulConnect, task::WorkloadIdentity, time::Nanos};
use std::collections::BTreeMap;

wire! {
    /// A service that a group or task announces.
    pub struct Service {
        "Name" name: String,
        "Tags" tags: Vec<String>,
        "CanaryTags" canary_tags: Vec<String>,
        "EnableTagOverride" enable_tag_override: bool,
        "PortLabel" port_label: String,
        "AddressMode" address_mode: String,
        "Address" address: String,
        "Checks" checks: Vec<ServiceCheck>,
        "CheckRestart" check_restart: Option<CheckRestart>,
        "Connect" connect: Option<ConsulConnect>,
        "Meta" meta: StringMap,
        "CanaryMeta" canary_meta: StringMap,
        "TaggedAddresses" tagged_addresses: StringMap,
        "TaskName" task_name: String,
        "OnUpdate" on_update: String,
        "Identity" identity: Option<WorkloadIdentity>,
        "Weights" weights: Option<ServiceWeights>,
        /// `nomad` for the cluster's own registry, `consul` for Consul.
        "Provider" provider: String,
        "Cluster" cluster: String,
        "Kind" kind: String,
    }

    /// Weights of a service's instances in DNS.
    pub struct ServiceWeights {
        "Passing" passing: i64,
        "Warning" warning: i64,
    }

    /// Restart a task whose check fails.
    pub struct CheckRestart {
        "Limit" limit: i64,
        "Grace" grace: Option<Nanos>,
        "IgnoreWarnings" ignore_warnings: bool,
    }

    /// A health check of a service.
    pub struct ServiceCheck {
        "Name" name: String,
        "Type" check_type: String,
        "Command" command: String,
        "Args" args: Vec<String>,
        "Path" path: String,
        "Protocol" protocol: String,
        "PortLabel" port_label: String,
        "Expose" expose: bool,
        "AddressMode" address_mode: String,
        "Advertise" advertise: String,
        "Interval" interval: Nanos,
        "Timeout" timeout: Nanos,
        "InitialStatus" initial_status: String,
        "Notes" notes: String,
        "TLSServerName" tls_server_name: String,
        "TLSSkipVerify" tls_skip_verify: bool,
        "Header" header: BTreeMap<String, Vec<String>>,
        "Method" method: String,
        "CheckRestart" check_restart: Option<CheckRestart>,
        "GRPCService" grpc_service: String,
        "GRPCUseTLS" grpc_use_tls: bool,
        "TaskName" task_name: String,
        "SuccessBeforePassing" success_before_passing: i64,
        "FailuresBeforeCritical" failures_before_critical: i64,
        "FailuresBeforeWarning" failures_before_warning: i64,
        "Body" body: String,
        "OnUpdate" on_update: String,
    }

    /// One instance of a service that can be found.
    pub struct ServiceRegistration {
        "ID" id: String,
        "ServiceName" service_name: String,
        "Namespace" namespace: Namespace,
        "NodeID" node_id: NodeId,
        "Datacenter" datacenter: String,
        "JobID" job_id: JobId,
        "AllocID" alloc_id: AllocId,
        "Tags" tags: Vec<String>,
        "Address" address: String,
        "Port" port: i64,
        "CreateIndex" create_index: u64,
        "ModifyIndex" modify_index: u64,
    }
}

/// The provider that floe serves by itself.
pub const PROVIDER_NATIVE: &str = "nomad";
