//! What people and programs see of inventories, differences and plans.

use super::files::Inventory;
use crate::output::{self, columns};
use floe_inventory::{Declared, Difference, Host, Plan, Step, diff::NONE};
use serde::Serialize;
use serde_json::{Value, json};

/// What is said of an inventory that cannot be used: everything that is wrong with it.
pub(super) fn unusable(file: &str, errors: &[String]) -> String {
    let lines: Vec<String> = errors.iter().map(|e| format!("\n- {e}")).collect();
    format!("the inventory {file} cannot be used:{}", lines.concat())
}

pub(super) fn checked(inventory: &Inventory) {
    let file = &inventory.file;
    let checked = match &inventory.checked {
        Ok(checked) => checked,
        Err(error) => return output::error(error),
    };
    checked.warnings.iter().for_each(|w| output::warning(&format!("{file}: {w}")));
    match &checked.declared {
        Some(declared) => summary(file, declared),
        None => output::error(&anyhow::anyhow!(unusable(file, &checked.errors))),
    }
}

fn summary(file: &str, declared: &Declared) {
    output::line(output::bold(&format!("{file}: cluster {}", declared.cluster.name)));
    let mut rows = vec![["Host", "Role", "Address", "Datacenter", "Pool", "Class"].map(output::bold).to_vec()];
    rows.extend(declared.hosts.values().map(|h| {
        let class = if h.class().is_empty() { NONE } else { h.class() };
        [&h.name, &h.role.to_string(), &h.address, &h.datacenter, h.pool(), class].map(str::to_owned).to_vec()
    }));
    output::line(columns(&rows));
    output::line(format!("\n{}", tolerance(declared)));
}

/// How many servers there are, and how many of them may fail.
fn tolerance(declared: &Declared) -> String {
    let servers = declared.servers().count();
    let clients = declared.hosts.values().filter(|h| h.role.is_client()).count();
    let may_fail = match declared.may_fail() {
        0 => "none may fail".to_owned(),
        n => format!("{n} may fail"),
    };
    format!("{}, {may_fail}; {}", counted(servers, "server"), counted(clients, "client"))
}

fn counted(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostJson<'a> {
    name: &'a str,
    role: String,
    address: &'a str,
    datacenter: &'a str,
    pool: &'a str,
    class: &'a str,
}

impl<'a> From<&'a Host> for HostJson<'a> {
    fn from(h: &'a Host) -> Self {
        HostJson {
            name: &h.name,
            role: h.role.to_string(),
            address: &h.address,
            datacenter: &h.datacenter,
            pool: h.pool(),
            class: h.class(),
        }
    }
}

pub(super) fn checked_json(inventories: &[Inventory]) -> Value {
    let one = |i: &Inventory| match &i.checked {
        Err(error) => json!({ "File": i.file, "Usable": false, "Errors": [error.to_string()], "Warnings": [], "Hosts": [] }),
        Ok(checked) => {
            let declared = checked.declared.as_ref();
            let hosts: Vec<HostJson<'_>> = declared.iter().flat_map(|d| d.hosts.values()).map(HostJson::from).collect();
            json!({
                "File": i.file,
                "Usable": declared.is_some(),
                "Errors": checked.errors,
                "Warnings": checked.warnings,
                "Cluster": declared.map(|d| &d.cluster.name),
                "Region": declared.map(|d| &d.cluster.region),
                "Servers": declared.map(|d| d.servers().count()),
                "MayFail": declared.map(Declared::may_fail),
                "Hosts": hosts,
            })
        }
    };
    json!({ "Inventories": inventories.iter().map(one).collect::<Vec<_>>() })
}

pub(super) fn diff(file: &str, address: &str, declared: &Declared, differences: &[Difference]) {
    if differences.is_empty() {
        return output::line(format!("The cluster at {address} is what {file} declares: {}", tolerance(declared)));
    }
    let mut rows = vec![["Host", "What", "Declared", "Running"].map(output::bold).to_vec()];
    rows.extend(differences.iter().map(|d| vec![d.host.clone(), d.what.clone(), d.declared.clone(), d.running.clone()]));
    output::line(columns(&rows));
    let count = counted(differences.len(), "difference");
    output::note(&format!("{count} between {file} and the cluster at {address}; floe cluster plan says how to get there"));
}

pub(super) fn diff_json(file: &str, address: &str, differences: &[Difference]) -> Value {
    json!({ "File": file, "Address": address, "Equal": differences.is_empty(), "Differences": differences })
}

pub(super) fn plan(file: &str, is_first: bool, plan: &Plan) {
    if plan.steps.is_empty() {
        return output::line(format!("The cluster is what {file} declares: there is nothing to do"));
    }
    let from = match (is_first, &plan.leader) {
        (true, _) => "nothing".to_owned(),
        (false, leader) => format!("{} ({} leads)", plan.voters.join(", "), leader.as_deref().unwrap_or("nobody")),
    };
    output::line(format!("From {from} to {}, in {}", plan.servers.join(", "), counted(plan.steps.len(), "step")));
    for (n, step) in plan.steps.iter().enumerate() {
        one_step(n + 1, step);
    }
}

fn one_step(number: usize, step: &Step) {
    output::title(&format!("{number}. {}", step.title));
    if !step.why.is_empty() {
        output::line(format!("   {}", step.why));
    }
    step.commands.iter().for_each(|c| output::line(format!("       {c}")));
    if !step.wait.is_empty() {
        output::line(format!("   Go on when {}", step.wait));
    }
    if step.voters > 0 {
        let may_fail = if step.may_fail == 0 { "none".to_owned() } else { step.may_fail.to_string() };
        output::line(output::dim(&format!(
            "   then {}, {may_fail} may fail",
            if step.voters == 1 { "1 votes".to_owned() } else { format!("{} vote", step.voters) }
        )));
    }
}

pub(super) fn plan_json(file: &str, is_first: bool, plan: &Plan) -> Value {
    json!({
        "File": file,
        "FirstStart": is_first,
        "Voters": plan.voters,
        "Leader": plan.leader,
        "Servers": plan.servers,
        "Steps": plan.steps,
    })
}
