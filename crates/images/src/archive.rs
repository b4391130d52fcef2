//! Files as `docker save` writes them: an archive with `manifest.json`, a configuration and the layers, each an archive again.

use crate::{
    decompress::Unpacked,
    error::{ImageError, LayerError},
    layer,
    layout::open,
    limits::{MAX_CONFIG_BYTES, MAX_LAYERS, MAX_MANIFEST_BYTES},
    manifest::Packing,
    tarball,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Cursor, Read, Seek},
    path::{Path, PathBuf},
};
use tar::EntryType;
use tokio_util::sync::CancellationToken;

/// The most files of an archive: three for each layer, and a few.
const MAX_FILES: usize = 4096;
/// What the small files may come to.
const MAX_SMALL_BYTES: u64 = 64 << 20;

/// What an archive holds.
#[derive(Debug)]
pub(crate) struct Contents {
    /// The configuration of its only image.
    pub(crate) config: Vec<u8>,
    /// Where the layers are in the archive, the lowest first.
    pub(crate) layers: Vec<Span>,
}

/// A piece of an archive, as it is without its own packing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    from: u64,
    bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    config: String,
    layers: Vec<String>,
}

/// An archive, unpacked while it is read.
fn reader(image: &str, path: &Path) -> Result<Unpacked<File>, ImageError> {
    let mut file = open(image, path)?;
    let failed = |source| ImageError::Io { what: format!("read {}", path.display()), source };
    let mut magic = [0u8; 4];
    let n = file.read(&mut magic).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok(Unpacked::new(file, packing(magic.get(..n).unwrap_or_default())))
}

/// How something is packed, by how it begins: layers in these archives say nothing of it.
pub(crate) fn packing(begin: &[u8]) -> Packing {
    match begin {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstd,
        _ => Packing::Plain,
    }
}

/// Looks what an archive holds.
pub(crate) fn contents(image: &str, path: &Path, stop: &CancellationToken) -> Result<Contents, ImageError> {
    let unusable = |why: String| ImageError::Unusable { image: image.to_owned(), why };
    let (mut small, mut links, mut spans) =
        (BTreeMap::<PathBuf, Vec<u8>>::new(), BTreeMap::<PathBuf, PathBuf>::new(), BTreeMap::<PathBuf, Span>::new());
    let mut left = MAX_SMALL_BYTES;
    let limit = u64::try_from(MAX_CONFIG_BYTES.max(MAX_MANIFEST_BYTES)).unwrap_or(u64::MAX);
    tarball::each(reader(image, path)?, |item| {
        if stop.is_cancelled() {
            return Err(LayerError::Cancelled);
        }
        let at = layer::path(&item.path)?;
        match item.kind {
            // A layer that an image has twice is a link to the first.
            EntryType::Symlink | EntryType::Link if links.len() < MAX_FILES => {
                let base = if item.kind == EntryType::Symlink { at.parent().unwrap_or(Path::new("")).to_owned() } else { PathBuf::new() };
                links.insert(at, inside(&base, &String::from_utf8_lossy(&item.link)));
            }
            EntryType::Regular if spans.len() < MAX_FILES => {
                spans.insert(at.clone(), Span { from: item.content.raw_file_position(), bytes: item.size });
                if item.size <= limit && item.size <= left && at.extension().is_none_or(|e| e != "tar") {
                    left -= item.size;
                    let mut content = Vec::new();
                    item.content.read_to_end(&mut content).map_err(LayerError::Damaged)?;
                    small.insert(at, content);
                }
            }
            EntryType::Regular | EntryType::Symlink | EntryType::Link => {
                return Err(LayerError::Odd(format!("it has more than {MAX_FILES} files")));
            }
            _ => {}
        }
        Ok(())
    })
    .map_err(|error| match error {
        LayerError::Cancelled => ImageError::Cancelled { image: image.to_owned() },
        error => unusable(format!("{}: {error}", path.display())),
    })?;
    let manifest =
        small.get(Path::new("manifest.json")).ok_or_else(|| unusable("it has no manifest.json: make it by docker save".to_owned()))?;
    let images: Vec<Wire> = serde_json::from_slice(manifest).map_err(|e| unusable(format!("its manifest.json cannot be read: {e}")))?;
    let [wire] = images.as_slice() else {
        return Err(unusable(format!("its archive holds {} images: save one", images.len())));
    };
    if wire.layers.len() > MAX_LAYERS {
        return Err(unusable(format!("it has {} layers, and at most {MAX_LAYERS} are possible", wire.layers.len())));
    }
    let place = |name: &str| layer::path(name.as_bytes()).map_err(|e| unusable(e.to_string()));
    let config = small.remove(&place(&wire.config)?).ok_or_else(|| unusable(format!("its configuration {} is missing", wire.config)))?;
    let span = |name: &String| {
        let at = place(name)?;
        let at = links.get(&at).unwrap_or(&at);
        spans.get(at).copied().ok_or_else(|| unusable(format!("its layer {name} is missing")))
    };
    let layers = wire.layers.iter().map(span).collect::<Result<_, _>>()?;
    Ok(Contents { config, layers })
}

/// A link's target inside of the archive, in words.
fn inside(base: &Path, target: &str) -> PathBuf {
    let mut path = if target.starts_with('/') { PathBuf::new() } else { base.to_owned() };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path
}

/// A layer of an archive, and what it is packed in itself.
pub(crate) fn layer(image: &str, path: &Path, span: Span) -> Result<(Box<dyn Read + Send>, Packing), ImageError> {
    let failed = |source| ImageError::Io { what: format!("read {}", path.display()), source };
    let mut archive = reader(image, path)?;
    // There is no way to jump in what is compressed; and what is not is read fast.
    io::copy(&mut archive.by_ref().take(span.from), &mut io::sink()).map_err(failed)?;
    let mut layer = archive.take(span.bytes);
    let mut begin = Vec::new();
    layer.by_ref().take(4).read_to_end(&mut begin).map_err(failed)?;
    let packing = packing(&begin);
    Ok((Box::new(Cursor::new(begin).chain(layer)), packing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        assert_eq!(inside(Path::new("b"), "../a/layer.tar"), Path::new("a/layer.tar"));
        assert_eq!(inside(Path::new("b"), "../../../etc/passwd"), Path::new("etc/passwd"));
        assert_eq!(inside(Path::new("b"), "/a/./x"), Path::new("a/x"));
        assert_eq!(
            (packing(&[0x1f, 0x8b, 8, 0]), packing(&[0x28, 0xb5, 0x2f, 0xfd]), packing(b"")),
            (Packing::Gzip, Packing::Zstd, Packing::Plain)
        );
    }
}
