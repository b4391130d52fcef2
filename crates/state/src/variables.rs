//! Variables: what is done to them, and when it is not.
//!
//! Whoever proposes a change has sealed the items with a root key, so that the log, snapshots and this state never hold them in the clear.

use crate::State;
use floe_model::{KeyId, Sealed, Variable, VariableKey};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many variables there are at most.
pub const MAX_VARIABLES: usize = 65_536;
/// The most bytes of the sealed items of one variable: what [`floe_model::variable::MAX_ITEMS_BYTES`] can take as JSON.
pub const MAX_SEALED_BYTES: usize = 512 << 10;
/// The most bytes of the sealed items of all variables together: 256 MiB. They are held in memory by every server.
pub const MAX_ALL_SEALED_BYTES: u64 = 256 << 20;

/// See [`crate::Command::Variable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VariableChange {
    /// Writes a variable, new or not.
    Put {
        /// Which one.
        key: VariableKey,
        /// What it holds, sealed for [`VariableKey::context`].
        items: Sealed,
        /// Refuse unless its modify index is this (zero: unless it does not exist).
        check_index: Option<u64>,
    },
    /// Forgets a variable. It is no fault if there is none.
    Delete {
        /// Which one.
        key: VariableKey,
        /// As in [`VariableChange::Put`].
        check_index: Option<u64>,
    },
    /// The same items, sealed anew with another root key. What changed meanwhile is left alone.
    Reseal(Vec<Resealed>),
}

/// See [`VariableChange::Reseal`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resealed {
    /// Which variable.
    pub key: VariableKey,
    /// Its modify index, as the proposer saw it.
    pub modify_index: u64,
    /// The same items.
    pub items: Sealed,
}

impl VariableChange {
    /// The name of the kind of change, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            VariableChange::Put { .. } => "put-variable",
            VariableChange::Delete { .. } => "delete-variable",
            VariableChange::Reseal(_) => "reseal-variables",
        }
    }
}

/// Why a variable was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum VariableRefusal {
    /// Somebody else changed it in between.
    #[error("{}", conflict(*.wanted, *.found))]
    Conflict {
        /// The index that the caller saw.
        wanted: u64,
        /// The index that the variable has (zero: it does not exist).
        found: u64,
    },
    /// Nobody could open it.
    #[error("root key {0}, with which the variable was sealed, is not there any more: try again")]
    NoSuchKey(KeyId),
    /// Larger than a variable can be.
    #[error("the variable takes {0} bytes sealed, and at most {MAX_SEALED_BYTES} are allowed")]
    Large(usize),
    /// More than servers hold.
    #[error(
        "there is no room for more variables: there may be {MAX_VARIABLES}, of {MAX_ALL_SEALED_BYTES} bytes together; purge some (floe var purge)"
    )]
    NoRoom,
}

fn conflict(wanted: u64, found: u64) -> String {
    match (wanted, found) {
        (0, found) => format!("the variable exists already, with modify index {found}"),
        (wanted, 0) => format!("the variable does not exist, and modify index {wanted} was expected"),
        (wanted, found) => format!("the variable was changed: its modify index is {found}, and {wanted} was expected"),
    }
}

impl State {
    /// The variable, if it exists.
    pub fn variable(&self, key: &VariableKey) -> Option<&Arc<Variable>> {
        self.variables.get(key)
    }

    /// How many variables are sealed with a root key.
    pub fn variables_sealed_with(&self, id: &KeyId) -> usize {
        self.derived.variables_of(id)
    }

    /// All variables in order of namespace and path.
    pub fn variables(&self) -> impl Iterator<Item = &Arc<Variable>> {
        self.variables.values()
    }
}
