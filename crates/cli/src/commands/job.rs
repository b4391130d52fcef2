//! `floe job ...`.

use super::{
    client, monitor,
    monitor::{Came, Monitor},
    resolve, source, wait,
};
use crate::{
    args::{Global, JobFileArgs, JobInspectArgs, JobRunArgs, JobStatusArgs, JobStopArgs},
    output::{self, Progress, columns, pairs},
};
use anyhow::bail;
use floe_api::{
    ApiClient, ApiError, Rows,
    types::{AllocationListStub, JobRegisterRequest},
};
use floe_model::{Deployment, EvalStatus, Evaluation, Job, job::JobSummary};
use std::{future::Future, io::BufRead, process::ExitCode};

/// When a submitted job did not come up.
const NOT_UP: u8 = 2;
/// How the refusal begins when the job has another index than the one that was given.
pub(super) const CHANGED: &str = "Enforcing job modify index";

pub(super) fn run(global: &Global, args: &JobRunArgs) -> anyhow::Result<ExitCode> {
    let source = source::read(&args.file)?;
    if args.output {
        let mut job = source.job;
        floe_model::canonical::canonicalize(&mut job);
        output::json(&serde_json::json!({ "Job": job }))?;
        return Ok(ExitCode::SUCCESS);
    }
    wait(submit(client(global)?, source, args))
}

async fn submit(client: ApiClient, source: source::Source, args: &JobRunArgs) -> anyhow::Result<ExitCode> {
    let id = source.job.id.to_string();
    let request = JobRegisterRequest {
        job: Some(source.job),
        submission: Some(source.submission),
        enforce_index: args.check_index.is_some(),
        job_modify_index: args.check_index.unwrap_or(0),
        preserve_counts: args.preserve_counts,
        eval_priority: args.eval_priority,
        ..JobRegisterRequest::default()
    };
    let response = client.register_job(&request).await.map_err(changed_since)?;
    for warning in response.warnings.lines() {
        output::warning(warning);
    }
    let eval = response.eval_id.to_string();
    let mut progress = Progress::new();
    progress.done(&format!("job {id:?} submitted (job modify index {})", response.job_modify_index));
    if args.detach || eval.is_empty() {
        progress.say(&format!("evaluation id: {eval}"));
        return Ok(ExitCode::SUCCESS);
    }
    let came = Monitor::new(&client, &id, args.verbose, &mut progress).follow(&eval).await?;
    Ok(if came == Came::Up { ExitCode::SUCCESS } else { ExitCode::from(NOT_UP) })
}

/// Says what to do when somebody changed the job after its index was read.
fn changed_since(error: ApiError) -> anyhow::Error {
    if error.to_string().starts_with(CHANGED) {
        anyhow::anyhow!("{error}; floe job plan shows what running this file would change now, and the index to run it by")
    } else {
        error.into()
    }
}

pub(super) fn validate(global: &Global, args: &JobFileArgs) -> anyhow::Result<ExitCode> {
    let mut job = source::read(args)?.job;
    // A server's word counts, because it may be of another version; but a job file can be checked without any.
    let (client, asked) = (client(global)?, job.clone());
    match wait_value(async move { client.validate_job(asked).await }) {
        Ok(response) => {
            response.warnings.lines().for_each(output::warning);
            if !response.error.is_empty() {
                bail!("{}", response.error);
            }
            output::line("Job validation successful");
            return Ok(ExitCode::SUCCESS);
        }
        Err(ApiError::Unreachable { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let warnings = floe_server::admission::admit(&mut job, &[])?;
    warnings.iter().for_each(|w| output::warning(w));
    output::line("Job validation successful (without an agent: none could be reached)");
    Ok(ExitCode::SUCCESS)
}

/// Runs one request, so that its failure can be told apart.
fn wait_value<T>(request: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("invariant: a runtime of one thread starts no thread that could fail")
        .block_on(request)
}

pub(super) async fn status(client: &ApiClient, args: &JobStatusArgs) -> anyhow::Result<ExitCode> {
    let Some(prefix) = &args.job else { return list(client, args).await };
    let id = resolve::job(client, prefix).await?;
    let job = client.job(&id).await?;
    let query = [("all", args.all_allocs.to_string())];
    let path = format!("/v1/job/{}/allocations", floe_api::client::escape(&id));
    let allocs: Vec<AllocationListStub> = client.get(&path, &query).await?.value;
    if args.json {
        let value = serde_json::json!({
            "Job": job,
            "Summary": client.job_summary(&id).await?,
            "Allocations": allocs,
            "LatestDeployment": client.job_deployment(&id).await?,
            "Evaluations": client.job_evaluations(&id).await?,
        });
        output::json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    head(&job);
    if args.short {
        return Ok(ExitCode::SUCCESS);
    }
    summary(&client.job_summary(&id).await?);
    let evals = client.job_evaluations(&id).await?;
    if args.evals {
        evaluations(&evals, args.verbose);
    }
    failures(&evals);
    if let Some(deployment) = client.job_deployment(&id).await? {
        show_deployment(&deployment, args.verbose);
    }
    allocations(&allocs, args.verbose);
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &ApiClient, args: &JobStatusArgs) -> anyhow::Result<ExitCode> {
    let jobs = client.jobs(Rows::filtered(args.filter.as_deref())).await?;
    if args.json {
        output::json(&jobs)?;
    } else if jobs.is_empty() {
        output::line("No running jobs");
    } else {
        let mut rows = vec![row(&["ID", "Type", "Priority", "Status", "Submit Date"])];
        for job in &jobs {
            let status =
                if job.stop && job.status.as_str() == "dead" { "dead (stopped)".to_owned() } else { output::status(job.status.as_str()) };
            rows.push(vec![
                job.id.to_string(),
                job.job_type.to_string(),
                job.priority.to_string(),
                status,
                output::moment(job.submit_time),
            ]);
        }
        output::line(columns(&rows));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|c| output::bold(c)).collect()
}

fn head(job: &Job) {
    let status = output::status(job.status.as_str());
    output::line(pairs(&[
        ("ID", job.id.to_string()),
        ("Name", job.name.clone()),
        ("Submit Date", output::moment(job.submit_time)),
        ("Type", job.job_type.to_string()),
        ("Priority", job.priority().to_string()),
        ("Datacenters", job.datacenters.join(",")),
        ("Namespace", job.namespace.to_string()),
        ("Node Pool", job.node_pool.clone()),
        ("Version", job.version.to_string()),
        ("Status", if job.stop { format!("{status} (stopped)") } else { status }),
    ]));
    if let Some(ui) = job.ui.as_ref().filter(|u| !u.description.is_empty()) {
        output::line(format!("\n{}", ui.description));
    }
}

fn summary(summary: &JobSummary) {
    output::title("Summary");
    let mut rows = vec![row(&["Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost", "Unknown"])];
    for (group, s) in &summary.summary {
        let counts = [s.queued, s.starting, s.running, s.failed, s.complete, s.lost, s.unknown];
        rows.push(std::iter::once(group.clone()).chain(counts.iter().map(i64::to_string)).collect());
    }
    output::line(columns(&rows));
}

fn evaluations(evals: &[Evaluation], verbose: bool) {
    output::title("Evaluations");
    let mut rows = vec![row(&["ID", "Priority", "Triggered By", "Status", "Placement Failures"])];
    for e in evals {
        let failures = if e.failed_tg_allocs.is_empty() { "false" } else { "true" };
        rows.push(vec![
            output::id(e.id.as_str(), verbose),
            e.priority.to_string(),
            e.triggered_by.to_string(),
            output::status(e.status.as_str()),
            failures.to_owned(),
        ]);
    }
    output::line(columns(&rows));
}

/// Why something of the job waits, from the newest evaluation that says so.
fn failures(evals: &[Evaluation]) {
    let waits = evals.iter().any(|e| e.status == EvalStatus::Blocked);
    let Some(eval) = evals.iter().filter(|e| !e.failed_tg_allocs.is_empty()).max_by_key(|e| e.modify_index).filter(|_| waits) else {
        return;
    };
    output::title("Placement Failure");
    for (group, metric) in &eval.failed_tg_allocs {
        output::line(format!("Task Group {group:?}:"));
        for line in floe_scheduler::explain(metric, group) {
            output::line(format!("  {line}"));
        }
    }
}

fn show_deployment(deployment: &Deployment, verbose: bool) {
    output::title("Latest Deployment");
    output::line(pairs(&[
        ("ID", output::id(deployment.id.as_str(), verbose)),
        ("Status", output::status(deployment.status.as_str())),
        ("Description", deployment.status_description.clone()),
    ]));
    let mut rows = vec![row(&["Task Group", "Desired", "Placed", "Healthy", "Unhealthy", "Progress Deadline"])];
    for (group, s) in &deployment.task_groups {
        let deadline = if s.require_progress_by.is_never() { "-".to_owned() } else { output::moment(s.require_progress_by.0) };
        rows.push(vec![
            group.clone(),
            s.desired_total.to_string(),
            s.placed_allocs.to_string(),
            s.healthy_allocs.to_string(),
            s.unhealthy_allocs.to_string(),
            deadline,
        ]);
    }
    output::line(format!("\n{}", columns(&rows)));
}

fn allocations(allocs: &[AllocationListStub], verbose: bool) {
    output::title("Allocations");
    if allocs.is_empty() {
        output::line("No allocations placed");
        return;
    }
    let now = output::now_nanos();
    let mut sorted: Vec<_> = allocs.iter().collect();
    sorted.sort_by_key(|a| std::cmp::Reverse(a.create_index));
    let mut rows = vec![row(&["ID", "Node ID", "Node Name", "Task Group", "Version", "Desired", "Status", "Created", "Modified"])];
    for a in sorted {
        rows.push(vec![
            output::id(a.id.as_str(), verbose),
            output::id(a.node_id.as_str(), verbose),
            a.node_name.clone(),
            a.task_group.clone(),
            a.job_version.to_string(),
            a.desired_status.to_string(),
            output::status(a.client_status.as_str()),
            output::ago(a.create_time, now),
            output::ago(a.modify_time, now),
        ]);
    }
    output::line(columns(&rows));
}

pub(super) async fn stop(client: &ApiClient, args: &JobStopArgs) -> anyhow::Result<ExitCode> {
    let id = resolve::job(client, &args.job).await?;
    if id != args.job && !args.yes && !confirmed(&id)? {
        output::line("Cancelled");
        return Ok(ExitCode::SUCCESS);
    }
    let response = client.stop_job(&id, args.purge).await?;
    let mut progress = Progress::new();
    progress.done(&format!("job {id:?} is told to stop (evaluation {})", output::id(response.eval_id.as_str(), args.verbose)));
    if args.detach || response.eval_id.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    monitor::until_stopped(client, &id, &mut progress).await?;
    progress.done(&format!("nothing of job {id:?} runs any more"));
    Ok(ExitCode::SUCCESS)
}

/// Asks whether the job that a beginning stands for is the one that is meant.
fn confirmed(id: &str) -> anyhow::Result<bool> {
    if !output::is_terminal() {
        bail!("only the beginning of job id {id:?} was given; give the whole id, or -yes");
    }
    output::raw(format!("Stop job {id:?}? [y/N] ").as_bytes());
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(super) async fn inspect(client: &ApiClient, args: &JobInspectArgs) -> anyhow::Result<ExitCode> {
    let id = resolve::job(client, &args.job).await?;
    output::json(&serde_json::json!({ "Job": client.job(&id).await? }))?;
    Ok(ExitCode::SUCCESS)
}
