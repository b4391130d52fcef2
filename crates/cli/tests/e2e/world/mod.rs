//! A machine for one test: namespaces of its own, entered by the test's thread and by everything that it starts.
//!
//! ```text
//! outside (a namespace of its own) ext0 192.0.2.9 --- up0 192.0.2.1 the world's host, where agents run
//! ```
//!
//! The world's /run and /var/lib are empty and its own. It ends with the thread: there is nothing to undo but processes, cgroups and one folder.

mod footprint;
pub(crate) mod hosts;
mod machine;

use crate::agent::Agent;
use footprint::{Footprint, Marks};
use hosts::Host;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    io::Write,
    net::Ipv4Addr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The host's address on its uplink; that of the default route's interface.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The outside's address.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// How long anything that should happen may take. Generous: these machines are slow and busy, and only a failure waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// How long processes, links and cgroups may take to be gone after the agent said so.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// The pause between two looks at something that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

const CABLES: &str = "\
link set lo up
netns add outside
link add up0 type veth peer name ext0 netns outside
addr add 192.0.2.1/24 dev up0
link set up0 up
route add default via 192.0.2.9
";
const CABLES_OUTSIDE: &str = "\
link set lo up
addr add 192.0.2.9/24 dev ext0
link set ext0 up
";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One test's machine.
pub(crate) struct World {
    marks: Marks,
    before: Footprint,
    agents: Mutex<Vec<Arc<Agent>>>,
    hosts: Mutex<Vec<Host>>,
    errors: Mutex<Vec<String>>,
}

/// Held by the one world whose agents take the default cgroup.
static DEFAULT_CGROUP: Mutex<()> = Mutex::new(());

/// Runs a test in a world of its own, and fails it when something stays behind.
pub(crate) fn world(test: impl FnOnce(&World) + Send) {
    run(false, test);
}

/// As [`world`], for tests of `floe up` and `-dev`, which take no configuration and so the default cgroup: one at a time.
pub(crate) fn world_with_defaults(test: impl FnOnce(&World) + Send) {
    let _turn = DEFAULT_CGROUP.lock().unwrap_or_else(PoisonError::into_inner);
    run(true, test);
}

fn run(default_cgroup: bool, test: impl FnOnce(&World) + Send) {
    let _machine = machine::Watch::begin();
    let result = thread::scope(|scope| {
        let thread = thread::Builder::new().name(thread::current().name().unwrap_or("world").to_owned());
        thread.spawn_scoped(scope, || World::enter(default_cgroup).play(test)).expect("start the world's thread").join()
    });
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

/// Looks again and again until `look` has something, or fails with what was waited for.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(LOOK_AGAIN);
    }
}

impl World {
    /// Moves the present thread into new namespaces and lays the cables.
    fn enter(default_cgroup: bool) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let tag = format!("floe-e2e-{}-{number}", std::process::id());
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).expect("make namespaces");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("keep mounts to this namespace");
        mount(Some("e2e"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("mount an empty /run");
        ip_batch(&[], CABLES);
        ip_batch(&["-n", "outside"], CABLES_OUTSIDE);
        let dir = std::env::temp_dir().join(&tag);
        fs::DirBuilder::new().mode(0o755).create(&dir).expect("make the world's folder");
        for folder in ["tmp", "lib"] {
            fs::create_dir(dir.join(folder)).unwrap();
        }
        mount(Some(&dir.join("lib")), "/var/lib", none, MsFlags::MS_BIND, none).expect("mount an empty /var/lib");
        let marks = Marks { tag, dir, default_cgroup };
        Self { before: Footprint::take(&marks), marks, agents: Mutex::default(), hosts: Mutex::default(), errors: Mutex::default() }
    }

    /// Plays the test, ends what still runs, and looks for what was left behind.
    fn play(self, test: impl FnOnce(&World)) {
        let mut result = catch_unwind(AssertUnwindSafe(|| test(&self)));
        if result.is_ok() {
            result = catch_unwind(AssertUnwindSafe(|| self.finish()));
        }
        if result.is_err() {
            self.show_logs();
        }
        self.sweep();
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    }

    /// Names what the test makes, and nothing else on the machine: folder, cgroups, processes.
    pub(crate) fn tag(&self) -> &str {
        &self.marks.tag
    }

    /// A folder of the test's own.
    pub(crate) fn dir(&self) -> &Path {
        &self.marks.dir
    }

    /// Where temporary folders of commands and agents go.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir().join("tmp")
    }

    /// Writes a file into the world's folder; returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Lets the agents' logs hold errors with these words: the test is about them.
    pub(crate) fn expect_errors(&self, words: &[&str]) {
        self.errors.lock().unwrap().extend(words.iter().map(|&w| w.to_owned()));
    }

    /// Runs something in the network outside of the host.
    pub(crate) fn outside<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        Self::inside_of(Path::new("/run/netns/outside"), run)
    }

    /// Runs something in a network namespace.
    pub(crate) fn inside_of<T: Send>(netns: &Path, run: impl FnOnce() -> T + Send) -> T {
        let netns = File::open(netns).unwrap_or_else(|e| panic!("open {}: {e}", netns.display()));
        let result = thread::scope(|scope| {
            let visit = move || {
                setns(netns, CloneFlags::CLONE_NEWNET).expect("enter a network namespace");
                run()
            };
            scope.spawn(visit).join()
        });
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    pub(crate) fn register(&self, agent: Arc<Agent>) -> usize {
        let mut agents = self.agents.lock().unwrap();
        agents.push(agent);
        agents.len() - 1
    }

    pub(crate) fn count_agents(&self) -> usize {
        self.agents.lock().unwrap().len()
    }

    /// Ends everything the way a user does, and checks that nothing is left.
    fn finish(&self) {
        let agents = self.agents.lock().unwrap().clone();
        for server in agents.iter().filter(|a| a.is_server() && a.is_running()) {
            server.api().stop_all_jobs();
        }
        for agent in agents.iter().rev().filter(|a| a.is_running()) {
            let status = agent.terminate();
            assert!(status.success(), "agent {} ended with {status}", agent.name());
        }
        self.check_logs(&agents);
        self.remove_hosts();
        self.check_nothing_left();
    }

    /// Waits until there is nothing that was not there before the test, but for what stopped agents keep for their next start.
    pub(crate) fn check_nothing_left(&self) {
        let bridges: Vec<String> = self.agents.lock().unwrap().iter().map(|a| a.bridge().to_owned()).collect();
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let left = Footprint::take(&self.marks).beyond(&self.before, &bridges, &self.marks);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind:\n  {}", left.join("\n  "));
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// No panic anywhere, and no error that the test did not expect.
    fn check_logs(&self, agents: &[Arc<Agent>]) {
        let expected = self.errors.lock().unwrap().clone();
        for agent in agents {
            for line in agent.log().lines() {
                assert!(!line.contains("panicked"), "agent {} panicked: {line}", agent.name());
                let error = line.contains(" ERROR ") && !expected.iter().any(|e| line.contains(e));
                assert!(!error, "agent {} logged an error: {line}", agent.name());
            }
        }
    }

    fn show_logs(&self) {
        for agent in self.agents.lock().unwrap().iter() {
            eprintln!("--- log of agent {}:\n{}", agent.name(), agent.log());
        }
    }

    /// Unmounts what the test mounted in its folder.
    fn unmount_all(&self) {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        for point in mounts.lines().filter_map(|l| l.split(' ').nth(4)).filter(|p| Path::new(p).starts_with(self.dir())) {
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
    }

    /// Removes by force whatever is left, so that a failed test leaves the machine as it was.
    fn sweep(&self) {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            for agent in self.agents.lock().unwrap().iter() {
                agent.kill_if_running();
            }
            let found = Footprint::take(&self.marks);
            for pid in &found.pids {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            for cgroup in found.cgroups.iter().rev() {
                let _ = fs::remove_dir(cgroup);
            }
            self.unmount_all();
            if found.pids.is_empty() && fs::remove_dir_all(self.dir()).is_ok() {
                break;
            }
            if Instant::now() > deadline {
                eprintln!("not removed: {:?}, {:?}, {}", found.pids, found.cgroups, self.dir().display());
                break;
            }
            thread::sleep(LOOK_AGAIN);
        }
        for cgroup in Footprint::cgroups_of(&self.marks).iter().rev() {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

fn ip_batch(options: &[&str], lines: &str) {
    let mut ip = Command::new("ip").args(options).args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("run ip");
    ip.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "ip could not do:\n{lines}");
}

/// Makes a folder that everybody may enter.
pub(crate) fn open_folder(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
