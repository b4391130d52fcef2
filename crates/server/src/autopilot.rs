//! The autopilot task: while this server leads it watches the other servers, gives a caught-up learner its vote, and removes the dead.

use floe_consensus::{Consensus, executor};
use floe_control::autopilot::{Action, Autopilot, Config, Health, Observation, Seen};
use floe_model::Nanos;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often the servers are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the leader knows of the servers' health; nothing on any other server.
pub(crate) type LatestHealth = watch::Receiver<Option<Health<String>>>;

pub(crate) fn start(consensus: &Consensus, config: Config, stop: &CancellationToken, tasks: &TaskTracker) -> LatestHealth {
    let (tell, latest) = watch::channel(None);
    drop(executor::spawn(tasks.track_future(run(consensus.clone(), config, tell, stop.clone()))));
    latest
}

async fn run(consensus: Consensus, config: Config, tell: watch::Sender<Option<Health<String>>>, stop: CancellationToken) {
    let mut autopilot = Autopilot::new(config.clone());
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let Some(observation) = observe(&consensus) else {
            // What another leader saw meanwhile is not known here.
            autopilot = Autopilot::new(config.clone());
            tell.send_replace(None);
            continue;
        };
        let (health, action) = autopilot.observe(&observation);
        tell.send_replace(Some(health));
        if let Some(action) = action {
            carry_out(&consensus, action).await;
        }
    }
}

/// The servers as this one sees them, if it leads.
fn observe(consensus: &Consensus) -> Option<Observation<String>> {
    if !consensus.leadership().borrow().is_leader {
        return None;
    }
    let status = consensus.status();
    let nanos = |d: Duration| Nanos(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    let seen = status.peers.iter().map(|peer| Seen {
        id: peer.server.id.to_string(),
        is_voter: peer.is_voter,
        last_contact: peer.last_contact.map(nanos),
        matched: peer.matched.map(|at| at.index),
    });
    let servers = seen.collect();
    Some(Observation { now: consensus.now(), leader: status.id.to_string(), last_index: status.last_log_index.unwrap_or(0), servers })
}

async fn carry_out(consensus: &Consensus, action: Action<String>) {
    let done = match action.clone() {
        Action::Promote(id) => consensus.promote(id.into()).await,
        Action::Remove(id) => consensus.remove(id.into()).await,
    };
    match (done, action) {
        (Ok(()), Action::Promote(id)) => tracing::info!(server = id, "a server has caught up and votes from now on"),
        (Ok(()), Action::Remove(id)) => tracing::info!(server = id, "a dead server was removed from the cluster"),
        (Err(error), action) => tracing::warn!(?action, %error, "autopilot could not change the membership; it tries again"),
    }
}
