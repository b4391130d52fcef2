//! Tasks on images: from a registry, a folder and an archive; what goes wrong on the way, and what stays behind.

#[path = "../../../images/tests/support/registry.rs"]
mod registry;

use crate::{
    agent::Agent,
    api::{event, events, id, text},
    command::marked,
    job::{Job, service},
    world::{World, eventually, world},
};
use registry::{Answer, Gate, Image, Layer, Registry};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

/// The port of the real registry: the world's network is its own.
const PORT: u16 = 5000;

/// A program of the world.
fn program(world: &World, name: &str) -> Command {
    let mut command = Command::new(name);
    marked(&mut command, world.tag(), &world.tmp());
    command
}

/// Copies an image by another tool than floe.
fn copy(world: &World, arguments: &[&str]) {
    let copied = program(world, "skopeo").args(["--insecure-policy", "copy", "-q"]).args(arguments).output().expect("run skopeo");
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    // What it remembers of blobs, in the world's own /var/lib.
    drop(fs::remove_dir_all(world.dir().join("lib/containers")));
}

/// A folder as a layer.
fn layer(folder: &Path) -> Layer {
    let tar =
        Command::new("tar").args(["--owner=0", "--group=0", "--numeric-owner", "-cf", "-", "-C"]).arg(folder).arg(".").output().unwrap();
    assert!(tar.status.success());
    let mut layer = Layer::plain(tar.stdout);
    let file = folder.with_extension("tar");
    fs::write(&file, &layer.archive).unwrap();
    layer.packed = Command::new("gzip").args(["-n", "-c"]).arg(&file).output().unwrap().stdout;
    layer.kind = "application/vnd.oci.image.layer.v1.tar+gzip";
    layer
}

/// An image with a shell, and a layer above it that says whose it is.
fn image(world: &World, name: &str) -> Image {
    let folder = world.dir().join(format!("image-{name}"));
    let (base, top) = (folder.join("base"), folder.join("top"));
    fs::create_dir_all(base.join("bin")).unwrap();
    fs::create_dir_all(top.join("etc")).unwrap();
    fs::copy("/usr/bin/busybox", base.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "sleep", "echo", "id", "touch"] {
        symlink("busybox", base.join("bin").join(applet)).unwrap();
    }
    fs::write(top.join("etc/hello"), format!("hello from {name}\n")).unwrap();
    fs::write(top.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n").unwrap();
    let mut image = Image::new(vec![layer(&base), layer(&top)]);
    image.run = json!({ "Env": ["PATH=/bin", "FROM=image"], "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["cat /etc/hello; exec sleep 10000"], "StopSignal": "SIGTERM" });
    image
}

/// A service that runs an image.
fn job(id: &str, image: &str) -> Job {
    service(id, "").driver("docker").task(|t| t["Config"] = json!({ "image": image }))
}

/// An allocation of the job that failed.
fn failed(agent: &Agent, job: &Job) -> Value {
    agent.api().submit(job);
    let found = agent
        .api()
        .wait("it failed", &job.path("/allocations"), |all| all.as_array()?.iter().find(|a| a["ClientStatus"] == "failed").map(id));
    agent.api().alloc(&found)
}

fn failure(agent: &Agent, job: &Job) -> String {
    text(&event(&failed(agent, job), "t", "Driver Failure")["DisplayMessage"]).to_owned()
}

/// Debian's registry, in the world's network.
struct RealRegistry(Child);

impl RealRegistry {
    fn start(world: &World) -> Self {
        let storage = world.dir().join("registry");
        let config =
            format!("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{PORT}\n", storage.display());
        let config = world.file("registry.yml", config);
        let mut command = program(world, "docker-registry");
        let child = command.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run docker-registry");
        eventually("the registry listens", || std::net::TcpStream::connect(("127.0.0.1", PORT)).ok());
        Self(child)
    }

    fn push(world: &World, folder: &Path, tag: &str, name: &str) {
        let (from, to) = (format!("oci:{}:{tag}", folder.display()), format!("docker://127.0.0.1:{PORT}/{name}"));
        copy(world, &["--dest-tls-verify=false", &from, &to]);
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_image_of_a_real_registry_says_hello() {
    world(|world| {
        let folder = world.dir().join("layout");
        image(world, "registry").write_layout(&folder, "v1");
        let registry = RealRegistry::start(world);
        RealRegistry::push(world, &folder, "v1", "team/hello:v1");
        let agent = world.start_agent("n1");
        let job = job("hello", &format!("127.0.0.1:{PORT}/team/hello:v1"));
        let alloc = agent.api().run_one(&job);
        assert_eq!(agent.api().wait_output(&alloc, "t", "hello"), "hello from registry\n");
        let full = agent.api().alloc(&alloc);
        let told =
            |words: &str| full["TaskStates"]["t"]["Events"].as_array().unwrap().iter().any(|e| text(&e["DriverMessage"]).contains(words));
        assert!(told("Downloading image 127.0.0.1:5000/team/hello:v1") && told("Image pulled: "), "{full:#}");
        // What is here is not asked for again.
        drop(registry);
        agent.api().stop(&job);
        let again =
            job.task(|t| t["Env"] = json!({ "FROM": "job" })).task(|t| t["Config"]["args"] = json!(["echo $FROM; exec sleep 10000"]));
        let alloc = agent.api().run_one(&again);
        assert_eq!(agent.api().wait_output(&alloc, "t", "job"), "job\n");
        assert_eq!(events(&agent.api().alloc(&alloc), "t"), ["Received", "Task Setup", "Started"]);
    });
}

#[test]
fn images_of_folders_and_archives_need_no_registry() {
    world(|world| {
        let folder = world.dir().join("layout");
        image(world, "folder").write_layout(&folder, "v1");
        let file = world.dir().join("saved.tar");
        let (from, to) = (format!("oci:{}:v1", folder.display()), format!("docker-archive:{}:hello:v1", file.display()));
        copy(world, &[&from, &to]);
        let agent = world.agent("n1").set(|c| c["client"]["images"] = json!({ "sources": [world.dir()] })).start();
        let sources = [("oci", format!("oci:{}:v1", folder.display())), ("podman", format!("docker-archive:{}", file.display()))];
        for (driver, source) in sources {
            let job = job(driver, &source).driver(driver);
            let alloc = agent.api().run_one(&job);
            assert_eq!(agent.api().wait_output(&alloc, "t", "hello"), "hello from folder\n", "{source}");
        }
        assert!(failure(&agent, &job("elsewhere", "oci:/etc:v1")).contains("client.images.sources"));
        let untagged = failure(&agent, &job("untagged", &format!("oci:{}:v2", folder.display())));
        assert!(untagged.contains("name one of its tags: v1"), "{untagged}");
    });
}

#[test]
fn what_cannot_be_pulled_is_told() {
    world(|world| {
        let registry = Registry::start();
        let agent = world.start_agent("n1");
        let missing = failure(&agent, &job("missing", &registry.name("no/such:v1")));
        assert!(missing.contains("does not exist in") && missing.contains("check its name and tag"), "{missing}");
        let other = Image { architecture: "s390x", ..image(world, "other") };
        registry.push("other", "v1", &other);
        let other = failure(&agent, &job("other", &registry.name("other:v1")));
        assert!(other.contains("it is for linux/s390x, but this node needs linux/"), "{other}");
        let changed = image(world, "changed");
        registry.push("changed", "v1", &changed);
        let top = floe_images::Digest::of(&changed.layers[1].packed);
        registry.put(&format!("/v2/changed/blobs/{top}"), vec![0; changed.layers[1].packed.len()]);
        let changed = failure(&agent, &job("changed", &registry.name("changed:v1")));
        assert!(changed.contains("but") && changed.contains("was promised"), "{changed}");
        registry.rule(|_, _| Some(Answer::status(503)));
        let busy = failure(&agent, &job("busy", &registry.name("other:v2")));
        assert!(busy.contains("status 503"), "{busy}");
        assert!(failure(&agent, &job("name", "No/Such")).contains("names no image"));
        let command = failure(&agent, &job("port", "x").task(|t| t["Config"]["ports"] = json!(["http"])));
        assert!(command.contains("no port \"http\""), "{command}");
    });
}

#[test]
fn two_tasks_share_one_pull_and_nothing_stays_of_what_they_wrote() {
    world(|world| {
        let registry = Registry::start();
        let image = image(world, "shared");
        registry.push("shared", "v1", &image);
        let (gate, base) = (Arc::new(Gate::default()), floe_images::Digest::of(&image.layers[0].packed).to_string());
        let (held, serving) = (gate.clone(), registry.clone());
        registry.rule(move |request, _| {
            let hold = request.path.ends_with(&base);
            hold.then(|| Answer { gate: Some(held.clone()), ..serving.content(request) })
        });
        let agent = world.agent("n1").set(|c| c["client"]["images"] = json!({ "gc_delay": "0s" })).start();
        let job = job("two", &registry.name("shared:v1"))
            .copies(2)
            .task(|t| t["Config"]["args"] = json!(["touch /written; cat /etc/hello; exec sleep 10000"]));
        agent.api().submit(&job);
        gate.wait_for_guest();
        agent.api().wait("both wait for the image", &job.path("/allocations"), |all| {
            let all = all.as_array()?;
            let waits = |a: &&Value| events(a, "t").contains(&"Driver".to_owned());
            (all.iter().filter(waits).count() == 2).then_some(())
        });
        gate.open();
        for alloc in agent.api().run(&job) {
            assert_eq!(agent.api().wait_output(&id(&alloc), "t", "hello"), "hello from shared\n");
            assert!(agent.data().join("alloc").join(id(&alloc)).join("t/image/upper/written").exists());
        }
        assert_eq!(registry.asked("/blobs/").len(), 3, "each blob is asked for once");
        let allocs: Vec<String> = agent.api().allocs(&job).iter().map(id).collect();
        agent.api().stop(&job);
        for alloc in &allocs {
            let scratch = agent.data().join("alloc").join(alloc).join("t/image");
            eventually("what it wrote is gone", || (!scratch.exists()).then_some(()));
        }
        let images = agent.data().join("client/images");
        let left = || ["blobs", "layers", "images", "users"].iter().flat_map(|d| fs::read_dir(images.join(d)).unwrap().flatten()).count();
        eventually("the image is gone", || (left() == 0).then_some(()));
    });
}

#[test]
fn an_agent_that_was_killed_in_a_pull_goes_on_with_it() {
    world(|world| {
        let registry = Registry::start();
        let image = image(world, "slow");
        registry.push("slow", "v1", &image);
        let (gate, base) = (Arc::new(Gate::default()), floe_images::Digest::of(&image.layers[0].packed).to_string());
        let (held, serving, path) = (gate.clone(), registry.clone(), base.clone());
        registry.rule(move |request, _| {
            let hold = request.path.ends_with(&path) && request.from == 0;
            hold.then(|| Answer { gate: Some(held.clone()), ..serving.content(request) })
        });
        let agent = world.start_agent("n1");
        let job = job("slow", &registry.name("slow:v1"));
        agent.api().submit(&job);
        gate.wait_for_guest();
        let part = agent.data().join("client/images/blobs").join(format!("{}.part", base.trim_start_matches("sha256:")));
        eventually("half of it came", || fs::metadata(&part).ok().filter(|m| m.len() > 0));
        agent.kill();
        gate.open();
        agent.start();
        let alloc = agent.api().run_one(&job);
        assert_eq!(agent.api().wait_output(&alloc, "t", "hello"), "hello from slow\n");
        let asked = registry.asked(&base);
        assert!(asked.last().unwrap().from > 0, "it went on where it was: {asked:?}");
        // A task on an image outlives its agent, and its layers stay.
        let pid = agent.task_pid(&alloc, "t");
        agent.kill();
        agent.start();
        agent.api().wait_status(&alloc, "running");
        assert_eq!(agent.task_pid(&alloc, "t"), pid);
        agent.api().stop(&job);
    });
}

#[test]
fn a_container_is_as_its_job_says() {
    world(|world| {
        let folder = world.dir().join("layout");
        image(world, "fields").write_layout(&folder, "v1");
        let agent = world.agent("n1").set(|c| c["client"]["images"] = json!({ "sources": [folder] })).start();
        let script = "id -u; echo $HOME $PWD $FROM; cat /etc/hostname; cat /proc/sys/net/core/somaxconn; ulimit -n; cat /in/greeting; \
                      touch /x 2>/dev/null || echo closed; touch /scratch/x /local/x && cat /etc/hosts; exec sleep 10000";
        let job = job("fields", &format!("oci:{}", folder.display()))
            .network("bridge")
            .dynamic_port("http", 80)
            .template("good day", "local/shown/greeting")
            .task(|t| {
                t["User"] = json!("web");
                t["Env"] = json!({ "FROM": "job" });
                t["Config"]["args"] = json!([script]);
                for (key, value) in [
                    ("work_dir", json!("/made")),
                    ("hostname", json!("box")),
                    ("sysctl", json!({ "net.core.somaxconn": "1234" })),
                    ("ulimit", json!({ "nofile": "200:300" })),
                    ("volumes", json!(["local/shown:/in:ro"])),
                    ("tmpfs", json!(["/scratch:size=1m"])),
                    ("readonly_rootfs", json!(true)),
                    ("extra_hosts", json!(["db.local:10.9.8.7"])),
                    ("ports", json!(["http"])),
                    ("cap_drop", json!(["all"])),
                ] {
                    t["Config"][key] = value;
                }
            });
        let alloc = agent.api().run_one(&job);
        let output = agent.api().wait_output(&alloc, "t", "10.9.8.7 db.local");
        assert!(output.starts_with("101\n/srv /made job\nbox\n1234\n200\ngood dayclosed\n"), "{output}");
        agent.api().stop(&job);
    });
}
