//! One allocation's task: owns its [`AllocMachine`], tells it what happens, and does what it says.
//!
//! Everything that takes time (networks, processes, disks) is done by short jobs beside it that send back what came of them, so a runner
//! always hears a stop. It ends when nothing of the allocation is left but its folders.

mod act;
mod image;
mod launch;
mod prepare;
mod spec;

use crate::{
    clock,
    config::ClientConfig,
    db::{Change, Db, words},
    paths::NodePaths,
    report::Reporter,
};
use floe_api::node::{ActError, ActRequest};
use floe_images::Images;
use floe_model::alloc::AllocUpdate;
use floe_model::{AllocId, Allocation, Nanos, Node, Timestamp, alloc::AllocNetworkStatus};
use floe_network::{Attachment, Network};
use floe_runtime::{Signal, TaskProcess};
use floe_tasks::{AllocMachine, Exit, Input, Recovered, Step};
use launch::Records;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How many events may wait for a runner; at the bound the sender waits.
const WAITING: usize = 64;

/// What all runners of a node share.
pub(crate) struct Shared {
    pub(crate) config: ClientConfig,
    pub(crate) node: Arc<Node>,
    pub(crate) paths: NodePaths,
    pub(crate) db: Db,
    /// `None` when this machine cannot connect allocations to a bridge.
    pub(crate) network: Option<Network>,
    pub(crate) reporter: Reporter,
    /// Images of containers; or why this node has none.
    pub(crate) images: Result<Images, String>,
}

/// What a runner hears.
#[derive(Debug)]
pub(crate) enum Event {
    /// The servers changed the allocation; no new processes are needed.
    Updated(Arc<Allocation>),
    /// It is to stop.
    Stop(String),
    /// The node has had no servers for this long, which is as long as it may run without.
    CutOff(Nanos),
    Prepared(Option<Attachment>),
    PrepareFailed(String),
    /// A driver tells how far it is with the start of a task.
    Told(String, String),
    Started(String, Arc<TaskProcess>, Timestamp),
    /// It started at this moment and ended before anybody could look.
    Ran(String, Timestamp, Exit),
    StartFailed {
        task: String,
        error: String,
        fatal: bool,
    },
    Ended(String, Exit),
    /// Somebody wants something of tasks that run.
    Act(ActRequest, oneshot::Sender<Result<(), ActError>>),
    Cleaned,
}

/// The way to a runner.
#[derive(Clone, Debug)]
pub(crate) struct RunnerHandle {
    pub(crate) events: mpsc::Sender<Event>,
    /// True once nothing of it runs any more.
    pub(crate) ended: watch::Receiver<bool>,
}

pub(crate) struct Runner {
    shared: Arc<Shared>,
    alloc: Arc<Allocation>,
    machine: AllocMachine,
    attachment: Option<Attachment>,
    running: BTreeMap<String, Arc<TaskProcess>>,
    /// The tasks that were started last: each can be given up as long as it does not run.
    starting: BTreeMap<String, CancellationToken>,
    wake: Option<Timestamp>,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
    ended: watch::Sender<bool>,
    /// Others whose ports or data this one waits for.
    waits_for: Vec<watch::Receiver<bool>>,
    /// While a preparation is under way: ends its wait for others.
    preparing: Option<CancellationToken>,
    /// The clean-up waits for the end of the preparation, or what that makes would stay.
    clean_up_due: bool,
}

/// A task that was found again after the agent started.
pub(crate) struct Found {
    pub(crate) recovered: BTreeMap<String, Recovered>,
    pub(crate) running: BTreeMap<String, Arc<TaskProcess>>,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) saved: Option<AllocUpdate>,
}

impl Runner {
    fn build(shared: Arc<Shared>, alloc: Arc<Allocation>, machine: AllocMachine) -> (Self, RunnerHandle) {
        let (events, inbox) = mpsc::channel(WAITING);
        let (ended, ended_rx) = watch::channel(false);
        let handle = RunnerHandle { events: events.clone(), ended: ended_rx };
        let runner = Runner {
            shared,
            alloc,
            machine,
            attachment: None,
            running: BTreeMap::new(),
            starting: BTreeMap::new(),
            wake: None,
            events,
            inbox,
            ended,
            waits_for: Vec::new(),
            preparing: None,
            clean_up_due: false,
        };
        (runner, handle)
    }

    /// Starts a new allocation once those of `waits_for` have ended.
    pub(crate) fn start(shared: Arc<Shared>, alloc: Arc<Allocation>, waits_for: Vec<watch::Receiver<bool>>) -> RunnerHandle {
        let machine = AllocMachine::new(&alloc, clock::now());
        let (mut runner, handle) = Self::build(shared, alloc, machine);
        runner.waits_for = waits_for;
        tokio::spawn(runner.run(Vec::new()));
        handle
    }

    /// Takes over an allocation that an earlier agent ran.
    pub(crate) fn resume(shared: Arc<Shared>, alloc: Arc<Allocation>, found: Found) -> RunnerHandle {
        let saved = found.saved.map(|s| s.task_states).unwrap_or_default();
        let (machine, steps) = AllocMachine::recover(&alloc, &saved, found.recovered, clock::now(), jitter());
        let (mut runner, handle) = Self::build(shared, alloc, machine);
        runner.attachment = found.attachment;
        for (task, process) in found.running {
            runner.watch(task, process);
        }
        tokio::spawn(runner.run(steps));
        handle
    }

    async fn run(mut self, steps: Vec<Step>) {
        self.act(steps);
        self.report();
        if self.machine.is_preparing() {
            self.prepare();
        }
        while !self.machine.is_gone() {
            let event = match self.wake {
                Some(moment) => tokio::select! {
                    event = self.inbox.recv() => event,
                    () = tokio::time::sleep_until(clock::instant(moment)) => {
                        self.wake = None;
                        self.tell(Input::Tick);
                        continue;
                    }
                },
                None => self.inbox.recv().await,
            };
            // The runner holds a sender itself, so the channel never closes.
            if let Some(event) = event {
                self.hear(event);
            }
        }
        self.ended.send_replace(true);
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Updated(alloc) => {
                self.alloc = alloc.clone();
                self.shared.db.write_soon(vec![Change::Allocation(alloc.clone())]);
                self.tell(Input::Updated(Box::new((*alloc).clone())));
                self.report();
            }
            Event::Stop(reason) => {
                if let Some(preparing) = &self.preparing {
                    preparing.cancel();
                }
                self.tell(Input::Stop { reason });
            }
            Event::CutOff(after) => {
                if let Some(preparing) = &self.preparing {
                    preparing.cancel();
                }
                self.tell(Input::CutOff { after });
            }
            Event::Prepared(attachment) => {
                self.attachment = attachment;
                self.prepared(Input::Prepared);
            }
            Event::Told(task, message) => self.tell(Input::Told { task, message }),
            Event::PrepareFailed(error) => self.prepared(Input::PrepareFailed(error)),
            Event::Started(task, process, at) => {
                self.watch(task.clone(), process);
                self.tell(Input::Started { task, at });
            }
            Event::Ran(task, at, exit) => {
                self.tell(Input::Started { task: task.clone(), at });
                self.tell(Input::Exited { task, exit });
            }
            Event::StartFailed { task, error, fatal } => self.tell(Input::StartFailed { task, error, fatal }),
            Event::Ended(task, exit) => {
                self.running.remove(&task);
                self.tell(Input::Exited { task, exit });
            }
            Event::Act(request, reply) => self.act_on(request, reply),
            Event::Cleaned => self.tell(Input::Cleaned),
        }
    }

    /// The preparation came to its end.
    fn prepared(&mut self, how: Input) {
        self.preparing = None;
        self.tell(how);
        if std::mem::take(&mut self.clean_up_due) {
            self.clean_up();
        }
    }

    fn tell(&mut self, input: Input) {
        let steps = self.machine.handle(input, clock::now(), jitter());
        self.act(steps);
    }

    fn act(&mut self, steps: Vec<Step>) {
        // What is written down must not lag behind what is done.
        if steps.contains(&Step::Report) {
            self.report();
        }
        for step in steps {
            match step {
                Step::Start(task) => self.launch(task, Records::MayLag),
                Step::StartAfterAll(task) => self.launch(task, Records::AreWritten),
                Step::Signal(task) => self.signal(&task),
                Step::Kill(task) => self.kill(&task),
                Step::CleanUp if self.preparing.is_some() => self.clean_up_due = true,
                Step::CleanUp => self.clean_up(),
                Step::Report => {}
                Step::WakeAt(moment) => self.wake = Some(self.wake.map_or(moment, |w| w.min(moment))),
            }
        }
    }

    fn signal(&self, task: &str) {
        let Some(process) = self.running.get(task).cloned() else {
            self.starting.get(task).iter().for_each(|start| start.cancel());
            return;
        };
        let named = spec::kill_signal(&self.alloc, task);
        tokio::task::spawn_blocking(move || {
            // An image may say what its program listens to.
            let signal = named.or_else(|| process.kill_signal()).unwrap_or_else(default_kill_signal);
            // One that ended meanwhile needs no signal.
            if let Err(error) = process.signal(signal) {
                tracing::debug!(%error, "the kill signal was not sent");
            }
        });
    }

    fn kill(&self, task: &str) {
        if let Some(process) = self.running.get(task).cloned() {
            tokio::task::spawn_blocking(move || process.kill_all());
        }
    }

    /// The allocation's network as tasks and servers see it.
    fn network_status(&self) -> Option<AllocNetworkStatus> {
        let link = self.attachment.as_ref()?.link.as_ref()?;
        Some(AllocNetworkStatus {
            interface_name: link.interface.clone(),
            address: link.address.to_string(),
            ..AllocNetworkStatus::default()
        })
    }

    /// Saves the status and tells the servers.
    fn report(&self) {
        let (client_status, client_description) = self.machine.status();
        let report = AllocUpdate {
            id: self.alloc.id.clone(),
            node_id: self.shared.node.id.clone(),
            client_status,
            client_description,
            task_states: self.machine.task_states(),
            deployment_status: self.machine.health(),
            network_status: self.network_status(),
        };
        self.shared.db.write_soon(vec![Change::Status(report.clone())]);
        self.shared.reporter.report(report);
    }

    /// Gives back the network and the shims' records.
    fn clean_up(&mut self) {
        let (shared, id, events) = (self.shared.clone(), self.alloc.id.clone(), self.events.clone());
        let tasks = task_names(&self.alloc);
        self.attachment = None;
        tokio::spawn(async move {
            if let Some(network) = &shared.network
                && let Err(error) = network.detach(id.as_str()).await
            {
                tracing::warn!(alloc = %id, error = %words(&error), "the network was not given back; it is removed when the agent starts again");
            }
            let dirs: Vec<_> = tasks.iter().map(|t| shared.paths.shim(&id, t)).collect();
            let destroyed = tokio::task::spawn_blocking(move || dirs.iter().try_for_each(|d| floe_runtime::destroy(d))).await;
            image::release(&shared, &id, &tasks).await;
            if let Ok(Err(error)) = destroyed {
                tracing::warn!(alloc = %id, error = %words(&error), "a task's records were not removed");
            }
            if let Err(error) = shared.db.write(vec![Change::NoNetwork(id.clone())]).await {
                tracing::error!(alloc = %id, %error, "the client's state was not written");
            }
            // The runner may be gone with the agent.
            let _ = events.send(Event::Cleaned).await;
        });
    }
}

/// The names of an allocation's tasks.
pub(crate) fn task_names(alloc: &Allocation) -> Vec<String> {
    let group = alloc.job.as_deref().and_then(|j| j.group(&alloc.task_group));
    group.map(|g| g.tasks.iter().map(|t| t.name.clone()).collect()).unwrap_or_default()
}

/// The end of a task as the machine wants it.
pub(crate) fn exit_of(status: &floe_runtime::ExitStatus) -> Exit {
    let at = i64::try_from(status.finished_at_ns).ok().filter(|n| *n > 0).map_or_else(clock::now, Timestamp);
    // As a shell tells it.
    let code = if status.signal == 0 { status.exit_code } else { 128 + status.signal };
    Exit { code, signal: status.signal, oom_killed: status.oom_killed, at, error: status.error.clone() }
}

/// A number from 0 to 1000 that differs from call to call; it only has to keep many tasks from starting in step.
fn jitter() -> u16 {
    let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
    u16::try_from(low % 1001).unwrap_or(0)
}

/// Sends an event to a runner, unless it is gone.
async fn send(events: &mpsc::Sender<Event>, event: Event) {
    let _ = events.send(event).await;
}

impl RunnerHandle {
    /// A runner that has ended already: what is left of an allocation are its folders.
    pub(crate) fn ended_already() -> Self {
        let (events, _) = mpsc::channel(1);
        let (_, ended) = watch::channel(true);
        RunnerHandle { events, ended }
    }
    /// True once nothing of it runs any more.
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }
    /// Asks it to stop. One that is gone needs no asking.
    pub(crate) async fn stop(&self, reason: String) {
        send(&self.events, Event::Stop(reason)).await;
    }
}

/// The id under which the network knows the allocation.
pub(crate) fn attachment_id(id: &AllocId) -> &str {
    id.as_str()
}

pub(crate) use image::remove_scratch;
pub(crate) use prepare::reconnect;
pub(crate) use spec::default_kill_signal;

impl Runner {
    /// Waits for a task's end beside the runner.
    fn watch(&mut self, task: String, process: Arc<TaskProcess>) {
        self.running.insert(task.clone(), process.clone());
        let events = self.events.clone();
        tokio::spawn(async move {
            let exit = launch::wait(process).await;
            send(&events, Event::Ended(task, exit)).await;
        });
    }
}

/// What a signal is called when none is named.
pub(crate) fn parse_signal(name: &str) -> Signal {
    name.parse().unwrap_or_else(|_| default_kill_signal())
}
