//! Hosts of their own for agents: each a network namespace with one address, all on one wire, which can be cut between any two of them.
//!
//! ```text
//! h1 10.77.0.1 --+-- bridge "wire" in the world's namespace --+-- h2 10.77.0.2
//! ```

use super::{World, ip_batch};
use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::{Command, Stdio},
};

/// A host of a world. It is gone with the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    number: u8,
}

impl World {
    /// A new host. It is there as long as the world.
    pub(crate) fn host(&self) -> Host {
        let mut hosts = self.hosts.lock().unwrap();
        if hosts.is_empty() {
            ip_batch(&[], "link add wire type bridge\nlink set wire up\n");
        }
        let number = u8::try_from(hosts.len() + 1).unwrap();
        let host = Host { number };
        let link = format!("link add w{number} type veth peer name up0 netns h{number}\nlink set w{number} master wire up\n");
        ip_batch(&[], &format!("netns add h{number}\n{link}"));
        let address = format!("addr add {}/24 dev up0\nlink set up0 up\n", host.ip());
        ip_batch(&["-n", &format!("h{number}")], &format!("link set lo up\n{address}"));
        hosts.push(host);
        host
    }

    /// Takes the hosts away, when nothing runs on them any more.
    pub(super) fn remove_hosts(&self) {
        let hosts = std::mem::take(&mut *self.hosts.lock().unwrap());
        for Host { number } in &hosts {
            ip_batch(&[], &format!("link del w{number}\nnetns del h{number}\n"));
        }
        if !hosts.is_empty() {
            ip_batch(&[], "link del wire\n");
        }
    }
}

impl Host {
    /// Its address on the wire.
    pub(crate) fn ip(self) -> IpAddr {
        Ipv4Addr::new(10, 77, 0, self.number).into()
    }

    /// Its network namespace.
    pub(crate) fn netns(self) -> PathBuf {
        format!("/run/netns/h{}", self.number).into()
    }

    /// Runs something on it.
    pub(crate) fn run<T: Send>(self, run: impl FnOnce() -> T + Send) -> T {
        World::inside_of(&self.netns(), run)
    }

    /// From now on it hears nothing from these hosts, and nothing else is cut on its side. They go on hearing what it says.
    pub(crate) fn deafen(self, to: &[Host]) {
        let drops: String = to.iter().map(|host| format!("ip saddr {} drop\n", host.ip())).collect();
        let chain = format!("chain input {{\ntype filter hook input priority 0;\n{drops}}}");
        let rules = format!("table inet cut {{}}\ndelete table inet cut\ntable inet cut {{\n{chain}\n}}\n");
        self.run(|| {
            let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("run nft");
            nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
            assert!(nft.wait().unwrap().success(), "nft could not do:\n{rules}");
        });
    }
}

/// Nothing goes between the two groups any more; what was cut before goes again.
pub(crate) fn cut(all: &[Host], apart: &[(Host, Host)]) {
    for host in all {
        let other = |(a, b): &(Host, Host)| if a == host { Some(*b) } else { (b == host).then_some(*a) };
        host.deafen(&apart.iter().filter_map(other).collect::<Vec<_>>());
    }
}

/// Everything goes again.
pub(crate) fn heal(all: &[Host]) {
    cut(all, &[]);
}
