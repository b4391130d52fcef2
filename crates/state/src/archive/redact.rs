//! A state without what may be secret: to show to somebody, not to restore.
//!
//! What users write into jobs as free text is replaced, wherever it stands: environments, templates, metadata, drivers' configurations (but for
//! the command and the image), arguments, sources and headers of downloads, bodies and headers of checks, tags of services, payloads, and the
//! text that a job was made from. Of variables, which are sealed, nothing is left but their names. What is there stays there: keys, counts, names, resources, networks, statuses, times and indexes. Nodes are as they
//! were: every client can read them.

use crate::{State, table::Rows};
use floe_model::{Job, JobKey, StringMap, Value, job::JobSubmission, wire};
use std::{collections::BTreeMap, sync::Arc};

/// What stands where something was.
pub const REDACTED: &str = "<redacted>";

/// Keys under which every text is replaced, in jobs as they are written in JSON.
const SECRET: &[&str] = &[
    "Args",
    "Body",
    "CanaryMeta",
    "CanaryTags",
    "Config",
    "EmbeddedTmpl",
    "Env",
    "GetterHeaders",
    "GetterOptions",
    "GetterSource",
    "Header",
    "Meta",
    "Tags",
];
/// Keys of drivers' configurations that say what runs.
const SHOWN: &[&str] = &["command", "image"];

/// A job that cannot be redacted.
#[derive(Debug, thiserror::Error)]
#[error("redact snapshot: job {job:?} cannot be read back: {reason}")]
pub struct RedactError {
    job: JobKey,
    reason: String,
}

impl State {
    /// The state without what may be secret.
    ///
    /// # Errors
    /// When a job cannot be written and read back; nothing of it is shown then.
    pub fn redacted(&self) -> Result<State, RedactError> {
        // Wrapped and sealed as they are, keys are nobody's business.
        let (root_keys, sealed_authorities) = (Rows::default(), Rows::default());
        let mut state = State { root_keys, sealed_authorities, authorities: None, ..self.for_backup() };
        let mut jobs = Jobs::default();
        for (key, row) in self.jobs.iter() {
            state.jobs.insert(key.clone(), jobs.redact(row)?);
        }
        for (key, row) in self.job_versions.iter() {
            state.job_versions.insert(key.clone(), jobs.redact(row)?);
        }
        for (key, row) in self.allocs.iter() {
            let mut alloc = (**row).clone();
            alloc.job = row.job.as_ref().map(|job| jobs.redact(job)).transpose()?;
            state.allocs.insert(key.clone(), Arc::new(alloc));
        }
        for (key, row) in self.submissions.iter() {
            state.submissions.insert(key.clone(), Arc::new(submission(row)));
        }
        for row in self.variables.values() {
            let mut variable = (**row).clone();
            (variable.items.nonce, variable.items.bytes) = (Vec::new(), Vec::new());
            state.set_variable(Arc::new(variable));
        }
        for (key, row) in self.services.iter() {
            let mut service = (**row).clone();
            service.tags.iter_mut().for_each(hide);
            state.services.insert(key.clone(), Arc::new(service));
        }
        Ok(state)
    }
}

/// Jobs that were redacted already: allocations share them.
#[derive(Default)]
struct Jobs(BTreeMap<*const Job, Arc<Job>>);

impl Jobs {
    fn redact(&mut self, job: &Arc<Job>) -> Result<Arc<Job>, RedactError> {
        if let Some(done) = self.0.get(&Arc::as_ptr(job)) {
            return Ok(done.clone());
        }
        let fail = |reason: String| RedactError { job: job.key(), reason };
        let mut value = serde_json::to_value(&**job).map_err(|e| fail(e.to_string()))?;
        redact_value(&mut value);
        let mut redacted = wire::from_value::<Job>(value).map_err(|e| fail(e.to_string()))?.value;
        redacted.payload = job.payload.as_ref().map(|_| REDACTED.to_owned());
        let redacted = Arc::new(redacted);
        self.0.insert(Arc::as_ptr(job), redacted.clone());
        Ok(redacted)
    }
}

fn redact_value(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if SECRET.contains(&key.as_str()) { hide_texts(value) } else { redact_value(value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact_value),
        _ => {}
    }
}

/// Replaces every text at any depth.
fn hide_texts(value: &mut Value) {
    match value {
        Value::String(text) => hide(text),
        Value::Array(items) => items.iter_mut().for_each(hide_texts),
        Value::Object(map) => map.iter_mut().filter(|(key, _)| !SHOWN.contains(&key.as_str())).for_each(|(_, value)| hide_texts(value)),
        _ => {}
    }
}

/// That there was nothing is no secret.
fn hide(text: &mut String) {
    if !text.is_empty() {
        REDACTED.clone_into(text);
    }
}

fn submission(old: &JobSubmission) -> JobSubmission {
    let mut new = old.clone();
    hide(&mut new.source);
    hide(&mut new.variables);
    new.variable_flags = old.variable_flags.keys().map(|name| (name.clone(), REDACTED.to_owned())).collect::<StringMap>();
    new
}
