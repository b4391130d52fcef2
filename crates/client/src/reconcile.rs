//! Desired against known: what to do about each allocation. Pure.

use floe_api::rpc::Desired;
use floe_model::{AllocDesiredStatus, AllocId, Allocation, Nanos, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What the node knows of an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The servers' index of what it knows.
    pub(crate) alloc_modify_index: u64,
    /// It runs nothing any more.
    pub(crate) ended: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Run a new allocation.
    Run(Arc<Allocation>),
    /// Tell a running one that the servers changed it, without new processes.
    Update(Arc<Allocation>),
    /// Stop one.
    Stop(Arc<Allocation>, String),
    /// Say that one which the node has nothing of is over, so that the servers do not wait for it.
    SayGone(Arc<Allocation>),
    /// Remove one with its folders: the servers forgot it.
    Forget(AllocId),
}

/// What to do about `desired`, in an order in which room is made before it is used.
pub(crate) fn reconcile(known: &BTreeMap<AllocId, Known>, desired: Desired) -> Vec<Action> {
    let mut stops = Vec::new();
    let mut runs = Vec::new();
    for alloc in desired.changed {
        let alloc = Arc::new(alloc);
        let unwanted = alloc.desired_status != AllocDesiredStatus::Run;
        // Lost: the servers gave it up while this node was silent. Whatever of it still runs must end.
        let given_up = alloc.client_status.is_terminal();
        match known.get(&alloc.id) {
            None if unwanted && !given_up => stops.push(Action::SayGone(alloc)),
            None if unwanted || given_up => {}
            None => runs.push(Action::Run(alloc)),
            Some(k) if k.ended => {}
            Some(_) if unwanted || given_up => {
                let reason = if unwanted {
                    alloc.desired_description.clone()
                } else {
                    "the servers gave it up while this node was silent".to_owned()
                };
                stops.push(Action::Stop(alloc, reason));
            }
            // A restore of a backup may bring back an older one: what the servers say now counts.
            Some(k) if k.alloc_modify_index != alloc.alloc_modify_index => runs.push(Action::Update(alloc)),
            Some(_) => {}
        }
    }
    let forgotten = known.keys().filter(|id| !desired.allocs.contains_key(*id)).cloned().map(Action::Forget);
    stops.into_iter().chain(forgotten).chain(runs).collect()
}

/// Which allocations are to end now for want of servers, and when the next would be due. The node is without servers from the end of its lease on;
/// `limits` says for how long each may go on then.
pub(crate) fn cut_off(limits: &BTreeMap<AllocId, Nanos>, leased: Timestamp, now: Timestamp) -> (BTreeSet<AllocId>, Option<Timestamp>) {
    let due = limits.iter().filter(|(_, after)| leased.plus(**after) <= now).map(|(id, _)| id.clone()).collect();
    (due, limits.values().map(|after| leased.plus(*after)).filter(|at| *at > now).min())
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_model::AllocClientStatus;

    fn alloc(id: &str, index: u64, edit: impl FnOnce(&mut Allocation)) -> Allocation {
        let mut a = Allocation { id: id.into(), alloc_modify_index: index, ..Allocation::default() };
        edit(&mut a);
        a
    }
    fn desired(changed: Vec<Allocation>) -> Desired {
        Desired { index: 9, allocs: changed.iter().map(|a| (a.id.clone(), a.alloc_modify_index)).collect(), changed }
    }
    fn known(ended: bool) -> BTreeMap<AllocId, Known> {
        BTreeMap::from([("a".into(), Known { alloc_modify_index: 5, ended })])
    }
    fn kinds(known: &BTreeMap<AllocId, Known>, changed: Vec<Allocation>) -> Vec<&'static str> {
        let kind = |a: Action| match a {
            Action::Run(_) => "run",
            Action::Update(_) => "update",
            Action::Stop(..) => "stop",
            Action::SayGone(_) => "gone",
            Action::Forget(_) => "forget",
        };
        reconcile(known, desired(changed)).into_iter().map(kind).collect()
    }
    fn stopped(a: &mut Allocation) {
        a.desired_status = AllocDesiredStatus::Stop;
    }
    fn lost(a: &mut Allocation) {
        a.client_status = AllocClientStatus::Lost;
    }

    #[test]
    fn each_case() {
        let none = BTreeMap::new();
        assert_eq!(kinds(&none, vec![alloc("a", 5, |_| {})]), ["run"]);
        assert_eq!(kinds(&none, vec![alloc("a", 5, stopped)]), ["gone"]);
        assert_eq!(kinds(&none, vec![alloc("a", 5, lost)]), Vec::<&str>::new());
        assert_eq!(kinds(&known(false), vec![alloc("a", 6, |_| {})]), ["update"]);
        assert_eq!(kinds(&known(false), vec![alloc("a", 5, |_| {})]), Vec::<&str>::new());
        assert_eq!(kinds(&known(false), vec![alloc("a", 4, |_| {})]), ["update"], "a restore brought it back");
        assert_eq!(kinds(&known(false), vec![alloc("a", 6, stopped)]), ["stop"]);
        assert_eq!(kinds(&known(false), vec![alloc("a", 6, lost)]), ["stop"]);
        assert_eq!(kinds(&known(true), vec![alloc("a", 6, stopped)]), Vec::<&str>::new());
        assert_eq!(kinds(&known(true), vec![]), ["forget"]);
    }

    #[test]
    fn room_is_made_before_it_is_used() {
        let order = kinds(&known(false), vec![alloc("b", 6, |_| {}), alloc("a", 6, stopped)]);
        assert_eq!(order, ["stop", "run"]);
    }

    #[test]
    fn what_is_cut_off_for_long_enough_is_due() {
        let at = |s| Timestamp(1).plus(Nanos::from_secs(s));
        let limits = BTreeMap::from([("a".into(), Nanos::from_secs(10)), ("b".into(), Nanos::from_secs(30))]);
        let ids = |ids: &[&str]| ids.iter().map(|id| AllocId::from(*id)).collect::<BTreeSet<_>>();
        assert_eq!(cut_off(&limits, at(0), at(9)), (ids(&[]), Some(at(10))));
        assert_eq!(cut_off(&limits, at(0), at(10)), (ids(&["a"]), Some(at(30))));
        assert_eq!(cut_off(&limits, at(0), at(31)), (ids(&["a", "b"]), None));
        assert_eq!(cut_off(&limits, at(25), at(31)), (ids(&[]), Some(at(35))), "a server was reached meanwhile");
        assert_eq!(cut_off(&BTreeMap::new(), at(0), at(9)), (ids(&[]), None));
    }
}
