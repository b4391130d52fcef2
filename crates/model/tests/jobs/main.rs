//! Tests of the job model as its users see it: JSON in, defaults, problems, refusals and reasons out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a test may fail loudly")]

mod canonical;
mod change;
mod declared;
mod diff;
mod generate;
mod reference;
mod support;
mod validate;
mod wire_form;
