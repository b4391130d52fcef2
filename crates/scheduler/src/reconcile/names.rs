//! The indexes of a group's allocations: every one once, the lowest first.

use std::collections::BTreeSet;

/// Which indexes are in use.
#[derive(Debug, Default)]
pub(crate) struct Names {
    used: BTreeSet<u32>,
    /// No free index is below this.
    lowest: u32,
}

impl Names {
    pub(crate) fn new(used: impl IntoIterator<Item = u32>) -> Self {
        Self { used: used.into_iter().collect(), lowest: 0 }
    }

    /// Takes `wanted` when it is free and below `count`, else the lowest that is free.
    pub(crate) fn take(&mut self, wanted: Option<u32>, count: u32) -> u32 {
        match wanted.filter(|w| *w < count && !self.used.contains(w)) {
            Some(index) => {
                self.used.insert(index);
                index
            }
            None => self.next(),
        }
    }

    /// Takes the lowest free index.
    pub(crate) fn next(&mut self) -> u32 {
        while !self.used.insert(self.lowest) {
            self.lowest += 1;
        }
        self.lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_index_comes_first() {
        let mut names = Names::new([0, 2, 5]);
        assert_eq!([names.next(), names.next(), names.next(), names.next()], [1, 3, 4, 6]);
    }

    #[test]
    fn a_wanted_index_is_given_when_it_is_free_and_not_too_high() {
        let mut names = Names::new([1]);
        assert_eq!(names.take(Some(2), 3), 2);
        assert_eq!(names.take(Some(2), 3), 0);
        assert_eq!(names.take(Some(7), 3), 3);
        assert_eq!(names.take(None, 9), 4);
    }
}
