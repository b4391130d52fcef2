//! What a preview says is what a registration then does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{AllocClientStatus, Job, JobType, NodeStatus, canonical::canonicalize, change::spec_changed, diff::DiffType};
use floe_scheduler::{Preview, Request, explanation::Explanation, preview, schedule};
use floe_state::Command;
use proptest::prelude::*;
use support::{World, changed, constraint, job, key, node, parallel};

fn canonical(job: &Job) -> Job {
    let mut job = job.clone();
    canonicalize(&mut job);
    job
}

/// Previews a job, then registers it and answers its evaluation; checks that both are the same and that the preview changed nothing.
fn previewed(w: &mut World, job: &Job) -> Preview {
    let job = canonical(job);
    let seed = w.seed();
    let before = (w.state.index(), w.state.digest());
    let said = preview(&w.state, &job, w.now, seed).unwrap();
    assert_eq!((w.state.index(), w.state.digest()), before, "a preview changes nothing");
    assert_eq!(said, preview(&w.state, &job, w.now, seed).unwrap(), "a preview is deterministic");
    let present = w.state.job(&job.key()).cloned();
    assert_eq!(said.present, present);

    let known: Vec<_> = w.state.evals().map(|e| e.id.clone()).collect();
    w.register(&job);
    let eval = w.state.evals().find(|e| !known.contains(&e.id)).expect("a registration makes an evaluation").clone();
    let done = schedule(Request { view: &w.state, eval: &eval, now: w.now, seed });
    assert_eq!(said.explanation, done.explanation);
    let answered = done.plan.on_commit.iter().find(|e| e.id == eval.id).unwrap();
    assert_eq!(said.failed, answered.failed_tg_allocs);
    let kinds = |evals: Vec<&floe_model::Evaluation>| evals.iter().map(|e| (e.triggered_by, e.status, e.wait_until)).collect::<Vec<_>>();
    let others = done.plan.evals.iter().chain(done.plan.on_commit.iter().filter(|e| e.id != eval.id));
    assert_eq!(kinds(said.evals.iter().collect()), kinds(others.collect()));

    // The numbers are those of the plan, too: no group is counted that nothing is done to.
    let desired = said.desired();
    let sum = |of: fn(&floe_model::diff::DesiredUpdates) -> u64| desired.values().map(of).sum::<u64>();
    let fresh = done.plan.placements.iter().filter(|p| w.state.alloc(&p.id).is_none()).count() as u64;
    let failed: u64 = answered.failed_tg_allocs.values().map(|m| 1 + m.coalesced_failures).sum();
    assert_eq!(sum(|d| d.place) + sum(|d| d.migrate) + sum(|d| d.destructive_update), fresh + failed);
    assert_eq!(sum(|d| d.in_place_update), done.plan.placements.len() as u64 - fresh);
    w.apply(&done.plan);

    let found = said.diff(&job);
    let differs = present.as_deref().is_none_or(|old| spec_changed(old, &job) || old.stop != job.stop);
    assert_eq!(found.diff_type != DiffType::None, differs);
    said
}

fn counts(said: &Preview) -> (u64, u64, u64, u64, u64) {
    let d = said.desired().remove("g").unwrap_or_default();
    (d.place, d.stop, d.in_place_update, d.destructive_update, d.ignore)
}

fn settled(nodes: usize, job: &Job) -> World {
    let mut w = World::with_nodes(nodes);
    w.register(job);
    w.settle();
    w.all_run(job.id.as_str(), Some(true));
    w.settle();
    w
}

#[test]
fn a_new_job_is_placed() {
    let mut w = World::with_nodes(2);
    let said = previewed(&mut w, &support::service(3));
    assert_eq!((said.present.is_none(), counts(&said)), (true, (3, 0, 0, 0, 0)));
    let found = said.diff(&canonical(&support::service(3)));
    assert_eq!((found.diff_type, found.task_groups[0].updates["create"]), (DiffType::Added, 3));
}

#[test]
fn the_same_job_again_changes_nothing() {
    let mut w = settled(2, &support::service(3));
    let said = previewed(&mut w, &support::service(3));
    assert_eq!(counts(&said), (0, 0, 0, 0, 3));
    assert!(said.desired()["g"].is_quiet());
    assert_eq!(said.diff(&canonical(&support::service(3))).diff_type, DiffType::None);
}

#[test]
fn an_update_is_done_in_the_pace_of_its_policy() {
    let service = parallel(support::service(3), 1);
    let mut w = settled(2, &service);
    assert_eq!(counts(&previewed(&mut w, &changed(&service, "2"))), (0, 0, 0, 1, 2));
    let mut w = settled(2, &service);
    let mut patient = service.clone();
    patient.task_groups[0].tasks[0].kill_timeout = Some(floe_model::Nanos::from_secs(9));
    assert_eq!(counts(&previewed(&mut w, &patient)), (0, 0, 3, 0, 0));
    let mut w = settled(2, &service);
    // The one that stays gets the new version, in place.
    assert_eq!(counts(&previewed(&mut w, &parallel(support::service(1), 1))), (0, 2, 1, 0, 0));
}

#[test]
fn what_finds_no_node_is_wanted_all_the_same() {
    // 500 MHz each: eight fit on a node.
    let mut w = World::with_nodes(1);
    let said = previewed(&mut w, &support::service(10));
    assert_eq!((counts(&said).0, said.failed["g"].coalesced_failures), (10, 1));
    assert_eq!(said.evals.len(), 1, "one would wait for room");
    let mut w = settled(1, &support::service(2));
    let mut choosy = changed(&support::service(2), "2");
    choosy.task_groups[0].tasks[0].resources.as_mut().unwrap().cpu = Some(9000);
    let said = previewed(&mut w, &choosy);
    assert_eq!(counts(&said).3, 1, "the old one runs on until there is room: {}", said.explanation);
}

#[test]
fn a_stopped_job_is_started_again_and_a_running_one_stopped() {
    let service = support::service(2);
    let mut w = settled(1, &service);
    w.deregister("web", false);
    w.settle();
    let said = previewed(&mut w, &service);
    assert_eq!(counts(&said).0, 2);
    let mut w = settled(1, &service);
    assert_eq!(counts(&previewed(&mut w, &Job { stop: true, ..service })).1, 2);
}

/// A job in few words.
fn any_job(job_type: JobType) -> impl Strategy<Value = Job> {
    let cpu = prop_oneof![Just(300i64), Just(1500), Just(3000)];
    (0..7i64, 0..3u8, cpu, 0..4i64, any::<bool>(), any::<bool>()).prop_map(move |(count, version, cpu, pace, linux, stop)| {
        let count = if job_type.is_system() { count.min(1) } else { count };
        let mut j = changed(&job("web", job_type, count), &version.to_string());
        j.task_groups[0].tasks[0].resources.as_mut().unwrap().cpu = Some(cpu);
        if linux {
            j.task_groups[0].constraints.push(constraint("${attr.kernel.name}", "=", "linux"));
        }
        j.stop = stop && version == 2;
        if job_type.is_batch() { j } else { parallel(j, pace) }
    })
}

/// What happened before: jobs, nodes that go, and reports.
fn happen(w: &mut World, jobs: &[Job], whims: &[u8]) {
    for (job, whim) in jobs.iter().zip(whims) {
        w.register(job);
        w.settle();
        for alloc in w.live("web") {
            let status = if whim % 5 == 0 { AllocClientStatus::Failed } else { AllocClientStatus::Running };
            w.report_alloc(&alloc, status, (whim % 3 == 0).then_some(whim % 2 == 0));
        }
        match whim % 7 {
            0 => w.node_status("n1", NodeStatus::Down),
            1 => w.add(node(4)),
            2 => w.deregister("web", false),
            3 => w.wait(120),
            _ => {}
        }
        if whim % 2 == 0 {
            w.settle();
        }
    }
}

proptest! {
    #[test]
    fn a_registration_does_what_its_preview_said(
        seed in any::<u64>(),
        (jobs, next) in prop::sample::select(JobType::ALL).prop_flat_map(|t| (prop::collection::vec(any_job(t), 0..5), any_job(t))),
        whims in prop::collection::vec(any::<u8>(), 5),
    ) {
        let mut w = World::with_nodes(3).seeded(seed);
        happen(&mut w, &jobs, &whims);
        let said = previewed(&mut w, &next);
        prop_assert!(said.explanation != Explanation::default() || next.task_groups[0].count() == 0 || next.stop || w.live("web").is_empty());
    }
}

#[test]
fn other_jobs_are_not_touched() {
    let mut w = settled(1, &job("other", JobType::Service, 2));
    let said = previewed(&mut w, &support::service(1));
    assert_eq!(said.desired().keys().collect::<Vec<_>>(), ["g"]);
    assert_eq!(w.state.allocs_of_job(&key("other")).filter(|a| !a.is_terminal()).count(), 2);
    w.run(Command::DeregisterJob { key: key("web"), purge: true });
    assert!(preview(&w.state, &canonical(&support::service(1)), w.now, (1, 1)).unwrap().present.is_none());
}
