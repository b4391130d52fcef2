//! How long things may take, and how large they may be. The clock stands, and jumps when nothing else is to be done.
#![allow(clippy::unwrap_used)]

mod support;

use floe_pki::Role;
use floe_rpc::{Acceptor, CallError, Channels, Security, channels::SILENCE, read_body};
use std::{io, time::Duration};
use support::{ENOUGH, Host, agent, call, ms, new_cluster};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

const LONG: Duration = Duration::from_secs(3600);

/// A port where the kernel accepts connections, and nobody ever speaks.
fn silent() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_says_nothing_is_given_up_after_five_seconds() {
    let ((_silent, address), began) = (silent(), Instant::now());
    let channels = Channels::new(Security::Tls(agent(&new_cluster(), Role::Server)));
    let error = call(&channels, &address, "/who", LONG).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!(matches!(&error, CallError::Connect { .. }) && error.is_certainly_unsent(), "{error:?}");
    assert_eq!(error.to_string(), format!("connect to {address}: not connected in 5s"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_other_end_fell_silent_is_given_up() {
    let ((_silent, address), began) = (silent(), Instant::now());
    let error = call(&Channels::new(Security::Plain), &address, "/who", LONG).await.unwrap_err();
    assert!(began.elapsed() <= 2 * SILENCE, "{:?}", began.elapsed());
    assert!(matches!(&error, CallError::Broken { .. }) && !error.is_certainly_unsent(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_connects_and_says_nothing_is_given_up_after_ten_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let acceptor = Acceptor::new(Security::Tls(agent(&new_cluster(), Role::Server)));
    let began = Instant::now();
    let error = acceptor.accept(stream).await.err().unwrap();
    assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_not_one_byte_further() {
    let (host, channels) = (Host::start(Security::Plain), Channels::new(Security::Plain));
    for (bytes, fits) in [(0, true), (99_999, true), (100_000, true), (100_001, false)] {
        let response = call(&channels, &host.address, &format!("/bytes/{bytes}"), ENOUGH).await.unwrap();
        let read = read_body(response.into_body(), 100_000, ENOUGH).await;
        assert_eq!(read.as_ref().map(|body| body.len()).ok(), fits.then_some(bytes), "{read:?}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_in_time_is_given_up() {
    let (host, channels) = (Host::start(Security::Plain), Channels::new(Security::Plain));
    let response = call(&channels, &host.address, "/begin", ENOUGH).await.unwrap();
    let error = read_body(response.into_body(), 1000, ms(100)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
