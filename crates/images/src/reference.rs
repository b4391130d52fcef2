//! Names of images, as people write them.
//!
//! | written | means |
//! |---|---|
//! | `nginx`, `nginx:1.27` | `docker.io/library/nginx`, tag `latest` or `1.27` |
//! | `ghcr.io/a/b@sha256:...` | exactly this content |
//! | `oci:/srv/images/web:v1` | an image layout in a folder of the node, by its tag |
//! | `docker-archive:/srv/web.tar` | a file that `docker save` wrote, on the node |

use crate::{digest::Digest, limits::MAX_REFERENCE_BYTES};
use std::{fmt, path::PathBuf, str::FromStr};

/// The registry of names that name none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The longest tag.
const MAX_TAG_BYTES: usize = 128;
/// The longest path of a repository.
const MAX_REPOSITORY_BYTES: usize = 255;

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A registry.
    Registry(Reference),
    /// A folder with an image layout, by tag; without one it must hold one image.
    Layout {
        /// The folder.
        folder: PathBuf,
        /// The tag.
        tag: Option<String>,
    },
    /// A file as `docker save` writes it, plain or in gzip.
    Archive {
        /// The file.
        file: PathBuf,
    },
}

/// The name of an image in a registry, complete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The registry's host, with its port if it has one.
    pub registry: String,
    /// The path in the registry.
    pub repository: String,
    /// Which one.
    pub version: Version,
}

/// Which image of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Whatever has the tag now.
    Tag(String),
    /// This content and no other.
    Digest(Digest),
}

/// A text that names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no image: {why}")]
pub struct BadReference {
    text: String,
    why: &'static str,
}

fn bad(text: &str, why: &'static str) -> BadReference {
    BadReference { text: text.chars().take(200).collect(), why }
}

impl FromStr for Source {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        if text.is_empty() || text.len() > MAX_REFERENCE_BYTES || text.contains(['\0', '\n']) {
            return Err(bad(text, "it must have 1 to 4096 characters, on one line"));
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (folder, tag) = match rest.rsplit_once(':') {
                Some((folder, tag)) if !tag.contains('/') => (folder, Some(tag)),
                _ => (rest, None),
            };
            if tag.is_some_and(|tag| !is_tag(tag)) {
                return Err(bad(text, "after the last ':' stands a tag of letters, digits, '_', '.' and '-'"));
            }
            return Ok(Source::Layout { folder: absolute(text, folder)?, tag: tag.map(str::to_owned) });
        }
        if let Some(file) = text.strip_prefix("docker-archive:") {
            return Ok(Source::Archive { file: absolute(text, file)? });
        }
        text.strip_prefix("docker://").unwrap_or(text).parse().map(Source::Registry)
    }
}

fn absolute(text: &str, path: &str) -> Result<PathBuf, BadReference> {
    let plain = path.starts_with('/') && path.split('/').all(|part| part != ".." && part != ".");
    if plain { Ok(PathBuf::from(path)) } else { Err(bad(text, "the path must be absolute, without '.' and '..'")) }
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|_| bad(text, "after '@' stands sha256: and 64 hexadecimal digits in lower case"))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad(text, "a tag has at most 128 letters, digits, '_', '.' and '-', and begins with none of the last two"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => (DEFAULT_REGISTRY, name),
        };
        if !is_host(registry) {
            return Err(bad(text, "before the first '/' stands the registry, as host or host:port"));
        }
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let official = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if official { format!("library/{path}") } else { path.to_owned() };
        if path.is_empty() || repository.len() > MAX_REPOSITORY_BYTES || !repository.split('/').all(is_component) {
            return Err(bad(text, "a repository has lower-case letters and digits, with '.', '_', '__' or '-' between them, and '/'"));
        }
        let version = digest.map_or_else(|| Version::Tag(tag.unwrap_or("latest").to_owned()), Version::Digest);
        Ok(Self { registry: registry.to_owned(), repository, version })
    }
}

impl Reference {
    /// Whether the name stands for other content from time to time, by custom.
    pub(crate) fn is_moving(&self) -> bool {
        matches!(&self.version, Version::Tag(tag) if tag == "latest")
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registry, repository, version } = self;
        match version {
            Version::Tag(tag) => write!(f, "{registry}/{repository}:{tag}"),
            Version::Digest(digest) => write!(f, "{registry}/{repository}@{digest}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Registry(reference) => reference.fmt(f),
            Source::Layout { folder, tag: Some(tag) } => write!(f, "oci:{}:{tag}", folder.display()),
            Source::Layout { folder, tag: None } => write!(f, "oci:{}", folder.display()),
            Source::Archive { file } => write!(f, "docker-archive:{}", file.display()),
        }
    }
}

fn is_tag(tag: &str) -> bool {
    let first = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && tag.len() <= MAX_TAG_BYTES && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// Runs of lower-case letters and digits; between two of them one dot, one or two underscores, or hyphens.
fn is_component(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = part.bytes().next().is_some_and(plain) && part.bytes().last().is_some_and(plain);
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|s| !s.is_empty());
    ends && separators.into_iter().all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

/// Whether a text is a host with or without a port, and nothing that would mean something else in an address.
pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => {
            let port = rest.strip_prefix(':');
            return host.parse::<std::net::Ipv6Addr>().is_ok() && (rest.is_empty() || port.is_some_and(is_port));
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    host.len() <= 253 && host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0) && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_names_are_completed() {
        let hex = "0".repeat(64);
        let pinned = format!("localhost/x:v1@sha256:{hex}");
        let table = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("a/b", "docker.io/a/b:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/a/b", "docker.io/a/b:latest"),
            ("docker://ghcr.io/a/b/c:x", "ghcr.io/a/b/c:x"),
            ("localhost/x", "localhost/x:latest"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
            ("host:5000/x:y", "host:5000/x:y"),
            ("[::1]:5000/x:y", "[::1]:5000/x:y"),
            (&pinned, &format!("localhost/x@sha256:{hex}")),
            ("oci:/srv/web:v1", "oci:/srv/web:v1"),
            ("oci:/srv/web", "oci:/srv/web"),
            ("oci:/srv/a:b/web", "oci:/srv/a:b/web"),
            ("docker-archive:/srv/web.tar", "docker-archive:/srv/web.tar"),
        ];
        for (written, complete) in table {
            assert_eq!(written.parse::<Source>().unwrap().to_string(), complete);
        }
    }

    #[test]
    fn what_names_no_image_is_refused() {
        let long = format!("x/{}", "a".repeat(MAX_REPOSITORY_BYTES));
        let table = [
            "",
            "Nginx",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:-x",
            "a@sha256:12",
            "a@",
            "-a",
            "a.",
            "a___b",
            "a..b",
            "ex ample.com/a",
            "h:0/a",
            "h:99999/a",
            "h:+1/a",
            "user@host/a",
            "a/../b",
            "a/.",
            "http://host/a",
            "a\nb",
            "oci:rel",
            "oci:/a/../b",
            "oci:/a:b:?",
            "docker-archive:",
            "host.name/",
            &long,
            "example.com/a?x=1",
            "example.com/a#b",
            "[::1/a",
            "[x]:1/a",
        ];
        for text in table {
            assert!(text.parse::<Source>().is_err(), "{text:?} is {:?}", text.parse::<Source>());
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_again_from_what_is_written(text in "[a-z0-9./:@_\\[\\]A-Z-]{0,40}") {
            if let Ok(source) = text.parse::<Source>() {
                prop_assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
            }
        }

        #[test]
        fn nothing_of_a_name_can_leave_its_place_in_an_address(text in "\\PC{0,40}") {
            if let Ok(Source::Registry(r)) = text.parse::<Source>() {
                let safe = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:[]".contains(&b));
                prop_assert!(safe(&r.registry) && safe(&r.repository) && !r.repository.contains(".."));
            }
        }
    }
}
