//! The bytes of log entries, votes and what is said of a snapshot. Pure.
//!
//! An entry is one byte for its kind and then MessagePack with field names, so that a later build can add fields. The store has checked that
//! the bytes are those that were written: what cannot be decoded was written by a newer build.

use crate::{
    raft_types::{Entry, LogId, Payload, SnapshotMeta, StoredMembership, Vote, log_id, position},
    wish::Wish,
};
use bytes::Bytes;
use floe_state::Stamp;
use floe_store::LogRecord;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// How MessagePack begins a map of two fields.
const MAP_OF_TWO: u8 = 0x82;
/// The most bytes that a record has beside its command.
pub(crate) const STAMP_ROOM: usize = 64;

/// Bytes that this build cannot read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error(
        "decode log entry {index}: its kind {kind} is not known here; it was written by a newer version, so upgrade floe on this server"
    )]
    FutureKind { index: u64, kind: u8 },
    #[error(
        "decode log entry {index}: it is whole, but this build does not understand it; it was written by a newer version, so upgrade floe on \
         this server"
    )]
    FutureEntry {
        index: u64,
        #[source]
        source: rmp_serde::decode::Error,
    },
    #[error("decode log entry {index}: it is empty")]
    Empty { index: u64 },
    #[error("decode {what}: it was written by a newer version, so upgrade floe on this server")]
    Future {
        what: &'static str,
        #[source]
        source: rmp_serde::decode::Error,
    },
}

/// A value that MessagePack cannot express.
#[derive(Debug, thiserror::Error)]
#[error("encode {what}")]
pub(crate) struct EncodeError {
    what: &'static str,
    #[source]
    source: rmp_serde::encode::Error,
}

pub(crate) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, EncodeError> {
    rmp_serde::to_vec_named(value).map_err(|source| EncodeError { what, source })
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    rmp_serde::from_slice(bytes).map_err(|source| DecodeError::Future { what, source })
}

/// Whether a log record holds a command.
pub(crate) fn is_command(payload: &[u8]) -> bool {
    payload.first() == Some(&COMMAND)
}

/// The payload of the record of a command that was encoded before: the bytes of a [`floe_state::Entry`].
pub(crate) fn command_record(stamp: Stamp, command: &[u8]) -> Result<Bytes, EncodeError> {
    let fail = |source| EncodeError { what: "log entry", source };
    let mut payload = Vec::with_capacity(command.len() + STAMP_ROOM);
    payload.push(COMMAND);
    payload.push(MAP_OF_TWO);
    let mut write = |key: &str, stamp: Option<Stamp>| {
        let mut serializer = rmp_serde::Serializer::new(&mut payload).with_struct_map();
        key.serialize(&mut serializer)?;
        stamp.map_or(Ok(()), |stamp| stamp.serialize(&mut serializer))
    };
    write("stamp", Some(stamp)).map_err(fail)?;
    write("command", None).map_err(fail)?;
    payload.extend_from_slice(command);
    Ok(payload.into())
}

/// What the record of a command says.
pub(crate) fn decode_command(index: u64, payload: &[u8]) -> Result<floe_state::Entry, DecodeError> {
    let (_, body) = payload.split_first().ok_or(DecodeError::Empty { index })?;
    rmp_serde::from_slice(body).map_err(|source| DecodeError::FutureEntry { index, source })
}

/// The entry as the log keeps it.
pub(crate) fn encode_entry(entry: &Entry) -> Result<LogRecord, EncodeError> {
    let payload = match &entry.payload {
        Payload::Blank => vec![BLANK].into(),
        Payload::Normal(wish) => wish.record(),
        Payload::Membership(membership) => {
            let mut payload = vec![MEMBERSHIP];
            let written = membership.serialize(&mut rmp_serde::Serializer::new(&mut payload).with_struct_map());
            written.map_err(|source| EncodeError { what: "log entry", source })?;
            payload.into()
        }
    };
    Ok(LogRecord { position: position(&entry.log_id), payload })
}

/// The entry that the log kept. A command is not looked into.
pub(crate) fn decode_entry(record: &LogRecord) -> Result<Entry, DecodeError> {
    let index = record.index();
    let (kind, body) = record.payload.split_first().ok_or(DecodeError::Empty { index })?;
    let future = |source| DecodeError::FutureEntry { index, source };
    let payload = match (*kind, Wish::of_record(&record.payload)) {
        (_, Some(wish)) => Payload::Normal(wish),
        (BLANK, None) => Payload::Blank,
        (MEMBERSHIP, None) => Payload::Membership(rmp_serde::from_slice(body).map_err(future)?),
        (kind, None) => return Err(DecodeError::FutureKind { index, kind }),
    };
    Ok(Entry { log_id: log_id(record.position), payload })
}

pub(crate) fn encode_vote(vote: &Vote) -> Result<Vec<u8>, EncodeError> {
    encode("vote", vote)
}

pub(crate) fn decode_vote(bytes: &[u8]) -> Result<Vote, DecodeError> {
    decode("vote", bytes)
}

/// What a snapshot's file says of it beside the state.
#[derive(Serialize, Deserialize)]
struct Meta {
    last: Option<LogId>,
    membership: StoredMembership,
}

pub(crate) fn encode_meta(meta: &SnapshotMeta) -> Result<Vec<u8>, EncodeError> {
    encode("snapshot header", &Meta { last: meta.last_log_id, membership: meta.last_membership.clone() })
}

pub(crate) fn decode_meta(bytes: &[u8]) -> Result<SnapshotMeta, DecodeError> {
    let meta: Meta = decode("snapshot header", bytes)?;
    Ok(SnapshotMeta { last_log_id: meta.last, last_membership: meta.membership })
}
