//! An agent as a process: configured, started, killed, started again.

use crate::{
    api::Api,
    command::{FLOE, marked},
    world::{World, eventually, hosts::Host},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    fs::{self, OpenOptions},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

/// The port of the first agent's HTTP API; each further one has the next but one, and its RPC port in between.
const FIRST_PORT: u16 = 4646;

/// How an agent is to be: an editor of its configuration file.
pub(crate) struct AgentBuilder<'w> {
    world: &'w World,
    name: String,
    number: u16,
    host: Option<Host>,
    /// The shell's umask for it; `None`: that of the test.
    umask: Option<&'static str>,
    config: Value,
}

/// An agent of a world. It lives as long as the world, and runs from time to time.
pub(crate) struct Agent {
    name: String,
    config: PathBuf,
    data: PathBuf,
    log: PathBuf,
    http: SocketAddr,
    /// Where it runs, if not on the world's host.
    host: Option<Host>,
    /// The shell's umask for it; `None`: that of the test.
    umask: Option<&'static str>,
    bridge: String,
    server: bool,
    /// The port of its RPC.
    rpc: Mutex<u16>,
    tag: String,
    tmp: PathBuf,
    child: Mutex<Option<Child>>,
}

impl World {
    /// An agent, server and client in one, with names and numbers that no other of this world has. Nothing is started yet.
    pub(crate) fn agent(&self, name: &str) -> AgentBuilder<'_> {
        let number = u16::try_from(self.count_agents()).unwrap();
        let port = FIRST_PORT + 2 * number;
        let config = json!({
            "name": name,
            "data_dir": self.dir().join(format!("{name}.data")),
            "ports": { "http": port, "rpc": port + 1 },
            "server": { "enabled": true },
            "client": {
                "enabled": true,
                "raw_exec": true,
                "cgroup_parent": format!("{}.{name}.slice", self.tag()),
                "bridge_network_name": format!("e2e-{name}"),
                "bridge_network_subnet": format!("172.26.{}.0/20", 64 + 16 * number),
                "netns_dir": format!("/run/{name}/netns"),
            },
        });
        AgentBuilder { world: self, name: name.to_owned(), number, host: None, umask: None, config }
    }

    /// An agent with the settings of [`World::agent`], started and ready.
    pub(crate) fn start_agent(&self, name: &str) -> Arc<Agent> {
        self.agent(name).start()
    }
}

impl AgentBuilder<'_> {
    /// Changes the configuration.
    pub(crate) fn set(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }

    /// On a host of its own.
    pub(crate) fn on(mut self, host: Host) -> Self {
        self.host = Some(host);
        self.set(|c| c["bind_addr"] = json!(host.ip()))
    }

    /// With another umask than most processes have.
    pub(crate) fn umask(self, umask: &'static str) -> Self {
        Self { umask: Some(umask), ..self }
    }

    /// Only a server.
    pub(crate) fn server_only(self) -> Self {
        self.set(|c| c["client"]["enabled"] = json!(false))
    }

    /// Only a client, of `server`, which runs and lets it in.
    pub(crate) fn client_of(self, server: &Agent) -> Self {
        let token = self.token(server, "client");
        self.set(|c| {
            c["join_token_file"] = json!(token);
            c["server"]["enabled"] = json!(false);
            c["client"]["servers"] = json!([server.rpc()]);
        })
    }

    /// Only a server, of the cluster of `server`, which runs and lets it in.
    pub(crate) fn joins(self, server: &Agent) -> Self {
        let token = self.token(server, "server");
        self.server_only().set(|c| {
            c["join_token_file"] = json!(token);
            c["server"]["retry_join"] = json!([server.rpc()]);
        })
    }

    /// A file with a token that `server` made.
    fn token(&self, server: &Agent, role: &str) -> PathBuf {
        let answer = server.api().put("/v1/operator/join-token", &json!({ "Role": role }));
        self.world.file(&format!("{}.token", self.name), answer["Token"].as_str().unwrap())
    }

    /// Writes the configuration; nothing is started yet.
    pub(crate) fn build(self) -> Arc<Agent> {
        let (world, name) = (self.world, self.name);
        let agent = Arc::new(Agent {
            config: world.file(&format!("{name}.json"), self.config.to_string()),
            data: self.config["data_dir"].as_str().unwrap().into(),
            log: world.dir().join(format!("{name}.log")),
            http: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), FIRST_PORT + 2 * self.number),
            host: self.host,
            umask: self.umask,
            bridge: self.config["client"]["bridge_network_name"].as_str().unwrap().to_owned(),
            server: self.config["server"]["enabled"] == true,
            rpc: Mutex::new(FIRST_PORT + 2 * self.number + 1),
            tag: world.tag().to_owned(),
            tmp: world.tmp(),
            child: Mutex::new(None),
            name,
        });
        world.register(agent.clone());
        agent
    }

    /// Starts the agent and waits until it answers and its node is ready.
    pub(crate) fn start(self) -> Arc<Agent> {
        let agent = self.build();
        agent.start();
        agent
    }
}

impl Agent {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
    pub(crate) fn bridge(&self) -> &str {
        &self.bridge
    }
    pub(crate) fn is_server(&self) -> bool {
        self.server
    }
    /// Its data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }
    /// Its configuration file.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }
    /// Where its HTTP API is.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }
    /// Where its RPC port is.
    pub(crate) fn rpc(&self) -> String {
        let ip = self.host.map_or(Ipv4Addr::LOCALHOST.into(), Host::ip);
        SocketAddr::new(ip, *self.rpc.lock().unwrap()).to_string()
    }
    /// Changes its configuration file, for its next start.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut Value)) {
        let mut config: Value = serde_json::from_slice(&fs::read(&self.config).unwrap()).unwrap();
        change(&mut config);
        *self.rpc.lock().unwrap() = config["ports"]["rpc"].as_u64().unwrap().try_into().unwrap();
        fs::write(&self.config, config.to_string()).unwrap();
    }
    /// Everything that it has written to standard error, in all its lives.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }
    /// Its API.
    pub(crate) fn api(&self) -> Api {
        Api::new(self.http, self.host)
    }

    /// The command that runs it, for tests in which it ends by itself.
    pub(crate) fn command_for_reading(&self) -> Command {
        let mut command = match self.umask {
            None => Command::new(FLOE),
            // The shell becomes the agent, under the same process id.
            Some(umask) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "umask \"$0\" && exec \"$@\"", umask, FLOE]);
                shell
            }
        };
        command.args(["agent", "-config"]).arg(&self.config).stdin(Stdio::null());
        marked(&mut command, &self.tag, &self.tmp);
        command
    }

    fn command(&self) -> Command {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = self.command_for_reading();
        command.stdout(Stdio::null()).stderr(log);
        command
    }

    /// Starts the process and does not wait for anything.
    pub(crate) fn launch(&self) {
        let mut child = self.lock();
        assert!(child.is_none(), "agent {} runs already", self.name);
        let spawn = || self.command().spawn().expect("start floe");
        *child = Some(self.host.map_or_else(spawn, |host| host.run(spawn)));
    }

    /// Starts it and waits until it answers and its node is ready.
    pub(crate) fn start(&self) {
        self.launch();
        self.wait_ready();
    }

    /// Waits until it answers and its node, if it has one, is ready.
    pub(crate) fn wait_ready(&self) {
        eventually(&format!("agent {} is healthy", self.name), || {
            if let Some(status) = self.try_wait() {
                panic!("agent {} ended with {status}:\n{}", self.name, self.log());
            }
            self.api().try_get("/v1/agent/health").filter(|h| ["server", "client"].iter().all(|part| h[part]["ok"] != false))
        });
    }

    /// Waits until the process ends by itself.
    pub(crate) fn wait(&self) -> ExitStatus {
        eventually(&format!("agent {} ends", self.name), || self.ended())
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let status = self.try_wait()?;
        *self.lock() = None;
        Some(status)
    }

    fn try_wait(&self) -> Option<ExitStatus> {
        self.lock().as_mut().expect("the agent was started").try_wait().unwrap()
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(&self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("signal the agent");
    }

    pub(crate) fn pid(&self) -> Pid {
        let id = self.lock().as_ref().expect("the agent runs").id();
        Pid::from_raw(i32::try_from(id).unwrap())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.lock().is_some()
    }

    pub(crate) fn kill_if_running(&self) {
        if let Some(mut child) = self.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What the shim of a task wrote about its process.
    pub(crate) fn task_pid(&self, alloc: &str, task: &str) -> i32 {
        self.try_task_pid(alloc, task).unwrap_or_else(|| panic!("task {task} of {alloc} has not started"))
    }

    /// As [`Agent::task_pid`], of a task that may not have started.
    pub(crate) fn try_task_pid(&self, alloc: &str, task: &str) -> Option<i32> {
        let text = fs::read_to_string(self.data.join(format!("client/shims/{alloc}.{task}/started.json"))).ok()?;
        let started: Value = serde_json::from_str(&text).ok()?;
        started["task"]["pid"].as_i64().and_then(|p| i32::try_from(p).ok())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
