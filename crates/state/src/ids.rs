//! Ids drawn from a seed, so that every server draws the same.

/// A source of ids. The leader seeds it with 128 random bits per command; two commands never share a seed.
#[derive(Clone, Debug)]
pub struct IdSource {
    high: u64,
    low: u64,
}

impl IdSource {
    /// A source that yields the same ids for the same seed.
    pub fn new(seed: (u64, u64)) -> Self {
        Self { high: seed.0, low: seed.1 }
    }

    /// The next id: a UUID (version 4 in form).
    pub fn next_uuid(&mut self) -> String {
        let (a, b) = (split_mix(&mut self.high), split_mix(&mut self.low));
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): one step of a Weyl sequence and a finaliser.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_ids_and_no_id_twice() {
        let (mut a, mut b) = (IdSource::new((1, 2)), IdSource::new((1, 2)));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..10_000 {
            let id = a.next_uuid();
            assert_eq!(id, b.next_uuid());
            assert_eq!(id.len(), 36);
            assert!(seen.insert(id));
        }
    }
}
