//! A leader whose process has ended is noticed before its lease ends; one that only some do not reach goes on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::Timings;
use std::time::{Duration, Instant};
use support::{
    net::{Cluster, quick},
    *,
};

const LEASE: Duration = Duration::from_secs(6);

/// Nobody is elected by timeout before [`LEASE`] and five seconds are over.
fn patient() -> Timings {
    let heartbeat = Duration::from_millis(100);
    let wait = LEASE + Duration::from_secs(1);
    Timings { heartbeat, election_min: Duration::from_secs(5), election_max: LEASE, leader_wait: wait, deadline: 2 * wait, ..quick() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_process_has_ended_is_replaced_before_its_lease_ends() {
    let mut cluster = Cluster::with(&["a", "b", "c", "d", "e"], patient()).await;
    for _ in 0..2 {
        let leader = cluster.leader().await;
        cluster.get(&leader).propose(register("before")).await.unwrap();
        cluster.crash(&leader).await;
        let crashed = Instant::now();
        let left = cluster.running();
        let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).filter(|name| *name != leader).collect();
        let next = cluster.leader_of(&names).await;
        assert!(crashed.elapsed() < LEASE, "the lease was waited for");
        cluster.get(&next).propose(register("after")).await.unwrap();
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_only_one_does_not_reach_goes_on() {
    let mut cluster = Cluster::with(&["a", "b", "c"], patient()).await;
    let leader = cluster.leader().await;
    let term = cluster.get(&leader).status().term;
    for outsider in cluster.others(&leader) {
        cluster.net.cut(&leader, &outsider);
        // It takes the leader for ended, and asks for pre-votes many times.
        tokio::time::sleep(30 * patient().heartbeat).await;
        cluster.get(&leader).propose(register("meanwhile")).await.unwrap();
        assert_eq!(cluster.get(&leader).status().term, term);
        cluster.net.heal();
        cluster.agree(&["a", "b", "c"]).await;
    }
    cluster.crash(&leader).await;
    let crashed = Instant::now();
    let others = cluster.others(&leader);
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    cluster.leader_of(&others).await;
    assert!(crashed.elapsed() < LEASE, "the lease was waited for");
    cluster.close().await;
}
