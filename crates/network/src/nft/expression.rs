//! The expressions that our rules are made of, each a step of nftables' register machine.
//!
//! Expressions that the packet crate does not know by type are written attribute by attribute; the
//! numbers are those of the kernel's `nf_tables.h`.

use std::net::Ipv4Addr;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, ListAttribute, Lookup, Meta, MetaKey, Operator, Payload, Register,
};

use crate::config::MAX_INTERFACE_NAME;

/// One step of a rule.
pub(super) type Expression = ListAttribute<ExpressionAttribute>;

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const SOURCE_ADDRESS: u32 = 12;
const DESTINATION_ADDRESS: u32 = 16;
const DESTINATION_PORT: u32 = 2;
const RTN_LOCAL: u32 = 2;
const CT_STATUS_DNAT: u32 = 1 << 5;
const NFPROTO_IPV4: u32 = 2;
const NF_DROP: u32 = 0;

/// Goes on only when the destination is an address of this host.
pub(super) fn destination_is_local() -> Vec<Expression> {
    const DREG: u16 = 1;
    const RESULT: u16 = 2;
    const FLAGS: u16 = 3;
    const RESULT_ADDRTYPE: u32 = 3;
    const FLAG_DADDR: u32 = 2;
    let attributes = vec![(DREG, Register::Reg1.into()), (RESULT, RESULT_ADDRTYPE), (FLAGS, FLAG_DADDR)];
    vec![untyped("fib", attributes), compare(Operator::Equal, &RTN_LOCAL.to_ne_bytes())]
}

/// Loads the destination address into a register.
pub(super) fn load_destination_address(register: Register) -> Expression {
    payload(NETWORK_HEADER, DESTINATION_ADDRESS, 4, register)
}

/// Loads the number of the transport protocol into a register.
pub(super) fn load_protocol(register: Register) -> Expression {
    Expressions::Meta(vec![Meta::Key(MetaKey::L4Proto), Meta::DestinationRegister(register)]).into()
}

/// Loads the destination port into a register.
pub(super) fn load_destination_port(register: Register) -> Expression {
    payload(TRANSPORT_HEADER, DESTINATION_PORT, 2, register)
}

/// Replaces the key in the first register by what the map says; ends the rule when it says nothing.
pub(super) fn look_up(map: &str) -> Expression {
    Expressions::Lookup(vec![Lookup::Set(map.into()), Lookup::SourceRegister(Register::Reg1), Lookup::DestinationRegister(Register::Reg1)])
        .into()
}

/// Sends the packet to the address in the first register and the port in the second word.
pub(super) fn translate_destination() -> Expression {
    const TYPE: u16 = 1;
    const FAMILY: u16 = 2;
    const ADDRESS_REGISTER: u16 = 3;
    const PORT_REGISTER: u16 = 5;
    const TYPE_DNAT: u32 = 1;
    untyped(
        "nat",
        vec![
            (TYPE, TYPE_DNAT),
            (FAMILY, NFPROTO_IPV4),
            (ADDRESS_REGISTER, Register::Reg1.into()),
            (PORT_REGISTER, Register::Reg32_01.into()),
        ],
    )
}

/// Gives the packet the address of the interface by which it leaves.
pub(super) fn masquerade() -> Expression {
    untyped("masq", vec![])
}

/// Drops the packet.
pub(super) fn drop_packet() -> Expression {
    use netlink_packet_netfilter::nftables::{Immediate, Verdict, VerdictAttribute};
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::Other(NF_DROP))])),
    ])
    .into()
}

/// Goes on only when the source lies in the network.
pub(super) fn source_is_in(network: Ipv4Addr, mask: Ipv4Addr) -> Vec<Expression> {
    address_is_in(SOURCE_ADDRESS, network, mask)
}

/// Goes on only when the destination lies in the network.
pub(super) fn destination_is_in(network: Ipv4Addr, mask: Ipv4Addr) -> Vec<Expression> {
    address_is_in(DESTINATION_ADDRESS, network, mask)
}

/// Goes on only when the connection's destination was translated.
pub(super) fn connection_was_translated() -> Vec<Expression> {
    const DREG: u16 = 1;
    const KEY: u16 = 2;
    const KEY_STATUS: u32 = 2;
    vec![
        untyped("ct", vec![(DREG, Register::Reg1.into()), (KEY, KEY_STATUS)]),
        mask(&CT_STATUS_DNAT.to_ne_bytes()),
        compare(Operator::NotEqual, &[0; 4]),
    ]
}

/// Goes on only when the packet leaves (`Oifname`) or came (`Iifname`) by this interface, or by another.
pub(super) fn interface_is(key: MetaKey, operator: Operator, name: &str) -> Vec<Expression> {
    let mut padded = [0; MAX_INTERFACE_NAME + 1];
    padded.iter_mut().zip(name.bytes().take(MAX_INTERFACE_NAME)).for_each(|(to, from)| *to = from);
    vec![Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]).into(), compare(operator, &padded)]
}

fn address_is_in(offset: u32, network: Ipv4Addr, netmask: Ipv4Addr) -> Vec<Expression> {
    vec![payload(NETWORK_HEADER, offset, 4, Register::Reg1), mask(&netmask.octets()), compare(Operator::Equal, &network.octets())]
}

fn payload(base: u32, offset: u32, length: u32, register: Register) -> Expression {
    Expressions::Payload(vec![Payload::DestinationRegister(register), Payload::Base(base), Payload::Offset(offset), Payload::Len(length)])
        .into()
}

fn mask(bits: &[u8; 4]) -> Expression {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(4),
        Bitwise::Mask(DataAttribute::Value(bits.to_vec())),
        Bitwise::Xor(DataAttribute::Value(vec![0; 4])),
    ])
    .into()
}

fn compare(operator: Operator, data: &[u8]) -> Expression {
    Expressions::Cmp(vec![Cmp::SourceRegister(Register::Reg1), Cmp::Op(operator), Cmp::Data(DataAttribute::Value(data.to_vec()))]).into()
}

fn untyped(name: &str, attributes: Vec<(u16, u32)>) -> Expression {
    let attributes = attributes.into_iter().map(|(kind, value)| DefaultNla::new(kind, value.to_be_bytes().to_vec())).collect();
    Expressions::Other { expression_type: name.into(), attributes }.into()
}
