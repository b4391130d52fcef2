//! The one cipher of this crate: a key of its own for every message.
//!
//! HKDF-SHA256 of the long key, with 32 random bytes as salt and everything that the message is bound to as info, gives a key for one use of
//! ChaCha20-Poly1305. So a long key may seal any number of messages: a salt that comes twice is not to be feared, as a nonce of 12 bytes would be.

use ring::{aead, hkdf};
use zeroize::Zeroizing;

/// The bytes of a long key.
pub(crate) const KEY_BYTES: usize = 32;
/// The random bytes that make each message's key its own.
pub(crate) const SALT_BYTES: usize = 32;
/// By how much a sealed message is longer than a plain one.
pub(crate) const TAG_BYTES: usize = 16;

/// One message a key, so the nonce may be fixed.
const NONCE: [u8; aead::NONCE_LEN] = [0; aead::NONCE_LEN];

/// A long key.
pub(crate) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// `N` random bytes of the kernel, zeroed when dropped.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, getrandom::Error> {
    let mut drawn = Zeroizing::new([0; N]);
    getrandom::fill(drawn.as_mut_slice()).map(|()| drawn)
}

/// Seals `plain` under `key` and `salt`, bound to `bound`. The salt must be drawn anew for every message.
pub(crate) fn seal(key: &Key, salt: &[u8; SALT_BYTES], bound: &[&[u8]], plain: &[u8]) -> Vec<u8> {
    seal_once(&derive(key.as_slice(), salt, bound), NONCE, plain)
}

/// Opens what [`seal`] made with the same arguments; `None` for everything else.
pub(crate) fn open(key: &Key, salt: &[u8], bound: &[&[u8]], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let salt: &[u8; SALT_BYTES] = salt.try_into().ok()?;
    open_once(&derive(key.as_slice(), salt, bound), NONCE, sealed)
}

/// Seals `plain` with ChaCha20-Poly1305. The same key and nonce must never be used again.
pub(crate) fn seal_once(key: &Key, nonce: [u8; aead::NONCE_LEN], plain: &[u8]) -> Vec<u8> {
    // Room for the tag from the start: a buffer that grows leaves a copy of the plain text behind.
    let mut bytes = Vec::with_capacity(plain.len() + TAG_BYTES);
    bytes.extend_from_slice(plain);
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let done = cipher(key).seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut bytes);
    done.expect("invariant: what is sealed is shorter than the cipher's limit of 256 GiB");
    bytes
}

/// Opens what [`seal_once`] made.
pub(crate) fn open_once(key: &Key, nonce: [u8; aead::NONCE_LEN], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let length = cipher(key).open_in_place(nonce, aead::Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

fn cipher(key: &Key) -> aead::LessSafeKey {
    let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key.as_slice());
    aead::LessSafeKey::new(key.expect("invariant: a key of ChaCha20 has 32 bytes"))
}

/// `N` bytes that follow from `key` and say nothing of it.
pub(crate) fn derive<const N: usize>(key: &[u8], salt: &[u8], bound: &[&[u8]]) -> Zeroizing<[u8; N]> {
    let mut into = Zeroizing::new([0; N]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key);
    let expanded = extracted.expand(bound, Length(N)).and_then(|okm| okm.fill(into.as_mut_slice()));
    expanded.expect("invariant: at most 32 bytes are asked of a hash that gives 8160");
    into
}

/// How many bytes are derived.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
