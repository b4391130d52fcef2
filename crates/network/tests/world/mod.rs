//! A private host for one test: its own network namespace with an uplink to a namespace that plays the
//! outside. The machine's own network is never touched, and dropping the world checks that nothing of it
//! is left.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use floe_network::{AttachRequest, Attachment, Inventory, Network, NetworkConfig, OpenReport, PortMap, Protocol};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// The host's address on its uplink.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The outside's address.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// How long a packet that should arrive may take.
const ARRIVES: Duration = Duration::from_secs(5);
/// How long to wait for a packet that should not.
const STAYS_AWAY: Duration = Duration::from_millis(300);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One test's host.
pub(crate) struct World {
    pub(crate) config: NetworkConfig,
    directory: PathBuf,
    before: Machine,
}

/// What the machine itself holds, to be compared before and after.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    links: BTreeSet<String>,
    tables: String,
    ip_forward: String,
}

impl Machine {
    fn observe() -> Self {
        let links = std::fs::read_dir("/sys/class/net").unwrap();
        Self {
            links: links.map(|l| l.unwrap().file_name().into_string().unwrap()).collect(),
            tables: run("nft", &["list", "tables"]),
            ip_forward: std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(),
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        for (tool, package) in [("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")] {
            let found = Command::new(tool).arg("--version").output().is_ok();
            assert!(found, "these tests need `{tool}`: install {package}");
        }
        assert!(nix::unistd::geteuid().is_root(), "these tests need root");
        let before = Machine::observe();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = PathBuf::from(format!("/run/floe-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let config =
            NetworkConfig { netns_dir: directory.join("netns"), host_netns: Some(directory.join("host")), ..NetworkConfig::default() };
        let world = Self { config, directory, before };
        world.lay_cables();
        world
    }

    fn lay_cables(&self) {
        create_netns(&self.host());
        create_netns(&self.outside());
        self.ip("link set lo up");
        self.ip("link add up0 type veth peer name ext0");
        let outside = File::open(self.outside()).unwrap();
        let fd = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&outside));
        self.ip(&format!("link set ext0 netns {fd}"));
        self.ip(&format!("addr add {HOST}/24 dev up0"));
        self.ip("link set up0 up");
        for command in ["link set lo up", &format!("addr add {OUTSIDE}/24 dev ext0"), "link set ext0 up"] {
            run_in(&self.outside(), &format!("ip {command}"));
        }
    }

    pub(crate) fn host(&self) -> PathBuf {
        self.directory.join("host")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.directory.join("outside")
    }

    /// Runs `ip` on the host.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        run_in(&self.host(), &format!("ip {arguments}"))
    }

    /// Runs `nft` on the host.
    pub(crate) fn nft(&self, command: &str) -> String {
        run_in(&self.host(), &format!("nft '{command}'"))
    }

    /// Plants a namespace in the directory of the namespaces, as a killed agent leaves it.
    pub(crate) fn plant_netns(&self, name: &str) -> PathBuf {
        std::fs::create_dir_all(&self.config.netns_dir).unwrap();
        let path = self.config.netns_dir.join(name);
        create_netns(&path);
        path
    }

    pub(crate) async fn open(&self, known: &[Attachment]) -> (Network, OpenReport) {
        Network::open(self.config.clone(), known).await.unwrap()
    }

    pub(crate) async fn inventory(&self) -> Inventory {
        Inventory::observe(&self.config).await.unwrap()
    }

    /// The mounts below this world's directory of namespaces.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let place = self.config.netns_dir.to_str().unwrap().to_owned();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.lines().filter(|l| l.contains(&place)).map(str::to_owned).collect()
    }
}

impl Drop for World {
    /// Takes down what this world made, and nothing else, also after a failed test; then checks that a
    /// test that passed had left nothing for it to do.
    fn drop(&mut self) {
        let left_mounts = self.mounts();
        let left_names: Vec<PathBuf> =
            std::fs::read_dir(&self.config.netns_dir).map(|names| names.map(|n| n.unwrap().path()).collect()).unwrap_or_default();
        for path in left_names.iter().chain([&self.host(), &self.outside()]) {
            // A name may be left without its namespace.
            let _ = umount2(path, MntFlags::MNT_DETACH);
            let _ = std::fs::remove_file(path);
        }
        let _ = std::fs::remove_dir(&self.config.netns_dir);
        let _ = std::fs::remove_dir(&self.directory);
        if std::thread::panicking() {
            return;
        }
        assert!(left_mounts.is_empty() && left_names.is_empty(), "left: {left_mounts:?} {left_names:?}");
        assert!(!self.directory.exists(), "{} is left", self.directory.display());
        assert_eq!(Machine::observe(), self.before, "the machine was touched");
    }
}

/// The kernel holds exactly what the network says.
pub(crate) async fn check_clean(network: &Network) {
    let audit = network.audit().await.unwrap();
    assert!(audit.is_clean(), "{audit:?}");
}

/// Removes what a test has opened and checks that nothing of it is left in the host.
pub(crate) async fn close(world: &World, network: &Network) {
    network.close().await.unwrap();
    let inventory = world.inventory().await;
    assert!(inventory.is_empty(), "{inventory:?}");
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a shell command in a namespace.
pub(crate) fn run_in(netns: &Path, command: &str) -> String {
    run("nsenter", &[&format!("--net={}", netns.display()), "sh", "-c", command])
}

fn create_netns(path: &Path) {
    File::create_new(path).unwrap();
    let path = path.to_owned();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let own = Some("/proc/thread-self/ns/net");
        mount(own, &path, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    })
    .join()
    .unwrap();
}

/// Does something in a namespace, on a thread of its own.
pub(crate) fn inside<T: Send + 'static>(netns: &Path, job: impl FnOnce() -> T + Send + 'static) -> T {
    let file = File::open(netns).unwrap();
    std::thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        job()
    })
    .join()
    .unwrap()
}

pub(crate) fn port(host_ip: Option<Ipv4Addr>, host_port: u16, container_port: u16, protocol: Protocol) -> PortMap {
    PortMap { host_ip: host_ip.map(Into::into), host_port, container_port, protocol }
}

pub(crate) fn tcp(host_port: u16) -> PortMap {
    port(None, host_port, 80, Protocol::Tcp)
}

pub(crate) fn udp(host_port: u16) -> PortMap {
    port(None, host_port, 80, Protocol::Udp)
}

pub(crate) fn request(id: &str, ports: &[PortMap]) -> AttachRequest {
    AttachRequest { id: id.into(), ports: ports.to_vec() }
}

pub(crate) fn address(attachment: &Attachment) -> Ipv4Addr {
    attachment.link.as_ref().unwrap().address
}

/// Serves TCP and UDP in a namespace until the test ends: every line is answered with the server's
/// name and the client's address as the server sees it.
pub(crate) fn serve(netns: &Path, name: &str, at: u16) {
    let name = name.to_owned();
    inside(netns, move || {
        let (listener, socket) = (TcpListener::bind(("0.0.0.0", at)).unwrap(), UdpSocket::bind(("0.0.0.0", at)).unwrap());
        let tcp_name = name.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let name = tcp_name.clone();
                std::thread::spawn(move || answer_lines(stream, &name));
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                drop(socket.send_to(format!("{name} sees {}", peer.ip()).as_bytes(), peer));
            }
        });
    });
}

fn answer_lines(mut stream: TcpStream, name: &str) {
    let Ok(peer) = stream.peer_addr() else { return };
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|n| n == 1) {
        if byte == *b"\n" && stream.write_all(format!("{name} sees {}\n", peer.ip()).as_bytes()).is_err() {
            return;
        }
    }
}

/// Sends one line on a connection and returns the answer's.
pub(crate) fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(ARRIVES))?;
    stream.write_all(b"\n")?;
    let (mut line, mut byte) = (Vec::new(), [0]);
    while byte != *b"\n" {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

/// What a server answers by TCP to a client in this namespace, or why it does not.
pub(crate) fn tcp_from(netns: &Path, to: (Ipv4Addr, u16)) -> Result<String, String> {
    connect(netns, to, ARRIVES).and_then(|mut s| ask(&mut s).map_err(|e| e.to_string()))
}

/// A connection from this namespace.
pub(crate) fn connect(netns: &Path, to: (Ipv4Addr, u16), patience: Duration) -> Result<TcpStream, String> {
    let to = SocketAddr::from(to);
    inside(netns, move || TcpStream::connect_timeout(&to, patience)).map_err(|e| e.to_string())
}

/// What a server answers by UDP to a client in this namespace.
pub(crate) fn udp_from(netns: &Path, to: (Ipv4Addr, u16)) -> Result<String, String> {
    inside(netns, move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        udp_ask(&socket, to, ARRIVES)
    })
}

/// One question and its answer by UDP.
pub(crate) fn udp_ask(socket: &UdpSocket, to: (Ipv4Addr, u16), patience: Duration) -> Result<String, String> {
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut buffer = [0; 64];
    socket.send_to(b"?", SocketAddr::from(to)).map_err(|e| e.to_string())?;
    let (length, _) = socket.recv_from(&mut buffer).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Asserts that nobody answers, neither by TCP nor by UDP.
pub(crate) fn assert_unreachable(netns: &Path, to: (Ipv4Addr, u16)) {
    assert!(connect(netns, to, STAYS_AWAY).is_err(), "{to:?} answers by tcp");
    let answer = inside(netns, move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        udp_ask(&socket, to, STAYS_AWAY)
    });
    assert!(answer.is_err(), "{to:?} answers by udp: {answer:?}");
}
