//! [`SymmetricKek`]: 32 random bytes, from a file or a credential of systemd. Opens and wraps; its id follows from the key, not from where it lies, so
//! a key that moves from a file to a credential goes on opening what it wrapped.

use crate::{
    cipher::{self, KEY_BYTES, Key, SALT_BYTES},
    payload::{self, PayloadError},
    root::RootKey,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use floe_model::keyring::KeyId;
use zeroize::Zeroizing;

const WRAP: &[u8] = b"floe root key wrap 1\0";
const ID: &[u8] = b"floe key-encryption key id 1\0";
/// The first byte of a wrap: which form the rest has.
const FORM: u8 = 1;
/// What the ids of such keys begin with.
pub(crate) const KIND: &str = "key:";
/// The most bytes of a file with a key.
pub(crate) const MAX_FILE_BYTES: usize = 256;

/// Why a file holds no key. None of them repeats what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Wrong size, or other characters.
    #[error("is not a key: it must be 32 random bytes, as they are, in hex or in base64; make one with floe server keyring-key")]
    NotAKey,
    /// All bytes are the same, as read from /dev/zero.
    #[error("is not random: all of its bytes are the same; make a key with floe server keyring-key")]
    NotRandom,
}

/// Why a wrap was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnwrapError {
    #[error("the wrap has a form that this version does not know: is it of a newer one?")]
    Form,
    #[error("the wrap was changed, or is of another root key")]
    Refused,
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// A key-encryption key that the agent holds itself.
pub(crate) struct SymmetricKek {
    id: String,
    key: Key,
}

impl SymmetricKek {
    /// The key in a file of these bytes.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, KeyFileError> {
        let key = decode(file).ok_or(KeyFileError::NotAKey)?;
        if key.windows(2).all(|pair| pair.first() == pair.last()) {
            return Err(KeyFileError::NotRandom);
        }
        let id = cipher::derive::<8>(key.as_slice(), b"", &[ID]);
        Ok(Self { id: format!("{KIND}{:016x}", u64::from_be_bytes(*id)), key })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The wrap of root key `id`, which has this payload.
    pub(crate) fn wrap(&self, id: &KeyId, payload: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
        let salt = cipher::random::<SALT_BYTES>()?;
        let sealed = cipher::seal(&self.key, &salt, &[WRAP, id.as_str().as_bytes()], payload);
        Ok([&[FORM], salt.as_slice(), &sealed].concat())
    }

    /// The root key `id` from its wrap.
    pub(crate) fn unwrap(&self, id: &KeyId, wrap: &[u8]) -> Result<RootKey, UnwrapError> {
        let (form, rest) = wrap.split_first().ok_or(UnwrapError::Form)?;
        let (salt, sealed) = rest.split_first_chunk::<SALT_BYTES>().filter(|_| *form == FORM).ok_or(UnwrapError::Form)?;
        let opened = cipher::open(&self.key, salt, &[WRAP, id.as_str().as_bytes()], sealed).ok_or(UnwrapError::Refused)?;
        Ok(payload::read(id, &opened)?)
    }
}

/// A new key, as the line of a key file.
///
/// # Errors
/// When the kernel gives no random numbers.
pub fn draw_key_file() -> Result<Zeroizing<String>, getrandom::Error> {
    Ok(Zeroizing::new(STANDARD.encode(cipher::random::<KEY_BYTES>()?.as_slice())))
}

/// By its length alone: 32 bytes are the key; 64, 44 and 43 characters are text of it; anything else is no key.
fn decode(file: &[u8]) -> Option<Key> {
    if let Ok(key) = file.try_into() {
        return Some(Zeroizing::new(key));
    }
    let text = file.trim_ascii();
    let bytes = Zeroizing::new(match text.len() {
        64 => hex(text)?,
        44 => STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?,
        43 => STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?,
        _ => return None,
    });
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let byte = |pair: &[u8]| Some(digit(pair.first()?)? << 4 | digit(pair.last()?)?);
    text.chunks_exact(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The bytes 0 to 31.
    fn counted() -> Vec<u8> {
        (0..32).collect()
    }

    #[test]
    fn a_key_is_the_same_in_every_spelling() {
        let id = SymmetricKek::parse(&counted()).unwrap().id;
        assert_eq!(id, "key:e683cb0b67ab4d0b", "ids stay, or every cluster would wrap its keys anew");
        let hex: String = counted().iter().map(|b| format!("{b:02x}")).collect();
        let base64 = STANDARD.encode(counted());
        for text in [hex.clone(), hex.to_uppercase(), format!(" {hex}\n"), base64.clone(), format!("{base64}\n"), base64.replace('=', "")] {
            assert_eq!(SymmetricKek::parse(text.as_bytes()).unwrap().id, id, "{text}");
        }
        assert_ne!(SymmetricKek::parse(draw_key_file().unwrap().as_bytes()).unwrap().id, id);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let with_newline = [counted().as_slice(), b"\n"].concat();
        let short = STANDARD.encode([7; 31]);
        let refused: [&[u8]; 7] = [b"", &[1; 31], &with_newline, short.as_bytes(), &[b'g'; 64], &[b'!'; 44], &[b'A'; 86]];
        for file in refused {
            assert_eq!(SymmetricKek::parse(file).err(), Some(KeyFileError::NotAKey), "{file:?}");
        }
        for same in [&[0; 32][..], &[b'0'; 64], &[b'A'; 43]] {
            assert_eq!(SymmetricKek::parse(same).err(), Some(KeyFileError::NotRandom));
        }
    }
}
