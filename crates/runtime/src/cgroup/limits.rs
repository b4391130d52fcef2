//! Limits as the files that keep them, for both versions of cgroups: a pure function from `Resources` to writes.

use crate::spec::Resources;

/// One write into a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The controller that owns the file.
    pub controller: &'static str,
    /// The file in the cgroup's directory.
    pub file: &'static str,
    /// What to write.
    pub value: String,
    /// Whether the task must not start without it. The others exist only on some kernels.
    pub required: bool,
}

fn required(controller: &'static str, file: &'static str, value: impl ToString) -> Setting {
    Setting { controller, file, value: value.to_string(), required: true }
}

fn optional(controller: &'static str, file: &'static str, value: impl ToString) -> Setting {
    Setting { required: false, ..required(controller, file, value) }
}

/// The smallest and largest `cpu.shares` that the kernel takes.
const V1_SHARES: (u64, u64) = (2, 262_144);

/// Limits for v1. The hard limit goes before memory+swap, which must not be lower.
pub(super) fn v1(resources: &Resources) -> Vec<Setting> {
    let hard = hard_limit(resources);
    let mut settings = vec![
        required("memory", "memory.limit_in_bytes", hard),
        // Swap is not extra memory; kernels without swap accounting lack the file.
        optional("memory", "memory.memsw.limit_in_bytes", hard),
        required("memory", "memory.soft_limit_in_bytes", resources.memory_bytes),
        required("cpu", "cpu.shares", resources.cpu_shares.clamp(V1_SHARES.0, V1_SHARES.1)),
        required("pids", "pids.max", resources.pids),
    ];
    if let Some(quota) = resources.cpu_quota {
        settings.push(required("cpu", "cpu.cfs_period_us", quota.period_us));
        settings.push(required("cpu", "cpu.cfs_quota_us", quota.quota_us));
    }
    settings
}

/// Limits for v2.
pub(super) fn v2(resources: &Resources) -> Vec<Setting> {
    let mut settings = vec![
        required("memory", "memory.max", hard_limit(resources)),
        optional("memory", "memory.swap.max", 0),
        required("cpu", "cpu.weight", weight(resources.cpu_shares)),
        required("pids", "pids.max", resources.pids),
    ];
    if resources.memory_max_bytes.is_some() {
        // Below the reservation the kernel takes memory from others first.
        settings.push(required("memory", "memory.low", resources.memory_bytes));
    }
    if let Some(quota) = resources.cpu_quota {
        settings.push(required("cpu", "cpu.max", format!("{} {}", quota.quota_us, quota.period_us)));
    }
    settings
}

fn hard_limit(resources: &Resources) -> u64 {
    resources.memory_max_bytes.unwrap_or(resources.memory_bytes)
}

/// Maps v1 shares (2 to 262144) to a v2 weight (1 to 10000) linearly, as every container runtime does, so that a job has the same
/// share on machines of both kinds.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(V1_SHARES.0, V1_SHARES.1) - V1_SHARES.0) * 9_999 / (V1_SHARES.1 - V1_SHARES.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::spec::CpuQuota;

    fn value<'a>(settings: &'a [Setting], file: &str) -> Option<&'a str> {
        settings.iter().find(|setting| setting.file == file).map(|setting| setting.value.as_str())
    }

    fn resources() -> Resources {
        Resources { cpu_shares: 500, cpu_quota: None, memory_bytes: 64 << 20, memory_max_bytes: None, pids: 10 }
    }

    #[test]
    fn memory_is_the_hard_limit_unless_there_is_a_maximum() {
        assert_eq!(value(&v2(&resources()), "memory.max"), Some("67108864"));
        assert_eq!(value(&v2(&resources()), "memory.low"), None);
        let over = Resources { memory_max_bytes: Some(128 << 20), ..resources() };
        assert_eq!(value(&v2(&over), "memory.max"), Some("134217728"));
        assert_eq!(value(&v2(&over), "memory.low"), Some("67108864"));
        assert_eq!(value(&v1(&over), "memory.limit_in_bytes"), Some("134217728"));
        assert_eq!(value(&v1(&over), "memory.soft_limit_in_bytes"), Some("67108864"));
    }

    #[test]
    fn shares_and_weights_at_their_bounds() {
        assert_eq!((weight(0), weight(2), weight(1024), weight(262_144), weight(u64::MAX)), (1, 1, 39, 10_000, 10_000));
        assert_eq!(value(&v1(&Resources { cpu_shares: 1, ..resources() }), "cpu.shares"), Some("2"));
        assert_eq!(value(&v1(&Resources { cpu_shares: 1 << 40, ..resources() }), "cpu.shares"), Some("262144"));
    }

    #[test]
    fn quota_is_written_only_when_asked_for() {
        assert_eq!(value(&v2(&resources()), "cpu.max"), None);
        let limited = Resources { cpu_quota: Some(CpuQuota { quota_us: 20_000, period_us: 100_000 }), ..resources() };
        assert_eq!(value(&v2(&limited), "cpu.max"), Some("20000 100000"));
        assert_eq!(value(&v1(&limited), "cpu.cfs_quota_us"), Some("20000"));
    }
}
