//! What the leader has on its desk: the values of `control`, fed with what happens. No waiting here.

use super::{Counts, Request};
use crate::server::ServerConfig;
use floe_consensus::planted::{self, Bug};
use floe_control::{
    Blocked, Broker, Delivery, Heartbeats,
    broker::{self, GivenUp},
    deadline, garbage,
};
use floe_model::{EvalId, EvalStatus, Evaluation, JobType, Nanos, NodeId, NodeStatus, Timestamp};
use floe_state::{Change, Command, Effects, State, command::NodeStatusUpdate};
use std::{collections::VecDeque, sync::Arc};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// What is said of a node that was silent too long.
const SILENT: &str = "Node heartbeat missed";

pub(super) struct Desk {
    config: ServerConfig,
    broker: Broker,
    blocked: Blocked,
    heartbeats: Heartbeats,
    idle_workers: VecDeque<(&'static [JobType], oneshot::Sender<Delivery>)>,
    commands: mpsc::Sender<Command>,
    nodes: usize,
    /// When this desk began, on both clocks: see [`Desk::steady`].
    began: (Timestamp, Instant),
    /// Spreads heartbeats; any cheap sequence will do.
    jitter: u16,
}

impl Desk {
    pub(super) fn new(config: &ServerConfig, commands: mpsc::Sender<Command>, now: Timestamp) -> Self {
        Desk {
            config: config.clone(),
            broker: Broker::default(),
            blocked: Blocked::default(),
            heartbeats: Heartbeats::new(config.heartbeat),
            idle_workers: VecDeque::new(),
            commands,
            nodes: 0,
            began: (now, Instant::now()),
            jitter: 0,
        }
    }

    /// The time by a clock that nobody sets. Nodes and workers are waited for by this one: when the machine's clock is
    /// put ahead, they have not been silent.
    fn steady(&self) -> Timestamp {
        let (stamp, instant) = self.began;
        stamp.plus(Nanos::from_std(instant.elapsed()))
    }

    /// Starts over from the state: this server has just become the leader, or missed entries, or all of them are other ones after a restore.
    pub(super) fn rebuild(&mut self, view: &State, now: Timestamp) {
        // What workers hold is of no use any more, and their tokens must not look like new ones.
        self.broker = self.broker.emptied();
        self.blocked = Blocked::default();
        self.heartbeats = Heartbeats::new(self.config.heartbeat);
        // A leader that died may have seen room become free and told nobody: everything that is blocked is looked at once more.
        let _none = self.blocked.capacity_changed(view.index());
        for eval in view.evals().filter(|_| !planted::is_on(Bug::NewDeskForgetsEvaluations)) {
            self.take(eval.clone(), now);
        }
        let steady = self.steady();
        for node in view.nodes().filter(|n| n.status != NodeStatus::Down && !planted::is_on(Bug::NewDeskExpectsNobody)) {
            self.heartbeats.expect(&node.id, steady);
        }
        self.nodes = view.nodes().count();
        self.deliver();
    }

    /// An entry was applied.
    pub(super) fn applied(&mut self, state: &State, effects: &Effects, now: Timestamp) {
        if effects.changes.contains(&Change::Everything) && !planted::is_on(Bug::DeskMissesRestore) {
            return self.rebuild(state, now);
        }
        let mut room = false;
        for change in &effects.changes {
            match change {
                Change::Eval(id) => self.eval_changed(state, id, now),
                Change::Node(id) => {
                    let status = state.node(id).map(|n| n.status);
                    room |= status == Some(NodeStatus::Ready);
                    if status.is_none_or(|s| s == NodeStatus::Down) {
                        self.heartbeats.forget(id);
                    }
                    self.nodes = state.nodes().count();
                }
                Change::Alloc(id) => room |= state.alloc(id).is_none_or(|a| a.is_terminal()),
                Change::Job(_) | Change::Deployment(_) | Change::Service { .. } | Change::Variable(_) | Change::Everything => {}
            }
        }
        if room {
            for eval in self.blocked.capacity_changed(state.index()) {
                self.broker.enqueue(eval, now);
            }
        }
        self.deliver();
    }

    fn eval_changed(&mut self, state: &State, id: &EvalId, now: Timestamp) {
        match state.eval(id) {
            Some(eval) if !eval.is_terminal() => self.take(eval.clone(), now),
            _ => {
                self.blocked.forget(id);
                self.broker.forget(id);
            }
        }
    }

    fn take(&mut self, eval: Arc<Evaluation>, now: Timestamp) {
        if broker::wants(&eval) {
            self.broker.enqueue(eval, now);
        } else if eval.status == EvalStatus::Blocked {
            // A blocked evaluation that a worker looked at again is written once more when it still fits nowhere.
            self.broker.forget(&eval.id);
            if let Some(eval) = self.blocked.block(eval) {
                self.broker.enqueue(eval, now);
            }
        }
    }

    pub(super) fn request(&mut self, request: Request) {
        match request {
            Request::Dequeue { types, reply } => self.idle_workers.push_back((types, reply)),
            Request::Ack { eval, token } => {
                self.broker.ack(&eval, token);
            }
            Request::Nack { eval, token } if planted::is_on(Bug::FailedEvaluationIsDone) => {
                self.broker.ack(&eval, token);
            }
            Request::Nack { eval, token } => {
                self.broker.nack(&eval, token, self.steady());
            }
            Request::IsOutstanding { eval, token, reply } => {
                let _ = reply.send(self.broker.is_outstanding(&eval, token));
            }
            Request::Heard { node, reply } => {
                let _ = reply.send(self.heard(&node));
            }
            Request::Counts { reply } => {
                let counts = Counts { broker: self.broker.counts(), blocked: self.blocked.len(), watched_nodes: self.heartbeats.len() };
                let _ = reply.send(counts);
            }
        }
        self.deliver();
    }

    fn heard(&mut self, node: &NodeId) -> u64 {
        self.jitter = (self.jitter + 379) % 1000;
        let ttl = self.heartbeats.ttl(self.nodes, self.jitter);
        let steady = self.steady();
        self.heartbeats.heard(node, ttl, steady);
        u64::try_from(ttl.as_millis()).unwrap_or(0)
    }

    /// Gives evaluations to workers that wait.
    fn deliver(&mut self) {
        let steady = self.steady();
        for _ in 0..self.idle_workers.len() {
            let Some((types, reply)) = self.idle_workers.pop_front() else { return };
            if reply.is_closed() {
                continue;
            }
            match self.broker.dequeue(types, steady) {
                Some(delivery) => {
                    let (id, token) = (delivery.eval.id.clone(), delivery.token);
                    if reply.send(delivery).is_err() {
                        self.broker.nack(&id, token, steady);
                    }
                }
                None => self.idle_workers.push_back((types, reply)),
            }
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, view: &State, now: Timestamp) {
        let mut evals = Vec::new();
        let steady = self.steady();
        for given_up in self.broker.tick(now, steady) {
            evals.push(match given_up {
                GivenUp::Failed(eval) => Evaluation {
                    status: EvalStatus::Failed,
                    status_description: format!("evaluation was given to workers {} times without an answer", broker::DELIVERY_LIMIT),
                    ..(*eval).clone()
                },
                GivenUp::Superseded { eval, by } => Evaluation {
                    status: EvalStatus::Canceled,
                    status_description: format!("superseded by evaluation {by}"),
                    ..(*eval).clone()
                },
            });
        }
        if !evals.is_empty() {
            self.propose(Command::UpdateEvals { evals });
        }
        let silent = self.heartbeats.tick(steady);
        if !silent.is_empty() {
            let down = |id| NodeStatusUpdate { id, status: NodeStatus::Down, message: SILENT.to_owned() };
            self.propose(Command::UpdateNodeStatus { updates: silent.into_iter().map(down).collect() });
        }
        for command in deadline::expired(view, now) {
            self.propose(command);
        }
        self.deliver();
    }

    /// Forgets what is over.
    pub(super) fn collect(&mut self, view: &State, now: Timestamp) {
        for command in garbage::collect(view, now, self.config.keep) {
            self.propose(command);
        }
    }

    fn propose(&mut self, command: Command) {
        if let Err(error) = self.commands.try_send(command) {
            tracing::warn!(%error, "too many commands wait to be written");
        }
    }
}
