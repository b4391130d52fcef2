//! A blob on its way from a registry to the disk, in as many tries as it makes progress.

use crate::{blob::Partial, error::ImageError, manifest::Blob, registry::Repository, store::Store};

/// How often a layer is gone on with after its connection broke.
const LAYER_TRIES: u32 = 5;

/// Fetches a blob into its place; goes on where an earlier try ended.
pub(crate) async fn fetch(store: &Store, repository: &Repository, blob: &Blob, came: impl Fn(u64)) -> Result<(), ImageError> {
    let place = store.blob(&blob.digest);
    if tokio::fs::try_exists(&place).await.unwrap_or(false) {
        came(blob.size);
        return Ok(());
    }
    let (part, size) = (store.part(&blob.digest), blob.size);
    let mut partial = blocking(move || Partial::open(&part, size)).await?;
    came(partial.bytes());
    let mut tries = 1;
    while partial.bytes() < blob.size {
        let before = partial.bytes();
        let (back, outcome) = append(repository, blob, partial, &came).await?;
        partial = back;
        match outcome {
            Ok(()) => {}
            Err(error) if tries == LAYER_TRIES || error.is_fatal() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, digest = %blob.digest, "a layer is gone on with");
                // What makes progress may go on for long.
                tries = if partial.bytes() > before { 1 } else { tries + 1 };
            }
        }
    }
    blocking(move || Ok((partial.digest(), partial))).await.and_then(|(found, partial)| {
        if found == blob.digest {
            return partial.keep(&place);
        }
        // Kept, it would be taken for its beginning the next time.
        partial.discard();
        let image = repository.image();
        Err(ImageError::Digest { image, what: format!("layer {}", blob.digest), found, wanted: blob.digest })
    })
}

/// Asks for the rest of a blob, and writes what comes.
async fn append(
    repository: &Repository,
    blob: &Blob,
    mut partial: Partial,
    came: &impl Fn(u64),
) -> Result<(Partial, Result<(), ImageError>), ImageError> {
    let mut pieces = match repository.layer(blob, partial.bytes()).await {
        Ok(pieces) => pieces,
        Err(error) => return Ok((partial, Err(error))),
    };
    if !pieces.goes_on && partial.bytes() > 0 {
        partial.restart()?;
    }
    loop {
        let piece = match repository.piece(&mut pieces).await {
            Ok(Some(piece)) => piece,
            Ok(None) if partial.bytes() < blob.size => return Ok((partial, Err(repository.cut_short(blob)))),
            Ok(None) => return Ok((partial, Ok(()))),
            Err(error) => return Ok((partial, Err(error))),
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if partial.bytes().saturating_add(length) > blob.size {
            partial.discard();
            return Err(repository.too_long(blob));
        }
        partial = blocking(move || partial.write(&piece).map(|()| partial)).await?;
        came(length);
    }
}

/// Does what waits for the disk beside the async workers.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ImageError> + Send + 'static) -> Result<T, ImageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(ImageError::Io { what: "work on an image".to_owned(), source: std::io::Error::other(error) }),
    }
}
