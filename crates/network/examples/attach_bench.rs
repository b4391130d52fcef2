//! Measures attaching and detaching in a private namespace: the 1st, 100th and 1,000th allocation.
//!
//! Needs root, touches nothing of the machine's own network, and removes everything it made. Run it with
//! `cargo run --release -p floe-network --example attach_bench [allocations]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use floe_network::error::MAX_BRIDGE_PORTS;
use floe_network::{AttachRequest, Network, NetworkConfig, PortMap, Protocol};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// How many neighbours a median is taken over.
const WINDOW: usize = 25;

#[tokio::main]
async fn main() {
    let count: usize = std::env::args().nth(1).map_or(1_000, |n| n.parse().unwrap());
    assert!(count <= MAX_BRIDGE_PORTS, "a bridge has at most {MAX_BRIDGE_PORTS} ports");
    let directory = PathBuf::from(format!("/run/floe-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    // Names of namespaces live in memory, as they do below /run on every machine that runs systemd.
    mount(None::<&str>, &directory, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let host = directory.join("host");
    create_netns(&host);
    let config = NetworkConfig { netns_dir: directory.join("netns"), host_netns: Some(host.clone()), ..NetworkConfig::default() };
    measure(config, count).await;
    umount2(&host, MntFlags::MNT_DETACH).unwrap();
    umount2(&directory, MntFlags::MNT_DETACH).unwrap();
    std::fs::remove_dir(&directory).unwrap();
}

async fn measure(config: NetworkConfig, count: usize) {
    let (network, _) = Network::open(config.clone(), &[]).await.unwrap();
    let (mut attached, mut known) = (Vec::new(), Vec::new());
    for n in 0..count {
        let ports =
            vec![PortMap { host_ip: None, host_port: 20_000 + u16::try_from(n).unwrap(), container_port: 80, protocol: Protocol::Tcp }];
        let request = AttachRequest { id: format!("allocation-{n}"), ports };
        let start = Instant::now();
        known.push(network.attach(request).await.unwrap());
        attached.push(start.elapsed());
    }
    drop(network);
    let start = Instant::now();
    let (network, report) = Network::open(config, &known).await.unwrap();
    let reopened = start.elapsed();
    assert!(report.broken.is_empty() && report.repaired.is_empty());
    let mut detached = Vec::new();
    for attachment in known.iter().rev() {
        let start = Instant::now();
        network.detach(&attachment.id).await.unwrap();
        detached.push(start.elapsed());
    }
    // The n-th detach from the end runs with n allocations present.
    detached.reverse();
    let start = Instant::now();
    network.settle().await.unwrap();
    let settled = start.elapsed();
    assert!(network.audit().await.unwrap().is_clean());
    network.close().await.unwrap();
    table(count, &attached, &detached);
    println!("open again with {count} known: {reopened:.2?}; last links gone after: {settled:.2?}");
}

fn table(count: usize, attached: &[Duration], detached: &[Duration]) {
    println!("fastest, median and slowest of the {WINDOW} around the n-th, in ms");
    println!("{:>6}   {:^26}   {:^26}", "n", "attach", "detach");
    for n in [1, 100, 1_000].into_iter().filter(|n| *n <= count) {
        println!("{n:>6}   {}   {}", window(attached, n), window(detached, n));
    }
    let total: Duration = attached.iter().sum();
    println!("{count} attached in {total:.2?}, the very first in {:.2?}", attached[0]);
}

/// Fastest, median and slowest around the n-th.
fn window(times: &[Duration], n: usize) -> String {
    let end = (n + WINDOW / 2).max(WINDOW).min(times.len());
    let mut around = times[end.saturating_sub(WINDOW)..end].to_vec();
    around.sort();
    let at = |index: usize| format!("{:>8.3}", around[index].as_secs_f64() * 1e3);
    [at(0), at(around.len() / 2), at(around.len() - 1)].join(" ")
}

fn create_netns(path: &Path) {
    File::create_new(path).unwrap();
    let path = path.to_owned();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let own = Some("/proc/thread-self/ns/net");
        mount(own, &path, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    })
    .join()
    .unwrap();
}
