//! Whether and when a failed allocation is replaced.

use floe_model::{
    Allocation, Nanos, Timestamp,
    alloc::{RescheduleEvent, RescheduleTracker, reschedule_delay},
    group::{DelayFunction, ReschedulePolicy},
};

/// The delay of a policy that names none.
const DEFAULT_DELAY: Nanos = Nanos::from_secs(30);
/// Failures whose time comes within this span are replaced together.
pub(crate) const BATCH_WINDOW: Nanos = Nanos::from_secs(5);
/// What is due this soon is done now.
const DUE_WINDOW: Nanos = Nanos::from_secs(1);
/// Past replacements that an allocation without a limit on attempts remembers.
pub(crate) const KEPT_EVENTS: usize = 5;
/// Steps of growth that are looked at to find where a delay stands; longer growth has reached any maximum.
const MAX_STEPS: u32 = 128;

/// What becomes of a failed allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It stays failed: the policy allows no (more) attempt.
    Never,
    /// It is replaced now, after this delay.
    Now(Nanos),
    /// It is replaced at that time.
    At(Timestamp),
}

/// What the policy says of an allocation that failed. `is_due` when the evaluation is the one that was to replace it.
pub(crate) fn retry(alloc: &Allocation, policy: Option<&ReschedulePolicy>, now: Timestamp, is_due: bool) -> Retry {
    if alloc.desired_transition.force_reschedule == Some(true) {
        return Retry::Now(Nanos::ZERO);
    }
    let failed_at = failed_at(alloc);
    let Some(policy) = policy.filter(|p| has_attempt_left(p, alloc.reschedule_tracker.as_ref(), failed_at)) else {
        return Retry::Never;
    };
    let delay = delay(policy, alloc.reschedule_tracker.as_ref(), failed_at);
    let at = failed_at.plus(delay);
    if is_due || at <= now.plus(DUE_WINDOW) { Retry::Now(delay) } else { Retry::At(at) }
}

/// When it failed: when its last task ended, or when the report came.
fn failed_at(alloc: &Allocation) -> Timestamp {
    alloc.finished_at().unwrap_or(Timestamp(alloc.modify_time))
}

fn has_attempt_left(policy: &ReschedulePolicy, tracker: Option<&RescheduleTracker>, failed_at: Timestamp) -> bool {
    if policy.unlimited == Some(true) {
        return true;
    }
    let attempts = usize::try_from(policy.attempts.unwrap_or(0)).unwrap_or(0);
    let used = tracker.map_or(0, |t| t.events.iter().filter(|e| is_recent(e, policy, failed_at)).count());
    used < attempts
}

fn is_recent(event: &RescheduleEvent, policy: &ReschedulePolicy, failed_at: Timestamp) -> bool {
    failed_at.since(Timestamp(event.reschedule_time)) < policy.interval.unwrap_or(Nanos::MAX)
}

/// The delay before the next replacement: grows from the last one, and begins again once an allocation ran longer than its delay.
fn delay(policy: &ReschedulePolicy, tracker: Option<&RescheduleTracker>, failed_at: Timestamp) -> Nanos {
    let (base, max) = (policy.delay.unwrap_or(DEFAULT_DELAY), policy.max_delay.unwrap_or(Nanos::ZERO));
    let function = policy.delay_function.unwrap_or(DelayFunction::Exponential);
    let of = |attempts| reschedule_delay(function, base, max, attempts);
    let Some((last, before)) = tracker.and_then(|t| t.events.split_last()) else { return of(0) };
    let Some(mut step) = (0..MAX_STEPS).find(|n| of(*n) == last.delay) else { return of(0) };
    // The first two numbers of the Fibonacci sequence are equal: the one before tells which it was.
    if step == 0 && of(1) == of(0) && before.last().is_some_and(|e| e.delay == of(0)) {
        step = 1;
    }
    let next = of(step + 1);
    if failed_at.since(Timestamp(last.reschedule_time)) > next { of(0) } else { next }
}

/// The history that the replacement of `failed` carries.
pub(crate) fn history(failed: &Allocation, policy: Option<&ReschedulePolicy>, delay: Nanos, now: Timestamp) -> RescheduleTracker {
    let mut events = failed.reschedule_tracker.as_ref().map(|t| t.events.clone()).unwrap_or_default();
    match policy {
        Some(p) if p.unlimited != Some(true) => events.retain(|e| is_recent(e, p, now)),
        _ => _ = events.drain(..events.len().saturating_sub(KEPT_EVENTS - 1)),
    }
    events.push(RescheduleEvent { reschedule_time: now.0, prev_alloc_id: failed.id.clone(), prev_node_id: failed.node_id.clone(), delay });
    RescheduleTracker { events, last_reschedule: "ok".to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::{AllocClientStatus, TaskState};

    const T0: Timestamp = Timestamp(1_000_000_000_000_000_000);

    fn secs(s: i64) -> Nanos {
        Nanos::from_secs(s)
    }

    fn failed(at: Timestamp, history: &[(i64, i64)]) -> Allocation {
        let state = TaskState { finished_at: at, ..TaskState::default() };
        let event = |(ago, delay): &(i64, i64)| RescheduleEvent {
            reschedule_time: at.0 - secs(*ago).0,
            prev_node_id: "n".into(),
            delay: secs(*delay),
            ..RescheduleEvent::default()
        };
        let events: Vec<_> = history.iter().map(event).collect();
        Allocation {
            client_status: AllocClientStatus::Failed,
            task_states: [("t".to_owned(), state)].into(),
            reschedule_tracker: (!events.is_empty()).then(|| RescheduleTracker { events, ..RescheduleTracker::default() }),
            ..Allocation::default()
        }
    }

    fn policy(function: DelayFunction) -> ReschedulePolicy {
        ReschedulePolicy {
            delay: Some(secs(30)),
            delay_function: Some(function),
            max_delay: Some(secs(3600)),
            unlimited: Some(true),
            ..ReschedulePolicy::default()
        }
    }

    fn limited(attempts: i64, interval: i64) -> ReschedulePolicy {
        ReschedulePolicy {
            attempts: Some(attempts),
            interval: Some(secs(interval)),
            delay: Some(secs(5)),
            delay_function: Some(DelayFunction::Constant),
            unlimited: Some(false),
            ..ReschedulePolicy::default()
        }
    }

    fn delay_after(function: DelayFunction, history: &[(i64, i64)]) -> i64 {
        match retry(&failed(T0, history), Some(&policy(function)), T0, true) {
            Retry::Now(delay) => delay.0 / 1_000_000_000,
            other => i64::from(other == Retry::Never) - 2,
        }
    }

    #[test]
    fn a_failure_waits_for_its_delay() {
        let (alloc, policy) = (failed(T0, &[]), policy(DelayFunction::Exponential));
        assert_eq!(retry(&alloc, Some(&policy), T0, false), Retry::At(T0.plus(secs(30))));
        assert_eq!(retry(&alloc, Some(&policy), T0.plus(secs(28)), false), Retry::At(T0.plus(secs(30))));
        assert_eq!(retry(&alloc, Some(&policy), T0.plus(secs(29)), false), Retry::Now(secs(30)));
        assert_eq!(retry(&alloc, Some(&policy), T0, true), Retry::Now(secs(30)));
        assert_eq!(retry(&alloc, None, T0, true), Retry::Never);
    }

    #[test]
    fn delays_grow_from_the_last_one() {
        use DelayFunction::{Constant, Exponential, Fibonacci};
        assert_eq!(delay_after(Exponential, &[]), 30);
        assert_eq!(delay_after(Exponential, &[(10, 30)]), 60);
        assert_eq!(delay_after(Exponential, &[(100, 30), (10, 60)]), 120);
        assert_eq!(delay_after(Exponential, &[(10, 3600)]), 3600);
        assert_eq!(delay_after(Constant, &[(10, 30)]), 30);
        assert_eq!(delay_after(Fibonacci, &[(10, 30)]), 30);
        assert_eq!(delay_after(Fibonacci, &[(50, 30), (10, 30)]), 60);
        assert_eq!(delay_after(Fibonacci, &[(90, 30), (50, 30), (10, 60)]), 90);
    }

    #[test]
    fn delays_begin_again_once_it_ran_longer() {
        assert_eq!(delay_after(DelayFunction::Exponential, &[(60, 30)]), 60);
        assert_eq!(delay_after(DelayFunction::Exponential, &[(61, 30)]), 30);
        assert_eq!(delay_after(DelayFunction::Exponential, &[(10, 77)]), 30);
    }

    #[test]
    fn attempts_are_counted_within_the_interval() {
        let p = limited(2, 100);
        let kind = |history: &[(i64, i64)]| retry(&failed(T0, history), Some(&p), T0, true);
        assert_eq!(kind(&[(10, 5)]), Retry::Now(secs(5)));
        assert_eq!(kind(&[(20, 5), (10, 5)]), Retry::Never);
        assert_eq!(kind(&[(100, 5), (10, 5)]), Retry::Now(secs(5)));
        assert_eq!(retry(&failed(T0, &[]), Some(&limited(0, 100)), T0, true), Retry::Never);
    }

    #[test]
    fn a_forced_one_goes_at_once() {
        let mut alloc = failed(T0, &[]);
        alloc.desired_transition.force_reschedule = Some(true);
        assert_eq!(retry(&alloc, None, T0, false), Retry::Now(Nanos::ZERO));
    }

    #[test]
    fn history_keeps_what_still_counts() {
        let p = policy(DelayFunction::Exponential);
        let long: Vec<(i64, i64)> = (0..9).map(|i| (900 - i, 30)).collect();
        let kept = history(&failed(T0, &long), Some(&p), secs(60), T0);
        assert_eq!(kept.events.len(), KEPT_EVENTS);
        assert_eq!(kept.events.last().map(|e| e.delay), Some(secs(60)));
        let kept = history(&failed(T0, &[(200, 5), (50, 5)]), Some(&limited(3, 100)), secs(5), T0);
        assert_eq!(kept.events.len(), 2);
    }
}
