//! Where servers are, and which of them is asked.

use crate::Channels;
use std::sync::{Arc, Mutex, PoisonError};

/// The servers that an agent may ask, best first. Clones share the list.
#[derive(Clone)]
pub struct Servers {
    channels: Channels,
    configured: Arc<[String]>,
    list: Arc<Mutex<Vec<String>>>,
}

impl Servers {
    /// The servers that the configuration names.
    pub fn new(channels: Channels, configured: Vec<String>) -> Self {
        Self { channels, list: Arc::new(Mutex::new(configured.clone())), configured: configured.into() }
    }

    /// The connections to them.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// All, the one to ask first.
    pub fn all(&self) -> Vec<String> {
        self.lock().clone()
    }

    /// The one to ask.
    pub fn first(&self) -> Option<String> {
        self.lock().first().cloned()
    }

    /// A server did not answer: another one is asked from now on.
    pub fn failed(&self, address: &str) {
        let mut list = self.lock();
        if list.first().is_some_and(|first| first == address) {
            list.rotate_left(1);
        }
    }

    /// The cluster says where its servers are. Those of the configuration stay, behind: they may be right again after a change of all addresses.
    /// Whoever is being asked goes on being asked, as long as the cluster says that it is a server.
    pub fn learn(&self, servers: &[String]) {
        if servers.is_empty() {
            return;
        }
        let mut list = self.lock();
        let mut learned = servers.to_vec();
        if let Some(at) = learned.iter().position(|s| Some(s) == list.first()) {
            learned.rotate_left(at);
        }
        learned.extend(self.configured.iter().filter(|c| !servers.contains(c)).cloned());
        *list = learned;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Security;

    fn servers(configured: &[&str]) -> Servers {
        Servers::new(Channels::new(Security::Plain), configured.iter().map(|s| (*s).to_owned()).collect())
    }

    fn learn(servers: &Servers, learned: &[&str]) {
        servers.learn(&learned.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    }

    #[test]
    fn whoever_fails_is_asked_last() {
        let s = servers(&["a", "b", "c"]);
        s.failed("b");
        assert_eq!(s.all(), ["a", "b", "c"], "nobody asks b now");
        s.failed("a");
        assert_eq!(s.all(), ["b", "c", "a"]);
    }

    #[test]
    fn what_the_cluster_says_goes_first_and_the_present_one_is_kept() {
        let s = servers(&["a", "x"]);
        learn(&s, &["b", "a", "c"]);
        assert_eq!(s.all(), ["a", "c", "b", "x"]);
        learn(&s, &["b", "c"]);
        assert_eq!(s.all(), ["b", "c", "a", "x"], "a is no server any more, but stands in the configuration");
        learn(&s, &[]);
        assert_eq!(s.first().as_deref(), Some("b"), "a server that knows none says nothing");
    }
}
