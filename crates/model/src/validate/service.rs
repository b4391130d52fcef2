//! Rules of services and their checks.

use super::names::{self, is_dns_label, is_interpolated, without_placeholders};
use crate::{
    Nanos, Task, TaskGroup,
    report::{Report, labelled, quoted},
    service::{PROVIDER_NATIVE, Service, ServiceCheck},
};
use std::collections::BTreeSet;

/// The provider that is Consul.
pub(super) const PROVIDER_CONSUL: &str = "consul";
/// The shortest interval and the shortest timeout of a check.
pub(super) const MIN_CHECK_TIME: Nanos = Nanos::from_secs(1);

const ON_UPDATE: &[&str] = &["require_healthy", "ignore_warnings", "ignore"];

/// The services of a group, or of one of its tasks.
pub(super) fn services(report: &mut Report, group: &TaskGroup, task: Option<&Task>, services: &[Service]) {
    if !report.list("services", services.len()) {
        return;
    }
    let mut seen = BTreeSet::new();
    for (i, s) in services.iter().enumerate() {
        report.within(labelled("service", &s.name, i), |r| {
            service(r, group, task, s);
            if !seen.insert((&s.name, &s.port_label)) {
                r.say(format_args!("it is there more than once with port {}; rename or remove one", quoted(&s.port_label)));
            }
        });
    }
}

fn service(report: &mut Report, group: &TaskGroup, task: Option<&Task>, s: &Service) {
    let Service {
        name,
        tags,
        canary_tags,
        enable_tag_override: _,
        port_label,
        address_mode,
        address,
        checks,
        check_restart: _,
        connect,
        meta,
        canary_meta: _,
        tagged_addresses: _,
        task_name,
        on_update,
        identity: _,
        weights: _,
        provider,
        cluster: _,
        kind: _,
    } = s;
    if !is_dns_label(&without_placeholders(name)) {
        report.say(format_args!(
            "name {} must be letters, digits and inner dashes, at most {} (it names a host in DNS); rename it",
            quoted(name),
            names::MAX_DNS_LABEL
        ));
    }
    report.word("provider", provider, &[PROVIDER_NATIVE, PROVIDER_CONSUL]);
    if provider == PROVIDER_NATIVE && connect.is_some() {
        report.say("connect needs provider \"consul\"; remove connect");
    }
    report.word("address_mode", address_mode, &["auto", "alloc", "alloc_ipv6", "driver", "host"]);
    if !address.is_empty() && address_mode != "auto" {
        report.say(format_args!("address {} needs address_mode \"auto\" (it is {address_mode:?}); remove one", quoted(address)));
    }
    report.word("on_update", on_update, ON_UPDATE);
    for tag in tags.iter().chain(canary_tags).filter(|t| t.contains('\0')) {
        report.say(format_args!("tag {} must not hold NUL; remove it", quoted(tag)));
    }
    if report.list("tags", tags.len().saturating_add(canary_tags.len())) {
        names::environment(report, "meta", meta);
    }
    port_exists(report, group, port_label);
    service_task(report, group, task, task_name);
    if report.list("checks", checks.len()) {
        for (i, c) in checks.iter().enumerate() {
            report.within(labelled("check", &c.name, i), |r| check(r, group, s, c));
        }
    }
}

/// A port is a label of the group's network (or of a task's older one), or a number.
fn port_exists(report: &mut Report, group: &TaskGroup, label: &str) {
    if label.is_empty() || is_interpolated(label) {
        return;
    }
    if let Ok(number) = label.parse::<i64>() {
        report.between("port", number, 1, super::network::MAX_PORT, "");
        return;
    }
    let in_tasks = group.tasks.iter().filter_map(|t| t.resources.as_ref()).flat_map(|r| &r.networks);
    let labels: Vec<&str> = group.networks.iter().chain(in_tasks).flat_map(|n| n.ports()).map(|p| p.label.as_str()).collect();
    if !labels.contains(&label) {
        let near = crate::wire::nearest(label, &labels).map(|n| format!("did you mean {n:?}? ")).unwrap_or_default();
        report.say(format_args!("port {} is not a port of the group; {near}add it to the group's network", quoted(label)));
    }
}

fn service_task(report: &mut Report, group: &TaskGroup, task: Option<&Task>, name: &str) {
    if name.is_empty() {
        return;
    }
    match task {
        Some(own) if own.name != name => {
            report.say(format_args!("task {} is not the task that the service stands in; remove task", quoted(name)));
        }
        None if group.task(name).is_none() => report.say(format_args!("task {} is not in the group; name one of its tasks", quoted(name))),
        _ => {}
    }
}

fn check(report: &mut Report, group: &TaskGroup, s: &Service, c: &ServiceCheck) {
    let ServiceCheck {
        name: _,
        check_type,
        command,
        args: _,
        path,
        protocol,
        port_label,
        expose: _,
        address_mode,
        advertise: _,
        interval,
        timeout,
        initial_status,
        notes: _,
        tls_server_name: _,
        tls_skip_verify: _,
        header: _,
        method: _,
        check_restart,
        grpc_service: _,
        grpc_use_tls: _,
        task_name: _,
        success_before_passing,
        failures_before_critical,
        failures_before_warning,
        body: _,
        on_update,
    } = c;
    let types: &[&str] = if s.provider == PROVIDER_NATIVE { &["http", "tcp"] } else { &["http", "tcp", "grpc", "script"] };
    report.required("type", check_type, "set it to \"http\" or \"tcp\"");
    report.word("type", check_type, types);
    match check_type.as_str() {
        "http" => report.required("path", path, "write for example \"/health\""),
        "script" => report.required("command", command, "name what is run"),
        _ => {}
    }
    report.word("protocol", protocol, &["http", "https"]);
    report.word("address_mode", address_mode, &["alloc", "alloc_ipv6", "driver", "host"]);
    report.word("initial_status", initial_status, &["passing", "warning", "critical"]);
    report.word("on_update", on_update, ON_UPDATE);
    report.span("interval", Some(*interval), MIN_CHECK_TIME);
    report.span("timeout", Some(*timeout), MIN_CHECK_TIME);
    for (field, n) in [
        ("success_before_passing", success_before_passing),
        ("failures_before_critical", failures_before_critical),
        ("failures_before_warning", failures_before_warning),
        ("check_restart limit", &check_restart.as_ref().map_or(0, |r| r.limit)),
    ] {
        report.between(field, *n, 0, super::policy::MAX_ATTEMPTS, "");
    }
    if check_type != "script" && port_label.is_empty() && s.port_label.is_empty() {
        report.say("port is missing; set it here or in the service");
    }
    port_exists(report, group, port_label);
}
