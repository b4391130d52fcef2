//! What a task uses, read from its cgroup.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Cgroup, Layout};

/// What a task uses now. A number that this machine's kernel does not count is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStats {
    /// All memory charged to the task, with the page cache.
    pub memory_bytes: u64,
    /// The part that is not backed by files.
    pub memory_rss_bytes: u64,
    /// The part that is page cache.
    pub memory_cache_bytes: u64,
    /// The highest value of `memory_bytes` so far.
    pub memory_peak_bytes: u64,
    /// Swap.
    pub swap_bytes: u64,
    /// Processor time since the start.
    pub cpu_ns: u64,
    /// The part spent in programs.
    pub cpu_user_ns: u64,
    /// The part spent in the kernel.
    pub cpu_system_ns: u64,
    /// Periods in which the hard limit stopped the task.
    pub throttled_periods: u64,
    /// Time for which the hard limit stopped the task.
    pub throttled_ns: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Processes that the kernel killed because the memory limit was reached.
    pub oom_kills: u64,
}

/// Clock ticks per second in `cpuacct.stat`: fixed by the kernel's interface to programs.
const NS_PER_TICK: u64 = 10_000_000;

impl Cgroup {
    /// Reads what the task uses. All zero when the cgroup is gone.
    pub fn stats(&self) -> TaskStats {
        match self.layout {
            Layout::V2 { .. } => self.dir("").map(|dir| v2_stats(&dir)).unwrap_or_default(),
            Layout::V1 { .. } => self.v1_stats(),
        }
    }

    /// How many processes of the task the kernel killed for memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let file = match self.layout {
            Layout::V2 { .. } => "memory.events",
            Layout::V1 { .. } => "memory.oom_control",
        };
        self.dir("memory").map(|dir| keyed(&dir.join(file), "oom_kill")).unwrap_or(0)
    }

    fn v1_stats(&self) -> TaskStats {
        let read = |controller: &str, file: &str| self.dir(controller).map_or(0, |dir| number(&dir.join(file)));
        let read_keyed = |controller: &str, file: &str, key: &str| self.dir(controller).map_or(0, |dir| keyed(&dir.join(file), key));
        TaskStats {
            memory_bytes: read("memory", "memory.usage_in_bytes"),
            memory_rss_bytes: read_keyed("memory", "memory.stat", "total_rss"),
            memory_cache_bytes: read_keyed("memory", "memory.stat", "total_cache"),
            memory_peak_bytes: read("memory", "memory.max_usage_in_bytes"),
            swap_bytes: read_keyed("memory", "memory.stat", "total_swap"),
            cpu_ns: read("cpuacct", "cpuacct.usage"),
            cpu_user_ns: read_keyed("cpuacct", "cpuacct.stat", "user").saturating_mul(NS_PER_TICK),
            cpu_system_ns: read_keyed("cpuacct", "cpuacct.stat", "system").saturating_mul(NS_PER_TICK),
            throttled_periods: read_keyed("cpu", "cpu.stat", "nr_throttled"),
            throttled_ns: read_keyed("cpu", "cpu.stat", "throttled_time"),
            pids: read("pids", "pids.current"),
            oom_kills: self.oom_kills(),
        }
    }
}

fn v2_stats(dir: &Path) -> TaskStats {
    let microseconds = |key: &str| keyed(&dir.join("cpu.stat"), key).saturating_mul(1_000);
    TaskStats {
        memory_bytes: number(&dir.join("memory.current")),
        memory_rss_bytes: keyed(&dir.join("memory.stat"), "anon"),
        memory_cache_bytes: keyed(&dir.join("memory.stat"), "file"),
        memory_peak_bytes: number(&dir.join("memory.peak")),
        swap_bytes: number(&dir.join("memory.swap.current")),
        cpu_ns: microseconds("usage_usec"),
        cpu_user_ns: microseconds("user_usec"),
        cpu_system_ns: microseconds("system_usec"),
        throttled_periods: keyed(&dir.join("cpu.stat"), "nr_throttled"),
        throttled_ns: microseconds("throttled_usec"),
        pids: number(&dir.join("pids.current")),
        oom_kills: keyed(&dir.join("memory.events"), "oom_kill"),
    }
}

fn number(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The value behind a key in a file of `key value` lines.
fn keyed(path: &Path, key: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_are_matched_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.events");
        fs::write(&path, "oom 7\noom_kill 3\noom_group_kill 9\nbad\n").unwrap();
        assert_eq!((keyed(&path, "oom"), keyed(&path, "oom_kill"), keyed(&path, "kill")), (7, 3, 0));
        assert_eq!(keyed(&dir.path().join("missing"), "oom"), 0);
    }
}
