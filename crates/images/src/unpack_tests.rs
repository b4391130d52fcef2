//! Layers, honest and hostile. They need root: whiteouts are devices, and opaque folders have an attribute that only root may set.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::limits::{MAX_EXTENSION_BYTES, MAX_UNPACKED_BYTES};
use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
};
use tar::{Builder, Header};

/// A layer in the making.
struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// The path goes in as it is: the library would refuse what hostile tools write.
    fn add(mut self, kind: EntryType, path: &str, link: &str, content: &[u8], change: impl FnOnce(&mut Header)) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000);
        header.set_size(content.len() as u64);
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        change(&mut header);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }
    fn file(self, path: &str, content: &str) -> Self {
        self.add(EntryType::Regular, path, "", content.as_bytes(), |_| {})
    }
    fn folder(self, path: &str, mode: u32, uid: u64) -> Self {
        self.add(EntryType::Directory, path, "", b"", |h| {
            h.set_mode(mode);
            h.set_uid(uid);
        })
    }
    fn link(self, kind: EntryType, path: &str, to: &str) -> Self {
        self.add(kind, path, to, b"", |_| {})
    }
    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// Layers on each other, in a folder that has a neighbour nobody may touch.
struct Ground {
    folder: tempfile::TempDir,
    layers: Vec<PathBuf>,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("victim"), "untouched").unwrap();
        Self { folder, layers: Vec::new() }
    }

    fn unpack_bytes(&mut self, bytes: &[u8], packing: Packing, diff_id: Digest, budget: u64) -> Result<u64, LayerError> {
        let into = self.folder.path().join(format!("layer{}", self.layers.len()));
        fs::create_dir(&into).unwrap();
        let stop = CancellationToken::new();
        let order = Order { into: &into, lowers: &self.layers, packing, diff_id, packed: Some(Digest::of(bytes)), budget, stop: &stop };
        let outcome = unpack(bytes, &order);
        self.layers.push(into);
        assert_eq!(fs::read_to_string(self.folder.path().join("victim")).unwrap(), "untouched");
        outcome
    }

    fn put(&mut self, layer: Layer) -> Result<u64, LayerError> {
        let bytes = layer.bytes();
        self.unpack_bytes(&bytes, Packing::Plain, Digest::of(&bytes), MAX_UNPACKED_BYTES)
    }

    fn refusal(layer: Layer) -> String {
        Self::new().put(layer).unwrap_err().to_string()
    }

    fn top(&self, path: &str) -> PathBuf {
        self.layers.last().unwrap().join(path)
    }

    fn is_whiteout(&self, path: &str) -> bool {
        fs::symlink_metadata(self.top(path)).is_ok_and(|m| m.file_type().is_char_device() && m.rdev() == 0)
    }

    fn is_opaque(&self, path: &str) -> bool {
        let mut value = [0u8; 8];
        rustix::fs::getxattr(self.top(path), "trusted.overlay.opaque", &mut value[..]).is_ok_and(|n| value[..n] == *b"y")
    }
}

#[test]
fn an_honest_layer_is_as_it_was_packed() {
    let mut ground = Ground::new();
    let layer = Layer::new()
        .folder("./", 0o755, 0)
        .folder("tmp/", 0o1777, 0)
        .folder("mail", 0o2775, 8)
        .add(EntryType::Regular, "bin/su", "", b"su", |h| h.set_mode(0o4755))
        .add(EntryType::Regular, "home/me", "", b"me", |h| h.set_uid(1000))
        .add(EntryType::Regular, "home/far", "", b"me", |h| h.set_uid(1_000_000))
        .link(EntryType::Symlink, "lib", "usr/lib")
        .link(EntryType::Link, "bin/sudo", "/bin/su")
        .add(EntryType::Fifo, "pipe", "", b"", |_| {})
        .add(EntryType::Char, "dev/mem", "", b"", |h| h.set_device_major(1).unwrap());
    ground.put(layer).unwrap();
    let about = |path: &str| fs::symlink_metadata(ground.top(path)).unwrap();
    let mode = |path: &str| about(path).permissions().mode() & 0o7777;
    assert_eq!((mode("tmp"), mode("mail"), about("mail").uid()), (0o1777, 0o2775, 8));
    assert_eq!((mode("bin/su"), about("bin/su").mtime(), about("bin/su").nlink()), (0o755, 1_000_000, 2));
    assert_eq!((about("home/me").uid(), about("home/far").uid()), (1000, 65_534));
    assert_eq!(fs::read_link(ground.top("lib")).unwrap(), Path::new("usr/lib"));
    assert_eq!(fs::read_to_string(ground.top("bin/sudo")).unwrap(), "su");
    assert!(about("pipe").file_type().is_fifo() && !ground.top("dev/mem").exists());
}

#[test]
fn long_names_have_two_formats_and_a_bound() {
    let name = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let gnu = Layer::new().add(EntryType::GNULongName, "././@LongLink", "", format!("{name}\0").as_bytes(), |_| {}).file("short", "gnu");
    let record = |key: &str, value: &str| {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 1;
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        format!("{length}{rest}")
    };
    let pax = |content: &str| Layer::new().add(EntryType::XHeader, "pax", "", content.as_bytes(), |_| {});
    let named = record("path", &name) + &record("SCHILY.xattr.trusted.overlay.opaque", "y") + &record("uid", "7");
    for layer in [gnu, pax(&named).file("short", "pax")] {
        let mut ground = Ground::new();
        ground.put(layer).unwrap();
        assert!(ground.top(&name).is_file());
    }
    let large = vec![b'x'; usize::try_from(MAX_EXTENSION_BYTES).unwrap() + 1];
    assert!(Ground::refusal(Layer::new().add(EntryType::GNULongName, "x", "", &large, |_| {})).contains("at most 1048576"));
    assert!(Ground::refusal(pax(&record("size", "5")).file("x", "y")).contains("size"));
    assert!(Ground::refusal(pax(&record("GNU.sparse.major", "1")).file("x", "y")).contains("sparse"));
    assert!(Ground::refusal(pax(&record("path", "../victim")).file("x", "y")).contains(".."));
}

#[test]
fn what_is_taken_away_is_marked() {
    let mut ground = Ground::new();
    ground.put(Layer::new().file("a/one", "1").file("a/two", "2").file("b/x", "x").file("c/y", "y").file("gone/z", "z")).unwrap();
    let layer = Layer::new()
        .file("a/.wh.one", "")
        .file("b/.wh..wh..opq", "")
        .file("b/new", "n")
        .file("c/new", "n")
        .file(".wh.c", "")
        .file(".wh.gone", "")
        .file("gone/back", "b")
        .file(".wh..wh.aufs", "");
    ground.put(layer).unwrap();
    assert!(ground.is_whiteout("a/one") && !ground.top("a/two").exists());
    assert!(ground.is_opaque("b") && ground.top("b/new").is_file());
    // What the layer itself has stays: it takes away from those below.
    assert!(ground.is_opaque("c") && ground.top("c/new").is_file());
    assert!(ground.is_opaque("gone") && ground.top("gone/back").is_file());
    assert!(!ground.is_opaque("a") && !ground.top(".wh..wh.aufs").exists());
}

#[test]
fn an_opaque_root_hides_everything_by_name() {
    let mut ground = Ground::new();
    ground.put(Layer::new().file("a", "1").file("b/c", "2")).unwrap();
    ground.put(Layer::new().file("b/d", "3").file(".wh..wh..opq", "")).unwrap();
    assert!(ground.is_whiteout("a") && ground.is_opaque("b") && ground.top("b/d").is_file());
}

#[test]
fn folders_that_are_not_named_are_as_they_are_below() {
    let mut ground = Ground::new();
    let base = Layer::new().folder("tmp", 0o1777, 0).folder("home/me", 0o700, 1000).folder("usr/lib", 0o755, 0).link(
        EntryType::Symlink,
        "lib",
        "/usr/lib",
    );
    ground.put(base).unwrap();
    ground.put(Layer::new().file("tmp/x", "x").file("home/me/x", "x").file("lib/deep/x", "x")).unwrap();
    let about = |path: &str| fs::symlink_metadata(ground.top(path)).unwrap();
    assert_eq!(about("tmp").permissions().mode() & 0o7777, 0o1777);
    assert_eq!((about("home/me").uid(), about("home/me").permissions().mode() & 0o7777), (1000, 0o700));
    assert!(ground.top("usr/lib/deep/x").is_file() && !ground.top("lib").exists());
}

#[test]
fn links_lead_nowhere_else() {
    // Each of them tries to have the file "victim" beside the layer written.
    for target in ["../victim", "/../../victim", "../../../../../../../tmp"] {
        let mut ground = Ground::new();
        let through =
            Layer::new().link(EntryType::Symlink, "out", "..").link(EntryType::Symlink, "file", target).file("out/victim", "changed");
        ground.put(through).unwrap();
        // Above the root is the root.
        assert_eq!(fs::read_to_string(ground.top("victim")).unwrap(), "changed");
        ground.put(Layer::new().link(EntryType::Symlink, "file", target).file("file", "changed")).unwrap();
        assert!(fs::symlink_metadata(ground.top("file")).unwrap().is_file(), "the link is replaced, not followed");
    }
    assert!(Ground::refusal(Layer::new().file("../victim", "changed")).contains(".."));
    assert!(Ground::refusal(Layer::new().link(EntryType::Link, "x", "../victim")).contains(".."));
    assert!(Ground::refusal(Layer::new().link(EntryType::Link, "x", "absent")).contains("no file of the same layer"));
    assert!(
        Ground::refusal(Layer::new().link(EntryType::Symlink, "a", "b").link(EntryType::Symlink, "b", "a").file("a/x", ""))
            .contains("links")
    );
    assert!(Ground::refusal(Layer::new().file("a", "").file("a/b", "")).contains("no folder"));
    let own = Layer::new().link(EntryType::Symlink, "self", "..").link(EntryType::Link, "x", "self/victim");
    assert!(Ground::refusal(own).contains("no file of the same layer"));
    // An absolute path begins at the image's root.
    let mut ground = Ground::new();
    ground.put(Layer::new().file("/etc/passwd", "root")).unwrap();
    assert!(ground.top("etc/passwd").is_file());
}

#[test]
fn a_later_entry_takes_the_place_of_an_earlier_one() {
    let mut ground = Ground::new();
    let layer = Layer::new()
        .file("a/b/c", "1")
        .link(EntryType::Symlink, "a", "z")
        .file("z/y", "2")
        .file("f", "old")
        .file("f", "new")
        .folder("f2", 0o700, 0);
    ground.put(layer.file("f2", "file")).unwrap();
    assert_eq!(fs::read_link(ground.top("a")).unwrap(), Path::new("z"));
    assert_eq!(
        (fs::read_to_string(ground.top("f")).unwrap(), fs::read_to_string(ground.top("f2")).unwrap()),
        ("new".to_owned(), "file".to_owned())
    );
}

#[test]
fn bombs_and_damage_are_told() {
    let layer = || Layer::new().file("a", "0123456789").bytes();
    let digest = Digest::of(&layer());
    let unpack =
        |bytes: &[u8], digest, budget| Ground::new().unpack_bytes(bytes, Packing::Plain, digest, budget).map_err(|e| e.to_string());
    // The entry, its content, and what stands behind the end of the archive.
    let needed = unpack(&layer(), digest, 1 << 20).unwrap();
    assert_eq!(unpack(&layer(), digest, needed), Ok(needed));
    assert!(unpack(&layer(), digest, needed - 1).unwrap_err().contains("bomb"));
    assert!(unpack(&layer(), digest, ENTRY_BYTES + 9).unwrap_err().contains("bomb"));
    assert!(unpack(&layer(), Digest::of(b""), 1 << 20).unwrap_err().contains("came instead of"));
    assert!(unpack(&layer()[..515], Digest::of(&layer()[..515]), 1 << 20).unwrap_err().contains("damaged"));
    assert!(unpack(b"no archive", Digest::of(b"no archive"), 1 << 20).is_err());
    let zeros = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::copy(&mut std::io::repeat(0).take(8 << 20), &mut gzip).unwrap();
        gzip.finish().unwrap()
    };
    let outcome = Ground::new().unpack_bytes(&zeros, Packing::Gzip, Digest::of(b""), 1 << 20);
    assert!(outcome.unwrap_err().to_string().contains("bomb"), "what follows an archive's end has a bound, too");
}

#[test]
fn nobody_waits_for_what_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = Layer::new().file("a", "b").bytes();
    let stop = CancellationToken::new();
    stop.cancel();
    let order = Order {
        into: folder.path(),
        lowers: &[],
        packing: Packing::Plain,
        diff_id: Digest::of(&bytes),
        packed: None,
        budget: 1 << 20,
        stop: &stop,
    };
    assert!(matches!(unpack(bytes.as_slice(), &order), Err(LayerError::Cancelled)));
}
