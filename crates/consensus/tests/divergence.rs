//! A server whose state goes another way than the others' stops, and the others go on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::{Consensus, Divergence, Start, StopReason};
use floe_state::{Applied, Command, Entry, State};
use std::{collections::BTreeMap, time::Duration};
use support::{
    net::{Cluster, address, calm, id},
    *,
};

const EVERY: u64 = 20;

/// A server with a fault: it writes one node under another name.
fn faulty(state: &mut State, index: u64, entry: &Entry) -> Applied {
    let mut entry = entry.clone();
    if let Command::RegisterNode { node } = &mut entry.command
        && node.name == "n-3"
    {
        node.name = "m-3".to_owned();
    }
    state.apply(index, &entry)
}

/// Servers that begin together; these have the fault.
async fn cluster(names: &[&str], with_fault: &[&str]) -> Cluster {
    let mut cluster = Cluster { timings: calm(), ..Cluster::empty() };
    let voters: BTreeMap<_, _> = names.iter().map(|n| (id(n), address(n))).collect();
    for name in names {
        let start = Start::Bootstrap { voters: voters.clone() };
        let is_faulty = with_fault.contains(name);
        cluster
            .add_with(name, start, |config| {
                config.check_entries = EVERY;
                if is_faulty {
                    config.apply = faulty;
                }
            })
            .await;
    }
    cluster
}

async fn write(server: &Consensus, from: u64, to: u64) {
    for n in from..to {
        // The leader may be the one that stops: what is in doubt is written again.
        while server.propose_within(register(&format!("n-{n}")), Duration::from_secs(3)).await.is_err() {}
    }
}

async fn diverged(server: &Consensus) -> Divergence {
    match tokio::time::timeout(Duration::from_secs(15), server.stopped()).await.unwrap() {
        StopReason::Diverged(divergence) => divergence,
        other => panic!("it stopped for another reason: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_differs_stops_whether_it_leads_or_not() {
    for is_leader in [false, true] {
        let cluster = cluster(&["a", "b", "c"], &["a"]).await;
        let leader = cluster.leader().await;
        if (leader == "a") != is_leader {
            let next = if is_leader { "a" } else { "b" };
            cluster.get(&leader).transfer_leadership(Some(id(next))).await.unwrap();
            wait_for("the other leader", || cluster.get(next).leadership().borrow().is_leader.then_some(())).await;
        }
        let (wrong, right) = (cluster.get("a"), cluster.get("b"));
        write(&right, 0, 2 * EVERY).await;
        let divergence = diverged(&wrong).await;
        assert!(matches!(&divergence, Divergence::Minority { agreed: 2, voters: 3, tables, .. } if tables == "nodes"), "{divergence}");
        assert!(divergence.to_string().contains("move its data folder away"), "{divergence}");
        // It shows nothing of what came after, and the others go on.
        let last_seen = wrong.view().index();
        write(&right, 100, 101 + EVERY).await;
        assert_eq!(wrong.view().index(), last_seen);
        assert!(right.view().node(&"n-100".into()).is_some());
        cluster.agree_but_for_writes(&["b", "c"]).await;
        assert_eq!(cluster.get("c").view().node(&"n-3".into()).unwrap().name, "n-3");
        for name in ["b", "c"] {
            assert!(tokio::time::timeout(Duration::from_millis(100), cluster.get(name).stopped()).await.is_err(), "{name} stopped");
        }
        cluster.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_differ_take_nothing_any_more() {
    let cluster = cluster(&["a", "b"], &["a"]).await;
    let name = cluster.leader().await;
    let leader = cluster.get(&name);
    for n in 0..EVERY {
        // The last ones may find that the servers have stopped.
        let _ = leader.propose(register(&format!("n-{n}"))).await;
    }
    let divergence = diverged(&leader).await;
    assert!(matches!(&divergence, Divergence::Undecided { voters: 2, .. }), "{divergence}");
    assert!(divergence.to_string().contains("in nodes"), "{divergence}");
    // The other one may not have heard of it; it has no majority, and takes nothing.
    let other = cluster.get(&cluster.others(&name)[0]);
    other.propose(register("late")).await.unwrap_err();
    assert!(other.view().node(&"late".into()).is_none());
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_agree_report_little_and_go_on() {
    let mut cluster = cluster(&["a", "b", "c"], &[]).await;
    let leader = cluster.leader().await;
    write(&cluster.get(&leader), 0, 10 * EVERY).await;
    // One that comes back compares what it has anew.
    let away = cluster.others(&leader)[0].clone();
    cluster.crash(&away).await;
    cluster.start(&away).await;
    write(&cluster.get(&leader), 200, 200 + 2 * EVERY).await;
    cluster.agree_but_for_writes(&["a", "b", "c"]).await;
    let entries = cluster.get(&leader).view().index();
    let reports = entries - 12 * EVERY;
    assert!((12..=12 * 4 + 10).contains(&reports), "{reports} entries beside the writes");
    cluster.close().await;
}
