//! What somebody wants of tasks that run: a start anew, or a signal.

use super::{Event, Runner, RunnerHandle, task_names};
use floe_api::node::{ActError, ActRequest, TaskAction};
use floe_runtime::Signal;
use floe_tasks::Input;
use tokio::sync::oneshot;

/// Why, for the events of the task.
const REASON: &str = "User requested task to restart";

impl RunnerHandle {
    /// Asks for something of tasks that run; the answer comes when it was begun.
    pub(crate) async fn act(&self, request: ActRequest) -> Result<(), ActError> {
        let over = ActError::NotRunning(format!("allocation {:?} is over", request.alloc.as_str()));
        let (reply, answer) = oneshot::channel();
        match self.events.send(Event::Act(request, reply)).await {
            Ok(()) => answer.await.unwrap_or(Err(over)),
            Err(_) => Err(over),
        }
    }
}

impl Runner {
    /// Begins it, and says so when it is begun: a restart takes as long as its task needs to end.
    pub(super) fn act_on(&mut self, request: ActRequest, reply: oneshot::Sender<Result<(), ActError>>) {
        let tasks = match self.meant(&request) {
            Ok(tasks) => tasks,
            Err(error) => return drop(reply.send(Err(error))),
        };
        match request.action {
            TaskAction::Restart => {
                tasks.into_iter().for_each(|task| self.tell(Input::Restart { task, reason: REASON.to_owned() }));
                drop(reply.send(Ok(())));
            }
            TaskAction::Signal(name) => match name.parse::<Signal>() {
                Ok(signal) if !name.is_empty() => self.send_signal(tasks, signal, reply),
                _ => drop(reply.send(Err(ActError::InvalidSignal(name)))),
            },
        }
    }

    /// The tasks that run and are meant.
    fn meant(&self, request: &ActRequest) -> Result<Vec<String>, ActError> {
        let names = task_names(&self.alloc);
        if let Some(task) = request.task.as_ref().filter(|task| !names.contains(task)) {
            return Err(ActError::UnknownTask { alloc: request.alloc.clone(), task: task.clone(), tasks: names.join(", ") });
        }
        let is_meant = |name: &&str| request.task.as_ref().is_none_or(|task| task == name);
        let running: Vec<String> = self.machine.running().filter(is_meant).map(str::to_owned).collect();
        match (&request.task, running.is_empty()) {
            (_, false) => Ok(running),
            (Some(task), true) => Err(ActError::NotRunning(format!("task {task:?} is not running"))),
            (None, true) => Err(ActError::NotRunning(format!("no task of allocation {:?} is running", request.alloc.as_str()))),
        }
    }

    fn send_signal(&mut self, tasks: Vec<String>, signal: Signal, reply: oneshot::Sender<Result<(), ActError>>) {
        let processes: Vec<_> = tasks.iter().filter_map(|task| Some((task.clone(), self.running.get(task)?.clone()))).collect();
        for task in tasks {
            self.tell(Input::Signaled { task, signal: signal.to_string() });
        }
        tokio::task::spawn_blocking(move || {
            let failed = processes.into_iter().find_map(|(task, process)| {
                let error = process.signal(signal).err()?;
                Some(ActError::Signal { task, why: error.to_string() })
            });
            drop(reply.send(failed.map_or(Ok(()), Err)));
        });
    }
}
