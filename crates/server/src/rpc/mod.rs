//! The RPC port: what nodes and other servers ask. The API is served here too, so that an agent without a server part can pass requests on.
//!
//! Who calls is known from its certificate ([`Caller`]). A stranger can only ask to join, by a token or by the secret of the first servers;
//! what is for servers is refused to clients; a node speaks for itself only.

mod authorities;
mod bootstrap;
mod join;
mod nodes;
mod raft;

use crate::{
    http::{self, Agent},
    peers::Peers,
    server::Server,
};
use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::post,
};
pub use bootstrap::{open_answer, seal_question, waiting_router};
use floe_api::rpc;
use floe_consensus::{Transport, config::CALL_BYTES};
use floe_rpc::Caller;
use floe_state::command::Refusal;
pub use join::{AUTHORITY_LIFETIME, CERTIFICATE_LIFETIME, Doorkeeper};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long the leader may take for what is passed on to it.
const FORWARD_DEADLINE: Duration = Duration::from_secs(10);

/// Servers of other agreements that are remembered.
const MAX_FOREIGNERS: usize = 100;

/// What the endpoints share.
#[derive(Clone)]
pub(crate) struct Members {
    pub(crate) server: Server,
    pub(crate) peers: Peers,
    foreigners: Arc<Foreigners>,
}

/// Servers of other agreements that were told of in the log, so that each is told of once.
#[derive(Default)]
struct Foreigners(Mutex<BTreeSet<String>>);

impl Foreigners {
    /// Whether this one is to be told of: beyond the bound nobody is.
    fn is_new(&self, id: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < MAX_FOREIGNERS && known.insert(id.to_owned())
    }
}

/// The RPC port as a service.
pub fn router(server: Server, peers: Peers, agent: Agent) -> Router {
    let members = Members { server, peers, foreigners: Arc::default() };
    let of_servers = Router::new()
        .route(rpc::SERVER, post(raft::here_is_server))
        .route(rpc::AUTHORITY_KEY, post(authorities::key))
        .route(&format!("{}{{kind}}", rpc::RAFT), post(raft::call).layer(DefaultBodyLimit::max(CALL_BYTES)))
        .layer(from_fn(servers_only));
    let of_members = Router::new()
        .route(rpc::REGISTER, post(nodes::register))
        .route(rpc::HEARTBEAT, post(nodes::heartbeat))
        .route(rpc::REPORT, post(nodes::report))
        .route(rpc::DESIRED, post(nodes::desired))
        .route(rpc::RENEW, post(join::renew))
        .route(rpc::AUTHORITIES, post(authorities::ask))
        .merge(of_servers)
        .fallback_service(http::router(agent))
        .layer(from_fn(clients_do_not_operate))
        .layer(from_fn_with_state(members.clone(), no_removed_ones))
        .layer(from_fn(members_only));
    Router::new()
        .route(rpc::JOIN, post(join::join))
        .route(rpc::BOOTSTRAP, post(bootstrap::member))
        .fallback_service(of_members.with_state(members.clone()))
        .layer(DefaultBodyLimit::max(floe_api::MAX_RPC_FRAME_BYTES))
        .with_state(members)
}

/// The RPC port of an agent without the server part: what servers ask of its node. Only they: a client that is refused at the servers must not
/// come in by another one, which would pass on what it asks.
pub fn node_router(agent: Agent) -> Router {
    http::router(agent).layer(from_fn(servers_only)).layer(from_fn(members_only))
}

async fn members_only(Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    match caller {
        Caller::Trusted | Caller::Member(_) => next.run(request).await,
        Caller::Stranger => {
            (StatusCode::UNAUTHORIZED, "this port is for members of the cluster: join it first, with a token (floe server token)")
                .into_response()
        }
    }
}

/// Who was removed for good has a certificate all the same, for a while. Calls of the consensus are answered by the consensus, which tells a server
/// that it was removed.
async fn no_removed_ones(State(members): State<Members>, Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    let Caller::Member(peer) = caller else { return next.run(request).await };
    let id = peer.id.to_string();
    let is_member = || members.server.consensus().members().iter().any(|m| m.id.as_str() == id);
    let is_consensus = request.uri().path().starts_with(rpc::RAFT);
    if !is_consensus && members.server.view().is_agent_refused(&id) && !is_member() {
        // A server that says where it is hears that it is over: see [`Consensus::retire`](floe_consensus::Consensus::retire).
        let status = if request.uri().path() == rpc::SERVER { StatusCode::GONE } else { StatusCode::FORBIDDEN };
        return (status, Refusal::AgentRefused(id).to_string()).into_response();
    }
    next.run(request).await
}

/// A client passes on what is asked of it; a machine that runs other people's tasks is not where a cluster is operated from, nor where everybody's
/// secrets are read.
async fn clients_do_not_operate(Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    const NOT_FOR_CLIENTS: [&str; 3] = ["/v1/operator/", "/v1/var/", "/v1/vars"];
    let is_for_servers = |path: &str| NOT_FOR_CLIENTS.iter().any(|start| path.starts_with(start));
    match caller {
        Caller::Member(peer) if peer.role == floe_pki::Role::Client && is_for_servers(request.uri().path()) => {
            (StatusCode::FORBIDDEN, "the cluster is operated, and its variables are read, from its servers: ask the agent of one of them")
                .into_response()
        }
        _ => next.run(request).await,
    }
}

async fn servers_only(Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    match caller {
        Caller::Member(peer) if peer.role == floe_pki::Role::Client => {
            (StatusCode::FORBIDDEN, format!("{} is a client, and only servers may ask this", peer.id)).into_response()
        }
        _ => next.run(request).await,
    }
}

/// What a server says to those who should ask another one.
const REMOVED: &str = "this server was removed from the cluster: ask another one";

type Failure = (StatusCode, String);

fn decode<T: DeserializeOwned>(body: &Bytes) -> Result<T, Failure> {
    rmp_serde::from_slice(body).map_err(|e| (StatusCode::BAD_REQUEST, format!("decode request: {e}")))
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    rmp_serde::to_vec_named(value).map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, format!("encode answer: {e}")))
}

fn unavailable(error: impl std::fmt::Display) -> Failure {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

impl Members {
    /// Passes what only the leader can answer on to it, once.
    async fn to_leader(&self, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Response, Failure> {
        if headers.contains_key(rpc::FORWARDED_HEADER) {
            return Err(unavailable("this server does not lead (any more)"));
        }
        if self.server.consensus().status().is_removed {
            // The leader would refuse this server, and who asks would take it for a refusal of its own.
            return Err(unavailable(REMOVED));
        }
        let leader = self.server.consensus().leadership().borrow().leader.clone();
        let nobody = || match self.peers.trouble() {
            Some(trouble) => unavailable(format!("no server leads at present. {trouble}")),
            None => unavailable("no server leads at present"),
        };
        let leader = leader.ok_or_else(nobody)?;
        let headers = [(rpc::FORWARDED_HEADER, "true")];
        let response = self.peers.post(&leader, path, &headers, body, FORWARD_DEADLINE).await.map_err(unavailable)?;
        Ok(response.map(Body::new))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Signers, server::ServerConfig};
    use floe_consensus::{Config, Consensus, DataFolder, ServerAddress, ServerId};
    use floe_pki::{AgentId, Authority, Clock, ClusterId, Credentials, Keypair, Peer, Role, Trust};
    use floe_rpc::{Channels, Security, Servers};
    use floe_state::{Command, command::CLUSTER_VERSION};
    use tower::ServiceExt;

    fn member(role: Role) -> Caller {
        caller(Keypair::generate().id(), role)
    }

    fn caller(id: AgentId, role: Role) -> Caller {
        let cluster = ClusterId::draw();
        Caller::Member(Arc::new(Peer { id, role, cluster, name: "x".parse().unwrap(), not_after: floe_model::Timestamp(0) }))
    }

    /// What the RPC port of a node without the server part answers to `caller`.
    async fn node_answers(caller: Caller) -> StatusCode {
        let servers = Servers::new(Channels::new(Security::Plain), Vec::new());
        let agent = Agent { server: None, node: Arc::default(), servers, security: Security::Plain, config: Arc::default(), version: "0" };
        let request = Request::get("/livez").body(Body::empty()).unwrap();
        node_router(agent).layer(Extension(caller)).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_node_answers_servers_only() {
        assert_eq!(node_answers(member(Role::Server)).await, StatusCode::OK);
        assert_eq!(node_answers(Caller::Trusted).await, StatusCode::OK);
        assert_eq!(node_answers(member(Role::Client)).await, StatusCode::FORBIDDEN, "it would pass on what another client may not ask");
        assert_eq!(node_answers(Caller::Stranger).await, StatusCode::UNAUTHORIZED);
    }

    /// A server with the key of an authority, the authority's certificate, and its RPC port.
    async fn port_of(folder: &std::path::Path, key: &Keypair) -> (Server, Vec<u8>, Router) {
        let now = floe_model::Timestamp(1_767_225_600_000_000_000);
        let authority = Authority::create(ClusterId::draw(), now, CERTIFICATE_LIFETIME).unwrap();
        let certificate = authority.certificate().to_vec();
        let request = floe_pki::Request::verify(&key.request(&"s1".parse().unwrap())).unwrap();
        let own = authority.issue(&request, Role::Server, now, CERTIFICATE_LIFETIME).unwrap();
        let trust = Trust::new(vec![authority.certificate().clone()]).unwrap();
        let credentials = Credentials::new(key.clone(), own, trust, Clock::new(move || now)).unwrap();
        let address = ServerAddress::new("s1".to_owned(), "s1.test:4647".to_owned());
        let data = DataFolder::open(folder).unwrap();
        let consensus = Consensus::open(Config::single(ServerId::from(key.id().to_string()), data, address)).await.unwrap();
        let door = Doorkeeper::new(Signers::new(vec![authority], |_| Ok(())), credentials, None);
        let server = Server::start(ServerConfig::default(), consensus, Some(door));
        let (channels, security) = (Channels::new(Security::Plain), Security::Plain);
        let servers = Servers::new(channels.clone(), Vec::new());
        let agent = Agent { server: Some(server.clone()), node: Arc::default(), servers, security, config: Arc::default(), version: "0" };
        let port = router(server.clone(), Peers::new(channels, "s1.test:4647"), agent);
        (server, certificate, port)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_of_another_agreement_is_refused_and_one_without_a_log_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let key = Keypair::generate();
        let (server, _, port) = port_of(folder.path(), &key).await;
        let says = async |id: AgentId, cluster: &str| {
            let here = rpc::HereIsServer {
                name: "x".to_owned(),
                rpc: "x.test:4647".to_owned(),
                cluster: cluster.to_owned(),
                version: CLUSTER_VERSION,
            };
            let request = Request::post(rpc::SERVER).body(Body::from(encode(&here).unwrap())).unwrap();
            let answer = port.clone().layer(Extension(caller(id, Role::Server))).oneshot(request).await.unwrap();
            let (status, body) = (answer.status(), axum::body::to_bytes(answer.into_body(), 64 << 10).await.unwrap());
            (status, String::from_utf8_lossy(&body).into_owned())
        };
        let (status, said) = says(Keypair::generate().id(), "another").await;
        assert_eq!(status, StatusCode::CONFLICT, "{said}");
        assert!(said.contains("of cluster another") && said.contains("floe server token -server"), "{said}");
        server.propose(Command::RefuseAgent { id: "another".to_owned() }).await.unwrap();
        let (status, said) = says(Keypair::generate().id(), "another").await;
        assert_eq!(status, StatusCode::GONE, "{said}");
        assert!(said.contains("from a backup of which this cluster") && said.contains("remove its data folder"), "{said}");
        assert_eq!(server.consensus().members().len(), 1, "nobody was taken in");
        let own = server.consensus().cluster().unwrap().to_string();
        assert_eq!(says(Keypair::generate().id(), "").await.0, StatusCode::OK, "a new machine has no log");
        assert_eq!(says(Keypair::generate().id(), &own).await.0, StatusCode::OK);
        assert_eq!(server.consensus().members().len(), 3);
        server.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_neither_operates_the_cluster_nor_reads_its_variables() {
        let folder = tempfile::tempdir().unwrap();
        let (server, _, port) = port_of(folder.path(), &Keypair::generate()).await;
        let answer = async |role: Role, path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            port.clone().layer(Extension(member(role))).oneshot(request).await.unwrap().status()
        };
        for path in ["/v1/operator/keyring/keys", "/v1/vars", "/v1/vars?prefix=a", "/v1/var/a", "/v1/var/a%2Fb"] {
            assert_eq!(answer(Role::Client, path).await, StatusCode::FORBIDDEN, "{path}");
            assert_ne!(answer(Role::Server, path).await, StatusCode::FORBIDDEN, "{path}");
        }
        assert_eq!(answer(Role::Client, "/v1/jobs").await, StatusCode::OK);
        server.stop().await;
    }

    #[test]
    fn a_foreign_server_is_told_of_once_and_not_more_of_them_than_the_bound() {
        let known = Foreigners::default();
        assert!(known.is_new("0") && !known.is_new("0"));
        assert!((1..MAX_FOREIGNERS).all(|n| known.is_new(&n.to_string())), "up to the bound");
        assert!(!known.is_new("one past it"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_key_of_an_authority_is_given_to_members_of_the_agreement_only() {
        let folder = tempfile::tempdir().unwrap();
        let key = Keypair::generate();
        let (server, certificate, port) = port_of(folder.path(), &key).await;
        let asks = encode(&rpc::AskAuthorityKey { certificate }).unwrap();
        let answer = async |caller: Caller| {
            let request = Request::post(rpc::AUTHORITY_KEY).body(Body::from(asks.clone())).unwrap();
            port.clone().layer(Extension(caller)).oneshot(request).await.unwrap().status()
        };
        assert_eq!(answer(caller(key.id(), Role::Server)).await, StatusCode::OK);
        assert_eq!(answer(member(Role::Server)).await, StatusCode::FORBIDDEN, "a certificate alone makes no member");
        assert_eq!(answer(member(Role::Client)).await, StatusCode::FORBIDDEN);
        assert_eq!(answer(caller(key.id(), Role::Client)).await, StatusCode::FORBIDDEN);
        assert_eq!(answer(Caller::Stranger).await, StatusCode::UNAUTHORIZED);
        assert_eq!(answer(Caller::Trusted).await, StatusCode::FORBIDDEN);
        server.stop().await;
    }
}
