//! Which cluster a log and a call belong to.

use crate::ServerId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// How many bytes of the hash make the id: enough that two clusters never have the same one by chance.
const ID_BYTES: usize = 16;

/// A cluster's id: a hash of the ids of the servers that began it. Servers that begin together so come to the same one without talking, and
/// two clusters that know nothing of each other never do. It stays when all of those servers are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(String);

impl ClusterId {
    /// The id of the cluster that these servers begin, each named once, in their order.
    pub(crate) fn of<'a>(founders: impl Iterator<Item = &'a ServerId>) -> Self {
        let mut hasher = Sha256::new();
        for id in founders {
            // The length keeps ["ab"] and ["a", "b"] apart.
            hasher.update((id.as_str().len() as u64).to_be_bytes());
            hasher.update(id.as_str());
        }
        Self(hasher.finalize().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ClusterId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_founders_make_another_cluster() {
        let of = |ids: &[&str]| ClusterId::of(ids.iter().map(|id| ServerId::from((*id).to_owned())).collect::<Vec<_>>().iter());
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_ne!(of(&["a", "b"]), of(&["a"]));
        assert_eq!(of(&["a"]).as_str().len(), 2 * ID_BYTES);
    }
}
