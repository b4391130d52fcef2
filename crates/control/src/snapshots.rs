//! When the next backup is due, what its file is called, and which old ones go.
//!
//! What is in the folder or bucket says all: so the next leader goes on where the last one stopped, where they share one, and nothing is forgotten
//! over a restart. Files that have other names are somebody else's, and stay.

use floe_model::{Nanos, Timestamp};

/// How often a backup is made, where nothing is said.
pub const INTERVAL: Nanos = Nanos::from_hours(1);
/// The shortest time between two.
pub const MIN_INTERVAL: Nanos = Nanos::from_secs(1);
/// How many are kept, where nothing is said.
pub const RETAIN: usize = 30;
/// What their names begin with, where nothing is said.
pub const PREFIX: &str = "floe";

/// How many characters of the cluster's id are in a name: two clusters that write to one folder keep their files apart.
const CLUSTER_CHARS: usize = 12;
/// What names end with.
const SUFFIX: &str = ".snap";

/// When backups are made, and how many are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// See [`INTERVAL`].
    pub interval: Nanos,
    /// See [`RETAIN`].
    pub retain: usize,
    /// See [`PREFIX`].
    pub prefix: String,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { interval: INTERVAL, retain: RETAIN, prefix: PREFIX.to_owned() }
    }
}

/// A backup by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// When it was made, to the second.
    pub created: Timestamp,
    /// The index of the last change in it.
    pub index: u64,
    /// The file's name.
    pub name: String,
}

impl Schedule {
    /// What the names of the cluster's backups begin with.
    pub fn stem(&self, cluster_id: &str) -> String {
        format!("{}-{}-", self.prefix, cluster_id.get(..CLUSTER_CHARS).unwrap_or(cluster_id))
    }

    /// What a backup's file is called.
    pub fn name(&self, cluster_id: &str, created: Timestamp, index: u64) -> String {
        format!("{}{}-{index}{SUFFIX}", self.stem(cluster_id), compact(created))
    }

    /// The backup with this name; `None` for what [`Schedule::name`] does not make.
    pub fn parse(&self, cluster_id: &str, name: &str) -> Option<Kept> {
        let mut parts = name.strip_suffix(SUFFIX)?.rsplitn(3, '-');
        let (index, created) = (parts.next()?.parse().ok()?, expand(parts.next()?)?);
        (self.name(cluster_id, created, index) == name).then(|| Kept { created, index, name: name.to_owned() })
    }

    /// Those of the cluster's backups that are among these files, the oldest first.
    pub fn kept<'a>(&self, cluster_id: &str, names: impl Iterator<Item = &'a str>) -> Vec<Kept> {
        let mut kept: Vec<Kept> = names.filter_map(|name| self.parse(cluster_id, name)).collect();
        kept.sort();
        kept
    }

    /// When the next one is due. One that lies further ahead than an interval was made before the clock was set back, and does not count.
    pub fn due(&self, kept: &[Kept], now: Timestamp) -> Timestamp {
        let last = kept.iter().map(|k| k.created).filter(|created| !self.is_ahead(*created, now)).max();
        last.map_or(now, |last| last.plus(self.interval))
    }

    /// Those that go: all but the newest [`Schedule::retain`]. Those that were made before the clock was set back go first, or new ones would never be
    /// among the newest.
    pub fn surplus(&self, kept: &[Kept], now: Timestamp) -> Vec<Kept> {
        let mut order = kept.to_vec();
        order.sort_by_key(|k| (!self.is_ahead(k.created, now), k.created));
        order.truncate(kept.len().saturating_sub(self.retain));
        order
    }

    fn is_ahead(&self, created: Timestamp, now: Timestamp) -> bool {
        created > now.plus(self.interval)
    }
}

/// The moment to the second, without what names of files should not have.
fn compact(moment: Timestamp) -> String {
    let seconds = Timestamp(moment.0.div_euclid(1_000_000_000) * 1_000_000_000);
    seconds.to_string().replace(['-', ':'], "")
}

/// What [`compact`] wrote.
fn expand(text: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(moment.as_nanosecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "0123456789abcdef0123";

    fn at(s: i64) -> Timestamp {
        Timestamp(1_700_000_000_000_000_000).plus(Nanos::from_secs(s))
    }

    fn names(schedule: &Schedule, moments: &[i64]) -> Vec<Kept> {
        let names: Vec<String> = moments.iter().map(|s| schedule.name(CLUSTER, at(*s), 7)).collect();
        schedule.kept(CLUSTER, names.iter().map(String::as_str))
    }

    #[test]
    fn a_name_is_read_as_it_was_made_and_others_are_not() {
        let schedule = Schedule { prefix: "my-prod".to_owned(), ..Schedule::default() };
        let name = schedule.name(CLUSTER, at(0).plus(Nanos(999_999_999)), 4711);
        assert_eq!(name, "my-prod-0123456789ab-20231114T221320Z-4711.snap");
        assert_eq!(schedule.parse(CLUSTER, &name), Some(Kept { created: at(0), index: 4711, name: name.clone() }));
        assert_eq!(schedule.parse("other-cluster-x", &name), None, "another cluster's");
        assert_eq!(Schedule::default().parse(CLUSTER, &name), None, "of another prefix");
        for other in [
            "my-prod-0123456789ab-20231114T221320Z-04711.snap",
            "my-prod-0123456789ab-20231114T221320Z-+4711.snap",
            "my-prod-0123456789ab-20231114T221320Z-4711.snap.bak",
            "my-prod-0123456789ab-20231114T221320Z-4711",
            "my-prod-0123456789ab-20231314T221320Z-4711.snap",
            "my-prod-0123456789ab-2023-11-14T22:13:20Z-4711.snap",
            "my-prod-0123456789ab--4711.snap",
            ".my-prod-0123456789ab-20231114T221320Z-4711.snap",
            "backup.snap",
            ".snap",
            "",
        ] {
            assert_eq!(schedule.parse(CLUSTER, other), None, "{other}");
        }
    }

    #[test]
    fn the_next_is_due_an_interval_after_the_last() {
        let schedule = Schedule { interval: Nanos::from_secs(60), ..Schedule::default() };
        assert_eq!(schedule.due(&[], at(5)), at(5));
        assert_eq!(schedule.due(&names(&schedule, &[0, -60, -120]), at(5)), at(60));
        assert_eq!(schedule.due(&names(&schedule, &[65, 0]), at(5)), at(125), "a clock that differs a little");
        assert_eq!(schedule.due(&names(&schedule, &[66, 0]), at(5)), at(60), "one that was set back");
        assert_eq!(schedule.due(&names(&schedule, &[66]), at(5)), at(5));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let schedule = Schedule { retain: 2, interval: Nanos::from_secs(60), ..Schedule::default() };
        let gone = |moments: &[i64]| schedule.surplus(&names(&schedule, moments), at(5)).iter().map(|k| k.created).collect::<Vec<_>>();
        assert!(gone(&[]).is_empty() && gone(&[3, 1]).is_empty());
        assert_eq!(gone(&[3, 1, 2]), [at(1)]);
        assert_eq!(gone(&[100, 3, 200, 1]), [at(100), at(200)], "the clock was set back");
    }
}
