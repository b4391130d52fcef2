//! Whether what clients saw could have happened one operation at a time, each between its call and its answer: linearizability. For tests.
//!
//! ```text
//! clients -> History (called, answered | refused | never heard of again) -> check -> an order that explains it, or where no order goes on
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`operation`] | [`History`]: what was called and answered, in the order in which that happened |
//! | [`model`] | [`Model`]: what a thing would do that does one operation at a time |
//! | [`register`] | [`Register`]: a value that is read, written, and swapped if it is what one thinks |
//! | [`check`] | the search for an order |
//!
//! The search is Wing and Gong's ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of what was tried ("Testing for
//! linearizability", 2017). It is exponential at worst, so it counts its steps and gives up rather than run for ever.
//!
//! Invariants:
//! - An operation that was never answered may have happened at any time after its call, or not at all.
//! - A history is never called a violation unless every order was tried.
#![forbid(unsafe_code)]

pub mod check;
pub mod model;
pub mod operation;
pub mod register;

pub use check::{STEPS, Verdict, Violation, check, check_each};
pub use model::Model;
pub use operation::{Answer, Call, History, Operation};
pub use register::{Register, RegisterInput, RegisterOutput};
