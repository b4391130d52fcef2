//! Jobs as the API writes them: `{"Job": {...}}` or the job object itself, in JSON or from Nix. Unknown keys are errors.

use floe_model::{Job, wire};

use crate::{
    data::{Data, Entry, Node},
    diagnostic::{At, Fallible, Fault, Faults},
};

/// The job object, when the file has the API's form rather than the language's.
pub(crate) fn detect(data: &Data) -> Option<&Data> {
    let Node::Map(entries) = &data.node else { return None };
    let find = |name: &str| entries.iter().find(|e| &*e.key == name);
    if let Some(job) = find("Job") {
        return Some(&job.value);
    }
    let bare = |e: &Entry| e.key.eq_ignore_ascii_case("TaskGroups") || &*e.key == "ID";
    (find("job").is_none() && entries.iter().any(bare)).then_some(data)
}

/// Decodes it.
pub(crate) fn decode(whole: &Data, job: &Data, faults: &mut Faults) -> Option<Job> {
    if !std::ptr::eq(whole, job)
        && let Node::Map(entries) = &whole.node
    {
        for entry in entries.iter().filter(|e| &*e.key != "Job") {
            faults.add(&entry.key_at, format!("unknown key {}: beside Job nothing may stand in a job file", entry.key));
        }
    }
    let decoded = faults.take(decode_job(job))?;
    for unknown in decoded.unknown {
        let (path, hint) = unknown.split_once(" (").map_or((&*unknown, ""), |(path, hint)| (path, hint.trim_end_matches(')')));
        let key = path.rsplit_once('.').map_or(path, |(_, key)| key);
        let hint = if hint.is_empty() { String::new() } else { format!(": {hint}") };
        faults.add(&place(job, path, true), format!("unknown key {key}{hint}"));
    }
    Some(decoded.value)
}

fn decode_job(job: &Data) -> Fallible<wire::Decoded<Job>> {
    wire::from_value(job.to_json()).map_err(|error| {
        let name = error.path.rsplit_once('.').map_or(error.path.as_str(), |(_, name)| name);
        let at = place(job, &error.path, false);
        let message = plain(&error.message);
        Fault::new(&at, if name.is_empty() { message } else { format!("{name}: {message}") })
    })
}

/// The decoder's words for types, as people say them.
fn plain(message: &str) -> String {
    const WORDS: &[(&str, &str)] = &[
        ("invalid type: string", "found"),
        ("invalid type: integer", "found the number"),
        ("invalid type: floating point", "found the number"),
        ("invalid type: boolean", "found"),
        ("expected i64", "expected a whole number"),
        ("expected u64", "expected a number that is not negative"),
        ("expected a boolean", "expected true or false"),
        ("expected a string", "expected text"),
    ];
    WORDS.iter().fold(message.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The place of `TaskGroups[0].Tasks[1].Name` in the data: as far as the path can be followed.
fn place(data: &Data, path: &str, of_key: bool) -> At {
    let mut here = data;
    let mut at = data.at.clone();
    for part in path.split('.').filter(|p| !p.is_empty()) {
        let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
        let Node::Map(entries) = &here.node else { return at };
        let Some(entry) = entries.iter().find(|e| e.key.eq_ignore_ascii_case(name)) else { return at };
        here = &entry.value;
        at = if of_key { entry.key_at.clone() } else { here.at.clone() };
        for index in indexes.split('[').filter_map(|i| i.trim_end_matches(']').parse::<usize>().ok()) {
            let Node::List(items) = &here.node else { return at };
            let Some(item) = items.get(index) else { return at };
            here = item;
            at = here.at.clone();
        }
    }
    at
}
