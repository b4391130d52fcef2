//! Service registrations follow from allocations: an allocation that runs and is wanted announces its services, any other none.
//!
//! So no client has to register anything, and a registration never outlives its allocation: the entry that stops an allocation
//! removes its services, before the client has even heard of it.

use super::writer::{Writer, service_key};
use crate::command::TASKS_IN_ORDER;
use floe_model::{
    AllocClientStatus, AllocDesiredStatus, AllocId, Allocation, Job, Node, NodeId, NodeStatus, ServiceRegistration, TaskGroup, TaskState,
    alloc::TaskPhase,
    network::PortMapping,
    service::{PROVIDER_NATIVE, Service},
};
use std::collections::BTreeMap;

impl Writer<'_> {
    /// Brings the registrations of an allocation in line with what it is now.
    pub(super) fn sync_services(&mut self, alloc: &Allocation) {
        let in_order = self.state.cluster_version() >= TASKS_IN_ORDER;
        let wanted = self.state.node(&alloc.node_id).map(|node| wanted(alloc, node, in_order)).unwrap_or_default();
        let present: Vec<_> = self.state.services_of_alloc(&alloc.id).cloned().collect();
        for old in &present {
            if !wanted.contains_key(&old.id) {
                self.remove_service(&service_key(old));
            }
        }
        for (id, mut service) in wanted {
            if let Some(old) = present.iter().find(|o| o.id == id) {
                service.create_index = old.create_index;
                service.modify_index = old.modify_index;
                if service == **old {
                    continue;
                }
                // A renamed service keeps its id; the old name must not stay behind.
                if service.service_name != old.service_name {
                    self.remove_service(&service_key(old));
                }
            }
            self.put_service(service);
        }
    }

    pub(super) fn remove_services(&mut self, id: &AllocId) {
        let keys: Vec<_> = self.state.services_of_alloc(id).map(|s| service_key(s)).collect();
        for key in &keys {
            self.remove_service(key);
        }
    }

    pub(super) fn remove_services_of_node(&mut self, id: &NodeId) {
        let allocs: Vec<AllocId> = self.state.allocs_of_node(id).map(|a| a.id.clone()).collect();
        for alloc in &allocs {
            self.remove_services(alloc);
        }
    }
}

/// The registrations that an allocation should have, by id.
fn wanted(alloc: &Allocation, node: &Node, in_order: bool) -> BTreeMap<String, ServiceRegistration> {
    let mut wanted = BTreeMap::new();
    let runs = alloc.client_status == AllocClientStatus::Running && alloc.desired_status == AllocDesiredStatus::Run;
    let Some(job) = alloc.job.as_deref().filter(|_| runs && node.status != NodeStatus::Down) else { return wanted };
    let Some(group) = job.group(&alloc.task_group) else { return wanted };
    let mut add = |owner: &str, service: &Service| {
        if let Some(registration) = registration(alloc, node, job, group, owner, service) {
            wanted.insert(registration.id.clone(), registration);
        }
    };
    for service in group.services.iter().filter(|_| !in_order || serves(alloc, group)) {
        add(&format!("group-{}", group.name), service);
    }
    for task in &group.tasks {
        if alloc.task_states.get(&task.name).is_some_and(|s| s.state == TaskPhase::Running) {
            for service in &task.services {
                add(&task.name, service);
            }
        }
    }
    wanted
}

/// True while a main task does the group's work (or is about to be started again), and nothing ended that ends the group: not while prestart tasks
/// run, nor while siblings of one that failed, sidecars and poststop tasks come to their end.
fn serves(alloc: &Allocation, group: &TaskGroup) -> bool {
    let states = || group.tasks.iter().filter_map(|t| Some((t, alloc.task_states.get(&t.name)?)));
    let ends = states().any(|(t, s)| s.state == TaskPhase::Dead && (s.failed || t.leader));
    let works = |s: &TaskState| s.state == TaskPhase::Running || (s.state == TaskPhase::Pending && !s.started_at.is_never());
    !ends && states().any(|(t, s)| t.lifecycle.is_none() && works(s))
}

fn registration(
    alloc: &Allocation,
    node: &Node,
    job: &Job,
    group: &TaskGroup,
    owner: &str,
    service: &Service,
) -> Option<ServiceRegistration> {
    if service.provider != PROVIDER_NATIVE {
        return None;
    }
    let (address, port) = endpoint(alloc, node, group, service);
    Some(ServiceRegistration {
        id: format!("_nomad-task-{}-{owner}-{}-{}", alloc.id, service.name, service.port_label),
        service_name: service.name.clone(),
        namespace: job.namespace.clone(),
        node_id: alloc.node_id.clone(),
        datacenter: node.datacenter.clone(),
        job_id: job.id.clone(),
        alloc_id: alloc.id.clone(),
        tags: service.tags.clone(),
        address,
        port,
        ..ServiceRegistration::default()
    })
}

/// Where a service is reached: by its port's label (host side, or the allocation's own address), by a literal port, or by none.
fn endpoint(alloc: &Allocation, node: &Node, group: &TaskGroup, service: &Service) -> (String, i64) {
    let ports = &alloc.allocated_resources.shared.ports;
    let mapping: Option<&PortMapping> = ports.iter().find(|p| p.label == service.port_label);
    let in_alloc = service.address_mode == "alloc";
    let alloc_address = alloc.network_status.as_ref().map(|n| n.address.clone()).unwrap_or_default();
    let inside = |p: &PortMapping| if p.to > 0 { p.to } else { p.value };
    let bridged = group.network().is_some_and(|n| !matches!(n.network_mode(), floe_model::network::NetworkMode::Host));
    let (address, port) = match mapping {
        Some(p) if in_alloc && bridged => (alloc_address, inside(p)),
        Some(p) => (p.host_ip.clone(), p.value),
        None => (if in_alloc && bridged { alloc_address } else { String::new() }, service.port_label.parse().unwrap_or(0)),
    };
    let address = if service.address.is_empty() { address } else { service.address.clone() };
    (if address.is_empty() { node_address(node) } else { address }, port)
}

/// The address that a node advertises.
fn node_address(node: &Node) -> String {
    node.attributes
        .get("unique.network.ip-address")
        .cloned()
        .unwrap_or_else(|| node.http_addr.rsplit_once(':').map_or(node.http_addr.clone(), |(host, _)| host.to_owned()))
}
