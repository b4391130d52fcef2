//! What was acknowledged is there after any crash.

use crate::{
    agent::Agent,
    api::{id, text},
    http::Request,
    job::{Job, service},
    world::{eventually, world},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

/// How often the agent is killed.
const ROUNDS: usize = 12;
/// How many clients submit jobs meanwhile.
const CLIENTS: usize = 3;
/// Every how many jobs one has a task.
const WITH_TASK: usize = 8;

/// What was acknowledged: each job with the highest number that its description must have.
type Acknowledged = Mutex<BTreeMap<String, u64>>;

fn job(number: usize, edition: u64) -> Job {
    let count = usize::from(number.is_multiple_of(WITH_TASK));
    service(&format!("j{number}"), "exec sleep 10000").copies(count).set(|j| j["Meta"] = json!({ "edition": edition.to_string() }))
}

/// Registers new jobs, and every other one again with a change that needs no new task.
fn submit(agent: &Agent, next: &AtomicUsize, acknowledged: &Acknowledged, stop: &AtomicBool) {
    let mut sent = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        sent.push(number);
        let again = sent[sent.len() / 2];
        for number in [number, again] {
            let edition = acknowledged.lock().unwrap().get(&format!("j{number}")).map_or(0, |e| e + 1);
            let job = job(number, edition);
            let body = json!({ "Job": job.json() }).to_string();
            match Request::new("POST", "/v1/jobs").body(body).send(agent.http()) {
                Ok(answer) if answer.status() == 200 => {
                    let mut acknowledged = acknowledged.lock().unwrap();
                    let known = acknowledged.entry(job.id().to_owned()).or_default();
                    *known = edition.max(*known);
                }
                Ok(answer) => assert!(answer.status() >= 500, "{}: {}", answer.status(), answer.text()),
                // Cut off by the kill: it may have been taken or not.
                Err(_) => return,
            }
        }
    }
}

/// A moment that differs from round to round: a few milliseconds to most of a second.
fn some_time() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Duration::from_micros(u64::from(now.subsec_nanos()) / 7 % 600_000 + 2_000)
}

#[test]
fn kills_at_random_moments_lose_nothing_acknowledged() {
    world(|world| {
        let agent = world.start_agent("n1");
        let (next, acknowledged) = (AtomicUsize::new(0), Acknowledged::default());
        for round in 0..ROUNDS {
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..CLIENTS {
                    scope.spawn(|| submit(&agent, &next, &acknowledged, &stop));
                }
                // This sleep chooses the moment; nothing waits for anything with it.
                thread::sleep(some_time());
                agent.kill();
                stop.store(true, Ordering::Relaxed);
            });
            agent.start();
            let known: BTreeMap<String, u64> = agent.api().get("/v1/jobs?meta=true").as_array().unwrap().iter().map(known).collect();
            for (id, edition) in acknowledged.lock().unwrap().iter() {
                let found = known.get(id);
                assert!(found.is_some_and(|f| f >= edition), "round {round}: job {id} was acknowledged with {edition}, found {found:?}");
            }
        }
        let acknowledged = acknowledged.into_inner().unwrap();
        assert!(acknowledged.len() > ROUNDS, "only {} jobs were taken", acknowledged.len());
        each_task_runs_once(&agent);
    });
}

fn known(job: &serde_json::Value) -> (String, u64) {
    (id(job), text(&job["Meta"]["edition"]).parse().unwrap_or_else(|_| panic!("no edition in {job}")))
}

/// Every job that wants a task has one, under one allocation, and no task runs that no job wants.
fn each_task_runs_once(agent: &Agent) {
    let api = agent.api();
    let wanted = api
        .get("/v1/jobs")
        .as_array()
        .unwrap()
        .iter()
        .filter(|j| j["ID"].as_str().unwrap()[1..].parse::<usize>().unwrap() % WITH_TASK == 0)
        .count();
    let shims = || -> BTreeSet<String> {
        let entries = std::fs::read_dir(agent.data().join("client/shims")).unwrap();
        entries.flatten().map(|e| e.file_name().into_string().unwrap()).collect()
    };
    // The last updates may still be on their way, so both are looked at together, again and again.
    let running = || -> BTreeSet<String> {
        let allocs = api.get("/v1/allocations");
        allocs.as_array().unwrap().iter().filter(|a| a["ClientStatus"] == "running").map(|a| format!("{}.t", id(a))).collect()
    };
    let settled = || running().len() == wanted && running() == shims();
    let same = catch_unwind(AssertUnwindSafe(|| eventually("one task and one supervisor for each job", || settled().then_some(()))));
    if same.is_err() {
        for odd in shims().symmetric_difference(&running()) {
            eprintln!("{odd}: {:#}", api.alloc(odd.trim_end_matches(".t")));
        }
        panic!("{wanted} jobs want a task, {} run, and {} have a supervisor", running().len(), shims().len());
    }
}
