//! Much at once, and the next thing before the last is done.

use crate::{
    api::{events, id, text},
    command::Running,
    job::{batch, service, web},
    restart::port,
    traffic::wait_page,
    world::{HOST, eventually, world},
};
use serde_json::json;
use std::{collections::BTreeSet, thread};

#[test]
fn a_job_that_is_stopped_at_once_leaves_nothing() {
    world(|world| {
        let agent = world.start_agent("n1");
        let jobs: Vec<_> = (0..10).map(|n| web(&format!("w{n}"))).collect();
        for job in &jobs {
            agent.api().submit(job);
            agent.api().delete(&job.path(if job.id() < "w5" { "" } else { "?purge=true" }));
        }
        agent.api().wait("nothing runs", "/v1/allocations", |all| {
            all.as_array()?.iter().all(|a| ["complete", "failed", "lost"].contains(&text(&a["ClientStatus"]))).then_some(())
        });
    });
}

#[test]
fn only_the_newest_of_many_versions_is_left() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web").set(|j| drop(j.as_object_mut().unwrap().remove("Update")));
        let edition = |n: usize| job.clone().task(|t| t["Env"] = json!({ "edition": n.to_string() }));
        for n in 0..12 {
            agent.api().submit(&edition(n));
        }
        let last = agent.api().wait("the last version runs alone", &job.path("/allocations"), |all| {
            let left: Vec<_> = all.as_array()?.iter().filter(|a| !["complete", "failed"].contains(&text(&a["ClientStatus"]))).collect();
            (left.len() == 1 && left[0]["JobVersion"] == 11 && left[0]["ClientStatus"] == "running").then(|| id(left[0]))
        });
        let full = agent.api().alloc(&last);
        assert_eq!(full["Job"]["TaskGroups"][0]["Tasks"][0]["Env"]["edition"], "11");
        assert_eq!(wait_page(HOST, port(&full, "http")).trim(), last);
    });
}

#[test]
fn a_stop_ends_the_wait_for_a_restart() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = service("s", "exit 1").restarts(3, 60_000);
        agent.api().submit(&job);
        let alloc = agent.api().wait("it waits", &job.path("/allocations"), |all| {
            all.as_array()?.iter().find(|a| events(a, "t").contains(&"Restarting".to_owned())).map(id)
        });
        let began = std::time::Instant::now();
        agent.api().stop(&job);
        assert!(began.elapsed().as_secs() < 10);
        assert_eq!(agent.api().alloc(&alloc)["ClientStatus"], "complete");
    });
}

#[test]
fn thirty_allocations_at_once_are_all_reached() {
    world(|world| {
        let agent = world.start_agent("n1");
        let job = web("web").copies(30).announced("web", &[]).set(|j| drop(j.as_object_mut().unwrap().remove("Update")));
        let allocs = agent.api().run(&job);
        let mut addresses = BTreeSet::new();
        for alloc in &allocs {
            let full = agent.api().alloc(&id(alloc));
            addresses.insert(full["NetworkStatus"]["Address"].to_string());
            assert_eq!(wait_page(HOST, port(&full, "http")).trim(), id(alloc));
        }
        assert_eq!(addresses.len(), 30);
        let names: BTreeSet<String> = allocs.iter().map(|a| a["Name"].to_string()).collect();
        assert_eq!(names.len(), 30);
        agent.api().wait("all are announced", "/v1/service/web", |all| (all.as_array()?.len() == 30).then_some(()));
        agent.api().stop(&job);
        agent.api().wait("none is announced", "/v1/service/web", |all| all.as_array()?.is_empty().then_some(()));
    });
}

#[test]
fn many_clients_submit_at_once() {
    world(|world| {
        let agent = world.start_agent("n1");
        let api = agent.api();
        let index = thread::scope(|scope| {
            let clients: Vec<_> = (0..8)
                .map(|client| {
                    scope.spawn(move || {
                        for n in 0..20 {
                            api.submit(&batch(&format!("j{client}-{n}"), "true").copies(0));
                            api.submit(&batch("shared", "true").copies(0).set(|j| j["Meta"] = json!({ "by": format!("{client}-{n}") })));
                        }
                    })
                })
                .collect();
            clients.into_iter().for_each(|c| c.join().unwrap());
            api.get("/v1/job/shared")["Version"].as_u64().unwrap()
        });
        assert_eq!(index, 159, "each of 160 changes is a version");
        assert_eq!(api.get("/v1/jobs").as_array().unwrap().len(), 161);
    });
}

#[test]
fn a_follower_loses_nothing_when_files_are_rotated() {
    world(|world| {
        let agent = world.start_agent("n1");
        // Some four files of output, at a pace that a reader keeps up with.
        let script =
            "i=0; while [ $i -lt 400 ]; do i=$((i+1)); head -c 10000 /dev/zero | tr '\\0' x; echo \" $i\"; sleep 0.005; done; echo end";
        let job = batch("b", script).task(|t| t["LogConfig"] = json!({ "MaxFiles": 3, "MaxFileSizeMB": 1 }));
        let alloc = agent.api().run_one(&job);
        let following = Running::start(world.command(&["alloc", "logs", "-f", &alloc]));
        assert!(following.wait().success());
        let text = following.stdout();
        assert!(text.ends_with("end\n"));
        let numbers: Vec<usize> = text.lines().filter_map(|l| l.rsplit_once(' ')?.1.parse().ok()).collect();
        assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
    });
}

#[test]
fn two_hundred_waiting_readers_do_not_hinder_others() {
    world(|world| {
        let agent = world.start_agent("n1");
        let (api, to) = (agent.api(), agent.http());
        let index = api.wait_quiet("/v1/jobs");
        thread::scope(|scope| {
            let readers: Vec<_> = (0..200)
                .map(|_| scope.spawn(move || crate::http::Request::get(&format!("/v1/jobs?index={index}&wait=60s")).send(to).unwrap()))
                .collect();
            eventually("the others are served", || api.try_get("/v1/nodes"));
            api.submit(&service("s", "true").copies(0));
            for reader in readers {
                let answer = reader.join().unwrap();
                assert!(answer.index() > index && answer.json().as_array().unwrap().len() == 1);
            }
        });
    });
}
