//! Servers come and go: learners, votes, removals, snapshots for those who were away too long.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::{ChangeError, Config, Consensus, ProposeError, Rpc, Start, config::SNAPSHOT_CHUNK_BYTES, status::Role};
use floe_model::Node;
use floe_state::Command;
use std::time::{Duration, Instant};
use support::{
    net::{Cluster, Writer, address, calm, id},
    *,
};

/// Adds a server, waits until it has caught up and gives it a vote, all through one of the others.
async fn grow(cluster: &mut Cluster, name: &str, through: &str) {
    cluster.add(name, Start::Join).await;
    cluster.get(through).add_learner(id(name), address(name)).await.unwrap();
    vote(cluster, name, through).await;
}

/// Gives a learner a vote once it is caught up.
async fn vote(cluster: &Cluster, name: &str, through: &str) {
    let started = Instant::now();
    loop {
        match cluster.get(through).promote(id(name)).await {
            Ok(()) => return,
            Err(ChangeError::Behind { .. } | ChangeError::Empty { .. } | ChangeError::Silent { .. })
                if started.elapsed() < Duration::from_secs(10) =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("promote {name}: {error}"),
        }
    }
}

fn voters(server: &Consensus) -> Vec<String> {
    server.members().into_iter().filter(|m| m.is_voter).map(|m| m.address.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_to_five_and_shrinks_to_one_while_it_is_written_to() {
    let mut cluster = Cluster::with(&["a"], calm()).await;
    let writers: Vec<Writer> = (0..3).map(|n| Writer::start(&format!("w{n}"), vec![cluster.get("a")])).collect();
    grow(&mut cluster, "b", "a").await;
    grow(&mut cluster, "c", "b").await;
    wait_for("three voters", || (voters(&cluster.get("a")) == ["a", "b", "c"]).then_some(())).await;
    let other = Writer::start("late", vec![cluster.get("c"), cluster.get("b")]);
    grow(&mut cluster, "d", "c").await;
    grow(&mut cluster, "e", "d").await;
    wait_for("five voters", || (voters(&cluster.get("e")).len() == 5).then_some(())).await;
    cluster.agree_but_for_writes(&["a", "b", "c", "d", "e"]).await;
    cluster.get("e").remove(id("e")).await.unwrap();
    cluster.get("a").remove(id("d")).await.unwrap();
    let (late, _) = other.finish().await;
    cluster.get("a").remove(id("c")).await.unwrap();
    cluster.get("a").remove(id("b")).await.unwrap();
    assert_eq!(voters(&cluster.get("a")), ["a"]);
    let mut acknowledged = late;
    for writer in writers {
        let (written, failed) = writer.finish().await;
        assert_eq!(failed, 0, "a write failed while nothing but the membership changed");
        assert!(!written.is_empty());
        acknowledged.extend(written);
    }
    let view = cluster.get("a").linearizable().await.unwrap();
    for id in &acknowledged {
        assert!(view.node(&id.as_str().into()).is_some(), "{id} was acknowledged and is lost");
    }
    cluster.close().await;
}

/// A server whose log forgets soon.
fn forgetful(config: &mut Config) {
    config.snapshot_entries = 20;
    config.log_entries_kept = 20;
}

/// A node of this many bytes.
fn large(name: &str, bytes: usize) -> Command {
    let node = Node { id: name.into(), name: "x".repeat(bytes), ..Node::default() };
    Command::RegisterNode { node: Box::new(node) }
}

/// A server "a" whose log begins after what only its snapshot has: more than one piece.
async fn purged() -> Cluster {
    let mut cluster = Cluster::empty();
    let voters = [(id("a"), address("a"))].into();
    cluster.add_with("a", Start::Bootstrap { voters }, forgetful).await;
    let server = cluster.get("a");
    server.propose(large("large", 2 * SNAPSHOT_CHUNK_BYTES + 17)).await.unwrap();
    let mut n = 0;
    while server.status().purged.is_none_or(|p| p.index < 30) {
        server.propose(register(&format!("n{n}"))).await.unwrap();
        n += 1;
        assert!(n < 2000, "the log was never purged");
    }
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_gets_what_the_log_forgot_from_a_snapshot() {
    let mut cluster = purged().await;
    cluster.add_with("b", Start::Join, forgetful).await;
    cluster.get("a").add_learner(id("b"), address("b")).await.unwrap();
    vote(&cluster, "b", "a").await;
    cluster.agree(&["a", "b"]).await;
    assert!(cluster.net.calls("b", Rpc::Snapshot) >= 3, "it came in pieces");
    assert!(cluster.get("b").status().snapshot.is_some());
    // It is as durable as a snapshot of its own.
    cluster.crash("b").await;
    cluster.start("b").await;
    cluster.leader().await;
    assert_eq!(cluster.get("b").view().node(&"large".into()).unwrap().name.len(), 2 * SNAPSHOT_CHUNK_BYTES + 17);
    cluster.close().await;
}

/// What a crash can leave when a first snapshot was just taken in: it is durable, and of the log only what was written before it.
async fn forget_entries(folder: &floe_store::DataFolder) {
    let old = floe_store::LogStore::open(folder).unwrap();
    let (server, cluster, vote) = (old.server_id().unwrap(), old.cluster_id().unwrap(), old.vote().unwrap());
    old.close();
    std::fs::remove_file(folder.server().unwrap().join("raft.redb")).unwrap();
    let log = floe_store::LogStore::open(folder).unwrap();
    log.save_server_id(server, Box::new(drop)).await.unwrap();
    log.save_cluster_id(cluster, Box::new(drop)).await.unwrap();
    log.save_vote(vote, Box::new(drop)).await.unwrap();
    log.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_which_a_crash_left_its_first_snapshot_alone_is_still_of_its_cluster() {
    let mut cluster = purged().await;
    // The voters are not those that the cluster began with, and the snapshot says so.
    grow(&mut cluster, "c", "a").await;
    let leader = cluster.get("a");
    let grown = leader.view().log_index();
    let mut n = 0;
    while leader.status().purged.is_none_or(|p| p.index <= grown) {
        leader.propose(register(&format!("m{n}"))).await.unwrap();
        n += 1;
        assert!(n < 2000, "the log was never purged");
    }
    cluster.add_with("b", Start::Join, forgetful).await;
    leader.add_learner(id("b"), address("b")).await.unwrap();
    let learner = cluster.get("b");
    wait_for("it has a snapshot", || learner.status().snapshot.map(drop)).await;
    cluster.crash("b").await;
    forget_entries(&cluster.hosts["b"].config.data).await;
    // Nobody hears of it: the leader knows that it had entries after the snapshot, which a crash would not have taken.
    let left = Consensus::open(cluster.hosts["b"].config.clone()).await.unwrap();
    assert_eq!(left.cluster(), leader.cluster());
    left.shutdown().await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_torn_on_its_way_is_never_seen_and_is_sent_again() {
    let mut cluster = purged().await;
    cluster.add_with("b", Start::Join, forgetful).await;
    // Pieces arrive, the sender does not hear so.
    cluster.net.faults(|f| f.no_answer.extend([("b".to_owned(), Rpc::Snapshot.name())]));
    cluster.get("a").add_learner(id("b"), address("b")).await.unwrap();
    wait_for("a piece", || (cluster.net.calls("b", Rpc::Snapshot) > 0).then_some(())).await;
    let folder = cluster.hosts["b"].dir.path().join("server/snapshots");
    let files = || std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    assert!(files().is_empty(), "{:?}", files());
    assert_eq!(cluster.get("b").view().nodes().count(), 0);
    cluster.crash("b").await;
    cluster.net.heal();
    cluster.start("b").await;
    assert!(files().is_empty(), "{:?}", files());
    vote(&cluster, "b", "a").await;
    cluster.agree(&["a", "b"]).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_its_disk_joins_under_a_new_id_and_the_old_one_goes() {
    let mut cluster = Cluster::with(&["a", "b", "c"], calm()).await;
    let leader = cluster.leader().await;
    cluster.get(&leader).propose(register("before")).await.unwrap();
    let lost = cluster.others(&leader)[0].clone();
    cluster.crash(&lost).await;
    // Under its old id it must not vote: it does not know what it promised.
    let old = cluster.hosts.remove(&lost).unwrap();
    cluster.add(&lost, Start::Join).await;
    wait_for("the leader to call it", || (cluster.net.calls(&lost, Rpc::Append) > 0).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((cluster.get(&lost).view().index(), cluster.get(&lost).members().len()), (0, 0));
    cluster.crash(&lost).await;
    cluster.hosts.remove(&lost);
    drop(old);
    // Under a new one, at the same address, it does.
    cluster.add_with("new", Start::Join, |config| config.address = address(&lost)).await;
    cluster.get(&leader).add_learner(id("new"), address(&lost)).await.unwrap();
    vote(&cluster, "new", &leader).await;
    cluster.get(&leader).remove(id(&lost)).await.unwrap();
    let members: Vec<_> = cluster.get(&leader).members().into_iter().map(|m| m.id).collect();
    assert!(members.contains(&id("new")) && !members.contains(&id(&lost)) && members.len() == 3, "{members:?}");
    cluster.get("new").propose(register("after")).await.unwrap();
    assert!(cluster.get("new").view().node(&"before".into()).is_some());
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_can_remove_itself_and_the_removed_server_knows() {
    let mut cluster = Cluster::of(&["a", "b", "c"]).await;
    let leader = cluster.leader().await;
    cluster.get(&leader).propose(register("before")).await.unwrap();
    cluster.get(&leader).remove(id(&leader)).await.unwrap();
    let gone = cluster.get(&leader);
    wait_for("the removed server to know", || gone.status().is_removed.then_some(())).await;
    assert!(!gone.leadership().borrow().is_leader);
    let started = Instant::now();
    let refused = gone.propose(register("after")).await.unwrap_err();
    assert!(
        matches!(refused, ProposeError::Unavailable { .. }) && refused.to_string().contains("was removed from the cluster"),
        "{refused}"
    );
    assert!(started.elapsed() < Duration::from_secs(1), "there is nothing to wait for");
    // It leaves the others alone.
    let others = cluster.others(&leader);
    let names: Vec<&str> = others.iter().map(String::as_str).collect();
    let next = cluster.leader_of(&names).await;
    let term = cluster.get(&next).status().term;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!((cluster.get(&next).status().term, cluster.leader_of(&names).await), (term, next.clone()));
    assert_eq!(voters(&cluster.get(&next)), names);
    cluster.stop(&leader).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_removed_while_it_was_down_learns_so_and_disturbs_nobody() {
    let mut cluster = Cluster::of(&["a", "b", "c"]).await;
    let leader = cluster.leader().await;
    let away = cluster.others(&leader)[0].clone();
    cluster.crash(&away).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let leader = {
        let left: Vec<String> = cluster.running().into_iter().map(|(n, _)| n).collect();
        cluster.leader_of(&left.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    cluster.get(&leader).remove(id(&away)).await.unwrap();
    let term = cluster.get(&leader).status().term;
    cluster.start(&away).await;
    let gone = cluster.get(&away);
    wait_for("the removed server to know", || gone.status().is_removed.then_some(())).await;
    assert!(gone.linearizable().await.unwrap_err().to_string().contains("was removed from the cluster"));
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(cluster.get(&leader).status().term, term);
    assert!(cluster.get(&leader).leadership().borrow().is_leader);
    // The leader may take it in again, and then it is a member like any other.
    cluster.get(&leader).add_learner(id(&away), address(&away)).await.unwrap();
    vote(&cluster, &away, &leader).await;
    wait_for("the server to be back", || (!gone.status().is_removed).then_some(())).await;
    gone.propose(register("back")).await.unwrap();
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_would_stop_the_cluster_are_refused() {
    let mut cluster = Cluster::of(&["a"]).await;
    let a = cluster.get("a");
    assert!(matches!(a.remove(id("a")).await, Err(ChangeError::LastVoter { .. })));
    assert!(matches!(a.promote(id("b")).await, Err(ChangeError::NotMember { .. })));
    assert!(matches!(a.remove(id("b")).await, Err(ChangeError::NotMember { .. })));
    a.add_learner(id("b"), address("b")).await.unwrap();
    let refused = a.promote(id("b")).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Silent { .. }) && refused.to_string().contains("b (id-b at b.test:4647)"), "{refused}");
    cluster.add("b", Start::Join).await;
    vote(&cluster, "b", "a").await;
    grow(&mut cluster, "c", "b").await;
    cluster.agree(&["a", "b", "c"]).await;
    let leader = cluster.leader().await;
    let others = cluster.others(&leader);
    cluster.crash(&others[0]).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let refused = cluster.get(&leader).remove(id(&others[1])).await.unwrap_err();
    assert!(matches!(refused, ChangeError::NoQuorum { voters: 2, here: 1, needed: 2, .. }), "{refused:?}");
    // The dead one may go.
    cluster.get(&leader).remove(id(&others[0])).await.unwrap();
    cluster.get(&others[1]).propose(register("n")).await.unwrap();
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leadership_goes_where_it_is_told() {
    let cluster = Cluster::of(&["a", "b", "c"]).await;
    for to in ["a", "b", "c", "a"] {
        let through = cluster.leader().await;
        let asked = cluster.others(&through)[0].clone();
        // Whoever is asked, it is the leader that does it.
        cluster.get(&asked).transfer_leadership(Some(id(to))).await.unwrap();
        assert_eq!(cluster.leader_of(&["a", "b", "c"]).await, to);
        cluster.get(to).propose(register(to)).await.unwrap();
    }
    let before = cluster.leader().await;
    cluster.get(&before).transfer_leadership(None).await.unwrap();
    assert_ne!(cluster.leader().await, before);
    assert!(matches!(cluster.get("a").transfer_leadership(Some(id("x"))).await, Err(ChangeError::NotMember { .. })));
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_server_is_reached_at_once_and_tells_the_membership_itself() {
    let mut cluster = Cluster::of(&["a", "b", "c"]).await;
    let leader = cluster.leader().await;
    let moved = cluster.others(&leader)[0].clone();
    cluster.crash(&moved).await;
    let new = floe_consensus::ServerAddress::new(moved.clone(), format!("{moved}.moved:4647"));
    cluster.hosts.get_mut(&moved).unwrap().config.address = new.clone();
    cluster.start(&moved).await;
    for (_, server) in cluster.running() {
        server.learn_address(id(&moved), new.clone());
    }
    let leader = cluster.leader().await;
    wait_for("the new address", || {
        let members = cluster.get(&leader).members();
        members.iter().any(|m| m.id == id(&moved) && m.address == new).then_some(())
    })
    .await;
    assert_eq!(cluster.get(&moved).status().role, if leader == moved { Role::Leader } else { Role::Follower });
    cluster.close().await;
}
