//! What the cluster keeps of its root keys: what is sealed with one, and the root keys themselves, wrapped. Never a key, and nothing that opens one.

use serde::{Deserialize, Serialize};

id! {
    /// A root key's id: a UUID, drawn with the key. Public.
    pub struct KeyId;
}

/// What one root key sealed. Only that key opens it, and only for the context that it was sealed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The key that opens it.
    pub key: KeyId,
    /// Drawn for this one.
    #[serde(with = "bytes")]
    pub nonce: Vec<u8>,
    /// The ciphertext with its tag.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
}

/// A root key as one key-encryption key wrapped it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapped {
    /// Which key-encryption key: its kind and a public name that stays, such as `key:3f9a0c51d2e47b86` or `age:age1...`.
    pub kek: String,
    /// What the key-encryption key made. The root key's id is bound into it.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
}

/// Bytes as bytes, where the format has them; a list of numbers is read, too.
mod bytes {
    use serde::{Deserializer, Serializer, de};
    use std::fmt;

    /// What is set aside before the first byte has been read.
    const MAX_HINT: usize = 4096;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> de::Visitor<'de> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::with_capacity(list.size_hint().unwrap_or(0).min(MAX_HINT));
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        d.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn they_come_back_from_both_formats() {
        let sealed = Sealed { key: "k".into(), nonce: vec![1, 255], bytes: vec![] };
        let packed = rmp_serde::to_vec_named(&sealed).unwrap();
        assert_eq!(rmp_serde::from_slice::<Sealed>(&packed).unwrap(), sealed);
        assert_eq!(serde_json::from_slice::<Sealed>(&serde_json::to_vec(&sealed).unwrap()).unwrap(), sealed);
        let wrapped = Wrapped { kek: "key:00".to_owned(), bytes: vec![200; 300] };
        let packed = rmp_serde::to_vec_named(&wrapped).unwrap();
        assert_eq!(rmp_serde::from_slice::<Wrapped>(&packed).unwrap(), wrapped);
        assert!(packed.len() < 340, "a byte takes a byte");
    }
}
