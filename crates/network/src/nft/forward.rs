//! Other people's firewalls that would drop what we forward.
//!
//! An accepting rule of ours cannot help: a packet must be accepted by every table. So their chains are
//! looked at, left alone, and reported with the remedy.

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_netfilter::nftables::{ChainMessage, NfTablesMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use crate::attributes::{attributes, find, text, u32_be};
use crate::netlink::Request;

const FAMILY_INET: u8 = 1;
const FAMILY_IPV4: u8 = 2;
const FAMILY_BRIDGE: u8 = 7;
const HOOK_FORWARD: u32 = 2;
const POLICY_DROP: u32 = 0;

/// A chain through which forwarded packets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForwardChain {
    pub(crate) family: u8,
    pub(crate) table: String,
    pub(crate) chain: String,
    pub(crate) drops: bool,
}

/// Asks for all chains of all families.
pub(crate) fn dump_chains() -> Request {
    let message = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    Request::new("list the nftables chains", NetfilterMessage::new(header, message), NLM_F_DUMP)
}

/// The chain in an answer to [`dump_chains`], when forwarded IPv4 packets pass through it.
pub(crate) fn parse_forward_chain(payload: &[u8]) -> Option<ForwardChain> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    const HOOK_NUMBER: u16 = 1;
    const POLICY: u16 = 5;
    let (header, body) = payload.split_at_checked(4)?;
    let family = *header.first()?;
    let hook = find(body, HOOK).and_then(|hook| find(hook, HOOK_NUMBER)).and_then(u32_be)?;
    let relevant = [FAMILY_INET, FAMILY_IPV4, FAMILY_BRIDGE].contains(&family);
    if !relevant || hook != HOOK_FORWARD {
        return None;
    }
    let policy = attributes(body).find(|(kind, _)| *kind == POLICY).and_then(|(_, v)| u32_be(v));
    Some(ForwardChain { family, table: text(find(body, TABLE)?), chain: text(find(body, NAME)?), drops: policy == Some(POLICY_DROP) })
}

/// What to tell the operator about the forward chains of others, about firewalld, and about the tables
/// of the old iptables (`legacy`, as in `/proc/net/ip_tables_names`), whose policy netlink cannot show.
pub(crate) fn warnings(chains: &[ForwardChain], ours: &str, bridge: &str, legacy: &str) -> Vec<String> {
    let others = || chains.iter().filter(|c| c.table != ours || c.family != FAMILY_IPV4);
    let mut warnings: Vec<String> = others().filter(|c| c.drops).map(|c| dropping(c, bridge)).collect();
    if others().any(|c| c.table == "firewalld") {
        warnings.push(format!(
            "firewalld rejects packets forwarded between zones: run `firewall-cmd --permanent \
             --zone=trusted --add-interface={bridge}` and `firewall-cmd --reload`"
        ));
    }
    if legacy.lines().any(|table| table == "filter") {
        warnings.push(format!(
            "the legacy iptables filter table is in use and its policy cannot be read here: should \
             `iptables-legacy -S FORWARD` say DROP, run `iptables-legacy -I FORWARD -i {bridge} -j \
             ACCEPT` and `iptables-legacy -I FORWARD -o {bridge} -j ACCEPT`"
        ));
    }
    warnings
}

fn dropping(chain: &ForwardChain, bridge: &str) -> String {
    let ForwardChain { family, table, chain, .. } = chain;
    let family = match *family {
        FAMILY_INET => "inet",
        FAMILY_BRIDGE => "bridge",
        _ => "ip",
    };
    let place = format!("{family} {table} {chain}");
    format!(
        "the chain {chain} of table {family} {table} drops forwarded packets by default, so allocations \
         may be unreachable: run `nft insert rule {place} iifname {bridge} accept` and `nft insert rule \
         {place} oifname {bridge} accept`"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::cast_possible_truncation)]
    use super::*;

    fn chain(family: u8, table: &str, drops: bool) -> ForwardChain {
        ForwardChain { family, table: table.into(), chain: "FORWARD".into(), drops }
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(family: u8, hook: Option<u32>, policy: u32) -> Vec<u8> {
        let mut payload = vec![family, 0, 0, 0];
        payload.extend(attribute(1, b"filter\0"));
        payload.extend(attribute(3, b"FORWARD\0"));
        if let Some(hook) = hook {
            payload.extend(attribute(4 | 0x8000, &attribute(1, &hook.to_be_bytes())));
            payload.extend(attribute(5, &policy.to_be_bytes()));
        }
        payload
    }

    #[test]
    fn base_chains_at_the_forward_hook_are_recognised() {
        let dropping = parse_forward_chain(&message(FAMILY_IPV4, Some(HOOK_FORWARD), 0)).unwrap();
        assert_eq!(dropping, chain(FAMILY_IPV4, "filter", true));
        assert!(!parse_forward_chain(&message(FAMILY_INET, Some(HOOK_FORWARD), 1)).unwrap().drops);
        assert_eq!(parse_forward_chain(&message(FAMILY_IPV4, Some(1), 0)), None);
        assert_eq!(parse_forward_chain(&message(FAMILY_IPV4, None, 0)), None);
        assert_eq!(parse_forward_chain(&message(10, Some(HOOK_FORWARD), 0)), None);
        assert_eq!(parse_forward_chain(&[2]), None);
    }

    #[test]
    fn the_remedy_names_the_chain_and_the_bridge() {
        let warnings = warnings(&[chain(FAMILY_IPV4, "filter", true)], "floe", "br7", "");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("nft insert rule ip filter FORWARD iifname br7 accept"));
    }

    #[test]
    fn our_own_table_and_accepting_ones_are_no_concern() {
        let chains = [chain(FAMILY_IPV4, "floe", true), chain(FAMILY_INET, "filter", false)];
        assert!(warnings(&chains, "floe", "floe", "nat\n").is_empty());
    }

    #[test]
    fn firewalld_and_legacy_iptables_are_told_apart() {
        let chains = [chain(FAMILY_INET, "firewalld", false)];
        let warnings = warnings(&chains, "floe", "floe", "nat\nfilter\n");
        assert!(warnings[0].contains("firewall-cmd"));
        assert!(warnings[1].contains("iptables-legacy"));
    }
}
