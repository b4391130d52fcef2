//! The time as this node counts it: the wall clock at the agent's start, and the monotonic clock since. A wall clock that is set while the
//! agent runs neither kills a task early nor keeps one alive.

use floe_model::{Nanos, Timestamp};
use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

static START: LazyLock<(Timestamp, Instant)> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)), Instant::now())
});

/// Now.
pub(crate) fn now() -> Timestamp {
    let (wall, monotonic) = *START;
    wall.plus(Nanos::from_std(monotonic.elapsed()))
}

/// The moment on the runtime's clock that is `then` on ours.
pub(crate) fn instant(then: Timestamp) -> tokio::time::Instant {
    tokio::time::Instant::now() + then.since(now()).to_std()
}
