//! The HTTP API of an agent: one extractor layer that keeps the wire's rules, and one function an action.
//!
//! The rules (what real clients rely on): PUT and POST are the same; JSON keys match in any case; booleans of queries are Go's words;
//! errors are plain text; reads carry `X-Nomad-Index`, `-KnownLeader` and `-LastContact`; a read with `index` waits until there is
//! something newer; answers are compressed when asked for. An agent that is no server passes what it cannot answer on to one.

mod act;
mod agent;
mod allocs;
mod answer;
mod authority;
mod blocking;
mod deployments;
mod evals;
mod jobs;
mod keyring;
mod logs;
mod metrics;
mod nodes;
mod operator;
mod page;
mod plan;
mod proxy;
mod services;
mod snapshot;
mod variables;
mod waiting;

use crate::server::Server;
use answer::{Failure, Reply};
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use floe_api::{Method, NodeApi, Query, Route, RouteError};
use floe_rpc::{Security, Servers};
use floe_state::{
    Command, Digest, Outcome,
    requests::{MAX_REQUEST_ID_BYTES, RequestId},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tower_http::compression::{
    CompressionLayer,
    predicate::{DefaultPredicate, NotForContentType, Predicate},
};

pub(crate) use plan::MAX_PLANS;
pub use waiting::waiting_router;

/// The parts of an agent that answer requests.
#[derive(Clone)]
pub struct Agent {
    /// The server part, when it has one.
    pub server: Option<Server>,
    /// The node part, once it has started.
    pub node: Arc<OnceLock<Arc<dyn NodeApi>>>,
    /// Where servers listen for RPC.
    pub servers: Servers,
    /// How agents speak with each other.
    pub security: Security,
    /// What the agent says of itself: its configuration as JSON, secrets left out.
    pub config: Arc<serde_json::Value>,
    /// The version of this build.
    pub version: &'static str,
}

/// The API as a service.
pub fn router(agent: Agent) -> Router {
    // A log that is followed must not wait in a compressor's buffer.
    let compress = CompressionLayer::new()
        .gzip(true)
        .compress_when(DefaultPredicate::new().and(NotForContentType::const_new("application/octet-stream")));
    Router::new().fallback(entry).with_state(agent).layer(compress)
}

/// (The router answers HEAD with the head of what GET answers.)
async fn entry(State(agent): State<Agent>, request: Request) -> Response {
    dispatch(agent, request).await.unwrap_or_else(Failure::into_response)
}

/// A request, taken apart.
pub(crate) struct Ctx {
    pub(crate) agent: Agent,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    /// The id that the caller gave this write.
    pub(crate) request: Option<RequestId>,
    /// Another agent asks, because it found that this one must know.
    pub(crate) passed_on: bool,
}

async fn dispatch(agent: Agent, request: Request) -> Result<Response, Failure> {
    let method =
        Method::parse(request.method().as_str()).ok_or_else(|| Failure::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"))?;
    let uri = request.uri().clone();
    if let Some(response) = plain_health(&agent, uri.path()) {
        return Ok(response);
    }
    let route = Route::parse(method, uri.path()).map_err(|error| match error {
        RouteError::NotFound => Failure::text(StatusCode::NOT_FOUND, format!("no such path: {}", uri.path())),
        RouteError::MethodNotAllowed => {
            Failure::text(StatusCode::METHOD_NOT_ALLOWED, format!("method {} not allowed on {}", request.method(), uri.path()))
        }
        RouteError::NotSupportedYet => {
            Failure::text(StatusCode::NOT_IMPLEMENTED, format!("not supported yet: {} {}", request.method(), uri.path()))
        }
    })?;
    if agent.server.is_none() && !answers_alone(&agent, &route) {
        return proxy::to_server(&agent, request, route.max_body()).await;
    }
    let query = Query::parse(uri.query().unwrap_or("")).map_err(Failure::bad)?;
    if query.get("filter").is_some_and(|f| !f.is_empty()) && !route.is_list() {
        return Err(Failure::bad(format!(
            "query parameter filter: {} {} answers no list that it could narrow",
            request.method(),
            uri.path()
        )));
    }
    check_region(&agent, query.get("region"))?;
    let token = query.get("idempotency_token").filter(|t| !t.is_empty()).map(str::to_owned).or_else(|| idempotency_key(&request));
    let request_line = format!("{} {uri}\n", request.method());
    let passed_on = request.headers().contains_key(proxy::PASSED_ON);
    let body = read_body(request.into_body(), route.max_body()).await?;
    let request = request_id(token, &route, request_line, &body)?;
    let ctx = Ctx { agent, query, body, request, passed_on };
    let pretty = ctx.query.flag("pretty").map_err(Failure::bad)?;
    Ok(run(&ctx, route).await?.into_response(pretty))
}

/// The id in the header of the RFC draft, which puts it in quotes.
fn idempotency_key(request: &Request) -> Option<String> {
    let text = request.headers().get("idempotency-key")?.to_str().ok()?.trim();
    Some(text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text).to_owned())
}

/// Which write this is, if the caller gave it an id.
fn request_id(token: Option<String>, route: &Route, request_line: String, body: &[u8]) -> Result<Option<RequestId>, Failure> {
    let Some(id) = token else { return Ok(None) };
    if !route.takes_request_id() {
        return Err(Failure::bad("not supported yet: an idempotency token for this request"));
    }
    if id.is_empty() || id.len() > MAX_REQUEST_ID_BYTES {
        return Err(Failure::bad(format!("the idempotency token has {} bytes, and 1 to {MAX_REQUEST_ID_BYTES} are allowed", id.len())));
    }
    let digest = Digest::of_bytes(&[request_line.as_bytes(), body].concat());
    Ok(Some(RequestId { id, digest }))
}

/// There is one region so far; a request for another one must not be answered by this one.
fn check_region(agent: &Agent, wanted: Option<&str>) -> Result<(), Failure> {
    let own = agent.server.as_ref().map(|s| s.config().region.as_str());
    match (wanted, own) {
        (Some(wanted), Some(own)) if !wanted.is_empty() && wanted != own => {
            let message = format!("No path to region: this server serves {own:?} and knows no other, but {wanted:?} was asked for");
            Err(Failure::text(StatusCode::GATEWAY_TIMEOUT, message))
        }
        _ => Ok(()),
    }
}

/// Probes for load balancers.
fn plain_health(agent: &Agent, path: &str) -> Option<Response> {
    match path {
        "/livez" => Some("ok\n".into_response()),
        "/healthz" | "/readyz" => {
            let health = agent::health(agent);
            let ok = [&health.client, &health.server].into_iter().flatten().all(|p| p.ok);
            let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            Some((status, if ok { "ok\n" } else { "not ready\n" }).into_response())
        }
        _ => None,
    }
}

/// Whether an agent without a server part answers this by itself.
fn answers_alone(agent: &Agent, route: &Route) -> bool {
    match route {
        Route::AgentSelf | Route::AgentHealth | Route::Metrics => true,
        Route::ClientLogs(_) | Route::RestartAllocation(_) | Route::SignalAllocation(_) => agent.node.get().is_some(),
        _ => false,
    }
}

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads a body. One that is announced to be too large is refused before it comes.
async fn read_body(body: Body, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || Failure::text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than the limit of {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, limit));
    let late = |_| Failure::text(StatusCode::REQUEST_TIMEOUT, format!("the body took longer than {} s", BODY_TIMEOUT.as_secs()));
    read.await.map_err(late)?.map_err(|error| {
        if std::error::Error::source(&error).is_some_and(|s| s.to_string().contains("length limit")) {
            too_large()
        } else {
            Failure::text(StatusCode::BAD_REQUEST, format!("read the body: {error}"))
        }
    })
}

async fn run(ctx: &Ctx, route: Route) -> Result<Reply, Failure> {
    match route {
        Route::Jobs => jobs::list(ctx).await,
        Route::RegisterJob => jobs::register(ctx, None).await,
        Route::UpdateJob(id) => jobs::register(ctx, Some(id)).await,
        Route::ParseJob => jobs::parse(ctx),
        Route::ValidateJob => jobs::validate(ctx),
        Route::Job(id) => jobs::read(ctx, id).await,
        Route::DeleteJob(id) => jobs::stop(ctx, id).await,
        Route::EvaluateJob(id) => jobs::evaluate(ctx, id).await,
        Route::PlanJob(id) => plan::plan(ctx, id).await,
        Route::JobSummary(id) => jobs::summary(ctx, id).await,
        Route::JobVersions(id) => jobs::versions(ctx, id).await,
        Route::JobSubmission(id) => jobs::submission(ctx, id).await,
        Route::JobServices(id) => services::of_job(ctx, id).await,
        Route::JobAllocations(id) => allocs::of_job(ctx, id).await,
        Route::JobEvaluations(id) => evals::of_job(ctx, id).await,
        Route::JobDeployments(id) => deployments::of_job(ctx, id).await,
        Route::JobDeployment(id) => deployments::latest_of_job(ctx, id).await,
        Route::Allocations => allocs::list(ctx).await,
        Route::Allocation(id) => allocs::read(ctx, id).await,
        Route::AllocationServices(id) => services::of_alloc(ctx, id).await,
        Route::StopAllocation(id) => allocs::stop(ctx, id).await,
        Route::Evaluations => evals::list(ctx).await,
        Route::Evaluation(id) => evals::read(ctx, id).await,
        Route::EvaluationAllocations(id) => allocs::of_eval(ctx, id).await,
        Route::Deployments => deployments::list(ctx).await,
        Route::Deployment(id) => deployments::read(ctx, id).await,
        Route::DeploymentAllocations(id) => allocs::of_deployment(ctx, id).await,
        Route::Nodes => nodes::list(ctx).await,
        Route::Node(id) => nodes::read(ctx, id).await,
        Route::NodeAllocations(id) => allocs::of_node(ctx, id).await,
        Route::Services => services::list(ctx).await,
        Route::Service(name) => services::read(ctx, name).await,
        Route::ClientLogs(id) => logs::read(ctx, id).await,
        Route::RestartAllocation(id) => act::restart(ctx, id).await,
        Route::SignalAllocation(id) => act::signal(ctx, id).await,
        Route::StatusLeader => agent::leader(ctx),
        Route::StatusPeers => agent::peers(ctx),
        Route::Regions => agent::regions(ctx),
        Route::AgentSelf => agent::about(ctx).await,
        Route::AgentMembers => agent::members(ctx).await,
        Route::AgentHealth => agent::health_reply(ctx),
        Route::Metrics => metrics::read(ctx).await,
        Route::RaftConfiguration => operator::configuration(ctx),
        Route::RaftRemovePeer => operator::remove(ctx).await,
        Route::RaftAddPeer => operator::add(ctx).await,
        Route::RaftTransfer => operator::transfer(ctx).await,
        Route::AutopilotHealth => operator::health(ctx).await,
        Route::Authority => authority::status(ctx).await,
        Route::RotateAuthority => authority::rotate(ctx).await,
        Route::RootKeys => keyring::list(ctx).await,
        Route::RotateRootKey => keyring::rotate(ctx).await,
        Route::RemoveRootKey(id) => keyring::remove(ctx, id).await,
        Route::Variables => variables::list(ctx).await,
        Route::Variable(path) => variables::read(ctx, path).await,
        Route::PutVariable(path) => variables::put(ctx, path).await,
        Route::DeleteVariable(path) => variables::delete(ctx, path).await,
        Route::RevokeNode(id) => operator::revoke(ctx, id).await,
        Route::JoinToken => operator::join_token(ctx).await,
        Route::SaveSnapshot => snapshot::save(ctx).await,
        Route::RestoreSnapshot => snapshot::restore(ctx).await,
    }
}

impl Ctx {
    /// Writes a change; once, if the caller gave it an id.
    pub(crate) async fn write(&self, command: Command) -> Result<(u64, Outcome), Failure> {
        Ok(self.server()?.propose(self.once(command)).await?)
    }

    /// The change, to be made once if the caller gave it an id.
    fn once(&self, command: Command) -> Command {
        match self.request.clone() {
            Some(request) => Command::Once { request, command: Box::new(command) },
            None => command,
        }
    }

    /// The server part. An agent without one never comes here: `dispatch` passes those requests on.
    pub(crate) fn server(&self) -> Result<&Server, Failure> {
        self.agent.server.as_ref().ok_or_else(|| Failure::text(StatusCode::NOT_FOUND, "this agent is not a server"))
    }
}
