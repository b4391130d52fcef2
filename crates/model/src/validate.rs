//! The rules that a job must keep, checked all at once over a canonical job.
//!
//! Each problem names its place in the job file's words and says what to do. Nothing here decides whether floe acts on a field
//! (that is `support`) or whether a node has what the job asks for (that is placement).
//! The rules of Consul's mesh blocks and of CSI are not written: floe refuses those blocks, and their rules come with them.

mod bounds;
mod constraint;
mod driver;
pub(crate) use driver::runs_images;
mod group;
mod job;
mod names;
mod network;
mod order;
mod policy;
mod resources;
mod service;
mod task;
mod template;

pub use names::SIGNALS;

use crate::{
    Job,
    group::{Affinity, Constraint},
    report::Report,
};

/// The longest id or name of a job, in bytes.
pub const MAX_JOB_ID_BYTES: usize = 256;
/// The longest name of a group, task, port, volume or the like, in bytes: a log file's name is built of it.
pub const MAX_NAME_BYTES: usize = 128;
/// The largest job, in bytes of its JSON.
pub const MAX_JOB_BYTES: usize = 4 << 20;
/// The most groups of a job.
pub const MAX_GROUPS: usize = 1_000;
/// The most tasks of a group.
pub const MAX_TASKS: usize = 100;
/// The most entries of any other list: constraints, services, templates, ports, tags, links, ...
pub const MAX_LIST: usize = 1_000;
/// The most allocations that a job may ask for, over all its groups.
pub const MAX_JOB_COUNT: i64 = 50_000;
/// The longest argument or `KEY=value` of the environment, in bytes: the kernel takes 128 KiB with the final NUL.
pub const MAX_ARGUMENT_BYTES: usize = (128 << 10) - 1;
/// The longest description that the UI shows, in characters.
pub const MAX_UI_DESCRIPTION_CHARS: usize = 1_000;
/// The largest amount of megahertz or mebibytes: 2 PiB of memory, so that sums over a job never overflow.
pub const MAX_AMOUNT: i64 = i32::MAX as i64;

/// The most regular expressions of a job: each is compiled to be judged, and again for placement.
pub const MAX_PATTERNS: usize = 100;
/// Bytes that a compiled regular expression may take.
pub const MAX_PATTERN_BYTES: usize = 1 << 18;
/// The most `device` blocks of a task.
pub const MAX_DEVICES: usize = 16;
/// The most instances that one `device` block may ask for: more than any machine has.
pub const MAX_DEVICE_COUNT: u64 = 128;

/// What is allowed but probably not meant, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warnings(pub Vec<String>);

/// Everything that is wrong with a job, one line each; at most 100 and a count of the rest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job is not valid:\n* {}", .0.join("\n* "))]
pub struct ValidationErrors(pub Vec<String>);

/// Checks a canonical job (see `canonical`) against all rules.
///
/// # Errors
/// Every problem that was found, in the order of the job file.
pub fn validate(job: &Job) -> Result<Warnings, ValidationErrors> {
    let mut report = Report::default();
    let (size, patterns) = (encoded_size(job), patterns(job));
    // Where one of these bounds is passed, the rest is not looked at: any job must cost little to refuse.
    if size > MAX_JOB_BYTES {
        report.say(format_args!(
            "the job must be at most {MAX_JOB_BYTES} bytes of JSON (it is {size}); move large texts into files that tasks fetch"
        ));
    } else if patterns > MAX_PATTERNS {
        report.say(format_args!(
            "at most {MAX_PATTERNS} regular expressions are allowed in constraints and affinities (there are {patterns}); use set_contains_any"
        ));
    } else {
        job::job(&mut report, job);
    }
    let warnings = Warnings(report.take_warnings());
    let problems = report.into_lines();
    if problems.is_empty() { Ok(warnings) } else { Err(ValidationErrors(problems)) }
}

/// Regular expressions in the constraints and affinities of the job, its groups, their tasks and the devices of those.
fn patterns(job: &Job) -> usize {
    let of = |constraints: &[Constraint], affinities: &[Affinity]| {
        let operators = constraints.iter().map(|c| &c.operand).chain(affinities.iter().map(|a| &a.operand));
        operators.filter(|o| *o == constraint::REGEXP).count()
    };
    let groups = job.task_groups.iter();
    let tasks = groups.clone().flat_map(|g| &g.tasks);
    let devices = tasks.clone().filter_map(|t| t.resources.as_ref()).flat_map(|r| &r.devices);
    of(&job.constraints, &job.affinities)
        + groups.map(|g| of(&g.constraints, &g.affinities)).sum::<usize>()
        + tasks.map(|t| of(&t.constraints, &t.affinities)).sum::<usize>()
        + devices.map(|d| of(&d.constraints, &d.affinities)).sum::<usize>()
}

/// Bytes of the job's JSON. A job always encodes: its keys are text and its numbers finite.
fn encoded_size(job: &Job) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, job) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}
