//! Tests of what is remembered.
#![allow(clippy::unwrap_used)]

use super::*;
use tokio::net::TcpSocket;

/// A port that is taken, and where nobody listens.
fn deaf() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

async fn ask(channels: &Channels, address: &str) {
    let request = Request::get(channels.uri(address, "/")).body(Full::default()).unwrap();
    channels.call(address, request, Duration::from_millis(50)).await.unwrap_err();
}

#[tokio::test]
async fn addresses_without_a_living_connection_are_forgotten_at_the_bound() {
    let channels = Channels::new(Security::Plain);
    let remembered = || channels.slots.lock().unwrap().len();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let living = listener.local_addr().unwrap().to_string();
    ask(&channels, &living).await;
    let deaf: Vec<(TcpSocket, String)> = (0..REMEMBERED).map(|_| deaf()).collect();
    for (_, address) in deaf.iter().take(REMEMBERED - 1) {
        ask(&channels, address).await;
    }
    assert_eq!(remembered(), REMEMBERED, "nobody is forgotten before the bound");
    ask(&channels, &living).await;
    assert_eq!(remembered(), REMEMBERED, "who is known already forgets nobody");
    for (_, address) in deaf.iter().skip(REMEMBERED - 1) {
        ask(&channels, address).await;
    }
    assert_eq!(remembered(), 2, "the one that lives and the newest");
    assert!(channels.slots.lock().unwrap().contains_key(&living));
}
