//! A snapshot file: a header with a checksum over everything, then what the caller says about it, then its body. Pure.
//!
//! ```text
//! magic 8 | format 4 | term 8 | index 8 | length of meta 8 | length of body 8 | SHA-256 of all the rest 32 | meta | body
//! ```
//!
//! SHA-256 rather than a short sum: a snapshot travels between servers and through backups, and is compared by people.

use super::SnapshotId;
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"floe-snp";
/// The version of the form above.
pub(crate) const FORMAT: u32 = 1;
/// The header without the digest.
const HEAD_BYTES: usize = 8 + 4 + 4 * 8;
const DIGEST_BYTES: usize = 32;

/// Why a file is not a snapshot that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    NotASnapshot,
    Future(u32),
    Truncated,
    TooLong,
    WrongDigest,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Flaw::NotASnapshot => write!(f, "it is not a snapshot file"),
            Flaw::Future(found) => write!(f, "it has format {found}, but this build reads up to {FORMAT}"),
            Flaw::Truncated => write!(f, "it is shorter than it says"),
            Flaw::TooLong => write!(f, "it is longer than it says"),
            Flaw::WrongDigest => write!(f, "its checksum is wrong"),
        }
    }
}

pub(crate) fn header(id: SnapshotId, meta: &[u8], body: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES + DIGEST_BYTES);
    head.extend(MAGIC);
    head.extend(FORMAT.to_be_bytes());
    for number in [id.term, id.index, meta.len() as u64, body.len() as u64] {
        head.extend(number.to_be_bytes());
    }
    let digest = digest(&head, &[meta, body]);
    head.extend(digest);
    head
}

pub(crate) struct Parsed<'a> {
    pub(crate) id: SnapshotId,
    pub(crate) meta: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// Reads and checks a whole file.
pub(crate) fn parse(file: &[u8]) -> Result<Parsed<'_>, Flaw> {
    let rest = file.strip_prefix(MAGIC.as_slice()).ok_or(Flaw::NotASnapshot)?;
    let (format, rest) = rest.split_first_chunk::<4>().ok_or(Flaw::Truncated)?;
    let format = u32::from_be_bytes(*format);
    if format > FORMAT {
        return Err(Flaw::Future(format));
    }
    let (term, rest) = number(rest)?;
    let (index, rest) = number(rest)?;
    let (meta_len, rest) = number(rest)?;
    let (body_len, rest) = number(rest)?;
    let (sum, rest) = rest.split_first_chunk::<DIGEST_BYTES>().ok_or(Flaw::Truncated)?;
    let length = meta_len.checked_add(body_len).ok_or(Flaw::Truncated)?;
    match (rest.len() as u64).cmp(&length) {
        std::cmp::Ordering::Less => return Err(Flaw::Truncated),
        std::cmp::Ordering::Greater => return Err(Flaw::TooLong),
        std::cmp::Ordering::Equal => {}
    }
    let split = usize::try_from(meta_len).map_err(|_| Flaw::Truncated)?;
    let (meta, body) = rest.split_at_checked(split).ok_or(Flaw::Truncated)?;
    let head = file.get(..HEAD_BYTES).ok_or(Flaw::Truncated)?;
    if digest(head, &[rest]) != *sum {
        return Err(Flaw::WrongDigest);
    }
    Ok(Parsed { id: SnapshotId { index, term }, meta, body })
}

fn number(bytes: &[u8]) -> Result<(u64, &[u8]), Flaw> {
    let (number, rest) = bytes.split_first_chunk::<8>().ok_or(Flaw::Truncated)?;
    Ok((u64::from_be_bytes(*number), rest))
}

fn digest(head: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut hasher = Sha256::new();
    hasher.update(head);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
