//! Situations and what is decided in them, as text. Accept a change with `INSTA_UPDATE=always cargo test -p floe-scheduler`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use floe_model::{
    AllocClientStatus::{Complete, Failed, Running},
    JobType, Nanos, NodeStatus,
    deployment::DeploymentStatus,
    group::{Affinity, DelayFunction, DisconnectStrategy, EphemeralDisk, ReschedulePolicy, Spread, SpreadTarget},
    network::{NetworkResource, Port},
    service::Service,
};
use floe_state::Command;
use support::{World, changed, constraint, job, key, node, parallel, service, static_port};

macro_rules! golden {
    ($world:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, { insta::assert_snapshot!($world.log) })
    };
}

/// A settled cluster of `nodes` nodes where `job` runs.
fn running(nodes: usize, job: &floe_model::Job) -> World {
    let mut w = World::with_nodes(nodes);
    w.register(job);
    w.settle();
    w.all_run(job.id.as_str(), Some(true));
    w.settle();
    w.quiet();
    w
}

#[test]
fn a_new_service_is_placed_under_a_deployment() {
    let mut w = World::with_nodes(3);
    w.register(&service(3));
    w.settle();
    w.say("all are healthy");
    w.all_run("web", Some(true));
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn what_is_too_big_waits() {
    let mut w = World::with_nodes(2);
    let mut j = service(2);
    j.task_groups[0].tasks[0].resources.as_mut().unwrap().memory_mb = Some(9000);
    w.register(&j);
    w.settle();
    w.say("woken in vain");
    w.wake();
    w.say("a bigger node comes");
    let mut big = node(3);
    big.node_resources.memory.memory_mb = 20_000;
    w.add(big);
    w.wake();
    golden!(w);
}

#[test]
fn what_does_not_fit_a_second_time_waits() {
    let mut w = World::with_nodes(1);
    let mut j = service(3);
    j.task_groups[0].tasks[0].resources.as_mut().unwrap().cpu = Some(2000);
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn constraints_name_what_they_exclude() {
    let mut w = World::with_nodes(2);
    let mut j = service(1);
    j.constraints.push(constraint("${attr.kernel.name}", "=", "windows"));
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn a_pattern_that_is_none_matches_nothing_and_says_so() {
    let mut w = World::with_nodes(1);
    let mut j = service(1);
    j.task_groups[0].constraints.push(constraint("${attr.kernel.name}", "regexp", "lin(ux"));
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn drivers_that_are_missing_are_named() {
    let mut w = World::with_nodes(2);
    let mut j = service(1);
    j.task_groups[0].tasks[0].driver = "docker".to_owned();
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn no_nodes_in_the_datacenter() {
    let mut w = World::with_nodes(1);
    let mut j = service(1);
    j.datacenters = vec!["dc2".to_owned()];
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn no_nodes_in_the_pool() {
    let mut w = World::with_nodes(1);
    let mut j = service(1);
    j.node_pool = "gpu".to_owned();
    w.register(&j);
    w.settle();
    w.say("the pool that holds every node");
    j.node_pool = "all".to_owned();
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn an_empty_cluster() {
    let mut w = World::default();
    w.register(&service(1));
    w.settle();
    golden!(w);
}

#[test]
fn growing_places_only_what_is_missing() {
    let mut w = running(2, &service(2));
    w.register(&service(4));
    w.settle();
    golden!(w);
}

#[test]
fn shrinking_stops_the_highest() {
    let mut w = running(2, &service(4));
    w.register(&service(2));
    w.settle();
    golden!(w);
}

#[test]
fn shrinking_stops_what_does_not_run_first() {
    let mut w = running(2, &service(4));
    w.report("web.g[0]", Failed);
    w.settle();
    w.quiet();
    w.report_health("web.g[2]", false);
    w.register(&service(2));
    w.settle();
    w.say("and growing takes the free indexes");
    w.register(&service(3));
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn a_node_that_is_down_loses_its_allocations() {
    let mut w = running(3, &service(3));
    w.node_status("n1", NodeStatus::Down);
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn a_node_that_is_gone_loses_its_allocations() {
    let mut w = running(2, &service(2));
    w.node_status("n1", NodeStatus::Down);
    w.run(Command::DeleteNodes { ids: vec!["n1".into()] });
    w.settle();
    golden!(w);
}

#[test]
fn what_was_lost_without_a_node_keeps_its_history() {
    let mut w = running(1, &service(1));
    w.node_status("n1", NodeStatus::Down);
    w.settle();
    w.say("another node comes");
    w.add(node(2));
    w.wake();
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn a_stopped_job_stops_everything_and_starts_again() {
    let mut w = running(2, &service(2));
    w.deregister("web", false);
    w.settle();
    w.say("it starts again");
    w.register(&service(2));
    w.settle();
    golden!(w);
}

#[test]
fn a_purged_job_stops_everything() {
    let mut w = running(2, &service(2));
    w.deregister("web", true);
    w.settle();
    golden!(w);
}

#[test]
fn a_change_of_services_is_done_in_place() {
    let mut w = running(2, &service(2));
    let mut j = service(2);
    j.task_groups[0].services.push(Service { name: "web".to_owned(), provider: "nomad".to_owned(), ..Service::default() });
    w.register(&j);
    w.settle();
    w.all_run("web", Some(true));
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn an_update_goes_one_by_one_as_they_get_healthy() {
    let mut w = running(3, &service(3));
    w.register(&changed(&service(3), "2"));
    w.settle();
    for i in 0..3 {
        w.say(&format!("number {i} is healthy"));
        w.report_health(&format!("web.g[{i}]"), true);
        w.settle();
    }
    w.show("web");
    golden!(w);
}

#[test]
fn an_update_two_at_a_time_waits_for_both() {
    let j = parallel(service(5), 2);
    let mut w = running(2, &j);
    w.register(&changed(&j, "2"));
    w.settle();
    w.say("one of two is healthy");
    w.report_health("web.g[1]", true);
    w.settle();
    golden!(w);
}

#[test]
fn an_update_all_at_once_has_no_deployment() {
    let j = parallel(service(3), 0);
    let mut w = running(2, &j);
    w.register(&changed(&j, "2"));
    w.settle();
    golden!(w);
}

#[test]
fn an_unhealthy_one_stops_the_update() {
    let j = parallel(service(4), 2);
    let mut w = running(2, &j);
    w.register(&changed(&j, "2"));
    w.settle();
    w.say("one is healthy, one is not");
    w.report_health("web.g[0]", true);
    w.report_health("web.g[1]", false);
    w.settle();
    golden!(w);
}

#[test]
fn a_failed_deployment_replaces_no_more() {
    let mut w = running(3, &service(3));
    w.register(&changed(&service(3), "2"));
    w.settle();
    let id = w.state.latest_deployment(&key("web")).unwrap().id.clone();
    let fail =
        Command::UpdateDeployment { id, status: DeploymentStatus::Failed, description: "Failed due to progress deadline".to_owned() };
    w.say("the deployment fails");
    w.run(fail);
    w.settle();
    w.say("a node of the old version goes down: what is lost is replaced all the same");
    let old = w.find("web.g[2]").node_id.clone();
    w.node_status(old.as_str(), NodeStatus::Down);
    w.settle();
    w.say("what fails under it stays");
    w.report("web.g[0]", Failed);
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn a_newer_version_cancels_the_deployment() {
    let mut w = running(2, &service(2));
    w.register(&changed(&service(2), "2"));
    w.settle();
    w.register(&changed(&service(2), "3"));
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn stopping_cancels_the_deployment() {
    let mut w = World::with_nodes(1);
    w.register(&service(1));
    w.settle();
    w.deregister("web", false);
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn an_update_without_room_leaves_the_old_one_running() {
    let mut w = running(1, &service(1));
    let mut j = service(1);
    j.task_groups[0].tasks[0].resources.as_mut().unwrap().cpu = Some(5000);
    w.register(&j);
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn an_update_uses_the_room_of_what_it_replaces() {
    let mut big = service(1);
    big.task_groups[0].tasks[0].resources.as_mut().unwrap().cpu = Some(4000);
    let mut w = running(1, &big);
    w.register(&changed(&big, "2"));
    w.settle();
    golden!(w);
}

#[test]
fn leaving_a_datacenter_replaces_what_runs_there() {
    let mut w = running(1, &service(1));
    let mut other = node(2);
    other.datacenter = "dc2".to_owned();
    w.add(other);
    let mut j = service(1);
    j.datacenters = vec!["dc2".to_owned()];
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn a_failed_allocation_is_replaced_after_its_delay_elsewhere() {
    let mut w = running(2, &service(1));
    w.report("web.g[0]", Failed);
    w.settle();
    w.say("a look in between changes nothing");
    w.wait(10);
    w.evaluate("web");
    w.settle();
    w.say("its time has come");
    w.wait(20);
    w.settle();
    w.say("it fails again at once");
    w.report("web.g[0]", Failed);
    w.settle();
    w.wait(60);
    w.settle();
    w.say("it runs for long and fails: the delay begins again");
    w.wait(3600);
    w.report("web.g[0]", Failed);
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn failures_of_nearly_the_same_time_share_an_evaluation() {
    let mut w = running(2, &service(3));
    for (i, pause) in [(0, 3), (1, 6), (2, 0)] {
        w.report(&format!("web.g[{i}]"), Failed);
        w.wait(pause);
    }
    let eval = w.due().last().cloned().unwrap();
    w.answer(&eval);
    golden!(w);
}

#[test]
fn a_batch_that_ended_is_not_run_again_until_it_changes() {
    let j = job("report", JobType::Batch, 2);
    let mut w = World::with_nodes(2);
    w.register(&j);
    w.settle();
    w.report("report.g[0]", Complete);
    w.report("report.g[1]", Complete);
    w.say("looked at again");
    w.evaluate("report");
    w.settle();
    w.say("changed");
    w.register(&changed(&j, "2"));
    w.settle();
    w.show("report");
    golden!(w);
}

#[test]
fn a_batch_that_fails_is_tried_once_more() {
    let mut w = World::with_nodes(2);
    w.register(&job("report", JobType::Batch, 1));
    w.settle();
    w.report("report.g[0]", Failed);
    w.settle();
    w.wait(5);
    w.settle();
    w.say("fails again: no attempt is left");
    w.report("report.g[0]", Failed);
    w.settle();
    w.show("report");
    golden!(w);
}

#[test]
fn what_a_node_ends_by_itself_is_replaced_when_it_has() {
    let mut j = service(2);
    j.task_groups[0].disconnect =
        Some(DisconnectStrategy { stop_on_client_after: Some(Nanos::from_secs(60)), ..DisconnectStrategy::default() });
    j.task_groups[0].tasks[0].kill_timeout = Some(Nanos::from_secs(20));
    let mut w = running(2, &j);
    w.say("a node is down: what it runs may still run");
    let node = w.find("web.g[0]").node_id.clone();
    w.node_status(node.as_str(), NodeStatus::Down);
    w.settle();
    w.say("somebody looks once more: one evaluation is enough");
    w.wait(30);
    w.evaluate("web");
    w.settle();
    w.say("it came back in time: nothing happened");
    w.node_status(node.as_str(), NodeStatus::Ready);
    w.settle();
    w.wait(60);
    w.settle();
    w.show("web");
    w.say("it is down again, and a newer version does not replace what may still run");
    w.node_status(node.as_str(), NodeStatus::Down);
    w.settle();
    w.register(&changed(&j, "2"));
    w.settle();
    w.say("its time is over: 60 seconds, 20 for the end, and one for the clock");
    w.wait(80);
    w.settle();
    w.wait(1);
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn a_batch_on_a_node_that_is_down_is_run_elsewhere_unless_it_ended() {
    let mut w = World::with_nodes(1);
    w.register(&job("report", JobType::Batch, 2));
    w.settle();
    w.report("report.g[0]", Complete);
    w.add(node(2));
    w.node_status("n1", NodeStatus::Down);
    w.settle();
    w.show("report");
    golden!(w);
}

#[test]
fn a_stopped_allocation_is_placed_again() {
    let mut w = running(2, &service(2));
    let id = w.find("web.g[1]").id.clone();
    w.run(Command::StopAlloc { id });
    w.settle();
    w.show("web");
    golden!(w);
}

#[test]
fn a_fixed_port_is_had_once_per_node() {
    let mut w = World::with_nodes(2);
    let mut j = service(3);
    j.task_groups[0].networks = vec![static_port("http", 8080)];
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn dynamic_ports_end_with_the_range() {
    let mut n = node(1);
    n.node_resources.min_dynamic_port = 30_000;
    n.node_resources.max_dynamic_port = 30_000;
    let mut w = World::default();
    w.add(n);
    let mut j = service(2);
    let port = Port { label: "http".to_owned(), to: -1, ..Port::default() };
    j.task_groups[0].networks = vec![NetworkResource { dynamic_ports: vec![port], ..NetworkResource::default() }];
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn distinct_hosts_keeps_siblings_apart() {
    let mut w = World::with_nodes(2);
    let mut j = service(3);
    j.constraints.push(constraint("", "distinct_hosts", "true"));
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn distinct_property_counts_per_value() {
    let mut w = World::default();
    for (i, rack) in [(1, Some("r1")), (2, Some("r1")), (3, None)] {
        let mut n = node(i);
        n.meta.extend(rack.map(|r| ("rack".to_owned(), r.to_owned())));
        w.add(n);
    }
    let mut j = service(3);
    j.constraints.push(constraint("${meta.rack}", "distinct_property", "2"));
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn affinities_draw_and_push() {
    let mut w = World::with_nodes(3);
    let mut j = service(2);
    let affinity = |node: &str, weight| Affinity {
        l_target: "${node.unique.name}".to_owned(),
        r_target: node.to_owned(),
        operand: "=".to_owned(),
        weight: Some(weight),
    };
    j.affinities = vec![affinity("node-2", 100), affinity("node-3", -100)];
    j.task_groups[0].tasks[0].resources.as_mut().unwrap().cpu = Some(3000);
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn spreads_follow_their_targets() {
    let mut w = World::default();
    for i in 1..=4 {
        let mut n = node(i);
        n.datacenter = if i <= 2 { "dc1" } else { "dc2" }.to_owned();
        w.add(n);
    }
    let mut j = service(4);
    let target = |value: &str, percent| SpreadTarget { value: value.to_owned(), percent };
    j.spreads = vec![Spread {
        attribute: "${node.datacenter}".to_owned(),
        weight: Some(100),
        spread_target: vec![target("dc1", 75), target("dc2", 25)],
    }];
    w.register(&j);
    w.settle();
    let in_dc1 = w.live("web").iter().filter(|a| ["n1", "n2"].contains(&a.node_id.as_str())).count();
    w.say(&format!("{in_dc1} of 4 in dc1"));
    golden!(w);
}

#[test]
fn a_sticky_disk_keeps_its_node() {
    let mut j = service(1);
    j.task_groups[0].ephemeral_disk = Some(EphemeralDisk { sticky: Some(true), ..EphemeralDisk::default() });
    let mut w = running(9, &j);
    w.register(&changed(&j, "2"));
    w.settle();
    golden!(w);
}

#[test]
fn a_group_that_the_job_has_no_more_is_stopped() {
    let mut j = service(1);
    let mut second = j.task_groups[0].clone();
    second.name = "side".to_owned();
    j.task_groups.push(second);
    let mut w = running(2, &j);
    w.register(&service(1));
    w.settle();
    golden!(w);
}

#[test]
fn a_system_job_runs_on_every_node_that_is_meant() {
    let mut w = World::with_nodes(2);
    let mut other = node(3);
    other.attributes.insert("kernel.name".to_owned(), "windows".to_owned());
    w.add(other);
    let mut j = job("agent", JobType::System, 1);
    j.constraints.push(constraint("${attr.kernel.name}", "=", "linux"));
    w.register(&j);
    w.settle();
    w.say("a node comes");
    w.add(node(4));
    w.settle();
    w.say("a node goes");
    w.node_status("n1", NodeStatus::Down);
    w.settle();
    w.say("and returns");
    w.add(node(1));
    w.settle();
    w.show("agent");
    golden!(w);
}

#[test]
fn a_system_job_names_the_nodes_without_room() {
    let mut w = World::with_nodes(2);
    let mut small = node(3);
    small.node_resources.memory.memory_mb = 100;
    w.add(small);
    w.register(&job("agent", JobType::System, 1));
    w.settle();
    golden!(w);
}

#[test]
fn a_system_job_is_updated_in_batches() {
    let mut j = job("agent", JobType::System, 1);
    j.update = Some(floe_model::group::UpdateStrategy {
        max_parallel: Some(2),
        stagger: Some(Nanos::from_secs(30)),
        ..floe_model::group::UpdateStrategy::default()
    });
    let mut w = World::with_nodes(3);
    w.register(&j);
    w.settle();
    w.quiet();
    w.register(&changed(&j, "2"));
    w.settle();
    w.say("a look in between changes nothing");
    w.evaluate("agent");
    w.settle();
    w.wait(30);
    w.settle();
    golden!(w);
}

#[test]
fn a_system_job_leaves_nodes_that_it_excludes_now() {
    let mut w = World::with_nodes(2);
    w.register(&job("agent", JobType::System, 1));
    w.settle();
    w.quiet();
    let mut j = job("agent", JobType::System, 1);
    j.constraints.push(constraint("${node.unique.name}", "=", "node-1"));
    w.register(&j);
    w.settle();
    golden!(w);
}

#[test]
fn a_sysbatch_runs_once_per_node_and_version() {
    let j = job("sweep", JobType::Sysbatch, 1);
    let mut w = World::with_nodes(2);
    w.register(&j);
    w.settle();
    for alloc in w.live("sweep") {
        w.report_alloc(&alloc, Complete, None);
    }
    w.say("looked at again");
    w.evaluate("sweep");
    w.settle();
    w.say("a node comes");
    w.add(node(3));
    w.settle();
    w.say("changed");
    w.register(&changed(&j, "2"));
    w.settle();
    golden!(w);
}

#[test]
fn limited_attempts_with_growing_delays() {
    let mut j = service(1);
    j.task_groups[0].reschedule_policy = Some(ReschedulePolicy {
        attempts: Some(2),
        interval: Some(Nanos::from_hours(1)),
        delay: Some(Nanos::from_secs(5)),
        delay_function: Some(DelayFunction::Fibonacci),
        max_delay: Some(Nanos::from_secs(60)),
        unlimited: Some(false),
    });
    let mut w = running(3, &j);
    for _ in 0..3 {
        if w.live("web").is_empty() {
            break;
        }
        w.report("web.g[0]", Failed);
        w.settle();
        w.wait(10);
        w.settle();
    }
    w.say("a new version begins afresh");
    w.register(&changed(&j, "2"));
    w.settle();
    w.report("web.g[0]", Running);
    w.show("web");
    golden!(w);
}

fn with_cpu(mut j: floe_model::Job, cpu: i64) -> floe_model::Job {
    j.task_groups[0].tasks[0].resources.as_mut().unwrap().cpu = Some(cpu);
    j
}

fn fail_deployment(w: &mut World) {
    let id = w.state.latest_deployment(&key("web")).unwrap().id.clone();
    w.run(Command::UpdateDeployment { id, status: DeploymentStatus::Failed, description: "test".to_owned() });
}

/// Found by a random history: the first of three found nothing until the other two had moved.
#[test]
fn successors_make_room_for_each_other() {
    let j = job("report", JobType::Batch, 3);
    let mut w = World::with_nodes(3);
    w.register(&with_cpu(j.clone(), 3000));
    w.settle();
    w.quiet();
    let small = w.find("report.g[0]").node_id.clone();
    let mut shrunk = (**w.state.node(&small).unwrap()).clone();
    shrunk.node_resources.cpu.cpu_shares = 1000;
    w.add(shrunk);
    w.settle();
    w.register(&with_cpu(j, 1500));
    w.settle();
    golden!(w);
}

/// Found by a random history: what failed under an old version waits for its delay also when the new version's deployment failed.
#[test]
fn an_old_version_still_waits_when_the_new_one_failed() {
    let mut w = running(2, &service(2));
    w.register(&changed(&service(2), "2"));
    w.settle();
    fail_deployment(&mut w);
    w.settle();
    w.quiet();
    w.report("web.g[1]", Failed);
    w.settle();
    w.say("a look in between changes nothing");
    w.evaluate("web");
    w.settle();
    w.wait(30);
    w.settle();
    golden!(w);
}

/// Found by a random history: an allocation that waited for its successor came back beside the one that had taken its index.
#[test]
fn a_wait_ends_when_another_takes_the_index() {
    let mut w = running(2, &service(1));
    w.report("web.g[0]", Failed);
    w.settle();
    w.register(&service(0));
    w.settle();
    w.register(&service(2));
    w.settle();
    w.quiet();
    fail_deployment(&mut w);
    w.settle();
    w.wait(60);
    w.settle();
    w.show("web");
    golden!(w);
}
