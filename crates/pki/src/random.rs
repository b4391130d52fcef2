//! Random bytes of the kernel, for keys, ids, serial numbers and tokens. The only place that draws any.

use zeroize::Zeroizing;

/// `N` random bytes, zeroed when dropped.
pub(crate) fn bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut drawn = Zeroizing::new([0; N]);
    getrandom::fill(drawn.as_mut_slice()).expect("invariant: the kernel of every system that floe runs on has random numbers");
    drawn
}
