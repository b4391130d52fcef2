//! etcd, with its own defaults, by gRPC.

use super::{Cluster, Connection, SERVERS, process::Process};
use futures::{FutureExt, future::BoxFuture};
use std::{path::Path, process::Command, time::Duration};

/// As many bytes as floe's job has.
const VALUE_BYTES: usize = super::floe::VALUE_BYTES;

pub(crate) struct Etcd {
    servers: Vec<Process>,
}

fn client(server: usize) -> String {
    format!("127.0.0.1:{}", 2379 + 10 * server)
}

fn peer(server: usize) -> String {
    format!("http://127.0.0.1:{}", 2380 + 10 * server)
}

/// A field of protobuf that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut left = bytes.len();
    while left >= 0x80 {
        out.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    out.push(u8::try_from(left).unwrap());
    out.extend(bytes);
    out
}

fn ctl(args: &[&str]) -> Option<Vec<u8>> {
    let all: Vec<String> = (0..SERVERS).map(client).collect();
    let out = Command::new("etcdctl").env("ETCDCTL_API", "3").arg(format!("--endpoints={}", all.join(","))).args(args).output().unwrap();
    // Asked of all servers it fails when one is down, and says what the others answered.
    (!out.stdout.is_empty()).then_some(out.stdout)
}

/// The servers that answer: where each is, its id, and who leads in its eyes.
fn status() -> Vec<(usize, u64, u64)> {
    let Some(out) = ctl(&["endpoint", "status", "-w", "json"]) else { return Vec::new() };
    let all: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap_or_default();
    let one = |v: &serde_json::Value| {
        let server = (0..SERVERS).find(|n| v["Endpoint"] == client(*n))?;
        Some((server, v["Status"]["header"]["member_id"].as_u64()?, v["Status"]["leader"].as_u64()?))
    };
    all.iter().filter_map(one).collect()
}

impl Etcd {
    pub(crate) async fn begin(dir: &Path) -> Self {
        let cluster: Vec<String> = (0..SERVERS).map(|n| format!("e{n}={}", peer(n))).collect();
        let start = |n: usize| {
            let url = format!("http://{}", client(n));
            let data = dir.join(format!("e{n}"));
            let args = [
                ("--name", format!("e{n}")),
                ("--data-dir", data.to_str().unwrap().to_owned()),
                ("--listen-client-urls", url.clone()),
                ("--advertise-client-urls", url),
                ("--listen-peer-urls", peer(n)),
                ("--initial-advertise-peer-urls", peer(n)),
                ("--initial-cluster", cluster.join(",")),
            ];
            Process::start("etcd", args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect())
        };
        let etcd = Self { servers: (0..SERVERS).map(start).collect() };
        while !matches!(status().as_slice(), [(_, _, leader), _, _] if *leader != 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        etcd
    }

    async fn call(connection: &mut Connection, method: &str, message: Vec<u8>) -> bool {
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        let answer = connection.send("POST", &format!("/etcdserverpb.KV/{method}"), "application/grpc", body).await;
        answer.is_some_and(|a| a.is_ok)
    }
}

impl Cluster for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }
    fn address(&self, server: usize) -> String {
        client(server)
    }
    fn write<'a>(&'a self, connection: &'a mut Connection, key: u64) -> BoxFuture<'a, bool> {
        let message = [field(1, format!("k{key}").as_bytes()), field(2, &vec![b'x'; VALUE_BYTES])].concat();
        Self::call(connection, "Put", message).boxed()
    }
    fn read<'a>(&'a self, connection: &'a mut Connection, key: u64) -> BoxFuture<'a, bool> {
        Self::call(connection, "Range", field(1, format!("k{key}").as_bytes())).boxed()
    }
    fn leader(&self) -> BoxFuture<'_, Option<usize>> {
        async {
            let all = tokio::task::spawn_blocking(status).await.unwrap();
            all.iter().find(|(_, id, leader)| id == leader).map(|(server, ..)| *server)
        }
        .boxed()
    }
    fn transfer(&self, to: usize) -> BoxFuture<'_, ()> {
        let hand_over = move || {
            let id = status().into_iter().find(|(server, ..)| *server == to).unwrap().1;
            ctl(&["move-leader", &format!("{id:x}")]);
        };
        async move { tokio::task::spawn_blocking(hand_over).await.unwrap() }.boxed()
    }
    fn kill(&self, server: usize) {
        self.servers[server].kill();
    }
    fn start(&self, server: usize) {
        self.servers[server].again();
    }
}
