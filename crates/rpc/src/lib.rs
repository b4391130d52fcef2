//! Calls between agents: HTTP/2 over mutual TLS, on the RPC port.
//!
//! ```text
//! Channels::call(address, request, deadline) --one connection an address--> Acceptor::accept --> (stream, Caller)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`channels`] | the caller's side: connections that are made when needed, shared, and made anew when they die |
//! | [`servers`] | which servers there are, and which is asked |
//! | [`error`] | what a caller is told when there is no answer |
//! | [`accept`] | the other side: the handshake, and who calls |
//!
//! An address is no identity: a call that is meant for one server names it in a header, and the server looks. Every call has a deadline. A
//! connection whose other end is silent for ten seconds is given up ([`channels::SILENCE`]). What was certainly not sent is told from what may
//! have been done ([`CallError::is_certainly_unsent`]), because only the first may be tried again by itself.
//!
//! | task | input | output |
//! |---|---|---|
//! | one for each connection that is being made, at most five seconds | an address | a connection, shared by all calls that wait for it |
//! | one for each connection (of hyper) | requests, frames | answers; ends with the connection |
#![forbid(unsafe_code)]

pub mod accept;
pub mod channels;
pub mod error;
pub mod servers;

pub use accept::{Acceptor, Caller, Stream};
pub use channels::{Channels, Security, read_body};
pub use error::CallError;
pub use servers::Servers;
