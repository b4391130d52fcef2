//! Servers of several versions in one cluster: what is written is what all of them know, and who knows too little is told so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_consensus::{Consensus, OpenError, ProposeError, Start, StopReason};
use floe_state::{Command, State, command::CLUSTER_VERSION, keyring::KeyringChange};
use std::{collections::BTreeMap, time::Duration};
use support::{
    net::{Cluster, address, calm, id},
    *,
};

const THREE: [&str; 3] = ["a", "b", "c"];

/// The newest version that brings a command.
const NEWEST: u32 = 3;

/// A command that only the newest version knows.
fn newest() -> Command {
    let command = Command::Keyring(Box::new(KeyringChange::Publish { id: "nobody".into() }));
    assert_eq!(command.since(), NEWEST);
    command
}

/// Three servers of the version before.
async fn old() -> Cluster {
    let mut cluster = Cluster { timings: calm(), ..Cluster::empty() };
    let voters: BTreeMap<_, _> = THREE.iter().map(|n| (id(n), address(n))).collect();
    for name in THREE {
        let start = Start::Bootstrap { voters: voters.clone() };
        cluster.add_with(name, start, |config| config.known_version = NEWEST - 1).await;
    }
    cluster
}

async fn version(server: &Consensus, version: u32) {
    wait_for("the version", || (server.view().cluster_version() == version).then_some(())).await;
}

async fn upgrade(cluster: &mut Cluster, name: &str) {
    cluster.stop(name).await;
    cluster.hosts.get_mut(name).unwrap().config.known_version = NEWEST;
    cluster.start(name).await;
    cluster.leader().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_upgraded_one_by_one_and_the_last_one_raises_the_version() {
    let mut cluster = old().await;
    cluster.leader().await;
    for name in THREE {
        let server = cluster.get(name);
        version(&server, NEWEST - 1).await;
        let refused = server.propose(newest()).await.unwrap_err();
        assert!(matches!(refused, ProposeError::NotYet { needed: NEWEST, .. }), "{refused}");
        assert!(refused.to_string().contains("until all of its servers are upgraded"), "{refused}");
        server.propose(register(name)).await.unwrap();
        upgrade(&mut cluster, name).await;
    }
    for name in THREE {
        version(&cluster.get(name), NEWEST).await;
        cluster.get(name).propose(newest()).await.unwrap();
    }
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_back_does_not_start_and_one_that_knows_too_little_is_not_taken_in() {
    let mut cluster = Cluster::with(&["a"], calm()).await;
    let leader = cluster.get("a");
    assert_eq!(leader.view().cluster_version(), CLUSTER_VERSION);
    cluster.add_with("x", Start::Join, |config| config.known_version = CLUSTER_VERSION - 1).await;
    let old = floe_consensus::ServerAddress { version: CLUSTER_VERSION - 1, ..address("x") };
    let refused = leader.add_learner(id("x"), old).await.unwrap_err();
    assert!(refused.to_string().contains("upgrade floe on that server first"), "{refused}");
    assert_eq!(leader.members().len(), 1);
    // One that lies about what it knows stops at the command that it does not know, and says why.
    leader.add_learner(id("x"), address("x")).await.unwrap();
    let reason = tokio::time::timeout(Duration::from_secs(15), cluster.get("x").stopped()).await.unwrap();
    let StopReason::Failed(reason) = reason else { panic!("{reason}") };
    assert!(reason.contains("upgrade floe on this server"), "{reason}");
    assert_eq!(cluster.get("x").view().cluster_version(), State::default().cluster_version(), "nothing of it is shown");
    cluster.stop("a").await;
    let mut config = cluster.hosts["a"].config.clone();
    config.known_version = CLUSTER_VERSION - 1;
    let error = Consensus::open(config.clone()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("upgrade floe on this server"), "{error}");
    // Nor from a snapshot.
    cluster.start("a").await;
    cluster.get("a").snapshot().await.unwrap();
    cluster.stop("a").await;
    let error = Consensus::open(config).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::TooOld(_)), "{error}");
}
