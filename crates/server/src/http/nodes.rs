//! Nodes.

use super::{
    Ctx,
    answer::{Failure, Reply},
    page::Order,
};
use floe_api::types::NodeListStub;
use floe_model::{Node, NodeId};
use floe_state::{State, Table};
use std::sync::Arc;

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let resources = ctx.query.flag("resources").map_err(Failure::bad)?;
    let os = ctx.query.flag("os").map_err(Failure::bad)?;
    let rows = |state: &State| Ok(state.nodes().filter(|n| ctx.wants_id(n.id.as_str())).cloned().collect());
    ctx.list(&[Table::Nodes], Order::Id, rows, |_, node: &Arc<Node>| {
        let mut stub = NodeListStub::from(&**node);
        if resources {
            stub.node_resources = Some(node.node_resources.clone());
            stub.reserved_resources = Some(node.reserved_resources.clone());
        }
        if os {
            let name = node.attributes.get_key_value("os.name");
            stub.attributes = Some(name.map(|(k, v)| (k.clone(), v.clone())).into_iter().collect());
        }
        stub
    })
    .await
}

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = NodeId::from(id);
    ctx.read(Table::Nodes, "node", |state| state.node(&id).map(|n| (n.modify_index, n.clone()))).await
}
