//! Who calls, and who is called: real sockets, real handshakes.
#![allow(clippy::unwrap_used)]

mod support;

use floe_model::Nanos;
use floe_pki::{Role, pinned_client_config};
use floe_rpc::{Channels, Security};
use support::{ENOUGH, Host, agent, agent_that_believes, authority_of, call, clock, late_agent, new_cluster, text, wait_for};

#[tokio::test]
async fn a_member_is_known_by_its_certificate() {
    let cluster = new_cluster();
    let host = Host::start(Security::Tls(agent(&cluster, Role::Server)));
    for role in [Role::Server, Role::Client] {
        let caller = agent(&cluster, role);
        let said = text(&Channels::new(Security::Tls(caller.clone())), &host, "/who").await;
        assert_eq!(said, format!("{role} {}", caller.me().id));
    }
}

#[tokio::test]
async fn who_has_no_certificate_is_a_stranger() {
    let cluster = new_cluster();
    let host = Host::start(Security::Tls(agent(&cluster, Role::Server)));
    let joining = Channels::with_config(pinned_client_config(cluster.fingerprint(), &clock()));
    assert_eq!(text(&joining, &host, "/who").await, "stranger");
}

#[tokio::test]
async fn in_the_clear_everybody_is_trusted() {
    let host = Host::start(Security::Plain);
    assert_eq!(text(&Channels::new(Security::Plain), &host, "/who").await, "trusted");
}

#[tokio::test]
async fn a_server_of_another_cluster_is_not_spoken_to() {
    let (ours, theirs) = (new_cluster(), new_cluster());
    let host = Host::start(Security::Tls(agent(&theirs, Role::Server)));
    let member = Channels::new(Security::Tls(agent(&ours, Role::Server)));
    let joining = Channels::with_config(pinned_client_config(ours.fingerprint(), &clock()));
    for (channels, why) in [(member, "the peer belongs to cluster"), (joining, "the server's authority has the fingerprint")] {
        let error = call(&channels, &host.address, "/who", ENOUGH).await.unwrap_err();
        assert!(error.is_certainly_unsent(), "{error}");
        assert!(error.to_string().contains(&format!("connect to {}: {why}", host.address)), "{error}");
    }
    assert_eq!(host.requests(), 0);
}

#[tokio::test]
async fn a_client_is_not_taken_for_a_server() {
    let cluster = new_cluster();
    let host = Host::start(Security::Tls(agent(&cluster, Role::Client)));
    let error = call(&Channels::new(Security::Tls(agent(&cluster, Role::Server))), &host.address, "/who", ENOUGH).await.unwrap_err();
    assert!(error.is_certainly_unsent(), "{error}");
    assert_eq!(host.requests(), 0);
}

#[tokio::test]
async fn who_shows_a_certificate_that_does_not_count_is_refused_and_no_stranger() {
    let cluster = new_cluster();
    let impostor = authority_of(cluster.cluster());
    let host = Host::start(Security::Tls(agent(&cluster, Role::Server)));
    // Believing both authorities, it is refused by the host and not by itself.
    let intruder = agent_that_believes(&impostor, &[&cluster, &impostor], Role::Server);
    assert!(call(&Channels::new(Security::Tls(intruder)), &host.address, "/who", ENOUGH).await.is_err());
    wait_for("the refusal", || host.refused() > 0).await;
    assert_eq!(host.requests(), 0);
}

#[tokio::test]
async fn encrypted_and_in_the_clear_do_not_mix() {
    let cluster = new_cluster();
    let encrypted = Security::Tls(agent(&cluster, Role::Server));
    for (ours, theirs) in [(Security::Plain, encrypted.clone()), (encrypted, Security::Plain)] {
        let host = Host::start(theirs);
        assert!(call(&Channels::new(ours), &host.address, "/who", ENOUGH).await.is_err());
        assert_eq!(host.requests(), 0);
    }
}

#[tokio::test]
async fn who_is_behind_in_time_knows_it_from_whom_it_calls_and_who_calls_it() {
    let cluster = new_cluster();
    let late = || Security::Tls(late_agent(&cluster, Nanos::from_mins(30), Role::Server));
    let on_time = Security::Tls(agent(&cluster, Role::Server));
    let (calls, hosts) = (Channels::new(late()), late());
    let host = Host::start(on_time.clone());
    assert!(call(&calls, &host.address, "/who", ENOUGH).await.is_err());
    assert_eq!(calls.lag().unwrap().by(), Nanos::from_mins(30));
    let late_host = Host::start(hosts.clone());
    assert!(call(&Channels::new(on_time.clone()), &late_host.address, "/who", ENOUGH).await.is_err());
    wait_for("the refusal", || late_host.refused() > 0).await;
    assert_eq!(hosts.lag().unwrap().by(), Nanos::from_mins(30));
    assert_eq!(on_time.lag(), None);
}
