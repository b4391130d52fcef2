//! One agent a bridge: two agents on one machine would take each other's networks for leftovers.

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

/// Where agents of this machine hold locks. It goes with a reboot, as the networks do.
const LOCKS: &str = "/run/floe/locks";

/// The right to program a bridge; given back by the kernel when the process ends in any way.
#[derive(Debug)]
pub(crate) struct BridgeLock {
    _file: Flock<File>,
}

impl BridgeLock {
    /// Takes the right to `bridge` in the network that this process lives in.
    pub(crate) fn take(bridge: &str) -> anyhow::Result<Self> {
        let network = std::fs::metadata("/proc/self/ns/net").context("look at this process's network namespace")?.ino();
        let dir = Path::new(LOCKS);
        DirBuilder::new().recursive(true).mode(0o711).create(dir).with_context(|| format!("make {LOCKS}"))?;
        let path = dir.join(format!("{network}.{bridge}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                // For the message below; a lock without a name is as good.
                let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
                Ok(Self { _file: file })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                bail!(
                    "bridge {bridge:?} belongs to another floe agent on this machine (process {holder}); stop that one, or give this one a bridge of its own \
                     (client.bridge_network_name and bridge_network_subnet)"
                )
            }
            Err((_, error)) => Err(error).with_context(|| format!("lock {}", path.display())),
        }
    }
}
