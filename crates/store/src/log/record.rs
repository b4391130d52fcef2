//! A log entry as the disk sees it.

use crate::frame;
use bytes::Bytes;

/// Where an entry stands: its index and the term of the leader that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The term.
    pub term: u64,
    /// The index.
    pub index: u64,
}

impl Position {
    pub(crate) fn encode(self) -> Vec<u8> {
        [self.term.to_be_bytes(), self.index.to_be_bytes()].concat()
    }
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (term, rest) = bytes.split_first_chunk::<8>()?;
        let index: &[u8; 8] = rest.try_into().ok()?;
        Some(Self { term: u64::from_be_bytes(*term), index: u64::from_be_bytes(*index) })
    }
}

/// One entry of the log. What the payload means is the caller's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub payload: Bytes,
}

/// The checksum and the term.
const HEADER_BYTES: usize = frame::HEADER_BYTES + 8;

impl LogRecord {
    /// Its index.
    pub fn index(&self) -> u64 {
        self.position.index
    }
    /// How many bytes it takes, in memory and on disk.
    pub(crate) fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }
    /// Writes checksum, term and payload; `into` has [`LogRecord::bytes`] bytes.
    pub(crate) fn write(&self, into: &mut [u8]) {
        let term = self.position.term.to_be_bytes();
        let sum = frame::checksum(&self.position.index.to_be_bytes(), &[&term, &self.payload]);
        let Some((to_sum, rest)) = into.split_first_chunk_mut() else { return };
        let Some((to_term, to_payload)) = rest.split_first_chunk_mut() else { return };
        (*to_sum, *to_term) = (sum, term);
        to_payload.copy_from_slice(&self.payload);
    }
    /// Reads what [`LogRecord::write`] wrote for the entry at `index`; nothing when it is damaged.
    pub(crate) fn read(index: u64, bytes: &[u8]) -> Option<Self> {
        let body = frame::open(&index.to_be_bytes(), bytes)?;
        let (term, payload) = body.split_first_chunk::<8>()?;
        Some(Self { position: Position { term: u64::from_be_bytes(*term), index }, payload: Bytes::copy_from_slice(payload) })
    }
}
