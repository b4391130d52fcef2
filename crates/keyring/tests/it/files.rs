//! Keys in files and credentials: which are taken, which are refused, and what the errors say.

use crate::{failures, file, inactive, refused, same, vector_kek, write};
use floe_keyring::{KekConfig, KekError, Keks, KeyId, Provider, RootKey, Wrapped};
use std::{fs, os::unix::fs::symlink, path::Path};

fn credential(name: &str, directory: Option<&Path>) -> KekConfig {
    KekConfig { active: true, provider: Provider::Credential { name: name.to_owned(), directory: directory.map(Path::to_owned) } }
}

#[test]
fn a_file_that_others_may_read_or_change_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o400, 0o600, 0o700] {
        Keks::open(vec![file(&write(&dir, "kek", vector_kek(), mode))], None).unwrap();
    }
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666] {
        let path = write(&dir, "kek", vector_kek(), mode);
        let why = refused(file(&path));
        assert!(why.contains(&format!("mode {mode:04o}")) && why.contains("chmod 0600") && why.matches("/kek").count() == 1, "{why}");
    }
}

#[test]
fn a_file_of_another_user_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "kek", vector_kek(), 0o600);
    // Only root can give a file away, and root runs these tests in CI; anybody else's own file is as good as root's.
    if std::os::unix::fs::chown(&path, Some(12345), None).is_ok() {
        let why = refused(file(&path));
        assert!(why.contains("belongs to user 12345") && why.contains("chown"), "{why}");
    }
}

#[test]
fn what_is_no_key_is_refused_without_being_shown() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    assert!(refused(file(&nowhere)).contains("nowhere"));
    assert!(refused(file(dir.path())).contains("is not a plain file"));
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert!(refused(file(&pipe)).contains("is not a plain file"), "a pipe must not be waited for");
    for text in ["hunter2", "hunter2hunter2hunter2hunter2hunter2hunter2"] {
        let why = refused(file(&write(&dir, "kek", text, 0o600)));
        assert!(why.contains("is not a key") && why.contains("floe server keyring-key") && !why.contains("hunter2"), "{why}");
    }
    assert!(refused(file(&write(&dir, "kek", [0; 32], 0o600))).contains("is not random"));
    assert!(refused(file(&write(&dir, "kek", vec![7; 257], 0o600))).contains("larger than 256 bytes"));
}

#[test]
fn a_key_beside_the_data_is_refused_whichever_way_it_is_named() {
    let (data, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(data.path().join("sub")).unwrap();
    let inside = write(&data, "sub/kek", vector_kek(), 0o600);
    let open = |config: KekConfig, data_dir: &Path| Keks::open(vec![config], Some(data_dir)).map(|_| ()).map_err(|e| e.to_string());
    let beside = |path: &Path, data_dir: &Path| open(file(path), data_dir).unwrap_err().contains("lies in data_dir");
    assert!(beside(&inside, data.path()));
    symlink(&inside, outside.path().join("link")).unwrap();
    assert!(beside(&outside.path().join("link"), data.path()));
    assert!(beside(&outside.path().join("..").join(inside.strip_prefix("/tmp").unwrap_or(&inside)), data.path()));
    symlink(data.path(), outside.path().join("data")).unwrap();
    assert!(beside(&inside, &outside.path().join("data")));
    let good = write(&outside, "kek", vector_kek(), 0o600);
    assert_eq!(open(file(&good), data.path()), Ok(()));
    assert_eq!(open(file(&good), Path::new("/nowhere/yet")), Ok(()));
    let identity = write(&data, "identity", crate::IDENTITY, 0o600);
    assert!(open(crate::age_config(&[], Some(&identity)), data.path()).unwrap_err().contains("lies in data_dir"));
}

#[test]
fn the_same_key_twice_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let (one, copy) = (write(&dir, "kek", vector_kek(), 0o600), write(&dir, "copy", vector_kek(), 0o600));
    let error = Keks::open(vec![file(&one), inactive(file(&copy))], None).unwrap_err();
    assert!(matches!(error, KekError::Duplicate { .. }));
    let why = error.to_string();
    assert!(why.contains("/copy: the same key-encryption key as keyring \"file\"") && why.contains("/kek"), "{why}");
}

#[tokio::test]
async fn a_key_that_became_a_credential_opens_what_it_wrapped_as_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "floe-kek", vector_kek(), 0o600);
    let key = RootKey::generate().unwrap();
    let wraps = Keks::open(vec![file(&path)], None).unwrap().wrap(&key).await.unwrap();
    // systemd lets a service's user read a credential through the group's bits of an access list.
    write(&dir, "floe-kek", vector_kek(), 0o440);
    let keks = Keks::open(vec![credential("floe-kek", Some(dir.path()))], None).unwrap();
    assert!(same(&key, &keks.unwrap(key.id(), &wraps).await.unwrap()));
    assert_eq!(keks.ids(), [wraps[0].kek.clone()]);
    write(&dir, "floe-kek", vector_kek(), 0o444);
    assert!(refused(credential("floe-kek", Some(dir.path()))).contains("can be read or changed by others"));
}

#[test]
fn a_missing_credential_says_what_to_write_into_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let why = refused(credential("floe-kek", None));
    assert!(why.contains("CREDENTIALS_DIRECTORY is not set") && why.contains("LoadCredentialEncrypted=floe-kek:"), "{why}");
    let why = refused(credential("floe-kek", Some(dir.path())));
    assert!(why.contains("no such credential") && why.contains("LoadCredential=floe-kek:PATH"), "{why}");
    for name in ["", "../floe-kek", "a/b", ".."] {
        assert!(refused(credential(name, Some(dir.path()))).contains("is no name of a credential"), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_active_opens_and_does_not_wrap() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (write(&dir, "old", vector_kek(), 0o600), write(&dir, "new", [[1; 16], [2; 16]].concat(), 0o600));
    let key = RootKey::generate().unwrap();
    let old_wraps = Keks::open(vec![file(&old)], None).unwrap().wrap(&key).await.unwrap();
    let both = Keks::open(vec![inactive(file(&old)), file(&new)], None).unwrap();
    let again = both.unwrap(key.id(), &old_wraps).await.unwrap();
    let new_wraps = both.wrap(&again).await.unwrap();
    assert_eq!(new_wraps.iter().map(|w| &w.kek).collect::<Vec<_>>(), both.ids().iter().collect::<Vec<_>>());
    assert!(new_wraps.len() == 1 && new_wraps[0].kek != old_wraps[0].kek);
    assert!(same(&key, &Keks::open(vec![file(&new)], None).unwrap().unwrap(key.id(), &new_wraps).await.unwrap()));
    let passive = Keks::open(vec![inactive(file(&old))], None).unwrap();
    assert!(matches!(passive.wrap(&key).await, Err(KekError::NoneActive)) && passive.ids().is_empty());
    assert!(matches!(Keks::open(vec![], None).unwrap().wrap(&key).await, Err(KekError::NoneActive)));
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_with_what_to_configure() {
    let dir = tempfile::tempdir().unwrap();
    let keks = Keks::open(vec![file(&write(&dir, "kek", vector_kek(), 0o600))], None).unwrap();
    let id = KeyId::new(crate::VECTOR_ID);
    let wrap = |kek: &str| Wrapped { kek: kek.to_owned(), bytes: vec![1; 113] };
    let kinds = [keks.ids()[0].clone(), "key:00".into(), "age:age1x".into(), "transit:transit/floe@00".into(), "hsm:1".into()];
    let wraps: Vec<Wrapped> = kinds.iter().map(|kek| wrap(kek)).collect();
    let tried = failures(&keks, &id, &wraps).await;
    assert_eq!(tried.iter().map(|(kek, ..)| kek.clone()).collect::<Vec<_>>(), kinds);
    for ((_, why, transient), expected) in
        tried.iter().zip(["was changed", "keyring \"file\" or \"credential\"", "identity_file", "keyring \"transit\"", "does not know"])
    {
        assert!(why.contains(expected) && !transient, "{why}");
    }
    let error = keks.unwrap(&id, &wraps).await.unwrap_err();
    let text = error.to_string();
    assert!(!error.is_transient() && kinds.iter().all(|kek| text.contains(kek.as_str())) && text.contains(id.as_str()), "{text}");
    let none = keks.unwrap(&id, &[]).await.unwrap_err().to_string();
    assert!(none.contains("has no wrap at all") && none.contains("restore a snapshot"), "{none}");
}
