//! Where an allocation's folders are.
//!
//! ```text
//! <data>/alloc/<allocation>/            closed to everybody but root
//!   alloc/{data,logs,tmp}               shared by the tasks; NOMAD_ALLOC_DIR
//!   <task>/{local,secrets,private,tmp}  one task's; NOMAD_TASK_DIR is local
//! <data>/alloc/<allocation>/<task>/image    what a task wrote into its image; gone when it ends
//! <data>/client/images                      images of containers
//! <data>/client/shims/<allocation>.<task>   the records of the task's shim
//! ```

use floe_model::AllocId;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The longest task name that is used as it is; it names files and a cgroup.
const MAX_PLAIN_NAME: usize = 80;

/// A task's name as part of a file name: itself when it is harmless, else a digest of it.
pub(crate) fn file_name(task: &str) -> String {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !task.is_empty() && task.len() <= MAX_PLAIN_NAME && task.bytes().all(harmless) {
        return task.to_owned();
    }
    let digest = Sha256::digest(task.as_bytes());
    // A dot keeps digests apart from names.
    digest.iter().take(16).fold("t.".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// The folders of a node.
#[derive(Clone, Debug)]
pub(crate) struct NodePaths {
    allocs: PathBuf,
    shims: PathBuf,
    images: PathBuf,
}

impl NodePaths {
    pub(crate) fn new(data: &Path) -> Self {
        Self { allocs: data.join("alloc"), shims: data.join("client/shims"), images: data.join("client/images") }
    }
    /// The folder of all allocations.
    pub(crate) fn allocs(&self) -> &Path {
        &self.allocs
    }
    /// The folder of all shims' records.
    pub(crate) fn shims(&self) -> &Path {
        &self.shims
    }
    /// The folder of all images.
    pub(crate) fn images(&self) -> &Path {
        &self.images
    }
    /// The folders of one allocation.
    pub(crate) fn alloc(&self, id: &AllocId) -> AllocPaths {
        AllocPaths { root: self.allocs.join(id.as_str()) }
    }
    /// The records of a task's shim.
    pub(crate) fn shim(&self, id: &AllocId, task: &str) -> PathBuf {
        self.shims.join(shim_id(id, task))
    }
}

/// What a task is called by the runtime.
pub(crate) fn shim_id(id: &AllocId, task: &str) -> String {
    format!("{id}.{}", file_name(task))
}

/// The folders of one allocation.
#[derive(Clone, Debug)]
pub(crate) struct AllocPaths {
    pub(crate) root: PathBuf,
}

impl AllocPaths {
    pub(crate) fn shared(&self) -> PathBuf {
        self.root.join("alloc")
    }
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("alloc/logs")
    }
    pub(crate) fn task(&self, task: &str) -> PathBuf {
        // Validation keeps a task from being called "alloc".
        self.root.join(file_name(task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tasks_are_safe_and_distinct() {
        assert_eq!(file_name("web-1_x"), "web-1_x");
        for odd in ["", "a b", "..", "a/b", "ü", &"x".repeat(MAX_PLAIN_NAME + 1)] {
            let name = file_name(odd);
            assert!(name.starts_with("t.") && name.len() == 34, "{odd:?} {name}");
        }
        assert_ne!(file_name("a b"), file_name("a  b"));
        assert_eq!(file_name(&"x".repeat(MAX_PLAIN_NAME)).len(), MAX_PLAIN_NAME);
    }
}
