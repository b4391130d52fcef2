//! One agent on a data folder.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_store::{DataFolder, FolderError};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_second_agent_is_told_who_holds_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/data");
    let folder = DataFolder::open(&path).unwrap();
    let clone = folder.clone();
    drop(folder);
    let error = DataFolder::open(&path).unwrap_err();
    let FolderError::InUse { pid, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*pid, std::process::id().to_string());
    let text = error.to_string();
    assert!(text.contains(&format!("data folder {} is in use by process {pid} (", path.display())), "{text}");
    drop(clone);
    DataFolder::open(&path).unwrap();
}

#[test]
fn the_folder_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(&dir.path().join("data")).unwrap();
    for path in [folder.path().to_owned(), folder.server().unwrap(), folder.client().unwrap()] {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = DataFolder::open(&file.join("data")).unwrap_err();
    assert!(matches!(error, FolderError::Io { .. }) && error.to_string().contains("file/data"), "{error}");
}
