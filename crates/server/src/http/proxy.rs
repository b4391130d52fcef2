//! Passing requests on: to a server when this agent is none, and to the agent of another node for what only that node knows. Both go to
//! the other's RPC port.

use super::{Agent, Ctx, answer::Failure};
use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use floe_model::{AllocId, Node};
use floe_rpc::{CallError, Channels, Security};
use http_body_util::Full;
use std::time::Duration;

/// How long the other side may take to begin its answer: longer than the longest wait of a blocking query.
const ANSWER: Duration = Duration::from_secs(6 * 60);

/// Headers that speak of one connection and are not passed on.
const HOP_BY_HOP: &[header::HeaderName] =
    &[header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::HOST, header::CONTENT_LENGTH];

/// Marks a request to the agent of a node: it is answered there or nowhere.
pub(super) const PASSED_ON: &str = "x-floe-passed-on";

/// A request that goes to another agent.
struct Forward {
    method: Method,
    path_and_query: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Passes a request on to a server.
pub(super) async fn to_server(agent: &Agent, request: Request, max_body: usize) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let path_and_query = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let body = super::read_body(body, max_body).await?;
    let mut headers = parts.headers;
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
    ask_servers(agent, &Forward { method: parts.method, path_and_query, headers, body }).await
}

/// Asks a server for `path`, with the query and body of the present request.
pub(super) async fn ask_server(ctx: &Ctx, method: Method, path: &str) -> Result<Response, Failure> {
    ask_servers(&ctx.agent, &again(ctx, method, path, HeaderMap::new())).await
}

/// Asks the node of an allocation, unless that is the one in this process, or this agent is no server and must find out by itself.
pub(super) async fn to_node_of(ctx: &Ctx, id: &AllocId, method: Method, path: &str) -> Result<Option<Response>, Failure> {
    let Some(server) = &ctx.agent.server else { return Ok(None) };
    let view = server.view();
    let alloc = view.alloc(id).ok_or_else(|| Failure::not_found("alloc"))?;
    if ctx.agent.node.get().is_some_and(|n| n.node_id() == alloc.node_id) {
        return Ok(None);
    }
    let node = view.node(&alloc.node_id).ok_or_else(|| Failure::not_found("node"))?;
    to_node(node, ctx, method, path).await.map(Some)
}

/// Asks the leader for `path`, for what only it knows.
pub(super) async fn to_leader(ctx: &Ctx, path: &str) -> Result<Response, Failure> {
    let leader = ctx.server()?.consensus().status().leader.map(|l| l.address.rpc);
    let Some(address) = leader.filter(|_| !ctx.passed_on) else {
        return Err(Failure::text(StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader"));
    };
    let answer = send(ctx.agent.servers.channels(), &address, &again(ctx, Method::GET, path, passed_on())).await;
    answer.map_err(|e| Failure::text(StatusCode::BAD_GATEWAY, format!("cannot reach the leader at {address}: {e}")))
}

fn passed_on() -> HeaderMap {
    HeaderMap::from_iter([(header::HeaderName::from_static(PASSED_ON), header::HeaderValue::from_static("true"))])
}

/// Asks the agent of another node, with the query and body of the present request.
async fn to_node(node: &Node, ctx: &Ctx, method: Method, path: &str) -> Result<Response, Failure> {
    let Some(address) = node.attributes.get(floe_api::RPC_ADDRESS_ATTRIBUTE).filter(|a| !a.is_empty()) else {
        return Err(Failure::text(StatusCode::BAD_GATEWAY, format!("node {} does not say where its agent listens", node.name)));
    };
    let answer = send(&channels_to(node, &ctx.agent.security)?, address, &again(ctx, method, path, passed_on())).await;
    answer.map_err(|e| Failure::text(StatusCode::BAD_GATEWAY, format!("cannot reach node {} at {address}: {e}", node.name)))
}

/// A way to the agent of this node, and to no other. What is asked of nodes is asked rarely, so the connection is not kept.
fn channels_to(node: &Node, security: &Security) -> Result<Channels, Failure> {
    match security {
        Security::Plain => Ok(Channels::new(Security::Plain)),
        Security::Tls(credentials) => {
            let unusable = |e| Failure::text(StatusCode::BAD_GATEWAY, format!("node {} joined without a certificate: {e}", node.name));
            Ok(Channels::with_config(credentials.agent_config(node.id.as_str().parse().map_err(unusable)?)))
        }
    }
}

fn again(ctx: &Ctx, method: Method, path: &str, headers: HeaderMap) -> Forward {
    Forward { method, path_and_query: format!("{path}{}", ctx.query.to_uri()), headers, body: ctx.body.clone() }
}

/// Asks one server after the other, until one can be reached.
async fn ask_servers(agent: &Agent, forward: &Forward) -> Result<Response, Failure> {
    let (mut last, mut reason) = ("this agent knows no server".to_owned(), None);
    for server in agent.servers.all() {
        match send(agent.servers.channels(), &server, forward).await {
            Ok(response) => return Ok(response),
            Err(error) => {
                agent.servers.failed(&server);
                last = format!("cannot reach server {server}: {error}");
                if !error.is_certainly_unsent() {
                    // It may be a write, which that server has taken.
                    reason = Some(floe_api::Reason::InDoubt);
                    break;
                }
            }
        }
    }
    Err(Failure::text(StatusCode::BAD_GATEWAY, last).with_reason(reason))
}

async fn send(channels: &Channels, address: &str, forward: &Forward) -> Result<Response, CallError> {
    let mut request = Request::builder().method(forward.method.clone()).uri(channels.uri(address, &forward.path_and_query));
    if let Some(headers) = request.headers_mut() {
        headers.clone_from(&forward.headers);
    }
    let unusable = |e: axum::http::Error| CallError::Connect { address: address.to_owned(), source: std::io::Error::other(e) };
    let mut response = channels.call(address, request.body(Full::new(forward.body.clone())).map_err(unusable)?, ANSWER).await?;
    HOP_BY_HOP.iter().for_each(|name| drop(response.headers_mut().remove(name)));
    Ok(response.map(Body::new))
}
