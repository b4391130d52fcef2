//! What agents say to each other: POST over HTTP/2 with MessagePack bodies, on the RPC port.
//!
//! | path | asks | answers |
//! |---|---|---|
//! | [`JOIN`] | [`Join`], by a machine without a certificate | [`Joined`] |
//! | [`BOOTSTRAP`] | [`Bootstrap`], by a server that waits to begin a cluster with others | [`Bootstrap`], in it a [`Standing`] |
//! | [`RENEW`] | [`Renew`] | [`Renewed`] |
//! | [`AUTHORITIES`] | [`AskAuthorities`] | [`Authorities`] |
//! | [`AUTHORITY_KEY`] | [`AskAuthorityKey`], by a server | [`AuthorityKey`] |
//! | [`SERVER`] | [`HereIsServer`] | [`Servers`] |
//! | [`RAFT`] + kind | bytes of the consensus, for the server in [`TARGET_HEADER`] | bytes |
//! | [`REGISTER`] | [`RegisterNode`] | [`Lease`] |
//! | [`HEARTBEAT`] | [`Heartbeat`] | [`Lease`] |
//! | [`REPORT`] | [`Report`] | empty |
//! | [`DESIRED`] | [`WatchDesired`] | a stream of frames, each [`Desired`] |
//!
//! A frame is its length as four bytes, most significant first, and that many bytes of MessagePack; an empty frame is a sign of life.

use bytes::{Buf, Bytes, BytesMut};
use floe_model::{AllocId, Allocation, Node, NodeId, alloc::AllocUpdate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A machine joins the cluster by a token.
pub const JOIN: &str = "/rpc/v1/join";
/// Servers that are to begin a cluster together find out how far each of them is.
pub const BOOTSTRAP: &str = "/rpc/v1/bootstrap";
/// A member gets its next certificate.
pub const RENEW: &str = "/rpc/v1/renew";
/// An agent asks which authorities the cluster has, and says which it goes by.
pub const AUTHORITIES: &str = "/rpc/v1/authorities";
/// A server asks another one for the key of an authority.
pub const AUTHORITY_KEY: &str = "/rpc/v1/authority-key";
/// A server says where it is, and asks to be a member if it is none.
pub const SERVER: &str = "/rpc/v1/server";
/// Servers agree. The kind of call follows.
pub const RAFT: &str = "/rpc/v1/raft/";
/// The id of the server that a call is for. An address may have gone over to another one.
pub const TARGET_HEADER: &str = "x-floe-target";
/// A server passes a node's call on to the leader, once.
pub const FORWARDED_HEADER: &str = "x-floe-forwarded";

/// A node makes itself known.
pub const REGISTER: &str = "/rpc/v1/node/register";
/// A node is alive.
pub const HEARTBEAT: &str = "/rpc/v1/node/heartbeat";
/// A node says what became of its allocations.
pub const REPORT: &str = "/rpc/v1/node/report";
/// A node asks what it should run.
pub const DESIRED: &str = "/rpc/v1/node/desired";

/// How often a server sends a sign of life on a stream, in milliseconds.
pub const KEEPALIVE_MS: u64 = 5_000;

/// See [`JOIN`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Join {
    /// The token, as it was given out.
    pub token: String,
    /// Joins as a server rather than as a client.
    pub server: bool,
    /// The certificate request.
    pub request: Vec<u8>,
    /// The newest version of commands that a server knows; zero from a build that does not say it.
    pub version: u32,
}

/// See [`JOIN`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Joined {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// The certificates of the cluster's authorities.
    pub authorities: Vec<Vec<u8>>,
    /// The key of the cluster's authority, for a server: each one lets others in.
    pub authority_key: Vec<u8>,
    /// Where servers are.
    pub servers: Vec<String>,
}

/// See [`BOOTSTRAP`]: a question, which says nothing but who asks, or its answer. Only who has the servers' secret can read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bootstrap {
    /// The id of the sender.
    pub from: String,
    /// What makes the key of this message its own.
    pub salt: Vec<u8>,
    /// The message.
    pub sealed: Vec<u8>,
}

/// How far a server is, as it tells another one with which it is to begin a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It waits for the others.
    Waiting {
        /// How many servers it expects, itself included.
        expect: u16,
        /// The id of the server that it supports to be the first; empty when it supports none yet.
        supports: String,
    },
    /// It is in a cluster, and lets the other one in.
    Member {
        /// A join token that is good for the other one alone.
        token: String,
    },
    /// It is in a cluster, and does not let the other one in.
    Refused {
        /// Why not.
        why: String,
    },
    /// It is in a cluster, and cannot say now whether the other one may come in.
    NotNow {
        /// Why not.
        why: String,
    },
}

/// See [`RENEW`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Renew {
    /// The certificate request, of the same key.
    pub request: Vec<u8>,
}

/// See [`RENEW`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Renewed {
    /// The certificate, by the authority that signs now. Whom to trust is asked separately.
    pub certificate: Vec<u8>,
}

/// See [`AUTHORITIES`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AskAuthorities {
    /// The fingerprints of those that the agent trusts.
    pub trusts: Vec<String>,
    /// The fingerprint of the one that signed its certificate.
    pub signer: String,
}

/// See [`AUTHORITIES`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authorities {
    /// Which change of the authorities this is as of; zero when there was none. What is of an earlier one does not count.
    pub round: u64,
    /// The certificates of those to trust, that of the one which is to have signed the agent's certificate first.
    pub certificates: Vec<Vec<u8>>,
    /// When to ask again, in milliseconds.
    pub again_ms: u64,
}

/// See [`AUTHORITY_KEY`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AskAuthorityKey {
    /// The authority's certificate.
    pub certificate: Vec<u8>,
}

/// See [`AUTHORITY_KEY`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorityKey {
    /// The key.
    pub key: Vec<u8>,
}

/// See [`SERVER`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HereIsServer {
    /// Its name, for people.
    pub name: String,
    /// Where it listens for RPC.
    pub rpc: String,
    /// The newest version of commands that it knows; zero from a build that does not say it.
    pub version: u32,
    /// The agreement that its log is of; empty when it has no log yet, and from a build that does not say it.
    pub cluster: String,
}

/// See [`SERVER`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Servers {
    /// The id of the one that answers.
    pub id: String,
    /// Its name and where it is.
    pub own: HereIsServer,
    /// The caller is a member, at the address that it gave.
    pub is_member: bool,
}

/// See [`REGISTER`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegisterNode {
    /// The node.
    pub node: Node,
}

/// How long a server considers a node alive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// Milliseconds until the next heartbeat is due.
    pub ttl_ms: u64,
    /// The server does not know the node (any more): register again.
    pub unknown: bool,
    /// Where the servers are now.
    pub servers: Vec<String>,
}

/// See [`HEARTBEAT`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// The node.
    pub node_id: NodeId,
}

/// See [`REPORT`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The node.
    pub node_id: NodeId,
    /// What became of its allocations, at most [`MAX_REPORTED`].
    pub allocs: Vec<AllocUpdate>,
}

/// How many allocations one report holds.
pub const MAX_REPORTED: usize = 256;

/// See [`DESIRED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchDesired {
    /// The node.
    pub node_id: NodeId,
    /// The index of what it was told last: a server that has not come so far yet must wait, or it would tell of the past.
    pub index: u64,
    /// What the node holds already: the servers' index of each allocation, so that those need not be sent again.
    pub known: BTreeMap<AllocId, u64>,
}

/// Everything that a node should have, as of an index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Desired {
    /// The index.
    pub index: u64,
    /// Every allocation of the node that the servers remember, with the index at which they last changed it. One that the node has and that
    /// is not named here may be forgotten.
    pub allocs: BTreeMap<AllocId, u64>,
    /// Those that the node does not know yet, or only an older version of.
    pub changed: Vec<Allocation>,
}

/// A message that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`crate::MAX_RPC_FRAME_BYTES`].
    #[error("rpc frame of {0} bytes is longer than the limit of {limit}", limit = crate::MAX_RPC_FRAME_BYTES)]
    TooLong(usize),
}

/// A message as a frame.
///
/// # Errors
/// When it is too long.
pub fn frame(message: &[u8]) -> Result<Bytes, FrameError> {
    if message.len() > crate::MAX_RPC_FRAME_BYTES {
        return Err(FrameError::TooLong(message.len()));
    }
    let mut out = Vec::with_capacity(message.len() + 4);
    out.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(message);
    Ok(out.into())
}

/// Takes frames out of a stream of bytes that arrive in pieces.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: BytesMut,
}

impl Deframer {
    /// More bytes arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame's message.
    ///
    /// # Errors
    /// When its length is beyond the limit; the stream is then of no use.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_be_bytes(*head) as usize;
        if len > crate::MAX_RPC_FRAME_BYTES {
            return Err(FrameError::TooLong(len));
        }
        if self.buffer.len() < len + 4 {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_survive_any_cut(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..10), cut in 1usize..20) {
            let stream: Vec<u8> = messages.iter().flat_map(|m| frame(m).unwrap()).collect();
            let mut d = Deframer::default();
            let mut got = Vec::new();
            for piece in stream.chunks(cut) {
                d.push(piece);
                while let Some(m) = d.next_frame().unwrap() {
                    got.push(m.to_vec());
                }
            }
            prop_assert_eq!(got, messages);
        }
    }

    #[test]
    fn the_length_is_bounded_before_anything_is_kept() {
        let mut d = Deframer::default();
        d.push(&u32::try_from(crate::MAX_RPC_FRAME_BYTES).unwrap().to_be_bytes());
        assert!(d.next_frame().unwrap().is_none());
        let mut d = Deframer::default();
        d.push(&(u32::try_from(crate::MAX_RPC_FRAME_BYTES).unwrap() + 1).to_be_bytes());
        assert!(d.next_frame().is_err());
        assert!(frame(&vec![0; crate::MAX_RPC_FRAME_BYTES + 1]).is_err());
    }
}
