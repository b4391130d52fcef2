//! What each command does, seen from outside.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{
    AllocClientStatus::{self, Running},
    AllocDesiredStatus, Allocation, Deployment, EvalStatus, EvalTrigger, Evaluation, Job, JobStatus, JobType, NodeStatus, Timestamp,
    alloc::{AllocDeploymentStatus, AllocationMetric},
    deployment::{DeploymentState, DeploymentStatus},
    time::Nanos,
};
use floe_state::{
    Change, Command, Outcome, Plan, State, Table,
    command::{AllocUpdate, NodeStatusUpdate, RegisterJob},
    plan::{ENDED_CHANGES_NOTHING, Stop},
    state::TRACKED_JOB_VERSIONS,
};
use std::collections::BTreeMap;
use support::{Machine, NODE, alloc, job, key, node};

#[test]
fn registering_a_job_makes_an_evaluation() {
    let mut m = Machine::default();
    let Outcome::Job { eval_id, job_modify_index } = m.register(job("a", JobType::Service)) else { panic!() };
    let eval = m.state.eval(&eval_id).unwrap();
    assert_eq!((eval.status, eval.triggered_by, eval.priority), (EvalStatus::Pending, EvalTrigger::JobRegister, 50));
    let row = m.state.job(&key("a")).unwrap();
    assert_eq!((row.version, row.create_index, row.job_modify_index, row.status), (0, 1, 1, JobStatus::Pending));
    assert_eq!(job_modify_index, 1);
    assert_eq!(m.state.table_index(Table::Jobs), 1);
}

#[test]
fn an_unchanged_job_keeps_its_version_and_a_changed_one_gets_the_next() {
    let mut m = Machine::default();
    m.register(job("a", JobType::Service));
    m.register(job("a", JobType::Service));
    assert_eq!(m.state.job(&key("a")).unwrap().version, 0);
    assert_eq!(m.state.job(&key("a")).unwrap().job_modify_index, 1);
    for count in 2..12 {
        let mut changed = job("a", JobType::Service);
        changed.task_groups[0].count = Some(count);
        m.register(changed);
    }
    let versions: Vec<u64> = m.state.job_versions(&key("a")).iter().map(|j| j.version).collect();
    assert_eq!(versions, (5..=10).rev().collect::<Vec<_>>());
    assert_eq!(versions.len(), TRACKED_JOB_VERSIONS);
    assert_eq!(m.state.job(&key("a")).unwrap().create_index, 1);
}

#[test]
fn a_registration_against_another_index_is_refused_and_changes_nothing() {
    let mut m = Machine::default();
    m.register(job("a", JobType::Service));
    let before = m.state.encode();
    let request = |index| {
        Command::RegisterJob(RegisterJob {
            job: Box::new(job("a", JobType::Batch)),
            submission: None,
            enforce_index: Some(index),
            eval_priority: None,
        })
    };
    let applied = m.run(request(0));
    let Outcome::Refused(why) = applied.outcome else { panic!() };
    assert_eq!(why.to_string(), "Enforcing job modify index 0: job exists with conflicting job modify index: 1");
    assert!(applied.effects.changes.is_empty());
    let mut after = m.state.clone();
    after.skip(1);
    assert_eq!(after.encode(), before);
    assert!(matches!(m.run(request(1)).outcome, Outcome::Job { .. }));
}

#[test]
fn stopping_keeps_the_job_and_purging_forgets_it() {
    let mut m = Machine::default();
    m.register(job("a", JobType::Service));
    assert!(matches!(m.run(Command::DeregisterJob { key: key("a"), purge: false }).outcome, Outcome::Job { .. }));
    let row = m.state.job(&key("a")).unwrap();
    assert!(row.stop && row.version == 1);
    m.run(Command::DeregisterJob { key: key("a"), purge: true });
    assert!(m.state.job(&key("a")).is_none() && m.state.job_versions(&key("a")).is_empty());
    assert!(matches!(m.run(Command::DeregisterJob { key: key("a"), purge: true }).outcome, Outcome::Refused(_)));
}

#[test]
fn a_job_runs_while_an_allocation_does_and_a_batch_dies_when_it_is_over() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Batch);
    let Outcome::Job { eval_id, .. } = m.register(j.clone()) else { panic!() };
    m.place(vec![alloc("x", &j, 0)], &j);
    assert_eq!(m.state.job(&key("a")).unwrap().status, JobStatus::Running);
    let done = Evaluation { status: EvalStatus::Complete, ..(**m.state.eval(&eval_id).unwrap()).clone() };
    m.run(Command::UpdateEvals { evals: vec![done] });
    m.report("x", AllocClientStatus::Complete);
    assert_eq!(m.state.job(&key("a")).unwrap().status, JobStatus::Dead);
}

/// Found by the simulation: the evaluation was canceled while the plan for it was on its way, and the next one of the job placed, too.
#[test]
fn a_plan_for_an_evaluation_that_has_ended_changes_nothing() {
    for (version, is_placed) in [(ENDED_CHANGES_NOTHING - 1, true), (ENDED_CHANGES_NOTHING, false)] {
        let mut m = Machine::with_node();
        m.run(Command::SetClusterVersion { version });
        let j = job("a", JobType::Service);
        let Outcome::Job { eval_id, .. } = m.register(j.clone()) else { panic!() };
        let plan = |id: &str, stops| Plan {
            eval_id: eval_id.clone(),
            placements: vec![alloc(id, &j, 0)],
            stops,
            job: Some(Box::new(j.clone())),
            ..Plan::default()
        };
        m.run(Command::Plan(Box::new(plan("x", vec![]))));
        assert!(m.state.alloc(&"x".into()).is_some(), "it is not over yet");
        let canceled = Evaluation { status: EvalStatus::Canceled, ..(**m.state.eval(&eval_id).unwrap()).clone() };
        m.run(Command::UpdateEvals { evals: vec![canceled] });
        let stop = Stop { id: "x".into(), ..Stop::default() };
        let outcome = m.run(Command::Plan(Box::new(plan("y", vec![stop])))).outcome;
        let rejected = if is_placed { vec![] } else { vec![NODE.into()] };
        assert_eq!(outcome, Outcome::Plan { rejected }, "at version {version}");
        assert_eq!(m.state.alloc(&"y".into()).is_some(), is_placed);
        assert_eq!(m.state.alloc(&"x".into()).unwrap().desired_status == AllocDesiredStatus::Run, !is_placed, "nothing is stopped either");
    }
}

#[test]
fn a_plan_is_checked_again_on_each_node() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    m.register(j.clone());
    assert_eq!(m.place(vec![alloc("x", &j, 0), alloc("y", &j, 1)], &j), Outcome::Plan { rejected: vec![] });
    // 800 of 1000 MHz are used: a third does not fit, and nothing of it remains.
    assert_eq!(m.place(vec![alloc("z", &j, 2)], &j), Outcome::Plan { rejected: vec![NODE.into()] });
    assert!(m.state.alloc(&"z".into()).is_none());
    // The same with the first one stopped in the same plan fits.
    let stop = Stop { id: "x".into(), description: "test".to_owned(), ..Stop::default() };
    let plan = Plan { stops: vec![stop], placements: vec![alloc("z", &j, 2)], job: Some(Box::new(j.clone())), ..Plan::default() };
    assert_eq!(m.run(Command::Plan(Box::new(plan))).outcome, Outcome::Plan { rejected: vec![] });
    assert_eq!(m.state.alloc(&"x".into()).unwrap().desired_status, AllocDesiredStatus::Stop);
}

#[test]
fn a_plan_for_all_at_once_is_done_whole_or_not_at_all() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    m.register(j.clone());
    let placements = vec![alloc("x", &j, 0), {
        let mut a = alloc("y", &j, 1);
        a.node_id = "gone".into();
        a
    }];
    let plan = |all_at_once| {
        Command::Plan(Box::new(Plan { all_at_once, placements: placements.clone(), job: Some(Box::new(j.clone())), ..Plan::default() }))
    };
    assert_eq!(m.run(plan(true)).outcome, Outcome::Plan { rejected: vec!["gone".into()] });
    assert_eq!(m.state.allocs().count(), 0);
    assert_eq!(m.run(plan(false)).outcome, Outcome::Plan { rejected: vec!["gone".into()] });
    assert_eq!(m.state.allocs().count(), 1);
}

#[test]
fn two_plans_for_one_port_leave_it_with_the_first() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    m.register(j.clone());
    m.place(vec![alloc("x", &j, 0)], &j);
    assert_eq!(m.place(vec![alloc("y", &j, 0)], &j), Outcome::Plan { rejected: vec![NODE.into()] });
}

#[test]
fn an_evaluation_is_answered_with_its_plan_or_not_at_all() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    let Outcome::Job { eval_id, .. } = m.register(j.clone()) else { panic!() };
    let done = Evaluation { status: EvalStatus::Complete, ..(**m.state.eval(&eval_id).unwrap()).clone() };
    let follow = Evaluation { id: "later".into(), job_id: "a".into(), namespace: "default".into(), ..Evaluation::default() };
    let plan = |node: &str| {
        let placement = Allocation { node_id: node.into(), ..alloc("x", &j, 0) };
        let plan = Plan {
            placements: vec![placement],
            evals: vec![follow.clone()],
            on_commit: vec![done.clone()],
            job: Some(Box::new(j.clone())),
            ..Plan::default()
        };
        Command::Plan(Box::new(plan))
    };
    m.run(plan("gone"));
    assert_eq!(m.state.eval(&eval_id).unwrap().status, EvalStatus::Pending);
    assert!(m.state.eval(&"later".into()).is_some());
    m.run(plan(NODE));
    assert_eq!(m.state.eval(&eval_id).unwrap().status, EvalStatus::Complete);
}

#[test]
fn services_follow_their_allocation() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    m.register(j.clone());
    m.place(vec![alloc("x", &j, 0)], &j);
    assert_eq!(m.state.services().count(), 0);
    m.report("x", Running);
    let found: Vec<_> = m.state.service(&"default".into(), "a-web").collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].address.as_str(), found[0].port, found[0].alloc_id.as_str()), ("10.0.0.1", 20_000, "x"));
    let index = found[0].modify_index;
    m.report("x", Running);
    assert_eq!(
        m.state.service(&"default".into(), "a-web").next().unwrap().modify_index,
        index,
        "an unchanged registration is not written again"
    );
    let stop = Stop { id: "x".into(), ..Stop::default() };
    m.run(Command::Plan(Box::new(Plan { stops: vec![stop], ..Plan::default() })));
    assert_eq!(m.state.services().count(), 0, "a stopped allocation announces nothing, though it may still run");
}

#[test]
fn a_node_that_goes_down_takes_its_services_and_wakes_the_scheduler() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    m.register(j.clone());
    m.place(vec![alloc("x", &j, 0)], &j);
    m.report("x", Running);
    let update = NodeStatusUpdate { id: NODE.into(), status: NodeStatus::Down, message: "heartbeat missed".to_owned() };
    let Outcome::Evals(evals) = m.run(Command::UpdateNodeStatus { updates: vec![update.clone()] }).outcome else { panic!() };
    assert_eq!(evals.len(), 1);
    assert_eq!(m.state.eval(&evals[0]).unwrap().triggered_by, EvalTrigger::NodeUpdate);
    assert_eq!(m.state.services().count(), 0);
    assert_eq!(m.state.node(&NODE.into()).unwrap().events.last().unwrap().message, "heartbeat missed");
    // Said twice, it happens once.
    assert_eq!(m.run(Command::UpdateNodeStatus { updates: vec![update] }).outcome, Outcome::Evals(vec![]));
}

#[test]
fn what_a_node_was_told_to_stop_is_lost_when_the_node_is() {
    let stop = |id: &str| {
        let stop = Stop { id: id.into(), description: "not needed".to_owned(), ..Stop::default() };
        Command::Plan(Box::new(Plan { stops: vec![stop], ..Plan::default() }))
    };
    let status = |m: &Machine, id: &str| m.state.alloc(&id.into()).unwrap().client_status;
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    m.register(j.clone());
    m.place(vec![alloc("early", &j, 0), alloc("late", &j, 1)], &j);
    m.run(Command::DeregisterJob { key: key("a"), purge: true });
    m.run(stop("early"));
    assert_eq!(status(&m, "early"), AllocClientStatus::Pending, "its node will say how it ended");
    let down = NodeStatusUpdate { id: NODE.into(), status: NodeStatus::Down, message: String::new() };
    m.run(Command::UpdateNodeStatus { updates: vec![down] });
    assert_eq!(status(&m, "early"), AllocClientStatus::Lost);
    // A plan that was made before the node was silent.
    m.run(stop("late"));
    assert_eq!(status(&m, "late"), AllocClientStatus::Lost);
}

#[test]
fn a_node_that_registers_again_keeps_what_the_servers_decided() {
    let mut m = Machine::with_node();
    let mut again = node(NODE);
    again.attributes.insert("kernel.version".to_owned(), "7".to_owned());
    assert_eq!(m.run(Command::RegisterNode { node: Box::new(again) }).outcome, Outcome::Evals(vec![]));
    let row = m.state.node(&NODE.into()).unwrap();
    assert_eq!((row.create_index, row.attributes["kernel.version"].as_str()), (1, "7"));
    assert!(matches!(m.run(Command::DeleteNodes { ids: vec![NODE.into()] }).outcome, Outcome::Refused(_)));
}

#[test]
fn a_system_job_is_evaluated_when_a_node_comes() {
    let mut m = Machine::default();
    m.register(job("sys", JobType::System));
    m.register(job("svc", JobType::Service));
    let Outcome::Evals(evals) = m.run(Command::RegisterNode { node: Box::new(node(NODE)) }).outcome else { panic!() };
    assert_eq!(evals.len(), 1);
    assert_eq!(m.state.eval(&evals[0]).unwrap().job_id, "sys");
}

#[test]
fn a_failed_allocation_asks_for_another_and_reports_of_strangers_are_ignored() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    m.register(j.clone());
    m.place(vec![alloc("x", &j, 0)], &j);
    let foreign =
        AllocUpdate { id: "x".into(), node_id: "other".into(), client_status: AllocClientStatus::Failed, ..AllocUpdate::default() };
    let applied = m.run(Command::UpdateAllocs { updates: vec![foreign] });
    assert!(applied.effects.changes.is_empty());
    let Outcome::Evals(evals) = m.report("x", AllocClientStatus::Failed) else { panic!() };
    assert_eq!(m.state.eval(&evals[0]).unwrap().triggered_by, EvalTrigger::RetryFailedAlloc);
    assert_eq!(m.report("x", Running), Outcome::Evals(vec![]), "what ended stays ended");
}

#[test]
fn one_blocked_evaluation_per_job_is_enough() {
    let mut m = Machine::default();
    m.register(job("a", JobType::Service));
    let blocked = |id: &str| Evaluation {
        id: id.into(),
        namespace: "default".into(),
        job_id: "a".into(),
        status: EvalStatus::Blocked,
        ..Evaluation::default()
    };
    m.run(Command::UpdateEvals { evals: vec![blocked("one")] });
    m.run(Command::UpdateEvals { evals: vec![blocked("two")] });
    assert_eq!(m.state.eval(&"one".into()).unwrap().status, EvalStatus::Canceled);
    assert_eq!(m.state.eval(&"two".into()).unwrap().status, EvalStatus::Blocked);
    m.run(Command::DeregisterJob { key: key("a"), purge: false });
    assert_eq!(m.state.eval(&"two".into()).unwrap().status, EvalStatus::Canceled, "a stopped job waits for nothing");
}

/// An evaluation of job `a` that found no node for `n` of its group.
fn unplaced(id: &str, status: EvalStatus, n: u64) -> Evaluation {
    let failed = if n > 0 { [("web".to_owned(), AllocationMetric::default())].into() } else { BTreeMap::new() };
    Evaluation {
        id: id.into(),
        namespace: "default".into(),
        job_id: "a".into(),
        status,
        failed_tg_allocs: failed,
        queued_allocations: [("web".to_owned(), n)].into(),
        ..Evaluation::default()
    }
}

#[test]
fn what_is_queued_stays_queued_until_an_evaluation_says_otherwise() {
    let queued = |m: &Machine| m.state.job_summary(&key("a")).unwrap().summary["web"].queued;
    let mut m = Machine::with_node();
    m.register(job("a", JobType::Service));
    assert_eq!(queued(&m), 0);
    m.run(Command::UpdateEvals { evals: vec![unplaced("one", EvalStatus::Complete, 3), unplaced("two", EvalStatus::Blocked, 3)] });
    assert_eq!(queued(&m), 3);
    m.run(Command::EvaluateJob { key: key("a") });
    assert_eq!(queued(&m), 3, "an evaluation that waits for its turn says nothing yet");
    m.run(Command::UpdateEvals { evals: vec![unplaced("three", EvalStatus::Failed, 0)] });
    assert_eq!(queued(&m), 3, "nor does one that nobody could answer");
    m.run(Command::UpdateEvals { evals: vec![unplaced("two", EvalStatus::Blocked, 1)] });
    assert_eq!(queued(&m), 1);
    m.run(Command::UpdateEvals { evals: vec![unplaced("four", EvalStatus::Complete, 0)] });
    assert_eq!(queued(&m), 0);
}

#[test]
fn nothing_waits_once_there_was_room_for_everything() {
    let mut m = Machine::with_node();
    m.register(job("a", JobType::Service));
    let status = |m: &Machine| m.state.eval(&"two".into()).unwrap().status;
    m.run(Command::UpdateEvals { evals: vec![unplaced("one", EvalStatus::Complete, 3), unplaced("two", EvalStatus::Blocked, 3)] });
    assert_eq!(status(&m), EvalStatus::Blocked, "the answered one says that it waits");
    m.run(Command::UpdateEvals { evals: vec![unplaced("three", EvalStatus::Failed, 0)] });
    assert_eq!(status(&m), EvalStatus::Blocked);
    m.run(Command::UpdateEvals { evals: vec![unplaced("four", EvalStatus::Complete, 0)] });
    let row = m.state.eval(&"two".into()).unwrap();
    assert_eq!((row.status, row.status_description.as_str()), (EvalStatus::Canceled, "evaluation four found room for everything"));
    // The one that waited may be the one that finds room.
    m.run(Command::UpdateEvals { evals: vec![unplaced("five", EvalStatus::Blocked, 1)] });
    m.run(Command::UpdateEvals { evals: vec![unplaced("five", EvalStatus::Complete, 0)] });
    assert_eq!(m.state.eval(&"five".into()).unwrap().status, EvalStatus::Complete);
}

/// A job whose deployment `d` wants `wanted` of its group; nothing is placed yet.
fn deploying(wanted: i64) -> (Machine, Job) {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    m.register(j.clone());
    let group = DeploymentState { desired_total: wanted, progress_deadline: Nanos::from_mins(10), ..DeploymentState::default() };
    let deployment = Deployment {
        id: "d".into(),
        namespace: "default".into(),
        job_id: "a".into(),
        task_groups: [("web".to_owned(), group)].into(),
        ..Deployment::default()
    };
    m.run(Command::Plan(Box::new(Plan { deployment: Some(deployment), ..Plan::default() })));
    (m, j)
}

fn deploy(m: &mut Machine, j: &Job, id: &str, index: u32) {
    let placement = Allocation { deployment_id: "d".into(), ..alloc(id, j, index) };
    assert_eq!(m.place(vec![placement], j), Outcome::Plan { rejected: vec![] });
}

fn judge(m: &mut Machine, id: &str, status: AllocClientStatus, healthy: bool) {
    let health = AllocDeploymentStatus { healthy: Some(healthy), timestamp: Timestamp(9), ..AllocDeploymentStatus::default() };
    let update = AllocUpdate {
        id: id.into(),
        node_id: NODE.into(),
        client_status: status,
        deployment_status: Some(health),
        ..AllocUpdate::default()
    };
    m.run(Command::UpdateAllocs { updates: vec![update] });
}

/// Placed, healthy and unhealthy allocations of the deployment, and its status.
fn progress(m: &Machine) -> (i64, i64, i64, DeploymentStatus) {
    let deployment = m.state.deployment(&"d".into()).unwrap();
    let group = &deployment.task_groups["web"];
    (group.placed_allocs, group.healthy_allocs, group.unhealthy_allocs, deployment.status)
}

fn watchers(m: &Machine) -> usize {
    m.state.evals().filter(|e| e.triggered_by == EvalTrigger::DeploymentWatcher).count()
}

#[test]
fn a_deployment_counts_health_and_ends_when_all_are_healthy() {
    let (mut m, j) = deploying(2);
    deploy(&mut m, &j, "x", 0);
    deploy(&mut m, &j, "y", 1);
    assert_eq!(progress(&m), (2, 0, 0, DeploymentStatus::Running));
    assert!(!m.state.deployment(&"d".into()).unwrap().task_groups["web"].require_progress_by.is_never());
    judge(&mut m, "x", Running, true);
    assert_eq!(progress(&m), (2, 1, 0, DeploymentStatus::Running));
    assert_eq!(watchers(&m), 1, "the next batch is asked for");
    judge(&mut m, "x", Running, true);
    assert_eq!((progress(&m), watchers(&m)), ((2, 1, 0, DeploymentStatus::Running), 1), "said twice, counted once");
    judge(&mut m, "y", Running, true);
    assert_eq!(progress(&m), (2, 2, 0, DeploymentStatus::Successful));
    assert!(m.state.job(&key("a")).unwrap().stable);
}

#[test]
fn a_successor_is_healthy_in_the_place_of_its_predecessor_and_not_beside_it() {
    let (mut m, j) = deploying(2);
    deploy(&mut m, &j, "x", 0);
    deploy(&mut m, &j, "y", 1);
    judge(&mut m, "x", Running, true);
    m.report("x", AllocClientStatus::Failed);
    assert_eq!(progress(&m), (2, 0, 0, DeploymentStatus::Running));
    assert_eq!(watchers(&m), 1, "an end is no verdict");
    deploy(&mut m, &j, "x2", 0);
    judge(&mut m, "x2", Running, true);
    assert_eq!(progress(&m), (3, 1, 0, DeploymentStatus::Running), "y is not healthy yet");
    // So it is with one that the servers stop.
    let stop = Stop { id: "x2".into(), ..Stop::default() };
    m.run(Command::Plan(Box::new(Plan { stops: vec![stop], ..Plan::default() })));
    judge(&mut m, "y", Running, true);
    assert_eq!(progress(&m), (3, 1, 0, DeploymentStatus::Running));
    deploy(&mut m, &j, "x3", 0);
    judge(&mut m, "x3", Running, true);
    assert_eq!(progress(&m), (4, 2, 0, DeploymentStatus::Successful));
}

#[test]
fn one_that_ends_with_its_verdict_is_not_counted_as_healthy() {
    let (mut m, j) = deploying(1);
    deploy(&mut m, &j, "x", 0);
    judge(&mut m, "x", AllocClientStatus::Complete, true);
    assert_eq!(progress(&m), (1, 0, 0, DeploymentStatus::Running));
}

#[test]
fn what_was_unhealthy_stays_counted_when_it_is_replaced() {
    let (mut m, j) = deploying(1);
    deploy(&mut m, &j, "x", 0);
    judge(&mut m, "x", Running, false);
    m.report("x", AllocClientStatus::Failed);
    deploy(&mut m, &j, "x2", 0);
    assert_eq!(progress(&m), (2, 0, 1, DeploymentStatus::Running));
    judge(&mut m, "x2", Running, true);
    assert_eq!(progress(&m), (2, 1, 1, DeploymentStatus::Successful));
}

#[test]
fn a_plan_that_is_older_than_a_verdict_does_not_take_it_back() {
    let (mut m, j) = deploying(2);
    deploy(&mut m, &j, "x", 0);
    let before = (**m.state.alloc(&"x".into()).unwrap()).clone();
    judge(&mut m, "x", Running, true);
    // An update in place, made from the state before.
    m.place(vec![before], &j);
    assert_eq!(progress(&m), (1, 1, 0, DeploymentStatus::Running));
    judge(&mut m, "x", Running, true);
    assert_eq!(progress(&m), (1, 1, 0, DeploymentStatus::Running), "counted once");
}

#[test]
fn what_is_not_over_is_not_collected() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    let Outcome::Job { eval_id, .. } = m.register(j.clone()) else { panic!() };
    m.place(vec![alloc("x", &j, 0)], &j);
    let collect = || Command::Collect { evals: vec![eval_id.clone()], allocs: vec!["x".into()], jobs: vec![key("a")], deployments: vec![] };
    assert!(m.run(collect()).effects.changes.is_empty());
    m.run(Command::DeregisterJob { key: key("a"), purge: false });
    m.report("x", AllocClientStatus::Complete);
    let done: Vec<_> = m.state.evals().map(|e| Evaluation { status: EvalStatus::Complete, ..(**e).clone() }).collect();
    m.run(Command::UpdateEvals { evals: done });
    m.run(collect());
    assert_eq!((m.state.allocs().count(), m.state.job(&key("a")).is_none()), (0, true));
}

#[test]
fn every_change_is_noted() {
    let mut m = Machine::with_node();
    let j = job("a", JobType::Service);
    m.register(j.clone());
    let plan = Plan { job: Some(Box::new(j.clone())), placements: vec![alloc("x", &j, 0)], ..Plan::default() };
    let applied = m.run(Command::Plan(Box::new(plan)));
    assert_eq!(applied.effects.changes, vec![Change::Alloc("x".into()), Change::Job(key("a"))]);
}

#[test]
fn a_clone_is_a_snapshot() {
    let mut m = Machine::default();
    let empty: State = m.state.clone();
    m.register(job("a", JobType::Service));
    assert_eq!((empty.jobs().count(), m.state.jobs().count()), (0, 1));
}
