//! What tasks ask of a node and what they were given.

use crate::{
    group::{Affinity, Constraint},
    network::{NetworkResource, PortMapping},
};
use std::collections::BTreeMap;

/// Megahertz that a task asks for where it says nothing.
pub const DEFAULT_CPU_MHZ: i64 = 100;
/// Mebibytes of memory that a task asks for where it says nothing.
pub const DEFAULT_MEMORY_MB: i64 = 300;
/// The least memory of a task, in mebibytes.
pub const MIN_MEMORY_MB: i64 = 10;
/// The least CPU share of a task, in megahertz.
pub const MIN_CPU_MHZ: i64 = 1;

wire! {
    /// What a task asks for.
    pub struct Resources {
        /// Megahertz, a share rather than a limit.
        "CPU" cpu: Option<i64>,
        /// Whole cores for this task alone; excludes `CPU`.
        "Cores" cores: Option<i64>,
        /// Mebibytes reserved.
        "MemoryMB" memory_mb: Option<i64>,
        /// Mebibytes at most, when more than reserved; -1 for all of the node's.
        "MemoryMaxMB" memory_max_mb: Option<i64>,
        "DiskMB" disk_mb: Option<i64>,
        "Networks" networks: Vec<NetworkResource>,
        "Devices" devices: Vec<RequestedDevice>,
        "NUMA" numa: Option<NumaResource>,
        "SecretsMB" secrets_mb: Option<i64>,
        "IOPS" iops: Option<i64>,
    }

    /// Placement relative to the node's memory controllers.
    pub struct NumaResource {
        "Affinity" affinity: String,
        "Devices" devices: Vec<String>,
    }

    /// A device asked for by type, vendor/type or vendor/type/name.
    pub struct RequestedDevice {
        "Name" name: String,
        "Count" count: Option<u64>,
        "Constraints" constraints: Vec<Constraint>,
        "Affinities" affinities: Vec<Affinity>,
    }

    /// What an allocation holds on its node.
    pub struct AllocatedResources {
        "Tasks" tasks: BTreeMap<String, AllocatedTaskResources>,
        "Shared" shared: AllocatedSharedResources,
    }

    /// What one task of an allocation holds.
    pub struct AllocatedTaskResources {
        "Cpu" cpu: AllocatedCpuResources,
        "Memory" memory: AllocatedMemoryResources,
        "Networks" networks: Vec<NetworkResource>,
        "Devices" devices: Vec<AllocatedDeviceResource>,
    }

    /// What the tasks of an allocation share.
    pub struct AllocatedSharedResources {
        /// Mebibytes.
        "DiskMB" disk_mb: i64,
        "Networks" networks: Vec<NetworkResource>,
        "Ports" ports: Vec<PortMapping>,
    }

    /// A share of the node's processors.
    pub struct AllocatedCpuResources {
        /// Megahertz.
        "CpuShares" cpu_shares: i64,
    }

    /// A share of the node's memory.
    pub struct AllocatedMemoryResources {
        /// Mebibytes reserved.
        "MemoryMB" memory_mb: i64,
        /// Mebibytes at most; zero means the same as reserved.
        "MemoryMaxMB" memory_max_mb: i64,
    }

    /// Instances of a device that were given.
    pub struct AllocatedDeviceResource {
        "Vendor" vendor: String,
        "Type" device_type: String,
        "Name" name: String,
        "DeviceIDs" device_ids: Vec<String>,
    }
}

impl Resources {
    /// Megahertz asked for.
    pub fn cpu_mhz(&self) -> i64 {
        self.cpu.unwrap_or(DEFAULT_CPU_MHZ)
    }
    /// Mebibytes asked for.
    pub fn memory_mb(&self) -> i64 {
        self.memory_mb.unwrap_or(DEFAULT_MEMORY_MB)
    }
}

/// Amounts that can be added and compared: what an allocation uses, what a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Megahertz.
    pub cpu_mhz: i64,
    /// Mebibytes.
    pub memory_mb: i64,
    /// Mebibytes.
    pub disk_mb: i64,
}

impl Amounts {
    /// The sum, which stops at the largest number.
    pub fn plus(self, other: Amounts) -> Amounts {
        Amounts {
            cpu_mhz: self.cpu_mhz.saturating_add(other.cpu_mhz),
            memory_mb: self.memory_mb.saturating_add(other.memory_mb),
            disk_mb: self.disk_mb.saturating_add(other.disk_mb),
        }
    }
    /// The difference, which stops at the smallest number.
    pub fn minus(self, other: Amounts) -> Amounts {
        Amounts {
            cpu_mhz: self.cpu_mhz.saturating_sub(other.cpu_mhz),
            memory_mb: self.memory_mb.saturating_sub(other.memory_mb),
            disk_mb: self.disk_mb.saturating_sub(other.disk_mb),
        }
    }
    /// The first dimension in which `self` is more than `capacity`, by the name that users see.
    pub fn exceeds(self, capacity: Amounts) -> Option<&'static str> {
        if self.cpu_mhz > capacity.cpu_mhz {
            Some("cpu")
        } else if self.memory_mb > capacity.memory_mb {
            Some("memory")
        } else if self.disk_mb > capacity.disk_mb {
            Some("disk")
        } else {
            None
        }
    }
}

impl AllocatedResources {
    /// The amounts that are held in all.
    pub fn amounts(&self) -> Amounts {
        let shared = Amounts { disk_mb: self.shared.disk_mb, ..Amounts::default() };
        self.tasks
            .values()
            .fold(shared, |sum, t| sum.plus(Amounts { cpu_mhz: t.cpu.cpu_shares, memory_mb: t.memory.memory_mb, disk_mb: 0 }))
    }
}
