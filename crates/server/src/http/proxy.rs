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

/// Passes a request on to a server.
pub(super) async fn to_server(agent: &Agent, request: Request) -> Result<Response, Failure> {
    let server = agent.upstream.as_ref().ok_or_else(|| Failure::text(StatusCode::BAD_GATEWAY, "this agent knows no server"))?;
    let (parts, body) = request.into_parts();
    let target = format!("http://{server}{}", parts.uri.path_and_query().map_or("/", |p| p.as_str()));
    let body = axum::body::to_bytes(body, floe_api::MAX_JOB_BODY_BYTES).await.map_err(Failure::bad)?;
    let mut out = HTTP.request(parts.method, target).body(body);
    for (name, value) in parts.headers.iter().filter(|(n, _)| !HOP_BY_HOP.contains(n)) {
        out = out.header(name, value);
    }
    pass(out, &format!("server {server}")).await
}

/// Asks the agent of another node, with the query of the present request.
pub(super) async fn to_node(node: &Node, ctx: &Ctx, path: &str) -> Result<Response, Failure> {
    if node.http_addr.is_empty() {
        return Err(Failure::text(StatusCode::BAD_GATEWAY, format!("node {} has no HTTP address", node.name)));
    }
    let query: Vec<(String, String)> = ctx.query.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    pass(HTTP.get(format!("http://{}{path}", node.http_addr)).query(&query), &format!("node {} at {}", node.name, node.http_addr)).await
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
