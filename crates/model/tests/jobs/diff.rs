//! What differs between two versions of a job, as clients read it.

use crate::generate::{self, canonical, changed, full, ordinary, set};
use floe_model::{
    Job, JobType,
    canonical::canonicalize,
    change::{needs_replacement, spec_changed},
    diff::{DesiredUpdates, DiffType, FieldDiff, JobDiff, ObjectDiff, annotate, diff},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn base() -> Job {
    changed(&[])
}

/// Every field and object that differs, as lines: `group front -> task server -> Env[A]: Added "" "1"`.
fn lines(diff: &JobDiff) -> Vec<String> {
    let mut out = Vec::new();
    level(&mut out, "", &diff.fields, &diff.objects);
    for group in &diff.task_groups {
        let place = format!("group {} -> ", group.name);
        whole(&mut out, &place, group.diff_type);
        level(&mut out, &place, &group.fields, &group.objects);
        for task in &group.tasks {
            let place = format!("{place}task {} -> ", task.name);
            whole(&mut out, &place, task.diff_type);
            level(&mut out, &place, &task.fields, &task.objects);
        }
    }
    out
}

fn whole(out: &mut Vec<String>, place: &str, diff_type: DiffType) {
    if matches!(diff_type, DiffType::Added | DiffType::Deleted) {
        out.push(format!("{place}{diff_type}"));
    }
}

fn level(out: &mut Vec<String>, place: &str, fields: &[FieldDiff], objects: &[ObjectDiff]) {
    let differing = fields.iter().filter(|f| f.diff_type != DiffType::None);
    out.extend(differing.map(|f| format!("{place}{}: {} {:?} {:?}", f.name, f.diff_type, f.old, f.new)));
    for object in objects {
        let place = format!("{place}{} {} -> ", object.diff_type, object.name);
        if object.fields.is_empty() && object.objects.is_empty() {
            out.push(place.clone());
        }
        level(out, &place, &object.fields, &object.objects);
    }
}

fn of(changes: &[(&str, Value)]) -> Vec<String> {
    lines(&diff(Some(&base()), Some(&changed(changes))))
}

#[test]
fn equal_jobs_do_not_differ() {
    let mut later = base();
    (later.version, later.modify_index, later.submit_time, later.stable) = (7, 9, 11, true);
    let same = diff(Some(&base()), Some(&later));
    assert_eq!((same.diff_type, same.id.as_str(), lines(&same)), (DiffType::None, "web", vec![]));
    assert_eq!(same.task_groups.len(), 1, "groups that stay are there, for what is done to them");
    assert_eq!(same.task_groups[0].tasks[0].diff_type, DiffType::None);
}

#[test]
fn each_change_stands_where_it_was_made_and_nowhere_else() {
    let g = "group front -> ";
    let t = "group front -> task server -> ";
    let table: &[(&str, Value, String)] = &[
        ("/Priority", json!(70), r#"Priority: Edited "50" "70""#.to_owned()),
        ("/Meta", json!({"a": "b"}), r#"Meta[a]: Added "" "b""#.to_owned()),
        ("/Meta", json!({"a": ""}), r#"Meta[a]: Added "" """#.to_owned()),
        ("/TaskGroups/0/Count", json!(3), format!(r#"{g}Count: Edited "1" "3""#)),
        ("/TaskGroups/0/Networks/0/Mode", json!("host"), format!(r#"{g}Edited Network -> Mode: Edited "bridge" "host""#)),
        (
            "/TaskGroups/0/Networks/0/DynamicPorts/0/To",
            json!(81),
            format!(r#"{g}Edited Network -> Edited Dynamic Port -> To: Edited "80" "81""#),
        ),
        ("/TaskGroups/0/Tasks/0/User", json!("nobody"), format!(r#"{t}User: Added "" "nobody""#)),
        ("/TaskGroups/0/Tasks/0/KillTimeout", json!("6s"), format!(r#"{t}KillTimeout: Edited "5000000000" "6000000000""#)),
        ("/TaskGroups/0/Tasks/0/Env", json!({"A": "1"}), format!(r#"{t}Env[A]: Added "" "1""#)),
        ("/TaskGroups/0/Tasks/0/Config/args/0", json!("61"), format!(r#"{t}Edited Config -> args[0]: Edited "60" "61""#)),
        ("/TaskGroups/0/Tasks/0/Config/args", json!("60"), format!(r#"{t}Edited Config -> args: Added "" "60""#)),
        ("/TaskGroups/0/Tasks/0/Resources/MemoryMB", json!(65), format!(r#"{t}Edited Resources -> MemoryMB: Edited "64" "65""#)),
        ("/TaskGroups/0/Tasks/0/Templates/0/EmbeddedTmpl", json!("y"), format!(r#"{t}Edited Template -> EmbeddedTmpl: Edited "x" "y""#)),
    ];
    for (pointer, value, line) in table {
        let found = of(&[(pointer, value.clone())]);
        assert!(found.contains(line), "{pointer}: {found:#?}");
        let more = usize::from(*pointer == "/TaskGroups/0/Tasks/0/Config/args");
        assert_eq!(found.len(), 1 + more, "{pointer}: {found:#?}");
    }
}

#[test]
fn lists_are_sets_until_only_their_order_differs() {
    let job = |list: Value| changed(&[("/Datacenters", list)]);
    let of = |a: Value, b: Value| lines(&diff(Some(&job(a)), Some(&job(b))));
    assert_eq!(
        of(json!(["a", "b"]), json!(["b", "c"])),
        [r#"Edited Datacenters -> Datacenters: Deleted "a" """#, r#"Edited Datacenters -> Datacenters: Added "" "c""#]
    );
    assert_eq!(of(json!(["a"]), json!(["a", "a"])), [r#"Edited Datacenters -> Datacenters: Added "" "a""#]);
    assert_eq!(
        of(json!(["a", "b"]), json!(["b", "a"])),
        [r#"Edited Datacenters -> Datacenters[0]: Edited "a" "b""#, r#"Edited Datacenters -> Datacenters[1]: Edited "b" "a""#]
    );
}

#[test]
fn blocks_are_matched_by_what_they_are_called() {
    let job = |services: &[&str]| {
        let list: Vec<Value> =
            services.iter().map(|text| json!({"Name": text.trim_end_matches('!'), "Tags": [text.len().to_string()]})).collect();
        changed(&[("/TaskGroups/0/Services", json!(list))])
    };
    let of = |a: &[&str], b: &[&str]| lines(&diff(Some(&job(a)), Some(&job(b))));
    assert_eq!(
        of(&["a", "b"], &["b!", "a"]),
        [
            r#"group front -> Services[order]: Edited "a, b" "b, a""#,
            r#"group front -> Edited Service -> Edited Tags -> Tags: Deleted "1" """#,
            r#"group front -> Edited Service -> Edited Tags -> Tags: Added "" "2""#,
        ]
    );
    let gone = of(&["a", "b"], &["b"]);
    assert!(gone.contains(&r#"group front -> Deleted Service -> Name: Deleted "a" """#.to_owned()), "{gone:#?}");
    assert!(gone.iter().all(|l| l.starts_with("group front -> Deleted Service")), "{gone:#?}");
    // Who is edited stands beside what was: by the fields that stay.
    let edited = diff(Some(&job(&["a", "b"])), Some(&job(&["a", "b!"])));
    let [service] = edited.task_groups[0].objects.as_slice() else { panic!("{edited:#?}") };
    let name = service.fields.iter().find(|f| f.name == "Name").unwrap();
    assert_eq!((name.diff_type, name.old.as_str(), name.new.as_str()), (DiffType::None, "b", "b"));
}

#[test]
fn constraints_have_no_name_so_one_goes_and_another_comes() {
    let job = |value: &str| changed(&[("/Constraints", json!([{"LTarget": "${attr.kernel.name}", "RTarget": value, "Operand": "="}]))]);
    let types: Vec<_> = diff(Some(&job("linux")), Some(&job("plan9"))).objects.iter().map(|o| (o.name.clone(), o.diff_type)).collect();
    assert_eq!(types, [("Constraint".to_owned(), DiffType::Deleted), ("Constraint".to_owned(), DiffType::Added)]);
}

#[test]
fn what_comes_and_goes_is_added_and_deleted_as_a_whole() {
    let new = diff(None, Some(&base()));
    assert_eq!(
        (new.diff_type, new.task_groups[0].diff_type, new.task_groups[0].tasks[0].diff_type),
        (DiffType::Added, DiffType::Added, DiffType::Added)
    );
    let all = lines(&new);
    assert!(
        all.contains(&r#"Datacenters: Added "" "*""#.to_owned()) || all.iter().any(|l| l.ends_with(r#"Datacenters: Added "" "*""#)),
        "{all:#?}"
    );
    for written_by_the_server in ["Status:", "Version:", "ModifyIndex:", "CreateIndex:", "SubmitTime:", "Stable:"] {
        assert!(!all.iter().any(|l| l.starts_with(written_by_the_server)), "{written_by_the_server} {all:#?}");
    }
    assert!(!all.iter().any(|l| l.ends_with(r#""" """#)), "empty fields are not added: {all:#?}");
    let gone = diff(Some(&base()), None);
    assert_eq!((gone.diff_type, gone.id.as_str()), (DiffType::Deleted, "web"));
    let mut two = ordinary(JobType::Service);
    set(
        &mut two,
        "/TaskGroups/1",
        json!({"Name": "back", "Tasks": [{"Name": "worker", "Driver": "exec", "Config": {"command": "/bin/true"}}]}),
    );
    let two = canonical(two);
    let more = diff(Some(&base()), Some(&two));
    let types: Vec<_> = more.task_groups.iter().map(|g| (g.name.as_str(), g.diff_type)).collect();
    assert_eq!((more.diff_type, types), (DiffType::Edited, vec![("front", DiffType::None), ("back", DiffType::Added)]));
    let fewer = diff(Some(&two), Some(&base()));
    assert_eq!(fewer.task_groups.iter().map(|g| g.diff_type).collect::<Vec<_>>(), [DiffType::None, DiffType::Deleted]);
}

/// The annotations of the first group's first task, and its count's, after these changes.
fn annotations(changes: &[(&str, Value)], desired: DesiredUpdates) -> (Vec<String>, Vec<String>, BTreeMap<String, u64>) {
    let (old, new) = (base(), changed(changes));
    let mut found = diff(Some(&old), Some(&new));
    annotate(&mut found, Some(&old), &new, &BTreeMap::from([("front".to_owned(), desired)]));
    let group = &found.task_groups[0];
    let count = group.fields.iter().find(|f| f.name == "Count").map(|f| f.annotations.clone()).unwrap_or_default();
    (group.tasks[0].annotations.clone(), count, group.updates.clone())
}

#[test]
fn what_a_change_leads_to_stands_beside_it() {
    let quiet = DesiredUpdates::default;
    assert_eq!(annotations(&[], DesiredUpdates { ignore: 2, ..quiet() }), (vec![], vec![], [("ignore".to_owned(), 2)].into()));
    let env =
        annotations(&[("/TaskGroups/0/Tasks/0/Env", json!({"A": "1"}))], DesiredUpdates { destructive_update: 1, ignore: 1, ..quiet() });
    assert_eq!(env.0, ["forces create/destroy update"]);
    assert_eq!(env.2, [("create/destroy update".to_owned(), 1), ("ignore".to_owned(), 1)].into());
    let patient = annotations(&[("/TaskGroups/0/Tasks/0/KillTimeout", json!("9s"))], DesiredUpdates { in_place_update: 1, ..quiet() });
    assert_eq!((patient.0, patient.2), (vec!["forces in-place update".to_owned()], [("in-place update".to_owned(), 1)].into()));
    let more = annotations(&[("/TaskGroups/0/Count", json!(3))], DesiredUpdates { place: 2, ..quiet() });
    assert_eq!((more.0, more.1), (vec![], vec!["forces create".to_owned()]));
    let fewer = annotations(&[("/TaskGroups/0/Count", json!(0))], DesiredUpdates { stop: 1, migrate: 1, canary: 1, ..quiet() });
    assert_eq!(fewer.1, ["forces destroy"]);
    assert_eq!(fewer.2, [("canary".to_owned(), 1), ("destroy".to_owned(), 1), ("migrate".to_owned(), 1)].into());
    let mut new = diff(None, Some(&base()));
    annotate(&mut new, None, &base(), &BTreeMap::new());
    assert_eq!(new.task_groups[0].tasks[0].annotations, ["forces create"]);
    assert_eq!(new.task_groups[0].fields.iter().find(|f| f.name == "Count").unwrap().annotations, ["forces create"]);
}

/// Every place in a document that holds a scalar.
fn scalars(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| scalars(v, &format!("{path}/{}", k.replace('/', "~1")), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| scalars(v, &format!("{path}/{i}"), found)),
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn each_field_of_the_model_shows_by_its_name_when_it_alone_is_changed() {
    let document = full();
    let mut all = Vec::new();
    scalars(&document, "", &mut all);
    let (old, mut shown) = (floe_model::wire::from_value::<Job>(document.clone()).unwrap().value, 0);
    // Each kind of field once: those that stand in several places are compared in the same way. (The id says which job it is.)
    let mut kinds = BTreeSet::new();
    let kind =
        |pointer: &str| pointer.rsplit('/').filter(|part| part.parse::<usize>().is_err()).take(2).map(str::to_owned).collect::<Vec<_>>();
    all.retain(|pointer| pointer != "/ID" && kinds.insert(kind(pointer)));
    for pointer in &all {
        let mut edited = document.clone();
        let place = edited.pointer_mut(pointer).unwrap();
        *place = match &*place {
            Value::Bool(b) => json!(!b),
            Value::Number(n) => json!(n.as_i64().unwrap_or(1) + 1),
            Value::String(s) => json!(format!("{s}x")),
            other => other.clone(),
        };
        // A word of a fixed set, or a time, cannot be any text.
        let Ok(new) = floe_model::wire::from_value::<Job>(edited) else { continue };
        let found = diff(Some(&old), Some(&new.value));
        if !spec_changed(&old, &new.value) {
            assert_eq!(lines(&found), Vec::<String>::new(), "{pointer}");
            continue;
        }
        let key = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap();
        let said = lines(&found);
        // What has another name is another thing: the whole of it goes and comes.
        let renamed = said.iter().any(|l| l.contains("Added") || l.contains("Deleted"));
        assert!(said.iter().any(|l| l.contains(key)) || renamed, "{pointer} is not in {said:#?}");
        assert!(renamed || said.len() == 1, "{pointer}: {said:#?}");
        shown += 1;
    }
    assert!(shown > 150, "only {shown} of {} fields could be changed", all.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn jobs_differ_here_exactly_when_they_differ(mut a in generate::job(), mut b in generate::job()) {
        canonicalize(&mut a);
        canonicalize(&mut b);
        b.id = a.id.clone();
        let same = diff(Some(&a), Some(&a));
        prop_assert_eq!((same.diff_type, lines(&same)), (DiffType::None, vec![]));
        let found = diff(Some(&a), Some(&b));
        prop_assert_eq!(found.diff_type != DiffType::None, spec_changed(&a, &b));
        prop_assert_eq!(found.diff_type == DiffType::None, lines(&found).is_empty());
        prop_assert_eq!(lines(&found).len(), lines(&diff(Some(&b), Some(&a))).len(), "the way back shows as much");
    }

    #[test]
    fn no_task_forces_a_replacement_that_its_group_does_not_need(mut new in generate::job()) {
        let old = base();
        canonicalize(&mut new);
        new.id = old.id.clone();
        let mut found = diff(Some(&old), Some(&new));
        annotate(&mut found, Some(&old), &new, &BTreeMap::new());
        for group in found.task_groups.iter().filter(|g| matches!(g.diff_type, DiffType::None | DiffType::Edited)) {
            let forced = group.tasks.iter().any(|t| t.annotations.contains(&"forces create/destroy update".to_owned()));
            prop_assert!(!forced || needs_replacement(&old, &new, &group.name).is_some());
        }
    }
}
