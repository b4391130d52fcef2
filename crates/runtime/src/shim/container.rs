//! The drivers `exec` and `image`: a task as an OCI configuration, and the container that libcontainer makes of it.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::resource::Resource;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capabilities, Linux, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxDeviceCgroupBuilder, LinuxIdMapping,
    LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResourcesBuilder, Mount, MountBuilder,
    PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use super::devices::{self, Made};
use super::init::{InitExecutor, Plan};
use super::link::{ExecOutcome, Link};
use super::rootfs::{self, BUNDLE, STATE};
use super::{RunningTask, StartError};
use crate::cgroup::Cgroup;
use crate::command;
use crate::error::Doing;
use crate::process::ProcessId;
use crate::seccomp::Filter;
use crate::spec::{DEFAULT_SHM_BYTES, ID_RANGE_SIZE, MAX_HOSTNAME_BYTES, TaskSpec};
use crate::user::Identity;

/// Kernel interfaces that tell about the host or change it.
const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/fs/selinux",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
];
/// Kernel interfaces that a task may read.
const READ_ONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What of the task's file system is there only once its container is.
pub(super) const MOUNTED_INSIDE: &[&str] = &["/dev", "/proc"];

/// The host name of a task's container.
pub(super) fn hostname(spec: &TaskSpec) -> &str {
    let name = spec.hostname.as_deref().unwrap_or(&spec.id);
    name.get(..MAX_HOSTNAME_BYTES).unwrap_or(name)
}

/// Creates the container and starts the program in it.
pub(super) fn start(spec: &TaskSpec, cgroup: &Cgroup, stdout: OwnedFd, stderr: OwnedFd) -> Result<RunningTask, StartError> {
    cgroup.limit(&spec.resources)?;
    let (root, identity) = rootfs::build(spec, cgroup)?;
    let spec = &with_home(spec, &identity);
    check_ulimits(spec)?;
    let program = command::resolve(spec, |path| rootfs::probe(&root, path))?;
    // Before libcontainer goes there: of what fails in the container, it says only that something did.
    if let Some(dir) = spec.work_dir.as_ref().filter(|dir| !MOUNTED_INSIDE.iter().any(|mount| dir.starts_with(mount))) {
        command::check_work_dir(dir, |path| rootfs::probe(&root, path))?;
    }
    drop(root);

    let link = Link::new()?;
    let made = devices::make(spec)?;
    configuration(spec, &identity, cgroup, &made)?.save(Path::new(BUNDLE).join("config.json"))?;
    devices::run_hooks(spec)?;
    let mut container = ContainerBuilder::new(spec.id.clone(), SyscallType::Linux)
        .with_root_path(STATE)?
        .with_stdout(stdout)
        .with_stderr(stderr)
        .with_executor(InitExecutor::new(plan(spec, &program, &link)?))
        .as_init(BUNDLE)
        .with_systemd(false)
        .with_detach(true)
        .build()?;
    container.start()?;
    let init = container.pid().ok_or(StartError::NoInit)?.as_raw();

    let link = link.connected();
    let task = ProcessId::of(link.program_pid()?)?;
    match link.go()? {
        ExecOutcome::Running => Ok(RunningTask { task, child: init, link: Some(link) }),
        ExecOutcome::Refused(errno) => Err(StartError::Exec(command::explain_exec_failure(&spec.command, &program, errno))),
    }
}

/// Programs of images count on the name of their host and a place for their user; only the image knows the latter.
fn with_home(spec: &TaskSpec, identity: &Identity) -> TaskSpec {
    let mut spec = spec.clone();
    if spec.image.is_some() {
        let hostname = hostname(&spec).to_owned();
        spec.env.entry("HOSTNAME".to_owned()).or_insert(hostname);
        spec.env.entry("HOME".to_owned()).or_insert_with(|| identity.home.clone());
    }
    spec
}

/// Of a limit that cannot be set libcontainer says only that something failed.
fn check_ulimits(spec: &TaskSpec) -> Result<(), StartError> {
    for limit in spec.image.iter().flat_map(|image| &image.ulimits) {
        let resource = ulimit(&limit.name).ok_or_else(|| StartError::UnknownUlimit(limit.name.clone()))?;
        let number = rlimit_number(resource);
        let (_, most) = number.map(nix::sys::resource::getrlimit).transpose().doing(|| "read the node's limits")?.unwrap_or((0, u64::MAX));
        if limit.hard > most {
            return Err(StartError::UlimitAboveNode { name: limit.name.clone(), hard: limit.hard, most });
        }
    }
    Ok(())
}

fn ulimit(name: &str) -> Option<PosixRlimitType> {
    serde_json::from_value(serde_json::Value::String(format!("RLIMIT_{}", name.to_ascii_uppercase()))).ok()
}

fn rlimit_number(kind: PosixRlimitType) -> Option<Resource> {
    Some(match kind {
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
        PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
        PosixRlimitType::RlimitRtprio => Resource::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitNice => Resource::RLIMIT_NICE,
        PosixRlimitType::RlimitSigpending => Resource::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => Resource::RLIMIT_MSGQUEUE,
        _ => return None,
    })
}

fn plan(spec: &TaskSpec, program: &Path, link: &Link) -> Result<Plan, StartError> {
    let (link, failure) = link.init_ends();
    Ok(Plan {
        path: CString::new(program.as_os_str().as_bytes()).map_err(|_| StartError::Nul)?,
        argv: super::argv(spec)?,
        envp: super::envp(spec)?,
        link,
        failure,
        filter: Filter::standard(),
    })
}

fn configuration(spec: &TaskSpec, identity: &Identity, cgroup: &Cgroup, made: &[Made<'_>]) -> Result<Spec, StartError> {
    let read_only = spec.image.as_ref().is_none_or(|image| image.read_only);
    let root = RootBuilder::default().path(rootfs::path()).readonly(read_only).build()?;
    Ok(SpecBuilder::default()
        .version("1.0.2")
        .root(root)
        .hostname(hostname(spec))
        .mounts(mounts(spec, made)?)
        .process(process(spec, identity)?)
        .linux(linux(spec, cgroup, made)?)
        .build()?)
}

fn process(spec: &TaskSpec, identity: &Identity) -> Result<Process, StartError> {
    let all = identity.groups.iter().chain(&spec.devices.groups);
    let groups: Vec<u32> = all.copied().filter(|group| *group < ID_RANGE_SIZE).collect();
    let user = UserBuilder::default().uid(identity.uid).gid(identity.gid).additional_gids(groups).build()?;
    let mut builder = ProcessBuilder::default();
    if let Some(image) = &spec.image {
        let limits = image.ulimits.iter().filter_map(|limit| Some((ulimit(&limit.name)?, limit)));
        let limits = limits.map(|(kind, limit)| PosixRlimitBuilder::default().typ(kind).soft(limit.soft).hard(limit.hard).build());
        builder = builder.rlimits(limits.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(builder
        .terminal(false)
        .user(user)
        .args(vec![spec.command.clone()])
        .env(Vec::<String>::new())
        .cwd(spec.work_dir.clone().unwrap_or_else(|| PathBuf::from("/")))
        .capabilities(capabilities(spec, identity)?)
        .no_new_privileges(true)
        .build()?)
}

fn capabilities(spec: &TaskSpec, identity: &Identity) -> Result<LinuxCapabilities, StartError> {
    let set: Capabilities = spec.capabilities.iter().map(|name| parse_capability(name)).collect::<Result<_, _>>()?;
    if spec.image.is_some() {
        // As programs in images expect it: root has them, and others have none.
        let own = if identity.uid == 0 { set.clone() } else { Capabilities::default() };
        return Ok(LinuxCapabilitiesBuilder::default()
            .bounding(set)
            .effective(own.clone())
            .permitted(own)
            .inheritable(Capabilities::default())
            .ambient(Capabilities::default())
            .build()?);
    }
    // Ambient too, because a task that is not root would lose the others at its exec.
    Ok(LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .inheritable(set.clone())
        .permitted(set.clone())
        .ambient(set)
        .build()?)
}

fn parse_capability(name: &str) -> Result<oci_spec::runtime::Capability, StartError> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    serde_json::from_value(serde_json::Value::String(full)).map_err(|_| StartError::UnknownCapability(name.to_owned()))
}

fn linux(spec: &TaskSpec, cgroup: &Cgroup, made: &[Made<'_>]) -> Result<Linux, StartError> {
    // Others than those that were made cannot be made or opened here anyhow (user namespace, nodev mounts); on v1 the device controller says
    // so once more.
    let mut rules = vec![LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build()?];
    for device in made {
        rules.push(device.rule()?);
    }
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<String>>();
    let mut builder = LinuxBuilder::default();
    if let Some(image) = &spec.image {
        let own = image.sysctls.iter().filter(|(name, _)| !name.starts_with("net."));
        builder = builder.sysctl(own.map(|(name, value)| (name.clone(), value.clone())).collect::<HashMap<_, _>>());
    }
    Ok(builder
        .namespaces(namespaces()?)
        .uid_mappings(id_mappings(spec)?)
        .gid_mappings(id_mappings(spec)?)
        .cgroups_path(Path::new("/").join(cgroup.path()))
        .resources(LinuxResourcesBuilder::default().devices(rules).build()?)
        .masked_paths(owned(MASKED_PATHS))
        .readonly_paths(owned(READ_ONLY_PATHS))
        .build()?)
}

/// All but the network's, which the shim has already joined.
fn namespaces() -> Result<Vec<LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Pid, User, Uts};
    [Mount, Pid, Ipc, Uts, Cgroup, User].into_iter().map(|kind| LinuxNamespaceBuilder::default().typ(kind).build()).collect()
}

fn id_mappings(spec: &TaskSpec) -> Result<Vec<LinuxIdMapping>, OciSpecError> {
    Ok(vec![LinuxIdMappingBuilder::default().container_id(0u32).host_id(spec.id_range_start).size(ID_RANGE_SIZE).build()?])
}

/// The file systems that must be mounted from inside of the container's namespaces, and the devices in them; everything else is already there.
fn mounts(spec: &TaskSpec, made: &[Made<'_>]) -> Result<Vec<Mount>, OciSpecError> {
    let shm = format!("size={}", spec.image.as_ref().map_or(DEFAULT_SHM_BYTES, |image| image.shm_bytes));
    let fixed: &[(&str, &str, &[&str])] = &[
        ("/proc", "proc", &["nosuid", "nodev", "noexec"]),
        ("/dev", "tmpfs", &["nosuid", "noexec", "strictatime", "mode=755", "size=64k"]),
        ("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        ("/dev/shm", "tmpfs", &["nosuid", "nodev", "noexec", "mode=1777", &shm]),
        ("/dev/mqueue", "mqueue", &["nosuid", "nodev", "noexec"]),
    ];
    let fixed = fixed.iter().map(|(destination, kind, options)| {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        MountBuilder::default().destination(*destination).typ(*kind).source(*kind).options(options).build()
    });
    let own = spec.image.iter().flat_map(|image| &image.tmpfs).map(|tmpfs| {
        let mut options = vec!["nosuid".to_owned(), "nodev".to_owned(), "noexec".to_owned(), format!("mode={:o}", tmpfs.mode)];
        options.extend(tmpfs.bytes.map(|bytes| format!("size={bytes}")));
        MountBuilder::default().destination(&tmpfs.destination).typ("tmpfs").source("tmpfs").options(options).build()
    });
    fixed.chain(own).chain(made.iter().map(Made::mount)).collect()
}
