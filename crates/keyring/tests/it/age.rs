//! Wraps for age recipients, in both directions with the real age (Debian's package `age`).

use crate::{
    IDENTITY, RECIPIENT, VECTOR_CONTEXT, VECTOR_ID, VECTOR_PLAIN, age_config, failures, file, hex, inactive, refused, same, vector_kek,
    write,
};
use floe_keyring::{Keks, KeyId, RootKey, Wrapped};
use std::process::{Command, Output};

fn kek() -> String {
    format!("age:{RECIPIENT}")
}

fn run(program: &str, args: &[&std::ffi::OsStr]) -> Output {
    let output = Command::new(program).args(args).output();
    output.unwrap_or_else(|e| panic!("run {program}: {e}; install Debian's package age (./dev test does)"))
}

#[tokio::test]
async fn a_lost_file_is_replaced_by_the_identity() {
    let dir = tempfile::tempdir().unwrap();
    let key = RootKey::generate().unwrap();
    let servers = Keks::open(vec![file(&write(&dir, "kek", vector_kek(), 0o600)), age_config(&[RECIPIENT], None)], None).unwrap();
    let wraps = servers.wrap(&key).await.unwrap();
    assert_eq!(servers.ids(), ["key:e683cb0b67ab4d0b".to_owned(), kek()]);
    let identity = write(&dir, "identity", IDENTITY, 0o600);
    let rescue = Keks::open(vec![inactive(age_config(&[], Some(&identity)))], None).unwrap();
    assert!(same(&key, &rescue.unwrap(key.id(), &wraps).await.unwrap()));
    let blind = Keks::open(vec![age_config(&[RECIPIENT], None)], None).unwrap();
    let why = failures(&blind, key.id(), &wraps[1..]).await;
    assert!(why.len() == 1 && why[0].1.contains("there is no identity_file for it here"), "{why:?}");
}

#[tokio::test]
async fn age_opens_what_floe_wraps() {
    let dir = tempfile::tempdir().unwrap();
    let identity = write(&dir, "identity", IDENTITY, 0o600);
    let keks = Keks::open(vec![age_config(&[RECIPIENT], Some(&identity))], None).unwrap();
    let key = RootKey::generate().unwrap();
    let wraps = keks.wrap(&key).await.unwrap();
    let wrapped = write(&dir, "wrap.age", &wraps[0].bytes, 0o600);
    let output = run("age", &["-d".as_ref(), "-i".as_ref(), identity.as_ref(), wrapped.as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = hex(&key.id().as_str().replace('-', ""));
    assert_eq!((output.stdout.len(), &output.stdout[..16], &output.stdout[16..32]), (64, &b"floe root key 1\0"[..], &id[..]));
    // And back: what age makes of the same, floe opens.
    let plain = write(&dir, "plain", &output.stdout, 0o600);
    let output = run("age", &["-r".as_ref(), RECIPIENT.as_ref(), plain.as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let wrap = Wrapped { kek: kek(), bytes: output.stdout };
    assert!(same(&key, &keks.unwrap(key.id(), &[wrap]).await.unwrap()));
}

/// Made with age 1.1.1.
#[tokio::test]
async fn what_age_wrapped_before_opens() {
    let dir = tempfile::tempdir().unwrap();
    let keks = Keks::open(vec![age_config(&[], Some(&write(&dir, "identity", IDENTITY, 0o600)))].into_iter().map(inactive).collect(), None);
    let wrap = Wrapped { kek: kek(), bytes: hex(include_str!("../vectors/wrap.age.hex")) };
    let key = keks.unwrap().unwrap(&KeyId::new(VECTOR_ID), &[wrap]).await.unwrap();
    assert_eq!(key.open(VECTOR_CONTEXT, &crate::seal::vector_sealed()).unwrap().as_slice(), VECTOR_PLAIN);
}

#[tokio::test]
async fn every_bit_counts() {
    let dir = tempfile::tempdir().unwrap();
    let identity = write(&dir, "identity", IDENTITY, 0o600);
    let keks = Keks::open(vec![age_config(&[RECIPIENT], Some(&identity))], None).unwrap();
    let key = RootKey::generate().unwrap();
    let wrap = keks.wrap(&key).await.unwrap().remove(0);
    for bit in 0..wrap.bytes.len() * 8 {
        let mut changed = wrap.clone();
        changed.bytes[bit / 8] ^= 1 << (bit % 8);
        let why = failures(&keks, key.id(), &[changed]).await;
        assert!(why[0].1.contains("is not an age file") || why[0].1.contains("was changed"), "bit {bit}: {why:?}");
    }
    for length in 0..wrap.bytes.len() {
        let changed = Wrapped { bytes: wrap.bytes[..length].to_vec(), ..wrap.clone() };
        assert!(keks.unwrap(key.id(), &[changed]).await.is_err(), "length {length}");
    }
    let other = RootKey::generate().unwrap();
    let why = failures(&keks, other.id(), &[wrap]).await;
    assert!(why[0].1.contains("it holds another root key"), "{why:?}");
}

#[tokio::test]
async fn each_recipient_has_a_wrap_and_only_its_identity_opens_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = run("age-keygen", &[]);
    let other = String::from_utf8(output.stdout).unwrap();
    let recipient = other.lines().find_map(|l| l.strip_prefix("# public key: ")).unwrap().to_owned();
    let identity = write(&dir, "identity", &other, 0o600);
    let keks = Keks::open(vec![age_config(&[RECIPIENT, &recipient], Some(&identity))], None).unwrap();
    let key = RootKey::generate().unwrap();
    let wraps = keks.wrap(&key).await.unwrap();
    assert_eq!(wraps.iter().map(|w| w.kek.clone()).collect::<Vec<_>>(), [kek(), format!("age:{recipient}")]);
    assert!(same(&key, &keks.unwrap(key.id(), &wraps).await.unwrap()));
    let why = failures(&keks, key.id(), &wraps[..1]).await;
    assert!(why[0].1.contains("holds no identity for it"), "{why:?}");
    // The first one's wrap under the second one's name.
    let renamed = Wrapped { kek: wraps[1].kek.clone(), ..wraps[0].clone() };
    let why = failures(&keks, key.id(), &[renamed]).await;
    assert!(why[0].1.contains("for another recipient"), "{why:?}");
}

#[test]
fn mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let identity = |text: &str, mode: u32| write(&dir, "identity", text, mode);
    assert!(refused(age_config(&["age1nothing"], None)).contains("\"age1nothing\" is no recipient"));
    assert!(refused(age_config(&["ssh-ed25519 AAAA"], None)).contains("not supported yet: recipients of SSH"));
    let why = refused(age_config(&[IDENTITY.lines().last().unwrap()], None));
    assert!(why.contains("number 1 is an identity, which is secret") && !why.contains("AGE-SECRET-KEY-1M"), "{why}");
    assert!(refused(age_config(&[], Some(&identity("nothing", 0o600)))).contains("line 1 is no identity"));
    assert!(refused(age_config(&[RECIPIENT], Some(&identity(IDENTITY, 0o640)))).contains("chmod 0600"));
    assert!(refused(age_config(&[], Some(&identity(IDENTITY, 0o600)))).contains("recipients is missing"));
    assert!(refused(inactive(age_config(&[RECIPIENT], None))).contains("identity_file is missing"));
    assert!(refused(age_config(&[RECIPIENT; 17], None)).contains("at most 16"));
    let twice = Keks::open(vec![age_config(&[RECIPIENT], None), age_config(&[RECIPIENT], None)], None).unwrap_err();
    assert!(twice.to_string().contains("the same key-encryption key as"));
}
