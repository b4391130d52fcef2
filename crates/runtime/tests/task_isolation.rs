//! What an `exec` task can see, reach and use up, asked from inside of it. Needs root and cgroups.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use floe_runtime::{Bind, CpuQuota, Driver, SpawnError};
use support::{Fixture, TestMount, eventually};

/// Runs a script and returns what it wrote.
fn ask(fixture: &Fixture, script: &str) -> String {
    let status = fixture.run(&fixture.exec(script));
    assert!(status.is_success(), "{status:?}: {} {}", fixture.stdout(), fixture.stderr());
    fixture.stdout()
}

#[test]
fn no_privilege_is_left() {
    let fixture = Fixture::new("status");
    let status = ask(&fixture, "cat /proc/self/status; cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g; id -G");
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {status}")).trim().to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"));
    let lines: Vec<Vec<&str>> = status.lines().rev().take(5).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[4], ["0", "100000", "65536"]);
    assert_eq!(lines[3], ["0", "100000", "65536"]);
    assert_eq!((lines[2].clone(), lines[1].clone(), lines[0].clone()), (vec!["65534"], vec!["65534"], vec!["65534"]));
}

#[test]
fn on_the_host_the_task_is_nobody_in_its_own_range() {
    let fixture = Fixture::new("hostuid");
    let mut spec = fixture.exec("sleep 1000");
    spec.id_range_start = 500_000;
    spec.user = Some("1234:5678".to_owned());
    let (handle, process) = fixture.start(&spec);
    let pid = process.started().unwrap().task.pid;
    let metadata = fs::metadata(format!("/proc/{pid}")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (501_234, 505_678));
    process.kill_all();
    fixture.finish(&handle);
}

#[test]
fn namespaces_are_its_own_but_the_network() {
    let fixture = Fixture::new("ns");
    let inside = ask(&fixture, "for n in mnt pid ipc uts cgroup user net; do echo $n $(readlink /proc/self/ns/$n); done");
    for line in inside.lines() {
        let (name, link) = line.split_once(' ').unwrap();
        let host = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_eq!(host.to_str() == Some(link), name == "net", "{line}");
    }
}

/// A named network namespace that is gone when the test ends, however it ends.
struct NetworkNamespace(String);

impl NetworkNamespace {
    fn new() -> Self {
        let name = format!("floetest{}", std::process::id());
        assert!(Command::new("ip").args(["netns", "add", &name]).status().unwrap().success(), "install iproute2");
        Self(name)
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        let deleted = Command::new("ip").args(["netns", "del", &self.0]).status();
        assert!(std::thread::panicking() || deleted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn the_network_namespace_is_joined_by_path() {
    let fixture = Fixture::new("netns");
    let namespace = NetworkNamespace::new();
    for driver in [Driver::Exec, Driver::RawExec] {
        let mut spec = fixture.spec(driver, "/bin/sh", &["-c", "readlink /proc/self/ns/net; ls /sys/class/net; wc -l < /proc/net/dev"]);
        spec.netns = Some(format!("/run/netns/{}", namespace.0).into());
        let status = fixture.run(&spec);
        assert!(status.is_success(), "{status:?}");
    }
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    let out = fixture.stdout();
    let lines: Vec<&str> = out.lines().collect();
    assert_ne!(lines[0], host.to_str().unwrap());
    // Two header lines and the loopback device, and sysfs agrees.
    assert!(lines[2] == "3" && lines[1] == "lo", "{out}");

    let mut spec = fixture.exec("true");
    spec.netns = Some("/run/netns/no-such-namespace".into());
    assert!(fixture.refused(&spec).to_string().contains("no-such-namespace"));
}

#[test]
fn host_processes_are_out_of_sight_and_reach() {
    let fixture = Fixture::new("procs");
    let out = ask(
        &fixture,
        "ls /proc | grep -c '^[0-9]'; kill -0 -1 2>&1; cat /proc/1/environ 2>&1 | head -c 100; ls -l /proc/1/exe /proc/1/fd 2>&1; true",
    );
    let seen: u32 = out.lines().next().unwrap().parse().unwrap();
    assert!(seen <= 6, "{out}");
    assert!(out.contains("Permission denied"), "{out}");
}

#[test]
fn the_hostname_is_its_own() {
    let fixture = Fixture::new("hostname");
    let mut spec = fixture.exec("hostname; cat /etc/hostname; cat /etc/hosts /etc/resolv.conf");
    spec.hostname = Some("web-1".to_owned());
    spec.hosts = Some("192.0.2.1 db\n".to_owned());
    spec.resolv_conf = Some("nameserver 192.0.2.53\n".to_owned());
    assert!(fixture.run(&spec).is_success());
    assert_eq!(fixture.stdout(), "web-1\nweb-1\n192.0.2.1 db\nnameserver 192.0.2.53\n");
    assert_ne!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim(), "web-1");
}

#[test]
fn kernel_interfaces_are_closed_even_for_its_root() {
    let fixture = Fixture::new("closed");
    let script = "try() { \"$@\" >/dev/null 2>&1 && echo \"OPEN: $*\"; }
        try mount -t tmpfs x /tmp; try mount -o remount,rw /; try mount --bind /tmp /usr; try umount /proc; try umount /usr
        try unshare -U true; try unshare -m true; try chroot / true; try nsenter -t 1 -m true
        try touch /usr/x; try touch /x; try touch /etc/x; try touch /etc/passwd; try touch /sys/x; try touch /run/x
        try sh -c 'echo 1 > /proc/sys/kernel/panic'; try sh -c 'echo h > /proc/sysrq-trigger'; try grep -q . /proc/kcore; try grep -q . /proc/keys
        try mknod /tmp/null c 1 3; try mknod /tmp/vda b 254 0; try dmesg; try hostname other; try date -s 2020-01-01; try swapoff -a; try ls /sys/firmware/acpi
        try sh -c 'echo 0 > /sys/fs/cgroup/memory/memory.limit_in_bytes'; try mkdir /sys/fs/cgroup/memory/x; try mkdir /sys/fs/cgroup/x
        try renice -n -5 $$; try cat /etc/shadow; try ls /root; try ls /home; cp /bin/sh /secrets/sh$(id -u); try /secrets/sh$(id -u) -c true; try rm -rf /alloc/logs/x /alloc/logs
        echo done";
    for user in [None, Some("root".to_owned())] {
        let mut spec = fixture.exec(script);
        spec.user = user;
        assert!(fixture.run(&spec).is_success());
    }
    assert_eq!(fixture.stdout(), "done\n".repeat(2));
    assert!(fs::metadata("/etc/passwd").unwrap().is_file());
}

#[test]
fn system_calls_outside_of_the_profile_fail_with_eperm() {
    let fixture = Fixture::new("seccomp");
    // Numbers of x86_64: mount, ptrace, keyctl, bpf, perf_event_open, kexec_load, init_module, swapon, reboot, setns, unshare,
    // open_by_handle_at, userfaultfd, io_uring_setup, pivot_root, clock_settime, process_vm_readv, add_key; then clone3, which is ENOSYS.
    let script = "import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for n in (165, 101, 250, 321, 298, 246, 175, 167, 169, 308, 272, 304, 323, 425, 155, 227, 310, 248, 435):
    ctypes.set_errno(0)
    r = libc.syscall(n, 0, 0, 0, 0, 0, 0)
    print(n, errno.errorcode.get(ctypes.get_errno(), 'OK'))
# clone with CLONE_NEWUSER | SIGCHLD
ctypes.set_errno(0)
print('newuser', libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0), errno.errorcode.get(ctypes.get_errno(), 'OK'))
import socket, os, threading
try:
    socket.socket(40, socket.SOCK_STREAM); print('vsock OK')
except OSError as e: print('vsock', errno.errorcode[e.errno])
socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
t = threading.Thread(target=lambda: None); t.start(); t.join()
os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)
print('ordinary work OK')
";
    let path = fixture.path("web/local/probe.py");
    fs::write(&path, script).unwrap();
    let mut spec = fixture.spec(Driver::Exec, "python3", &["/local/probe.py"]);
    spec.user = Some("root".to_owned());
    let status = fixture.run(&spec);
    assert!(status.is_success(), "install python3 to run this test: {status:?} {}", fixture.stderr());
    let out = fixture.stdout();
    let (numbers, rest) = out.split_at(out.find("newuser").unwrap());
    for line in numbers.lines() {
        let expected = if line.starts_with("435 ") { "ENOSYS" } else { "EPERM" };
        assert!(line.ends_with(expected), "{line}");
    }
    assert_eq!(rest, "newuser -1 EPERM\nvsock EPERM\nordinary work OK\n");
}

#[test]
fn devices_are_the_usual_ones() {
    let fixture = Fixture::new("dev");
    let out = ask(
        &fixture,
        "ls /dev; head -c 3 /dev/zero | wc -c; echo x > /dev/null; head -c 8 /dev/urandom | wc -c; echo ok > /dev/shm/x; cat /dev/shm/x",
    );
    for device in [
        "null", "zero", "full", "random", "urandom", "tty", "shm", "pts", "fd", "stdin", "stdout", "stderr", "ptmx", "mqueue", "3", "8",
        "ok",
    ] {
        assert!(out.lines().any(|line| line == device), "{device} in {out}");
    }
    assert!(!out.contains("vda") && !out.contains("mem\n") && out.lines().count() <= 19, "{out}");
}

#[test]
fn task_directories_belong_to_the_task_and_other_users_of_the_allocation() {
    let fixture = Fixture::new("dirs");
    fs::write(fixture.path("web/local/from-agent"), "x").unwrap();
    let script = "set -e; for d in /alloc /alloc/data /alloc/tmp /local /secrets /tmp /var/tmp; do echo hello > $d/f$(id -u); done
        stat -c '%u %a' /local /secrets /tmp; stat -c %u /local/from-agent /alloc/data/f$(id -u); stat -c %u /usr/bin";
    assert_eq!(ask(&fixture, script), "65534 755\n65534 755\n65534 755\n0\n65534\n65534\n");
    // On disk the ids are those that the task sees: volumes can move between nodes and ranges.
    assert_eq!(fs::metadata(fixture.path("alloc/data/f65534")).unwrap().uid(), 65_534);
    assert!(fixture.path("web/tmp/f65534").exists());

    let mut other = fixture.exec("set -e; echo more > /alloc/data/second; cat /alloc/data/f65534; ls /alloc/logs | grep -c web");
    other.user = Some("1000:1000".to_owned());
    other.id = format!("{}-other", fixture.id);
    let status = fixture.run(&other);
    assert!(status.is_success(), "{}", fixture.stderr());
    assert_eq!(fs::metadata(fixture.path("alloc/data/second")).unwrap().uid(), 1000);
}

#[test]
fn a_file_system_without_id_maps_is_given_to_the_task_instead() {
    // ramfs has no id-mapped mounts; tmpfs has them since Linux 6.3.
    for kind in ["ramfs", "tmpfs"] {
        let fixture = Fixture::new("noidmap");
        let secrets = TestMount::new(kind, "mode=0700", fixture.path("web/secrets"));
        assert_eq!(
            ask(&fixture, "echo hidden > /secrets/file && cat /secrets/file && stat -c %u /secrets /secrets/file"),
            "hidden\n65534\n65534\n"
        );
        let shift = if kind == "ramfs" { floe_runtime::DEFAULT_ID_RANGE_START } else { 0 };
        assert_eq!(fs::metadata(secrets.path().join("file")).unwrap().uid(), 65_534 + shift);
    }
}

#[test]
fn volumes_keep_their_owners_and_read_only_is_read_only() {
    let fixture = Fixture::new("volumes");
    for name in ["rw", "ro"] {
        fs::create_dir(fixture.path(name)).unwrap();
        fs::write(fixture.path(name).join("file"), "content\n").unwrap();
        std::os::unix::fs::chown(fixture.path(name), Some(999), Some(999)).unwrap();
        fs::set_permissions(fixture.path(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut spec = fixture.exec("cat /srv/data/file; cat /local/deep/er/ro/file; echo new > /srv/data/new && echo written; echo new > /local/deep/er/ro/new || echo refused; cat /etc/one");
    spec.user = Some("999:999".to_owned());
    fs::write(fixture.path("one"), "one file\n").unwrap();
    let bind = |source: &str, destination: &str, read_only| Bind {
        source: fixture.path(source),
        below: None,
        destination: destination.into(),
        read_only,
    };
    spec.binds = vec![bind("rw", "/srv/data", false), bind("ro", "/local/deep/er/ro", true), bind("one", "/etc/one", true)];
    fixture.run(&spec);
    assert_eq!(fixture.stdout(), "content\ncontent\nwritten\nrefused\none file\n");
    assert_eq!(fs::metadata(fixture.path("rw/new")).unwrap().uid(), 999);

    spec.binds = vec![bind("rw", "/usr/no/such/place", false)];
    match fixture.refused(&spec) {
        SpawnError::Task(text) => assert!(text.contains("/usr/no/such/place") && text.contains("choose a destination"), "{text}"),
        other => panic!("{other:?}"),
    }
    spec.binds = vec![bind("missing", "/srv/x", false)];
    let text = fixture.refused(&spec).to_string();
    assert!(text.contains("missing"), "{text}");
}

#[test]
fn a_link_planted_by_a_task_cannot_redirect_a_mount() {
    let fixture = Fixture::new("planted");
    fs::create_dir(fixture.path("volume")).unwrap();
    let outside = fixture.path("outside");
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, fixture.path("web/local/data")).unwrap();
    let mut spec = fixture.exec("true");
    spec.binds = vec![Bind { source: fixture.path("volume"), below: None, destination: "/local/data/below".into(), read_only: false }];
    // Inside the task's root the link leads to a path that does not exist there; whatever happens, nothing may appear outside.
    drop(floe_runtime::spawn(&spec, &fixture.shim_dir(), support::shim_exe()));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    if let Ok(Some(handle)) = floe_runtime::TaskHandle::load(&fixture.shim_dir()) {
        eventually("the end of the task", || !matches!(floe_runtime::reattach(&handle).unwrap(), floe_runtime::Attached::Running(_)));
    }
}

#[test]
fn capabilities_are_given_one_by_one() {
    let fixture = Fixture::new("caps");
    let mut spec = fixture.exec("grep CapEff /proc/self/status");
    spec.capabilities = vec!["net_bind_service".to_owned()];
    assert!(fixture.run(&spec).is_success());
    assert_eq!(fixture.stdout(), "CapEff:\t0000000000000400\n");
}

#[test]
fn a_task_that_takes_too_much_memory_is_killed_and_that_is_recorded() {
    let fixture = Fixture::new("oom");
    let mut spec = fixture.exec("x=a; while :; do x=$x$x; done");
    spec.resources.memory_bytes = 32 << 20;
    let status = fixture.run(&spec);
    assert!(status.oom_killed && status.signal == libc::SIGKILL, "{status:?}");
    // An ordinary SIGKILL is not mistaken for it.
    let (handle, process) = fixture.start(&fixture.exec("sleep 1000"));
    process.kill_all();
    let status = fixture.finish(&handle);
    assert!(!status.oom_killed && status.signal == libc::SIGKILL, "{status:?}");
}

#[test]
fn memory_between_reservation_and_maximum_is_allowed() {
    let fixture = Fixture::new("memmax");
    let mut spec = fixture.exec("x=$(head -c 40000000 /dev/zero | tr '\\0' x); echo ${#x}");
    spec.resources.memory_bytes = 10 << 20;
    spec.resources.memory_max_bytes = Some(128 << 20);
    assert!(fixture.run(&spec).is_success());
    spec.resources.memory_max_bytes = None;
    let status = fixture.run(&spec);
    assert!(status.oom_killed, "{status:?}");
}

#[test]
fn a_fork_bomb_is_bounded_and_can_be_killed() {
    let fixture = Fixture::new("bomb");
    let mut spec = fixture.exec("echo ready; bomb() { bomb | bomb & }; bomb; sleep 1000");
    spec.resources.pids = 40;
    let (handle, process) = fixture.start(&spec);
    fixture.wait_for_output("ready");
    eventually("the bound to be reached", || fixture.stderr().contains("fork"));
    assert!(process.stats().pids <= 40);
    process.kill_all();
    fixture.finish(&handle);
}

#[test]
fn usage_is_counted() {
    for driver in [Driver::Exec, Driver::RawExec] {
        let fixture = Fixture::new("stats");
        let (handle, process) = fixture.start(&fixture.spec(
            driver,
            "/bin/sh",
            &["-c", "sleep 1000 & i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo ready; wait"],
        ));
        fixture.wait_for_output("ready");
        let stats = process.stats();
        assert!(
            stats.cpu_ns > 1_000_000 && stats.memory_bytes > 0 && stats.memory_peak_bytes >= stats.memory_bytes && stats.pids >= 2,
            "{stats:?}"
        );
        assert_eq!(stats.oom_kills, 0);
        process.kill_all();
        fixture.finish(&handle);
        assert_eq!(process.stats(), floe_runtime::TaskStats::default());
    }
}

#[test]
fn a_hard_limit_slows_a_task_down() {
    let fixture = Fixture::new("quota");
    let mut spec = fixture.exec("while :; do :; done");
    spec.resources.cpu_quota = Some(CpuQuota { quota_us: 5_000, period_us: 50_000 });
    let (handle, process) = fixture.start(&spec);
    eventually("throttling", || process.stats().throttled_periods > 2);
    process.kill_all();
    fixture.finish(&handle);
}

#[test]
fn limits_can_be_read_inside() {
    let fixture = Fixture::new("view");
    let out = ask(&fixture, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; cat /proc/self/cgroup");
    assert_eq!(out.lines().next().unwrap(), (64u64 << 20).to_string());
    assert!(!out.contains(&fixture.id), "{out}");
}
