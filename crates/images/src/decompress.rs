//! What a layer is packed in, and the digest of what passes.

use crate::{digest::Digest, manifest::Packing};
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, BufReader, Read};

/// Computes the digest of what is read through it.
pub(crate) struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    /// The digest of what passed.
    pub(crate) fn digest(self) -> Digest {
        Digest::from_hash(self.hash)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..n).unwrap_or_default());
        Ok(n)
    }
}

/// Unpacks while it is read.
pub(crate) enum Unpacked<R: Read> {
    Plain(BufReader<R>),
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
    Zstd(Box<Frames<BufReader<R>>>),
}

impl<R: Read> Unpacked<R> {
    pub(crate) fn new(inner: R, packing: Packing) -> Self {
        let inner = BufReader::with_capacity(64 << 10, inner);
        match packing {
            Packing::Plain => Self::Plain(inner),
            Packing::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(inner))),
            Packing::Zstd => Self::Zstd(Box::new(Frames::Between(inner))),
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.read(buffer),
            Self::Gzip(inner) => inner.read(buffer),
            Self::Zstd(inner) => inner.read(buffer),
        }
    }
}

/// All frames of a stream, one after the other; the decoder knows only one at a time.
pub(crate) enum Frames<R: Read> {
    Between(R),
    Inside(R, Box<FrameDecoder>),
    Broken,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(self, Frames::Broken) {
                Frames::Broken => return Err(io::Error::other("the stream broke before")),
                Frames::Between(mut inner) => {
                    if inner.fill_buf()?.is_empty() {
                        *self = Frames::Between(inner);
                        return Ok(0);
                    }
                    *self = next_frame(inner)?;
                }
                Frames::Inside(mut inner, mut decoder) => {
                    while decoder.can_collect() == 0 && !decoder.is_finished() {
                        decoder.decode_blocks(&mut inner, BlockDecodingStrategy::UptoBlocks(1)).map_err(broken)?;
                    }
                    let n = decoder.read(buffer)?;
                    let is_over = decoder.is_finished() && decoder.can_collect() == 0;
                    *self = if is_over { Frames::Between(inner) } else { Frames::Inside(inner, decoder) };
                    if n > 0 || buffer.is_empty() {
                        return Ok(n);
                    }
                }
            }
        }
    }
}

/// Begins a frame, or skips one that holds no data.
fn next_frame<R: BufRead>(mut inner: R) -> io::Result<Frames<R>> {
    let mut decoder = FrameDecoder::new();
    match decoder.init(&mut inner) {
        Ok(()) => Ok(Frames::Inside(inner, Box::new(decoder))),
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            let skipped = io::copy(&mut inner.by_ref().take(u64::from(length)), &mut io::sink())?;
            if skipped == u64::from(length) { Ok(Frames::Between(inner)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        Err(error) => Err(broken(error)),
    }
}

fn broken(error: FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn read_all(bytes: &[u8], packing: Packing) -> io::Result<String> {
        let mut text = String::new();
        Unpacked::new(bytes, packing).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn frames_are_read_to_the_last_one() {
        let frame = |text: &str| compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
        let skipped = [&0x184D_2A50u32.to_le_bytes()[..], &4u32.to_le_bytes(), b"skip"].concat();
        let three = [frame("one "), skipped, frame("two "), frame("three")].concat();
        assert_eq!(read_all(&three, Packing::Zstd).unwrap(), "one two three");
        assert!(read_all(&three[..three.len() - 3], Packing::Zstd).is_err());
        assert!(read_all(b"no zstd at all", Packing::Zstd).is_err());
        assert!(read_all(&[&0x184D_2A50u32.to_le_bytes()[..], &9u32.to_le_bytes(), b"short"].concat(), Packing::Zstd).is_err());
        assert_eq!(read_all(b"", Packing::Zstd).unwrap(), "");
    }

    #[test]
    fn what_passes_has_its_digest() {
        let mut reader = Hashing::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.digest(), Digest::of(b"abc"));
    }
}
