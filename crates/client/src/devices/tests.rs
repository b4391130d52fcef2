//! What a folder with files makes of a node, and of a task.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use floe_model::resources::AllocatedDeviceResource;
use floe_runtime::{Driver, LogSpec, TaskDirs, TaskSpec};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// A folder with files that only root may write.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for (name, text) in files {
        write(dir.path(), name, text);
    }
    dir
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
    fs::set_permissions(dir.join(name), PermissionsExt::from_mode(0o644)).unwrap();
}

const TWO: &str = r#"{
  "cdiVersion": "0.6.0", "kind": "acme.com/gpu", "annotations": {"model": "A1", "memory": "80 GiB"},
  "devices": [
    {"name": "0", "annotations": {"slot": "1"}, "containerEdits": {"deviceNodes": [{"path": "/dev/acme0", "hostPath": "/dev/null"}]}},
    {"name": "1", "annotations": {"slot": "2"}, "containerEdits": {"deviceNodes": [{"path": "/dev/acme1", "hostPath": "/dev/acme-is-gone"}]}}
  ],
  "containerEdits": {"env": ["ACME=yes"]}
}"#;

fn spec() -> TaskSpec {
    let dirs = TaskDirs { alloc: "/a".into(), local: "/l".into(), secrets: "/s".into(), tmp: "/t".into() };
    TaskSpec::new("x", Driver::Exec, "/bin/true", dirs, LogSpec::new("/a/logs", "x"))
}

fn held(id: &str) -> AllocatedDeviceResource {
    let text = str::to_owned;
    AllocatedDeviceResource { vendor: text("acme"), device_type: text("gpu"), name: text("A1"), device_ids: vec![id.to_owned()] }
}

#[test]
fn a_node_shows_groups_with_what_their_devices_have_in_common() {
    let dir = folder(&[("acme.json", TWO)]);
    let found = Fingerprint::read(&[dir.path().to_owned()]);
    let mut node = Node::default();
    found.describe(&mut node);
    let [group] = node.node_resources.devices.as_slice() else { panic!("{:?}", node.node_resources.devices) };
    assert_eq!((group.vendor.as_str(), group.device_type.as_str(), group.name.as_str()), ("acme", "gpu", "A1"));
    let keys: Vec<&str> = group.attributes.keys().map(String::as_str).collect();
    assert_eq!((keys, group.attributes["memory"].unit.as_str()), (vec!["cdi_kind", "memory"], "GiB"));
    let health: Vec<_> = group.instances.iter().map(|i| (i.id.as_str(), i.healthy, i.health_description.as_str())).collect();
    assert_eq!(health, [("0", true, ""), ("1", false, "/dev/acme-is-gone is no device of this machine")]);
    assert!(!node.attributes.contains_key(PROBLEMS_ATTRIBUTE));
}

#[test]
fn what_is_broken_is_shown_and_the_rest_counts() {
    let dir = folder(&[("acme.json", TWO), ("broken.json", "{"), ("other.yaml", "kind: x"), ("loose.json", TWO), ("README.md", "")]);
    fs::set_permissions(dir.path().join("loose.json"), PermissionsExt::from_mode(0o664)).unwrap();
    let mut node = Node::default();
    let folders = ["/floe-has-no-such-folder".into(), dir.path().to_owned()];
    Fingerprint::read(&folders).describe(&mut node);
    assert_eq!(node.node_resources.devices.len(), 1);
    let problems: Vec<&str> = node.attributes[PROBLEMS_ATTRIBUTE].split("; ").collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains("broken.json is no specification of devices"), "{problems:?}");
    assert!(problems[1].ends_with("loose.json may be written by others than root: chmod go-w"), "{problems:?}");
    assert!(problems[2].contains("other.yaml is YAML, which is not supported yet"), "{problems:?}");
    // Where it is mended, nothing is said any more.
    Fingerprint::default().describe(&mut node);
    assert!(node.attributes.is_empty() && node.node_resources.devices.is_empty());
}

#[test]
fn a_folder_that_others_may_write_counts_for_nothing() {
    let dir = folder(&[("acme.json", TWO)]);
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let found = Fingerprint::read(&[dir.path().to_owned()]);
    assert!(found.groups.is_empty() && found.problems.contains("may be written by others than root"), "{found:?}");
}

#[test]
fn a_task_gets_what_its_devices_need() {
    let dir = folder(&[("acme.json", TWO)]);
    let folders = [dir.path().to_owned()];
    let mut given = spec();
    given.env.insert("ACME".to_owned(), "the job's".to_owned());
    give(&[held("0")], &folders, &mut given).unwrap();
    assert_eq!((given.env["ACME"].as_str(), given.devices.nodes.len()), ("yes", 1));
    assert_eq!(given.devices.nodes[0].path, Path::new("/dev/acme0"));
    let gone = give(&[held("7")], &folders, &mut spec()).unwrap_err();
    assert_eq!(gone, format!("device acme/gpu \"7\" is not there any more: no file of {} has it", dir.path().display()));
    let mut nothing = spec();
    give(&[], &folders, &mut nothing).unwrap();
    assert_eq!(nothing, spec());
}

#[tokio::test]
async fn a_change_is_handed_on_and_nothing_else_is() {
    let dir = folder(&[]);
    let folders = vec![dir.path().to_owned()];
    let mut node = Node::default();
    let known = first_look(&folders, &mut node).await;
    let (sender, mut nodes) = watch::channel(Arc::new(node));
    let stop = CancellationToken::new();
    let looking = tokio::spawn(keep_looking(folders, known, Duration::from_millis(1), sender, stop.clone()));
    write(dir.path(), "acme.json", TWO);
    nodes.changed().await.unwrap();
    assert_eq!(nodes.borrow_and_update().node_resources.devices.len(), 1);
    fs::remove_file(dir.path().join("acme.json")).unwrap();
    nodes.changed().await.unwrap();
    assert!(nodes.borrow_and_update().node_resources.devices.is_empty());
    stop.cancel();
    looking.await.unwrap();
    assert!(!nodes.has_changed().unwrap_or(false));
}

#[test]
fn a_folder_has_so_many_files_and_no_more() {
    let dir = folder(&[]);
    for i in 0..folders::MAX_FILES {
        write(dir.path(), &format!("{i:03}.json"), &TWO.replace("acme.com", &format!("v{i}.com")));
    }
    let at = Fingerprint::read(&[dir.path().to_owned()]);
    assert_eq!(at.problems, "");
    write(dir.path(), "one-more.json", TWO);
    let past = Fingerprint::read(&[dir.path().to_owned()]);
    assert!(past.problems.ends_with("has 129 files, and only the first 128 count"), "{}", past.problems);
    assert_eq!(past.groups, at.groups);
}
