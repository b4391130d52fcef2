//! Services.

use super::{
    Ctx,
    answer::{Failure, Reply},
    jobs::find,
};
use axum::http::StatusCode;
use floe_api::types::{ServiceListStub, ServiceStub};
use floe_model::{AllocId, Namespace, ServiceRegistration};
use floe_state::{State, Table};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    ctx.read(|state| {
        let mut namespaces: BTreeMap<Namespace, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for service in state.services().filter(|s| ctx.wants_namespace(&s.namespace)) {
            let tags = namespaces.entry(service.namespace.clone()).or_default().entry(service.service_name.clone()).or_default();
            tags.extend(service.tags.iter().cloned());
        }
        let stub = |(service_name, tags): (String, BTreeSet<String>)| ServiceStub { service_name, tags: tags.into_iter().collect() };
        let rows: Vec<ServiceListStub> = namespaces
            .into_iter()
            .map(|(namespace, services)| ServiceListStub { namespace, services: services.into_iter().map(stub).collect() })
            .collect();
        Ok((state.table_index(Table::Services), rows))
    })
    .await
}

pub(super) async fn read(ctx: &Ctx, name: String) -> Result<Reply, Failure> {
    if ctx.query.get("choose").is_some() {
        return Err(Failure::text(StatusCode::BAD_REQUEST, "not supported yet: query parameter choose"));
    }
    let namespace = ctx.query.namespace();
    ctx.read(|state| Ok(with_index(state, state.service(&namespace, &name).cloned().collect()))).await
}

pub(super) async fn of_alloc(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = AllocId::from(id);
    ctx.read(|state| {
        state.alloc(&id).ok_or_else(|| Failure::not_found("alloc"))?;
        Ok(with_index(state, state.services_of_alloc(&id).cloned().collect()))
    })
    .await
}

pub(super) async fn of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    ctx.read(|state| {
        find(state, &key)?;
        let rows = state.allocs_of_job(&key).flat_map(|a| state.services_of_alloc(&a.id)).cloned().collect();
        Ok(with_index(state, rows))
    })
    .await
}

/// An instance that goes away changes no other, so the table's index is the only honest one.
fn with_index(state: &State, rows: Vec<Arc<ServiceRegistration>>) -> (u64, Vec<Arc<ServiceRegistration>>) {
    (state.table_index(Table::Services), rows)
}
