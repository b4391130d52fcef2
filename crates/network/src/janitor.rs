//! The thread that waits for the kernel, so that the owner need not.
//!
//! In: links whose namespace was just given up, and connections to forget. Out: the addresses of links
//! that are really gone. The kernel collects namespaces in its own time and many at once, which is far
//! cheaper than deleting their links one by one; a link that is still there after a grace period, because
//! a process holds on to the namespace, is deleted.

use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::conntrack::Stale;
use crate::error::KernelError;
use crate::kernel::Kernel;

/// How many jobs may wait; at the bound the owner waits too.
const JOBS: usize = 1_024;
/// How long the kernel may take to collect a namespace before its link is deleted.
const GRACE: Duration = Duration::from_secs(2);
/// How often the links that should go are looked for.
const POLL: Duration = Duration::from_millis(20);

/// A link that is going away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retired {
    pub(crate) host_interface: String,
    /// The address that is free when the link is gone; none for a leaked link.
    pub(crate) address: Option<Ipv4Addr>,
}

enum Job {
    Retire(Retired),
    Forget(Vec<Stale>),
    Settle(oneshot::Sender<()>),
}

/// The owner's side of the thread.
pub(crate) struct Janitor {
    jobs: SyncSender<Job>,
    gone: Receiver<Retired>,
}

impl Janitor {
    /// Starts the thread in the network namespace of the calling thread. It ends with the handle.
    pub(crate) fn start() -> Result<Self, KernelError> {
        let kernel = Kernel::open()?;
        let (jobs, inbox) = sync_channel(JOBS);
        let (outbox, gone) = channel();
        let worker = Worker { kernel, outbox, retired: Vec::new(), settling: Vec::new() };
        std::thread::Builder::new()
            .name("floe-net-janitor".into())
            .spawn(move || worker.run(&inbox))
            .map_err(|e| KernelError::refused("start the network's janitor thread", e))?;
        Ok(Self { jobs, gone })
    }

    /// Watches a link until it is gone.
    pub(crate) fn retire(&self, retired: Retired) {
        self.send(Job::Retire(retired));
    }

    /// Makes the kernel forget connections.
    pub(crate) fn forget(&self, stale: Vec<Stale>) {
        if !stale.is_empty() {
            self.send(Job::Forget(stale));
        }
    }

    /// Answers when everything handed over before is done.
    pub(crate) fn settle(&self, done: oneshot::Sender<()>) {
        self.send(Job::Settle(done));
    }

    /// What has gone since the last call.
    pub(crate) fn gone(&self) -> impl Iterator<Item = Retired> {
        self.gone.try_iter()
    }

    fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::error!("the network's janitor thread has ended; the next start cleans up");
        }
    }
}

struct Worker {
    kernel: Kernel,
    outbox: Sender<Retired>,
    retired: Vec<(Retired, Instant)>,
    settling: Vec<oneshot::Sender<()>>,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Job>) {
        while let Some(first) = self.wait(inbox) {
            // Everything that waits is taken at once: forgetting costs a walk over all connections.
            let mut stale = Vec::new();
            for job in first.into_iter().chain(inbox.try_iter().take(JOBS)) {
                match job {
                    Job::Retire(retired) => {
                        stale.extend(retired.address.map(Stale::Allocation));
                        self.retired.push((retired, Instant::now()));
                    }
                    Job::Forget(more) => stale.extend(more),
                    Job::Settle(done) => self.settling.push(done),
                }
            }
            self.forget(&stale);
            self.look();
            if self.retired.is_empty() {
                for done in self.settling.drain(..) {
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(());
                }
            }
        }
    }

    /// The next job; an inner none when it is time to look; an outer none when the owner has gone.
    fn wait(&self, inbox: &Receiver<Job>) -> Option<Option<Job>> {
        if self.retired.is_empty() {
            return inbox.recv().ok().map(Some);
        }
        match inbox.recv_timeout(POLL) {
            Ok(job) => Some(Some(job)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn forget(&mut self, stale: &[Stale]) {
        if stale.is_empty() {
            return;
        }
        match self.kernel.forget(stale) {
            Ok(count) => tracing::debug!(count, "connections forgotten"),
            Err(error) => tracing::warn!(%error, "stale connections end by time only"),
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        let mut waiting = Vec::with_capacity(self.retired.len());
        for (retired, since) in std::mem::take(&mut self.retired) {
            let overdue = now.duration_since(since) >= GRACE;
            match self.is_gone(&retired.host_interface, overdue) {
                // The owner may have ended; then nobody needs the address.
                Ok(true) => drop(self.outbox.send(retired)),
                Ok(false) => waiting.push((retired, since)),
                Err(error) => {
                    let link = &retired.host_interface;
                    tracing::warn!(%error, link, "a link of a detached allocation could not be removed");
                    waiting.push((retired, now));
                }
            }
        }
        self.retired = waiting;
    }

    fn is_gone(&mut self, link: &str, overdue: bool) -> Result<bool, KernelError> {
        if overdue {
            self.kernel.delete_link(link)?;
            return Ok(true);
        }
        Ok(self.kernel.find_link(link)?.is_none())
    }
}
