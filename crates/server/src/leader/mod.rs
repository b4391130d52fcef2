//! The leader's loop: one task owns the broker, the blocked evaluations and the heartbeats, and lives through changes of leadership.
//!
//! While this server leads it hears of every applied entry and acts; when it stops leading everything is dropped, because all of it is
//! rebuilt from the state by the next leader. It never waits for the log: commands go to the proposer task, one after the other.

mod desk;

use crate::server::ServerConfig;
use desk::Desk;
use floe_consensus::{Consensus, EventError, Leadership, executor};
use floe_control::{Delivery, broker::BrokerCounts};
use floe_model::{EvalId, JobType, NodeId};
use floe_state::Command;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How many requests may wait for the leader; at the bound callers wait for their turn.
const WAITING: usize = 4_096;
/// How many commands may wait for the proposer; beyond, the loop tries again at the next tick.
const WAITING_COMMANDS: usize = 1_024;
/// How often the loop looks at the clock when nothing else wakes it.
const TICK: Duration = Duration::from_millis(250);
/// How often garbage is collected.
const COLLECT_EVERY: Duration = Duration::from_secs(5 * 60);

/// What is asked of the leader.
pub(crate) enum Request {
    Dequeue { types: &'static [JobType], reply: oneshot::Sender<Delivery> },
    Ack { eval: EvalId, token: u64 },
    Nack { eval: EvalId, token: u64 },
    IsOutstanding { eval: EvalId, token: u64, reply: oneshot::Sender<bool> },
    Heard { node: NodeId, reply: oneshot::Sender<u64> },
    Counts { reply: oneshot::Sender<Counts> },
}

/// Figures of the leader's loop.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) broker: BrokerCounts,
    pub(crate) blocked: usize,
    pub(crate) watched_nodes: usize,
}

/// Asks the leader's loop.
#[derive(Clone)]
pub(crate) struct LeaderHandle {
    requests: mpsc::Sender<Request>,
}

impl LeaderHandle {
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.ok()?;
        answer.await.ok()
    }

    /// The next evaluation, once there is one. `None` when leadership changed: ask again.
    pub(crate) async fn dequeue(&self, types: &'static [JobType]) -> Option<Delivery> {
        self.ask(|reply| Request::Dequeue { types, reply }).await
    }
    pub(crate) async fn ack(&self, delivery: &Delivery) {
        let _ = self.requests.send(Request::Ack { eval: delivery.eval.id.clone(), token: delivery.token }).await;
    }
    pub(crate) async fn nack(&self, delivery: &Delivery) {
        let _ = self.requests.send(Request::Nack { eval: delivery.eval.id.clone(), token: delivery.token }).await;
    }
    /// True while the worker still holds the evaluation, so that its plan may be proposed.
    pub(crate) async fn is_outstanding(&self, delivery: &Delivery) -> bool {
        let (eval, token) = (delivery.eval.id.clone(), delivery.token);
        self.ask(|reply| Request::IsOutstanding { eval, token, reply }).await.unwrap_or(false)
    }
    /// A node is alive; how many milliseconds until it must be heard of again. `None` when this server does not lead.
    pub(crate) async fn heard(&self, node: NodeId) -> Option<u64> {
        self.ask(|reply| Request::Heard { node, reply }).await
    }
    pub(crate) async fn counts(&self) -> Counts {
        self.ask(|reply| Request::Counts { reply }).await.unwrap_or_default()
    }
}

/// Random bits, for what is no part of the agreement.
pub(crate) fn seed() -> (u64, u64) {
    uuid::Uuid::new_v4().as_u64_pair()
}

pub(crate) fn start(config: &ServerConfig, consensus: &Consensus, stop: &CancellationToken, tasks: &TaskTracker) -> LeaderHandle {
    let (requests, inbox) = mpsc::channel(WAITING);
    let (commands, to_propose) = mpsc::channel(WAITING_COMMANDS);
    drop(executor::spawn(tasks.track_future(propose_all(consensus.clone(), to_propose, stop.clone()))));
    drop(executor::spawn(tasks.track_future(run(config.clone(), consensus.clone(), inbox, commands, stop.clone()))));
    LeaderHandle { requests }
}

/// The proposer task. A command that fails is only logged: what it was for is still true at the next tick, which proposes it again.
async fn propose_all(consensus: Consensus, mut commands: mpsc::Receiver<Command>, stop: CancellationToken) {
    while let Some(Some(command)) = stop.run_until_cancelled(commands.recv()).await {
        let name = command.name();
        if let Err(error) = consensus.propose_as_leader(command).await {
            tracing::warn!(command = name, %error, "the leader's command was not written");
        }
    }
}

async fn run(
    config: ServerConfig,
    consensus: Consensus,
    mut inbox: mpsc::Receiver<Request>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
) {
    let mut leadership = consensus.leadership();
    loop {
        let leads = leadership.borrow_and_update().is_leader;
        if leads {
            let end = lead(&config, &consensus, &mut inbox, &commands, &mut leadership, &stop).await;
            if end.is_break() {
                return;
            }
            continue;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = leadership.changed() => if changed.is_err() { return },
            // Dropping a request is its answer: somebody else leads.
            request = inbox.recv() => if request.is_none() { return },
        }
    }
}

/// Leads until leadership is lost (`Continue`) or the server stops (`Break`).
async fn lead(
    config: &ServerConfig,
    consensus: &Consensus,
    inbox: &mut mpsc::Receiver<Request>,
    commands: &mpsc::Sender<Command>,
    leadership: &mut tokio::sync::watch::Receiver<Leadership>,
    stop: &CancellationToken,
) -> std::ops::ControlFlow<()> {
    // Subscribed before the view is taken, so that no entry falls between them.
    let mut events = consensus.events();
    let mut desk = Desk::new(config, commands.clone(), consensus.now());
    desk.rebuild(&consensus.view(), consensus.now());
    tracing::info!(server = %config.name, "this server leads");
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut collect = tokio::time::interval_at(tokio::time::Instant::now() + COLLECT_EVERY, COLLECT_EVERY);
    loop {
        // In an order that nobody draws, so that a simulation can run it again. What comes seldom comes first: it cannot hold up the rest.
        tokio::select! {
            biased;
            () = stop.cancelled() => return std::ops::ControlFlow::Break(()),
            changed = leadership.changed() => {
                if changed.is_err() {
                    return std::ops::ControlFlow::Break(());
                }
                if !leadership.borrow_and_update().is_leader {
                    tracing::info!(server = %config.name, "this server does not lead any more");
                    return std::ops::ControlFlow::Continue(());
                }
            }
            _ = tick.tick() => desk.tick(&consensus.view(), consensus.now()),
            _ = collect.tick() => desk.collect(&consensus.view(), consensus.now()),
            event = events.next() => match event {
                Ok(event) => desk.applied(&event.state, &event.effects, consensus.now()),
                Err(EventError::Lagged { .. }) => desk.rebuild(&consensus.view(), consensus.now()),
                Err(EventError::Closed) => return std::ops::ControlFlow::Break(()),
            },
            request = inbox.recv() => match request {
                Some(request) => desk.request(request),
                None => return std::ops::ControlFlow::Break(()),
            },
        }
    }
}
