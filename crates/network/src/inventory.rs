//! What of ours exists in the kernel, and how that compares with what should.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use crate::attachment::{Attachment, Port, PortMap};
use crate::config::NetworkConfig;
use crate::error::{KernelError, OpenError};
use crate::kernel::Kernel;
use crate::netns;
use crate::plan;

/// Everything that a network with this configuration has in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Whether the bridge exists.
    pub bridge: bool,
    /// Whether the nftables table exists.
    pub table: bool,
    /// Links on the host that lead to allocations, sorted.
    pub links: Vec<String>,
    /// Names in the directory of the namespaces, sorted.
    pub namespaces: Vec<String>,
    /// The published ports, sorted.
    pub port_maps: Vec<PublishedPort>,
}

/// An element of the port maps in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    /// The attachment's id, from the element's comment.
    pub owner: String,
    /// Where packets are sent.
    pub address: Ipv4Addr,
    /// The ports.
    pub map: PortMap,
}

impl Inventory {
    /// Looks at the kernel without a [`Network`](crate::Network), on a thread of its own.
    ///
    /// # Errors
    /// When the configuration makes no sense or the kernel does not answer.
    pub async fn observe(config: &NetworkConfig) -> Result<Self, OpenError> {
        config.validate()?;
        let config = config.clone();
        let (reply, answer) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("floe-net-audit".into())
            .spawn(move || {
                // Nobody may be waiting any more.
                drop(reply.send(observe_here(&config)));
            })
            .map_err(|e| KernelError::refused("start a thread for the inventory", e))?;
        answer.await.map_err(|_| OpenError::Unavailable(crate::error::Unavailable::Closed))?
    }

    /// Whether nothing of ours exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn take(kernel: &mut Kernel, config: &NetworkConfig) -> Result<Self, KernelError> {
        let host = kernel.observe()?;
        let mut links: Vec<String> = plan::our_links(config, &host).collect();
        links.sort();
        let published = |(owner, address, port)| PublishedPort { owner, address, map: port_map(port) };
        let mut port_maps: Vec<_> = kernel.port_maps(&config.table)?.into_iter().map(published).collect();
        port_maps.sort();
        Ok(Self {
            bridge: host.link(&config.bridge).is_some(),
            table: kernel.has_table(&config.table)?,
            links,
            namespaces: netns::list(&config.netns_dir)?,
            port_maps,
        })
    }
}

fn observe_here(config: &NetworkConfig) -> Result<Inventory, OpenError> {
    if let Some(path) = &config.host_netns {
        netns::enter_host(path).map_err(|source| OpenError::HostNamespace { path: path.clone(), source })?;
    }
    Ok(Inventory::take(&mut Kernel::open()?, config)?)
}

fn port_map(port: Port) -> PortMap {
    PortMap {
        host_ip: port.host_ip.map(Into::into),
        host_port: port.host_port,
        container_port: port.container_port,
        protocol: port.protocol,
    }
}

/// One thing in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The bridge.
    Bridge,
    /// The nftables table.
    Table,
    /// A link on the host.
    Link(String),
    /// A named namespace.
    Namespace(String),
    /// A published port.
    PortMap(PublishedPort),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => f.write_str("the bridge"),
            Self::Table => f.write_str("the nftables table"),
            Self::Link(name) => write!(f, "the link {name}"),
            Self::Namespace(name) => write!(f, "the network namespace {name}"),
            Self::PortMap(p) => {
                write!(f, "the port map {}/{} of {}", p.map.host_port, p.map.protocol, p.owner)
            }
        }
    }
}

/// The kernel compared with the attachments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// What exists and belongs to nobody.
    pub leaked: Vec<Object>,
    /// What should exist and does not; opening the network again repairs it.
    pub missing: Vec<Object>,
    /// Links of detached allocations that the kernel has not collected yet.
    pub retiring: Vec<String>,
    /// What was compared.
    pub inventory: Inventory,
}

impl Audit {
    /// Whether the kernel holds exactly what it should.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.leaked.is_empty() && self.missing.is_empty()
    }
}

/// Compares what exists with what should: pure.
pub(crate) fn compare<'a>(
    inventory: Inventory,
    attachments: impl Iterator<Item = (&'a Attachment, &'a [Port])>,
    retiring: &BTreeSet<String>,
) -> Audit {
    let (mut links, mut namespaces, mut port_maps) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (attachment, ports) in attachments {
        namespaces.insert(attachment.id.clone());
        let Some(link) = &attachment.link else { continue };
        links.insert(link.host_interface.clone());
        port_maps.extend(ports.iter().map(|port| PublishedPort {
            owner: attachment.id.clone(),
            address: link.address,
            map: port_map(*port),
        }));
    }
    // One that the kernel has collected, but that nobody was told about yet, is gone all the same.
    let on_their_way = inventory.links.iter().filter(|link| retiring.contains(*link));
    let mut audit = Audit { retiring: on_their_way.cloned().collect(), ..Audit::default() };
    if !inventory.bridge {
        audit.missing.push(Object::Bridge);
    }
    if !inventory.table {
        audit.missing.push(Object::Table);
    }
    let present = inventory.links.iter().filter(|l| !retiring.contains(*l)).cloned().collect();
    differ(&mut audit, &links, &present, Object::Link);
    let present = inventory.namespaces.iter().cloned().collect();
    differ(&mut audit, &namespaces, &present, Object::Namespace);
    let present = inventory.port_maps.iter().cloned().collect();
    differ(&mut audit, &port_maps, &present, Object::PortMap);
    audit.inventory = inventory;
    audit
}

fn differ<T: Ord + Clone>(audit: &mut Audit, wanted: &BTreeSet<T>, present: &BTreeSet<T>, object: impl Fn(T) -> Object) {
    audit.leaked.extend(present.difference(wanted).cloned().map(&object));
    audit.missing.extend(wanted.difference(present).cloned().map(&object));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use crate::attachment::{INTERFACE, Link, Protocol};

    fn port() -> Port {
        Port { protocol: Protocol::Tcp, host_port: 80, host_ip: None, container_port: 8080 }
    }

    fn attachment() -> Attachment {
        Attachment {
            id: "a".into(),
            netns: "/run/floe/netns/a".into(),
            link: Some(Link {
                interface: INTERFACE.into(),
                host_interface: "fl0".into(),
                address: Ipv4Addr::new(10, 0, 0, 2),
                gateway: Ipv4Addr::new(10, 0, 0, 1),
                prefix_len: 24,
            }),
            ports: vec![port_map(port())],
        }
    }

    fn right() -> Inventory {
        let address = Ipv4Addr::new(10, 0, 0, 2);
        Inventory {
            bridge: true,
            table: true,
            links: vec!["fl0".into()],
            namespaces: vec!["a".into()],
            port_maps: vec![PublishedPort { owner: "a".into(), address, map: port_map(port()) }],
        }
    }

    fn audit(inventory: Inventory) -> Audit {
        let (attachment, ports) = (attachment(), [port()]);
        compare(inventory, [(&attachment, &ports[..])].into_iter(), &BTreeSet::new())
    }

    #[test]
    fn equal_sides_are_clean() {
        assert!(audit(right()).is_clean());
    }

    #[test]
    fn what_belongs_to_nobody_is_leaked() {
        let attachments: [(&Attachment, &[Port]); 0] = [];
        let audit = compare(right(), attachments.into_iter(), &BTreeSet::new());
        let leaked: Vec<String> = audit.leaked.iter().map(ToString::to_string).collect();
        assert_eq!(leaked, ["the link fl0", "the network namespace a", "the port map 80/tcp of a"]);
    }

    #[test]
    fn what_is_not_there_is_missing() {
        let audit = audit(Inventory::default());
        assert_eq!(audit.missing.len(), 5);
        assert!(audit.leaked.is_empty());
    }

    #[test]
    fn a_link_on_its_way_out_is_no_leak() {
        let attachments: [(&Attachment, &[Port]); 0] = [];
        let inventory = Inventory { namespaces: vec![], port_maps: vec![], ..right() };
        let retiring = BTreeSet::from(["fl0".to_owned()]);
        let audit = compare(inventory, attachments.into_iter(), &retiring);
        assert!(audit.is_clean());
        assert_eq!(audit.retiring, ["fl0"]);
    }
}
