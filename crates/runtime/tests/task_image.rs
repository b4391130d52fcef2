//! What a task on an image's layers sees, and what it leaves. Needs root, cgroups and overlayfs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use floe_runtime::{DEFAULT_SHM_BYTES, Driver, ExitStatus, ImageRoot, SpawnError, TaskSpec, Tmpfs, Ulimit};
use support::Fixture;

/// An image of two layers: busybox, and a few files above it.
fn image(fixture: &Fixture) -> ImageRoot {
    let (base, top) = (fixture.path("layers/base"), fixture.path("layers/top"));
    for dir in ["bin", "etc", "tmp", "data", "old"] {
        fs::create_dir_all(base.join(dir)).unwrap();
    }
    fs::copy("/usr/bin/busybox", base.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "id", "ls", "stat", "touch", "chown", "rm", "mkdir", "df", "env", "pwd", "mount", "mknod"] {
        symlink("busybox", base.join("bin").join(applet)).unwrap();
    }
    fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(base.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n").unwrap();
    fs::write(base.join("etc/group"), "root:x:0:\nextra:x:103:web\n").unwrap();
    fs::write(base.join("old/hidden"), "hidden").unwrap();
    fs::write(base.join("data/base"), "from the base").unwrap();
    fs::create_dir_all(top.join("data")).unwrap();
    fs::write(top.join("data/top"), "from the top").unwrap();
    let (whiteout, mode) = (top.join("old"), nix::sys::stat::Mode::empty());
    nix::sys::stat::mknod(&whiteout, nix::sys::stat::SFlag::S_IFCHR, mode, 0).unwrap();
    ImageRoot {
        layers: vec![base, top],
        scratch: fixture.path("web/image"),
        read_only: false,
        shm_bytes: DEFAULT_SHM_BYTES,
        tmpfs: Vec::new(),
        ulimits: Vec::new(),
        sysctls: BTreeMap::new(),
    }
}

fn task(fixture: &Fixture, script: &str) -> TaskSpec {
    let mut spec = fixture.spec(Driver::Image, "sh", &["-c", script]);
    spec.env.insert("PATH".to_owned(), "/bin".to_owned());
    spec.image = Some(image(fixture));
    spec
}

fn run(fixture: &Fixture, spec: &TaskSpec) -> (ExitStatus, String) {
    let status = fixture.run(spec);
    (status, fixture.stdout() + &fixture.stderr())
}

fn output(name: &str, script: &str, change: impl FnOnce(&mut TaskSpec)) -> String {
    let fixture = Fixture::new(name);
    let mut spec = task(&fixture, script);
    change(&mut spec);
    let (status, text) = run(&fixture, &spec);
    assert!(status.is_success(), "{status:?}: {text}");
    text
}

/// Why a task does not start.
fn refusal(name: &str, change: impl FnOnce(&Fixture, &mut TaskSpec)) -> String {
    let fixture = Fixture::new(name);
    let mut spec = task(&fixture, "true");
    change(&fixture, &mut spec);
    match floe_runtime::spawn(&spec, &fixture.shim_dir(), support::shim_exe()) {
        Err(SpawnError::Task(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[test]
fn layers_are_one_file_system() {
    let text = output("layers", "cat /data/base /data/top; ls / /old 2>&1; stat -c '%u %a %n' /bin /tmp /etc/passwd", |_| {});
    assert!(text.starts_with("from the basefrom the top"), "{text}");
    assert!(!text.contains("\nold\n") && text.contains("No such file"), "{text}");
    assert!(text.contains("0 755 /bin") && text.contains("0 1777 /tmp") && text.contains("0 644 /etc/passwd"), "{text}");
}

#[test]
fn what_is_written_goes_to_the_scratch_and_is_gone_with_the_next_start() {
    let fixture = Fixture::new("scratch");
    let script = "cat /data/base; echo changed >/data/base; echo x >/new; mkdir /dir; chown 101:102 /new; rm /data/top; stat -c '%u %g' /new; ls /data";
    let spec = task(&fixture, script);
    let capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER"].map(str::to_owned).to_vec();
    let spec = TaskSpec { capabilities, ..spec };
    for _ in 0..2 {
        let (status, text) = run(&fixture, &spec);
        assert!(status.is_success(), "{status:?}: {text}");
        assert!(text.ends_with("from the base101 102\nbase\n"), "{text}");
    }
    let layer = &spec.image.as_ref().unwrap().layers;
    assert_eq!(fs::read_to_string(layer[0].join("data/base")).unwrap(), "from the base");
    assert!(layer[1].join("data/top").is_file());
    // On the host it belongs to the task's range.
    let new = fs::metadata(fixture.path("web/image/upper/new")).unwrap();
    assert_eq!((new.uid(), new.gid()), (100_101, 100_102));
}

#[test]
fn users_are_those_of_the_image() {
    let ask = |user: Option<&str>| output("users", "id -u; id -g; id -G; echo $HOME; echo $HOSTNAME", |s| s.user = user.map(str::to_owned));
    assert!(ask(None).starts_with("0\n0\n0\n/root\n"), "{}", ask(None));
    assert!(ask(Some("web")).starts_with("101\n102\n102 103\n/srv\n"), "{}", ask(Some("web")));
    assert!(ask(Some("9:9")).starts_with("9\n9\n9\n/\n"));
    let words = refusal("nouser", |_, spec| spec.user = Some("nobody-here".to_owned()));
    assert!(words.contains("does not exist in the image"), "{words}");
}

#[test]
fn root_has_the_capabilities_that_it_was_given_and_others_none() {
    let ask = |user: &str| {
        output("caps", "cat /proc/self/status", |s| {
            s.user = Some(user.to_owned());
            s.capabilities = vec!["CAP_CHOWN".to_owned(), "kill".to_owned()];
        })
    };
    let root = ask("0");
    for line in ["CapEff:\t0000000000000021", "CapBnd:\t0000000000000021", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(root.contains(line), "{line}: {root}");
    }
    assert!(ask("101").contains("CapEff:\t0000000000000000"));
}

#[test]
fn a_read_only_root_leaves_the_tasks_own_folders() {
    let script = "touch /x 2>&1; touch /data/x 2>&1; touch /local/x /alloc/data/x /scratch/x && echo fine; touch /etc/hosts 2>&1; true";
    let text = output("readonly", script, |s| {
        let image = s.image.as_mut().unwrap();
        image.read_only = true;
        image.tmpfs.push(Tmpfs { destination: "/scratch".into(), bytes: Some(1 << 20), mode: 0o1777 });
    });
    assert_eq!(text.matches("Read-only file system").count(), 3, "{text}");
    assert!(text.contains("fine"), "{text}");
}

#[test]
fn names_and_limits_are_as_the_job_says() {
    let text = output(
        "names",
        "cat /etc/hosts /etc/resolv.conf /etc/hostname; pwd; ulimit -n; df -k /dev/shm; mknod /x c 1 3 2>&1; mount -t tmpfs x /tmp 2>&1; true",
        |s| {
            s.hosts = Some("10.0.0.1 db\n".to_owned());
            s.resolv_conf = Some("nameserver 10.0.0.2\n".to_owned());
            s.hostname = Some("web-1".to_owned());
            s.work_dir = Some("/made/for/it".into());
            let image = s.image.as_mut().unwrap();
            image.shm_bytes = 8 << 20;
            image.ulimits.push(Ulimit { name: "nofile".to_owned(), soft: 100, hard: 200 });
        },
    );
    assert!(text.starts_with("10.0.0.1 db\nnameserver 10.0.0.2\nweb-1\n/made/for/it\n100\n"), "{text}");
    assert!(
        text.contains(" 8192 ") && text.matches("Operation not permitted").count() + text.matches("permission denied").count() == 2,
        "{text}"
    );
}

#[test]
fn hostile_images_lead_nowhere() {
    for name in ["proc", "sys", "dev"] {
        let words = refusal("oddroot", |fixture, spec| {
            let layer = fixture.path("layers/odd");
            fs::create_dir_all(&layer).unwrap();
            symlink("/etc", layer.join(name)).unwrap();
            spec.image.as_mut().unwrap().layers.push(layer);
        });
        assert!(words.contains(&format!("/{name} is no directory")), "{words}");
    }
    // Links in the places of what is shown inside: the host's files stay as they are.
    let fixture = Fixture::new("links");
    let victim = fixture.path("victim");
    fs::write(&victim, "untouched").unwrap();
    let mut spec = task(&fixture, "cat /etc/hosts; ls -ld /local /alloc /secrets");
    let layer = fixture.path("layers/links");
    fs::create_dir_all(layer.join("etc")).unwrap();
    for name in ["etc/hosts", "etc/resolv.conf", "etc/hostname"] {
        symlink(&victim, layer.join(name)).unwrap();
    }
    symlink("/../../../../../../tmp", layer.join("alloc")).unwrap();
    spec.image.as_mut().unwrap().layers.push(layer);
    spec.hosts = Some("10.0.0.1 db\n".to_owned());
    let (status, text) = run(&fixture, &spec);
    assert!(status.is_success() && text.starts_with("10.0.0.1 db\n"), "{status:?} {text}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    // A program is looked for in the image alone.
    assert!(refusal("host-program", |_, spec| spec.command = "/usr/bin/env".to_owned()).contains("was not found"));
}

#[test]
fn many_layers_fit() {
    let text = output("many", "cat /deep", |s| {
        let image = s.image.as_mut().unwrap();
        let folder: PathBuf = image.scratch.parent().unwrap().join("many");
        while image.layers.len() < floe_runtime::MAX_IMAGE_LAYERS {
            let layer = folder.join(image.layers.len().to_string());
            fs::create_dir_all(&layer).unwrap();
            fs::write(layer.join("deep"), format!("layer {}", image.layers.len())).unwrap();
            image.layers.push(layer);
        }
    });
    assert_eq!(text, "layer 126");
}
