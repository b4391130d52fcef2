//! Rules of templates.

use super::{names, task::change};
use crate::{
    Nanos,
    report::{Report, labelled, quoted},
    task::{Template, WaitConfig},
};

/// The directories of a task that a destination may begin with, as the client fills them in.
const TASK_DIRECTORIES: &[&str] = &["${NOMAD_TASK_DIR}", "${NOMAD_SECRETS_DIR}", "${NOMAD_ALLOC_DIR}"];
/// The highest permissions that a file can have.
const MAX_PERMS: u32 = 0o7777;
/// The highest user or group id: the one above means "none" to the kernel.
const MAX_OWNER: i64 = u32::MAX as i64 - 1;

pub(super) fn templates(report: &mut Report, templates: &[Template]) {
    if !report.list("templates", templates.len()) {
        return;
    }
    let clean: Vec<String> = templates.iter().map(|t| normal(&t.dest_path)).collect();
    names::unique(report, "template destination", clean.iter().map(String::as_str));
    for (i, t) in templates.iter().enumerate() {
        report.within(labelled("template", &t.dest_path, i), |r| template(r, t));
    }
}

fn template(report: &mut Report, t: &Template) {
    let Template {
        source_path,
        dest_path,
        embedded_tmpl,
        change_mode,
        change_script,
        change_signal,
        once: _,
        splay,
        perms,
        uid,
        gid,
        left_delim,
        right_delim,
        envvars,
        vault_grace: _,
        wait,
        err_missing_key: _,
    } = t;
    match (source_path.is_empty(), embedded_tmpl.is_empty()) {
        (true, true) => report.say("the text is missing; set data or source"),
        (false, false) => report.say("source and data are both set; keep one of them"),
        _ => {}
    }
    destination(report, dest_path);
    change(report, *change_mode, change_signal, change_script.is_some());
    if *envvars == Some(true) && *change_mode == Some(crate::task::ChangeMode::Signal) {
        report.say("env = true with change_mode \"signal\" cannot work: a running task keeps its environment; use \"restart\"");
    }
    report.span("splay", *splay, Nanos::ZERO);
    if !u32::from_str_radix(perms, 8).is_ok_and(|p| p <= MAX_PERMS) {
        report.say(format_args!("perms {} is not octal permissions; write for example \"0644\"", quoted(perms)));
    }
    report.between("uid", uid.unwrap_or(0), 0, MAX_OWNER, "");
    report.between("gid", gid.unwrap_or(0), 0, MAX_OWNER, "");
    report.required("left_delimiter", left_delim, "write for example \"{{\"");
    report.required("right_delimiter", right_delim, "write for example \"}}\"");
    if let Some(WaitConfig { min, max }) = wait {
        report.span("wait min", *min, Nanos::ZERO);
        report.span("wait max", *max, Nanos::ZERO);
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            report.say(format_args!("wait min ({min}) must be at most wait max ({max}); raise max"));
        }
    }
}

/// A destination is a file inside the task's own directory, or in one that the client names.
fn destination(report: &mut Report, path: &str) {
    report.required("destination", path, "write for example \"local/app.conf\"");
    let inner = TASK_DIRECTORIES.iter().find_map(|d| path.strip_prefix(d));
    let is_absolute = inner.is_none() && path.starts_with('/');
    if is_absolute {
        let relative = path.trim_start_matches('/');
        report.say(format_args!("destination {} must be relative to the task's directory; write {}", quoted(path), quoted(relative)));
    }
    if escapes(inner.unwrap_or(path)) {
        report.say(format_args!("destination {} leads out of the task's directory; remove the ..", quoted(path)));
    }
    if inner == Some("")
        || path.contains('\0')
        || path.ends_with('/')
        || path.ends_with("/.")
        || matches!(path, "." | "local" | "secrets" | "tmp")
    {
        report.say(format_args!("destination {} is not a file; add the file's name", quoted(path)));
    }
}

/// True when `..` climbs above the start at any point.
fn escapes(path: &str) -> bool {
    let mut depth = 0i64;
    path.split('/').any(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    })
}

/// The path without what changes nothing, so that two ways to write one place are equal.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_climb_out_are_seen() {
        for bad in ["..", "../x", "a/../../x", "./../x", "/../x", "a/b/../../.."] {
            assert!(escapes(bad), "{bad}");
        }
        for good in ["a", "a/..", "a/../b", "./a", "..a", "a..", "a/...", ""] {
            assert!(!escapes(good), "{good}");
        }
        assert_eq!(normal("./local//a/../b"), "local/b");
    }
}
