//! The folder of an agent that leaves nothing behind. It is always the same one for one network, so that the next agent finds (and ends) what
//! one that was killed left running.

use anyhow::Context;
use floe_consensus::DataFolder;
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Where such folders are: on a disk, and not where another user could be first.
const PARENT: &str = "/var/lib";

/// A folder that goes with its agent.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// The folder called `name`, empty.
    pub(crate) fn take(name: &str) -> anyhow::Result<Self> {
        let path = path(name);
        clear(&path)?;
        crate::files::make_private_folder(&path).with_context(|| format!("make data folder {}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it. To be called when nothing of the agent runs any more.
    pub(crate) fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, folder = %self.path.display(), "the data folder was not removed");
        }
    }
}

fn path(name: &str) -> PathBuf {
    let network = |pid: &str| std::fs::metadata(format!("/proc/{pid}/ns/net")).map(|m| m.ino());
    match (network("self"), network("1")) {
        (Ok(own), Ok(machine)) if own != machine => Path::new(PARENT).join(format!("{name}-{own}")),
        _ => Path::new(PARENT).join(name),
    }
}

/// Ends what an earlier agent that was killed left behind, and forgets its state.
fn clear(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let lock = DataFolder::open(path)?;
    let ended = floe_client::end_leftovers(path).map_err(|e| anyhow::anyhow!("clear {}: {e}", path.display()))?;
    if ended > 0 {
        crate::output::warning(&format!("ended {ended} task{} of an earlier agent that was killed", if ended == 1 { "" } else { "s" }));
    }
    std::fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
    drop(lock);
    Ok(())
}
