//! `floe cluster ...`: inventories, and the cluster that they declare.

mod ask;
mod files;
mod nix;
mod show;

use crate::{
    args::{ClusterCommand, Global, InventoryArgs},
    output,
};
use anyhow::{Context, bail};
use files::Inventory;
use floe_api::ApiError;
use floe_inventory::{Checked, Declared, Plan};
use std::process::ExitCode;

/// What `diff` returns when something differs.
const DIFFERENT: u8 = 2;

pub(super) fn command(global: &Global, command: &ClusterCommand) -> anyhow::Result<ExitCode> {
    match command {
        ClusterCommand::Check(args) => check(args),
        ClusterCommand::Diff(args) => {
            let (file, declared) = one(args)?;
            super::wait(diff(global, args.json, &file, &declared))
        }
        ClusterCommand::Plan { inventory, fresh } => {
            let (file, declared) = one(inventory)?;
            super::wait(plan(global, inventory.json, *fresh, &file, &declared))
        }
    }
}

fn check(args: &InventoryArgs) -> anyhow::Result<ExitCode> {
    let inventories = files::read(&args.path)?;
    if args.json {
        output::json(&show::checked_json(&inventories))?;
    } else {
        for (n, inventory) in inventories.iter().enumerate() {
            if n > 0 {
                output::line("");
            }
            show::checked(inventory);
        }
    }
    let is_usable = inventories.iter().all(|i| i.checked.as_ref().is_ok_and(|c| c.declared.is_some()));
    Ok(if is_usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The one inventory that is compared with one cluster, without mistakes.
fn one(args: &InventoryArgs) -> anyhow::Result<(String, Declared)> {
    let mut inventories = files::read(&args.path)?;
    if inventories.len() > 1 {
        let names: Vec<&str> = inventories.iter().map(|i| i.file.as_str()).collect();
        bail!("{} holds {} inventories, and a cluster has one: name it ({})", args.path.display(), names.len(), names.join(", "));
    }
    let Some(Inventory { file, checked }) = inventories.pop() else { bail!("{}: no inventory", args.path.display()) };
    match checked {
        Ok(Checked { declared: Some(declared), warnings, .. }) => {
            warnings.iter().for_each(|w| output::warning(&format!("{file}: {w}")));
            Ok((file, declared))
        }
        Ok(Checked { errors, .. }) => bail!("{}", show::unusable(&file, &errors)),
        Err(error) => Err(error),
    }
}

async fn diff(global: &Global, json: bool, file: &str, declared: &Declared) -> anyhow::Result<ExitCode> {
    let client = super::client(global)?;
    let running = ask::running(&client).await.with_context(|| format!("compare {file} with the cluster"))?;
    let differences = floe_inventory::diff(declared, &running);
    match json {
        true => output::json(&show::diff_json(file, client.address(), &differences))?,
        false => show::diff(file, client.address(), declared, &differences),
    }
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

async fn plan(global: &Global, json: bool, fresh: bool, file: &str, declared: &Declared) -> anyhow::Result<ExitCode> {
    let made = if fresh { None } else { from_running(global, file, declared).await? };
    let is_first = made.is_none();
    let plan = made.unwrap_or_else(|| floe_inventory::first_start(declared));
    match json {
        true => output::json(&show::plan_json(file, is_first, &plan))?,
        false => show::plan(file, is_first, &plan),
    }
    Ok(ExitCode::SUCCESS)
}

/// The plan from what runs; nothing where nobody listens, which is said.
async fn from_running(global: &Global, file: &str, declared: &Declared) -> anyhow::Result<Option<Plan>> {
    let client = super::client(global)?;
    match ask::running(&client).await {
        Ok(running) => Ok(Some(floe_inventory::plan(declared, &running).with_context(|| format!("plan from the cluster to {file}"))?)),
        Err(error) if error.downcast_ref::<ApiError>().is_some_and(ApiError::is_nobody_there) => {
            output::warning(&format!(
                "no agent answers at {}: this is the plan of a FIRST start. If the cluster runs already, do not follow it: ask an agent of it \
                 (-address URL, or run this on one of its servers)",
                client.address()
            ));
            Ok(None)
        }
        Err(error) => Err(error.context(format!("plan from the cluster to {file}"))),
    }
}
