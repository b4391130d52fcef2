//! Defaults of Consul's mesh blocks. They are refused at registration, but plans and inspections show them.

use super::{block, fill_text, task};
use crate::{
    Nanos,
    consul::{ConsulConnect, ConsulTransparentProxy, SidecarTask},
    task::DEFAULT_KILL_TIMEOUT,
};

/// What a sidecar asks for where it says nothing: megahertz.
const SIDECAR_CPU_MHZ: i64 = 250;
/// What a sidecar asks for where it says nothing: mebibytes.
const SIDECAR_MEMORY_MB: i64 = 128;
/// The user that a proxy runs as.
const PROXY_UID: &str = "101";
/// Where a proxy takes what leaves the group.
const PROXY_OUTBOUND_PORT: u16 = 15_001;
/// How long a gateway waits for a connection.
const GATEWAY_CONNECT_TIMEOUT: Nanos = Nanos::from_secs(5);

pub(super) fn connect(c: &mut ConsulConnect) {
    c.sidecar_task.iter_mut().for_each(sidecar_task);
    let proxy = c.sidecar_service.as_mut().and_then(|s| s.proxy.as_mut());
    if let Some(intercept) = proxy.and_then(|p| p.transparent_proxy.as_mut()) {
        transparent_proxy(intercept);
    }
    if let Some(gateway) = &mut c.gateway {
        gateway.proxy.get_or_insert_default().connect_timeout.get_or_insert(GATEWAY_CONNECT_TIMEOUT);
        for listener in gateway.ingress.iter_mut().flat_map(|i| &mut i.listeners) {
            fill_text(&mut listener.protocol, "tcp");
        }
    }
}

fn transparent_proxy(p: &mut ConsulTransparentProxy) {
    fill_text(&mut p.uid, PROXY_UID);
    if p.outbound_port == 0 {
        p.outbound_port = PROXY_OUTBOUND_PORT;
    }
}

fn sidecar_task(t: &mut SidecarTask) {
    fill_text(&mut t.driver, "docker");
    let resources = t.resources.get_or_insert_default();
    if resources.cores.is_none_or(|c| c <= 0) {
        resources.cpu.get_or_insert(SIDECAR_CPU_MHZ);
    }
    resources.memory_mb.get_or_insert(SIDECAR_MEMORY_MB);
    block::resources(resources);
    t.kill_timeout.get_or_insert(DEFAULT_KILL_TIMEOUT);
    t.kill_signal.make_ascii_uppercase();
    t.shutdown_delay.get_or_insert(Nanos::ZERO);
    task::log_config(t.log_config.get_or_insert_default());
    t.volume_mounts.iter_mut().for_each(task::volume_mount);
    t.identities.iter_mut().for_each(block::identity);
}
