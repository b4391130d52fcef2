//! The table as a whole: maps, chains and rules, built anew in one transaction.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, InetHookNumber, MetaKey, NfTablesMessage, Operator, Register, RuleAttribute,
    RuleMessage, SetAttribute, SetFlags, SetMessage, TableAttribute, TableMessage,
};
use std::net::Ipv4Addr;

use super::element::{Element, add_elements};
use super::expression::{self as step, Expression};
use super::request;
use crate::attributes::{netfilter_attributes, text};
use crate::config::Subnet;
use crate::netlink::Request;

/// Map of ports published on one address: address, protocol and port to address and port.
pub(super) const MAP_ONE_ADDRESS: &str = "ports_on_address";
/// Map of ports published on every address: protocol and port to address and port.
pub(super) const MAP_ALL_ADDRESSES: &str = "ports";

/// Numbers of nft's data types, six bits each in a concatenation; only `nft list` reads them.
const TYPE_IPV4: u32 = 7;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_SERVICE: u32 = 13;
const TYPE_BITS: u32 = 6;

const POLICY_ACCEPT: u32 = 1;
const PRIORITY_RAW: i32 = -300;
const PRIORITY_DESTINATION_NAT: i32 = -100;
const PRIORITY_SOURCE_NAT: i32 = 100;

const FEATURE_TABLES: &str = "CONFIG_NF_TABLES and CONFIG_NF_TABLES_IPV4 (module nf_tables)";
const FEATURE_NAT_CHAIN: &str = "CONFIG_NFT_NAT (modules nft_chain_nat and nft_nat)";
const FEATURE_DNAT: &str = "CONFIG_NFT_FIB_IPV4 (module nft_fib_ipv4) or CONFIG_NFT_NAT (module nft_nat)";
const FEATURE_MASQUERADE: &str = "CONFIG_NFT_MASQ (module nft_masq)";
const FEATURE_CONNTRACK: &str = "CONFIG_NFT_CT (module nft_ct) or CONFIG_NFT_MASQ (module nft_masq)";

const LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);
const LOOPBACK_MASK: Ipv4Addr = Ipv4Addr::new(255, 0, 0, 0);

/// What the rules depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ruleset<'a> {
    pub(crate) table: &'a str,
    pub(crate) bridge: &'a str,
    pub(crate) subnet: Subnet,
}

impl Ruleset<'_> {
    /// The transaction that replaces the table, with these elements. Connections that exist go on: their
    /// translation lives in connection tracking, not in the rules.
    pub(crate) fn rebuild(&self, elements: &[Element<'_>]) -> Vec<Request> {
        let mut requests = vec![
            // Deleting needs something to delete, so the table is made to exist first.
            self.create_table(),
            delete_table(self.table),
            self.create_table(),
            self.map(1, MAP_ONE_ADDRESS, &[TYPE_IPV4, TYPE_PROTOCOL, TYPE_SERVICE]),
            self.map(2, MAP_ALL_ADDRESSES, &[TYPE_PROTOCOL, TYPE_SERVICE]),
        ];
        requests.extend(self.chains());
        requests.extend(self.rules());
        requests.extend(add_elements(self.table, elements));
        requests
    }

    fn create_table(&self) -> Request {
        let attributes = vec![TableAttribute::Name(self.table.into())];
        let message = NfTablesMessage::NewTable(TableMessage { attributes });
        request(format!("create the nftables table {}", self.table), message, NLM_F_CREATE).needs(FEATURE_TABLES)
    }

    fn map(&self, id: u32, name: &str, key: &[u32]) -> Request {
        let concatenation = |types: &[u32]| types.iter().fold(0, |all, t| (all << TYPE_BITS) | t);
        let message = NfTablesMessage::NewSet(SetMessage {
            attributes: vec![
                SetAttribute::Table(self.table.into()),
                SetAttribute::Name(name.into()),
                SetAttribute::Flags(SetFlags::Map),
                SetAttribute::KeyType(concatenation(key)),
                SetAttribute::KeyLen(4 * u32::try_from(key.len()).unwrap_or(u32::MAX)),
                SetAttribute::DataType(concatenation(&[TYPE_IPV4, TYPE_SERVICE])),
                SetAttribute::DataLen(8),
                SetAttribute::Id(id),
            ],
        });
        request(format!("create the nftables map {name}"), message, NLM_F_CREATE).needs(FEATURE_TABLES)
    }

    fn chains(&self) -> [Request; 4] {
        [
            self.chain("guard", "filter", InetHookNumber::PreRouting, PRIORITY_RAW),
            self.chain("arriving", "nat", InetHookNumber::PreRouting, PRIORITY_DESTINATION_NAT),
            self.chain("local", "nat", InetHookNumber::LocalOut, PRIORITY_DESTINATION_NAT),
            self.chain("leaving", "nat", InetHookNumber::PostRouting, PRIORITY_SOURCE_NAT),
        ]
    }

    fn chain(&self, name: &str, kind: &str, hook: InetHookNumber, priority: i32) -> Request {
        let message = NfTablesMessage::NewChain(ChainMessage {
            attributes: vec![
                ChainAttribute::Table(self.table.into()),
                ChainAttribute::Name(name.into()),
                ChainAttribute::Hook(vec![Hook::Number(HookNumber::Inet(hook)), Hook::Priority(priority.cast_unsigned())]),
                ChainAttribute::Policy(POLICY_ACCEPT),
                ChainAttribute::Type(kind.into()),
            ],
        });
        let feature = if kind == "nat" { FEATURE_NAT_CHAIN } else { FEATURE_TABLES };
        request(format!("create the nftables chain {name}"), message, NLM_F_CREATE).needs(feature)
    }

    fn rules(&self) -> Vec<Request> {
        let subnet = || step::source_is_in(self.subnet.network(), self.subnet.mask());
        let leaves = |operator| step::interface_is(MetaKey::Oifname, operator, self.bridge);
        let masquerade = || vec![step::masquerade()];
        let mut rules = vec![self.guard()];
        for chain in ["arriving", "local"] {
            rules.push(self.rule(chain, vec![published_on_one_address()]).needs(FEATURE_DNAT));
            rules.push(self.rule(chain, vec![published_on_all_addresses()]).needs(FEATURE_DNAT));
        }
        // The host's own 127.0.0.1 cannot be answered from another namespace.
        let from_loopback = step::source_is_in(LOOPBACK, LOOPBACK_MASK);
        let parts = vec![from_loopback, leaves(Operator::Equal), masquerade()];
        rules.push(self.rule("leaving", parts).needs(FEATURE_MASQUERADE));
        // From one allocation to a published port of another, or its own: the answer must come back
        // through the host, or it would carry the wrong source.
        let parts = vec![step::connection_was_translated(), leaves(Operator::Equal), subnet(), masquerade()];
        rules.push(self.rule("leaving", parts).needs(FEATURE_CONNTRACK));
        let parts = vec![subnet(), leaves(Operator::NotEqual), masquerade()];
        rules.push(self.rule("leaving", parts).needs(FEATURE_MASQUERADE));
        rules
    }

    /// `route_localnet`, which lets the host reach published ports through 127.0.0.1, would also let an
    /// allocation send packets to the host's loopback; this keeps it from doing so.
    fn guard(&self) -> Request {
        let arrives = step::interface_is(MetaKey::Iifname, Operator::Equal, self.bridge);
        let to_loopback = step::destination_is_in(LOOPBACK, LOOPBACK_MASK);
        self.rule("guard", vec![arrives, to_loopback, vec![step::drop_packet()]]).needs(FEATURE_TABLES)
    }

    fn rule(&self, chain: &str, parts: Vec<Vec<Expression>>) -> Request {
        let message = NfTablesMessage::NewRule(RuleMessage {
            attributes: vec![
                RuleAttribute::Table(self.table.into()),
                RuleAttribute::Chain(chain.into()),
                RuleAttribute::Expressions(parts.into_iter().flatten().collect()),
            ],
        });
        request(format!("add a rule to the nftables chain {chain}"), message, NLM_F_CREATE | NLM_F_APPEND)
    }
}

fn published_on_one_address() -> Vec<Expression> {
    let mut steps = step::destination_is_local();
    steps.extend([
        step::load_destination_address(Register::Reg1),
        step::load_protocol(Register::Reg32_01),
        step::load_destination_port(Register::Reg32_02),
        step::look_up(MAP_ONE_ADDRESS),
        step::translate_destination(),
    ]);
    steps
}

fn published_on_all_addresses() -> Vec<Expression> {
    let mut steps = step::destination_is_local();
    steps.extend([
        step::load_protocol(Register::Reg1),
        step::load_destination_port(Register::Reg32_01),
        step::look_up(MAP_ALL_ADDRESSES),
        step::translate_destination(),
    ]);
    steps
}

/// Deletes the table and all in it.
pub(crate) fn delete_table(table: &str) -> Request {
    let attributes = vec![TableAttribute::Name(table.into())];
    let message = NfTablesMessage::DeleteTable(TableMessage { attributes });
    request(format!("delete the nftables table {table}"), message, 0)
}

/// Asks for the tables of our family.
pub(crate) fn dump_tables() -> Request {
    let message = NfTablesMessage::GetTable(TableMessage { attributes: vec![] });
    request("list the nftables tables", message, NLM_F_DUMP)
}

/// The name of a table in an answer to [`dump_tables`].
pub(crate) fn parse_table(payload: &[u8]) -> Option<String> {
    const NAME: u16 = 1;
    netfilter_attributes(payload).find(|(kind, _)| *kind == NAME).map(|(_, value)| text(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use crate::attachment::{Port, Protocol};
    use crate::attributes::{attributes, find, frames};

    const NEW_RULE: u16 = 0xa06;

    fn requests() -> Vec<Request> {
        let subnet = "172.26.64.0/20".parse().unwrap();
        Ruleset { table: "floe", bridge: "floe", subnet }.rebuild(&[])
    }

    /// The names of a rule's expressions, in order, and its chain.
    fn outline(request: &Request) -> Option<(String, Vec<String>)> {
        let frame = frames(request.bytes()).next()?;
        if frame.kind != NEW_RULE {
            return None;
        }
        let body = &frame.payload[4..];
        let names = attributes(find(body, 4)?).map(|(_, e)| text(find(e, 1).unwrap())).collect();
        Some((text(find(body, 2)?), names))
    }

    #[test]
    fn the_table_is_replaced_before_anything_is_put_in() {
        let kinds: Vec<u16> = requests().iter().map(|r| frames(r.bytes()).next().unwrap().kind & 0xff).collect();
        // table, delete, table, 2 maps, 4 chains, 8 rules.
        assert_eq!(kinds, [0, 2, 0, 9, 9, 3, 3, 3, 3, 6, 6, 6, 6, 6, 6, 6, 6]);
    }

    #[test]
    fn the_rules_have_this_shape() {
        let outline: Vec<String> =
            requests().iter().filter_map(outline).map(|(chain, steps)| format!("{chain}: {}", steps.join(" "))).collect();
        assert_eq!(
            outline,
            [
                "guard: meta cmp payload bitwise cmp immediate",
                "arriving: fib cmp payload meta payload lookup nat",
                "arriving: fib cmp meta payload lookup nat",
                "local: fib cmp payload meta payload lookup nat",
                "local: fib cmp meta payload lookup nat",
                "leaving: payload bitwise cmp meta cmp masq",
                "leaving: ct bitwise cmp meta cmp payload bitwise cmp masq",
                "leaving: payload bitwise cmp meta cmp masq",
            ]
        );
    }

    #[test]
    fn every_creation_names_the_feature_it_needs() {
        let creations = requests().into_iter().filter(|r| !r.operation.starts_with("delete"));
        for request in creations {
            assert!(request.feature.is_some_and(|f| f.contains("CONFIG_")), "{}", request.operation);
        }
    }

    #[test]
    fn elements_come_in_the_same_transaction() {
        let port = Port { protocol: Protocol::Tcp, host_port: 80, host_ip: None, container_port: 80 };
        let element = Element { owner: "a", address: Ipv4Addr::new(172, 26, 64, 2), port };
        let subnet = "172.26.64.0/20".parse().unwrap();
        let with = Ruleset { table: "floe", bridge: "floe", subnet }.rebuild(&[element]);
        assert_eq!(with.len(), requests().len() + 1);
    }
}
