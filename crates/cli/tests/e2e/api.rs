//! What tests ask of an agent, and how they wait for it.

use crate::{
    http::{Request, Response},
    job::Job,
    world::{PATIENCE, hosts::Host},
};
use serde_json::{Value, json};
use std::{io, net::SocketAddr, thread, time::Duration, time::Instant};

/// How long one blocking query waits.
const WAIT: &str = "2s";
/// The pause after a request that could not be sent: the agent is starting.
const PAUSE: Duration = Duration::from_millis(20);

/// The API of one agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api {
    to: SocketAddr,
    /// Where it is, if not on the world's host.
    host: Option<Host>,
}

impl Api {
    pub(crate) fn new(to: SocketAddr, host: Option<Host>) -> Self {
        Api { to, host }
    }

    /// Sends a request to an agent that may not be there.
    pub(crate) fn try_send(&self, request: &Request) -> io::Result<Response> {
        let send = || request.send(self.to);
        self.host.map_or_else(send, |host| host.run(send))
    }

    /// Sends a request; only a broken connection is a failure.
    pub(crate) fn send(&self, request: Request) -> Response {
        self.try_send(&request).unwrap_or_else(|e| panic!("{request:?}: {e}"))
    }

    /// Reads what must be there.
    pub(crate) fn get(&self, path: &str) -> Value {
        let response = self.send(Request::get(path));
        assert_eq!(response.status(), 200, "GET {path}: {}", response.text());
        response.json()
    }

    /// Reads what may not be there, from an agent that may not be there.
    pub(crate) fn try_get(&self, path: &str) -> Option<Value> {
        self.try_send(&Request::get(path)).ok().filter(|r| r.status() == 200).map(|r| r.json())
    }

    /// Writes what must be taken.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        let response = self.send(Request::new("PUT", path).body(body.to_string()));
        assert_eq!(response.status(), 200, "PUT {path}: {}", response.text());
        response.json()
    }

    pub(crate) fn delete(&self, path: &str) -> Value {
        let response = self.send(Request::new("DELETE", path));
        assert_eq!(response.status(), 200, "DELETE {path}: {}", response.text());
        response.json()
    }

    /// Waits with blocking queries until `look` finds something in what `path` answers; `Null` when that does not exist (yet).
    pub(crate) fn wait<T>(&self, what: &str, path: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let joint = if path.contains('?') { '&' } else { '?' };
        let (mut index, mut last) = (0, Value::Null);
        loop {
            match self.try_send(&Request::get(&format!("{path}{joint}index={index}&wait={WAIT}"))) {
                Ok(response) if response.status() == 200 => {
                    assert!(response.index() >= index, "the index of {path} went back");
                    index = response.index();
                    last = response.json();
                }
                Ok(response) if response.status() == 404 => {
                    index = 0;
                    last = Value::Null;
                    thread::sleep(PAUSE);
                }
                _ => thread::sleep(PAUSE),
            }
            if let Some(found) = look(&last) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}; last of {path}:\n{last:#}");
        }
    }

    /// Waits until what `path` answers has not changed for a second; returns its index. Fails when it never rests.
    pub(crate) fn wait_quiet(&self, path: &str) -> u64 {
        let mut last = self.send(Request::get(path)).index();
        crate::world::eventually(&format!("{path} changes no more"), || {
            let next = self.send(Request::get(&format!("{path}?index={last}&wait=1s"))).index();
            let quiet = next == last;
            last = next;
            quiet.then_some(last)
        })
    }

    /// Submits a job; returns the id of its evaluation.
    pub(crate) fn submit(&self, job: &Job) -> String {
        let answer = self.put("/v1/jobs", &json!({ "Job": job.json() }));
        answer["EvalID"].as_str().unwrap_or_default().to_owned()
    }

    /// Submits a job and waits until all of its allocations run (or, of a batch job, have run); returns them.
    pub(crate) fn run(&self, job: &Job) -> Vec<Value> {
        self.evaluate(job);
        let (count, version) = (job.count(), self.get(&job.path(""))["Version"].clone());
        self.wait(&format!("{count} allocations of {} run", job.id()), &job.path("/allocations"), |allocs| {
            let all = allocs.as_array()?;
            let up = |a: &&Value| a["DesiredStatus"] == "run" && ["running", "complete"].contains(&text(&a["ClientStatus"]));
            let up: Vec<Value> = all.iter().filter(|a| a["JobVersion"] == version).filter(up).cloned().collect();
            (up.len() == count).then_some(up)
        })
    }

    /// As [`Api::run`], for a job with one allocation; returns its id.
    pub(crate) fn run_one(&self, job: &Job) -> String {
        let allocs = self.run(job);
        assert_eq!(allocs.len(), 1);
        id(&allocs[0])
    }

    /// Submits a job and waits until the scheduler has answered; returns the evaluation.
    pub(crate) fn evaluate(&self, job: &Job) -> Value {
        let eval = self.submit(job);
        self.wait("the evaluation is over", &format!("/v1/evaluation/{eval}"), |e| {
            (!["", "pending"].contains(&text(&e["Status"]))).then(|| e.clone())
        })
    }

    /// The allocations of a job, the oldest first.
    pub(crate) fn allocs(&self, job: &Job) -> Vec<Value> {
        let mut allocs = self.get(&job.path("/allocations")).as_array().unwrap().clone();
        allocs.sort_by_key(|a| a["CreateIndex"].as_u64());
        allocs
    }

    pub(crate) fn alloc(&self, id: &str) -> Value {
        self.get(&format!("/v1/allocation/{id}"))
    }

    /// Waits until an allocation is as it should be; returns it.
    pub(crate) fn wait_alloc(&self, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        self.wait(&format!("allocation {id}: {what}"), &format!("/v1/allocation/{id}"), |a| is(a).then(|| a.clone()))
    }

    /// Waits until an allocation has this client status.
    pub(crate) fn wait_status(&self, id: &str, status: &str) -> Value {
        self.wait_alloc(id, status, |a| a["ClientStatus"] == status)
    }

    /// Stops a job and waits until nothing of it runs.
    pub(crate) fn stop(&self, job: &Job) {
        self.delete(&job.path(""));
        self.wait_stopped(&job.path("/allocations"));
    }

    /// Stops all jobs of all namespaces, and waits until nothing runs.
    pub(crate) fn stop_all_jobs(&self) {
        for job in self.get("/v1/jobs?namespace=*").as_array().unwrap() {
            let id = text(&job["ID"]).replace('/', "%2F");
            self.delete(&format!("/v1/job/{id}?namespace={}", text(&job["Namespace"])));
        }
        self.wait_stopped("/v1/allocations?namespace=*");
    }

    fn wait_stopped(&self, path: &str) {
        let over = |a: &Value| ["complete", "failed", "lost"].contains(&text(&a["ClientStatus"]));
        self.wait("all allocations are over", path, |allocs| allocs.as_array()?.iter().all(over).then_some(()));
    }

    /// A task's output so far.
    pub(crate) fn logs(&self, alloc: &str, task: &str, stream: &str) -> String {
        let path = format!("/v1/client/fs/logs/{alloc}?task={task}&type={stream}&plain=true");
        let response = self.send(Request::get(&path));
        if response.status() == 200 { response.text() } else { String::new() }
    }

    /// Waits until a task's standard output has these words.
    pub(crate) fn wait_output(&self, alloc: &str, task: &str, words: &str) -> String {
        let mut seen = String::new();
        crate::world::eventually(&format!("task {task} prints {words:?}"), || {
            seen = self.logs(alloc, task, "stdout");
            seen.contains(words).then(|| seen.clone())
        })
    }
}

/// A JSON text; empty for anything else.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The id of something.
pub(crate) fn id(value: &Value) -> String {
    text(&value["ID"]).to_owned()
}

/// The types of a task's events, the oldest first.
pub(crate) fn events(alloc: &Value, task: &str) -> Vec<String> {
    let events = alloc["TaskStates"][task]["Events"].as_array().cloned().unwrap_or_default();
    events.iter().map(|e| text(&e["Type"]).to_owned()).collect()
}

/// A task's newest event of a type.
pub(crate) fn event(alloc: &Value, task: &str, kind: &str) -> Value {
    let events = alloc["TaskStates"][task]["Events"].as_array().cloned().unwrap_or_default();
    events.iter().rev().find(|e| e["Type"] == kind).cloned().unwrap_or_else(|| panic!("no event {kind:?} in {events:#?}"))
}
