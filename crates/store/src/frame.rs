//! A checksum in front of every record.
//!
//! CRC-32 because it finds every burst of up to 32 bits for certain and other damage but for one in 2^32, runs at many GB/s with the
//! carry-less multiplication of every 64-bit machine, and `crc32fast` (MIT or Apache-2.0) is in the tree already. xxh3 would be as fast but
//! promises nothing about bursts. Against somebody who forges records no such sum helps; the data folder is private.
//! The key is part of the sum, so that a record in another's place does not match.

/// How many bytes come before the body.
pub(crate) const HEADER_BYTES: usize = 4;

/// The checksum of a body that is stored under `key`.
pub(crate) fn checksum(key: &[u8], parts: &[&[u8]]) -> [u8; HEADER_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&u64::try_from(key.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(key);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_be_bytes()
}

/// The body with its checksum.
pub(crate) fn seal(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + body.len());
    record.extend(checksum(key, &[body]));
    record.extend(body);
    record
}

/// The body, unless it is damaged.
pub(crate) fn open<'a>(key: &[u8], record: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, body) = record.split_first_chunk::<HEADER_BYTES>()?;
    (*sum == checksum(key, &[body])).then_some(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let record = seal(b"key", b"some body");
        assert_eq!(open(b"key", &record), Some(b"some body".as_slice()));
        assert_eq!(open(b"kez", &record), None);
        for bit in 0..record.len() * 8 {
            let mut bad = record.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(b"key", &bad), None, "bit {bit}");
        }
        for end in 0..record.len() {
            assert_eq!(open(b"key", &record[..end]), None, "cut at {end}");
        }
    }
}
