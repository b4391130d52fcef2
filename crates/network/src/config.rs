//! What an operator may say about the node's network, and the check that it makes sense.
//!
//! Pure: nothing here asks the kernel anything.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of a network interface (the kernel's `IFNAMSIZ` less the closing NUL), in bytes.
pub const MAX_INTERFACE_NAME: usize = 15;
/// Longest name of the nftables table, in bytes.
pub const MAX_TABLE_NAME: usize = 32;
/// Smallest and largest prefix length of the subnet: 65,533 and 5 addresses for allocations.
pub const SUBNET_PREFIX: std::ops::RangeInclusive<u8> = 16..=29;
/// Smallest and largest MTU that may be set, in bytes.
pub const MTU: std::ops::RangeInclusive<u32> = 576..=65_535;

/// Settings of the node's allocation network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Name of the bridge, at most [`MAX_INTERFACE_NAME`] bytes.
    pub bridge: String,
    /// Addresses of the allocations; the first one is the bridge's and the allocations' gateway.
    pub subnet: Subnet,
    /// Name of the nftables table (family `ip`); everything in it is ours.
    pub table: String,
    /// Directory of the named network namespaces; everything in it is ours.
    pub netns_dir: PathBuf,
    /// MTU of the bridge and the allocations' interfaces in bytes; none leaves the kernel's default.
    pub mtu: Option<u32>,
    /// Whether an allocation reaches itself through its own published port.
    pub hairpin: bool,
    /// The network namespace that plays the host; none means that of this process.
    pub host_netns: Option<PathBuf>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            bridge: "floe".into(),
            subnet: Subnet { network: Ipv4Addr::new(172, 26, 64, 0), prefix_len: 20 },
            table: "floe".into(),
            netns_dir: "/run/floe/netns".into(),
            mtu: None,
            hairpin: true,
            host_netns: None,
        }
    }
}

/// What is wrong with a [`NetworkConfig`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The bridge's name cannot be the name of an interface.
    #[error("bridge name `{0}` is not usable: take 1 to {MAX_INTERFACE_NAME} letters, digits, `-`, `_` or `.`")]
    Bridge(String),
    /// The table's name is not usable.
    #[error("table name `{0}` is not usable: take 1 to {MAX_TABLE_NAME} letters, digits, `-` or `_`")]
    Table(String),
    /// The directory of the namespaces is relative or the root.
    #[error("namespace directory `{0}` is not usable: give an absolute path below the root")]
    NetnsDir(PathBuf),
    /// The MTU is out of bounds.
    #[error("mtu {0} is not usable: take {min} to {max} bytes", min = MTU.start(), max = MTU.end())]
    Mtu(u32),
    /// The subnet is not written as an IPv4 network.
    #[error("subnet `{0}` is not an IPv4 network such as 172.26.64.0/20")]
    SubnetSyntax(String),
    /// IPv6 will come later.
    #[error("subnet `{0}` is not supported yet: only IPv4 subnets are")]
    SubnetFamily(String),
    /// The subnet is too small or too large.
    #[error(
        "subnet {0} is not usable: its prefix length must be {min} to {max}",
        min = SUBNET_PREFIX.start(),
        max = SUBNET_PREFIX.end()
    )]
    SubnetSize(Subnet),
    /// The address has bits below the prefix.
    #[error("subnet {given} has host bits set: did you mean {meant}?")]
    SubnetHostBits {
        /// As configured.
        given: Subnet,
        /// The network that contains it.
        meant: Subnet,
    },
    /// The range belongs to something that is not unicast.
    #[error("subnet {0} is not usable: it lies in a loopback, link-local, multicast or reserved range")]
    SubnetRange(Subnet),
}

impl NetworkConfig {
    /// Checks everything that can be checked without the kernel.
    ///
    /// # Errors
    /// The first thing that is wrong, with what to do about it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !is_interface_name(&self.bridge) {
            return Err(ConfigError::Bridge(self.bridge.clone()));
        }
        if !is_table_name(&self.table) {
            return Err(ConfigError::Table(self.table.clone()));
        }
        if !self.netns_dir.is_absolute() || self.netns_dir.parent().is_none() {
            return Err(ConfigError::NetnsDir(self.netns_dir.clone()));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| !MTU.contains(mtu)) {
            return Err(ConfigError::Mtu(mtu));
        }
        self.subnet.validate()
    }
}

fn is_interface_name(name: &str) -> bool {
    (1..=MAX_INTERFACE_NAME).contains(&name.len())
        && !matches!(name, "." | ".." | "lo" | "all" | "default")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_table_name(name: &str) -> bool {
    (1..=MAX_TABLE_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// An IPv4 network such as `172.26.64.0/20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: Ipv4Addr,
    prefix_len: u8,
}

impl Subnet {
    /// A network from its address and prefix length; [`NetworkConfig::validate`] judges it.
    #[must_use]
    pub fn new(network: Ipv4Addr, prefix_len: u8) -> Self {
        Self { network, prefix_len: prefix_len.min(32) }
    }

    /// The network's address.
    #[must_use]
    pub fn network(self) -> Ipv4Addr {
        self.network
    }

    /// Number of leading bits that all its addresses share.
    #[must_use]
    pub fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// The bits that all addresses share, as a mask.
    #[must_use]
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(0))
    }

    /// The first usable address: the bridge's.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits().saturating_add(1))
    }

    /// The last address of the network.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !self.mask().to_bits())
    }

    /// Whether `address` lies in the network.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask().to_bits() == self.network.to_bits() & self.mask().to_bits()
    }

    /// Whether the two networks share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    fn validate(self) -> Result<(), ConfigError> {
        if !SUBNET_PREFIX.contains(&self.prefix_len) {
            return Err(ConfigError::SubnetSize(self));
        }
        let network = Ipv4Addr::from_bits(self.network.to_bits() & self.mask().to_bits());
        if network != self.network {
            let meant = Self { network, ..self };
            return Err(ConfigError::SubnetHostBits { given: self, meant });
        }
        let first = self.network;
        let unusable = first.octets()[0] == 0 || first.octets()[0] >= 224 || first.is_loopback() || first.is_link_local();
        if unusable { Err(ConfigError::SubnetRange(self)) } else { Ok(()) }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_len)
    }
}

impl FromStr for Subnet {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let syntax = || ConfigError::SubnetSyntax(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(syntax)?;
        if address.contains(':') {
            return Err(ConfigError::SubnetFamily(text.to_owned()));
        }
        let network = address.parse().map_err(|_| syntax())?;
        let prefix_len = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(syntax)?;
        Ok(Self { network, prefix_len })
    }
}

impl TryFrom<String> for Subnet {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn with_subnet(text: &str) -> Result<(), ConfigError> {
        NetworkConfig { subnet: text.parse()?, ..NetworkConfig::default() }.validate()
    }

    #[test]
    fn the_default_is_valid() {
        NetworkConfig::default().validate().unwrap();
    }

    #[test]
    fn interface_names_end_at_fifteen_bytes() {
        let named = |n: usize| NetworkConfig { bridge: "b".repeat(n), ..Default::default() };
        named(MAX_INTERFACE_NAME).validate().unwrap();
        assert!(matches!(named(MAX_INTERFACE_NAME + 1).validate(), Err(ConfigError::Bridge(_))));
        assert!(matches!(named(0).validate(), Err(ConfigError::Bridge(_))));
    }

    #[test]
    fn names_that_could_escape_their_place_are_refused() {
        for name in ["a/b", "..", "lo", "a b", "é"] {
            let config = NetworkConfig { bridge: name.into(), ..Default::default() };
            assert!(config.validate().is_err(), "{name}");
        }
        let table = |n: usize| NetworkConfig { table: "t".repeat(n), ..Default::default() };
        table(MAX_TABLE_NAME).validate().unwrap();
        assert!(table(MAX_TABLE_NAME + 1).validate().is_err());
        let dir = NetworkConfig { netns_dir: "netns".into(), ..Default::default() };
        assert!(dir.validate().is_err());
    }

    #[test]
    fn subnets_have_bounds() {
        with_subnet("10.0.0.0/16").unwrap();
        with_subnet("10.0.0.0/29").unwrap();
        assert!(matches!(with_subnet("10.0.0.0/15"), Err(ConfigError::SubnetSize(_))));
        assert!(matches!(with_subnet("10.0.0.0/30"), Err(ConfigError::SubnetSize(_))));
        assert!(matches!(with_subnet("127.0.0.0/16"), Err(ConfigError::SubnetRange(_))));
        assert!(matches!(with_subnet("224.0.0.0/16"), Err(ConfigError::SubnetRange(_))));
        assert!(matches!(with_subnet("169.254.0.0/16"), Err(ConfigError::SubnetRange(_))));
        assert!(matches!(with_subnet("fd00::/64"), Err(ConfigError::SubnetFamily(_))));
        assert!(matches!(with_subnet("10.0.0.0/33"), Err(ConfigError::SubnetSyntax(_))));
        assert!(matches!(with_subnet("10.0.0.0"), Err(ConfigError::SubnetSyntax(_))));
    }

    #[test]
    fn host_bits_are_answered_with_the_network_that_was_meant() {
        let error = with_subnet("172.26.65.7/20").unwrap_err();
        assert_eq!(error.to_string(), "subnet 172.26.65.7/20 has host bits set: did you mean 172.26.64.0/20?");
    }

    #[test]
    fn mtu_has_bounds() {
        let mtu = |mtu| NetworkConfig { mtu: Some(mtu), ..Default::default() }.validate();
        mtu(576).unwrap();
        mtu(65_535).unwrap();
        assert_eq!(mtu(575), Err(ConfigError::Mtu(575)));
        assert_eq!(mtu(65_536), Err(ConfigError::Mtu(65_536)));
    }

    #[test]
    fn arithmetic_of_a_subnet() {
        let subnet: Subnet = "172.26.64.0/20".parse().unwrap();
        assert_eq!(subnet.mask(), Ipv4Addr::new(255, 255, 240, 0));
        assert_eq!(subnet.gateway(), Ipv4Addr::new(172, 26, 64, 1));
        assert_eq!(subnet.broadcast(), Ipv4Addr::new(172, 26, 79, 255));
        assert!(subnet.contains(Ipv4Addr::new(172, 26, 79, 3)));
        assert!(!subnet.contains(Ipv4Addr::new(172, 26, 80, 0)));
        assert!(subnet.overlaps("172.16.0.0/12".parse().unwrap()));
        assert!(subnet.overlaps("172.26.70.0/24".parse().unwrap()));
        assert!(!subnet.overlaps("172.26.80.0/20".parse().unwrap()));
        assert_eq!(Subnet::new(Ipv4Addr::UNSPECIFIED, 0).mask(), Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn the_configuration_is_readable_from_json() {
        let config: NetworkConfig = serde_json::from_str(r#"{"subnet":"10.9.0.0/24"}"#).unwrap();
        assert_eq!(config.subnet.to_string(), "10.9.0.0/24");
        assert_eq!(config.bridge, "floe");
        assert!(serde_json::from_str::<NetworkConfig>(r#"{"subnets":"10.9.0.0/24"}"#).is_err());
    }
}
