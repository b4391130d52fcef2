//! `floe up`: from a file to a page, and nothing left behind however it ends.

use crate::{
    command::Running,
    traffic::{page, wait_page},
    world::{HOST, World, world_with_defaults},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{net::Ipv4Addr, os::unix::process::ExitStatusExt, process::Stdio, thread, time::Duration};

/// The port of the example's page.
const PORT: u16 = 8080;

fn example(name: &str) -> String {
    format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn up(world: &World, arguments: &[&str]) -> Running {
    let example = example("hello.nix");
    let mut all = vec!["up", example.as_str()];
    all.extend(arguments);
    Running::start(world.command(&all))
}

fn comes_up_once(file: &str) {
    world_with_defaults(|world| {
        let running = Running::start(world.command(&["up", &example(file), "--once"]));
        let page = wait_page(HOST, PORT);
        assert!(page.contains("<h1>Hello from floe</h1>") && page.contains("<dt>Job</dt><dd>hello</dd>"), "{page}");
        assert!(running.wait().success(), "{}", running.stdout());
        let said = running.stdout();
        for word in
            ["agent ready", "submitted", "placed", "ready:", "started", "healthy", "http://127.0.0.1:8080", "nothing is left behind"]
        {
            assert!(said.contains(word), "{word:?} is not in:\n{said}");
        }
    });
}

#[test]
fn the_example_in_nix_comes_up_once() {
    comes_up_once("hello.nix");
}

#[test]
fn the_example_in_hcl_comes_up_once() {
    comes_up_once("hello.hcl");
}

#[test]
fn the_example_in_json_comes_up_once() {
    comes_up_once("hello.json");
}

#[test]
fn the_page_is_served_until_ctrl_c() {
    world_with_defaults(|world| {
        let running = up(world, &[]);
        let said = running.wait_for("Press Ctrl-C");
        assert!(said.contains(&format!("http://{HOST}:{PORT}")), "{said}");
        let curl = |url: &str| crate::command::run(world.program("curl", &["--silent", "--fail", "--max-time", "10", url])).ok();
        assert!(curl("http://127.0.0.1:8080/").contains("Hello from floe"));
        assert!(world.outside(|| page(HOST, PORT)).is_some_and(|p| p.contains("Hello from floe")));
        running.signal(Signal::SIGINT);
        assert!(running.wait().success());
        assert!(page(Ipv4Addr::LOCALHOST, PORT).is_none());
    });
}

#[test]
fn ctrl_c_at_any_moment_leaves_nothing() {
    world_with_defaults(|world| {
        for delay_ms in [5, 60, 120, 200, 300, 450, 700, 1000] {
            let running = up(world, &[]);
            // This sleep chooses the moment; nothing waits for anything with it.
            thread::sleep(Duration::from_millis(delay_ms));
            running.signal(Signal::SIGINT);
            let status = running.wait();
            // Before anything was started there is nothing to take away, and the signal may simply end the process.
            let ended_well = status.success() || (status.signal() == Some(Signal::SIGINT as i32) && running.stdout().is_empty());
            assert!(ended_well, "after {delay_ms} ms: {status}\n{}", running.stdout());
            world.check_nothing_left();
        }
    });
}

#[test]
fn what_a_killed_one_left_goes_with_the_next() {
    world_with_defaults(|world| {
        let first = up(world, &[]);
        first.wait_for("Press Ctrl-C");
        first.signal(Signal::SIGKILL);
        first.wait();
        // Its task runs on: nobody was there to end it.
        assert!(page(HOST, PORT).is_some());
        let second = up(world, &["--once"]);
        assert!(second.wait().success(), "{}", second.stdout());
    });
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_leave_things_behind() {
    world_with_defaults(|world| {
        let mut command = world.command(&["up", &example("hello.nix")]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        wait_page(HOST, PORT);
        // A terminal that is closed says so with this signal.
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGHUP).unwrap();
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn state_that_is_kept_is_found_again() {
    world_with_defaults(|world| {
        let data = world.dir().join("kept");
        let arguments = ["-data-dir", data.to_str().unwrap(), "--once"];
        let first = up(world, &arguments);
        assert!(first.wait().success(), "{}", first.stdout());
        world.check_nothing_left();
        let second = up(world, &arguments);
        assert!(second.wait().success(), "{}", second.stdout());
    });
}

#[test]
fn a_second_one_beside_it_is_refused_in_words() {
    world_with_defaults(|world| {
        let first = up(world, &[]);
        first.wait_for("Press Ctrl-C");
        crate::command::run(world.command(&["up", &example("hello.nix"), "--once"])).fails(1, &["another floe agent", "stop"]);
        assert!(page(HOST, PORT).is_some());
        first.signal(Signal::SIGTERM);
        assert!(first.wait().success());
    });
}

#[test]
fn a_batch_job_runs_to_its_end_and_its_failure_is_the_exit_code() {
    world_with_defaults(|world| {
        for (script, code) in [("exit 0", Some(0)), ("exit 3", Some(2))] {
            let job = crate::job::batch("once", script);
            let file = world.file("once.json", serde_json::json!({ "Job": job.json() }).to_string());
            let running = Running::start(world.command(&["up", file.to_str().unwrap(), "--once"]));
            assert_eq!(running.wait().code(), code, "{}", running.stdout());
        }
    });
}
