//! Backups: what is written is read, what is damaged in any way is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{AllocClientStatus, JobType, Timestamp};
use floe_state::{
    Command, State,
    archive::{self, ArchiveError, FORMAT, Origin},
    tokens::JoinRole,
};
use proptest::prelude::*;
use support::{Machine, alloc, job};

fn origin() -> Origin {
    Origin {
        cluster_id: "0123456789abcdef".to_owned(),
        term: 4,
        created: Timestamp(1_700_000_000_000_000_000),
        floe_version: "0.1.0".to_owned(),
        servers: vec!["s1".to_owned(), "s2".to_owned()],
        redacted: false,
    }
}

/// A cluster with a little of everything.
fn busy(jobs: usize) -> State {
    let mut m = Machine::busy(jobs);
    m.run(Command::CreateJoinToken { hash: "secret".to_owned(), role: JoinRole::Client, expires: Timestamp(i64::MAX) });
    m.run(Command::RefuseAgent { id: "thief".to_owned() });
    m.state
}

#[test]
fn what_is_written_is_read() {
    let state = busy(2);
    let bytes = archive::encode(&state, origin()).unwrap();
    let read = archive::decode(&bytes).unwrap();
    let m = &read.metadata;
    assert_eq!((m.cluster_id.as_str(), m.term, m.index, m.cluster_version), ("0123456789abcdef", 4, state.index(), 1));
    assert_eq!((m.counts["jobs"], m.counts["allocs"], m.counts["nodes"], m.counts["services"]), (2, 2, 1, 2));
    assert_eq!((m.origin(), m.digest), (origin(), state.content_digest()));
    assert!(read.has_same_digest());
    assert_eq!(read.state.content().encode(), state.content().encode());
    assert_eq!(read.state.join_tokens().count(), 0, "tokens stay behind");
    assert!(read.state.is_agent_refused("thief"));
    assert_eq!(archive::encode(&state, origin()).unwrap(), bytes, "equal states have equal archives");
    assert!(bytes.len() < state.encode().len() / 2, "it is compressed");
}

#[test]
fn the_digest_is_that_of_the_content_and_of_nothing_else() {
    let state = busy(1);
    let mut later = state.clone();
    later.skip(1_000);
    assert_eq!(later.content_digest(), state.content_digest());
    assert_ne!(busy(2).content_digest(), state.content_digest());
    let sizes = state.sizes();
    assert!(sizes.iter().all(|t| (t.rows > 0) == (t.bytes > 0)), "{sizes:?}");
}

#[test]
fn foreign_and_future_files_are_refused_by_name() {
    let good = archive::encode(&busy(1), origin()).unwrap();
    let why = |bytes: &[u8]| archive::decode(bytes).unwrap_err().to_string();
    assert!(why(b"").contains("not a floe snapshot (it is empty)"));
    assert!(why(b"\x1f\x8bxyz").contains("snapshots of Nomad cannot be restored"));
    assert!(why(&busy(1).encode()).contains("a server's own"));
    assert!(why(b"hello, world").ends_with("not a floe snapshot"));
    let mut future = good.clone();
    future[11] = u8::try_from(FORMAT + 1).unwrap();
    assert!(why(&future).contains("format 2, but this build reads up to 1"));
    let mut newer = Machine::default();
    newer.run(Command::SetClusterVersion { version: floe_state::command::CLUSTER_VERSION + 1 });
    let newer = archive::decode(&archive::encode(&newer.state, origin()).unwrap());
    assert!(matches!(newer, Err(ArchiveError::State(_))), "commands of a newer build are in it");
}

#[test]
fn every_single_byte_counts() {
    let good = archive::encode(&busy(1), origin()).unwrap();
    assert!(archive::decode(&good).is_ok());
    for at in 0..good.len() {
        assert!(archive::decode(&good[..at]).is_err(), "cut at {at}");
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert!(archive::decode(&bytes).is_err(), "changed at {at}");
        bytes.remove(at);
        assert!(archive::decode(&bytes).is_err(), "taken out at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_change_is_refused(at in any::<proptest::sample::Index>(), byte: u8, insert: bool) {
        let good = archive::encode(&busy(1), origin()).unwrap();
        let mut bytes = good.clone();
        if insert {
            bytes.insert(at.index(good.len() + 1), byte);
        } else {
            bytes[at.index(good.len())] = byte;
        }
        prop_assert_eq!(archive::decode(&bytes).is_ok(), bytes == good);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(archive::decode(&bytes).is_err());
        let begun = [b"floebkup\0\0\0\x01".as_slice(), &bytes].concat();
        prop_assert!(archive::decode(&begun).is_err());
    }
}

/// A job with a secret in every place that is for free text.
fn secretive() -> floe_model::Job {
    let mut value = serde_json::to_value(job("secretive", JobType::Service)).unwrap();
    value["Meta"] = serde_json::json!({ "a": "SECRET" });
    value["Payload"] = serde_json::json!("SECRET");
    let group = &mut value["TaskGroups"][0];
    group["Meta"] = serde_json::json!({ "a": "SECRET" });
    group["Services"][0]["Tags"] = serde_json::json!(["SECRET"]);
    group["Services"][0]["Meta"] = serde_json::json!({ "a": "SECRET" });
    group["Services"][0]["Checks"] =
        serde_json::json!([{ "Name": "c", "Args": ["SECRET"], "Body": "SECRET", "Header": { "h": ["SECRET"] } }]);
    let task = &mut group["Tasks"][0];
    task["Env"] = serde_json::json!({ "PASSWORD": "SECRET", "EMPTY": "" });
    task["Config"] = serde_json::json!({ "command": "/bin/app", "args": ["-p", "SECRET"], "auth": { "password": "SECRET" }, "n": 7 });
    task["Templates"] = serde_json::json!([{ "EmbeddedTmpl": "SECRET", "DestPath": "local/a", "ChangeScript": { "Command": "/bin/x", "Args": ["SECRET"] } }]);
    task["Artifacts"] = serde_json::json!([{ "GetterSource": "https://u:SECRET@x", "GetterOptions": { "a": "SECRET" }, "GetterHeaders": { "a": "SECRET" } }]);
    task["Secrets"] = serde_json::json!([{ "Name": "s", "Config": { "a": "SECRET" }, "Env": { "a": "SECRET" } }]);
    task["Actions"] = serde_json::json!([{ "Name": "a", "Command": "/bin/x", "Args": ["SECRET"] }]);
    task["Meta"] = serde_json::json!({ "a": "SECRET" });
    floe_model::wire::from_value(value).unwrap().value
}

#[test]
fn a_redacted_copy_holds_no_secret_and_is_otherwise_the_same() {
    let mut m = Machine::with_node();
    m.run(Command::SetClusterVersion { version: 1 });
    let j = secretive();
    let submission = floe_model::job::JobSubmission {
        source: "SECRET".to_owned(),
        variables: "SECRET".to_owned(),
        variable_flags: [("v".to_owned(), "SECRET".to_owned())].into(),
        ..floe_model::job::JobSubmission::default()
    };
    let register = floe_state::command::RegisterJob {
        job: Box::new(j.clone()),
        submission: Some(submission),
        enforce_index: None,
        eval_priority: None,
    };
    m.run(Command::RegisterJob(register));
    m.place(vec![alloc("a", &j, 0), alloc("b", &j, 1)], &j);
    m.report("a", AllocClientStatus::Running);
    let has_secret = |s: &State| s.encode().windows(6).any(|w| w == b"SECRET");
    let state = &m.state;
    assert!(has_secret(state));
    let redacted = state.redacted().unwrap();
    assert!(!has_secret(&redacted));
    assert_eq!((redacted.counts(), redacted.index()), (state.counts(), state.index()));
    let shown = redacted.alloc(&"a".into()).unwrap().job.clone().unwrap();
    let task = &shown.task_groups[0].tasks[0];
    assert_eq!((task.env["PASSWORD"].as_str(), task.env["EMPTY"].as_str()), (archive::REDACTED, ""));
    assert_eq!(
        (&task.config["command"], &task.config["n"], task.config["args"].as_array().unwrap().len()),
        (&"/bin/app".into(), &7.into(), 2)
    );
    assert_eq!(task.templates[0].dest_path, "local/a");
    let bytes = archive::encode(&redacted, Origin { redacted: true, ..origin() }).unwrap();
    let read = archive::decode(&bytes).unwrap();
    assert!(read.metadata.redacted && read.has_same_digest() && read.metadata.digest != state.content_digest());
    assert_eq!(read.state.job_summary(&support::key("secretive")), state.job_summary(&support::key("secretive")));
}
