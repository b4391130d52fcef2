//! Which addresses of the subnet are taken, and which one comes next.
//!
//! Pure. The search goes on from the address given last and wraps around (next fit), so an address that
//! was just freed is the last to be used again: peers that still remember it do not meet a stranger.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::config::Subnet;

/// The addresses of one subnet.
#[derive(Debug)]
pub(crate) struct AddressPool {
    subnet: Subnet,
    taken: BTreeSet<u32>,
    next: u32,
}

/// Why an address cannot be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Not an allocation's address in this subnet.
    Outside,
    /// Somebody has it.
    Taken,
}

impl AddressPool {
    /// An empty pool; network address, gateway and broadcast are never given out.
    pub(crate) fn new(subnet: Subnet) -> Self {
        let next = subnet.gateway().to_bits().saturating_add(1);
        Self { subnet, taken: BTreeSet::new(), next }
    }

    /// How many addresses the pool can hold.
    pub(crate) fn capacity(&self) -> usize {
        (self.last() - self.first() + 1) as usize
    }

    /// Takes the next free address, or none when all are taken.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        let found = self.first_free(self.next, self.last()).or_else(|| self.first_free(self.first(), self.next.saturating_sub(1)))?;
        self.taken.insert(found);
        self.next = found + 1;
        Some(Ipv4Addr::from_bits(found))
    }

    /// Takes this very address, as when an attachment is known from before a restart. The search then
    /// goes on behind it.
    pub(crate) fn claim(&mut self, address: Ipv4Addr) -> Result<(), ClaimError> {
        let bits = address.to_bits();
        if !(self.first()..=self.last()).contains(&bits) {
            return Err(ClaimError::Outside);
        }
        if !self.taken.insert(bits) {
            return Err(ClaimError::Taken);
        }
        self.next = self.next.max(bits + 1);
        Ok(())
    }

    /// Gives an address back; one that was not taken is ignored.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        self.taken.remove(&address.to_bits());
    }

    fn first(&self) -> u32 {
        self.subnet.gateway().to_bits() + 1
    }

    fn last(&self) -> u32 {
        self.subnet.broadcast().to_bits() - 1
    }

    /// Walks the taken addresses from `from` on and stops at the first gap.
    fn first_free(&self, from: u32, to: u32) -> Option<u32> {
        let mut candidate = from;
        for taken in self.taken.range(from..) {
            if *taken != candidate {
                break;
            }
            candidate += 1;
        }
        (candidate <= to).then_some(candidate)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn pool(subnet: &str) -> AddressPool {
        AddressPool::new(subnet.parse().unwrap())
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_address_follows_the_gateway() {
        assert_eq!(pool("10.0.0.0/24").take(), Some(ip("10.0.0.2")));
    }

    #[test]
    fn a_freed_address_comes_last() {
        let mut pool = pool("10.0.0.0/29");
        let first = pool.take().unwrap();
        pool.release(first);
        let others: Vec<_> = (0..4).map(|_| pool.take().unwrap()).collect();
        assert!(!others.contains(&first));
        assert_eq!(pool.take(), Some(first));
    }

    #[test]
    fn exactly_the_capacity_fits() {
        let mut pool = pool("10.0.0.0/29");
        assert_eq!(pool.capacity(), 5);
        for _ in 0..5 {
            pool.take().unwrap();
        }
        assert_eq!(pool.take(), None);
        pool.release(ip("10.0.0.4"));
        assert_eq!(pool.take(), Some(ip("10.0.0.4")));
    }

    #[test]
    fn claims_are_checked() {
        let mut pool = pool("10.0.0.0/29");
        for outside in ["10.0.0.0", "10.0.0.1", "10.0.0.7", "10.0.1.2", "9.255.255.255"] {
            assert_eq!(pool.claim(ip(outside)), Err(ClaimError::Outside), "{outside}");
        }
        pool.claim(ip("10.0.0.6")).unwrap();
        assert_eq!(pool.claim(ip("10.0.0.6")), Err(ClaimError::Taken));
        // The search starts behind the claimed one, which was the last: it wraps.
        assert_eq!(pool.take(), Some(ip("10.0.0.2")));
    }

    proptest! {
        #[test]
        fn no_address_is_given_twice(steps in proptest::collection::vec(proptest::option::of(0usize..8), 0..200)) {
            let mut pool = pool("10.0.0.0/28");
            let mut held: Vec<Ipv4Addr> = Vec::new();
            for step in steps {
                match step {
                    None => match pool.take() {
                        Some(address) => {
                            prop_assert!(!held.contains(&address));
                            prop_assert!(address > ip("10.0.0.1") && address < ip("10.0.0.15"));
                            held.push(address);
                        }
                        None => prop_assert_eq!(held.len(), pool.capacity()),
                    },
                    Some(n) if n < held.len() => pool.release(held.swap_remove(n)),
                    Some(_) => {}
                }
            }
        }
    }
}
