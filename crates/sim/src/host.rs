//! A server with its disk, which outlives it.

use crate::{executor::Owner, net::Wire, plan, world::World};
use floe_consensus::{
    Clock, Config, Consensus, Entropy, ServerAddress, ServerId, Start, Timings,
    config::{ENTRY_BYTES, LOG_ENTRIES_KEPT, SNAPSHOT_ENTRIES},
};
use floe_model::Timestamp;
use floe_server::{Server, ServerConfig};
use floe_state::{State, command::CLUSTER_VERSION};
use floe_store::{
    LogStore, SnapshotStore,
    log::{LogWriter, TAIL_BYTES},
    twin::{Chance, Disk, Fault, Folder, flip_bit},
};
use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Some day in 2023, in nanoseconds: when simulations begin.
const EPOCH: i64 = 1_700_000_000_000_000_000;

/// After how many entries servers compare their states here.
const CHECKED_ENTRIES: u64 = 64;

/// What happened to a server that cannot be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing.
    Well,
    /// A bit on its disk changed.
    Flipped,
    /// It noticed that its disk is damaged, and stays down.
    Refuses,
    /// Its disk is another, empty one.
    LostLog,
}

/// See the module.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) start: Start,
    pub(crate) disk: Disk,
    pub(crate) folder: Folder,
    /// The running server's tasks. None while it is down.
    pub(crate) owner: Option<Owner>,
    /// None while it opens.
    pub(crate) server: Option<Consensus>,
    /// What runs on it beside the agreement, where the plan has nodes.
    pub(crate) agent: Option<Server>,
    pub(crate) log: Option<LogStore>,
    pub(crate) snapshots: Option<SnapshotStore>,
    pub(crate) fate: Fate,
    /// Its disk is not well, so it may stop.
    pub(crate) is_disk_faulty: bool,
    pub(crate) disk_ms: u64,
    /// Zero before a recovery; one in the cluster that it made.
    pub(crate) era: u32,
    /// The power goes after so many more steps of its tasks, because of that.
    pub(crate) steps_left: Option<(u64, plan::Fault)>,
    /// The power goes at the next piece of a snapshot, or soon after.
    pub(crate) crashes_in_install: bool,
    clock_ns: Arc<AtomicI64>,
}

impl Host {
    pub(crate) fn new(name: &str, start: Start, disk_ms: u64) -> Self {
        Self {
            name: name.to_owned(),
            start,
            disk: Disk::new(Fault::None),
            folder: Folder::new(Fault::None),
            owner: None,
            server: None,
            agent: None,
            log: None,
            snapshots: None,
            fate: Fate::Well,
            is_disk_faulty: false,
            disk_ms,
            era: 0,
            steps_left: None,
            crashes_in_install: false,
            clock_ns: Arc::default(),
        }
    }

    pub(crate) fn id(&self) -> ServerId {
        id(&self.name)
    }

    /// Its disk is another, empty one.
    pub(crate) fn empty(&mut self) {
        (self.disk, self.folder) = (Disk::new(Fault::None), Folder::new(Fault::None));
        self.start = Start::Join;
    }

    pub(crate) fn is_out(&self) -> bool {
        self.disk.is_out() || self.folder.is_out()
    }

    /// From now on both disks fail so.
    pub(crate) fn set_fault(&mut self, fault: impl Fn(u64) -> Fault) {
        self.disk.set_fault(fault(self.disk.operations()));
        self.folder.set_fault(fault(self.folder.operations()));
    }

    /// Moves the wall clock.
    pub(crate) fn jump(&self, by: i64) {
        self.clock_ns.fetch_add(by, Ordering::Relaxed);
    }
}

pub(crate) fn id(name: &str) -> ServerId {
    format!("id-{name}").into()
}

pub(crate) fn address(name: &str) -> ServerAddress {
    ServerAddress::new(name.to_owned(), format!("{name}.test:4647"))
}

/// The founders of a cluster.
pub(crate) fn bootstrap(names: &[String]) -> Start {
    Start::Bootstrap { voters: names.iter().map(|name| (id(name), address(name))).collect::<BTreeMap<_, _>>() }
}

struct SimClock {
    begun: Instant,
    offset_ns: Arc<AtomicI64>,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let since = i64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(i64::MAX);
        Timestamp(EPOCH.saturating_add(since).saturating_add(self.offset_ns.load(Ordering::Relaxed)))
    }
}

struct SimEntropy(Mutex<Chance>);

impl Entropy for SimEntropy {
    fn seed(&self) -> (u64, u64) {
        let mut chance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (chance.draw(), chance.draw())
    }
}

/// The timings of floe, but that a caller is answered sooner.
fn timings() -> Timings {
    Timings { deadline: Duration::from_secs(4), ..Timings::default() }
}

impl World {
    fn config(&self, host: &Host) -> Config {
        let few = self.plan.snapshot_entries;
        debug_assert!(few <= SNAPSHOT_ENTRIES && 2 * few <= LOG_ENTRIES_KEPT && ENTRY_BYTES > 0);
        Config {
            id: host.id(),
            data: self.data.clone(),
            address: address(&host.name),
            start: host.start.clone(),
            timings: timings(),
            snapshot_entries: few,
            log_entries_kept: 2 * few,
            snapshot_piece_bytes: self.plan.piece_bytes,
            check_entries: CHECKED_ENTRIES,
            apply: State::apply,
            known_version: CLUSTER_VERSION,
            transport: Arc::new(Wire { from: host.name.clone() }),
            clock: Arc::new(SimClock { begun: self.begun, offset_ns: Arc::clone(&host.clock_ns) }),
            entropy: Arc::new(SimEntropy(Mutex::new(self.executor.fork()))),
        }
    }

    /// Starts a server that is down. Returns when it is open, or is down again.
    pub(crate) async fn start(self: Rc<Self>, name: String) {
        let Some((owner, config, store, snapshots)) = self.power_on(&name) else { return };
        let has_desk = self.plan.nodes > 0;
        let open = async move {
            let server = Consensus::open_on(config, store, snapshots).await?;
            let agent = has_desk.then(|| Server::start(ServerConfig { workers: 2, ..ServerConfig::default() }, server.clone(), None));
            Ok::<_, floe_consensus::OpenError>((server, agent))
        };
        let opened = Rc::clone(&self.executor).ask(owner, open).await;
        match opened {
            // It crashed meanwhile.
            None => {}
            Some(Ok((server, agent))) => {
                self.trace.say(format_args!("{name} is open"));
                self.net.listen(&address(&name).rpc, owner, &name, server.clone());
                if let Some(host) = self.hosts.borrow_mut().get_mut(&name) {
                    (host.server, host.agent) = (Some(server), agent);
                }
            }
            Some(Err(error)) => self.could_not_open(&name, &with_causes(&error)),
        }
    }

    /// Opens the files and starts what writes them.
    fn power_on(self: &Rc<Self>, name: &str) -> Option<(Owner, Config, LogStore, SnapshotStore)> {
        let opened = {
            let mut hosts = self.hosts.borrow_mut();
            let host = hosts.get_mut(name).filter(|host| host.owner.is_none() && host.fate != Fate::Refuses)?;
            let tail = if self.plan.keeps_tail { TAIL_BYTES } else { 0 };
            let log = LogStore::open_driven(host.disk.clone(), tail).map_err(|e| with_causes(&e));
            log.and_then(|log| SnapshotStore::open_in(Arc::new(host.folder.clone())).map(|s| (log, s)).map_err(|e| with_causes(&e))).map(
                |((log, writer), snapshots)| {
                    let owner = self.executor.owner(host.disk_ms);
                    (host.owner, host.log, host.snapshots) = (Some(owner), Some(log.clone()), Some(snapshots.clone()));
                    (owner, self.config(host), log, snapshots, writer)
                },
            )
        };
        match opened {
            Ok((owner, config, log, snapshots, writer)) => {
                self.trace.say(format_args!("{name} starts"));
                self.executor.spawn(owner, drive(writer, owner));
                let era = self.era(name);
                self.reopened(name, &log, era);
                Some((owner, config, log, snapshots))
            }
            Err(reason) => {
                self.could_not_open(name, &reason);
                None
            }
        }
    }

    /// The power goes: the tasks are dropped where they wait, and of what was not synced the chance decides what is left.
    pub(crate) fn crash(self: &Rc<Self>, name: &str) {
        let (owner, gone) = {
            let mut hosts = self.hosts.borrow_mut();
            let Some(host) = hosts.get_mut(name) else { return };
            let mut chance = self.executor.fork();
            let ((log, left), files) = (host.disk.left_after_crash(&mut chance), host.folder.after_crash(&mut chance));
            let decided = [("unsynced kept", left.kept), ("unsynced lost", left.lost), ("unsynced torn", left.torn)];
            decided.into_iter().filter(|(_, times)| *times > 0).for_each(|(what, _)| self.trace.count(what));
            self.trace.count(if host.is_out() { "crash on disk" } else { "crash" });
            self.trace.say(format_args!("{name} crashes; {} bytes of log and {} snapshots are left", log.len(), files.len()));
            host.set_fault(|_| Fault::PowerCut { at: 0 });
            host.disk = Disk::with(log, Fault::None);
            host.folder = Folder::with(files, Fault::None);
            (host.is_disk_faulty, host.steps_left) = (false, None);
            (host.owner.take(), (host.server.take(), host.agent.take(), host.log.take(), host.snapshots.take()))
        };
        drop(gone);
        if let Some(owner) = owner {
            self.net.forget(owner);
            self.executor.kill(owner);
        }
    }

    /// A bit of a server's disk changes while it is down.
    pub(crate) fn flip(&self, name: &str) {
        let mut hosts = self.hosts.borrow_mut();
        let Some(host) = hosts.get_mut(name).filter(|host| host.owner.is_none()) else { return };
        let mut chance = self.executor.fork();
        let mut files = host.folder.after_crash(&mut chance);
        let file = files.values_mut().next_back().filter(|_| chance.below(2) == 0);
        let (what, at) = match file {
            Some(file) => ("snapshot", flip_bit(file, &mut chance)),
            None => {
                let mut log = host.disk.content();
                let at = flip_bit(&mut log, &mut chance);
                host.disk = Disk::with(log, Fault::None);
                ("log", at)
            }
        };
        host.folder = Folder::with(files, Fault::None);
        host.fate = Fate::Flipped;
        self.trace.say(format_args!("a bit flips in the {what} of {name} at {at:?}"));
    }

    /// A server's disk is replaced by an empty one while it is down.
    pub(crate) fn wipe(&self, name: &str) {
        let mut hosts = self.hosts.borrow_mut();
        let Some(host) = hosts.get_mut(name).filter(|host| host.owner.is_none()) else { return };
        host.empty();
        host.fate = Fate::LostLog;
        self.trace.say(format_args!("{name} loses its log"));
    }
}

/// Writes the log of a server, as slowly as its disk is.
pub(crate) async fn drive(mut writer: LogWriter, owner: Owner) {
    while let Some(first) = writer.next().await {
        sleep(crate::executor::current().disk_delay(owner)).await;
        let written = writer.write(first);
        sleep(crate::executor::current().disk_delay(owner)).await;
        if !written.tell() {
            break;
        }
    }
    writer.finish();
}

/// An error with all that caused it, in one line.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(error.source(), |e| e.source()).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
