//! Consul's part of the job model. floe keeps it without loss; what it does not act on is refused in `support`.

use crate::{
    StringMap, Value,
    resources::Resources,
    task::{LogConfig, WorkloadIdentity},
    time::Nanos,
    volume::VolumeMount,
};
use std::collections::BTreeMap;

wire! {
    /// Which Consul a group or task talks to.
    pub struct Consul {
        "Namespace" namespace: String,
        "Cluster" cluster: String,
        "Partition" partition: String,
    }

    /// Membership of a service in Consul's mesh.
    pub struct ConsulConnect {
        "Native" native: bool,
        "Gateway" gateway: Option<ConsulGateway>,
        "SidecarService" sidecar_service: Option<ConsulSidecarService>,
        "SidecarTask" sidecar_task: Option<SidecarTask>,
    }

    /// The sidecar that speaks for a service.
    pub struct ConsulSidecarService {
        "Tags" tags: Vec<String>,
        "Port" port: String,
        "Proxy" proxy: Option<ConsulProxy>,
        "DisableDefaultTCPCheck" disable_default_tcp_check: bool,
        "Meta" meta: StringMap,
    }

    /// The task that runs the sidecar.
    pub struct SidecarTask {
        "Name" name: String,
        "Driver" driver: String,
        "User" user: String,
        "Config" config: BTreeMap<String, Value>,
        "Env" env: StringMap,
        "Resources" resources: Option<Resources>,
        "Meta" meta: StringMap,
        "KillTimeout" kill_timeout: Option<Nanos>,
        "LogConfig" log_config: Option<LogConfig>,
        "ShutdownDelay" shutdown_delay: Option<Nanos>,
        "KillSignal" kill_signal: String,
        "VolumeMounts" volume_mounts: Vec<VolumeMount>,
        "Identities" identities: Vec<WorkloadIdentity>,
    }

    /// The proxy of a sidecar.
    pub struct ConsulProxy {
        "LocalServiceAddress" local_service_address: String,
        "LocalServicePort" local_service_port: i64,
        "Expose" expose: Option<ConsulExposeConfig>,
        "ExposeConfig" expose_config: Option<ConsulExposeConfig>,
        "Upstreams" upstreams: Vec<ConsulUpstream>,
        "TransparentProxy" transparent_proxy: Option<ConsulTransparentProxy>,
        "Config" config: BTreeMap<String, Value>,
    }

    /// How a proxy reaches other meshes.
    pub struct ConsulMeshGateway {
        "Mode" mode: String,
    }

    /// A service that a proxy makes reachable locally.
    pub struct ConsulUpstream {
        "DestinationName" destination_name: String,
        "DestinationNamespace" destination_namespace: String,
        "DestinationPeer" destination_peer: String,
        "DestinationPartition" destination_partition: String,
        "DestinationType" destination_type: String,
        "LocalBindPort" local_bind_port: i64,
        "Datacenter" datacenter: String,
        "LocalBindAddress" local_bind_address: String,
        "LocalBindSocketPath" local_bind_socket_path: String,
        "LocalBindSocketMode" local_bind_socket_mode: String,
        "MeshGateway" mesh_gateway: Option<ConsulMeshGateway>,
        "Config" config: BTreeMap<String, Value>,
    }

    /// Interception of a group's traffic.
    pub struct ConsulTransparentProxy {
        "UID" uid: String,
        "OutboundPort" outbound_port: u16,
        "ExcludeInboundPorts" exclude_inbound_ports: Vec<String>,
        "ExcludeOutboundPorts" exclude_outbound_ports: Vec<u16>,
        "ExcludeOutboundCIDRs" exclude_outbound_cidrs: Vec<String>,
        "ExcludeUIDs" exclude_uids: Vec<String>,
        "NoDNS" no_dns: bool,
    }

    /// Paths that a proxy serves without the mesh.
    pub struct ConsulExposeConfig {
        "Paths" paths: Vec<ConsulExposePath>,
        "Path" path: Vec<ConsulExposePath>,
    }

    /// One path of [`ConsulExposeConfig`].
    pub struct ConsulExposePath {
        "Path" path: String,
        "Protocol" protocol: String,
        "LocalPathPort" local_path_port: i64,
        "ListenerPort" listener_port: String,
    }

    /// A gateway of the mesh.
    pub struct ConsulGateway {
        "Proxy" proxy: Option<ConsulGatewayProxy>,
        "Ingress" ingress: Option<ConsulIngressConfigEntry>,
        "Terminating" terminating: Option<ConsulTerminatingConfigEntry>,
        "Mesh" mesh: Option<ConsulMeshConfigEntry>,
    }

    /// A gateway inside the mesh; it has no settings.
    pub struct ConsulMeshConfigEntry {}

    /// Where a gateway listens.
    pub struct ConsulGatewayBindAddress {
        "Name" name: String,
        "Address" address: String,
        "Port" port: i64,
    }

    /// The proxy of a gateway.
    pub struct ConsulGatewayProxy {
        "ConnectTimeout" connect_timeout: Option<Nanos>,
        "EnvoyGatewayBindTaggedAddresses" envoy_gateway_bind_tagged_addresses: bool,
        "EnvoyGatewayBindAddresses" envoy_gateway_bind_addresses: BTreeMap<String, ConsulGatewayBindAddress>,
        "EnvoyGatewayNoDefaultBind" envoy_gateway_no_default_bind: bool,
        "EnvoyDNSDiscoveryType" envoy_dns_discovery_type: String,
        "Config" config: BTreeMap<String, Value>,
    }

    /// Certificates fetched by a gateway.
    pub struct ConsulGatewayTlsSdsConfig {
        "ClusterName" cluster_name: String,
        "CertResource" cert_resource: String,
    }

    /// TLS of a gateway.
    pub struct ConsulGatewayTlsConfig {
        "Enabled" enabled: bool,
        "TLSMinVersion" tls_min_version: String,
        "TLSMaxVersion" tls_max_version: String,
        "CipherSuites" cipher_suites: Vec<String>,
        "SDS" sds: Option<ConsulGatewayTlsSdsConfig>,
    }

    /// Changes to HTTP headers.
    pub struct ConsulHttpHeaderModifiers {
        "Add" add: StringMap,
        "Set" set: StringMap,
        "Remove" remove: Vec<String>,
    }

    /// A service behind an ingress listener.
    pub struct ConsulIngressService {
        "Name" name: String,
        "Hosts" hosts: Vec<String>,
        "TLS" tls: Option<ConsulGatewayTlsConfig>,
        "RequestHeaders" request_headers: Option<ConsulHttpHeaderModifiers>,
        "ResponseHeaders" response_headers: Option<ConsulHttpHeaderModifiers>,
        "MaxConnections" max_connections: Option<u32>,
        "MaxPendingRequests" max_pending_requests: Option<u32>,
        "MaxConcurrentRequests" max_concurrent_requests: Option<u32>,
    }

    /// A listener of an ingress gateway.
    pub struct ConsulIngressListener {
        "Port" port: i64,
        "Protocol" protocol: String,
        "Services" services: Vec<ConsulIngressService>,
    }

    /// An ingress gateway.
    pub struct ConsulIngressConfigEntry {
        "TLS" tls: Option<ConsulGatewayTlsConfig>,
        "Listeners" listeners: Vec<ConsulIngressListener>,
    }

    /// A service behind a terminating gateway.
    pub struct ConsulLinkedService {
        "Name" name: String,
        "CAFile" ca_file: String,
        "CertFile" cert_file: String,
        "KeyFile" key_file: String,
        "SNI" sni: String,
    }

    /// A terminating gateway.
    pub struct ConsulTerminatingConfigEntry {
        "Services" services: Vec<ConsulLinkedService>,
    }
}
