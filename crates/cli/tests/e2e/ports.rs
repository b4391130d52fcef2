//! Ports: given, refused, and reached from everywhere.

use crate::{
    agent::Agent,
    api::{event, id, text},
    job::{Job, batch, service, web},
    restart::port,
    traffic::{page, wait_page},
    world::{HOST, OUTSIDE, World, eventually, world},
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    time::Duration,
};

/// How long an answer that comes may take.
const ANSWER: Duration = Duration::from_secs(2);
/// Answers each byte string with itself, over TCP and UDP alike.
const ECHO: &str = r#"
use IO::Socket::INET; use IO::Select; $| = 1;
my $port = $ENV{NOMAD_PORT_echo};
my $tcp = IO::Socket::INET->new(Listen => 9, LocalPort => $port, ReuseAddr => 1) or die "listen: $!";
my $udp = IO::Socket::INET->new(Proto => "udp", LocalPort => $port) or die "bind: $!";
print "up\n";
my $select = IO::Select->new($tcp, $udp);
while (my @ready = $select->can_read) {
  for my $socket (@ready) {
    if ($socket == $udp) { my $from = recv($udp, my $data, 4096, 0); send($udp, $data, 0, $from); }
    else { my $client = $tcp->accept; sysread($client, my $data, 4096); syswrite($client, $data); close($client); }
  }
}
"#;

fn echo(id: &str) -> Job {
    service(id, "").task(|t| t["Config"] = serde_json::json!({ "command": "/usr/bin/perl", "args": ["-e", ECHO] }))
}

fn tcp_echo(to: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&to, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.write_all(b"tcp").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn udp_echo(to: SocketAddr) -> Option<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.set_read_timeout(Some(ANSWER)).ok()?;
    socket.send_to(b"udp", to).ok()?;
    let mut answer = [0; 64];
    let (length, _) = socket.recv_from(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// Both protocols answer.
fn echoes(ip: impl Into<IpAddr>, port: u16) -> bool {
    let to = SocketAddr::new(ip.into(), port);
    tcp_echo(to).as_deref() == Some("tcp") && udp_echo(to).as_deref() == Some("udp")
}

fn address(alloc: &Value) -> Ipv4Addr {
    text(&alloc["NetworkStatus"]["Address"]).parse().unwrap_or_else(|_| panic!("no address in {alloc:#}"))
}

/// Runs something in the network of an allocation.
fn in_alloc<T: Send>(agent: &Agent, alloc: &str, run: impl FnOnce() -> T + Send) -> T {
    World::inside_of(&PathBuf::from(format!("/run/{}/netns/{alloc}", agent.name())), run)
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = echo("echo").network("bridge").dynamic_port("echo", 7000);
        let alloc = agent.api().run_one(&job);
        agent.api().wait_output(&alloc, "t", "up");
        let neighbour = agent.api().run_one(&service("n", "exec sleep 10000").network("bridge"));
        let full = agent.api().alloc(&alloc);
        let (host_port, inside) = (port(&full, "echo"), address(&full));
        assert!((20_000..=32_000).contains(&host_port));
        assert!(world.outside(|| echoes(HOST, host_port)), "from the outside");
        assert!(echoes(HOST, host_port), "from the host, by its address");
        assert!(echoes(Ipv4Addr::LOCALHOST, host_port), "from the host, by 127.0.0.1");
        assert!(echoes(inside, 7000), "from the host, by the allocation's address");
        assert!(in_alloc(&agent, &neighbour, || echoes(HOST, host_port)), "from another allocation, by the host's address");
        assert!(in_alloc(&agent, &neighbour, || echoes(inside, 7000)), "from another allocation, directly");
        assert!(in_alloc(&agent, &alloc, || echoes(HOST, host_port)), "from itself, by the host's address");
        assert!(in_alloc(&agent, &alloc, || echoes(Ipv4Addr::LOCALHOST, 7000)), "from itself, by 127.0.0.1");
        assert!(in_alloc(&agent, &neighbour, || tcp_echo((OUTSIDE, 1).into())).is_none());
        agent.api().stop(&job);
        assert!(!world.outside(|| echoes(HOST, host_port)), "a stopped one still answers");
    });
}

#[test]
fn allocations_reach_the_outside_under_the_hosts_address() {
    world(|world| {
        let agent = world.start_agent("n1");
        let server = world.outside(|| TcpListener::bind((OUTSIDE, 9000)).unwrap());
        let alloc = agent.api().run_one(&batch("b", "echo hello | busybox nc -w 5 192.0.2.9 9000").network("bridge"));
        let (mut stream, from) = server.accept().unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!((said.as_str(), from.ip()), ("hello\n", HOST.into()));
        drop(stream);
        agent.api().wait_status(&alloc, "complete");
    });
}

#[test]
fn host_mode_is_the_hosts_network_and_none_is_no_network() {
    world(|world| {
        let agent = world.start_agent("n1");
        let host = echo("host").network("host").dynamic_port("echo", 0);
        let alloc = agent.api().run_one(&host);
        agent.api().wait_output(&alloc, "t", "up");
        let full = agent.api().alloc(&alloc);
        let host_port = port(&full, "echo");
        assert!(world.outside(|| echoes(HOST, host_port)) && echoes(Ipv4Addr::LOCALHOST, host_port));
        let none = batch("none", "ls /sys/class/net; cat /proc/net/dev | tail -n +3 | cut -d: -f1; busybox nc -w 1 192.0.2.1 4646 </dev/null || echo unreachable").network("none");
        let alloc = agent.api().run_one(&none);
        agent.api().wait_status(&alloc, "complete");
        let output = agent.api().wait_output(&alloc, "t", "unreachable");
        assert!(!output.contains("eth0") && !output.contains("up0"), "{output}");
        // Without a network block it is the host's network.
        let default = agent.api().run_one(&batch("default", "cat /proc/net/dev"));
        agent.api().wait_status(&default, "complete");
        assert!(agent.api().wait_output(&default, "t", "lo:").contains("up0:"));
    });
}

#[test]
fn a_port_that_another_job_holds_is_named_as_the_reason() {
    world(|world| {
        let agent = world.start_agent("n1");
        let fixed = |id: &str| web(id).group(|g| g["Networks"][0]["DynamicPorts"] = Value::Null).static_port("http", 8080, 8080);
        agent.api().run_one(&fixed("first"));
        let second = fixed("second");
        let eval = agent.api().evaluate(&second);
        let exhausted = &eval["FailedTGAllocs"]["g"]["DimensionExhausted"];
        let (reason, count) = exhausted.as_object().unwrap().iter().next().unwrap_or_else(|| panic!("{eval:#}"));
        assert!(reason.contains("8080") && count == 1, "{exhausted}");
        assert_ne!(eval["BlockedEval"], "");
        assert!(world.floe(&["job", "status", "second"]).ok().contains("8080"));
        // When the port is free again the job gets it by itself.
        agent.api().stop(&fixed("first"));
        agent.api().wait("the second has the port", &second.path("/allocations"), |all| {
            all.as_array()?.iter().find(|a| a["ClientStatus"] == "running").map(id)
        });
        assert!(wait_page(HOST, 8080).len() > 30);
    });
}

#[test]
fn a_port_that_a_process_of_the_host_holds_is_named_in_the_failure() {
    world(|world| {
        let agent = world.start_agent("n1");
        let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8081)).unwrap();
        let job = web("web").group(|g| g["Networks"][0]["DynamicPorts"] = Value::Null).static_port("http", 8081, 8080);
        agent.api().submit(&job);
        let failed = agent
            .api()
            .wait("it failed", &job.path("/allocations"), |all| all.as_array()?.iter().find(|a| a["ClientStatus"] == "failed").map(id));
        let full = agent.api().alloc(&failed);
        let why = event(&full, "t", "Setup Failure");
        assert!(text(&why["DisplayMessage"]).contains("8081"), "{why:#}");
        assert!(world.floe(&["alloc", "status", &failed]).ok().contains("8081"));
        drop(holder);
    });
}

#[test]
fn many_dynamic_ports_are_all_different() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web").copies(6).dynamic_port("second", 9000).dynamic_port("third", 0);
        let allocs = agent.api().run(&job);
        let mut ports = Vec::new();
        for alloc in &allocs {
            let full = agent.api().alloc(&id(alloc));
            let own: Vec<u16> = ["http", "second", "third"].iter().map(|l| port(&full, l)).collect();
            assert_eq!(wait_page(HOST, own[0]).trim(), id(alloc));
            ports.extend(own);
        }
        assert!(ports.iter().all(|p| (20_000..=32_000).contains(p)), "{ports:?}");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 18);
    });
}

#[test]
fn a_port_goes_from_one_version_to_the_next() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web").group(|g| g["Networks"][0]["DynamicPorts"] = Value::Null).static_port("http", 8080, 8080);
        let first = agent.api().run_one(&job);
        assert_eq!(wait_page(HOST, 8080).trim(), first);
        let second = agent.api().run_one(&job.task(|t| t["Env"] = serde_json::json!({ "edition": "2" })));
        assert_ne!(first, second);
        eventually("the second serves", || page(HOST, 8080).filter(|p| p.trim() == second));
        assert_eq!(agent.api().alloc(&first)["ClientStatus"], "complete");
    });
}
