//! What differs between two versions of a job, for people.

use super::{GREEN, RED, YELLOW};
use floe_model::diff::{DiffType, FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};
use std::fmt::Write;

/// How many characters of a value are shown, unless all is asked for.
const MAX_SHOWN: usize = 120;
/// Fields by which one tells which of several blocks it is.
const NAMES: [&str; 4] = ["Name", "Label", "DestPath", "Destination"];

/// A job's differences as lines. `verbose` shows what stays, too, and values in full.
pub(crate) fn job(diff: &JobDiff, verbose: bool) -> String {
    let mut lines = Lines { text: String::new(), verbose };
    lines.line(0, diff.diff_type, &format!("Job: {:?}", diff.id));
    lines.body(0, &diff.fields, &diff.objects);
    for group in &diff.task_groups {
        lines.group(group);
    }
    lines.text
}

struct Lines {
    text: String,
    verbose: bool,
}

impl Lines {
    fn line(&mut self, depth: usize, diff_type: DiffType, text: &str) {
        let (mark, style) = match diff_type {
            DiffType::Added => ("+ ", Some(GREEN)),
            DiffType::Deleted => ("- ", Some(RED)),
            DiffType::Edited => ("+/- ", Some(YELLOW)),
            DiffType::None => ("", None),
        };
        let mark = style.map_or_else(String::new, |style| format!("{style}{mark}{style:#}"));
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{:width$}{mark}{text}", "", width = 2 * depth);
    }

    fn group(&mut self, group: &TaskGroupDiff) {
        let updates: Vec<String> = group.updates.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        self.line(0, group.diff_type, &format!("Task Group: {:?}{}", group.name, brackets(&updates)));
        self.body(1, &group.fields, &group.objects);
        for task in &group.tasks {
            self.task(task);
        }
        self.text.push('\n');
    }

    fn task(&mut self, task: &TaskDiff) {
        self.line(1, task.diff_type, &format!("Task: {:?}{}", task.name, brackets(&task.annotations)));
        self.body(2, &task.fields, &task.objects);
    }

    fn body(&mut self, depth: usize, fields: &[FieldDiff], objects: &[ObjectDiff]) {
        let all = self.verbose;
        for field in fields.iter().filter(|f| all || f.diff_type != DiffType::None) {
            let (old, new) = (self.value(&field.old), self.value(&field.new));
            let change = match field.diff_type {
                DiffType::Added => new,
                DiffType::Deleted | DiffType::None => old,
                DiffType::Edited => format!("{old} => {new}"),
            };
            self.line(depth, field.diff_type, &format!("{}: {change}{}", field.name, brackets(&field.annotations)));
        }
        for object in objects {
            let name = object.fields.iter().find(|f| f.diff_type == DiffType::None && NAMES.contains(&f.name.as_str()));
            let name = name.map(|f| format!(" {}", self.value(&f.old))).unwrap_or_default();
            self.line(depth, object.diff_type, &format!("{}{name} {{", object.name));
            self.body(depth + 1, &object.fields, &object.objects);
            self.line(depth, DiffType::None, "}");
        }
    }

    /// A value in quotes, cut where it is long.
    fn value(&self, text: &str) -> String {
        match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) if !self.verbose => format!("{:?}...", text.get(..end).unwrap_or(text)),
            _ => format!("{text:?}"),
        }
    }
}

fn brackets(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(diff_type: DiffType, name: &str, old: &str, new: &str) -> FieldDiff {
        FieldDiff { diff_type, name: name.to_owned(), old: old.to_owned(), new: new.to_owned(), annotations: Vec::new() }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn differences_are_indented_by_where_they_are() {
        let long = "x".repeat(MAX_SHOWN + 1);
        let service = ObjectDiff {
            diff_type: DiffType::Edited,
            name: "Service".to_owned(),
            fields: vec![field(DiffType::None, "Name", "www", "www"), field(DiffType::Edited, "PortLabel", "a", "b")],
            objects: Vec::new(),
        };
        let task = TaskDiff {
            diff_type: DiffType::Edited,
            name: "t".to_owned(),
            fields: vec![field(DiffType::Added, "Env[A]", "", "1\n2"), field(DiffType::Deleted, "User", "nobody", "")],
            annotations: vec!["forces create/destroy update".to_owned()],
            ..TaskDiff::default()
        };
        let count = FieldDiff { annotations: vec!["forces create".to_owned()], ..field(DiffType::Edited, "Count", "1", "2") };
        let group = TaskGroupDiff {
            diff_type: DiffType::Edited,
            name: "g".to_owned(),
            fields: vec![count],
            objects: vec![service],
            tasks: vec![task],
            updates: [("create".to_owned(), 1)].into(),
        };
        let fields = vec![field(DiffType::Edited, "Name", &long, "short")];
        let diff = JobDiff { diff_type: DiffType::Edited, id: "web".to_owned(), fields, objects: vec![], task_groups: vec![group] };
        let shown = plain(&job(&diff, false));
        let expected = [
            "+/- Job: \"web\"".to_owned(),
            format!("+/- Name: {:?}... => \"short\"", "x".repeat(MAX_SHOWN)),
            "+/- Task Group: \"g\" (1 create)".to_owned(),
            "  +/- Count: \"1\" => \"2\" (forces create)".to_owned(),
            "  +/- Service \"www\" {".to_owned(),
            "    +/- PortLabel: \"a\" => \"b\"".to_owned(),
            "  }".to_owned(),
            "  +/- Task: \"t\" (forces create/destroy update)".to_owned(),
            "    + Env[A]: \"1\\n2\"".to_owned(),
            "    - User: \"nobody\"".to_owned(),
            String::new(),
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
        let all = plain(&job(&diff, true));
        assert!(all.contains(&format!("{long:?} =>")) && all.contains("    Name: \"www\"\n"), "{all}");
    }
}
