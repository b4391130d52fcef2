//! From a job's task to what the runtime runs: environment, templates, limits, driver.

use super::Shared;
use crate::{
    files::{self, Attributes},
    fingerprint::{EXEC, IMAGE_DRIVERS, RAW_EXEC},
    paths::{file_name, shim_id},
};
use floe_model::{
    Allocation, Task, TaskGroup, Value,
    network::{DnsConfig, NetworkMode},
    task::{DEFAULT_LOG_FILE_MB, DEFAULT_LOG_FILES, Template},
};
use floe_runtime::{Driver, LogSpec, Resources, Signal, TaskDirs, TaskSpec};
use floe_tasks::env::{Paths, Source, TaskEnv};
use floe_template::Delimiters;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The search path inside of containers.
pub(super) const EXEC_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes in a mebibyte.
const MIB: u64 = 1 << 20;

/// What a task is sent where nothing else is said.
pub(crate) fn default_kill_signal() -> Signal {
    Signal::INTERRUPT
}

/// What a task is sent when it is to stop, where its job says so now.
pub(super) fn kill_signal(alloc: &Allocation, task: &str) -> Option<Signal> {
    named_signal(alloc.job.as_deref()?.group(&alloc.task_group)?.task(task)?)
}

fn named_signal(task: &Task) -> Option<Signal> {
    Some(task).filter(|t| !t.kill_signal.is_empty()).map(|t| super::parse_signal(&t.kill_signal))
}

/// What becomes of the files of templates that an earlier start of the task wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// Written anew.
    Anew,
    /// Left as they are: the task may have changed them. What templates put into the environment is the same at each start.
    Keep,
}

impl Files {
    /// What a start of this task does, as its policy says.
    pub(super) fn of(alloc: &Allocation, task: &str, is_restart: bool) -> Files {
        let task = alloc.job.as_deref().and_then(|j| j.group(&alloc.task_group)).and_then(|g| g.task(task));
        let anew = task.and_then(|t| t.restart_policy.as_ref()).and_then(|p| p.render_templates).unwrap_or(false);
        if is_restart && !anew { Files::Keep } else { Files::Anew }
    }
}

/// A task on its way: its environment is complete, and its templates are rendered.
pub(super) struct Draft {
    pub(super) spec: TaskSpec,
    pub(super) env: TaskEnv,
    pub(super) task: Task,
    group: TaskGroup,
    netns: Option<PathBuf>,
}

/// What is known of a task before its image is. Templates are rendered on the way.
pub(super) fn draft(shared: &Shared, alloc: &Allocation, name: &str, netns: Option<PathBuf>, old: Files) -> Result<Draft, String> {
    let job = alloc.job.as_deref().ok_or("the allocation came without its job")?;
    let group = job.group(&alloc.task_group).ok_or("the job has no such group any more")?;
    let task = group.task(name).ok_or("the group has no such task any more")?;
    let driver = match task.driver.as_str() {
        EXEC => Driver::Exec,
        RAW_EXEC if shared.config.raw_exec => Driver::RawExec,
        RAW_EXEC => return Err("driver raw_exec is switched off on this node; set client.raw_exec = true to allow it".to_owned()),
        driver if IMAGE_DRIVERS.contains(&driver) => Driver::Image,
        other => return Err(format!("not supported yet: driver {other:?}")),
    };
    let paths = shared.paths.alloc(&alloc.id);
    let own = paths.task(name);
    let dirs = TaskDirs { alloc: paths.shared(), local: own.join("local"), secrets: own.join("secrets"), tmp: own.join("tmp") };
    let mut spec = TaskSpec::new(shim_id(&alloc.id, name), driver, "", dirs, logs(task, paths.logs()));
    let seen = spec.seen_dirs();
    let text = |p: PathBuf| p.to_string_lossy().into_owned();
    let seen = Paths { alloc: text(seen.alloc), local: text(seen.local), secrets: text(seen.secrets) };
    let search = match driver {
        Driver::Exec | Driver::Image => EXEC_PATH.to_owned(),
        Driver::RawExec => std::env::var("PATH").unwrap_or_else(|_| EXEC_PATH.to_owned()),
    };
    let source = Source { node: &shared.node, alloc, job, group, task, region: &shared.config.region, path: &search };
    let mut env = TaskEnv::new(source, &seen);
    for template in &task.templates {
        render(template, &mut env, (&paths.root, &own), &seen, old)?;
    }
    spec.resources = limits(shared, alloc, task);
    spec.cgroup_parent.clone_from(&shared.config.cgroup_parent);
    spec.user = Some(task.user.clone()).filter(|u| !u.is_empty());
    spec.kill_signal = named_signal(task).unwrap_or_else(default_kill_signal);
    Ok(Draft { spec, env, task: task.clone(), group: group.clone(), netns })
}

impl Draft {
    /// What the runtime runs, for a task without an image.
    pub(super) fn complete(mut self) -> Result<TaskSpec, String> {
        configure(&mut self.spec, &self.task, &self.env)?;
        self.spec.env.clone_from(self.env.vars());
        Ok(self.connected())
    }

    /// The same with the network of its group, and what belongs to it.
    pub(super) fn connected(mut self) -> TaskSpec {
        network(&mut self.spec, &self.group, &self.env, self.netns);
        self.spec
    }
}

fn logs(task: &Task, dir: PathBuf) -> LogSpec {
    let config = task.log_config.clone().unwrap_or_default();
    let positive = |n: Option<i64>, default: i64| u64::try_from(n.filter(|n| *n > 0).unwrap_or(default)).unwrap_or(1);
    LogSpec {
        max_files: u32::try_from(positive(config.max_files, DEFAULT_LOG_FILES)).unwrap_or(u32::MAX),
        max_file_bytes: positive(config.max_file_size_mb, DEFAULT_LOG_FILE_MB).saturating_mul(MIB),
        disabled: config.disabled == Some(true),
        ..LogSpec::new(dir, file_name(&task.name))
    }
}

/// Renders a template: into a file, and into the environment when it says so.
fn render(template: &Template, env: &mut TaskEnv, (root, own): (&Path, &Path), seen: &Paths, old: Files) -> Result<(), String> {
    let destination = env.interpolate(&template.dest_path);
    let failed = |e: &dyn std::fmt::Display| format!("template {:?}: {e}", template.dest_path);
    let delimiters = Delimiters { left: template.left_delim.clone(), right: template.right_delim.clone() };
    let text = floe_template::render(&template.embedded_tmpl, &delimiters, env.vars()).map_err(|e| failed(&e))?;
    let id = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
    let mode = u32::from_str_radix(template.perms.trim_start_matches("0o"), 8).unwrap_or(0o644);
    let attributes = Attributes { mode, uid: id(template.uid), gid: id(template.gid) };
    let (folder, relative) = place(&destination, root, own, seen);
    if old == Files::Anew {
        files::write_below(&folder, &relative, text.as_bytes(), attributes).map_err(|e| failed(&e))?;
    }
    if template.envvars == Some(true) {
        env.extend(floe_template::parse_env_file(&text).map_err(|e| failed(&e))?);
    }
    Ok(())
}

/// Where a destination lies: below the task's folder, or below the shared one when it is written as the task sees that, or as `alloc/`.
fn place(destination: &str, root: &Path, own: &Path, seen: &Paths) -> (PathBuf, String) {
    if let Some(shared) = destination.strip_prefix("alloc/") {
        return (root.join("alloc"), shared.to_owned());
    }
    let below = |prefix: &str| destination.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned);
    let folders = [(&seen.local, own.join("local")), (&seen.secrets, own.join("secrets")), (&seen.alloc, root.join("alloc"))];
    let found = folders.into_iter().find_map(|(prefix, folder)| Some((folder, below(prefix)?)));
    found.unwrap_or_else(|| (own.to_owned(), destination.to_owned()))
}

/// The driver's own block.
fn configure(spec: &mut TaskSpec, task: &Task, env: &TaskEnv) -> Result<(), String> {
    for (key, value) in &task.config {
        match (key.as_str(), value) {
            ("command", Value::String(command)) => spec.command = env.interpolate(command),
            ("args", Value::Array(args)) => {
                spec.args = args
                    .iter()
                    .map(|a| a.as_str().map(|a| env.interpolate(a)).ok_or("config: args must be a list of strings"))
                    .collect::<Result<_, _>>()?;
            }
            ("work_dir", Value::String(dir)) => spec.work_dir = Some(env.interpolate(dir)).filter(|d| !d.is_empty()).map(PathBuf::from),
            // The only values that admission lets through are what the driver does anyway.
            ("pid_mode" | "ipc_mode", Value::String(mode)) if mode == "private" => {}
            (key, _) => return Err(format!("not supported yet: config {key:?} of driver {:?}", task.driver)),
        }
    }
    if spec.command.is_empty() { Err("config: command is missing".to_owned()) } else { Ok(()) }
}

fn network(spec: &mut TaskSpec, group: &TaskGroup, env: &TaskEnv, netns: Option<PathBuf>) {
    spec.netns = netns;
    let Some(network) = group.network().filter(|_| spec.driver != Driver::RawExec) else { return };
    if matches!(network.network_mode(), NetworkMode::Host) {
        return;
    }
    let hostname = env.interpolate(&network.hostname);
    spec.hostname = spec.hostname.take().or(Some(hostname).filter(|h| !h.is_empty()));
    spec.resolv_conf = spec.resolv_conf.take().or(network.dns.as_ref().map(resolv_conf));
    let further = spec.hosts.take().unwrap_or_default();
    let name = spec.hostname.clone().unwrap_or_else(|| "localhost".to_owned());
    let own = env.vars().iter().find(|(k, _)| k.starts_with("NOMAD_ALLOC_IP_")).map(|(_, ip)| format!("{ip} {name}\n")).unwrap_or_default();
    spec.hosts = Some(format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{own}{further}"));
}

pub(super) fn resolv_conf(dns: &DnsConfig) -> String {
    let mut lines: Vec<String> = dns.servers.iter().map(|s| format!("nameserver {s}")).collect();
    if !dns.searches.is_empty() {
        lines.push(format!("search {}", dns.searches.join(" ")));
    }
    if !dns.options.is_empty() {
        lines.push(format!("options {}", dns.options.join(" ")));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn limits(shared: &Shared, alloc: &Allocation, task: &Task) -> Resources {
    let none = BTreeMap::new();
    let tasks = if alloc.allocated_resources.tasks.is_empty() { &none } else { &alloc.allocated_resources.tasks };
    let held = tasks.get(&task.name).cloned().unwrap_or_default();
    let mebibytes = |n: i64| u64::try_from(n).unwrap_or(0).saturating_mul(MIB);
    let reserved = mebibytes(held.memory.memory_mb).max(MIB);
    let max = match held.memory.memory_max_mb {
        // All that the node has.
        -1 => Some(mebibytes(shared.node.node_resources.memory.memory_mb).max(reserved)),
        n if mebibytes(n) > reserved => Some(mebibytes(n)),
        _ => None,
    };
    Resources {
        cpu_shares: u64::try_from(held.cpu.cpu_shares).unwrap_or(0).max(1),
        memory_bytes: reserved,
        memory_max_bytes: max,
        ..Resources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_found_in_each_of_the_tasks_folders() {
        let seen = Paths { alloc: "/alloc".to_owned(), local: "/local".to_owned(), secrets: "/secrets".to_owned() };
        let at = |d: &str| place(d, Path::new("/a"), Path::new("/a/t"), &seen);
        assert_eq!(at("local/x"), ("/a/t".into(), "local/x".to_owned()));
        assert_eq!(at("/local/www/x"), ("/a/t/local".into(), "www/x".to_owned()));
        assert_eq!(at("/secrets/x"), ("/a/t/secrets".into(), "x".to_owned()));
        assert_eq!(at("/alloc/data/x"), ("/a/alloc".into(), "data/x".to_owned()));
        assert_eq!(at("alloc/x"), ("/a/alloc".into(), "x".to_owned()));
        assert_eq!(at("/localx"), ("/a/t".into(), "/localx".to_owned()));
    }

    #[test]
    fn name_servers_are_written_in_their_file() {
        let dns = DnsConfig {
            servers: vec!["10.0.0.1".to_owned()],
            searches: vec!["a".to_owned(), "b".to_owned()],
            options: vec!["ndots:2".to_owned()],
        };
        assert_eq!(resolv_conf(&dns), "nameserver 10.0.0.1\nsearch a b\noptions ndots:2\n");
    }
}
