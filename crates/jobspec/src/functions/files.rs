//! Functions that read the job's folder, and those that only take paths apart.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Call, Done, Failure, Function, function};
use crate::{files::normalise, limits::MAX_ELEMENTS, value::Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function("basename", 1, 1, |c| c.make_text(basename(&c.text(0)?))),
    function("dirname", 1, 1, |c| c.make_text(dirname(&c.text(0)?))),
    function("file", 1, 1, file),
    function("filebase64", 1, 1, |c| c.make_text(STANDARD.encode(read(c)?))),
    function("fileexists", 1, 1, |c| {
        let text = c.text(0)?;
        let found = c.files.exists(&path(&text)?).map_err(|e| format!("cannot look for {text}: {e}"))?;
        Ok(Value::Bool(found))
    }),
    function("fileset", 2, 2, fileset),
];

fn basename(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some((_, name)) => name,
        None if path.is_empty() => ".",
        None => path,
    }
}

fn dirname(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

fn path(text: &str) -> Result<String, Failure> {
    normalise(text).ok_or_else(|| {
        let shown = crate::diagnostic::quoted(text);
        Failure::Message(format!("the path {shown} is refused: name a file in the job file's folder, relative to it"))
    })
}

fn read(c: &Call<'_>) -> Result<Vec<u8>, Failure> {
    let text = c.text(0)?;
    // A file costs a system call or two even when it is empty.
    c.budget.work(1_000)?;
    let bytes = c.files.read(&path(&text)?, c.budget.limits().source_bytes);
    let bytes = bytes.map_err(|e| format!("cannot read {}: {e}", crate::diagnostic::quoted(&text)))?;
    c.room(bytes.len())?;
    Ok(bytes)
}

fn file(c: &Call<'_>) -> Done {
    match String::from_utf8(read(c)?) {
        Ok(text) => c.make_text(text),
        Err(_) => Err(format!("{} is not UTF-8 text: use filebase64", c.arg(0).describe()).into()),
    }
}

fn fileset(c: &Call<'_>) -> Done {
    let (folder, pattern) = (path(&c.text(0)?)?, c.text(1)?);
    let listed = c.files.list(MAX_ELEMENTS).map_err(|e| format!("cannot list files: {e}"))?;
    let pattern: Vec<&str> = pattern.split('/').collect();
    let mut found = Vec::new();
    for file in &listed {
        c.budget.work(1 + file.len() / 16)?;
        let inside = if folder.is_empty() { Some(file.as_str()) } else { file.strip_prefix(&folder).and_then(|f| f.strip_prefix('/')) };
        let Some(inside) = inside else { continue };
        let parts: Vec<&str> = inside.split('/').collect();
        if matches(c, &pattern, &parts)? {
            found.push(inside.to_owned());
        }
    }
    found.sort();
    c.make_texts(found.into_iter())
}

/// Whether the parts of a path match the parts of a pattern, where `**` stands for any number of folders.
fn matches(c: &Call<'_>, pattern: &[&str], parts: &[&str]) -> Result<bool, Failure> {
    // One row of a table for each part of the pattern: which beginnings of the path are matched so far.
    let mut row: Vec<bool> = (0..=parts.len()).map(|i| i == 0).collect();
    for piece in pattern {
        let mut next = vec![false; parts.len() + 1];
        let mut any = false;
        for (i, matched) in row.iter().enumerate() {
            any |= matched;
            if *piece == "**" {
                if let Some(cell) = next.get_mut(i) {
                    *cell = any;
                }
            } else if *matched
                && let Some(part) = parts.get(i)
                && glob(c, piece, part)?
                && let Some(cell) = next.get_mut(i + 1)
            {
                *cell = true;
            }
        }
        row = next;
    }
    Ok(row.last().copied().unwrap_or(false))
}

/// Whether one part matches a pattern of `*` and `?`, in time that grows with the product of the lengths.
fn glob(c: &Call<'_>, pattern: &str, text: &str) -> Result<bool, Failure> {
    c.budget.work(1 + pattern.len() * text.len() / 16)?;
    let text: Vec<char> = text.chars().collect();
    let mut row: Vec<bool> = (0..=text.len()).map(|i| i == 0).collect();
    for x in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        let mut any = false;
        for (i, matched) in row.iter().enumerate() {
            any |= matched;
            let hit = if x == '*' { any } else { false };
            if hit && let Some(cell) = next.get_mut(i) {
                *cell = true;
            }
            if x != '*'
                && *matched
                && text.get(i).is_some_and(|y| x == '?' || x == *y)
                && let Some(cell) = next.get_mut(i + 1)
            {
                *cell = true;
            }
        }
        row = next;
    }
    Ok(row.last().copied().unwrap_or(false))
}
