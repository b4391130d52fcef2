//! Which images go: those that nobody has used for a while, and more of them, the longest unused first, when all together are too large.

use std::{collections::BTreeSet, time::Duration};

/// How long images stay that nobody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// At least so long after their last use, unless there are too many.
    pub delay: Duration,
    /// As many bytes, unpacked, as all images together may have; what is in use may pass it.
    pub max_bytes: u64,
}

/// What the decision is made from.
#[derive(Clone, Debug)]
pub(crate) struct Held<'a> {
    pub(crate) key: &'a str,
    /// Milliseconds since 1970.
    pub(crate) used_at_ms: u64,
    pub(crate) in_use: bool,
    /// Names and sizes of its layers.
    pub(crate) layers: Vec<(&'a str, u64)>,
}

/// The keys of the images that go now. A layer counts once, however many images have it.
pub(crate) fn collect(held: &[Held<'_>], now_ms: u64, keep: Keep) -> BTreeSet<String> {
    let delay_ms = u64::try_from(keep.delay.as_millis()).unwrap_or(u64::MAX);
    let mut idle: Vec<&Held<'_>> = held.iter().filter(|h| !h.in_use).collect();
    idle.sort_by_key(|h| (h.used_at_ms, h.key));
    let mut gone: BTreeSet<String> = BTreeSet::new();
    for image in idle {
        // A clock that was set back makes nothing old.
        let is_old = now_ms.saturating_sub(image.used_at_ms) >= delay_ms;
        if is_old || bytes(held, &gone) > keep.max_bytes {
            gone.insert(image.key.to_owned());
        }
    }
    gone
}

fn bytes(held: &[Held<'_>], gone: &BTreeSet<String>) -> u64 {
    let layers: BTreeSet<(&str, u64)> = held.iter().filter(|h| !gone.contains(h.key)).flat_map(|h| h.layers.iter().copied()).collect();
    layers.iter().fold(0, |sum, (_, size)| sum.saturating_add(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(key: &'static str, used_at_ms: u64, in_use: bool, layers: &[(&'static str, u64)]) -> Held<'static> {
        Held { key, used_at_ms, in_use, layers: layers.to_vec() }
    }

    fn gone(held: &[Held<'_>], now_ms: u64, delay_ms: u64, max_bytes: u64) -> String {
        collect(held, now_ms, Keep { delay: Duration::from_millis(delay_ms), max_bytes }).into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_old_goes_and_what_is_used_stays() {
        let all = [held("a", 10, false, &[("x", 1)]), held("b", 20, false, &[("x", 1)]), held("c", 0, true, &[("y", 1)])];
        assert_eq!(gone(&all, 29, 20, 100), "");
        assert_eq!(gone(&all, 30, 20, 100), "a");
        assert_eq!(gone(&all, 40, 20, 100), "a b");
        assert_eq!(gone(&all, 5, 20, 100), "");
    }

    #[test]
    fn when_there_is_too_much_the_longest_unused_goes_first() {
        let all = [held("a", 10, false, &[("x", 50), ("z", 5)]), held("b", 20, false, &[("y", 50)]), held("c", 0, true, &[("x", 50)])];
        assert_eq!(gone(&all, 30, 1000, 105), "");
        assert_eq!(gone(&all, 30, 1000, 104), "a");
        // Without "a" the layer that "c" uses is still there.
        assert_eq!(gone(&all, 30, 1000, 99), "a b");
        assert_eq!(gone(&all, 30, 1000, 0), "a b");
    }
}
