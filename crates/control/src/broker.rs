//! The evaluation broker: which evaluation a worker looks at next.
//!
//! | state | leaves by |
//! |---|---|
//! | ready (by priority, then age) | `dequeue` |
//! | behind another of the same job | that one's `ack` |
//! | waiting for a moment, or resting after a failure | `tick` |
//! | delivered, with a token | `ack` (done), `nack` or the nack timeout (ready again, later) |
//! | delivered too often | handed out by `tick` as failed; the server writes it so |
//!
//! At most one evaluation of a job is delivered at a time, so two workers never plan for the same job. Of those that wait behind it
//! only the newest matters: the older ones would find nothing to do, and are handed out as canceled.
//!
//! Two clocks: `now` is the wall clock, by which an evaluation names its moment, and `steady` one that nobody sets. Workers and failures are timed
//! by the latter: were the wall clock put back by an hour, a job whose evaluation failed once would wait for an hour.

use floe_model::{EvalId, EvalStatus, Evaluation, JobKey, JobType, Nanos, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How long a worker may take before its evaluation is given to another.
pub const NACK_TIMEOUT: Nanos = Nanos::from_secs(60);
/// How often an evaluation is delivered before it counts as failed.
pub const DELIVERY_LIMIT: u32 = 3;
/// The wait before the first redelivery.
pub const FIRST_NACK_DELAY: Nanos = Nanos::from_secs(1);
/// The wait before each later one.
pub const NACK_DELAY: Nanos = Nanos::from_secs(20);
/// How many evaluations the broker holds; beyond, it forgets the newest of the lowest priority and counts them. They stay in the state
/// as pending and come back when the leader changes or a resync is asked for.
pub const MAX_HELD: usize = 100_000;

/// What a worker gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The evaluation.
    pub eval: Arc<Evaluation>,
    /// Proof that the worker still holds it.
    pub token: u64,
}

/// What the broker gives up on: to be written to the state by the server.
#[derive(Clone, Debug, PartialEq)]
pub enum GivenUp {
    /// Delivered too often.
    Failed(Arc<Evaluation>),
    /// A newer evaluation of the same job does its work.
    Superseded {
        /// The older one.
        eval: Arc<Evaluation>,
        /// The newer one.
        by: EvalId,
    },
}

/// Ready ones in order: highest priority first, then the oldest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    urgency: i64,
    create_index: u64,
    id: EvalId,
}

impl Rank {
    fn of(eval: &Evaluation) -> Self {
        Rank { urgency: -eval.priority, create_index: eval.create_index, id: eval.id.clone() }
    }
}

#[derive(Debug)]
struct Held {
    eval: Arc<Evaluation>,
    deliveries: u32,
}

#[derive(Debug)]
struct Out {
    token: u64,
    deadline: Timestamp,
    job: JobKey,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Broker {
    held: BTreeMap<EvalId, Held>,
    ready: BTreeSet<Rank>,
    behind: BTreeMap<JobKey, BTreeSet<Rank>>,
    waiting: BTreeSet<(Timestamp, EvalId)>,
    /// After a failure, by the steady clock.
    resting: BTreeSet<(Timestamp, EvalId)>,
    out: BTreeMap<EvalId, Out>,
    /// The evaluation of each job that is ready or delivered.
    active: BTreeMap<JobKey, EvalId>,
    given_up: Vec<GivenUp>,
    next_token: u64,
    /// How many were forgotten because too many were held.
    pub dropped: u64,
}

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerCounts {
    /// Ready for a worker.
    pub ready: usize,
    /// Held by workers.
    pub delivered: usize,
    /// Behind another of their job.
    pub behind: usize,
    /// Waiting for a moment, or resting after a failure.
    pub waiting: usize,
}

impl Broker {
    /// A broker that holds nothing, and knows no token that this one gave out.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Broker { next_token: self.next_token, ..Broker::default() }
    }

    /// Takes an evaluation that is to be looked at. One that is known already is taken once.
    pub fn enqueue(&mut self, eval: Arc<Evaluation>, now: Timestamp) {
        if self.held.contains_key(&eval.id) || eval.is_terminal() {
            return;
        }
        if self.held.len() >= MAX_HELD {
            self.dropped += 1;
            return;
        }
        self.held.insert(eval.id.clone(), Held { eval: eval.clone(), deliveries: 0 });
        if eval.wait_until > now {
            self.waiting.insert((eval.wait_until, eval.id.clone()));
        } else {
            self.admit(&eval);
        }
    }

    /// Makes an evaluation ready, or puts it behind the one of its job that is at work.
    fn admit(&mut self, eval: &Arc<Evaluation>) {
        let key = eval.job_key();
        match self.active.get(&key) {
            None => {
                self.active.insert(key, eval.id.clone());
                self.ready.insert(Rank::of(eval));
            }
            Some(active) if *active == eval.id => {
                self.ready.insert(Rank::of(eval));
            }
            Some(_) => {
                self.behind.entry(key).or_default().insert(Rank::of(eval));
            }
        }
    }

    /// The next evaluation, of any of the types given, to a worker.
    pub fn dequeue(&mut self, types: &[JobType], steady: Timestamp) -> Option<Delivery> {
        let rank = self.ready.iter().find(|r| self.held.get(&r.id).is_some_and(|h| types.contains(&h.eval.job_type)))?.clone();
        self.ready.remove(&rank);
        let held = self.held.get_mut(&rank.id)?;
        held.deliveries += 1;
        self.next_token += 1;
        let token = self.next_token;
        let out = Out { token, deadline: steady.plus(NACK_TIMEOUT), job: held.eval.job_key() };
        let eval = held.eval.clone();
        self.out.insert(rank.id, out);
        Some(Delivery { eval, token })
    }

    /// True while the worker with `token` holds the evaluation. Asked before a plan is proposed.
    pub fn is_outstanding(&self, id: &EvalId, token: u64) -> bool {
        self.out.get(id).is_some_and(|o| o.token == token)
    }

    /// A worker is done. False when it no longer held the evaluation.
    pub fn ack(&mut self, id: &EvalId, token: u64) -> bool {
        if !self.is_outstanding(id, token) {
            return false;
        }
        let Some(out) = self.out.remove(id) else { return false };
        self.held.remove(id);
        self.release(&out.job);
        true
    }

    /// A worker could not do it. False when it no longer held the evaluation.
    pub fn nack(&mut self, id: &EvalId, token: u64, steady: Timestamp) -> bool {
        if !self.is_outstanding(id, token) {
            return false;
        }
        self.take_back(id, steady);
        true
    }

    fn take_back(&mut self, id: &EvalId, steady: Timestamp) {
        let Some(out) = self.out.remove(id) else { return };
        let Some(held) = self.held.get(id) else { return };
        if held.deliveries >= DELIVERY_LIMIT {
            if let Some(held) = self.held.remove(id) {
                self.given_up.push(GivenUp::Failed(held.eval));
            }
            self.release(&out.job);
        } else {
            let delay = if held.deliveries <= 1 { FIRST_NACK_DELAY } else { NACK_DELAY };
            self.resting.insert((steady.plus(delay), id.clone()));
        }
    }

    /// The job's work is done: the newest that waited behind becomes ready, older ones are superseded.
    fn release(&mut self, job: &JobKey) {
        self.active.remove(job);
        let Some(mut ranks) = self.behind.remove(job) else { return };
        let newest = ranks.iter().max_by_key(|r| r.create_index).cloned();
        let Some(newest) = newest else { return };
        ranks.remove(&newest);
        for rank in ranks {
            if let Some(held) = self.held.remove(&rank.id) {
                self.given_up.push(GivenUp::Superseded { eval: held.eval, by: newest.id.clone() });
            }
        }
        if let Some(eval) = self.held.get(&newest.id).map(|h| h.eval.clone()) {
            self.admit(&eval);
        }
    }

    /// Forgets an evaluation that ended by other means, for example canceled by a user.
    pub fn forget(&mut self, id: &EvalId) {
        let Some(held) = self.held.remove(id) else { return };
        let key = held.eval.job_key();
        self.ready.remove(&Rank::of(&held.eval));
        self.waiting.retain(|(_, w)| w != id);
        self.resting.retain(|(_, r)| r != id);
        if let Some(ranks) = self.behind.get_mut(&key) {
            ranks.remove(&Rank::of(&held.eval));
        }
        self.out.remove(id);
        if self.active.get(&key) == Some(id) {
            self.release(&key);
        }
    }

    /// Lets time pass: wakes what waited, takes back what took too long, and hands out what is given up.
    pub fn tick(&mut self, now: Timestamp, steady: Timestamp) -> Vec<GivenUp> {
        let late: Vec<EvalId> = self.out.iter().filter(|(_, o)| o.deadline <= steady).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.take_back(&id, steady);
        }
        let due: Vec<EvalId> = until(&mut self.waiting, now).chain(until(&mut self.resting, steady)).collect();
        for id in due {
            if let Some(eval) = self.held.get(&id).map(|h| h.eval.clone()) {
                self.admit(&eval);
            }
        }
        std::mem::take(&mut self.given_up)
    }

    /// Counts for metrics.
    pub fn counts(&self) -> BrokerCounts {
        BrokerCounts {
            ready: self.ready.len(),
            delivered: self.out.len(),
            behind: self.behind.values().map(BTreeSet::len).sum(),
            waiting: self.waiting.len() + self.resting.len(),
        }
    }
}

/// Takes out what stands at or before a moment.
fn until(moments: &mut BTreeSet<(Timestamp, EvalId)>, moment: Timestamp) -> impl Iterator<Item = EvalId> {
    std::iter::from_fn(move || if moments.first()?.0 <= moment { moments.pop_first() } else { None }).map(|(_, id)| id)
}

/// True for evaluations that the broker (rather than [`crate::Blocked`]) wants.
pub fn wants(eval: &Evaluation) -> bool {
    eval.status == EvalStatus::Pending
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const ALL: &[JobType] = JobType::ALL;

    fn eval(id: &str, job: &str, priority: i64, index: u64) -> Arc<Evaluation> {
        Arc::new(Evaluation { id: id.into(), job_id: job.into(), priority, create_index: index, ..Evaluation::default() })
    }
    fn at(s: i64) -> Timestamp {
        Timestamp(1).plus(Nanos::from_secs(s))
    }
    fn next(b: &mut Broker, s: i64) -> Option<(String, u64)> {
        b.dequeue(ALL, at(s)).map(|d| (d.eval.id.to_string(), d.token))
    }

    #[test]
    fn the_most_urgent_and_then_the_oldest_comes_first() {
        let mut b = Broker::default();
        for e in [eval("a", "1", 50, 3), eval("b", "2", 50, 2), eval("c", "3", 80, 9)] {
            b.enqueue(e, at(0));
        }
        let order: Vec<String> = std::iter::from_fn(|| next(&mut b, 0)).map(|(id, _)| id).collect();
        assert_eq!(order, ["c", "b", "a"]);
    }

    #[test]
    fn one_evaluation_of_a_job_at_a_time_and_only_the_newest_after_it() {
        let mut b = Broker::default();
        for (id, index) in [("a", 1), ("b", 2), ("c", 3)] {
            b.enqueue(eval(id, "job", 50, index), at(0));
        }
        let (first, token) = next(&mut b, 0).unwrap();
        assert_eq!(first, "a");
        assert_eq!(next(&mut b, 0), None);
        assert!(b.ack(&"a".into(), token));
        assert_eq!(b.tick(at(0), at(0)), vec![GivenUp::Superseded { eval: eval("b", "job", 50, 2), by: "c".into() }]);
        assert_eq!(next(&mut b, 0).unwrap().0, "c");
    }

    #[test]
    fn a_worker_that_is_too_slow_loses_its_evaluation() {
        let mut b = Broker::default();
        b.enqueue(eval("a", "job", 50, 1), at(0));
        let (_, old) = next(&mut b, 0).unwrap();
        assert!(b.tick(at(59), at(59)).is_empty() && b.is_outstanding(&"a".into(), old));
        b.tick(at(60), at(60));
        assert!(!b.is_outstanding(&"a".into(), old));
        assert_eq!(next(&mut b, 60), None, "redelivered after a second");
        b.tick(at(61), at(61));
        let (_, new) = next(&mut b, 61).unwrap();
        assert!(!b.ack(&"a".into(), old) && b.ack(&"a".into(), new));
    }

    #[test]
    fn a_worker_from_before_everything_changed_holds_nothing() {
        let mut b = Broker::default();
        b.enqueue(eval("a", "job", 50, 1), at(0));
        let (_, old) = next(&mut b, 0).unwrap();
        let mut b = b.emptied();
        assert_eq!((b.counts(), next(&mut b, 0)), (BrokerCounts::default(), None));
        b.enqueue(eval("a", "job", 50, 1), at(0));
        let (_, new) = next(&mut b, 0).unwrap();
        assert!(!b.is_outstanding(&"a".into(), old) && b.is_outstanding(&"a".into(), new));
    }

    #[test]
    fn after_three_deliveries_it_is_given_up_and_the_job_goes_on() {
        let mut b = Broker::default();
        b.enqueue(eval("a", "job", 50, 1), at(0));
        b.enqueue(eval("b", "job", 50, 2), at(0));
        let mut now = 0;
        for _ in 0..DELIVERY_LIMIT {
            b.tick(at(now), at(now));
            let (id, token) = next(&mut b, now).unwrap();
            assert_eq!(id, "a");
            assert!(b.nack(&"a".into(), token, at(now)));
            now += 20;
        }
        assert_eq!(b.tick(at(now), at(now)), vec![GivenUp::Failed(eval("a", "job", 50, 1))]);
        assert_eq!(next(&mut b, now).unwrap().0, "b");
    }

    #[test]
    fn who_sets_the_clock_back_or_ahead_holds_up_no_failed_evaluation_and_takes_none_away() {
        let mut b = Broker::default();
        b.enqueue(eval("a", "job", 50, 1), at(7200));
        let (_, token) = next(&mut b, 0).unwrap();
        b.tick(at(10_800), at(1));
        assert!(b.nack(&"a".into(), token, at(1)), "an hour ahead: the worker has had a second");
        b.tick(at(3600), at(2));
        assert_eq!(next(&mut b, 2).unwrap().0, "a", "an hour back: it rested for a second");
    }

    #[test]
    fn an_evaluation_for_later_waits() {
        let mut b = Broker::default();
        let later = Evaluation { wait_until: at(30), ..(*eval("a", "job", 50, 1)).clone() };
        b.enqueue(Arc::new(later), at(0));
        assert_eq!(next(&mut b, 0), None);
        b.tick(at(29), at(99));
        assert_eq!(next(&mut b, 0), None, "it names a moment of the wall clock");
        b.tick(at(30), at(30));
        assert_eq!(next(&mut b, 30).unwrap().0, "a");
    }

    #[test]
    fn workers_get_only_the_types_they_serve() {
        let mut b = Broker::default();
        let system = Evaluation { job_type: JobType::System, ..(*eval("a", "job", 99, 1)).clone() };
        b.enqueue(Arc::new(system), at(0));
        assert_eq!(b.dequeue(&[JobType::Service, JobType::Batch], at(0)), None);
        assert!(b.dequeue(&[JobType::System], at(0)).is_some());
    }

    #[test]
    fn the_number_held_is_bounded() {
        let mut b = Broker::default();
        for i in 0..=MAX_HELD {
            b.enqueue(eval(&format!("{i}"), &format!("{i}"), 50, 1), at(0));
        }
        assert_eq!((b.counts().ready, b.dropped), (MAX_HELD, 1));
    }

    proptest! {
        /// Whatever happens, no job is worked on twice at once, and every evaluation ends: acknowledged, given up or superseded.
        #[test]
        fn nothing_is_lost_and_nothing_runs_twice(steps in proptest::collection::vec((0u8..6, 0u8..4), 1..200)) {
            let mut b = Broker::default();
            let (mut now, mut index) = (0, 0);
            let mut out: Vec<(Arc<Evaluation>, u64)> = Vec::new();
            let (mut entered, mut ended) = (BTreeSet::new(), BTreeSet::new());
            for (step, job) in steps {
                match step {
                    0 | 1 => {
                        index += 1;
                        let e = eval(&format!("e{index}"), &format!("j{job}"), 50, index);
                        entered.insert(e.id.clone());
                        b.enqueue(e, at(now));
                    }
                    2 => if let Some(d) = b.dequeue(ALL, at(now)) { out.push((d.eval, d.token)); },
                    3 => if let Some((e, t)) = out.pop() && b.ack(&e.id, t) { prop_assert!(ended.insert(e.id.clone())); },
                    4 => if let Some((e, t)) = out.pop() { b.nack(&e.id, t, at(now)); },
                    _ => now += 7,
                }
                for g in b.tick(at(now), at(now)) {
                    let (GivenUp::Failed(e) | GivenUp::Superseded { eval: e, .. }) = g;
                    prop_assert!(ended.insert(e.id.clone()));
                }
                let jobs: Vec<_> = out.iter().filter(|(e, t)| b.is_outstanding(&e.id, *t)).map(|(e, _)| e.job_key()).collect();
                prop_assert_eq!(jobs.len(), jobs.iter().collect::<BTreeSet<_>>().len());
            }
            // Drain: with willing workers everything ends.
            for _ in 0..2_000 {
                now += 7;
                for g in b.tick(at(now), at(now)) {
                    let (GivenUp::Failed(e) | GivenUp::Superseded { eval: e, .. }) = g;
                    ended.insert(e.id.clone());
                }
                while let Some(d) = b.dequeue(ALL, at(now)) {
                    b.ack(&d.eval.id, d.token);
                    ended.insert(d.eval.id.clone());
                }
            }
            prop_assert_eq!(entered, ended);
            prop_assert_eq!(b.counts(), BrokerCounts::default());
        }
    }
}
