//! Services.

use super::{
    Ctx,
    answer::{Failure, Reply},
    jobs::find,
    page::{Key, Order, Row},
};
use floe_api::types::{ServiceListStub, ServiceStub};
use floe_model::{AllocId, Namespace, ServiceRegistration};
use floe_state::{State, Table};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A namespace is a row of the list of services.
impl Row for ServiceListStub {
    fn key(&self) -> Key<'_> {
        Key { created: 0, namespace: "", id: self.namespace.as_str() }
    }
}

pub(super) async fn list(ctx: &Ctx) -> Result<Reply, Failure> {
    let rows = |state: &State| {
        let mut namespaces: BTreeMap<Namespace, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for service in state.services().filter(|s| ctx.wants_namespace(&s.namespace)) {
            let tags = namespaces.entry(service.namespace.clone()).or_default().entry(service.service_name.clone()).or_default();
            tags.extend(service.tags.iter().cloned());
        }
        let stub = |(service_name, tags): (String, BTreeSet<String>)| ServiceStub { service_name, tags: tags.into_iter().collect() };
        let row = |(namespace, services): (Namespace, BTreeMap<_, _>)| ServiceListStub {
            namespace,
            services: services.into_iter().map(stub).collect(),
        };
        Ok(namespaces.into_iter().map(row).collect())
    };
    ctx.list(&[Table::Services], Order::Id, rows, |_, row: &ServiceListStub| row.clone()).await
}

pub(super) async fn read(ctx: &Ctx, name: String) -> Result<Reply, Failure> {
    if ctx.query.get("choose").is_some() {
        return Err(Failure::bad("not supported yet: query parameter choose"));
    }
    let namespace = ctx.query.namespace();
    instances(ctx, |state| {
        Ok(if namespace == "*" {
            state.services().filter(|s| s.service_name == name).cloned().collect()
        } else {
            state.service(&namespace, &name).cloned().collect()
        })
    })
    .await
}

pub(super) async fn of_alloc(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let id = AllocId::from(id);
    instances(ctx, |state| {
        state.alloc(&id).ok_or_else(|| Failure::not_found("alloc"))?;
        Ok(state.services_of_alloc(&id).cloned().collect())
    })
    .await
}

pub(super) async fn of_job(ctx: &Ctx, id: String) -> Result<Reply, Failure> {
    let key = ctx.job_key(&id);
    instances(ctx, |state| {
        find(state, &key)?;
        Ok(state.allocs_of_job(&key).flat_map(|a| state.services_of_alloc(&a.id)).cloned().collect())
    })
    .await
}

async fn instances(ctx: &Ctx, rows: impl FnOnce(&State) -> Result<Vec<Arc<ServiceRegistration>>, Failure>) -> Result<Reply, Failure> {
    ctx.list(&[Table::Services], Order::Id, rows, |_, instance| instance.clone()).await
}
