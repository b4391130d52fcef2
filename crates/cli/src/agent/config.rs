//! The agent's configuration: files in HCL or JSON, then flags, then defaults; what is not understood is refused.

mod bootstrap;
mod check;
mod images;
mod keyring;
mod place;
mod snapshot;

use crate::args::AgentArgs;
use anyhow::{Context, bail};
use floe_consensus::Timings;
use floe_control::{autopilot, garbage::Thresholds, heartbeat::Timing, keyring as root_keys};
use floe_keyring::{KekConfig, Keks};
use floe_model::{Nanos, StringMap, wire};
use floe_network::{NetworkConfig, Subnet};
use floe_pki::BootstrapSecret;
use floe_server::SnapshotConfig;
use place::Machine;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// The largest configuration file in bytes.
const MAX_FILE_BYTES: usize = 1 << 20;
/// The largest file of a join token in bytes.
const MAX_TOKEN_BYTES: usize = 4096;

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
        "join_token_file" join_token_file: String,
        "tls" tls: TlsBlock,
        "advertise" advertise: AdvertiseBlock,
        "ports" ports: PortsBlock,
        "autopilot" autopilot: AutopilotBlock,
        "keyring" keyring: BTreeMap<String, Value>,
        "snapshot" snapshot: SnapshotBlock,
        "server" server: ServerBlock,
        "client" client: ClientBlock,
        "plugin" plugin: BTreeMap<String, PluginBlock>,
    }

    /// What looks after the servers.
    pub(crate) struct AutopilotBlock {
        "cleanup_dead_servers" cleanup_dead_servers: Option<bool>,
        "last_contact_threshold" last_contact_threshold: Option<Nanos>,
        "max_trailing_logs" max_trailing_logs: Option<u64>,
        "min_quorum" min_quorum: Option<u16>,
        "server_stabilization_time" server_stabilization_time: Option<Nanos>,
        "dead_server_timeout" dead_server_timeout: Option<Nanos>,
    }

    /// The backups that the leader keeps.
    pub(crate) struct SnapshotBlock {
        "interval" interval: Option<Nanos>,
        "retain" retain: Option<u16>,
        "prefix" prefix: String,
        "local_storage" local_storage: LocalStorageBlock,
        "aws_storage" aws_storage: AwsStorageBlock,
    }

    /// A folder of the machine.
    pub(crate) struct LocalStorageBlock {
        "path" path: String,
    }

    /// A bucket of a store that speaks S3, Amazon's or another. The keys are in files.
    pub(crate) struct AwsStorageBlock {
        "s3_bucket" s3_bucket: String,
        "s3_region" s3_region: String,
        "s3_endpoint" s3_endpoint: String,
        "s3_key_prefix" s3_key_prefix: String,
        "s3_force_path_style" s3_force_path_style: Option<bool>,
        "credentials_file" credentials_file: String,
        "access_key_id_file" access_key_id_file: String,
        "secret_access_key_file" secret_access_key_file: String,
        "ca_cert" ca_cert: String,
    }

    /// How agents speak with each other.
    pub(crate) struct TlsBlock {
        "rpc" rpc: Option<bool>,
    }

    /// Where others reach this agent.
    pub(crate) struct AdvertiseBlock {
        "rpc" rpc: String,
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
        "bootstrap_secret_file" bootstrap_secret_file: String,
        "retry_join" retry_join: Vec<String>,
        "server_join" server_join: ServerJoinBlock,
        "num_schedulers" num_schedulers: Option<u16>,
        "raft_multiplier" raft_multiplier: Option<u16>,
        "heartbeat_grace" heartbeat_grace: Option<Nanos>,
        "min_heartbeat_ttl" min_heartbeat_ttl: Option<Nanos>,
        "eval_gc_threshold" eval_gc_threshold: Option<Nanos>,
        "batch_eval_gc_threshold" batch_eval_gc_threshold: Option<Nanos>,
        "job_gc_threshold" job_gc_threshold: Option<Nanos>,
        "node_gc_threshold" node_gc_threshold: Option<Nanos>,
        "deployment_gc_threshold" deployment_gc_threshold: Option<Nanos>,
        "root_key_rotation_threshold" root_key_rotation_threshold: Option<Nanos>,
        "root_key_gc_threshold" root_key_gc_threshold: Option<Nanos>,
    }

    /// Another place for the same list.
    pub(crate) struct ServerJoinBlock {
        "retry_join" retry_join: Vec<String>,
    }

    /// The client part.
    pub(crate) struct ClientBlock {
        "enabled" enabled: Option<bool>,
        "servers" servers: Vec<String>,
        "node_class" node_class: String,
        "node_pool" node_pool: String,
        "meta" meta: StringMap,
        "raw_exec" raw_exec: Option<bool>,
        "cdi_spec_dirs" cdi_spec_dirs: Option<Vec<String>>,
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
        "images" images: ImagesBlock,
    }

    /// Images of containers.
    pub(crate) struct ImagesBlock {
        "gc_delay" gc_delay: Option<Nanos>,
        "max_mb" max_mb: Option<u64>,
        "sources" sources: Option<Vec<String>>,
        "host_paths" host_paths: Option<bool>,
        "registry" registry: BTreeMap<String, RegistryBlock>,
    }

    /// A registry.
    pub(crate) struct RegistryBlock {
        "mirrors" mirrors: Vec<String>,
        "insecure" insecure: Option<bool>,
        "ca_cert" ca_cert: String,
        "username" username: String,
        "password_file" password_file: String,
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
    "audit",
    "consul",
    "disable_update_check",
    "enable_debug",
    "enable_syslog",
    "leave_on_interrupt",
    "leave_on_terminate",
    "limits",
    "log_file",
    "plugin_dir",
    "reporting",
    "rpc",
    "sentinel",
    "telemetry",
    "ui",
    "vault",
];

/// Keys of blocks that floe has otherwise.
const KEYS_NOT_YET: &[&str] = &[
    "advertise.http",
    "advertise.serf",
    "autopilot.disable_upgrade_migration",
    "autopilot.enable_custom_upgrades",
    "autopilot.enable_redundancy_zones",
    "server.root_key_gc_interval",
    "snapshot.aws_storage.s3_enable_kms",
    "snapshot.aws_storage.s3_kms_key",
    "snapshot.aws_storage.s3_server_side_encryption",
    "snapshot.aws_storage.s3_static_snapshot_name",
    "snapshot.azure_blob_storage",
    "snapshot.google_storage",
    "snapshot.s3",
    "snapshot.stale",
    "tls.ca_file",
    "tls.cert_file",
    "tls.http",
    "tls.key_file",
    "tls.verify_https_client",
    "tls.verify_server_hostname",
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
    /// Where the RPC port is.
    pub(crate) bind: IpAddr,
    /// Where the HTTP API is: it has no access control yet, so never outside of this machine.
    pub(crate) http_bind: IpAddr,
    /// Where others reach the RPC port, when that is not where it listens: an address, or address and port.
    pub(crate) advertise_rpc: Option<String>,
    /// Agents prove to each other who they are, and nobody can listen.
    pub(crate) tls: bool,
    /// What lets this machine into a cluster.
    pub(crate) join_token: Option<String>,
    /// How many servers begin a cluster together.
    pub(crate) bootstrap_expect: u16,
    /// What those servers share.
    pub(crate) bootstrap_secret: Option<BootstrapSecret>,
    /// What wraps the root keys.
    pub(crate) keks: Vec<KekConfig>,
    /// Servers of the cluster that this server belongs to, `host:port`.
    pub(crate) retry_join: Vec<String>,
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
    /// Images of containers.
    pub(crate) images: floe_client::ImageSettings,
}

impl AgentConfig {
    /// Reads files and flags, and finds the addresses of this machine that they name.
    pub(crate) fn load(args: &AgentArgs) -> anyhow::Result<Self> {
        Self::read(args, &Machine::This)
    }

    /// Reads files and flags that are for another machine: its addresses are not looked for here.
    pub(crate) fn check(args: &AgentArgs) -> anyhow::Result<()> {
        Self::read(args, &Machine::Another).map(drop)
    }

    fn read(args: &AgentArgs, machine: &Machine) -> anyhow::Result<Self> {
        let mut merged = Value::Object(serde_json::Map::new());
        for path in &args.config {
            for file in files_of(path)? {
                merge(&mut merged, read_file(&file)?);
            }
        }
        let decoded = wire::from_value::<ConfigFile>(merged).context("agent configuration")?;
        refuse_unknown(&decoded.unknown)?;
        Self::complete(args, decoded.value, machine)
    }

    fn complete(args: &AgentArgs, file: ConfigFile, machine: &Machine) -> anyhow::Result<Self> {
        let text = |flag: &Option<String>, file: &str, default: &str| {
            flag.clone().or_else(|| Some(file.to_owned()).filter(|f| !f.is_empty())).unwrap_or_else(|| default.to_owned())
        };
        let mut file = ConfigFile { client: ClientBlock { servers: servers(args, &file), ..file.client }, ..file };
        let server = args.dev || args.server || file.server.enabled == Some(true);
        let client = args.dev || args.client || file.client.enabled == Some(true);
        if !server && !client {
            bail!(
                "the agent has nothing to do: give -dev, or enable a part in a configuration file (server {{ enabled = true }}, client {{ enabled = true }})"
            );
        }
        bootstrap::check(&file.server)?;
        check::server(&file.server)?;
        check::autopilot(&file.autopilot, &timings(&file.server))?;
        snapshot::check(&file.snapshot, server)?;
        if !server && file.client.servers.is_empty() {
            bail!("client.servers is missing: name the RPC address (host:port) of one or more servers");
        }
        let data_dir = args.data_dir.clone().or_else(|| Some(PathBuf::from(&file.data_dir)).filter(|d| !d.as_os_str().is_empty()));
        if data_dir.is_none() && !args.dev {
            bail!(
                "data_dir is missing: give the folder that is to hold the agent's state (-data-dir, or data_dir in a configuration file)"
            );
        }
        let bind = machine.address("bind address", &text(&args.bind, &file.bind_addr, "127.0.0.1"))?;
        // Others may know this agent by a name, and by another port.
        if place::is_looked_up(&file.advertise.rpc) {
            file.advertise.rpc = machine.address("advertise.rpc", &file.advertise.rpc)?.to_string();
        }
        if !file.client.advertise_ip.is_empty() {
            file.client.advertise_ip = machine.address("client.advertise_ip", &file.client.advertise_ip)?.to_string();
        }
        let tls = file.tls.rpc.unwrap_or(!args.dev);
        if !tls && !bind.is_loopback() {
            bail!(
                "bind address {bind} without TLS: anybody who can reach the port would be trusted; use 127.0.0.1, or leave out tls.rpc = false"
            );
        }
        if !tls && file.server.bootstrap_expect.is_some_and(|expect| expect > 1) {
            bail!("server.bootstrap_expect of more than 1 needs TLS: leave out tls.rpc = false (and -dev), or begin with one server");
        }
        let advertise_rpc = Some(file.advertise.rpc.clone()).filter(|a| !a.is_empty());
        if bind.is_unspecified() && advertise_rpc.is_none() {
            bail!("bind address {bind} does not say where others reach this agent: set advertise.rpc, or bind to one address");
        }
        let retry_join = [&args.retry_join, &file.server.retry_join, &file.server.server_join.retry_join].into_iter().flatten();
        let retry_join: Vec<String> = retry_join.map(|address| with_port(address)).collect();
        let raw_exec = file.client.raw_exec.or_else(|| file.plugin.get("raw_exec").and_then(|p| p.config.enabled)).unwrap_or(args.dev);
        let mode = if args.dev && data_dir.is_none() { Mode::Everything } else { Mode::Leave };
        check::client(&file.client)?;
        check::plugins(&file.plugin)?;
        Ok(Self {
            region: text(&None, &file.region, floe_model::ids::DEFAULT_REGION),
            datacenter: text(&args.dc, &file.datacenter, "dc1"),
            name: text(&args.node, &file.name, &host_name()),
            network: network(&file.client)?,
            images: images::settings(&file.client.images)?,
            http_port: file.ports.http.unwrap_or(floe_api::HTTP_PORT),
            rpc_port: file.ports.rpc.unwrap_or(floe_api::RPC_PORT),
            log_level: text(&args.log_level, &file.log_level, "info"),
            log_json: args.log_json || file.log_json,
            data_dir,
            http_bind: if bind.is_loopback() { bind } else { IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) },
            advertise_rpc,
            tls,
            join_token: join_token(args, &file)?,
            bootstrap_expect: file.server.bootstrap_expect.unwrap_or(1),
            bootstrap_secret: bootstrap::secret(&file.server)?,
            keks: keyring::configs(&file.keyring, server)?,
            retry_join,
            temporary_name: "floe-dev",
            bind,
            server,
            client,
            mode,
            raw_exec,
            file,
        })
    }

    /// Where others reach the RPC port that listens at `bound`.
    pub(crate) fn advertised(&self, bound: SocketAddr) -> String {
        match &self.advertise_rpc {
            None => bound.to_string(),
            Some(address) => match address.parse::<IpAddr>() {
                Ok(ip) => SocketAddr::new(ip, bound.port()).to_string(),
                Err(_) if address.contains(':') => address.clone(),
                Err(_) => format!("{address}:{}", bound.port()),
            },
        }
    }

    /// How long the servers wait for each other.
    pub(crate) fn timings(&self) -> Timings {
        timings(&self.file.server)
    }

    /// When a silent node counts as down.
    pub(crate) fn heartbeat(&self) -> Timing {
        let default = Timing::default();
        let server = &self.file.server;
        Timing { min_ttl: server.min_heartbeat_ttl.unwrap_or(default.min_ttl), grace: server.heartbeat_grace.unwrap_or(default.grace) }
    }

    /// When a new server votes, and when a dead one is removed.
    pub(crate) fn autopilot(&self) -> autopilot::Config {
        let (default, wanted) = (autopilot::Config::default(), &self.file.autopilot);
        // Servers hear from each other with each heartbeat.
        let contact = default.last_contact_threshold.max(Nanos::from_std(2 * self.timings().heartbeat));
        autopilot::Config {
            cleanup_dead_servers: wanted.cleanup_dead_servers.unwrap_or(default.cleanup_dead_servers),
            last_contact_threshold: wanted.last_contact_threshold.unwrap_or(contact),
            max_trailing_logs: wanted.max_trailing_logs.unwrap_or(default.max_trailing_logs),
            min_quorum: wanted.min_quorum.map_or(default.min_quorum, usize::from),
            server_stabilization_time: wanted.server_stabilization_time.unwrap_or(default.server_stabilization_time),
            dead_after: wanted.dead_server_timeout.unwrap_or(default.dead_after),
        }
    }

    /// When and where the leader keeps backups, if it does.
    pub(crate) fn snapshots(&self) -> Option<SnapshotConfig> {
        snapshot::config(&self.file.snapshot)
    }

    /// Reads the keys that wrap the root keys; `None` when there are no `keyring` blocks. They must lie outside of `data`. What ends with the
    /// process has a key that does, too.
    pub(crate) fn open_keks(&self, data: &Path) -> anyhow::Result<Option<Keks>> {
        if !self.keks.is_empty() {
            return Ok(Some(Keks::open(self.keks.clone(), Some(data))?));
        }
        let ends_with_us = self.data_dir.is_none();
        Ok(if ends_with_us { Some(Keks::throwaway()?) } else { None })
    }

    /// How old root keys become.
    pub(crate) fn root_keys(&self) -> root_keys::Config {
        let (default, server) = (root_keys::Config::default(), &self.file.server);
        root_keys::Config {
            rotation_threshold: server.root_key_rotation_threshold.unwrap_or(default.rotation_threshold),
            gc_threshold: server.root_key_gc_threshold.unwrap_or(default.gc_threshold),
        }
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

/// An address with the RPC port, when it names none.
fn with_port(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, floe_api::RPC_PORT).to_string(),
        Err(_) if address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => address.to_owned(),
        Err(_) => format!("{address}:{}", floe_api::RPC_PORT),
    }
}

fn join_token(args: &AgentArgs, file: &ConfigFile) -> anyhow::Result<Option<String>> {
    let path = args.join_token_file.clone().or_else(|| Some(PathBuf::from(&file.join_token_file)).filter(|p| !p.as_os_str().is_empty()));
    let Some(path) = path else { return Ok(None) };
    let what = || format!("join token file {}", path.display());
    let bytes = match crate::files::read_bounded(&path, MAX_TOKEN_BYTES) {
        Ok(bytes) => bytes,
        // A machine that has joined does not need its token any more.
        Err(_) if !path.exists() => return Ok(None),
        Err(error) => return Err(error).with_context(what),
    };
    Ok(Some(String::from_utf8(bytes).with_context(what)?.trim().to_owned()).filter(|t| !t.is_empty()))
}

fn servers(args: &AgentArgs, file: &ConfigFile) -> Vec<String> {
    let servers = if args.servers.is_empty() { &file.client.servers } else { &args.servers };
    servers.iter().map(|address| with_port(address)).collect()
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
    if let Some(instead) = snapshot::key_in_the_open(first) {
        bail!("agent configuration: {instead}");
    }
    if NOT_YET.contains(&top) || KEYS_NOT_YET.contains(&first.as_str()) {
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

/// How long the servers wait for each other.
fn timings(server: &ServerBlock) -> Timings {
    Timings::default().times(server.raft_multiplier.and_then(|factor| u8::try_from(factor).ok()).unwrap_or(1))
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
