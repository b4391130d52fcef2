//! Clients: each asks any server, one thing at a time, and writes down what it was told.
//!
//! A node of the cluster is a register: to register it with a name is to write, its name is what is read. Jobs and variables are too, and can be
//! swapped: one is replaced only if it is still what the client saw. Every value is written once.

use crate::{executor::Owner, invariant::Invariant, world::World};
use floe_consensus::{Consensus, ProposeError, Proposed};
use floe_history::{Call, History, Register, RegisterInput, RegisterOutput, Verdict, check};
use floe_model::{Job, JobKey, KeyId, Namespace, Node, Sealed, VariableKey, job::ParameterizedJobConfig, keyring::Wrapped};
use floe_state::{
    Command, Outcome, State,
    command::{Refusal, RegisterJob},
    keyring::{Activation, KeyringChange, NewKey},
    variables::{VariableChange, VariableRefusal},
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// How many there are.
pub(crate) const CLIENTS: u64 = 8;
/// After this long a client does not wait for its answer any more.
const PATIENCE: Duration = Duration::from_secs(8);

/// After so many steps a history is left unchecked: a few in a hundred, in which much is in doubt.
const STEPS: u64 = 400_000;

type Operations = History<RegisterInput<String>, RegisterOutput<String>>;

/// What all of them know.
#[derive(Default)]
pub(crate) struct Clients {
    /// By key: what is done to one has nothing to do with another.
    histories: RefCell<BTreeMap<String, Operations>>,
    /// The highest index that anybody was answered with.
    seen: Cell<u64>,
    written: Cell<u64>,
    /// Writes of which nobody knows whether they were done, and what was read.
    in_doubt: RefCell<Vec<(String, Call, String)>>,
    found: RefCell<BTreeSet<String>>,
    pub(crate) answered: Cell<u64>,
}

/// Keys that begin so are jobs.
const JOB: &str = "j";
/// Keys that begin so are variables; the others are nodes.
const VARIABLE: &str = "x";
/// The root key of the cluster. What it seals is sealed in name only: nobody here looks into it but the clients.
const ROOT_KEY: &str = "root";

fn variable_key(key: &str) -> VariableKey {
    VariableKey { namespace: Namespace::default(), path: key.to_owned() }
}

/// Whether what is under a key can be swapped.
fn is_swapped(key: &str) -> bool {
    key.starts_with(JOB) || key.starts_with(VARIABLE)
}

fn job_key(key: &str) -> JobKey {
    JobKey { namespace: Namespace::default(), id: key.into() }
}

/// How every value begins.
const VALUE: char = 'v';

/// The name of a key.
fn key(number: u64) -> String {
    let kind = match number % 3 {
        0 => JOB,
        1 => VARIABLE,
        _ => "n",
    };
    format!("{kind}{number}")
}

/// The key that is written when everything is well again.
pub(crate) const LAST: &str = "last";
/// The same, after a recovery.
pub(crate) const AFTER: &str = "after";

/// A command that writes `value` under `key`, if what can be swapped is still what it was at `only_at`.
fn write(key: &str, value: &str, only_at: Option<u64>) -> Command {
    if key.starts_with(VARIABLE) {
        let items = Sealed { key: KeyId::from(ROOT_KEY), nonce: Vec::new(), bytes: value.as_bytes().to_vec() };
        return Command::Variable(Box::new(VariableChange::Put { key: variable_key(key), items, check_index: only_at }));
    }
    if !key.starts_with(JOB) {
        return Command::RegisterNode { node: Box::new(Node { id: key.into(), name: value.to_owned(), ..Node::default() }) };
    }
    let JobKey { namespace, id } = job_key(key);
    // A template makes no evaluations, which nobody here would work on.
    let job = Job { id, namespace, name: value.to_owned(), parameterized_job: Some(ParameterizedJobConfig::default()), ..Job::default() };
    Command::RegisterJob(RegisterJob { job: Box::new(job), submission: None, enforce_index: only_at, eval_priority: None })
}

/// What must be there before a command, if it is not.
fn needed_before(command: &Command, state: &State) -> Option<Command> {
    let Command::Variable(_) = command else { return None };
    if state.active_root_key().is_some() {
        return None;
    }
    let wraps = vec![Wrapped { kek: "key:of-nobody".to_owned(), bytes: vec![1] }];
    let new = NewKey { id: KeyId::from(ROOT_KEY), wraps, after: None, activation: Activation::Now };
    Some(Command::Keyring(Box::new(KeyringChange::Put(new))))
}

/// What a command writes, if it is one of these.
pub(crate) fn written(command: &Command) -> Option<&str> {
    let name = match command {
        Command::Variable(change) => match &**change {
            VariableChange::Put { items, .. } => std::str::from_utf8(&items.bytes).ok()?,
            VariableChange::Delete { .. } | VariableChange::Reseal(_) => return None,
        },
        Command::RegisterNode { node } => node.name.as_str(),
        Command::RegisterJob(request) => request.job.name.as_str(),
        _ => return None,
    };
    // What runs work has other names.
    name.starts_with(VALUE).then_some(name)
}

/// What is under `key`, and at which index it was written.
pub(crate) fn read(state: &State, key: &str) -> (Option<String>, u64) {
    if key.starts_with(JOB) {
        let job = state.job(&job_key(key));
        return (job.map(|job| job.name.clone()), job.map_or(0, |job| job.job_modify_index));
    }
    if key.starts_with(VARIABLE) {
        let found = state.variable(&variable_key(key));
        let text = found.map(|variable| String::from_utf8_lossy(&variable.items.bytes).into_owned());
        return (text, found.map_or(0, |variable| variable.modify_index));
    }
    (state.node(&key.into()).map(|node| node.name.clone()), 0)
}

/// One write of one client.
pub(crate) struct Wish {
    pub(crate) client: u64,
    pub(crate) key: String,
    /// Swap: only if this is there, which was written at this index.
    pub(crate) only_if: Option<(Option<String>, u64)>,
}

impl World {
    /// A client's life.
    pub(crate) async fn client(self: Rc<Self>, number: u64) {
        while !self.is_over.get() {
            sleep(Duration::from_millis(self.executor.below(self.plan.think_ms))).await;
            // A cluster that was recovered has forgotten what nobody that is left had: clients of the old one are not answered by it, nor by the old one.
            if self.is_over.get() {
                return;
            }
            let Some((name, owner, server)) = self.any_server() else { continue };
            let key = key(self.executor.below(self.plan.keys));
            let wish = Wish { client: number, key, only_if: None };
            match self.executor.below(6) {
                0 | 1 => self.read(wish, &name, owner, server).await,
                2 | 3 if is_swapped(&wish.key) => {
                    // What this server shows may be old: then somebody else was faster, and the swap must fail.
                    let only_if = Some(read(&server.view(), &wish.key));
                    let _ = self.write(Wish { only_if, ..wish }, &name, owner, server).await;
                }
                _ => {
                    let _ = self.write(wish, &name, owner, server).await;
                }
            }
        }
    }

    /// All keys.
    pub(crate) fn keys(&self) -> Vec<String> {
        (0..self.plan.keys).map(key).chain([LAST.to_owned()]).collect()
    }

    fn any_server(&self) -> Option<(String, Owner, Consensus)> {
        let hosts = self.hosts.borrow();
        let up: Vec<_> = hosts.values().filter_map(|h| Some((h.name.clone(), h.owner?, h.server.clone()?))).collect();
        let nth = usize::try_from(self.executor.below(up.len() as u64)).ok()?;
        up.get(nth).cloned()
    }

    /// Writes once. The index of the entry, when it was acknowledged.
    pub(crate) async fn write(self: &Rc<Self>, wish: Wish, name: &str, owner: Owner, server: Consensus) -> Option<u64> {
        let Wish { client, key, only_if } = wish;
        let value = format!("{VALUE}{}", self.clients.written.replace(self.clients.written.get() + 1));
        let command = write(&key, &value, only_if.as_ref().map(|(_, index)| *index));
        let input = match only_if {
            None => RegisterInput::Write(Some(value.clone())),
            Some((expected, _)) => RegisterInput::Swap { expected, new: Some(value.clone()) },
        };
        let call = self.clients.of(&key, |history| history.call(client, input.clone()));
        let ask = async move {
            if let Some(first) = needed_before(&command, &server.view()) {
                // Should it not be taken, the write is refused.
                let _ = server.propose(first).await;
            }
            let proposed = server.propose(command).await;
            let view = server.view().log_index();
            (proposed, view)
        };
        let asked = timeout(PATIENCE, Rc::clone(&self.executor).ask(owner, ask)).await;
        match asked {
            Ok(Some((Ok(Proposed { log_index: index, outcome, .. }), view))) => {
                self.trace.say(format_args!("client {client} wrote {key}={value} at {name}: entry {index}, {outcome:?}"));
                let is_done = !matches!(outcome, Outcome::Refused(_));
                let output = match input {
                    RegisterInput::Swap { .. } => {
                        self.trace.count(if is_done { "swapped" } else { "not swapped" });
                        RegisterOutput::Swapped(is_done)
                    }
                    _ => RegisterOutput::Written,
                };
                let has_no_key = matches!(outcome, Outcome::Refused(Refusal::Variable(VariableRefusal::NoSuchKey(_))));
                self.clients.of(&key, |history| if has_no_key { history.refuse(call) } else { history.answer(call, output) });
                self.clients.answered.set(self.clients.answered.get() + 1);
                self.clients.seen.set(self.clients.seen.get().max(index));
                if view < index {
                    self.violated(Invariant::AnswerIsInView, format!("{name} answered with entry {index} and shows {view}"));
                }
                self.observer.borrow_mut().acknowledged(self, index, &value);
                return Some(index);
            }
            Ok(Some((Err(error), _))) if is_refusal(&error) => {
                self.trace.say(format_args!("client {client} was refused {key}={value} at {name}: {error}"));
                self.clients.of(&key, |history| history.refuse(call));
                self.observer.borrow_mut().refused(self, &value);
            }
            Ok(Some((Err(error), _))) => {
                self.trace.say(format_args!("client {client} wrote {key}={value} at {name}, in doubt: {error}"));
                self.trace.count("in doubt");
                self.clients.in_doubt.borrow_mut().push((key, call, value));
            }
            Ok(None) | Err(_) => {
                self.trace.say(format_args!("client {client} wrote {key}={value} at {name}, and never heard of it"));
                self.clients.in_doubt.borrow_mut().push((key, call, value));
            }
        }
        None
    }

    async fn read(self: &Rc<Self>, wish: Wish, name: &str, owner: Owner, server: Consensus) {
        let Wish { client, key, .. } = wish;
        let seen = self.clients.seen.get();
        let call = self.clients.of(&key, |history| history.call(client, RegisterInput::Read));
        let ask = async move { server.linearizable().await };
        match timeout(PATIENCE, Rc::clone(&self.executor).ask(owner, ask)).await {
            Ok(Some(Ok(view))) => {
                let (found, _) = read(&view, &key);
                self.clients.found.borrow_mut().extend(found.clone());
                self.trace.say(format_args!("client {client} read {key}={found:?} at {name}: index {}", view.log_index()));
                if view.log_index() < seen {
                    let text = format!("{name} read at index {}, though {seen} was answered before", view.log_index());
                    self.violated(Invariant::ReadsNeverGoBack, text);
                }
                self.clients.seen.set(self.clients.seen.get().max(view.log_index()));
                self.clients.answered.set(self.clients.answered.get() + 1);
                self.clients.of(&key, |history| history.answer(call, RegisterOutput::Read(found)));
            }
            _ => {
                self.trace.say(format_args!("client {client} could not read {key} at {name}"));
                self.clients.of(&key, |history| history.refuse(call));
            }
        }
    }

    /// Whether what all clients saw could have happened one operation at a time.
    pub(crate) fn check_history(&self) {
        // A write in doubt that nobody read changes nothing: an order with it is as good without, and each would double the search. Not so where
        // somebody swaps, whom it may have stood in the way of.
        let found = self.clients.found.borrow();
        let unseen = self.clients.in_doubt.take().into_iter().filter(|(key, _, value)| !is_swapped(key) && !found.contains(value));
        unseen.for_each(|(key, call, _)| self.clients.of(&key, |history| history.refuse(call)));
        for (key, history) in &*self.clients.histories.borrow() {
            let operations = history.operations();
            match check(&Register::<String>::default(), &operations, STEPS) {
                Verdict::Linearizable(_) => {}
                Verdict::Violation(found) => self.violated(Invariant::Linearizable, format!("{key}: {}", found.describe(&operations))),
                Verdict::GaveUp => {
                    self.trace.count("history too long");
                    self.trace.say(format_args!("the history of {key} is too long to check"));
                }
            }
        }
    }
}

impl Clients {
    pub(crate) fn of<T>(&self, key: &str, change: impl FnOnce(&mut Operations) -> T) -> T {
        change(self.histories.borrow_mut().entry(key.to_owned()).or_default())
    }
}

/// Whether it certainly was not done, and never will be.
fn is_refusal(error: &ProposeError) -> bool {
    !matches!(
        error,
        ProposeError::Timeout { .. } | ProposeError::OutcomeUnknown { .. } | ProposeError::Interrupted { .. } | ProposeError::Behind { .. }
    )
}
