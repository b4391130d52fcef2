//! Whatever goes wrong in whatever order, the newest snapshot that is listed is whole, and nothing of anybody else is touched.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../../../s3/tests/support/mod.rs"]
mod support;

use super::*;
use crate::backup::target::Target;
use bytes::Bytes;
use floe_control::snapshots::Schedule;
use floe_model::Nanos;
use floe_s3::{Config, CredentialFiles, Endpoint, Tuning};
use proptest::prelude::*;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};
use support::{BUCKET, CA_CERT, Fake, Fault, KEY_ID, REGION, SECRET, Stored};

const CLUSTER: &str = "0123456789abcdef";
const RETAIN: usize = 2;

struct World {
    target: Target,
    fake: Fake,
    own: Own,
    _folder: tempfile::TempDir,
}

fn world() -> World {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().unwrap());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let tuning = Tuning { in_parts_above: 1000, part_bytes: 400, tries: 2, backoff: Duration::from_millis(1), ..Tuning::default() };
    let config = Config {
        bucket: BUCKET.to_owned(),
        region: REGION.to_owned(),
        endpoint: Endpoint::parse(&fake.endpoint()).unwrap(),
        path_style: true,
        key_prefix: "floe/".to_owned(),
        ca_cert: Some(file("ca", CA_CERT)),
        credentials: CredentialFiles::Two { access_key_id: file("id", KEY_ID), secret_access_key: file("secret", SECRET) },
        tuning,
    };
    let own = Own { schedule: Schedule { retain: RETAIN, ..Schedule::default() }, cluster: CLUSTER.to_owned() };
    World { target: Target::Bucket(Box::new(config)), fake, own, _folder: folder }
}

fn at(round: usize) -> Timestamp {
    Timestamp(1_700_000_000_000_000_000).plus(Nanos::from_secs(i64::try_from(round).unwrap() * 3600))
}

impl World {
    fn name(&self, round: usize) -> String {
        self.own.schedule.name(CLUSTER, at(round), 7)
    }

    /// What is kept in a round: every other one goes in parts.
    fn content(round: usize) -> Bytes {
        let byte = u8::try_from(round).unwrap();
        Bytes::from(vec![byte; if round.is_multiple_of(2) { 900 } else { 2100 }])
    }

    /// As the agent does it, for so many rounds; looks each time it hears what is there.
    async fn rounds(&self, rounds: std::ops::Range<usize>) {
        for round in rounds {
            let Ok(kept) = self.target.list(&self.own).await else { continue };
            self.newest_is_whole(&kept);
            if self.target.keep(&self.name(round), Self::content(round)).await.is_ok()
                && let Ok(kept) = self.target.tidy(&self.own, at(round)).await
            {
                self.newest_is_whole(&kept);
                assert_eq!(kept.last().map(|k| &k.name), Some(&self.name(round)));
            }
        }
    }

    #[track_caller]
    fn newest_is_whole(&self, kept: &[Kept]) {
        let Some(newest) = kept.last() else { return };
        let round = (0..100).find(|round| self.name(*round) == newest.name).unwrap();
        let key = format!("floe/{}", newest.name);
        assert!(self.fake.state().objects[&key].bytes == Self::content(round), "{} is not whole", newest.name);
    }
}

/// Something of somebody else for each way to take it for ours.
fn foreign(own: &Own) -> Vec<String> {
    let other = own.schedule.name("ffffffffffffffff", at(0), 1);
    let stem = own.schedule.stem(CLUSTER);
    vec![other.clone(), format!("floe/{other}"), format!("floe/{stem}notes.txt"), own.schedule.name(CLUSTER, at(0), 1)]
}

fn fault() -> impl Strategy<Value = (&'static str, Fault)> {
    let operations = ["list", "put", "head", "delete", "begin", "part", "complete", "abort", "uploads", "*"];
    let faults = [
        Fault::Refuse(403, "AccessDenied"),
        Fault::Refuse(503, "SlowDown"),
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::HalfAnswer,
        Fault::Truncate,
        Fault::LateError,
    ];
    (prop::sample::select(operations.to_vec()), prop::sample::select(faults.to_vec())).prop_map(|(o, f)| (o, f))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn the_newest_that_is_listed_is_whole(faults in prop::collection::vec(fault(), 0..25)) {
        let world = world();
        for key in foreign(&world.own) {
            world.fake.state().objects.insert(key, Stored::default());
        }
        world.fake.state().faults.extend(faults);
        runtime().block_on(async {
            world.rounds(0..12).await;
            world.fake.state().faults.clear();
            // Faults are over: what is there is what should be, and nothing else.
            world.rounds(12..15).await;
        });
        let mut expected = foreign(&world.own);
        expected.extend([13, 14].map(|round| format!("floe/{}", world.name(round))));
        expected.sort();
        assert_eq!(world.fake.keys(), expected);
        assert!(world.fake.state().uploads.is_empty());
    }
}

#[test]
fn an_upload_of_another_cluster_is_left_alone() {
    let world = world();
    let (ours, theirs) = (world.name(0), world.own.schedule.name("ffffffffffffffff", at(0), 1));
    for (id, name) in [("1", &ours), ("2", &theirs)] {
        let begun = support::Begun { key: format!("floe/{name}"), ..support::Begun::default() };
        world.fake.state().uploads.insert(id.to_owned(), begun);
    }
    runtime().block_on(world.target.tidy(&world.own, at(1))).unwrap();
    assert_eq!(world.fake.state().uploads.keys().collect::<Vec<_>>(), ["2"]);
}

#[test]
fn a_failure_names_bucket_endpoint_and_reason_and_no_key() {
    let world = world();
    world.fake.fail("list", Fault::Refuse(403, "AccessDenied"));
    let why = runtime().block_on(world.target.list(&world.own)).unwrap_err().to_string();
    assert!(why.contains("bucket backups at http://127.0.0.1:") && why.contains("403 AccessDenied"), "{why}");
    assert!(!why.contains(SECRET) && !why.contains(KEY_ID), "{why}");
}
