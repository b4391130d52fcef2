//! Several servers in one process, on folders of their own, over a network that loses, delays and repeats calls.

use super::{register, wait_for};
use floe_consensus::{
    Config, Consensus, DataFolder, Delivery, Leadership, Rpc, ServerAddress, ServerId, Start, Timings, Transport, TransportError,
};
use futures::future::BoxFuture;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::sleep;

/// Short enough for tests, long enough for a loaded machine.
pub fn quick() -> Timings {
    let ms = Duration::from_millis;
    Timings {
        heartbeat: ms(60),
        election_min: ms(250),
        election_max: ms(450),
        deadline: ms(6000),
        leader_wait: ms(1200),
        recovery: Duration::from_secs(30),
    }
}

/// For tests in which nobody should be elected after the beginning: a machine that does something else for a while changes nothing.
pub fn calm() -> Timings {
    let ms = Duration::from_millis;
    Timings { heartbeat: ms(200), election_min: ms(700), election_max: ms(1200), leader_wait: ms(3000), ..quick() }
}

/// What the network does to calls.
#[derive(Default)]
pub struct Faults {
    /// No call from the first to the second arrives.
    pub cut: BTreeSet<(String, String)>,
    /// Calls of this kind to that server arrive, but their answers do not.
    pub no_answer: BTreeSet<(String, &'static str)>,
    /// Calls of this kind arrive twice.
    pub twice: BTreeSet<&'static str>,
    /// Every call takes this long.
    pub delay: Duration,
    /// Nothing is heard until the deadline of a call that is cut or whose answer is lost, rather than that the connection broke.
    pub is_silent: bool,
}

#[derive(Default)]
struct Shared {
    /// Who listens where.
    servers: BTreeMap<String, Consensus>,
    faults: Faults,
    calls: BTreeMap<(String, &'static str), u64>,
}

/// The network.
#[derive(Clone, Default)]
pub struct Net {
    shared: Arc<Mutex<Shared>>,
}

impl Net {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
    }

    /// Nothing goes between these two.
    pub fn cut(&self, a: &str, b: &str) {
        self.faults(|f| f.cut.extend([(a.to_owned(), b.to_owned()), (b.to_owned(), a.to_owned())]));
    }

    /// Nothing goes between this one and the others.
    pub fn isolate(&self, one: &str, others: &[&str]) {
        others.iter().for_each(|other| self.cut(one, other));
    }

    pub fn heal(&self) {
        self.faults(|f| *f = Faults::default());
    }

    /// How many calls of this kind a server got.
    pub fn calls(&self, to: &str, rpc: Rpc) -> u64 {
        self.lock().calls.get(&(to.to_owned(), rpc.name())).copied().unwrap_or(0)
    }

    pub fn link(&self, from: &str) -> Arc<dyn Transport> {
        Arc::new(Wire { from: from.to_owned(), net: self.clone() })
    }

    /// The server with this name listens there; nobody listens where it did before.
    pub fn listen(&self, at: &str, server: &Consensus) {
        let mut shared = self.lock();
        shared.servers.retain(|_, other| other.id() != server.id());
        shared.servers.insert(at.to_owned(), server.clone());
    }

    pub fn forget(&self, server: &Consensus) {
        self.lock().servers.retain(|_, other| other.id() != server.id());
    }
}

/// A server's way out.
struct Wire {
    from: String,
    net: Net,
}

impl Transport for Wire {
    fn call<'a>(
        &'a self,
        target: &'a ServerId,
        address: &'a ServerAddress,
        rpc: Rpc,
        body: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, TransportError>> {
        Box::pin(async move {
            let to = address.name.clone();
            let fail = |reason: &str, delivery| TransportError { target: target.clone(), reason: reason.to_owned(), delivery };
            let (server, is_cut, is_silent, no_answer, times, delay) = {
                let mut shared = self.net.lock();
                *shared.calls.entry((to.clone(), rpc.name())).or_default() += 1;
                let faults = &shared.faults;
                (
                    shared.servers.get(&address.rpc).cloned(),
                    faults.cut.contains(&(self.from.clone(), to.clone())),
                    faults.is_silent,
                    faults.no_answer.contains(&(to.clone(), rpc.name())) || faults.cut.contains(&(to.clone(), self.from.clone())),
                    if faults.twice.contains(rpc.name()) { 2 } else { 1 },
                    faults.delay,
                )
            };
            sleep(delay).await;
            if is_cut && is_silent {
                sleep(deadline).await;
                return Err(fail("no answer", Delivery::Unknown));
            }
            let Some(server) = server.filter(|_| !is_cut) else { return Err(fail("connection refused", Delivery::Absent)) };
            let mut answer = server.handle(target, rpc, &body).await;
            for _ in 1..times {
                drop(std::mem::replace(&mut answer, server.handle(target, rpc, &body).await));
            }
            if no_answer {
                sleep(if is_silent { deadline } else { Duration::ZERO }).await;
                return Err(fail("the answer was lost", Delivery::Unknown));
            }
            answer.map_err(|e| fail(&e.to_string(), Delivery::Refused))
        })
    }
}

/// A server with its folder, which outlives it.
pub struct Host {
    pub name: String,
    pub config: Config,
    pub server: Option<Consensus>,
    pub dir: TempDir,
}

/// Servers on one network.
pub struct Cluster {
    pub net: Net,
    pub timings: Timings,
    pub hosts: BTreeMap<String, Host>,
}

pub fn address(name: &str) -> ServerAddress {
    ServerAddress::new(name.to_owned(), format!("{name}.test:4647"))
}

pub fn id(name: &str) -> ServerId {
    format!("id-{name}").into()
}

impl Cluster {
    pub fn empty() -> Self {
        Self { net: Net::default(), timings: quick(), hosts: BTreeMap::new() }
    }

    /// These servers, which begin a cluster together, in this order.
    pub async fn of(names: &[&str]) -> Self {
        Self::with(names, quick()).await
    }

    /// As [`Cluster::of`], with other timings.
    pub async fn with(names: &[&str], timings: Timings) -> Self {
        let mut cluster = Self { timings, ..Self::empty() };
        let voters: BTreeMap<ServerId, ServerAddress> = names.iter().map(|n| (id(n), address(n))).collect();
        for name in names {
            cluster.add(name, Start::Bootstrap { voters: voters.clone() }).await;
        }
        cluster
    }

    /// Adds and starts a server.
    pub async fn add(&mut self, name: &str, start: Start) {
        self.add_with(name, start, |_| {}).await;
    }

    pub async fn add_with(&mut self, name: &str, start: Start, change: impl FnOnce(&mut Config)) {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::single(id(name), DataFolder::open(dir.path()).unwrap(), address(name));
        config.start = start;
        config.timings = self.timings.clone();
        config.transport = self.net.link(name);
        change(&mut config);
        self.hosts.insert(name.to_owned(), Host { name: name.to_owned(), config, server: None, dir });
        self.start(name).await;
    }

    /// Starts a server that stopped.
    pub async fn start(&mut self, name: &str) {
        let host = self.hosts.get_mut(name).unwrap();
        let server = Consensus::open(host.config.clone()).await.unwrap();
        self.net.listen(&host.config.address.rpc, &server);
        host.server = Some(server);
    }

    /// Stops a server without giving it time to hand over: nobody reaches it, and it reaches nobody.
    pub async fn crash(&mut self, name: &str) {
        let server = self.hosts.get_mut(name).unwrap().server.take().unwrap();
        let others: Vec<String> = self.hosts.keys().filter(|n| *n != name).cloned().collect();
        self.net.forget(&server);
        others.iter().for_each(|other| self.net.cut(name, other));
        server.shutdown().await;
        self.net.faults(|f| f.cut.retain(|(a, b)| a != name && b != name));
    }

    /// Stops a server as one does.
    pub async fn stop(&mut self, name: &str) {
        let server = self.hosts.get_mut(name).unwrap().server.take().unwrap();
        server.shutdown().await;
        self.net.forget(&server);
    }

    pub fn get(&self, name: &str) -> Consensus {
        self.hosts[name].server.clone().unwrap()
    }

    pub fn running(&self) -> Vec<(String, Consensus)> {
        self.hosts.values().filter_map(|h| h.server.clone().map(|s| (h.name.clone(), s))).collect()
    }

    /// The one of these that leads, once one does.
    pub async fn leader_of(&self, names: &[&str]) -> String {
        wait_for("a leader", || names.iter().find(|n| self.get(n).leadership().borrow().is_leader).map(|n| (*n).to_owned())).await
    }

    /// The one that leads, once the others know it.
    pub async fn leader(&self) -> String {
        let running = self.running();
        // Another one may come to lead meanwhile.
        wait_for("a leader whom all know", || {
            let (name, _) = running.iter().find(|(_, server)| server.leadership().borrow().is_leader)?;
            let is_known = |l: &Leadership| l.leader.as_ref().is_some_and(|s| s.id == id(name));
            running.iter().all(|(_, server)| is_known(&server.leadership().borrow())).then(|| name.clone())
        })
        .await
    }

    /// All but this one.
    pub fn others(&self, name: &str) -> Vec<String> {
        self.running().into_iter().map(|(n, _)| n).filter(|n| n != name).collect()
    }

    /// Waits until all these have the same bytes.
    pub async fn agree(&self, names: &[&str]) {
        wait_for("the servers to agree", || {
            let states: BTreeSet<Vec<u8>> = names.iter().map(|n| self.get(n).view().encode()).collect();
            (states.len() == 1).then_some(())
        })
        .await;
    }

    /// Waits until all these have, at some moment, what the first one has now.
    pub async fn agree_but_for_writes(&self, names: &[&str]) {
        let index = self.get(names[0]).view().index();
        wait_for("the servers to catch up", || names.iter().all(|n| self.get(n).view().index() >= index).then_some(())).await;
    }

    pub async fn close(mut self) {
        self.net.heal();
        for name in self.hosts.keys().cloned().collect::<Vec<_>>() {
            if self.hosts[&name].server.is_some() {
                self.stop(&name).await;
            }
        }
    }
}

/// Writes to a server without end, and remembers what was acknowledged.
pub struct Writer {
    task: tokio::task::JoinHandle<(Vec<String>, u64)>,
    stop: tokio::sync::watch::Sender<bool>,
}

impl Writer {
    /// Writes nodes with this prefix to any of these servers in turn.
    pub fn start(prefix: &str, servers: Vec<Consensus>) -> Self {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let prefix = prefix.to_owned();
        let task = tokio::spawn(async move {
            let (mut acknowledged, mut failed) = (Vec::new(), 0);
            for (n, server) in (0..).zip(servers.iter().cycle()) {
                if *stopped.borrow() {
                    break;
                }
                let id = format!("{prefix}-{n}");
                match server.propose_within(register(&id), Duration::from_secs(4)).await {
                    Ok(_) => acknowledged.push(id),
                    Err(_) => failed += 1,
                }
                sleep(Duration::from_millis(1)).await;
            }
            (acknowledged, failed)
        });
        Self { task, stop }
    }

    /// What was acknowledged, and how many writes failed.
    pub async fn finish(self) -> (Vec<String>, u64) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap()
    }
}
