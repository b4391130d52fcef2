//! What root keys seal, and wraps as a whole: any bit that changes is noticed, and nothing opens for what it was not made for.

use crate::{VECTOR_CONTEXT, VECTOR_ID, VECTOR_PLAIN, failures, file, hex, same, vector_kek, write};
use floe_keyring::{KekError, Keks, KeyId, OpenError, RootKey, SealError, Sealed, Wrapped};
use proptest::prelude::*;
use std::collections::BTreeSet;

proptest! {
    #[test]
    fn what_is_sealed_comes_back_for_its_context_alone(
        plain in proptest::collection::vec(any::<u8>(), 0..200),
        context in proptest::collection::vec(any::<u8>(), 0..40),
        other in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let key = RootKey::generate().unwrap();
        let sealed = key.seal(&context, &plain).unwrap();
        prop_assert_eq!(key.open(&context, &sealed).unwrap().to_vec(), plain);
        if other != context {
            prop_assert_eq!(key.open(&other, &sealed).unwrap_err(), OpenError::Refused(key.id().clone()));
        }
    }

    #[test]
    fn every_bit_of_what_is_sealed_counts(plain in proptest::collection::vec(any::<u8>(), 0..24)) {
        let key = RootKey::generate().unwrap();
        let sealed = key.seal(b"context", &plain).unwrap();
        let refused = Err(OpenError::Refused(key.id().clone()));
        let open = |changed: &Sealed| key.open(b"context", changed).map(|_| ());
        for bit in 0..sealed.bytes.len() * 8 {
            let mut changed = sealed.clone();
            changed.bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open(&changed), refused.clone());
        }
        for bit in 0..sealed.nonce.len() * 8 {
            let mut changed = sealed.clone();
            changed.nonce[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(open(&changed), refused.clone());
        }
        for length in 0..sealed.bytes.len() {
            prop_assert_eq!(open(&Sealed { bytes: sealed.bytes[..length].to_vec(), ..sealed.clone() }), refused.clone());
        }
        prop_assert_eq!(open(&Sealed { nonce: Vec::new(), ..sealed }), refused);
    }
}

#[test]
fn another_key_is_told_from_a_changed_message() {
    let (key, other) = (RootKey::generate().unwrap(), RootKey::generate().unwrap());
    let sealed = key.seal(b"", b"x").unwrap();
    let error = other.open(b"", &sealed).unwrap_err();
    assert_eq!(error, OpenError::OtherKey { sealed: key.id().clone(), key: other.id().clone() });
    let renamed = Sealed { key: other.id().clone(), ..sealed };
    assert_eq!(other.open(b"", &renamed).unwrap_err(), OpenError::Refused(other.id().clone()));
}

#[test]
fn the_same_is_never_sealed_the_same_way_twice() {
    let key = RootKey::generate().unwrap();
    let sealed: Vec<Sealed> = (0..200).map(|_| key.seal(b"c", b"p").unwrap()).collect();
    assert_eq!(sealed.iter().map(|s| &s.nonce).collect::<BTreeSet<_>>().len(), 200);
    assert_eq!(sealed.iter().map(|s| &s.bytes).collect::<BTreeSet<_>>().len(), 200);
}

#[test]
fn a_key_shows_its_id_and_nothing_else() {
    let key = RootKey::generate().unwrap();
    assert_eq!(format!("{key:?}"), format!("RootKey {{ id: {:?}, .. }}", key.id().as_str()));
    assert_eq!(key.id().as_str().len(), 36);
}

#[test]
fn what_is_too_large_is_refused() {
    let key = RootKey::generate().unwrap();
    let most = vec![0; floe_keyring::root::MAX_PLAIN_BYTES];
    assert!(key.seal(b"", &most).is_ok());
    assert!(matches!(key.seal(b"", &[most, vec![0]].concat()), Err(SealError::TooLarge)));
}

#[tokio::test]
async fn every_bit_of_a_wrap_counts() {
    let dir = tempfile::tempdir().unwrap();
    let keks = Keks::open(vec![file(&write(&dir, "kek", vector_kek(), 0o600))], None).unwrap();
    let key = RootKey::generate().unwrap();
    let wraps = keks.wrap(&key).await.unwrap();
    assert_eq!(wraps.iter().map(|w| w.kek.clone()).collect::<Vec<_>>(), keks.ids());
    assert!(same(&key, &keks.unwrap(key.id(), &wraps).await.unwrap()));
    for bit in 0..wraps[0].bytes.len() * 8 {
        let mut changed = wraps.clone();
        changed[0].bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(keks.unwrap(key.id(), &changed).await, Err(KekError::Unwrap { .. })), "bit {bit}");
    }
    for length in 0..wraps[0].bytes.len() {
        let changed = [Wrapped { bytes: wraps[0].bytes[..length].to_vec(), ..wraps[0].clone() }];
        assert!(keks.unwrap(key.id(), &changed).await.is_err(), "length {length}");
    }
}

#[tokio::test]
async fn wraps_cannot_be_exchanged() {
    let dir = tempfile::tempdir().unwrap();
    let keks = Keks::open(vec![file(&write(&dir, "kek", vector_kek(), 0o600))], None).unwrap();
    let (one, other) = (RootKey::generate().unwrap(), RootKey::generate().unwrap());
    let wraps = keks.wrap(&one).await.unwrap();
    let why = failures(&keks, other.id(), &wraps).await;
    assert!(why[0].1.contains("is of another root key"), "{why:?}");
}

/// What was made before must open for ever. The vectors are by another implementation (Python's cryptography).
#[tokio::test]
async fn what_was_sealed_and_wrapped_before_opens() {
    let dir = tempfile::tempdir().unwrap();
    let keks = Keks::open(vec![file(&write(&dir, "kek", vector_kek(), 0o600))], None).unwrap();
    assert_eq!(keks.ids(), ["key:e683cb0b67ab4d0b"]);
    let wrap = Wrapped { kek: "key:e683cb0b67ab4d0b".to_owned(), bytes: hex(include_str!("../vectors/wrap.hex")) };
    let key = keks.unwrap(&KeyId::new(VECTOR_ID), &[wrap]).await.unwrap();
    assert_eq!(key.open(VECTOR_CONTEXT, &vector_sealed()).unwrap().as_slice(), VECTOR_PLAIN);
}

pub(crate) fn vector_sealed() -> Sealed {
    let mut lines = include_str!("../vectors/sealed.hex").lines();
    let mut next = || hex(lines.next().unwrap());
    Sealed { key: KeyId::new(VECTOR_ID), nonce: next(), bytes: next() }
}
