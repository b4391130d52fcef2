//! Jobs that are declared: a folder says which jobs an owner has, and the cluster is brought in line with it.
//!
//! ```text
//! (owner, declared jobs, present jobs)  --steps-->  what to do, one step for each job that is concerned
//! ```
//!
//! Whose a job is stands in its metadata, under [`OWNER_KEY`]. What an owner did not declare itself it neither changes nor stops. Each step names the
//! index that it was decided at, so that it is refused when somebody changed the job in between.

use crate::{Job, JobId, StringMap};
use std::collections::BTreeMap;

/// The key of a job's metadata that says whose it is.
pub const OWNER_KEY: &str = "floe.declared-by";
/// The longest name of an owner, in bytes.
pub const MAX_OWNER_BYTES: usize = 64;

/// An owner's name that none can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("owner {0:?}: write 1 to {MAX_OWNER_BYTES} letters, digits, '.', '_' or '-'")]
pub struct BadOwner(String);

/// A declared job that says itself whose it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it sets meta {OWNER_KEY:?} itself: take that out, floe writes down whose a job is")]
pub struct Marked;

/// Who declares jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// The owner of that name.
    ///
    /// # Errors
    /// When it is empty, longer than [`MAX_OWNER_BYTES`], or has other characters than letters, digits, `.`, `_` and `-`.
    pub fn new(name: &str) -> Result<Self, BadOwner> {
        let fits = !name.is_empty() && name.len() <= MAX_OWNER_BYTES;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if fits && plain { Ok(Owner(name.to_owned())) } else { Err(BadOwner(name.chars().take(MAX_OWNER_BYTES).collect())) }
    }
    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
    /// Writes into a job that is declared whose it is.
    ///
    /// # Errors
    /// When the job says so itself.
    pub fn mark(&self, job: &mut Job) -> Result<(), Marked> {
        if job.meta.contains_key(OWNER_KEY) {
            return Err(Marked);
        }
        job.meta.insert(OWNER_KEY.to_owned(), self.0.clone());
        Ok(())
    }
}

/// Whose a job is, by its metadata; `None` when nobody declared it.
pub fn owner_of(meta: &StringMap) -> Option<&str> {
    meta.get(OWNER_KEY).map(String::as_str)
}

/// A job that is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Its id.
    pub id: JobId,
    /// Its modify index.
    pub index: u64,
    /// Whose it is.
    pub owner: Option<String>,
    /// Whether it is stopped.
    pub stop: bool,
}

/// What becomes of jobs that the owner has and does not declare any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// They are stopped.
    Prune,
    /// They run on.
    Keep,
}

/// What to do about one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// See what differs and, if anything does, register it by this index (zero: it must be new).
    Submit {
        /// The job.
        id: JobId,
        /// The index that it has now.
        index: u64,
    },
    /// Leave it alone: it is not the owner's.
    Refuse {
        /// The job.
        id: JobId,
        /// Why, and what to do.
        why: String,
    },
    /// Stop it: it is declared no longer.
    Prune {
        /// The job.
        id: JobId,
        /// The index that it has now.
        index: u64,
    },
    /// It is declared no longer, and runs on.
    Keep {
        /// The job.
        id: JobId,
    },
}

impl Step {
    /// The job that it is about.
    pub fn id(&self) -> &JobId {
        match self {
            Step::Submit { id, .. } | Step::Refuse { id, .. } | Step::Prune { id, .. } | Step::Keep { id } => id,
        }
    }
}

/// What brings the cluster in line with what `owner` declares: a step for each declared job, in that order, then one for each job that it has beyond
/// those. `declared` may name a job twice, which is refused.
pub fn steps(owner: &Owner, declared: &[JobId], present: &[Present], leftovers: Leftovers) -> Vec<Step> {
    let mut times: BTreeMap<&JobId, usize> = BTreeMap::new();
    declared.iter().for_each(|id| *times.entry(id).or_default() += 1);
    let by_id: BTreeMap<&JobId, &Present> = present.iter().map(|job| (&job.id, job)).collect();
    let mut out: Vec<Step> = Vec::new();
    for id in declared {
        out.push(match by_id.get(id) {
            _ if times.get(id).is_some_and(|n| *n > 1) => {
                Step::Refuse { id: id.clone(), why: "several files declare it: keep one of them".to_owned() }
            }
            Some(job) => submit(owner, job),
            None => Step::Submit { id: id.clone(), index: 0 },
        });
    }
    let left = present.iter().filter(|job| !job.stop && job.owner.as_deref() == Some(owner.name()) && !times.contains_key(&job.id));
    out.extend(left.map(|job| match leftovers {
        Leftovers::Prune => Step::Prune { id: job.id.clone(), index: job.index },
        Leftovers::Keep => Step::Keep { id: job.id.clone() },
    }));
    out
}

fn submit(owner: &Owner, job: &Present) -> Step {
    let id = job.id.clone();
    match &job.owner {
        Some(name) if name == owner.name() => Step::Submit { id, index: job.index },
        Some(name) => Step::Refuse { id, why: format!("it is declared by {name:?}: take it out there first, or declare another id here") },
        None => Step::Refuse {
            id,
            why: format!(
                "it was not declared but run by hand: stop and purge it (floe job stop -purge), or run it once with meta {OWNER_KEY:?} set to {:?}",
                owner.name()
            ),
        },
    }
}
