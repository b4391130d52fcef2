//! `floe operator snapshot ...`: backups of the cluster as files.

use crate::{
    args::SnapshotSaveArgs,
    files::{read_bounded, write_whole},
    output::{self, columns, pairs},
};
use anyhow::{Context, bail};
use floe_api::ApiClient;
use floe_model::Timestamp;
use floe_pki::Fingerprint;
use floe_state::{
    archive::{self, Archive, ArchiveError, MAX_ARCHIVE_BYTES, Origin},
    content::TableSize,
    keyring::WrappedKey,
};
use futures::TryStreamExt;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Saves a snapshot. The file appears once it is whole, checked and on disk.
pub(in crate::commands) async fn save(client: &ApiClient, args: &SnapshotSaveArgs) -> anyhow::Result<ExitCode> {
    let path = args.file.clone().unwrap_or_else(default_name);
    refuse_overwriting(&path, args.overwrite)?;
    let mut pieces = Box::pin(client.save_snapshot(args.stale).await?);
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.try_next().await? {
        if bytes.len() + piece.len() > MAX_ARCHIVE_BYTES {
            bail!("the agent sends more than {MAX_ARCHIVE_BYTES} bytes, which is no snapshot");
        }
        bytes.extend_from_slice(&piece);
    }
    let archive = whole(&bytes).context("what the agent sent cannot be kept")?;
    write_whole(&path, &bytes, args.overwrite)?;
    let m = &archive.metadata;
    output::line(format!("Snapshot written to {}: index {}, {} bytes, content {}", path.display(), m.index, bytes.len(), m.digest));
    Ok(ExitCode::SUCCESS)
}

/// A name that says when, in the present folder.
fn default_name() -> PathBuf {
    let seconds = Timestamp(output::now_nanos() / 1_000_000_000 * 1_000_000_000).to_string();
    PathBuf::from(format!("floe-{}.snap", seconds.replace(['-', ':'], "")))
}

fn refuse_overwriting(path: &Path, overwrite: bool) -> anyhow::Result<()> {
    if !overwrite && path.exists() {
        bail!("{} exists already; choose another name, or give -overwrite", path.display());
    }
    Ok(())
}

/// Reads a snapshot, with all checks.
pub(super) fn whole(bytes: &[u8]) -> Result<Archive, ArchiveError> {
    let archive = archive::decode(bytes)?;
    archive.check_digest().map(|()| archive)
}

/// Reads a snapshot's file; returns how long it is, too.
fn read(path: &Path) -> anyhow::Result<(Archive, usize)> {
    let bytes = read_bounded(path, MAX_ARCHIVE_BYTES).with_context(|| format!("read {}", path.display()))?;
    Ok((whole(&bytes).with_context(|| path.display().to_string())?, bytes.len()))
}

/// Replaces the cluster's state. A file that is not whole is not even sent.
pub(in crate::commands) async fn restore(client: &ApiClient, path: &Path, force: bool) -> anyhow::Result<ExitCode> {
    let bytes = read_bounded(path, MAX_ARCHIVE_BYTES).with_context(|| format!("read {}", path.display()))?;
    let metadata = whole(&bytes).with_context(|| path.display().to_string())?.metadata;
    let restored = client.restore_snapshot(bytes, force).await?;
    output::line(format!(
        "Restored the snapshot of {} (cluster {}, index {}): content {}, index {} now",
        output::moment(metadata.created.0),
        metadata.cluster_id,
        metadata.index,
        restored.content_digest,
        restored.index
    ));
    Ok(ExitCode::SUCCESS)
}

/// Shows what is in a file.
pub(in crate::commands) fn inspect(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let (archive, bytes) = read(path)?;
    let sizes = archive.state.sizes();
    if json {
        output::json(&as_json(&archive, bytes, &sizes))?;
        return Ok(ExitCode::SUCCESS);
    }
    let m = &archive.metadata;
    let shown = [
        ("Cluster ID", m.cluster_id.clone()),
        ("Created", output::moment(m.created.0)),
        ("Index", m.index.to_string()),
        ("Term", m.term.to_string()),
        ("Version", m.floe_version.clone()),
        ("Cluster Version", m.cluster_version.to_string()),
        ("Redacted", m.redacted.to_string()),
        ("Size", format!("{bytes} bytes ({} before compression)", m.body_bytes)),
        ("Servers", m.servers.join(", ")),
        ("Content", m.digest.to_string()),
        ("File", archive.file_digest.clone()),
    ];
    output::line(pairs(&shown));
    let mut rows = vec![["Table", "Rows", "Bytes"].map(output::bold).to_vec()];
    rows.extend(sizes.iter().map(|t| vec![t.name.to_owned(), t.rows.to_string(), t.bytes.to_string()]));
    output::line(format!("\n{}", columns(&rows)));
    show_keys(&archive);
    Ok(ExitCode::SUCCESS)
}

/// Which keys are needed to go on from it, if any.
fn show_keys(archive: &Archive) {
    let state = &archive.state;
    let mut rows = vec![["Root Key", "State", "Seals", "Opened by any of"].map(output::bold).to_vec()];
    rows.extend(state.root_keys().map(|key| {
        let sealed = state.sealed_authorities().filter(|a| a.key.key == key.id).count();
        let seals = if sealed > 0 { "the authority's key" } else { "nothing" };
        let keks = key.wraps.iter().map(|wrap| wrap.kek.as_str()).collect::<Vec<_>>();
        vec![key.id.to_string(), key.state.name().to_owned(), seals.to_owned(), keks.join(", ")]
    }));
    if rows.len() > 1 {
        output::line(format!("\n{}", columns(&rows)));
    }
}

fn root_key(key: &WrappedKey) -> serde_json::Value {
    let keks: Vec<&str> = key.wraps.iter().map(|wrap| wrap.kek.as_str()).collect();
    serde_json::json!({ "KeyID": key.id, "State": key.state.name(), "WrappedBy": keks })
}

fn as_json(archive: &Archive, bytes: usize, sizes: &[TableSize]) -> serde_json::Value {
    let m = &archive.metadata;
    let table = |t: &TableSize| serde_json::json!({ "Name": t.name, "Rows": t.rows, "Bytes": t.bytes });
    serde_json::json!({
        "ClusterID": m.cluster_id,
        "Created": m.created,
        "Index": m.index,
        "Term": m.term,
        "Version": m.floe_version,
        "ClusterVersion": m.cluster_version,
        "Redacted": m.redacted,
        "Servers": m.servers,
        "RootKeys": archive.state.root_keys().map(|key| root_key(key.as_ref())).collect::<Vec<_>>(),
        "SealedAuthorities": archive.state.sealed_authorities().map(|a| Fingerprint::of(&a.certificate).to_string()).collect::<Vec<_>>(),
        "Bytes": bytes,
        "BodyBytes": m.body_bytes,
        "ContentDigest": m.digest.to_string(),
        "FileDigest": archive.file_digest,
        "Tables": sizes.iter().map(table).collect::<Vec<_>>(),
    })
}

/// Checks a file.
pub(in crate::commands) fn verify(path: &Path) -> anyhow::Result<ExitCode> {
    let (archive, bytes) = read(path)?;
    let m = &archive.metadata;
    if !archive.has_same_digest() {
        output::warning(&format!(
            "its content has another digest here ({}): it was written by floe {}, and this is {}; the file is whole",
            archive.state.content_digest(),
            m.floe_version,
            crate::VERSION
        ));
    }
    if m.redacted {
        output::warning("it is redacted: good for looking at, not for restoring");
    }
    let rows: u64 = m.counts.values().sum();
    output::line(format!("{} is whole: index {}, {rows} rows, {bytes} bytes, content {}", path.display(), m.index, m.digest));
    Ok(ExitCode::SUCCESS)
}

/// Writes a copy without what may be secret.
pub(in crate::commands) fn redact(path: &Path, copy: &Path, overwrite: bool) -> anyhow::Result<ExitCode> {
    refuse_overwriting(copy, overwrite)?;
    let (archive, _) = read(path)?;
    let origin = Origin { redacted: true, ..archive.metadata.origin() };
    let bytes = archive::encode(&archive.state.redacted()?, origin)?;
    write_whole(copy, &bytes, overwrite)?;
    output::line(format!("Redacted copy written to {}: {} bytes", copy.display(), bytes.len()));
    Ok(ExitCode::SUCCESS)
}
