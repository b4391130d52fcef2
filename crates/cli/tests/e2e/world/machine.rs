//! The machine under all worlds: what tests need of it, and whether they leave it as it was.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Programs that tests call, with the Debian packages that have them.
const TOOLS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("/usr/bin/busybox", "busybox-static"),
    ("curl", "curl"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("gzip", "gzip"),
    ("tar", "tar"),
    ("setpriv", "util-linux"),
];
/// How long what others do on the machine may look like something of ours.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// How many worlds there are, and what the machine held before the first.
static WORLDS: Mutex<(usize, BTreeSet<String>)> = Mutex::new((0, BTreeSet::new()));

/// Watches the machine while a world exists.
pub(super) struct Watch;

impl Watch {
    pub(super) fn begin() -> Self {
        require();
        let mut worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
        if worlds.0 == 0 {
            worlds.1 = holdings();
        }
        worlds.0 += 1;
        Watch
    }
}

/// The end of the watch. The last one compares: then there is no world that could still be at work.
impl Drop for Watch {
    fn drop(&mut self) {
        let mut worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
        worlds.0 -= 1;
        if worlds.0 > 0 || thread::panicking() {
            return;
        }
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let now = holdings();
            let left: Vec<&String> = now.difference(&worlds.1).collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left on the machine itself: {left:#?}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn require() {
    assert!(nix::unistd::geteuid().is_root(), "the end-to-end tests make namespaces, bridges and cgroups: run them as root");
    for (tool, package) in TOOLS {
        let found = Command::new(tool).arg("--help").output().is_ok();
        assert!(found, "the end-to-end tests need {tool}: apt-get install {package}");
    }
    for namespace in ["net", "mnt", "user", "pid"] {
        let path = format!("/proc/self/ns/{namespace}");
        assert!(Path::new(&path).exists(), "the end-to-end tests need a kernel with {namespace} namespaces");
    }
}

/// What of the machine could be ours: links, nftables, named namespaces, mounts, cgroups and folders with names that floe or its tests give.
fn holdings() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |kind: &str, names: Vec<String>| found.extend(names.into_iter().map(|n| format!("{kind} {n}")));
    let lines = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("run {program}: {e}"));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let ours = |name: &str| name.starts_with("fl") || name.starts_with("e2e-") || name.starts_with("up0") || name.starts_with("ext0");
    let links = lines("ip", &["-o", "link"]).iter().filter_map(|l| Some(l.split(": ").nth(1)?.to_owned())).filter(|n| ours(n)).collect();
    add("link", links);
    add("nft", lines("nft", &["list", "tables"]).into_iter().filter(|t| t.rsplit(' ').next().is_some_and(ours)).collect());
    let tag = format!("floe-e2e-{}-", std::process::id());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    add("mount", mounts.lines().filter(|l| l.contains(&tag)).map(str::to_owned).collect());
    let names = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let below = |dir: &str| names(dir).filter(|n| n.starts_with(&tag)).map(|n| format!("{dir}/{n}")).collect::<Vec<_>>();
    add("netns", below("/run/netns"));
    add("folder", below(&std::env::temp_dir().to_string_lossy()));
    let roots = names("/sys/fs/cgroup").map(|n| format!("/sys/fs/cgroup/{n}"));
    add("cgroup", roots.chain(["/sys/fs/cgroup".to_owned()]).flat_map(|root| below(&root)).collect());
    found
}
