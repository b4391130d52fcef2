//! `floe service ...`.

use crate::{
    args::ServiceInfoArgs,
    output::{self, columns},
};
use anyhow::bail;
use floe_api::{ApiClient, Rows};
use std::process::ExitCode;

pub(super) async fn list(client: &ApiClient, json: bool) -> anyhow::Result<ExitCode> {
    let namespaces = client.services().await?;
    if json {
        output::json(&namespaces)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["Service Name", "Tags"].map(output::bold).to_vec()];
    for service in namespaces.iter().flat_map(|n| &n.services) {
        rows.push(vec![service.service_name.clone(), format!("[{}]", service.tags.join(","))]);
    }
    output::line(if rows.len() == 1 { "No services found".to_owned() } else { columns(&rows) });
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn info(client: &ApiClient, args: &ServiceInfoArgs) -> anyhow::Result<ExitCode> {
    let (name, verbose) = (&args.service, args.verbose);
    let instances = client.service(name, Rows::filtered(args.filter.as_deref())).await?;
    if args.json {
        output::json(&instances)?;
        return Ok(ExitCode::SUCCESS);
    }
    if instances.is_empty() && args.filter.is_some() {
        bail!("no instance of service {name:?} passes the filter");
    }
    if instances.is_empty() {
        bail!("no service {name:?} found; floe service list shows what there is");
    }
    let mut rows = vec![["Job ID", "Address", "Tags", "Node ID", "Alloc ID"].map(output::bold).to_vec()];
    for i in &instances {
        let address = if i.port > 0 { format!("{}:{}", i.address, i.port) } else { i.address.clone() };
        let ids = [output::id(i.node_id.as_str(), verbose), output::id(i.alloc_id.as_str(), verbose)];
        rows.push([vec![i.job_id.to_string(), address, format!("[{}]", i.tags.join(","))], ids.to_vec()].concat());
    }
    output::line(columns(&rows));
    Ok(ExitCode::SUCCESS)
}
