//! Functions on address ranges.

use core::net::IpAddr;

use super::{Call, Done, Failure, Function, function};
use crate::limits::MAX_ELEMENTS;

pub(super) const FUNCTIONS: &[Function] = &[
    function("cidrhost", 2, 2, host),
    function("cidrnetmask", 1, 1, netmask),
    function("cidrsubnet", 3, 3, subnet),
    function("cidrsubnets", 1, super::ANY, subnets),
];

/// A range: the bits of its first address, how long its prefix is, how long addresses are.
#[derive(Clone, Copy)]
struct Range {
    bits: u128,
    prefix: u32,
    width: u32,
}

impl Range {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong =
            || Failure::Message(format!("{} is no address range: write for example \"10.0.0.0/16\"", crate::diagnostic::quoted(text)));
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let prefix: u32 = prefix.parse().map_err(|_| wrong())?;
        let (bits, width) = match address.parse::<IpAddr>().map_err(|_| wrong())? {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        if prefix > width {
            return Err(wrong());
        }
        Ok(Self { bits: bits & !ones(width - prefix), prefix, width })
    }

    fn address(self, bits: u128) -> String {
        match u32::try_from(bits) {
            Ok(v4) if self.width == 32 => core::net::Ipv4Addr::from_bits(v4).to_string(),
            _ => core::net::Ipv6Addr::from_bits(bits).to_string(),
        }
    }

    fn text(self) -> String {
        format!("{}/{}", self.address(self.bits), self.prefix)
    }

    /// The range with `more` bits of prefix, and the number in them.
    fn narrowed(self, more: u32, number: u128) -> Result<Self, Failure> {
        let prefix = self.prefix.checked_add(more).filter(|p| *p <= self.width);
        let prefix = prefix.ok_or_else(|| format!("{} more bits do not fit into /{}", more, self.prefix))?;
        if number > ones(more) {
            return Err(format!("there is no subnet {number} with {more} more bits").into());
        }
        let shifted = number.checked_shl(self.width - prefix).unwrap_or(0);
        Ok(Self { bits: self.bits | shifted, prefix, width: self.width })
    }
}

fn ones(count: u32) -> u128 {
    1_u128.checked_shl(count).map_or(u128::MAX, |bit| bit - 1)
}

fn bits(c: &Call<'_>, i: usize) -> Result<u32, Failure> {
    u32::try_from(c.count(i)?).map_err(|_| c.wrong(i, "a number of bits"))
}

fn host(c: &Call<'_>) -> Done {
    let range = Range::parse(&c.text(0)?)?;
    let (number, all) = (c.int(1)?, ones(range.width - range.prefix));
    let away = u128::from(number.unsigned_abs());
    let offset = if number < 0 { all.checked_sub(away - 1) } else { Some(away).filter(|n| *n <= all) };
    match offset {
        Some(offset) => c.make_text(range.address(range.bits | offset)),
        None => Err(format!("{} has no host {number}", range.text()).into()),
    }
}

fn netmask(c: &Call<'_>) -> Done {
    let range = Range::parse(&c.text(0)?)?;
    if range.width != 32 {
        return Err("only IPv4 has masks; write the prefix length for IPv6".into());
    }
    c.make_text(range.address(ones(32) & !ones(32 - range.prefix)))
}

fn subnet(c: &Call<'_>) -> Done {
    let range = Range::parse(&c.text(0)?)?;
    let number = c.count(2)? as u128;
    c.make_text(range.narrowed(bits(c, 1)?, number)?.text())
}

fn subnets(c: &Call<'_>) -> Done {
    let range = Range::parse(&c.text(0)?)?;
    if c.len() > MAX_ELEMENTS {
        return Err(Failure::Bound(format!("cidrsubnets makes more than {MAX_ELEMENTS} elements, the limit")));
    }
    let mut next = range.bits;
    let last = range.bits | ones(range.width - range.prefix);
    let mut out = Vec::new();
    let mut full = false;
    for i in 1..c.len() {
        let part = range.narrowed(bits(c, i)?, 0)?;
        let size = ones(part.width - part.prefix);
        // Each subnet begins at a multiple of its size.
        let start = next.checked_add(size).map_or(u128::MAX, |n| n & !size);
        let end = start.checked_add(size).filter(|end| *end <= last && !full);
        let Some(end) = end else { return Err(format!("{} has no room for subnet {i}", range.text()).into()) };
        out.push(Range { bits: start, ..part }.text());
        full = end == u128::MAX;
        next = end.saturating_add(1);
    }
    c.make_texts(out.into_iter())
}
