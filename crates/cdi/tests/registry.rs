//! Files of the Container Device Interface: what is read, what is refused and in which words, and which of several counts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use floe_cdi::{Folder, MAX_DEVICES, MAX_FILE_BYTES, MAX_LIST, MAX_TEXT_BYTES, NodeType, Registry, read};
use proptest::prelude::*;
use serde_json::{Value, json};

fn device(name: &str, node: &str) -> Value {
    json!({"name": name, "containerEdits": {"deviceNodes": [{"path": node}]}})
}

fn file(kind: &str, devices: &[Value]) -> Value {
    json!({"cdiVersion": "0.6.0", "kind": kind, "devices": devices})
}

fn folder(files: &[Value]) -> Folder {
    files.iter().enumerate().map(|(i, f)| (format!("f{i}.json"), read(&f.to_string()))).collect()
}

fn names(registry: &Registry) -> Vec<String> {
    registry.devices().map(|d| format!("{}={}", d.kind, d.name)).collect()
}

/// A file with this value at that place, read.
fn with(pointer: &str, key: &str, value: Value) -> Result<(), String> {
    let mut file = file("vendor.com/class", &[device("0", "/dev/d0")]);
    file.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
    read(&file.to_string()).map(drop)
}

/// What nvidia's generator writes for a machine with two GPUs, shortened.
fn nvidia() -> Value {
    let gpu = |names: &[&str]| json!({"deviceNodes": names.iter().map(|n| json!({"path": n, "hostPath": n})).collect::<Vec<_>>()});
    json!({
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [
            {"name": "all", "containerEdits": gpu(&["/dev/nvidia0", "/dev/nvidia1"])},
            {"name": "0", "containerEdits": gpu(&["/dev/nvidia0"])},
            {"name": "GPU-11", "containerEdits": gpu(&["/dev/nvidia0"])},
            {"name": "1", "containerEdits": gpu(&["/dev/nvidia1"])},
        ],
        "containerEdits": {
            "env": ["NVIDIA_VISIBLE_DEVICES=void"],
            "deviceNodes": [{"path": "/dev/nvidiactl"}],
            "hooks": [{"hookName": "createContainer", "path": "/nix/store/x/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook", "update-ldcache"]}],
            "mounts": [{"hostPath": "/run/opengl-driver", "containerPath": "/run/opengl-driver", "options": ["ro", "nosuid", "nodev", "bind"]}],
        },
    })
}

#[test]
fn one_device_under_several_names_is_given_once() {
    let registry = Registry::of(&[folder(&[nvidia()])]);
    assert_eq!(names(&registry), ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]);
    assert_eq!(registry.problems, Vec::<String>::new());
    // Parts of one device that share a file with each other are devices of their own.
    let part = |name: &str, n: u8| {
        let nodes = json!([{"path": "/dev/nvidia0"}, {"path": format!("/dev/nvidia-caps/nvidia-cap{n}")}]);
        json!({"name": name, "containerEdits": {"deviceNodes": nodes}})
    };
    let registry = Registry::of(&[folder(&[file("nvidia.com/gpu", &[part("0:0", 1), part("0:1", 2)])])]);
    assert_eq!(names(&registry).len(), 2);
}

#[test]
fn a_container_gets_what_its_devices_need_together() {
    let registry = Registry::of(&[folder(&[nvidia()])]);
    let devices: Vec<_> = registry.devices().collect();
    let edits = registry.edits(devices.iter().map(|d| (&d.kind, d.name.as_str()))).unwrap();
    let nodes: Vec<&str> = edits.nodes.iter().map(|n| n.host_path.as_str()).collect();
    assert_eq!(nodes, ["/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia1"]);
    assert_eq!((edits.hooks.len(), edits.mounts.len(), edits.env["NVIDIA_VISIBLE_DEVICES"].as_str()), (1, 1, "void"));
    assert!(edits.mounts[0].read_only && edits.nodes[0].read && edits.nodes[0].write);
    let one = registry.edits([(&devices[1].kind, "1")]).unwrap();
    assert_eq!(one.nodes.iter().map(|n| n.path.as_str()).collect::<Vec<_>>(), ["/dev/nvidiactl", "/dev/nvidia1"]);
    assert_eq!(registry.edits([(&devices[0].kind, "7")]).unwrap_err(), "device nvidia.com/gpu=7: no file has it any more");
}

#[test]
fn a_later_folder_counts_and_two_files_of_one_folder_do_not() {
    let (old, new) = (file("v.com/c", &[device("0", "/dev/old"), device("1", "/dev/one")]), file("v.com/c", &[device("0", "/dev/new")]));
    let registry = Registry::of(&[folder(std::slice::from_ref(&old)), folder(std::slice::from_ref(&new))]);
    assert_eq!(names(&registry), ["v.com/c=0", "v.com/c=1"]);
    let zero = registry.devices().next().unwrap();
    assert_eq!(registry.host_paths(zero).collect::<Vec<_>>(), ["/dev/new"]);
    // Beside each other, the device that both have is nobody's.
    let registry = Registry::of(&[folder(&[old, new])]);
    assert_eq!(names(&registry), ["v.com/c=1"]);
    assert_eq!(registry.problems, ["f1.json and f0.json both have device v.com/c=0: neither is used"]);
}

#[test]
fn a_broken_file_is_named_and_the_others_count() {
    let mut files = folder(&[file("v.com/c", &[device("0", "/dev/d0")])]);
    files.push(("broken.json".to_owned(), read("{\"cdiVersion\": \"1.0.0\"")));
    let registry = Registry::of(&[files]);
    assert_eq!(names(&registry), ["v.com/c=0"]);
    let [problem] = registry.problems.as_slice() else { panic!("{:?}", registry.problems) };
    assert!(problem.starts_with("broken.json is no specification of devices: EOF while parsing"), "{problem}");
}

#[test]
fn what_floe_does_not_do_is_refused_by_name_device_by_device() {
    let obstacle = |at: &str, key: &str, value: Value| {
        let mut file = file("v.com/c", &[device("0", "/dev/d0"), device("1", "/dev/d1")]);
        let shared = at == "/containerEdits";
        if shared {
            file["containerEdits"] = json!({});
        }
        file.pointer_mut(at).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
        let registry = Registry::of(&[folder(&[file])]);
        let found: Vec<_> = registry.devices().map(|d| d.obstacle.clone()).collect();
        assert_eq!((found[1].is_some(), found.len()), (shared, 2), "{found:?}");
        let words = found[0].clone().unwrap();
        let kind = registry.devices().next().unwrap().kind.clone();
        assert_eq!(registry.edits([(&kind, "0")]).unwrap_err(), format!("device v.com/c=0: {words}"));
        words
    };
    let own = "/devices/0/containerEdits";
    assert_eq!(obstacle("/containerEdits", "intelRdt", json!({"closID": "x"})), "not supported yet: intelRdt");
    assert_eq!(obstacle(own, "netDevices", json!([{"hostInterfaceName": "eth0", "name": "eth1"}])), "not supported yet: netDevices");
    for name in ["prestart", "createRuntime", "startContainer", "poststart", "poststop"] {
        let want = format!("not supported yet: hook {name} (\"/bin/h\"); of the hooks floe runs createContainer");
        assert_eq!(obstacle(own, "hooks", json!([{"hookName": name, "path": "/bin/h"}])), want);
    }
    let mount = |more: Value| {
        let mut mount = json!({"hostPath": "/a", "containerPath": "/b"});
        mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([mount])
    };
    assert_eq!(obstacle(own, "mounts", mount(json!({"type": "tmpfs"}))), "mount \"/b\": not supported yet: type \"tmpfs\"");
    assert_eq!(obstacle(own, "mounts", mount(json!({"options": ["sync"]}))), "mount \"/b\": not supported yet: option \"sync\"");
    let node = |node: Value| json!([node, {"path": "/dev/d0"}]);
    assert_eq!(
        obstacle(own, "deviceNodes", node(json!({"path": "/dev/p", "type": "p"}))),
        "device node \"/dev/p\": not supported yet: pipes"
    );
    assert_eq!(
        obstacle(own, "deviceNodes", node(json!({"path": "/x"}))),
        "device node \"/x\": not supported yet: device nodes outside of /dev"
    );
    assert_eq!(
        obstacle(own, "deviceNodes", node(json!({"path": "/dev/p", "major": -1}))),
        "device node \"/dev/p\": its numbers must not be negative"
    );
}

#[test]
fn every_field_is_understood() {
    let full = json!({
        "cdiVersion": "1.1.0", "kind": "vendor.com/net-class_1", "annotations": {"model": "X", "a": "1"},
        "devices": [{"name": "0.1:b-c_d", "annotations": {"a": "2"}, "containerEdits": {
            "env": ["A=b=c"],
            "deviceNodes": [{"path": "/dev/x", "hostPath": "/dev/y", "type": "b", "major": 7, "fileMode": 432, "permissions": "r", "uid": 1, "gid": 2}],
            "mounts": [{"hostPath": "/a", "containerPath": "/b", "options": ["rbind", "rprivate", "noexec"], "type": "bind"}],
            "hooks": [{"hookName": "createContainer", "path": "/h", "args": ["h", "x"], "env": ["C=d"], "timeout": 3}],
            "additionalGids": [0, 44],
        }}],
    });
    let registry = Registry::of(&[folder(&[full])]);
    let device = registry.devices().next().unwrap();
    assert_eq!((device.annotations["a"].as_str(), device.annotations["model"].as_str()), ("2", "X"));
    let edits = registry.edits([(&device.kind, device.name.as_str())]).unwrap();
    let node = &edits.nodes[0];
    assert_eq!(
        (node.node_type, node.numbers, node.mode, node.owner),
        (Some(NodeType::Block), Some((7, 0)), Some(0o660), (Some(1), Some(2)))
    );
    assert!(node.read && !node.write);
    let mount = &edits.mounts[0];
    assert!(mount.no_exec && !mount.read_only);
    let hook = &edits.hooks[0];
    assert_eq!((hook.args.len(), hook.env.len(), hook.timeout_s), (2, 1, Some(3)));
    assert_eq!((edits.groups, edits.env["A"].as_str()), (vec![44], "b=c"));
}

#[test]
fn what_is_malformed_is_said() {
    let edits = "/devices/0/containerEdits";
    for (at, key, value, want) in [
        ("", "cdiVersion", json!("0.2.0"), "cdiVersion \"0.2.0\" is not understood: 0.3.0 to 1.1.0 are"),
        ("", "cdiVersion", json!("1.2.0"), "cdiVersion \"1.2.0\" is not understood: 0.3.0 to 1.1.0 are"),
        ("", "cdiVersion", json!("1.0"), "cdiVersion \"1.0\" is not understood: 0.3.0 to 1.1.0 are"),
        ("", "kind", json!("gpu"), "kind \"gpu\" must be vendor/class, for example \"nvidia.com/gpu\""),
        ("", "kind", json!("1v/c"), "kind \"1v/c\" must be vendor/class, for example \"nvidia.com/gpu\""),
        ("", "devices", json!([]), "has no devices"),
        ("", "devices", json!([{"name": "a"}, {"name": "a"}]), "device \"a\": is there more than once"),
        ("/devices/0", "name", json!("a/b"), "device \"a/b\": its name must be letters, digits, and _ - . : between them"),
        (edits, "env", json!(["A"]), "device \"0\": env \"A\" must be NAME=value"),
        (edits, "deviceNodes", json!([{"path": "dev"}]), "device \"0\": path of a device node \"dev\" must be absolute, without '..'"),
        (
            edits,
            "deviceNodes",
            json!([{"path": "/dev/../x"}]),
            "device \"0\": path of a device node \"/dev/../x\" must be absolute, without '..'",
        ),
        (
            edits,
            "deviceNodes",
            json!([{"path": "/dev/x", "type": "z"}]),
            "device \"0\": device node \"/dev/x\": type \"z\" must be b, c, u or p",
        ),
        (
            edits,
            "deviceNodes",
            json!([{"path": "/dev/x", "permissions": "rx"}]),
            "device \"0\": device node \"/dev/x\": permissions \"rx\" must be of r, w and m",
        ),
        (edits, "hooks", json!([{"hookName": "later", "path": "/h"}]), "device \"0\": hook \"later\" is unknown"),
        (
            edits,
            "hooks",
            json!([{"hookName": "createContainer", "path": "/h", "timeout": 0}]),
            "device \"0\": hook \"/h\": timeout must be more than 0 seconds",
        ),
    ] {
        assert_eq!(with(at, key, value).unwrap_err(), want);
    }
    let unknown = with(edits, "deviceNode", json!([])).unwrap_err();
    assert!(unknown.starts_with("is no specification of devices: unknown field `deviceNode`"), "{unknown}");
}

#[test]
fn bounds_hold_at_the_bound_and_one_past_it() {
    let edits = "/devices/0/containerEdits";
    with(edits, "env", json!(vec!["A=b"; MAX_LIST])).unwrap();
    assert!(with(edits, "env", json!(vec!["A=b"; MAX_LIST + 1])).unwrap_err().contains("env must be at most"));
    with(edits, "env", json!([format!("A={}", "x".repeat(MAX_TEXT_BYTES - 2))])).unwrap();
    assert!(
        with(edits, "env", json!([format!("A={}", "x".repeat(MAX_TEXT_BYTES - 1))])).unwrap_err().contains("must be at most 4096 bytes")
    );
    let text = file("v.com/c", &[device("0", "/dev/d0")]).to_string();
    let padded = |n: usize| format!("{text}{}", " ".repeat(n - text.len()));
    read(&padded(MAX_FILE_BYTES)).unwrap();
    assert!(read(&padded(MAX_FILE_BYTES + 1)).unwrap_err().contains("is larger than"));
    let devices =
        |n: usize, kind: &str| file(kind, &(0..n).map(|i| device(&format!("{i:04}"), &format!("/dev/{kind}{i}"))).collect::<Vec<_>>());
    let at = Registry::of(&[folder(&[devices(MAX_DEVICES, "a.com/c")])]);
    assert_eq!((at.devices().count(), at.problems.len()), (MAX_DEVICES, 0));
    let past = Registry::of(&[folder(&[devices(MAX_DEVICES, "a.com/c"), devices(1, "b.com/c")])]);
    assert_eq!(past.problems, ["1 devices are left out: a node has at most 1024"]);
    assert_eq!(past.devices().count(), MAX_DEVICES);
}

proptest! {
    /// Whatever the text: no panic, and an error has words.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        if let Err(why) = read(&text) {
            prop_assert!(!why.is_empty());
        }
    }

    /// No two devices that may be given have the same device file alone.
    #[test]
    fn no_device_is_given_under_two_names(sets in prop::collection::vec(prop::collection::btree_set(0..4u8, 0..4), 1..8)) {
        let devices: Vec<Value> = sets.iter().enumerate().map(|(i, nodes)| {
            let nodes: Vec<Value> = nodes.iter().map(|n| json!({"path": format!("/dev/d{n}")})).collect();
            json!({"name": format!("n{i}"), "containerEdits": {"deviceNodes": nodes}})
        }).collect();
        let registry = Registry::of(&[folder(&[file("v.com/c", &devices)])]);
        let kept: Vec<std::collections::BTreeSet<&str>> = registry.devices().map(|d| registry.host_paths(d).collect()).collect();
        for (i, a) in kept.iter().enumerate() {
            for b in kept.iter().skip(i + 1).filter(|b| !b.is_empty() && !a.is_empty()) {
                prop_assert!(!a.is_subset(b) && !b.is_subset(a), "{a:?} {b:?}");
            }
        }
    }
}
