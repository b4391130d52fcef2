//! Reading a file that holds a secret: bounded, zeroed, and refused where others may read or change it, or where it lies beside the data.

use std::{
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};
use zeroize::Zeroizing;

/// Who may read a file besides its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Nobody.
    Owner,
    /// Its group: systemd lets a service's user read its credentials so, and a Vault's agent writes tokens so.
    Group,
}

impl Readers {
    /// The bits that a mode must not have.
    fn refused(self) -> u32 {
        match self {
            Self::Owner => 0o077,
            Self::Group => 0o037,
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Owner => "0600",
            Self::Group => "0640",
        }
    }
}

/// Why a secret is not taken from a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFileError {
    #[error("{0}")]
    Io(#[source] std::io::Error),
    #[error("is not a plain file")]
    NotAFile,
    #[error(
        "can be read or changed by others than its owner (mode {mode:04o}): chmod {wanted} it, and replace the secret if somebody may have read it"
    )]
    Open { mode: u32, wanted: &'static str },
    #[error("belongs to user {0}, who can change it: chown it to the user that the agent runs as, or to root")]
    Owner(u32),
    #[error("is larger than {0} bytes, so it is something else")]
    TooLarge(usize),
    #[error("lies in data_dir, beside what it protects: who copies that folder has both; keep it elsewhere, such as in /run/keys")]
    BesideTheData,
}

/// Reads at most `max_bytes` from `path`.
pub(crate) fn read(path: &Path, readers: Readers, max_bytes: usize) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    // Not waiting for the other end of what may be a pipe.
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(SecretFileError::Io)?;
    let about = file.metadata().map_err(SecretFileError::Io)?;
    if !about.is_file() {
        return Err(SecretFileError::NotAFile);
    }
    let mode = about.mode() & 0o777;
    if mode & readers.refused() != 0 {
        return Err(SecretFileError::Open { mode, wanted: readers.wanted() });
    }
    if about.uid() != 0 && about.uid() != nix::unistd::geteuid().as_raw() {
        return Err(SecretFileError::Owner(about.uid()));
    }
    // All that it may take at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max_bytes + 1));
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes).map_err(SecretFileError::Io)?;
    if bytes.len() > max_bytes { Err(SecretFileError::TooLarge(max_bytes)) } else { Ok(bytes) }
}

/// Refuses a file in `data_dir`, whichever way its name leads there.
pub(crate) fn refuse_in(data_dir: Option<&Path>, path: &Path) -> Result<(), SecretFileError> {
    // What is not there yet holds no file.
    let Some(folder) = data_dir.and_then(|folder| folder.canonicalize().ok()) else { return Ok(()) };
    let real = path.canonicalize().or_else(|_| std::path::absolute(path)).map_err(SecretFileError::Io)?;
    if real.starts_with(folder) { Err(SecretFileError::BesideTheData) } else { Ok(()) }
}
