//! The elements of the maps: one for each published port.

use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList, SetElementMessage,
};

use super::request;
use super::ruleset::{MAP_ALL_ADDRESSES, MAP_ONE_ADDRESS};
use crate::attachment::{Port, Protocol};
use crate::attributes::{attributes, find, netfilter_attributes};
use crate::netlink::Request;

/// How many elements go into one message, whose attribute has a length of 16 bits.
const ELEMENTS_PER_MESSAGE: usize = 256;
/// The entry of an element's user data that `nft list` shows as its comment.
const USER_DATA_COMMENT: u8 = 0;

/// One published port of one attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// The attachment's id, kept in the kernel as the element's comment.
    pub(crate) owner: &'a str,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: Port,
}

impl Element<'_> {
    /// The key: each field padded to four bytes.
    fn key(&self) -> Vec<u8> {
        let [high, low] = self.port.host_port.to_be_bytes();
        let mut key = self.port.host_ip.map(|ip| ip.octets().to_vec()).unwrap_or_default();
        key.extend([self.port.protocol.number(), 0, 0, 0, high, low, 0, 0]);
        key
    }

    fn data(&self) -> Vec<u8> {
        let [high, low] = self.port.container_port.to_be_bytes();
        let mut data = self.address.octets().to_vec();
        data.extend([high, low, 0, 0]);
        data
    }

    fn comment(&self) -> Vec<u8> {
        let length = u8::try_from(self.owner.len() + 1).unwrap_or(u8::MAX);
        let text = self.owner.bytes().take(usize::from(length) - 1);
        [USER_DATA_COMMENT, length].into_iter().chain(text).chain([0]).collect()
    }
}

/// Adds elements; the kernel refuses one whose key exists.
pub(crate) fn add_elements(table: &str, elements: &[Element<'_>]) -> Vec<Request> {
    messages(table, elements, |element| {
        vec![
            SetElementAttribute::Key(DataAttribute::Value(element.key())),
            SetElementAttribute::Data(DataAttribute::Value(element.data())),
            SetElementAttribute::UserData(element.comment()),
        ]
    })
    .map(|(operation, message)| {
        let message = NfTablesMessage::NewSetElement(message);
        request(format!("add {operation}"), message, NLM_F_CREATE | NLM_F_EXCL)
    })
    .collect()
}

/// Deletes elements; the kernel refuses one that does not exist.
pub(crate) fn delete_elements(table: &str, elements: &[Element<'_>]) -> Vec<Request> {
    messages(table, elements, |element| vec![SetElementAttribute::Key(DataAttribute::Value(element.key()))])
        .map(|(operation, message)| request(format!("delete {operation}"), NfTablesMessage::DeleteSetElement(message), 0))
        .collect()
}

/// Groups the elements by map and cuts each group into messages.
fn messages(
    table: &str,
    elements: &[Element<'_>],
    encode: impl Fn(&Element<'_>) -> Vec<SetElementAttribute>,
) -> impl Iterator<Item = (String, SetElementMessage)> {
    let (one, all): (Vec<_>, Vec<_>) = elements.iter().partition(|e| e.port.host_ip.is_some());
    [(MAP_ONE_ADDRESS, one), (MAP_ALL_ADDRESSES, all)].into_iter().flat_map(move |(map, elements)| {
        let chunks: Vec<_> = elements
            .chunks(ELEMENTS_PER_MESSAGE)
            .map(|chunk| {
                let list = chunk.iter().map(|e| ListAttribute::Element(encode(e))).collect();
                let attributes = vec![SetElementList::Table(table.into()), SetElementList::Set(map.into()), SetElementList::Elements(list)];
                let first = chunk.first().map_or("", |e| e.owner);
                let operation = format!("{} port maps of {first} and others", chunk.len());
                (operation, SetElementMessage { attributes })
            })
            .collect();
        chunks
    })
}

/// Asks for the elements of both maps.
pub(crate) fn dump_elements(table: &str) -> [Request; 2] {
    [MAP_ONE_ADDRESS, MAP_ALL_ADDRESSES].map(|map| {
        let attributes = vec![SetElementList::Table(table.into()), SetElementList::Set(map.into())];
        let message = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
        request(format!("list the nftables map {map}"), message, NLM_F_DUMP)
    })
}

/// The elements in one message of an answer to [`dump_elements`]: owner, address and port.
pub(crate) fn parse_elements(payload: &[u8]) -> Vec<(String, Ipv4Addr, Port)> {
    const ELEMENTS: u16 = 3;
    let list = netfilter_attributes(payload).find(|(kind, _)| *kind == ELEMENTS);
    let list = list.map(|(_, value)| value).unwrap_or_default();
    attributes(list).filter_map(|(_, element)| parse_element(element)).collect()
}

fn parse_element(element: &[u8]) -> Option<(String, Ipv4Addr, Port)> {
    const KEY: u16 = 1;
    const DATA: u16 = 2;
    const USER_DATA: u16 = 6;
    const VALUE: u16 = 1;
    let key = find(find(element, KEY)?, VALUE)?;
    let data: [u8; 8] = find(find(element, DATA)?, VALUE)?.try_into().ok()?;
    let (host_ip, rest) = match key.len() {
        12 => {
            let (ip, rest) = key.split_first_chunk::<4>()?;
            (Some(Ipv4Addr::from(*ip)), rest)
        }
        _ => (None, key),
    };
    let [protocol, _, _, _, high, low, _, _] = *rest.first_chunk::<8>()?;
    let [a, b, c, d, to_high, to_low, _, _] = data;
    let port = Port {
        protocol: Protocol::from_number(protocol)?,
        host_port: u16::from_be_bytes([high, low]),
        host_ip,
        container_port: u16::from_be_bytes([to_high, to_low]),
    };
    let owner = find(element, USER_DATA).map(comment).unwrap_or_default();
    Some((owner, Ipv4Addr::new(a, b, c, d), port))
}

fn comment(user_data: &[u8]) -> String {
    match user_data {
        [USER_DATA_COMMENT, _, text @ ..] => crate::attributes::text(text),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::cast_possible_truncation)]
    use super::*;
    use crate::attachment::MAX_ID;
    use crate::attributes::frames;

    fn port(host_ip: Option<[u8; 4]>, host_port: u16) -> Port {
        let host_ip = host_ip.map(Ipv4Addr::from);
        Port { protocol: Protocol::Tcp, host_port, host_ip, container_port: 80 }
    }

    fn element(host_ip: Option<[u8; 4]>, host_port: u16) -> Element<'static> {
        Element { owner: "web", address: Ipv4Addr::new(10, 0, 0, 2), port: port(host_ip, host_port) }
    }

    #[test]
    fn keys_and_data_are_padded_words() {
        let all = element(None, 8080);
        assert_eq!(all.key(), [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(all.data(), [10, 0, 0, 2, 0, 80, 0, 0]);
        assert_eq!(all.comment(), b"\x00\x04web\x00");
        let one = element(Some([127, 0, 0, 1]), 8080);
        assert_eq!(one.key(), [127, 0, 0, 1, 6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let elements = [element(None, 8080), element(Some([127, 0, 0, 1]), 8081)];
        let read: Vec<_> =
            add_elements("floe", &elements).iter().flat_map(|r| parse_elements(frames(r.bytes()).next().unwrap().payload)).collect();
        let owner = || "web".to_owned();
        let address = Ipv4Addr::new(10, 0, 0, 2);
        assert_eq!(read, [(owner(), address, port(Some([127, 0, 0, 1]), 8081)), (owner(), address, port(None, 8080)),]);
    }

    #[test]
    fn messages_hold_a_bounded_number_of_elements() {
        let owner = "x".repeat(MAX_ID);
        let elements: Vec<_> =
            (1..=ELEMENTS_PER_MESSAGE as u16 + 1).map(|p| Element { owner: &owner, ..element(Some([127, 0, 0, 1]), p) }).collect();
        assert_eq!(add_elements("floe", &elements[1..]).len(), 1);
        let two = add_elements("floe", &elements);
        assert_eq!(two.len(), 2);
        assert!(two[0].bytes().len() < usize::from(u16::MAX));
        let count: usize = two.iter().map(|r| parse_elements(frames(r.bytes()).next().unwrap().payload).len()).sum();
        assert_eq!(count, elements.len());
    }

    #[test]
    fn nonsense_from_the_kernel_is_no_element() {
        assert!(parse_elements(&[]).is_empty());
        assert!(parse_elements(&[0xff; 64]).is_empty());
    }
}
