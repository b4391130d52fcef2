//! Rules of the order of a group's tasks: hooks, the leader, and `after`. No wait may be one that nothing can ever meet.

use crate::{
    JobType, Task, TaskGroup,
    report::{Report, labelled, quoted},
    task::{AfterState, LifecycleHook, TaskAfter},
    wire::nearest,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn order(report: &mut Report, job_type: JobType, group: &TaskGroup) {
    for (i, task) in group.tasks.iter().enumerate() {
        report.within(labelled("task", &task.name, i), |r| {
            hook(r, task);
            if r.list("after", task.after.len()) {
                task.after.iter().for_each(|a| after(r, job_type, group, task, a));
            }
        });
    }
    if let Some(cycle) = cycle(group) {
        report.say(format_args!("tasks wait for each other: {}; remove one of the after blocks", cycle.join(", ")));
    }
}

fn hook(report: &mut Report, task: &Task) {
    let Some(hook) = task.hook() else { return };
    if task.leader {
        report.say(format_args!("leader is for main tasks (this one has the hook {hook}); remove leader, or lifecycle"));
    }
    if hook == LifecycleHook::Poststop && task.is_sidecar() {
        report.say("a poststop task runs when nothing is left to run beside; remove sidecar");
    }
}

fn after(report: &mut Report, job_type: JobType, group: &TaskGroup, task: &Task, after: &TaskAfter) {
    let name = quoted(&after.task);
    if task.hook() == Some(LifecycleHook::Poststop) {
        report.say(format_args!("after {name} says nothing new: poststop tasks run when all others have ended; remove it"));
        return;
    }
    let Some(other) = group.task(&after.task) else {
        let names: Vec<&str> = group.tasks.iter().map(|t| t.name.as_str()).filter(|n| *n != task.name).collect();
        let near = nearest(&after.task, &names).map(|n| format!("did you mean {n:?}? ")).unwrap_or_default();
        report.say(format_args!("after {name}: the group has no such task; {near}name another task of the same group"));
        return;
    };
    if other.name == task.name {
        report.say(format_args!("after {name}: a task cannot wait for itself; remove it"));
    } else if other.hook() == Some(LifecycleHook::Poststop) {
        report.say(format_args!("after {name}: poststop tasks run when all others have ended, so this would never start; remove it"));
    } else if after.state == AfterState::Exited && !other.ends_by_itself(job_type) {
        let why = if other.is_sidecar() { "a sidecar".to_owned() } else { format!("a main task of a {job_type} job") };
        report.say(format_args!("after {name}: {why} is started again whenever it ends; wait for \"started\" or \"healthy\""));
    } else if after.state == AfterState::Exited && other.leader {
        report.say(format_args!(
            "after {name}: the group ends with its leader, so this would never start; use a poststop task, or remove leader"
        ));
    }
}

/// A ring of tasks that wait for each other, in words; `None` when there is none. Waits are those of `after`, and those that hooks bring.
fn cycle(group: &TaskGroup) -> Option<Vec<String>> {
    let waits: BTreeMap<&str, Vec<(&str, &str)>> = group.tasks.iter().map(|t| (t.name.as_str(), waits(t, group))).collect();
    // Takes away what waits for nobody that is left, until nothing can be taken: what is left then holds each ring.
    let mut left: BTreeSet<&str> = waits.keys().copied().collect();
    loop {
        let free: Vec<&str> =
            left.iter().filter(|n| !waits.get(*n).is_some_and(|w| w.iter().any(|(o, _)| left.contains(o)))).copied().collect();
        if free.is_empty() {
            break;
        }
        for name in free {
            left.remove(name);
        }
    }
    // Each of them waits for another one of them: following the first such wait of each leads into a ring.
    let mut path: Vec<(&str, &str)> = Vec::new();
    let mut name = *left.first()?;
    loop {
        if let Some(start) = path.iter().position(|(n, _)| *n == name) {
            let ring = path.get(start..).unwrap_or_default().iter();
            let next = ring.clone().skip(1).map(|(n, _)| *n).chain([name]);
            return Some(ring.zip(next).map(|((n, why), next)| format!("{} waits for {} ({why})", quoted(n), quoted(next))).collect());
        }
        let (next, why) = *waits.get(name)?.iter().find(|(other, _)| left.contains(other))?;
        path.push((name, why));
        name = next;
    }
}

/// Whom of its group a task waits for, and why; `after` first.
fn waits<'a>(task: &'a Task, group: &'a TaskGroup) -> Vec<(&'a str, &'static str)> {
    let named = task.after.iter().filter(|a| a.task != task.name && group.task(&a.task).is_some()).map(|a| (a.task.as_str(), "after"));
    let hooked = group.tasks.iter().filter_map(|other| match (task.hook(), other.hook()) {
        (None, Some(LifecycleHook::Prestart)) => Some((other.name.as_str(), "prestart tasks come first")),
        (Some(LifecycleHook::Poststart), None) => Some((other.name.as_str(), "poststart tasks come after the main tasks")),
        _ => None,
    });
    named.chain(hooked).collect()
}
