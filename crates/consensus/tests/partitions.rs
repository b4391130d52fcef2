//! Servers that are cut off, die, or leave: the others go on, and what was acknowledged stays.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::ProposeError;
use std::time::{Duration, Instant};
use support::{
    net::{Cluster, Writer},
    *,
};

const THREE: [&str; 3] = ["a", "b", "c"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_leader_dies() {
    let mut cluster = Cluster::of(&THREE).await;
    let first = cluster.leader().await;
    let others = cluster.others(&first);
    let writer = Writer::start("w", others.iter().map(|n| cluster.get(n)).collect());
    wait_for("some writes", || (cluster.get(&first).view().nodes().count() > 20).then_some(())).await;
    cluster.crash(&first).await;
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let next = cluster.leader_of(&others).await;
    assert_ne!(next, first);
    let before = cluster.get(&next).view().nodes().count();
    wait_for("writes under the next leader", || (cluster.get(&next).view().nodes().count() > before + 20).then_some(())).await;
    let (acknowledged, _) = writer.finish().await;
    cluster.start(&first).await;
    cluster.leader().await;
    cluster.agree(&THREE).await;
    for id in &acknowledged {
        assert!(cluster.get(&first).view().node(&id.as_str().into()).is_some(), "{id} was acknowledged and is lost");
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_a_write_fails_soon_and_names_who_is_missing() {
    let mut cluster = Cluster::of(&THREE).await;
    let leader = cluster.leader().await;
    cluster.get(&leader).propose(register("before")).await.unwrap();
    let others = cluster.others(&leader);
    for name in &others {
        cluster.crash(name).await;
    }
    let alone = cluster.get(&leader);
    let mut leadership = alone.leadership();
    let lost = Instant::now();
    leadership.wait_for(|l| !l.is_leader).await.unwrap();
    let took = lost.elapsed();
    assert!(took < Duration::from_millis(2 * 450 + 300), "it went on leading for {took:?}");
    let started = Instant::now();
    let refused = alone.propose(register("after")).await.unwrap_err();
    let took = started.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    let text = refused.to_string();
    for name in &others {
        assert!(text.contains(&format!("{name} ({name}.test:4647)")), "{text}");
    }
    assert!(text.contains("1 of 3 is here, 2 are needed"), "{text}");
    assert!(alone.linearizable().await.unwrap_err().to_string().contains("2 are needed"));
    assert!(alone.view().node(&"before".into()).is_some(), "reads of the view go on");
    // One comes back, and that is enough.
    cluster.start(&others[0]).await;
    alone.propose(register("after")).await.unwrap();
    cluster.close().await;
}

/// Cuts the leader off, and says what became of that.
async fn a_minority_is_refused(is_silent: bool) {
    let cluster = Cluster::of(&THREE).await;
    let cut_off = cluster.leader().await;
    let rest: Vec<String> = cluster.others(&cut_off);
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    cluster.net.faults(|f| f.is_silent = is_silent);
    cluster.net.isolate(&cut_off, &rest);
    cluster.leader_of(&rest).await;
    // On a machine that does something else meanwhile, a second election may follow the first one.
    let majority = async { while cluster.get(rest[0]).propose(register("majority")).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), majority).await.unwrap();
    let refused = cluster.get(&cut_off).propose(register("minority")).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Unavailable { .. } | ProposeError::OutcomeUnknown { .. }), "{refused:?}");
    let refused = cluster.get(&cut_off).propose(register("minority")).await.unwrap_err();
    assert!(refused.to_string().contains("do not answer; 1 of 3 is here"), "{refused}");
    assert!(!cluster.get(&cut_off).leadership().borrow().is_leader);
    cluster.net.heal();
    cluster.leader().await;
    cluster.agree(&THREE).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_refuses_writes_while_the_majority_goes_on_and_then_they_agree() {
    a_minority_is_refused(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_the_same_when_the_network_says_nothing_of_what_it_loses() {
    a_minority_is_refused(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_heard_but_hears_nothing_is_replaced() {
    let cluster = Cluster::of(&THREE).await;
    let old = cluster.leader().await;
    let others = cluster.others(&old);
    // Its calls arrive; answers and the others' calls do not.
    cluster.net.faults(|f| f.cut.extend(others.iter().map(|other| (other.clone(), old.clone()))));
    let names: Vec<&str> = others.iter().map(String::as_str).collect();
    let next = cluster.leader_of(&names).await;
    cluster.get(&next).propose(register("n")).await.unwrap();
    assert!(!cluster.get(&old).leadership().borrow().is_leader);
    cluster.net.heal();
    cluster.leader().await;
    cluster.agree(&THREE).await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_back_from_isolation_does_not_depose_the_leader() {
    let cluster = Cluster::of(&THREE).await;
    let leader = cluster.leader().await;
    let others = cluster.others(&leader);
    let term = cluster.get(&leader).status().term;
    cluster.net.isolate(&others[0], &[leader.as_str(), others[1].as_str()]);
    // It asks for votes many times meanwhile.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(cluster.get(&others[0]).leadership().borrow().leader.is_none());
    cluster.net.heal();
    assert_eq!(cluster.leader().await, leader);
    cluster.get(&others[0]).propose(register("n")).await.unwrap();
    assert_eq!(cluster.get(&leader).status().term, term);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_shut_down_hands_over_first() {
    let mut cluster = Cluster::of(&THREE).await;
    let leader = cluster.leader().await;
    let term = cluster.get(&leader).status().term;
    let started = Instant::now();
    cluster.stop(&leader).await;
    assert!(started.elapsed() < Duration::from_secs(2));
    let others: Vec<String> = cluster.others(&leader);
    let names: Vec<&str> = others.iter().map(String::as_str).collect();
    let next = cluster.leader_of(&names).await;
    assert!(started.elapsed() < Duration::from_millis(1500), "an election by timeout is not a hand-over");
    assert_eq!(cluster.get(&next).status().term, term + 1);
    cluster.get(&next).propose(register("n")).await.unwrap();
    cluster.close().await;
}
