//! Measures three servers beside three of etcd: durable writes, reads, and the time without writes when a leader dies (P9 to P12).
//!
//! usage: raft [--folder DIR] [--seconds N] [--rounds N] [--kills N] [--only floe|etcd] [--write variables|jobs]
//!
//! It runs both, in turn (floe etcd etcd floe), in a network namespace of its own, each client with a connection of its own. A write of
//! floe puts a variable, which the servers seal, or with `--write jobs` registers a job that places nothing, which is two entries of the log; of etcd it
//! puts a value of the same size. floe's servers speak TLS with each other, etcd's do not.
//! Kills come while eight clients write; what is measured ends with the first write that began after the kill and was acknowledged.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a program for people"
)]

#[path = "support/connection.rs"]
mod connection;
#[path = "raft/etcd.rs"]
mod etcd;
#[path = "raft/floe.rs"]
mod floe;
#[path = "support/namespace.rs"]
mod namespace;
#[path = "support/process.rs"]
mod process;

use connection::Connection;
use futures::future::BoxFuture;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How many servers a cluster has.
const SERVERS: usize = 3;
/// How many clients write while leaders are killed.
const LOAD: usize = 8;
/// How long one request may take while leaders are killed, before it is sent again.
const PATIENCE: Duration = Duration::from_millis(250);

/// Three servers of one kind.
trait Cluster: Send + Sync {
    fn name(&self) -> &'static str;
    /// Where clients reach a server.
    fn address(&self, server: usize) -> String;
    /// A durable write of a key; false when it was refused.
    fn write<'a>(&'a self, connection: &'a mut Connection, key: u64) -> BoxFuture<'a, bool>;
    /// A linearizable read of a key that is there; false when it was refused.
    fn read<'a>(&'a self, connection: &'a mut Connection, key: u64) -> BoxFuture<'a, bool>;
    fn leader(&self) -> BoxFuture<'_, Option<usize>>;
    /// Hands the leadership to this server; returns when the command does.
    fn transfer(&self, to: usize) -> BoxFuture<'_, ()>;
    /// SIGKILL.
    fn kill(&self, server: usize);
    fn start(&self, server: usize);
}

struct Options {
    folder: PathBuf,
    seconds: u64,
    rounds: usize,
    kills: usize,
    only: Option<String>,
    things: floe::Things,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    namespace::enter(&args);
    let mut options =
        Options { folder: std::env::temp_dir(), seconds: 5, rounds: 2, kills: 20, only: None, things: floe::Things::Variables };
    for pair in args.chunks(2) {
        let [flag, value] = pair else { panic!("{pair:?} has no value") };
        match flag.as_str() {
            "--folder" => options.folder = value.into(),
            "--seconds" => options.seconds = value.parse().unwrap(),
            "--rounds" => options.rounds = value.parse().unwrap(),
            "--kills" => options.kills = value.parse().unwrap(),
            "--write" if value == "jobs" => options.things = floe::Things::Jobs,
            "--write" if value == "variables" => options.things = floe::Things::Variables,
            "--only" => options.only = Some(value.clone()),
            other => panic!("unknown option {other}"),
        }
    }
    println!("folder {}, {} cores", options.folder.display(), std::thread::available_parallelism().unwrap());
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run(&options));
}

async fn run(options: &Options) {
    println!("| round | cluster | what | a second | p50 ms | p99 ms |");
    println!("|---|---|---|---|---|---|");
    for round in 1..=options.rounds {
        // Each comes first as often as second, so that a machine that slows down hurts both.
        let order = if round % 2 == 1 { ["floe", "etcd"] } else { ["etcd", "floe"] };
        for name in order.into_iter().filter(|name| options.only.as_deref().is_none_or(|only| only == *name)) {
            let dir = tempfile::tempdir_in(&options.folder).unwrap();
            let cluster: Arc<dyn Cluster> = match name {
                "floe" => Arc::new(floe::Floe::begin(dir.path(), options.things).await),
                _ => Arc::new(etcd::Etcd::begin(dir.path()).await),
            };
            bench(&cluster, options, round, dir.path()).await;
        }
    }
}

async fn bench(cluster: &Arc<dyn Cluster>, options: &Options, round: usize, dir: &Path) {
    let table = Table { cluster: cluster.name(), round };
    sync(&table, dir);
    let leader = wait_leader(cluster).await;
    let (follower, all) = ((leader + 1) % SERVERS, [0, 1, 2]);
    let time = Duration::from_secs(options.seconds);
    for (what, clients, servers) in
        [("1 client, leader", 1, &[leader][..]), ("1 client, follower", 1, &[follower]), ("64 clients", 64, &all)]
    {
        table.row(&format!("write, {what}"), &mut hammer(cluster, clients, servers, time, false).await, time);
        table.row(&format!("read, {what}"), &mut hammer(cluster, clients, servers, time, true).await, time);
    }
    if options.kills > 0 {
        kills(cluster, options.kills, &table).await;
        transfers(cluster, options.kills, &table).await;
    }
}

struct Table {
    cluster: &'static str,
    round: usize,
}

impl Table {
    fn row(&self, what: &str, latencies: &mut [Duration], took: Duration) {
        latencies.sort_unstable();
        let at = |part: usize| latencies.get((latencies.len().max(1) - 1) * part / 100).map_or(f64::NAN, |d| d.as_secs_f64() * 1e3);
        let rate = latencies.len() as f64 / took.as_secs_f64();
        println!("| {} | {} | {what} | {rate:.0} | {:.2} | {:.2} |", self.round, self.cluster, at(50), at(99));
    }
}

/// What the disk does by itself.
fn sync(table: &Table, dir: &Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(dir.join("raw")).unwrap();
    file.write_all_at(&vec![0; 1 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed() < Duration::from_secs(1) {
        let began = Instant::now();
        file.write_all_at(&[7; 512], 0).unwrap();
        file.sync_data().unwrap();
        latencies.push(began.elapsed());
    }
    table.row("fdatasync of the disk itself", &mut latencies, started.elapsed());
}

async fn wait_leader(cluster: &Arc<dyn Cluster>) -> usize {
    loop {
        if let Some(leader) = cluster.leader().await {
            return leader;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Clients that ask as fast as they are answered.
async fn hammer(cluster: &Arc<dyn Cluster>, clients: usize, servers: &[usize], time: Duration, reads: bool) -> Vec<Duration> {
    let mut tasks = Vec::new();
    for client in 0..clients {
        let (cluster, address) = (Arc::clone(cluster), cluster.address(servers[client % servers.len()]));
        tasks.push(tokio::spawn(async move {
            let (mut connection, mut latencies) = (Connection::new(address), Vec::new());
            let key = client as u64;
            assert!(cluster.write(&mut connection, key).await, "a write was refused");
            let started = Instant::now();
            while started.elapsed() < time {
                let began = Instant::now();
                let done = if reads { cluster.read(&mut connection, key).await } else { cluster.write(&mut connection, key).await };
                assert!(done, "a request was refused");
                latencies.push(began.elapsed());
            }
            latencies
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

/// Clients that write all the while, whatever happens, until this is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
}

impl Load {
    fn start(cluster: &Arc<dyn Cluster>) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        for client in 0..LOAD {
            let (cluster, stop, written) = (Arc::clone(cluster), Arc::clone(&stop), Arc::clone(&written));
            tokio::spawn(async move {
                let mut connections: Vec<_> = (0..SERVERS).map(|n| Connection::new(cluster.address(n))).collect();
                for turn in client.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let write = cluster.write(&mut connections[turn % SERVERS], 100 + client as u64);
                    match tokio::time::timeout(PATIENCE, write).await {
                        Ok(true) => drop(written.fetch_add(1, Ordering::Relaxed)),
                        // Nobody listens there just now.
                        _ => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            });
        }
        Self { stop, written }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How long it takes until any of these servers acknowledges a write that begins now.
async fn until_written(cluster: &Arc<dyn Cluster>, servers: Vec<usize>) -> Duration {
    let began = Instant::now();
    let probes = servers.into_iter().map(|server| {
        let cluster = Arc::clone(cluster);
        Box::pin(async move {
            let mut connection = Connection::new(cluster.address(server));
            while !matches!(tokio::time::timeout(PATIENCE, cluster.write(&mut connection, 99)).await, Ok(true)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    });
    futures::future::select_all(probes).await;
    began.elapsed()
}

async fn kills(cluster: &Arc<dyn Cluster>, count: usize, table: &Table) {
    let load = Load::start(cluster);
    let mut gaps = Vec::new();
    for _ in 0..count {
        let victim = wait_leader(cluster).await;
        cluster.kill(victim);
        gaps.push(until_written(cluster, (0..SERVERS).filter(|n| *n != victim).collect()).await);
        cluster.start(victim);
        let mut connection = Connection::new(cluster.address(victim));
        while !matches!(tokio::time::timeout(PATIENCE, cluster.read(&mut connection, 99)).await, Ok(true)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // It is back; the next leader is not killed while this one has still to catch up.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let took = gaps.iter().sum();
    table.row(&format!("leader killed {count} times, no writes for"), &mut gaps, took);
    println!("<!-- {}: {} writes were acknowledged meanwhile -->", cluster.name(), load.written.load(Ordering::Relaxed));
}

/// The longest pause between two acknowledged writes of one client while the leadership is handed over.
async fn transfers(cluster: &Arc<dyn Cluster>, count: usize, table: &Table) {
    let mut pauses = Vec::new();
    for _ in 0..count {
        let leader = wait_leader(cluster).await;
        let (to, third) = ((leader + 1) % SERVERS, (leader + 2) % SERVERS);
        let mut connection = Connection::new(cluster.address(third));
        assert!(cluster.write(&mut connection, 99).await, "a write was refused");
        let handing = tokio::spawn({
            let cluster = Arc::clone(cluster);
            async move { cluster.transfer(to).await }
        });
        let (started, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        while !handing.is_finished() || started.elapsed() < Duration::from_secs(1) {
            if cluster.write(&mut connection, 99).await {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        }
        handing.await.unwrap();
        pauses.push(longest);
    }
    let took = pauses.iter().sum();
    table.row(&format!("leadership handed over {count} times, longest pause of a writer"), &mut pauses, took);
}
