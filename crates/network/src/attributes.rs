//! Reading netlink frames and attributes that may be anything.
//!
//! Pure, and never panics: other people's nftables rules and connections pass through here. Where the
//! kernel's answers concern only our own links the typed parsers of the packet crates are used instead.

/// Length of a netlink message header, in bytes.
const FRAME_HEADER: usize = 16;
/// Length of an attribute's header, in bytes.
const ATTRIBUTE_HEADER: usize = 4;
/// Length of the header of a netfilter message (family, version, resource), in bytes.
const NETFILTER_HEADER: usize = 4;
/// The bits of an attribute's type that are its type; the others are flags.
const TYPE_MASK: u16 = 0x3fff;

/// One netlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

impl Frame<'_> {
    /// The error number of an acknowledgement or of the end of a dump: 0 or negative.
    pub(crate) fn status(&self) -> Option<i32> {
        self.payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
    }
}

/// Splits a datagram into messages; stops at the first one that is cut off.
pub(crate) fn frames(mut datagram: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let (header, _) = datagram.split_at_checked(FRAME_HEADER)?;
        let length = u32_ne(header, 0)? as usize;
        let frame = Frame {
            kind: u16_ne(header, 4)?,
            flags: u16_ne(header, 6)?,
            sequence: u32_ne(header, 8)?,
            payload: datagram.get(FRAME_HEADER..length)?,
        };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(frame)
    })
}

/// The attributes of a netfilter message, behind its own header.
pub(crate) fn netfilter_attributes(payload: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    attributes(payload.get(NETFILTER_HEADER..).unwrap_or_default())
}

/// Splits a buffer into attributes (type without flags, value); stops at the first one that is cut off.
pub(crate) fn attributes(mut buffer: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_ne(buffer, 0)?);
        let kind = u16_ne(buffer, 2)? & TYPE_MASK;
        let value = buffer.get(ATTRIBUTE_HEADER..length)?;
        buffer = buffer.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of this type.
pub(crate) fn find(buffer: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(buffer).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// A NUL-terminated name.
pub(crate) fn text(value: &[u8]) -> String {
    let value = value.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// A number in network byte order.
pub(crate) fn u32_be(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn u16_ne(buffer: &[u8], at: usize) -> Option<u16> {
    buffer.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

fn u32_ne(buffer: &[u8], at: usize) -> Option<u32> {
    buffer.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::cast_possible_truncation)]
    use super::*;
    use proptest::prelude::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn attributes_are_found_behind_padding_and_without_flags() {
        let mut buffer = attribute(1, b"abc\0d");
        buffer.extend(attribute(2 | 0x8000, &7u32.to_be_bytes()));
        assert_eq!(find(&buffer, 1).map(text), Some("abc".into()));
        assert_eq!(find(&buffer, 2).and_then(u32_be), Some(7));
        assert_eq!(find(&buffer, 3), None);
    }

    #[test]
    fn lengths_that_lie_end_the_walk() {
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[0, 0, 0, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(frames(&[0; 64]).count(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_loop(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(attributes(&bytes).count() <= bytes.len());
            prop_assert!(frames(&bytes).filter(|f| f.status().is_some()).count() <= bytes.len());
            prop_assert!(netfilter_attributes(&bytes).count() <= bytes.len());
        }
    }
}
