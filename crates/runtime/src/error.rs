//! The one error that every system call in this crate turns into: what was attempted, on what, and the cause as its source.

use std::error::Error;
use std::io;

/// A failed system call: the operation and its object in words, and the kernel's answer as the source.
#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub struct SystemError {
    operation: String,
    #[source]
    source: io::Error,
}

impl SystemError {
    /// An error for `operation` ("open /x/y") with its cause.
    pub fn new(operation: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { operation: operation.into(), source: source.into() }
    }

    /// The kernel's answer.
    pub fn io(&self) -> &io::Error {
        &self.source
    }

    /// Whether the object was not there, which an idempotent clean-up takes for success.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Adds the operation to an error of the standard library or of nix.
pub(crate) trait Doing<T> {
    /// Names the operation; `operation` is only called on failure.
    fn doing<S: Into<String>>(self, operation: impl FnOnce() -> S) -> Result<T, SystemError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing<S: Into<String>>(self, operation: impl FnOnce() -> S) -> Result<T, SystemError> {
        self.map_err(|source| SystemError::new(operation(), source))
    }
}

/// An error and all its causes on one line, for a record that outlives the process.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Several libraries repeat the cause in their own message; say it once.
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_names_operation_then_cause_once() {
        let error = SystemError::new("open /x", io::Error::from_raw_os_error(2));
        assert_eq!(chain(&error), "open /x: No such file or directory (os error 2)");
        assert!(error.is_not_found());
    }
}
