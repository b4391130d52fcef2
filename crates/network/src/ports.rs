//! Which ports of the host are mapped, and whether one more may be.
//!
//! Pure. The rule is that of `bind`: a port on all addresses excludes the same port on any address.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::attachment::{Port, Protocol};

/// The mapped ports of the host and the attachments that hold them.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    held: BTreeMap<(Protocol, u16), BTreeMap<Option<Ipv4Addr>, String>>,
}

/// A port that somebody else holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) port: Port,
    pub(crate) holder: String,
}

impl PortTable {
    /// Takes all of `ports` for `id`, or none of them.
    pub(crate) fn take(&mut self, id: &str, ports: &[Port]) -> Result<(), Conflict> {
        for (index, port) in ports.iter().enumerate() {
            if let Some(holder) = self.holder(port).map(str::to_owned) {
                let (taken, _) = ports.split_at(index);
                self.release(id, taken);
                return Err(Conflict { port: *port, holder });
            }
            let addresses = self.held.entry((port.protocol, port.host_port)).or_default();
            addresses.insert(port.host_ip, id.to_owned());
        }
        Ok(())
    }

    /// Gives `ports` back where `id` holds them.
    pub(crate) fn release(&mut self, id: &str, ports: &[Port]) {
        for port in ports {
            let key = (port.protocol, port.host_port);
            let Some(addresses) = self.held.get_mut(&key) else { continue };
            if addresses.get(&port.host_ip).is_some_and(|holder| holder == id) {
                addresses.remove(&port.host_ip);
            }
            if addresses.is_empty() {
                self.held.remove(&key);
            }
        }
    }

    fn holder(&self, port: &Port) -> Option<&str> {
        let addresses = self.held.get(&(port.protocol, port.host_port))?;
        let holder = match port.host_ip {
            None => addresses.values().next(),
            Some(_) => addresses.get(&port.host_ip).or_else(|| addresses.get(&None)),
        };
        holder.map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn tcp(host_ip: Option<[u8; 4]>, host_port: u16) -> Port {
        Port { protocol: Protocol::Tcp, host_port, host_ip: host_ip.map(Ipv4Addr::from), container_port: 80 }
    }

    const LOCAL: Option<[u8; 4]> = Some([127, 0, 0, 1]);
    const OTHER: Option<[u8; 4]> = Some([192, 0, 2, 1]);

    #[test]
    fn the_rule_is_that_of_bind() {
        for (first, second, conflict) in
            [(None, None, true), (None, LOCAL, true), (LOCAL, None, true), (LOCAL, LOCAL, true), (LOCAL, OTHER, false)]
        {
            let mut table = PortTable::default();
            table.take("a", &[tcp(first, 80)]).unwrap();
            let taken = table.take("b", &[tcp(second, 80)]);
            assert_eq!(taken.is_err(), conflict, "{first:?} {second:?}");
            if let Err(error) = taken {
                assert_eq!(error.holder, "a");
            }
        }
    }

    #[test]
    fn protocols_do_not_meet() {
        let mut table = PortTable::default();
        table.take("a", &[tcp(None, 53)]).unwrap();
        table.take("b", &[Port { protocol: Protocol::Udp, ..tcp(None, 53) }]).unwrap();
    }

    #[test]
    fn a_refused_request_takes_nothing() {
        let mut table = PortTable::default();
        table.take("a", &[tcp(None, 81)]).unwrap();
        let conflict = table.take("b", &[tcp(None, 80), tcp(None, 81), tcp(None, 82)]).unwrap_err();
        assert_eq!(conflict.port.host_port, 81);
        table.take("c", &[tcp(None, 80), tcp(None, 82)]).unwrap();
    }

    #[test]
    fn a_request_may_not_meet_itself() {
        let mut table = PortTable::default();
        let conflict = table.take("a", &[tcp(LOCAL, 80), tcp(None, 80)]).unwrap_err();
        assert_eq!(conflict.holder, "a");
        assert!(table.held.is_empty());
    }

    #[test]
    fn only_the_holder_gives_back() {
        let mut table = PortTable::default();
        table.take("a", &[tcp(None, 80)]).unwrap();
        table.release("b", &[tcp(None, 80)]);
        assert!(table.take("b", &[tcp(None, 80)]).is_err());
        table.release("a", &[tcp(None, 80)]);
        assert!(table.held.is_empty());
    }
}
