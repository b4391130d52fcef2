//! Tasks from start to end, with real processes: exit statuses, signals, output, errors in words, agents and shims that die.
//! Needs root and cgroups; every test checks that nothing is left.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use floe_runtime::{Attached, Driver, ProcessId, Signal, SignalError, SpawnError, TaskHandle, destroy, reap_leftovers, reattach, spawn};
use support::{Fixture, PATIENCE, TestMount, eventually, shim_exe};

const BOTH: [Driver; 2] = [Driver::Exec, Driver::RawExec];

#[test]
fn exit_codes_and_both_streams() {
    for driver in BOTH {
        let fixture = Fixture::new("codes");
        let status = fixture.run(&fixture.spec(driver, "/bin/sh", &["-c", "echo out; echo err >&2; exit 42"]));
        assert_eq!((status.exit_code, status.signal, status.oom_killed, status.error.clone()), (42, 0, false, None));
        assert!(!status.is_success() && status.finished_at_ns > 0);
        assert_eq!((fixture.stdout().as_str(), fixture.stderr().as_str()), ("out\n", "err\n"));
    }
}

#[test]
fn a_signal_ends_a_program_that_has_no_handler() {
    for driver in BOTH {
        let fixture = Fixture::new("signal");
        let (handle, process) = fixture.start(&fixture.spec(driver, "sleep", &["1000"]));
        process.signal(Signal::TERMINATE).unwrap();
        let status = fixture.finish(&handle);
        assert_eq!((status.exit_code, status.signal), (0, libc::SIGTERM), "{driver:?}");
        assert!(matches!(process.signal(Signal::TERMINATE), Err(SignalError::Ended { .. })));
    }
}

#[test]
fn a_signal_reaches_a_handler() {
    for driver in BOTH {
        let fixture = Fixture::new("handler");
        // dash loses a signal that comes while it starts a program, so it waits for one that runs.
        let script = "trap 'echo got it; exit 7' HUP; sleep 1000 & echo ready; wait";
        let (handle, process) = fixture.start(&fixture.spec(driver, "/bin/sh", &["-c", script]));
        fixture.wait_for_output("ready");
        process.signal("SIGHUP".parse().unwrap()).unwrap();
        assert_eq!(fixture.finish(&handle).exit_code, 7);
        assert_eq!(fixture.stdout(), "ready\ngot it\n");
    }
}

#[test]
fn a_tree_that_ignores_signals_is_killed_as_a_whole() {
    for driver in BOTH {
        let fixture = Fixture::new("tree");
        let script = "trap '' TERM INT HUP; for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000; sleep 1000' & done; echo ready; sleep 1000; sleep 1000";
        let (handle, process) = fixture.start(&fixture.spec(driver, "/bin/sh", &["-c", script]));
        fixture.wait_for_output("ready");
        eventually("ten processes", || fixture.processes().len() >= 10);
        process.signal(Signal::TERMINATE).unwrap();
        assert!(process.try_exit().is_none() && fixture.processes().len() >= 10);
        process.kill_all();
        assert_eq!(fixture.finish(&handle).signal, libc::SIGKILL);
        assert_eq!(fixture.processes(), Vec::<String>::new());
    }
}

#[test]
fn what_the_main_process_leaves_is_killed() {
    for driver in BOTH {
        let fixture = Fixture::new("orphans");
        let status = fixture.run(&fixture.spec(driver, "/bin/sh", &["-c", "for i in 1 2 3; do setsid sleep 1000 & done; exit 5"]));
        assert_eq!(status.exit_code, 5);
        assert_eq!(fixture.processes(), Vec::<String>::new());
    }
}

#[test]
fn the_task_outlives_the_agent_and_is_found_again() {
    for driver in BOTH {
        let fixture = Fixture::new("agent");
        // The agent is a process of its own that is killed; the environment variables tell this test binary to play it.
        let spec =
            fixture.spec(driver, "/bin/sh", &["-c", "echo ready; read x < /alloc/data/go 2>/dev/null || read x < $GO; echo $x; exit 9"]);
        let mut spec = spec;
        let fifo = fixture.path("alloc/data/go");
        assert!(Command::new("mkfifo").args(["-m", "666"]).arg(&fifo).status().unwrap().success());
        spec.env.insert("GO".to_owned(), fifo.to_str().unwrap().to_owned());
        fs::write(fixture.path("spec.json"), serde_json::to_vec(&spec).unwrap()).unwrap();
        let mut agent = Command::new(std::env::current_exe().unwrap())
            .args(["play_agent", "--exact", "--ignored", "--nocapture"])
            .env("FLOE_TEST_AGENT_DIR", fixture.root.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        eventually("the agent's handle", || fixture.path("handle.json").exists());
        let handle: TaskHandle = serde_json::from_slice(&fs::read(fixture.path("handle.json")).unwrap()).unwrap();
        fixture.wait_for_output("ready");
        let before = fixture.running(&handle).started().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();

        let process = fixture.running(&handle);
        assert_eq!(process.started().unwrap(), before);
        assert!(before.task.is_running());
        fs::write(&fifo, "hello\n").unwrap();
        assert_eq!(fixture.finish(&handle).exit_code, 9);
        assert_eq!(fixture.stdout(), "ready\nhello\n");
    }
}

/// Not a test: the agent of `the_task_outlives_the_agent_and_is_found_again`, which starts it and kills it.
#[test]
#[ignore = "played by another test in a process of its own"]
fn play_agent() {
    let root = std::path::PathBuf::from(std::env::var("FLOE_TEST_AGENT_DIR").unwrap());
    let spec = serde_json::from_slice(&fs::read(root.join("spec.json")).unwrap()).unwrap();
    let handle = spawn(&spec, &root.join("shim"), shim_exe()).unwrap();
    fs::write(root.join("handle.new"), serde_json::to_vec(&handle).unwrap()).unwrap();
    fs::rename(root.join("handle.new"), root.join("handle.json")).unwrap();
    std::thread::sleep(PATIENCE);
}

#[test]
fn a_killed_shim_takes_its_task_along_and_the_task_is_lost() {
    for driver in BOTH {
        let fixture = Fixture::new("killed");
        let (handle, process) = fixture.start(&fixture.spec(driver, "/bin/sh", &["-c", "setsid sleep 1000 & echo ready; sleep 1000"]));
        fixture.wait_for_output("ready");
        kill(handle.shim.pid);
        assert!(process.wait(PATIENCE).unwrap());
        assert!(process.try_exit().is_none());
        match reattach(&handle).unwrap() {
            Attached::Lost { reason } => assert!(reason.contains("was killed"), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(fixture.processes(), Vec::<String>::new());
        assert!(!fixture.cgroup().exists());
    }
}

fn kill(pid: i32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_process_that_only_has_the_same_pid_is_left_alone() {
    let fixture = Fixture::new("reuse");
    let (handle, process) = fixture.start(&fixture.raw("sleep 1000"));
    // As after a pid was used again: the pid exists, but it is not the process that was meant.
    let impostor = TaskHandle { shim: ProcessId { start_time: handle.shim.start_time - 1, ..handle.shim.clone() }, ..handle.clone() };
    assert!(matches!(reattach(&impostor).unwrap(), Attached::Lost { .. }));
    assert!(matches!(reattach(&handle).unwrap(), Attached::Running(_)), "the impostor's end must not touch the task of today");

    let started = fixture.shim_dir().join("started.json");
    let text = fs::read_to_string(&started).unwrap();
    let task = process.started().unwrap().task;
    fs::write(
        &started,
        text.replacen(&format!("\"start_time\":{}", task.start_time), &format!("\"start_time\":{}", task.start_time + 1), 1),
    )
    .unwrap();
    assert!(matches!(process.signal(Signal::KILL), Err(SignalError::Ended { .. })));
    assert!(task.is_running());
    process.kill_all();
    assert_eq!(fixture.finish(&handle).signal, libc::SIGKILL);
}

#[test]
fn after_a_reboot_the_task_is_lost() {
    let fixture = Fixture::new("reboot");
    let (handle, process) = fixture.start(&fixture.raw("sleep 1000"));
    process.kill_all();
    fixture.finish(&handle);
    fs::remove_file(fixture.shim_dir().join("exit.json")).unwrap();
    let earlier = TaskHandle { shim: ProcessId { boot_id: "0".to_owned(), ..handle.shim.clone() }, ..handle };
    fs::remove_file(fixture.shim_dir().join("handle.json")).unwrap();
    match reattach(&earlier).unwrap() {
        Attached::Lost { reason } => assert!(reason.contains("machine was restarted"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sigterm_to_the_shim_stops_the_task_with_its_own_signal() {
    for driver in BOTH {
        let fixture = Fixture::new("shutdown");
        let mut spec = fixture.spec(driver, "/bin/sh", &["-c", "trap 'exit 3' USR1; sleep 1000 & echo ready; wait"]);
        spec.kill_signal = "SIGUSR1".parse().unwrap();
        let (handle, _process) = fixture.start(&spec);
        fixture.wait_for_output("ready");
        assert!(Command::new("kill").args(["-TERM", &handle.shim.pid.to_string()]).status().unwrap().success());
        assert_eq!(fixture.finish(&handle).exit_code, 3);
    }
}

#[test]
fn commands_that_cannot_run_are_explained() {
    for driver in BOTH {
        let fixture = Fixture::new("command");
        let refused = |command: &str| match fixture.refused(&fixture.spec(driver, command, &[])) {
            SpawnError::Task(text) => text,
            other => panic!("{other:?}"),
        };
        let local = |name: &str, content: &str, mode: u32| {
            let path = fixture.path("web/local").join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        local("plain", "#!/bin/sh\n", 0o644);
        local("lost", "#!/no/such/interpreter\n", 0o755);
        local("garbage", "\x7fNOT", 0o755);
        assert!(refused("no-such-command").contains("command \"no-such-command\" was not found in the task's file system (searched"));
        assert!(refused("local/nothing").contains("was not found"));
        assert!(refused("local/plain").contains("is not executable: set its mode"));
        assert!(refused("local/lost").contains("interpreter"));
        assert!(refused("local/garbage").contains("not a program"));
        assert!(refused("/usr").contains("is a directory"));
        assert_eq!(fixture.processes(), Vec::<String>::new());
    }
}

#[test]
fn scripts_in_local_run_by_every_kind_of_path() {
    for driver in BOTH {
        let fixture = Fixture::new("script");
        let path = fixture.path("web/local/app.sh");
        fs::write(&path, "#!/bin/sh\necho run as $0\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(fixture.run(&fixture.spec(driver, "local/app.sh", &[])).is_success());
        assert!(fixture.run(&fixture.spec(driver, "app.sh", &[])).is_success());
        assert_eq!(fixture.stdout().lines().count(), 2);
    }
}

#[test]
fn the_environment_is_exact_and_the_working_directory_too() {
    for driver in BOTH {
        let fixture = Fixture::new("env");
        let mut spec = fixture.spec(driver, "/usr/bin/env", &[]);
        spec.env.insert("A".to_owned(), "1=2\n3".to_owned());
        assert!(fixture.run(&spec).is_success());
        let expected: String = spec.env.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(sorted(&fixture.stdout()), sorted(&expected));

        let fixture = Fixture::new("cwd");
        let mut spec = fixture.spec(driver, "/bin/sh", &["-c", "pwd"]);
        let root = spec.task_root();
        assert!(fixture.run(&spec).is_success());
        spec.work_dir = Some(spec.seen_dirs().local);
        assert!(fixture.run(&spec).is_success());
        assert_eq!(fixture.stdout(), format!("{}\n{}\n", root.display(), spec.seen_dirs().local.display()));
        for (dir, words) in [("/no/such/directory", "does not exist"), ("/usr/bin/env", "is not a directory")] {
            spec.work_dir = Some(dir.into());
            let refused = fixture.refused(&spec).to_string();
            assert!(refused.contains(dir) && refused.contains(words), "{refused}");
        }
    }
}

#[test]
fn output_of_a_restarted_task_continues_and_rotates() {
    let fixture = Fixture::new("logs");
    let mut spec = fixture.raw("for i in $(seq 1 100); do echo line $i; done");
    spec.logs.max_files = 3;
    spec.logs.max_file_bytes = 200;
    assert!(fixture.run(&spec).is_success());
    let count = |stream: &str| {
        fs::read_dir(fixture.path("alloc/logs"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().contains(stream))
            .count()
    };
    assert_eq!((count("stdout"), count("stderr")), (3, 1));
    assert!(fixture.stdout().ends_with("line 99\nline 100\n"));
    assert!(fixture.run(&spec).is_success());
    assert!(fixture.stdout().ends_with("line 100\n") && count("stdout") == 3);
}

#[test]
fn endless_output_neither_fills_the_disk_nor_delays_the_end() {
    for driver in BOTH {
        let fixture = Fixture::new("endless");
        let mut spec = fixture.spec(driver, "/bin/sh", &["-c", "yes & yes >&2 & exec yes"]);
        spec.logs.max_files = 2;
        spec.logs.max_file_bytes = 100_000;
        let (handle, process) = fixture.start(&spec);
        let rotated = |stream: &str| {
            let prefix = format!("web.{stream}.");
            fs::read_dir(fixture.path("alloc/logs")).unwrap().flatten().any(|entry| {
                entry.file_name().to_str().unwrap().strip_prefix(&prefix).is_some_and(|number| number.parse::<u32>().unwrap() >= 5)
            })
        };
        eventually("rotations of both streams", || rotated("stdout") && rotated("stderr"));
        process.kill_all();
        assert_eq!(fixture.finish(&handle).signal, libc::SIGKILL);
        let size: u64 = fs::read_dir(fixture.path("alloc/logs")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= 400_000, "{size} bytes of logs");
    }
}

#[test]
fn disabled_logs_leave_no_files() {
    let fixture = Fixture::new("nologs");
    let mut spec = fixture.exec("echo hello; echo hello >&2");
    spec.logs.disabled = true;
    assert!(fixture.run(&spec).is_success());
    assert_eq!(fs::read_dir(fixture.path("alloc/logs")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_loses_output_but_not_the_task() {
    let fixture = Fixture::new("full");
    let disk = TestMount::new("tmpfs", "size=64k", fixture.path("small"));
    let fifo = fixture.path("web/local/go");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut spec = fixture.raw("head -c 200000 /dev/zero | tr '\\0' 'x'; echo; echo written > $DONE; read x < $GO; echo after; exit 4");
    spec.env.insert("GO".to_owned(), fifo.to_str().unwrap().to_owned());
    spec.env.insert("DONE".to_owned(), fixture.path("web/local/done").to_str().unwrap().to_owned());
    spec.logs.dir = disk.path().to_owned();
    let (handle, _process) = fixture.start(&spec);
    eventually("all output written", || fixture.path("web/local/done").exists());
    let log = disk.path().join("web.stdout.0");
    eventually("a full file system", || fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 30_000));
    // Room again: empty the file that is open.
    fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    fs::write(&fifo, "go\n").unwrap();
    let status = fixture.finish(&handle);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(status.exit_code, 4);
    assert!(text.contains("bytes of output were lost here: No space left on device") && text.ends_with("after\n"), "{text}");
}

#[test]
fn a_second_start_in_the_same_directory_waits_for_the_first_to_end() {
    let fixture = Fixture::new("twice");
    let spec = fixture.raw("sleep 1000");
    let (handle, process) = fixture.start(&spec);
    assert!(matches!(fixture.refused(&spec), SpawnError::AlreadyRuns { .. }));
    process.kill_all();
    fixture.finish(&handle);
    assert!(fixture.run(&fixture.raw("exit 0")).is_success());
}

#[test]
fn destroy_ends_a_running_task_and_may_be_repeated() {
    for driver in BOTH {
        let fixture = Fixture::new("destroy");
        let (handle, process) = fixture.start(&fixture.spec(driver, "sleep", &["1000"]));
        destroy(&fixture.shim_dir()).unwrap();
        assert!(process.wait(PATIENCE).unwrap());
        destroy(&fixture.shim_dir()).unwrap();
        assert!(!fixture.cgroup().exists(), "{driver:?}");
        assert_eq!(fixture.processes(), [""; 0], "{driver:?}");
        assert!(matches!(reattach(&handle).unwrap(), Attached::Lost { .. }));
    }
}

#[test]
fn leftovers_of_killed_shims_are_reaped_and_known_tasks_are_not() {
    let fixture = Fixture::new("leftovers");
    let root = fixture.path("shims");
    let start = |name: &str| {
        let mut spec = fixture.exec("sleep 1000");
        spec.id = format!("{}-{name}", fixture.id);
        (spec.id.clone(), spawn(&spec, &root.join(name), shim_exe()).unwrap())
    };
    let (known, known_handle) = start("known");
    let (unknown, unknown_handle) = start("unknown");
    kill(unknown_handle.shim.pid);
    fs::create_dir(root.join("not-ours")).unwrap();
    let found = reap_leftovers(&root, &BTreeSet::from([known])).unwrap();
    assert_eq!((found.destroyed, found.failed), (vec![unknown], vec![]));
    assert!(!root.join("unknown").exists() && root.join("not-ours").exists());
    assert!(matches!(reattach(&known_handle).unwrap(), Attached::Running(_)));
    assert_eq!(reap_leftovers(&root, &BTreeSet::new()).unwrap().destroyed.len(), 1);
    assert!(reap_leftovers(&fixture.path("nowhere"), &BTreeSet::new()).unwrap().destroyed.is_empty());
}

#[test]
fn an_invalid_task_is_refused_before_anything_exists() {
    let fixture = Fixture::new("invalid");
    let mut spec = fixture.raw("true");
    spec.hostname = Some("x".to_owned());
    assert!(matches!(fixture.refused(&spec), SpawnError::Spec(_)));
    assert!(!fixture.shim_dir().exists());
    let mut spec = fixture.exec("true");
    spec.user = Some("no-such-user-here".to_owned());
    assert!(fixture.refused(&spec).to_string().contains("does not exist on this node"));
    spec.user = Some("70000".to_owned());
    assert!(fixture.refused(&spec).to_string().contains("not below 65536"));
    spec.user = None;
    spec.capabilities = vec!["CAP_FLY".to_owned()];
    assert!(fixture.refused(&spec).to_string().contains("unknown capability"));
}

#[test]
fn a_shim_that_cannot_work_is_reported_with_its_log() {
    let fixture = Fixture::new("broken");
    let error = spawn(&fixture.raw("true"), &fixture.shim_dir(), std::path::Path::new("/no/such/exe")).unwrap_err();
    assert!(error.to_string().contains("/no/such/exe"));
    let error = spawn(&fixture.raw("true"), &fixture.shim_dir(), std::path::Path::new("/bin/false")).unwrap_err();
    assert!(matches!(error, SpawnError::Shim { .. }));
}

#[test]
fn the_shim_pidfd_can_be_polled() {
    let fixture = Fixture::new("pidfd");
    let (handle, process) = fixture.start(&fixture.raw("sleep 1000"));
    let ready = |timeout: u16| {
        nix::poll::poll(&mut [nix::poll::PollFd::new(process.shim_pidfd().as_fd(), nix::poll::PollFlags::POLLIN)], timeout).unwrap()
    };
    assert_eq!(ready(0), 0);
    process.kill_all();
    assert_eq!(ready(30_000), 1);
    assert!(process.try_exit().is_some());
    fixture.finish(&handle);
}
