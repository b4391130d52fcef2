//! Devices: given to one allocation at a time, whatever jobs, nodes and plans come and go; and words for what cannot be had.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{AllocClientStatus, JobType, Node};
use floe_state::{Command, Outcome, Plan};
use proptest::prelude::*;
use std::collections::BTreeSet;
use support::{World, asking, constraint, gpus, job, key, node};

fn with_gpus(i: usize, n: usize) -> Node {
    let mut node = node(i);
    node.node_resources.devices = vec![gpus(n, true)];
    node
}

fn world(gpus: usize) -> World {
    let mut w = World::default().of_today();
    w.add(with_gpus(1, gpus));
    w
}

fn held(w: &World) -> Vec<(String, String)> {
    let live = w.state.allocs().filter(|a| !a.is_terminal());
    let of = |a: &std::sync::Arc<floe_model::Allocation>| {
        let ids = a.allocated_resources.tasks.values().flat_map(|t| &t.devices).flat_map(|d| d.device_ids.clone());
        ids.map(|id| (a.node_id.to_string(), id)).collect::<Vec<_>>()
    };
    let mut held: Vec<_> = live.flat_map(of).collect();
    held.sort();
    held
}

fn training(id: &str, count: i64, gpus: u64) -> floe_model::Job {
    asking(job(id, JobType::Service, count), "nvidia/gpu", gpus)
}

#[test]
fn each_gets_its_own_and_the_last_ones_wait() {
    let mut w = world(3);
    w.register(&training("web", 4, 1));
    w.settle();
    let ids: Vec<_> = held(&w).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, ["gpu0", "gpu1", "gpu2"]);
    assert!(w.log.contains("Dimension \"device nvidia/gpu\" exhausted on 1 node"), "{}", w.log);
    // One ends, and the one that waited has its device.
    w.report("web.g[1]", AllocClientStatus::Complete);
    w.settle();
    w.wake();
    assert_eq!(held(&w).len(), 3);
}

#[test]
fn what_no_node_has_is_said() {
    let mut w = world(1);
    w.register(&training("web", 1, 2));
    w.settle();
    assert!(w.log.contains("Nodes with missing 2 of device \"nvidia/gpu\": 1 node excluded by filter"), "{}", w.log);
    let mut small = training("web", 1, 1);
    small.task_groups[0].tasks[0].resources.as_mut().unwrap().devices[0].constraints =
        vec![constraint("${device.attr.memory}", ">", "80 GiB")];
    w.register(&small);
    w.settle();
    assert!(w.log.contains("Nodes with missing device \"nvidia/gpu\""), "{}", w.log);
    assert!(held(&w).is_empty());
}

#[test]
fn before_all_servers_know_of_devices_nobody_gets_one() {
    let mut w = World::default();
    w.add(with_gpus(1, 1));
    w.register(&training("web", 1, 1));
    w.settle();
    assert!(w.log.contains("not supported yet: devices, before every server runs a version that has them"), "{}", w.log);
    w = w.of_today();
    w.wake();
    assert_eq!(held(&w).len(), 1);
}

#[test]
fn of_two_plans_for_the_last_device_the_second_is_refused() {
    let mut w = world(1);
    w.register(&training("a", 1, 1));
    w.register(&training("b", 1, 1));
    let evals = w.due();
    let plans: Vec<_> = evals.iter().map(|e| w.decide(e).plan).collect();
    assert_eq!(plans.iter().map(|p| p.placements.len()).collect::<Vec<_>>(), [1, 1], "each sees it free");
    w.apply(&plans[0]);
    let Outcome::Plan { rejected } = w.run(Command::Plan(Box::new(plans[1].clone()))) else { panic!("not a plan") };
    assert_eq!(rejected, ["n1"]);
    assert_eq!(held(&w).len(), 1);
}

#[test]
fn a_plan_for_a_device_that_is_gone_or_ill_is_refused() {
    for then in [0, 1] {
        let mut w = world(2);
        w.register(&training("web", 1, 2));
        let eval = w.due()[0].clone();
        let plan = w.decide(&eval).plan;
        let mut changed = node(1);
        changed.node_resources.devices = vec![gpus(2 * then, false)];
        w.add(changed);
        let Outcome::Plan { rejected } = w.run(Command::Plan(Box::new(plan))) else { panic!("not a plan") };
        assert_eq!(rejected, ["n1"], "{then}");
        assert!(held(&w).is_empty());
    }
}

#[test]
fn who_has_a_device_keeps_it_when_it_is_not_shown_any_more_and_others_still_come() {
    let mut w = world(1);
    w.register(&training("web", 1, 1));
    w.settle();
    w.add(node(1));
    w.register(&job("other", JobType::Service, 1));
    w.settle();
    assert_eq!((held(&w).len(), w.live("other").len()), (1, 1));
    // It comes back, and is still held.
    w.add(with_gpus(1, 1));
    w.register(&training("more", 1, 1));
    w.settle();
    assert_eq!((held(&w).len(), w.live("more").len()), (1, 0));
}

#[test]
fn a_device_that_is_called_otherwise_now_is_still_held() {
    let mut w = world(1);
    w.register(&training("web", 1, 1));
    w.settle();
    let mut renamed = with_gpus(1, 1);
    renamed.node_resources.devices[0].name = "H100 of a newer driver".to_owned();
    w.add(renamed);
    w.register(&training("more", 1, 1));
    w.settle();
    assert_eq!((held(&w).len(), w.live("more").len()), (1, 0));
}

#[test]
fn a_system_job_comes_to_a_node_whose_device_appears() {
    let mut w = world(0);
    w.register(&asking(job("web", JobType::System, 1), "gpu", 1));
    w.settle();
    assert!(held(&w).is_empty());
    w.add(with_gpus(1, 1));
    w.settle();
    assert_eq!(held(&w).len(), 1);
}

/// What happens in a random history: a job comes with that many allocations and devices each, goes, or a node says that it has so many.
#[derive(Clone, Debug)]
enum Event {
    Job { id: u8, count: i64, gpus: u64 },
    Gone(u8),
    Node { i: usize, gpus: usize, well: bool },
    Ends(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..4u8, 0..4i64, 1..3u64).prop_map(|(id, count, gpus)| Event::Job { id, count, gpus }),
        1 => (0..4u8).prop_map(Event::Gone),
        2 => (1..4usize, 0..5usize, any::<bool>()).prop_map(|(i, gpus, well)| Event::Node { i, gpus, well }),
        2 => (0..8usize).prop_map(Event::Ends),
    ]
}

proptest! {
    /// All evaluations that are due are answered from the same view, as by workers side by side.
    #[test]
    fn no_device_is_held_twice_when_plans_meet(seed in any::<u64>(), events in prop::collection::vec((any_event(), any::<bool>()), 1..30)) {
        let mut w = World::default().seeded(seed).of_today();
        (1..4).for_each(|i| w.add(with_gpus(i, 2)));
        for (event, rests) in events {
            match event {
                Event::Job { id, count, gpus } => w.register(&training(&format!("j{id}"), count, gpus)),
                Event::Gone(id) => w.deregister(&format!("j{id}"), false),
                Event::Node { i, gpus: has, well } => {
                    let mut n = node(i);
                    n.node_resources.devices = vec![gpus(has, well)];
                    w.add(n);
                }
                Event::Ends(nth) => {
                    let live: Vec<_> = (0..4).flat_map(|id| w.live(&format!("j{id}"))).collect();
                    if let Some(alloc) = live.get(nth % live.len().max(1)) {
                        w.report_alloc(&alloc.clone(), AllocClientStatus::Complete, None);
                    }
                }
            }
            if rests {
                continue;
            }
            let due = w.due();
            let plans: Vec<Plan> = due.iter().map(|e| w.decide(e).plan).collect();
            for plan in plans {
                w.run(Command::Plan(Box::new(plan)));
                let held = held(&w);
                let distinct: BTreeSet<_> = held.iter().collect();
                prop_assert_eq!(distinct.len(), held.len(), "held twice: {:?}", held);
            }
        }
        prop_assert!(w.state.job(&key("none")).is_none());
    }
}
