//! One server as its callers see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::{
    Config, Consensus, DataFolder, NoTransport, OpenError, ProposeError, ReadError, Rpc, ServerAddress, ServerId, Start, StopReason,
    Transport, TransportError, config::ENTRY_BYTES, status::Role,
};
use floe_model::Node;
use floe_state::{
    Change, Command, Outcome,
    command::{CLUSTER_VERSION, Refusal},
};
use floe_store::{LogError, LogRecord, LogStore, Position};
use futures::future::BoxFuture;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_command_of_a_cluster_is_its_version() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    assert_eq!(server.view().cluster_version(), CLUSTER_VERSION);
    server.shutdown().await;
    drop(server);
    open(dir.path()).await.shutdown().await;
    let commands: Vec<Command> = log_of(dir.path()).iter().filter_map(command_of).map(|e| e.command).collect();
    assert_eq!(commands, [Command::SetClusterVersion { version: CLUSTER_VERSION }], "once, and not again at the next start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_is_seen_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let id = server.id().clone();
    let mut last = 0;
    for n in 0..20 {
        let done = server.propose(register(&format!("n{n}"))).await.unwrap();
        assert!(done.index > last);
        last = done.index;
        let node = server.view().node(&format!("n{n}").as_str().into()).cloned().unwrap();
        assert_eq!(node.modify_index, done.index);
    }
    let (before, hashed) = (server.view().index(), hash(&server.view()));
    server.shutdown().await;
    assert!(matches!(server.propose(register("late")).await, Err(ProposeError::Stopped { reason: StopReason::Closed, .. })));
    drop(server);

    let server = open(dir.path()).await;
    assert_eq!(server.id(), &id);
    assert!(server.view().index() >= before, "a start ends with the whole log applied");
    assert_eq!(server.view().nodes().count(), 20);
    server.shutdown().await;
    drop(server);
    let records: Vec<_> = log_of(dir.path()).into_iter().filter(|r| r.index() <= before).collect();
    assert_eq!(hash(&replay(&records)), hashed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_an_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let done = server.propose(Command::StopAlloc { id: "nope".into() }).await.unwrap();
    assert_eq!(done.outcome, Outcome::Refused(Refusal::AllocNotFound("nope".into())));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_proposals_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let before = server.status().log.commits;
    let proposals: Vec<_> = (0..500)
        .map(|n| {
            let server = server.clone();
            tokio::spawn(async move { server.propose(register(&format!("n{n}"))).await.unwrap() })
        })
        .collect();
    for proposal in proposals {
        proposal.await.unwrap();
    }
    let commits = server.status().log.commits - before;
    assert!(commits < 250, "500 proposals took {commits} syncs");
    assert_eq!(server.view().nodes().count(), 500);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_every_entry_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let mut events = server.events();
    let mut watch = server.watch();
    let mut indexes = Vec::new();
    for n in 0..30 {
        indexes.push(server.propose(register(&format!("n{n}"))).await.unwrap().index);
    }
    for (n, index) in indexes.iter().enumerate() {
        let event = events.next().await.unwrap();
        assert_eq!(event.index, *index);
        assert_eq!(event.state.index(), *index);
        assert_eq!(event.state.nodes().count(), n + 1, "the state is the one right after the entry");
        assert!(event.effects.changes.contains(&Change::Node(format!("n{n}").as_str().into())));
    }
    assert_eq!(watch.wait_for(|s| s.index() >= indexes[29]).await.unwrap().nodes().count(), 30);
    server.shutdown().await;
    drop(server);
    assert!(events.next().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_server_leads_and_reads_linearizably() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let leadership = server.leadership().borrow().clone();
    assert!(leadership.is_leader);
    assert_eq!(leadership.leader.unwrap().id, *server.id());
    let done = server.propose(register("n")).await.unwrap();
    assert!(server.linearizable().await.unwrap().index() >= done.index);
    let status = server.status();
    assert_eq!((status.role, status.peers.len(), status.stopped.clone()), (Role::Leader, 1, None));
    assert_eq!(status.applied_index, done.index);
    assert_eq!(status.peers[0].server.address.name, "one");
    let mut watched = server.leadership();
    server.shutdown().await;
    watched.wait_for(|l| !l.is_leader).await.unwrap();
    assert!(matches!(server.linearizable().await, Err(ReadError::Stopped { .. })));
    assert_eq!(server.stopped().await, StopReason::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_no_cluster_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let server = Consensus::open(Config { start: Start::Join, ..config(dir.path()) }).await.unwrap();
    let refused = server.propose(register("n")).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Unavailable { .. }), "{refused:?}");
    assert!(refused.to_string().contains("start it as the first one of a cluster"), "{refused}");
    assert!(matches!(server.linearizable().await, Err(ReadError::Unavailable { .. })));
    assert_eq!(server.status().role, Role::Learner);
    server.shutdown().await;
}

/// Reaches nobody, and knows why.
struct Troubled;

impl Transport for Troubled {
    fn call<'a>(
        &'a self,
        target: &'a ServerId,
        address: &'a ServerAddress,
        rpc: Rpc,
        body: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, TransportError>> {
        NoTransport.call(target, address, rpc, body, deadline)
    }

    fn trouble(&self) -> Option<String> {
        Some("Its clock is wrong".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_machine_must_set_right_is_said_where_nobody_leads() {
    let dir = tempfile::tempdir().unwrap();
    let own = config(dir.path());
    let voters = [own.id.clone(), ServerId::from("other".to_owned())].map(|id| (id, own.address.clone()));
    let config = Config { start: Start::Bootstrap { voters: voters.into() }, transport: Arc::new(Troubled), ..own };
    let server = Consensus::open(config).await.unwrap();
    let refused = server.propose(register("n")).await.unwrap_err().to_string();
    assert!(refused.contains("does not answer; 1 of 2 is here") && refused.ends_with(". Its clock is wrong"), "{refused}");
    let refused = server.linearizable().await.unwrap_err().to_string();
    assert!(refused.ends_with(". Its clock is wrong"), "{refused}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_at_the_bound_is_taken_and_one_past_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let padded =
        |bytes: usize| Command::RegisterNode { node: Box::new(Node { id: "n".into(), name: "x".repeat(bytes), ..Node::default() }) };
    let error = server.propose(padded(ENTRY_BYTES)).await.unwrap_err();
    let ProposeError::TooLarge { bytes, limit: ENTRY_BYTES, .. } = error else { panic!("{error:?}") };
    // The stamp's numbers take a few bytes more or less each time, so the frame is measured with room for them.
    let frame = bytes - ENTRY_BYTES;
    const STAMP_SLACK: usize = 32;
    server.propose(padded(ENTRY_BYTES - frame - STAMP_SLACK)).await.unwrap();
    let past = server.propose(padded(ENTRY_BYTES - frame + STAMP_SLACK)).await.unwrap_err();
    assert!(matches!(past, ProposeError::TooLarge { .. }) && past.to_string().contains("split it"), "{past}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    // Nothing is answered before the view shows it, and the view does not move while someone looks at it.
    let watch = server.watch();
    let held = watch.borrow();
    let late = server.propose_within(register("n"), Duration::from_millis(20)).await.unwrap_err();
    drop(held);
    assert!(matches!(late, ProposeError::Timeout { .. }) && late.to_string().contains("may still be carried out"), "{late}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_address_is_announced() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.shutdown().await;
    let address = ServerAddress::new("two".to_owned(), "10.0.0.2:4647".to_owned());
    let moved = Consensus::open(Config { address: address.clone(), ..config(dir.path()) }).await.unwrap();
    assert_eq!(moved.status().peers[0].server.address, address);
    moved.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_writes_nothing_and_stops_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path()).await;
    let before = server.status().log.commits;
    // Three times the longest election timeout: whatever runs by the clock has run.
    tokio::time::sleep(Duration::from_millis(2700)).await;
    assert_eq!(server.status().log.commits, before);
    let started = Instant::now();
    server.shutdown().await;
    let took = started.elapsed();
    // The promise is 100 ms; the rest is for a loaded machine with a slow disk.
    assert!(took < Duration::from_secs(1), "shutting down took {took:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let server = Consensus::open(config.clone()).await.unwrap();
    assert!(DataFolder::open(dir.path()).is_err());
    let error = Consensus::open(config.clone()).await.err().unwrap();
    assert!(matches!(error, OpenError::Log(LogError::InUse { .. })), "{error:?}");
    server.shutdown().await;
    Consensus::open(config).await.unwrap().shutdown().await;
}

/// A command that this build does not know: the server does not start with a wrong state, and says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_newer_build_stops_the_server() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.shutdown().await;
    let last = log_of(dir.path()).last().unwrap().position;
    {
        let log = LogStore::open(&DataFolder::open(dir.path()).unwrap()).unwrap();
        // {"stamp": {"now": 0, "seed": [0, 0]}, "command": {"Teleport": nil}}
        let body = b"\x82\xa5stamp\x82\xa3now\x00\xa4seed\x92\x00\x00\xa7command\x81\xa8Teleport\xc0";
        let payload = [&[1_u8], body.as_slice()].concat();
        let record = LogRecord { position: Position { term: last.term, index: last.index + 1 }, payload: payload.into() };
        let (tell, told) = tokio::sync::oneshot::channel();
        log.append(vec![record], Box::new(move |r| tell.send(r).unwrap())).await.unwrap();
        told.await.unwrap().unwrap();
        log.close();
    }
    let error = Consensus::open(config(dir.path())).await.err().unwrap();
    let text = error.to_string();
    assert!(
        text.contains("newer version") && text.contains("upgrade floe") && text.contains(&format!("entry {}", last.index + 1)),
        "{text}"
    );
}
