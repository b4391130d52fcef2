//! The cluster's authorities: which one signs, which are trusted, and how far a change from one to the next has come.
//!
//! | step | who signs | who is trusted | ends when every server and every live node |
//! |---|---|---|---|
//! | (none) | the present one | the present one | |
//! | [`RotationStep::Trust`] | the present one | both | trusts both |
//! | [`RotationStep::Renew`] | the next one | both | has a certificate of the next one |
//!
//! After that the next one is the present one. Only certificates are here, which are public: keys go from server to server.

use floe_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which authorities there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorities {
    /// The index of the last change. Whoever knows of a later one does not listen to who knows of an earlier one.
    pub round: u64,
    /// The certificate of the present authority, in DER.
    pub present: Vec<u8>,
    /// A change that is under way.
    pub rotation: Option<Rotation>,
}

/// A change from one authority to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The certificate of the next authority, in DER.
    pub next: Vec<u8>,
    /// How far it has come.
    pub step: RotationStep,
    /// When it began.
    pub begun: Timestamp,
    /// The ids of the agents that have done what this step asks of them.
    pub done: BTreeSet<String>,
}

/// What every agent is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RotationStep {
    /// Trust the next authority beside the present one.
    Trust,
    /// Get a certificate of the next authority.
    Renew,
}

impl Authorities {
    /// The certificates that are trusted; that of the one that signs is the first.
    pub fn trusted(&self) -> Vec<&[u8]> {
        match &self.rotation {
            None => vec![&self.present],
            Some(rotation) => match rotation.step {
                RotationStep::Trust => vec![&self.present, &rotation.next],
                RotationStep::Renew => vec![&rotation.next, &self.present],
            },
        }
    }
}
