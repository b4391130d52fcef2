//! Archives, entry by entry. Long names and attributes of the formats in use are read here, because only here they have bounds.

use crate::{
    error::LayerError,
    limits::{MAX_ENTRIES, MAX_EXTENSION_BYTES},
};
use std::io::Read;
use tar::{Archive, Entry, EntryType, PaxExtensions};

/// An entry.
pub(crate) struct Item<'a, 'r, R: Read> {
    /// Its path as it is written.
    pub(crate) path: Vec<u8>,
    /// Where a link leads.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryType,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    /// Bytes of content.
    pub(crate) size: u64,
    pub(crate) content: &'a mut Entry<'r, R>,
}

/// What entries before one say about it.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    size: Option<u64>,
}

/// Calls `take` for each entry.
pub(crate) fn each<R: Read>(reader: R, mut take: impl FnMut(Item<'_, '_, R>) -> Result<(), LayerError>) -> Result<(), LayerError> {
    let mut archive = Archive::new(reader);
    let mut said = Said::default();
    let mut count = 0;
    for entry in archive.entries().map_err(LayerError::Damaged)?.raw(true) {
        let mut entry = entry.map_err(LayerError::Damaged)?;
        count += 1;
        if count > MAX_ENTRIES {
            return Err(LayerError::Entries);
        }
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => {}
            EntryType::XHeader => attributes(&extension(&mut entry)?, &mut said)?,
            EntryType::GNULongName => said.path = Some(name(extension(&mut entry)?)),
            EntryType::GNULongLink => said.link = Some(name(extension(&mut entry)?)),
            kind => take(item(&mut entry, kind, std::mem::take(&mut said))?)?,
        }
    }
    Ok(())
}

fn item<'a, 'r, R: Read>(entry: &'a mut Entry<'r, R>, kind: EntryType, said: Said) -> Result<Item<'a, 'r, R>, LayerError> {
    let header = entry.header();
    let number = |said: Option<u64>, own: std::io::Result<u64>| said.map_or(own, Ok).map_err(LayerError::Damaged);
    let size = header.entry_size().map_err(LayerError::Damaged)?;
    // The reader goes by the header's; an archive in which the two differ would be read as two different ones.
    if said.size.is_some_and(|said| said != size) {
        return Err(LayerError::Odd(
            "not supported yet: an entry whose size is only in its extended header (files above 8 GiB)".to_owned(),
        ));
    }
    let mtime = said.mtime.unwrap_or_else(|| header.mtime().ok().and_then(|n| i64::try_from(n).ok()).unwrap_or(0));
    Ok(Item {
        path: said.path.unwrap_or_else(|| header.path_bytes().into_owned()),
        link: said.link.or_else(|| header.link_name_bytes().map(|l| l.into_owned())).unwrap_or_default(),
        kind,
        uid: number(said.uid, header.uid())?,
        gid: number(said.gid, header.gid())?,
        mode: header.mode().map_err(LayerError::Damaged)? & 0o7777,
        mtime,
        size,
        content: entry,
    })
}

fn extension<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, LayerError> {
    let size = entry.header().entry_size().map_err(LayerError::Damaged)?;
    if size > MAX_EXTENSION_BYTES {
        return Err(LayerError::Odd(format!(
            "an entry has {size} bytes of names and attributes, and at most {MAX_EXTENSION_BYTES} are possible"
        )));
    }
    let mut content = Vec::new();
    entry.take(MAX_EXTENSION_BYTES).read_to_end(&mut content).map_err(LayerError::Damaged)?;
    Ok(content)
}

/// A long name ends with a NUL.
fn name(mut content: Vec<u8>) -> Vec<u8> {
    while content.last() == Some(&0) {
        content.pop();
    }
    content
}

fn attributes(content: &[u8], said: &mut Said) -> Result<(), LayerError> {
    for attribute in PaxExtensions::new(content) {
        let attribute = attribute.map_err(LayerError::Damaged)?;
        let value = attribute.value_bytes();
        let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        match attribute.key_bytes() {
            b"path" => said.path = Some(value.to_vec()),
            b"linkpath" => said.link = Some(value.to_vec()),
            b"uid" => said.uid = number(),
            b"gid" => said.gid = number(),
            b"size" => said.size = Some(number().ok_or_else(|| LayerError::Odd("an entry's size is no number".to_owned()))?),
            b"mtime" => said.mtime = std::str::from_utf8(value).ok().and_then(|t| t.split('.').next()?.parse().ok()),
            key if key.starts_with(b"GNU.sparse.") => return Err(LayerError::Odd("not supported yet: sparse files".to_owned())),
            // Extended attributes would have no effect in a task, and some of them would on the node.
            _ => {}
        }
    }
    Ok(())
}
