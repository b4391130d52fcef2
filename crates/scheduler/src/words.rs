//! The sentences that allocations, evaluations and deployments carry. One place, so that API, CLI and UI print the same.

/// A stop: the job wants fewer, or nothing of this group.
pub(crate) const NOT_NEEDED: &str = "no longer needed by the job";
/// A stop: the whole job is stopped.
pub(crate) const JOB_STOPPED: &str = "its job is stopped";
/// A stop: a user or a drain moves it.
pub(crate) const MOVED: &str = "moved to another place";
/// A stop: a new version takes its place.
pub(crate) const REPLACED: &str = "replaced by a newer version of its job";
/// A stop: the node does not answer any more.
pub(crate) const NODE_DOWN: &str = "lost since its node is down";
/// A wait: the node does not answer any more, and is to end the allocation by itself before another one takes its place.
pub(crate) const NODE_CUT_OFF: &str = "its node is down, and ends it by itself first (stop_on_client_after)";
/// An evaluation that looks again when such a node has done so.
pub(crate) const AFTER_CUT_OFF: &str = "replaces what nodes that are down have ended by then";
/// A stop: the node was removed.
pub(crate) const NODE_GONE: &str = "lost since its node is gone";
/// A stop: it failed, and another takes its place.
pub(crate) const RESCHEDULED: &str = "failed and was replaced";
/// A stop: it failed, and another will take its place.
pub(crate) const WAITS: &str = "failed and will be replaced after a delay";
/// A stop: the node is not among those of a system job any more.
pub(crate) const NODE_LEFT_OUT: &str = "its node is not meant for the job any more";
/// An update in place.
pub(crate) const UPDATED: &str = "updated in place";

/// An evaluation that waits for room.
pub(crate) const BLOCKED: &str = "waits for nodes that can take what could not be placed";
/// An evaluation after too many plans met a changed cluster.
pub(crate) const BLOCKED_BY_CONFLICTS: &str = "waits after its plans met a changed cluster too often";
/// An evaluation that will replace failed allocations.
pub(crate) const DELAYED: &str = "replaces failed allocations after their delay";
/// An evaluation that goes on with the update of a system job.
pub(crate) const NEXT_BATCH: &str = "goes on with the update";

/// A deployment that begins.
pub(crate) const DEPLOYMENT_RUNS: &str = "Deployment is running";
/// A deployment of an older version.
pub(crate) const DEPLOYMENT_OUTDATED: &str = "Cancelled due to newer version of job";
/// A deployment of a job that is stopped.
pub(crate) const DEPLOYMENT_STOPPED: &str = "Cancelled because job is stopped";
