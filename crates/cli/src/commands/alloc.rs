//! `floe alloc ...`.

use super::{monitor, resolve};
use crate::{
    args::{AllocLogsArgs, AllocSignalArgs, AllocStatusArgs, AllocStopArgs, TasksArgs},
    output::{self, Progress, columns, pairs},
};
use anyhow::{Context, bail};
use floe_api::{ApiClient, Rows, types::AllocationListStub};
use floe_model::{Allocation, Nanos, TaskState, network::PortMapping, resources::AllocatedDeviceResource};
use futures::StreamExt;
use std::process::ExitCode;

/// Lines that `-tail` shows where nothing is said.
const TAIL_LINES: usize = 10;
/// Bytes that a line is taken to have at most, on average, when lines are counted back from the end.
const BYTES_PER_LINE: u64 = 120;

pub(super) async fn status(client: &ApiClient, args: &AllocStatusArgs) -> anyhow::Result<ExitCode> {
    let Some(prefix) = &args.alloc else { return list(client, args).await };
    let stub = resolve::alloc(client, prefix).await?;
    let alloc = client.allocation(stub.id.as_str()).await?;
    if args.json {
        output::json(&alloc)?;
        return Ok(ExitCode::SUCCESS);
    }
    head(&alloc, args.verbose);
    ports(&alloc);
    for (task, state) in &alloc.task_states {
        show_task(&alloc, task, state, args.short);
    }
    if args.verbose {
        scores(&alloc);
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &ApiClient, args: &AllocStatusArgs) -> anyhow::Result<ExitCode> {
    let allocs = client.allocations(Rows::filtered(args.filter.as_deref())).await?;
    if args.json {
        output::json(&allocs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["ID", "Job", "Task Group", "Node Name", "Desired", "Status", "Created"].map(output::bold).to_vec()];
    let now = output::now_nanos();
    for a in &allocs {
        let desired = a.desired_status.to_string();
        let status = output::status(a.client_status.as_str());
        rows.push(vec![
            output::id(a.id.as_str(), args.verbose),
            a.job_id.to_string(),
            a.task_group.clone(),
            a.node_name.clone(),
            desired,
            status,
            output::ago(a.create_time, now),
        ]);
    }
    output::line(if allocs.is_empty() { "No allocations".to_owned() } else { columns(&rows) });
    Ok(ExitCode::SUCCESS)
}

fn head(alloc: &Allocation, verbose: bool) {
    let now = output::now_nanos();
    let mut rows = vec![
        ("ID", alloc.id.to_string()),
        ("Eval ID", output::id(alloc.eval_id.as_str(), verbose)),
        ("Name", alloc.name.clone()),
        ("Node ID", output::id(alloc.node_id.as_str(), verbose)),
        ("Node Name", alloc.node_name.clone()),
        ("Job ID", alloc.job_id.to_string()),
        ("Job Version", alloc.job_version().to_string()),
        ("Client Status", output::status(alloc.client_status.as_str())),
        ("Client Description", alloc.client_description.clone()),
        ("Desired Status", alloc.desired_status.to_string()),
        ("Desired Description", alloc.desired_description.clone()),
        ("Created", output::ago(alloc.create_time, now)),
        ("Modified", output::ago(alloc.modify_time, now)),
    ];
    if let Some(health) = alloc.deployment_status.as_ref().and_then(|s| s.healthy) {
        rows.push(("Deployment Health", output::status(if health { "healthy" } else { "unhealthy" })));
    }
    for (name, id) in [("Replaces", &alloc.previous_allocation), ("Replaced By", &alloc.next_allocation)] {
        if !id.is_empty() {
            rows.push((name, output::id(id.as_str(), verbose)));
        }
    }
    output::line(pairs(&rows));
}

fn ports(alloc: &Allocation) {
    let ports = &alloc.allocated_resources.shared.ports;
    if let Some(network) = alloc.network_status.as_ref().filter(|n| !n.address.is_empty()) {
        output::line(format!("\nAllocation address: {}", network.address));
    }
    if ports.is_empty() {
        return;
    }
    let mut rows = vec![["Label", "Address", "To"].map(output::bold).to_vec()];
    rows.extend(ports.iter().map(|p| vec![p.label.clone(), address(p), if p.to > 0 { p.to.to_string() } else { "-".to_owned() }]));
    output::title("Allocation Addresses");
    output::line(columns(&rows));
}

fn address(port: &PortMapping) -> String {
    let ip = if port.host_ip.is_empty() { "0.0.0.0" } else { &port.host_ip };
    if ip.contains(':') { format!("[{ip}]:{}", port.value) } else { format!("{ip}:{}", port.value) }
}

fn show_task(alloc: &Allocation, task: &str, state: &TaskState, short: bool) {
    let held = alloc.allocated_resources.tasks.get(task).cloned().unwrap_or_default();
    let word = if state.failed { "failed" } else { state.state.as_str() };
    output::title(&format!("Task {task:?} is {}", output::status(word)));
    let mut rows = vec![
        ("CPU", format!("{} MHz", held.cpu.cpu_shares)),
        ("Memory", format!("{} MiB", held.memory.memory_mb)),
        ("Devices", devices(&held.devices)),
        ("Restarts", state.restarts.to_string()),
        ("Started At", output::moment(state.started_at.0)),
    ];
    rows.retain(|(what, value)| *what != "Devices" || !value.is_empty());
    if !state.finished_at.is_never() {
        rows.push(("Finished At", output::moment(state.finished_at.0)));
    }
    if let Some(reason) = state.reason() {
        rows.push(("Last Reason", reason));
    }
    output::line(pairs(&rows));
    if short {
        return;
    }
    output::line("\nRecent Events:");
    let mut events = vec![["Time", "Type", "Description"].map(output::bold).to_vec()];
    events.extend(state.events.iter().rev().map(|e| vec![output::moment(e.time), e.event_type.clone(), e.display_message.clone()]));
    output::line(columns(&events));
}

/// `nvidia/gpu/H100: 0, 1`; empty when there are none.
fn devices(held: &[AllocatedDeviceResource]) -> String {
    let of = |d: &AllocatedDeviceResource| format!("{}/{}/{}: {}", d.vendor, d.device_type, d.name, d.device_ids.join(", "));
    held.iter().map(of).collect::<Vec<_>>().join("; ")
}

fn scores(alloc: &Allocation) {
    output::title("Placement Metrics");
    let mut rows = vec![["Node", "Final Score", "Parts"].map(output::bold).to_vec()];
    for meta in &alloc.metrics.score_meta_data {
        let parts: Vec<String> = meta.scores.iter().map(|(k, v)| format!("{k} {v:.3}")).collect();
        rows.push(vec![meta.node_id.to_string(), format!("{:.3}", meta.norm_score), parts.join(", ")]);
    }
    output::line(columns(&rows));
}

pub(super) async fn logs(client: &ApiClient, args: &AllocLogsArgs) -> anyhow::Result<ExitCode> {
    let alloc = if args.job { of_job(client, &args.alloc).await? } else { resolve::alloc(client, &args.alloc).await? };
    let task = match args.task.as_ref().or(args.task_flag.as_ref()) {
        Some(task) => task.clone(),
        None => only_task(client, &alloc).await?,
    };
    let tail = args.tail.then(|| args.bytes.unwrap_or_else(|| args.lines.unwrap_or(TAIL_LINES) as u64 * BYTES_PER_LINE));
    let query = [
        ("task", task),
        ("type", if args.stderr { "stderr" } else { "stdout" }.to_owned()),
        ("follow", args.follow.to_string()),
        ("origin", if tail.is_some() { "end" } else { "start" }.to_owned()),
        ("offset", tail.unwrap_or(0).to_string()),
    ];
    let mut pieces = std::pin::pin!(client.logs(alloc.id.as_str(), &query).await?);
    let mut lines = (args.tail && args.bytes.is_none()).then(|| args.lines.unwrap_or(TAIL_LINES));
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        match lines.take() {
            Some(count) => output::raw(last_lines(&piece, count)),
            None => output::raw(&piece),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The last `count` lines of what came first.
fn last_lines(piece: &[u8], count: usize) -> &[u8] {
    let end = piece.strip_suffix(b"\n").unwrap_or(piece);
    let newlines = end.iter().enumerate().rev().filter(|(_, b)| **b == b'\n').map(|(i, _)| i);
    match newlines.take(count).nth(count.saturating_sub(1)) {
        Some(at) if count > 0 => piece.get(at + 1..).unwrap_or(&[]),
        _ => piece,
    }
}

async fn of_job(client: &ApiClient, prefix: &str) -> anyhow::Result<AllocationListStub> {
    let job = resolve::job(client, prefix).await?;
    let allocs = client.job_allocations(&job, 0, Nanos::ZERO).await?.value;
    let newest =
        allocs.iter().filter(|a| monitor::runs(a)).max_by_key(|a| a.create_index).or_else(|| allocs.iter().max_by_key(|a| a.create_index));
    newest.cloned().with_context(|| format!("job {job:?} has no allocation"))
}

async fn only_task(client: &ApiClient, alloc: &AllocationListStub) -> anyhow::Result<String> {
    let full = client.allocation(alloc.id.as_str()).await?;
    let group =
        full.job.as_deref().and_then(|j| j.group(&full.task_group)).context("the allocation's job is not known any more; name the task")?;
    let names: Vec<&str> = group.tasks.iter().map(|t| t.name.as_str()).collect();
    match names.as_slice() {
        [one] => Ok((*one).to_owned()),
        many => bail!("allocation {} has several tasks; name one of: {}", output::id(alloc.id.as_str(), false), many.join(", ")),
    }
}

pub(super) async fn stop(client: &ApiClient, args: &AllocStopArgs) -> anyhow::Result<ExitCode> {
    let alloc = resolve::alloc(client, &args.alloc).await?;
    let response = client.stop_allocation(alloc.id.as_str()).await?;
    let mut progress = Progress::new();
    progress.done(&format!(
        "allocation {} is told to stop (evaluation {})",
        output::id(alloc.id.as_str(), args.verbose),
        output::id(response.eval_id.as_str(), args.verbose)
    ));
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let came = monitor::Monitor::new(client, alloc.job_id.as_str(), args.verbose, &mut progress).follow(response.eval_id.as_str()).await?;
    Ok(if came == monitor::Came::Up { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

pub(super) async fn restart(client: &ApiClient, args: &TasksArgs) -> anyhow::Result<ExitCode> {
    let alloc = resolve::alloc(client, &args.alloc).await?;
    let task = args.task.as_ref().or(args.task_flag.as_ref());
    client.restart_tasks(alloc.id.as_str(), task.map(String::as_str)).await?;
    output::line(format!("{} of allocation {}: told to start anew", whom(task), output::id(alloc.id.as_str(), false)));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn signal(client: &ApiClient, args: &AllocSignalArgs) -> anyhow::Result<ExitCode> {
    let alloc = resolve::alloc(client, &args.tasks.alloc).await?;
    let task = args.tasks.task.as_ref().or(args.tasks.task_flag.as_ref());
    client.signal_tasks(alloc.id.as_str(), task.map(String::as_str), &args.signal).await?;
    output::line(format!("{} of allocation {}: sent {}", whom(task), output::id(alloc.id.as_str(), false), args.signal));
    Ok(ExitCode::SUCCESS)
}

fn whom(task: Option<&String>) -> String {
    task.map_or_else(|| "All running tasks".to_owned(), |task| format!("Task {task:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_the_last_lines() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!(last_lines(text, 1), b"three\n");
        assert_eq!(last_lines(text, 2), b"two\nthree\n");
        assert_eq!(last_lines(text, 9), text);
        assert_eq!(last_lines(b"no end", 1), b"no end");
        assert_eq!(last_lines(b"", 3), b"");
    }
}
