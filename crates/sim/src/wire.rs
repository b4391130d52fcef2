//! What the simulation reads of messages and logs: the fields that invariants speak of, and no more.

use floe_consensus::Rpc;
use floe_store::LogRecord;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A vote as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Vote {
    pub(crate) leader_id: LeaderId,
    #[serde(default)]
    pub(crate) committed: bool,
}

/// For whom, and when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct LeaderId {
    pub(crate) term: u64,
    pub(crate) voted_for: Option<String>,
}

#[derive(Deserialize)]
struct Call<Q> {
    request: Q,
}

#[derive(Deserialize)]
enum Answer<A> {
    Done(A),
    Removed,
}

#[derive(Deserialize)]
struct VoteRequest {
    vote: Vote,
}

#[derive(Deserialize)]
struct VoteResponse {
    vote_granted: bool,
}

#[derive(Deserialize)]
struct AppendRequest {
    prev_log_id: Option<LogIndex>,
    entries: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct LogIndex {
    index: u64,
}

#[derive(Deserialize)]
enum AppendResponse {
    Success,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MembershipEntry {
    configs: Vec<BTreeSet<String>>,
    nodes: BTreeMap<String, serde::de::IgnoredAny>,
}

/// A membership as a log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) configs: Vec<BTreeSet<String>>,
    pub(crate) nodes: BTreeSet<String>,
}

impl Membership {
    pub(crate) fn voters(&self) -> BTreeSet<String> {
        self.configs.iter().flatten().cloned().collect()
    }
}

/// What an entry says.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Blank,
    Command(Box<floe_state::Entry>),
    Membership(Membership),
    Unknown,
}

pub(crate) fn content(record: &LogRecord) -> Content {
    match record.payload.split_first() {
        Some((0, _)) => Content::Blank,
        Some((1, body)) => rmp_serde::from_slice(body).map_or(Content::Unknown, |entry| Content::Command(Box::new(entry))),
        Some((2, body)) => rmp_serde::from_slice::<MembershipEntry>(body).map_or(Content::Unknown, |found| {
            Content::Membership(Membership { configs: found.configs, nodes: found.nodes.into_keys().collect() })
        }),
        _ => Content::Unknown,
    }
}

pub(crate) fn vote(bytes: &[u8]) -> Option<Vote> {
    rmp_serde::from_slice(bytes).ok()
}

/// The vote that a server gave, if it gave one.
pub(crate) fn granted(request: &[u8], answer: &[u8]) -> Option<Vote> {
    match rmp_serde::from_slice::<Answer<VoteResponse>>(answer).ok()? {
        Answer::Done(VoteResponse { vote_granted: true }) => {}
        Answer::Done(_) | Answer::Removed => return None,
    }
    rmp_serde::from_slice::<Call<VoteRequest>>(request).ok().map(|call| call.request.vote)
}

/// The name of the command that one server passes on to another, if it does.
pub(crate) fn proposed(rpc: Rpc, request: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Proposal {
        command: bytes::Bytes,
    }
    if rpc != Rpc::Propose {
        return None;
    }
    let proposal = rmp_serde::from_slice::<Call<Proposal>>(request).ok()?.request;
    rmp_serde::from_slice::<floe_state::Command>(&proposal.command).ok().map(|command| command.name())
}

/// The last index that a follower acknowledged, if it did.
pub(crate) fn acknowledged(request: &[u8], answer: &[u8]) -> Option<u64> {
    match rmp_serde::from_slice::<Answer<AppendResponse>>(answer).ok()? {
        Answer::Done(AppendResponse::Success) => {}
        Answer::Done(AppendResponse::Other) | Answer::Removed => return None,
    }
    let request = rmp_serde::from_slice::<Call<AppendRequest>>(request).ok()?.request;
    let entries = request.entries.len() as u64;
    match request.prev_log_id {
        Some(prev) => Some(prev.index + entries),
        None => entries.checked_sub(1),
    }
}

/// The membership that a snapshot's header names: the index of its entry.
pub(crate) fn snapshot_membership(meta: &[u8]) -> Option<(Option<u64>, BTreeSet<String>)> {
    #[derive(Deserialize)]
    struct Meta {
        membership: Stored,
    }
    #[derive(Deserialize)]
    struct Stored {
        log_id: Option<LogIndex>,
        membership: MembershipEntry,
    }
    let meta: Meta = rmp_serde::from_slice(meta).ok()?;
    Some((meta.membership.log_id.map(|id| id.index), meta.membership.membership.configs.into_iter().flatten().collect()))
}
