//! Measures what a container costs: create, start, wait and delete of `/bin/true` through the shim, side by side with crun and runc, which
//! get the very configuration that the shim generates. Run as root:
//!
//! `cargo build --release -p floe-runtime --example ctr && target/release/examples/ctr bench 50`
//!
//! The example is its own shim executable, as the agent's binary is.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use floe_runtime::{Attached, Driver, LogSpec, TaskDirs, TaskSpec, destroy, reattach, spawn};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["shim", dir] => return floe_runtime::shim::main(Path::new(dir)),
        ["bench"] => bench(50),
        ["bench", runs] => runs.parse().context("the number of runs").and_then(bench),
        ["start", root, command, args @ ..] => start(Path::new(root), command, args),
        _ => Err(anyhow::anyhow!("usage: ctr bench [RUNS] | ctr start DIR COMMAND [ARG...]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("ctr: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(runs: usize) -> Result<()> {
    hide_hybrid_cgroups()?;
    let root = tempfile::Builder::new().prefix("ctr").tempdir_in("/run")?;
    // The container's root of crun and runc is nobody on the host and must be able to enter.
    fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for dir in ["alloc/logs", "t/local", "t/secrets", "t/tmp", "bundle/rootfs"] {
        fs::create_dir_all(root.path().join(dir))?;
    }
    write_bundle(root.path())?;
    let mut times: [(&str, Vec<Duration>); 4] = ["floe exec", "floe raw_exec", "crun run", "runc run"].map(|name| (name, Vec::new()));
    for run in 0..=runs {
        for (name, samples) in &mut times {
            let start = Instant::now();
            match *name {
                "floe exec" => run_floe(root.path(), Driver::Exec)?,
                "floe raw_exec" => run_floe(root.path(), Driver::RawExec)?,
                other => run_other(other.split(' ').next().unwrap_or(other), root.path(), run)?,
            }
            // The first round only warms the caches.
            if run > 0 {
                samples.push(start.elapsed());
            }
        }
    }
    print_table(&mut times);
    Ok(())
}

/// Plays an agent: starts a task and then does nothing, until it is stopped or killed. The task goes on.
fn start(root: &Path, command: &str, args: &[&str]) -> Result<()> {
    for dir in ["alloc/logs", "t/local", "t/secrets", "t/tmp"] {
        fs::create_dir_all(root.join(dir))?;
    }
    let handle = spawn(&spec(root, Driver::Exec, command, args), &root.join("shim"), Path::new("/proc/self/exe"))?;
    println!("{}", serde_json::to_string(&handle)?);
    loop {
        std::thread::park();
    }
}

/// crun refuses a hybrid machine whose v2 tree has a controller: in a mount namespace of our own that tree is not there. All contestants
/// run in it.
fn hide_hybrid_cgroups() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("create a mount namespace (run as root)")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let unified = "/sys/fs/cgroup/unified";
    if Path::new(unified).exists() {
        umount2(unified, MntFlags::MNT_DETACH).with_context(|| format!("unmount {unified}"))?;
    }
    Ok(())
}

fn spec(root: &Path, driver: Driver, command: &str, args: &[&str]) -> TaskSpec {
    let dirs =
        TaskDirs { alloc: root.join("alloc"), local: root.join("t/local"), secrets: root.join("t/secrets"), tmp: root.join("t/tmp") };
    let mut spec = TaskSpec::new("bench", driver, command, dirs, LogSpec::new(root.join("alloc/logs"), "t"));
    spec.args = args.iter().map(|arg| (*arg).to_owned()).collect();
    spec.cgroup_parent = "floebench.slice".to_owned();
    spec
}

fn run_floe(root: &Path, driver: Driver) -> Result<()> {
    let dir = root.join("shim");
    let handle = spawn(&spec(root, driver, "/bin/true", &[]), &dir, Path::new("/proc/self/exe"))?;
    if let Attached::Running(process) = reattach(&handle)? {
        ensure!(process.wait(PATIENCE)?, "the task did not end");
    }
    match reattach(&handle)? {
        Attached::Exited(status) if status.is_success() => Ok(destroy(&dir)?),
        other => bail!("unexpected end: {other:?}"),
    }
}

/// Takes the configuration that the shim makes for a task and gives it the file system that the shim builds otherwise.
fn write_bundle(root: &Path) -> Result<()> {
    let dir = root.join("shim");
    let handle = spawn(&spec(root, Driver::Exec, "/bin/sleep", &["1000"]), &dir, Path::new("/proc/self/exe"))?;
    // It is in the shim's own mount namespace.
    let config = format!("/proc/{}/root/run/floe/shim/bundle/config.json", handle.shim.pid);
    let mut config: Value = serde_json::from_slice(&fs::read(&config).with_context(|| format!("read {config}"))?)?;
    destroy(&dir)?;
    let rootfs = root.join("bundle/rootfs");
    let mut mounts = config.pointer("/mounts").and_then(Value::as_array).cloned().context("no mounts in the configuration")?;
    mounts.push(json!({"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "ro", "nosuid", "nodev", "noexec"]}));
    for path in ["/usr", "/bin", "/sbin", "/lib", "/lib64"] {
        if Path::new(path).exists() {
            let source = fs::canonicalize(path)?;
            mounts.push(json!({"destination": path, "type": "none", "source": source, "options": ["rbind", "ro", "nosuid", "nodev"]}));
        }
    }
    for dir in ["proc", "sys", "dev", "usr", "bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(rootfs.join(dir))?;
    }
    let set = |config: &mut Value, pointer: &str, value: Value| match config.pointer_mut(pointer) {
        Some(place) => {
            *place = value;
            Ok(())
        }
        None => bail!("no {pointer} in the configuration"),
    };
    set(&mut config, "/mounts", Value::Array(mounts))?;
    set(&mut config, "/root/path", json!(rootfs))?;
    set(&mut config, "/process/args", json!(["/bin/true"]))?;
    set(&mut config, "/linux/cgroupsPath", json!("/floebench.slice/other"))?;
    set(&mut config, "/linux/resources", json!({"memory": {"limit": 314_572_800}, "cpu": {"shares": 100}, "pids": {"limit": 4096}}))?;
    Ok(fs::write(root.join("bundle/config.json"), serde_json::to_vec(&config)?)?)
}

fn run_other(runtime: &str, root: &Path, run: usize) -> Result<()> {
    let state: PathBuf = root.join("state");
    let mut command = Command::new(runtime);
    if runtime == "crun" {
        command.arg("--cgroup-manager=cgroupfs");
    }
    let output = command
        .arg("--root")
        .arg(state)
        .args(["run", "--bundle"])
        .arg(root.join("bundle"))
        .arg(format!("bench-{run}"))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {runtime} (install it to compare)"))?;
    ensure!(output.status.success(), "{runtime}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn print_table(times: &mut [(&str, Vec<Duration>)]) {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let mut base = None;
    println!("{:<14} {:>5} {:>9} {:>9} {:>9} {:>12}", "", "runs", "p50 ms", "mean ms", "p95 ms", "p50 ratio");
    for (name, samples) in times {
        samples.sort();
        let at = |part: usize| samples.get(samples.len() * part / 100).copied().map_or(0.0, milliseconds);
        let mean = samples.iter().copied().map(milliseconds).sum::<f64>() / f64::from(u32::try_from(samples.len()).unwrap_or(1).max(1));
        let p50 = at(50);
        let ratio = p50 / *base.get_or_insert(p50);
        println!("{name:<14} {:>5} {p50:>9.2} {mean:>9.2} {:>9.2} {ratio:>12.2}", samples.len(), at(95));
    }
}
