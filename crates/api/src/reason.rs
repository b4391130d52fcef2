//! Why a request was refused, for programs. People read the words, which may change; these do not.

use std::fmt;

/// The header of a failure that has a [`Reason`].
pub const REASON_HEADER: &str = "x-floe-reason";

/// What a program may do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A write may have been done, or may still be: look before it is sent again, unless it has an id.
    InDoubt,
    /// Not all servers know this write yet. Nothing was done.
    AheadOfCluster,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 2] = [Reason::InDoubt, Reason::AheadOfCluster];

    /// As it stands in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::InDoubt => "in-doubt",
            Reason::AheadOfCluster => "ahead-of-cluster",
        }
    }

    /// What a header says; `None` for what this build does not know.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
