//! A write whose answer got lost is sent again under the same id; one that never left is not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_api::{ApiClient, ApiError, types::JobRegisterRequest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Reads a request, and returns the id in its line.
async fn id_of(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|w| w == b"\r\n\r\n") {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the request ended early");
        bytes.extend_from_slice(&piece[..read]);
    }
    let text = String::from_utf8(bytes).unwrap();
    let line = text.lines().next().unwrap();
    Some(line.split_once("idempotency_token=")?.1.split(['&', ' ']).next().unwrap().to_owned())
}

async fn answer(stream: TcpStream, status: &str, body: &str) {
    answer_with(stream, status, "", body).await;
}

/// An answer with a reason, for what it is.
async fn answer_with(mut stream: TcpStream, status: &str, reason: &str, body: &str) {
    let reason = if reason.is_empty() { String::new() } else { format!("X-Floe-Reason: {reason}\r\n") };
    let text = format!("HTTP/1.1 {status}\r\n{reason}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_and_a_doubt_are_asked_about_again_under_one_id() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ApiClient::new(&listener.local_addr().unwrap().to_string(), None, None).unwrap();
    let agent = tokio::spawn(async move {
        let mut ids = Vec::new();
        let (mut lost, _) = listener.accept().await.unwrap();
        ids.push(id_of(&mut lost).await.unwrap());
        drop(lost);
        let (mut doubt, _) = listener.accept().await.unwrap();
        ids.push(id_of(&mut doubt).await.unwrap());
        answer_with(doubt, "500 Internal Server Error", "in-doubt", "the leader was lost meanwhile").await;
        let (mut done, _) = listener.accept().await.unwrap();
        ids.push(id_of(&mut done).await.unwrap());
        answer(done, "200 OK", "{\"EvalID\": \"e\", \"Index\": 7}").await;
        ids
    });
    let response = client.register_job(&JobRegisterRequest::default()).await.unwrap();
    assert_eq!(response.index, 7);
    let ids = agent.await.unwrap();
    assert!(ids.iter().all(|id| id.len() == 36 && *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn what_the_cluster_cannot_remember_yet_is_sent_once_without_an_id() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ApiClient::new(&listener.local_addr().unwrap().to_string(), None, None).unwrap();
    let agent = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        assert!(id_of(&mut first).await.is_some());
        answer_with(first, "500 Internal Server Error", "ahead-of-cluster", "propose register-job: too early").await;
        let (mut second, _) = listener.accept().await.unwrap();
        assert!(id_of(&mut second).await.is_none());
        answer(second, "200 OK", "{}").await;
    });
    client.register_job(&JobRegisterRequest::default()).await.unwrap();
    agent.await.unwrap();
}

#[tokio::test]
async fn words_alone_are_for_people() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ApiClient::new(&listener.local_addr().unwrap().to_string(), None, None).unwrap();
    let agent = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        assert!(id_of(&mut first).await.is_some());
        answer(first, "500 Internal Server Error", "job x: it may still be carried out, and needs cluster version 2").await;
    });
    let error = client.register_job(&JobRegisterRequest::default()).await.unwrap_err();
    assert!(matches!(&error, ApiError::Refused { status: 500, reason: None, .. }), "{error:?}");
    agent.await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ApiClient::new(&listener.local_addr().unwrap().to_string(), None, None).unwrap();
    drop(listener);
    let start = std::time::Instant::now();
    let error = client.register_job(&JobRegisterRequest::default()).await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable { .. }) && start.elapsed().as_millis() < 500, "{error}");
}
