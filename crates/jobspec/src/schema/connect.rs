//! Consul's mesh: sidecars, upstreams and gateways.

use super::{
    Child, EMPTY, Kind, PORT, Schema, U32, attr, by_label, many,
    network::RESOURCES,
    one,
    task::{IDENTITY, LOGS},
    volume::VOLUME_MOUNT,
};

pub(super) static CONNECT: Schema = Schema {
    attrs: &[attr("native", "Native", Kind::Bool)],
    children: &[
        one("sidecar_service", "SidecarService", &SIDECAR_SERVICE),
        one("sidecar_task", "SidecarTask", &SIDECAR_TASK),
        one("gateway", "Gateway", &GATEWAY),
    ],
    ..EMPTY
};

static SIDECAR_SERVICE: Schema = Schema {
    attrs: &[
        attr("tags", "Tags", Kind::Texts),
        attr("port", "Port", Kind::Text),
        attr("disable_default_tcp_check", "DisableDefaultTCPCheck", Kind::Bool),
        attr("meta", "Meta", Kind::TextMap),
    ],
    children: &[one("proxy", "Proxy", &PROXY)],
    ..EMPTY
};

static SIDECAR_TASK: Schema = Schema {
    attrs: &[
        attr("name", "Name", Kind::Text),
        attr("driver", "Driver", Kind::Text),
        attr("user", "User", Kind::Text),
        attr("config", "Config", Kind::Free),
        attr("env", "Env", Kind::TextMap),
        attr("meta", "Meta", Kind::TextMap),
        attr("kill_timeout", "KillTimeout", Kind::Duration),
        attr("shutdown_delay", "ShutdownDelay", Kind::Duration),
        attr("kill_signal", "KillSignal", Kind::Text),
    ],
    children: &[
        one("resources", "Resources", &RESOURCES),
        one("logs", "LogConfig", &LOGS),
        many("volume_mount", "VolumeMounts", &VOLUME_MOUNT),
        many("identity", "Identities", &IDENTITY),
    ],
    ..EMPTY
};

static PROXY: Schema = Schema {
    attrs: &[
        attr("local_service_address", "LocalServiceAddress", Kind::Text),
        attr("local_service_port", "LocalServicePort", PORT),
        attr("config", "Config", Kind::Free),
    ],
    children: &[
        one("expose", "Expose", &EXPOSE),
        many("upstreams", "Upstreams", &UPSTREAMS),
        one("transparent_proxy", "TransparentProxy", &TRANSPARENT_PROXY),
    ],
    ..EMPTY
};

static EXPOSE: Schema = Schema { children: &[many("path", "Paths", &EXPOSE_PATH)], ..EMPTY };

static EXPOSE_PATH: Schema = Schema {
    attrs: &[
        attr("path", "Path", Kind::Text),
        attr("protocol", "Protocol", Kind::Text),
        attr("local_path_port", "LocalPathPort", PORT),
        attr("listener_port", "ListenerPort", Kind::Text),
    ],
    ..EMPTY
};

static UPSTREAMS: Schema = Schema {
    attrs: &[
        attr("destination_name", "DestinationName", Kind::Text),
        attr("destination_namespace", "DestinationNamespace", Kind::Text),
        attr("destination_peer", "DestinationPeer", Kind::Text),
        attr("destination_partition", "DestinationPartition", Kind::Text),
        attr("destination_type", "DestinationType", Kind::Text),
        attr("local_bind_port", "LocalBindPort", PORT),
        attr("datacenter", "Datacenter", Kind::Text),
        attr("local_bind_address", "LocalBindAddress", Kind::Text),
        attr("local_bind_socket_path", "LocalBindSocketPath", Kind::Text),
        attr("local_bind_socket_mode", "LocalBindSocketMode", Kind::Text),
        attr("config", "Config", Kind::Free),
    ],
    children: &[one("mesh_gateway", "MeshGateway", &MESH_GATEWAY)],
    ..EMPTY
};

static MESH_GATEWAY: Schema = Schema { attrs: &[attr("mode", "Mode", Kind::Text)], ..EMPTY };

static TRANSPARENT_PROXY: Schema = Schema {
    attrs: &[
        attr("uid", "UID", Kind::Text),
        attr("outbound_port", "OutboundPort", PORT),
        attr("exclude_inbound_ports", "ExcludeInboundPorts", Kind::Texts),
        attr("exclude_outbound_ports", "ExcludeOutboundPorts", Kind::Ints(0, 65_535)),
        attr("exclude_outbound_cidrs", "ExcludeOutboundCIDRs", Kind::Texts),
        attr("exclude_uids", "ExcludeUIDs", Kind::Texts),
        attr("no_dns", "NoDNS", Kind::Bool),
    ],
    ..EMPTY
};

static GATEWAY: Schema = Schema {
    children: &[
        one("proxy", "Proxy", &GATEWAY_PROXY),
        one("ingress", "Ingress", &INGRESS),
        one("terminating", "Terminating", &TERMINATING),
        one("mesh", "Mesh", &MESH),
    ],
    ..EMPTY
};

static MESH: Schema = EMPTY;

const GATEWAY_PROXY_CHILDREN: &[Child] = &[by_label("envoy_gateway_bind_addresses", "EnvoyGatewayBindAddresses", "Name", &BIND_ADDRESS)];

static GATEWAY_PROXY: Schema = Schema {
    attrs: &[
        attr("connect_timeout", "ConnectTimeout", Kind::Duration),
        attr("envoy_gateway_bind_tagged_addresses", "EnvoyGatewayBindTaggedAddresses", Kind::Bool),
        attr("envoy_gateway_no_default_bind", "EnvoyGatewayNoDefaultBind", Kind::Bool),
        attr("envoy_dns_discovery_type", "EnvoyDNSDiscoveryType", Kind::Text),
        attr("config", "Config", Kind::Free),
    ],
    children: GATEWAY_PROXY_CHILDREN,
    ..EMPTY
};

static BIND_ADDRESS: Schema = Schema { attrs: &[attr("address", "Address", Kind::Text), attr("port", "Port", PORT)], ..EMPTY };

static INGRESS: Schema = Schema { children: &[one("tls", "TLS", &GATEWAY_TLS), many("listener", "Listeners", &LISTENER)], ..EMPTY };

static GATEWAY_TLS: Schema = Schema {
    attrs: &[
        attr("enabled", "Enabled", Kind::Bool),
        attr("tls_min_version", "TLSMinVersion", Kind::Text),
        attr("tls_max_version", "TLSMaxVersion", Kind::Text),
        attr("cipher_suites", "CipherSuites", Kind::Texts),
    ],
    children: &[one("sds", "SDS", &SDS)],
    ..EMPTY
};

static SDS: Schema =
    Schema { attrs: &[attr("cluster_name", "ClusterName", Kind::Text), attr("cert_resource", "CertResource", Kind::Text)], ..EMPTY };

static LISTENER: Schema = Schema {
    attrs: &[attr("port", "Port", PORT), attr("protocol", "Protocol", Kind::Text)],
    children: &[many("service", "Services", &INGRESS_SERVICE)],
    ..EMPTY
};

static INGRESS_SERVICE: Schema = Schema {
    attrs: &[
        attr("name", "Name", Kind::Text),
        attr("hosts", "Hosts", Kind::Texts),
        attr("max_connections", "MaxConnections", U32),
        attr("max_pending_requests", "MaxPendingRequests", U32),
        attr("max_concurrent_requests", "MaxConcurrentRequests", U32),
    ],
    children: &[
        one("tls", "TLS", &GATEWAY_TLS),
        one("request_headers", "RequestHeaders", &HEADERS),
        one("response_headers", "ResponseHeaders", &HEADERS),
    ],
    ..EMPTY
};

static HEADERS: Schema = Schema {
    attrs: &[attr("add", "Add", Kind::TextMap), attr("set", "Set", Kind::TextMap), attr("remove", "Remove", Kind::Texts)],
    ..EMPTY
};

static TERMINATING: Schema = Schema { children: &[many("service", "Services", &LINKED_SERVICE)], ..EMPTY };

static LINKED_SERVICE: Schema = Schema {
    attrs: &[
        attr("name", "Name", Kind::Text),
        attr("ca_file", "CAFile", Kind::Text),
        attr("cert_file", "CertFile", Kind::Text),
        attr("key_file", "KeyFile", Kind::Text),
        attr("sni", "SNI", Kind::Text),
    ],
    ..EMPTY
};
