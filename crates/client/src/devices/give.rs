//! From the devices that a task holds to what its container gets.

use super::{folders, groups};
use floe_model::resources::AllocatedDeviceResource;
use floe_runtime::{DeviceEdits, DeviceMount, DeviceNode, Hook, NodeType, TaskSpec};
use std::path::PathBuf;

/// Adds to `spec` what the task's devices bring along.
///
/// # Errors
/// In words, when one of them is not there any more, or two do not go together.
pub(crate) fn give(held: &[AllocatedDeviceResource], cdi_folders: &[PathBuf], spec: &mut TaskSpec) -> Result<(), String> {
    if held.is_empty() {
        return Ok(());
    }
    let registry = folders::read(cdi_folders);
    let mut wanted = Vec::new();
    for (device, id) in held.iter().flat_map(|d| d.device_ids.iter().map(move |id| (d, id))) {
        let AllocatedDeviceResource { vendor, device_type, .. } = device;
        let found = registry.devices().find(|d| groups::is(d, vendor, device_type, id)).ok_or_else(|| {
            let folders: Vec<String> = cdi_folders.iter().map(|f| f.display().to_string()).collect();
            format!("device {vendor}/{device_type} {id:?} is not there any more: no file of {} has it", folders.join(", "))
        })?;
        wanted.push((&found.kind, found.name.as_str()));
    }
    let edits = registry.edits(wanted)?;
    // What a device needs is not the job's to change.
    spec.env.extend(edits.env);
    spec.devices = DeviceEdits {
        nodes: edits.nodes.into_iter().map(node).collect(),
        mounts: edits.mounts.into_iter().map(mount).collect(),
        hooks: edits.hooks.into_iter().map(hook).collect(),
        groups: edits.groups,
    };
    Ok(())
}

fn node(node: floe_cdi::DeviceNode) -> DeviceNode {
    let floe_cdi::DeviceNode { path, host_path, node_type, numbers, mode, owner: (uid, gid), read, write } = node;
    let node_type = node_type.map(|t| match t {
        floe_cdi::NodeType::Block => NodeType::Block,
        floe_cdi::NodeType::Character => NodeType::Character,
    });
    DeviceNode { path: path.into(), host_path: host_path.into(), node_type, numbers, mode, uid, gid, read, write }
}

fn mount(mount: floe_cdi::Mount) -> DeviceMount {
    let floe_cdi::Mount { host_path, container_path, read_only, no_exec } = mount;
    DeviceMount { source: host_path.into(), destination: container_path.into(), read_only, no_exec }
}

fn hook(hook: floe_cdi::Hook) -> Hook {
    let floe_cdi::Hook { path, args, env, timeout_s } = hook;
    Hook { path: path.into(), args, env, timeout_s }
}
