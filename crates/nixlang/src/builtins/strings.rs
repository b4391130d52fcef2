//! Functions over strings. Lengths and positions count bytes, as in Nix; a
//! position inside a character is an error, where Nix would cut it in two.

use std::rc::Rc;

use regex::{Captures, Regex};
use sha2::{Digest, Sha256, Sha512};

use super::{Builtin, Call, builtin, posix};
use crate::error::Fallible;
use crate::eval::Evaluator;
use crate::files::NixPath;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Builtin] = &[
    builtin("builtins.baseNameOf", 1, base_name_of),
    builtin("builtins.concatStringsSep", 2, concat_strings_sep),
    builtin("builtins.dirOf", 1, dir_of),
    builtin("builtins.fromJSON", 1, from_json),
    builtin("builtins.hasContext", 1, has_context),
    builtin("builtins.hashString", 2, hash_string),
    builtin("builtins.match", 2, match_whole),
    builtin("builtins.replaceStrings", 3, replace_strings),
    builtin("builtins.split", 2, split),
    builtin("builtins.stringLength", 1, string_length),
    builtin("builtins.substring", 3, substring),
    builtin("builtins.toJSON", 1, to_json),
    builtin("builtins.toString", 1, to_string),
    builtin("builtins.unsafeDiscardStringContext", 1, plain_string),
];

fn to_string(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let value = call.value(evaluator, 0)?;
    Ok(Value::Str(evaluator.coerce_free(value, call.site)?))
}

/// There are no string contexts here: they belong to store paths.
fn plain_string(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    Ok(Value::Str(call.str(evaluator, 0)?))
}

fn has_context(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    call.str(evaluator, 0)?;
    Ok(Value::Bool(false))
}

fn to_json(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let json = crate::json::render(evaluator, call.arg(0), call.site)?;
    let text = json.to_string();
    evaluator.string(&text, call.site)
}

fn from_json(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let text = call.str(evaluator, 0)?;
    evaluator.burn_bulk(text.len() * 4, call.site)?;
    match serde_json::from_str(&text) {
        Ok(json) => crate::json::value(evaluator, json, call.site),
        Err(error) => Err(call.error(evaluator, format!("not JSON: {error}"))),
    }
}

fn string_length(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let length = call.str(evaluator, 0)?.len();
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn substring(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let start = call.int(evaluator, 0)?;
    let length = call.int(evaluator, 1)?;
    let text = call.str(evaluator, 2)?;
    let Ok(start) = usize::try_from(start) else {
        return Err(call.error(evaluator, format!("the start {start} is negative")));
    };
    let start = start.min(text.len());
    // A negative length means: to the end.
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let end = start.saturating_add(length).min(text.len());
    match text.get(start..end) {
        Some(part) => evaluator.string(part, call.site),
        None => Err(call.error(evaluator, format!("bytes {start} to {end} cut a character in two"))),
    }
}

fn concat_strings_sep(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let separator = call.str(evaluator, 0)?;
    let items = call.list(evaluator, 1)?;
    let mut pieces: Vec<Rc<str>> = Vec::with_capacity(items.len());
    let mut bytes = 0_usize;
    for &item in items.iter() {
        evaluator.burn(1, call.site)?;
        let item = evaluator.force(item, call.site)?;
        let piece = evaluator.coerce_strict(item, call.site)?;
        bytes = bytes.saturating_add(piece.len()).saturating_add(separator.len());
        pieces.push(piece);
    }
    evaluator.charge_string(bytes.saturating_sub(separator.len()), call.site)?;
    Ok(Value::Str(pieces.join(&*separator).into()))
}

fn replace_strings(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let from = strings(evaluator, call, 0)?;
    let to = strings(evaluator, call, 1)?;
    if from.len() != to.len() {
        return Err(call.error(evaluator, "the two lists differ in length"));
    }
    let text = call.str(evaluator, 2)?;
    let pairs: Vec<(Rc<str>, Rc<str>)> = from.into_iter().zip(to).collect();
    evaluator.burn((text.len() as u64 + 1).saturating_mul(1 + pairs.len() as u64 / 4), call.site)?;
    let mut out = String::new();
    let mut rest: &str = &text;
    loop {
        let matched = pairs.iter().find(|(from, _)| rest.starts_with(&**from));
        let mut skipped = 0;
        if let Some((from, to)) = matched {
            out.push_str(to);
            skipped = from.len();
        }
        if skipped == 0 {
            // Nothing, or an empty text, was replaced: the next character stays.
            let Some(next) = rest.chars().next() else {
                break;
            };
            out.push(next);
            skipped = next.len_utf8();
        }
        rest = rest.get(skipped..).unwrap_or("");
        if out.len() > evaluator.limits.string_bytes {
            break;
        }
    }
    evaluator.charge_string(out.len(), call.site)?;
    Ok(Value::Str(out.into()))
}

fn strings(evaluator: &mut Evaluator<'_>, call: &Call<'_>, index: usize) -> Fallible<Vec<Rc<str>>> {
    let mut texts = Vec::new();
    for &item in call.list(evaluator, index)?.iter() {
        let item = evaluator.force(item, call.site)?;
        texts.push(evaluator.coerce_strict(item, call.site)?);
    }
    Ok(texts)
}

/// What compiling a regular expression costs in fuel.
const COMPILE_FUEL: u64 = 5_000;

fn regex(evaluator: &mut Evaluator<'_>, call: &Call<'_>, anchored: bool) -> Fallible<Rc<Regex>> {
    let pattern = call.str(evaluator, 0)?;
    // The cache holds both kinds: a leading zero byte marks the anchored one.
    let key: Rc<str> = if anchored { format!("\0{pattern}").into() } else { Rc::clone(&pattern) };
    if let Some(regex) = evaluator.regexes.get(&key) {
        return Ok(Rc::clone(regex));
    }
    evaluator.burn(COMPILE_FUEL, call.site)?;
    evaluator.charge(2 * posix::PROGRAM_BYTES as u64, call.site)?;
    match posix::compile(&pattern, anchored) {
        Ok(regex) => {
            let regex = Rc::new(regex);
            evaluator.regexes.insert(key, Rc::clone(&regex));
            Ok(regex)
        }
        Err(error) => {
            let shown: String = pattern.chars().take(80).collect();
            Err(call.error(evaluator, format!("the regular expression '{shown}' is not valid: {error}")))
        }
    }
}

/// Pays for one search: linear in the text, times the size of the expression.
fn pay_search(evaluator: &mut Evaluator<'_>, call: &Call<'_>, regex: &Regex, bytes: usize) -> Fallible<()> {
    evaluator.burn_bulk(bytes.saturating_mul(1 + regex.as_str().len() / 16), call.site)
}

/// The groups of a match; null for one that took no part.
fn groups(evaluator: &mut Evaluator<'_>, call: &Call<'_>, captures: &Captures<'_>) -> Fallible<Value> {
    let mut items = Vec::new();
    for group in captures.iter().skip(1) {
        let group = match group {
            Some(group) => evaluator.string(group.as_str(), call.site)?,
            None => Value::Null,
        };
        items.push(evaluator.done(group, call.site)?);
    }
    evaluator.list(items, call.site)
}

fn match_whole(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let regex = regex(evaluator, call, true)?;
    let text = call.str(evaluator, 1)?;
    pay_search(evaluator, call, &regex, text.len())?;
    match regex.captures(&text) {
        Some(captures) => groups(evaluator, call, &captures),
        None => Ok(Value::Null),
    }
}

/// The texts between the matches, and between those the groups of each match.
fn split(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let regex = regex(evaluator, call, false)?;
    let text = call.str(evaluator, 1)?;
    let mut items = Vec::new();
    let (mut cut, mut search) = (0, 0);
    while search <= text.len() {
        pay_search(evaluator, call, &regex, text.len() - search)?;
        let Some(captures) = regex.captures_at(&text, search) else {
            break;
        };
        let Some(found) = captures.get(0) else {
            break;
        };
        let between = evaluator.string(text.get(cut..found.start()).unwrap_or(""), call.site)?;
        items.push(evaluator.done(between, call.site)?);
        let groups = groups(evaluator, call, &captures)?;
        items.push(evaluator.done(groups, call.site)?);
        cut = found.end();
        // After an empty match the next one begins at least a character later.
        let step = text.get(cut..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        search = if found.is_empty() { cut + step } else { cut };
    }
    let last = evaluator.string(text.get(cut..).unwrap_or(""), call.site)?;
    items.push(evaluator.done(last, call.site)?);
    evaluator.list(items, call.site)
}

fn hash_string(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    let algorithm = call.str(evaluator, 0)?;
    let text = call.str(evaluator, 1)?;
    evaluator.burn_bulk(text.len(), call.site)?;
    let digest: Vec<u8> = match &*algorithm {
        "sha256" => Sha256::digest(text.as_bytes()).to_vec(),
        "sha512" => Sha512::digest(text.as_bytes()).to_vec(),
        "md5" | "sha1" => {
            let what = format!("builtins.hashString with {algorithm}, which is broken: use sha256");
            return Err(evaluator.unsupported(call.site, &what));
        }
        other => return Err(call.error(evaluator, format!("'{other}' is not a hash algorithm: use sha256"))),
    };
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    evaluator.string(&hex, call.site)
}

fn base_name_of(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    if let Value::Path(path) = call.value(evaluator, 0)? {
        return evaluator.string(path.file_name(), call.site);
    }
    let text = call.str(evaluator, 0)?;
    let trimmed = text.strip_suffix('/').unwrap_or(&text);
    let name = trimmed.rsplit_once('/').map_or(trimmed, |(_, name)| name);
    evaluator.string(name, call.site)
}

fn dir_of(evaluator: &mut Evaluator<'_>, call: &Call<'_>) -> Fallible<Value> {
    if let Value::Path(path) = call.value(evaluator, 0)? {
        let parent: NixPath = path.parent();
        return Ok(Value::Path(Rc::new(parent)));
    }
    let text = call.str(evaluator, 0)?;
    let folder = match text.rsplit_once('/') {
        None => ".",
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
    };
    evaluator.string(folder, call.site)
}
