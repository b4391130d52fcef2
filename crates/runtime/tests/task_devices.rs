//! What devices bring along, seen from inside of a task: their files and no others, mounts, groups and hooks. Needs root and cgroups.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use floe_runtime::{DeviceMount, DeviceNode, Driver, Hook, SpawnError};
use support::Fixture;

/// What is in the `/dev` of every container.
const EVERYWHERE: &[&str] = &[
    "core", "fd", "full", "kcore", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero",
];

fn node(path: &str, host_path: &str) -> DeviceNode {
    let (node_type, numbers, mode, uid, gid) = (None, None, None, None, None);
    DeviceNode { path: path.into(), host_path: host_path.into(), node_type, numbers, mode, uid, gid, read: true, write: true }
}

fn mount(source: &Path, destination: &str) -> DeviceMount {
    DeviceMount { source: source.to_owned(), destination: destination.into(), read_only: true, no_exec: false }
}

fn hook(script: &str, timeout_s: Option<u64>) -> Hook {
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    Hook { path: "/bin/sh".into(), args, env: vec!["WHO=hook".to_owned(), "PATH=/usr/bin:/bin".to_owned()], timeout_s }
}

#[test]
fn a_task_has_the_devices_it_was_given_and_no_others() {
    let fixture = Fixture::new("nodes");
    let mut spec = fixture.exec(
        "set -e; echo x > /dev/given; cat /dev/sub/only-read; \
         if (echo x > /dev/sub/only-read) 2> /dev/null; then echo wrote; fi; if chmod 666 /dev/sub/only-read 2> /dev/null; then echo changed; fi; \
         stat -c '%t:%T %a %u' /dev/given /dev/owned /dev/sub/only-read; ls /dev /dev/sub; id -G; \
         if mknod /tmp/own c 1 3 2> /dev/null; then echo made; fi",
    );
    spec.user = Some("1000:1000".to_owned());
    spec.devices.nodes = vec![
        node("/dev/given", "/dev/zero"),
        DeviceNode { write: false, ..node("/dev/sub/only-read", "/dev/null") },
        DeviceNode { uid: Some(1000), mode: Some(0o640), ..node("/dev/owned", "/dev/full") },
        node("/dev/urandom", "/dev/urandom"),
    ];
    spec.devices.groups = vec![44];
    let status = fixture.run(&spec);
    let (out, err) = (fixture.stdout(), fixture.stderr());
    assert!(status.is_success(), "{status:?}: {out} {err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], ["1:5 666 65534", "1:7 640 1000", "1:3 444 65534"], "{out}");
    let mut others: Vec<&str> = lines[3..lines.len() - 1].iter().copied().filter(|l| !l.is_empty() && !EVERYWHERE.contains(l)).collect();
    others.sort_unstable();
    assert_eq!(others, ["/dev/sub:", "/dev:", "given", "only-read", "owned", "sub"], "{out}");
    assert_eq!(lines.last().copied(), Some("1000 44"), "{out}");
}

/// `/dev/kmsg` is nothing that a container gets by itself, so this needs what the device controller is told, where there is one.
#[test]
fn what_the_device_controller_allows_is_what_was_given() {
    let fixture = Fixture::new("rule");
    let script = "if true 2> /dev/null > /dev/log-of-kernel; then echo opened; else echo refused; fi";
    let mut spec = fixture.exec(script);
    spec.devices.nodes = vec![DeviceNode { read: false, ..node("/dev/log-of-kernel", "/dev/kmsg") }];
    assert!(fixture.run(&spec).is_success());
    assert_eq!(fixture.stdout(), "opened\n");
    // The same file with other numbers: a device that nobody was given the driver of.
    let fixture = Fixture::new("norule");
    let mut spec = fixture.exec("true > /dev/nothing");
    spec.devices.nodes = vec![DeviceNode { numbers: Some((4_000, 7)), ..node("/dev/nothing", "/dev/null") }];
    assert!(!fixture.run(&spec).is_success());
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let fixture = Fixture::new("nodevice");
    let mut spec = fixture.exec("true");
    spec.devices.nodes = vec![node("/dev/nvidia0", "/dev/floe-has-no-such-device")];
    let error = fixture.refused(&spec);
    let SpawnError::Task(words) = &error else { panic!("{error:?}") };
    assert!(words.contains("look at the device /dev/floe-has-no-such-device (is its driver loaded?)"), "{words}");
}

#[test]
fn mounts_are_there_even_inside_of_the_hosts_view() {
    let fixture = Fixture::new("devmounts");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tool"), "#!/bin/sh\necho from the driver\n").unwrap();
    fs::set_permissions(dir.path().join("tool"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut spec = fixture.exec(
        "set -e; /usr/bin/floe-driver-tool; cat /run/driver/lib/tool | head -1; ls /usr/bin/env; \
         if (echo x > /run/driver/lib/tool) 2> /dev/null; then echo wrote; fi; if (echo x > /usr/bin/new) 2> /dev/null; then echo made; fi",
    );
    spec.devices.mounts = vec![
        mount(&dir.path().join("tool"), "/usr/bin/floe-driver-tool"),
        mount(dir.path(), "/run/driver/lib"),
        mount(dir.path(), "/usr/lib/floe-driver"),
    ];
    let status = fixture.run(&spec);
    assert!(status.is_success(), "{status:?}: {} {}", fixture.stdout(), fixture.stderr());
    assert_eq!(fixture.stdout(), "from the driver\n#!/bin/sh\n/usr/bin/env\n");
    assert!(!Path::new("/usr/bin/floe-driver-tool").exists() && !Path::new("/usr/lib/floe-driver").exists(), "the host is as it was");

    let fixture = Fixture::new("nomount");
    let mut spec = fixture.exec("true");
    spec.devices.mounts = vec![mount(Path::new("/srv/floe-no-such"), "/run/x")];
    let error = fixture.refused(&spec).to_string();
    assert!(error.contains("find /srv/floe-no-such of a device to mount it at /run/x"), "{error}");
}

#[test]
fn hooks_make_the_file_system_before_the_task_starts() {
    let fixture = Fixture::new("hooks");
    let mut spec = fixture.exec("cat /etc/hooked; cat /etc/second");
    let root = "$(sed 's/.*\"root\":{\"path\":\"\\([^\"]*\\)\".*/\\1/' config.json)";
    spec.devices.hooks = vec![
        hook(&format!("cat > {root}/etc/hooked; echo >> {root}/etc/hooked; echo $WHO $# >> {root}/etc/hooked"), Some(30)),
        // Does not read what it is told.
        hook("echo second > /run/floe/shim/rootfs/etc/second", None),
    ];
    let status = fixture.run(&spec);
    let out = fixture.stdout();
    assert!(status.is_success(), "{status:?}: {out} {}", fixture.stderr());
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains("\"status\":\"creating\"") && lines[0].contains(&format!("\"id\":\"{}\"", spec.id)), "{out}");
    assert_eq!(lines[1..], ["hook 0", "second"]);
}

#[test]
fn a_hook_that_fails_or_does_not_end_is_named_with_what_it_said() {
    for (script, timeout, want) in [
        ("echo no driver >&2; exit 3", None, "exit status: 3: no driver"),
        ("echo waits >&2; sleep 1000 & wait", Some(1), "it took longer than 1 s: waits"),
    ] {
        let fixture = Fixture::new("badhook");
        let mut spec = fixture.exec("true");
        spec.devices.hooks = vec![hook(script, timeout)];
        let error = fixture.refused(&spec);
        let SpawnError::Task(words) = &error else { panic!("{error:?}") };
        assert!(words.contains("run the device's hook /bin/sh") && words.contains(want), "{words}");
    }
}

#[test]
fn plain_processes_get_no_devices() {
    let fixture = Fixture::new("rawdev");
    let mut spec = fixture.exec("true");
    spec.driver = Driver::RawExec;
    spec.devices.groups = vec![44];
    let error = fixture.refused(&spec).to_string();
    assert!(error.contains("devices is not supported by the raw_exec driver"), "{error}");
}
