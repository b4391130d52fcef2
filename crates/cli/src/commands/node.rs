//! `floe node ...`.

use super::resolve;
use crate::{
    args::NodeStatusArgs,
    output::{self, columns, pairs},
};
use anyhow::Context;
use floe_api::{ApiClient, Rows};
use floe_model::{
    Allocation, Node,
    node::{NodeDevice, NodeDeviceResource},
    resources::{AllocatedDeviceResource, Amounts},
};
use floe_pki::AgentId;
use std::process::ExitCode;

pub(super) async fn status(client: &ApiClient, args: &NodeStatusArgs) -> anyhow::Result<ExitCode> {
    let id = match &args.node {
        Some(prefix) => resolve::node(client, prefix).await?.id.to_string(),
        None if args.self_ => own_id(client).await?,
        None => return list(client, args).await,
    };
    let node = client.node(&id).await?;
    if args.json {
        output::json(&node)?;
        return Ok(ExitCode::SUCCESS);
    }
    let allocs = client.node_allocations(&id).await?;
    head(&node, args.verbose);
    if args.short {
        return Ok(ExitCode::SUCCESS);
    }
    resources(&node, &allocs);
    devices(&node, &allocs);
    allocations(&allocs, args.verbose);
    events(&node);
    if args.verbose {
        output::title("Attributes");
        let rows: Vec<(&str, String)> = node.attributes.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        output::line(pairs(&rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// Each device with who holds it; nothing for a node without any.
fn devices(node: &Node, allocs: &[Allocation]) {
    let groups = &node.node_resources.devices;
    if groups.is_empty() {
        return;
    }
    let live: Vec<&Allocation> = allocs.iter().filter(|a| !a.is_terminal()).collect();
    let holder = |group: &NodeDeviceResource, id: &String| {
        let holds =
            |d: &AllocatedDeviceResource| (&d.vendor, &d.device_type) == (&group.vendor, &group.device_type) && d.device_ids.contains(id);
        let found = live.iter().find(|a| a.allocated_resources.tasks.values().flat_map(|t| &t.devices).any(holds));
        found.map_or_else(|| "-".to_owned(), |a| a.name.clone())
    };
    let mut rows = vec![["Device", "ID", "Health", "Held By"].map(output::bold).to_vec()];
    for group in groups {
        let name = format!("{}/{}/{}", group.vendor, group.device_type, group.name);
        let health = |i: &NodeDevice| if i.healthy { "healthy".to_owned() } else { i.health_description.clone() };
        rows.extend(group.instances.iter().map(|i| vec![name.clone(), i.id.clone(), health(i), holder(group, &i.id)]));
    }
    output::title("Devices");
    output::line(columns(&rows));
}

pub(super) async fn revoke(client: &ApiClient, node: &str) -> anyhow::Result<ExitCode> {
    let id = match resolve::node(client, node).await {
        Ok(found) => found.id.to_string(),
        // One that has been forgotten may have its certificate still.
        Err(_) if node.parse::<AgentId>().is_ok() => node.to_owned(),
        Err(error) => return Err(error),
    };
    let _: serde_json::Value = client.put(&format!("/v1/operator/node/{id}/revoke"), &[], &()).await?.value;
    output::line(format!("Node {id} is refused from now on"));
    output::note(
        "its tasks run on there until the machine is stopped; to use it again, remove its data folder and let it join with a token",
    );
    Ok(ExitCode::SUCCESS)
}

async fn own_id(client: &ApiClient) -> anyhow::Result<String> {
    let about = client.agent_self().await?;
    about.stats.get("client").and_then(|c| c.get("node_id")).cloned().context("the agent that was asked runs no client")
}

async fn list(client: &ApiClient, args: &NodeStatusArgs) -> anyhow::Result<ExitCode> {
    let nodes = client.nodes(Rows::filtered(args.filter.as_deref())).await?;
    if args.json {
        output::json(&nodes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["ID", "Node Pool", "DC", "Name", "Class", "Eligibility", "Status"].map(output::bold).to_vec()];
    for n in &nodes {
        let class = if n.node_class.is_empty() { "<none>".to_owned() } else { n.node_class.clone() };
        let eligibility = output::status(n.scheduling_eligibility.as_str());
        let status = output::status(n.status.as_str());
        rows.push(vec![
            output::id(n.id.as_str(), args.verbose),
            n.node_pool.clone(),
            n.datacenter.clone(),
            n.name.clone(),
            class,
            eligibility,
            status,
        ]);
    }
    output::line(if nodes.is_empty() { "No nodes registered".to_owned() } else { columns(&rows) });
    Ok(ExitCode::SUCCESS)
}

fn head(node: &Node, verbose: bool) {
    let drivers: Vec<String> = node
        .drivers
        .iter()
        .filter(|(_, d)| d.detected || verbose)
        .map(|(name, d)| if d.healthy { name.clone() } else { format!("{name} ({})", d.health_description) })
        .collect();
    output::line(pairs(&[
        ("ID", node.id.to_string()),
        ("Name", node.name.clone()),
        ("Node Pool", node.node_pool.clone()),
        ("Class", if node.node_class.is_empty() { "<none>".to_owned() } else { node.node_class.clone() }),
        ("DC", node.datacenter.clone()),
        ("Address", node.http_addr.clone()),
        ("Eligibility", output::status(node.scheduling_eligibility.as_str())),
        ("Status", output::status(node.status.as_str())),
        ("Drivers", drivers.join(", ")),
    ]));
}

fn resources(node: &Node, allocs: &[Allocation]) {
    let held = allocs.iter().filter(|a| !a.is_terminal()).fold(Amounts::default(), |sum, a| sum.plus(a.allocated_resources.amounts()));
    let has = node.capacity();
    output::title("Allocated Resources");
    let cell = |held: i64, has: i64, unit: &str| format!("{held}/{has} {unit}");
    let rows = [
        ["CPU", "Memory", "Disk"].map(output::bold).to_vec(),
        vec![cell(held.cpu_mhz, has.cpu_mhz, "MHz"), cell(held.memory_mb, has.memory_mb, "MiB"), cell(held.disk_mb, has.disk_mb, "MiB")],
    ];
    output::line(columns(&rows));
}

fn allocations(allocs: &[Allocation], verbose: bool) {
    output::title("Allocations");
    if allocs.is_empty() {
        output::line("No allocations placed");
        return;
    }
    let now = output::now_nanos();
    let mut rows = vec![["ID", "Job ID", "Task Group", "Version", "Desired", "Status", "Created"].map(output::bold).to_vec()];
    for a in allocs {
        let (version, desired) = (a.job_version().to_string(), a.desired_status.to_string());
        let status = output::status(a.client_status.as_str());
        rows.push(vec![
            output::id(a.id.as_str(), verbose),
            a.job_id.to_string(),
            a.task_group.clone(),
            version,
            desired,
            status,
            output::ago(a.create_time, now),
        ]);
    }
    output::line(columns(&rows));
}

fn events(node: &Node) {
    output::title("Node Events");
    let mut rows = vec![["Time", "Subsystem", "Message"].map(output::bold).to_vec()];
    rows.extend(node.events.iter().rev().map(|e| vec![output::moment(e.timestamp.0), e.subsystem.clone(), e.message.clone()]));
    output::line(columns(&rows));
}
