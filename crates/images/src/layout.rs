//! Image layouts: folders of the node that hold images as registries do, by digest.

use crate::{
    digest::Digest,
    error::ImageError,
    limits::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES},
    manifest::{self, Blob, Document, Manifest, Platform},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// How many indexes may lead to each other.
const MAX_INDEXES: usize = 4;

/// Opens a file of the node; no pipe or device keeps anybody waiting.
pub(crate) fn open(image: &str, path: &Path) -> Result<File, ImageError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ImageError::Missing { image: image.to_owned(), place: path.display().to_string() },
        _ => ImageError::Io { what: format!("open {} of image {image}", path.display()), source },
    };
    let file = OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(path).map_err(failed)?;
    let is_file = file.metadata().map_err(failed)?.is_file();
    if is_file { Ok(file) } else { Err(ImageError::Unusable { image: image.to_owned(), why: format!("{} is no file", path.display()) }) }
}

fn small(image: &str, path: &Path, max_bytes: usize) -> Result<Vec<u8>, ImageError> {
    let mut content = Vec::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let read = open(image, path)?.take(limit).read_to_end(&mut content);
    read.map_err(|source| ImageError::Io { what: format!("read {}", path.display()), source })?;
    if content.len() > max_bytes {
        return Err(ImageError::Unusable { image: image.to_owned(), why: format!("{} has more than {max_bytes} bytes", path.display()) });
    }
    Ok(content)
}

/// Where a blob is.
pub(crate) fn blob_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

fn blob(image: &str, folder: &Path, digest: &Digest, what: &str, max_bytes: usize) -> Result<Vec<u8>, ImageError> {
    let content = small(image, &blob_path(folder, digest), max_bytes)?;
    let found = Digest::of(&content);
    if found == *digest {
        return Ok(content);
    }
    Err(ImageError::Digest { image: image.to_owned(), what: what.to_owned(), found, wanted: *digest })
}

/// The manifest of an image, its digest, and its configuration.
pub(crate) fn read(image: &str, folder: &Path, tag: Option<&str>, platform: &Platform) -> Result<(Manifest, Digest, Vec<u8>), ImageError> {
    let bad = |e| ImageError::manifest(image, &e);
    let index = small(image, &folder.join("index.json"), MAX_MANIFEST_BYTES)?;
    let mut next: Blob = match manifest::tagged(&index, tag).map_err(bad)? {
        Ok(found) => found,
        // Several images without a name may be one for several platforms.
        Err(names) if tag.is_none() && names.iter().all(String::is_empty) => match manifest::read(&index, platform).map_err(bad)? {
            Document::Elsewhere(found) => found,
            Document::Image(_) => return Err(ImageError::Unusable { image: image.to_owned(), why: "index.json is no index".to_owned() }),
        },
        Err(names) => {
            let names = names.iter().filter(|n| !n.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(ImageError::Unusable { image: image.to_owned(), why: format!("name one of its tags: {names}") });
        }
    };
    for _ in 0..MAX_INDEXES {
        let content = blob(image, folder, &next.digest, "the manifest", MAX_MANIFEST_BYTES)?;
        match manifest::read(&content, platform).map_err(bad)? {
            Document::Elsewhere(found) => next = found,
            Document::Image(manifest) => {
                let config = blob(image, folder, &manifest.config.digest, "the configuration", MAX_CONFIG_BYTES)?;
                return Ok((manifest, next.digest, config));
            }
        }
    }
    Err(ImageError::Unusable { image: image.to_owned(), why: format!("more than {MAX_INDEXES} indexes lead to each other") })
}
