//! Going on without a majority that is gone for good: what a data folder knows, and making a new cluster of it. For a server that does not run.
//!
//! The log is kept whole. Its last entries may not have been acknowledged to anybody; they may also have been, by a majority that this server was
//! part of, and nobody can tell. So they count. What was acknowledged by others alone is lost. Among several that are left, the log that goes on is
//! the one whose last entry has the highest term, and among those the highest index: it holds every acknowledged entry that any of them holds, for
//! the leader of that term had all that were acknowledged before.
//!
//! Behind the log come, in one transaction: a membership of this server alone, in a term after all that it knows of; refusals of the members that
//! are not to come back; and another cluster id. Servers of the old cluster, should they run again, share no call with the new one. When the server
//! starts, it puts all of that into a snapshot and forgets the entries, so that no other server is ever told, entry by entry, of the old voters.

use crate::{
    ClusterId, Member, OpenError, ServerAddress, ServerId, codec,
    consensus::restore,
    log::awaited,
    membership::members_of,
    raft_types::{Entry, Membership, Payload, StoredMembership, Vote, log_id},
    stop::with_causes,
    wish::{Encoded, Wish},
};
use floe_state::{Command, Stamp};
use floe_store::{
    DataFolder, LogError, LogStore, Position, SnapshotId, SnapshotStore,
    log::Succession,
    planted::{self, Bug},
};
use std::collections::{BTreeMap, BTreeSet};

/// Entries are read so many at once.
const READ_ENTRIES: u64 = 256;

/// The data folder cannot be read, or no new cluster be made of it.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The folder holds no server that was in a cluster.
    #[error("recover: this data folder has no log of a server that was a member of a cluster; there is nothing to go on with")]
    Empty,
    /// There is nothing to recover from.
    #[error("recover: this server is the only voter of its cluster already; start its agent")]
    Alone,
    /// A survivor is none of the members.
    #[error("recover: {0} is no member of this server's cluster; look at the list of members")]
    NotMember(ServerId),
    /// Something is written in a way that this build does not know.
    #[error("recover: {0}")]
    Unreadable(String),
}

/// What a data folder knows.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Whose folder it is.
    pub id: ServerId,
    /// The cluster of its entries.
    pub cluster: Option<ClusterId>,
    /// The members, as the last change in the log made them, whether it was acknowledged or not.
    pub members: Vec<Member>,
    /// The term and index of its last entry.
    pub last: Position,
    /// How far it knew entries to be acknowledged. A little more was, as a rule.
    pub committed: Option<Position>,
    /// The term in which it voted last.
    pub term: u64,
    /// The newest whole snapshot.
    pub snapshot: Option<SnapshotId>,
}

impl Survey {
    /// What the data folder of a server that does not run knows. Blocks, and reads the whole log.
    ///
    /// # Errors
    /// When the folder cannot be read, is damaged, or has no server.
    pub fn of(data: &DataFolder) -> Result<Self, RecoverError> {
        let store = LogStore::open(data)?;
        let survey = SnapshotStore::open(data).map_err(OpenError::from).map_err(RecoverError::from).and_then(|s| Self::on(&store, &s));
        store.close();
        survey
    }

    /// As [`Survey::of`], of a log and snapshots that the caller opened.
    ///
    /// # Errors
    /// As [`Survey::of`].
    pub fn on(store: &LogStore, snapshots: &SnapshotStore) -> Result<Self, RecoverError> {
        let restored = restore(store, snapshots)?;
        let mut membership = restored.membership().clone();
        let bounds = store.bounds();
        let unreadable = |e: &dyn std::error::Error| RecoverError::Unreadable(e.to_string());
        let last = bounds.last.ok_or(RecoverError::Empty)?;
        let mut next = bounds.purged.map_or(0, |p| p.index + 1);
        while next <= last.index {
            for record in store.read(next..next.saturating_add(READ_ENTRIES))? {
                let entry = codec::decode_entry(&record).map_err(|e| unreadable(&e))?;
                match entry.payload {
                    Payload::Membership(found) => membership = StoredMembership::new(Some(entry.log_id), found),
                    // What this build cannot read, it must not go on from.
                    Payload::Normal(wish) => drop(wish.decode(record.index()).map_err(|e| unreadable(&e))?),
                    Payload::Blank => {}
                }
            }
            next = next.saturating_add(READ_ENTRIES);
        }
        let vote = store.vote().map(|bytes| codec::decode_vote(&bytes)).transpose().map_err(|e| unreadable(&e))?;
        let id = store.server_id().map(ServerId::from).ok_or(RecoverError::Empty)?;
        Ok(Self {
            id,
            cluster: store.cluster_id().map(ClusterId::from),
            members: members_of(&membership),
            last,
            committed: store.committed(),
            term: vote.map_or(0, |v| v.leader_id.term),
            snapshot: restored.last_index().and_then(|_| snapshots.newest().ok().flatten()).map(|s| s.id),
        })
    }

    /// Who of the members is not to come back: all but this server and the survivors.
    ///
    /// # Errors
    /// When there is nothing to recover from, or a survivor is no member.
    pub fn given_up(&self, survivors: &BTreeSet<ServerId>) -> Result<Vec<&Member>, RecoverError> {
        if self.members.is_empty() {
            return Err(RecoverError::Empty);
        }
        if let Some(unknown) = survivors.iter().find(|id| self.members.iter().all(|m| m.id != **id)) {
            return Err(RecoverError::NotMember(unknown.clone()));
        }
        let voters: Vec<&Member> = self.members.iter().filter(|m| m.is_voter).collect();
        if voters.iter().all(|m| m.id == self.id) {
            return Err(RecoverError::Alone);
        }
        Ok(self.members.iter().filter(|m| m.id != self.id && !survivors.contains(&m.id)).collect())
    }

    /// Makes the new cluster, as [`recover`] does, in the log that this survey is of and that the caller opened.
    ///
    /// # Errors
    /// As [`recover`].
    pub async fn go_on(&self, store: &LogStore, survivors: &BTreeSet<ServerId>, stamp: Stamp) -> Result<(), RecoverError> {
        let succession = self.succession(survivors, stamp)?;
        let (done, told) = awaited();
        store.go_on(succession, done).await?;
        // Who writes ended without a word only if the power went.
        told.await.unwrap_or(Ok(()))?;
        Ok(())
    }

    /// How the log goes on.
    fn succession(&self, survivors: &BTreeSet<ServerId>, stamp: Stamp) -> Result<Succession, RecoverError> {
        let refused: Vec<ServerId> = self.given_up(survivors)?.into_iter().map(|m| m.id.clone()).collect();
        let address = self.members.iter().find(|m| m.id == self.id).map_or_else(ServerAddress::default, |m| m.address.clone());
        let term = self.term.max(self.last.term) + 1;
        let unwritable = |e: &dyn std::error::Error| RecoverError::Unreadable(e.to_string());
        let alone = Membership::new(vec![BTreeSet::from([self.id.clone()])], BTreeMap::from([(self.id.clone(), address)]));
        let mut payloads = vec![Payload::Membership(alone.map_err(|e| unwritable(&e))?)];
        for id in refused {
            let command = Encoded::new(Command::RefuseAgent { id: id.as_str().to_owned() });
            let wish = command.and_then(|command| Wish::new(stamp, &command));
            payloads.push(Payload::Normal(wish.map_err(|e| unwritable(&e))?));
        }
        let records = (self.last.index + 1..).zip(payloads).map(|(index, payload)| {
            let entry = Entry { log_id: log_id(Position { term, index }), payload };
            codec::encode_entry(&entry).map_err(|e| unwritable(&e))
        });
        let records = records.collect::<Result<_, _>>()?;
        let vote = codec::encode_vote(&Vote::new(term, self.id.clone())).map_err(|e| unwritable(&e))?;
        let old = self.cluster.clone().map(|c| ServerId::from(c.as_str().to_owned()));
        let drawn = ServerId::from(format!("{:016x}{:016x}", stamp.seed.0, stamp.seed.1));
        let cluster = ClusterId::of(old.iter().chain([&self.id, &drawn]));
        let cluster = if planted::is_on(Bug::RecoveryKeepsCluster) { self.cluster.clone().unwrap_or(cluster) } else { cluster };
        Ok(Succession { records, vote, cluster_id: cluster.as_str().to_owned() })
    }
}

/// Makes a new cluster of this server alone, from what it has; `survivors` of the old one may come back under their ids, with empty logs, and nobody
/// else may. `stamp` gives time and chance. A crash leaves the old or the new. Returns what the folder knows then.
///
/// # Errors
/// When the folder cannot be read or written, or there is nothing to recover from. Then nothing was changed.
pub async fn recover(data: DataFolder, survivors: BTreeSet<ServerId>, stamp: Stamp) -> Result<Survey, RecoverError> {
    let folder = data.clone();
    let stopped = |e: tokio::task::JoinError| RecoverError::Unreadable(with_causes(&e));
    let survey = tokio::task::spawn_blocking(move || Survey::of(&folder)).await.map_err(stopped)??;
    let folder = data.clone();
    let store = tokio::task::spawn_blocking(move || LogStore::open(&folder)).await.map_err(stopped)??;
    let done = survey.go_on(&store, &survivors, stamp).await;
    tokio::task::spawn_blocking(move || store.close()).await.map_err(stopped)?;
    done?;
    tokio::task::spawn_blocking(move || Survey::of(&data)).await.map_err(stopped)?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn id(name: &str) -> ServerId {
        name.to_owned().into()
    }

    fn survey(voters: &[&str], term: u64) -> Survey {
        let member = |n: &&str| Member { id: id(n), address: ServerAddress::new((*n).to_owned(), format!("{n}:1")), is_voter: true };
        Survey {
            id: id("a"),
            cluster: Some(ClusterId::from("old".to_owned())),
            members: voters.iter().map(member).collect(),
            last: Position { term: 3, index: 41 },
            committed: None,
            term,
            snapshot: None,
        }
    }

    #[test]
    fn the_new_cluster_is_this_server_alone_after_all_that_was() {
        for (voted, expected) in [(0, 4), (3, 4), (9, 10)] {
            let survey = survey(&["a", "b", "c"], voted);
            let succession = survey.succession(&BTreeSet::from([id("b")]), Stamp::default()).unwrap();
            let entries: Vec<Entry> = succession.records.iter().map(|r| codec::decode_entry(r).unwrap()).collect();
            let positions: Vec<Position> = succession.records.iter().map(|r| r.position).collect();
            assert_eq!(positions, [Position { term: expected, index: 42 }, Position { term: expected, index: 43 }]);
            let Payload::Membership(alone) = &entries[0].payload else { panic!("no membership") };
            assert_eq!(alone.voter_ids().collect::<Vec<_>>(), [id("a")]);
            assert_eq!(alone.nodes().count(), 1);
            let Payload::Normal(wish) = &entries[1].payload else { panic!("no refusal") };
            assert_eq!(wish.decode(43).unwrap().command, Command::RefuseAgent { id: "c".to_owned() }, "b may come back");
            assert_eq!(codec::decode_vote(&succession.vote).unwrap().leader_id.term, expected);
            assert_ne!(succession.cluster_id, "old");
        }
    }

    #[test]
    fn two_recoveries_make_two_clusters() {
        let of = |seed| survey(&["a", "b", "c"], 3).succession(&BTreeSet::new(), Stamp { seed, ..Stamp::default() }).unwrap().cluster_id;
        assert_ne!(of((1, 1)), of((1, 2)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(matches!(survey(&["a"], 1).given_up(&BTreeSet::new()), Err(RecoverError::Alone)));
        assert!(matches!(survey(&[], 1).given_up(&BTreeSet::new()), Err(RecoverError::Empty)));
        assert!(matches!(survey(&["a", "b"], 1).given_up(&BTreeSet::from([id("x")])), Err(RecoverError::NotMember(_))));
    }
}
