//! floe, with its own defaults, by its API.

use super::{Cluster, Connection, SERVERS, namespace, process::Process};
use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How large a value is; about what the job below has as JSON.
pub(crate) const VALUE_BYTES: usize = 256;

/// What is written and read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Things {
    Variables,
    Jobs,
}

pub(crate) struct Floe {
    things: Things,
    servers: Vec<Process>,
    /// What is written is always something new.
    edition: AtomicU64,
}

fn http(server: usize) -> u16 {
    u16::try_from(4646 + 10 * server).unwrap()
}

async fn ask(server: usize, method: &str, path: &str, body: &Value) -> Option<Value> {
    let mut connection = Connection::new(format!("127.0.0.1:{}", http(server)));
    let answer = connection.send(method, path, "application/json", body.to_string().into_bytes()).await?;
    answer.is_ok.then(|| serde_json::from_slice(&answer.body).unwrap_or_default())
}

async fn members(server: usize) -> Option<Vec<Value>> {
    let all = ask(server, "GET", "/v1/operator/raft/configuration?stale", &Value::Null).await?;
    all["Servers"].as_array().cloned()
}

impl Floe {
    pub(crate) async fn begin(dir: &Path, things: Things) -> Self {
        let kek = dir.join("kek");
        fs::write(&kek, (0..32).collect::<Vec<u8>>()).unwrap();
        fs::set_permissions(&kek, fs::Permissions::from_mode(0o600)).unwrap();
        let mut servers = Vec::new();
        for n in 0..SERVERS {
            let mut config = json!({
                "name": format!("s{n}"),
                "data_dir": dir.join(format!("s{n}")),
                "ports": { "http": http(n), "rpc": http(n) + 1 },
                "server": { "enabled": true },
                "keyring": { "file": { "path": kek } },
                "autopilot": { "server_stabilization_time": "1s" },
            });
            if n > 0 {
                let token = ask(0, "PUT", "/v1/operator/join-token", &json!({ "Role": "server" })).await.unwrap();
                let path = dir.join(format!("s{n}.token"));
                fs::write(&path, token["Token"].as_str().unwrap()).unwrap();
                config["join_token_file"] = json!(path);
                config["server"]["retry_join"] = json!([format!("127.0.0.1:{}", http(0) + 1)]);
            }
            let path = dir.join(format!("s{n}.json"));
            fs::write(&path, config.to_string()).unwrap();
            let program = namespace::floe();
            let args = ["agent", "-config", path.to_str().unwrap()].map(str::to_owned).to_vec();
            servers.push(Process::start(program.to_str().unwrap(), args));
            while ask(n, "GET", "/v1/status/leader", &Value::Null).await.is_none_or(|leader| leader == "") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let is_voter = |m: &&Value| m["Voter"] == true;
        while members(0).await.is_none_or(|all| all.iter().filter(is_voter).count() < SERVERS) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let opens = |keys: Value| keys.as_array().is_some_and(|keys| keys.iter().any(|k| k["State"] == "active" && k["Closed"] == ""));
        for n in 0..SERVERS {
            while !ask(n, "GET", "/v1/operator/keyring/keys", &Value::Null).await.is_some_and(opens) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Self { things, servers, edition: AtomicU64::new(0) }
    }
}

impl Cluster for Floe {
    fn name(&self) -> &'static str {
        "floe"
    }
    fn address(&self, server: usize) -> String {
        format!("127.0.0.1:{}", http(server))
    }
    fn write<'a>(&'a self, connection: &'a mut Connection, key: u64) -> BoxFuture<'a, bool> {
        let edition = self.edition.fetch_add(1, Ordering::Relaxed);
        if self.things == Things::Variables {
            let items = json!({ "Items": { "value": format!("{edition:0VALUE_BYTES$}") } });
            return async move {
                let (path, body) = (format!("/v1/var/k{key}"), items.to_string().into_bytes());
                connection.send("PUT", &path, "application/json", body).await.is_some_and(|a| a.is_ok)
            }
            .boxed();
        }
        let task = json!({ "Name": "t", "Driver": "exec", "Config": { "command": "/bin/true" } });
        let group = json!({ "Name": "g", "Count": 0, "Tasks": [task] });
        let job = json!({ "ID": format!("k{key}"), "Type": "service", "Meta": { "edition": edition.to_string() }, "TaskGroups": [group] });
        async move {
            let body = json!({ "Job": job }).to_string().into_bytes();
            connection.send("PUT", "/v1/jobs", "application/json", body).await.is_some_and(|a| a.is_ok)
        }
        .boxed()
    }
    fn read<'a>(&'a self, connection: &'a mut Connection, key: u64) -> BoxFuture<'a, bool> {
        let kind = if self.things == Things::Variables { "var" } else { "job" };
        async move { connection.send("GET", &format!("/v1/{kind}/k{key}"), "application/json", Vec::new()).await.is_some_and(|a| a.is_ok) }
            .boxed()
    }
    fn leader(&self) -> BoxFuture<'_, Option<usize>> {
        async {
            for n in 0..SERVERS {
                let all = members(n).await.unwrap_or_default();
                // Only a leader is sure that it is one.
                if all.iter().any(|m| m["Leader"] == true && m["Node"] == format!("s{n}")) {
                    return Some(n);
                }
            }
            None
        }
        .boxed()
    }
    fn transfer(&self, to: usize) -> BoxFuture<'_, ()> {
        async move {
            let all = members(to).await.unwrap();
            let target = all.iter().find(|m| m["Node"] == format!("s{to}")).unwrap();
            let path = format!("/v1/operator/raft/transfer-leadership?id={}", target["ID"].as_str().unwrap());
            ask(to, "PUT", &path, &Value::Null).await.unwrap();
        }
        .boxed()
    }
    fn kill(&self, server: usize) {
        self.servers[server].kill();
    }
    fn start(&self, server: usize) {
        self.servers[server].again();
    }
}
