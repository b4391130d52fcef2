//! A table's rows, with the sum of their hashes. A row comes and goes only through [`Rows`], so none is forgotten in the sum.

use crate::{
    digest::Digest,
    keyring::{SealedAuthority, WrappedKey},
    requests::Request,
    tokens::JoinToken,
};
use floe_model::{Allocation, Deployment, Evaluation, Job, Node, ServiceRegistration, Variable, job::JobSubmission};
use imbl::OrdMap;
use serde::Serialize;
use std::{borrow::Borrow, ops::RangeBounds, sync::Arc};

/// What stands for a row in its table's digest.
pub(crate) trait Row {
    /// The digest of the row under its key.
    fn digest(&self, key: &impl Serialize) -> Digest;
}

/// Rows that are hashed as they are written in snapshots.
macro_rules! rows_as_written {
    ($($row:ty),*) => {$(
        impl Row for $row {
            fn digest(&self, key: &impl Serialize) -> Digest {
                Digest::of(&(key, self))
            }
        }
    )*};
}

rows_as_written!(
    Job,
    JobSubmission,
    Node,
    Evaluation,
    Deployment,
    ServiceRegistration,
    Variable,
    JoinToken,
    Request,
    WrappedKey,
    SealedAuthority,
    ()
);

impl<T: Row> Row for Arc<T> {
    fn digest(&self, key: &impl Serialize) -> Digest {
        (**self).digest(key)
    }
}

/// An allocation's job is large and shared by many: what names that job at that index stands for it. Should two servers hold different jobs
/// under one key, version and index, the tables of jobs show it.
impl Row for Allocation {
    fn digest(&self, key: &impl Serialize) -> Digest {
        // All fields are named, so that one that is added is not forgotten here.
        let Allocation {
            id,
            namespace,
            eval_id,
            name,
            node_id,
            node_name,
            job_id,
            job,
            task_group,
            allocated_resources,
            metrics,
            desired_status,
            desired_description,
            desired_transition,
            client_status,
            client_description,
            task_states,
            deployment_id,
            deployment_status,
            followup_eval_id,
            previous_allocation,
            next_allocation,
            reschedule_tracker,
            network_status,
            preempted_allocations,
            preempted_by_allocation,
            create_index,
            modify_index,
            alloc_modify_index,
            create_time,
            modify_time,
        } = self;
        let job = job.as_deref().map(|j| (j.key(), j.version, j.modify_index, j.job_modify_index));
        let who = (id, namespace, eval_id, name, node_id, node_name, job_id, job, task_group);
        let wanted = (desired_status, desired_description, desired_transition, preempted_allocations, preempted_by_allocation);
        let found = (client_status, client_description, task_states, network_status);
        let rollout = (deployment_id, deployment_status, followup_eval_id, previous_allocation, next_allocation, reschedule_tracker);
        let changed = (create_index, modify_index, alloc_modify_index, create_time, modify_time);
        Digest::of(&(key, who, allocated_resources, metrics, wanted, found, rollout, changed))
    }
}

/// The rows of one table, in order of their keys. A clone costs a few pointers.
#[derive(Clone, Debug)]
pub(crate) struct Rows<K: Ord, V> {
    rows: OrdMap<K, Hashed<V>>,
    sum: Digest,
}

/// A row with its hash, so that it is made once: when the row goes, it is known what goes from the sum.
#[derive(Clone, Debug)]
struct Hashed<V> {
    row: V,
    digest: (u64, u64),
}

impl<K: Ord, V> Default for Rows<K, V> {
    fn default() -> Self {
        Self { rows: OrdMap::default(), sum: Digest::default() }
    }
}

impl<K: Ord + Clone + Serialize, V: Row + Clone> Rows<K, V> {
    /// Returns the row that was there.
    pub(crate) fn insert(&mut self, key: K, row: V) -> Option<V> {
        let digest = row.digest(&key);
        self.sum = self.sum.plus(digest);
        let old = self.rows.insert(key, Hashed { row, digest: digest.into() })?;
        self.sum = self.sum.minus(old.digest.into());
        Some(old.row)
    }

    /// Returns the row that was there.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let old = self.rows.remove(key)?;
        self.sum = self.sum.minus(old.digest.into());
        Some(old.row)
    }
}

impl<K: Ord, V> Rows<K, V> {
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.rows.get(key).map(|r| &r.row)
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.rows.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(k, r)| (k, &r.row))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.rows.keys()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.values().map(|r| &r.row)
    }

    pub(crate) fn range<R: RangeBounds<K>>(&self, range: R) -> impl Iterator<Item = (&K, &V)> {
        self.rows.range(range).map(|(k, r)| (k, &r.row))
    }

    /// The sum of the rows' hashes.
    pub(crate) fn digest(&self) -> Digest {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_sum_of_what_is_there() {
        let mut rows: Rows<String, ()> = Rows::default();
        assert_eq!(rows.insert("a".to_owned(), ()), None);
        let one = rows.digest();
        assert_eq!(rows.insert("a".to_owned(), ()), Some(()), "the same row again");
        assert_eq!(rows.digest(), one);
        rows.insert("b".to_owned(), ());
        assert_ne!(rows.digest(), one);
        assert_eq!(rows.remove("c"), None);
        assert_eq!(rows.remove("b"), Some(()));
        assert_eq!((rows.digest(), rows.len()), (one, 1));
        assert_eq!(rows.remove("a"), Some(()));
        assert_eq!(rows.digest(), Digest::default());
    }

    proptest::proptest! {
        #[test]
        fn the_digest_does_not_tell_how_the_rows_came(steps in proptest::collection::vec((0..6u8, proptest::bool::ANY, 0..3u8), 0..40)) {
            let row = |v: u8| Evaluation { job_id: v.to_string().as_str().into(), ..Evaluation::default() };
            let mut rows: Rows<u8, Evaluation> = Rows::default();
            for (key, comes, value) in steps {
                if comes { drop(rows.insert(key, row(value))) } else { drop(rows.remove(&key)) }
            }
            let mut anew: Rows<u8, Evaluation> = Rows::default();
            let mut left: Vec<_> = rows.iter().map(|(k, r)| (*k, r.clone())).collect();
            left.reverse();
            left.into_iter().for_each(|(k, r)| drop(anew.insert(k, r)));
            assert_eq!(anew.digest(), rows.digest());
        }
    }

    #[test]
    fn every_part_of_an_allocation_counts_and_the_job_by_what_names_it() {
        let digest = |a: &Allocation| a.digest(&a.id);
        let job = Job { id: "j".into(), version: 1, modify_index: 7, ..Job::default() };
        let plain = Allocation { id: "a".into(), job: Some(Arc::new(job.clone())), ..Allocation::default() };
        assert_eq!(digest(&plain), digest(&plain.clone()));
        let other = |edit: &dyn Fn(&mut Allocation)| {
            let mut alloc = plain.clone();
            edit(&mut alloc);
            digest(&alloc)
        };
        assert_ne!(other(&|a| a.job = None), digest(&plain));
        assert_ne!(other(&|a| a.job = Some(Arc::new(Job { version: 2, ..job.clone() }))), digest(&plain));
        assert_ne!(other(&|a| a.job = Some(Arc::new(Job { modify_index: 8, ..job.clone() }))), digest(&plain));
        assert_ne!(other(&|a| a.client_description = "x".to_owned()), digest(&plain));
        assert_ne!(other(&|a| a.desired_description = "x".to_owned()), digest(&plain));
        assert_ne!(other(&|a| a.modify_time = 1), digest(&plain));
    }
}
