//! Manifests and indexes: what an image is made of, and which of several is for this node.

use crate::{
    digest::Digest,
    limits::{MAX_LAYER_BYTES, MAX_LAYERS},
};
use serde::Deserialize;
use std::fmt;

/// What floe asks registries for.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// A machine that programs are built for, in the words of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// `amd64`, `arm64` and so on.
    pub architecture: String,
}

impl Platform {
    /// The platform of a machine, by the name that its kernel or compiler has for it.
    pub fn of(machine: &str) -> Self {
        let architecture = match machine {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" | "i686" => "386",
            "powerpc64" | "ppc64le" => "ppc64le",
            other => other,
        };
        Self { architecture: architecture.to_owned() }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture)
    }
}

/// A piece of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    /// Bytes.
    pub(crate) size: u64,
}

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// What an image is made of; the lowest layer first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Blob,
    pub(crate) layers: Vec<(Blob, Packing)>,
}

/// An answer to the question for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    Image(Manifest),
    /// Another document says what the image is made of.
    Elsewhere(Blob),
}

/// A document that floe cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadManifest {
    #[error("its manifest cannot be read: {0}")]
    Unreadable(String),
    #[error("it is in a format of before 2016 (schema 1): push it again with a newer tool")]
    Schema1,
    #[error("its manifest is an index and an image at once")]
    Ambiguous,
    #[error(
        "it is there for {found}, but this node needs {wanted}: build it for that, or let a constraint on ${{attr.kernel.arch}} choose other nodes"
    )]
    NoPlatform { wanted: Platform, found: String },
    #[error("it has {0} layers, and at most {MAX_LAYERS} are possible: build it with fewer steps")]
    Layers(usize),
    #[error("its layer {0} is no layer of a container image but {1:?}")]
    LayerType(usize, String),
    #[error("its layer {0} has {1} bytes, and at most {MAX_LAYER_BYTES} are possible")]
    LayerSize(usize, u64),
    #[error("{0}")]
    Digest(#[from] crate::digest::BadDigest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    manifests: Option<Vec<WireEntry>>,
    #[serde(default)]
    config: Option<WireBlob>,
    #[serde(default)]
    layers: Option<Vec<WireBlob>>,
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBlob {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct WireEntry {
    #[serde(flatten)]
    blob: WireBlob,
    #[serde(default)]
    platform: Option<WirePlatform>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct WirePlatform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: String,
}

impl WireBlob {
    fn blob(&self) -> Result<Blob, BadManifest> {
        Ok(Blob { digest: self.digest.parse()?, size: self.size })
    }
}

/// Reads a manifest or an index, and chooses.
pub(crate) fn read(content: &[u8], platform: &Platform) -> Result<Document, BadManifest> {
    let wire: Wire = serde_json::from_slice(content).map_err(|e| BadManifest::Unreadable(e.to_string()))?;
    match (wire.manifests, wire.config, wire.layers) {
        _ if wire.schema_version == 1 || wire.fs_layers.is_some() => Err(BadManifest::Schema1),
        (Some(entries), None, None) => choose(&entries, platform).map(Document::Elsewhere),
        (None, Some(config), Some(layers)) => image(&config, &layers).map(Document::Image),
        (Some(_), _, _) => Err(BadManifest::Ambiguous),
        _ => Err(BadManifest::Unreadable("it names neither layers nor manifests".to_owned())),
    }
}

/// Reads the index of an image layout: the image with the tag, or the only one.
pub(crate) fn tagged(content: &[u8], tag: Option<&str>) -> Result<Result<Blob, Vec<String>>, BadManifest> {
    const NAME: &str = "org.opencontainers.image.ref.name";
    let wire: Wire = serde_json::from_slice(content).map_err(|e| BadManifest::Unreadable(e.to_string()))?;
    let entries = wire.manifests.unwrap_or_default();
    let name = |e: &WireEntry| e.annotations.get(NAME).cloned().unwrap_or_default();
    let found = match (tag, entries.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => None,
        // Some tools write the whole name.
        (Some(tag), all) => all.iter().find(|e| name(e) == tag).or_else(|| all.iter().find(|e| name(e).ends_with(&format!(":{tag}")))),
    };
    match found {
        Some(entry) => entry.blob.blob().map(Ok),
        None => Ok(Err(entries.iter().map(name).collect())),
    }
}

fn image(config: &WireBlob, layers: &[WireBlob]) -> Result<Manifest, BadManifest> {
    if layers.len() > MAX_LAYERS {
        return Err(BadManifest::Layers(layers.len()));
    }
    let layer = |(i, wire): (usize, &WireBlob)| {
        let blob = wire.blob()?;
        if blob.size > MAX_LAYER_BYTES {
            return Err(BadManifest::LayerSize(i + 1, blob.size));
        }
        let packing =
            packing(&wire.media_type).ok_or_else(|| BadManifest::LayerType(i + 1, wire.media_type.chars().take(100).collect()))?;
        Ok((blob, packing))
    };
    Ok(Manifest { config: config.blob()?, layers: layers.iter().enumerate().map(layer).collect::<Result<_, _>>()? })
}

fn packing(media_type: &str) -> Option<Packing> {
    match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Some(Packing::Plain),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Some(Packing::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd" | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Packing::Zstd),
        _ => None,
    }
}

/// The image for the platform: the one without a variant, else the first that every such machine can run. An index of one image that
/// says nothing of platforms is that image; its configuration is asked later.
fn choose(entries: &[WireEntry], wanted: &Platform) -> Result<Blob, BadManifest> {
    if let [WireEntry { blob, platform: None, .. }] = entries {
        return blob.blob();
    }
    let base = |variant: &str| match wanted.architecture.as_str() {
        "amd64" => variant == "v1",
        "arm64" => variant == "v8",
        _ => false,
    };
    let fits = |e: &&WireEntry, variant: &dyn Fn(&str) -> bool| {
        e.platform.as_ref().is_some_and(|p| p.os == "linux" && p.architecture == wanted.architecture && variant(&p.variant))
    };
    let found = entries.iter().find(|e| fits(e, &str::is_empty)).or_else(|| entries.iter().find(|e| fits(e, &base)));
    match found {
        Some(entry) => entry.blob.blob(),
        None => Err(BadManifest::NoPlatform { wanted: wanted.clone(), found: platforms(entries) }),
    }
}

fn platforms(entries: &[WireEntry]) -> String {
    let named: Vec<String> = entries
        .iter()
        .filter_map(|e| e.platform.as_ref())
        .filter(|p| p.os != "unknown")
        .take(20)
        .map(|p| [p.os.as_str(), &p.architecture, &p.variant].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/"))
        .collect();
    if named.is_empty() { "no platform".to_owned() } else { named.join(", ") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn digest(n: u8) -> String {
        Digest::of(&[n]).to_string()
    }

    fn entry(n: u8, os: &str, architecture: &str, variant: &str) -> serde_json::Value {
        json!({ "digest": digest(n), "size": 1, "platform": { "os": os, "architecture": architecture, "variant": variant } })
    }

    fn chosen(entries: serde_json::Value) -> Result<Document, String> {
        let text = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
        read(text.as_bytes(), &Platform::of("x86_64")).map_err(|e| e.to_string())
    }

    fn elsewhere(n: u8) -> Result<Document, String> {
        Ok(Document::Elsewhere(Blob { digest: Digest::of(&[n]), size: 1 }))
    }

    #[test]
    fn the_image_of_the_platform_is_chosen() {
        assert_eq!(chosen(json!([entry(1, "linux", "arm64", ""), entry(2, "linux", "amd64", "")])), elsewhere(2));
        assert_eq!(chosen(json!([entry(1, "linux", "amd64", "v3"), entry(2, "linux", "amd64", "")])), elsewhere(2));
        assert_eq!(chosen(json!([entry(1, "linux", "amd64", "v3"), entry(2, "linux", "amd64", "v1")])), elsewhere(2));
        assert_eq!(chosen(json!([{ "digest": digest(1), "size": 1 }])), elsewhere(1));
        let none = chosen(json!([entry(1, "windows", "amd64", ""), entry(2, "linux", "arm", "v7"), entry(3, "unknown", "unknown", "")]))
            .unwrap_err();
        assert!(none.contains("there for windows/amd64, linux/arm/v7, but this node needs linux/amd64"), "{none}");
        assert!(chosen(json!([entry(1, "linux", "amd64", "v3")])).unwrap_err().contains("linux/amd64/v3"));
        assert!(chosen(json!([])).unwrap_err().contains("no platform"));
    }

    fn image_of(layers: serde_json::Value) -> Result<Document, String> {
        let text = json!({ "schemaVersion": 2, "config": { "digest": digest(0), "size": 2 }, "layers": layers }).to_string();
        read(text.as_bytes(), &Platform::of("x86_64")).map_err(|e| e.to_string())
    }

    #[test]
    fn layers_are_read_within_their_bounds() {
        let layer = |kind: &str, size: u64| json!({ "mediaType": kind, "digest": digest(1), "size": size });
        const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
        let Ok(Document::Image(manifest)) = image_of(json!([
            layer(GZIP, 5),
            layer("application/vnd.oci.image.layer.v1.tar+zstd", MAX_LAYER_BYTES),
            layer("application/vnd.docker.image.rootfs.diff.tar", 7)
        ])) else {
            panic!("no image")
        };
        assert_eq!(manifest.layers.iter().map(|(_, p)| *p).collect::<Vec<_>>(), [Packing::Gzip, Packing::Zstd, Packing::Plain]);
        assert!(image_of(json!([layer(GZIP, MAX_LAYER_BYTES + 1)])).unwrap_err().contains("layer 1 has"));
        assert!(image_of(json!([layer("application/json", 1)])).unwrap_err().contains("\"application/json\""));
        assert!(
            image_of(json!([{ "mediaType": GZIP, "digest": "sha512:00", "size": 1 }])).unwrap_err().contains("no digest that floe knows")
        );
        assert!(image_of(json!(vec![layer(GZIP, 1); MAX_LAYERS])).is_ok());
        assert!(image_of(json!(vec![layer(GZIP, 1); MAX_LAYERS + 1])).unwrap_err().contains("128 layers"));
    }

    #[test]
    fn what_is_neither_is_refused() {
        let refusal = |text: serde_json::Value| read(text.to_string().as_bytes(), &Platform::of("x86_64")).unwrap_err().to_string();
        assert!(refusal(json!({ "schemaVersion": 1, "fsLayers": [] })).contains("schema 1"));
        assert!(refusal(json!({ "manifests": [], "layers": [] })).contains("at once"));
        assert!(refusal(json!({})).contains("neither"));
        assert!(refusal(json!([])).contains("cannot be read"));
    }

    #[test]
    fn tags_of_a_layout() {
        let named =
            |n: u8, name: &str| json!({ "digest": digest(n), "size": 1, "annotations": { "org.opencontainers.image.ref.name": name } });
        let two = json!({ "manifests": [named(1, "v1"), named(2, "host/x:v2")] }).to_string();
        let found = |tag: Option<&str>| tagged(two.as_bytes(), tag).unwrap().map(|b| b.digest);
        assert_eq!(found(Some("v1")), Ok(Digest::of(&[1])));
        assert_eq!(found(Some("v2")), Ok(Digest::of(&[2])));
        assert_eq!(found(Some("v3")), Err(vec!["v1".to_owned(), "host/x:v2".to_owned()]));
        assert!(found(None).is_err());
    }
}
