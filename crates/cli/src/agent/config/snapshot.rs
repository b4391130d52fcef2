//! When and where the leader keeps backups, as the configuration says it.

use super::{AwsStorageBlock, SnapshotBlock};
use anyhow::{Context, bail};
use floe_control::snapshots::{MIN_INTERVAL, Schedule};
use floe_s3::{Config, CredentialFiles, Endpoint, Tuning};
use floe_server::{SnapshotConfig, Target};
use std::{
    env,
    path::{Path, PathBuf},
};

/// Where systemd puts the credentials of a unit (`LoadCredential=`).
pub(super) const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Refuses backups that would not be made, or not be kept.
pub(super) fn check(snapshot: &SnapshotBlock, is_server: bool) -> anyhow::Result<()> {
    if *snapshot == SnapshotBlock::default() {
        return Ok(());
    }
    if !is_server {
        bail!("snapshot is for servers: enable the server part (server {{ enabled = true }}), or leave it out");
    }
    let path = &snapshot.local_storage.path;
    if path.is_empty() && snapshot.aws_storage == AwsStorageBlock::default() {
        bail!(
            "snapshot.local_storage.path is missing: name the folder that is to hold the snapshots, or a bucket (snapshot.aws_storage.s3_bucket)"
        );
    }
    if !path.is_empty() && !Path::new(path).is_absolute() {
        bail!("snapshot.local_storage.path {path:?} must be absolute: begin it with /");
    }
    if let Some(interval) = snapshot.interval.filter(|i| *i < MIN_INTERVAL) {
        bail!("snapshot.interval {interval} is too short: take at least {MIN_INTERVAL}");
    }
    if snapshot.retain == Some(0) {
        bail!("snapshot.retain is 0: nothing would be kept; take at least 1");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    if !snapshot.prefix.chars().all(is_plain) || snapshot.prefix.starts_with('.') {
        bail!("snapshot.prefix {:?} begins names of files: take letters, digits, -, _ and ., and no . at the beginning", snapshot.prefix);
    }
    bucket(&snapshot.aws_storage).map(drop)
}

/// What to do with a key that is written into the configuration; `None` for everything else.
pub(super) fn key_in_the_open(unknown: &str) -> Option<String> {
    let name = unknown.strip_prefix("snapshot.aws_storage.")?;
    let name = ["access_key_id", "secret_access_key"].into_iter().find(|key| name.split(' ').next() == Some(*key))?;
    Some(format!(
        "keys do not belong into the configuration: write the {name} into a file, and name that as snapshot.aws_storage.{name}_file"
    ))
}

/// What a configuration that was checked asks for.
pub(super) fn config(wanted: &SnapshotBlock) -> Option<SnapshotConfig> {
    let default = Schedule::default();
    let schedule = Schedule {
        interval: wanted.interval.unwrap_or(default.interval),
        retain: wanted.retain.map_or(default.retain, usize::from),
        prefix: if wanted.prefix.is_empty() { default.prefix } else { wanted.prefix.clone() },
    };
    let folder = Some(&wanted.local_storage.path).filter(|path| !path.is_empty()).map(|path| Target::Folder(PathBuf::from(path)));
    let bucket = bucket(&wanted.aws_storage).ok().flatten().map(|bucket| Target::Bucket(Box::new(bucket)));
    let targets: Vec<Target> = folder.into_iter().chain(bucket).collect();
    (!targets.is_empty()).then_some(SnapshotConfig { targets, schedule })
}

/// The bucket, if there is one.
fn bucket(block: &AwsStorageBlock) -> anyhow::Result<Option<Config>> {
    const BLOCK: &str = "snapshot.aws_storage";
    if *block == AwsStorageBlock::default() {
        return Ok(None);
    }
    if block.s3_bucket.is_empty() {
        bail!("{BLOCK}.s3_bucket is missing: name the bucket that is to hold the snapshots");
    }
    if block.s3_region.is_empty() {
        bail!("{BLOCK}.s3_region is missing: name the bucket's region; a store without regions says which name it takes, often us-east-1");
    }
    let endpoint = match block.s3_endpoint.as_str() {
        "" => Endpoint::amazon(&block.s3_region),
        text => Endpoint::parse(text).with_context(|| format!("{BLOCK}.s3_endpoint"))?,
    };
    let slash = if block.s3_key_prefix.is_empty() || block.s3_key_prefix.ends_with('/') { "" } else { "/" };
    let ca_cert = Some(&block.ca_cert).filter(|path| !path.is_empty());
    if ca_cert.is_some_and(|path| !Path::new(path).is_absolute()) {
        bail!("{BLOCK}.ca_cert {:?} must be absolute: begin it with /", block.ca_cert);
    }
    let config = Config {
        bucket: block.s3_bucket.clone(),
        region: block.s3_region.clone(),
        // Amazon's certificates have a name for each bucket; those of other stores often have not.
        path_style: block.s3_force_path_style.unwrap_or(!block.s3_endpoint.is_empty()),
        endpoint,
        key_prefix: format!("{}{slash}", block.s3_key_prefix),
        ca_cert: ca_cert.map(PathBuf::from),
        credentials: credentials(block).with_context(|| format!("{BLOCK} names no keys"))?,
        tuning: Tuning::default(),
    };
    config.check().context(BLOCK)?;
    Ok(Some(config))
}

/// Where the keys are: in one file, or in two.
fn credentials(block: &AwsStorageBlock) -> anyhow::Result<CredentialFiles> {
    let (one, id, secret) = (&block.credentials_file, &block.access_key_id_file, &block.secret_access_key_file);
    match (one.is_empty(), id.is_empty(), secret.is_empty()) {
        (false, true, true) => Ok(CredentialFiles::One(credential(one)?)),
        (true, false, false) => Ok(CredentialFiles::Two { access_key_id: credential(id)?, secret_access_key: credential(secret)? }),
        _ => bail!("give either credentials_file, or access_key_id_file and secret_access_key_file"),
    }
}

/// An absolute path as it is; a bare name is one of the unit's credentials.
fn credential(path: &str) -> anyhow::Result<PathBuf> {
    if Path::new(path).is_absolute() {
        return Ok(PathBuf::from(path));
    }
    if path.contains('/') {
        bail!("{path:?} is neither absolute nor the name of a credential of the unit: begin it with /");
    }
    let folder = env::var_os(CREDENTIALS_DIRECTORY);
    let folder = folder
        .with_context(|| format!("{path:?} is the name of a credential, and there are none: add LoadCredential={path}:FILE to the unit"))?;
    Ok(Path::new(&folder).join(path))
}
