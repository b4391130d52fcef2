//! Identifiers. Each kind has its own type, so that an allocation's id is never passed where a node's is meant.

id! {
    /// A job's id: chosen by the user, unique within its namespace. Slashes are legal.
    pub struct JobId;
    /// A namespace's name: the scope of job ids and of access rights.
    pub struct Namespace;
    /// A node's id: a UUID that the client made when it first started.
    pub struct NodeId;
    /// An allocation's id: a UUID stamped by the leader.
    pub struct AllocId;
    /// An evaluation's id: a UUID stamped by the leader.
    pub struct EvalId;
    /// A deployment's id: a UUID stamped by the leader.
    pub struct DeploymentId;
}

/// The namespace that is used where none is named.
pub const DEFAULT_NAMESPACE: &str = "default";
/// The region that is used where none is named.
pub const DEFAULT_REGION: &str = "global";
/// The node pool of nodes and jobs that name none.
pub const DEFAULT_NODE_POOL: &str = "default";
/// The built-in pool that holds every node.
pub const ALL_NODE_POOL: &str = "all";

/// What a job is known by: its namespace and its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct JobKey {
    /// The namespace of the job.
    pub namespace: Namespace,
    /// The id of the job within it.
    pub id: JobId,
}

impl JobKey {
    /// The key of `id` in `namespace`.
    pub fn new(namespace: impl Into<Namespace>, id: impl Into<JobId>) -> Self {
        Self { namespace: namespace.into(), id: id.into() }
    }
}

impl std::fmt::Display for JobKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.id, self.namespace)
    }
}

impl AllocId {
    /// The first eight characters, as people write them.
    pub fn short(&self) -> &str {
        short(self.as_str())
    }
}

/// The first eight characters of an id (or all of it when shorter).
pub fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// The name of an allocation: `job.group[index]`.
pub fn alloc_name(job: &JobId, group: &str, index: u32) -> String {
    format!("{job}.{group}[{index}]")
}

/// The index in an allocation's name, `None` when the name has none.
pub fn alloc_index(name: &str) -> Option<u32> {
    name.strip_suffix(']')?.rsplit_once('[')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn alloc_names_carry_their_index() {
        let name = alloc_name(&JobId::new("web[1]/x"), "g", 12);
        assert_eq!(name, "web[1]/x.g[12]");
        assert_eq!(alloc_index(&name), Some(12));
        assert_eq!(alloc_index("web.g"), None);
        assert_eq!(alloc_index("web.g[x]"), None);
    }

    #[test]
    fn short_ids_never_split_a_character() {
        assert_eq!(short("0123456789"), "01234567");
        assert_eq!(short("abc"), "abc");
        assert_eq!(short("aaaaaaaé"), "aaaaaaaé");
    }
}
