//! Where a server's tasks run and what blocks a thread goes: tokio, unless a simulation drives this thread.
//!
//! A simulation runs a whole cluster in one thread, by one seed. It must decide which task goes on next, when what blocks is done, and which
//! numbers openraft draws for its election timeouts; it must also be able to drop all tasks of one server, wherever they wait. Everything of this
//! crate that starts a task, blocks or draws goes through here, and [`Runtime`] does the same for openraft. Without a simulation each call costs
//! one look at a thread-local. Who runs tasks beside a server, such as the leader's desk, starts them here as well.

use futures::future::{BoxFuture, Either};
use openraft::{AsyncRuntime, OptionalSend, impls::TokioRuntime};
use rand::{SeedableRng, rngs::SmallRng};
use std::{
    cell::RefCell,
    fmt,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinHandle};

/// Stands in for tokio's tasks and threads, on the thread of a simulation. Time stays tokio's, which can be paused.
pub trait Executor {
    /// Runs a task. What starts tasks in a task of a server is of the same server.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Runs what would block a thread, at once or when the simulation lets it. The work is dropped when the server crashes before.
    fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
    /// Whether work that may be lost is lost this time.
    fn loses_work(&self) -> bool;
    /// A random number.
    fn random(&self) -> u64;
}

thread_local! {
    static SIMULATED: RefCell<Option<Rc<dyn Executor>>> = const { RefCell::new(None) };
}

/// As long as this lives, everything on this thread runs on the given executor.
pub struct Simulated {
    before: Option<Rc<dyn Executor>>,
}

impl Simulated {
    /// From now on.
    pub fn on(executor: Rc<dyn Executor>) -> Self {
        Self { before: SIMULATED.replace(Some(executor)) }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATED.set(self.before.take());
    }
}

fn simulated() -> Option<Rc<dyn Executor>> {
    SIMULATED.with_borrow(Clone::clone)
}

/// A task ended without a result: it panicked, or its runtime shut down.
#[derive(Debug)]
pub struct TaskError {
    is_panic: bool,
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_panic { "the task panicked" } else { "the task was cancelled" })
    }
}

impl std::error::Error for TaskError {}

impl From<tokio::task::JoinError> for TaskError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self { is_panic: error.is_panic() }
    }
}

/// A running task. It goes on when this is dropped.
pub struct Task<T>(Running<T>);

enum Running<T> {
    Tokio(JoinHandle<T>),
    Simulated(oneshot::Receiver<T>),
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Running::Tokio(handle) => Pin::new(handle).poll(cx).map_err(TaskError::from),
            Running::Simulated(result) => Pin::new(result).poll(cx).map_err(|_| TaskError { is_panic: false }),
        }
    }
}

/// Starts a task.
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let Some(executor) = simulated() else { return Task(Running::Tokio(tokio::spawn(future))) };
    let (tell, told) = oneshot::channel();
    // Nobody may be waiting for it.
    executor.spawn(Box::pin(async move { drop(tell.send(future.await)) }));
    Task(Running::Simulated(told))
}

/// Runs what blocks, where it holds up nobody. It is begun at once, whether somebody waits for it or not. What waits gets an error when the work
/// panicked or the runtime shut down.
pub fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, TaskError>> + Send + 'static {
    let begun = match simulated() {
        None => Either::Left(tokio::task::spawn_blocking(work)),
        Some(executor) => {
            let (tell, told) = oneshot::channel();
            Either::Right((executor.block(Box::new(move || drop(tell.send(work())))), told))
        }
    };
    async {
        match begun {
            Either::Left(thread) => Ok(thread.await?),
            Either::Right((done, told)) => {
                done.await;
                told.await.map_err(|_| TaskError { is_panic: false })
            }
        }
    }
}

/// As [`blocking`], for work whose loss costs nothing but another try. In a simulation it may be lost, as in a thread that panics.
pub fn blocking_or_lost<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, TaskError>> + Send + 'static {
    let is_lost = simulated().is_some_and(|executor| executor.loses_work());
    let done = blocking(move || (!is_lost).then(work));
    async { done.await?.ok_or(TaskError { is_panic: true }) }
}

/// A random number, for what is no part of the state.
pub(crate) fn random() -> u64 {
    match simulated() {
        Some(executor) => executor.random(),
        None => getrandom::u64().expect("invariant: the kernel of every system that floe runs on has random numbers"),
    }
}

/// Tokio's runtime for openraft, with tasks and chance from here.
#[derive(Debug)]
pub(crate) struct Runtime(TokioRuntime);

impl AsyncRuntime for Runtime {
    type JoinError = TaskError;
    type JoinHandle<T: OptionalSend + 'static> = Task<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Task<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(error: &TaskError) -> bool {
        error.is_panic
    }

    fn thread_rng() -> SmallRng {
        SmallRng::seed_from_u64(random())
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F: Future<Output = T>, T>(&mut self, future: F) -> T {
        self.0.block_on(future)
    }

    async fn spawn_blocking<F, T>(work: F) -> Result<T, io::Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        blocking(work).await.map_err(io::Error::other)
    }
}
