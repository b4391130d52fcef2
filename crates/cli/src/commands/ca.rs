//! `floe operator ca ...`.

use crate::output::{self, columns};
use floe_api::{ApiClient, types::AuthorityReply};
use std::process::ExitCode;

pub(super) async fn status(client: &ApiClient, json: bool) -> anyhow::Result<ExitCode> {
    let reply: AuthorityReply = client.get("/v1/operator/ca", &[]).await?.value;
    if json {
        output::json(&reply)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["Authority", "Signs", "From", "Until"].map(output::bold).to_vec()];
    for authority in &reply.authorities {
        let (from, until) = (authority.not_before.to_string(), authority.not_after.to_string());
        rows.push(vec![authority.fingerprint.clone(), authority.signs.to_string(), from, until]);
    }
    output::line(columns(&rows));
    let doing = match reply.step.as_str() {
        "" => return Ok(ExitCode::SUCCESS),
        "trust" => "step 1 of 2: all agents come to trust both authorities",
        _ => "step 2 of 2: all agents get certificates of the new authority; join tokens of the old one count no more",
    };
    output::line(format!("\nReplacement since {}, {doing}", reply.begun));
    if reply.pending.is_empty() {
        output::line("Waiting for nobody");
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["Waiting for", "ID", "Role"].map(output::bold).to_vec()];
    rows.extend(reply.pending.iter().map(|agent| vec![agent.name.clone(), agent.id.clone(), agent.role.clone()]));
    output::line(columns(&rows));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn rotate(client: &ApiClient, force: bool, cancel: bool) -> anyhow::Result<ExitCode> {
    let query = [("force", force), ("cancel", cancel)].into_iter().filter(|(_, given)| *given);
    let query: Vec<(&str, String)> = query.map(|(name, given)| (name, given.to_string())).collect();
    let _: serde_json::Value = client.put("/v1/operator/ca/rotate", &query, &()).await?.value;
    output::line(match (force, cancel) {
        (true, _) => "Went on to the next step; agents that were waited for must join anew",
        (_, true) => "The replacement is given up; the present authority stays",
        _ => "The authority is being replaced; floe operator ca status shows how far that has come",
    });
    Ok(ExitCode::SUCCESS)
}
