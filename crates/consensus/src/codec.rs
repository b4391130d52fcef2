//! The bytes of log entries, votes and what is said of a snapshot. Pure.
//!
//! An entry is one byte for its kind and then MessagePack with field names, so that a later build can add fields. The store has checked that
//! the bytes are those that were written: what cannot be decoded was written by a newer build.

use crate::raft_types::{Entry, LogId, Payload, SnapshotMeta, StoredMembership, Vote, log_id, position};
use floe_store::LogRecord;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

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

/// How many bytes a value takes.
pub(crate) fn size<T: Serialize>(what: &'static str, value: &T) -> Result<usize, EncodeError> {
    let mut count = Count(0);
    value.serialize(&mut rmp_serde::Serializer::new(&mut count).with_struct_map()).map_err(|source| EncodeError { what, source })?;
    Ok(count.0)
}

struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The entry as the log keeps it.
pub(crate) fn encode_entry(entry: &Entry) -> Result<LogRecord, EncodeError> {
    let kind = match &entry.payload {
        Payload::Blank => BLANK,
        Payload::Normal(_) => COMMAND,
        Payload::Membership(_) => MEMBERSHIP,
    };
    let mut payload = vec![kind];
    let mut serializer = rmp_serde::Serializer::new(&mut payload).with_struct_map();
    let written = match &entry.payload {
        Payload::Blank => Ok(()),
        Payload::Normal(command) => command.serialize(&mut serializer),
        Payload::Membership(membership) => membership.serialize(&mut serializer),
    };
    written.map_err(|source| EncodeError { what: "log entry", source })?;
    Ok(LogRecord { position: position(&entry.log_id), payload: payload.into() })
}

/// The entry that the log kept.
pub(crate) fn decode_entry(record: &LogRecord) -> Result<Entry, DecodeError> {
    let index = record.index();
    let (kind, body) = record.payload.split_first().ok_or(DecodeError::Empty { index })?;
    let future = |source| DecodeError::FutureEntry { index, source };
    let payload = match *kind {
        BLANK => Payload::Blank,
        COMMAND => Payload::Normal(rmp_serde::from_slice(body).map_err(future)?),
        MEMBERSHIP => Payload::Membership(rmp_serde::from_slice(body).map_err(future)?),
        kind => return Err(DecodeError::FutureKind { index, kind }),
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
