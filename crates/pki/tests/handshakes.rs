//! Real handshakes in memory: who gets in, who does not, and what each end hears of it.
#![allow(clippy::unwrap_used)]

mod support;

use floe_model::Nanos;
use floe_pki::{
    Authority, CertificateDer, Credentials, CredentialsError, Keypair, PeerError, Role, pinned_client_config, server_name,
    unpinned_client_config,
};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig,
    pki_types::PrivatePkcs8KeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{io, sync::Arc, time::Duration};
use support::{DAY, TestClock, after, agent, agent_with_clock, authority, before, certify, new_cluster, trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

type ClientEnd = io::Result<client::TlsStream<DuplexStream>>;
type ServerEnd = io::Result<server::TlsStream<DuplexStream>>;

/// A handshake, as each end sees it. The client's end has been read once when the server refused, for with TLS 1.3 it hears of that only then.
async fn meet(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> (ClientEnd, ServerEnd) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let both = async { tokio::join!(TlsConnector::from(client).connect(server_name(), near), TlsAcceptor::from(server).accept(far)) };
    let (mut client, server) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    if let (Ok(stream), Err(_)) = (&mut client, &server) {
        client = Err(stream.read_u8().await.unwrap_err());
    }
    (client, server)
}

/// Both ends of a handshake that must succeed.
async fn connect(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> (client::TlsStream<DuplexStream>, server::TlsStream<DuplexStream>) {
    let (client, server) = meet(client, server).await;
    (client.unwrap(), server.unwrap())
}

/// Why the end that refuses does so.
fn reason<T>(end: io::Result<T>) -> PeerError {
    let error = end.err().unwrap();
    PeerError::beneath(&error).unwrap_or_else(|| unreachable!("{error}")).clone()
}

/// The end that is refused hears an alert, and not the reason.
fn heard_an_alert<T>(end: io::Result<T>) -> bool {
    let error = end.err().unwrap();
    PeerError::beneath(&error).is_none() && error.to_string().contains("alert")
}

/// Whom a server sees at the other end.
fn seen_by(server: &Credentials, stream: &server::TlsStream<DuplexStream>) -> Option<floe_pki::Peer> {
    server.peer(stream.get_ref().1.peer_certificates()).unwrap()
}

#[tokio::test]
async fn both_ends_know_each_other() {
    let ca = new_cluster();
    let (server, client) = (agent(&ca, "server-1", Role::Server), agent(&ca, "client-1", Role::Client));
    let (near, far) = connect(client.client_config(), server.server_config()).await;
    assert_eq!(seen_by(&server, &far), Some(client.me()));
    assert_eq!(client.peer(near.get_ref().1.peer_certificates()), Ok(Some(server.me())));
    assert_eq!(near.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!((near.get_ref().1.alpn_protocol(), far.get_ref().1.alpn_protocol()), (Some(&b"h2"[..]), Some(&b"h2"[..])));
    assert_eq!(far.get_ref().1.server_name(), None, "addresses are not identities, and none is sent");
}

#[tokio::test]
async fn servers_know_each_other_in_both_directions() {
    let ca = new_cluster();
    let (one, two) = (agent(&ca, "server-1", Role::Server), agent(&ca, "server-2", Role::Server));
    for (from, to) in [(&one, &two), (&two, &one)] {
        let (_near, far) = connect(from.client_config(), to.server_config()).await;
        assert_eq!(seen_by(to, &far), Some(from.me()));
    }
}

#[tokio::test]
async fn without_a_certificate_nobody_is_there() {
    let ca = new_cluster();
    let server = agent(&ca, "server-1", Role::Server);
    let (_near, far) = connect(pinned_client_config(ca.fingerprint(), &TestClock::new().clock()), server.server_config()).await;
    assert_eq!(seen_by(&server, &far), None);
    assert_eq!(server.peer(Some(&[])), Ok(None));
}

/// Two connections, one after the other: how many tickets the first brought, and how the second began.
async fn twice(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> (u32, Option<HandshakeKind>) {
    let (mut near, mut far) = connect(client.clone(), server.clone()).await;
    // Tickets come with the first data.
    far.write_u8(7).await.unwrap();
    far.flush().await.unwrap();
    assert_eq!(near.read_u8().await.unwrap(), 7);
    let tickets = near.get_ref().1.tls13_tickets_received();
    (tickets, connect(client, server).await.0.get_ref().1.handshake_kind())
}

#[tokio::test]
async fn neither_end_resumes_a_session_though_the_other_would() {
    let (ca, key) = (new_cluster(), Keypair::generate());
    let (ours, client) = (agent(&ca, "server-1", Role::Server).server_config(), agent(&ca, "client-1", Role::Client).client_config());
    let mut willing_client = (*client).clone();
    willing_client.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let willing_client = Arc::new(willing_client);
    let willing_server = hand_made_server(vec![certify(&ca, &key, "one", Role::Server), ca.certificate().clone()], &key);
    let (_, second) = twice(willing_client.clone(), willing_server.clone()).await;
    assert_eq!(second, Some(HandshakeKind::Resumed), "two that are willing do resume");
    assert_eq!(twice(willing_client, ours).await, (0, Some(HandshakeKind::Full)));
    assert_eq!(twice(client, willing_server).await.1, Some(HandshakeKind::Full));
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_refused_by_either_end() {
    let ca = new_cluster();
    let impostor = authority(ca.cluster());
    let (clock, key) = (TestClock::new(), Keypair::generate());
    // Its own end believes both, so the other end is the one that refuses.
    let strange =
        Credentials::new(key.clone(), certify(&impostor, &key, "strange", Role::Server), trust(&[&ca, &impostor]), clock.clock()).unwrap();
    let ours = agent(&ca, "server-1", Role::Server);
    let unknown = PeerError::UnknownAuthority { name: "strange".parse().unwrap() };
    let (near, far) = meet(ours.client_config(), strange.server_config()).await;
    assert_eq!(reason(near), unknown);
    assert!(heard_an_alert(far));
    let (near, far) = meet(strange.client_config(), ours.server_config()).await;
    assert_eq!(reason(far), unknown);
    assert!(heard_an_alert(near));
}

#[tokio::test]
async fn an_agent_of_another_cluster_is_refused_and_both_clusters_are_named() {
    let (ca, other) = (new_cluster(), new_cluster());
    let (ours, theirs) = (agent(&ca, "server-1", Role::Server), agent(&other, "server-1", Role::Server));
    let (near, _) = meet(ours.client_config(), theirs.server_config()).await;
    assert_eq!(reason(near), PeerError::OtherCluster { theirs: other.cluster(), ours: ca.cluster() });
}

#[tokio::test]
async fn an_expired_certificate_is_refused_by_the_end_whose_clock_says_so() {
    let ca = new_cluster();
    let (server_clock, client_clock) = (TestClock::new(), TestClock::new());
    let server = agent_with_clock(&ca, "server-1", Role::Server, &server_clock);
    let client = agent_with_clock(&ca, "client-1", Role::Client, &client_clock);
    let (to, from) = (server.server_config(), client.client_config());
    let late = after(DAY).plus(Nanos::from_secs(1));
    let expired = |name: &str| PeerError::Expired { name: name.parse().unwrap(), not_after: after(DAY), now: late };
    drop(connect(from.clone(), to.clone()).await);
    client_clock.set(late);
    assert_eq!(reason(meet(from.clone(), to.clone()).await.0), expired("server-1"));
    client_clock.set(after(Nanos::ZERO));
    server_clock.set(late);
    assert_eq!(reason(meet(from.clone(), to.clone()).await.1), expired("client-1"));
    server_clock.set(after(DAY));
    drop(connect(from, to).await);
}

#[tokio::test]
async fn a_certificate_of_the_future_is_refused() {
    let ca = new_cluster();
    let clock = TestClock::new();
    let (server, client) = (agent(&ca, "server-1", Role::Server), agent_with_clock(&ca, "client-1", Role::Client, &clock));
    clock.set(before(DAY));
    assert!(matches!(reason(meet(client.client_config(), server.server_config()).await.0), PeerError::NotYetValid { .. }));
}

#[tokio::test]
async fn a_client_cannot_stand_in_for_a_server() {
    let ca = new_cluster();
    let (false_server, client) = (agent(&ca, "client-1", Role::Client), agent(&ca, "client-2", Role::Client));
    let wrong = PeerError::WrongRole { name: "client-1".parse().unwrap(), has: Role::Client, needs: Role::Server };
    assert_eq!(reason(meet(client.client_config(), false_server.server_config()).await.0), wrong);
    let joining = pinned_client_config(ca.fingerprint(), &TestClock::new().clock());
    assert_eq!(reason(meet(joining, false_server.server_config()).await.0), wrong);
}

#[tokio::test]
async fn one_agent_is_reached_whatever_its_role_and_nobody_else() {
    let ca = new_cluster();
    let (server, node) = (agent(&ca, "server-1", Role::Server), agent(&ca, "node-1", Role::Client));
    connect(server.agent_config(node.me().id), node.server_config()).await;
    let other = agent(&ca, "node-2", Role::Client);
    let wrong = PeerError::OtherAgent { name: "node-2".parse().unwrap(), has: other.me().id, needs: node.me().id };
    assert_eq!(reason(meet(server.agent_config(node.me().id), other.server_config()).await.0), wrong);
}

#[tokio::test]
async fn new_handshakes_use_the_new_certificate_and_old_connections_go_on() {
    let ca = new_cluster();
    let (server, client) = (agent(&ca, "server-1", Role::Server), agent(&ca, "client-1", Role::Client));
    let (to, from) = (server.server_config(), client.client_config());
    let (mut near, mut far) = connect(from.clone(), to.clone()).await;
    let shared = client.clone();
    shared.replace(certify(&ca, client.keypair(), "renamed", Role::Client), trust(&[&ca])).unwrap();
    server.replace(certify(&ca, server.keypair(), "new-server", Role::Server), trust(&[&ca])).unwrap();
    near.write_u8(7).await.unwrap();
    near.flush().await.unwrap();
    assert_eq!(far.read_u8().await.unwrap(), 7);
    assert_eq!(seen_by(&server, &far).unwrap().name.as_str(), "client-1");
    let (near, far) = connect(from, to).await;
    assert_eq!(seen_by(&server, &far).unwrap().name.as_str(), "renamed");
    assert_eq!(client.peer(near.get_ref().1.peer_certificates()).unwrap().unwrap().name.as_str(), "new-server");
    assert_eq!(client.me().name.as_str(), "renamed");
}

#[tokio::test]
async fn an_authority_is_replaced_without_an_agent_losing_another() {
    let old = new_cluster();
    let new = authority(old.cluster());
    let agents = [agent(&old, "server-1", Role::Server), agent(&old, "client-1", Role::Client)];
    let [server, client] = &agents;
    let (to, from) = (server.server_config(), client.client_config());
    let certificate = |ca: &Authority, agent: &Credentials| certify(ca, agent.keypair(), agent.me().name.as_str(), agent.me().role);
    let steps: [(&Authority, Vec<&Authority>); 3] = [(&old, vec![&old, &new]), (&new, vec![&old, &new]), (&new, vec![&new])];
    for (signer, trusted) in steps {
        for agent in &agents {
            agent.replace(certificate(signer, agent), trust(&trusted)).unwrap();
            drop(connect(from.clone(), to.clone()).await);
        }
    }
    let key = Keypair::generate();
    let late =
        Credentials::new(key.clone(), certify(&old, &key, "late", Role::Client), trust(&[&old, &new]), TestClock::new().clock()).unwrap();
    assert_eq!(reason(meet(late.client_config(), to.clone()).await.1), PeerError::UnknownAuthority { name: "late".parse().unwrap() });
    let unaware = agent(&old, "unaware", Role::Client);
    assert_eq!(reason(meet(unaware.client_config(), to).await.0), PeerError::UnknownAuthority { name: "server-1".parse().unwrap() });
}

#[tokio::test]
async fn trust_that_is_taken_away_counts_at_once() {
    let old = new_cluster();
    let new = authority(old.cluster());
    let (server, client) = (agent(&old, "server-1", Role::Server), agent(&old, "client-1", Role::Client));
    let (to, from) = (server.server_config(), client.client_config());
    let (_near, far) = connect(from.clone(), to.clone()).await;
    server.replace(certify(&new, server.keypair(), "server-1", Role::Server), trust(&[&new])).unwrap();
    let unknown = PeerError::UnknownAuthority { name: "client-1".parse().unwrap() };
    assert_eq!(server.peer(far.get_ref().1.peer_certificates()), Err(unknown));
    assert!(meet(from, to).await.0.is_err());
}

#[test]
fn credentials_that_do_not_belong_together_are_refused_and_change_nothing() {
    let (ca, other) = (new_cluster(), new_cluster());
    let (agent, key) = (agent(&ca, "server-1", Role::Server), Keypair::generate());
    let before = agent.me();
    let foreign = agent.replace(certify(&ca, &key, "two", Role::Server), trust(&[&ca]));
    assert_eq!(foreign, Err(CredentialsError::OtherKey { certificate: key.id(), ours: agent.me().id }));
    let untrusted = agent.replace(certify(&ca, agent.keypair(), "two", Role::Server), trust(&[&other]));
    assert_eq!(untrusted, Err(CredentialsError::Own(PeerError::OtherCluster { theirs: ca.cluster(), ours: other.cluster() })));
    assert_eq!(agent.replace(vec![1].into(), trust(&[&ca])), Err(CredentialsError::Own(PeerError::Malformed("it is not X.509"))));
    assert_eq!((agent.me(), agent.trust().cluster()), (before, ca.cluster()));
}

#[test]
fn an_agent_with_an_expired_certificate_starts_and_knows() {
    let (ca, clock) = (new_cluster(), TestClock::new());
    clock.set(after(Nanos::from_hours(100)));
    let agent = agent_with_clock(&ca, "client-1", Role::Client, &clock);
    assert!(agent.validity().not_after < after(Nanos::from_hours(100)));
}

#[tokio::test]
async fn a_joining_agent_finds_the_authority_of_its_token() {
    let ca = new_cluster();
    let server = agent(&ca, "server-1", Role::Server);
    let (near, _far) = connect(pinned_client_config(ca.fingerprint(), &TestClock::new().clock()), server.server_config()).await;
    let chain = near.get_ref().1.peer_certificates().unwrap();
    assert_eq!(ca.fingerprint().end_of(chain), Ok(ca.certificate()));
}

#[tokio::test]
async fn a_joining_agent_refuses_another_authority() {
    let (ca, other) = (new_cluster(), new_cluster());
    let server = agent(&other, "server-1", Role::Server);
    let (near, _) = meet(pinned_client_config(ca.fingerprint(), &TestClock::new().clock()), server.server_config()).await;
    assert_eq!(reason(near), PeerError::OtherAuthority { pinned: ca.fingerprint(), presented: other.fingerprint() });
}

#[tokio::test]
async fn a_joining_agent_refuses_an_impostor_who_shows_the_right_authority() {
    let ca = new_cluster();
    let impostor = authority(ca.cluster());
    let key = Keypair::generate();
    let server = hand_made_server(vec![certify(&impostor, &key, "one", Role::Server), ca.certificate().clone()], &key);
    let (near, _) = meet(pinned_client_config(ca.fingerprint(), &TestClock::new().clock()), server).await;
    assert_eq!(reason(near), PeerError::UnknownAuthority { name: "one".parse().unwrap() });
}

#[tokio::test]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let ca = new_cluster();
    let (victim, thief) = (Keypair::generate(), Keypair::generate());
    let stolen = vec![certify(&ca, &victim, "one", Role::Server), ca.certificate().clone()];
    for client in [agent(&ca, "client-1", Role::Client).client_config(), pinned_client_config(ca.fingerprint(), &TestClock::new().clock())]
    {
        drop(connect(client.clone(), hand_made_server(stolen.clone(), &victim)).await);
        let error = meet(client, hand_made_server(stolen.clone(), &thief)).await.0.err().unwrap();
        assert!(error.to_string().contains("BadSignature"), "{error}");
    }
    let (server, client) = (agent(&ca, "server-1", Role::Server), agent(&ca, "client-1", Role::Client).client_config());
    for (key, gets_in) in [(&victim, true), (&thief, false)] {
        let (_, far) = meet(with_stolen(&client, stolen.clone(), key), server.server_config()).await;
        assert_eq!(far.is_ok(), gets_in);
        assert!(far.err().is_none_or(|error| error.to_string().contains("BadSignature")));
    }
}

#[tokio::test]
async fn older_protocols_are_refused_by_either_end() {
    let ca = new_cluster();
    let (key, ours) = (Keypair::generate(), agent(&ca, "server-1", Role::Server));
    let chain = vec![certify(&ca, &key, "one", Role::Server), ca.certificate().clone()];
    let old_server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(shows(chain, &key));
    let (_, far) = meet(ours.client_config(), Arc::new(old_server)).await;
    assert!(far.err().unwrap().to_string().contains("Tls12NotOffered"));
    let old_client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let (_, far) = meet(Arc::new(old_client), ours.server_config()).await;
    assert!(far.err().unwrap().to_string().contains("Tls12NotOfferedOrEnabled"));
}

#[tokio::test]
async fn another_application_protocol_is_refused() {
    let ca = new_cluster();
    let server = agent(&ca, "server-1", Role::Server);
    let mut client = (*agent(&ca, "client-1", Role::Client).client_config()).clone();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (_, far) = meet(Arc::new(client), server.server_config()).await;
    assert!(far.err().unwrap().to_string().contains("known protocol"));
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl rustls::client::ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

/// Shows this chain and signs with this key, whether or not they belong together.
fn shows(chain: Vec<CertificateDer<'static>>, key: &Keypair) -> Arc<Shows> {
    let key = rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(key.pkcs8())).unwrap();
    Arc::new(Shows(Arc::new(CertifiedKey::new(chain, key))))
}

/// A server by somebody who does not use floe's code.
fn hand_made_server(chain: Vec<CertificateDer<'static>>, key: &Keypair) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(shows(chain, key));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// As `config`, with this chain and key instead of the agent's own.
fn with_stolen(config: &ClientConfig, chain: Vec<CertificateDer<'static>>, key: &Keypair) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.client_auth_cert_resolver = shows(chain, key);
    Arc::new(config)
}

#[tokio::test]
async fn who_knows_nothing_of_the_cluster_takes_any_server_that_has_its_key() {
    let ca = new_cluster();
    let server = agent(&ca, "server-1", Role::Server);
    let unpinned = || unpinned_client_config(&TestClock::new().clock());
    let (_near, far) = connect(unpinned(), server.server_config()).await;
    assert_eq!(seen_by(&server, &far), None, "and shows nothing");
    let chain = vec![certify(&ca, &Keypair::generate(), "server-1", Role::Server)];
    let (near, _) = meet(unpinned(), hand_made_server(chain, &Keypair::generate())).await;
    assert!(near.is_err(), "a certificate of somebody else's key");
}

#[tokio::test]
async fn a_clock_that_is_behind_is_known_by_certificates_that_will_count() {
    let ca = new_cluster();
    let clock = TestClock::new();
    let (late, other) = (agent_with_clock(&ca, "late", Role::Server, &clock), agent(&ca, "other", Role::Server));
    connect(late.client_config(), other.server_config()).await;
    assert_eq!(late.lag(), None);
    clock.set(before(Nanos::from_mins(6)));
    // Somebody who made an authority for himself says nothing about clocks.
    let stranger = agent(&authority(ca.cluster()), "stranger", Role::Server);
    let (refused, _) = meet(late.client_config(), stranger.server_config()).await;
    assert!(matches!(reason(refused), PeerError::NotYetValid { .. }));
    assert_eq!(late.lag(), None);
    for round in 0..2 {
        let (near, far) = match round {
            0 => (other.client_config(), late.server_config()),
            _ => (late.client_config(), other.server_config()),
        };
        assert!(meet(near, far).await.1.is_err());
        let lag = late.lag().unwrap();
        assert_eq!((lag.name.as_str(), lag.by()), ("other", Nanos::from_mins(6)));
        assert_eq!(other.lag(), None, "who is refused hears an alert and no reason");
        assert_eq!(late.lag_to_tell().is_some(), round == 0, "once a minute");
    }
    clock.set(after(Nanos::from_mins(1)));
    assert_eq!(late.lag(), None, "the clock was set");
    connect(other.client_config(), late.server_config()).await;
}
