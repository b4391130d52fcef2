//! What a running cluster says of itself.

use crate::commands::operator;
use anyhow::Context;
use floe_api::{
    ApiClient, ApiError, RPC_ADDRESS_ATTRIBUTE, Rows,
    types::{NodeListStub, ServerMembers},
};
use floe_inventory::{Node, Running, Server};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;

/// How many nodes are asked for at a time.
const AT_A_TIME: usize = 16;
/// The tag of a member that says which commands it knows.
const CLUSTER_VERSION: &str = "cluster_version";

/// Asks an agent of it, one that is a server.
pub(super) async fn running(client: &ApiClient) -> anyhow::Result<Running> {
    let health =
        operator::health_of(client).await.context("ask the servers how they are, which takes an agent that is a server, and a leader")?;
    let members: ServerMembers = client.get("/v1/agent/members", &[]).await?.value;
    let tag = |m: &floe_api::types::AgentMember, name: &str| m.tags.get(name).cloned().unwrap_or_default();
    let commands: BTreeMap<String, u32> =
        members.members.iter().filter_map(|m| Some((tag(m, "id"), tag(m, CLUSTER_VERSION).parse().ok()?))).collect();
    let servers = health.servers.into_iter().map(|s| Server {
        commands: commands.get(&s.id).copied(),
        id: s.id,
        name: s.name,
        address: s.address,
        is_voter: s.voter,
        is_leader: s.leader,
        is_healthy: s.healthy,
    });
    let servers = servers.collect();
    let regions: Vec<String> = client.get("/v1/regions", &[]).await?.value;
    let stubs = client.nodes(Rows::default()).await?;
    let asked = futures::stream::iter(stubs).map(|stub| node(client, stub)).buffered(AT_A_TIME);
    let nodes: Vec<Option<Node>> = asked.try_collect().await?;
    Ok(Running { region: regions.into_iter().next(), servers, nodes: nodes.into_iter().flatten().collect() })
}

/// All of a node. Nothing when it was forgotten meanwhile.
async fn node(client: &ApiClient, stub: NodeListStub) -> Result<Option<Node>, ApiError> {
    let node = match client.node(stub.id.as_str()).await {
        Ok(node) => node,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Node {
        id: stub.id.to_string(),
        name: stub.name,
        address: node.attributes.get(RPC_ADDRESS_ATTRIBUTE).filter(|a| !a.is_empty()).cloned(),
        datacenter: stub.datacenter,
        pool: stub.node_pool,
        class: stub.node_class,
        meta: node.meta.into_iter().collect(),
        version: stub.version,
        status: stub.status,
    }))
}
