//! What goes wrong, in words that say what to do. No message holds a key, a token or a part of one.

use floe_model::keyring::KeyId;
use std::fmt;

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The kernel has none.
    #[error("draw random numbers for a key")]
    Random(#[from] getrandom::Error),
    /// More than a message may have.
    #[error("at most {} bytes are sealed at once", crate::root::MAX_PLAIN_BYTES)]
    TooLarge,
}

/// Why something was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is not for this key.
    #[error("sealed with root key {sealed}, which is not {key}")]
    OtherKey {
        /// The key that it names.
        sealed: KeyId,
        /// The key that was asked.
        key: KeyId,
    },
    /// It was not sealed with this key for this, or it was changed since.
    #[error("not sealed with root key {0} for this, or changed since")]
    Refused(KeyId),
}

/// Why a key-encryption key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KekError {
    /// What was configured is not usable as it is.
    #[error("{what}: {why}")]
    Unusable {
        /// Which key-encryption key, or which file.
        what: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Two blocks say the same.
    #[error("{what}: the same key-encryption key as {other}: leave one of them out")]
    Duplicate {
        /// The later one.
        what: String,
        /// The earlier one.
        other: String,
    },
    /// Nothing wraps.
    #[error("no key-encryption key is active: configure one (keyring \"file\", \"credential\", \"age\" or \"transit\") on every server")]
    NoneActive,
    /// One of the active ones failed. Nothing is half done: there is no wrap at all.
    #[error("wrap root key {key} with {kek}: {why}")]
    Wrap {
        /// The root key.
        key: KeyId,
        /// The key-encryption key.
        kek: String,
        /// What went wrong.
        why: String,
        /// It may go better in a while.
        transient: bool,
    },
    /// None of the wraps could be opened.
    #[error("{}", describe(key, tried))]
    Unwrap {
        /// The root key.
        key: KeyId,
        /// Every wrap that there is, and why it was not opened.
        tried: Vec<UnwrapFailure>,
    },
}

/// Why one wrap was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnwrapFailure {
    /// The key-encryption key that made it.
    pub kek: String,
    /// What went wrong.
    pub why: String,
    /// It may go better in a while.
    pub transient: bool,
}

impl KekError {
    /// True when the same may go well in a while, with nothing changed here: a Vault that is sealed or out of reach.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unusable { .. } | Self::Duplicate { .. } | Self::NoneActive => false,
            Self::Wrap { transient, .. } => *transient,
            Self::Unwrap { tried, .. } => tried.iter().any(|failure| failure.transient),
        }
    }
}

impl fmt::Display for UnwrapFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kek, self.why)
    }
}

fn describe(key: &KeyId, tried: &[UnwrapFailure]) -> String {
    if tried.is_empty() {
        return format!(
            "root key {key} has no wrap at all: it was redacted or never kept; restore a snapshot that has it, or remove the key with what it sealed"
        );
    }
    let tried: Vec<String> = tried.iter().map(ToString::to_string).collect();
    format!("no key-encryption key of this agent opens root key {key}; configure one of these with a keyring block ({})", tried.join("; "))
}
