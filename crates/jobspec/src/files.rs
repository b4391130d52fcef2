//! Files as functions see them: relative paths inside the job's folder. Nothing here touches a disk.

use std::collections::BTreeMap;

/// Why a file could not be read. The parser adds path and position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// Nothing is there.
    #[error("no such file")]
    NotFound,
    /// A folder is there.
    #[error("it is a folder")]
    IsFolder,
    /// The file has more bytes than were asked for.
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
    /// This way of parsing has no files.
    #[error("file functions are not allowed here: put the file's text into the job, or parse the job with the command line")]
    Refused,
    /// Anything else: permissions, a link out of the folder, a broken disk.
    #[error("{0}")]
    Other(String),
}

/// Read access to the job's folder. Paths are relative, with `/`, without `.` and `..`; an implementation on a real file
/// system must itself refuse symbolic links that lead out.
pub trait Files: Sync {
    /// The bytes of the file at `path`.
    ///
    /// # Errors
    /// Says why not. A file longer than `max_bytes` is [`FilesError::TooLarge`].
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, FilesError>;

    /// Whether a file or folder is at `path`.
    ///
    /// # Errors
    /// When that may not be asked.
    fn exists(&self, path: &str) -> Result<bool, FilesError>;

    /// The paths of all files in the folder, at most `max`.
    ///
    /// # Errors
    /// Says why not, also when there are more.
    fn list(&self, max: usize) -> Result<Vec<String>, FilesError>;
}

/// No files: for job files that come over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str, _: usize) -> Result<Vec<u8>, FilesError> {
        Err(FilesError::Refused)
    }
    fn exists(&self, _: &str) -> Result<bool, FilesError> {
        Err(FilesError::Refused)
    }
    fn list(&self, _: usize) -> Result<Vec<String>, FilesError> {
        Err(FilesError::Refused)
    }
}

/// A folder held in memory: for tests, and for files that came with a request.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(pub BTreeMap<String, Vec<u8>>);

impl MemoryFiles {
    fn is_folder(&self, path: &str) -> bool {
        path.is_empty() || self.0.keys().any(|file| file.strip_prefix(path).is_some_and(|tail| tail.starts_with('/')))
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, FilesError> {
        match self.0.get(path) {
            Some(bytes) if bytes.len() > max_bytes => Err(FilesError::TooLarge(max_bytes)),
            Some(bytes) => Ok(bytes.clone()),
            None if self.is_folder(path) => Err(FilesError::IsFolder),
            None => Err(FilesError::NotFound),
        }
    }
    fn exists(&self, path: &str) -> Result<bool, FilesError> {
        Ok(self.0.contains_key(path) || self.is_folder(path))
    }
    fn list(&self, max: usize) -> Result<Vec<String>, FilesError> {
        if self.0.len() > max {
            return Err(FilesError::Other(format!("the folder has more than {max} files")));
        }
        Ok(self.0.keys().cloned().collect())
    }
}

/// The path, normalised; `None` when it is absolute or leaves the folder.
pub(crate) fn normalise(path: &str) -> Option<String> {
    if path.starts_with(['/', '~']) || path.contains('\0') || path.len() > 4_096 {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(normalise("./a//b/../c").as_deref(), Some("a/c"));
        assert_eq!(normalise(".").as_deref(), Some(""));
        for path in ["/etc/passwd", "~/x", "..", "a/../../b", "a\0"] {
            assert_eq!(normalise(path), None, "{path}");
        }
    }
}
