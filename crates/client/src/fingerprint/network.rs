//! The address under which the node's ports are reached.

use nix::ifaddrs::getifaddrs;
use std::{fs, net::IpAddr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) device: String,
    pub(super) ip: String,
    pub(super) prefix_len: u32,
}

/// The address that was asked for, else that of the default route's interface, else the first that is not loopback, else loopback.
pub(super) fn address(wanted: Option<IpAddr>) -> Address {
    let all = interfaces();
    let default = default_device(&fs::read_to_string("/proc/self/net/route").unwrap_or_default());
    let found = match wanted {
        Some(ip) => all.iter().find(|a| a.ip == ip.to_string()).cloned(),
        None => all
            .iter()
            .find(|a| Some(&a.device) == default.as_ref())
            .or_else(|| all.iter().find(|a| a.device != "lo"))
            .or_else(|| all.first())
            .cloned(),
    };
    found.unwrap_or_else(|| Address {
        device: String::new(),
        ip: wanted.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string()),
        prefix_len: 32,
    })
}

/// IPv4 addresses; those of IPv6 come with dual-stack allocation networks.
fn interfaces() -> Vec<Address> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    all.filter_map(|i| {
        let ip = i.address?.as_sockaddr_in()?.ip();
        let mask = i.netmask.and_then(|m| Some(m.as_sockaddr_in()?.ip()));
        Some(Address { device: i.interface_name, ip: ip.to_string(), prefix_len: mask.map_or(32, |m| u32::from(m).count_ones()) })
    })
    .collect()
}

/// The interface of the route to everywhere, from `/proc/net/route`.
fn default_device(routes: &str) -> Option<String> {
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (device, destination, mask) = (fields.next()?, fields.next()?, fields.nth(5)?);
        (destination == "00000000" && mask == "00000000").then(|| device.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_found() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                      eth1\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                      eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(default_device(routes), Some("eth0".to_owned()));
        assert_eq!(default_device(""), None);
    }

    #[test]
    fn an_address_that_the_machine_does_not_have_is_announced_as_it_was_asked_for() {
        let asked = "192.0.2.77".parse().ok();
        assert_eq!(address(asked).ip, "192.0.2.77");
    }
}
