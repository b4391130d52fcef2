//! Attaching, detaching, restarting, repairing, and everything that goes wrong on the way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use std::time::Duration;

use floe_network::error::MAX_BRIDGE_PORTS;
use floe_network::{
    AttachError, BrokenReason, Inventory, Network, NetworkConfig, NetworkError, OpenError, PortHolder, Protocol, Unavailable,
};
use world::*;

#[tokio::test(flavor = "multi_thread")]
async fn attach_and_detach_leave_nothing() {
    let world = World::new();
    let (network, report) = world.open(&[]).await;
    assert_eq!(report, floe_network::OpenReport::default());
    for round in 0..3 {
        for n in 0..5 {
            let ports = [tcp(8000 + n), udp(8000 + n)];
            network.attach(request(&format!("a{n}"), &ports)).await.unwrap();
        }
        let audit = network.audit().await.unwrap();
        assert!(audit.is_clean(), "round {round}: {audit:?}");
        assert_eq!(audit.inventory.links.len() - audit.retiring.len(), 5);
        assert_eq!(audit.inventory.port_maps.len(), 10);
        for n in 0..5 {
            network.detach(&format!("a{n}")).await.unwrap();
        }
    }
    network.settle().await.unwrap();
    let audit = network.audit().await.unwrap();
    let bare = Inventory { bridge: true, table: true, ..Inventory::default() };
    assert_eq!(audit.inventory, bare);
    assert!(audit.is_clean() && audit.retiring.is_empty());
    assert!(world.mounts().is_empty());
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn detach_may_be_repeated_and_may_find_half() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    network.detach("never-attached").await.unwrap();
    let a = network.attach(request("a", &[tcp(8080), tcp(8081)])).await.unwrap();
    // Somebody removes a port map, the link and the namespace behind our back.
    world.nft("delete element ip floe ports { tcp . 8080 }");
    world.ip(&format!("link del {}", a.link.as_ref().unwrap().host_interface));
    nix::mount::umount2(&a.netns, nix::mount::MntFlags::MNT_DETACH).unwrap();
    std::fs::remove_file(&a.netns).unwrap();
    assert_eq!(network.audit().await.unwrap().missing.len(), 3);
    network.detach("a").await.unwrap();
    network.detach("a").await.unwrap();
    check_clean(&network).await;
    assert!(matches!(network.detach("../etc").await, Err(NetworkError::Request(_))));
    network.attach(request("a", &[tcp(8080), tcp(8081)])).await.unwrap();
    check_clean(&network).await;
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_can_be_attached_again_at_once() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let first = network.attach(request("a", &[tcp(8080)])).await.unwrap();
    assert!(matches!(network.attach(request("a", &[])).await, Err(AttachError::Attached(_))));
    assert!(matches!(network.attach_none("a").await, Err(AttachError::Attached(_))));
    network.detach("a").await.unwrap();
    let second = network.attach(request("a", &[tcp(8080)])).await.unwrap();
    assert_ne!(address(&first), address(&second), "a just-freed address is not used again at once");
    serve(&second.netns, "a", 80);
    assert!(tcp_from(&world.outside(), (HOST, 8080)).is_ok());
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_a_process_holds_loses_its_link_all_the_same() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let a = network.attach(request("a", &[])).await.unwrap();
    let held = std::fs::File::open(&a.netns).unwrap();
    network.detach("a").await.unwrap();
    let audit = network.audit().await.unwrap();
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!(audit.retiring, [a.link.as_ref().unwrap().host_interface.as_str()]);
    network.settle().await.unwrap();
    assert!(network.audit().await.unwrap().inventory.links.is_empty());
    drop(held);
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_are_taken_are_refused_with_their_holder() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    network.attach(request("a", &[tcp(8080)])).await.unwrap();
    let error = network.attach(request("b", &[udp(8080), tcp(8080)])).await.unwrap_err();
    assert_eq!(error.to_string(), "port 8080/tcp is already in use by allocation a");
    let listener = inside(&world.host(), || std::net::TcpListener::bind("127.0.0.1:9000").unwrap());
    let error = network.attach(request("b", &[tcp(9000)])).await.unwrap_err();
    let AttachError::PortInUse { holder: PortHolder::Process { pid, .. }, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*pid, std::process::id());
    assert!(error.to_string().starts_with("port 9000/tcp is already in use by the process "));
    drop(listener);
    let elsewhere = port(Some("203.0.113.1".parse().unwrap()), 9000, 80, Protocol::Tcp);
    let error = network.attach(request("b", &[elsewhere])).await.unwrap_err();
    assert!(matches!(error, AttachError::NotALocalAddress { .. }));
    // Nothing of the refused ones remains, and what they wanted is free. A process that another test forked meanwhile keeps the listener
    // open until it has become the program it was forked for.
    let mut again = network.attach(request("b", &[tcp(9000), udp(8080)])).await;
    for _ in 0..200 {
        let Err(AttachError::PortInUse { holder: PortHolder::Process { .. }, .. }) = &again else { break };
        tokio::time::sleep(Duration::from_millis(50)).await;
        again = network.attach(request("b", &[tcp(9000), udp(8080)])).await;
    }
    again.unwrap();
    check_clean(&network).await;
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_subnet_is_a_clear_error() {
    let mut world = World::new();
    world.config.subnet = "172.26.64.0/29".parse().unwrap();
    let (network, _) = world.open(&[]).await;
    for n in 0..5 {
        network.attach(request(&format!("a{n}"), &[])).await.unwrap();
    }
    let error = network.attach(request("one-more", &[tcp(8080)])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no address is left in subnet 172.26.64.0/29: all 5 are taken; stop allocations or configure a larger subnet"
    );
    network.detach("a3").await.unwrap();
    network.settle().await.unwrap();
    let again = network.attach(request("one-more", &[tcp(8080)])).await.unwrap();
    assert_eq!(address(&again).octets(), [172, 26, 64, 5]);
    check_clean(&network).await;
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bridge_is_a_clear_error() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let foreign: String = (0..MAX_BRIDGE_PORTS / 2)
        .map(|n| format!("link add x{n} master floe type veth peer name y{n}\nlink set y{n} master floe\n"))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), foreign).unwrap();
    world.ip(&format!("-batch {}", file.path().display()));
    network.attach(request("last", &[tcp(8080)])).await.unwrap();
    let error = network.attach(request("one-more", &[tcp(8081)])).await.unwrap_err();
    assert_eq!(error.to_string(), "bridge floe is full: the kernel allows 1023 ports; place the allocation on another node");
    network.detach("last").await.unwrap();
    network.settle().await.unwrap();
    network.attach(request("one-more", &[tcp(8080), tcp(8081)])).await.unwrap();
    check_clean(&network).await;
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_the_middle_undoes_everything() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let before = world.inventory().await;
    // The last step fails: somebody has the key of the port map.
    world.nft("add element ip floe ports { tcp . 8080 : 10.0.0.1 . 80 }");
    let error = network.attach(request("a", &[tcp(8081), tcp(8080)])).await.unwrap_err();
    assert!(matches!(error, AttachError::Kernel(_)), "{error:?}");
    world.nft("delete element ip floe ports { tcp . 8080 }");
    network.settle().await.unwrap();
    assert_eq!(world.inventory().await, before);
    // The first step fails: the name of the namespace is taken.
    let path = world.config.netns_dir.join("b");
    std::fs::write(&path, "").unwrap();
    assert!(network.attach(request("b", &[tcp(8080)])).await.is_err());
    drop(std::fs::remove_file(&path));
    // A step in the middle fails: there is no bridge.
    world.ip("link del floe");
    assert!(network.attach(request("c", &[tcp(8080)])).await.is_err());
    network.settle().await.unwrap();
    let after = world.inventory().await;
    assert_eq!(after, Inventory { bridge: false, ..before });
    let (network, _) = world.open(&[]).await;
    network.attach(request("c", &[tcp(8080), tcp(8081)])).await.unwrap();
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_nobody_waits_for_is_undone() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    loop {
        let mut asking = Box::pin(network.attach(request("a", &[tcp(8080)])));
        // One poll hands the request over; then the caller gives up.
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context).is_pending()));
        if polled.await {
            break;
        }
        // On one processor the network may be done before that poll is.
        network.detach("a").await.unwrap();
    }
    // Answered after the first, in order.
    assert!(network.attachments().await.unwrap().is_empty());
    network.settle().await.unwrap();
    let inventory = network.audit().await.unwrap().inventory;
    assert!(inventory.links.is_empty() && inventory.namespaces.is_empty(), "{inventory:?}");
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_live_on_while_the_network_is_opened_again() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let a = network.attach(request("a", &[tcp(8080)])).await.unwrap();
    serve(&a.netns, "a", 80);
    let mut connection = connect(&world.outside(), (HOST, 8080), Duration::from_secs(5)).unwrap();
    assert_eq!(ask(&mut connection).unwrap(), format!("a sees {OUTSIDE}"));
    drop(network);
    for _ in 0..3 {
        let (network, report) = world.open(std::slice::from_ref(&a)).await;
        assert_eq!(report, floe_network::OpenReport::default());
        assert_eq!(network.attachments().await.unwrap(), std::slice::from_ref(&a));
        check_clean(&network).await;
        assert_eq!(ask(&mut connection).unwrap(), format!("a sees {OUTSIDE}"));
    }
    assert!(tcp_from(&world.outside(), (HOST, 8080)).is_ok());
    let (network, _) = world.open(&[a]).await;
    let taken = network.attach(request("b", &[tcp(8080)])).await.unwrap_err();
    assert!(taken.to_string().ends_with("allocation a"));
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_agent_leaves_is_removed() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    network.attach(request("forgotten", &[tcp(8080), udp(8080)])).await.unwrap();
    let kept = network.attach(request("kept", &[tcp(8081)])).await.unwrap();
    drop(network);
    // Killed between any two steps: a file without a namespace, a namespace without a link, a link
    // without a namespace, a port map without either.
    std::fs::write(world.config.netns_dir.join("file"), "").unwrap();
    world.plant_netns("namespace");
    world.ip("link add fl0123456789ab master floe type veth peer name planted");
    world.nft("add element ip floe ports { tcp . 9000 : 172.26.64.9 . 80 }");
    // Other people's things on our bridge and elsewhere.
    world.ip("link add veth77 master floe type veth peer name veth78");
    world.nft("add table ip theirs");
    let (network, report) = world.open(std::slice::from_ref(&kept)).await;
    assert_eq!(report.removed.len(), 5, "{report:?}");
    assert!(report.broken.is_empty() && report.repaired.is_empty());
    network.settle().await.unwrap();
    let audit = network.audit().await.unwrap();
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!(audit.inventory.namespaces, ["kept"]);
    assert_eq!(audit.inventory.links, [kept.link.as_ref().unwrap().host_interface.as_str()]);
    assert_eq!(audit.inventory.port_maps.len(), 1);
    assert!(world.ip("link show veth77").contains("master floe"));
    assert!(world.nft("list tables").contains("theirs"));
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_every_attachment_is_reported_and_everything_is_rebuilt() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let known = [network.attach(request("a", &[tcp(8080)])).await.unwrap(), network.attach_none("n").await.unwrap()];
    close(&world, &network).await;
    let (network, report) = world.open(&known).await;
    let broken: Vec<_> = report.broken.iter().map(|b| (b.id.as_str(), b.reason.clone())).collect();
    assert_eq!(broken, [("a", BrokenReason::NamespaceGone), ("n", BrokenReason::NamespaceGone)]);
    assert!(network.attachments().await.unwrap().is_empty());
    network.detach("a").await.unwrap();
    network.attach(request("a", &[tcp(8080)])).await.unwrap();
    check_clean(&network).await;
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_repaired_without_restarting_the_allocation() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let a = network.attach(request("a", &[tcp(8080), udp(8080)])).await.unwrap();
    drop(network);
    serve(&a.netns, "a", 80);
    let outer = a.link.as_ref().unwrap().host_interface.clone();
    type Damage<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let damages: [Damage; 8] = [
        ("its link was not in the bridge", Box::new(|| drop(world.ip("link del floe")))),
        ("its link was not in the bridge", Box::new(|| drop(world.ip(&format!("link set {outer} nomaster"))))),
        ("an interface was down", Box::new(|| drop(world.ip(&format!("link set {outer} down"))))),
        ("its bridge port was not configured", Box::new(|| drop(world.ip(&format!("link set {outer} type bridge_slave hairpin off"))))),
        ("its address was missing", Box::new(|| drop(run_in(&a.netns, "ip addr flush dev eth0")))),
        ("its default route was missing", Box::new(|| drop(run_in(&a.netns, "ip route del default")))),
        ("its link to the bridge was missing", Box::new(|| drop(world.ip(&format!("link del {outer}"))))),
        ("", Box::new(|| drop(world.nft("delete table ip floe")))),
    ];
    for (what, damage) in &damages {
        damage();
        let (network, report) = world.open(std::slice::from_ref(&a)).await;
        let repaired: Vec<_> = report.repaired.iter().map(|r| r.what).collect();
        let expected: Vec<_> = [*what].into_iter().filter(|w| !w.is_empty()).collect();
        assert_eq!(repaired, expected);
        check_clean(&network).await;
        assert_eq!(tcp_from(&world.outside(), (HOST, 8080)), Ok(format!("a sees {OUTSIDE}")), "{what}");
        assert_eq!(udp_from(&a.netns, (HOST, 8080)), Ok("a sees 172.26.64.1".into()), "{what}");
    }
    let (network, report) = world.open(std::slice::from_ref(&a)).await;
    assert!(report.repaired.is_empty(), "{report:?}");
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_that_is_in_use_is_refused_with_its_user() {
    let mut world = World::new();
    world.ip("route add 172.16.0.0/12 via 192.0.2.9");
    let error = Network::open(world.config.clone(), &[]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "subnet 172.26.64.0/20 overlaps with the route to 172.16.0.0/12 by interface up0: choose \
         another subnet for the allocations"
    );
    world.config.subnet = "192.0.0.0/16".parse().unwrap();
    let error = Network::open(world.config.clone(), &[]).await.unwrap_err();
    assert!(error.to_string().contains("the address 192.0.2.1/24 of interface up0"), "{error}");
    assert!(world.inventory().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_subnet_breaks_what_was_attached_and_works_after_that() {
    let mut world = World::new();
    let (network, _) = world.open(&[]).await;
    let a = network.attach(request("a", &[tcp(8080)])).await.unwrap();
    drop(network);
    world.config.subnet = "10.44.0.0/24".parse().unwrap();
    let (network, report) = world.open(&[a]).await;
    assert!(matches!(report.broken[0].reason, BrokenReason::OutsideSubnet { .. }));
    network.settle().await.unwrap();
    let again = network.attach(request("a", &[tcp(8080)])).await.unwrap();
    serve(&again.netns, "a", 80);
    assert!(tcp_from(&world.outside(), (HOST, 8080)).is_ok());
    assert!(!world.ip("addr show floe").contains("172.26.64.1"));
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_name_that_is_taken_is_refused() {
    let world = World::new();
    world.ip("link add floe type veth peer name other");
    let error = Network::open(world.config.clone(), &[]).await.unwrap_err();
    assert!(matches!(&error, OpenError::NotABridge { kind, .. } if kind == "veth"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_firewalls_are_reported_and_left_alone() {
    let world = World::new();
    world.nft("add table ip filter");
    world.nft("add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }");
    let before = world.nft("list table ip filter");
    let (network, report) = world.open(&[]).await;
    assert_eq!(report.warnings.len(), 1, "{report:?}");
    assert!(report.warnings[0].contains("the chain FORWARD of table ip filter drops"));
    let a = network.attach(request("a", &[tcp(8080), udp(8080)])).await.unwrap();
    serve(&a.netns, "a", 80);
    assert_unreachable(&world.outside(), (HOST, 8080));
    // The remedy that the warning gives works.
    let commands = report.warnings[0].split('`').skip(1).step_by(2);
    commands.for_each(|command| drop(run_in(&world.host(), command)));
    assert!(tcp_from(&world.outside(), (HOST, 8080)).is_ok());
    close(&world, &network).await;
    world.nft("flush chain ip filter FORWARD");
    assert_eq!(world.nft("list table ip filter"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_restores_forwarding_and_ends_the_service() {
    let world = World::new();
    let forwarding = || run_in(&world.host(), "cat /proc/sys/net/ipv4/ip_forward").trim().to_owned();
    run_in(&world.host(), "echo 0 > /proc/sys/net/ipv4/ip_forward");
    let (network, _) = world.open(&[]).await;
    assert_eq!(forwarding(), "1");
    network.attach(request("a", &[tcp(8080)])).await.unwrap();
    network.attach_none("n").await.unwrap();
    close(&world, &network).await;
    assert_eq!(forwarding(), "0");
    let error = network.attach(request("b", &[])).await.unwrap_err();
    assert!(matches!(error, AttachError::Unavailable(Unavailable::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_many_tasks_are_served_one_after_the_other() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let tasks: Vec<_> = (0..100u16)
        .map(|n| {
            let network = network.clone();
            tokio::spawn(async move { network.attach(request(&format!("a{n}"), &[tcp(10_000 + n)])).await.unwrap() })
        })
        .collect();
    let mut addresses = std::collections::BTreeSet::new();
    for task in tasks {
        addresses.insert(address(&task.await.unwrap()));
    }
    assert_eq!(addresses.len(), 100);
    check_clean(&network).await;
    close(&world, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_port_maps_are_rebuilt_in_one_transaction() {
    let world = World::new();
    let (network, _) = world.open(&[]).await;
    let ports: Vec<_> = (0..1_024u16).map(|n| tcp(10_000 + n)).collect();
    let known = [network.attach(request("a", &ports)).await.unwrap(), network.attach(request("b", &[tcp(9_000)])).await.unwrap()];
    drop(network);
    let (network, report) = world.open(&known).await;
    assert!(report.broken.is_empty());
    let audit = network.audit().await.unwrap();
    assert!(audit.is_clean(), "{audit:?}");
    assert_eq!(audit.inventory.port_maps.len(), 1_025);
    close(&world, &network).await;
}

/// An agent that lives in a namespace of its own needs no configuration for that.
#[test]
fn the_host_is_the_namespace_in_which_the_network_was_opened() {
    let world = World::new();
    let config = NetworkConfig { host_netns: None, ..world.config.clone() };
    let answer = inside(&world.host(), move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (network, _) = Network::open(config.clone(), &[]).await.unwrap();
            let a = network.attach(request("a", &[tcp(8080)])).await.unwrap();
            serve(&a.netns, "a", 80);
            (network, Inventory::observe(&config).await.unwrap())
        })
    });
    let (network, inventory) = answer;
    assert!(inventory.bridge && inventory.links.len() == 1);
    // From a thread in the machine's own namespace, which has no bridge.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(tcp_from(&world.outside(), (HOST, 8080)).is_ok());
    runtime.block_on(async {
        network.attach(request("b", &[tcp(8081)])).await.unwrap();
        check_clean(&network).await;
        close(&world, &network).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_namespace_that_does_not_exist_is_named() {
    let config = NetworkConfig { host_netns: Some("/nowhere/netns".into()), ..NetworkConfig::default() };
    let error = Network::open(config, &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot enter the network namespace /nowhere/netns");
}
