//! Who a task runs as: names from the host's user database, or plain numbers.

use std::ffi::CString;

use nix::unistd::{Gid, Group, User, getgrouplist};

use crate::spec::DEFAULT_EXEC_USER;

/// The overflow ids, which every kernel has and which own nothing.
const NOBODY: u32 = 65_534;

/// Numeric identity of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// A user that cannot be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("user {0:?} does not exist on this node: create it there, or set the task's user to an existing name or a number")]
    NoUser(String),
    #[error("group {0:?} does not exist on this node: create it there, or use an existing name or a number")]
    NoGroup(String),
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
        return Ok(Identity { uid, gid, groups: Vec::new() });
    }
    let no_user = || UserError::NoUser(text.to_owned());
    match User::from_name(text).ok().flatten() {
        Some(user) => {
            let gid = user.gid;
            let name = CString::new(text).map_err(|_| no_user())?;
            let groups = getgrouplist(&name, gid).unwrap_or_default().into_iter().filter(|group| *group != gid).map(Gid::as_raw).collect();
            Ok(Identity { uid: user.uid.as_raw(), gid: gid.as_raw(), groups })
        }
        None if text == DEFAULT_EXEC_USER => Ok(Identity { uid: NOBODY, gid: NOBODY, groups: Vec::new() }),
        None => Err(no_user()),
    }
}

fn resolve_group(text: &str) -> Result<u32, UserError> {
    if let Ok(gid) = text.parse::<u32>() {
        return Ok(gid);
    }
    Group::from_name(text).ok().flatten().map(|group| group.gid.as_raw()).ok_or_else(|| UserError::NoGroup(text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(resolve("root").unwrap().uid, 0);
        assert_eq!(resolve("0:0").unwrap(), Identity { uid: 0, gid: 0, groups: vec![] });
        assert_eq!(resolve("4242").unwrap(), Identity { uid: 4242, gid: 4242, groups: vec![] });
        assert_eq!(resolve("nobody").unwrap().uid, NOBODY);
        assert_eq!(resolve("root:4242").unwrap().gid, 4242);
    }

    #[test]
    fn unknown_names_say_what_to_do() {
        assert!(resolve("no-such-user-here").unwrap_err().to_string().contains("create it there"));
        assert!(resolve("root:no-such-group").unwrap_err().to_string().contains("group"));
    }
}
