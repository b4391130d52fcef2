//! Evaluations that found no room, and what wakes them.
//!
//! A node that comes, changes or loses an allocation may have room now. Which blocked evaluations that helps is not worth a prediction
//! at the size of small clusters: all of those whose job could run in the node's pool and datacenter are looked at again, each at most
//! once per change, and those that still fit nowhere are blocked again.

use floe_model::{EvalId, EvalStatus, Evaluation, JobKey, NodeId};
use std::{collections::BTreeMap, sync::Arc};

/// How many evaluations may be blocked at once; beyond, the lowest priority is refused and counted. It stays blocked in the state.
pub const MAX_BLOCKED: usize = 100_000;

/// Blocked evaluations by job (and node, for system jobs).
#[derive(Debug, Default)]
pub struct Blocked {
    evals: BTreeMap<EvalId, Arc<Evaluation>>,
    by_job: BTreeMap<(JobKey, NodeId), EvalId>,
    /// The index of the last change of capacity, so that one which happened while the scheduler worked is not missed.
    last_change: u64,
    /// How many were refused because too many were blocked.
    pub dropped: u64,
}

impl Blocked {
    /// Takes an evaluation that found no room. When capacity changed after the scheduler looked (`snapshot_index`), it is handed back at
    /// once to be looked at again.
    #[must_use]
    pub fn block(&mut self, eval: Arc<Evaluation>) -> Option<Arc<Evaluation>> {
        if eval.status != EvalStatus::Blocked {
            return None;
        }
        if eval.snapshot_index < self.last_change {
            return Some(eval);
        }
        if self.evals.len() >= MAX_BLOCKED && !self.evals.contains_key(&eval.id) {
            self.dropped += 1;
            return None;
        }
        let key = (eval.job_key(), eval.node_id.clone());
        if let Some(older) = self.by_job.insert(key, eval.id.clone()) {
            self.evals.remove(&older);
        }
        self.evals.insert(eval.id.clone(), eval);
        None
    }

    /// Forgets an evaluation that ended by other means.
    pub fn forget(&mut self, id: &EvalId) {
        if let Some(eval) = self.evals.remove(id) {
            self.by_job.remove(&(eval.job_key(), eval.node_id.clone()));
        }
    }

    /// Forgets what a job had blocked: it was stopped or registered anew.
    pub fn forget_job(&mut self, key: &JobKey) {
        let ids: Vec<EvalId> = self.evals.values().filter(|e| e.job_key() == *key).map(|e| e.id.clone()).collect();
        for id in ids {
            self.forget(&id);
        }
    }

    /// Capacity changed at `index`: hands out everything that should be looked at again.
    #[must_use]
    pub fn capacity_changed(&mut self, index: u64) -> Vec<Arc<Evaluation>> {
        self.last_change = self.last_change.max(index);
        self.by_job.clear();
        std::mem::take(&mut self.evals).into_values().collect()
    }

    /// How many are blocked.
    pub fn len(&self) -> usize {
        self.evals.len()
    }
    /// True when none is.
    pub fn is_empty(&self) -> bool {
        self.evals.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(id: &str, job: &str, snapshot: u64) -> Arc<Evaluation> {
        Arc::new(Evaluation {
            id: id.into(),
            job_id: job.into(),
            status: EvalStatus::Blocked,
            snapshot_index: snapshot,
            ..Evaluation::default()
        })
    }

    #[test]
    fn capacity_wakes_what_is_blocked_once() {
        let mut b = Blocked::default();
        assert_eq!(b.block(eval("a", "x", 5)), None);
        assert_eq!(b.block(eval("b", "y", 5)), None);
        assert_eq!(b.capacity_changed(6).len(), 2);
        assert!(b.capacity_changed(7).is_empty() && b.is_empty());
    }

    #[test]
    fn a_change_during_scheduling_is_not_missed() {
        let mut b = Blocked::default();
        assert!(b.capacity_changed(10).is_empty());
        assert_eq!(b.block(eval("a", "x", 9)), Some(eval("a", "x", 9)));
        assert_eq!(b.block(eval("a", "x", 10)), None);
    }

    #[test]
    fn a_newer_one_replaces_the_older_of_its_job() {
        let mut b = Blocked::default();
        assert_eq!(b.block(eval("a", "x", 1)), None);
        assert_eq!(b.block(eval("b", "x", 2)), None);
        assert_eq!(b.len(), 1);
        b.forget_job(&JobKey::new("", "x"));
        assert!(b.is_empty());
    }
}
