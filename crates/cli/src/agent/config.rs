//! The agent's configuration: files in HCL or JSON, then flags, then defaults; what is not understood is refused.

mod check;

use crate::args::AgentArgs;
use anyhow::{Context, bail};
use floe_control::{garbage::Thresholds, heartbeat::Timing};
use floe_model::{Nanos, StringMap, wire};
use floe_network::{NetworkConfig, Subnet};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The largest configuration file in bytes.
const MAX_FILE_BYTES: usize = 1 << 20;

wire! {
    /// A configuration file.
    pub(crate) struct ConfigFile {
        "region" region: String,
        "datacenter" datacenter: String,
        "name" name: String,
        "data_dir" data_dir: String,
        "bind_addr" bind_addr: String,
        "log_level" log_level: String,
        "log_json" log_json: bool,
        "ports" ports: PortsBlock,
        "server" server: ServerBlock,
        "client" client: ClientBlock,
        "plugin" plugin: BTreeMap<String, PluginBlock>,
    }

    /// Ports to listen on; zero lets the kernel choose.
    pub(crate) struct PortsBlock {
        "http" http: Option<u16>,
        "rpc" rpc: Option<u16>,
    }

    /// The server part.
    pub(crate) struct ServerBlock {
        "enabled" enabled: Option<bool>,
        "bootstrap_expect" bootstrap_expect: Option<u16>,
        "num_schedulers" num_schedulers: Option<u16>,
        "heartbeat_grace" heartbeat_grace: Option<Nanos>,
        "min_heartbeat_ttl" min_heartbeat_ttl: Option<Nanos>,
        "eval_gc_threshold" eval_gc_threshold: Option<Nanos>,
        "batch_eval_gc_threshold" batch_eval_gc_threshold: Option<Nanos>,
        "job_gc_threshold" job_gc_threshold: Option<Nanos>,
        "node_gc_threshold" node_gc_threshold: Option<Nanos>,
        "deployment_gc_threshold" deployment_gc_threshold: Option<Nanos>,
    }

    /// The client part.
    pub(crate) struct ClientBlock {
        "enabled" enabled: Option<bool>,
        "servers" servers: Vec<String>,
        "node_class" node_class: String,
        "node_pool" node_pool: String,
        "meta" meta: StringMap,
        "raw_exec" raw_exec: Option<bool>,
        "advertise_ip" advertise_ip: String,
        "cgroup_parent" cgroup_parent: String,
        "bridge_network_name" bridge_network_name: String,
        "bridge_network_subnet" bridge_network_subnet: String,
        "bridge_network_hairpin_mode" bridge_network_hairpin_mode: Option<bool>,
        "netns_dir" netns_dir: String,
        "cpu_total_compute" cpu_total_compute: Option<i64>,
        "memory_total_mb" memory_total_mb: Option<i64>,
        "disk_total_mb" disk_total_mb: Option<i64>,
        "min_dynamic_port" min_dynamic_port: Option<u16>,
        "max_dynamic_port" max_dynamic_port: Option<u16>,
        "reserved" reserved: ReservedBlock,
    }

    /// What a client keeps for itself.
    pub(crate) struct ReservedBlock {
        "cpu" cpu: u64,
        "memory" memory: u64,
        "disk" disk: u64,
        "reserved_ports" reserved_ports: String,
    }

    /// A driver's settings.
    pub(crate) struct PluginBlock {
        "config" config: PluginConfig,
    }

    /// What drivers can be told.
    pub(crate) struct PluginConfig {
        "enabled" enabled: Option<bool>,
    }
}

/// Blocks that other agents of this configuration language have, and floe not yet.
const NOT_YET: &[&str] = &[
    "acl",
    "addresses",
    "advertise",
    "audit",
    "autopilot",
    "consul",
    "disable_update_check",
    "enable_debug",
    "enable_syslog",
    "keyring",
    "leave_on_interrupt",
    "leave_on_terminate",
    "limits",
    "log_file",
    "plugin_dir",
    "reporting",
    "rpc",
    "sentinel",
    "telemetry",
    "tls",
    "ui",
    "vault",
];

/// What becomes of the tasks when the agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They run on; the next agent finds them.
    Leave,
    /// They end with the agent, and nothing stays behind.
    Everything,
}

/// An agent's configuration, complete.
#[derive(Clone, Debug)]
pub(crate) struct AgentConfig {
    pub(crate) region: String,
    pub(crate) datacenter: String,
    pub(crate) name: String,
    /// `None` for a temporary folder.
    pub(crate) data_dir: Option<PathBuf>,
    /// What a temporary folder is called.
    pub(crate) temporary_name: &'static str,
    pub(crate) bind: IpAddr,
    pub(crate) http_port: u16,
    pub(crate) rpc_port: u16,
    pub(crate) log_level: String,
    pub(crate) log_json: bool,
    pub(crate) server: bool,
    pub(crate) client: bool,
    pub(crate) file: ConfigFile,
    pub(crate) network: NetworkConfig,
    pub(crate) mode: Mode,
    pub(crate) raw_exec: bool,
}

impl AgentConfig {
    /// Reads files and flags.
    pub(crate) fn load(args: &AgentArgs) -> anyhow::Result<Self> {
        let mut merged = Value::Object(serde_json::Map::new());
        for path in &args.config {
            for file in files_of(path)? {
                merge(&mut merged, read_file(&file)?);
            }
        }
        let decoded = wire::from_value::<ConfigFile>(merged).context("agent configuration")?;
        refuse_unknown(&decoded.unknown)?;
        Self::complete(args, decoded.value)
    }

    fn complete(args: &AgentArgs, file: ConfigFile) -> anyhow::Result<Self> {
        let text = |flag: &Option<String>, file: &str, default: &str| {
            flag.clone().or_else(|| Some(file.to_owned()).filter(|f| !f.is_empty())).unwrap_or_else(|| default.to_owned())
        };
        let file = ConfigFile { client: ClientBlock { servers: servers(args, &file), ..file.client }, ..file };
        let server = args.dev || args.server || file.server.enabled == Some(true);
        let client = args.dev || args.client || file.client.enabled == Some(true);
        if !server && !client {
            bail!(
                "the agent has nothing to do: give -dev, or enable a part in a configuration file (server {{ enabled = true }}, client {{ enabled = true }})"
            );
        }
        check::server(&file.server)?;
        let data_dir = args.data_dir.clone().or_else(|| Some(PathBuf::from(&file.data_dir)).filter(|d| !d.as_os_str().is_empty()));
        if data_dir.is_none() && !args.dev {
            bail!(
                "data_dir is missing: give the folder that is to hold the agent's state (-data-dir, or data_dir in a configuration file)"
            );
        }
        let bind: IpAddr = {
            let text = text(&args.bind, &file.bind_addr, "127.0.0.1");
            text.parse().with_context(|| format!("bind address {text:?} is not an IP address"))?
        };
        if !bind.is_loopback() {
            bail!("not supported yet: bind address {bind}: without TLS the agent listens on loopback only; use 127.0.0.1");
        }
        let raw_exec = file.client.raw_exec.or_else(|| file.plugin.get("raw_exec").and_then(|p| p.config.enabled)).unwrap_or(args.dev);
        let mode = if args.dev && data_dir.is_none() { Mode::Everything } else { Mode::Leave };
        check::client(&file.client)?;
        check::plugins(&file.plugin)?;
        Ok(Self {
            region: text(&None, &file.region, floe_model::ids::DEFAULT_REGION),
            datacenter: text(&args.dc, &file.datacenter, "dc1"),
            name: text(&args.node, &file.name, &host_name()),
            network: network(&file.client)?,
            http_port: file.ports.http.unwrap_or(floe_api::HTTP_PORT),
            rpc_port: file.ports.rpc.unwrap_or(floe_api::RPC_PORT),
            log_level: text(&args.log_level, &file.log_level, "info"),
            log_json: args.log_json || file.log_json,
            data_dir,
            temporary_name: "floe-dev",
            bind,
            server,
            client,
            mode,
            raw_exec,
            file,
        })
    }

    /// When a silent node counts as down.
    pub(crate) fn heartbeat(&self) -> Timing {
        let default = Timing::default();
        let server = &self.file.server;
        Timing { min_ttl: server.min_heartbeat_ttl.unwrap_or(default.min_ttl), grace: server.heartbeat_grace.unwrap_or(default.grace) }
    }

    /// How long things are kept after they are over.
    pub(crate) fn keep(&self) -> Thresholds {
        let (default, server) = (Thresholds::default(), &self.file.server);
        Thresholds {
            evals: server.eval_gc_threshold.unwrap_or(default.evals),
            batch_evals: server.batch_eval_gc_threshold.unwrap_or(default.batch_evals),
            jobs: server.job_gc_threshold.unwrap_or(default.jobs),
            nodes: server.node_gc_threshold.unwrap_or(default.nodes),
            deployments: server.deployment_gc_threshold.unwrap_or(default.deployments),
        }
    }
}

fn servers(args: &AgentArgs, file: &ConfigFile) -> Vec<String> {
    if args.servers.is_empty() { file.client.servers.clone() } else { args.servers.clone() }
}

fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()).filter(|n| !n.is_empty()).unwrap_or_else(|| "floe".to_owned())
}

fn network(client: &ClientBlock) -> anyhow::Result<NetworkConfig> {
    let mut network = NetworkConfig::default();
    if !client.bridge_network_name.is_empty() {
        network.bridge.clone_from(&client.bridge_network_name);
        // Its table is told apart by the same name.
        network.table.clone_from(&client.bridge_network_name);
    }
    if !client.bridge_network_subnet.is_empty() {
        let text = &client.bridge_network_subnet;
        network.subnet = text.parse::<Subnet>().with_context(|| format!("client.bridge_network_subnet {text:?}"))?;
    }
    if !client.netns_dir.is_empty() {
        network.netns_dir = PathBuf::from(&client.netns_dir);
    }
    network.hairpin = client.bridge_network_hairpin_mode.unwrap_or(network.hairpin);
    network.validate().context("client network")?;
    Ok(network)
}

fn refuse_unknown(unknown: &[String]) -> anyhow::Result<()> {
    let Some(first) = unknown.first() else { return Ok(()) };
    let top = first.split(['.', ' ', '[']).next().unwrap_or(first);
    if NOT_YET.contains(&top) {
        bail!("agent configuration: not supported yet: {first}");
    }
    bail!("agent configuration: unknown key {first}")
}

/// The configuration files that a path names: itself, or the `.hcl` and `.json` files of a folder in order of name.
fn files_of(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let wanted = |p: &Path| p.extension().is_some_and(|e| e == "hcl" || e == "json");
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("read configuration folder {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_file() && wanted(p)).collect();
    files.sort();
    if files.is_empty() {
        bail!("configuration folder {} has no .hcl or .json file", path.display());
    }
    Ok(files)
}

fn read_file(path: &Path) -> anyhow::Result<Value> {
    let what = || format!("configuration file {}", path.display());
    let bytes = crate::files::read_bounded(path, MAX_FILE_BYTES).with_context(what)?;
    let text = String::from_utf8(bytes).with_context(what)?;
    if path.extension().is_some_and(|e| e == "json") {
        return serde_json::from_str(&text).with_context(what);
    }
    hcl::from_str(&text).with_context(what)
}

/// Lays `over` on `base`: objects key by key, everything else as a whole.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests;
