//! Clients: each asks any server, one thing at a time, and writes down what it was told.
//!
//! A node of the cluster is a register: to register it with a name is to write, its name is what is read. Every name is written once.

use crate::{executor::Owner, invariant::Invariant, world::World};
use floe_consensus::{Consensus, ProposeError, Proposed};
use floe_history::{Call, History, Register, RegisterInput, RegisterOutput, STEPS, check_each};
use floe_model::Node;
use floe_state::{Command, State};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// How many there are.
pub(crate) const CLIENTS: u64 = 8;
/// After this long a client does not wait for its answer any more.
const PATIENCE: Duration = Duration::from_secs(8);

type Operations = History<(String, RegisterInput<String>), RegisterOutput<String>>;

/// What all of them know.
#[derive(Default)]
pub(crate) struct Clients {
    history: RefCell<Operations>,
    /// The highest index that anybody was answered with.
    seen: Cell<u64>,
    written: Cell<u64>,
    /// Writes of which nobody knows whether they were done, and what was read.
    in_doubt: RefCell<Vec<(Call, String)>>,
    found: RefCell<BTreeSet<String>>,
    pub(crate) answered: Cell<u64>,
}

/// A command that writes `value` under `key`.
fn write(key: &str, value: &str) -> Command {
    Command::RegisterNode { node: Box::new(Node { id: key.into(), name: value.to_owned(), ..Node::default() }) }
}

/// What a command writes, if it is one of these.
pub(crate) fn written(command: &Command) -> Option<&str> {
    match command {
        Command::RegisterNode { node } => Some(&node.name),
        _ => None,
    }
}

fn read(state: &State, key: &str) -> Option<String> {
    state.node(&key.into()).map(|node| node.name.clone())
}

impl World {
    /// A client's life.
    pub(crate) async fn client(self: Rc<Self>, number: u64) {
        while !self.is_over.get() {
            sleep(Duration::from_millis(self.executor.below(self.plan.think_ms))).await;
            let Some((name, owner, server)) = self.any_server() else { continue };
            let key = format!("k{}", self.executor.below(self.plan.keys));
            if self.executor.below(5) < 3 {
                self.write(number, &name, owner, server, key).await;
            } else {
                self.read(number, &name, owner, server, key).await;
            }
        }
    }

    fn any_server(&self) -> Option<(String, Owner, Consensus)> {
        let hosts = self.hosts.borrow();
        let up: Vec<_> = hosts.values().filter_map(|h| Some((h.name.clone(), h.owner?, h.server.clone()?))).collect();
        let nth = usize::try_from(self.executor.below(up.len() as u64)).ok()?;
        up.get(nth).cloned()
    }

    /// Writes once. True when it was acknowledged.
    pub(crate) async fn write(self: &Rc<Self>, client: u64, name: &str, owner: Owner, server: Consensus, key: String) -> bool {
        let value = format!("v{}", self.clients.written.replace(self.clients.written.get() + 1));
        let command = write(&key, &value);
        let call = self.clients.history.borrow_mut().call(client, (key.clone(), RegisterInput::Write(Some(value.clone()))));
        let ask = async move {
            let proposed = server.propose(command).await;
            let view = server.view().index();
            (proposed, view)
        };
        let asked = timeout(PATIENCE, Rc::clone(&self.executor).ask(owner, ask)).await;
        match asked {
            Ok(Some((Ok(Proposed { index, .. }), view))) => {
                self.trace.say(format_args!("client {client} wrote {key}={value} at {name}: entry {index}"));
                self.clients.history.borrow_mut().answer(call, RegisterOutput::Written);
                self.clients.answered.set(self.clients.answered.get() + 1);
                self.clients.seen.set(self.clients.seen.get().max(index));
                if view < index {
                    self.violated(Invariant::AnswerIsInView, format!("{name} answered with entry {index} and shows {view}"));
                }
                self.observer.borrow_mut().acknowledged(self, index, &value);
                return true;
            }
            Ok(Some((Err(error), _))) if is_refusal(&error) => {
                self.trace.say(format_args!("client {client} was refused {key}={value} at {name}: {error}"));
                self.clients.history.borrow_mut().refuse(call);
                self.observer.borrow_mut().refused(self, &value);
            }
            Ok(Some((Err(error), _))) => {
                self.trace.say(format_args!("client {client} wrote {key}={value} at {name}, in doubt: {error}"));
                self.clients.in_doubt.borrow_mut().push((call, value));
            }
            Ok(None) | Err(_) => {
                self.trace.say(format_args!("client {client} wrote {key}={value} at {name}, and never heard of it"));
                self.clients.in_doubt.borrow_mut().push((call, value));
            }
        }
        false
    }

    async fn read(self: &Rc<Self>, client: u64, name: &str, owner: Owner, server: Consensus, key: String) {
        let seen = self.clients.seen.get();
        let call = self.clients.history.borrow_mut().call(client, (key.clone(), RegisterInput::Read));
        let ask = async move { server.linearizable().await };
        match timeout(PATIENCE, Rc::clone(&self.executor).ask(owner, ask)).await {
            Ok(Some(Ok(view))) => {
                let found = read(&view, &key);
                self.clients.found.borrow_mut().extend(found.clone());
                self.trace.say(format_args!("client {client} read {key}={found:?} at {name}: index {}", view.index()));
                if view.index() < seen {
                    let text = format!("{name} read at index {}, though {seen} was answered before", view.index());
                    self.violated(Invariant::ReadsNeverGoBack, text);
                }
                self.clients.seen.set(self.clients.seen.get().max(view.index()));
                self.clients.answered.set(self.clients.answered.get() + 1);
                self.clients.history.borrow_mut().answer(call, RegisterOutput::Read(found));
            }
            _ => {
                self.trace.say(format_args!("client {client} could not read {key} at {name}"));
                self.clients.history.borrow_mut().refuse(call);
            }
        }
    }

    /// Whether what all clients saw could have happened one operation at a time.
    pub(crate) fn check_history(&self) {
        // A write in doubt that nobody read changes nothing: an order with it is as good without. Each would double the search.
        let found = self.clients.found.borrow();
        let unseen = self.clients.in_doubt.take().into_iter().filter(|(_, value)| !found.contains(value));
        unseen.for_each(|(call, _)| self.clients.history.borrow_mut().refuse(call));
        if let Err(text) = check_each(&Register::<String>::default(), &self.clients.history.borrow(), STEPS) {
            self.violated(Invariant::Linearizable, text);
        }
    }
}

/// Whether it certainly was not done, and never will be.
fn is_refusal(error: &ProposeError) -> bool {
    !matches!(
        error,
        ProposeError::Timeout { .. } | ProposeError::OutcomeUnknown { .. } | ProposeError::Interrupted { .. } | ProposeError::Behind { .. }
    )
}
