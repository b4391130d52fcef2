//! Tests of floe-keyring through its public face: what is sealed and wrapped, every provider with its failures, and vectors made by others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod age;
mod files;
mod seal;
mod transit;
mod vault;

use floe_keyring::{KekConfig, KekError, Keks, KeyId, Provider, RootKey, Wrapped};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The id of the root key in the vectors.
const VECTOR_ID: &str = "6f1c2a34-5b6d-4e7f-8a90-b1c2d3e4f506";
/// What the vectors' root key is sealed into: this context, this text.
const VECTOR_CONTEXT: &[u8] = b"nomad/jobs/web@default";
const VECTOR_PLAIN: &[u8] = b"correct horse";
const IDENTITY: &str = include_str!("../vectors/identity.txt");
const RECIPIENT: &str = "age1q4vxl269648qlxghwe30z4ehkh4xtz8wtccvdthh9nvudt7mrcds4rjae0";

/// Writes a file of this mode.
fn write(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// The bytes 0 to 31: the key-encryption key of the vectors.
fn vector_kek() -> Vec<u8> {
    (0..32).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let text = text.trim().as_bytes();
    text.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn file(path: &Path) -> KekConfig {
    KekConfig { active: true, provider: Provider::File { path: path.to_owned() } }
}

fn age_config(recipients: &[&str], identity_file: Option<&Path>) -> KekConfig {
    let recipients = recipients.iter().map(ToString::to_string).collect();
    KekConfig { active: true, provider: Provider::Age { recipients, identity_file: identity_file.map(Path::to_owned) } }
}

fn inactive(config: KekConfig) -> KekConfig {
    KekConfig { active: false, ..config }
}

/// What `Keks::open` says of one block.
fn refused(config: KekConfig) -> String {
    Keks::open(vec![config], None).unwrap_err().to_string()
}

/// True when both are the same key: what one seals, the other opens.
fn same(one: &RootKey, other: &RootKey) -> bool {
    other.open(b"c", &one.seal(b"c", b"p").unwrap()).is_ok_and(|plain| plain.as_slice() == b"p")
}

/// Why nothing was unwrapped, per wrap.
async fn failures(keks: &Keks, id: &KeyId, wraps: &[Wrapped]) -> Vec<(String, String, bool)> {
    match keks.unwrap(id, wraps).await.unwrap_err() {
        KekError::Unwrap { tried, .. } => tried.into_iter().map(|f| (f.kek, f.why, f.transient)).collect(),
        other => panic!("{other}"),
    }
}
