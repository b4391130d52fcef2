//! Which updates need a new allocation.

use crate::Job;

/// True when `new` asks for something else than `old`; what the servers set is ignored.
pub fn spec_changed(old: &Job, new: &Job) -> bool {
    let strip = |job: &Job| Job {
        status: Default::default(),
        status_description: String::new(),
        stable: false,
        version: 0,
        submit_time: 0,
        create_index: 0,
        modify_index: 0,
        job_modify_index: 0,
        stop: false,
        version_tag: None,
        nomad_token_id: String::new(),
        ..job.clone()
    };
    strip(old) != strip(new)
}
