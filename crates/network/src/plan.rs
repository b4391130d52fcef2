//! Decides what must be done so that the kernel holds what it should.
//!
//! Pure: desired (configuration and known attachments) against observed, out come steps. Carrying them
//! out is the business of [`open`](crate::open).

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use crate::attachment::{Attachment, INTERFACE, Link, Port, check_id, check_ports};
use crate::config::{NetworkConfig, Subnet};
use crate::error::OpenError;
use crate::names;
use crate::pool::{AddressPool, ClaimError};
use crate::ports::PortTable;
use crate::rtnl::{AddressState, LOOPBACK_INDEX, LinkState, RouteState};

/// What one network namespace holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    pub(crate) links: Vec<LinkState>,
    pub(crate) addresses: Vec<AddressState>,
    pub(crate) routes: Vec<RouteState>,
}

impl Observed {
    pub(crate) fn link(&self, name: &str) -> Option<&LinkState> {
        self.links.iter().find(|link| link.name == name)
    }

    fn addresses_of(&self, index: u32) -> impl Iterator<Item = &AddressState> {
        self.addresses.iter().filter(move |a| a.link == index)
    }

    fn name_of(&self, index: u32) -> &str {
        self.links.iter().find(|link| link.index == index).map_or("an unknown link", |l| &l.name)
    }
}

/// One thing to do about the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BridgeStep {
    /// It does not exist.
    Create,
    /// It is down, or its hardware address, MTU or multicast snooping is wrong.
    Configure,
    /// It has not got its address.
    AddAddress,
    /// It has an address that is not ours to keep, as after the subnet was changed.
    DeleteAddress(AddressState),
}

/// Why a known attachment cannot be used any longer. What is left of it is removed, and detaching it is
/// harmless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenReason {
    /// The namespace is gone, and every process with it; so it is after a reboot.
    #[error("its network namespace is gone")]
    NamespaceGone,
    /// The configuration has changed under it.
    #[error("its address {address} does not lie in the subnet {subnet}")]
    OutsideSubnet {
        /// The attachment's.
        address: Ipv4Addr,
        /// As configured.
        subnet: Subnet,
    },
    /// Two attachments cannot share an address, a port or an id.
    #[error("it shares its {0} with another attachment")]
    Duplicate(&'static str),
    /// The record itself makes no sense.
    #[error("its record is not usable: {0}")]
    Record(String),
    /// The kernel would not have it repaired.
    #[error("it could not be repaired: {0}")]
    Repair(String),
}

/// A known attachment that cannot be used any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The attachment's id.
    pub id: String,
    /// What is wrong with it.
    pub reason: BrokenReason,
}

/// How a known attachment's connection to the bridge looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wiring {
    /// As it should be.
    Intact,
    /// The pair is there, something about it is not right: setting everything again repairs it, and
    /// connections live on.
    Reconfigure(&'static str),
    /// There is no pair, or it leads elsewhere.
    Rebuild(&'static str),
}

/// The attachments that may stay as far as their records go, and what they hold.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) admitted: Vec<(Attachment, Vec<Port>)>,
    pub(crate) broken: Vec<Broken>,
    pub(crate) pool: AddressPool,
    pub(crate) ports: PortTable,
}

/// The first route or address of the host that shares an address with the subnet, for a message.
pub(crate) fn overlap(config: &NetworkConfig, host: &Observed) -> Option<String> {
    let bridge = host.link(&config.bridge).map(|link| link.index);
    let foreign = |link: Option<u32>| link.is_none() || link != bridge;
    let address = host.addresses.iter().find(|a| foreign(Some(a.link)) && config.subnet.overlaps(Subnet::new(a.address, a.prefix_len)));
    if let Some(a) = address {
        let name = host.name_of(a.link);
        return Some(format!("the address {}/{} of interface {name}", a.address, a.prefix_len));
    }
    let route = host.routes.iter().find(|r| {
        let default = r.destination.prefix_len() == 0;
        !default && foreign(r.link) && config.subnet.overlaps(r.destination)
    })?;
    let way = route.link.map(|index| format!(" by interface {}", host.name_of(index)));
    Some(format!("the route to {}{}", route.destination, way.unwrap_or_default()))
}

/// What to do about the bridge.
pub(crate) fn bridge_steps(config: &NetworkConfig, host: &Observed) -> Result<Vec<BridgeStep>, OpenError> {
    let Some(bridge) = host.link(&config.bridge) else {
        return Ok(vec![BridgeStep::Create, BridgeStep::AddAddress]);
    };
    if bridge.kind != "bridge" {
        let kind = if bridge.kind.is_empty() { "a hardware interface" } else { &bridge.kind };
        return Err(OpenError::NotABridge { name: config.bridge.clone(), kind: kind.into() });
    }
    let mut steps = Vec::new();
    let mac = names::hardware_address(config.subnet.gateway());
    if !bridge.up || bridge.multicast_snooping || bridge.mac != mac || config.mtu.is_some_and(|mtu| mtu != bridge.mtu) {
        steps.push(BridgeStep::Configure);
    }
    let wanted = AddressState { link: bridge.index, address: config.subnet.gateway(), prefix_len: config.subnet.prefix_len() };
    let (right, wrong): (Vec<_>, Vec<_>) = host.addresses_of(bridge.index).partition(|address| **address == wanted);
    steps.extend(wrong.into_iter().copied().map(BridgeStep::DeleteAddress));
    if right.is_empty() {
        steps.push(BridgeStep::AddAddress);
    }
    Ok(steps)
}

/// The links on the host that we made and that no attachment in `keep` uses.
pub(crate) fn leaked_links(config: &NetworkConfig, host: &Observed, keep: &BTreeSet<&str>) -> Vec<String> {
    our_links(config, host).filter(|name| !keep.contains(name.as_str())).collect()
}

/// The links on the host that we made: our name, and either in our bridge or marked as ours.
pub(crate) fn our_links(config: &NetworkConfig, host: &Observed) -> impl Iterator<Item = String> {
    let bridge = host.link(&config.bridge).map(|link| link.index);
    let prefix = names::alias_prefix(&config.bridge);
    host.links
        .iter()
        .filter(move |link| {
            let in_bridge = link.bridge.is_some() && link.bridge == bridge;
            let ours = in_bridge || link.alias.starts_with(&prefix);
            link.kind == "veth" && names::is_host_interface(&link.name) && ours
        })
        .map(|link| link.name.clone())
}

/// Checks the records of the known attachments against the configuration and each other.
pub(crate) fn admit(config: &NetworkConfig, known: &[Attachment]) -> Admission {
    let mut admission =
        Admission { admitted: Vec::new(), broken: Vec::new(), pool: AddressPool::new(config.subnet), ports: PortTable::default() };
    let mut ids = BTreeSet::new();
    for attachment in known {
        let first = ids.insert(attachment.id.as_str());
        match admit_one(config, attachment, first, &mut admission) {
            Ok(ports) => admission.admitted.push((attachment.clone(), ports)),
            Err(reason) => admission.broken.push(Broken { id: attachment.id.clone(), reason }),
        }
    }
    admission
}

fn admit_one(config: &NetworkConfig, attachment: &Attachment, first: bool, admission: &mut Admission) -> Result<Vec<Port>, BrokenReason> {
    let record = |error: &dyn fmt::Display| BrokenReason::Record(error.to_string());
    if !first {
        return Err(BrokenReason::Duplicate("id"));
    }
    check_id(&attachment.id).map_err(|e| record(&e))?;
    let ports = check_ports(&attachment.id, &attachment.ports).map_err(|e| record(&e))?;
    if attachment.netns != config.netns_dir.join(&attachment.id) {
        return Err(record(&format_args!("{} is not its namespace", attachment.netns.display())));
    }
    let Some(link) = &attachment.link else {
        let none = ports.is_empty().then_some(ports);
        return none.ok_or_else(|| record(&"ports without a link"));
    };
    if link.gateway != config.subnet.gateway() || link.prefix_len != config.subnet.prefix_len() {
        let (address, subnet) = (link.address, config.subnet);
        return Err(BrokenReason::OutsideSubnet { address, subnet });
    }
    if !names::is_host_interface(&link.host_interface) || link.interface != INTERFACE {
        return Err(record(&format_args!("{} is not a link of ours", link.host_interface)));
    }
    let same_link = |a: &Link| a.host_interface == link.host_interface;
    if admission.admitted.iter().any(|(a, _)| a.link.as_ref().is_some_and(same_link)) {
        return Err(BrokenReason::Duplicate("link"));
    }
    admission.pool.claim(link.address).map_err(|error| match error {
        ClaimError::Outside => BrokenReason::OutsideSubnet { address: link.address, subnet: config.subnet },
        ClaimError::Taken => BrokenReason::Duplicate("address"),
    })?;
    admission.ports.take(&attachment.id, &ports).map_err(|_| {
        admission.pool.release(link.address);
        BrokenReason::Duplicate("published port")
    })?;
    Ok(ports)
}

/// Compares both ends of a pair with what they should be. `host` is the host's namespace after the
/// bridge was set right, `inside` the attachment's.
pub(crate) fn wiring(config: &NetworkConfig, link: &Link, host: &Observed, inside: &Observed) -> Wiring {
    let Some(outer) = host.link(&link.host_interface) else {
        return Wiring::Rebuild("its link to the bridge was missing");
    };
    let Some(inner) = inside.link(&link.interface) else {
        return Wiring::Rebuild("its interface was missing");
    };
    if inner.peer != Some(outer.index) || outer.peer != Some(inner.index) {
        return Wiring::Rebuild("its interface led elsewhere");
    }
    let bridge = host.link(&config.bridge).map(|bridge| bridge.index);
    if bridge.is_none() || outer.bridge != bridge {
        return Wiring::Reconfigure("its link was not in the bridge");
    }
    let loopback_up = inside.links.iter().any(|l| l.index == LOOPBACK_INDEX && l.up);
    if !outer.up || !inner.up || !loopback_up {
        return Wiring::Reconfigure("an interface was down");
    }
    if outer.hairpin != config.hairpin || outer.alias.is_empty() {
        return Wiring::Reconfigure("its bridge port was not configured");
    }
    let has_address = inside.addresses_of(inner.index).any(|a| (a.address, a.prefix_len) == (link.address, link.prefix_len));
    if !has_address {
        return Wiring::Reconfigure("its address was missing");
    }
    let is_default = |r: &&RouteState| r.destination.prefix_len() == 0;
    if inside.routes.iter().find(is_default).and_then(|r| r.gateway) != Some(link.gateway) {
        return Wiring::Reconfigure("its default route was missing");
    }
    Wiring::Intact
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
