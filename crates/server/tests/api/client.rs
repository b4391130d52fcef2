//! The typed client against a real socket.

use crate::world::World;
use floe_api::{ApiClient, ApiError, Rows};
use floe_model::Nanos;

#[tokio::test]
async fn the_typed_client_reads_what_the_server_writes() {
    let world = World::full().await;
    let listener = floe_server::listen("127.0.0.1:0".parse().unwrap(), "a test").await.unwrap();
    let client = ApiClient::new(&listener.address.to_string(), None, Some("token".to_owned())).unwrap();
    let serving = floe_server::serve(listener, world.router.clone(), floe_rpc::Acceptor::new(floe_rpc::Security::Plain));

    let jobs = client.jobs(Rows::filtered(Some("Status == running and ID != web"))).await.unwrap();
    assert_eq!(jobs.iter().map(|j| j.id.as_str()).collect::<Vec<_>>(), ["batch/one"]);
    assert_eq!(client.jobs(Rows::with_prefix("w")).await.unwrap().len(), 1);
    assert_eq!(client.job("batch/one").await.unwrap().id.as_str(), "batch/one");
    assert_eq!(client.job_summary("web").await.unwrap().summary["g"].running, 2);
    assert!(client.job_deployment("web").await.unwrap().is_some());
    assert!(client.job_deployment("batch/one").await.unwrap().is_none());

    let allocs = client.job_allocations("web", 0, Nanos::ZERO).await.unwrap();
    assert_eq!((allocs.value.len(), allocs.index > 1), (2, true));
    let again = client.job_allocations("web", allocs.index, Nanos::from_millis(5)).await.unwrap();
    assert!(again.index >= allocs.index);
    let alloc = client.allocation(allocs.value[0].id.as_str()).await.unwrap();
    assert_eq!(alloc.job.unwrap().id.as_str(), "web");
    assert_eq!(client.allocations(Rows::filtered(Some("Namespace == other"))).await.unwrap().len(), 1);
    let eval = client.evaluation(alloc.eval_id.as_str(), 0, Nanos::ZERO).await.unwrap().value;
    assert_eq!(client.job_evaluations("web").await.unwrap().pop(), Some(eval));

    let nodes = client.nodes(Rows { prefix: "n", filter: Some("Name == `node-n2`") }).await.unwrap();
    assert_eq!((nodes.len(), nodes[0].id.as_str(), nodes[0].node_resources.is_some()), (1, "n2", true));
    assert_eq!(client.node("n1").await.unwrap().name, "node-n1");
    assert!(!client.node_allocations("n1").await.unwrap().is_empty());
    assert_eq!(client.services().await.unwrap().len(), 1);
    assert_eq!(client.service("www", Rows::filtered(Some("Tags contains blue"))).await.unwrap().len(), 2);
    assert!(client.agent_health().await.unwrap().server.unwrap().ok);

    let error = client.jobs(Rows::filtered(Some("Status = x"))).await.unwrap_err();
    assert!(matches!(&error, ApiError::Refused { status: 400, .. }), "{error}");
    assert_eq!(error.to_string().lines().count(), 3, "with the expression and a caret: {error}");
    assert!(client.job("nope").await.unwrap_err().is_not_found());
    serving.stop().await;
    world.end().await;
}
