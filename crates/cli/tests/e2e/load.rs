//! Writers that go on whatever happens to the servers, and know what was acknowledged to them.
//!
//! Each writer has some jobs of its own, which it registers again and again, each time with the next edition in its description. After an answer that
//! leaves open whether a write was done it leaves that job alone and takes a new one: so of every job it is known which edition it has, or which two it
//! may have, and at which index the acknowledged one was written.

use crate::{
    agent::Agent,
    api::{Api, id, text},
    http::Request,
    job::service,
    world::eventually,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// How many write at once.
const WRITERS: usize = 4;
/// How many jobs each of them has in hand.
const SLOTS: usize = 12;
/// How many writes each server must take to have shown that it does.
const ENOUGH: usize = 4;
/// The pause of a writer after each answer: it is a load, not a flood.
const PAUSE: Duration = Duration::from_millis(10);

/// What is known of a job.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The edition that was acknowledged, and the index of that write. Editions begin with 1.
    acknowledged: Option<(u64, u64)>,
    /// The next edition was sent, and nobody knows what became of it.
    in_doubt: bool,
}

/// How a write ended.
enum End {
    /// Done, at this index.
    Done(u64),
    Refused,
    Unknown,
}

/// Writers, the servers that they ask, and what they know.
#[derive(Default)]
pub(crate) struct Load {
    servers: Mutex<Vec<(String, Api)>>,
    known: Mutex<BTreeMap<String, Known>>,
    /// Writes that each server acknowledged, by name.
    taken: Mutex<BTreeMap<String, usize>>,
    refused: AtomicUsize,
    /// What the last refusal said.
    reason: Mutex<String>,
    is_over: AtomicBool,
}

/// Ends the writers also when the test fails.
struct OverAtEnd<'a>(&'a AtomicBool);

impl Drop for OverAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Load {
    /// Lets the writers ask this server, too.
    pub(crate) fn add(&self, server: &Agent) {
        self.servers.lock().unwrap().push((server.name().to_owned(), server.api()));
    }

    /// Lets them ask it no more.
    pub(crate) fn remove(&self, server: &Agent) {
        self.servers.lock().unwrap().retain(|(name, _)| name != server.name());
    }

    /// Plays a scenario while the writers write. Then every write that was acknowledged must be what these servers have.
    pub(crate) fn during(&self, scenario: impl FnOnce()) {
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                scope.spawn(move || self.write(writer));
            }
            let _end = OverAtEnd(&self.is_over);
            scenario();
        });
        let taken: usize = self.taken.lock().unwrap().values().sum();
        let known = self.known.lock().unwrap();
        let in_doubt = known.values().filter(|k| k.in_doubt).count();
        eprintln!(
            "{taken} writes of {} jobs acknowledged, {} refused, {in_doubt} in doubt; by server: {:?}; last refusal: {}",
            known.len(),
            self.refused.load(Ordering::Relaxed),
            self.taken.lock().unwrap(),
            self.reason.lock().unwrap(),
        );
    }

    /// Waits until each server that is asked has acknowledged some more writes.
    pub(crate) fn wait_taken(&self, when: &str) {
        let servers: Vec<String> = self.servers.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
        let taken = |name: &String| self.taken.lock().unwrap().get(name).copied().unwrap_or_default();
        let before: Vec<usize> = servers.iter().map(taken).collect();
        eventually(&format!("{servers:?} take writes {when}; last refusal: {}", self.reason.lock().unwrap()), || {
            servers.iter().zip(&before).all(|(name, before)| taken(name) >= before + ENOUGH).then_some(())
        });
    }

    /// Nothing that was acknowledged before is missing, as this server says while the writers go on.
    pub(crate) fn check_so_far(&self, server: &Agent) {
        let known = self.known.lock().unwrap().clone();
        let found = editions(server);
        for (job, (edition, index)) in known.iter().filter_map(|(job, known)| Some((job, known.acknowledged?))) {
            let is_there = found.get(job).is_some_and(|(e, i)| *e >= edition && *i >= index);
            assert!(
                is_there,
                "{}: edition {edition} of job {job} was written at {index}, but found is {:?}",
                server.name(),
                found.get(job)
            );
        }
    }

    /// Every job is as it was acknowledged, as this server says when the writers are done.
    pub(crate) fn check(&self, server: &Agent) {
        let found = editions(server);
        let known = self.known.lock().unwrap();
        assert!(known.len() >= SLOTS, "too few writes for a test: {} jobs", known.len());
        for (job, known) in known.iter() {
            let found = found.get(job).copied();
            let next = known.acknowledged.map_or(0, |(edition, _)| edition) + 1;
            let is_next = known.in_doubt && found.is_some_and(|(edition, _)| edition == next);
            let who = server.name();
            assert!(
                found == known.acknowledged || is_next,
                "{who}: job {job} is {found:?} (edition, index), but what was written: {known:?}"
            );
        }
    }

    fn write(&self, writer: usize) {
        let mut generations = [0; SLOTS];
        for turn in (writer..).take_while(|_| !self.is_over.load(Ordering::Relaxed)) {
            let slot = turn % SLOTS;
            let Some((name, api)) = self.server(turn) else {
                thread::sleep(PAUSE);
                continue;
            };
            let job = format!("w{writer}-{slot}-{}", generations[slot]);
            let known = self.known.lock().unwrap().get(&job).copied().unwrap_or_default();
            let edition = known.acknowledged.map_or(0, |(edition, _)| edition) + 1;
            let known = match send(api, &job, edition) {
                Ok(End::Done(index)) => {
                    *self.taken.lock().unwrap().entry(name).or_default() += 1;
                    Known { acknowledged: Some((edition, index)), in_doubt: false }
                }
                Ok(End::Refused) => self.refused(&format!("{name} does not listen"), known),
                Ok(End::Unknown) => {
                    generations[slot] += 1;
                    Known { in_doubt: true, ..known }
                }
                Err(refused) => self.refused(&format!("{name}: {refused}"), known),
            };
            self.known.lock().unwrap().insert(job, known);
            thread::sleep(PAUSE);
        }
    }

    /// The server that is asked in a turn: each of them, by and by.
    fn server(&self, turn: usize) -> Option<(String, Api)> {
        let servers = self.servers.lock().unwrap();
        let mixed = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        servers.get(mixed.checked_rem(servers.len())?).cloned()
    }

    fn refused(&self, words: &str, known: Known) -> Known {
        self.refused.fetch_add(1, Ordering::Relaxed);
        words.clone_into(&mut self.reason.lock().unwrap());
        known
    }
}

/// The editions of all jobs, and the indexes at which they were written.
fn editions(server: &Agent) -> BTreeMap<String, (u64, u64)> {
    server.api().get("/v1/jobs?meta=true").as_array().unwrap().iter().map(|job| (id(job), edition(job))).collect()
}

/// The edition of a job, and the index of its last change.
fn edition(job: &Value) -> (u64, u64) {
    let edition = text(&job["Meta"]["edition"]).parse().unwrap_or_default();
    (edition, job["JobModifyIndex"].as_u64().unwrap())
}

/// Registers an edition of a job that places nothing. An error is a refusal, in the server's words.
fn send(api: Api, job: &str, edition: u64) -> Result<End, String> {
    let job = service(job, "true").copies(0).set(|j| j["Meta"] = json!({ "edition": edition.to_string() }));
    let response = match api.try_send(&Request::new("PUT", "/v1/jobs").body(json!({ "Job": job.json() }).to_string())) {
        Ok(response) => response,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(End::Refused),
        Err(_) => return Ok(End::Unknown),
    };
    let said = response.text();
    match response.status() {
        200 => Ok(End::Done(response.json()["JobModifyIndex"].as_u64().unwrap())),
        // A server that was removed says so to whoever asks it.
        status if status >= 500 || said.contains("was removed") => match response.header("x-floe-reason") {
            Some("in-doubt") => Ok(End::Unknown),
            _ => Err(said),
        },
        status => panic!("{status}: {said}"),
    }
}
