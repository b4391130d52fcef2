//! What a world holds at one moment, for a comparison of before and after.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Cgroups of agents that are not told another one, as parts of paths.
const DEFAULT_CGROUPS: [&str; 2] = ["/floe.slice", "/floe-up.slice"];
/// How deep below the mount of a hierarchy a task's cgroup may lie.
const CGROUP_DEPTH: usize = 4;

/// How what belongs to a world is known.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    /// Part of the names of its cgroups, and of its processes' environment.
    pub(super) tag: String,
    /// Its folder.
    pub(super) dir: PathBuf,
    /// Whether it has the cgroup of agents that name none; only one world at a time can have that.
    pub(super) default_cgroup: bool,
}

impl Marks {
    /// Whether a text names the world. What follows the tag counts: "-1" does not stand for "-10".
    fn in_text(&self, text: &str) -> bool {
        text.split(&self.tag).skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

/// Links, tables, mounts, files, cgroups and processes.
#[derive(Debug)]
pub(super) struct Footprint {
    links: BTreeSet<String>,
    /// nftables, without the chains: each table, and each element of its maps.
    tables: BTreeSet<String>,
    mounts: BTreeSet<String>,
    files: BTreeSet<String>,
    pub(super) cgroups: BTreeSet<PathBuf>,
    processes: BTreeSet<String>,
    pub(super) pids: Vec<i32>,
}

impl Footprint {
    /// What there is now, seen from the present thread.
    pub(super) fn take(marks: &Marks) -> Self {
        let (pids, processes) = processes(marks);
        let (files, cgroups) = (files(&marks.dir), Self::cgroups_of(marks));
        Footprint { links: links(), tables: tables(), mounts: mounts(), files, cgroups, processes, pids }
    }

    /// Cgroups of the world.
    pub(super) fn cgroups_of(marks: &Marks) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        cgroups_below(Path::new("/sys/fs/cgroup"), marks, CGROUP_DEPTH, &mut found);
        found
    }

    /// What there is that was not there before. An agent that stopped leaves its bridge, its table without elements and its cgroup
    /// without tasks, because its next start wants them; whoever lists `bridges` allows that.
    pub(super) fn beyond(&self, before: &Footprint, bridges: &[String], marks: &Marks) -> Vec<String> {
        let mut left = Vec::new();
        let mut add = |kind: &str, now: &BTreeSet<String>, then: &BTreeSet<String>, allowed: &dyn Fn(&str) -> bool| {
            left.extend(now.difference(then).filter(|n| !allowed(n)).map(|n| format!("{kind}: {n}")));
        };
        let ours = |name: &str| bridges.iter().any(|b| b == name);
        add("link", &self.links, &before.links, &ours);
        add("nftables", &self.tables, &before.tables, &|t| t.strip_prefix("table ip ").is_some_and(ours));
        add("mount", &self.mounts, &before.mounts, &|_| false);
        add("file", &self.files, &before.files, &|_| false);
        add("process", &self.processes, &before.processes, &|_| false);
        let empty = |path: &Path| {
            let below =
                path.components().skip_while(|c| !c.as_os_str().to_string_lossy().starts_with(&marks.tag)).skip(1).collect::<PathBuf>();
            !bridges.is_empty() && (below.as_os_str().is_empty() || below == Path::new("shims"))
        };
        left.extend(self.cgroups.difference(&before.cgroups).filter(|c| !empty(c)).map(|c| format!("cgroup: {}", c.display())));
        left
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("run {program}: {e}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn links() -> BTreeSet<String> {
    let text = output("ip", &["-o", "link"]);
    text.lines().filter_map(|l| Some(l.split(": ").nth(1)?.split('@').next()?.to_owned())).collect()
}

fn tables() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut table = String::new();
    let mut in_elements = false;
    for line in output("nft", &["list", "ruleset"]).lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("table ") {
            table = format!("table {}", name.trim_end_matches(" {"));
            found.insert(table.clone());
        }
        in_elements |= line.starts_with("elements");
        if in_elements {
            found.insert(format!("{table}: {line}"));
        }
        in_elements &= !line.ends_with('}');
    }
    found
}

/// Mount points with their file systems.
fn mounts() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let point = |line: &str| {
        let mut fields = line.split(' ');
        Some(format!("{} ({})", fields.nth(4)?, fields.skip_while(|f| *f != "-").nth(1)?))
    };
    text.lines().filter_map(point).collect()
}

/// Files in the world's /run, and whatever is in its temporary folders; locks and empty folders are nobody's worry.
fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    files_below(Path::new("/run"), &mut found);
    found.retain(|f| !f.starts_with("/run/floe/locks/"));
    for folder in [dir.join("tmp"), dir.join("lib")] {
        found.extend(fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path().display().to_string()));
    }
    found
}

fn files_below(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            files_below(&entry.path(), found);
        } else {
            found.insert(entry.path().display().to_string());
        }
    }
}

fn cgroups_below(dir: &Path, marks: &Marks, depth: usize, found: &mut BTreeSet<PathBuf>) {
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        let path = entry.path();
        let text = path.to_string_lossy();
        if marks.in_text(&text) || (marks.default_cgroup && DEFAULT_CGROUPS.iter().any(|c| text.contains(c))) {
            found.insert(path.clone());
        }
        cgroups_below(&path, marks, depth - 1, found);
    }
}

/// Processes that live in the world's networks, or have its tag in their cgroup, command line or environment.
fn processes(marks: &Marks) -> (Vec<i32>, BTreeSet<String>) {
    let inode = |path: &str| fs::metadata(path).map(|m| m.ino()).ok();
    let networks: Vec<u64> = ["/proc/thread-self/ns/net", "/run/netns/outside"].iter().filter_map(|p| inode(p)).collect();
    let own = i32::try_from(std::process::id()).unwrap();
    let (mut pids, mut words) = (Vec::new(), BTreeSet::new());
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()).filter(|p| *p != own) else { continue };
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).map(|b| String::from_utf8_lossy(&b).replace('\0', " "));
        let command = read("cmdline").unwrap_or_default();
        let in_network = inode(&format!("/proc/{pid}/ns/net")).is_some_and(|n| networks.contains(&n));
        let marked = |text: &str| marks.in_text(text) || (marks.default_cgroup && DEFAULT_CGROUPS.iter().any(|c| text.contains(c)));
        if in_network || marked(&command) || ["cgroup", "environ"].iter().any(|f| read(f).is_ok_and(|text| marked(&text))) {
            pids.push(pid);
            words.insert(format!("{pid} {command}"));
        }
    }
    (pids, words)
}
