//! The `keyring` blocks: where the keys are that wrap the cluster's root keys. Reads no key; `floe_keyring::Keks` does.

use super::refuse_unknown;
use anyhow::{Context, bail};
use floe_keyring::{KekConfig, Provider, Transit};
use floe_model::wire;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};

/// What names the folder of a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The kinds, in the order in which they are asked: what is here first, then what is far.
const KINDS: [&str; 4] = ["file", "credential", "age", "transit"];

wire! {
    /// `keyring "file"`.
    pub(super) struct FileBlock {
        "active" active: Option<bool>,
        "path" path: String,
    }

    /// `keyring "credential"`.
    pub(super) struct CredentialBlock {
        "active" active: Option<bool>,
        "name" name: String,
    }

    /// `keyring "age"`.
    pub(super) struct AgeBlock {
        "active" active: Option<bool>,
        "recipients" recipients: Vec<String>,
        "identity_file" identity_file: String,
    }

    /// `keyring "transit"`.
    pub(super) struct TransitBlock {
        "active" active: Option<bool>,
        "address" address: String,
        "key_name" key_name: String,
        "mount_path" mount_path: String,
        "token_file" token_file: String,
        "namespace" namespace: String,
        "ca_cert" ca_cert: String,
    }
}

/// The key-encryption keys that the blocks name, in the order in which they are asked.
pub(super) fn configs(blocks: &BTreeMap<String, Value>, is_server: bool) -> anyhow::Result<Vec<KekConfig>> {
    if let Some(other) = blocks.keys().find(|kind| !KINDS.contains(&kind.as_str())) {
        bail!("{}", refusal(other));
    }
    if !blocks.is_empty() && !is_server {
        bail!("keyring is for servers: enable the server part (server {{ enabled = true }}), or leave it out");
    }
    let credentials = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    let mut found = Vec::new();
    for kind in KINDS {
        let here = blocks.get(kind).map(instances).unwrap_or_default();
        for block in here {
            let what = || format!("keyring {kind:?}");
            let config = match kind {
                "file" => file(&decode(kind, block)?),
                "credential" => credential(&decode(kind, block)?, credentials.clone()),
                "age" => age(&decode(kind, block)?),
                _ => transit(&decode(kind, block)?),
            };
            found.push(config.with_context(what)?);
        }
    }
    Ok(found)
}

/// One block, or the list that several of one kind are.
fn instances(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(several) => several.iter().collect(),
        one => vec![one],
    }
}

fn decode<T: DeserializeOwned>(kind: &str, block: &Value) -> anyhow::Result<T> {
    let decoded = wire::from_value::<T>(block.clone()).with_context(|| format!("agent configuration: keyring {kind:?}"))?;
    let unknown: Vec<String> = decoded.unknown.iter().map(|key| format!("keyring.{kind}.{key}")).collect();
    refuse_unknown(&unknown)?;
    Ok(decoded.value)
}

fn file(block: &FileBlock) -> anyhow::Result<KekConfig> {
    Ok(KekConfig { active: active(block.active), provider: Provider::File { path: path("path", &block.path)? } })
}

fn credential(block: &CredentialBlock, directory: Option<PathBuf>) -> anyhow::Result<KekConfig> {
    let name = required("name", &block.name)?;
    Ok(KekConfig { active: active(block.active), provider: Provider::Credential { name, directory } })
}

fn age(block: &AgeBlock) -> anyhow::Result<KekConfig> {
    if block.recipients.is_empty() && block.identity_file.is_empty() {
        bail!("recipients is missing: name the public keys (age1...) to wrap for");
    }
    let identity_file = optional_path("identity_file", &block.identity_file)?;
    Ok(KekConfig { active: active(block.active), provider: Provider::Age { recipients: block.recipients.clone(), identity_file } })
}

fn transit(block: &TransitBlock) -> anyhow::Result<KekConfig> {
    let mount_path = if block.mount_path.is_empty() { "transit".to_owned() } else { block.mount_path.clone() };
    let transit = Transit {
        address: required("address", &block.address)?,
        token_file: path("token_file", &block.token_file)?,
        mount_path,
        key_name: required("key_name", &block.key_name)?,
        namespace: Some(block.namespace.clone()).filter(|n| !n.is_empty()),
        ca_cert: optional_path("ca_cert", &block.ca_cert)?,
    };
    Ok(KekConfig { active: active(block.active), provider: Provider::Transit(transit) })
}

fn active(option: Option<bool>) -> bool {
    option.unwrap_or(true)
}

fn required(option: &str, text: &str) -> anyhow::Result<String> {
    if text.is_empty() {
        bail!("{option} is missing");
    }
    Ok(text.to_owned())
}

fn path(option: &str, text: &str) -> anyhow::Result<PathBuf> {
    optional_path(option, text)?.with_context(|| format!("{option} is missing"))
}

fn optional_path(option: &str, text: &str) -> anyhow::Result<Option<PathBuf>> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = PathBuf::from(text);
    if !path.is_absolute() {
        bail!("{option} {text:?} must be absolute: begin it with /");
    }
    Ok(Some(path))
}

/// Why a kind is refused, with what there is instead.
fn refusal(kind: &str) -> String {
    match kind {
        "aead" => "keyring \"aead\" would keep the key beside what it wraps, which protects nothing: use keyring \"file\" (floe server keyring-key)".to_owned(),
        "awskms" | "azurekeyvault" | "gcpckms" => format!(
            "not supported yet: keyring {kind:?}; use keyring \"transit\", or keyring \"credential\" with a key that the machine's TPM seals (systemd-creds)"
        ),
        _ => format!("keyring {kind:?} is no kind of key: there are {}", KINDS.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::load;
    use super::*;

    fn keyring(text: &str) -> anyhow::Result<Vec<KekConfig>> {
        let text = format!("data_dir = \"/a\"\nserver {{\n enabled = true\n}}\n{text}");
        load(&[("a.hcl", &text)], |_| {}).map(|config| config.keks)
    }

    #[test]
    fn blocks_are_read_in_the_order_in_which_they_are_asked() {
        let text = "keyring \"transit\" {\n address = \"https://vault\"\n key_name = \"floe\"\n token_file = \"/run/token\"\n namespace = \"a/b\"\n}
            keyring \"age\" {\n recipients = [\"age1x\"]\n}
            keyring \"age\" {\n active = false\n identity_file = \"/run/age\"\n}
            keyring \"file\" {\n path = \"/run/kek\"\n}";
        let found = keyring(text).unwrap();
        let age = |recipients: &[&str], identity_file: Option<&str>| Provider::Age {
            recipients: recipients.iter().map(ToString::to_string).collect(),
            identity_file: identity_file.map(PathBuf::from),
        };
        let transit = Provider::Transit(Transit {
            address: "https://vault".to_owned(),
            token_file: "/run/token".into(),
            mount_path: "transit".to_owned(),
            key_name: "floe".to_owned(),
            namespace: Some("a/b".to_owned()),
            ca_cert: None,
        });
        let expected = [
            (true, Provider::File { path: "/run/kek".into() }),
            (true, age(&["age1x"], None)),
            (false, age(&[], Some("/run/age"))),
            (true, transit),
        ];
        assert_eq!(found, expected.map(|(active, provider)| KekConfig { active, provider }));
    }

    #[test]
    fn mistakes_name_the_option() {
        let why = |text: &str| format!("{:#}", keyring(text).unwrap_err());
        for (block, expected) in [
            ("keyring \"file\" {}", "keyring \"file\": path is missing"),
            ("keyring \"file\" {\n path = \"kek\"\n}", "path \"kek\" must be absolute"),
            ("keyring \"file\" {\n path = \"/k\"\n mode = \"x\"\n}", "unknown key keyring.file.mode"),
            ("keyring \"file\" {\n path = 1\n}", "path"),
            ("keyring \"credential\" {}", "keyring \"credential\": name is missing"),
            ("keyring \"age\" {}", "keyring \"age\": recipients is missing"),
            ("keyring \"transit\" {}", "keyring \"transit\": address is missing"),
            ("keyring \"transit\" {\n address = \"https://v\"\n}", "token_file is missing"),
            ("keyring \"transit\" {\n address = \"https://v\"\n token_file = \"/t\"\n}", "key_name is missing"),
            ("keyring \"aead\" {}", "use keyring \"file\""),
            ("keyring \"awskms\" {\n kms_key_id = \"x\"\n}", "not supported yet: keyring \"awskms\"; use keyring \"transit\""),
            ("keyring \"azurekeyvault\" {}", "not supported yet"),
            ("keyring \"gcpckms\" {}", "not supported yet"),
            ("keyring \"vault\" {}", "there are file, credential, age, transit"),
            ("keyring {\n path = \"/k\"\n}", "\"path\" is no kind of key"),
        ] {
            assert!(why(block).contains(expected), "{block}: {}", why(block));
        }
        let client = "data_dir = \"/a\"\nclient {\n enabled = true\n servers = [\"a\"]\n}\nkeyring \"file\" {\n path = \"/k\"\n}";
        assert!(format!("{:#}", load(&[("a.hcl", client)], |_| {}).unwrap_err()).contains("keyring is for servers"));
    }

    #[test]
    fn the_example_has_every_option() {
        const EXAMPLE: &str = include_str!("../../../../../examples/agent.hcl");
        let blocks = [
            serde_json::to_value(FileBlock::default()),
            serde_json::to_value(CredentialBlock::default()),
            serde_json::to_value(AgeBlock::default()),
            serde_json::to_value(TransitBlock::default()),
        ];
        for key in blocks.into_iter().flat_map(|block| super::super::tests::keys(&block.unwrap())) {
            assert!(EXAMPLE.lines().any(|l| l.trim_start_matches(['#', ' ']).starts_with(&key)), "examples/agent.hcl does not have {key}");
        }
        assert!(KINDS.iter().all(|kind| EXAMPLE.contains(&format!("keyring {kind:?}"))));
    }
}
