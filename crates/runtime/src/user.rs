//! Who a task runs as: names from the host's user database, or plain numbers.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::unistd::{Gid, Group, User, getgrouplist};

use crate::mount::Root;
use crate::spec::DEFAULT_EXEC_USER;

/// The largest user database of an image, in bytes.
const MAX_DATABASE_BYTES: u64 = 1 << 20;

/// The overflow ids, which every kernel has and which own nothing.
const NOBODY: u32 = 65_534;

/// Numeric identity of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// Their home directory, as far as it is known.
    pub(crate) home: String,
}

/// A user that cannot be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("user {0:?} does not exist on this node: create it there, or set the task's user to an existing name or a number")]
    NoUser(String),
    #[error("group {0:?} does not exist on this node: create it there, or use an existing name or a number")]
    NoGroup(String),
    #[error("user {0:?} does not exist in the image: check the task's user, or use a number")]
    NoUserInImage(String),
    #[error("group {0:?} does not exist in the image: check the task's user, or use a number")]
    NoGroupInImage(String),
    #[error("read the users of the image")]
    Image(#[source] std::io::Error),
}

/// Resolves `name`, `uid`, `name:group` or `uid:gid`.
pub(crate) fn resolve(text: &str) -> Result<Identity, UserError> {
    let (user_part, group_part) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let mut identity = resolve_user(user_part)?;
    if let Some(group) = group_part {
        identity.gid = resolve_group(group)?;
        identity.groups = Vec::new();
    }
    Ok(identity)
}

fn resolve_user(text: &str) -> Result<Identity, UserError> {
    if let Ok(uid) = text.parse::<u32>() {
        let gid = User::from_uid(uid.into()).ok().flatten().map_or(uid, |user| user.gid.as_raw());
        return Ok(Identity { uid, gid, groups: Vec::new(), home: String::new() });
    }
    let no_user = || UserError::NoUser(text.to_owned());
    match User::from_name(text).ok().flatten() {
        Some(user) => {
            let gid = user.gid;
            let name = CString::new(text).map_err(|_| no_user())?;
            let groups = getgrouplist(&name, gid).unwrap_or_default().into_iter().filter(|group| *group != gid).map(Gid::as_raw).collect();
            Ok(Identity { uid: user.uid.as_raw(), gid: gid.as_raw(), groups, home: String::new() })
        }
        None if text == DEFAULT_EXEC_USER => Ok(Identity { uid: NOBODY, gid: NOBODY, groups: Vec::new(), home: String::new() }),
        None => Err(no_user()),
    }
}

fn resolve_group(text: &str) -> Result<u32, UserError> {
    if let Ok(gid) = text.parse::<u32>() {
        return Ok(gid);
    }
    Group::from_name(text).ok().flatten().map(|group| group.gid.as_raw()).ok_or_else(|| UserError::NoGroup(text.to_owned()))
}

/// Resolves the same by the files of an image. A number needs none of them.
pub(crate) fn resolve_in(root: &Root, text: &str) -> Result<Identity, UserError> {
    let read = |path: &str| read_small(root, Path::new(path)).map_err(UserError::Image);
    resolve_by(text, &read("/etc/passwd")?, &read("/etc/group")?)
}

/// A user database; one that is missing is empty, and one that is no file or too large is as good as missing.
fn read_small(root: &Root, path: &Path) -> io::Result<String> {
    let file = match root.find(path) {
        Ok(fd) => File::from(fd),
        Err(_) => return Ok(String::new()),
    };
    let about = file.metadata()?;
    if !about.is_file() || about.len() > MAX_DATABASE_BYTES {
        return Ok(String::new());
    }
    // What was found is open as a place only; this opens the very same file for reading.
    let bytes = fs::read(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn resolve_by(text: &str, passwd: &str, group: &str) -> Result<Identity, UserError> {
    let (user_part, group_part) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let number = user_part.parse::<u32>().ok();
    let line = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| match number {
        Some(uid) => fields.get(2).and_then(|f| f.parse().ok()) == Some(uid),
        None => fields.first() == Some(&user_part),
    });
    let field = |n: usize| line.as_ref().and_then(|fields| fields.get(n).copied());
    let uid = match number.or_else(|| field(2)?.parse().ok()) {
        Some(uid) => uid,
        // Every image has this one, even if it does not say so.
        None if user_part == "root" || user_part.is_empty() => 0,
        None => return Err(UserError::NoUserInImage(user_part.to_owned())),
    };
    let groups: Vec<(&str, u32, &str)> = group
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            Some((*fields.first()?, fields.get(2)?.parse().ok()?, fields.get(3).copied().unwrap_or_default()))
        })
        .collect();
    let home = field(5).filter(|home| home.starts_with('/')).unwrap_or("/").to_owned();
    if let Some(name) = group_part.filter(|name| !name.is_empty()) {
        let gid = name.parse().ok().or_else(|| groups.iter().find(|(known, ..)| *known == name).map(|(_, gid, _)| *gid));
        let gid = gid.ok_or_else(|| UserError::NoGroupInImage(name.to_owned()))?;
        return Ok(Identity { uid, gid, groups: Vec::new(), home });
    }
    let gid = field(3).and_then(|f| f.parse().ok()).unwrap_or(0);
    let own = field(0).unwrap_or(user_part);
    let further = groups.iter().filter(|(_, id, members)| *id != gid && members.split(',').any(|m| m == own)).map(|(_, id, _)| *id);
    Ok(Identity { uid, gid, groups: further.collect(), home })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(resolve("root").unwrap().uid, 0);
        assert_eq!(resolve("0:0").unwrap(), Identity { uid: 0, gid: 0, groups: vec![], home: String::new() });
        assert_eq!(resolve("4242").unwrap(), Identity { uid: 4242, gid: 4242, groups: vec![], home: String::new() });
        assert_eq!(resolve("nobody").unwrap().uid, NOBODY);
        assert_eq!(resolve("root:4242").unwrap().gid, 4242);
    }

    #[test]
    fn an_image_has_users_of_its_own() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/var/www:/bin/false\nodd:x\n";
        let group = "root:x:0:\nweb:x:102:\nextra:x:103:other,web\n";
        let of = |text: &str| resolve_by(text, passwd, group).map_err(|e| e.to_string());
        let identity = |uid, gid, groups: &[u32], home: &str| Ok(Identity { uid, gid, groups: groups.to_vec(), home: home.to_owned() });
        assert_eq!(of("web"), identity(101, 102, &[103], "/var/www"));
        assert_eq!(of("101"), identity(101, 102, &[103], "/var/www"));
        assert_eq!(of("web:extra"), identity(101, 103, &[], "/var/www"));
        assert_eq!(of("7:8"), identity(7, 8, &[], "/"));
        assert_eq!(of("7"), identity(7, 0, &[], "/"));
        assert_eq!(of("0"), identity(0, 0, &[], "/root"));
        assert!(of("odd").unwrap_err().contains("in the image"));
        assert!(of("web:none").unwrap_err().contains("group \"none\""));
        assert_eq!(resolve_by("root", "", "").map_err(|e| e.to_string()), identity(0, 0, &[], "/"));
    }

    #[test]
    fn unknown_names_say_what_to_do() {
        assert!(resolve("no-such-user-here").unwrap_err().to_string().contains("create it there"));
        assert!(resolve("root:no-such-group").unwrap_err().to_string().contains("group"));
    }
}
