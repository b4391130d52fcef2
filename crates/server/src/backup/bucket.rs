//! A bucket that backups are kept in.

use super::target::{Own, TargetError};
use floe_control::snapshots::Kept;
use floe_model::Timestamp;
use floe_s3::Store;

/// The cluster's backups that are there, the oldest first. Those at the end that are not whole are removed: when the next one is due follows from the
/// newest, so that must be one.
pub(super) async fn list(store: &Store, own: &Own) -> Result<Vec<Kept>, TargetError> {
    let objects = store.list(&own.schedule.stem(&own.cluster)).await?;
    let mut kept = own.kept(objects.iter().map(|o| o.name.as_str()));
    while let Some(newest) = kept.last() {
        if !store.remove_if_torn(&newest.name).await? {
            break;
        }
        tracing::warn!(snapshot = newest.name, "the store had only a part of a snapshot; it was removed");
        kept.pop();
    }
    Ok(kept)
}

/// Removes the backups that are too many, and the uploads that servers left that died meanwhile.
pub(super) async fn tidy(store: &Store, own: &Own, now: Timestamp) -> Result<Vec<Kept>, TargetError> {
    let mut kept = list(store, own).await?;
    let surplus = own.schedule.surplus(&kept, now);
    for old in &surplus {
        store.remove(&old.name).await?;
    }
    kept.retain(|k| !surplus.contains(k));
    // Some stores cannot list them, and a rule of the bucket can remove them too: no reason to say that no snapshot was kept.
    if let Err(error) = take_back_uploads(store, own).await {
        tracing::info!(%error, "uploads that nobody ended may be left in the bucket");
    }
    Ok(kept)
}

async fn take_back_uploads(store: &Store, own: &Own) -> Result<(), floe_s3::S3Error> {
    for upload in store.open_uploads(&own.schedule.stem(&own.cluster)).await? {
        if own.schedule.parse(&own.cluster, &upload.name).is_some() {
            store.take_back(&upload).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
