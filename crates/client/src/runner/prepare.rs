//! Before the first task starts: folders, network, and what must be remembered.

use super::{Event, Runner, Shared, send, task_names};
use crate::db::{Change, words};
use floe_model::{
    Allocation,
    network::{NetworkMode, PortMapping},
};
use floe_network::{AttachRequest, Attachment, PortMap, Protocol};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

impl Runner {
    /// Prepares beside the runner, and says what came of it.
    pub(super) fn prepare(&mut self) {
        let (shared, alloc, events) = (self.shared.clone(), self.alloc.clone(), self.events.clone());
        let waits_for = std::mem::take(&mut self.waits_for);
        let stopped = CancellationToken::new();
        self.preparing = Some(stopped.clone());
        tokio::spawn(async move {
            let others = async {
                for mut ended in waits_for {
                    // A sender that is gone has ended too.
                    let _ = ended.wait_for(|e| *e).await;
                }
            };
            let result = match stopped.run_until_cancelled(others).await {
                Some(()) => prepare(&shared, &alloc).await,
                None => Err("it was stopped before its turn came".to_owned()),
            };
            send(&events, result.map_or_else(Event::PrepareFailed, Event::Prepared)).await;
        });
    }
}

/// Makes the network of an allocation anew, which the machine lost while no agent ran.
pub(crate) async fn reconnect(shared: &Arc<Shared>, alloc: &Arc<Allocation>) -> Result<Option<Attachment>, String> {
    let attachment = attach(shared, alloc).await?;
    if let Some(attachment) = &attachment {
        let change = Change::Network(alloc.id.clone(), attachment.clone());
        shared.db.write(vec![change]).await.map_err(|e| e.to_string())?;
    }
    Ok(attachment)
}

/// Whether the allocation has a network of its own.
pub(super) fn has_own_network(alloc: &Allocation) -> bool {
    let group = alloc.job.as_deref().and_then(|j| j.group(&alloc.task_group));
    group.and_then(|g| g.network()).is_some_and(|n| n.network_mode() != NetworkMode::Host)
}

async fn prepare(shared: &Arc<Shared>, alloc: &Arc<Allocation>) -> Result<Option<Attachment>, String> {
    let (paths, owner) = (shared.paths.alloc(&alloc.id), alloc.clone());
    let folders = tokio::task::spawn_blocking(move || make_folders(&paths.root, &owner));
    let attachment = attach(shared, alloc).await?;
    let made = folders.await.map_err(|e| e.to_string()).and_then(|r| r.map_err(|e| words(&e)));
    let mut changes = vec![Change::Allocation(alloc.clone())];
    if let Some(attachment) = &attachment {
        changes.push(Change::Network(alloc.id.clone(), attachment.clone()));
    }
    // The network is remembered together with the allocation: after a crash in between, both are gone, and both are made anew.
    let saved = match made {
        Ok(()) => shared.db.write(changes).await.map_err(|e| e.to_string()),
        Err(error) => Err(error),
    };
    if let (Err(_), Some(network), Some(_)) = (&saved, &shared.network, &attachment) {
        let detached = network.detach(alloc.id.as_str()).await;
        if let Err(error) = detached {
            tracing::warn!(alloc = %alloc.id, error = %words(&error), "a network that is not needed was not given back");
        }
    }
    saved.map(|()| attachment)
}

async fn attach(shared: &Arc<Shared>, alloc: &Allocation) -> Result<Option<Attachment>, String> {
    let group = alloc.job.as_deref().and_then(|j| j.group(&alloc.task_group));
    let mode = group.and_then(|g| g.network()).map_or(NetworkMode::Host, |n| n.network_mode());
    let id = super::attachment_id(&alloc.id);
    let network = || shared.network.as_ref().ok_or_else(|| "this node cannot connect allocations to a network of their own".to_owned());
    match mode {
        NetworkMode::Host => Ok(None),
        NetworkMode::None => network()?.attach_none(id).await.map(Some).map_err(|e| words(&e)),
        NetworkMode::Bridge => {
            // One of a crashed attempt would be in the way; giving back what is not there is no error.
            network()?.detach(id).await.map_err(|e| words(&e))?;
            let ports = alloc.allocated_resources.shared.ports.iter().flat_map(port_maps).collect();
            network()?.attach(AttachRequest { id: id.to_owned(), ports }).await.map(Some).map_err(|e| words(&e))
        }
        NetworkMode::Cni(name) | NetworkMode::Unknown(name) => Err(format!("not supported yet: network mode {name:?}")),
    }
}

/// A port leads to the allocation on every address of the host, for TCP and UDP.
fn port_maps(port: &PortMapping) -> Vec<PortMap> {
    let (Ok(host_port), Ok(to)) = (u16::try_from(port.value), u16::try_from(port.to.max(0))) else { return Vec::new() };
    let container_port = if to == 0 { host_port } else { to };
    [Protocol::Tcp, Protocol::Udp].map(|protocol| PortMap { host_ip: None, host_port, container_port, protocol }).to_vec()
}

/// Makes the folders of an allocation; those that are there already stay as they are.
fn make_folders(root: &Path, alloc: &Allocation) -> std::io::Result<()> {
    let make = |path: &Path, mode: u32| -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        // The umask must not decide.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    make(root, 0o700)?;
    let shared = root.join("alloc");
    make(&shared, 0o755)?;
    make(&shared.join("data"), 0o777)?;
    make(&shared.join("tmp"), 0o777)?;
    make(&shared.join("logs"), 0o755)?;
    for task in task_names(alloc) {
        let own = root.join(crate::paths::file_name(&task));
        make(&own, 0o755)?;
        for (folder, mode) in [("local", 0o755), ("secrets", 0o700), ("private", 0o700), ("tmp", 0o755)] {
            make(&own.join(folder), mode)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_port_leads_inside_for_both_protocols() {
        let port = |to| PortMapping { value: 20_000, to, ..PortMapping::default() };
        let maps = port_maps(&port(80));
        assert_eq!(maps.len(), 2);
        assert_eq!((maps[0].host_port, maps[0].container_port, maps[0].host_ip), (20_000, 80, None));
        assert_eq!(port_maps(&port(0))[0].container_port, 20_000);
        assert_eq!(port_maps(&port(-1))[1].container_port, 20_000);
        assert!(port_maps(&PortMapping { value: 70_000, ..PortMapping::default() }).is_empty());
    }

    #[test]
    fn folders_are_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a");
        make_folders(&root, &Allocation::default()).unwrap();
        make_folders(&root, &Allocation::default()).unwrap();
        let mode = |p: &str| fs::metadata(root.join(p)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode("alloc/data"), mode("alloc/logs")), (0o700, 0o777, 0o755));
    }
}
