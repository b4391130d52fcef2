//! Images of containers: registries, and how long images stay.

use super::{ImagesBlock, RegistryBlock, snapshot::CREDENTIALS_DIRECTORY};
use anyhow::{Context, bail};
use floe_client::{Credentials, ImageSettings, Keep, PullSettings, RegistrySettings};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The largest file with a password, in bytes.
const MAX_PASSWORD_BYTES: usize = 16 << 10;

/// What a client is told about images.
pub(super) fn settings(block: &ImagesBlock) -> anyhow::Result<ImageSettings> {
    let default = PullSettings::default();
    let registries = block.registry.iter().map(|(name, registry)| {
        let settings = self::registry(registry).with_context(|| format!("client.images.registry {name:?}"))?;
        Ok((name.clone(), settings))
    });
    let keep = Keep {
        delay: block.gc_delay.map_or(default.keep.delay, |d| d.to_std()),
        max_bytes: block.max_mb.map_or(default.keep.max_bytes, |mb| mb.saturating_mul(1 << 20)),
    };
    let sources = block.sources.as_ref().map(|s| s.iter().map(PathBuf::from).collect());
    let pulls = PullSettings { registries: registries.collect::<anyhow::Result<_>>()?, sources: sources.unwrap_or(default.sources), keep };
    if let Err(why) = pulls.check() {
        bail!("client.images: {why}");
    }
    Ok(ImageSettings { pulls, host_paths: block.host_paths.unwrap_or(false) })
}

fn registry(block: &RegistryBlock) -> anyhow::Result<RegistrySettings> {
    let credentials = match (block.username.as_str(), block.password_file.as_str()) {
        ("", "") => None,
        ("", _) | (_, "") => bail!("give both username and password_file, or none"),
        (name, file) => Some(Credentials { username: name.to_owned(), password: password(file)? }),
    };
    Ok(RegistrySettings {
        mirrors: block.mirrors.clone(),
        plain_http: block.insecure,
        ca_cert: Some(PathBuf::from(&block.ca_cert)).filter(|p| !p.as_os_str().is_empty()),
        credentials,
    })
}

/// A password, without the line break that editors leave.
fn password(path: &str) -> anyhow::Result<String> {
    let what = || format!("password_file {path}");
    // systemd lets a unit's user read its credentials by an access list, and the mode then shows that list's mask as the group's.
    let is_credential = std::env::var_os(CREDENTIALS_DIRECTORY).is_some_and(|folder| Path::new(path).parent() == Some(Path::new(&folder)));
    let others = if is_credential { 0o037 } else { 0o077 };
    if Path::new(path).metadata().with_context(what)?.mode() & others != 0 {
        bail!("{} can be read by others than its owner: chmod 0600 it, and change the password if somebody may have read it", what());
    }
    let bytes = crate::files::read_bounded(Path::new(path), MAX_PASSWORD_BYTES).with_context(what)?;
    let password = std::str::from_utf8(&bytes).with_context(what)?.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("{} is empty", what());
    }
    Ok(password.to_owned())
}
