//! The contract over HTTP: every route, what it takes and what it answers, and a client that speaks it.
//!
//! | module | holds |
//! |---|---|
//! | [`route`] | [`route::Route`]: every action, parsed from method and escaped path; an action that is not listed does not exist |
//! | [`filter`] | the filter of lists: parsed, and put to the objects of an answer |
//! | [`reason`] | why a request was refused, for programs |
//! | [`query`] | the parameters that all routes share |
//! | [`types`] | requests and responses, with the JSON names that clients know |
//! | [`node`] | what the HTTP layer asks of the node in its own process |
//! | [`rpc`] | what nodes and servers say to each other |
//! | [`client`] | a typed client for the command line and for tests |
#![forbid(unsafe_code)]

pub mod client;
pub mod filter;
pub mod node;
pub mod query;
pub mod reason;
pub mod route;
pub mod rpc;
pub mod types;

pub use client::{ApiClient, ApiError, Rows};
pub use filter::{Filter, FilterError};
pub use node::NodeApi;
pub use query::Query;
pub use reason::{REASON_HEADER, Reason};
pub use route::{Method, Route, RouteError};

/// The port of the HTTP API.
pub const HTTP_PORT: u16 = 4646;
/// The port of the RPC protocol.
pub const RPC_PORT: u16 = 4647;

/// The attribute of a node that says where its agent listens for RPC, as `host:port`.
pub const RPC_ADDRESS_ATTRIBUTE: &str = "unique.floe.rpc_address";

/// Largest body of a request in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Largest body of a request that carries a job, in bytes.
pub const MAX_JOB_BODY_BYTES: usize = 4 << 20;
/// Largest body of a request that carries a snapshot, in bytes.
pub const MAX_SNAPSHOT_BODY_BYTES: usize = 512 << 20;
/// Largest frame of the RPC protocol in bytes.
pub const MAX_RPC_FRAME_BYTES: usize = 8 << 20;

/// The index that an answer is true at.
pub const INDEX_HEADER: &str = "x-nomad-index";
/// Whether the cluster has a leader.
pub const KNOWN_LEADER_HEADER: &str = "x-nomad-knownleader";
/// Milliseconds since this server last heard of the leader.
pub const LAST_CONTACT_HEADER: &str = "x-nomad-lastcontact";
/// The SHA-256 of a snapshot as it travels: `sha-256=` and the digest in base64.
pub const DIGEST_HEADER: &str = "digest";
/// Where the next page begins.
pub const NEXT_TOKEN_HEADER: &str = "x-nomad-nexttoken";
