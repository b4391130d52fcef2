//! Every action of the API, parsed from the method and the escaped path.
//!
//! Ids of jobs may hold slashes, raw or as `%2F`, so a job's path is read from its end: the last segment is the action when it is one
//! of the known words, and everything before it is the id. (A job whose id ends in such a word is reached with `%2F` before it.)

use percent_encoding::percent_decode_str;

/// The methods that routes tell apart. PUT and POST are the same everywhere: real clients use either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Writes (PUT and POST).
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// The method of a request line, `None` for those that no route takes.
    pub fn parse(name: &str) -> Option<Method> {
        match name {
            "GET" | "HEAD" => Some(Method::Get),
            "PUT" | "POST" => Some(Method::Put),
            "DELETE" => Some(Method::Delete),
            _ => None,
        }
    }
}

/// An action.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is its path; the table in `parse` is the documentation")]
pub enum Route {
    Jobs,
    RegisterJob,
    ParseJob,
    ValidateJob,
    Job(String),
    UpdateJob(String),
    DeleteJob(String),
    JobAllocations(String),
    JobEvaluations(String),
    JobDeployments(String),
    JobDeployment(String),
    JobSummary(String),
    JobVersions(String),
    JobSubmission(String),
    JobServices(String),
    EvaluateJob(String),
    PlanJob(String),
    Allocations,
    Allocation(String),
    AllocationServices(String),
    StopAllocation(String),
    Evaluations,
    Evaluation(String),
    EvaluationAllocations(String),
    Deployments,
    Deployment(String),
    DeploymentAllocations(String),
    Nodes,
    Node(String),
    NodeAllocations(String),
    Services,
    Service(String),
    ClientLogs(String),
    RestartAllocation(String),
    SignalAllocation(String),
    StatusLeader,
    StatusPeers,
    Regions,
    AgentSelf,
    AgentMembers,
    AgentHealth,
    Metrics,
    RaftConfiguration,
    RaftRemovePeer,
    RaftAddPeer,
    RaftTransfer,
    AutopilotHealth,
    JoinToken,
    SaveSnapshot,
    RestoreSnapshot,
    RevokeNode(String),
    Authority,
    RotateAuthority,
    RootKeys,
    RotateRootKey,
    RemoveRootKey(String),
    Variables,
    Variable(String),
    PutVariable(String),
    DeleteVariable(String),
}

/// A path that leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No such path.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// Known to other servers of this API, but floe does not have it yet.
    NotSupportedYet,
}

/// First segments (after `/v1`) of paths that exist elsewhere and not here yet, so that the answer can say so.
const NOT_YET: &[&str] = &[
    "acl",
    "event",
    "namespace",
    "namespaces",
    "operator",
    "plugin",
    "plugins",
    "quota",
    "quotas",
    "quota-usages",
    "recommendation",
    "recommendations",
    "scaling",
    "search",
    "sentinel",
    "system",
    "validate",
    "volume",
    "volumes",
];
/// Actions of a job that exist elsewhere and not here yet: the last segment, and the one before it where the action has two.
const JOB_NOT_YET: &[(&str, Option<&str>)] = &[
    ("dispatch", None),
    ("revert", None),
    ("stable", None),
    ("scale", None),
    ("actions", None),
    ("action", None),
    ("force", Some("periodic")),
    ("payload", Some("dispatch")),
];

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

impl Route {
    /// The action of a request. `path` is as it came: escaped, without the query.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(method: Method, path: &str) -> Result<Route, RouteError> {
        let rest = path.strip_prefix("/v1/").ok_or(RouteError::NotFound)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (head, tail) = rest.split_once('/').map_or((rest, None), |(h, t)| (h, Some(t)));
        match (head, tail) {
            ("job", Some(tail)) => Self::job(method, tail),
            ("var", Some(path)) => Ok(Self::variable(method, decode(path))),
            (head, tail) => Self::fixed(method, head, &tail.map(|t| t.split('/').collect::<Vec<_>>()).unwrap_or_default()),
        }
    }

    fn job(method: Method, tail: &str) -> Result<Route, RouteError> {
        let (id, action) = tail.rsplit_once('/').unwrap_or((tail, ""));
        let read = |route: fn(String) -> Route| only(method, Method::Get, route(decode(id)));
        match action {
            "allocations" => read(Route::JobAllocations),
            "evaluations" => read(Route::JobEvaluations),
            "deployments" => read(Route::JobDeployments),
            "deployment" => read(Route::JobDeployment),
            "summary" => read(Route::JobSummary),
            "versions" => read(Route::JobVersions),
            "submission" => read(Route::JobSubmission),
            "services" => read(Route::JobServices),
            "evaluate" => only(method, Method::Put, Route::EvaluateJob(decode(id))),
            "plan" => only(method, Method::Put, Route::PlanJob(decode(id))),
            action if is_not_yet(id, action) => Err(RouteError::NotSupportedYet),
            _ => Ok(match method {
                Method::Get => Route::Job(decode(tail)),
                Method::Put => Route::UpdateJob(decode(tail)),
                Method::Delete => Route::DeleteJob(decode(tail)),
            }),
        }
    }

    fn variable(method: Method, path: String) -> Route {
        match method {
            Method::Get => Route::Variable(path),
            Method::Put => Route::PutVariable(path),
            Method::Delete => Route::DeleteVariable(path),
        }
    }

    fn fixed(method: Method, head: &str, tail: &[&str]) -> Result<Route, RouteError> {
        let read = |route: Route| only(method, Method::Get, route);
        let write = |route: Route| only(method, Method::Put, route);
        match (head, tail) {
            ("jobs", []) if method == Method::Put => Ok(Route::RegisterJob),
            ("jobs", []) => read(Route::Jobs),
            ("jobs", ["parse"]) => write(Route::ParseJob),
            ("validate", ["job"]) => write(Route::ValidateJob),
            ("allocations", []) => read(Route::Allocations),
            ("allocation", [id]) => read(Route::Allocation(decode(id))),
            ("allocation", [id, "services"]) => read(Route::AllocationServices(decode(id))),
            ("allocation", [id, "stop"]) => write(Route::StopAllocation(decode(id))),
            ("evaluations", []) if method == Method::Delete => Err(RouteError::NotSupportedYet),
            ("evaluations", []) => read(Route::Evaluations),
            ("evaluation", [id]) => read(Route::Evaluation(decode(id))),
            ("evaluation", [id, "allocations"]) => read(Route::EvaluationAllocations(decode(id))),
            ("deployments", []) => read(Route::Deployments),
            ("deployment", ["allocations", id]) => read(Route::DeploymentAllocations(decode(id))),
            ("deployment", [id]) => read(Route::Deployment(decode(id))),
            ("nodes", []) => read(Route::Nodes),
            ("node", [id]) => read(Route::Node(decode(id))),
            ("node", [id, "allocations"]) => read(Route::NodeAllocations(decode(id))),
            ("vars", []) => read(Route::Variables),
            ("services", []) => read(Route::Services),
            ("service", [name]) => read(Route::Service(decode(name))),
            ("client", ["fs", "logs", id]) => read(Route::ClientLogs(decode(id))),
            ("client", ["allocation", id, "restart"]) => write(Route::RestartAllocation(decode(id))),
            ("client", ["allocation", id, "signal"]) => write(Route::SignalAllocation(decode(id))),
            ("status", ["leader"]) => read(Route::StatusLeader),
            ("status", ["peers"]) => read(Route::StatusPeers),
            ("regions", []) => read(Route::Regions),
            ("agent", ["self"]) => read(Route::AgentSelf),
            ("agent", ["members"]) => read(Route::AgentMembers),
            ("agent", ["health"]) => read(Route::AgentHealth),
            ("metrics", []) => read(Route::Metrics),
            ("operator", ["raft", "configuration"]) => read(Route::RaftConfiguration),
            ("operator", ["raft", "peer"]) if method == Method::Put => Ok(Route::RaftAddPeer),
            ("operator", ["raft", "peer"]) => only(method, Method::Delete, Route::RaftRemovePeer),
            ("operator", ["raft", "transfer-leadership"]) => write(Route::RaftTransfer),
            ("operator", ["autopilot", "health"]) => read(Route::AutopilotHealth),
            ("operator", ["node", id, "revoke"]) => write(Route::RevokeNode(decode(id))),
            ("operator", ["ca"]) => read(Route::Authority),
            ("operator", ["ca", "rotate"]) => write(Route::RotateAuthority),
            ("operator", ["keyring", "keys"]) => read(Route::RootKeys),
            ("operator", ["keyring", "rotate"]) => write(Route::RotateRootKey),
            ("operator", ["keyring", "key", id]) => only(method, Method::Delete, Route::RemoveRootKey(decode(id))),
            ("operator", ["join-token"]) => write(Route::JoinToken),
            ("operator", ["snapshot"]) if method == Method::Put => Ok(Route::RestoreSnapshot),
            ("operator", ["snapshot"]) => read(Route::SaveSnapshot),
            ("agent" | "client" | "node" | "deployment" | "allocation" | "service" | "jobs" | "evaluations", [_, ..]) => {
                Err(RouteError::NotSupportedYet)
            }
            (head, _) if NOT_YET.contains(&head) => Err(RouteError::NotSupportedYet),
            _ => Err(RouteError::NotFound),
        }
    }

    /// Whether an id given to the request makes it be done once.
    pub fn takes_request_id(&self) -> bool {
        matches!(
            self,
            Route::RegisterJob
                | Route::UpdateJob(_)
                | Route::DeleteJob(_)
                | Route::EvaluateJob(_)
                | Route::StopAllocation(_)
                | Route::PutVariable(_)
                | Route::DeleteVariable(_)
        )
    }

    /// Whether the answer is a list, which `filter` narrows.
    pub fn is_list(&self) -> bool {
        matches!(
            self,
            Route::Jobs
                | Route::JobAllocations(_)
                | Route::JobEvaluations(_)
                | Route::JobDeployments(_)
                | Route::JobServices(_)
                | Route::Allocations
                | Route::AllocationServices(_)
                | Route::Evaluations
                | Route::EvaluationAllocations(_)
                | Route::Deployments
                | Route::DeploymentAllocations(_)
                | Route::Nodes
                | Route::NodeAllocations(_)
                | Route::Services
                | Route::Service(_)
                | Route::Variables
        )
    }

    /// The largest body that the action takes, in bytes.
    pub fn max_body(&self) -> usize {
        match self {
            Route::RegisterJob | Route::UpdateJob(_) | Route::PlanJob(_) | Route::ParseJob | Route::ValidateJob => {
                crate::MAX_JOB_BODY_BYTES
            }
            Route::RestoreSnapshot => crate::MAX_SNAPSHOT_BODY_BYTES,
            _ => crate::MAX_BODY_BYTES,
        }
    }
}

/// Whether the end of a job's path is an action that floe does not have yet. `before` is what stands before the last segment.
fn is_not_yet(before: &str, action: &str) -> bool {
    let (rest, previous) = before.rsplit_once('/').unwrap_or(("", before));
    let tag_of_version = action == "tag" && rest.ends_with("/versions");
    tag_of_version || JOB_NOT_YET.iter().any(|(last, second)| *last == action && second.is_none_or(|s| s == previous && !rest.is_empty()))
}

fn only(method: Method, wanted: Method, route: Route) -> Result<Route, RouteError> {
    if method == wanted { Ok(route) } else { Err(RouteError::MethodNotAllowed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(path: &str) -> Result<Route, RouteError> {
        Route::parse(Method::Get, path)
    }

    #[test]
    fn ids_of_jobs_may_hold_slashes_raw_or_escaped() {
        let id = "a/dispatch-1".to_owned();
        assert_eq!(get("/v1/job/a/dispatch-1"), Ok(Route::Job(id.clone())));
        assert_eq!(get("/v1/job/a%2Fdispatch-1"), Ok(Route::Job(id.clone())));
        assert_eq!(get("/v1/job/a/dispatch-1/allocations"), Ok(Route::JobAllocations(id.clone())));
        assert_eq!(get("/v1/job/a%2fdispatch-1/summary/"), Ok(Route::JobSummary(id)));
        assert_eq!(get("/v1/job/x%2Fallocations"), Ok(Route::Job("x/allocations".to_owned())));
        assert_eq!(get("/v1/job/a%20b"), Ok(Route::Job("a b".to_owned())));
    }

    #[test]
    fn put_and_post_write_alike() {
        for name in ["PUT", "POST"] {
            let method = Method::parse(name).unwrap_or(Method::Get);
            assert_eq!(Route::parse(method, "/v1/jobs"), Ok(Route::RegisterJob));
            assert_eq!(Route::parse(method, "/v1/job/a"), Ok(Route::UpdateJob("a".to_owned())));
        }
        assert_eq!(Method::parse("PATCH"), None);
    }

    #[test]
    fn what_is_not_there_says_why() {
        assert_eq!(get("/v1/jobs/parse"), Err(RouteError::MethodNotAllowed));
        assert_eq!(Route::parse(Method::Put, "/v1/job/a/scale"), Err(RouteError::NotSupportedYet));
        assert_eq!(Route::parse(Method::Put, "/v1/job/a/b/plan"), Ok(Route::PlanJob("a/b".to_owned())));
        assert_eq!(get("/v1/job/a/plan"), Err(RouteError::MethodNotAllowed));
        for path in ["/v1/job/a/b/periodic/force", "/v1/job/a/dispatch/payload", "/v1/job/a/versions/x/tag"] {
            assert_eq!(Route::parse(Method::Put, path), Err(RouteError::NotSupportedYet), "{path}");
        }
        assert_eq!(get("/v1/job/periodic/force"), Ok(Route::Job("periodic/force".to_owned())));
        assert_eq!(get("/v1/job/a/force"), Ok(Route::Job("a/force".to_owned())));
        assert_eq!(Route::parse(Method::Delete, "/v1/evaluations"), Err(RouteError::NotSupportedYet));
        assert_eq!(get("/v1/vars"), Ok(Route::Variables));
        assert_eq!(get("/v1/var/a/b%20c"), Ok(Route::Variable("a/b c".to_owned())));
        assert_eq!(get("/v1/search"), Err(RouteError::NotSupportedYet));
        assert_eq!(get("/v1/nonsense"), Err(RouteError::NotFound));
        assert_eq!(get("/"), Err(RouteError::NotFound));
    }

    proptest! {
        #[test]
        fn any_path_is_routed_or_refused(path in "(/v1)?(/[a-z%0-9]{0,8}){0,5}|.{0,40}") {
            for m in [Method::Get, Method::Put, Method::Delete] {
                let _ = Route::parse(m, &path);
            }
        }
    }
}
