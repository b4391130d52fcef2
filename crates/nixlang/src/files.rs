//! Files as the evaluator sees them: relative, normalised paths inside the
//! job's folder, and a trait that reads them. Nothing here touches a disk.

use std::collections::BTreeMap;
use std::fmt;

/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 4_096;

/// A path inside the job's folder: no leading `/`, no `.`, no `..`, no empty
/// part. The folder itself is the empty path and prints as `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NixPath {
    text: String,
}

/// Why a path is refused before any file is touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It begins with `/`.
    #[error("the absolute path '{0}' is refused: only files in the job file's folder can be used")]
    Absolute(String),
    /// It begins with `~`.
    #[error("the path '{0}' in a home folder is refused: only files in the job file's folder can be used")]
    Home(String),
    /// Its `..` parts lead out of the folder.
    #[error("the path '{0}' leaves the job file's folder: move the file into it")]
    LeavesFolder(String),
    /// It is longer than [`MAX_PATH_BYTES`].
    #[error("the path has {0} bytes, the most is {MAX_PATH_BYTES}")]
    TooLong(usize),
    /// It contains a zero byte, which no file name may.
    #[error("the path contains a zero byte")]
    ZeroByte,
}

impl NixPath {
    /// The job's folder itself.
    #[must_use]
    pub fn folder() -> Self {
        Self { text: String::new() }
    }

    /// Normalises `text`, taken as relative to the job's folder.
    ///
    /// # Errors
    /// Where it is absolute, leaves the folder, or no path at all.
    pub fn new(text: &str) -> Result<Self, PathError> {
        Self::folder().join(text)
    }

    /// Normalises `text`, taken as relative to the folder `self`.
    ///
    /// # Errors
    /// As [`NixPath::new`].
    pub fn join(&self, text: &str) -> Result<Self, PathError> {
        if text.starts_with('/') {
            return Err(PathError::Absolute(text.to_owned()));
        }
        if text.starts_with('~') {
            return Err(PathError::Home(text.to_owned()));
        }
        self.append(text)
    }

    /// `path + text`: as [`NixPath::join`], but `text` may begin with `/`, which
    /// then only separates, and without it `text` continues the last part.
    pub(crate) fn concat(&self, text: &str) -> Result<Self, PathError> {
        if self.text.is_empty() {
            return self.append(text);
        }
        Self::folder().append(&format!("{}{text}", self.text))
    }

    fn append(&self, text: &str) -> Result<Self, PathError> {
        if text.contains('\0') {
            return Err(PathError::ZeroByte);
        }
        let bytes = self.text.len() + text.len();
        if bytes > MAX_PATH_BYTES {
            return Err(PathError::TooLong(bytes));
        }
        let mut parts: Vec<&str> = self.parts().collect();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Err(PathError::LeavesFolder(text.to_owned()));
                    }
                }
                name => parts.push(name),
            }
        }
        Ok(Self { text: parts.join("/") })
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').filter(|part| !part.is_empty())
    }

    /// The normalised text; empty for the folder itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The folder that holds this path; the job's folder holds itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        let text = self.text.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self { text: text.to_owned() }
    }

    /// The last part; empty for the job's folder.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.text.rsplit_once('/').map_or(self.text.as_str(), |(_, name)| name)
    }
}

impl fmt::Display for NixPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "." } else { &self.text })
    }
}

/// Why a file could not be read. The evaluator adds path and position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// Nothing is there.
    #[error("no such file")]
    NotFound,
    /// A folder is there; `import` then tries its `default.nix`.
    #[error("it is a folder")]
    IsFolder,
    /// The file has more bytes than were asked for.
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
    /// The file is not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Anything else: permissions, a link out of the folder, a broken disk.
    #[error("{0}")]
    Other(String),
}

/// Read access to the job's folder. Paths are normalised and stay inside it by
/// construction; an implementation on a real file system must itself refuse
/// symbolic links that lead out.
pub trait Files: Sync {
    /// The text of the file at `path`, at most `max_bytes` long.
    ///
    /// # Errors
    /// Says why not, see [`FilesError`]. A longer file is [`FilesError::TooLarge`].
    fn read(&self, path: &NixPath, max_bytes: usize) -> Result<String, FilesError>;

    /// Whether a file or folder is at `path`.
    fn exists(&self, path: &NixPath) -> bool;
}

/// A folder held in memory: for tests, and for files that came with a request.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    files: BTreeMap<NixPath, String>,
}

impl MemoryFiles {
    /// A folder with these files, `(path, text)`.
    ///
    /// # Errors
    /// The first path that is not inside the folder.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, PathError> {
        let mut folder = Self::default();
        for (path, text) in files {
            folder.files.insert(NixPath::new(path)?, text.to_owned());
        }
        Ok(folder)
    }

    fn is_folder(&self, path: &NixPath) -> bool {
        if path.as_str().is_empty() {
            return true;
        }
        let prefix = format!("{}/", path.as_str());
        self.files.keys().any(|file| file.as_str().starts_with(&prefix))
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &NixPath, max_bytes: usize) -> Result<String, FilesError> {
        match self.files.get(path) {
            Some(text) if text.len() > max_bytes => Err(FilesError::TooLarge(max_bytes)),
            Some(text) => Ok(text.clone()),
            None if self.is_folder(path) => Err(FilesError::IsFolder),
            None => Err(FilesError::NotFound),
        }
    }

    fn exists(&self, path: &NixPath) -> bool {
        self.files.contains_key(path) || self.is_folder(path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn paths_are_normalised() {
        for (given, want) in [("./a//b/../c.nix", "a/c.nix"), (".", ""), ("a/..", ""), ("a/", "a")] {
            assert_eq!(NixPath::new(given).unwrap().as_str(), want, "{given}");
        }
        assert_eq!(NixPath::folder().to_string(), ".");
    }

    #[test]
    fn paths_that_leave_are_refused() {
        assert_eq!(NixPath::new("a/../../b"), Err(PathError::LeavesFolder("a/../../b".into())));
        assert_eq!(NixPath::new("/etc"), Err(PathError::Absolute("/etc".into())));
        assert_eq!(NixPath::new("~/x"), Err(PathError::Home("~/x".into())));
        assert_eq!(NixPath::new("a\0"), Err(PathError::ZeroByte));
        let sub = NixPath::new("sub/deep").unwrap();
        assert_eq!(sub.join("../x").unwrap().as_str(), "sub/x");
        assert!(sub.join("../../../x").is_err());
    }

    #[test]
    fn path_length_is_bounded() {
        assert!(NixPath::new(&"a".repeat(MAX_PATH_BYTES)).is_ok());
        let longer = NixPath::new(&"a".repeat(MAX_PATH_BYTES + 1));
        assert_eq!(longer, Err(PathError::TooLong(MAX_PATH_BYTES + 1)));
    }

    #[test]
    fn memory_files_know_folders_and_sizes() {
        let files = MemoryFiles::new([("a/default.nix", "12345")]).unwrap();
        let file = NixPath::new("a/default.nix").unwrap();
        assert_eq!(files.read(&file, 5), Ok("12345".into()));
        assert_eq!(files.read(&file, 4), Err(FilesError::TooLarge(4)));
        let folder = NixPath::new("a").unwrap();
        assert_eq!(files.read(&folder, 5), Err(FilesError::IsFolder));
        assert!(files.exists(&folder) && files.exists(&file));
        assert_eq!(files.read(&NixPath::new("b").unwrap(), 5), Err(FilesError::NotFound));
        assert!(!files.exists(&NixPath::new("b").unwrap()));
    }
}
