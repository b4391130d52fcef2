//! A server on a folder of its own, with nodes that do what a test says, asked through its router without a socket.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use floe_api::{
    NodeApi,
    node::{ActError, ActRequest, LogError, LogPiece, LogRequest, Sample, TaskAction},
    types::PartHealth,
};
use floe_consensus::{Config, Consensus, DataFolder, ServerAddress};
use floe_keyring::Keks;
use floe_model::{AllocClientStatus, Job, Node, NodeId, TaskState, alloc::AllocDeploymentStatus, alloc::TaskPhase, node::DriverInfo};
use floe_rpc::{Channels, Security, Servers};
use floe_server::{
    Server, ServerConfig,
    http::{self, Agent},
};
use floe_state::{
    Command, Outcome,
    command::{AllocUpdate, RegisterJob},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use serde_json::{Value, json};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tempfile::TempDir;
use tower::ServiceExt;

/// How long a blocking query may wait for what must come; only a failing test waits that long.
const PATIENCE: &str = "20s";

pub struct World {
    pub server: Server,
    pub router: Router,
    _folder: TempDir,
}

impl World {
    pub async fn new() -> World {
        Self::with_keks(None).await
    }

    /// A server that seals.
    pub async fn sealing() -> World {
        Self::with_keks(Some(Arc::new(Keks::throwaway().unwrap()))).await
    }

    async fn with_keks(keks: Option<Arc<Keks>>) -> World {
        let folder = tempfile::tempdir().unwrap();
        let address = ServerAddress::new("one".to_owned(), "127.0.0.1:4647".to_owned());
        let consensus =
            Consensus::open(Config::single("one".to_owned().into(), DataFolder::open(folder.path()).unwrap(), address)).await.unwrap();
        let server = Server::start(ServerConfig { workers: 1, keks, ..ServerConfig::default() }, consensus, None);
        let router = http::router(Agent {
            server: Some(server.clone()),
            node: Arc::new(OnceLock::from(Arc::new(FakeNode) as Arc<dyn NodeApi>)),
            servers: Servers::new(Channels::new(Security::Plain), Vec::new()),
            security: Security::Plain,
            config: Arc::new(json!({"Region": "global"})),
            version: "1.2.3",
        });
        World { server, router, _folder: folder }
    }

    /// Two nodes; job `web` (service, two allocations that run, service `www`), job `batch/one` in the same namespace, and job `web` in
    /// another.
    pub async fn full() -> World {
        let world = World::new().await;
        world.add_node("n1").await;
        world.add_node("n2").await;
        world.run(&web()).await;
        world.run(&job("batch/one", "batch", 1)).await;
        world.run_in("other", job("web", "service", 1)).await;
        world
    }

    pub async fn add_node(&self, id: &str) {
        let mut node = Node { id: id.into(), name: format!("node-{id}"), datacenter: "dc1".to_owned(), ..Node::default() };
        node.node_pool = "default".to_owned();
        node.http_addr = "10.0.0.1:4646".to_owned();
        node.node_resources.cpu.cpu_shares = 4000;
        node.node_resources.memory.memory_mb = 8000;
        node.node_resources.disk.disk_mb = 100_000;
        for (key, value) in [("unique.network.ip-address", "10.0.0.1"), ("kernel.name", "linux"), ("os.name", "nixos")] {
            node.attributes.insert(key.to_owned(), value.to_owned());
        }
        node.drivers.insert("exec".to_owned(), DriverInfo { detected: true, healthy: true, ..DriverInfo::default() });
        self.server.propose(Command::RegisterNode { node: Box::new(node) }).await.unwrap();
    }

    /// Registers a job, waits until it is placed, and lets its allocations run. Returns the evaluation.
    pub async fn run(&self, job: &Value) -> String {
        let answer = self.put("/v1/jobs", &json!({"Job": job})).await.ok();
        let eval = answer["EvalID"].as_str().unwrap().to_owned();
        self.bring_up(&eval).await;
        eval
    }

    /// As [`World::run`], in another namespace, which the state knows and admission does not take yet.
    pub async fn run_in(&self, namespace: &str, job: Value) {
        let mut job: Job = floe_model::wire::from_value(job).unwrap().value;
        job.namespace = namespace.into();
        floe_model::canonical::canonicalize(&mut job);
        let command = RegisterJob { job: Box::new(job), submission: None, enforce_index: None, eval_priority: None };
        let (_, outcome) = self.server.propose(Command::RegisterJob(command)).await.unwrap();
        let Outcome::Job { eval_id, .. } = outcome else { panic!("{outcome:?}") };
        self.bring_up(eval_id.as_str()).await;
    }

    async fn bring_up(&self, eval: &str) {
        self.wait(&format!("/v1/evaluation/{eval}"), |e| e["Status"] == "complete").await;
        let allocs: Vec<_> = self.server.view().allocs().filter(|a| a.eval_id == *eval).cloned().collect();
        let updates = allocs.iter().map(|a| AllocUpdate {
            id: a.id.clone(),
            node_id: a.node_id.clone(),
            client_status: AllocClientStatus::Running,
            task_states: [("task".to_owned(), TaskState { state: TaskPhase::Running, ..TaskState::default() })].into(),
            deployment_status: Some(AllocDeploymentStatus { healthy: Some(true), ..AllocDeploymentStatus::default() }),
            ..AllocUpdate::default()
        });
        self.server.propose(Command::UpdateAllocs { updates: updates.collect() }).await.unwrap();
    }

    /// Waits with blocking queries until what `path` answers is as it should be.
    pub async fn wait(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut index = 0;
        let joint = if path.contains('?') { '&' } else { '?' };
        loop {
            let answer = self.get(&format!("{path}{joint}index={index}&wait={PATIENCE}")).await;
            assert!(answer.index() > index, "nothing new came of {path} in {PATIENCE}; last: {}", answer.text());
            index = answer.index();
            let value = answer.ok();
            if is(&value) {
                return value;
            }
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Request::put(path).body(Body::from(body.to_string())).unwrap()).await
    }

    pub async fn put_bytes(&self, path: &str, body: Vec<u8>) -> Answer {
        self.send(Request::put(path).body(Body::from(body)).unwrap()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(Body::empty()).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let asked = format!("{} {}", request.method(), request.uri());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { asked, status: parts.status, headers: parts.headers, body }
    }

    pub async fn end(self) {
        tokio::time::timeout(Duration::from_secs(20), self.server.stop()).await.expect("the server stops");
    }
}

/// What a request came to.
#[derive(Debug)]
pub struct Answer {
    pub asked: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }
    /// `X-Nomad-Index`; zero when it is missing.
    pub fn index(&self) -> u64 {
        self.header("x-nomad-index").map_or(0, |v| v.parse().unwrap())
    }
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{}: {e}: {}", self.asked, self.text()))
    }
    /// The value of an answer that must be one.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}: {}", self.asked, self.text());
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.asked);
        self.json()
    }
    /// The rows of a list, by one of their fields.
    #[track_caller]
    pub fn column(&self, field: &str) -> Vec<String> {
        let value = self.ok();
        let rows = value.as_array().unwrap_or_else(|| panic!("{} answers no list: {value}", self.asked));
        rows.iter().map(|r| r[field].as_str().unwrap_or_else(|| panic!("{}: {field} in {r}", self.asked)).to_owned()).collect()
    }
    /// An answer that must be a failure, in plain text.
    #[track_caller]
    pub fn fails(&self, status: u16, text: &str) {
        assert_eq!((self.status.as_u16(), self.text().as_str()), (status, text), "{}", self.asked);
        assert_eq!(self.header("content-type"), Some("text/plain; charset=utf-8"), "{}", self.asked);
    }
    /// A failure whose words only contain `part`.
    #[track_caller]
    pub fn fails_with(&self, status: u16, part: &str) {
        assert!(self.text().contains(part), "{}: {part:?} is not in {:?}", self.asked, self.text());
        self.fails(status, &self.text());
    }
}

/// A job with one group `g` of one task `task`.
pub fn job(id: &str, job_type: &str, count: u64) -> Value {
    json!({
        "ID": id, "Name": id, "Type": job_type, "Datacenters": ["dc1"],
        "TaskGroups": [{"Name": "g", "Count": count, "Tasks": [{"Name": "task", "Driver": "exec", "Config": {"command": "/bin/true"}}]}],
    })
}

/// A service job with two allocations, each an instance of `www`.
pub fn web() -> Value {
    let mut web = job("web", "service", 2);
    web["Meta"] = json!({"owner": "team-a", "a.b": "dotted"});
    web["TaskGroups"][0]["Services"] =
        json!([{"Name": "www", "Provider": "nomad", "PortLabel": "8080", "Tags": ["traefik.enable=true", "blue"]}]);
    web
}

/// A text as a value of a query, the way Go and Python write it.
pub fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%20", "+")
}

/// The node in the same process: it has one task that wrote ten bytes.
struct FakeNode;

impl NodeApi for FakeNode {
    fn node_id(&self) -> NodeId {
        "n1".into()
    }
    fn health(&self) -> PartHealth {
        PartHealth { ok: true, message: "ok".to_owned() }
    }
    fn samples(&self) -> Vec<Sample> {
        let labels = vec![("node_id", "n1".to_owned())];
        vec![Sample { name: "nomad_client_uptime", help: "seconds since the agent started", labels, value: 7.0 }]
    }
    fn act(&self, request: ActRequest) -> BoxFuture<'static, Result<(), ActError>> {
        async move {
            match (request.task.as_deref(), request.action) {
                (None | Some("task"), TaskAction::Restart) => Ok(()),
                (_, TaskAction::Signal(signal)) if signal == "SIGHUP" => Ok(()),
                (_, TaskAction::Signal(signal)) => Err(ActError::InvalidSignal(signal)),
                (Some(task), TaskAction::Restart) => Err(ActError::NotRunning(format!("task {task:?} is not running"))),
            }
        }
        .boxed()
    }
    fn logs(&self, request: LogRequest) -> BoxFuture<'static, Result<BoxStream<'static, Result<LogPiece, LogError>>, LogError>> {
        async move {
            if request.task != "task" {
                return Err(LogError::UnknownTask { alloc: request.alloc, task: request.task, tasks: "task".to_owned() });
            }
            let text = format!("{} {} {}", request.kind.as_str(), request.offset, request.from_end);
            let piece = LogPiece { file: "task.stdout.0".to_owned(), offset: 10, data: Bytes::from(text) };
            Ok(stream::iter([Ok(piece)]).boxed())
        }
        .boxed()
    }
}
