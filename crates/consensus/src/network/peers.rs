//! The other servers: where each is, whether it answers, and the one way to call it.
//!
//! An address in the membership can be old: the one that a server gave itself ([`Peers::learn`]) counts more, until the membership has a newer
//! one. Who answers is known from the calls that are made anyway; a leader calls everybody with each heartbeat, and a server without a leader
//! asks everybody for votes.

use super::{Delivery, Rpc, Transport, wire};
use crate::{ClusterId, Server, ServerAddress, ServerId, codec, raft_types::Membership};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

/// A call that brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Nobody listens at the target's address, so it did not act on it.
    #[error("{0}")]
    Absent(String),
    /// The target did not act on it.
    #[error("{0}")]
    Refused(String),
    /// The target may have acted on it.
    #[error("{0}")]
    Unknown(String),
    /// The target says that this server was removed.
    #[error("this server was removed from the cluster")]
    Removed,
}

/// What is known of a server.
#[derive(Clone, Debug, Default)]
struct Peer {
    /// What the membership says.
    member: Option<ServerAddress>,
    /// What the server itself said since then.
    learned: Option<ServerAddress>,
    is_voter: bool,
    /// When it answered last.
    answered: Option<Instant>,
}

/// See the module.
pub(crate) struct Peers {
    own: ServerId,
    transport: Arc<dyn Transport>,
    cluster: OnceLock<ClusterId>,
    book: Mutex<BTreeMap<ServerId, Peer>>,
    /// When a leader was heard last.
    heard: Mutex<Option<Instant>>,
    is_removed: AtomicBool,
    is_mute: AtomicBool,
    /// A cluster that this server was in goes on without it: it takes part in none.
    is_retired: AtomicBool,
    /// One snapshot is sent at a time.
    pub(super) sending: Semaphore,
}

impl Peers {
    /// What this machine should set right so that others are reached, if that is known.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.transport.trouble()
    }

    pub(crate) fn new(own: ServerId, transport: Arc<dyn Transport>, cluster: Option<ClusterId>) -> Self {
        Self {
            own,
            transport,
            cluster: cluster.map_or_else(OnceLock::new, OnceLock::from),
            book: Mutex::default(),
            heard: Mutex::default(),
            is_removed: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            sending: Semaphore::new(1),
        }
    }

    fn book(&self) -> MutexGuard<'_, BTreeMap<ServerId, Peer>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster that this server is in.
    pub(crate) fn cluster(&self) -> Option<&ClusterId> {
        self.cluster.get()
    }

    /// This server is in that cluster from now on. The first one counts.
    pub(crate) fn enter(&self, cluster: ClusterId) {
        if self.cluster.set(cluster).is_err() {
            tracing::debug!("this server is in a cluster already");
        }
    }

    /// A server says where it is.
    pub(crate) fn learn(&self, id: ServerId, address: ServerAddress) {
        self.book().entry(id).or_default().learned = Some(address);
    }

    /// The membership in effect.
    pub(crate) fn set_membership(&self, membership: &Membership) {
        let mut book = self.book();
        let voters: Vec<ServerId> = membership.voter_ids().collect();
        // Who is no member any more is forgotten; who is none yet is kept.
        book.retain(|id, peer| peer.member.is_none() || membership.get_node(id).is_some());
        for (id, address) in membership.nodes() {
            let peer = book.entry(id.clone()).or_default();
            peer.is_voter = voters.contains(id);
            if peer.member.as_ref() != Some(address) {
                // Newer than what the server said before, unless this is the first that is heard of it from the membership.
                peer.learned = peer.learned.take().filter(|_| peer.member.is_none());
                peer.member = Some(address.clone());
            }
        }
    }

    /// The newest address of a server, or `fallback`.
    pub(crate) fn address(&self, id: &ServerId, fallback: &ServerAddress) -> ServerAddress {
        let known = self.book().get(id).and_then(|peer| peer.learned.clone().or_else(|| peer.member.clone()));
        known.unwrap_or_else(|| fallback.clone())
    }

    /// Whether a server answered within this time. This server does.
    pub(crate) fn answers(&self, id: &ServerId, within: Duration) -> bool {
        *id == self.own || self.last_contact(id).is_some_and(|ago| ago <= within)
    }

    /// How long ago a server answered.
    pub(crate) fn last_contact(&self, id: &ServerId) -> Option<Duration> {
        self.book().get(id).and_then(|peer| peer.answered).map(|at| at.elapsed())
    }

    /// A leader was heard, and this server follows it.
    pub(crate) fn hear_leader(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.is_removed.store(false, Ordering::Relaxed);
    }

    /// How long ago a leader was heard.
    pub(crate) fn leader_heard(&self) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// Somebody who must know says that this server was removed.
    pub(crate) fn set_removed(&self) {
        if !self.is_removed.swap(true, Ordering::Relaxed) {
            tracing::warn!("this server was removed from the cluster");
        }
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Relaxed)
    }

    /// The cluster refuses this server for good: it calls nobody and answers nobody until it is reinstated.
    pub(crate) fn retire(&self) {
        self.set_removed();
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// The cluster that refused this server takes it in again.
    pub(crate) fn reinstate(&self) {
        self.is_retired.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// Whether this server, as a leader, says nothing to the others.
    pub(crate) fn mute(&self, is_mute: bool) {
        self.is_mute.store(is_mute, Ordering::Relaxed);
    }

    /// See [`Peers::mute`].
    pub(crate) fn is_mute(&self) -> bool {
        self.is_mute.load(Ordering::Relaxed)
    }

    /// Asks another server, within the deadline.
    pub(crate) async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        target: &Server,
        rpc: Rpc,
        request: &Q,
        deadline: Duration,
    ) -> Result<A, CallError> {
        if self.is_retired() {
            return Err(CallError::Removed);
        }
        let to_voter = self.book().get(&target.id).is_some_and(|peer| peer.is_voter);
        let call = wire::Call { cluster: self.cluster(), from: &self.own, to_voter, request };
        let body = codec::encode("call", &call).map_err(|e| CallError::Refused(e.to_string()))?;
        let address = self.address(&target.id, &target.address);
        let answer = timeout(deadline, self.transport.call(&target.id, &address, rpc, body, deadline)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::debug!(at = address.rpc, "{error}");
                return Err(match error.delivery {
                    Delivery::Absent => CallError::Absent(error.reason),
                    Delivery::Refused => CallError::Refused(error.reason),
                    Delivery::Unknown => CallError::Unknown(error.reason),
                });
            }
            Err(_) => return Err(CallError::Unknown(format!("no answer within {deadline:?}"))),
        };
        self.book().entry(target.id.clone()).or_default().answered = Some(Instant::now());
        match codec::decode("answer", &answer).map_err(|e| CallError::Unknown(e.to_string()))? {
            wire::Answer::Done(answer) => Ok(answer),
            wire::Answer::Removed => {
                self.set_removed();
                Err(CallError::Removed)
            }
        }
    }
}
