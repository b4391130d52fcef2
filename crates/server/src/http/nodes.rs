//! Nodes.

use super::{
    Ctx,
    answer::{Failure, Reply},
};
use floe_api::types::NodeListStub;
use floe_model::NodeId;
use floe_state::Table;

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let resources = ctx.query.flag("resources").map_err(Failure::bad)?;
    let os = ctx.query.flag("os").map_err(Failure::bad)?;
    let (rows, meta) = ctx
        .fetch(|state| {
            let rows: Vec<NodeListStub> = state
                .nodes()
                .filter(|n| n.id.as_str().starts_with(ctx.prefix()))
                .map(|n| {
                    let mut stub = NodeListStub::from(&**n);
                    if resources {
                        stub.node_resources = Some(n.node_resources.clone());
                        stub.reserved_resources = Some(n.reserved_resources.clone());
                    }
                    if os {
                        stub.attributes = Some(
                            n.attributes.iter().filter(|(k, _)| k.as_str() == "os.name").map(|(k, v)| (k.clone(), v.clone())).collect(),
                        );
                    }
                    stub
                })
                .collect();
            Ok((state.table_index(Table::Nodes), rows))
        })
        .await?;
    let (rows, next) = ctx.page(rows, |n| n.id.to_string())?;
    Ok(Reply::read(&rows, meta)?.with_next_token(next))
}

pub(super) async fn read(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = NodeId::from(id);
    ctx.read(|state| state.node(&id).map(|n| (n.modify_index, n.clone())).ok_or_else(|| Failure::not_found("node"))).await
}
