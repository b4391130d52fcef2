//! What clients see while servers are killed, stopped, and cut off from each other could have happened one operation at a time.
//!
//! `FLOE_HISTORIES=50` plays 50 histories in a row, `FLOE_HISTORIES_FIRST=7` begins with the seed 7. A seed decides in which order the faults come and
//! what the clients ask; the processes and the network go their own way. Without these words it is one, of seed 0.

use crate::{
    agent::Agent,
    api::{Api, text},
    http::Request,
    job::service,
    keyring::kek,
    world::{
        World, eventually,
        hosts::{Host, cut, heal},
        world,
    },
};
use floe_history::{Answer, History, Operation, Register, RegisterInput, RegisterOutput, STEPS, Verdict, check, check_each};
use nix::sys::signal::Signal;
use serde_json::json;
use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How many clients ask at once.
const CLIENTS: u64 = 8;
/// How many jobs and variables they write and read, every other a job.
const REGISTERS: u64 = 6;
/// What the names of jobs begin with.
const JOB: &str = "job";
/// How long a fault lasts: longer than an election.
const FAULT: Duration = Duration::from_millis(1500);
/// How many operations are answered after a fault before the next one comes.
const AFTERWARDS: usize = 150;
/// How many operations of a history are answered at least.
const OPERATIONS: usize = 2_000;

/// The pause of a client that asked where nobody listens.
const PAUSE: Duration = Duration::from_millis(20);

type Input = RegisterInput<u64>;
type Output = RegisterOutput<u64>;
type Shared = Mutex<History<(String, Input), Output>>;

/// What a job or a variable is at a moment: what was written, and the index that a swap must name.
#[derive(Clone, Copy, Default)]
struct Seen {
    value: Option<u64>,
    index: u64,
}

/// How an operation ended.
enum End {
    Answer(Output),
    /// It certainly did not happen.
    Refused,
    Unknown,
}

/// A client: what it knows of each register, and its way to the servers.
struct Client<'a> {
    number: u64,
    seed: u64,
    apis: Vec<Api>,
    history: &'a Shared,
    /// Numbers that nobody has written yet.
    next: &'a AtomicU64,
    seen: BTreeMap<String, Seen>,
    turn: u64,
}

impl Client<'_> {
    fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.turn += 1;
            // Each client takes the registers, servers and operations in another order.
            let mixed = mix(self.seed.wrapping_mul(CLIENTS).wrapping_add(self.number), self.turn);
            let key = key(mixed % REGISTERS);
            // Mostly the same server, so that not all clients come to wait for one that is cut off.
            let stray = if (mixed / 8).is_multiple_of(16) { mixed / 128 } else { 0 };
            let api = self.apis[usize::try_from(self.number + stray).unwrap() % self.apis.len()];
            let value = self.next.fetch_add(1, Ordering::Relaxed);
            let input = match mixed / 1024 % 4 {
                0 => RegisterInput::Write(Some(value)),
                1 => RegisterInput::Swap { expected: self.seen.get(&key).copied().unwrap_or_default().value, new: Some(value) },
                _ => RegisterInput::Read,
            };
            self.operate(api, &key, input);
        }
    }

    fn operate(&mut self, api: Api, key: &str, input: Input) {
        let call = self.history.lock().unwrap().call(self.number, (key.to_owned(), input.clone()));
        let end = match &input {
            RegisterInput::Read => self.read(api, key),
            RegisterInput::Write(value) => send(api, &request(key, *value, None), &RegisterOutput::Written),
            RegisterInput::Swap { new, .. } => {
                let index = self.seen.get(key).copied().unwrap_or_default().index;
                send(api, &request(key, *new, Some(index)), &RegisterOutput::Swapped(true))
            }
        };
        let mut history = self.history.lock().unwrap();
        match end {
            End::Answer(output) => history.answer(call, output),
            End::Refused => history.refuse(call),
            End::Unknown => {}
        }
    }

    fn read(&mut self, api: Api, key: &str) -> End {
        let path = if is_job(key) { format!("/v1/job/{key}") } else { format!("/v1/var/{key}") };
        let response = match api.try_send(&Request::get(&path)) {
            Ok(response) => response,
            Err(error) => return failed(&error),
        };
        let seen = match response.status() {
            200 => {
                let found = response.json();
                let (value, index) = if is_job(key) {
                    (&found["Meta"]["value"], &found["JobModifyIndex"])
                } else {
                    (&found["Items"]["value"], &found["ModifyIndex"])
                };
                Seen { value: Some(text(value).parse().unwrap()), index: index.as_u64().unwrap() }
            }
            404 => Seen::default(),
            _ => return End::Unknown,
        };
        self.seen.insert(key.to_owned(), seen);
        End::Answer(RegisterOutput::Read(seen.value))
    }
}

/// A number that looks random, for each pair of numbers another one.
fn mix(seed: u64, turn: u64) -> u64 {
    let mut x = seed.wrapping_mul(0xd1b5_4a32_d192_ed03).wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) >> 16
}

/// A request that nobody answered. Where nobody listens, another one is not sent at once.
fn failed(error: &io::Error) -> End {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        thread::sleep(PAUSE);
        return End::Refused;
    }
    End::Unknown
}

/// Lets the clients end also when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The name of a register.
fn key(number: u64) -> String {
    format!("{}-{number}", if number.is_multiple_of(2) { JOB } else { "variable" })
}

fn is_job(key: &str) -> bool {
    key.starts_with(JOB)
}

/// Writes a value: as what a job says that places nothing, or into a variable. With an index only if the register still has that.
fn request(key: &str, value: Option<u64>, only_at: Option<u64>) -> Request {
    let value = value.unwrap().to_string();
    if is_job(key) {
        let job = service(key, "true").copies(0).set(|j| j["Meta"] = json!({ "value": value })).json().clone();
        let body = json!({ "Job": job, "EnforceIndex": only_at.is_some(), "JobModifyIndex": only_at.unwrap_or(0) });
        return Request::new("PUT", "/v1/jobs").body(body.to_string());
    }
    let cas = only_at.map_or(String::new(), |index| format!("?cas={index}"));
    Request::new("PUT", &format!("/v1/var/{key}{cas}")).body(json!({ "Items": { "value": value } }).to_string())
}

fn send(api: Api, request: &Request, done: &Output) -> End {
    let response = match api.try_send(request) {
        Ok(response) => response,
        Err(error) => return failed(&error),
    };
    let text = response.text();
    match response.status() {
        200 => End::Answer(done.clone()),
        409 => End::Answer(RegisterOutput::Swapped(false)),
        _ if text.contains("Enforcing job modify index") => End::Answer(RegisterOutput::Swapped(false)),
        _ if text.contains("no server leads at present") => End::Refused,
        status => {
            assert!(status >= 500, "{status}: {text}");
            End::Unknown
        }
    }
}

/// Three voters, each on a host of its own.
fn three(world: &World) -> (Vec<Arc<Agent>>, Vec<Host>) {
    let hosts: Vec<Host> = (0..3).map(|_| world.host()).collect();
    let soon = json!({ "server_stabilization_time": "1s", "last_contact_threshold": "1s" });
    let keyring = json!({ "file": { "path": kek(world, "servers.kek") } });
    let mut servers: Vec<Arc<Agent>> = Vec::new();
    for host in &hosts {
        let builder = world.agent(&format!("s{}", servers.len() + 1)).on(*host).set(|c| {
            c["autopilot"] = soon.clone();
            c["keyring"] = keyring.clone();
        });
        let builder = if let Some(first) = servers.first() { builder.joins(first) } else { builder.server_only() };
        servers.push(builder.start());
    }
    eventually("three vote", || {
        let all = servers[0].api().try_get("/v1/operator/raft/configuration")?;
        (all["Servers"].as_array()?.iter().filter(|m| m["Voter"] == true).count() == 3).then_some(())
    });
    // Variables are refused until then.
    eventually("there is a root key", || {
        let keys = servers[0].api().try_get("/v1/operator/keyring/keys")?;
        keys.as_array()?.iter().any(|key| key["State"] == "active" && key["Closed"] == "").then_some(())
    });
    (servers, hosts)
}

fn leader(servers: &[Arc<Agent>]) -> usize {
    let find = |server: &Agent| -> Option<usize> {
        let all = server.api().try_get("/v1/operator/raft/configuration?stale")?;
        let found = all["Servers"].as_array()?.iter().find(|m| m["Leader"] == true)?.clone();
        servers.iter().position(|s| s.name() == text(&found["Node"]))
    };
    eventually("somebody leads", || servers.iter().find_map(|s| find(s)))
}

/// What happens to the servers, one after the other.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillLeader,
    KillFollower,
    StopLeader,
    StopFollower,
    CutOffLeader,
    CutOffFollower,
    /// The leader hears nobody, and is heard.
    DeafLeader,
    /// The leader is heard by nobody, and hears.
    MuteLeader,
    /// The leader and one follower do not reach each other; the third reaches both.
    Bridge,
    KillAll,
}

const FAULTS: [Fault; 10] = [
    Fault::CutOffLeader,
    Fault::KillLeader,
    Fault::StopLeader,
    Fault::DeafLeader,
    Fault::Bridge,
    Fault::KillFollower,
    Fault::MuteLeader,
    Fault::CutOffFollower,
    Fault::StopFollower,
    Fault::KillAll,
];

/// Does something to servers, waits, and makes it good again.
fn play(fault: Fault, servers: &[Arc<Agent>], hosts: &[Host]) {
    let first = leader(servers);
    let (follower, third) = ((first + 1) % 3, (first + 2) % 3);
    let apart = |who: usize| (0..3).filter(|other| *other != who).map(|other| (hosts[who], hosts[other])).collect::<Vec<_>>();
    // These sleeps are how long the fault lasts; nothing waits for anything with them.
    let kill = |who: &[usize]| {
        who.iter().for_each(|n| servers[*n].kill());
        thread::sleep(FAULT);
        who.iter().for_each(|n| servers[*n].launch());
    };
    let pause = |who: usize| {
        servers[who].signal(Signal::SIGSTOP);
        thread::sleep(FAULT);
        servers[who].signal(Signal::SIGCONT);
    };
    let part = |apart: &[(Host, Host)]| {
        cut(hosts, apart);
        thread::sleep(FAULT);
    };
    match fault {
        Fault::KillLeader => kill(&[first]),
        Fault::KillFollower => kill(&[follower]),
        Fault::KillAll => kill(&[0, 1, 2]),
        Fault::StopLeader => pause(first),
        Fault::StopFollower => pause(follower),
        Fault::CutOffLeader => part(&apart(first)),
        Fault::CutOffFollower => part(&apart(follower)),
        Fault::Bridge => part(&[(hosts[first], hosts[follower])]),
        Fault::DeafLeader => {
            hosts[first].deafen(&[hosts[follower], hosts[third]]);
            thread::sleep(FAULT);
        }
        Fault::MuteLeader => {
            [follower, third].iter().for_each(|n| hosts[*n].deafen(&[hosts[first]]));
            thread::sleep(FAULT);
        }
    }
    heal(hosts);
}

/// The faults in the order of a seed.
fn faults(seed: u64) -> Vec<Fault> {
    let mut order: Vec<(u64, usize)> = (0..FAULTS.len()).map(|n| (mix(seed, n as u64), n)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, n)| FAULTS[n]).collect()
}

/// Plays one history and checks it; returns how many operations there were, and how many were answered.
fn play_history(world: &World, seed: u64) -> (usize, usize) {
    let (servers, hosts) = three(world);
    let (history, next, stop) = (Shared::default(), AtomicU64::new(0), AtomicBool::new(false));
    let answered = || history.lock().unwrap().answered();
    let mut counts = Vec::new();
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let apis = servers.iter().map(|s| s.api()).collect();
            let mut client = Client { number, seed, apis, history: &history, next: &next, seen: BTreeMap::new(), turn: 0 };
            let stop = &stop;
            scope.spawn(move || client.run(stop));
        }
        let _stop = StopAtEnd(&stop);
        for fault in faults(seed) {
            play(fault, &servers, &hosts);
            let before = answered();
            eventually(&format!("the cluster goes on after {fault:?}"), || (answered() > before + AFTERWARDS).then_some(()));
            counts.push((fault, answered()));
        }
        eventually("there are operations enough", || (answered() >= OPERATIONS).then_some(()));
    });
    let history = history.into_inner().unwrap();
    let (all, answered) = (history.operations().len(), history.answered());
    eprintln!("seed {seed}: {all} operations, {answered} answered: {counts:?}");
    if !is_soon_explained(&history)
        && let Err(words) = check_each(&Register::default(), &history, STEPS)
    {
        panic!("seed {seed}: {words}");
    }
    (all, answered)
}

/// What an operation writes: no two write the same.
fn written(input: &Input) -> Option<u64> {
    match input {
        RegisterInput::Write(value) | RegisterInput::Swap { new: value, .. } => *value,
        RegisterInput::Read => None,
    }
}

/// What an operation shows to have been there.
fn shown(operation: &Operation<Input, Output>) -> Option<u64> {
    match (&operation.input, operation.output()?) {
        (_, RegisterOutput::Read(value)) => *value,
        (RegisterInput::Swap { expected, .. }, RegisterOutput::Swapped(true)) => *expected,
        _ => None,
    }
}

/// Operations without those that nobody knows of: what somebody saw was written before he had his answer, and so is as good as answered then; all
/// else may not have happened. An order of what is left is one of the whole history, and found much sooner.
fn certain(operations: Vec<Operation<Input, Output>>) -> Vec<Operation<Input, Output>> {
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    for operation in &operations {
        if let (Some(value), Answer::Is { at, .. }) = (shown(operation), &operation.answer) {
            let first = seen.entry(value).or_insert(*at);
            *first = (*first).min(*at);
        }
    }
    let as_known = |operation: Operation<Input, Output>| {
        if operation.output().is_some() {
            return Some(operation);
        }
        let at = *seen.get(&written(&operation.input)?)?;
        let output = match operation.input {
            RegisterInput::Swap { .. } => RegisterOutput::Swapped(true),
            _ => RegisterOutput::Written,
        };
        Some(Operation { answer: Answer::Is { at, output }, ..operation })
    };
    operations.into_iter().filter_map(as_known).collect()
}

/// Whether what is certain has an order. If not, that says nothing: the whole history is looked at then.
fn is_soon_explained(history: &History<(String, Input), Output>) -> bool {
    let mut keys: BTreeMap<String, Vec<Operation<Input, Output>>> = BTreeMap::new();
    for operation in history.operations() {
        let (key, input) = operation.input.clone();
        let own = Operation { client: operation.client, input, called: operation.called, answer: operation.answer.clone() };
        keys.entry(key).or_default().push(own);
    }
    keys.into_values().all(|operations| {
        let operations = certain(operations);
        matches!(check(&Register::default(), &operations.iter().collect::<Vec<_>>(), STEPS), Verdict::Linearizable(_))
    })
}

#[test]
fn what_somebody_saw_counts_as_answered_and_what_nobody_saw_as_not_done() {
    let unknown = |called, input| Operation { client: 0, input, called, answer: Answer::Unknown };
    let answered = |called, at, input, output| Operation { client: 1, input, called, answer: Answer::Is { at, output } };
    let read = |called, at, value| answered(called, at, RegisterInput::Read, RegisterOutput::Read(value));
    let swap = RegisterInput::Swap { expected: Some(1), new: Some(3) };
    let all = vec![
        unknown(1, RegisterInput::Write(Some(1))),
        unknown(2, RegisterInput::Write(Some(2))),
        unknown(3, swap.clone()),
        read(4, 9, Some(3)),
    ];
    let found = certain(all);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((&found[0].input, &found[0].answer), (&swap, &Answer::Is { at: 9, output: RegisterOutput::Swapped(true) }));
    // The swap shows what was there only once it is known to be done, which is not asked here: the whole history tells.
    let verdict = |operations: &[Operation<Input, Output>]| check(&Register::default(), &operations.iter().collect::<Vec<_>>(), STEPS);
    assert!(matches!(verdict(&found), Verdict::Violation(_)));
    let found = certain(vec![unknown(1, RegisterInput::Write(Some(1))), read(2, 3, None), read(4, 5, Some(1)), read(6, 7, Some(1))]);
    assert_eq!(found[0].answer, Answer::Is { at: 5, output: RegisterOutput::Written });
    assert!(matches!(verdict(&found), Verdict::Linearizable(_)));
    // What was seen and then is not there any more is nothing that this could explain.
    let found = certain(vec![unknown(1, RegisterInput::Write(Some(1))), read(2, 3, Some(1)), read(4, 5, None)]);
    assert!(matches!(verdict(&found), Verdict::Violation(_)));
}

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

#[test]
fn what_clients_see_through_any_fault_is_linearizable() {
    let (first, count) = (asked("FLOE_HISTORIES_FIRST").unwrap_or(0), asked("FLOE_HISTORIES").unwrap_or(1));
    let (started, mut sums, mut failed) = (Instant::now(), (0, 0), Vec::new());
    for seed in first..first + count {
        let mut found = None;
        // What went wrong was said; the other seeds are played all the same.
        match catch_unwind(AssertUnwindSafe(|| world(|world| found = Some(play_history(world, seed))))) {
            Ok(()) => {
                let (all, answered) = found.unwrap();
                sums = (sums.0 + all, sums.1 + answered);
            }
            Err(_) => failed.push(seed),
        }
    }
    let (seconds, (all, answered)) = (started.elapsed().as_secs(), sums);
    eprintln!("{count} histories from seed {first} in {seconds} s: {all} operations, {answered} answered; failed: {failed:?}");
    assert!(count > 0 && failed.is_empty(), "of {count} histories these failed, by their seeds: {failed:?}");
}
