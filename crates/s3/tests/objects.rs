//! Objects in a store that checks every signature and fails on command.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use floe_s3::{Config, CredentialFiles, Endpoint, Store, Tuning};
use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};
use support::{BUCKET, CA_CERT, Fake, Fault, KEY_ID, REGION, SECRET};

const SLOW_DOWN: Fault = Fault::Refuse(503, "SlowDown");

struct World {
    store: Store,
    fake: Fake,
    _folder: tempfile::TempDir,
}

fn config(fake: &Fake, folder: &Path) -> Config {
    let keys = folder.join("keys");
    fs::write(&keys, format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n")).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    let backoff = Duration::from_millis(1);
    let tuning = Tuning { in_parts_above: 1000, part_bytes: 400, tries: 3, backoff, deadline: Duration::from_secs(20), page: 500 };
    Config {
        bucket: BUCKET.to_owned(),
        region: REGION.to_owned(),
        endpoint: Endpoint::parse(&fake.endpoint()).unwrap(),
        path_style: true,
        key_prefix: "floe/".to_owned(),
        ca_cert: None,
        credentials: CredentialFiles::One(keys),
        tuning,
    }
}

fn world() -> World {
    world_with(|_| {})
}

fn world_with(edit: impl FnOnce(&mut Config)) -> World {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
    let mut config = config(&fake, folder.path());
    // Amazon's, so that it need not look for the system's.
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, CA_CERT).unwrap();
    config.ca_cert = Some(ca);
    edit(&mut config);
    World { store: Store::open(config).unwrap(), fake, _folder: folder }
}

fn bytes(length: usize) -> Bytes {
    (0..=250).cycle().take(length).collect()
}

impl World {
    /// What the store has under a name.
    fn stored(&self, name: &str) -> Option<Bytes> {
        self.fake.state().objects.get(&format!("floe/{name}")).map(|stored| stored.bytes.clone())
    }
    async fn put_fails(&self, length: usize) -> String {
        self.store.put("a", bytes(length)).await.unwrap_err().to_string()
    }
    fn count(&self, operation: &str) -> usize {
        self.fake.state().log.iter().filter(|o| **o == operation).count()
    }
}

#[tokio::test]
async fn objects_are_put_listed_page_by_page_and_removed() {
    let world = world();
    let names = ["a-1", "a-2 + ä&=", "a-3", "a-4", "a-5", "b-1"];
    for name in names {
        world.store.put(name, bytes(10)).await.unwrap();
    }
    assert_eq!(world.stored("a-2 + ä&=").unwrap(), bytes(10));
    world.fake.state().objects.insert("a-elsewhere".to_owned(), support::Stored::default());
    let found = world.store.list("a-").await.unwrap();
    assert_eq!(
        found.iter().map(|o| (o.name.as_str(), o.bytes)).collect::<Vec<_>>(),
        names[..5].iter().map(|n| (*n, 10)).collect::<Vec<_>>()
    );
    assert_eq!(world.count("list"), 3, "pages of two");
    world.store.remove("a-3").await.unwrap();
    world.store.remove("a-3").await.unwrap();
    assert_eq!(world.store.list("a-").await.unwrap().len(), 4);
    assert_eq!(world.store.list("c-").await.unwrap(), []);
}

#[tokio::test]
async fn more_than_a_part_is_sent_in_parts() {
    let world = world();
    for (length, parts) in [(1000, 0), (1001, 3), (1200, 3), (1201, 4)] {
        world.fake.state().log.clear();
        world.store.put("a", bytes(length)).await.unwrap();
        assert_eq!((world.stored("a").unwrap(), world.count("part")), (bytes(length), parts));
    }
    assert!(world.fake.state().uploads.is_empty());
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    for fault in [SLOW_DOWN, Fault::Refuse(500, "InternalError"), Fault::CutBefore, Fault::CutAfter] {
        let world = world();
        for operation in ["put", "head", "begin", "part", "complete", "list"] {
            world.fake.fail_times(2, operation, fault);
        }
        world.store.put("small", bytes(10)).await.unwrap();
        world.store.put("large", bytes(2000)).await.unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert_eq!(world.store.list("").await.unwrap().len(), 2, "{fault:?}");
        assert_eq!(world.stored("large").unwrap(), bytes(2000), "{fault:?}");
        assert!(world.fake.state().faults.is_empty(), "{fault:?}");
    }
    let world = world();
    world.fake.fail("complete", Fault::LateError);
    world.fake.fail("part", Fault::Refuse(400, "RequestTimeout"));
    world.fake.fail("list", Fault::HalfAnswer);
    world.store.put("large", bytes(2000)).await.unwrap();
    assert_eq!(world.store.list("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_does_not_pass_is_told_once_and_nothing_stays() {
    let world = world();
    world.fake.fail("put", Fault::Refuse(403, "AccessDenied"));
    let why = world.put_fails(10).await;
    for part in ["put floe/a in bucket backups at http://127.0.0.1:", "403 AccessDenied", "let the key list, read, write and delete"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert_eq!(world.count("put"), 1);
    for operation in ["begin", "part", "complete"] {
        world.fake.fail_times(3, operation, SLOW_DOWN);
        let why = world.put_fails(2000).await;
        assert!(why.contains("503 SlowDown"), "{why}");
    }
    assert!(world.fake.keys().is_empty() && world.fake.state().uploads.is_empty(), "parts that nobody needs are taken back");
}

#[tokio::test]
async fn an_object_that_the_store_has_by_half_is_removed() {
    for (operation, length) in [("put", 10), ("part", 2000), ("complete", 2000)] {
        let world = world();
        world.fake.fail(operation, Fault::Truncate);
        let why = world.put_fails(length).await;
        assert!(why.contains("something else than it was given"), "{why}");
        assert_eq!(world.fake.keys(), Vec::<String>::new(), "{operation}");
        // It could not be removed: whoever looks next does it.
        world.fake.fail(operation, Fault::Truncate);
        world.fake.fail_times(3, "delete", SLOW_DOWN);
        world.put_fails(length).await;
        assert_eq!(world.fake.keys().len(), 1);
        assert!(world.store.remove_if_torn("a").await.unwrap());
        assert_eq!(world.fake.keys(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn whole_objects_and_those_of_others_are_not_taken_for_torn() {
    let world = world();
    world.store.put("a", bytes(10)).await.unwrap();
    world.fake.state().objects.insert("floe/theirs".to_owned(), support::Stored { bytes: bytes(3), ..support::Stored::default() });
    for name in ["a", "theirs"] {
        assert!(!world.store.remove_if_torn(name).await.unwrap());
    }
    assert!(world.store.remove_if_torn("gone").await.unwrap());
    assert_eq!(world.fake.keys().len(), 2);
}

#[tokio::test]
async fn uploads_that_nobody_ended_are_found_and_taken_back() {
    let world = world();
    for name in ["a-1", "a-2", "a-3", "b-1"] {
        world.fake.fail("part", Fault::Refuse(403, "AccessDenied"));
        world.fake.fail("abort", Fault::Refuse(403, "AccessDenied"));
        world.store.put(name, bytes(2000)).await.unwrap_err();
    }
    let open = world.store.open_uploads("a-").await.unwrap();
    assert_eq!(open.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["a-1", "a-2", "a-3"]);
    for upload in &open {
        world.store.take_back(upload).await.unwrap();
        world.store.take_back(upload).await.unwrap();
    }
    assert_eq!(world.fake.state().uploads.values().map(|u| u.key.as_str()).collect::<Vec<_>>(), ["floe/b-1"]);
}

#[tokio::test]
async fn a_wrong_clock_is_told_as_such() {
    for (ahead, words) in [(3600, "behind the store's"), (-3600, "ahead of the store's")] {
        let world = world();
        world.fake.state().clock_ahead = ahead;
        let why = world.put_fails(10).await;
        assert!(why.contains("this machine's clock is 36") || why.contains("this machine's clock is 35"), "{why}");
        assert!(why.contains(words) && why.contains("RequestTimeTooSkewed"), "{why}");
    }
}

#[tokio::test]
async fn keys_are_never_shown() {
    // The store says the secret in its refusal, as no store should.
    let world = world_with(|config| config.region = "elsewhere".to_owned());
    let why = world.put_fails(10).await;
    assert!(why.contains("InvalidAccessKeyId") && why.contains("look at the files of the keys"), "{why}");
    let world = world_with(|config| {
        let CredentialFiles::One(path) = &config.credentials else { panic!() };
        fs::write(path, format!("aws_access_key_id = {KEY_ID}\naws_secret_access_key = is not\n").replace("is not", "secret")).unwrap();
    });
    let why = world.put_fails(10).await;
    assert!(why.contains("SignatureDoesNotMatch") && why.contains("the *** is not"), "{why}");
    let shown = format!("{:?}", self::world().store);
    assert!(!shown.contains(SECRET) && shown.contains("Store"), "{shown}");
}

#[tokio::test]
async fn answers_are_bounded_in_time() {
    // Somebody who takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let world = world_with(|config| {
        config.endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
        config.tuning.deadline = Duration::from_secs(1);
        config.tuning.tries = 1;
    });
    assert!(world.put_fails(10).await.contains("no answer within 1 s"));
}

#[tokio::test]
async fn only_the_named_authority_is_trusted() {
    let fake = Fake::start_tls(IpAddr::from([127, 0, 0, 1]));
    let world = world_with(|config| config.endpoint = Endpoint::parse(&fake.endpoint()).unwrap());
    world.store.put("a", bytes(2000)).await.unwrap();
    assert_eq!(fake.keys(), ["floe/a"]);
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("none.pem");
    fs::write(&ca, "no certificate").unwrap();
    let none = Store::open(Config { ca_cert: Some(ca), ..config(&fake, folder.path()) }).unwrap_err();
    assert!(none.to_string().contains("holds no certificate"), "{none}");
    // The system does not know the authority, whichever it knows.
    match Store::open(Config { ca_cert: None, ..config(&fake, folder.path()) }) {
        Ok(system) => {
            let why = system.list("").await.unwrap_err().to_string();
            assert!(why.contains("invalid peer certificate") && why.contains("no whole answer came"), "{why}");
        }
        // A machine without any says so, rather than trust anybody.
        Err(error) => assert!(error.to_string().contains("the system's certificates"), "{error}"),
    }
}
