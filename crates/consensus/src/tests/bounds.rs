//! How many proposals may wait.

use super::{register, single};
use crate::{ProposeError, config::PROPOSALS_IN_FLIGHT};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_beyond_the_bound_is_told_so_and_one_within_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let server = single(&dir).await;
    let others = u32::try_from(PROPOSALS_IN_FLIGHT).unwrap() - 1;
    let _waiting = server.in_flight().acquire_many(others).await.unwrap();
    server.propose(register("within")).await.unwrap();
    let _last = server.in_flight().acquire().await.unwrap();
    let refused = server.propose_within(register("beyond"), Duration::from_millis(5)).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Overloaded { limit: PROPOSALS_IN_FLIGHT, .. }), "{refused:?}");
    assert!(server.view().node(&"beyond".into()).is_none());
    server.shutdown().await;
}
