//! Keys of a transit engine: the way there and back, and each way in which a Vault fails.

use crate::{
    file, inactive, refused, same,
    vault::{Mood, TOKEN, Vault},
    vector_kek, write,
};
use floe_keyring::{KekConfig, KekError, Keks, Provider, RootKey, Transit};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A Vault with what an agent has to know of it.
struct Set {
    vault: Vault,
    dir: TempDir,
    transit: Transit,
}

impl Set {
    async fn new() -> Set {
        let (vault, dir) = (Vault::start(false).await, tempfile::tempdir().unwrap());
        let token_file = write(&dir, "token", format!("{TOKEN}\n"), 0o640);
        let transit = Transit {
            address: format!("http://{}", vault.address),
            token_file,
            mount_path: "transit".to_owned(),
            key_name: "floe".to_owned(),
            namespace: None,
            ca_cert: None,
        };
        Set { vault, dir, transit }
    }

    fn keks(&self) -> Keks {
        Keks::open(vec![config(&self.transit)], None).unwrap()
    }

    /// Wraps a key while the Vault is in these moods.
    async fn fails(&self, moods: impl IntoIterator<Item = Mood>) -> (String, bool) {
        self.vault.calls();
        self.vault.next(moods);
        let error = self.keks().wrap(&RootKey::generate().unwrap()).await.unwrap_err();
        assert!(matches!(error, KekError::Wrap { .. }));
        let text = error.to_string();
        assert!(!text.contains(TOKEN), "the token is in {text}");
        assert!(text.contains(&self.vault.address.to_string()) && text.contains("transit/floe"), "{text}");
        (text, error.is_transient())
    }
}

fn config(transit: &Transit) -> KekConfig {
    KekConfig { active: true, provider: Provider::Transit(transit.clone()) }
}

fn refuses(status: u16, why: &str) -> Mood {
    Mood::Refuses(status, why.to_owned())
}

fn vectors(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

#[tokio::test]
async fn a_key_goes_there_and_back() {
    let set = Set::new().await;
    let (keks, key) = (set.keks(), RootKey::generate().unwrap());
    let wraps = keks.wrap(&key).await.unwrap();
    assert!(wraps.len() == 1 && wraps[0].bytes.starts_with(b"vault:v1:"));
    assert_eq!(keks.ids(), [wraps[0].kek.clone()]);
    assert!(wraps[0].kek.starts_with("transit:transit/floe@") && wraps[0].kek.len() == "transit:transit/floe@".len() + 8);
    assert!(same(&key, &keks.unwrap(key.id(), &wraps).await.unwrap()));
    let calls = set.vault.calls();
    let paths: Vec<&str> = calls.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(paths, ["/v1/transit/encrypt/floe", "/v1/transit/decrypt/floe", "/v1/transit/decrypt/floe"]);
    assert!(calls.iter().all(|c| c.head.contains("x-vault-request: true") && !c.head.contains("x-vault-namespace")));
    let other = RootKey::generate().unwrap();
    let error = keks.unwrap(other.id(), &wraps).await.unwrap_err();
    assert!(error.to_string().contains("it holds another root key") && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn tls_counts_with_the_named_authority_alone() {
    let (vault, set) = (Vault::start(true).await, Set::new().await);
    let transit =
        Transit { address: format!("https://localhost:{}/", vault.address.port()), ca_cert: Some(vectors("tls/ca.pem")), ..set.transit };
    let keks = Keks::open(vec![config(&transit)], None).unwrap();
    let key = RootKey::generate().unwrap();
    let wraps = keks.wrap(&key).await.unwrap();
    assert!(same(&key, &keks.unwrap(key.id(), &wraps).await.unwrap()));
    vault.calls();
    let stranger = Keks::open(vec![config(&Transit { ca_cert: Some(vectors("tls/other.pem")), ..transit.clone() })], None).unwrap();
    let error = stranger.wrap(&key).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer") && error.to_string().contains("ca_cert") && error.is_transient(), "{error}");
    assert!(vault.calls().is_empty(), "nothing was said to somebody who is not known");
    let empty = write(&set.dir, "empty.pem", "", 0o600);
    assert!(refused(config(&Transit { ca_cert: Some(empty), ..transit.clone() })).contains("holds no certificate"));
    assert!(refused(config(&Transit { ca_cert: Some("/nowhere.pem".into()), ..transit })).contains("ca_cert /nowhere.pem"));
}

#[tokio::test]
async fn what_may_go_better_is_tried_again() {
    let set = Set::new().await;
    let (keks, key) = (set.keks(), RootKey::generate().unwrap());
    for moods in [
        vec![refuses(503, "Vault is sealed"), refuses(500, "internal error"), Mood::Well],
        vec![refuses(429, "slow down"), Mood::Cuts, Mood::Well, Mood::Cuts, refuses(502, "")],
    ] {
        set.vault.next(moods);
        let wraps = keks.wrap(&key).await.unwrap();
        assert!(same(&key, &keks.unwrap(key.id(), &wraps).await.unwrap()));
    }
}

#[tokio::test]
async fn a_vault_that_stays_away_is_given_up() {
    let set = Set::new().await;
    let (text, transient) = set.fails(vec![refuses(503, "Vault is sealed"); 9]).await;
    assert!(text.contains("503: Vault is sealed (a sealed Vault must be unsealed)") && transient, "{text}");
    assert_eq!(set.vault.calls().len(), 3);
    let (text, transient) = set.fails(vec![Mood::Cuts; 9]).await;
    assert!(text.contains("cannot be reached") && transient, "{text}");
    assert_eq!(set.vault.calls().len(), 3);
    let (text, transient) = set.fails(vec![Mood::Endless; 9]).await;
    assert!(text.contains("more than 64 KiB") && !transient, "{text}");
    assert_eq!(set.vault.calls().len(), 1);
    // What the sockets hold is taken besides.
    assert!(set.vault.taken() < 32 << 20, "{} bytes were taken", set.vault.taken());
}

/// With a clock that jumps when nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn a_vault_that_says_nothing_is_given_up() {
    let set = Set::new().await;
    let (text, transient) = set.fails(vec![Mood::Silent; 9]).await;
    assert!(text.contains("no answer within 8 s") && transient, "{text}");
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let set = Set::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keks = Keks::open(vec![config(&Transit { address: format!("http://{closed}"), ..set.transit.clone() })], None).unwrap();
    let error = keks.wrap(&RootKey::generate().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached") && error.to_string().contains("refused") && error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_is_not_repeated() {
    let set = Set::new().await;
    let (text, _) = set.fails([refuses(403, &format!("permission denied for {TOKEN}\nand a second line"))]).await;
    assert!(text.contains("403: permission denied for *** and a second line"), "{text}");
    assert!(text.contains("\"update\" on transit/encrypt/floe and transit/decrypt/floe"), "{text}");
    assert_eq!(set.vault.calls().len(), 1);
    // It may encrypt and not decrypt: found out before anything depends on it.
    let (text, _) = set.fails([Mood::Well, refuses(403, "permission denied")]).await;
    assert!(text.contains("403"), "{text}");
    let (text, transient) = set.fails([refuses(400, &"long ".repeat(200))]).await;
    assert!(text.len() < 700 && !transient, "{text}");
    let (text, _) = set.fails([Mood::Redirects("https://elsewhere/v1".to_owned())]).await;
    assert!(text.contains("redirects to https://elsewhere/v1: give the address that answers itself"), "{text}");
    for body in ["", "<html>", "{}", "{\"data\":{\"ciphertext\":7}}", "{\"data\":{\"ciphertext\":\"hunter2\"}}"] {
        let (text, transient) = set.fails([Mood::Says(body.to_owned())]).await;
        assert!(text.contains("is this the address of a Vault?") && !transient && !text.contains("hunter2"), "{text}");
    }
    let other = "{\"data\":{\"plaintext\":\"aHVudGVyMg==\"}}";
    let (text, transient) = set.fails([Mood::Well, Mood::Says(other.to_owned())]).await;
    assert!(text.contains("it holds something else than a root key") && !transient, "{text}");
}

#[tokio::test]
async fn another_mount_key_or_vault_is_told_apart() {
    let set = Set::new().await;
    let key = RootKey::generate().unwrap();
    let wraps = set.keks().wrap(&key).await.unwrap();
    let fails = |transit: Transit| async move {
        let error = Keks::open(vec![config(&transit)], None).unwrap().wrap(&RootKey::generate().unwrap()).await.unwrap_err();
        error.to_string()
    };
    let text = fails(Transit { mount_path: "/kv/".to_owned(), ..set.transit.clone() }).await;
    assert!(text.contains("404: no handler for route (is a transit engine mounted at kv"), "{text}");
    let text = fails(Transit { key_name: "flow".to_owned(), ..set.transit.clone() }).await;
    assert!(text.contains("400: encryption key not found"), "{text}");
    // The same names in another Vault: the key there is another one.
    let other = Vault::start(false).await;
    let keks = Keks::open(vec![config(&Transit { address: format!("http://{}", other.address), ..set.transit.clone() })], None).unwrap();
    assert_ne!(keks.ids(), set.keks().ids());
    let error = keks.unwrap(key.id(), &wraps).await.unwrap_err();
    assert!(error.to_string().contains("400: invalid ciphertext") && !error.is_transient(), "{error}");
    // The same Vault under another name: its wraps are still opened.
    let address = format!("http://localhost:{}", set.vault.address.port());
    let keks = Keks::open(vec![config(&Transit { address, ..set.transit.clone() })], None).unwrap();
    assert_ne!(keks.ids(), set.keks().ids());
    assert!(same(&key, &keks.unwrap(key.id(), &wraps).await.unwrap()));
}

#[tokio::test]
async fn the_token_is_read_at_every_call() {
    let set = Set::new().await;
    let (keks, key) = (set.keks(), RootKey::generate().unwrap());
    write(&set.dir, "token", "hvs.old", 0o600);
    assert!(keks.wrap(&key).await.unwrap_err().to_string().contains("403"));
    write(&set.dir, "token", TOKEN, 0o600);
    keks.wrap(&key).await.unwrap();
    for (text, mode, expected) in [("", 0o600, "holds no token"), ("a\tb", 0o600, "holds no token"), (TOKEN, 0o644, "chmod 0640")] {
        write(&set.dir, "token", text, mode);
        let error = keks.wrap(&key).await.unwrap_err();
        assert!(error.to_string().contains(expected) && error.is_transient(), "{error}");
    }
    fs::remove_file(&set.transit.token_file).unwrap();
    let error = keks.wrap(&key).await.unwrap_err();
    assert!(error.to_string().contains("/token") && error.is_transient(), "a Vault's agent writes it later: {error}");
}

#[tokio::test]
async fn a_vault_that_is_away_does_not_matter_while_another_key_opens() {
    let set = Set::new().await;
    let kek = write(&set.dir, "kek", vector_kek(), 0o600);
    let keks = Keks::open(vec![config(&set.transit), file(&kek)], None).unwrap();
    let key = RootKey::generate().unwrap();
    let wraps = keks.wrap(&key).await.unwrap();
    set.vault.next(vec![refuses(503, "Vault is sealed"); 3]);
    assert!(same(&key, &keks.unwrap(key.id(), &wraps).await.unwrap()));
    set.vault.next(vec![refuses(503, "Vault is sealed"); 3]);
    let error = keks.unwrap(key.id(), &wraps[..1]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    // All must succeed: a root key with half of its wraps would be lost with the wrong one.
    set.vault.next(vec![refuses(503, "Vault is sealed"); 3]);
    assert!(keks.wrap(&key).await.is_err());
    let passive = Keks::open(vec![inactive(config(&set.transit)), file(&kek)], None).unwrap();
    set.vault.next(vec![refuses(503, "Vault is sealed"); 3]);
    assert_eq!(passive.wrap(&key).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_namespace_is_sent() {
    let set = Set::new().await;
    let transit = Transit { namespace: Some("team/a/".to_owned()), ..set.transit.clone() };
    let keks = Keks::open(vec![config(&transit)], None).unwrap();
    keks.wrap(&RootKey::generate().unwrap()).await.unwrap();
    assert!(set.vault.calls().iter().all(|call| call.head.contains("x-vault-namespace: team/a\r\n")));
    assert_ne!(keks.ids(), set.keks().ids());
}

#[tokio::test]
async fn mistakes_are_named() {
    let set = Set::new().await;
    let with = |edit: &dyn Fn(&mut Transit)| {
        let mut transit = set.transit.clone();
        edit(&mut transit);
        refused(config(&transit))
    };
    let address = |address: &str| with(&|t| t.address = address.to_owned());
    assert!(address("http://vault:8200").contains("is not encrypted"));
    assert!(address("http://192.0.2.1").contains("is not encrypted"));
    assert!(address("https://vault/v1").contains("has a path"));
    assert!(address("vault:8200").contains("write https://HOST:PORT"));
    assert!(address("ftp://vault").contains("has another scheme"));
    let why = address("https://root:hunter2@vault");
    assert!(why.contains("a user or a password") && !why.contains("hunter2"), "{why}");
    for name in ["", "a/b", "..", "a b", "a?b"] {
        assert!(with(&|t| t.key_name = name.to_owned()).contains("key_name"), "{name}");
    }
    for name in ["", "a/../b", "a//b"] {
        assert!(with(&|t| t.mount_path = name.to_owned()).contains("mount_path"), "{name}");
    }
    assert!(with(&|t| t.namespace = Some("a\r\nb".to_owned())).contains("namespace"));
    let beside = Keks::open(vec![config(&set.transit)], Some(set.dir.path())).unwrap_err();
    assert!(beside.to_string().contains("lies in data_dir"), "{beside}");
}
