//! Guesses which name was meant, for "did you mean".

/// Longer names are not compared: the cost is the product of the lengths.
const MAX_NAME_BYTES: usize = 48;
/// More candidates than these are not looked at.
const MAX_CANDIDATES: usize = 500;

/// The candidate that differs least from `name`, if it is close enough to be a
/// slip of the finger: one edit, or two in a name of more than four letters.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let allowed = if name.len() > 4 { 2 } else { 1 };
    let close = candidates
        .take(MAX_CANDIDATES)
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= allowed)
        .map(|candidate| (edits(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|&(edits, _)| edits <= allowed);
    close.min().map(|(_, candidate)| candidate)
}

/// Insertions, removals, replacements and swaps of neighbours between the two
/// (optimal string alignment).
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut older: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut before_a = None;
    for (row, &x) in a.iter().enumerate() {
        let mut current = Vec::with_capacity(above.len());
        current.push(row + 1);
        let mut before_b = None;
        for (column, &y) in b.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&above, column) + usize::from(x != y);
            let mut best = replaced.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            if before_a == Some(y) && before_b == Some(x) && column > 0 {
                best = best.min(at(&older, column - 1) + 1);
            }
            current.push(best);
            before_b = Some(y);
        }
        older = std::mem::replace(&mut above, current);
        before_a = Some(x);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_only() {
        let names = ["count", "driver", "config", "env"];
        assert_eq!(nearest("cuont", names.into_iter()), Some("count"));
        assert_eq!(nearest("drivers", names.into_iter()), Some("driver"));
        assert_eq!(nearest("evn", names.into_iter()), Some("env"));
        assert_eq!(nearest("resources", names.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(49), names.into_iter()), None);
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits(b"", b"abc"), 3);
        assert_eq!(edits(b"abc", b"abc"), 0);
        assert_eq!(edits(b"abcd", b"acbd"), 1);
        assert_eq!(edits(b"kitten", b"sitting"), 3);
    }
}
