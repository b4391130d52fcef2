//! What a task is, as the drivers see it: plain data that the agent writes to `task.json` and the shim reads.
//!
//! Nothing here touches the machine; `TaskSpec::validate` refuses what a driver cannot honour instead of ignoring it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::devices::DeviceEdits;
use crate::signal::Signal;

/// The longest task id: it names a cgroup, and file names end at 255 bytes.
pub const MAX_ID_BYTES: usize = 128;
/// The longest host name that the kernel takes.
pub const MAX_HOSTNAME_BYTES: usize = 64;
/// Processes and threads that a task may have when the job does not say.
pub const DEFAULT_PIDS: u64 = 4096;
/// The cgroup under which all tasks live when the agent does not say.
pub const DEFAULT_CGROUP_PARENT: &str = "floe.slice";
/// The cgroup of the shims themselves, beside the tasks' cgroups. No task may have this id.
pub const SHIMS_CGROUP: &str = "shims";
/// The user of an `exec` task that names none.
pub const DEFAULT_EXEC_USER: &str = "nobody";
/// Rotated files that may be kept per stream.
pub const MAX_LOG_FILES: u32 = 1000;
/// The first host id of the range that containers get when the agent does not say.
pub const DEFAULT_ID_RANGE_START: u32 = 100_000;
/// Ids in a range: 0 to 65535 exist inside every container.
pub const ID_RANGE_SIZE: u32 = 65_536;
/// The most layers of an image: their mount options have to fit into a page.
pub const MAX_IMAGE_LAYERS: usize = 127;
/// The user of an `image` task when neither the job nor the image names one.
pub const DEFAULT_IMAGE_USER: &str = "0";
/// The size of `/dev/shm` when nobody says another.
pub const DEFAULT_SHM_BYTES: u64 = 64 << 20;

/// Which driver runs the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// An isolated process: own namespaces, a read-only view of the host's programs, limits.
    Exec,
    /// A plain host process, with a cgroup so that it can be counted and killed as a whole.
    RawExec,
    /// As `exec`, on the file system of a container image instead of the host's programs.
    Image,
}

/// A task, complete: everything that the shim needs to run it without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// Unique on this machine, for instance allocation id and task name. Letters, digits, `.`, `_`, `-`; at most [`MAX_ID_BYTES`].
    pub id: String,
    /// The driver.
    pub driver: Driver,
    /// The program: an absolute path, a path relative to the task's directory (`local/app`), or a name that is looked up in `PATH`.
    pub command: String,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// The environment, exactly: nothing is added, not even `PATH` or `HOME`.
    pub env: BTreeMap<String, String>,
    /// Where the program starts. `exec`: a path inside the container, default `/`. `raw_exec`: a host path, default the task's directory.
    pub work_dir: Option<PathBuf>,
    /// `name`, `uid`, `name:group` or `uid:gid`. Default: [`DEFAULT_EXEC_USER`] for `exec`, the agent's user for `raw_exec`.
    pub user: Option<String>,
    /// The host name inside the container (`exec` only). Default: the id, cut to [`MAX_HOSTNAME_BYTES`].
    pub hostname: Option<String>,
    /// A network namespace to join, for instance `/run/netns/x`. Default: the host's network.
    pub netns: Option<PathBuf>,
    /// The task's directories on the host.
    pub dirs: TaskDirs,
    /// Further files and directories to show inside the container (`exec` only).
    pub binds: Vec<Bind>,
    /// What devices bring along (`exec` only).
    #[serde(default)]
    pub devices: DeviceEdits,
    /// Content of `/etc/resolv.conf` inside the container (`exec` only). Default: the host's file.
    pub resolv_conf: Option<String>,
    /// Content of `/etc/hosts` inside the container (`exec` only). Default: the host's file.
    pub hosts: Option<String>,
    /// Limits.
    pub resources: Resources,
    /// The cgroup that holds the task's own one; one path component.
    pub cgroup_parent: String,
    /// Where the output goes.
    pub logs: LogSpec,
    /// What the task gets when its shim is told to end (SIGTERM to the shim, as at machine shutdown).
    pub kill_signal: Signal,
    /// Capabilities such as `CAP_NET_BIND_SERVICE` (`exec` only). Default: none.
    pub capabilities: Vec<String>,
    /// Whether set-user-id programs are without effect. Always true for `exec`; default false for `raw_exec`.
    pub no_new_privs: bool,
    /// The read-only view of the host that an `exec` task gets; entries missing on the host are left out.
    pub host_view: Vec<ViewEntry>,
    /// The host ids that the container's ids 0 to 65535 stand for (`exec` and `image`).
    pub id_range_start: u32,
    /// What an `image` task stands on; only such a task has it, and no `host_view`.
    #[serde(default)]
    pub image: Option<ImageRoot>,
}

/// The file system of an `image` task: layers of its image, which nobody changes, and above them what the task writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRoot {
    /// Folders as overlayfs wants them, the lowest first; at most [`MAX_IMAGE_LAYERS`]. Their owners are those that the task sees.
    pub layers: Vec<PathBuf>,
    /// A folder for what the task writes. It is emptied when the task starts.
    pub scratch: PathBuf,
    /// Whether the task may write nowhere but in its directories and tmpfs.
    pub read_only: bool,
    /// The size of `/dev/shm` in bytes.
    pub shm_bytes: u64,
    /// File systems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Limits of each process.
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters of the task's own namespaces, as in `net.core.somaxconn`.
    pub sysctls: BTreeMap<String, String>,
}

/// A file system in memory, whose content counts as the task's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tmpfs {
    /// Where; absolute.
    pub destination: PathBuf,
    /// How large it may become, in bytes; as much as the task's memory allows when it is `None`.
    pub bytes: Option<u64>,
    /// Its permissions.
    pub mode: u32,
}

/// A limit of each process, as `ulimit` sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// Such as `nofile`.
    pub name: String,
    /// Where the process stops.
    pub soft: u64,
    /// As far as it may raise that itself.
    pub hard: u64,
}

/// The task's directories on the host. Inside an `exec` container they are `/alloc`, `/local`, `/secrets` and `/tmp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDirs {
    /// Shared by all tasks of the allocation.
    pub alloc: PathBuf,
    /// The task's own.
    pub local: PathBuf,
    /// The task's secrets; a tmpfs that the agent mounted.
    pub secrets: PathBuf,
    /// The task's `/tmp`.
    pub tmp: PathBuf,
}

/// A host file or directory inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// A folder that the source is looked for in as if it were `/`, and made in if it is missing: for folders of the task itself, in which
    /// it may have put links that lead elsewhere.
    #[serde(default)]
    pub below: Option<PathBuf>,
    /// Inside; absolute.
    pub destination: PathBuf,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// One piece of the read-only view of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewEntry {
    /// On the host.
    pub host: PathBuf,
    /// Inside; absolute.
    pub container: PathBuf,
}

/// Limits of a task. `raw_exec` tasks are only counted, as the driver has always worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// The share of the processor in MHz: what the task gets when all want more than there is.
    pub cpu_shares: u64,
    /// A hard limit. Default: none.
    pub cpu_quota: Option<CpuQuota>,
    /// What is reserved, and the hard limit unless `memory_max_bytes` is set.
    pub memory_bytes: u64,
    /// The hard limit, not below `memory_bytes`.
    pub memory_max_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
}

/// Processor time per period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuQuota {
    /// Microseconds of processor time per period.
    pub quota_us: u64,
    /// The period in microseconds, 1,000 to 1,000,000.
    pub period_us: u64,
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu_shares: 100, cpu_quota: None, memory_bytes: 300 << 20, memory_max_bytes: None, pids: DEFAULT_PIDS }
    }
}

/// Where a task's output goes: `<dir>/<stem>.stdout.N` and `<dir>/<stem>.stderr.N`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSpec {
    /// The directory.
    pub dir: PathBuf,
    /// The task's name.
    pub stem: String,
    /// Files kept per stream, 1 to [`MAX_LOG_FILES`].
    pub max_files: u32,
    /// A file ends before this size in bytes is passed.
    pub max_file_bytes: u64,
    /// Whether the output is thrown away.
    pub disabled: bool,
}

impl LogSpec {
    /// Ten files of ten megabytes per stream.
    pub fn new(dir: impl Into<PathBuf>, stem: impl Into<String>) -> Self {
        Self { dir: dir.into(), stem: stem.into(), max_files: 10, max_file_bytes: 10_000_000, disabled: false }
    }
}

/// Where the task finds its directories: the values of `NOMAD_ALLOC_DIR`, `NOMAD_TASK_DIR` and `NOMAD_SECRETS_DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDirs {
    /// `NOMAD_ALLOC_DIR`.
    pub alloc: PathBuf,
    /// `NOMAD_TASK_DIR`.
    pub local: PathBuf,
    /// `NOMAD_SECRETS_DIR`.
    pub secrets: PathBuf,
}

/// A specification that no driver can honour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A field's value is outside its bounds.
    #[error("task {id:?}: {field} {problem}")]
    Invalid {
        /// The task, cut to a printable length.
        id: String,
        /// The field.
        field: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A field that this driver cannot honour.
    #[error("task {id:?}: {field} is not supported by the raw_exec driver: remove it or use the exec driver")]
    NotForRawExec {
        /// The task.
        id: String,
        /// The field.
        field: &'static str,
    },
}

impl TaskSpec {
    /// A task with every default; the caller changes the public fields it cares about.
    pub fn new(id: impl Into<String>, driver: Driver, command: impl Into<String>, dirs: TaskDirs, logs: LogSpec) -> Self {
        Self {
            id: id.into(),
            driver,
            command: command.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            work_dir: None,
            user: None,
            hostname: None,
            netns: None,
            dirs,
            binds: Vec::new(),
            devices: DeviceEdits::default(),
            resolv_conf: None,
            hosts: None,
            resources: Resources::default(),
            cgroup_parent: DEFAULT_CGROUP_PARENT.to_owned(),
            logs,
            kill_signal: Signal::INTERRUPT,
            capabilities: Vec::new(),
            no_new_privs: driver != Driver::RawExec,
            host_view: if driver == Driver::Image { Vec::new() } else { default_host_view() },
            id_range_start: DEFAULT_ID_RANGE_START,
            image: None,
        }
    }

    /// The directories as the task sees them: inside the container for `exec`, on the host for `raw_exec`.
    pub fn seen_dirs(&self) -> SeenDirs {
        match self.driver {
            Driver::Exec | Driver::Image => SeenDirs { alloc: "/alloc".into(), local: "/local".into(), secrets: "/secrets".into() },
            Driver::RawExec => {
                SeenDirs { alloc: self.dirs.alloc.clone(), local: self.dirs.local.clone(), secrets: self.dirs.secrets.clone() }
            }
        }
    }

    /// The directory that relative paths start from, as the task sees it.
    pub fn task_root(&self) -> PathBuf {
        match self.driver {
            Driver::Exec => PathBuf::from("/"),
            Driver::Image => self.work_dir.clone().unwrap_or_else(|| PathBuf::from("/")),
            Driver::RawExec => self.dirs.local.parent().unwrap_or(&self.dirs.local).to_owned(),
        }
    }

    /// The cgroup of the task, relative to the hierarchy's root.
    pub fn cgroup(&self) -> PathBuf {
        Path::new(&self.cgroup_parent).join(&self.id)
    }

    /// Refuses what cannot be honoured.
    ///
    /// # Errors
    /// The first field that is out of bounds, or that the driver does not support.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.validate_names()?;
        self.validate_paths()?;
        self.validate_limits()?;
        match self.driver {
            Driver::Exec | Driver::Image if !self.no_new_privs => {
                Err(self.invalid("no_new_privs", "cannot be false in a container: its system call filter depends on it"))
            }
            Driver::Exec => Ok(()),
            Driver::RawExec => self.validate_raw_exec(),
            Driver::Image => Ok(()),
        }?;
        self.validate_image()
    }

    fn validate_image(&self) -> Result<(), SpecError> {
        let image = match (&self.image, self.driver) {
            (Some(image), Driver::Image) => image,
            (None, Driver::Exec | Driver::RawExec) => return Ok(()),
            _ => return Err(self.invalid("image", "must be there for the image driver, and for no other")),
        };
        if image.layers.len() > MAX_IMAGE_LAYERS {
            return Err(self.invalid("image.layers", format!("are {}, and at most {MAX_IMAGE_LAYERS} are possible", image.layers.len())));
        }
        if let Some(path) = image.layers.iter().chain([&image.scratch]).find(|path| !is_plain_absolute(path)) {
            return Err(self.invalid("image", format!("{} must be an absolute path without '..'", path.display())));
        }
        if image.shm_bytes == 0 || image.tmpfs.iter().any(|t| t.bytes == Some(0) || t.mode > 0o1777) {
            return Err(self.invalid("image", "must have shm_bytes and tmpfs of at least one byte, and modes up to 1777"));
        }
        for tmpfs in &image.tmpfs {
            self.validate_destination("tmpfs", &tmpfs.destination)?;
        }
        if let Some(limit) = image.ulimits.iter().find(|limit| limit.soft > limit.hard || !is_name(&limit.name)) {
            return Err(self.invalid("ulimit", format!("{:?} must have a soft limit that is not above the hard one", limit.name)));
        }
        match image.sysctls.iter().find(|(name, value)| !is_sysctl(name) || has_nul(value)) {
            Some((name, _)) => Err(self.invalid(
                "sysctl",
                format!("{name:?} must be one of a task's own namespaces: net.*, kernel.shm*, kernel.msg*, kernel.sem or fs.mqueue.*"),
            )),
            None => match image.sysctls.keys().find(|name| name.starts_with("net.") && self.netns.is_none()) {
                Some(name) => Err(self.invalid(
                    "sysctl",
                    format!("{name:?} would change the node's own network: give the group a network of mode \"bridge\""),
                )),
                None => Ok(()),
            },
        }
    }

    fn invalid(&self, field: &'static str, problem: impl Into<String>) -> SpecError {
        SpecError::Invalid { id: self.id.chars().take(MAX_ID_BYTES).collect(), field, problem: problem.into() }
    }

    fn validate_names(&self) -> Result<(), SpecError> {
        if !is_name(&self.id) || self.id == SHIMS_CGROUP {
            return Err(
                self.invalid("id", format!("must be 1 to {MAX_ID_BYTES} of letters, digits, '.', '_' and '-', not {SHIMS_CGROUP:?}"))
            );
        }
        if !is_name(&self.cgroup_parent) {
            return Err(self.invalid("cgroup_parent", "must be one path component such as \"floe.slice\""));
        }
        if !is_name(&self.logs.stem) {
            return Err(self.invalid("logs.stem", "must be the task's name"));
        }
        if let Some(hostname) = &self.hostname
            && (!is_name(hostname) || hostname.len() > MAX_HOSTNAME_BYTES)
        {
            return Err(self.invalid("hostname", format!("must be 1 to {MAX_HOSTNAME_BYTES} of letters, digits, '.' and '-'")));
        }
        if self.command.is_empty() || has_nul(&self.command) || self.args.iter().any(|arg| has_nul(arg)) {
            return Err(self.invalid("command", "must not be empty, and neither it nor its arguments may hold a NUL byte"));
        }
        match self.env.iter().find(|(key, value)| key.is_empty() || key.contains('=') || has_nul(key) || has_nul(value)) {
            Some((key, _)) => {
                Err(self.invalid("env", format!("has the key {key:?}: a key must not be empty or hold '=', and no NUL byte is allowed")))
            }
            None => Ok(()),
        }
    }

    fn validate_paths(&self) -> Result<(), SpecError> {
        let dirs = &self.dirs;
        let host_paths = [
            ("dirs.alloc", &dirs.alloc),
            ("dirs.local", &dirs.local),
            ("dirs.secrets", &dirs.secrets),
            ("dirs.tmp", &dirs.tmp),
            ("logs.dir", &self.logs.dir),
        ];
        for (field, path) in host_paths {
            if !is_plain_absolute(path) {
                return Err(self.invalid(field, format!("{} must be an absolute path without '..'", path.display())));
            }
        }
        if let Some(dir) = self.work_dir.as_ref().filter(|dir| !is_plain_absolute(dir)) {
            return Err(self.invalid("work_dir", format!("{} must be an absolute path without '..'", dir.display())));
        }
        for bind in &self.binds {
            self.validate_destination("binds", &bind.destination)?;
            if !bind.source.is_absolute() && bind.below.is_none() {
                return Err(self.invalid("binds", format!("source {} must be absolute", bind.source.display())));
            }
        }
        if let Some(problem) = self.devices.problem(is_plain_absolute) {
            return Err(self.invalid("devices", problem));
        }
        for entry in &self.host_view {
            self.validate_destination("host_view", &entry.container)?;
        }
        Ok(())
    }

    fn validate_destination(&self, field: &'static str, path: &Path) -> Result<(), SpecError> {
        let reserved = ["/proc", "/sys", "/dev"].iter().any(|prefix| path.starts_with(prefix));
        if !is_plain_absolute(path) || path == Path::new("/") || reserved {
            return Err(self
                .invalid(field, format!("destination {} must be absolute, without '..', and not /, /proc, /sys or /dev", path.display())));
        }
        Ok(())
    }

    fn validate_limits(&self) -> Result<(), SpecError> {
        if self.logs.max_files == 0 || self.logs.max_files > MAX_LOG_FILES || self.logs.max_file_bytes == 0 {
            return Err(self.invalid("logs", format!("must keep 1 to {MAX_LOG_FILES} files of at least one byte")));
        }
        let resources = &self.resources;
        if resources.cpu_shares == 0 || resources.memory_bytes == 0 || resources.pids == 0 {
            return Err(self.invalid("resources", "must have cpu_shares, memory_bytes and pids of at least 1"));
        }
        if resources.memory_max_bytes.is_some_and(|max| max < resources.memory_bytes) {
            return Err(self.invalid("resources.memory_max_bytes", "must not be below memory_bytes"));
        }
        if resources.memory_max_bytes.unwrap_or(resources.memory_bytes) > i64::MAX as u64 {
            return Err(self.invalid("resources.memory_bytes", "is larger than any machine"));
        }
        if resources.cpu_quota.is_some_and(|quota| !(1_000..=1_000_000).contains(&quota.period_us) || quota.quota_us < 1_000) {
            return Err(
                self.invalid("resources.cpu_quota", "must have a period of 1,000 to 1,000,000 and a quota of at least 1,000 microseconds")
            );
        }
        // The host's own ids must stay outside of every container.
        if self.id_range_start < ID_RANGE_SIZE || self.id_range_start.checked_add(ID_RANGE_SIZE).is_none() {
            return Err(self.invalid("id_range_start", format!("must be at least {ID_RANGE_SIZE} and leave room for {ID_RANGE_SIZE} ids")));
        }
        Ok(())
    }

    fn validate_raw_exec(&self) -> Result<(), SpecError> {
        let refused = [
            ("hostname", self.hostname.is_some()),
            ("binds", !self.binds.is_empty()),
            ("devices", !self.devices.is_empty()),
            ("resolv_conf", self.resolv_conf.is_some()),
            ("hosts", self.hosts.is_some()),
            ("capabilities", !self.capabilities.is_empty()),
            ("resources.cpu_quota", self.resources.cpu_quota.is_some()),
        ];
        match refused.into_iter().find(|(_, set)| *set) {
            Some((field, _)) => Err(SpecError::NotForRawExec { id: self.id.clone(), field }),
            None => Ok(()),
        }
    }
}

/// What an `exec` task sees of the host: programs and libraries, and the few files of `/etc` that programs need to start.
/// Never `/etc` as a whole, so that keys and configuration of the host stay out of sight.
pub fn default_host_view() -> Vec<ViewEntry> {
    const PATHS: &[&str] = &[
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/usr",
        "/nix/store",
        "/run/current-system",
        "/run/resolvconf",
        "/run/systemd/resolve",
        "/etc/alternatives",
        "/etc/ca-certificates",
        "/etc/group",
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/etc/nsswitch.conf",
        "/etc/os-release",
        "/etc/passwd",
        "/etc/pki/ca-trust",
        "/etc/pki/tls/certs",
        "/etc/protocols",
        "/etc/services",
        "/etc/ssl/certs",
        "/etc/ssl/openssl.cnf",
        "/etc/static/ssl/certs",
    ];
    PATHS.iter().map(|path| ViewEntry { host: path.into(), container: path.into() }).collect()
}

/// Whether a kernel parameter belongs to a namespace that every task has of its own.
fn is_sysctl(name: &str) -> bool {
    let plain = name.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)));
    let own = ["net.", "kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix)) || name == "kernel.sem";
    plain && own && name.len() <= MAX_ID_BYTES
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ID_BYTES
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn is_plain_absolute(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !has_nul(&path.to_string_lossy())
}

fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn spec(driver: Driver) -> TaskSpec {
        let dirs =
            TaskDirs { alloc: "/a/alloc".into(), local: "/a/web/local".into(), secrets: "/a/web/secrets".into(), tmp: "/a/web/tmp".into() };
        TaskSpec::new("a1-web", driver, "/bin/true", dirs, LogSpec::new("/a/alloc/logs", "web"))
    }

    fn refused(change: impl FnOnce(&mut TaskSpec)) -> String {
        let mut spec = spec(Driver::Exec);
        change(&mut spec);
        spec.validate().unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_valid_and_survive_json() {
        for driver in [Driver::Exec, Driver::RawExec] {
            let spec = spec(driver);
            spec.validate().unwrap();
            assert_eq!(serde_json::from_str::<TaskSpec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
        }
    }

    #[test]
    fn ids_at_the_bound_and_past_it() {
        let mut at = spec(Driver::Exec);
        at.id = "a".repeat(MAX_ID_BYTES);
        at.validate().unwrap();
        for id in ["", ".", "..", "a/b", "a b", SHIMS_CGROUP, &"a".repeat(MAX_ID_BYTES + 1)] {
            assert!(refused(|spec| spec.id = id.to_owned()).contains(": id "));
        }
    }

    #[test]
    fn numbers_at_their_bounds_and_past_them() {
        let mut at = spec(Driver::Exec);
        at.logs.max_files = MAX_LOG_FILES;
        at.resources.memory_max_bytes = Some(at.resources.memory_bytes);
        at.resources.cpu_quota = Some(CpuQuota { quota_us: 1_000, period_us: 1_000_000 });
        at.id_range_start = ID_RANGE_SIZE;
        at.hostname = Some("h".repeat(MAX_HOSTNAME_BYTES));
        at.validate().unwrap();
        assert!(refused(|spec| spec.logs.max_files = MAX_LOG_FILES + 1).contains("logs"));
        assert!(refused(|spec| spec.logs.max_files = 0).contains("logs"));
        assert!(refused(|spec| spec.resources.memory_max_bytes = Some(spec.resources.memory_bytes - 1)).contains("memory_max_bytes"));
        assert!(refused(|spec| spec.resources.cpu_quota = Some(CpuQuota { quota_us: 999, period_us: 1_000 })).contains("cpu_quota"));
        assert!(refused(|spec| spec.resources.cpu_quota = Some(CpuQuota { quota_us: 1_000, period_us: 1_000_001 })).contains("cpu_quota"));
        assert!(refused(|spec| spec.id_range_start = ID_RANGE_SIZE - 1).contains("id_range_start"));
        assert!(refused(|spec| spec.id_range_start = u32::MAX - ID_RANGE_SIZE + 1).contains("id_range_start"));
        assert!(refused(|spec| spec.hostname = Some("h".repeat(MAX_HOSTNAME_BYTES + 1))).contains("hostname"));
        assert!(refused(|spec| spec.resources.memory_bytes = u64::MAX).contains("memory_bytes"));
    }

    #[test]
    fn destinations_cannot_reach_kernel_interfaces_or_climb() {
        for destination in ["/", "/proc", "/proc/sys", "/sys/fs", "/dev/sda", "relative", "/a/../etc"] {
            let bind = Bind { source: "/srv".into(), below: None, destination: destination.into(), read_only: true };
            assert!(refused(|spec| spec.binds.push(bind)).contains("binds"), "{destination}");
        }
    }

    #[test]
    fn environment_and_arguments_are_checked() {
        assert!(refused(|spec| drop(spec.env.insert("A=B".into(), "x".into()))).contains("env"));
        assert!(refused(|spec| drop(spec.env.insert(String::new(), "x".into()))).contains("env"));
        assert!(refused(|spec| spec.args.push("a\0b".into())).contains("command"));
        assert!(refused(|spec| spec.command.clear()).contains("command"));
        assert!(refused(|spec| spec.no_new_privs = false).contains("no_new_privs"));
    }

    #[test]
    fn raw_exec_refuses_what_it_cannot_honour() {
        let mut raw = spec(Driver::RawExec);
        raw.capabilities.push("CAP_KILL".into());
        assert!(raw.validate().unwrap_err().to_string().contains("capabilities is not supported by the raw_exec driver"));
    }

    #[test]
    fn seen_directories_depend_on_the_driver() {
        assert_eq!(spec(Driver::Exec).seen_dirs().local, Path::new("/local"));
        assert_eq!(spec(Driver::RawExec).seen_dirs().local, Path::new("/a/web/local"));
        assert_eq!(spec(Driver::RawExec).task_root(), Path::new("/a/web"));
    }
}
