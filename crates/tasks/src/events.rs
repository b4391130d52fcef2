//! The words of task events: one function a kind, so that the same thing is always said the same way.

use crate::task::Exit;
use floe_model::{Nanos, TaskEvent, Timestamp, alloc::event};

fn base(kind: &str, now: Timestamp, display: String) -> TaskEvent {
    TaskEvent { event_type: kind.to_owned(), time: now.0, display_message: display.clone(), message: display, ..TaskEvent::default() }
}

/// The client has the task.
pub fn received(now: Timestamp) -> TaskEvent {
    base(event::RECEIVED, now, "Task received by client".to_owned())
}

/// Something is being prepared for the task.
pub fn setup(now: Timestamp, what: &str) -> TaskEvent {
    base(event::TASK_SETUP, now, what.to_owned())
}

/// The preparation failed; the task never ran.
pub fn setup_failed(now: Timestamp, error: &str) -> TaskEvent {
    TaskEvent { setup_error: error.to_owned(), fails_task: true, ..base(event::SETUP_FAILURE, now, error.to_owned()) }
}

/// The driver tells how far it is with the start of a task.
pub fn driver(now: Timestamp, message: &str) -> TaskEvent {
    TaskEvent { driver_message: message.to_owned(), ..base(event::DRIVER, now, message.to_owned()) }
}

/// The driver could not start the task.
pub fn driver_failed(now: Timestamp, error: &str) -> TaskEvent {
    TaskEvent { driver_error: error.to_owned(), ..base(event::DRIVER_FAILURE, now, error.to_owned()) }
}

/// The task runs.
pub fn started(now: Timestamp) -> TaskEvent {
    base(event::STARTED, now, "Task started by client".to_owned())
}

/// The task ended.
pub fn terminated(exit: &Exit) -> TaskEvent {
    let mut display = format!("Exit Code: {}", exit.code);
    if exit.signal != 0 {
        display.push_str(&format!(", Signal: {}", exit.signal));
    }
    if exit.oom_killed {
        display.push_str(", Exit Message: \"OOM Killed\"");
    } else if let Some(error) = &exit.error {
        display.push_str(&format!(", Exit Message: {error:?}"));
    }
    let mut e = base(event::TERMINATED, exit.at, display);
    e.exit_code = i64::from(exit.code);
    e.signal = i64::from(exit.signal);
    e.details.insert("exit_code".to_owned(), exit.code.to_string());
    e.details.insert("signal".to_owned(), exit.signal.to_string());
    e.details.insert("oom_killed".to_owned(), exit.oom_killed.to_string());
    e
}

/// The task will be started again.
pub fn restarting(now: Timestamp, delay: Nanos, reason: &str) -> TaskEvent {
    TaskEvent {
        start_delay: delay.0,
        restart_reason: reason.to_owned(),
        ..base(event::RESTARTING, now, format!("Task restarting in {delay} ({reason})"))
    }
}

/// The task will not be started again.
pub fn not_restarting(now: Timestamp, reason: &str) -> TaskEvent {
    TaskEvent { restart_reason: reason.to_owned(), fails_task: true, ..base(event::NOT_RESTARTING, now, reason.to_owned()) }
}

/// Somebody wants the task started anew.
pub fn restart_signaled(now: Timestamp, reason: &str) -> TaskEvent {
    TaskEvent { restart_reason: reason.to_owned(), ..base(event::RESTART_SIGNALED, now, reason.to_owned()) }
}

/// Somebody sends the task a signal.
pub fn signaling(now: Timestamp, signal: &str, reason: &str) -> TaskEvent {
    let display = format!("Task being sent signal {signal}: {reason}");
    TaskEvent { task_signal: signal.to_owned(), task_signal_reason: reason.to_owned(), ..base(event::SIGNALING, now, display) }
}

/// The task was asked to stop.
pub fn killing(now: Timestamp, timeout: Nanos, why: &str) -> TaskEvent {
    TaskEvent {
        kill_timeout: timeout,
        kill_reason: why.to_owned(),
        ..base(event::KILLING, now, format!("Sent interrupt. Waiting {timeout} before force killing ({why})"))
    }
}

/// The task stopped because it was asked to.
pub fn killed(now: Timestamp) -> TaskEvent {
    base(event::KILLED, now, "Task successfully killed".to_owned())
}

/// Another task of the group failed.
pub fn sibling_failed(now: Timestamp, sibling: &str) -> TaskEvent {
    TaskEvent { failed_sibling: sibling.to_owned(), ..base(event::SIBLING_FAILED, now, format!("Task's sibling {sibling:?} failed")) }
}

/// The leader of the group ended, and the group ends with it.
pub fn leader_dead(now: Timestamp, leader: &str) -> TaskEvent {
    base(event::LEADER_DEAD, now, format!("Leader task {leader:?} in group is dead"))
}

/// All main tasks ended; what only ran beside them ends, too.
pub fn main_dead(now: Timestamp) -> TaskEvent {
    base(event::MAIN_DEAD, now, "Main tasks in the group are dead".to_owned())
}

/// The task is asked to stop only after its delay.
pub fn waiting_for_shutdown_delay(now: Timestamp, delay: Nanos, why: &str) -> TaskEvent {
    TaskEvent {
        kill_reason: why.to_owned(),
        ..base(event::WAITING_FOR_SHUTDOWN_DELAY, now, format!("Waiting for shutdown_delay of {delay} before killing the task ({why})"))
    }
}

/// The allocation ran for as long as it may; the task fails.
pub fn ran_too_long(now: Timestamp, most: Nanos) -> TaskEvent {
    TaskEvent { fails_task: true, ..base(event::NOT_RESTARTING, now, format!("The group ran longer than its max_run_duration of {most}")) }
}

/// The node was without servers for as long as the job allows; the task fails, so that it is replaced.
pub fn cut_off(now: Timestamp, after: Nanos) -> TaskEvent {
    let why = format!("No server was reached for the stop_on_client_after of {after}");
    TaskEvent { fails_task: true, ..base(event::NOT_RESTARTING, now, why) }
}

/// The task could not be found again after the agent or the machine started anew.
pub fn restore_failed(now: Timestamp, reason: &str) -> TaskEvent {
    TaskEvent { driver_error: reason.to_owned(), ..base(event::RESTORE_FAILED, now, format!("Task could not be restored: {reason}")) }
}
