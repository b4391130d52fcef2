//! The way to the other servers: calls of the consensus over the RPC port.

use axum::body::Bytes;
use floe_api::rpc::{self, HereIsServer, Servers};
use floe_consensus::{Consensus, Delivery, Rpc, Server, ServerAddress, ServerId, Transport, TransportError, config::CALL_BYTES};
use floe_rpc::{CallError, Channels, read_body};
use floe_state::command::CLUSTER_VERSION;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The way to the other servers. Clones share connections.
#[derive(Clone)]
pub struct Peers {
    channels: Channels,
    own: Arc<str>,
}

impl Peers {
    /// Calls go by `channels`, and say that this server listens at `own`.
    pub fn new(channels: Channels, own: &str) -> Self {
        Self { channels, own: own.into() }
    }

    /// Where this server listens for RPC.
    pub fn own_address(&self) -> &str {
        &self.own
    }

    /// Sends a message to a server and waits for the head of its answer.
    pub(crate) async fn post(
        &self,
        to: &Server,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        deadline: Duration,
    ) -> Result<Response<Incoming>, CallError> {
        let address = &to.address.rpc;
        let mut request = Request::post(self.channels.uri(address, path)).header(rpc::TARGET_HEADER, to.id.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let unusable = |e: hyper::http::Error| CallError::Connect { address: address.clone(), source: std::io::Error::other(e) };
        self.channels.call(address, request.body(Full::new(body)).map_err(unusable)?, deadline).await
    }

    async fn exchange(&self, to: Server, rpc: Rpc, body: Vec<u8>, deadline: Duration) -> Result<Vec<u8>, TransportError> {
        let fail = |reason: String, delivery| TransportError { target: to.id.clone(), reason, delivery };
        let unsent = |e: CallError| {
            let delivery = match &e {
                e if e.is_nobody_there() => Delivery::Absent,
                e if e.is_certainly_unsent() => Delivery::Refused,
                _ => Delivery::Unknown,
            };
            fail(e.to_string(), delivery)
        };
        let path = format!("{}{}", rpc::RAFT, rpc.name());
        let response = self.post(&to, &path, &[], body.into(), deadline).await.map_err(unsent)?;
        let status = response.status();
        let answer = read_body(response.into_body(), CALL_BYTES, deadline).await;
        let answer = answer.map_err(|e| fail(format!("read the answer of {}: {e}", to.address.rpc), Delivery::Unknown))?;
        if status.is_success() {
            return Ok(answer.to_vec());
        }
        let delivery = if status == StatusCode::MISDIRECTED_REQUEST { Delivery::Refused } else { Delivery::Unknown };
        Err(fail(format!("{} refused: {}", to.address.rpc, String::from_utf8_lossy(&answer)), delivery))
    }
}

impl Transport for Peers {
    fn call<'a>(
        &'a self,
        target: &'a ServerId,
        address: &'a ServerAddress,
        rpc: Rpc,
        body: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, TransportError>> {
        Box::pin(self.exchange(Server { id: target.clone(), address: address.clone() }, rpc, body, deadline))
    }

    fn trouble(&self) -> Option<String> {
        self.channels.lag().map(|lag| format!("But {lag}"))
    }
}

/// How often the other servers are told where this one is, until it is a member there.
const TELL_SOON: Duration = Duration::from_millis(500);
/// How often they are told afterwards: a server whose address changed is found again within as much.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// How long one of them may take to answer. A new member may have to wait for a leader.
const TELL_DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// The announcer task: tells the other servers where this one is, and hears where they are. Until this server is a member all are asked to make
/// it one. `configured` are the addresses of the configuration: when every server has moved, only those are right.
pub async fn announce(consensus: Consensus, peers: Peers, name: String, configured: Vec<String>, stop: CancellationToken) {
    let mut was_removed = false;
    // Who said that this server is gone. Only these can say otherwise: those that are gone with it may still take it for a member.
    let mut gone: BTreeSet<String> = BTreeSet::new();
    let mut said = String::new();
    loop {
        let here = here(&consensus, &peers, &name);
        let mut targets = configured.clone();
        targets.extend(consensus.members().into_iter().map(|m| m.address.rpc));
        targets.sort();
        targets.dedup();
        targets.retain(|target| *target != here.rpc);
        let told = futures::future::join_all(targets.iter().map(|target| tell(&consensus, &peers, target, &here)));
        let Some(told) = stop.run_until_cancelled(told).await else { return };
        heed(&consensus, &mut gone, &targets, &told);
        // The same words every half a second would hide the rest of the log.
        if let Some(why) = told.iter().find_map(Told::refusal).filter(|why| **why != said) {
            tracing::warn!("a server does not take this one in: {why}");
            said.clone_from(why);
        }
        let own = consensus.id();
        let is_known = consensus.members().iter().any(|m| m.id == *own && m.address.rpc == here.rpc);
        if consensus.status().is_removed && !was_removed {
            tracing::warn!(
                id = %own,
                "this server was removed from the cluster; to come back it joins as a new one: remove its data folder, and start it with a token; \
                 or take it in again as it is (floe operator raft add-peer)"
            );
        }
        was_removed = consensus.status().is_removed;
        let pause = if was_removed || (is_known && (told.is_empty() || told.contains(&Told::Known))) { TELL_AGAIN } else { TELL_SOON };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// What a server says of itself.
pub(crate) fn here(consensus: &Consensus, peers: &Peers, name: &str) -> HereIsServer {
    let cluster = consensus.cluster().map(ToString::to_string).unwrap_or_default();
    HereIsServer { name: name.to_owned(), rpc: peers.own_address().to_owned(), version: CLUSTER_VERSION, cluster }
}

/// What came of telling a server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// It knows this one as a member.
    Known,
    /// It does not, yet; or it was not reached.
    NotYet,
    /// It said no.
    Refused(String),
    /// It said no, for good.
    Gone(String),
}

impl Told {
    fn refusal(&self) -> Option<&String> {
        match self {
            Told::Refused(why) | Told::Gone(why) => Some(why),
            Told::Known | Told::NotYet => None,
        }
    }
}

/// Takes no part any more when somebody says that this server is gone, and takes part again when those who said so know it as a member.
fn heed(consensus: &Consensus, gone: &mut BTreeSet<String>, targets: &[String], told: &[Told]) {
    let of = |wanted: fn(&Told) -> bool| targets.iter().zip(told).filter(move |(_, told)| wanted(told)).map(|(target, _)| target);
    let say_gone: Vec<String> = of(|told| matches!(told, Told::Gone(_))).cloned().collect();
    if !say_gone.is_empty() {
        consensus.retire();
        gone.extend(say_gone);
    } else if of(|told| *told == Told::Known).any(|target| gone.contains(target)) {
        consensus.reinstate();
        gone.clear();
    }
}

/// Tells one server.
async fn tell(consensus: &Consensus, peers: &Peers, target: &str, here: &HereIsServer) -> Told {
    match exchange_addresses(peers, target, here).await {
        Ok(answer) => {
            let address = ServerAddress { name: answer.own.name, rpc: answer.own.rpc, version: answer.own.version };
            consensus.learn_address(ServerId::from(answer.id), address);
            if answer.is_member { Told::Known } else { Told::NotYet }
        }
        Err(NotTold::Refused(why)) => Told::Refused(why),
        Err(NotTold::Gone(why)) => Told::Gone(why),
        Err(NotTold::Unreached(why)) => {
            tracing::debug!(server = target, why, "a server was not told where this one is");
            Told::NotYet
        }
    }
}

/// Why there is no answer.
enum NotTold {
    Unreached(String),
    Refused(String),
    /// For good.
    Gone(String),
}

async fn exchange_addresses(peers: &Peers, target: &str, here: &HereIsServer) -> Result<Servers, NotTold> {
    let unreached = |why: String| NotTold::Unreached(why);
    let body = rmp_serde::to_vec_named(here).map_err(|e| unreached(e.to_string()))?;
    let request =
        Request::post(peers.channels.uri(target, rpc::SERVER)).body(Full::new(Bytes::from(body))).map_err(|e| unreached(e.to_string()))?;
    let response = peers.channels.call(target, request, TELL_DEADLINE).await.map_err(|e| unreached(e.to_string()))?;
    let status = response.status();
    let body = read_body(response.into_body(), MAX_ANSWER_BYTES, TELL_DEADLINE).await.map_err(|e| unreached(e.to_string()))?;
    if !status.is_success() {
        let why = String::from_utf8_lossy(&body).into_owned();
        return Err(if status == StatusCode::GONE { NotTold::Gone(why) } else { NotTold::Refused(why) });
    }
    rmp_serde::from_slice(&body).map_err(|e| unreached(e.to_string()))
}
