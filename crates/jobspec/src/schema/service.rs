//! Services and their checks.

use super::{COUNT, Child, EMPTY, INT, Kind, Schema, attr, connect::CONNECT, many, one, task::IDENTITY};

pub(super) static SERVICE: Schema = Schema {
    attrs: &[
        attr("name", "Name", Kind::Text),
        attr("provider", "Provider", Kind::Text),
        attr("port", "PortLabel", Kind::Text),
        attr("address", "Address", Kind::Text),
        attr("address_mode", "AddressMode", Kind::Text),
        attr("tags", "Tags", Kind::Texts),
        attr("canary_tags", "CanaryTags", Kind::Texts),
        attr("enable_tag_override", "EnableTagOverride", Kind::Bool),
        attr("meta", "Meta", Kind::TextMap),
        attr("canary_meta", "CanaryMeta", Kind::TextMap),
        attr("tagged_addresses", "TaggedAddresses", Kind::TextMap),
        attr("task", "TaskName", Kind::Text),
        attr("on_update", "OnUpdate", Kind::Text),
        attr("cluster", "Cluster", Kind::Text),
        attr("kind", "Kind", Kind::Text),
    ],
    children: CHILDREN,
    ..EMPTY
};

const CHILDREN: &[Child] = &[
    many("check", "Checks", &CHECK),
    one("check_restart", "CheckRestart", &CHECK_RESTART),
    one("connect", "Connect", &CONNECT),
    one("identity", "Identity", &IDENTITY),
    one("weights", "Weights", &WEIGHTS),
];

static WEIGHTS: Schema = Schema { attrs: &[attr("passing", "Passing", INT), attr("warning", "Warning", INT)], ..EMPTY };

static CHECK_RESTART: Schema = Schema {
    attrs: &[attr("limit", "Limit", COUNT), attr("grace", "Grace", Kind::Duration), attr("ignore_warnings", "IgnoreWarnings", Kind::Bool)],
    ..EMPTY
};

static CHECK: Schema = Schema {
    attrs: &[
        attr("name", "Name", Kind::Text),
        attr("type", "Type", Kind::Text),
        attr("command", "Command", Kind::Text),
        attr("args", "Args", Kind::Texts),
        attr("path", "Path", Kind::Text),
        attr("protocol", "Protocol", Kind::Text),
        attr("port", "PortLabel", Kind::Text),
        attr("expose", "Expose", Kind::Bool),
        attr("address_mode", "AddressMode", Kind::Text),
        attr("advertise", "Advertise", Kind::Text),
        attr("interval", "Interval", Kind::Duration),
        attr("timeout", "Timeout", Kind::Duration),
        attr("initial_status", "InitialStatus", Kind::Text),
        attr("notes", "Notes", Kind::Text),
        attr("tls_server_name", "TLSServerName", Kind::Text),
        attr("tls_skip_verify", "TLSSkipVerify", Kind::Bool),
        attr("header", "Header", Kind::TextsMap),
        attr("method", "Method", Kind::Text),
        attr("body", "Body", Kind::Text),
        attr("grpc_service", "GRPCService", Kind::Text),
        attr("grpc_use_tls", "GRPCUseTLS", Kind::Bool),
        attr("task", "TaskName", Kind::Text),
        attr("success_before_passing", "SuccessBeforePassing", COUNT),
        attr("failures_before_critical", "FailuresBeforeCritical", COUNT),
        attr("failures_before_warning", "FailuresBeforeWarning", COUNT),
        attr("on_update", "OnUpdate", Kind::Text),
    ],
    children: &[one("check_restart", "CheckRestart", &CHECK_RESTART)],
    ..EMPTY
};
