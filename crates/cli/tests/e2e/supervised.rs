//! Agents as systemd starts them: what they tell it, by a socket that plays systemd's. And configurations that it would not start.

use crate::{
    agent::Agent,
    command::run,
    world::{World, world},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use std::{
    fs,
    io::ErrorKind,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

/// An agent that was started with a socket to tell its state.
struct Supervised {
    agent: Child,
    socket: UnixDatagram,
}

impl Supervised {
    fn start(world: &World, agent: &Agent) -> Self {
        // The address of a socket has room for little, so it is not in the world's folder.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let log = fs::File::create(world.dir().join("supervised.log")).unwrap();
        let mut command = agent.command_for_reading();
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000").stdout(Stdio::null()).stderr(log);
        let started = Self { agent: command.spawn().unwrap(), socket };
        // What it has in its environment leads there for as long as it lives.
        let _ = dir.keep();
        started
    }

    /// The next message that `wanted` is true of.
    fn hears(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut bytes = [0; 1024];
        // Beats come all the time, so many may pass; an agent that has ended sends none, and the socket's time ends.
        for _ in 0..10_000 {
            let length = match self.socket.recv(&mut bytes) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("waiting for {what}: {error}; the agent: {:?}", self.agent.try_wait()),
            };
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if wanted(&message) {
                return message;
            }
        }
        panic!("waiting for {what}, which did not come");
    }

    fn ends(mut self) {
        kill(Pid::from_raw(i32::try_from(self.agent.id()).unwrap()), Signal::SIGTERM).unwrap();
        let last = self.hears("the end", |m| m.starts_with("STOPPING=1"));
        assert!(last.contains("\nSTATUS=stopping"), "{last}");
        assert!(self.agent.wait().unwrap().success());
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
        if let Some(path) = self.socket.local_addr().ok().and_then(|a| Some(a.as_pathname()?.parent()?.to_owned())) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn is_ready(message: &str) -> bool {
    message.starts_with("READY=1\nSTATUS=")
}

#[test]
fn it_says_when_it_serves_that_it_is_alive_and_that_it_stops() {
    world(|world| {
        let agent = world.agent("s").server_only().build();
        let mut supervised = Supervised::start(world, &agent);
        let ready = supervised.hears("ready", is_ready);
        assert!(ready.contains("STATUS=server at http://127.0.0.1:"), "{ready}");
        // No waiting: who is ready answers.
        assert!(agent.api().try_get("/v1/agent/health").is_some());
        supervised.hears("a beat", |m| m == "WATCHDOG=1");
        supervised.ends();
    });
}

#[test]
fn one_that_waits_for_others_is_ready_and_says_so() {
    world(|world| {
        let secret = world.file("secret", world.floe(&["server", "bootstrap-secret"]).ok());
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let waiting = world.agent("s").server_only().set(|c| {
            c["server"]["bootstrap_expect"] = json!(2);
            c["server"]["bootstrap_secret_file"] = json!(secret);
            c["server"]["retry_join"] = json!([format!("127.0.0.1:{}", c["ports"]["rpc"]), "127.0.0.1:1"]);
        });
        let mut supervised = Supervised::start(world, &waiting.build());
        assert!(supervised.hears("ready", is_ready).contains("waiting to begin a cluster of 2 servers"));
        supervised.ends();
    });
}

#[test]
fn one_that_no_server_lets_in_yet_is_ready_and_says_so() {
    world(|world| {
        let server = world.agent("s").server_only().start();
        let client = world.agent("c").client_of(&server).build();
        server.terminate();
        let mut supervised = Supervised::start(world, &client);
        assert!(supervised.hears("ready", is_ready).contains("waiting to be let into the cluster by 127.0.0.1:"));
        supervised.ends();
    });
}

#[test]
fn a_configuration_is_checked_without_being_used() {
    world(|world| {
        let file = |name: &str, text: &str| world.file(name, text).to_str().unwrap().to_owned();
        let good =
            file("good.json", r#"{"data_dir": "/nonexistent", "server": {"enabled": true}, "join_token_file": "/nonexistent/token"}"#);
        let over = file("over.hcl", "server {\n bootstrap_expect = 9\n}");
        assert!(world.floe(&["config", "validate", &good]).ok().contains("The configuration is valid"));
        world.floe(&["config", "validate", &good, &over]).fails(1, &["at most 7 servers"]);
        world.floe(&["config", "validate", "/nonexistent/agent.hcl"]).fails(1, &["there is no /nonexistent/agent.hcl"]);
        assert!(!Path::new("/nonexistent").exists());
    });
}

#[test]
fn a_secret_that_is_a_credential_may_be_read_by_the_units_group() {
    world(|world| {
        let folder = world.dir().join("credentials");
        fs::create_dir(&folder).unwrap();
        let (secret, empty) = (folder.join("secret"), folder.join("empty"));
        fs::write(&secret, world.floe(&["server", "bootstrap-secret"]).ok()).unwrap();
        fs::write(&empty, "\n").unwrap();
        let validate = |secret: &Path, credentials: &Path| {
            let server = json!({ "enabled": true, "bootstrap_expect": 3, "bootstrap_secret_file": secret });
            let file = world.file("agent.json", json!({ "data_dir": "/nonexistent", "server": server }).to_string());
            let mut command = world.command(&["config", "validate", file.to_str().unwrap()]);
            command.env("CREDENTIALS_DIRECTORY", credentials);
            run(command)
        };
        let mode = |mode: u32| fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o440);
        fs::set_permissions(&empty, fs::Permissions::from_mode(0o400)).unwrap();
        validate(&secret, &folder).ok();
        validate(&empty, &folder).ok();
        validate(&secret, world.dir()).fails(1, &["can be read by others than its owner"]);
        mode(0o444);
        validate(&secret, &folder).fails(1, &["can be read by others than its owner"]);
    });
}
