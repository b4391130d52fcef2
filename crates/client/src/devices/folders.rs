//! Reading the files. They say what is run as root, so only what root wrote counts.

use floe_cdi::{Folder, MAX_FILE_BYTES, Registry, Specification};
use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The most files of a folder; more are left out, and that is said.
pub(super) const MAX_FILES: usize = 128;

/// All folders, later ones over earlier ones.
pub(super) fn read(folders: &[PathBuf]) -> Registry {
    let mut problems = Vec::new();
    let folders: Vec<Folder> = folders.iter().map(|folder| read_folder(folder, &mut problems)).collect();
    let mut registry = Registry::of(&folders);
    registry.problems.extend(problems);
    registry
}

fn read_folder(folder: &Path, problems: &mut Vec<String>) -> Folder {
    let files = match files_of(folder) {
        Ok(files) => files,
        // Most machines have no devices, and so no folder.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(format!("{} cannot be read: {error}", folder.display()));
            return Vec::new();
        }
    };
    if files.len() > MAX_FILES {
        problems.push(format!("{} has {} files, and only the first {MAX_FILES} count", folder.display(), files.len()));
    }
    files.into_iter().take(MAX_FILES).map(|path| (path.display().to_string(), read_file(&path))).collect()
}

/// In order of name.
fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    of_root(&fs::metadata(folder)?).map_err(io::Error::other)?;
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let is_wanted = |path: &PathBuf| path.extension().is_some_and(|e| e == "json" || is_yaml(path));
    let mut files: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).filter(is_wanted).collect();
    files.sort();
    Ok(files)
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

fn read_file(path: &Path) -> Result<Specification, String> {
    if is_yaml(path) {
        return Err(
            "is YAML, which is not supported yet: let the vendor's tool write JSON (nvidia-ctk cdi generate --format=json)".to_owned()
        );
    }
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is no file".to_owned());
    }
    of_root(&metadata)?;
    let mut text = String::new();
    // One byte more than may be there tells that it is too large.
    let most = MAX_FILE_BYTES as u64 + 1;
    File::open(path).and_then(|file| file.take(most).read_to_string(&mut text)).map_err(unreadable)?;
    floe_cdi::read(&text)
}

/// What others could have written would let them run programs as root.
fn of_root(metadata: &Metadata) -> Result<(), String> {
    let own = nix::unistd::geteuid().as_raw();
    if ![0, own].contains(&metadata.uid()) {
        return Err(format!("belongs to user {}: only what root wrote counts, for hooks run as root", metadata.uid()));
    }
    if metadata.permissions().mode() & 0o022 != 0 {
        return Err("may be written by others than root: chmod go-w".to_owned());
    }
    Ok(())
}
