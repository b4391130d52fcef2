//! One step of a plan: what is done, why, by which commands, what to wait for, and how the servers stand after it.

use crate::declared::Role;
use serde::Serialize;

/// What a step does. It carries all that somebody needs who does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "Do", rename_all = "kebab-case", rename_all_fields = "PascalCase")]
pub enum Action {
    /// Make what servers share that begin a cluster, and bring it to them.
    Secrets {
        /// The servers.
        hosts: Vec<String>,
    },
    /// Switch all servers, which begin the cluster together.
    Begin {
        /// The servers.
        hosts: Vec<String>,
    },
    /// Bring back an agent that is declared and does not answer, as it is declared.
    Start {
        /// The host.
        host: String,
        /// The ids of its server and its node, as far as it has them.
        #[serde(rename = "IDs")]
        ids: Vec<String>,
    },
    /// Open the firewalls of the hosts that are there for addresses that the inventory does not have any more, with the inventory as it was.
    KeepOpen {
        /// All addresses that must be let in.
        addresses: Vec<String>,
    },
    /// Switch a host, whose agent restarts.
    Switch {
        /// The host.
        host: String,
        /// The ids of its server and its node, as far as it has them.
        #[serde(rename = "IDs")]
        ids: Vec<String>,
        /// The attributes that change by it; none where only lists of others do.
        changes: Vec<String>,
    },
    /// Let a machine in by a token, and switch it. A server votes at the end of it.
    Join {
        /// The host.
        host: String,
        /// As what.
        role: Role,
        /// The ids under which it is known and which it cannot keep: its folder is emptied first. None of a new machine.
        #[serde(rename = "Forgets")]
        forgets: Vec<String>,
    },
    /// Wait until a server that joined has its vote.
    AwaitVote {
        /// The host.
        host: String,
        /// Its id.
        #[serde(rename = "ID")]
        id: String,
    },
    /// Have another server lead.
    HandOver {
        /// Its name.
        to: String,
    },
    /// Remove a member for good.
    RemoveServer {
        /// Its id.
        #[serde(rename = "ID")]
        id: String,
        /// Its name.
        name: String,
    },
    /// Refuse a client for good, after its work is gone from it.
    RemoveClient {
        /// Its id.
        #[serde(rename = "ID")]
        id: String,
        /// Its name.
        name: String,
    },
    /// Switch hosts for nothing but their lists of other hosts.
    Refresh {
        /// The hosts, one after the other.
        hosts: Vec<String>,
    },
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Step {
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// The same in words.
    pub title: String,
    /// Why, or what to know; may be empty.
    pub why: String,
    /// The commands, in order, each on a line of its own; what begins with `#` is for the reader.
    pub commands: Vec<String>,
    /// What must be so before the next step; empty for nothing.
    pub wait: String,
    /// How many servers vote after it.
    pub voters: usize,
    /// How many of them may fail then.
    pub may_fail: usize,
}
