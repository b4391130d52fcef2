//! How many servers begin a cluster, and the secret that they share.

use super::{ServerBlock, snapshot::CREDENTIALS_DIRECTORY};
use anyhow::{Context, bail};
use floe_control::bootstrap::MAX_EXPECT;
use floe_pki::BootstrapSecret;
use std::{os::unix::fs::MetadataExt, path::Path};
use zeroize::Zeroizing;

/// The largest file of a secret in bytes.
const MAX_SECRET_BYTES: usize = 4096;

/// Refuses numbers of servers that cannot begin a cluster.
pub(super) fn check(server: &ServerBlock) -> anyhow::Result<()> {
    match server.bootstrap_expect.unwrap_or(1) {
        0 => bail!("server.bootstrap_expect is 0: give 1 to {MAX_EXPECT}; a server that is to join a cluster leaves it out"),
        1 if !server.bootstrap_secret_file.is_empty() => {
            bail!(
                "server.bootstrap_secret_file is for servers that begin a cluster together: give all of them a bootstrap_expect of 2 or more"
            )
        }
        expect if expect > MAX_EXPECT => {
            bail!(
                "server.bootstrap_expect is {expect}, but at most {MAX_EXPECT} servers begin a cluster: let more join it later, with tokens"
            )
        }
        _ => Ok(()),
    }
}

/// What the secret's file holds. A server that is in a cluster does not need it any more, so it may be gone, or be empty, as a credential of the
/// unit is whose source is gone.
pub(super) fn secret(server: &ServerBlock) -> anyhow::Result<Option<BootstrapSecret>> {
    let path = Path::new(&server.bootstrap_secret_file);
    let what = || format!("bootstrap secret file {}", path.display());
    if server.bootstrap_secret_file.is_empty() || !path.exists() {
        return Ok(None);
    }
    // systemd lets a unit's user read its credentials by an access list, and the mode then shows that list's mask as the group's.
    let is_credential = std::env::var_os(CREDENTIALS_DIRECTORY).is_some_and(|folder| path.parent() == Some(Path::new(&folder)));
    let others = if is_credential { 0o037 } else { 0o077 };
    if path.metadata().with_context(what)?.mode() & others != 0 {
        bail!("{} can be read by others than its owner: chmod 0600 it, and make a new secret if somebody may have read it", what());
    }
    let bytes = Zeroizing::new(crate::files::read_bounded(path, MAX_SECRET_BYTES).with_context(what)?);
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    std::str::from_utf8(&bytes).with_context(what)?.parse().map(Some).with_context(what)
}
