//! What an operator says about registries and images.

use crate::{collect::Keep, reference::is_host};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf, time::Duration};

/// A name and a password, or a token in its place. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What an operator says about one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Addresses (`https://host[:port]`) that are asked first, in this order.
    pub mirrors: Vec<String>,
    /// Whether it speaks plain HTTP; by default only those on this machine do.
    pub plain_http: Option<bool>,
    /// A PEM file of the authorities that count for it, instead of the system's.
    pub ca_cert: Option<PathBuf>,
    /// Who the node is there.
    pub credentials: Option<Credentials>,
}

/// What an operator says about images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Registries, by host or host:port as images name them.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// Folders of the node from which images may be taken.
    pub sources: Vec<PathBuf>,
    /// How long unused images stay.
    pub keep: Keep,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            registries: BTreeMap::new(),
            sources: vec![PathBuf::from("/nix/store")],
            keep: Keep { delay: Duration::from_secs(3600), max_bytes: 20 << 30 },
        }
    }
}

/// Where requests for a registry go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `https://host:port`.
    pub(crate) base: String,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) credentials: Option<Credentials>,
}

impl Endpoint {
    /// The host as it is shown.
    pub(crate) fn host(&self) -> &str {
        self.base.split_once("://").map_or(self.base.as_str(), |(_, host)| host)
    }
}

impl Settings {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// In words, with the key.
    pub fn check(&self) -> Result<(), String> {
        for (name, registry) in &self.registries {
            if !is_host(name) {
                return Err(format!("registry {name:?}: name it as images do, host or host:port"));
            }
            let bad = |m: &&String| !m.split_once("://").is_some_and(|(scheme, host)| matches!(scheme, "https" | "http") && is_host(host));
            if let Some(mirror) = registry.mirrors.iter().find(bad) {
                return Err(format!("registry {name:?}: mirror {mirror:?} must be https://host or https://host:port"));
            }
            let plain = |m: &&String| m.strip_prefix("http://").is_some_and(|host| !self.speaks_plainly(host));
            if let Some(mirror) = registry.mirrors.iter().find(plain) {
                let host = mirror.trim_start_matches("http://");
                return Err(format!(
                    "registry {name:?}: mirror {mirror:?} is not encrypted: use https, or say registry {host:?} {{ insecure = true }}"
                ));
            }
        }
        match self.sources.iter().find(|s| !s.is_absolute()) {
            Some(folder) => Err(format!("sources: {} is not an absolute path", folder.display())),
            None => Ok(()),
        }
    }

    /// Whether a host is spoken to without TLS: those that an operator names so, and those on this machine unless an operator says otherwise.
    pub(crate) fn speaks_plainly(&self, host: &str) -> bool {
        self.registries.get(host).and_then(|r| r.plain_http).unwrap_or_else(|| is_loopback(host))
    }

    /// Where a registry is asked: its mirrors, then itself. A mirror gets the credentials that stand beside its own name, never those of
    /// the registry that it stands in for.
    pub(crate) fn endpoints(&self, registry: &str, credentials: Option<&Credentials>) -> Vec<Endpoint> {
        let settings = self.registries.get(registry);
        let mirrors = settings.into_iter().flat_map(|s| &s.mirrors).map(|base| {
            let own = base.split_once("://").and_then(|(_, host)| self.registries.get(host));
            Endpoint {
                base: base.clone(),
                ca_cert: own.and_then(|s| s.ca_cert.clone()),
                credentials: own.and_then(|s| s.credentials.clone()),
            }
        });
        // The registry's API has another name than its images.
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let scheme = if self.speaks_plainly(registry) { "http" } else { "https" };
        let own = Endpoint {
            base: format!("{scheme}://{host}"),
            ca_cert: settings.and_then(|s| s.ca_cert.clone()),
            credentials: credentials.cloned().or_else(|| settings.and_then(|s| s.credentials.clone())),
        };
        mirrors.chain([own]).collect()
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str, registry: RegistrySettings) -> Settings {
        Settings { registries: [(name.to_owned(), registry)].into(), ..Settings::default() }
    }

    #[test]
    fn only_this_machine_and_what_is_named_is_asked_without_tls() {
        let plain = Settings::default();
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.8.8", "[::1]:5000"] {
            assert!(plain.speaks_plainly(host), "{host}");
        }
        for host in ["localhost.evil.example", "127.0.0.1.evil.example", "example.com:5000", "10.0.0.1", "[::2]:5000"] {
            assert!(!plain.speaks_plainly(host), "{host}");
        }
        let named = |plain_http| RegistrySettings { plain_http: Some(plain_http), ..RegistrySettings::default() };
        assert!(settings("10.0.0.1:5000", named(true)).speaks_plainly("10.0.0.1:5000"));
        assert!(!settings("localhost:5000", named(false)).speaks_plainly("localhost:5000"));
    }

    #[test]
    fn mirrors_come_first_and_get_no_credentials_of_others() {
        let own = Credentials { username: "me".to_owned(), password: "secret".to_owned() };
        let registry =
            RegistrySettings { mirrors: vec!["https://mirror.example".to_owned()], credentials: Some(own.clone()), ..Default::default() };
        let both = settings("docker.io", registry).endpoints("docker.io", None);
        assert_eq!(both.iter().map(|e| e.base.as_str()).collect::<Vec<_>>(), ["https://mirror.example", "https://registry-1.docker.io"]);
        assert_eq!(both.iter().map(|e| e.credentials.clone()).collect::<Vec<_>>(), [None, Some(own)]);
        assert!(!format!("{both:?}").contains("secret"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let with = |mirror: &str| settings("example.com", RegistrySettings { mirrors: vec![mirror.to_owned()], ..Default::default() });
        assert_eq!(with("https://mirror.example:5000").check(), Ok(()));
        assert_eq!(with("http://localhost:5000").check(), Ok(()));
        assert!(with("http://mirror.example").check().is_err_and(|e| e.contains("not encrypted")));
        for bad in ["mirror.example", "ftp://x", "https://x/y", "https://user@x"] {
            assert!(with(bad).check().is_err(), "{bad}");
        }
        assert!(settings("a/b", RegistrySettings::default()).check().is_err());
        assert!(Settings { sources: vec!["x".into()], ..Settings::default() }.check().is_err());
    }
}
