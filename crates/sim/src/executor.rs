//! The scheduler of a simulation: all tasks of all servers, in one thread, in an order that the seed decides.
//!
//! Of the tasks that could go on, one is drawn. So the order in which they were woken does not matter, which also makes tokio's channels
//! deterministic: `watch` wakes its readers in an order that it draws itself. Each task belongs to an owner, and what it starts belongs to the
//! same one. An owner can be paused, and its tasks can be dropped wherever they wait: that is a crash.
//!
//! Time is tokio's, paused: when no task can go on, it jumps to the next timer.

use floe_store::twin::Chance;
use futures::future::{BoxFuture, LocalBoxFuture};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::sync::oneshot;

/// So many polls without a step of the clock are tasks that wake each other for ever.
const POLLS_IN_AN_INSTANT: u64 = 200_000;

/// Whose task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner(u64);

impl Owner {
    /// The network, the clients, and who breaks things.
    pub(crate) const WORLD: Owner = Owner(0);
}

type TaskId = u64;

/// The tasks that could go on. Shared with wakers, which must be `Send`.
#[derive(Default)]
struct Ready {
    tasks: Mutex<BTreeSet<TaskId>>,
    root: Mutex<Option<Waker>>,
}

impl Ready {
    fn tasks(&self) -> MutexGuard<'_, BTreeSet<TaskId>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn add(&self, task: TaskId) {
        self.tasks().insert(task);
        if let Some(root) = &*self.root.lock().unwrap_or_else(PoisonError::into_inner) {
            root.wake_by_ref();
        }
    }
}

struct TaskWaker {
    task: TaskId,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.add(self.task);
    }
}

struct Task {
    owner: Owner,
    future: LocalBoxFuture<'static, ()>,
    waker: Waker,
}

#[derive(Default)]
struct OwnerState {
    /// The most milliseconds that the owner's disk takes.
    disk_ms: u64,
    is_paused: bool,
    /// Tasks that could go on, were the owner not paused.
    held: BTreeSet<TaskId>,
}

/// See the module.
pub(crate) struct Executor {
    ready: Arc<Ready>,
    tasks: RefCell<BTreeMap<TaskId, Task>>,
    owners: RefCell<BTreeMap<Owner, OwnerState>>,
    next_task: Cell<TaskId>,
    next_owner: Cell<u64>,
    current: Cell<Owner>,
    chance: RefCell<Chance>,
    polls: Cell<u64>,
    panics: RefCell<Vec<(Owner, String)>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
}

/// The executor of the simulation that runs on this thread.
pub(crate) fn current() -> Rc<Executor> {
    CURRENT.with_borrow(Clone::clone).expect("invariant: this is called by tasks of a simulation alone")
}

/// What the simulation looks at while it runs.
pub(crate) trait Watch {
    /// A task of this owner went on. False ends the simulation.
    fn polled(&self, owner: Owner, task: u64) -> bool;
    /// No task can go on before the clock does. False ends the simulation.
    fn settled(&self) -> bool;
}

impl Executor {
    pub(crate) fn new(seed: u64) -> Rc<Self> {
        Rc::new(Self {
            ready: Arc::default(),
            tasks: RefCell::default(),
            owners: RefCell::new(BTreeMap::from([(Owner::WORLD, OwnerState::default())])),
            next_task: Cell::new(0),
            next_owner: Cell::new(1),
            current: Cell::new(Owner::WORLD),
            chance: RefCell::new(Chance::new(seed)),
            polls: Cell::new(0),
            panics: RefCell::default(),
        })
    }

    /// Makes this the executor of this thread, for the simulation and for floe's own code, until what is returned is dropped.
    pub(crate) fn enter(self: &Rc<Self>) -> impl Drop + use<> {
        struct Entered(#[expect(dead_code, reason = "ends when it is dropped")] floe_consensus::executor::Simulated);
        impl Drop for Entered {
            fn drop(&mut self) {
                CURRENT.set(None);
            }
        }
        CURRENT.set(Some(Rc::clone(self)));
        Entered(floe_consensus::executor::Simulated::on(Rc::new(Handle(Rc::clone(self)))))
    }

    /// A new owner of tasks, whose disk takes up to this long.
    pub(crate) fn owner(&self, disk_ms: u64) -> Owner {
        let owner = Owner(self.next_owner.replace(self.next_owner.get() + 1));
        self.owners.borrow_mut().insert(owner, OwnerState { disk_ms, ..OwnerState::default() });
        owner
    }

    /// A number below `limit`.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.chance.borrow_mut().below(limit)
    }

    pub(crate) fn draw(&self) -> u64 {
        self.chance.borrow_mut().draw()
    }

    /// A generator of its own, so that how much is drawn in one place changes nothing in another.
    pub(crate) fn fork(&self) -> Chance {
        Chance::new(self.draw())
    }

    /// Starts a task of that owner. Of one that is gone, it never runs.
    pub(crate) fn spawn(&self, owner: Owner, future: impl Future<Output = ()> + 'static) {
        if !self.owners.borrow().contains_key(&owner) {
            return;
        }
        let id = self.next_task.replace(self.next_task.get() + 1);
        let waker = Waker::from(Arc::new(TaskWaker { task: id, ready: Arc::clone(&self.ready) }));
        self.tasks.borrow_mut().insert(id, Task { owner, future: Box::pin(future), waker });
        self.ready.add(id);
    }

    /// Runs a task of that owner and waits for its result; nothing when the owner goes before.
    pub(crate) async fn ask<T: 'static>(self: Rc<Self>, owner: Owner, future: impl Future<Output = T> + 'static) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.spawn(owner, async move { drop(tell.send(future.await)) });
        drop(self);
        told.await.ok()
    }

    /// How long the owner's disk takes this time.
    pub(crate) fn disk_delay(&self, owner: Owner) -> Duration {
        let most = self.owners.borrow().get(&owner).map_or(0, |o| o.disk_ms);
        Duration::from_millis(self.below(most + 1))
    }

    pub(crate) fn set_disk(&self, owner: Owner, disk_ms: u64) {
        if let Some(state) = self.owners.borrow_mut().get_mut(&owner) {
            state.disk_ms = disk_ms;
        }
    }

    /// The owner's tasks do not go on until [`Executor::resume`].
    pub(crate) fn pause(&self, owner: Owner) {
        if let Some(state) = self.owners.borrow_mut().get_mut(&owner) {
            state.is_paused = true;
        }
    }

    pub(crate) fn resume(&self, owner: Owner) {
        let held = self.owners.borrow_mut().get_mut(&owner).map(|state| {
            state.is_paused = false;
            std::mem::take(&mut state.held)
        });
        held.into_iter().flatten().for_each(|task| self.ready.add(task));
    }

    /// Drops all tasks of the owner where they wait.
    pub(crate) fn kill(&self, owner: Owner) {
        self.owners.borrow_mut().remove(&owner);
        let before = self.current.replace(owner);
        let gone: Vec<TaskId> = self.tasks.borrow().iter().filter(|(_, task)| task.owner == owner).map(|(id, _)| *id).collect();
        for id in gone {
            let task = self.tasks.borrow_mut().remove(&id);
            drop(task);
        }
        self.current.set(before);
    }

    /// Panics of tasks since this was last called.
    pub(crate) fn take_panics(&self) -> Vec<(Owner, String)> {
        std::mem::take(&mut self.panics.borrow_mut())
    }

    /// Runs until `watch` ends it.
    pub(crate) async fn run(&self, watch: &dyn Watch) {
        let root = poll_fn(|cx| {
            *self.ready.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            self.polls.set(0);
            while let Some(id) = self.pick() {
                let Some(owner) = self.poll_task(id) else { continue };
                if !watch.polled(owner, id) {
                    return Poll::Ready(());
                }
                self.polls.set(self.polls.get() + 1);
                if self.polls.get() > POLLS_IN_AN_INSTANT {
                    self.panics.borrow_mut().push((owner, format!("{POLLS_IN_AN_INSTANT} polls in one instant")));
                    return Poll::Ready(());
                }
            }
            if watch.settled() { Poll::Pending } else { Poll::Ready(()) }
        });
        tokio::task::unconstrained(root).await;
    }

    fn pick(&self) -> Option<TaskId> {
        loop {
            let mut ready = self.ready.tasks();
            let nth = usize::try_from(self.below(ready.len() as u64)).ok()?;
            let id = *ready.iter().nth(nth)?;
            ready.remove(&id);
            let owner = self.tasks.borrow().get(&id).map(|task| task.owner);
            let mut owners = self.owners.borrow_mut();
            match owner.and_then(|owner| owners.get_mut(&owner)) {
                Some(state) if state.is_paused => drop(state.held.insert(id)),
                Some(_) => return Some(id),
                None => {}
            }
        }
    }

    /// Lets a task go on, and says whose it is.
    fn poll_task(&self, id: TaskId) -> Option<Owner> {
        let mut task = self.tasks.borrow_mut().remove(&id)?;
        self.current.set(task.owner);
        let waker = task.waker.clone();
        let polled = catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut Context::from_waker(&waker))));
        let owner = task.owner;
        match polled {
            // Its owner may be gone by its own doing.
            Ok(Poll::Pending) if self.owners.borrow().contains_key(&owner) => drop(self.tasks.borrow_mut().insert(id, task)),
            Ok(_) => drop(task),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                self.panics.borrow_mut().push((owner, text.unwrap_or_default()));
            }
        }
        self.current.set(Owner::WORLD);
        Some(owner)
    }
}

/// What floe's own code sees of it.
struct Handle(Rc<Executor>);

impl floe_consensus::executor::Executor for Handle {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(self.0.current.get(), task);
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let owner = self.0.current.get();
        let (tell, told) = oneshot::channel::<()>();
        let (before, after) = (self.0.disk_delay(owner), self.0.disk_delay(owner));
        self.0.spawn(owner, async move {
            tokio::time::sleep(before).await;
            work();
            tokio::time::sleep(after).await;
            // Nobody may be waiting any more.
            let _ = tell.send(());
        });
        Box::pin(async move { drop(told.await) })
    }

    fn loses_work(&self) -> bool {
        crate::world::current().loses_work(self.0.current.get())
    }

    fn random(&self) -> u64 {
        self.0.draw()
    }
}
