//! `floe job plan`: what running a job would come to, without running it.

use super::{client, source, wait};
use crate::{
    args::{Global, JobPlanArgs},
    output::{self, diff},
};
use floe_api::{ApiClient, types::JobPlanResponse};
use floe_model::diff::{DesiredUpdates, DiffType};
use std::process::ExitCode;

/// When running the job would change nothing.
const NOTHING: u8 = 0;
/// When it would change something: the job, or any allocation.
const SOMETHING: u8 = 1;
/// When nobody knows. (Not 1, which scripts take for a change.)
pub(crate) const UNKNOWN: u8 = 255;

pub(super) fn command(global: &Global, args: &JobPlanArgs) -> ExitCode {
    let planned = source::read(&args.file).and_then(|source| wait(plan(client(global)?, source, args)));
    planned.unwrap_or_else(|error| {
        output::error(&error);
        ExitCode::from(UNKNOWN)
    })
}

async fn plan(client: ApiClient, source: source::Source, args: &JobPlanArgs) -> anyhow::Result<ExitCode> {
    let mut response = client.plan_job(source.job, true).await?;
    let code = if changes(&response) { SOMETHING } else { NOTHING };
    if !args.diff {
        response.diff = None;
    }
    if args.json_output {
        output::json(&response)?;
        return Ok(ExitCode::from(code));
    }
    response.warnings.lines().for_each(output::warning);
    show(&response, args);
    Ok(ExitCode::from(code))
}

/// Whether the job is another one than the one that is there. (The diff must have been asked for.)
pub(super) fn differs(response: &JobPlanResponse) -> bool {
    response.diff.as_ref().is_none_or(|d| d.diff_type != DiffType::None)
}

/// Whether registering the job would change it, or do anything to an allocation.
fn changes(response: &JobPlanResponse) -> bool {
    let mut desired = response.annotations.iter().flat_map(|a| a.desired_tg_updates.values());
    differs(response) || desired.any(|d| !d.is_quiet())
}

fn show(response: &JobPlanResponse, args: &JobPlanArgs) {
    if let Some(found) = &response.diff {
        output::line(diff::job(found, args.verbose));
    }
    output::line(output::bold("Dry run of the scheduler"));
    for (group, desired) in response.annotations.iter().flat_map(|a| &a.desired_tg_updates) {
        output::line(format!("  Task Group {group:?}: {}", words(desired)));
    }
    for (group, metric) in &response.failed_tg_allocs {
        output::line(format!("  Task Group {group:?}: no node for {} of them:", metric.coalesced_failures + 1));
        for line in floe_scheduler::explain(metric, group) {
            output::line(format!("    {line}"));
        }
    }
    if response.failed_tg_allocs.is_empty() {
        output::line("  There is room for all of it.");
    }
    let (index, file) = (response.job_modify_index, args.file.file.display());
    output::line(format!("\n{} {index}", output::bold("Job Modify Index:")));
    output::line("To run this and nothing else (it is refused when somebody changes the job first):");
    let variables = &args.file.variables;
    let same = if variables.vars.is_empty() && variables.var_file.is_empty() { "" } else { "  # with the same variables" };
    output::line(format!("\n  floe job run -check-index {index} {file}{same}"));
}

/// What is wanted, as in `1 create, 2 ignore`.
fn words(desired: &DesiredUpdates) -> String {
    let said: Vec<String> = desired.counts().iter().filter(|(_, n)| *n > 0).map(|(kind, n)| format!("{n} {kind}")).collect();
    if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") }
}
