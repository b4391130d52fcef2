//! Carries out: the sockets of the host's namespace and the operations on them.
//!
//! Blocking, for the network's own threads. Nothing here decides what should exist.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;

use crate::attachment::{Attachment, INTERFACE, Link, Port};
use crate::config::NetworkConfig;
use crate::conntrack::{self, Stale};
use crate::error::KernelError;
use crate::host;
use crate::names;
use crate::netlink::{Channel, Family, Request};
use crate::netns::Namespace;
use crate::nft::{self, Element, Ruleset};
use crate::plan::{BridgeStep, Observed};
use crate::rtnl::{self, LOOPBACK_INDEX, LinkState, Pair};

/// How many connections are deleted in one call, so that the acknowledgements fit the receive buffer.
const DELETIONS_PER_CALL: usize = 64;

/// How often the port maps are read while the kernel moves them, and how long it is left to do so in between.
const LISTINGS: usize = 100;
const LIST_AGAIN: Duration = Duration::from_millis(10);

/// The kernel as seen from the namespace that plays the host.
pub(crate) struct Kernel {
    route: Channel,
    netfilter: Channel,
}

impl Kernel {
    /// Opens the sockets in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, KernelError> {
        Ok(Self { route: Channel::open(Family::Route)?, netfilter: Channel::open(Family::Netfilter)? })
    }

    /// Links, addresses and routes of the host.
    pub(crate) fn observe(&mut self) -> Result<Observed, KernelError> {
        observe(&mut self.route)
    }

    /// One link of the host, if it exists.
    pub(crate) fn find_link(&mut self, name: &str) -> Result<Option<LinkState>, KernelError> {
        find_link(&mut self.route, name)
    }

    /// Does one thing about the bridge.
    pub(crate) fn set_bridge(&mut self, config: &NetworkConfig, step: &BridgeStep) -> Result<(), KernelError> {
        let gateway = config.subnet.gateway();
        let mac = names::hardware_address(gateway);
        let request = match step {
            BridgeStep::Create => rtnl::create_bridge(&config.bridge, mac, config.mtu),
            BridgeStep::Configure => rtnl::configure_bridge(&config.bridge, mac, config.mtu),
            BridgeStep::DeleteAddress(address) => rtnl::delete_address(address),
            BridgeStep::AddAddress => {
                let index = self.find_link(&config.bridge)?.map_or(0, |bridge| bridge.index);
                rtnl::add_address(index, gateway, config.subnet.prefix_len())
            }
        };
        self.route.call(&[request])
    }

    /// Makes the pair that leads from the bridge into the namespace, and everything in the namespace.
    pub(crate) fn connect(
        &mut self,
        config: &NetworkConfig,
        attachment: &Attachment,
        link: &Link,
        bridge: u32,
        netns: &mut Namespace,
    ) -> Result<(), KernelError> {
        let pair = Pair {
            host_interface: &link.host_interface,
            bridge,
            netns: netns.file.as_fd(),
            mac: names::hardware_address(link.address),
            mtu: config.mtu,
        };
        // Two calls: should the name belong to somebody else, nothing of theirs may be configured.
        self.route.call(&[rtnl::create_pair(&pair)])?;
        self.reconnect(config, attachment, link, bridge, netns)
    }

    /// Sets again everything about a pair that exists; what is right stays as it is.
    pub(crate) fn reconnect(
        &mut self,
        config: &NetworkConfig,
        attachment: &Attachment,
        link: &Link,
        bridge: u32,
        netns: &mut Namespace,
    ) -> Result<(), KernelError> {
        let alias = names::alias(&config.bridge, &attachment.id);
        host::disable_ipv6(&link.host_interface)?;
        let name = &link.host_interface;
        self.route.call(&[rtnl::enslave(name, bridge), rtnl::configure_port(name, &alias, config.hairpin)])?;
        furnish(&mut netns.channel, Some(link))?;
        // Last: a port whose other end is up already forwards at once, and not only when the kernel has
        // noticed the change.
        self.route.call(&[rtnl::raise(name)])
    }

    /// Deletes a link, if it exists.
    pub(crate) fn delete_link(&mut self, name: &str) -> Result<(), KernelError> {
        match self.route.call(&[rtnl::delete_link(name)]) {
            Err(e) if e.is(Errno::ENODEV) => Ok(()),
            other => other,
        }
    }

    /// Replaces our table, with these port maps, in one transaction.
    pub(crate) fn rebuild_table(&mut self, config: &NetworkConfig, elements: &[Element<'_>]) -> Result<(), KernelError> {
        let ruleset = Ruleset { table: &config.table, bridge: &config.bridge, subnet: config.subnet };
        self.netfilter.transaction(&ruleset.rebuild(elements))
    }

    /// Adds port maps, all or none.
    pub(crate) fn add_port_maps(&mut self, table: &str, elements: &[Element<'_>]) -> Result<(), KernelError> {
        self.netfilter.transaction(&nft::add_elements(table, elements))
    }

    /// Deletes port maps, whether or not they exist.
    pub(crate) fn delete_port_maps(&mut self, table: &str, elements: &[Element<'_>]) -> Result<(), KernelError> {
        let gone = |result: Result<(), KernelError>| match result {
            Err(e) if e.is(Errno::ENOENT) => Ok(false),
            other => other.map(|()| true),
        };
        if gone(self.netfilter.transaction(&nft::delete_elements(table, elements)))? {
            return Ok(());
        }
        // One was missing, so none was deleted: one at a time, then.
        for element in elements {
            let requests = nft::delete_elements(table, std::slice::from_ref(element));
            gone(self.netfilter.transaction(&requests))?;
        }
        Ok(())
    }

    /// Deletes our table, if it exists.
    pub(crate) fn delete_table(&mut self, table: &str) -> Result<(), KernelError> {
        match self.netfilter.transaction(&[nft::delete_table(table)]) {
            Err(e) if e.is(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }

    /// Whether our table exists.
    pub(crate) fn has_table(&mut self, table: &str) -> Result<bool, KernelError> {
        let tables = self.netfilter.query(&nft::dump_tables(), |_, p| nft::parse_table(p))?;
        Ok(tables.iter().any(|name| name == table))
    }

    /// The port maps of our table; none when there is no table.
    ///
    /// After many were added the kernel moves them to a larger hash table, and what is read meanwhile has some of them twice and others not
    /// at all. That is over in moments.
    pub(crate) fn port_maps(&mut self, table: &str) -> Result<Vec<(String, Ipv4Addr, Port)>, KernelError> {
        for _ in 0..LISTINGS {
            let found = self.list_port_maps(table)?;
            let mut seen = BTreeSet::new();
            if found.iter().all(|(_, _, port)| seen.insert((port.protocol, port.host_ip, port.host_port))) {
                return Ok(found);
            }
            std::thread::sleep(LIST_AGAIN);
        }
        Err(KernelError::refused("list the port maps: the kernel keeps moving them", Errno::EAGAIN))
    }

    fn list_port_maps(&mut self, table: &str) -> Result<Vec<(String, Ipv4Addr, Port)>, KernelError> {
        let mut found = Vec::new();
        for request in nft::dump_elements(table) {
            match self.netfilter.query(&request, |_, p| Some(nft::parse_elements(p))) {
                Ok(lists) => found.extend(lists.into_iter().flatten()),
                Err(e) if e.is(Errno::ENOENT) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    /// Makes the kernel forget connections; returns how many.
    pub(crate) fn forget(&mut self, stale: &[Stale]) -> Result<usize, KernelError> {
        let addresses = self.route.query(&rtnl::dump_addresses(), rtnl::parse_address)?;
        let local: Vec<Ipv4Addr> = addresses.into_iter().map(|a| a.address).collect();
        let covered = |payload: &[u8]| {
            let connection = conntrack::parse_connection(payload)?;
            let found = stale.iter().any(|s| s.covers(&connection, &local));
            found.then(|| conntrack::delete_connection(&connection))
        };
        let requests = self.netfilter.query(&conntrack::dump_connections(), |_, p| covered(p))?;
        for chunk in requests.chunks(DELETIONS_PER_CALL) {
            match self.netfilter.call(chunk) {
                // It ended by itself in the meantime.
                Err(e) if e.is(Errno::ENOENT) => {}
                other => other?,
            }
        }
        Ok(requests.len())
    }

    /// The chains of all tables through which forwarded packets pass.
    pub(crate) fn forward_chains(&mut self) -> Result<Vec<nft::ForwardChain>, KernelError> {
        self.netfilter.query(&nft::dump_chains(), |_, p| nft::parse_forward_chain(p))
    }
}

/// Links, addresses and routes of a socket's namespace.
pub(crate) fn observe(channel: &mut Channel) -> Result<Observed, KernelError> {
    Ok(Observed {
        links: channel.query(&rtnl::dump_links(), rtnl::parse_link)?,
        addresses: channel.query(&rtnl::dump_addresses(), rtnl::parse_address)?,
        routes: channel.query(&rtnl::dump_routes(), rtnl::parse_route)?,
    })
}

/// Brings up what is in an allocation's namespace: the loopback and, with a link, `eth0`, its address
/// and the default route. Repeating it changes nothing.
pub(crate) fn furnish(channel: &mut Channel, link: Option<&Link>) -> Result<(), KernelError> {
    let mut requests: Vec<Request> = vec![rtnl::bring_up(LOOPBACK_INDEX)];
    if let Some(link) = link {
        silence(channel, INTERFACE)?;
        let missing = || KernelError::refused(format!("find the link {INTERFACE}"), Errno::ENODEV);
        let index = find_link(channel, INTERFACE)?.ok_or_else(missing)?.index;
        requests.extend([
            rtnl::add_address(index, link.address, link.prefix_len),
            rtnl::bring_up(index),
            rtnl::add_default_route(link.gateway),
        ]);
    }
    channel.call(&requests)
}

/// Keeps a link from announcing IPv6 addresses; a kernel without IPv6 has nothing to announce.
fn silence(channel: &mut Channel, name: &str) -> Result<(), KernelError> {
    match channel.call(&[rtnl::silence(name)]) {
        Err(e) if e.is(Errno::EAFNOSUPPORT) || e.is(Errno::EOPNOTSUPP) => Ok(()),
        other => other,
    }
}

fn find_link(channel: &mut Channel, name: &str) -> Result<Option<LinkState>, KernelError> {
    match channel.query(&rtnl::get_link(name), rtnl::parse_link) {
        Ok(mut links) => Ok(links.pop()),
        Err(e) if e.is(Errno::ENODEV) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The map elements of one attachment.
pub(crate) fn elements<'a>(id: &'a str, link: &Link, ports: &[Port]) -> Vec<Element<'a>> {
    ports.iter().map(|port| Element { owner: id, address: link.address, port: *port }).collect()
}
