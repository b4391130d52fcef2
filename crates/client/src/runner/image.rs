//! Tasks on images: what their `config` says, the image that it names, and both put together for the runtime.

use super::{
    Event, Shared,
    launch::LaunchError,
    send,
    spec::{self, Draft, resolv_conf},
};
use crate::paths::{NodePaths, shim_id};
use floe_images::{Credentials, Image, ImageConfig, Overrides, Progress, Pull, Source};
use floe_model::{AllocId, Allocation, Nanos, Value, network::DnsConfig};
use floe_runtime::{Bind, DEFAULT_SHM_BYTES, ImageRoot, Signal, TaskSpec, Tmpfs, Ulimit};
use floe_tasks::env::TaskEnv;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

/// How long an image may take when the job does not say.
const DEFAULT_PULL_TIMEOUT: Duration = Duration::from_secs(300);
/// How often is told how far a pull is.
const TOLD_EVERY: Duration = Duration::from_secs(30);
/// What root may do in a container: the set of other engines, without those that have no effect in a user namespace or behind the filter of
/// system calls.
const CAPABILITIES: [&str; 9] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETFCAP", "SETGID", "SETPCAP", "SETUID"];
/// What a job may name beyond that; all of it is given anyway, or has no use.
const HARMLESS: [&str; 4] = ["AUDIT_WRITE", "MKNOD", "NET_BIND_SERVICE", "SYS_CHROOT"];
/// What asks a task to stop where neither the job nor the image says so.
const DEFAULT_STOP_SIGNAL: &str = "SIGTERM";

/// What a job says about its container.
#[derive(Debug, Default, PartialEq)]
struct Config {
    image: String,
    run: Overrides,
    work_dir: Option<String>,
    hostname: Option<String>,
    read_only: bool,
    cap_add: Vec<String>,
    cap_drop: Vec<String>,
    ulimits: BTreeMap<String, String>,
    shm_bytes: Option<u64>,
    sysctls: BTreeMap<String, String>,
    tmpfs: Vec<String>,
    volumes: Vec<String>,
    dns: DnsConfig,
    extra_hosts: Vec<String>,
    ports: Vec<String>,
    credentials: Option<Credentials>,
    pull_timeout: Option<Duration>,
    force_pull: bool,
}

/// The image of a task, and the task complete. What it does is told in events.
pub(super) async fn bring(
    shared: &Arc<Shared>,
    alloc: &Allocation,
    draft: Draft,
    events: &mpsc::Sender<Event>,
) -> Result<TaskSpec, LaunchError> {
    let fatal = |words: String| LaunchError { words, fatal: true };
    let images = shared.images.as_ref().map_err(|why| fatal(format!("this node cannot run images: {why}")))?;
    let config = Config::read(&draft.task.config, &draft.env).map_err(fatal)?;
    check_ports(&config, alloc).map_err(fatal)?;
    let task = draft.task.name.clone();
    let pull = Pull {
        source: config.image.parse::<Source>().map_err(|e| fatal(e.to_string()))?,
        credentials: config.credentials.clone(),
        force: config.force_pull,
        deadline: config.pull_timeout.unwrap_or(DEFAULT_PULL_TIMEOUT),
        user: shim_id(&alloc.id, &task),
    };
    let image = acquire(images, &pull, &task, events).await?;
    config.complete(draft, &image, shared, alloc).map_err(fatal)
}

async fn acquire(images: &floe_images::Images, pull: &Pull, task: &str, events: &mpsc::Sender<Event>) -> Result<Image, LaunchError> {
    let tell = |message| send(events, Event::Told(task.to_owned(), message));
    let (told, mut heard) = tokio::sync::watch::channel(None::<Progress>);
    let acquired = images.acquire(pull, |progress| {
        told.send_replace(Some(progress));
    });
    tokio::pin!(acquired);
    // The first word comes with the first wait; what needs none is not told.
    let began = tokio::select! {
        image = &mut acquired => Err(image),
        _ = heard.changed() => Ok(()),
    };
    let image = match began {
        Err(image) => image,
        Ok(()) => {
            tell(format!("Downloading image {}", pull.source)).await;
            loop {
                match tokio::time::timeout(TOLD_EVERY, &mut acquired).await {
                    Ok(image) => break image,
                    Err(_) => tell(format!("Image pull progress: {}", heard.borrow().unwrap_or_default())).await,
                }
            }
        }
    };
    let was_pulled = told.borrow().is_some();
    let image = image.map_err(|e| LaunchError { words: floe_runtime::chain(&e), fatal: e.is_fatal() })?;
    if let Some(warning) = &image.warning {
        tell(warning.clone()).await;
    } else if was_pulled {
        tell(format!("Image pulled: {} ({})", image.name, image.digest)).await;
    }
    Ok(image)
}

/// The tasks of an allocation have ended: what they wrote into their images goes, and the images may.
pub(super) async fn release(shared: &Arc<Shared>, alloc: &AllocId, tasks: &[String]) {
    let (shared, alloc, tasks) = (shared.clone(), alloc.clone(), tasks.to_vec());
    let released = tokio::task::spawn_blocking(move || {
        remove_scratch(&shared.paths, &alloc, &tasks);
        if let Ok(images) = &shared.images {
            tasks.iter().for_each(|task| images.release(&shim_id(&alloc, task)));
        }
    });
    if let Err(error) = released.await {
        tracing::warn!(%error, "images were not released");
    }
}

/// Removes what tasks wrote into their images.
pub(crate) fn remove_scratch(paths: &NodePaths, alloc: &AllocId, tasks: &[String]) {
    for task in tasks {
        let path = scratch(paths, alloc, task);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "what a task wrote into its image was not removed");
            }
            _ => {}
        }
    }
}

fn scratch(paths: &NodePaths, alloc: &AllocId, task: &str) -> PathBuf {
    paths.alloc(alloc).task(task).join("image")
}

/// The ports that a job names must be in the network of its group: there they lead in already.
fn check_ports(config: &Config, alloc: &Allocation) -> Result<(), String> {
    let known: Vec<&str> = alloc.allocated_resources.shared.ports.iter().map(|p| p.label.as_str()).collect();
    match config.ports.iter().find(|label| !known.contains(&label.as_str())) {
        Some(label) => Err(format!("config: ports: the group's network has no port {label:?}")),
        None if !config.ports.is_empty() && !super::prepare::has_own_network(alloc) => {
            Err("config: ports: the task is on the host's own network: set the mode of the group's network to \"bridge\", or remove ports"
                .to_owned())
        }
        None => Ok(()),
    }
}

impl Config {
    fn read(config: &BTreeMap<String, Value>, env: &TaskEnv) -> Result<Self, String> {
        let mut found = Self::default();
        for (key, value) in config.iter().filter(|(_, v)| !v.is_null()) {
            found.field(key, value, env).map_err(|why| format!("config: {key}: {why}"))?;
        }
        Ok(found)
    }

    fn field(&mut self, key: &str, value: &Value, env: &TaskEnv) -> Result<(), String> {
        let text = || value.as_str().map(|s| env.interpolate(s)).ok_or("it must be text".to_owned());
        let texts = || texts(value, env);
        let set = |s: String| Some(s).filter(|s| !s.is_empty());
        match key {
            "image" => self.image = text()?,
            "command" => self.run.command = set(text()?),
            "args" => self.run.args = Some(texts()?),
            "entrypoint" => self.run.entrypoint = Some(texts()?),
            "work_dir" | "working_dir" => self.work_dir = set(text()?),
            "hostname" => self.hostname = set(text()?),
            "readonly_rootfs" => self.read_only = *value == Value::Bool(true),
            "cap_add" => self.cap_add = texts()?,
            "cap_drop" => self.cap_drop = texts()?,
            "ulimit" => self.ulimits = map(value, env)?,
            "shm_size" => self.shm_bytes = Some(size(value).ok_or("it must be a number of bytes, or a text such as \"64m\"")?),
            "sysctl" => self.sysctls = map(value, env)?,
            "tmpfs" => self.tmpfs = texts()?,
            "volumes" => self.volumes = texts()?,
            "dns_servers" => self.dns.servers = texts()?,
            "dns_search_domains" => self.dns.searches = texts()?,
            "dns_options" => self.dns.options = texts()?,
            "extra_hosts" => self.extra_hosts = texts()?,
            "ports" => self.ports = texts()?,
            "auth" => self.credentials = credentials(value, env)?,
            "image_pull_timeout" => self.pull_timeout = Some(Nanos::parse(&text()?).map_err(|e| e.to_string())?.to_std()),
            "force_pull" => self.force_pull = *value == Value::Bool(true),
            // The only values that admission lets through are what is done anyway.
            "privileged" | "init" | "interactive" | "tty" | "auth_soft_fail" => {}
            _ => return Err("not supported yet".to_owned()),
        }
        Ok(())
    }

    /// The task as the runtime runs it.
    fn complete(self, mut draft: Draft, image: &Image, shared: &Shared, alloc: &Allocation) -> Result<TaskSpec, String> {
        let says = &image.config;
        let command = says.command(&self.run).ok_or("neither the image nor the job says what to run: set command")?;
        let spec = &mut draft.spec;
        spec.command = command.program;
        spec.args = command.args;
        spec.env = environment(says, &draft.env, draft.task.env.contains_key("PATH"));
        spec.work_dir =
            self.work_dir.clone().or_else(|| Some(says.work_dir.clone()).filter(|d| !d.is_empty())).map(|dir| Path::new("/").join(dir));
        spec.user = spec.user.take().or_else(|| Some(says.user.clone()).filter(|u| !u.is_empty()));
        spec.hostname.clone_from(&self.hostname);
        spec.capabilities = capabilities(&self.cap_add, &self.cap_drop)?;
        spec.kill_signal = stop_signal(&draft.task.kill_signal, says);
        spec.binds = self.binds(&shared.paths, alloc, &draft.task.name, shared.config.images.host_paths)?;
        if !self.dns.servers.is_empty() || !self.dns.searches.is_empty() || !self.dns.options.is_empty() {
            spec.resolv_conf = Some(resolv_conf(&self.dns));
        }
        spec.hosts = hosts(&self.extra_hosts)?;
        spec.image = Some(ImageRoot {
            layers: image.layers.clone(),
            scratch: scratch(&shared.paths, &alloc.id, &draft.task.name),
            read_only: self.read_only,
            shm_bytes: self.shm_bytes.unwrap_or(DEFAULT_SHM_BYTES),
            tmpfs: self.tmpfs.iter().map(|text| tmpfs(text)).collect::<Result<_, _>>()?,
            ulimits: self.ulimits.iter().map(|(name, text)| ulimit(name, text)).collect::<Result<_, _>>()?,
            sysctls: self.sysctls.clone(),
        });
        let mut spec = draft.connected();
        // On the host's network nobody else wrote the file.
        if let Some(hosts) = spec.hosts.take_if(|_| spec.netns.is_none()) {
            spec.hosts = Some(format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{hosts}"));
        }
        Ok(spec)
    }

    /// Folders of the task, and of the host where an operator allows that: `source:destination[:ro]`.
    fn binds(&self, paths: &NodePaths, alloc: &Allocation, task: &str, host_paths: bool) -> Result<Vec<Bind>, String> {
        let own = paths.alloc(&alloc.id);
        self.volumes
            .iter()
            .map(|text| {
                let parts: Vec<&str> = text.split(':').collect();
                let (source, destination, mode) = match parts.as_slice() {
                    [source, destination] => (*source, *destination, "rw"),
                    [source, destination, mode @ ("ro" | "rw")] => (*source, *destination, *mode),
                    _ => return Err(format!("config: volumes: {text:?} must be source:destination, with :ro or :rw after it or nothing")),
                };
                if !destination.starts_with('/') {
                    return Err(format!("config: volumes: {destination:?} must be an absolute path"));
                }
                let (source, below) = match source.trim_start_matches("./") {
                    path if path.starts_with('/') && host_paths => (PathBuf::from(path), None),
                    path if path.starts_with('/') => {
                        return Err(format!(
                            "config: volumes: {path} is a path of the host, which client.images.host_paths does not allow on this node"
                        ));
                    }
                    path => match path.split_once('/').unwrap_or((path, "")) {
                        ("local", rest) => (PathBuf::from(rest), Some(own.task(task).join("local"))),
                        ("secrets", rest) => (PathBuf::from(rest), Some(own.task(task).join("secrets"))),
                        ("alloc", rest) => (PathBuf::from(rest), Some(own.shared())),
                        _ => return Err(format!("config: volumes: {path:?} must be below local/, secrets/ or alloc/")),
                    },
                };
                Ok(Bind { source, below, destination: PathBuf::from(destination), read_only: mode == "ro" })
            })
            .collect()
    }
}

fn texts(value: &Value, env: &TaskEnv) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or("it must be a list of texts")?;
    items.iter().map(|item| item.as_str().map(|s| env.interpolate(s)).ok_or("it must be a list of texts".to_owned())).collect()
}

/// A block, which may come as a list of one.
fn map(value: &Value, env: &TaskEnv) -> Result<BTreeMap<String, String>, String> {
    let block = match value {
        Value::Array(items) if items.len() <= 1 => items.first(),
        other => Some(other),
    };
    let Some(block) = block else { return Ok(BTreeMap::new()) };
    let fields = block.as_object().ok_or("it must be one block")?;
    fields.iter().map(|(k, v)| v.as_str().map(|s| (k.clone(), env.interpolate(s))).ok_or(format!("{k} must be text"))).collect()
}

fn credentials(value: &Value, env: &TaskEnv) -> Result<Option<Credentials>, String> {
    let fields = map(value, env)?;
    if let Some(key) = fields.keys().find(|key| !["username", "password"].contains(&key.as_str())) {
        return Err(format!("not supported yet: {key}; the credentials are for the registry that the image names"));
    }
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let credentials = Credentials { username: field("username"), password: field("password") };
    Ok(Some(credentials).filter(|c| !c.username.is_empty() || !c.password.is_empty()))
}

/// Bytes, plain or with a unit of 1024: `b`, `k`, `m` or `g`.
fn size(value: &Value) -> Option<u64> {
    let Value::String(text) = value else { return value.as_u64() };
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(['b', 'k', 'm', 'g']);
    let unit = match text.get(digits.len()..)? {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The image's environment, then the task's. The search path is the image's unless the job has one.
fn environment(image: &ImageConfig, task: &TaskEnv, has_path: bool) -> BTreeMap<String, String> {
    let mut env = image.env.clone();
    for (key, value) in task.vars() {
        if key == "PATH" && !has_path && value == spec::EXEC_PATH && env.contains_key(key) {
            continue;
        }
        env.insert(key.clone(), value.clone());
    }
    env
}

/// What root may do: the usual, less what is dropped, and what is added of it.
fn capabilities(add: &[String], drop: &[String]) -> Result<Vec<String>, String> {
    let plain = |name: &String| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_owned)
    };
    let (add, drop): (Vec<String>, Vec<String>) = (add.iter().map(plain).collect(), drop.iter().map(plain).collect());
    let is_usual = |name: &str| CAPABILITIES.contains(&name);
    if let Some(name) = add.iter().find(|name| !is_usual(name) && !HARMLESS.contains(&name.as_str()) && *name != "ALL") {
        return Err(format!(
            "config: cap_add: {name:?} would have no effect in a task, or too much; possible are {}",
            CAPABILITIES.join(", ")
        ));
    }
    let keeps = |name: &&&str| {
        let dropped = drop.iter().any(|d| d == **name || d == "ALL");
        !dropped || add.iter().any(|a| a == **name)
    };
    Ok(CAPABILITIES.iter().filter(keeps).map(|name| (*name).to_owned()).collect())
}

fn stop_signal(job: &str, image: &ImageConfig) -> Signal {
    let image = image.stop_signal.trim();
    let named = [job, image, DEFAULT_STOP_SIGNAL].into_iter().filter(|name| !name.is_empty());
    named.into_iter().find_map(|name| name.parse().ok()).unwrap_or_else(spec::default_kill_signal)
}

/// Lines for `/etc/hosts` from `name:address`.
fn hosts(extra: &[String]) -> Result<Option<String>, String> {
    let line = |text: &String| {
        let (name, address) = text.split_once(':').unwrap_or((text, ""));
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        match address.parse::<std::net::IpAddr>() {
            Ok(ip) if plain => Ok(format!("{ip} {name}\n")),
            _ => Err(format!("config: extra_hosts: {text:?} must be name:address")),
        }
    };
    let lines: String = extra.iter().map(line).collect::<Result<_, _>>()?;
    Ok(Some(lines).filter(|lines| !lines.is_empty()))
}

/// `path`, or `path:size=64m,mode=1777`.
fn tmpfs(text: &str) -> Result<Tmpfs, String> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let mut tmpfs = Tmpfs { destination: PathBuf::from(path), bytes: None, mode: 0o1777 };
    let bad = |option: &str| format!("config: tmpfs: {option:?} of {path} is not supported; possible are size and mode");
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => {
                tmpfs.bytes = Some(size(&Value::String(value.to_owned())).filter(|n| *n > 0).ok_or_else(|| bad(option))?)
            }
            Some(("mode", value)) => tmpfs.mode = u32::from_str_radix(value, 8).ok().filter(|m| *m <= 0o1777).ok_or_else(|| bad(option))?,
            _ => return Err(bad(option)),
        }
    }
    Ok(tmpfs)
}

/// `soft:hard`, or one number for both.
fn ulimit(name: &str, text: &str) -> Result<Ulimit, String> {
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let number =
        |text: &str| text.trim().parse::<u64>().map_err(|_| format!("config: ulimit: {name} must be a number, or two as in \"1024:4096\""));
    Ok(Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? })
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
