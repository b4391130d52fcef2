//! What the host is like: who we are, which ports its processes hold, what its sysctls say.
//!
//! Everything reads `/proc/thread-self` or `/proc/sys` and so answers for the network namespace of the
//! calling thread, which must be the one that plays the host.

use std::net::{Ipv4Addr, SocketAddrV4};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};

use crate::attachment::{Port, Protocol};
use crate::error::{AttachError, KernelError, PortHolder};

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;

/// The names of the capabilities that this thread lacks, for a message; none when it has all.
pub(crate) fn missing_capabilities() -> Option<String> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    missing_in(&status)
}

fn missing_in(status: &str) -> Option<String> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let missing: Vec<_> = [("CAP_NET_ADMIN", CAP_NET_ADMIN), ("CAP_SYS_ADMIN", CAP_SYS_ADMIN)]
        .into_iter()
        .filter(|(_, bit)| effective & (1 << bit) == 0)
        .map(|(name, _)| name)
        .collect();
    (!missing.is_empty()).then(|| missing.join(" and "))
}

/// Sets a sysctl of this network namespace and returns what it was, when it was something else.
pub(crate) fn set_sysctl(name: &str, value: &str) -> Result<Option<String>, KernelError> {
    let path = format!("/proc/sys/net/ipv4/{name}");
    let refused = |e| KernelError::refused(format!("set the sysctl net/ipv4/{name} to {value}"), e);
    let before = std::fs::read_to_string(&path).map_err(refused)?.trim().to_owned();
    if before == value {
        return Ok(None);
    }
    std::fs::write(&path, value).map_err(refused)?;
    Ok(Some(before))
}

/// Turns IPv6 off on a port of the bridge, which needs none: the bridge and the allocation's end have
/// their own. With it, every port adds a route to the host, and the kernel walks all of them whenever a
/// link comes or goes, so an allocation would cost the more the more there are.
pub(crate) fn disable_ipv6(link: &str) -> Result<(), KernelError> {
    match std::fs::write(format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), "1") {
        // A kernel without IPv6 has nothing to turn off.
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(KernelError::refused(format!("turn IPv6 off on the link {link}"), e)),
        _ => Ok(()),
    }
}

/// The tables of the old iptables in this network namespace, one a line.
pub(crate) fn legacy_tables() -> String {
    std::fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default()
}

/// Finds out whether a process of the host has the port, by binding it and letting go at once.
pub(crate) fn probe(port: &Port) -> Result<(), AttachError> {
    match try_bind(port) {
        Ok(()) => Ok(()),
        Err(Errno::EADDRINUSE) => Err(AttachError::PortInUse {
            port: port.host_port,
            protocol: port.protocol,
            host_ip: port.host_ip.map(Into::into),
            holder: holder(port),
        }),
        Err(Errno::EADDRNOTAVAIL) => Err(AttachError::NotALocalAddress {
            port: port.host_port,
            protocol: port.protocol,
            host_ip: port.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED),
        }),
        Err(e) => {
            let operation = format!("probe port {}/{}", port.host_port, port.protocol);
            Err(KernelError::refused(operation, e).into())
        }
    }
}

fn try_bind(port: &Port) -> Result<(), Errno> {
    let kind = match port.protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let socket = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if port.protocol == Protocol::Tcp {
        // A server that has just ended leaves connections behind which are no obstacle.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    let address = SocketAddrV4::new(port.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED), port.host_port);
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrIn::from(address))
}

/// Names the process that has the port. Only done for a message, so it may look at every process.
fn holder(port: &Port) -> PortHolder {
    let tables: String =
        ["", "6"].iter().filter_map(|v| std::fs::read_to_string(format!("/proc/thread-self/net/{}{v}", port.protocol)).ok()).collect();
    let inodes = socket_inodes(&tables, port.host_port);
    let found = processes().find(|pid| holds_socket(*pid, &inodes));
    found.map_or(PortHolder::UnknownProcess, |pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        PortHolder::Process { pid, name: name.trim().to_owned() }
    })
}

/// The inodes of the sockets bound to a port, in the format of `/proc/net/tcp` and its kin.
fn socket_inodes(table: &str, port: u16) -> Vec<u64> {
    let bound = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (_, local) = fields.nth(1)?.rsplit_once(':')?;
        let inode = fields.nth(7)?.parse().ok()?;
        (u16::from_str_radix(local, 16) == Ok(port) && inode != 0).then_some(inode)
    };
    table.lines().filter_map(bound).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn holds_socket(pid: u32, inodes: &[u64]) -> bool {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|target| {
        let inode = target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.and_then(|i| i.parse().ok()).is_some_and(|i| inodes.contains(&i))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(missing_in("CapEff:\t000001ffffffffff\n"), None);
        assert_eq!(missing_in("CapEff:\t0000000000200000\n").unwrap(), "CAP_NET_ADMIN");
        assert_eq!(missing_in("").unwrap(), "CAP_NET_ADMIN and CAP_SYS_ADMIN");
    }

    #[test]
    fn sockets_are_found_by_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0\n\
            1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4243 1 0\n\
            2: 00000000000000000000000000000000:1F90 00:0000 0A 0:0 00:0 0 0 0 4244 1 0\n";
        assert_eq!(socket_inodes(table, 8080), [4242, 4244]);
        assert_eq!(socket_inodes(table, 80), [4243]);
        assert!(socket_inodes("garbage\n\n: : :", 80).is_empty());
    }

    #[test]
    fn a_bound_port_is_reported_with_its_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host_port = listener.local_addr().unwrap().port();
        let port = Port { protocol: Protocol::Tcp, host_port, host_ip: None, container_port: 80 };
        let AttachError::PortInUse { holder, .. } = probe(&port).unwrap_err() else { panic!() };
        let PortHolder::Process { pid, .. } = holder else { panic!("{holder:?}") };
        assert_eq!(pid, std::process::id());
        drop(listener);
        probe(&port).unwrap();
    }

    #[test]
    fn an_address_of_another_host_is_refused() {
        let host_ip = Some(Ipv4Addr::new(203, 0, 113, 7));
        let port = Port { protocol: Protocol::Udp, host_port: 53, host_ip, container_port: 53 };
        assert!(matches!(probe(&port), Err(AttachError::NotALocalAddress { .. })));
    }
}
