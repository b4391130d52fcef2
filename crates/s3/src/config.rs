//! Which bucket, where it is, and how long things may take.

use crate::credentials::CredentialFiles;
use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name.
    pub bucket: String,
    /// The region that requests are signed for. Stores that have no regions say which name they take; most take `us-east-1`.
    pub region: String,
    /// Where the store is.
    pub endpoint: Endpoint,
    /// `https://store/bucket/key` rather than `https://bucket.store/key`.
    pub path_style: bool,
    /// What every key begins with, a slash at its end; may be empty.
    pub key_prefix: String,
    /// The certificates to trust in place of the system's (PEM).
    pub ca_cert: Option<PathBuf>,
    /// Where the keys are.
    pub credentials: CredentialFiles,
    /// How long things may take, and how large.
    pub tuning: Tuning,
}

/// What could be otherwise only in tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// More bytes than this are sent in parts.
    pub in_parts_above: usize,
    /// How large a part is. Stores take 5 MiB at least, and 10,000 parts at most.
    pub part_bytes: usize,
    /// How often a call is tried.
    pub tries: u32,
    /// How long to wait before the second try; twice as long before each further one, ten seconds at most.
    pub backoff: Duration,
    /// How long one try may take, without the bytes that it sends.
    pub deadline: Duration,
    /// How many keys to ask for at once.
    pub page: u16,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            in_parts_above: 32 << 20,
            part_bytes: 16 << 20,
            tries: 5,
            backoff: Duration::from_millis(500),
            deadline: Duration::from_secs(30),
            page: 500,
        }
    }
}

/// The slowest connection that an upload may have: its deadline grows by a second for so many bytes.
const SLOWEST_BYTES_PER_SECOND: u64 = 128 << 10;

impl Tuning {
    /// How long a try that sends so many bytes may take.
    pub(crate) fn deadline_for(&self, bytes: usize) -> Duration {
        self.deadline + Duration::from_secs(bytes as u64 / SLOWEST_BYTES_PER_SECOND)
    }
}

/// What is wrong with where a bucket is said to be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a URL of a host alone.
    #[error("{0:?} is not an endpoint: write https://HOST or https://HOST:PORT")]
    Endpoint(String),
    /// Anybody on the way could read what is stored.
    #[error(
        "{0:?} is without TLS, so anybody on the way could read what is stored: write https:// (ca_cert names an authority of your own)"
    )]
    Plain(String),
    /// Not a name that a bucket can have.
    #[error("{0:?} is not a name of a bucket: 3 to 63 lower-case letters, digits, - and .")]
    Bucket(String),
    /// Not a name that a region can have.
    #[error("{0:?} is not a name of a region: letters, digits and -, such as eu-central-1")]
    Region(String),
    /// Not what keys can begin with.
    #[error("{0:?} cannot begin keys: take at most 512 letters, digits, -, _, . and /, and no / at the beginning")]
    KeyPrefix(String),
}

/// The address of a store: `https://HOST`, with a port when it is another one. Without TLS on this machine alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) scheme: &'static str,
    pub(crate) authority: String,
}

impl Endpoint {
    /// Reads what people write.
    ///
    /// # Errors
    /// When it is no endpoint, or would send everything in the clear.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Endpoint(text.to_owned());
        let uri: hyper::Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        let scheme = match uri.scheme_str() {
            Some("https") => "https",
            Some("http") if is_this_machine(authority.host()) => "http",
            Some("http") => return Err(ConfigError::Plain(text.to_owned())),
            _ => return Err(wrong()),
        };
        Ok(Self { scheme, authority: authority.as_str().to_owned() })
    }

    /// Amazon's, for a region.
    pub fn amazon(region: &str) -> Self {
        Self { scheme: "https", authority: format!("s3.{region}.amazonaws.com") }
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl Config {
    /// Refuses names that no store takes, before anything is asked of one.
    ///
    /// # Errors
    /// Which name, and what it must be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let is_bucket = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let (bucket, region, prefix) = (&self.bucket, &self.region, &self.key_prefix);
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(is_bucket) || bucket.starts_with(['.', '-']) || bucket.contains("..") {
            return Err(ConfigError::Bucket(bucket.clone()));
        }
        if region.is_empty() || region.len() > 64 || !region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(ConfigError::Region(region.clone()));
        }
        let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let has_dots = prefix.split('/').any(|part| part == "." || part == "..");
        if prefix.len() > 512 || !prefix.chars().all(is_key) || prefix.starts_with('/') || prefix.contains("//") || has_dots {
            return Err(ConfigError::KeyPrefix(prefix.clone()));
        }
        Ok(())
    }

    /// The host and port of requests.
    pub(crate) fn authority(&self) -> String {
        let store = &self.endpoint.authority;
        if self.path_style { store.clone() } else { format!("{}.{store}", self.bucket) }
    }

    /// The path of a key, as yet without escapes; the bucket's own for an empty one.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path_style { format!("/{}/{key}", self.bucket) } else { format!("/{key}") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config(bucket: &str, region: &str, key_prefix: &str) -> Config {
        Config {
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            endpoint: Endpoint::amazon(region),
            path_style: false,
            key_prefix: key_prefix.to_owned(),
            ca_cert: None,
            credentials: CredentialFiles::One("x".into()),
            tuning: Tuning::default(),
        }
    }

    #[test]
    fn an_endpoint_is_a_host_with_tls() {
        for good in
            ["https://fsn1.your-objectstorage.com", "https://10.0.0.1:9000/", "http://127.0.0.1:9000", "http://[::1]:1", "http://localhost"]
        {
            assert_eq!(Endpoint::parse(good).unwrap().to_string(), good.trim_end_matches('/'));
        }
        for bad in ["", "fsn1.example.com", "https://a/b", "https://a?b", "https://key@a", "ftp://a", "https://", "/a"] {
            assert_eq!(Endpoint::parse(bad), Err(ConfigError::Endpoint(bad.to_owned())), "{bad}");
        }
        assert!(matches!(Endpoint::parse("http://10.0.0.1:9000"), Err(ConfigError::Plain(_))));
        assert!(matches!(Endpoint::parse("http://127.0.0.1.example.com"), Err(ConfigError::Plain(_))));
    }

    #[test]
    fn names_that_no_store_takes_are_refused() {
        config("my-bucket.1", "eu-central-1", "floe/prod/").check().unwrap();
        config("abc", "garage", "").check().unwrap();
        for bucket in ["", "ab", &"a".repeat(64), "A-bucket", "a/b", "a..b", ".ab", "a_b"] {
            assert_eq!(config(bucket, "r", "").check(), Err(ConfigError::Bucket(bucket.to_owned())));
        }
        for region in ["", "eu/1", "eu central", &"r".repeat(65)] {
            assert_eq!(config("abc", region, "").check(), Err(ConfigError::Region(region.to_owned())));
        }
        for prefix in ["/a", "a//b", "a b", "../", "a/./b", &"p".repeat(513)] {
            assert_eq!(config("abc", "r", prefix).check(), Err(ConfigError::KeyPrefix(prefix.to_owned())));
        }
    }

    #[test]
    fn a_key_is_below_the_bucket_or_below_its_host() {
        let mut one = config("abc", "eu-central-1", "");
        assert_eq!((one.authority().as_str(), one.path("k").as_str()), ("abc.s3.eu-central-1.amazonaws.com", "/k"));
        one.path_style = true;
        assert_eq!((one.authority().as_str(), one.path("k").as_str()), ("s3.eu-central-1.amazonaws.com", "/abc/k"));
    }
}
