//! Defaults of the small blocks.

use super::fill_text;
use crate::{
    consul::Consul,
    group::{Affinity, Constraint, DisconnectStrategy, Spread},
    job::{Multiregion, ParameterizedJobConfig, PeriodicConfig, ScalingPolicy},
    network::{DEFAULT_HOST_NETWORK, NetworkResource},
    resources::{DEFAULT_CPU_MHZ, DEFAULT_MEMORY_MB, Resources},
    task::{ChangeMode, Vault, WorkloadIdentity},
};

/// The operator of a constraint or an affinity that names none.
const DEFAULT_OPERATOR: &str = "=";
/// The weight of an affinity or a spread that names none.
const DEFAULT_WEIGHT: i8 = 50;
/// The Consul or Vault cluster of a block that names none.
const DEFAULT_CLUSTER: &str = "default";
/// The signal of a change that is told by signal but names none.
pub(super) const DEFAULT_CHANGE_SIGNAL: &str = "SIGHUP";

pub(super) fn constraint(c: &mut Constraint) {
    fill_text(&mut c.operand, DEFAULT_OPERATOR);
}

pub(super) fn affinity(a: &mut Affinity) {
    fill_text(&mut a.operand, DEFAULT_OPERATOR);
    a.weight.get_or_insert(DEFAULT_WEIGHT);
}

pub(super) fn spread(s: &mut Spread) {
    s.weight.get_or_insert(DEFAULT_WEIGHT);
}

pub(super) fn disconnect(d: &mut DisconnectStrategy) {
    let DisconnectStrategy { lost_after: _, stop_on_client_after: _, replace, reconcile } = d;
    replace.get_or_insert(true);
    fill_text(reconcile, "best_score");
}

/// `count` is the group's, which is the least count where a policy names none.
pub(super) fn scaling(s: &mut ScalingPolicy, count: Option<i64>) {
    fill_text(&mut s.policy_type, "horizontal");
    s.enabled.get_or_insert(true);
    s.min = s.min.or(count);
}

pub(super) fn network(n: &mut NetworkResource) {
    fill_text(&mut n.mode, "host");
    for port in n.reserved_ports.iter_mut().chain(&mut n.dynamic_ports) {
        fill_text(&mut port.host_network, DEFAULT_HOST_NETWORK);
    }
}

pub(super) fn consul(c: &mut Consul) {
    fill_text(&mut c.cluster, DEFAULT_CLUSTER);
}

pub(super) fn vault(v: &mut Vault) {
    fill_text(&mut v.cluster, DEFAULT_CLUSTER);
    v.env.get_or_insert(true);
    v.disable_file.get_or_insert(false);
    v.allow_token_expiration.get_or_insert(false);
    let mode = *v.change_mode.get_or_insert(ChangeMode::Restart);
    change_signal(&mut v.change_signal, mode);
}

/// Signals are written in capitals, and a change told by signal has one.
pub(super) fn change_signal(signal: &mut String, mode: ChangeMode) {
    signal.make_ascii_uppercase();
    if mode == ChangeMode::Signal {
        fill_text(signal, DEFAULT_CHANGE_SIGNAL);
    }
}

pub(super) fn identity(i: &mut WorkloadIdentity) {
    fill_text(&mut i.name, "default");
    fill_text(&mut i.change_mode, "noop");
    i.change_signal.make_ascii_uppercase();
}

/// Resources, also when only some are given. Whole cores take the place of a share of megahertz.
pub(super) fn resources(r: &mut Resources) {
    let Resources { cpu, cores, memory_mb, memory_max_mb, disk_mb, networks, devices, numa, secrets_mb, iops } = r;
    let share = if cores.is_some_and(|c| c > 0) { 0 } else { DEFAULT_CPU_MHZ };
    cpu.get_or_insert(share);
    memory_mb.get_or_insert(DEFAULT_MEMORY_MB);
    for unset in [cores, memory_max_mb, disk_mb, secrets_mb, iops] {
        unset.get_or_insert(0);
    }
    networks.iter_mut().for_each(network);
    for device in devices {
        device.count.get_or_insert(1);
        device.constraints.iter_mut().for_each(constraint);
        device.affinities.iter_mut().for_each(affinity);
    }
    if let Some(numa) = numa {
        fill_text(&mut numa.affinity, "none");
    }
}

pub(super) fn periodic(p: &mut PeriodicConfig) {
    p.enabled.get_or_insert(true);
    fill_text(&mut p.spec_type, "cron");
    fill_text(&mut p.time_zone, "UTC");
}

pub(super) fn parameterized(p: &mut ParameterizedJobConfig) {
    fill_text(&mut p.payload, "optional");
}

pub(super) fn multiregion(m: &mut Multiregion) {
    m.strategy.get_or_insert_default().max_parallel.get_or_insert(0);
    for region in &mut m.regions {
        region.count.get_or_insert(1);
    }
}
