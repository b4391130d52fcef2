//! How long things take, and what of it makes sense.

use crate::OpenError;
use std::time::Duration;

/// How long things take.
#[derive(Clone, Debug)]
pub struct Timings {
    /// Between two heartbeats of a leader. An answer that takes longer counts as none, so it must be longer than a round trip.
    pub heartbeat: Duration,
    /// A follower that hears nothing for a time between this and `election_max` calls an election. More than two heartbeats.
    pub election_min: Duration,
    /// See `election_min`. Also how long a leader that hears from no quorum goes on taking entries.
    pub election_max: Duration,
    /// How long [`crate::Consensus::propose`], [`crate::Consensus::linearizable`] and a change of membership wait.
    pub deadline: Duration,
    /// How long of that they wait for a leader while there is none. Longer than an election.
    pub leader_wait: Duration,
    /// How long the only server of a cluster may take to apply its log when it is opened.
    pub recovery: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(700),
            deadline: Duration::from_secs(10),
            leader_wait: Duration::from_secs(2),
            recovery: Duration::from_secs(300),
        }
    }
}

impl Timings {
    /// The largest factor for [`Timings::times`].
    pub const MAX_FACTOR: u8 = 10;

    /// Everything between servers this many times as long, for networks and machines that are slow: at most [`Timings::MAX_FACTOR`].
    #[must_use]
    pub fn times(mut self, factor: u8) -> Self {
        let factor = u32::from(factor);
        for span in [&mut self.heartbeat, &mut self.election_min, &mut self.election_max, &mut self.leader_wait] {
            *span *= factor;
        }
        self.deadline = self.deadline.max(2 * self.leader_wait);
        self
    }

    /// How long a server may be silent before it counts as one that does not answer: two elections could have been held.
    pub(crate) fn silence(&self) -> Duration {
        2 * self.election_max
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let refuse = |text: String| Err(OpenError::Config(text));
        if self.heartbeat < Duration::from_millis(1) {
            return refuse(format!("heartbeat is {:?}; make it at least 1 ms", self.heartbeat));
        }
        if self.election_min <= 2 * self.heartbeat {
            let (election, heartbeat) = (self.election_min, self.heartbeat);
            return refuse(format!(
                "election_min is {election:?} and heartbeat {heartbeat:?}, so one lost heartbeat would call an election; make election_min \
                 more than twice heartbeat"
            ));
        }
        if self.election_max <= self.election_min {
            let (min, max) = (self.election_min, self.election_max);
            return refuse(format!(
                "election_max is {max:?} and election_min {min:?}, so servers would call elections at the same time; make election_max \
                 longer than election_min"
            ));
        }
        if self.leader_wait <= self.election_max {
            let (wait, max) = (self.leader_wait, self.election_max);
            return refuse(format!(
                "leader_wait is {wait:?} and election_max {max:?}, so nobody would wait for an election to end; make leader_wait longer \
                 than election_max"
            ));
        }
        if self.deadline < self.leader_wait {
            let (deadline, wait) = (self.deadline, self.leader_wait);
            return refuse(format!("deadline is {deadline:?} and leader_wait {wait:?}; make deadline at least as long as leader_wait"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Timings)) -> String {
        let mut timings = Timings::default();
        change(&mut timings);
        timings.check().err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn timings_that_cannot_work_are_refused_with_what_to_do() {
        let ms = Duration::from_millis;
        assert_eq!(refusal(|_| {}), "");
        assert!(refusal(|t| t.heartbeat = ms(0)).contains("at least 1 ms"));
        assert!(refusal(|t| t.heartbeat = ms(200)).contains("make election_min more than twice heartbeat"));
        assert_eq!(refusal(|t| t.heartbeat = ms(199)), "");
        assert!(refusal(|t| t.election_max = ms(400)).contains("make election_max longer than election_min"));
        assert!(refusal(|t| t.leader_wait = ms(700)).contains("make leader_wait longer than election_max"));
        assert!(refusal(|t| t.deadline = ms(1999)).contains("make deadline at least as long as leader_wait"));
        assert_eq!(refusal(|t| t.deadline = ms(2000)), "");
        for factor in 1..=Timings::MAX_FACTOR {
            assert_eq!(refusal(|t| *t = t.clone().times(factor)), "");
        }
    }
}
