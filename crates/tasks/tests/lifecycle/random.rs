//! Random groups whose processes start, fail, end and are killed at random, under agents that die at random with records that may lag.

use super::*;
use floe_model::alloc::TaskPhase;

/// One task of a group: hook, whether it leads, restart attempts, and for whom it waits.
#[derive(Clone, Debug)]
struct Shape {
    hook: u8,
    attempts: i64,
    waits: Option<(usize, u8)>,
}

fn shape() -> impl Strategy<Value = Shape> {
    (0u8..9, 0i64..3, proptest::option::of((0usize..5, 0u8..3))).prop_map(|(hook, attempts, waits)| Shape { hook, attempts, waits })
}

fn group(job_type: JobType, shapes: &[Shape], leads: Option<usize>) -> Allocation {
    let mut tasks = vec![task("t0", None, 1)];
    for (i, s) in shapes.iter().enumerate() {
        let hook = [None, None, None, PRE, PRE_SIDECAR, POST, POST_SIDECAR, STOP, STOP][usize::from(s.hook)];
        // A poststop task without restarts: then each of its starts is one too many but the first.
        let mut t = task(&format!("t{}", i + 1), hook, if hook == STOP { 0 } else { s.attempts });
        if let Some((other, state)) = s.waits
            && t.lifecycle.is_none()
            && let Some(other) = tasks.get(other).filter(|o: &&Task| o.lifecycle.is_none())
        {
            let state = [AfterState::Started, AfterState::Healthy, AfterState::Exited][usize::from(state)];
            let met = state != AfterState::Exited || job_type.is_batch();
            t = after(t, &other.name.clone(), if met { state } else { AfterState::Started });
        }
        tasks.push(t);
    }
    if let Some(leader) = leads.and_then(|l| tasks.get_mut(l)).filter(|t| t.lifecycle.is_none()) {
        leader.leader = true;
        // What waits for the leader's end would never start; the rules refuse it.
        let name = leader.name.clone();
        tasks.iter_mut().for_each(|t| t.after.retain(|a| a.task != name || a.state != AfterState::Exited));
    }
    alloc(job_type, tasks)
}

/// What there really is of a task: the shim's record of its last life.
#[derive(Clone, Debug, Default)]
struct Process {
    running: bool,
    signalled: bool,
    last: Option<Exit>,
    starts: usize,
}

struct Node {
    alloc: Allocation,
    machine: AllocMachine,
    now: i64,
    processes: BTreeMap<String, Process>,
    /// Starts that were asked for and have not come to anything.
    pending: BTreeSet<String>,
    after_all: BTreeSet<String>,
    /// Every status that was reported; what is on disk lags behind, but not behind `flushed`.
    reports: Vec<BTreeMap<String, floe_model::TaskState>>,
    flushed: usize,
    ended: bool,
}

impl Node {
    fn new(alloc: Allocation) -> Node {
        let machine = AllocMachine::new(&alloc, at(0));
        let processes = alloc.job.as_ref().unwrap().task_groups[0].tasks.iter().map(|t| (t.name.clone(), Process::default())).collect();
        let mut node = Node {
            machine,
            alloc,
            now: 0,
            processes,
            pending: BTreeSet::new(),
            after_all: BTreeSet::new(),
            reports: Vec::new(),
            flushed: 0,
            ended: false,
        };
        node.reports.push(node.machine.task_states());
        node.tell(Input::Prepared);
        node.flushed = node.reports.len() - 1;
        node
    }

    fn spec(&self, name: &str) -> &Task {
        self.alloc.job.as_ref().unwrap().task_groups[0].task(name).unwrap()
    }
    fn names(&self) -> Vec<String> {
        self.processes.keys().cloned().collect()
    }
    fn hooked(&self, hook: Option<(LifecycleHook, bool)>) -> Vec<String> {
        let is = |t: &Task| t.lifecycle.as_ref().map(|l| (l.hook, l.sidecar)) == hook;
        self.names().into_iter().filter(|n| is(self.spec(n))).collect()
    }
    /// There is, or may come to be, a process.
    fn lives(&self, name: &str) -> bool {
        self.processes[name].running || self.pending.contains(name)
    }

    fn tell(&mut self, input: Input) {
        let steps = self.machine.handle(input, at(self.now), 0);
        self.act(steps);
    }

    fn act(&mut self, steps: Vec<Step>) {
        if steps.contains(&Step::Report) {
            self.reports.push(self.machine.task_states());
        }
        for step in steps {
            match step {
                Step::Start(name) => {
                    self.check_start(&name);
                    assert!(self.pending.insert(name), "started twice");
                }
                Step::StartAfterAll(name) => {
                    self.check_after_all(&name);
                    self.after_all.insert(name.clone());
                    assert!(self.pending.insert(name), "started twice");
                }
                Step::Signal(name) => {
                    self.check_turn(&name);
                    self.processes.get_mut(&name).unwrap().signalled = true;
                }
                Step::Kill(name) => {
                    if self.processes[&name].running {
                        self.exit(&name, 137);
                    }
                }
                Step::CleanUp => {
                    assert!(!self.ended, "cleaned up twice");
                    assert!(self.names().iter().all(|n| !self.lives(n)), "cleaned up under a process");
                    self.ended = true;
                }
                Step::Report | Step::WakeAt(_) => {}
            }
        }
    }

    fn check_start(&self, name: &str) {
        assert!(!self.ended && !self.lives(name));
        let states = self.machine.task_states();
        let leader_dead = self.names().iter().any(|n| self.spec(n).leader && states[n].state == TaskPhase::Dead);
        let failed = self.names().iter().any(|n| self.spec(n).hook() != Some(LifecycleHook::Poststop) && states[n].failed);
        if self.spec(name).hook() == Some(LifecycleHook::Poststop) {
            panic!("a poststop task without restarts is started again");
        }
        assert!(!leader_dead && !failed, "{name} starts although the group ends");
        if self.processes[name].starts > 0 {
            return;
        }
        let ended_well = |n: &String| !self.lives(n) && self.processes[n].last.as_ref().is_some_and(Exit::is_success);
        if self.spec(name).lifecycle.is_none() {
            assert!(self.hooked(PRE).iter().all(ended_well), "{name} starts before its prestart tasks ended well");
            assert!(self.hooked(PRE_SIDECAR).iter().all(|n| self.processes[n].starts > 0));
        }
        if self.spec(name).hook() == Some(LifecycleHook::Poststart) {
            assert!(self.hooked(None).iter().all(|n| self.processes[n].starts > 0));
        }
        for wait in &self.spec(name).after {
            assert!(self.processes[&wait.task].starts > 0, "{name} did not wait");
            assert!(wait.state != AfterState::Exited || ended_well(&wait.task), "{name} did not wait for an end");
        }
    }

    fn check_after_all(&self, name: &str) {
        assert_eq!(self.spec(name).hook(), Some(LifecycleHook::Poststop));
        assert_eq!(self.processes[name].starts, 0, "{name} is to run once");
        let others = || self.names().into_iter().filter(|n| self.spec(n).hook() != Some(LifecycleHook::Poststop));
        assert!(others().all(|n| !self.lives(&n)), "{name} runs beside others");
        assert!(others().any(|n| self.processes[&n].starts > 0), "{name} runs after nothing");
    }

    /// The leader first, then what works, then sidecars.
    fn check_turn(&self, name: &str) {
        let step = |n: &str| if self.spec(n).leader { 0 } else { 1 + u8::from(self.spec(n).is_sidecar()) };
        assert_ne!(self.spec(name).hook(), Some(LifecycleHook::Poststop), "a poststop task is asked to stop");
        let mine = step(name);
        for other in self.names().iter().filter(|n| self.spec(n).hook() != Some(LifecycleHook::Poststop)) {
            assert!(step(other) >= mine || !self.lives(other), "{name} is asked to stop before {other}");
        }
    }

    fn spawn(&mut self, name: &str) {
        if self.after_all.contains(name) {
            self.flushed = self.reports.len() - 1;
        }
        let process = self.processes.get_mut(name).unwrap();
        *process = Process { running: true, signalled: false, last: None, starts: process.starts + 1 };
    }

    fn started(&mut self, name: &str) {
        if self.pending.remove(name) {
            self.spawn(name);
            self.tell(Input::Started { task: name.to_owned(), at: at(self.now) });
        }
    }

    fn end_process(&mut self, name: &str, code: i32) -> Exit {
        let exit = Exit { code, at: at(self.now), ..Exit::default() };
        let process = self.processes.get_mut(name).unwrap();
        process.running = false;
        process.last = Some(exit.clone());
        exit
    }

    fn exit(&mut self, name: &str, code: i32) {
        let exit = self.end_process(name, code);
        self.tell(Input::Exited { task: name.to_owned(), exit });
    }

    /// The agent dies: starts that were under way came to something or not, processes end unseen, and the newest reports may be lost.
    fn crash(&mut self, bits: u64, lag: usize) {
        for (i, name) in self.names().iter().enumerate() {
            let bits = bits >> (3 * i);
            if self.pending.remove(name) && bits & 1 == 1 {
                self.spawn(name);
            }
            if self.processes[name].running && bits & 6 == 6 {
                self.end_process(name, if bits & 8 == 8 { 0 } else { 1 });
            }
        }
        self.pending.clear();
        self.after_all.clear();
        // Whom the next agent asks is for its machine to say: with records that lag it may not know that the group was ending.
        self.processes.values_mut().for_each(|p| p.signalled = false);
        self.now += 1;
        let newest = (self.reports.len() - 1).saturating_sub(lag).max(self.flushed);
        // What was lost never comes back.
        self.reports.truncate(newest + 1);
        let saved = self.reports[newest].clone();
        let (machine, steps) = AllocMachine::recover(&self.alloc, &saved, self.found(), at(self.now), 0);
        self.machine = machine;
        self.reports.push(self.machine.task_states());
        self.act(steps);
    }

    fn found(&self) -> BTreeMap<String, Recovered> {
        let record = |p: &Process| match &p.last {
            _ if p.running => Some(Recovered::Running),
            Some(exit) => Some(Recovered::Exited(exit.clone())),
            None => None,
        };
        self.processes.iter().filter_map(|(n, p)| Some((n.clone(), record(p)?))).collect()
    }

    /// From its records the machine comes to where it is.
    fn check_replay(&self) {
        if !self.pending.is_empty() || self.ended {
            return;
        }
        let (again, steps) = AllocMachine::recover(&self.alloc, &self.machine.task_states(), self.found(), at(self.now), 0);
        let phases = |m: &AllocMachine| m.task_states().into_iter().map(|(n, s)| (n, (s.state, s.failed))).collect::<BTreeMap<_, _>>();
        assert_eq!(phases(&again), phases(&self.machine));
        assert_eq!(again.status().0, self.machine.status().0);
        let starts: Vec<&Step> = steps.iter().filter(|s| matches!(s, Step::Start(_) | Step::StartAfterAll(_))).collect();
        assert_eq!(starts, Vec::<&Step>::new(), "it starts what was not started before");
        let signals: BTreeSet<&str> = steps.iter().filter_map(|s| if let Step::Signal(t) = s { Some(t.as_str()) } else { None }).collect();
        let asked = |n: &&String| self.processes[*n].running && self.processes[*n].signalled;
        assert_eq!(signals, self.names().iter().filter(asked).map(String::as_str).collect(), "those that it had asked to stop");
    }

    /// What was asked for is done, until all is over.
    fn finish(&mut self) {
        self.alloc.desired_status = floe_model::AllocDesiredStatus::Stop;
        self.tell(Input::Stop { reason: "the test ends".to_owned() });
        for _ in 0..200 {
            if self.ended {
                return;
            }
            let pending: Vec<String> = self.pending.iter().cloned().collect();
            pending.iter().for_each(|n| self.started(n));
            for name in self.names() {
                let stops = self.processes[&name].signalled || self.spec(&name).hook() == Some(LifecycleHook::Poststop);
                if self.processes[&name].running && stops {
                    self.exit(&name, 0);
                }
            }
            self.now += 1;
            self.tell(Input::Tick);
        }
        panic!("it does not end: {:?}", self.machine);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_order_is_kept_whatever_happens(
        batch in any::<bool>(),
        shapes in proptest::collection::vec(shape(), 0..6),
        leads in proptest::option::of(0usize..6),
        happenings in proptest::collection::vec((0u8..10, 0usize..6, any::<u64>()), 0..60),
    ) {
        let job_type = if batch { JobType::Batch } else { JobType::Service };
        let mut node = Node::new(group(job_type, &shapes, leads));
        for (kind, which, bits) in happenings {
            node.now += i64::try_from(bits % 7).unwrap();
            node.tell(Input::Tick);
            let names = node.names();
            let name = names[which % names.len()].clone();
            match kind {
                0..=2 => node.started(&name),
                3 if node.pending.remove(&name) => {
                    node.tell(Input::StartFailed { task: name, error: "no such command".to_owned(), fatal: bits % 3 == 0 });
                }
                4 | 5 if node.processes[&name].running => node.exit(&name, 0),
                6 if node.processes[&name].running => node.exit(&name, 1),
                7 if !node.ended => node.crash(bits, usize::try_from((bits >> 32) % 4).unwrap()),
                8 if bits % 8 == 0 => {
                    node.alloc.desired_status = floe_model::AllocDesiredStatus::Stop;
                    node.tell(Input::Stop { reason: "the job was stopped".to_owned() });
                }
                _ => {}
            }
            node.check_replay();
        }
        node.finish();
        prop_assert!(node.machine.status().0.is_terminal());
        let ran = |hook_is_stop: bool| {
            let is = |n: &&String| (node.spec(n).hook() == Some(LifecycleHook::Poststop)) == hook_is_stop;
            node.processes.keys().filter(is).map(|n| node.processes[n].starts).collect::<Vec<_>>()
        };
        let anything = ran(false).iter().any(|starts| *starts > 0);
        // A start that failed is none; it was tried.
        let tried = |n: &String| node.machine.task_states()[n].events.iter().any(|e| e.event_type == event::DRIVER_FAILURE);
        for name in node.hooked(STOP) {
            let wanted = usize::from(anything && !tried(&name));
            prop_assert_eq!(node.processes[&name].starts, wanted, "{}: {:?}", name, node.machine);
        }
    }
}
