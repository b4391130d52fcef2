//! What can go wrong, in words that name the bucket, the endpoint and the reason, and never a key.

use std::{io, path::PathBuf, time::Duration};

/// Something that was not done.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// A file could not be read.
    #[error("read {what} {}", .path.display())]
    File {
        /// What it holds.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A file of keys holds no keys, or is open to everybody.
    #[error("read keys {}: {why}", .path.display())]
    Keys {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No certificate to trust.
    #[error("trust the store's certificate: {0}")]
    Trust(#[from] floe_https::TrustError),
    /// The store did not do what was asked.
    #[error("{action} {place}: {reason}")]
    Call {
        /// What was asked.
        action: &'static str,
        /// Of which object, bucket and endpoint.
        place: String,
        /// Why not.
        reason: Reason,
    },
}

impl S3Error {
    /// Whether the store says that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, S3Error::Call { reason: Reason::Refused { status: 404, .. }, .. })
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The store answered that it will not.
    #[error("the store answered {status} {code}{}{advice}", if message.is_empty() { String::new() } else { format!(": {message}") })]
    Refused {
        /// The status of the answer.
        status: u16,
        /// The store's word for it.
        code: String,
        /// What it says, cut short.
        message: String,
        /// What to do; begins with a separator.
        advice: String,
    },
    /// No answer came, or only a part.
    #[error("no whole answer came: {0}")]
    Connection(String),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Deadline(Duration),
    /// The answer is larger than any that is right, or cannot be read.
    #[error("the store's answer cannot be read: {0}")]
    Answer(String),
    /// The store has something else than it was given.
    #[error("the store has something else than it was given: {0}")]
    Different(String),
    /// The request cannot be written or signed.
    #[error("the request cannot be made: {0}")]
    Request(String),
    /// There are more keys than are read.
    #[error("more than {0} keys begin so: give the snapshots a bucket or an s3_key_prefix of their own")]
    TooMany(usize),
}

/// The store's words for what passes by itself.
const PASSING: &[&str] =
    &["InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException"];

impl Reason {
    /// Whether the same call may succeed a little later. All calls that are made may be made twice.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Reason::Refused { status, code, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504) || PASSING.contains(&code.as_str()),
            Reason::Connection(_) | Reason::Deadline(_) => true,
            Reason::Answer(_) | Reason::Different(_) | Reason::Request(_) | Reason::TooMany(_) => false,
        }
    }
}
