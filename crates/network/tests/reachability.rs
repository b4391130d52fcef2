//! Who reaches whom: every way that must work, by TCP and UDP, and the ways that must not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use floe_network::Protocol;
use world::*;

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[tokio::test(flavor = "multi_thread")]
async fn every_way_works_by_tcp_and_udp() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let a = network.attach(request("a", &[tcp(8080), udp(8080)])).await.unwrap();
    let b = network.attach(request("b", &[tcp(8081), udp(8081)])).await.unwrap();
    serve(&a.netns, "a", 80);
    serve(&b.netns, "b", 80);
    serve(&world.outside(), "outside", 9999);
    let (host, outside) = (world.host(), world.outside());
    let gateway = a.link.as_ref().unwrap().gateway;
    for (way, from, to, answer) in [
        ("outside to a published port", &outside, (HOST, 8080), format!("a sees {OUTSIDE}")),
        ("host to its loopback", &host, (LOOPBACK, 8080), format!("a sees {gateway}")),
        ("host to its own address", &host, (HOST, 8080), format!("a sees {HOST}")),
        ("host to the bridge's address", &host, (gateway, 8081), format!("b sees {gateway}")),
        ("allocation to another's published port", &b.netns, (HOST, 8080), format!("a sees {gateway}")),
        ("allocation to its own published port", &a.netns, (HOST, 8080), format!("a sees {gateway}")),
        ("allocation to the outside", &a.netns, (OUTSIDE, 9999), format!("outside sees {HOST}")),
        ("allocation to another", &b.netns, (address(&a), 80), format!("a sees {}", address(&b))),
        ("allocation to its own loopback", &a.netns, (LOOPBACK, 80), format!("a sees {LOOPBACK}")),
    ] {
        assert_eq!(tcp_from(from, to), Ok(answer.clone()), "{way}, tcp");
        assert_eq!(udp_from(from, to), Ok(answer), "{way}, udp");
    }
    check_clean(&network).await;
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_on_one_address_answers_on_no_other() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let on = |ip, number, protocol| port(Some(ip), number, 80, protocol);
    let ports = [
        on(LOOPBACK, 8080, Protocol::Tcp),
        on(LOOPBACK, 8080, Protocol::Udp),
        on(HOST, 8081, Protocol::Tcp),
        on(HOST, 8081, Protocol::Udp),
    ];
    let a = network.attach(request("a", &ports)).await.unwrap();
    // The same number on another address belongs to somebody else.
    let b = network.attach(request("b", &[on(LOOPBACK, 8081, Protocol::Tcp)])).await.unwrap();
    serve(&a.netns, "a", 80);
    serve(&b.netns, "b", 80);
    let (host, outside) = (world.host(), world.outside());
    let gateway = a.link.as_ref().unwrap().gateway;
    assert_eq!(tcp_from(&host, (LOOPBACK, 8080)).unwrap(), format!("a sees {gateway}"));
    assert_eq!(udp_from(&host, (LOOPBACK, 8080)).unwrap(), format!("a sees {gateway}"));
    assert_eq!(tcp_from(&host, (LOOPBACK, 8081)).unwrap(), format!("b sees {gateway}"));
    assert_eq!(tcp_from(&outside, (HOST, 8081)).unwrap(), format!("a sees {OUTSIDE}"));
    assert_unreachable(&outside, (HOST, 8080));
    assert_unreachable(&host, (HOST, 8080));
    assert_unreachable(&host, (gateway, 8080));
    assert_unreachable(&b.netns, (gateway, 8080));
    assert_unreachable(&b.netns, (gateway, 8081));
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_does_not_reach_the_loopback_of_the_host() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let a = network.attach(request("a", &[])).await.unwrap();
    let listener = inside(&world.host(), || UdpSocket::bind("127.0.0.1:7000").unwrap());
    listener.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    // A hostile allocation with its own idea of where 127.0.0.1 is.
    run_in(&a.netns, "ip route del local 127.0.0.0/8 dev lo table local");
    run_in(&a.netns, "ip route del local 127.0.0.1 dev lo table local");
    run_in(&a.netns, "ip route add 127.0.0.1 via 172.26.64.1 dev eth0 src 172.26.64.2");
    run_in(&a.netns, "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet");
    let send = || {
        inside(&a.netns, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.send_to(b"?", (LOOPBACK, 7000)).unwrap();
        });
        listener.recv_from(&mut [0; 8])
    };
    assert!(send().is_err(), "the packet arrived");
    // Without the guard it would: the test can fail.
    world.nft("flush chain ip floe guard");
    assert_eq!(send().unwrap().1.ip(), address(&a));
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hairpin_an_allocation_does_not_reach_itself() {
    let mut world = World::new();
    world.config.hairpin = false;
    let (network, _) = world.open(&[]).await;
    let a = network.attach(request("a", &[tcp(8080), udp(8080)])).await.unwrap();
    serve(&a.netns, "a", 80);
    assert_unreachable(&a.netns, (HOST, 8080));
    assert!(tcp_from(&world.outside(), (HOST, 8080)).is_ok());
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_network_has_only_its_loopback() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let none = network.attach_none("n").await.unwrap();
    assert!(none.link.is_none());
    serve(&none.netns, "n", 80);
    assert_eq!(tcp_from(&none.netns, (LOOPBACK, 80)).unwrap(), format!("n sees {LOOPBACK}"));
    assert!(connect(&none.netns, (HOST, 80), Duration::from_millis(300)).is_err());
    assert_eq!(run_in(&none.netns, "ip -o link show up | wc -l").trim(), "1");
    network.detach("n").await.unwrap();
    close(&world, &network).await;
}

/// A client that never stops sending follows the port from one allocation to the next, even when it
/// meets a closed port in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_udp_client_follows_the_port_to_another_allocation() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let a = network.attach(request("a", &[udp(5300)])).await.unwrap();
    serve(&a.netns, "a", 80);
    let client = inside(&world.outside(), || UdpSocket::bind("0.0.0.0:0").unwrap());
    let patience = Duration::from_secs(5);
    assert_eq!(udp_ask(&client, (HOST, 5300), patience), Ok(format!("a sees {OUTSIDE}")));
    network.detach("a").await.unwrap();
    network.settle().await.unwrap();
    assert!(udp_ask(&client, (HOST, 5300), Duration::from_millis(300)).is_err());
    let b = network.attach(request("b", &[udp(5300)])).await.unwrap();
    serve(&b.netns, "b", 80);
    network.settle().await.unwrap();
    assert_eq!(udp_ask(&client, (HOST, 5300), patience), Ok(format!("b sees {OUTSIDE}")));
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mtu_is_set_on_both_ends_and_the_bridge() {
    let mut world = World::new();
    world.config.mtu = Some(1400);
    let (network, _) = world.open(&[]).await;
    let a = network.attach(request("a", &[])).await.unwrap();
    let outer = &a.link.as_ref().unwrap().host_interface;
    for shown in [world.ip("link show floe"), world.ip(&format!("link show {outer}")), run_in(&a.netns, "ip link show eth0")] {
        assert!(shown.contains(" mtu 1400 "), "{shown}");
    }
    close(&world, &network).await;
}
