//! Connections that are shared, die, and are made anew.
#![allow(clippy::unwrap_used)]

mod support;

use floe_pki::Role;
use floe_rpc::{CallError, Channels, Security};
use futures::future::join_all;
use http_body_util::BodyExt;
use std::net::TcpListener;
use support::{ENOUGH, Host, agent, call, ms, new_cluster, text, wait_for};
use tokio::task::yield_now;

const PLAIN: Security = Security::Plain;

#[tokio::test]
async fn calls_share_one_connection_to_an_address() {
    let cluster = new_cluster();
    let host = Host::start(Security::Tls(agent(&cluster, Role::Server)));
    let channels = Channels::new(Security::Tls(agent(&cluster, Role::Server)));
    join_all((0..100).map(|_| text(&channels, &host, "/who"))).await;
    text(&channels.clone(), &host, "/who").await;
    assert_eq!((host.connections(), host.requests()), (1, 101));
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_connection_to_the_others() {
    let host = Host::start(PLAIN);
    let channels = Channels::new(PLAIN);
    call(&channels, &host.address, "/never", ms(50)).await.unwrap_err();
    text(&channels, &host, "/who").await;
    assert_eq!(host.connections(), 1);
}

#[tokio::test]
async fn a_server_that_came_back_is_reached_by_a_new_connection() {
    let cluster = new_cluster();
    let (server, caller) = (Security::Tls(agent(&cluster, Role::Server)), Security::Tls(agent(&cluster, Role::Server)));
    let channels = Channels::new(caller);
    let first = Host::start(server.clone());
    text(&channels, &first, "/who").await;
    let second = Host::start_at(server, &first.kill());
    // The old connection's end is noticed meanwhile.
    tokio::time::sleep(ms(50)).await;
    text(&channels, &second, "/who").await;
    assert_eq!((second.connections(), second.requests()), (1, 1));
}

/// The host's end of a connection is closed, and this end is about to notice: the call is queued when it does. In this runtime, which has one
/// thread, the order is always the same: the test goes on before the tasks of the connection do.
async fn die_and_come_back(host: Host) -> Host {
    let next = Host::start_at(PLAIN, &host.kill());
    yield_now().await;
    next
}

#[tokio::test]
async fn what_did_not_leave_by_a_dead_connection_goes_by_a_new_one() {
    let channels = Channels::new(PLAIN);
    let first = Host::start(PLAIN);
    text(&channels, &first, "/who").await;
    let second = die_and_come_back(first).await;
    text(&channels, &second, "/who").await;
    assert_eq!((second.connections(), second.requests()), (1, 1));
}

#[tokio::test]
async fn calls_that_lose_their_connection_together_share_the_next_one() {
    let channels = Channels::new(PLAIN);
    let first = Host::start(PLAIN);
    text(&channels, &first, "/who").await;
    let second = die_and_come_back(first).await;
    join_all((0..20).map(|_| text(&channels, &second, "/who"))).await;
    assert_eq!((second.connections(), second.requests()), (1, 20));
}

#[tokio::test]
async fn who_hangs_up_on_everybody_is_called_twice_and_no_more() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (accepted, mut hung_up) = tokio::sync::watch::channel(0);
    let host = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            accepted.send_modify(|count| *count += 1);
        }
    });
    let error = call(&Channels::new(PLAIN), &address, "/who", ENOUGH).await.unwrap_err();
    assert!(matches!(error, CallError::Broken { .. }), "{error:?}");
    let seen = *hung_up.borrow_and_update();
    assert!((1..=2).contains(&seen), "{seen} connections");
    host.abort();
}

#[tokio::test]
async fn nobody_listens() {
    // It has the port, so that nobody else gets it, and does not listen.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let error = call(&Channels::new(PLAIN), &address, "/who", ENOUGH).await.unwrap_err();
    assert!(matches!(&error, CallError::Connect { .. }) && error.is_certainly_unsent(), "{error:?}");
    assert!(error.to_string().starts_with(&format!("connect to {address}: ")), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let host = Host::start(PLAIN);
    let error = call(&Channels::new(PLAIN), &host.address, "/never", ms(300)).await.unwrap_err();
    assert!(matches!(&error, CallError::Timeout { .. }) && !error.is_certainly_unsent(), "{error:?}");
    assert_eq!(error.to_string(), format!("call {}: no answer in 300ms", host.address));
    assert_eq!(host.requests(), 1);
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_answer() {
    let host = Host::start(PLAIN);
    let (channels, address) = (Channels::new(PLAIN), host.address.clone());
    let calling = tokio::spawn(async move { call(&channels, &address, "/never", ENOUGH).await });
    wait_for("the request", || host.requests() == 1).await;
    host.kill();
    let error = calling.await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::Broken { .. }) && !error.is_certainly_unsent(), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_an_answer() {
    let host = Host::start(PLAIN);
    let mut body = call(&Channels::new(PLAIN), &host.address, "/begin", ENOUGH).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "trusted");
    host.kill();
    let rest = floe_rpc::read_body(body, 1000, ENOUGH).await;
    assert_ne!(rest.unwrap_err().kind(), std::io::ErrorKind::TimedOut, "a part is never taken for the whole");
}

#[tokio::test]
async fn a_connection_is_made_though_the_first_call_could_not_wait_for_it() {
    let cluster = new_cluster();
    // The kernel takes the connection, and nobody speaks yet.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let channels = Channels::new(Security::Tls(agent(&cluster, Role::Client)));
    let error = call(&channels, &address, "/who", ms(50)).await.unwrap_err();
    assert!(matches!(&error, CallError::Timeout { .. }) && error.is_certainly_unsent(), "{error:?}");
    let host = Host::start_on(Security::Tls(agent(&cluster, Role::Server)), listener);
    text(&channels, &host, "/who").await;
    assert_eq!((host.connections(), host.requests()), (1, 1));
}
