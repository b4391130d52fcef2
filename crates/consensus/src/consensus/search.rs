//! Finding the leader, and saying why there is none.

use super::Consensus;
use crate::{Leadership, Server, raft_types::WatchReceiver};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long to wait before trying again, when nothing said that something changed.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Longer than anybody waits; also what a wait without an end becomes.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The moment after this span from now.
pub(crate) fn after(span: Duration) -> Instant {
    Instant::now() + span.min(LONGEST)
}

/// Who is to be asked.
pub(crate) enum Leader {
    /// This server, as far as openraft knows.
    Own,
    /// That one.
    Other(Server),
    /// Nobody is known.
    Unknown,
}

/// How long somebody who waits has left.
pub(crate) struct Search {
    end: Instant,
    /// After this nothing is tried any more.
    patience: Instant,
}

impl Search {
    /// Waits a moment, or until there is another leader. False when it has taken too long already.
    pub(crate) async fn wait(&self, server: &Consensus) -> bool {
        if Instant::now() >= self.patience || server.is_outside() {
            return false;
        }
        let mut leadership = server.leadership();
        let before = leadership.borrow_and_update().clone();
        let changed = async { leadership.wait_for(|now| *now != before).await.map(|_| ()) };
        let until = self.patience.min(after(TRY_AGAIN));
        // Whether it changed or the time is up, the next try shows.
        if let Ok(Err(_)) = timeout_at(until, changed).await {
            sleep(TRY_AGAIN).await;
        }
        true
    }

    /// Waits for a leader anew: one just made way for another.
    pub(crate) fn renew(&mut self, server: &Consensus) {
        self.patience = self.end.min(after(server.timings().leader_wait));
    }

    /// When the answer must be there.
    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// How long until then.
    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

impl Consensus {
    /// Begins to look for a leader.
    pub(crate) fn search(&self, deadline: Duration) -> Search {
        Search { end: after(deadline), patience: after(deadline.min(self.timings().leader_wait)) }
    }

    /// Who is to be asked now.
    pub(crate) fn leader(&self) -> Leader {
        if self.raft().metrics().borrow_watched().state.is_leader() {
            return Leader::Own;
        }
        let leader = self.leadership().borrow().leader.clone();
        leader.filter(|leader| leader.id != *self.id()).map_or(Leader::Unknown, Leader::Other)
    }

    /// Returns once no leader was known for so long that whoever waits for one should not wait any more. Never, once this server stopped: then
    /// openraft says so.
    pub(crate) async fn stranded(&self) {
        let mut leadership = self.leadership();
        let patience = self.timings().leader_wait;
        let has_leader = |now: &Leadership| now.leader.is_some();
        loop {
            let is_open = leadership.wait_for(|now| !has_leader(now)).await.is_ok();
            let found = match is_open {
                true => timeout(patience, leadership.wait_for(has_leader)).await.map(|found| found.is_ok()),
                false => Ok(false),
            };
            match found {
                Ok(true) => {}
                Ok(false) => std::future::pending().await,
                Err(_) => return,
            }
        }
    }

    /// Returns once an answer of another server need not be waited for any more.
    pub(crate) async fn given_up(&self) {
        tokio::select! {
            biased;
            () = self.stranded() => {}
            _ = self.stopped() => {}
        }
    }

    /// Whether waiting for a leader is of no use, because this server is in no cluster, or not any more.
    fn is_outside(&self) -> bool {
        self.peers().is_removed() || self.raft().metrics().borrow_watched().membership_config.membership().nodes().next().is_none()
    }

    /// What to do when nobody leads.
    pub(crate) fn advice(&self) -> String {
        if self.peers().is_removed() {
            return "this server was removed from the cluster; stop it, or move its server folder away and let it join again with a new key \
                    pair"
                .to_owned();
        }
        let metrics = self.raft().metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        if membership.get_node(self.id()).is_none() {
            return "this server is in no cluster yet; start it as the first one of a cluster, or let a cluster take it in".to_owned();
        }
        let voters: Vec<Server> = membership
            .voter_ids()
            .filter_map(|id| membership.get_node(&id).map(|known| Server { address: self.peers().address(&id, known), id: id.clone() }))
            .collect();
        let silence = self.timings().silence();
        let silent: Vec<&Server> = voters.iter().filter(|voter| !self.peers().answers(&voter.id, silence)).collect();
        let advice = quorum_advice(&silent, voters.len());
        match self.peers().trouble() {
            Some(trouble) => format!("{advice}. {trouble}"),
            None => advice,
        }
    }
}

/// Names the servers that do not answer.
fn quorum_advice(silent: &[&Server], voters: usize) -> String {
    let needed = voters / 2 + 1;
    let here = voters.saturating_sub(silent.len());
    let name = |server: &&Server| format!("{} ({})", server.address.name, server.address.rpc);
    let names: Vec<String> = silent.iter().map(name).collect();
    match names.as_slice() {
        [] => "all servers answer, so wait for an election to end and try again".to_owned(),
        [one] => format!("server {one} does not answer; {here} of {voters} is here, {needed} are needed; see that it runs and is reached"),
        _ => format!(
            "servers {} do not answer; {here} of {voters} {} here, {needed} are needed; see that they run and are reached",
            names.join(", "),
            if here == 1 { "is" } else { "are" }
        ),
    }
}
