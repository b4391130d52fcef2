//! Addresses of this machine, as a configuration names them: by themselves, by the network that they are in, or by their interface.
//!
//! | form | is |
//! |---|---|
//! | `10.0.1.2`, `fd00::2` | that address |
//! | `10.0.0.0/16` | the address that this machine has in the network |
//! | `{{ GetInterfaceIP "enp7s0" }}` | the address of the interface, as Nomad's configurations write it; of IPv4, if it has one |
//!
//! A machine that has none or several of what is asked for is told so: an agent that took any of them would be reached by luck.

use anyhow::{Context, anyhow, bail};
use nix::ifaddrs::getifaddrs;
use std::net::IpAddr;

/// Where an address comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Ip(IpAddr),
    Network { address: IpAddr, bits: u32 },
    Interface(String),
}

/// What this machine has: interfaces with an address each.
pub(super) enum Machine {
    /// This one, as it is now.
    This,
    /// One that is not looked at: a configuration is only checked. [`STAND_IN`] stands for what it will have.
    Another,
}

/// An address that is nobody's (RFC 5737).
const STAND_IN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

impl Machine {
    /// The address that `text` names; `option` is where it stands.
    pub(super) fn address(&self, option: &str, text: &str) -> anyhow::Result<IpAddr> {
        let place = parse(text).with_context(|| format!("{option} {text:?}"))?;
        match (place, self) {
            (Place::Ip(ip), _) => Ok(ip),
            (_, Machine::Another) => Ok(STAND_IN),
            (place, Machine::This) => {
                let all = interfaces().with_context(|| format!("{option} {text:?}"))?;
                find(&place, &all).map_err(|why| anyhow!("{option} {text:?}: {why}"))
            }
        }
    }
}

/// Whether a text names an address in one of the forms that are looked up.
pub(super) fn is_looked_up(text: &str) -> bool {
    text.contains('/') || text.contains("{{")
}

fn parse(text: &str) -> anyhow::Result<Place> {
    if let Ok(ip) = text.parse() {
        return Ok(Place::Ip(ip));
    }
    if let Some((address, bits)) = text.split_once('/') {
        let (address, bits): (IpAddr, u32) =
            (address.parse().context("is no network: write ADDRESS/BITS")?, bits.parse().context("is no network")?);
        if bits > width(address) {
            bail!("is no network: {address} has {} bits", width(address));
        }
        return Ok(Place::Network { address, bits });
    }
    if let Some(inner) = text.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}")) {
        let name = inner.trim().strip_prefix("GetInterfaceIP").map(str::trim).and_then(|t| t.strip_prefix('"')?.strip_suffix('"'));
        return match name {
            Some(name) if !name.is_empty() && !name.contains('"') => Ok(Place::Interface(name.to_owned())),
            _ => {
                bail!("not supported yet: {}; write an address, a network (10.0.0.0/16), or {{{{ GetInterfaceIP \"NAME\" }}}}", text.trim())
            }
        };
    }
    bail!("is not an IP address, nor a network (10.0.0.0/16), nor {{{{ GetInterfaceIP \"NAME\" }}}}")
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address of a place among those of a machine's interfaces, or why there is not just one.
fn find(place: &Place, all: &[(String, IpAddr)]) -> Result<IpAddr, String> {
    let mut found: Vec<IpAddr> = match place {
        Place::Ip(ip) => vec![*ip],
        Place::Network { address, bits } => all.iter().map(|(_, ip)| *ip).filter(|ip| is_in(*ip, *address, *bits)).collect(),
        Place::Interface(name) => {
            if !all.iter().any(|(known, _)| known == name) {
                let mut names: Vec<&str> = all.iter().map(|(known, _)| known.as_str()).collect();
                names.dedup();
                return Err(format!("this machine has no interface {name:?} with an address; it has {}", names.join(", ")));
            }
            let own: Vec<IpAddr> = all.iter().filter(|(known, ip)| known == name && !is_link_local(*ip)).map(|(_, ip)| *ip).collect();
            let v4: Vec<IpAddr> = own.iter().copied().filter(IpAddr::is_ipv4).collect();
            if v4.is_empty() { own } else { v4 }
        }
    };
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let has = all.iter().map(|(name, ip)| format!("{ip} ({name})")).collect::<Vec<_>>().join(", ");
            Err(format!("this machine has no such address; it has {has}"))
        }
        several => {
            let names = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(format!("this machine has several such addresses: {names}; name the one that is meant"))
        }
    }
}

fn is_in(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    };
    ip.is_ipv4() == network.is_ipv4() && (bits == 0 || (number(ip) ^ number(network)) >> (128 - bits) == 0)
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn interfaces() -> anyhow::Result<Vec<(String, IpAddr)>> {
    let all = getifaddrs().context("look at this machine's interfaces")?;
    let address = |address: &nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    };
    Ok(all.filter_map(|i| Some((i.interface_name, address(&i.address?)?))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn machine() -> Vec<(String, IpAddr)> {
        [
            ("lo", "127.0.0.1"),
            ("eth0", "192.0.2.7"),
            ("eth0", "fe80::1"),
            ("eth0", "2001:db8::7"),
            ("enp7s0", "10.0.1.2"),
            ("wg0", "fd00::2"),
        ]
        .into_iter()
        .chain([("two", "10.9.0.1"), ("two", "10.9.0.2"), ("ll", "fe80::2")])
        .map(|(name, ip)| (name.to_owned(), ip.parse().unwrap()))
        .collect()
    }

    fn found(text: &str) -> Result<String, String> {
        find(&parse(text).map_err(|e| format!("{e:#}"))?, &machine()).map(|ip| ip.to_string())
    }

    #[test]
    fn an_address_is_found_by_network_and_interface() {
        for (text, ip) in [
            ("10.0.0.0/16", "10.0.1.2"),
            ("10.0.1.2/32", "10.0.1.2"),
            ("192.0.0.0/8", "192.0.2.7"),
            ("fd00::/8", "fd00::2"),
            ("{{ GetInterfaceIP \"enp7s0\" }}", "10.0.1.2"),
            ("{{GetInterfaceIP  \"eth0\"}}", "192.0.2.7"),
            ("{{ GetInterfaceIP \"wg0\" }}", "fd00::2"),
            ("203.0.113.1", "203.0.113.1"),
        ] {
            assert_eq!(found(text).as_deref(), Ok(ip), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_one_is_said() {
        for (text, words) in [
            ("10.8.0.0/16", "no such address; it has 127.0.0.1 (lo)"),
            ("10.9.0.0/24", "several such addresses: 10.9.0.1, 10.9.0.2"),
            ("0.0.0.0/0", "several"),
            ("{{ GetInterfaceIP \"two\" }}", "several"),
            ("{{ GetInterfaceIP \"ll\" }}", "no such address"),
            ("{{ GetInterfaceIP \"eth9\" }}", "no interface \"eth9\" with an address; it has lo, eth0, enp7s0, wg0, two, ll"),
            ("{{ GetPrivateIP }}", "not supported yet: {{ GetPrivateIP }}"),
            ("{{ GetInterfaceIP }}", "not supported yet"),
            ("10.0.0.0/33", "has 32 bits"),
            ("10.0.0/8", "is no network"),
            ("here", "is not an IP address"),
        ] {
            let said = found(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }

    #[test]
    fn this_machine_has_loopback_and_another_one_is_not_looked_at() {
        let at = |machine: Machine, text: &str| machine.address("bind_addr", text);
        assert_eq!(at(Machine::This, "127.0.0.0/8").unwrap().to_string(), "127.0.0.1");
        assert_eq!(at(Machine::Another, "10.77.0.0/16").unwrap(), STAND_IN);
        let said = format!("{:#}", at(Machine::Another, "nonsense").unwrap_err());
        assert!(said.starts_with("bind_addr \"nonsense\": is not an IP address"), "{said}");
    }
}
