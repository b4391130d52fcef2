//! Starting and stopping the parts of an agent.

use super::{
    config::{AgentConfig, Mode},
    host::BridgeLock,
    identity::{self, Identity},
    notify::Supervisor,
    temporary::Temporary,
};
use crate::VERSION;
use anyhow::{Context, bail};
use floe_client::{Client, ClientConfig, Override, Reserve};
use floe_consensus::{Config, Consensus, DataFolder, ServerAddress, ServerId, Start, StopReason};
use floe_rpc::{Acceptor, Channels, Security, Servers};
use floe_server::{
    Listener, Server, ServerConfig, Serving, http, listen,
    peers::{Peers, announce},
    rpc::{self, Doorkeeper},
    serve,
};
use nix::sys::stat::{Mode as FileMode, umask};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How an agent ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Tasks run on.
    Leave,
    /// Tasks end, and nothing stays behind.
    Everything,
    /// A part had to stop; tasks run on.
    Failed(String),
}

/// A running agent.
pub(crate) struct Agent {
    server: Option<Server>,
    client: Option<Client>,
    servings: Vec<Serving>,
    /// Ends what looks after identity and membership.
    stop: CancellationToken,
    pub(crate) http: SocketAddr,
    folder: PathBuf,
    mode: Mode,
    temporary: Option<Temporary>,
    _bridge: Option<BridgeLock>,
}

/// What the parts of an agent share.
struct Common<'a> {
    config: &'a AgentConfig,
    folder: &'a DataFolder,
    identity: Option<Arc<Identity>>,
    security: Security,
    channels: Channels,
    http: SocketAddr,
    /// Where others reach the RPC port.
    rpc: String,
}

impl Agent {
    /// Starts what the configuration asks for. `supervisor` hears of it when that waits for others.
    pub(crate) async fn start(config: &AgentConfig, supervisor: &Supervisor) -> anyhow::Result<Agent> {
        if config.client {
            Self::check_host()?;
            // A unit's UMask=0077 would close folders that tasks come by (/run/floe, their root file systems), and be the tasks' own. What is secret is made
            // with a mode that says so.
            umask(FileMode::from_bits_truncate(0o022));
        }
        let bridge = config.client.then(|| BridgeLock::take(&config.network.bridge)).transpose()?;
        let (path, temporary) = data_folder(config)?;
        let folder = DataFolder::open(&path)?;
        let listener = listen(SocketAddr::new(config.http_bind, config.http_port), "HTTP").await?;
        let rpc_listener = listen(SocketAddr::new(config.bind, config.rpc_port), "RPC").await?;
        let identity = match config.tls {
            true => Some(Arc::new(
                identity::open(config, &path, &identity::Meanwhile { rpc: &rpc_listener, http: &listener, supervisor }).await?,
            )),
            false => None,
        };
        let security = identity.as_ref().map_or(Security::Plain, |i| Security::Tls(i.credentials.clone()));
        let http = listener.address;
        let (stop, mode) = (CancellationToken::new(), config.mode);
        let mut agent =
            Agent { server: None, client: None, servings: Vec::new(), stop, http, folder: path, mode, temporary, _bridge: bridge };
        let rpc = config.advertised(rpc_listener.address);
        let common = Common { config, folder: &folder, identity, channels: Channels::new(security.clone()), security, http, rpc };
        match agent.start_parts(&common, listener, rpc_listener).await {
            Ok(()) => Ok(agent),
            Err(error) => {
                agent.stop(Ending::Failed(String::new())).await;
                Err(error)
            }
        }
    }

    async fn start_parts(&mut self, common: &Common<'_>, listener: Listener, rpc_listener: Listener) -> anyhow::Result<()> {
        let config = common.config;
        let peers = Peers::new(common.channels.clone(), &common.rpc);
        if config.server {
            let keks = config.open_keks(&self.folder)?.map(Arc::new);
            if let Some(keks) = &keks {
                tracing::info!(keks = keks.ids().join(", "), "has keys that wrap root keys");
            }
            let consensus = open_consensus(common, &peers).await?;
            let secret = || config.bootstrap_secret.clone();
            let door = common.identity.as_ref().and_then(|i| Some(Doorkeeper::new(i.signers.clone()?, i.credentials.clone(), secret())));
            let server = Server::start(ServerConfig { keks, ..server_config(config) }, consensus, door);
            self.server = Some(server.clone());
            if let Some(identity) = &common.identity {
                identity.name_founders(&server).await?;
            }
        }
        let servers = Servers::new(common.channels.clone(), known_servers(common));
        let agent = http::Agent {
            server: self.server.clone(),
            node: Arc::default(),
            servers: servers.clone(),
            security: common.security.clone(),
            config: Arc::new(shown_config(config, &self.folder)),
            version: VERSION,
        };
        // The RPC port is open before the client starts, because that registers at once.
        let router = match &self.server {
            Some(server) => rpc::router(server.clone(), peers.clone(), agent.clone()),
            None => rpc::node_router(agent.clone()),
        };
        self.servings.push(serve(rpc_listener, router, Acceptor::new(common.security.clone())));
        self.look_after(common, &peers, &servers);
        if config.client {
            let client = Client::start(client_config(common, servers), common.folder).await?;
            self.client = Some(client.clone());
            let _ = agent.node.set(Arc::new(client));
        }
        self.servings.push(serve(listener, http::router(agent), Acceptor::new(Security::Plain)));
        Ok(())
    }

    /// Starts what keeps certificate and membership true.
    fn look_after(&self, common: &Common<'_>, peers: &Peers, servers: &Servers) {
        let Some(identity) = common.identity.clone() else { return };
        tokio::spawn(identity::renew_in_time(identity.clone(), servers.clone(), self.stop.clone()));
        tokio::spawn(identity::follow_authorities(identity.clone(), servers.clone(), self.server.clone(), self.stop.clone()));
        if let Some(server) = &self.server {
            let (consensus, config) = (server.consensus().clone(), common.config);
            tokio::spawn(announce(consensus.clone(), peers.clone(), config.name.clone(), config.retry_join.clone(), self.stop.clone()));
            tokio::spawn(self.stop.clone().run_until_cancelled_owned(note_membership(consensus, identity)));
        }
    }

    /// Says what runs where.
    pub(crate) fn say_where(&self) {
        let address = format!("http://{}", self.http);
        tracing::info!(%address, data = %self.folder.display(), version = VERSION, "floe agent started: {}", self.parts());
    }

    /// What this agent is.
    pub(crate) fn parts(&self) -> &'static str {
        match (&self.server, &self.client) {
            (Some(_), Some(_)) => "server and client",
            (Some(_), None) => "server",
            _ => "client",
        }
    }

    /// Waits until the node is known to the servers.
    pub(crate) async fn wait_ready(&self) {
        if let Some(client) = &self.client {
            client.wait_registered().await;
        }
    }

    /// The folder that holds the agent's state.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Why a part stopped, once one does.
    pub(crate) async fn failure(&self) -> String {
        match &self.server {
            Some(server) => loop {
                match server.consensus().stopped().await {
                    StopReason::Failed(reason) => return reason,
                    StopReason::Diverged(divergence) => return divergence.to_string(),
                    StopReason::Closed => std::future::pending().await,
                }
            },
            None => std::future::pending().await,
        }
    }

    /// Stops everything in an order in which nobody loses what he needs.
    pub(crate) async fn stop(&self, ending: Ending) {
        self.stop.cancel();
        if let Some(client) = &self.client {
            // Nobody would find tasks again whose folder goes.
            if ending == Ending::Everything || self.temporary.is_some() {
                client.end("the agent is stopping").await;
            } else {
                client.leave().await;
            }
        }
        if let Some(server) = &self.server {
            server.begin_stop();
        }
        for serving in &self.servings {
            serving.stop().await;
        }
        if let Some(server) = &self.server {
            server.stop().await;
        }
        if let Some(temporary) = &self.temporary {
            temporary.remove();
        }
    }
}

/// Waits for a signal, or for a part that cannot go on.
pub(super) async fn wait_for_end(agent: &Agent, interrupts: &mut Interrupts) -> Ending {
    let end = if agent.mode == Mode::Everything { Ending::Everything } else { Ending::Leave };
    tokio::select! {
        () = interrupts.next() => end,
        reason = agent.failure() => Ending::Failed(reason),
    }
}

/// Ctrl-C, SIGTERM, and a terminal that was closed. They count from the moment this is made: one that comes while an agent starts does
/// not end the process before it has tidied up.
pub(crate) struct Interrupts([Signal; 3]);

impl Interrupts {
    /// Listens from now on.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen to signals");
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?]))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The servers that an agent may ask: itself, or those that it was told of.
fn known_servers(common: &Common<'_>) -> Vec<String> {
    if common.config.server {
        return vec![common.rpc.clone()];
    }
    let mut servers = common.config.file.client.servers.clone();
    let told = common.identity.iter().flat_map(|i| i.servers.iter()).filter(|s| !servers.contains(s)).cloned().collect::<Vec<_>>();
    servers.extend(told);
    servers
}

async fn open_consensus(common: &Common<'_>, peers: &Peers) -> anyhow::Result<Consensus> {
    let address = ServerAddress::new(common.config.name.clone(), common.rpc.clone());
    let Some(identity) = &common.identity else {
        let folder = common.folder.clone();
        let id = tokio::task::spawn_blocking(move || ServerId::kept_in(&folder)).await.context("read the server's id")??;
        return Ok(Consensus::open(Config::single(id, common.folder.clone(), address)).await?);
    };
    let was_member = identity.file.was_member()?;
    let id = ServerId::from(identity.credentials.me().id.to_string());
    let single = Config::single(id, common.folder.clone(), address);
    let start = if identity.is_founder && !was_member { single.start.clone() } else { Start::Join };
    let config = Config { start, transport: Arc::new(peers.clone()), timings: common.config.timings(), ..single };
    let consensus = Consensus::open(config).await?;
    if was_member && consensus.members().is_empty() {
        consensus.shutdown().await;
        bail!(
            "this server has been a member of the cluster, but its log is gone, and without it the server must not come back under the same id (it could \
             vote twice): remove the data folder and let it join again with a token (floe server token), or restore the whole folder"
        );
    }
    Ok(consensus)
}

/// Notes in the identity file that this server is a member, as soon as it is.
async fn note_membership(consensus: Consensus, identity: Arc<Identity>) {
    let mut changes = consensus.watch();
    loop {
        if consensus.members().iter().any(|m| m.id == *consensus.id()) {
            if let Err(error) = identity.file.note_membership() {
                tracing::error!(error = format!("{error:#}"), "the membership was not noted");
            }
            return;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn data_folder(config: &AgentConfig) -> anyhow::Result<(PathBuf, Option<Temporary>)> {
    match &config.data_dir {
        Some(path) => {
            crate::files::make_private_folder(path).with_context(|| format!("make data folder {}", path.display()))?;
            Ok((path.canonicalize().with_context(|| format!("data folder {}", path.display()))?, None))
        }
        None => {
            let temporary = Temporary::take(config.temporary_name)?;
            Ok((temporary.path().to_owned(), Some(temporary)))
        }
    }
}

fn server_config(config: &AgentConfig) -> ServerConfig {
    let default = ServerConfig::default();
    ServerConfig {
        name: config.name.clone(),
        version: VERSION,
        region: config.region.clone(),
        datacenter: config.datacenter.clone(),
        workers: config.file.server.num_schedulers.map_or(default.workers, usize::from),
        heartbeat: config.heartbeat(),
        keep: config.keep(),
        autopilot: config.autopilot(),
        snapshots: config.snapshots(),
        keyring: config.root_keys(),
        ..default
    }
}

fn client_config(common: &Common<'_>, servers: Servers) -> ClientConfig {
    let config = common.config;
    let client = &config.file.client;
    let text = |t: &str, default: &str| if t.is_empty() { default.to_owned() } else { t.to_owned() };
    ClientConfig {
        name: config.name.clone(),
        region: config.region.clone(),
        datacenter: config.datacenter.clone(),
        node_pool: text(&client.node_pool, floe_model::ids::DEFAULT_NODE_POOL),
        node_class: client.node_class.clone(),
        meta: client.meta.clone(),
        version: VERSION,
        http_addr: common.http.to_string(),
        rpc_addr: common.rpc.clone(),
        node_id: common.identity.as_ref().map(|i| i.credentials.me().id.to_string().into()),
        servers,
        advertise_ip: client.advertise_ip.parse().ok(),
        network: config.network.clone(),
        raw_exec: config.raw_exec,
        cdi_folders: match &client.cdi_spec_dirs {
            Some(folders) => folders.iter().map(PathBuf::from).collect(),
            None => floe_client::DEFAULT_CDI_FOLDERS.iter().map(PathBuf::from).collect(),
        },
        images: config.images.clone(),
        cgroup_parent: text(&client.cgroup_parent, floe_runtime::DEFAULT_CGROUP_PARENT),
        reserve: Reserve {
            cpu_mhz: client.reserved.cpu,
            memory_mb: client.reserved.memory,
            disk_mb: client.reserved.disk,
            ports: client.reserved.reserved_ports.clone(),
        },
        total: Override {
            cpu_mhz: client.cpu_total_compute,
            memory_mb: client.memory_total_mb,
            disk_mb: client.disk_total_mb,
            min_dynamic_port: client.min_dynamic_port,
            max_dynamic_port: client.max_dynamic_port,
        },
        exe: PathBuf::from("/proc/self/exe"),
    }
}

/// The configuration as `/v1/agent/self` shows it.
fn shown_config(config: &AgentConfig, folder: &Path) -> serde_json::Value {
    serde_json::json!({
        "Region": config.region,
        "Datacenter": config.datacenter,
        "NodeName": config.name,
        "DataDir": folder,
        "BindAddr": config.bind.to_string(),
        "LogLevel": config.log_level,
        "Server": { "Enabled": config.server, "BootstrapExpect": config.bootstrap_expect },
        "Client": { "Enabled": config.client, "NodeClass": config.file.client.node_class, "Meta": config.file.client.meta },
        "ACL": { "Enabled": false },
        "TLSConfig": { "EnableHTTP": false, "EnableRPC": config.tls },
        "Version": { "Version": VERSION },
    })
}

impl Agent {
    /// Checks that tasks can run here before anything is started, so that the message is about that.
    pub(crate) fn check_host() -> anyhow::Result<()> {
        let problems = floe_runtime::preflight();
        if problems.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = problems.iter().map(|p| format!("  * {}: {}", p.what, p.how_to_fix)).collect();
        bail!("this machine cannot run tasks:\n{}", lines.join("\n"))
    }
}
