//! Objects in a store that speaks S3: Amazon's, Hetzner Object Storage, MinIO, Garage, Ceph.
//!
//! What it promises: an object is there as a whole or not at all, and [`Store::put`] says so only after the store showed that it has it.
//! Every call is signed (Signature Version 4, the body's SHA-256 among it), has a deadline, is tried again when that may help, and reads a
//! bounded answer. It never knows what is in an object, keeps nothing between two stores, and never shows a key.
//!
//! | module | holds |
//! |---|---|
//! | `config` | which bucket, where, and what its objects are called |
//! | `credentials` | the keys, from files |
//! | `sign` | a call as a signed request |
//! | `transport` | HTTP over TLS, with deadlines and bounds |
//! | `calls` | one call, tried again; what went wrong in words |
//! | `store`, `upload` | what can be done with objects |
//! | `xml` | the answers |
#![forbid(unsafe_code)]

mod calls;
mod config;
mod credentials;
mod error;
mod sign;
mod store;
mod transport;
mod upload;
mod xml;

pub use config::{Config, ConfigError, Endpoint, Tuning};
pub use credentials::CredentialFiles;
pub use error::S3Error;
pub use store::{Object, Store, Upload};
