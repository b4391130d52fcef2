//! What is wrapped of a root key: its id beside its bytes, so that a wrap which is put in another's place is found out, whoever made it.

use crate::{RootKey, cipher::KEY_BYTES};
use floe_model::keyring::KeyId;
use uuid::Uuid;
use zeroize::Zeroizing;

/// What it begins with: somebody who opens a wrap by hand sees what it is.
const MARK: [u8; 16] = *b"floe root key 1\0";
const ID_BYTES: usize = 16;
/// The bytes of a payload: the mark, the id, the key.
pub(crate) const PAYLOAD_BYTES: usize = MARK.len() + ID_BYTES + KEY_BYTES;

/// What was opened is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("it holds something else than a root key")]
    Form,
    #[error("it holds another root key: wraps were exchanged")]
    OtherKey,
}

/// The payload of `key`. `None` when its id is no UUID in the usual form, which no key of ours has.
pub(crate) fn of(key: &RootKey) -> Option<Zeroizing<Vec<u8>>> {
    let mut payload = Zeroizing::new(Vec::with_capacity(PAYLOAD_BYTES));
    payload.extend_from_slice(&MARK);
    payload.extend_from_slice(id_bytes(key.id())?.as_bytes());
    payload.extend_from_slice(key.key().as_slice());
    Some(payload)
}

/// The root key `id` from what was opened.
pub(crate) fn read(id: &KeyId, payload: &[u8]) -> Result<RootKey, PayloadError> {
    let rest = payload.strip_prefix(&MARK).ok_or(PayloadError::Form)?;
    let (named, key) = rest.split_first_chunk::<ID_BYTES>().ok_or(PayloadError::Form)?;
    let key = key.try_into().map_err(|_| PayloadError::Form)?;
    if id_bytes(id) != Some(Uuid::from_bytes(*named)) {
        return Err(PayloadError::OtherKey);
    }
    Ok(RootKey::from_parts(id.clone(), Zeroizing::new(key)))
}

fn id_bytes(id: &KeyId) -> Option<Uuid> {
    Uuid::parse_str(id.as_str()).ok().filter(|uuid| uuid.hyphenated().to_string() == id.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_is_whole_and_of_this_key_is_read() {
        let (key, other) = (RootKey::generate().unwrap(), RootKey::generate().unwrap());
        let payload = of(&key).unwrap();
        assert_eq!(payload.len(), PAYLOAD_BYTES);
        assert_eq!(read(key.id(), &payload).unwrap().key(), key.key());
        assert_eq!(read(other.id(), &payload).unwrap_err(), PayloadError::OtherKey);
        assert_eq!(read(&KeyId::new(key.id().as_str().to_uppercase()), &payload).unwrap_err(), PayloadError::OtherKey);
        for length in 0..PAYLOAD_BYTES {
            assert_eq!(read(key.id(), payload.get(..length).unwrap()).unwrap_err(), PayloadError::Form);
        }
        assert_eq!(read(key.id(), &[payload.as_slice(), b"x"].concat()).unwrap_err(), PayloadError::Form);
    }
}
