//! How long a certificate counts, and when it should be replaced. Pure.

use floe_model::{Nanos, Timestamp};

/// The life of a certificate, both ends included, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment at which it counts.
    pub not_before: Timestamp,
    /// The last moment at which it counts.
    pub not_after: Timestamp,
}

impl Validity {
    /// The moment from which a new certificate should be asked for: two thirds of the life are over, so a third is left for attempts.
    pub fn renew_at(self) -> Timestamp {
        let life = self.not_after.since(self.not_before);
        self.not_before.plus(Nanos(life.0.max(0) / 3 * 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIFE: Validity = Validity { not_before: Timestamp(1_000), not_after: Timestamp(1_300) };

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
        assert_eq!(LIFE.renew_at(), Timestamp(1_200));
    }

    proptest! {
        #[test]
        fn the_moment_of_renewal_lies_within_the_life(not_before: i64, life in 0i64..i64::MAX) {
            let validity = Validity { not_before: Timestamp(not_before), not_after: Timestamp(not_before).plus(Nanos(life)) };
            prop_assert!(validity.not_before <= validity.renew_at() && validity.renew_at() <= validity.not_after);
        }
    }
}
