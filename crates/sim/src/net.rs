//! The network between the servers: each call is a message there and one back, and anything may happen to either.

use crate::{executor::Owner, world::World};
use floe_consensus::{Consensus, Delivery, Rpc, ServerAddress, ServerId, Transport, TransportError};
use floe_store::twin::Chance;
use futures::future::BoxFuture;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

/// How long a message takes at most, in milliseconds, when nothing is wrong.
const CALM_MS: u64 = 4;

/// What goes wrong, besides cuts in hundredths of all messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// A message that is slow takes up to so many milliseconds.
    pub(crate) slow_ms: u64,
    pub(crate) slow: u64,
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    /// The connection breaks while the other end works on it, which ends that work.
    pub(crate) broken: u64,
}

struct Listener {
    owner: Owner,
    host: String,
    server: Consensus,
}

/// See the module.
pub(crate) struct Net {
    listeners: RefCell<BTreeMap<String, Listener>>,
    /// No message from the first to the second arrives.
    cuts: RefCell<BTreeSet<(String, String)>>,
    pub(crate) weather: RefCell<Weather>,
    chance: RefCell<Chance>,
    /// How many messages left, and the newest that arrived, from the first to the second.
    order: RefCell<BTreeMap<(String, String), (u64, u64)>>,
}

/// What becomes of one message.
enum Way {
    Lost,
    Arrives(Duration),
}

type Answered = Result<Vec<u8>, (Delivery, String)>;

/// Who waits for an answer. The first one counts.
#[derive(Clone)]
struct Caller(Rc<RefCell<Option<oneshot::Sender<Answered>>>>);

impl Caller {
    fn tell(&self, answer: Answered) {
        if let Some(tell) = self.0.borrow_mut().take() {
            drop(tell.send(answer));
        }
    }
}

/// A call on its way.
#[derive(Clone)]
struct Message {
    from: String,
    /// The era of that server when it was sent: it may be in another when an answer comes.
    era: u32,
    to: String,
    at: String,
    target: ServerId,
    rpc: Rpc,
    body: Rc<Vec<u8>>,
    deadline: Duration,
}

impl Net {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            listeners: RefCell::default(),
            cuts: RefCell::default(),
            weather: RefCell::default(),
            chance: RefCell::new(chance),
            order: RefCell::default(),
        }
    }

    pub(crate) fn listen(&self, at: &str, owner: Owner, host: &str, server: Consensus) {
        self.listeners.borrow_mut().insert(at.to_owned(), Listener { owner, host: host.to_owned(), server });
    }

    pub(crate) fn forget(&self, owner: Owner) {
        let gone = {
            let mut listeners = self.listeners.borrow_mut();
            let at: Vec<String> = listeners.iter().filter(|(_, l)| l.owner == owner).map(|(at, _)| at.clone()).collect();
            at.iter().filter_map(|at| listeners.remove(at)).collect::<Vec<_>>()
        };
        drop(gone);
    }

    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.cuts.borrow_mut().insert((from.to_owned(), to.to_owned()));
    }

    pub(crate) fn is_cut(&self) -> bool {
        !self.cuts.borrow().is_empty()
    }

    pub(crate) fn heal(&self) {
        self.cuts.borrow_mut().clear();
    }

    fn below(&self, limit: u64) -> u64 {
        self.chance.borrow_mut().below(limit)
    }

    fn happens(&self, hundredths: u64) -> bool {
        self.below(100) < hundredths
    }

    /// The number of a message that leaves now.
    fn leaves(&self, from: &str, to: &str) -> u64 {
        let mut order = self.order.borrow_mut();
        let (left, _) = order.entry((from.to_owned(), to.to_owned())).or_default();
        *left += 1;
        *left
    }

    /// Whether a later message arrived before this one.
    fn is_overtaken(&self, from: &str, to: &str, number: u64) -> bool {
        let mut order = self.order.borrow_mut();
        let (_, arrived) = order.entry((from.to_owned(), to.to_owned())).or_default();
        let is_overtaken = *arrived > number;
        *arrived = number.max(*arrived);
        is_overtaken
    }

    fn is_cut_between(&self, from: &str, to: &str) -> bool {
        self.cuts.borrow().contains(&(from.to_owned(), to.to_owned()))
    }

    fn way(&self, from: &str, to: &str) -> Way {
        let weather = self.weather.borrow().clone();
        if self.is_cut_between(from, to) || self.happens(weather.lost) {
            return Way::Lost;
        }
        let most = if self.happens(weather.slow) { weather.slow_ms } else { CALM_MS };
        Way::Arrives(Duration::from_millis(1 + self.below(most)))
    }
}

impl World {
    fn send(self: &Rc<Self>, message: Message) -> oneshot::Receiver<Answered> {
        let (tell, told) = oneshot::channel();
        let caller = Caller(Rc::new(RefCell::new(Some(tell))));
        let copies = if self.net.happens(self.net.weather.borrow().twice) { 2 } else { 1 };
        self.trace.mix(format!("{}>{} {} {}", message.from, message.to, message.rpc.name(), message.body.len()).as_bytes());
        self.trace.mix(&message.body);
        if copies == 2 {
            self.trace.count("message twice");
        }
        for _ in 0..copies {
            let (world, message, caller) = (Rc::clone(self), message.clone(), caller.clone());
            self.executor.spawn(Owner::WORLD, async move { world.deliver(message, caller, copies == 1).await });
        }
        told
    }

    async fn deliver(self: Rc<Self>, message: Message, caller: Caller, is_only: bool) {
        let number = self.net.leaves(&message.from, &message.to);
        match self.net.way(&message.from, &message.to) {
            Way::Arrives(delay) => {
                sleep(delay).await;
                if delay > Duration::from_millis(2 * CALM_MS) {
                    self.trace.count("message late");
                }
                if self.net.is_overtaken(&message.from, &message.to, number) {
                    self.trace.count("message overtaken");
                }
                if self.net.is_cut_between(&message.from, &message.to) {
                    self.trace.count("message cut off");
                    sleep(message.deadline).await;
                    return caller.tell(Err((Delivery::Unknown, "no answer".to_owned())));
                }
            }
            // Some networks say at once that nobody can be reached.
            Way::Lost if is_only && self.net.happens(50) => {
                sleep(Duration::from_millis(1 + self.net.below(CALM_MS))).await;
                return caller.tell(Err((Delivery::Refused, "unreachable".to_owned())));
            }
            Way::Lost => {
                self.trace.count("message lost");
                sleep(message.deadline).await;
                return caller.tell(Err((Delivery::Unknown, "no answer".to_owned())));
            }
        }
        let answer = self.arrive(&message).await;
        let answer = match answer {
            // The other copy may have been taken.
            Err((Delivery::Refused | Delivery::Absent, reason)) if !is_only => Err((Delivery::Unknown, reason)),
            other => other,
        };
        match self.net.way(&message.to, &message.from) {
            Way::Arrives(delay) => sleep(delay).await,
            Way::Lost => {
                self.trace.count("answer lost");
                sleep(if self.net.happens(50) { message.deadline } else { Duration::from_millis(CALM_MS) }).await;
                return caller.tell(Err((Delivery::Unknown, "the answer was lost".to_owned())));
            }
        }
        caller.tell(answer);
    }

    async fn arrive(self: &Rc<Self>, message: &Message) -> Answered {
        let found = self.net.listeners.borrow().get(&message.at).map(|l| (l.owner, l.host.clone(), l.server.clone()));
        let Some((owner, host, server)) = found else { return Err((Delivery::Absent, "connection refused".to_owned())) };
        let limit = if self.net.happens(self.net.weather.borrow().broken) { self.net.below(20) } else { 600_000 };
        if message.rpc == Rpc::Snapshot {
            self.trace.count("piece of a snapshot");
            self.piece_arrived(&host);
        }
        let (world, message) = (Rc::clone(self), message.clone());
        let handle = async move {
            let handled = timeout(Duration::from_millis(limit), server.handle(&message.target, message.rpc, &message.body)).await;
            match handled {
                Err(_) => {
                    world.trace.count("connection broken");
                    Err((Delivery::Unknown, "the connection broke".to_owned()))
                }
                Ok(Err(error)) => Err((Delivery::Refused, error.to_string())),
                Ok(Ok(answer)) => {
                    world.answered((&message.from, message.era), &host, message.rpc, (&message.body, &answer));
                    Ok(answer)
                }
            }
        };
        let answer = Rc::clone(&self.executor).ask(owner, handle).await;
        answer.unwrap_or_else(|| Err((Delivery::Unknown, "the connection broke".to_owned())))
    }
}

/// A server's way out.
pub(crate) struct Wire {
    pub(crate) from: String,
}

impl Transport for Wire {
    fn call<'a>(
        &'a self,
        target: &'a ServerId,
        address: &'a ServerAddress,
        rpc: Rpc,
        body: Vec<u8>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, TransportError>> {
        let world = crate::world::current();
        let message = Message {
            era: world.era(&self.from),
            from: self.from.clone(),
            to: address.name.clone(),
            at: address.rpc.clone(),
            target: target.clone(),
            rpc,
            body: Rc::new(body),
            deadline,
        };
        let told = world.send(message);
        Box::pin(async move {
            let fail = |delivery, reason| TransportError { target: target.clone(), reason, delivery };
            match told.await {
                Ok(answer) => answer.map_err(|(delivery, reason)| fail(delivery, reason)),
                Err(_) => Err(fail(Delivery::Unknown, "the network is gone".to_owned())),
            }
        })
    }
}
