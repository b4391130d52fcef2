//! Where backups are kept. The agent does not know which kind it is.
//!
//! Each kind does the same four things: says what is there, of what floe keeps itself; keeps a backup, which appears once it is whole, and is
//! looked at again; removes those that are too many, and nothing that has another name; and takes away what a server left that died while it
//! wrote.

use super::{bucket, folder};
use bytes::Bytes;
use floe_control::snapshots::{Kept, Schedule};
use floe_model::Timestamp;
use std::{fmt, path::PathBuf};

/// Where backups are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A folder of this machine. It is made, for its owner alone, when it is not there.
    Folder(PathBuf),
    /// A bucket of a store that speaks S3.
    Bucket(Box<floe_s3::Config>),
}

/// What is not there, or was not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error(transparent)]
    Folder(#[from] folder::KeepError),
    #[error(transparent)]
    Bucket(#[from] floe_s3::S3Error),
    /// The server stops.
    #[error("keep a snapshot: this server is stopping")]
    Stopping,
}

/// Whose backups are meant.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// What they are called, and how many are kept.
    pub(crate) schedule: Schedule,
    /// The cluster's id.
    pub(crate) cluster: String,
}

impl Own {
    /// Those of the cluster's backups that are among these names, the oldest first.
    pub(crate) fn kept<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Kept> {
        self.schedule.kept(&self.cluster, names)
    }
}

impl Target {
    /// What it is called in the configuration and in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Target::Folder(_) => "local_storage",
            Target::Bucket(_) => "aws_storage",
        }
    }

    /// The backups that are there, the oldest first. The newest is whole.
    pub(crate) async fn list(&self, own: &Own) -> Result<Vec<Kept>, TargetError> {
        let own = own.clone();
        match self.clone() {
            Target::Folder(path) => aside(move || folder::list(&path, &own.schedule, &own.cluster)).await,
            Target::Bucket(config) => bucket::list(&open(*config).await?, &own).await,
        }
    }

    /// Keeps a backup, and looks whether it is there as it was given.
    pub(crate) async fn keep(&self, name: &str, bytes: Bytes) -> Result<(), TargetError> {
        let name = name.to_owned();
        match self.clone() {
            Target::Folder(path) => aside(move || folder::keep(&path, &name, &bytes)).await,
            Target::Bucket(config) => Ok(open(*config).await?.put(&name, bytes).await?),
        }
    }

    /// Removes what is too much; returns what is left.
    pub(crate) async fn tidy(&self, own: &Own, now: Timestamp) -> Result<Vec<Kept>, TargetError> {
        let own = own.clone();
        match self.clone() {
            Target::Folder(path) => aside(move || folder::tidy(&path, &own.schedule, &own.cluster, now)).await,
            Target::Bucket(config) => bucket::tidy(&open(*config).await?, &own, now).await,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Folder(path) => write!(f, "{}", path.display()),
            Target::Bucket(config) => write!(f, "bucket {} at {}", config.bucket, config.endpoint),
        }
    }
}

/// Reads keys and certificates, each time anew: they may have been replaced.
async fn open(config: floe_s3::Config) -> Result<floe_s3::Store, TargetError> {
    aside(move || floe_s3::Store::open(config)).await
}

/// Works on files on a thread of its own.
async fn aside<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, TargetError>
where
    T: Send + 'static,
    E: Send + 'static,
    TargetError: From<E>,
{
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| TargetError::Stopping)??)
}
