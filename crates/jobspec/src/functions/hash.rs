//! Hashes and the identifiers made of them.

use sha1::Digest as _;

use super::{Call, Done, Failure, Function, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function("sha256", 1, 1, |c| c.make_text(hex(&sha2::Sha256::digest(c.text(0)?.as_bytes())))),
    function("sha512", 1, 1, |c| c.make_text(hex(&sha2::Sha512::digest(c.text(0)?.as_bytes())))),
    function("uuidv5", 2, 2, uuid_v5),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The namespaces of RFC 4122 by name; they differ in one digit.
fn namespace(name: &str) -> Result<Vec<u8>, Failure> {
    let digit = match name {
        "dns" => '0',
        "url" => '1',
        "oid" => '2',
        "x500" => '4',
        other => return unhex(other).ok_or_else(|| "the namespace must be dns, url, oid, x500 or a UUID".into()),
    };
    unhex(&format!("6ba7b81{digit}-9dad-11d1-80b4-00c04fd430c8")).ok_or_else(|| "the namespace is no UUID".into())
}

fn unhex(uuid: &str) -> Option<Vec<u8>> {
    if uuid.len() != 36 || !uuid.is_ascii() {
        return None;
    }
    let digits: Vec<u8> =
        uuid.chars().filter(|x| *x != '-').map(|x| x.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).filter_map(|pair| if let [high, low] = pair { Some(high * 16 + low) } else { None }).collect();
    (bytes.len() == 16).then_some(bytes)
}

fn uuid_v5(c: &Call<'_>) -> Done {
    let mut hash = sha1::Sha1::new();
    hash.update(namespace(&c.text(0)?)?);
    hash.update(c.text(1)?.as_bytes());
    let mut bytes: Vec<u8> = hash.finalize().iter().copied().take(16).collect();
    if let Some(version) = bytes.get_mut(6) {
        *version = (*version & 0x0f) | 0x50;
    }
    if let Some(variant) = bytes.get_mut(8) {
        *variant = (*variant & 0x3f) | 0x80;
    }
    let mut text = hex(&bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    c.make_text(text)
}
