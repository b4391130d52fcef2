//! Root keys, which seal the cluster's secrets, and the key-encryption keys that wrap them so that the log may hold them.
//!
//! | module | holds |
//! |---|---|
//! | [`root`] | [`RootKey`]: seals and opens |
//! | [`keks`] | [`Keks`]: the key-encryption keys of an agent; wraps and unwraps |
//! | [`config`] | [`KekConfig`]: what an agent is told of them |
//!
//! What holds everywhere:
//! - A key is zeroed when dropped, and neither printed, nor logged, nor written anywhere.
//! - What is sealed or wrapped carries which key opens it, and opens with no other, and for nothing that it was not made for.
//! - Nothing here knows what is sealed, or where wraps are kept. There is no task and no clock but the deadlines of calls to a Vault.
#![forbid(unsafe_code)]

mod age;
mod cipher;
pub mod config;
mod error;
pub mod keks;
mod payload;
pub mod root;
mod secret_file;
mod symmetric;
mod transit;

pub use config::{KekConfig, Provider, Transit};
pub use error::{KekError, OpenError, SealError, UnwrapFailure};
pub use floe_model::keyring::{KeyId, Sealed, Wrapped};
pub use keks::Keks;
pub use root::RootKey;
pub use symmetric::{KeyFileError, draw_key_file};
