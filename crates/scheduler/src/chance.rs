//! Chance from a seed: the same seed, the same choices.

/// A generator of random numbers (SplitMix64, Steele, Lea, Flood 2014). Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// A generator that always yields the same numbers for the same seed.
    pub(crate) fn new(seed: (u64, u64)) -> Self {
        // Ids are drawn from both halves of the same seed; the constant keeps this sequence apart from theirs.
        Self(seed.0.rotate_left(32) ^ seed.1 ^ 0x005e_ed0f_c4a0_ce00)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; zero when `bound` is zero. The bias is at most `bound` / 2^64.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.next()) * bound as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }
}

/// Visits `0..len` once each in an order drawn from chance, without holding the order in memory, and remembers where it stopped.
///
/// It is an arithmetic progression whose step shares no factor with `len`: cheap at any length, and good enough to keep schedulers
/// that work at the same time off each other's nodes.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    len: usize,
    step: usize,
    position: usize,
}

/// How many steps are tried before the walk goes one by one.
const STEP_TRIES: usize = 32;

impl Walk {
    pub(crate) fn new(len: usize, chance: &mut Chance) -> Self {
        let position = chance.below(len);
        let step = (0..STEP_TRIES).map(|_| 1 + chance.below(len.saturating_sub(1))).find(|step| coprime(*step, len)).unwrap_or(1);
        Self { len, step, position }
    }

    /// The next number; goes round for ever. `None` when there is none at all.
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let here = self.position;
        self.position = (self.position + self.step) % self.len;
        Some(here)
    }
}

fn coprime(mut a: usize, mut b: usize) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_visits_everything_once_and_starts_again_where_it_stopped() {
        for len in [0usize, 1, 2, 3, 7, 64, 210, 1000] {
            for seed in 0..20 {
                let mut walk = Walk::new(len, &mut Chance::new((seed, 1)));
                for _round in 0..2 {
                    let mut seen: Vec<usize> = (0..len).filter_map(|_| walk.next()).collect();
                    seen.sort_unstable();
                    assert_eq!(seen, (0..len).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn orders_differ_between_seeds_and_numbers_stay_below_their_bound() {
        let order = |seed| {
            let mut walk = Walk::new(1000, &mut Chance::new((seed, 9)));
            (0..5).filter_map(|_| walk.next()).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut chance = Chance::new((3, 4));
        assert!((0..1000).all(|_| chance.below(3) < 3));
        assert_eq!(chance.below(0), 0);
    }
}
