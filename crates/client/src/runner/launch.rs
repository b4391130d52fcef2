//! Starting a task and waiting for its end.

use super::{Event, Runner, Shared, exit_of, image, send, spec};
use crate::{
    clock,
    db::{Change, words},
    devices,
};
use floe_model::{AllocId, Allocation, Timestamp};
use floe_runtime::{Attached, Driver, SpawnError, TaskHandle, TaskProcess, TaskSpec};
use floe_tasks::Exit;
use std::{path::PathBuf, sync::Arc};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// What a launch came to.
enum Launched {
    Running(TaskHandle, Arc<TaskProcess>),
    /// It ran from this moment on and has ended already.
    Ended(Timestamp, Exit),
}

/// Why a launch failed.
pub(super) struct LaunchError {
    pub(super) words: String,
    /// Another try would fail alike.
    pub(super) fatal: bool,
}

/// Where the records of the other tasks must be before a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Records {
    /// The shims know enough: what they remember leads to the same decision again.
    MayLag,
    /// On disk: an agent that finds this task must not judge the ends of the others anew.
    AreWritten,
}

impl Runner {
    /// Starts a task beside the runner, and says what came of it.
    pub(super) fn launch(&mut self, task: String, records: Records) {
        let (shared, events) = (self.shared.clone(), self.events.clone());
        let given_up = CancellationToken::new();
        self.starting.insert(task.clone(), given_up.clone());
        let mut alloc = (*self.alloc).clone();
        alloc.network_status = self.network_status();
        let files = spec::Files::of(&alloc, &task, self.machine.restarts(&task) > 0);
        let netns = self.attachment.as_ref().map(|a| a.netns.clone());
        tokio::spawn(async move {
            let id = alloc.id.clone();
            if records == Records::AreWritten
                && let Err(error) = shared.db.flush().await
            {
                tracing::error!(alloc = %id, %task, %error, "the client's state was not written before a task that runs after all others");
            }
            let result = match given_up.run_until_cancelled(bring(&shared, &alloc, &task, (netns, files), &events)).await {
                // From here on it starts; who wants it to stop sends it a signal.
                Some(Ok(spec)) => {
                    let id = id.clone();
                    blocking(move |shared, task| launch(shared, task, &id, &spec), &shared, &task).await
                }
                Some(Err(error)) => Err(error),
                None => Err(LaunchError { words: "it was stopped before it started".to_owned(), fatal: true }),
            };
            match result {
                Ok(Launched::Running(handle, process)) => {
                    shared.db.write_soon(vec![Change::Handle(id, task.clone(), handle)]);
                    let at = process.started().and_then(|s| i64::try_from(s.started_at_ns).ok()).map_or_else(clock::now, Timestamp);
                    send(&events, Event::Started(task, process, at)).await;
                }
                Ok(Launched::Ended(at, exit)) => send(&events, Event::Ran(task, at, exit)).await,
                Err(error) => send(&events, Event::StartFailed { task, error: error.words, fatal: error.fatal }).await,
            }
        });
    }
}

/// Everything that a task needs before it starts. To give it up is safe at any moment.
async fn bring(
    shared: &Arc<Shared>,
    alloc: &Allocation,
    task: &str,
    (netns, files): (Option<PathBuf>, spec::Files),
    events: &mpsc::Sender<Event>,
) -> Result<TaskSpec, LaunchError> {
    if netns.is_none() && super::prepare::has_own_network(alloc) {
        // Never in the host's instead.
        return Err(LaunchError { words: "the allocation lost its network".to_owned(), fatal: true });
    }
    let fatal = |words| LaunchError { words, fatal: true };
    let owner = alloc.clone();
    let draft = blocking(move |shared, task| spec::draft(shared, &owner, task, netns, files).map_err(fatal), shared, task).await?;
    let mut spec = match draft.spec.driver {
        Driver::Image => image::bring(shared, alloc, draft, events).await?,
        Driver::Exec | Driver::RawExec => draft.complete().map_err(fatal)?,
    };
    let held = alloc.allocated_resources.tasks.get(task).map(|t| t.devices.clone()).unwrap_or_default();
    let give = move |shared: &Shared, _: &str| {
        // A driver that is just being replaced has its devices again soon.
        devices::give(&held, &shared.config.cdi_folders, &mut spec).map_err(|words| LaunchError { words, fatal: false })?;
        Ok(spec)
    };
    blocking(give, shared, task).await
}

/// Does what waits for the disk beside the async workers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Shared, &str) -> Result<T, LaunchError> + Send + 'static,
    shared: &Arc<Shared>,
    task: &str,
) -> Result<T, LaunchError> {
    let (shared, task) = (shared.clone(), task.to_owned());
    let result = tokio::task::spawn_blocking(move || work(&shared, &task)).await;
    result.unwrap_or_else(|e| Err(LaunchError { words: format!("start the task: {e}"), fatal: false }))
}

fn launch(shared: &Shared, task: &str, alloc: &AllocId, spec: &TaskSpec) -> Result<Launched, LaunchError> {
    let dir = shared.paths.shim(alloc, task);
    let handle = floe_runtime::spawn(spec, &dir, &shared.config.exe)
        .map_err(|error| LaunchError { fatal: matches!(error, SpawnError::Spec(_) | SpawnError::Task(_)), words: words(&error) })?;
    match floe_runtime::reattach(&handle) {
        Ok(Attached::Running(process)) => Ok(Launched::Running(handle, Arc::new(process))),
        Ok(Attached::Exited(status)) => Ok(ended(exit_of(&status))),
        Ok(Attached::Lost { reason }) => Ok(ended(lost(reason))),
        Err(error) => Err(LaunchError { words: words(&error), fatal: false }),
    }
}

/// `spawn` came back, so the task did start, shortly before now.
fn ended(exit: Exit) -> Launched {
    Launched::Ended(clock::now().min(exit.at), exit)
}

fn lost(reason: String) -> Exit {
    Exit { code: -1, at: clock::now(), error: Some(reason), ..Exit::default() }
}

/// Waits until a task's shim has ended, which is when everything of the task is gone.
pub(super) async fn wait(process: Arc<TaskProcess>) -> Exit {
    let readable = async {
        #[expect(
            deprecated,
            reason = "its replacement is unsafe because a caller may close the descriptor early; an OwnedFd cannot be closed early"
        )]
        let fd = AsyncFd::with_interest(process.shim_pidfd().try_clone_to_owned()?, Interest::READABLE)?;
        fd.readable().await.map(drop)
    };
    if let Err(error) = readable.await {
        tracing::warn!(%error, "the task's end is waited for by asking again and again");
        while let Ok(false) = blocking_wait(process.clone()).await {}
    }
    let status = tokio::task::spawn_blocking(move || match process.try_exit() {
        Some(status) => exit_of(&status),
        None => match floe_runtime::reattach(process.handle()) {
            Ok(Attached::Exited(status)) => exit_of(&status),
            Ok(Attached::Lost { reason }) => lost(reason),
            Ok(Attached::Running(_)) => lost("the shim ended and yet runs".to_owned()),
            Err(error) => lost(words(&error)),
        },
    });
    status.await.unwrap_or_else(|e| lost(format!("read the task's end: {e}")))
}

/// Waits a while; false when the shim still runs.
async fn blocking_wait(process: Arc<TaskProcess>) -> Result<bool, ()> {
    let wait = move || process.wait(std::time::Duration::from_secs(5)).map_err(|_| ());
    tokio::task::spawn_blocking(wait).await.map_err(|_| ())?
}
