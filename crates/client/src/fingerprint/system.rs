//! Memory, disk, kernel and operating system.

use nix::sys::{statvfs::statvfs, utsname::uname};
use std::{fs, path::Path};

pub(super) fn memory_bytes() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib = line.and_then(|l| l.split_ascii_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    kib.saturating_mul(1024)
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Disk {
    pub(super) total_bytes: u64,
    pub(super) free_bytes: u64,
}

/// The disk on which `path` lies.
pub(super) fn disk(path: &Path) -> Disk {
    let Ok(stat) = statvfs(path) else { return Disk::default() };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
    Disk { total_bytes: bytes(stat.blocks()), free_bytes: bytes(stat.blocks_available()) }
}

pub(super) fn attributes() -> Vec<(&'static str, String)> {
    let mut found = vec![("kernel.name", "linux".to_owned())];
    if let Ok(name) = uname() {
        found.push(("kernel.version", name.release().to_string_lossy().into_owned()));
        found.push(("kernel.arch", name.machine().to_string_lossy().into_owned()));
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |key: &str| release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).map(|v| v.trim_matches('"').to_owned());
    found.push(("os.name", field("ID").unwrap_or_else(|| "linux".to_owned())));
    if let Some(version) = field("VERSION_ID") {
        found.push(("os.version", version));
    }
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    found.push(("os.cgroups.version", if unified { "2" } else { "1" }.to_owned()));
    found
}
