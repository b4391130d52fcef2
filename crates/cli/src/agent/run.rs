//! Starting and stopping the parts of an agent.

use super::{
    config::{AgentConfig, Mode},
    host::BridgeLock,
    temporary::Temporary,
};
use crate::VERSION;
use anyhow::{Context, bail};
use floe_api::NodeApi;
use floe_client::{Client, ClientConfig, Override, Reserve};
use floe_consensus::{Config, Consensus, DataFolder, ServerAddress, ServerId, StopReason};
use floe_server::{Listener, Server, ServerConfig, Serving, http, listen, rpc, serve};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

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
    pub(crate) http: SocketAddr,
    folder: PathBuf,
    mode: Mode,
    temporary: Option<Temporary>,
    _bridge: Option<BridgeLock>,
}

impl Agent {
    /// Starts what the configuration asks for.
    pub(crate) async fn start(config: &AgentConfig) -> anyhow::Result<Agent> {
        if config.client {
            Self::check_host()?;
        }
        let bridge = config.client.then(|| BridgeLock::take(&config.network.bridge)).transpose()?;
        let (path, temporary) = data_folder(config)?;
        let folder = DataFolder::open(&path)?;
        let listener = listen(SocketAddr::new(config.bind, config.http_port), "HTTP").await?;
        let http = listener.address;
        let mut agent =
            Agent { server: None, client: None, servings: Vec::new(), http, folder: path, mode: config.mode, temporary, _bridge: bridge };
        match agent.start_parts(config, &folder, listener).await {
            Ok(()) => Ok(agent),
            Err(error) => {
                agent.stop(Ending::Failed(String::new())).await;
                Err(error)
            }
        }
    }

    async fn start_parts(&mut self, config: &AgentConfig, folder: &DataFolder, listener: Listener) -> anyhow::Result<()> {
        let mut rpc_address = None;
        let mut rpc_listener = None;
        if config.server {
            let listener = listen(SocketAddr::new(config.bind, config.rpc_port), "RPC").await?;
            rpc_address = Some(listener.address.to_string());
            rpc_listener = Some(listener);
            let address = ServerAddress { name: config.name.clone(), rpc: rpc_address.clone().unwrap_or_default() };
            let beside = folder.clone();
            let id = tokio::task::spawn_blocking(move || ServerId::kept_in(&beside)).await??;
            let consensus = Consensus::open(Config::single(id, folder.clone(), address)).await?;
            self.server = Some(Server::start(server_config(config), consensus));
        }
        let upstream = rpc_address.clone().or_else(|| config.file.client.servers.first().cloned());
        let shown = Arc::new(shown_config(config, &self.folder));
        let part = |node: Option<Arc<dyn NodeApi>>, server: &Option<Server>| http::Agent {
            server: server.clone(),
            node,
            upstream: upstream.clone().filter(|_| server.is_none()),
            config: shown.clone(),
            version: VERSION,
        };
        if let (Some(server), Some(listener)) = (&self.server, rpc_listener) {
            // The RPC port is open before the client starts, because that registers at once.
            self.servings.push(serve(listener, rpc::router(server.clone(), part(None, &self.server))));
        }
        if config.client {
            let server = upstream.clone().context("client.servers is missing: name a server's RPC address (host:port)")?;
            let client = Client::start(client_config(config, self.http, server), folder).await?;
            self.client = Some(client);
        }
        let node = self.client.clone().map(|c| Arc::new(c) as Arc<dyn NodeApi>);
        self.servings.push(serve(listener, http::router(part(node, &self.server))));
        Ok(())
    }

    /// Says what runs where.
    pub(crate) fn say_where(&self) {
        let parts = match (&self.server, &self.client) {
            (Some(_), Some(_)) => "server and client",
            (Some(_), None) => "server",
            _ => "client",
        };
        tracing::info!(address = %format!("http://{}", self.http), data = %self.folder.display(), version = VERSION, "floe agent started: {parts}");
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
                    StopReason::Closed => std::future::pending().await,
                }
            },
            None => std::future::pending().await,
        }
    }

    /// Stops everything in an order in which nobody loses what he needs.
    pub(crate) async fn stop(&self, ending: Ending) {
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

fn data_folder(config: &AgentConfig) -> anyhow::Result<(PathBuf, Option<Temporary>)> {
    match &config.data_dir {
        Some(path) => {
            std::fs::create_dir_all(path).with_context(|| format!("make data folder {}", path.display()))?;
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
        region: config.region.clone(),
        datacenter: config.datacenter.clone(),
        workers: config.file.server.num_schedulers.map_or(default.workers, usize::from),
        heartbeat: config.heartbeat(),
        keep: config.keep(),
    }
}

fn client_config(config: &AgentConfig, http: SocketAddr, server: String) -> ClientConfig {
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
        http_addr: http.to_string(),
        server,
        advertise_ip: client.advertise_ip.parse().ok(),
        network: config.network.clone(),
        raw_exec: config.raw_exec,
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
        "Server": { "Enabled": config.server, "BootstrapExpect": 1 },
        "Client": { "Enabled": config.client, "NodeClass": config.file.client.node_class, "Meta": config.file.client.meta },
        "ACL": { "Enabled": false },
        "TLSConfig": { "EnableHTTP": false, "EnableRPC": false },
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
