//! Problems.

mod bounds;
mod constraints;
mod job;
mod network;
mod order;
mod policies;
mod tasks;

use crate::generate::changed;
use floe_model::{Job, validate::validate};
use serde_json::Value;

fn problems(job: &Job) -> Vec<String> {
    validate(job).err().map(|e| e.0).unwrap_or_default()
}

/// Each row is one change to an ordinary job and the one problem that it makes.
fn expect(rows: &[(&str, Value, &str)]) {
    for (pointer, value, want) in rows {
        let found = problems(&changed(&[(pointer, value.clone())]));
        assert_eq!(found, [*want], "{pointer} = {}", value.to_string().chars().take(80).collect::<String>());
    }
}

fn accept(rows: &[(&str, Value)]) {
    for (pointer, value) in rows {
        let found = problems(&changed(&[(pointer, value.clone())]));
        assert_eq!(found, Vec::<String>::new(), "{pointer} = {}", value.to_string().chars().take(80).collect::<String>());
    }
}
