//! Going on when a majority is gone for good: one of three, and two of five, with everything that any of them has; and what comes back of the old
//! cluster disturbs nobody.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::{RecoverError, Start, Survey, recover};
use floe_state::Stamp;
use std::{collections::BTreeSet, time::Duration};
use support::{
    net::{Cluster, address, calm, id},
    *,
};

fn stamp(seed: u64) -> Stamp {
    Stamp { seed: (seed, seed), ..Stamp::default() }
}

/// Stops a server and gives its folder free.
async fn survey(cluster: &Cluster, name: &str) -> Survey {
    let data = cluster.hosts[name].config.data.clone();
    tokio::task::spawn_blocking(move || Survey::of(&data)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_goes_on_and_the_old_two_disturb_nobody() {
    let mut cluster = Cluster::with(&["a", "b", "c"], calm()).await;
    let leader = cluster.leader().await;
    cluster.get(&leader).propose(register("before")).await.unwrap();
    cluster.agree(&["a", "b", "c"]).await;
    for name in ["a", "b", "c"] {
        cluster.crash(name).await;
    }
    let before = survey(&cluster, "a").await;
    assert_eq!(before.members.len(), 3);
    let after = recover(cluster.hosts["a"].config.data.clone(), BTreeSet::new(), stamp(1)).await.unwrap();
    assert!(after.last > before.last && after.last.term > before.term);
    assert_ne!(after.cluster, before.cluster);
    assert_eq!(after.members.iter().map(|m| m.id.clone()).collect::<Vec<_>>(), [id("a")]);
    let again = recover(cluster.hosts["a"].config.data.clone(), BTreeSet::new(), stamp(2)).await;
    assert!(matches!(again, Err(RecoverError::Alone)));
    cluster.start("a").await;
    let alone = cluster.get("a");
    assert!(alone.view().node(&"before".into()).is_some(), "what was acknowledged is there");
    alone.propose(register("after")).await.unwrap();
    assert!(alone.view().is_agent_refused("id-b") && alone.view().is_agent_refused("id-c"));
    // The other two come back, and are a majority of what they know of.
    cluster.start("b").await;
    cluster.start("c").await;
    cluster.leader_of(&["b", "c"]).await;
    let term = alone.leadership().borrow().term;
    tokio::time::sleep(Duration::from_secs(2)).await;
    alone.propose(register("still")).await.unwrap();
    assert_eq!(alone.leadership().borrow().term, term, "nobody deposed it");
    assert!(cluster.get("b").view().node(&"after".into()).is_none(), "and nothing of it went over");
    // As soon as they hear of it, they take part in nothing.
    cluster.get("b").retire();
    cluster.get("c").retire();
    for name in ["b", "c"] {
        let server = cluster.get(name);
        wait_for("it does not lead", || (!server.leadership().borrow().is_leader).then_some(())).await;
        assert!(server.propose_within(register("second"), Duration::from_secs(1)).await.is_err());
    }
    // The new cluster grows again.
    cluster.add("d", Start::Join).await;
    alone.add_learner(id("d"), address("d")).await.unwrap();
    let grown = cluster.get("d");
    wait_for("it catches up", || grown.view().node(&"still".into()).is_some().then_some(())).await;
    promote(&alone, "d").await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_five_keep_what_either_has_and_the_second_comes_back_under_its_id() {
    let five = ["a", "b", "c", "d", "e"];
    let mut cluster = Cluster::with(&five, calm()).await;
    let leader = cluster.leader().await;
    cluster.get(&leader).propose(register("all-have-it")).await.unwrap();
    cluster.agree(&five).await;
    // One is behind: what was acknowledged while it was away it does not have.
    let behind = cluster.others(&leader)[0].clone();
    cluster.crash(&behind).await;
    cluster.get(&leader).propose(register("one-lacks-it")).await.unwrap();
    let running: Vec<String> = cluster.running().into_iter().map(|(n, _)| n).collect();
    cluster.agree(&running.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let left = cluster.others(&leader)[0].clone();
    for name in running {
        cluster.crash(&name).await;
    }
    let (most, least) = (survey(&cluster, &left).await, survey(&cluster, &behind).await);
    assert!(most.last > least.last, "the one to recover on is known");
    recover(cluster.hosts[&left].config.data.clone(), BTreeSet::from([id(&behind)]), stamp(1)).await.unwrap();
    cluster.start(&left).await;
    let first = cluster.get(&left);
    assert!(first.view().node(&"one-lacks-it".into()).is_some());
    assert!(!first.view().is_agent_refused(&format!("id-{behind}")));
    // With its old log it is of the old cluster; with an empty one it joins.
    cluster.start(&behind).await;
    first.add_learner(id(&behind), address(&behind)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(cluster.get(&behind).view().node(&"one-lacks-it".into()).is_none());
    cluster.stop(&behind).await;
    cluster.add(&behind, Start::Join).await;
    let second = cluster.get(&behind);
    wait_for("it catches up", || second.view().node(&"one-lacks-it".into()).is_some().then_some(())).await;
    promote(&first, &behind).await;
    second.propose(register("both")).await.unwrap();
    cluster.agree(&[&left, &behind]).await;
    cluster.close().await;
}

/// The one that made the cluster was its only voter at first, and is told the log anew: it must not take itself for that again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_founder_comes_back_as_a_learner_and_nothing_else() {
    let mut cluster = Cluster::with(&["b"], calm()).await;
    let founder = cluster.get("b");
    for name in ["a", "c"] {
        cluster.add(name, Start::Join).await;
        founder.add_learner(id(name), address(name)).await.unwrap();
        wait_for("it can vote", || cluster.get(name).view().index().ge(&founder.view().index()).then_some(())).await;
        promote(&founder, name).await;
    }
    for n in 0..200 {
        founder.propose(register(&format!("n-{n}"))).await.unwrap();
    }
    cluster.agree(&["a", "b", "c"]).await;
    for name in ["a", "b", "c"] {
        cluster.crash(name).await;
    }
    let before = survey(&cluster, "a").await;
    recover(cluster.hosts["a"].config.data.clone(), BTreeSet::from([id("b")]), stamp(1)).await.unwrap();
    // Two starts: the second finds done what it has to do.
    cluster.start("a").await;
    cluster.crash("a").await;
    let first = log_of_closed(&cluster, "a");
    assert!(first > before.last.index, "what tells of the old voters is in no entry any more: {first}");
    cluster.start("a").await;
    let alone = cluster.get("a");
    let term = alone.leadership().borrow().term;
    cluster.add("b", Start::Join).await;
    alone.add_learner(id("b"), address("b")).await.unwrap();
    let back = cluster.get("b");
    wait_for("it catches up", || back.view().node(&"n-199".into()).is_some().then_some(())).await;
    promote(&alone, "b").await;
    back.propose(register("after")).await.unwrap();
    assert_eq!(alone.leadership().borrow().term, term, "nobody else led for a moment");
    cluster.agree(&["a", "b"]).await;
    cluster.close().await;
}

/// Gives a server its vote, once the leader has heard how far it is.
async fn promote(leader: &floe_consensus::Consensus, name: &str) {
    let begun = std::time::Instant::now();
    while let Err(error) = leader.promote(id(name)).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The index of the first entry that a server's log holds.
fn log_of_closed(cluster: &Cluster, name: &str) -> u64 {
    let log = floe_store::LogStore::open(&cluster.hosts[name].config.data).unwrap();
    let first = log.read(0..u64::MAX).unwrap().first().map(floe_store::LogRecord::index);
    let purged = log.bounds().purged.map(|p| p.index + 1);
    log.close();
    first.or(purged).unwrap_or(0)
}
