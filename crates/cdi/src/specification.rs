//! One file, as it is written. Unknown fields are errors: whoever wrote them counts on what they do.

use crate::{check, registry::Kind};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The largest file in bytes. That of a machine with eight GPUs has about a hundred thousand.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// The most entries of any list in a file.
pub const MAX_LIST: usize = 1_024;
/// The longest name, path, argument or value in bytes: what the kernel takes for a path.
pub const MAX_TEXT_BYTES: usize = 4_096;

/// A file that was read and is well formed.
#[derive(Clone, Debug, PartialEq)]
pub struct Specification {
    pub(crate) kind: Kind,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) devices: Vec<RawDevice>,
    pub(crate) edits: RawEdits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawSpecification {
    cdi_version: String,
    kind: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    devices: Vec<RawDevice>,
    #[serde(default)]
    container_edits: RawEdits,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawDevice {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) container_edits: RawEdits,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct RawEdits {
    pub(crate) env: Vec<String>,
    pub(crate) device_nodes: Vec<RawNode>,
    pub(crate) net_devices: Vec<serde_json::Value>,
    pub(crate) mounts: Vec<RawMount>,
    pub(crate) hooks: Vec<RawHook>,
    pub(crate) additional_gids: Vec<u32>,
    pub(crate) intel_rdt: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawNode {
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) host_path: String,
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    pub(crate) major: Option<i64>,
    pub(crate) minor: Option<i64>,
    pub(crate) file_mode: Option<u32>,
    #[serde(default)]
    pub(crate) permissions: String,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMount {
    pub(crate) host_path: String,
    pub(crate) container_path: String,
    #[serde(default)]
    pub(crate) options: Vec<String>,
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawHook {
    pub(crate) hook_name: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) env: Vec<String>,
    pub(crate) timeout: Option<i64>,
}

/// Reads a file of JSON.
///
/// # Errors
/// In words, what is wrong with it. The file's name is the caller's to say.
pub fn read(text: &str) -> Result<Specification, String> {
    if text.len() > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    let raw: RawSpecification = serde_json::from_str(text).map_err(|e| format!("is no specification of devices: {e}"))?;
    check::version(&raw.cdi_version)?;
    let kind = Kind::parse(&raw.kind)?;
    check::edits(&raw.container_edits)?;
    check::annotations(&raw.annotations)?;
    check::devices(&raw.devices)?;
    Ok(Specification { kind, annotations: raw.annotations, devices: raw.devices, edits: raw.container_edits })
}
