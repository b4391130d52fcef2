//! Which of the feasible nodes is best.

pub(crate) mod score;
pub(crate) mod spread;
pub(crate) mod tally;
