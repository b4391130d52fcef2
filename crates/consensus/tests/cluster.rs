//! Several servers as their callers see them: they begin, agree, go on without one, and pass on what only the leader can do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::{Consensus, ProposeError, Rpc, ServerId, Start};
use floe_state::{Command, Digest, Outcome, command::CLUSTER_VERSION, requests::RequestId};
use std::{collections::BTreeMap, time::Duration};
use support::{
    net::{Cluster, address, calm, id},
    *,
};
use tempfile::TempDir;

const THREE: [&str; 3] = ["a", "b", "c"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_that_begin_together_agree_in_whatever_order_they_start() {
    for order in [["a", "b", "c"], ["a", "c", "b"], ["b", "a", "c"], ["b", "c", "a"], ["c", "a", "b"], ["c", "b", "a"]] {
        let cluster = Cluster::of(&order).await;
        let leader = cluster.leader().await;
        cluster.get(&leader).propose(register("n")).await.unwrap();
        cluster.agree(&THREE).await;
        for (name, server) in cluster.running() {
            assert!(server.view().node(&"n".into()).is_some());
            wait_for("the version that all know", || (server.view().cluster_version() == CLUSTER_VERSION).then_some(())).await;
            assert_eq!(server.members().iter().filter(|m| m.is_voter).count(), 3, "{name}");
            assert_eq!(server.cluster(), cluster.get("a").cluster());
        }
        cluster.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_command_is_the_version_whoever_leads() {
    let mut cluster = Cluster::with(&THREE, calm()).await;
    let writes = cluster.running().into_iter().map(|(name, server)| async move { server.propose(register(&name)).await });
    for written in futures::future::join_all(writes).await {
        written.unwrap();
    }
    for name in THREE {
        let server = cluster.get(name);
        wait_for("the version that all know", || (server.view().cluster_version() == CLUSTER_VERSION).then_some(())).await;
    }
    cluster.agree(&THREE).await;
    for name in THREE {
        cluster.stop(name).await;
    }
    let dirs: Vec<TempDir> = cluster.hosts.into_values().map(|host| host.dir).collect();
    for dir in &dirs {
        let commands: Vec<Command> = log_of(dir.path()).iter().filter_map(command_of).map(|e| e.command).collect();
        let (versions, others): (Vec<_>, Vec<_>) = commands.iter().partition(|c| matches!(c, Command::SetClusterVersion { .. }));
        assert_eq!(others.len(), 3);
        // What all servers know is known once all have said it, which may be at once.
        assert!(matches!(commands[0], Command::SetClusterVersion { .. }) && versions.len() <= 2, "{commands:?}");
        assert_eq!(versions.last(), Some(&&Command::SetClusterVersion { version: CLUSTER_VERSION }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_as_the_leader_is_not_passed_on_to_the_next_one() {
    let cluster = Cluster::with(&THREE, calm()).await;
    let leader = cluster.leader().await;
    // Nothing is taken before the cluster's version stands in the log.
    cluster.get(&leader).propose(register("first")).await.unwrap();
    cluster.get(&leader).propose_as_leader(register("by-the-leader")).await.unwrap();
    for name in cluster.others(&leader) {
        let refused = cluster.get(&name).propose_as_leader(register("by-another")).await.unwrap_err();
        assert!(matches!(refused, ProposeError::NotLeading { .. }), "{refused:?}");
    }
    cluster.agree(&THREE).await;
    let nodes: Vec<String> = cluster.get("a").view().nodes().map(|n| n.name.clone()).collect();
    assert_eq!(nodes, ["by-the-leader", "first"]);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_lead_passes_a_write_on_and_reads_it() {
    let cluster = Cluster::with(&THREE, calm()).await;
    let leader = cluster.leader().await;
    for name in cluster.others(&leader) {
        let server = cluster.get(&name);
        for n in 0..20 {
            let node = format!("{name}-{n}");
            let done = server.propose(register(&node)).await.unwrap();
            let view = server.view();
            assert!(view.index() >= done.index && view.node(&node.as_str().into()).is_some(), "{name} does not read its own write");
        }
    }
    assert!(cluster.net.calls(&leader, Rpc::Propose) >= 40);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linearizable_read_on_any_server_sees_what_was_acknowledged_before_it() {
    let cluster = Cluster::with(&THREE, calm()).await;
    let leader = cluster.leader().await;
    // The one that reads hears of entries late.
    cluster.net.faults(|f| f.delay = Duration::from_millis(5));
    let reader = cluster.get(&cluster.others(&leader)[0]);
    for n in 0..30 {
        let node = format!("n{n}");
        cluster.get(&leader).propose(register(&node)).await.unwrap();
        let read = reader.linearizable().await.unwrap();
        assert!(read.node(&node.as_str().into()).is_some(), "{node} was acknowledged before the read");
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passed_on_write_whose_answer_is_lost_is_not_done_twice() {
    let cluster = Cluster::with(&THREE, calm()).await;
    let leader = cluster.leader().await;
    let other = cluster.get(&cluster.others(&leader)[0]);
    other.propose(register("before")).await.unwrap();
    wait_for("the version that all know", || (other.view().cluster_version() == CLUSTER_VERSION).then_some(())).await;
    cluster.net.faults(|f| f.no_answer.extend([(leader.clone(), Rpc::Propose.name())]));
    let before = cluster.get(&leader).view().index();
    let lost = other.propose_within(register("once"), Duration::from_millis(700)).await.unwrap_err();
    assert!(matches!(lost, ProposeError::OutcomeUnknown { .. }) && lost.to_string().contains("look before you try again"), "{lost}");
    cluster.net.heal();
    assert_eq!(cluster.get(&leader).view().index(), before + 1, "it was done, once");
    // A network that delivers a call twice does not have it done twice either.
    cluster.net.faults(|f| f.twice.extend([Rpc::Propose.name()]));
    let twice = other.propose_within(register("twice"), Duration::from_millis(700)).await;
    assert!(matches!(twice, Err(ProposeError::OutcomeUnknown { .. })), "the second delivery is known again: {twice:?}");
    assert_eq!(cluster.get(&leader).view().index(), before + 2);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_took_is_tried_again_with_the_next_leader() {
    let mut cluster = Cluster::of(&THREE).await;
    let first = cluster.leader().await;
    let others = cluster.others(&first);
    cluster.crash(&first).await;
    // The others think that the first one leads, and find it gone.
    let done = cluster.get(&others[0]).propose(register("n")).await.unwrap();
    assert!(cluster.get(&others[0]).view().index() >= done.index);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_for_another_server_or_of_another_cluster_are_refused() {
    let cluster = Cluster::of(&["a"]).await;
    let mut foreign = Cluster::of(&["x"]).await;
    let server = cluster.get("a");
    let refused = server.handle(&id("other"), Rpc::Vote, b"").await.unwrap_err();
    assert!(refused.to_string().contains("it is for server id-other"), "{refused}");
    let refused = server.handle(server.id(), Rpc::Vote, b"\xc1 rubbish").await.unwrap_err();
    assert!(refused.to_string().contains("Vote"), "{refused}");
    // The foreign cluster takes "a" for one of its own.
    foreign.net.listen(&address("a").rpc, &server);
    foreign.get("x").add_learner(id("a"), address("a")).await.unwrap();
    let term = server.status().term;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(foreign.net.calls("a", Rpc::Append) > 0);
    assert_eq!((server.members().len(), server.status().term), (1, term));
    let peer = foreign.get("x").status().peers.into_iter().find(|p| p.server.id == id("a")).unwrap();
    assert_eq!(peer.matched, None, "nothing was taken");
    server.propose(register("n")).await.unwrap();
    foreign.net.forget(&server);
    foreign.stop("x").await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_addresses_all_changed_while_it_was_down_comes_back() {
    let mut cluster = Cluster::of(&THREE).await;
    let leader = cluster.leader().await;
    cluster.get(&leader).propose(register("before")).await.unwrap();
    cluster.agree(&THREE).await;
    for name in THREE {
        cluster.crash(name).await;
    }
    let moved = |name: &str| floe_consensus::ServerAddress::new(name.to_owned(), format!("{name}.moved:4647"));
    for name in THREE {
        cluster.hosts.get_mut(name).unwrap().config.address = moved(name);
        cluster.start(name).await;
    }
    let refused = cluster.get("a").propose(register("after")).await.unwrap_err();
    assert!(refused.to_string().contains("b (b.test:4647)"), "{refused}");
    for (_, server) in cluster.running() {
        for name in THREE {
            server.learn_address(id(name), moved(name));
        }
    }
    cluster.leader().await;
    cluster.get("a").propose(register("after")).await.unwrap();
    let addresses: BTreeMap<ServerId, String> = THREE.iter().map(|n| (id(n), moved(n).rpc)).collect();
    for name in THREE {
        let server = cluster.get(name);
        wait_for("the membership to have the new addresses", || {
            (server.members().into_iter().map(|m| (m.id, m.address.rpc)).collect::<BTreeMap<_, _>>() == addresses).then_some(())
        })
        .await;
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_another_server_is_refused() {
    let mut cluster = Cluster::of(&["a"]).await;
    cluster.stop("a").await;
    let mut config = cluster.hosts["a"].config.clone();
    config.id = id("b");
    config.start = Start::Join;
    let refused = Consensus::open(config).await.err().unwrap();
    let text = refused.to_string();
    assert!(text.contains("the log is of server id-a, but this server's key makes it id-b") && !text.contains("  "), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_among_those_that_begin_is_refused_unless_it_has_a_log() {
    let mut cluster = Cluster::of(&["a"]).await;
    cluster.get("a").propose(register("n")).await.unwrap();
    cluster.stop("a").await;
    let others = Start::Bootstrap { voters: [(id("b"), address("b"))].into() };
    cluster.hosts.get_mut("a").unwrap().config.start = others.clone();
    cluster.start("a").await;
    assert!(cluster.get("a").view().node(&"n".into()).is_some(), "one that has a log goes on with it");
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.start = others;
    let refused = Consensus::open(config).await.err().unwrap();
    assert!(refused.to_string().contains("is not among the voters that begin the cluster"), "{refused}");
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_under_an_id_whose_answer_is_lost_is_asked_about_again_and_done_once() {
    let mut cluster = Cluster::with(&THREE, calm()).await;
    let leader = cluster.leader().await;
    let other = cluster.get(&cluster.others(&leader)[0]);
    wait_for("the version that all know", || (other.view().cluster_version() == CLUSTER_VERSION).then_some(())).await;
    let request = RequestId { id: "x".to_owned(), digest: Digest::default() };
    let write = Command::Once { request, command: Box::new(register("once")) };
    cluster.net.faults(|f| f.no_answer.extend([(leader.clone(), Rpc::Propose.name())]));
    let lost = other.propose_within(write.clone(), Duration::from_millis(700)).await.unwrap_err();
    assert!(matches!(lost, ProposeError::OutcomeUnknown { .. }), "{lost}");
    cluster.net.heal();
    // Another server leads by then, and remembers it all the same.
    wait_for("it is everywhere", || other.view().request("x").is_some().then_some(())).await;
    cluster.crash(&leader).await;
    let next = cluster.leader().await;
    let again = cluster.get(&next).propose(write).await.unwrap();
    let Outcome::Repeated { index, .. } = again.outcome else { panic!("done again: {:?}", again.outcome) };
    assert!(index < again.index);
    cluster.close().await;
}
