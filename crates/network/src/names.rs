//! Names and hardware addresses that follow from an attachment's id and address.
//!
//! Pure. The names let a restarted agent tell its own links from everybody else's; the hardware
//! addresses follow the IP addresses, so a neighbour's ARP entry stays right when an address passes on
//! to another allocation, and the bridge keeps its own when ports come and go.

use std::net::Ipv4Addr;

/// First bytes of the name of every link on the host that leads to an allocation.
const LINK_PREFIX: &str = "fl";
/// Hexadecimal digits behind [`LINK_PREFIX`].
const LINK_DIGITS: usize = 12;

/// Name of the host's end for an attachment. `attempt` tells apart names that collide.
pub(crate) fn host_interface(id: &str, attempt: u32) -> String {
    let hash = fnv1a(id.bytes().chain(attempt.to_be_bytes()));
    format!("{LINK_PREFIX}{:0LINK_DIGITS$x}", hash >> 16)
}

/// Whether a link's name is one that [`host_interface`] makes.
pub(crate) fn is_host_interface(name: &str) -> bool {
    name.strip_prefix(LINK_PREFIX)
        .is_some_and(|digits| digits.len() == LINK_DIGITS && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

/// The alias that a link on the host carries, so that people and a restarted agent see whose it is.
pub(crate) fn alias(bridge: &str, id: &str) -> String {
    format!("{}{id}", alias_prefix(bridge))
}

/// What the alias of every link of one bridge begins with.
pub(crate) fn alias_prefix(bridge: &str) -> String {
    format!("floe/{bridge}/")
}

/// A locally administered hardware address for an IP address.
pub(crate) fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0xf1, a, b, c, d]
}

/// The 64-bit FNV-1a hash: short, stable across releases, and nothing here is secret.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use crate::config::MAX_INTERFACE_NAME;

    #[test]
    fn names_are_stable_short_and_recognised() {
        let name = host_interface("0aa0ae4e-2d1b-4a4e-8a43-4f3a2f7f0c11", 0);
        assert_eq!(name, "fl6565736241de");
        assert!(name.len() <= MAX_INTERFACE_NAME);
        assert!(is_host_interface(&name));
        assert_ne!(name, host_interface("0aa0ae4e-2d1b-4a4e-8a43-4f3a2f7f0c11", 1));
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in ["floe", "fl", "eth0", "fl0000000000000", "flABCDEF012345", "xx000000000000"] {
            assert!(!is_host_interface(name), "{name}");
        }
    }

    #[test]
    fn hardware_addresses_are_local_unicast() {
        let mac = hardware_address(Ipv4Addr::new(172, 26, 64, 1));
        assert_eq!(mac[0] & 0b11, 0b10);
        assert_eq!(mac[2..], [172, 26, 64, 1]);
    }
}
