//! Tests that need what is private: openraft's own suite over our storage, and a state that panics.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bounds;
mod panics;
mod suite;

use crate::{Config, Consensus, DataFolder, ServerAddress};
use floe_model::Node;
use floe_state::Command;

pub(super) fn config(dir: &std::path::Path) -> Config {
    Config::single(
        "one".to_owned().into(),
        DataFolder::open(dir).unwrap(),
        ServerAddress::new("one".to_owned(), "127.0.0.1:4647".to_owned()),
    )
}

pub(super) async fn single(dir: &tempfile::TempDir) -> Consensus {
    Consensus::open(config(dir.path())).await.unwrap()
}

pub(super) fn register(id: &str) -> Command {
    Command::RegisterNode { node: Box::new(Node { id: id.into(), name: id.to_owned(), ..Node::default() }) }
}
