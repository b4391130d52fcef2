//! The node's devices: found in the files that vendors' tools write (the Container Device Interface), shown to the servers, given to containers.
//!
//! | part | in | out |
//! |---|---|---|
//! | [`folders`] | folders with files | a `floe_cdi::Registry` |
//! | [`groups`] | the registry, the machine's device files | what the servers hear of |
//! | [`give`] | what an allocation holds | what its container gets |
//!
//! Files are read anew whenever they are asked about: a new driver writes them with other paths, and what a task gets must be what is there now.

mod folders;
mod give;
mod groups;

use crate::{clock, db::words};
use floe_model::{Node, node::NodeDeviceResource};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use give::give;

/// The folders that are read when the configuration names none; what is in the later one counts.
pub const DEFAULT_FOLDERS: &[&str] = &["/etc/cdi", "/var/run/cdi"];
/// How often the folders are looked at.
pub(crate) const PERIOD: Duration = Duration::from_secs(10);
/// The attribute that says what is wrong with files or devices. Of this node alone, so it makes no class of nodes.
const PROBLEMS_ATTRIBUTE: &str = "unique.devices.problems";
/// How much of that is said, in bytes.
const MAX_PROBLEMS_BYTES: usize = 4_096;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fingerprint {
    groups: Vec<NodeDeviceResource>,
    problems: String,
}

impl Fingerprint {
    /// Looks at the folders and at the machine's device files.
    pub(crate) fn read(folders: &[PathBuf]) -> Fingerprint {
        let registry = folders::read(folders);
        let (groups, more) = groups::of(&registry);
        let mut problems = registry.problems.into_iter().chain(more).collect::<Vec<_>>().join("; ");
        if problems.len() > MAX_PROBLEMS_BYTES {
            let end = (0..=MAX_PROBLEMS_BYTES).rev().find(|i| problems.is_char_boundary(*i)).unwrap_or(0);
            problems.truncate(end);
        }
        Fingerprint { groups, problems }
    }

    /// Tells the node's part of it.
    pub(crate) fn describe(&self, node: &mut Node) {
        node.node_resources.devices.clone_from(&self.groups);
        node.attributes.remove(PROBLEMS_ATTRIBUTE);
        if !self.problems.is_empty() {
            node.attributes.insert(PROBLEMS_ATTRIBUTE.to_owned(), self.problems.clone());
        }
    }

    fn log(&self) {
        if !self.problems.is_empty() {
            tracing::warn!(problems = %self.problems, "some devices cannot be given to tasks");
        }
        let ids = |g: &NodeDeviceResource| g.instances.iter().map(|i| i.id.clone()).collect::<Vec<_>>().join(",");
        for group in &self.groups {
            tracing::info!(device = %format!("{}/{}/{}", group.vendor, group.device_type, group.name), ids = %ids(group), "devices for tasks");
        }
    }
}

/// The devices of the node before it registers, and what goes on looking.
pub(crate) async fn first_look(folders: &[PathBuf], node: &mut Node) -> Fingerprint {
    let found = look(folders).await.unwrap_or_default();
    found.describe(node);
    found.log();
    found
}

/// Looks again and again, and hands on the node whenever its devices have changed.
pub(crate) async fn keep_looking(
    folders: Vec<PathBuf>,
    mut known: Fingerprint,
    period: Duration,
    node: watch::Sender<Arc<Node>>,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
        let Some(found) = look(&folders).await.filter(|found| *found != known) else { continue };
        tracing::info!(at = %clock::now(), "the devices of this node have changed");
        found.log();
        node.send_modify(|node| {
            let mut changed = (**node).clone();
            found.describe(&mut changed);
            *node = Arc::new(changed);
        });
        known = found;
    }
}

/// `None` when nobody could look, which says nothing about the devices.
async fn look(folders: &[PathBuf]) -> Option<Fingerprint> {
    let folders = folders.to_vec();
    let looked = tokio::task::spawn_blocking(move || Fingerprint::read(&folders)).await;
    looked.inspect_err(|error| tracing::error!(error = %words(error), "the devices of this node were not looked for")).ok()
}

#[cfg(test)]
mod tests;
