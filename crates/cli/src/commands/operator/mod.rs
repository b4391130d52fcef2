//! `floe operator ...`.

pub(super) mod keyring;
pub(super) mod recover;
pub(super) mod snapshot;

use crate::{
    args::{AddPeerArgs, PeerArgs},
    output::{self, columns},
};
use anyhow::{Context, bail};
use floe_api::{
    ApiClient, ApiError,
    types::{LeadershipTransferResponse, OperatorHealthReply, RaftConfiguration},
};
use floe_control::autopilot::warn_of_even;
use std::process::ExitCode;

pub(super) async fn list_peers(client: &ApiClient, json: bool) -> anyhow::Result<ExitCode> {
    let raft: RaftConfiguration = client.get("/v1/operator/raft/configuration", &[]).await?.value;
    if json {
        output::json(&raft)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["Node", "ID", "Address", "State", "Voter", "RaftProtocol"].map(output::bold).to_vec()];
    for server in &raft.servers {
        let state = if server.leader { "leader" } else { "follower" };
        let own = [server.node.clone(), server.id.clone(), server.address.clone(), state.to_owned(), server.voter.to_string()];
        rows.push([own.to_vec(), vec![server.raft_protocol.clone()]].concat());
    }
    output::line(columns(&rows));
    warn_if_even(raft.servers.iter().filter(|s| s.voter).count());
    Ok(ExitCode::SUCCESS)
}

fn warn_if_even(voters: usize) {
    if let Some(warning) = warn_of_even(voters) {
        output::warning(&warning);
    }
}

/// Says when the cluster comes to an even number of voters, once its learners have their votes. What was asked for is done: that the answer is
/// missing is no failure.
async fn warn_of_members(client: &ApiClient) {
    match client.get::<RaftConfiguration>("/v1/operator/raft/configuration", &[]).await {
        Ok(raft) => warn_if_even(raft.value.servers.len()),
        Err(error) => output::warning(&format!("who votes now could not be asked ({error}); see: floe operator raft list-peers")),
    }
}

fn query(args: &PeerArgs) -> Vec<(&'static str, String)> {
    let given = [("id", &args.peer_id), ("address", &args.peer_address)];
    given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

pub(super) async fn remove_peer(client: &ApiClient, args: &PeerArgs) -> anyhow::Result<ExitCode> {
    let query = query(args);
    if query.is_empty() {
        bail!("which server? give -peer-id or -peer-address; floe operator raft list-peers shows both");
    }
    client.delete("/v1/operator/raft/peer", &query).await?;
    output::line("Removed the server");
    warn_of_members(client).await;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn add_peer(client: &ApiClient, args: &AddPeerArgs) -> anyhow::Result<ExitCode> {
    let query = [("id", args.peer_id.clone()), ("address", args.peer_address.clone())];
    let _: serde_json::Value = client.put("/v1/operator/raft/peer", &query, &()).await?.value;
    output::line("Took the server in again; it votes once it has caught up");
    warn_of_members(client).await;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn transfer(client: &ApiClient, args: &PeerArgs) -> anyhow::Result<ExitCode> {
    let done: LeadershipTransferResponse = client.put("/v1/operator/raft/transfer-leadership", &query(args), &()).await?.value;
    let leader = format!("{} ({} at {})", done.to.id, done.to.node, done.to.address);
    output::line(if done.noop { format!("{leader} leads already") } else { format!("{leader} leads now") });
    Ok(ExitCode::SUCCESS)
}

/// What the leader knows of the servers.
pub(super) async fn health_of(client: &ApiClient) -> anyhow::Result<OperatorHealthReply> {
    match client.get("/v1/operator/autopilot/health", &[]).await {
        Ok(answer) => Ok(answer.value),
        // The same answer, under a status that says that not all is well.
        Err(ApiError::Refused { status: 429, message, .. }) => serde_json::from_str(&message).context("read the health of the servers"),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn health(client: &ApiClient, json: bool) -> anyhow::Result<ExitCode> {
    let health = health_of(client).await?;
    let code = if health.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if json {
        output::json(&health)?;
        return Ok(code);
    }
    output::line(format!("Healthy: {}\nFailure tolerance: {}\n", health.healthy, health.failure_tolerance));
    let head = ["Name", "ID", "Address", "Healthy", "Voter", "Leader", "Last contact", "Index"];
    let mut rows = vec![head.map(output::bold).to_vec()];
    for s in &health.servers {
        let own = vec![s.name.clone(), s.id.clone(), s.address.clone(), s.healthy.to_string(), s.voter.to_string(), s.leader.to_string()];
        rows.push([own, vec![s.last_contact.to_string(), s.last_index.to_string()]].concat());
    }
    output::line(columns(&rows));
    Ok(code)
}
