//! Three servers in one process, over a transport that carries bytes: the seam that a real network will use.

use super::{config, register};
use crate::{
    Config, Consensus, ProposeError, ReadError, Rpc, ServerAddress, ServerId, Start, Transport, TransportError, raft_types::ChangeMembers,
};
use futures::future::BoxFuture;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Calls go straight to the target's handler; servers that are cut off hear and say nothing.
#[derive(Clone, Default)]
struct Wire {
    servers: Arc<Mutex<BTreeMap<ServerId, Consensus>>>,
}

impl Transport for Wire {
    fn call<'a>(
        &'a self,
        target: &'a ServerId,
        _address: &'a ServerAddress,
        rpc: Rpc,
        body: Vec<u8>,
        _deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, TransportError>> {
        Box::pin(async move {
            let fail = |reason: String| TransportError { target: target.clone(), reason };
            let server = self.servers.lock().unwrap().get(target).cloned().ok_or_else(|| fail("not there".to_owned()))?;
            server.handle(target, rpc, &body).await.map_err(|e| fail(e.to_string()))
        })
    }
}

struct Cluster {
    wire: Wire,
    servers: Vec<Consensus>,
    _dirs: Vec<tempfile::TempDir>,
}

impl Cluster {
    async fn of_three() -> Self {
        let wire = Wire::default();
        let (mut servers, mut dirs) = (Vec::new(), Vec::new());
        for n in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let start = if n == 0 { Start::Bootstrap } else { Start::Join };
            let address = ServerAddress { name: format!("s{n}"), rpc: format!("127.0.0.1:{}", 4647 + n) };
            let server = Consensus::open(Config { start, address, transport: Arc::new(wire.clone()), ..config(dir.path()) }).await.unwrap();
            wire.servers.lock().unwrap().insert(server.id().clone(), server.clone());
            servers.push(server);
            dirs.push(dir);
        }
        for (n, server) in servers.iter().enumerate().skip(1) {
            let address = ServerAddress { name: format!("s{n}"), rpc: format!("127.0.0.1:{}", 4647 + n) };
            servers[0].raft().add_learner(server.id().clone(), address, true).await.unwrap();
        }
        let voters: BTreeSet<ServerId> = servers[1..].iter().map(|s| s.id().clone()).collect();
        servers[0].raft().change_membership(ChangeMembers::AddVoterIds(voters), true).await.unwrap();
        Self { wire, servers, _dirs: dirs }
    }

    /// Waits until one of these servers leads.
    async fn leader_of(servers: &[Consensus]) -> Consensus {
        let each = servers.iter().map(|server| {
            let server = server.clone();
            Box::pin(async move {
                server.leadership().wait_for(|l| l.is_leader).await.unwrap();
                server
            })
        });
        futures::future::select_all(each).await.0
    }

    async fn close(self) {
        for server in &self.servers {
            server.shutdown().await;
        }
        self.wire.servers.lock().unwrap().clear();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_agree_and_go_on_without_their_leader() {
    let cluster = Cluster::of_three().await;
    let [first, second, third] = &cluster.servers[..] else { panic!() };
    let done = first.propose(register("a")).await.unwrap();
    for server in &cluster.servers {
        server.watch().wait_for(|state| state.index() >= done.index).await.unwrap();
        assert!(server.view().node(&"a".into()).is_some());
        assert_eq!(server.view().cluster_version(), first.view().cluster_version());
    }
    let refused = second.propose(register("b")).await.unwrap_err();
    let ProposeError::NotLeader { leader, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!((&leader.id, leader.address.name.as_str()), (first.id(), "s0"));
    assert!(matches!(second.linearizable().await, Err(ReadError::NotLeader { .. })));
    let status = first.status();
    assert_eq!(status.peers.iter().filter(|p| p.is_voter).count(), 3);

    cluster.wire.servers.lock().unwrap().remove(first.id());
    first.shutdown().await;
    let leader = Cluster::leader_of(&[second.clone(), third.clone()]).await;
    let after = leader.propose(register("c")).await.unwrap();
    assert!(leader.linearizable().await.unwrap().node(&"a".into()).is_some());
    let other = if leader.id() == second.id() { third } else { second };
    other.watch().wait_for(|state| state.index() >= after.index).await.unwrap();
    assert_eq!(other.view().encode(), leader.view().encode());
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_can_be_handed_over() {
    let cluster = Cluster::of_three().await;
    let [first, second, _] = &cluster.servers[..] else { panic!() };
    first.propose(register("a")).await.unwrap();
    first.raft().trigger().transfer_leader(second.id().clone()).await.unwrap();
    let leader = Cluster::leader_of(std::slice::from_ref(second)).await;
    leader.propose(register("b")).await.unwrap();
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_for_another_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = super::single(&dir).await;
    let refused = server.handle(&ServerId::from("other".to_owned()), Rpc::Vote, b"").await.unwrap_err();
    assert!(refused.to_string().contains("it is for server other"), "{refused}");
    let refused = server.handle(server.id(), Rpc::Vote, b"\xc1 rubbish").await.unwrap_err();
    assert!(refused.to_string().contains("Vote"), "{refused}");
    server.shutdown().await;
}
