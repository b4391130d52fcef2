//! The first reason why this server had to stop, for everybody who waits or asks.

use crate::StopReason;
use std::{error::Error, io, sync::Arc};
use tokio::sync::watch;

/// Set once. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct StopCell {
    reason: Arc<watch::Sender<Option<StopReason>>>,
}

impl StopCell {
    pub(crate) fn new() -> Self {
        Self { reason: Arc::new(watch::Sender::new(None)) }
    }

    /// Keeps the first reason; says it in the log.
    pub(crate) fn set(&self, reason: StopReason) {
        let first = self.reason.send_if_modified(|present| {
            let first = present.is_none();
            if first {
                tracing::error!("this server stops taking part: {reason}");
                *present = Some(reason);
            }
            first
        });
        if !first {
            tracing::debug!("a later reason to stop was dropped");
        }
    }

    /// Notes that the server was asked to stop, unless it had to already.
    pub(crate) fn close(&self) {
        self.reason.send_if_modified(|present| {
            let first = present.is_none();
            *present = present.take().or(Some(StopReason::Closed));
            first
        });
    }

    /// Stops because of `error`, and gives it to openraft in the only form that it takes.
    pub(crate) fn fail(&self, error: &(dyn Error + 'static)) -> io::Error {
        let text = with_causes(error);
        self.set(StopReason::Failed(text.clone()));
        io::Error::other(text)
    }

    pub(crate) fn get(&self) -> Option<StopReason> {
        self.reason.borrow().clone()
    }

    /// Waits until there is a reason.
    pub(crate) async fn wait(&self) -> StopReason {
        let mut receiver = self.reason.subscribe();
        match receiver.wait_for(Option::is_some).await.map(|found| found.clone()) {
            Ok(Some(reason)) => reason,
            // The sender lives in `self`, and the condition says that there is one.
            _ => StopReason::Closed,
        }
    }
}

/// An error with all that caused it, in one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
