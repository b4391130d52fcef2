//! The keys of a bucket, from files. They are read anew for each [`Store`](crate::Store), so new keys need no restart, and are overwritten when they
//! are dropped.

use crate::error::S3Error;
use aws_credential_types::Credentials;
use std::{
    fs, io,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The largest file of keys in bytes.
const MAX_FILE_BYTES: usize = 64 << 10;
/// Who the library is told gave the keys.
const PROVIDER: &str = "files";

/// Where the keys are. Readable by everybody is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialFiles {
    /// One file, as other tools have it: lines `aws_access_key_id = ...` and `aws_secret_access_key = ...`, maybe `aws_session_token = ...`, below
    /// `[default]` or no heading.
    One(PathBuf),
    /// Two files with nothing else in them.
    Two {
        /// The file of the key's id.
        access_key_id: PathBuf,
        /// The file of the secret.
        secret_access_key: PathBuf,
    },
}

impl CredentialFiles {
    /// Reads the keys.
    pub(crate) fn read(&self) -> Result<Credentials, S3Error> {
        let (id, secret, token) = match self {
            CredentialFiles::One(path) => parse(path, &read_file(path)?)?,
            CredentialFiles::Two { access_key_id, secret_access_key } => (word(access_key_id)?, word(secret_access_key)?, None),
        };
        let token = token.map(|token| token.as_str().to_owned());
        // The library keeps its copies in memory that it overwrites.
        Ok(Credentials::new(id.as_str(), secret.as_str(), token, None, PROVIDER))
    }
}

type Text = Zeroizing<String>;

/// The only word of a file.
fn word(path: &Path) -> Result<Text, S3Error> {
    let text = read_file(path)?;
    let word = text.trim();
    if word.is_empty() || word.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(wrong(path, "it must hold the key and nothing else"));
    }
    Ok(Zeroizing::new(word.to_owned()))
}

fn parse(path: &Path, text: &str) -> Result<(Text, Text, Option<Text>), S3Error> {
    let (mut id, mut secret, mut token) = (None, None, None);
    let mut is_ours = true;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            is_ours = section.trim_end_matches(']').trim() == "default";
        }
        let Some((key, value)) = line.split_once('=').filter(|_| is_ours) else { continue };
        let value = Some(Zeroizing::new(value.trim().to_owned())).filter(|v| !v.is_empty() && v.chars().all(|c| c.is_ascii_graphic()));
        match key.trim() {
            "aws_access_key_id" => id = value,
            "aws_secret_access_key" => secret = value,
            "aws_session_token" => token = value,
            _ => {}
        }
    }
    let missing = |name: &str| wrong(path, &format!("it has no {name} below [default]"));
    Ok((id.ok_or_else(|| missing("aws_access_key_id"))?, secret.ok_or_else(|| missing("aws_secret_access_key"))?, token))
}

fn wrong(path: &Path, why: &str) -> S3Error {
    S3Error::Keys { path: path.to_owned(), why: why.to_owned() }
}

fn read_file(path: &Path) -> Result<Text, S3Error> {
    let failed = |source: io::Error| S3Error::File { what: "keys", path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.mode() & 0o007 != 0 {
        return Err(wrong(path, "everybody can read it: chmod 0600 it, and make new keys if somebody may have read it"));
    }
    // Large enough from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES + 1));
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(wrong(path, "it is larger than 64 KiB, which no file of keys is"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong(path, "it is not text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn shown(files: &CredentialFiles) -> (String, String, Option<String>) {
        let keys = files.read().unwrap();
        (keys.access_key_id().to_owned(), keys.secret_access_key().to_owned(), keys.session_token().map(str::to_owned))
    }

    #[test]
    fn keys_are_read_from_one_file_or_two() {
        let dir = tempfile::tempdir().unwrap();
        let two = CredentialFiles::Two {
            access_key_id: file(dir.path(), "id", "AKID\n"),
            secret_access_key: file(dir.path(), "secret", " s/e+c=ret \n"),
        };
        assert_eq!(shown(&two), ("AKID".to_owned(), "s/e+c=ret".to_owned(), None));
        let text = "# mine\n[other]\naws_access_key_id=no\n[default]\naws_access_key_id = AKID\naws_secret_access_key=s/e+c=ret\n\
                    aws_session_token = t\n[more]\naws_secret_access_key=no\n";
        let one = CredentialFiles::One(file(dir.path(), "one", text));
        assert_eq!(shown(&one), ("AKID".to_owned(), "s/e+c=ret".to_owned(), Some("t".to_owned())));
        let bare = CredentialFiles::One(file(dir.path(), "bare", "aws_access_key_id=a\naws_secret_access_key=b"));
        assert_eq!(shown(&bare), ("a".to_owned(), "b".to_owned(), None));
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let why = |path: PathBuf| CredentialFiles::One(path).read().unwrap_err().to_string();
        let secret = file(dir.path(), "half", "[default]\naws_secret_access_key=hunter2\n");
        let said = why(secret.clone());
        assert!(said.contains("no aws_access_key_id") && said.contains("half") && !said.contains("hunter2"), "{said}");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(why(secret).contains("chmod 0600"));
        assert!(why(dir.path().join("gone")).contains("gone"));
        assert!(why(file(dir.path(), "large", &"x".repeat(MAX_FILE_BYTES + 1))).contains("larger than"));
        let empty = file(dir.path(), "empty", "\n");
        let two = CredentialFiles::Two { access_key_id: empty.clone(), secret_access_key: empty };
        assert!(two.read().unwrap_err().to_string().contains("nothing else"));
    }
}
