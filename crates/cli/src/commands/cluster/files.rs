//! Inventories as files: one, or those of a folder.

use super::nix;
use crate::{
    files::{Folder, read_bounded},
    output,
};
use anyhow::{Context, anyhow, bail};
use floe_inventory::{Checked, Kind, ReadError, check_data, check_file, kind_of};
use floe_jobspec::Files as _;
use floe_nixlang::NixPath;
use std::{fs, path::Path};

/// How many files of a folder are looked at.
const MAX_FILES: usize = 256;

/// One inventory.
pub(super) struct Inventory {
    /// Its file, as people know it.
    pub(super) file: String,
    /// What was found in it; an error when it cannot even be evaluated.
    pub(super) checked: anyhow::Result<Checked>,
}

/// Reads the inventory at `path`, or all that the folder `path` holds; at least one.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Inventory>> {
    let about = fs::metadata(path).with_context(|| format!("read inventory {}", path.display()))?;
    if !about.is_dir() {
        return Ok(vec![one(path)]);
    }
    let mut found = Vec::new();
    for file in nix_files(path)? {
        match kind(&file) {
            Ok(Kind::Inventory) => found.push(one(&file)),
            Ok(Kind::Other) => output::note(&format!("{}: left out: it has neither cluster nor hosts", file.display())),
            Ok(Kind::Function) => output::note(&format!("{}: left out: it is a function; name the file to have it read", file.display())),
            Err(ReadError::NeedsNix(why)) => {
                output::note(&format!("{}: left out: only Nix can tell what it is; name the file to have it read ({why})", file.display()));
            }
            Err(ReadError::Wrong(why)) => found.push(Inventory { file: file.display().to_string(), checked: Err(anyhow!(why)) }),
        }
    }
    if found.is_empty() {
        bail!("no inventory in {}: it is a .nix file with {{ cluster = {{ name = \"...\"; }}; hosts = {{ ... }}; }}", path.display());
    }
    Ok(found)
}

/// The .nix files of a folder, by name; not those in folders of it, which hosts take their hardware from.
fn nix_files(folder: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let listing = || format!("list folder {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.extension().is_some_and(|e| e == "nix") && path.is_file() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            bail!("folder {} has more than {MAX_FILES} .nix files; name the inventory", folder.display());
        }
    }
    files.sort();
    Ok(files)
}

fn kind(file: &Path) -> Result<Kind, ReadError> {
    let (name, folder) = open(file).map_err(|e| ReadError::Wrong(e.to_string()))?;
    kind_of(&name, &folder)
}

fn one(file: &Path) -> Inventory {
    Inventory { file: file.display().to_string(), checked: checked(file) }
}

fn checked(file: &Path) -> anyhow::Result<Checked> {
    let (name, folder) = open(file)?;
    let why = match check_file(&name, &folder) {
        Ok(checked) => return Ok(checked),
        Err(ReadError::Wrong(why)) => return Err(anyhow!(why)),
        Err(ReadError::NeedsNix(why)) => why,
    };
    let data = nix::evaluate(file, &why)?;
    output::note(&format!("{}: evaluated by nix eval, for floe's own evaluator does not have all of it: {why}", file.display()));
    check_data(&data).map_err(|e| anyhow!("{}: {e}", file.display()))
}

/// The name of a file within its folder, and the folder.
fn open(file: &Path) -> anyhow::Result<(String, Beside)> {
    let name = file.file_name().and_then(|n| n.to_str()).with_context(|| format!("{} is no name of a file", file.display()))?;
    let folder = Folder::of(file).with_context(|| format!("folder of {}", file.display()))?;
    // Now, for what Nix would say of a file that cannot be read is said of another one.
    read_bounded(file, floe_nixlang::limits::DEFAULT_SOURCE_BYTES).with_context(|| format!("read inventory {}", file.display()))?;
    Ok((name.to_owned(), Beside(folder)))
}

/// The inventory's folder, for the evaluator.
struct Beside(Folder);

impl floe_nixlang::Files for Beside {
    fn read(&self, path: &NixPath, max_bytes: usize) -> Result<String, floe_nixlang::FilesError> {
        let bytes = self.0.read(path.as_str(), max_bytes).map_err(|error| match error {
            floe_jobspec::FilesError::NotFound => floe_nixlang::FilesError::NotFound,
            floe_jobspec::FilesError::IsFolder => floe_nixlang::FilesError::IsFolder,
            floe_jobspec::FilesError::TooLarge(most) => floe_nixlang::FilesError::TooLarge(most),
            other => floe_nixlang::FilesError::Other(other.to_string()),
        })?;
        String::from_utf8(bytes).map_err(|_| floe_nixlang::FilesError::NotText)
    }

    fn exists(&self, path: &NixPath) -> bool {
        self.0.exists(path.as_str()).unwrap_or(false)
    }
}
