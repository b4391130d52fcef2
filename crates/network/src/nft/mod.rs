//! nftables: one table that holds the port maps and the address translation.
//!
//! Pure: builds and reads messages, sends none. The table has two maps, one for ports published on one
//! address of the host and one for ports on all of them; an allocation only adds and removes elements,
//! which costs the same however many there are.

mod element;
mod expression;
mod forward;
mod ruleset;

pub(crate) use element::{Element, add_elements, delete_elements, dump_elements, parse_elements};
pub(crate) use forward::{ForwardChain, dump_chains, parse_forward_chain, warnings};
pub(crate) use ruleset::{Ruleset, delete_table, dump_tables, parse_table};

use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use crate::netlink::Request;

/// Wraps a message for our table's family.
fn request(operation: impl Into<String>, message: NfTablesMessage, flags: u16) -> Request {
    let header = NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0);
    Request::new(operation, NetfilterMessage::new(header, message), flags)
}
