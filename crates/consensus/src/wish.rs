//! A command on its way: encoded once, where it is proposed, and decoded once on each server, where it is applied. Pure.
//!
//! The log keeps, and servers send each other, the bytes that the proposer made: what lies between knows that they are a command, and no more.

use crate::codec::{self, DecodeError, EncodeError};
use bytes::Bytes;
use floe_state::{Command, Entry, Stamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A command that is to be proposed, and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) command: Command,
    pub(crate) bytes: Bytes,
}

impl Encoded {
    pub(crate) fn new(command: Command) -> Result<Self, EncodeError> {
        let bytes = codec::encode("command", &command)?.into();
        Ok(Self { command, bytes })
    }

    /// One that another server passed on.
    pub(crate) fn received(bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self { command: codec::decode("command", &bytes)?, bytes })
    }
}

/// A stamped command: the payload of its log record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Bytes")]
pub(crate) struct Wish(Bytes);

impl Wish {
    pub(crate) fn new(stamp: Stamp, command: &Encoded) -> Result<Self, EncodeError> {
        codec::command_record(stamp, &command.bytes).map(Self)
    }

    /// The payload of a log record that holds a command.
    pub(crate) fn of_record(payload: &Bytes) -> Option<Self> {
        codec::is_command(payload).then(|| Self(payload.clone()))
    }

    /// What the log keeps.
    pub(crate) fn record(&self) -> Bytes {
        self.0.clone()
    }

    /// What it says; `index` is its place in the log, for the error.
    pub(crate) fn decode(&self, index: u64) -> Result<Entry, DecodeError> {
        codec::decode_command(index, &self.0)
    }
}

impl TryFrom<Bytes> for Wish {
    type Error = &'static str;
    fn try_from(payload: Bytes) -> Result<Self, &'static str> {
        Self::of_record(&payload).ok_or("an entry says that it is a command, and is none")
    }
}

/// openraft wants one for its own logs.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a command of {} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::Timestamp;

    fn command() -> Command {
        Command::RefuseAgent { id: "a".to_owned() }
    }

    #[test]
    fn its_bytes_are_those_of_the_entry_as_a_whole() {
        let stamp = Stamp { now: Timestamp(-7), seed: (u64::MAX, 1) };
        let wish = Wish::new(stamp, &Encoded::new(command()).unwrap()).unwrap();
        let entry = Entry { stamp, command: command() };
        assert_eq!(wish.record().split_first().unwrap().1, rmp_serde::to_vec_named(&entry).unwrap());
        assert_eq!(wish.decode(1).unwrap(), entry);
    }

    #[test]
    fn whatever_its_stamp_there_is_room_for_it() {
        let command = Encoded::new(command()).unwrap();
        for (now, seed) in [(i64::MIN, (u64::MAX, u64::MAX)), (i64::MAX, (0, u64::MAX)), (0, (0, 0))] {
            let wish = Wish::new(Stamp { now: Timestamp(now), seed }, &command).unwrap();
            assert!(wish.record().len() <= command.bytes.len() + codec::STAMP_ROOM);
        }
    }

    #[test]
    fn only_a_command_passes_for_one() {
        let wish = Wish::new(Stamp::default(), &Encoded::new(command()).unwrap()).unwrap();
        let sent = codec::encode("wish", &wish).unwrap();
        assert_eq!(codec::decode::<Wish>("wish", &sent).unwrap(), wish);
        for payload in [&[][..], &[0], &[2, 0x80]] {
            let sent = codec::encode("wish", &Bytes::copy_from_slice(payload)).unwrap();
            assert!(codec::decode::<Wish>("wish", &sent).is_err());
        }
    }
}
