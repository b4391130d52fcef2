//! Why a task is where it is, in one line, from its events.

use super::{TaskEvent, TaskPhase, TaskState, event};

/// What can end a task, or keep it from running.
const CAUSES: &[&str] = &[
    event::SETUP_FAILURE,
    event::DRIVER_FAILURE,
    event::RESTORE_FAILED,
    event::NOT_RESTARTING,
    event::SIBLING_FAILED,
    event::LEADER_DEAD,
    event::MAIN_DEAD,
    event::KILLING,
];

impl TaskState {
    /// Why the task does not run, or what its last life ended with; `None` where there is nothing to explain: it runs for the first time, or was
    /// just received. What happened first comes first, and what only followed from it is left out.
    pub fn reason(&self) -> Option<String> {
        let started = self.events.iter().rposition(|e| e.event_type == event::STARTED);
        let parts = match (self.state, started) {
            (TaskPhase::Running, Some(now)) => {
                let before = self.events.get(..now).unwrap_or_default();
                let life = before.iter().rposition(|e| e.event_type == event::STARTED).map_or(0, |i| i + 1);
                why(before.get(life..).unwrap_or_default())
            }
            (_, Some(last)) => why(self.events.get(last + 1..).unwrap_or_default()),
            (_, None) => why(&self.events),
        };
        if !parts.is_empty() {
            return Some(parts.join("; "));
        }
        // Nothing ended it, so it has not begun: what was prepared says what it waits for.
        let waits = self.events.iter().rev().find(|e| e.event_type == event::TASK_SETUP && started.is_none());
        waits.map(|e| e.display_message.clone())
    }
}

/// The end by itself, if there was one before anybody asked for it, and the first cause.
fn why(events: &[TaskEvent]) -> Vec<String> {
    let cause = events.iter().position(|e| CAUSES.contains(&e.event_type.as_str()));
    let own = events.get(..cause.unwrap_or(events.len())).unwrap_or_default();
    let ended = own.iter().rev().find(|e| e.event_type == event::TERMINATED);
    let words = |e: &TaskEvent| match e.event_type.as_str() {
        event::KILLING if !e.kill_reason.is_empty() => format!("asked to stop: {}", e.kill_reason),
        _ => e.display_message.clone(),
    };
    ended.into_iter().chain(cause.and_then(|c| events.get(c))).map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(state: TaskPhase, events: &[(&str, &str)]) -> Option<String> {
        let event = |(kind, words): &(&str, &str)| TaskEvent {
            event_type: (*kind).to_owned(),
            display_message: (*words).to_owned(),
            kill_reason: if *kind == event::KILLING { (*words).to_owned() } else { String::new() },
            ..TaskEvent::default()
        };
        TaskState { state, events: events.iter().map(event).collect(), ..TaskState::default() }.reason()
    }

    #[test]
    fn what_came_first_is_the_reason() {
        type Row<'a> = (TaskPhase, &'a [(&'a str, &'a str)], Option<&'a str>);
        use event::*;
        let table: &[Row<'_>] = &[
            (TaskPhase::Pending, &[(RECEIVED, "")], None),
            (TaskPhase::Pending, &[(RECEIVED, ""), (TASK_SETUP, "waits for db")], Some("waits for db")),
            (TaskPhase::Running, &[(TASK_SETUP, "x"), (STARTED, "")], None),
            (TaskPhase::Dead, &[(STARTED, ""), (TERMINATED, "Exit Code: 0")], Some("Exit Code: 0")),
            (TaskPhase::Dead, &[(STARTED, ""), (TERMINATED, "Exit Code: 3"), (NOT_RESTARTING, "no more")], Some("Exit Code: 3; no more")),
            (TaskPhase::Pending, &[(STARTED, ""), (TERMINATED, "Exit Code: 3"), (RESTARTING, "in 5s")], Some("Exit Code: 3")),
            (TaskPhase::Running, &[(STARTED, ""), (TERMINATED, "Exit Code: 3"), (RESTARTING, ""), (STARTED, "")], Some("Exit Code: 3")),
            (
                TaskPhase::Dead,
                &[(STARTED, ""), (SIBLING_FAILED, "db failed"), (KILLING, "a sibling"), (TERMINATED, "Exit Code: 130"), (KILLED, "")],
                Some("db failed"),
            ),
            (
                TaskPhase::Dead,
                &[(STARTED, ""), (KILLING, "not wanted"), (TERMINATED, "0"), (KILLED, "")],
                Some("asked to stop: not wanted"),
            ),
            (TaskPhase::Dead, &[(TASK_SETUP, "x"), (DRIVER_FAILURE, "no command"), (NOT_RESTARTING, "no more")], Some("no command")),
        ];
        for (state, events, want) in table {
            assert_eq!(reason(*state, events).as_deref(), *want, "{events:?}");
        }
    }
}
