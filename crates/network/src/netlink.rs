//! A blocking netlink socket: requests in, acknowledgements and dumps out, each with a deadline.
//!
//! It blocks, so it lives on the network's own threads and never on an async worker. A socket stays in
//! the network namespace in which it was opened, whatever its thread does later. Answers to a call that
//! was given up are recognised by their sequence number and dropped.

use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::attributes::{Frame, frames};
use crate::error::KernelError;

/// How long the kernel may take for one answer.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// Size of the receive buffer; the kernel never sends a larger datagram of messages.
const REPLY_BYTES: usize = 64 * 1024;
/// Largest nftables transaction, in bytes: more than 100,000 port maps.
pub(crate) const MAX_TRANSACTION_BYTES: usize = 32 * 1024 * 1024;
/// The kernel's number for nftables (`NFNL_SUBSYS_NFTABLES`), which names a batch's subject.
const SUBSYSTEM_NFTABLES: u16 = 10;
/// How often a dump is repeated when the table changes while it is read.
const DUMP_ATTEMPTS: u32 = 5;

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Links, addresses and routes.
    Route,
    /// nftables and connection tracking.
    Netfilter,
}

/// One encoded message and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// What it does, with its object, to follow "cannot".
    pub(crate) operation: String,
    /// What the kernel lacks when it does not know this kind of message.
    pub(crate) feature: Option<&'static str>,
    bytes: Vec<u8>,
}

impl Request {
    /// Encodes a message; `flags` are those besides "request".
    pub(crate) fn new<M>(operation: impl Into<String>, message: M, flags: u16) -> Self
    where
        M: NetlinkSerializable,
        NetlinkPayload<M>: From<M>,
    {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        Self { operation: operation.into(), feature: None, bytes }
    }

    /// Names what the kernel lacks when it does not know this message.
    pub(crate) fn needs(self, feature: &'static str) -> Self {
        Self { feature: Some(feature), ..self }
    }

    /// The encoded message with sequence number 0.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends the message to a datagram under this sequence number.
    fn append(&self, datagram: &mut Vec<u8>, sequence: u32, extra_flags: u16) {
        let start = datagram.len();
        datagram.extend_from_slice(&self.bytes);
        if let Some(header) = datagram.get_mut(start..).and_then(|m| m.first_chunk_mut::<12>()) {
            let [_, _, _, _, _, _, f0, f1, s0, s1, s2, s3] = header;
            [*f0, *f1] = (u16::from_ne_bytes([*f0, *f1]) | extra_flags).to_ne_bytes();
            [*s0, *s1, *s2, *s3] = sequence.to_ne_bytes();
        }
        datagram.resize(datagram.len().next_multiple_of(4), 0);
    }
}

/// Turns an error number into an error that says what is missing, where that is the case.
pub(crate) fn refusal(operation: &str, feature: Option<&'static str>, errno: i32) -> KernelError {
    let source = std::io::Error::from_raw_os_error(errno);
    let operation = operation.to_owned();
    let lacking = [Errno::EOPNOTSUPP, Errno::EPROTONOSUPPORT, Errno::EAFNOSUPPORT, Errno::ENOENT];
    match feature.filter(|_| lacking.iter().any(|e| *e as i32 == errno)) {
        Some(feature) => KernelError::MissingFeature { operation, feature, source },
        None => KernelError::Refused { operation, source },
    }
}

/// A netlink socket.
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
    reply: Vec<u8>,
    send_buffer: usize,
}

impl Channel {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open(family: Family) -> Result<Self, KernelError> {
        let (protocol, name, feature) = match family {
            Family::Route => (netlink_sys::protocols::NETLINK_ROUTE, "routing", None),
            Family::Netfilter => {
                (netlink_sys::protocols::NETLINK_NETFILTER, "netfilter", Some("CONFIG_NETFILTER_NETLINK (module nfnetlink)"))
            }
        };
        let operation = format!("open the {name} netlink socket");
        let socket = open_socket(protocol).map_err(|e| refusal(&operation, feature, e.raw_os_error().unwrap_or(libc::EIO)))?;
        Ok(Self { socket, sequence: 0, reply: vec![0; REPLY_BYTES], send_buffer: 0 })
    }

    /// Sends the requests in one datagram and waits until each is acknowledged. The kernel works
    /// through all of them; the first refusal is returned.
    pub(crate) fn call(&mut self, requests: &[Request]) -> Result<(), KernelError> {
        let Some(last) = requests.last() else { return Ok(()) };
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(requests.iter().map(|r| r.bytes.len() + 4).sum());
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            request.append(&mut datagram, self.sequence, NLM_F_ACK);
        }
        self.send(&datagram, &last.operation)?;
        let mut outcome = Ok(());
        let mut waiting = requests.len();
        while waiting > 0 {
            self.receive(&last.operation, |frame| {
                let index = frame.sequence.wrapping_sub(first) as usize;
                let (Some(request), NLMSG_ERROR) = (requests.get(index), frame.kind) else { return };
                waiting = waiting.saturating_sub(1);
                let errno = frame.status().unwrap_or(-libc::EIO);
                if errno != 0 && outcome.is_ok() {
                    outcome = Err(refusal(&request.operation, request.feature, -errno));
                }
            })?;
        }
        outcome
    }

    /// Asks for one object or for all (with the dump flag) and collects what `parse` makes of them.
    /// A dump that the kernel marks as inconsistent is repeated.
    pub(crate) fn query<T>(&mut self, request: &Request, mut parse: impl FnMut(u16, &[u8]) -> Option<T>) -> Result<Vec<T>, KernelError> {
        for _ in 0..DUMP_ATTEMPTS {
            let (found, interrupted) = self.query_once(request, &mut parse)?;
            if !interrupted {
                return Ok(found);
            }
        }
        Err(KernelError::refused(request.operation.as_str(), Errno::EBUSY))
    }

    fn query_once<T>(&mut self, request: &Request, parse: &mut impl FnMut(u16, &[u8]) -> Option<T>) -> Result<(Vec<T>, bool), KernelError> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut datagram = Vec::with_capacity(request.bytes.len());
        request.append(&mut datagram, sequence, NLM_F_ACK);
        self.send(&datagram, &request.operation)?;
        let (mut found, mut interrupted, mut status) = (Vec::new(), false, None);
        while status.is_none() {
            self.receive(&request.operation, |frame| {
                if frame.sequence != sequence {
                    return;
                }
                interrupted |= frame.flags & NLM_F_DUMP_INTR != 0;
                match frame.kind {
                    NLMSG_DONE | NLMSG_ERROR => status = Some(frame.status().unwrap_or(0)),
                    kind => found.extend(parse(kind, frame.payload)),
                }
            })?;
        }
        match status {
            Some(errno) if errno < 0 => Err(refusal(&request.operation, request.feature, -errno)),
            _ => Ok((found, interrupted)),
        }
    }

    /// Hands nftables requests over as one transaction: all of them happen, or none.
    pub(crate) fn transaction(&mut self, requests: &[Request]) -> Result<(), KernelError> {
        let Some((last, others)) = requests.split_last() else { return Ok(()) };
        let size: usize = requests.iter().map(|r| r.bytes.len() + 4).sum();
        self.make_room(size, &last.operation)?;
        let begin = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(size + 64);
        let mut push = |request: &Request, flags| {
            self.sequence = self.sequence.wrapping_add(1);
            request.append(&mut datagram, self.sequence, flags);
            self.sequence
        };
        push(&control(ControlMessage::BatchBegin), 0);
        others.iter().for_each(|request| {
            push(request, 0);
        });
        // One acknowledgement suffices: refusals are reported for every message anyway, and thousands
        // of acknowledgements would overflow the receive buffer.
        let awaited = push(last, NLM_F_ACK);
        push(&control(ControlMessage::BatchEnd), 0);
        self.send(&datagram, &last.operation)?;
        self.await_verdict(requests, begin, awaited)
    }

    fn await_verdict(&mut self, requests: &[Request], begin: u32, last: u32) -> Result<(), KernelError> {
        let operation = requests.last().map_or("", |r| &r.operation);
        let (mut outcome, mut done) = (Ok(()), false);
        while !done {
            self.receive(operation, |frame| {
                let index = frame.sequence.wrapping_sub(begin) as usize;
                if frame.kind != NLMSG_ERROR || index > requests.len() {
                    return;
                }
                let errno = frame.status().unwrap_or(-libc::EIO);
                // A refusal of the frame around the batch ends it: no acknowledgement follows for sure.
                done |= frame.sequence == last || (index == 0 && errno != 0);
                if errno == 0 || outcome.is_err() {
                    return;
                }
                outcome = Err(match index.checked_sub(1).and_then(|i| requests.get(i)) {
                    Some(request) => refusal(&request.operation, request.feature, -errno),
                    None => refusal(operation, Some("CONFIG_NF_TABLES (module nf_tables)"), -errno),
                });
            })?;
        }
        outcome
    }

    /// Lets the socket take a datagram of this size.
    fn make_room(&mut self, size: usize, operation: &str) -> Result<(), KernelError> {
        if size > MAX_TRANSACTION_BYTES {
            let (bytes, limit) = (size, MAX_TRANSACTION_BYTES);
            return Err(KernelError::TooLarge { operation: operation.into(), bytes, limit });
        }
        let wanted = size.next_multiple_of(REPLY_BYTES) + REPLY_BYTES;
        if wanted > self.send_buffer {
            setsockopt(&self.socket, sockopt::SndBufForce, &wanted).map_err(|e| KernelError::refused(operation, e))?;
            self.send_buffer = wanted;
        }
        Ok(())
    }

    fn send(&mut self, datagram: &[u8], operation: &str) -> Result<(), KernelError> {
        loop {
            match self.socket.send(datagram, 0) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(KernelError::refused(operation, e)),
            }
        }
    }

    fn receive(&mut self, operation: &str, mut each: impl FnMut(Frame<'_>)) -> Result<(), KernelError> {
        let length = loop {
            let mut buffer = self.reply.as_mut_slice();
            match self.socket.recv(&mut buffer, libc::MSG_TRUNC) {
                Ok(length) => break length,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    let operation = operation.to_owned();
                    return Err(KernelError::Deadline { operation, deadline: CALL_DEADLINE });
                }
                Err(e) => return Err(KernelError::refused(operation, e)),
            }
        };
        let malformed = || KernelError::Malformed { operation: operation.to_owned() };
        let datagram = self.reply.get(..length).ok_or_else(malformed)?;
        frames(datagram).for_each(&mut each);
        Ok(())
    }
}

fn open_socket(protocol: isize) -> std::io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // Acknowledgements need not repeat the request.
    socket.set_cap_ack(true)?;
    let deadline = i64::try_from(CALL_DEADLINE.as_secs()).unwrap_or(i64::MAX);
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(deadline, 0))?;
    Ok(socket)
}

/// The message around a batch of nftables requests.
fn control(message: ControlMessage) -> Request {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM_NFTABLES);
    Request::new("frame a transaction", NetfilterMessage::new(header, message), 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::cast_possible_truncation)]
    use super::*;

    #[test]
    fn requests_carry_their_sequence_and_flags_and_stay_aligned() {
        let request = control(ControlMessage::BatchBegin);
        let mut datagram = Vec::new();
        request.append(&mut datagram, 7, 0);
        request.append(&mut datagram, 8, NLM_F_ACK);
        let parsed: Vec<_> = frames(&datagram).map(|f| (f.sequence, f.flags)).collect();
        assert_eq!(parsed, [(7, NLM_F_REQUEST), (8, NLM_F_REQUEST | NLM_F_ACK)]);
        assert_eq!(datagram.len() % 4, 0);
    }

    #[test]
    fn a_missing_feature_is_named_only_where_the_kernel_does_not_know_the_request() {
        let lacking = refusal("create the bridge floe", Some("CONFIG_BRIDGE (module bridge)"), libc::EOPNOTSUPP);
        assert_eq!(
            lacking.to_string(),
            "cannot create the bridge floe: the kernel lacks CONFIG_BRIDGE (module bridge); load the \
             module or use a kernel that has it"
        );
        let busy = refusal("create the bridge floe", Some("CONFIG_BRIDGE"), libc::EBUSY);
        assert!(matches!(busy, KernelError::Refused { .. }));
        let unknown = refusal("delete the link x", None, libc::ENOENT);
        assert!(matches!(unknown, KernelError::Refused { .. }));
    }
}
