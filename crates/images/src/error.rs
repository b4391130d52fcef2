//! Why an image cannot be had, in words for those who want to run it.

use crate::{
    config::BadConfig, digest::Digest, layer::BadPath, limits::MAX_ENTRIES, limits::MAX_UNPACKED_BYTES, manifest::BadManifest,
    reference::BadReference,
};
use std::{io, path::PathBuf, time::Duration};

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] BadReference),
    /// There is no such image, or it is hidden from those without credentials.
    #[error("image {image} does not exist in {place}, or needs credentials: check its name and tag, or give auth")]
    Missing {
        /// The image.
        image: String,
        /// Where it was looked for.
        place: String,
    },
    /// The credentials do not do.
    #[error("{place} refuses image {image} (status {status}): check the credentials in auth or in client.images.registry")]
    Denied {
        /// The image.
        image: String,
        /// Who refused.
        place: String,
        /// The HTTP status.
        status: u16,
    },
    /// The registry cannot be reached.
    #[error("registry {place} cannot be reached for image {image}: {why}")]
    Unreachable {
        /// The image.
        image: String,
        /// The registry.
        place: String,
        /// Why.
        why: String,
    },
    /// The registry answered something else than what was asked for.
    #[error("registry {place} has no proper answer for image {image}: {why}")]
    Answer {
        /// The image.
        image: String,
        /// The registry.
        place: String,
        /// What was wrong.
        why: String,
    },
    /// What came is not what was promised.
    #[error(
        "{what} of image {image} has the digest {found}, but {wanted} was promised: it was changed on the way or in its registry; push it again"
    )]
    Digest {
        /// The image.
        image: String,
        /// Which part.
        what: String,
        /// What came.
        found: Digest,
        /// What should have come.
        wanted: Digest,
    },
    /// The image is none that this node can run.
    #[error("image {image} cannot be run: {why}")]
    Unusable {
        /// The image.
        image: String,
        /// Why.
        why: String,
    },
    /// A layer does what no image should.
    #[error("layer {layer} of image {image} was refused: {why}")]
    Hostile {
        /// The image.
        image: String,
        /// Its layer.
        layer: Digest,
        /// Why.
        why: String,
    },
    /// The node's folder or file.
    #[error("image {image}: {path} is not in a folder that images may be taken from: name one in client.images.sources")]
    Folder {
        /// The image.
        image: String,
        /// The folder or file.
        path: PathBuf,
    },
    /// The disk.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("image {image} did not come within {} s: raise image_pull_timeout; what came is kept, so the next try goes on", after.as_secs())]
    Timeout {
        /// The image.
        image: String,
        /// The time that it had.
        after: Duration,
    },
    /// Nobody wants it any more.
    #[error("the pull of image {image} was given up")]
    Cancelled {
        /// The image.
        image: String,
    },
    /// Somebody else's pull of the same image failed.
    #[error("{0}")]
    Shared(std::sync::Arc<ImageError>),
}

impl ImageError {
    /// The error itself, whoever's pull it came from.
    pub fn own(&self) -> &ImageError {
        match self {
            ImageError::Shared(error) => error.own(),
            error => error,
        }
    }

    /// Whether another try would fail alike.
    pub fn is_fatal(&self) -> bool {
        match self {
            ImageError::Shared(error) => error.is_fatal(),
            ImageError::Name(_)
            | ImageError::Missing { .. }
            | ImageError::Denied { .. }
            | ImageError::Unusable { .. }
            | ImageError::Hostile { .. }
            | ImageError::Folder { .. } => true,
            ImageError::Unreachable { .. }
            | ImageError::Answer { .. }
            | ImageError::Digest { .. }
            | ImageError::Io { .. }
            | ImageError::Timeout { .. }
            | ImageError::Cancelled { .. } => false,
        }
    }
}

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("{0}")]
    Path(#[from] BadPath),
    #[error("{0}")]
    Odd(String),
    #[error("it has more than {MAX_ENTRIES} entries")]
    Entries,
    #[error("the image has more than {MAX_UNPACKED_BYTES} bytes when it is unpacked: is it a bomb?")]
    Bomb,
    #[error("it is damaged: {0}")]
    Damaged(io::Error),
    #[error("nobody wants it any more")]
    Cancelled,
    #[error("{found} came instead of {wanted}")]
    Digest { found: Digest, wanted: Digest },
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl LayerError {
    pub(crate) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }

    /// The same for those who want the image.
    pub(crate) fn of(self, image: &str, layer: Digest) -> ImageError {
        let image = image.to_owned();
        match self {
            Self::Io { what, source } => ImageError::Io { what: format!("unpack image {image}: {what}"), source },
            Self::Cancelled => ImageError::Cancelled { image },
            Self::Digest { found, wanted } => ImageError::Digest { image, what: format!("layer {layer}"), found, wanted },
            other => ImageError::Hostile { image, layer, why: other.to_string() },
        }
    }
}

/// Words for a manifest or a configuration that cannot be used.
impl ImageError {
    pub(crate) fn manifest(image: &str, error: &BadManifest) -> Self {
        Self::Unusable { image: image.to_owned(), why: error.to_string() }
    }

    pub(crate) fn config(image: &str, error: &BadConfig) -> Self {
        Self::Unusable { image: image.to_owned(), why: error.to_string() }
    }
}
