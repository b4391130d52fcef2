//! A backup as a file.
//!
//! ```text
//! magic      8 bytes   "floebkup"
//! format     4 bytes   1
//! length     4 bytes   of the metadata
//! metadata             MessagePack with field names, so that a newer build can add fields
//! body                 the state as `State::encode` writes it, compressed (DEFLATE)
//! digest    32 bytes   SHA-256 of everything before it
//! ```
//!
//! Numbers are big endian. Whatever was cut off, added or changed, the digest at the end does not fit, and nothing is read. The digest says that
//! the file is as it was written; it does not say who wrote it.

mod error;
mod metadata;
mod redact;

pub use error::ArchiveError;
pub use metadata::{Metadata, Origin};
pub use redact::{REDACTED, RedactError};

use crate::State;
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

/// The first bytes of every archive.
const MAGIC: &[u8; 8] = b"floebkup";
/// The version of the form above.
pub const FORMAT: u32 = 1;
/// Magic, format and the length of the metadata.
const HEAD_BYTES: usize = 16;
/// The digest at the end.
const DIGEST_BYTES: usize = 32;
/// The most bytes of metadata: it has a fixed number of short fields.
const MAX_METADATA_BYTES: usize = 64 << 10;
/// The most bytes of an archive. It travels through the log in pieces and is in memory as a whole while it is restored.
pub const MAX_ARCHIVE_BYTES: usize = 512 << 20;
/// The most bytes of a state before it is compressed: as many as one server sends another.
pub const MAX_BODY_BYTES: u64 = 4 << 30;
/// The highest index that a state in an archive may have: JSON numbers are exact up to it, and no log comes so far.
pub const MAX_INDEX: u64 = 1 << 53;

/// An archive that was read, and is whole.
#[derive(Clone, Debug)]
pub struct Archive {
    /// What it says of itself.
    pub metadata: Metadata,
    /// What is in it.
    pub state: State,
    /// The digest of the file, as hexadecimal digits.
    pub file_digest: String,
}

impl Archive {
    /// Whether this build finds the same digest of the content as the one that wrote it.
    pub fn has_same_digest(&self) -> bool {
        self.metadata.digest == self.state.content_digest()
    }

    /// Refuses an archive whose content has another digest than it says, if this build makes digests as the one that wrote it. Not a part of
    /// [`decode`], which must come to the same on servers of all builds.
    ///
    /// # Errors
    /// When the digests differ and are of one form.
    pub fn check_digest(&self) -> Result<(), ArchiveError> {
        let is_comparable = self.metadata.digest_form == crate::digest::FORM;
        if is_comparable { metadata::same("content's digest", self.metadata.digest, self.state.content_digest()) } else { Ok(()) }
    }
}

/// Writes the state as an archive. Join tokens stay behind: they let nobody into another cluster, and must not come back in their own.
///
/// # Errors
/// When it is larger than an archive may be.
pub fn encode(state: &State, origin: Origin) -> Result<Vec<u8>, ArchiveError> {
    encode_within(state, origin, MAX_BODY_BYTES, MAX_ARCHIVE_BYTES)
}

fn encode_within(state: &State, origin: Origin, max_body: u64, max_archive: usize) -> Result<Vec<u8>, ArchiveError> {
    let body = state.for_backup().encode();
    if body.len() as u64 > max_body {
        return Err(ArchiveError::state_too_large(body.len(), max_body));
    }
    let metadata = Metadata::of(state, origin, body.len() as u64).to_bytes();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_be_bytes());
    bytes.extend(u32::try_from(metadata.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(metadata);
    let bytes = compress(bytes, &body);
    if bytes.len() + DIGEST_BYTES > max_archive {
        return Err(ArchiveError::state_too_large(bytes.len() + DIGEST_BYTES, max_archive as u64));
    }
    let digest = Sha256::digest(&bytes);
    Ok([bytes, digest.to_vec()].concat())
}

/// Appends the body to `bytes`, compressed.
fn compress(bytes: Vec<u8>, body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(bytes, Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("invariant: writing to memory does not fail")
}

/// Reads an archive, and checks what it says of itself, but for the digest of its content: see [`Archive::check_digest`].
///
/// # Errors
/// When it is no archive, a newer build's, damaged in any way, or says of itself what is not true. Nothing is half read.
pub fn decode(bytes: &[u8]) -> Result<Archive, ArchiveError> {
    if bytes.len() > MAX_ARCHIVE_BYTES {
        return Err(ArchiveError::too_large(bytes.len()));
    }
    let (head, digest) = check_whole(bytes)?;
    let (metadata, body) = parts(head)?;
    let body = inflate(body, metadata.body_bytes)?;
    let state = State::decode(&body)?;
    metadata.check(&state)?;
    Ok(Archive { metadata, state, file_digest: digest.iter().map(|byte| format!("{byte:02x}")).collect() })
}

/// An error with its causes, in one line.
pub(crate) fn in_words(error: &ArchiveError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

/// The SHA-256 of a whole file, as it travels.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Everything but the digest, and the digest, which fits.
fn check_whole(bytes: &[u8]) -> Result<(&[u8], &[u8]), ArchiveError> {
    let Some(rest) = bytes.strip_prefix(MAGIC.as_slice()) else {
        let is_begun = !bytes.is_empty() && MAGIC.starts_with(bytes);
        let foreign = || ArchiveError::Foreign(bytes.iter().take(MAGIC.len()).copied().collect());
        return Err(if is_begun { ArchiveError::Damaged("it ends within its head") } else { foreign() });
    };
    let format = rest.first_chunk::<4>().ok_or(ArchiveError::Damaged("it ends within its head"))?;
    match u32::from_be_bytes(*format) {
        0 => return Err(ArchiveError::Damaged("there is no format 0")),
        FORMAT => {}
        future => return Err(ArchiveError::FutureFormat(future)),
    }
    let (head, digest) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or(ArchiveError::Damaged("it ends within its head"))?;
    if Sha256::digest(head).as_slice() != digest {
        return Err(ArchiveError::Damaged("its digest does not fit"));
    }
    Ok((head, digest))
}

/// The metadata, and the compressed body.
fn parts(head: &[u8]) -> Result<(Metadata, &[u8]), ArchiveError> {
    const CUT: ArchiveError = ArchiveError::Damaged("its metadata does not end");
    let rest = head.get(HEAD_BYTES - 4..).ok_or(CUT)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_METADATA_BYTES {
        return Err(ArchiveError::Damaged("its metadata is too long"));
    }
    let (metadata, body) = rest.split_at_checked(length).ok_or(CUT)?;
    let metadata = rmp_serde::from_slice(metadata).map_err(|_| ArchiveError::Damaged("its metadata cannot be read"))?;
    Ok((metadata, body))
}

/// The body as it was before it was compressed: as long as the metadata says, and no more is unpacked than that.
fn inflate(compressed: &[u8], length: u64) -> Result<Vec<u8>, ArchiveError> {
    if length > MAX_BODY_BYTES {
        return Err(ArchiveError::Damaged("its body is too long"));
    }
    let mut body = Vec::new();
    let read = DeflateDecoder::new(compressed).take(length + 1).read_to_end(&mut body);
    read.map_err(|_| ArchiveError::Damaged("its body cannot be unpacked"))?;
    if body.len() as u64 != length {
        return Err(ArchiveError::Damaged("its body has another length"));
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
