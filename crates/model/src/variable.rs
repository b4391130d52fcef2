//! Variables: small maps of secrets under a path, which the servers keep sealed. What they hold is bounded here; who may read them is decided elsewhere.

use crate::{Namespace, Sealed, StringMap};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most bytes of a path.
pub const MAX_PATH_BYTES: usize = 128;
/// The most bytes of the keys and values of one variable together: 64 KiB.
pub const MAX_ITEMS_BYTES: usize = 64 << 10;

/// What a variable is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VariableKey {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its path; see [`check_path`].
    pub path: String,
}

impl VariableKey {
    /// What the seal of its items is bound to, so that the items of one variable cannot be passed off as those of another.
    pub fn context(&self) -> Vec<u8> {
        format!("floe variable {}\0{}", self.namespace, self.path).into_bytes()
    }
}

impl fmt::Display for VariableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of namespace {:?}", self.path, self.namespace.as_str())
    }
}

/// A variable as the servers keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// What it is found by.
    pub key: VariableKey,
    /// Its items ([`pack`]), sealed for [`VariableKey::context`].
    pub items: Sealed,
    /// When it was made.
    pub create_index: u64,
    /// When what it says changed last. Sealing it anew changes nothing of that.
    pub modify_index: u64,
    /// The same as a time, in nanoseconds since 1970.
    pub create_time: i64,
    /// The same as a time, in nanoseconds since 1970.
    pub modify_time: i64,
}

/// Why a variable cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// Nothing names it.
    #[error("the path of the variable is missing")]
    NoPath,
    /// Too long.
    #[error("the path of the variable has {0} bytes, and at most {MAX_PATH_BYTES} are allowed")]
    LongPath(usize),
    /// A character that paths do not have.
    #[error("the path {0:?} has characters that are not allowed: a path consists of letters, digits and - _ ~ /")]
    Characters(String),
    /// A slash too many.
    #[error("the path {0:?} has an empty part: it neither begins nor ends with a slash, and has no two in a row")]
    EmptyPart(String),
    /// A path that belongs to the cluster.
    #[error(
        "the path {0:?} is reserved: below \"nomad/\" there are nomad/jobs, nomad/jobs/JOB, nomad/jobs/JOB/GROUP, nomad/jobs/JOB/GROUP/TASK and \
         nomad/job-templates/NAME"
    )]
    Reserved(String),
    /// It says nothing.
    #[error("the variable has no items")]
    NoItems,
    /// An item without a name.
    #[error("an item of the variable has an empty key")]
    EmptyKey,
    /// Too large.
    #[error("the variable's keys and values have {0} bytes together, and at most {MAX_ITEMS_BYTES} are allowed")]
    Large(usize),
}

/// Whether a variable may have this path.
///
/// # Errors
/// With what is wrong with it.
pub fn check_path(path: &str) -> Result<(), VariableError> {
    if path.is_empty() {
        return Err(VariableError::NoPath);
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(VariableError::LongPath(path.len()));
    }
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_~/".contains(&b)) {
        return Err(VariableError::Characters(path.to_owned()));
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.contains(&"") {
        return Err(VariableError::EmptyPart(path.to_owned()));
    }
    match parts.as_slice() {
        ["nomad", "jobs"] | ["nomad", "jobs", _] | ["nomad", "jobs", _, _] | ["nomad", "jobs", _, _, _] => Ok(()),
        ["nomad", "job-templates", _] => Ok(()),
        ["nomad", ..] => Err(VariableError::Reserved(path.to_owned())),
        _ => Ok(()),
    }
}

/// Whether a variable may have these items.
///
/// # Errors
/// With what is wrong with them.
pub fn check_items(items: &StringMap) -> Result<(), VariableError> {
    if items.is_empty() {
        return Err(VariableError::NoItems);
    }
    if items.contains_key("") {
        return Err(VariableError::EmptyKey);
    }
    let bytes = items.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_ITEMS_BYTES { Err(VariableError::Large(bytes)) } else { Ok(()) }
}

/// Items as they are sealed.
pub fn pack(items: &StringMap) -> Vec<u8> {
    serde_json::to_vec(items).expect("invariant: a map of texts encodes, and writing to memory does not fail")
}

/// Reads what [`pack`] wrote; `None` if it is something else.
pub fn unpack(bytes: &[u8]) -> Option<StringMap> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_plain_and_bounded() {
        for path in
            ["a", "a/b-c_d~e/F9", "nomad/jobs", "nomad/jobs/j/g/t", "nomad/job-templates/x", "nomads/x", &"x".repeat(MAX_PATH_BYTES)]
        {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        assert_eq!(check_path(""), Err(VariableError::NoPath));
        assert_eq!(check_path(&"x".repeat(MAX_PATH_BYTES + 1)), Err(VariableError::LongPath(MAX_PATH_BYTES + 1)));
        for path in ["a b", "a.b", "ä", "a\0b", "a%2Fb"] {
            assert_eq!(check_path(path), Err(VariableError::Characters(path.to_owned())), "{path}");
        }
        for path in ["/", "/a", "a/", "a//b"] {
            assert_eq!(check_path(path), Err(VariableError::EmptyPart(path.to_owned())), "{path}");
        }
        for path in ["nomad", "nomad/x", "nomad/jobs/j/g/t/x", "nomad/job-templates", "nomad/job-templates/a/b"] {
            assert_eq!(check_path(path), Err(VariableError::Reserved(path.to_owned())), "{path}");
        }
    }

    #[test]
    fn items_are_bounded() {
        let items = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<StringMap>();
        assert_eq!(check_items(&items(&[])), Err(VariableError::NoItems));
        assert_eq!(check_items(&items(&[("", "x")])), Err(VariableError::EmptyKey));
        assert_eq!(check_items(&items(&[("k", &"v".repeat(MAX_ITEMS_BYTES - 1))])), Ok(()));
        assert_eq!(check_items(&items(&[("k", &"v".repeat(MAX_ITEMS_BYTES))])), Err(VariableError::Large(MAX_ITEMS_BYTES + 1)));
        let some = items(&[("a", "1"), ("b", "")]);
        assert_eq!(unpack(&pack(&some)), Some(some));
        assert_eq!(unpack(b"{"), None);
    }

    #[test]
    fn a_seal_belongs_to_one_variable() {
        let key = |namespace: &str, path: &str| VariableKey { namespace: namespace.into(), path: path.to_owned() };
        assert_ne!(key("a", "b").context(), key("a", "c").context());
        assert_ne!(key("a", "b").context(), key("b", "b").context());
    }
}
