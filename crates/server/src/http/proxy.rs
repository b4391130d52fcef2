//! Passing requests on: to a server when this agent is none, and to the agent of another node for what only that node knows.

use super::{Agent, Ctx, answer::Failure};
use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    response::Response,
};
use floe_model::Node;
use std::sync::LazyLock;
use std::time::Duration;

static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .build()
        .expect("invariant: a client without TLS or proxies has nothing that can fail")
});

/// Headers that speak of one connection and are not passed on.
const HOP_BY_HOP: &[header::HeaderName] =
    &[header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::HOST, header::CONTENT_LENGTH];

/// Marks a request to the agent of a node: it is answered there or nowhere.
pub(super) const PASSED_ON: &str = "x-floe-passed-on";

fn upstream(agent: &Agent) -> Result<&String, Failure> {
    agent.upstream.as_ref().ok_or_else(|| Failure::text(StatusCode::BAD_GATEWAY, "this agent knows no server"))
}

/// Passes a request on to a server.
pub(super) async fn to_server(agent: &Agent, request: Request, max_body: usize) -> Result<Response, Failure> {
    let server = upstream(agent)?;
    let (parts, body) = request.into_parts();
    let target = format!("http://{server}{}", parts.uri.path_and_query().map_or("/", |p| p.as_str()));
    let body = super::read_body(body, max_body).await?;
    let mut out = HTTP.request(parts.method, target).body(body);
    for (name, value) in parts.headers.iter().filter(|(n, _)| !HOP_BY_HOP.contains(n)) {
        out = out.header(name, value);
    }
    pass(out, &format!("server {server}")).await
}

/// Asks a server for `path`, with the query of the present request.
pub(super) async fn ask_server(ctx: &Ctx, path: &str) -> Result<Response, Failure> {
    let server = upstream(&ctx.agent)?;
    pass(HTTP.get(format!("http://{server}{path}")).query(&query_of(ctx)), &format!("server {server}")).await
}

fn query_of(ctx: &Ctx) -> Vec<(String, String)> {
    ctx.query.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// Asks the agent of another node, with the query of the present request.
pub(super) async fn to_node(node: &Node, ctx: &Ctx, path: &str) -> Result<Response, Failure> {
    if node.http_addr.is_empty() {
        return Err(Failure::text(StatusCode::BAD_GATEWAY, format!("node {} has no HTTP address", node.name)));
    }
    let request = HTTP.get(format!("http://{}{path}", node.http_addr)).query(&query_of(ctx)).header(PASSED_ON, "true");
    pass(request, &format!("node {} at {}", node.name, node.http_addr)).await
}

async fn pass(request: reqwest::RequestBuilder, whom: &str) -> Result<Response, Failure> {
    let answer = request.send().await.map_err(|e| Failure::text(StatusCode::BAD_GATEWAY, format!("cannot reach {whom}: {e}")))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    for (name, value) in answer.headers().iter().filter(|(n, _)| !HOP_BY_HOP.contains(n)) {
        response.headers_mut().append(name, value.clone());
    }
    *response.body_mut() = Body::from_stream(answer.bytes_stream());
    Ok(response)
}
