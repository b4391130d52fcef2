//! What a job must pass before it becomes a command: defaults filled in, the model's rules, and what floe can act on.

use floe_model::{Job, JobKey, Namespace, canonical, change, ids::DEFAULT_NAMESPACE, support, validate};
use floe_state::State;
use floe_template::Delimiters;

/// A job that is not taken, with every reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} problem{} in the job:\n{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, list(.0))]
pub struct Rejection(pub Vec<String>);

fn list(lines: &[String]) -> String {
    lines.iter().map(|l| format!("  * {l}")).collect::<Vec<_>>().join("\n")
}

/// Fills in the defaults of a job and checks it. Returns warnings.
///
/// # Errors
/// With all reasons why it is not taken.
pub fn admit(job: &mut Job, unknown: &[String]) -> Result<Vec<String>, Rejection> {
    // What a client sends of the servers' own fields is not believed.
    change::clear_server_fields(job);
    canonical::canonicalize(job);
    let mut problems = Vec::new();
    let mut warnings: Vec<String> = unknown.iter().map(|path| format!("unknown field {path} was ignored")).collect();
    match validate::validate(job) {
        Ok(found) => warnings.extend(found.0),
        Err(found) => problems.extend(found.0),
    }
    problems.extend(support::unsupported(job));
    problems.extend(template_problems(job));
    if problems.is_empty() { Ok(warnings) } else { Err(Rejection(problems)) }
}

fn template_problems(job: &Job) -> Vec<String> {
    let mut problems = Vec::new();
    for group in &job.task_groups {
        for task in &group.tasks {
            for template in task.templates.iter().filter(|t| !t.embedded_tmpl.is_empty()) {
                let delimiters = Delimiters { left: template.left_delim.clone(), right: template.right_delim.clone() };
                if let Err(error) = floe_template::check(&template.embedded_tmpl, &delimiters) {
                    problems.push(format!("group {:?} -> task {:?} -> template {:?}: {error}", group.name, task.name, template.dest_path));
                }
            }
        }
    }
    problems
}

/// Keeps the counts of the groups of the present version, when the caller asks for that.
pub fn preserve_counts(job: &mut Job, view: &State) {
    let Some(present) = view.job(&key_of(job)) else { return };
    for group in &mut job.task_groups {
        if let Some(old) = present.group(&group.name) {
            group.count = old.count;
        }
    }
}

/// The key of a job that may not be canonical yet.
pub fn key_of(job: &Job) -> JobKey {
    let namespace = if job.namespace.is_empty() { Namespace::new(DEFAULT_NAMESPACE) } else { job.namespace.clone() };
    JobKey { namespace, id: job.id.clone() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    fn job(edit: impl FnOnce(&mut serde_json::Value)) -> Job {
        let mut v = json!({"ID": "web", "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "exec", "Config": {"command": "/bin/true"}}]}]});
        edit(&mut v);
        floe_model::wire::from_value(v).unwrap().value
    }

    #[test]
    fn a_small_job_passes_with_its_defaults() {
        let mut j = job(|_| {});
        assert_eq!(admit(&mut j, &[]), Ok(vec![]));
        assert_eq!((j.region.as_str(), j.priority), ("global", Some(50)));
    }

    #[test]
    fn every_problem_is_said_at_once() {
        let mut j = job(|v| {
            v["Priority"] = json!(1000);
            v["TaskGroups"][0]["Tasks"][0]["Kind"] = json!("x");
            v["TaskGroups"][0]["Tasks"][0]["Templates"] = json!([{"EmbeddedTmpl": "{{ nomadService \"x\" }}", "DestPath": "local/x"}]);
        });
        let text = admit(&mut j, &[]).unwrap_err().to_string();
        for part in ["priority", "not supported yet: ", "kind", "template function \"nomadService\""] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn the_servers_own_fields_are_not_believed() {
        let mut j = job(|v| {
            v["Version"] = json!(9);
            v["Status"] = json!("dead");
            v["ModifyIndex"] = json!(7);
        });
        admit(&mut j, &[]).unwrap();
        assert_eq!((j.version, j.status, j.modify_index), (0, floe_model::JobStatus::Pending, 0));
    }

    #[test]
    fn unknown_fields_are_warned_of() {
        assert_eq!(admit(&mut job(|_| {}), &["Foo".to_owned()]), Ok(vec!["unknown field Foo was ignored".to_owned()]));
    }
}
