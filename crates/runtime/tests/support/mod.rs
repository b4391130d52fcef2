//! A task's directories, a way to run tasks in them, and a check that nothing of them is left on the machine afterwards.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use floe_runtime::{
    Attached, Cgroup, Driver, ExitStatus, LogSpec, SpawnError, TaskDirs, TaskHandle, TaskProcess, TaskSpec, destroy, reattach, spawn,
};

pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn shim_exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_floe-shim"))
}

pub struct Fixture {
    pub root: tempfile::TempDir,
    pub id: String,
    parent: String,
}

impl Fixture {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // The directory is closed to everybody else, like a data directory below /root.
        let root = tempfile::tempdir().unwrap();
        for dir in ["alloc/data", "alloc/logs", "alloc/tmp", "web/local", "web/secrets", "web/tmp"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        Self { root, id: format!("{name}-{unique}"), parent: format!("floetest-{unique}.slice") }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside)
    }

    pub fn shim_dir(&self) -> PathBuf {
        self.path("shim")
    }

    pub fn spec(&self, driver: Driver, command: &str, args: &[&str]) -> TaskSpec {
        let dirs = TaskDirs {
            alloc: self.path("alloc"),
            local: self.path("web/local"),
            secrets: self.path("web/secrets"),
            tmp: self.path("web/tmp"),
        };
        let mut spec = TaskSpec::new(&self.id, driver, command, dirs, LogSpec::new(self.path("alloc/logs"), "web"));
        spec.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        spec.cgroup_parent.clone_from(&self.parent);
        spec.env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        spec.env.insert("FLOE_TEST_MARK".to_owned(), self.id.clone());
        spec.resources.memory_bytes = 64 << 20;
        spec
    }

    pub fn exec(&self, script: &str) -> TaskSpec {
        self.spec(Driver::Exec, "/bin/sh", &["-c", script])
    }

    pub fn raw(&self, script: &str) -> TaskSpec {
        self.spec(Driver::RawExec, "/bin/sh", &["-c", script])
    }

    pub fn start(&self, spec: &TaskSpec) -> (TaskHandle, TaskProcess) {
        let handle = spawn(spec, &self.shim_dir(), shim_exe()).unwrap();
        let process = self.running(&handle);
        (handle, process)
    }

    pub fn running(&self, handle: &TaskHandle) -> TaskProcess {
        match reattach(handle).unwrap() {
            Attached::Running(process) => process,
            other => panic!("expected a running task, got {other:?}; log: {}", self.shim_log()),
        }
    }

    pub fn refused(&self, spec: &TaskSpec) -> SpawnError {
        spawn(spec, &self.shim_dir(), shim_exe()).unwrap_err()
    }

    /// Runs a task to its end.
    pub fn run(&self, spec: &TaskSpec) -> ExitStatus {
        let handle = spawn(spec, &self.shim_dir(), shim_exe()).unwrap_or_else(|error| panic!("{error}; log: {}", self.shim_log()));
        self.finish(&handle)
    }

    /// Waits for a task's end.
    pub fn finish(&self, handle: &TaskHandle) -> ExitStatus {
        if let Attached::Running(process) = reattach(handle).unwrap() {
            assert!(process.wait(PATIENCE).unwrap(), "the task did not end; stdout: {}", self.stdout());
        }
        match reattach(handle).unwrap() {
            Attached::Exited(status) => status,
            other => panic!("expected an exited task, got {other:?}; log: {}", self.shim_log()),
        }
    }

    pub fn output(&self, stream: &str) -> String {
        let dir = self.path("alloc/logs");
        let prefix = format!("web.{stream}.");
        let mut numbers: Vec<u64> = fs::read_dir(&dir)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_prefix(&prefix)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.iter().map(|number| fs::read_to_string(dir.join(format!("{prefix}{number}"))).unwrap()).collect()
    }

    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    /// Waits until the task has written a text.
    pub fn wait_for_output(&self, text: &str) {
        eventually(&format!("output {text:?}"), || self.stdout().contains(text));
    }

    pub fn shim_log(&self) -> String {
        fs::read_to_string(self.shim_dir().join("shim.log")).unwrap_or_default()
    }

    pub fn cgroup(&self) -> Cgroup {
        Cgroup::new(Path::new(&self.parent).join(&self.id)).unwrap()
    }

    /// Every process on the machine that has this fixture's mark in its environment.
    /// The processes of this fixture's tasks that run: what each is, and in which cgroups.
    pub fn processes(&self) -> Vec<String> {
        let mark = format!("FLOE_TEST_MARK={}", self.id);
        let read = |entry: &fs::DirEntry, name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| {
                fs::read(entry.path().join("environ"))
                    .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|item| item == mark.as_bytes()))
            })
            .map(|entry| format!("{} {}", read(&entry, "stat"), read(&entry, "cgroup").replace('\n', " ")))
            .collect()
    }

    fn mounts(&self) -> Vec<String> {
        let root = self.root.path().to_str().unwrap();
        fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .lines()
            .filter(|line| line.contains(root) || line.contains("/run/floe/shim"))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let left_before = self.cgroup().exists();
        let destroyed = destroy(&self.shim_dir());
        let removed = Cgroup::new(&self.parent).unwrap().remove();
        // A test that already failed only cleans up.
        if std::thread::panicking() {
            return;
        }
        destroyed.unwrap();
        removed.unwrap();
        assert!(!left_before, "the task's cgroup was left behind");
        assert_eq!(self.processes(), Vec::<String>::new(), "processes were left behind");
        assert_eq!(self.mounts(), Vec::<String>::new(), "mounts were left behind");
        assert!(!self.shim_dir().exists());
    }
}

/// A file system mounted for a test, gone when the test ends, however it ends.
pub struct TestMount(PathBuf);

impl TestMount {
    pub fn new(kind: &str, options: &str, path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        let status = Command::new("mount").args(["-t", kind, "-o", options, kind]).arg(&path).status().unwrap();
        assert!(status.success(), "mount a {kind} as root");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestMount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()), "unmount {}", self.0.display());
    }
}

/// For states that no event announces to a bystander.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
