//! Bad input of every kind: a clear error that says what to do, nothing lost, no panic.

use crate::{
    agent::Agent,
    api::text,
    command::{Outcome, run},
    http::Request,
    job::{Job, service},
    world::{World, eventually, open_folder, world},
};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount, umount2},
    unistd::{Gid, Uid, chown},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

fn validate(world: &World, name: &str, text: &str) -> Outcome {
    let path = world.file(name, text);
    world.floe(&["job", "validate", path.to_str().unwrap()])
}

/// At how many places a file is damaged.
const FLIPS: usize = 16;
const TASK: &str = "task \"t\" {\n driver = \"exec\"\n config { command = \"/bin/true\" }\n }";

#[test]
fn a_bad_job_file_is_answered_with_place_and_line() {
    world(|world| {
        let cases = [
            ("unknown block", "job \"x\" {\n  group \"g\" {\n    colour \"blue\" {}\n  }\n}", &["unknown block.hcl:3:5", "colour"][..]),
            ("unknown field", "job \"x\" {\n  prioritty = 3\n}", &["unknown field.hcl:2:3", "prioritty", "priority"]),
            ("wrong type", "job \"x\" {\n  priority = \"high\"\n}", &["wrong type.hcl:2:", "priority"]),
            ("syntax", "job \"x\" {\n  group \"g\" {\n", &["syntax.hcl:"]),
            ("no job", "", &["job"]),
        ];
        for (name, text, words) in cases {
            validate(world, &format!("{name}.hcl"), text).fails(1, words);
        }
        validate(world, "bad.nix", "{\n  job.x = {\n    priority = undefinedName;\n  };\n}").fails(1, &["bad.nix:3:", "undefinedName"]);
        validate(world, "bad.json", "{\"job\": {\"x\": {\n \"priority\": }}}").fails(1, &["bad.json:2"]);
    });
}

#[test]
fn a_job_that_breaks_rules_is_refused_with_every_reason() {
    world(|world| {
        let group = |name: &str, rest: &str| format!("group \"{name}\" {{\n {rest}\n }}\n");
        let job = |rest: &str| format!("job \"x\" {{\n{rest}}}\n");
        let twice = job(&(group("g", TASK) + &group("g", TASK)));
        validate(world, "a.hcl", &twice).fails(1, &["\"g\"", "g"]);
        validate(world, "b.hcl", &job(&group("g", &format!("{TASK}\n{TASK}")))).fails(1, &["\"t\""]);
        validate(world, "c.hcl", &job(&group("g", "task \"t\" {\n config { command = \"x\" }\n }"))).fails(1, &["driver"]);
        validate(world, "d.hcl", &job(&group("g", ""))).fails(1, &["task"]);
        validate(world, "e.hcl", &job("")).fails(1, &["group"]);
        validate(world, "f.hcl", &job(&group("g", "task \"t\" {\n driver = \"exec\"\n }"))).fails(1, &["command"]);
        let many = job(&format!("priority = 9999\n{}", group("g", &TASK.replace("\"t\"", "\"a/b\""))));
        validate(world, "g.hcl", &many).fails(1, &["2 problems", "priority", "a/b"]);
        validate(world, "h.hcl", &job(&group("g", &format!("count = -1\n{TASK}")))).fails(1, &["h.hcl:3:", "count"]);
        let not_yet =
            job(&format!("periodic {{\n cron = \"* * * * *\"\n }}\n{}", group("g", &format!("scaling {{\n max = 3\n }}\n{TASK}"))));
        validate(world, "i.hcl", &not_yet).fails(1, &["not supported yet", "periodic", "scaling"]);
    });
}

#[test]
fn fields_that_are_not_acted_on_are_refused_by_name() {
    world(|world| {
        let agent = world.start_agent("n1");
        let refused = |job: Job, words: &[&str]| {
            let answer = agent.api().send(Request::new("PUT", "/v1/jobs").body(json!({ "Job": job.json() }).to_string()));
            assert_eq!(answer.status(), 400, "{words:?}: {}", answer.text());
            for word in words.iter().chain(&["not supported yet"]) {
                assert!(answer.text().contains(word), "{word:?} is not in {}", answer.text());
            }
        };
        let base = || service("x", "exec sleep 10000");
        refused(base().set(|j| j["Periodic"] = json!({ "Enabled": true, "Spec": "* * * * *", "SpecType": "cron" })), &["periodic"]);
        refused(base().set(|j| j["Namespace"] = json!("other")), &["namespace"]);
        refused(base().set(|j| j["Update"]["Canary"] = json!(1)), &["canary"]);
        refused(base().task(|t| t["Artifacts"] = json!([{ "GetterSource": "http://x/y" }])), &["artifact"]);
        refused(base().task(|t| t["Config"]["cap_add"] = json!(["all"])), &["cap_add"]);
        refused(base().network("cni/foo"), &["cni/foo"]);
        assert_eq!(agent.api().get("/v1/jobs"), json!([]));
    });
}

#[test]
fn hostile_job_files_are_bounded() {
    world(|world| {
        let began = std::time::Instant::now();
        let big = format!("job \"x\" {{ name = \"{}\" }}", "x".repeat(5 << 20));
        validate(world, "big.hcl", &big).fails(1, &["more than 4194304 bytes", "big.hcl"]);
        let deep = format!("job \"x\" {{ meta = {{ a = {}1{} }} }}", "[".repeat(100_000), "]".repeat(100_000));
        validate(world, "deep.hcl", &deep).fails(1, &["deep"]);
        validate(world, "deep.nix", &format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000))).fails(1, &["deep"]);
        validate(world, "deep.json", &format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))).fails(1, &["deep.json"]);
        validate(world, "loop.nix", "let f = x: f x; in f 1").fails(1, &["loop.nix"]);
        validate(world, "memory.nix", "let f = s: f (s + s); in f \"xxxxxxxx\"").fails(1, &["memory.nix"]);
        validate(world, "out.nix", "{ job.x.name = builtins.readFile ../../../../../../etc/passwd; }").fails(1, &["out.nix"]);
        let names = validate(world, "out.hcl", "job \"x\" { name = file(\"../../../../etc/passwd\") }").fails(1, &["out.hcl"]);
        assert!(!names.contains("root:"), "{names}");
        world.floe(&["job", "validate", "/dev/zero"]).fails(1, &["/dev/zero"]);
        world.floe(&["job", "validate", world.dir().to_str().unwrap()]).fails(1, &["folder"]);
        assert!(began.elapsed().as_secs() < 60, "it took {:?}", began.elapsed());
    });
}

#[test]
fn a_bad_configuration_is_refused_before_anything_starts() {
    world(|world| {
        let agent = |name: &str, text: &str| {
            let path = world.file(name, text);
            world.floe(&["agent", "-config", path.to_str().unwrap()])
        };
        let data = format!("data_dir = \"{}\"\n", world.dir().join("d").display());
        agent("a.hcl", "server { enabled = true }").fails(1, &["data_dir"]);
        agent("b.hcl", &format!("{data}server {{\n enabled = true\n colour = 1\n}}")).fails(1, &["unknown key", "colour"]);
        agent("c.hcl", &format!("{data}server {{ enabled = true }}\ntls {{ http = true }}")).fails(1, &["not supported yet", "tls"]);
        agent("d.hcl", &format!("{data}bind_addr = \"0.0.0.0\"\nserver {{ enabled = true }}")).fails(1, &["advertise.rpc"]);
        let clear = "bind_addr = \"192.0.2.1\"\ntls {\n rpc = false\n}\nserver {\n enabled = true\n}";
        agent("d2.hcl", &format!("{data}{clear}")).fails(1, &["without TLS", "127.0.0.1"]);
        agent("d3.hcl", &format!("{data}server {{\n enabled = true\n retry_join = [\"192.0.2.9\"]\n}}"))
            .fails(1, &["no token", "floe server token"]);
        agent("e.hcl", &format!("{data}client {{ enabled = true }}")).fails(1, &["servers"]);
        agent("f.hcl", &data).fails(1, &["nothing to do"]);
        agent("g.hcl", &format!("{data}server {{ enabled = \"perhaps\" }}")).fails(1, &["enabled"]);
        agent("h.json", "{").fails(1, &["h.json"]);
        agent(
            "i.hcl",
            &format!("{data}server {{ enabled = true }}\nclient {{\n enabled = true\n bridge_network_subnet = \"10.0.0.0/40\"\n}}"),
        )
        .fails(1, &["10.0.0.0/40"]);
        world.floe(&["agent", "-config", "/nonexistent"]).fails(1, &["/nonexistent"]);
        world.floe(&["agent"]).fails(1, &["nothing to do"]);
    });
}

#[test]
fn a_second_agent_on_the_same_folder_or_ports_is_refused() {
    world(|world| {
        let first = world.start_agent("n1");
        run(first.command_for_reading()).fails(1, &["n1"]);
        let same_folder = world.agent("n2").set(|c| c["data_dir"] = json!(first.data())).build();
        run(same_folder.command_for_reading()).fails(1, &["in use by process", first.data().to_str().unwrap(), "-data-dir"]);
        let same_ports = world.agent("n3").set(|c| c["ports"] = json!({ "http": first.http().port(), "rpc": 0 })).build();
        run(same_ports.command_for_reading()).fails(1, &["127.0.0.1:4646", "another process has it"]);
        let same_bridge = world.agent("n4").set(|c| c["client"]["bridge_network_name"] = json!(first.bridge())).build();
        run(same_bridge.command_for_reading()).fails(1, &["belongs to another floe agent", first.bridge()]);
        let same_subnet = world.agent("n5").set(|c| c["client"]["bridge_network_subnet"] = json!("172.26.64.0/20")).start();
        // Its node says why it cannot connect allocations; the first one is not touched.
        world.expect_errors(&["allocations cannot be connected to a bridge"]);
        assert!(same_subnet.log().contains("172.26.64.0/20"), "{}", same_subnet.log());
        first.api().run_one(&crate::job::web("web"));
    });
}

#[test]
fn without_root_the_reason_is_given() {
    world(|world| {
        open_folder(&world.tmp());
        // The build folder may be closed to others.
        let binary = world.file("floe", "");
        let none: Option<&str> = None;
        mount(Some(crate::command::FLOE), &binary, none, MsFlags::MS_BIND, none).unwrap();
        let nobody = |arguments: &[&str]| {
            let own = ["--reuid", "65534", "--regid", "65534", "--clear-groups", binary.to_str().unwrap()];
            run(world.program("setpriv", &[&own, arguments].concat()))
        };
        let example = world.file("hello.hcl", fs::read(format!("{}/../../examples/hello.hcl", env!("CARGO_MANIFEST_DIR"))).unwrap());
        fs::create_dir(world.dir().join("hello")).unwrap();
        world.file("hello/index.html.tmpl", "x");
        nobody(&["up", example.to_str().unwrap()]).fails(1, &["root"]);
        nobody(&["agent", "-dev"]).fails(1, &["root"]);
        // A job file can be checked by anybody.
        assert!(nobody(&["job", "validate", example.to_str().unwrap()]).ok().contains("successful"));
        // A server needs no root.
        let server = world.agent("s").server_only().build();
        fs::create_dir(server.data()).unwrap();
        chown(server.data(), Some(Uid::from_raw(65534)), Some(Gid::from_raw(65534))).unwrap();
        let running = crate::command::Running::start(world.program(
            "setpriv",
            &[
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
                binary.to_str().unwrap(),
                "agent",
                "-config",
                server.config().to_str().unwrap(),
            ],
        ));
        eventually("it answers", || server.api().try_get("/v1/status/leader"));
        running.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(running.wait().success());
        umount(&binary).unwrap();
    });
}

#[test]
fn a_machine_without_cgroups_is_told_what_it_lacks() {
    world(|world| {
        // Of this world only: its mounts are its own.
        umount2("/sys/fs/cgroup", MntFlags::MNT_DETACH).unwrap();
        let example = format!("{}/../../examples/hello.hcl", env!("CARGO_MANIFEST_DIR"));
        let outcomes = [world.floe(&["up", &example, "--once"]), world.floe(&["agent", "-dev"])];
        for outcome in outcomes {
            outcome.fails(1, &["cgroup"]);
        }
    });
}

fn submit_some(agent: &Agent, from: usize, to: usize) -> BTreeSet<String> {
    (from..to).map(|n| format!("j{n}")).inspect(|id| drop(agent.api().submit(&service(id, "true").copies(0)))).collect()
}

fn known(agent: &Agent) -> BTreeSet<String> {
    agent.api().get("/v1/jobs").as_array().unwrap().iter().map(|j| text(&j["ID"]).to_owned()).collect()
}

#[test]
fn a_cut_off_database_is_named_and_left_alone() {
    world(|world| {
        let agent = world.start_agent("n1");
        let jobs = submit_some(&agent, 0, 20);
        assert!(agent.terminate().success());
        for file in ["server/raft.redb", "client/state.redb"] {
            let path = agent.data().join(file);
            let whole = fs::read(&path).unwrap();
            for length in [0, 100, whole.len() / 2, whole.len() - 1000] {
                fs::write(&path, &whole[..length]).unwrap();
                let outcome = if length == 0 && file.starts_with("client") { None } else { Some(run(agent.command_for_reading())) };
                if let Some(outcome) = outcome {
                    outcome.fails(1, &[path.to_str().unwrap(), "move it away"]);
                    assert_eq!(fs::read(&path).unwrap().len(), length, "the damaged file was changed");
                }
            }
            fs::write(&path, &whole).unwrap();
        }
        agent.start();
        assert_eq!(known(&agent), jobs);
    });
}

fn flip(path: &Path, at: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 0x10]).unwrap();
}

/// Flips one bit at many places of a file. Each time the agent says so, or has lost nothing.
fn flips(world: &World, file: &str) {
    let agent = world.start_agent("n1");
    let mut jobs = submit_some(&agent, 0, 20);
    let running: Vec<(String, i32)> = (0..3)
        .map(|n| agent.api().run_one(&service(&format!("run{n}"), "exec sleep 10000")))
        .map(|alloc| (alloc.clone(), agent.task_pid(&alloc, "t")))
        .collect();
    jobs.extend((0..3).map(|n| format!("run{n}")));
    agent.kill();
    let path = agent.data().join(file);
    let whole = fs::read(&path).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut refused = 0;
    for place in 0..FLIPS {
        let at = used[used.len() * place / FLIPS];
        flip(&path, at as u64);
        agent.launch();
        let came = eventually("it answers or ends", || match agent.ended() {
            Some(status) => Some(Err(status)),
            None => agent.api().try_get("/v1/jobs").map(Ok),
        });
        match came {
            Ok(_) => {
                assert_eq!(known(&agent), jobs, "byte {at} of {file}");
                agent.wait_ready();
                for (alloc, pid) in &running {
                    assert_eq!(agent.api().alloc(alloc)["ClientStatus"], "running", "byte {at} of {file}");
                    assert!(Path::new(&format!("/proc/{pid}")).exists(), "byte {at} of {file}");
                }
                agent.kill();
            }
            Err(status) => {
                assert_eq!(status.code(), Some(1), "byte {at} of {file}");
                refused += 1;
                let log = agent.log();
                let last = log.lines().last().unwrap_or_default();
                assert!(last.contains(file), "byte {at}: the file is not named in {last:?}");
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(refused > 0, "no flip was ever noticed");
    agent.start();
    assert_eq!(known(&agent), jobs);
    for (alloc, pid) in &running {
        assert_eq!((&agent.api().alloc(alloc)["ClientStatus"], agent.task_pid(alloc, "t")), (&json!("running"), *pid));
    }
}

#[test]
fn a_flipped_bit_in_the_servers_log_is_noticed_or_harmless() {
    world(|world| flips(world, "server/raft.redb"));
}

#[test]
fn a_flipped_bit_in_the_clients_state_is_noticed_or_harmless() {
    world(|world| flips(world, "client/state.redb"));
}

#[test]
fn a_full_disk_is_reported_and_costs_nothing_acknowledged() {
    world(|world| {
        let data = world.dir().join("n1.data");
        fs::create_dir(&data).unwrap();
        mount(Some("full"), &data, Some("tmpfs"), MsFlags::empty(), Some("size=64m")).unwrap();
        world.expect_errors(&["o space left", "raft", "disk"]);
        let agent = world.start_agent("n1");
        let mut jobs = submit_some(&agent, 0, 10);
        let filler = data.join("filler");
        // Whatever is left, down to the last page.
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
        drop(file);
        let big = |n: usize| service(&format!("j{n}"), &"x".repeat(60_000)).copies(0);
        let mut refused = None;
        for number in 10..400 {
            let job = big(number);
            match Request::new("PUT", "/v1/jobs").body(json!({ "Job": job.json() }).to_string()).send(agent.http()) {
                Ok(answer) if answer.status() == 200 => drop(jobs.insert(job.id().to_owned())),
                Ok(answer) => {
                    refused = Some(answer.text());
                    break;
                }
                Err(error) => panic!("the agent went away without an answer: {error}"),
            }
        }
        let words = refused.expect("a disk that is full takes no jobs");
        assert!(words.to_lowercase().contains("space") || words.contains("log"), "{words}");
        let status = agent.wait();
        assert_eq!(status.code(), Some(1));
        assert!(agent.log().contains("o space left"), "{}", agent.log());
        fs::remove_file(&filler).unwrap();
        agent.start();
        let found = known(&agent);
        assert!(found.is_superset(&jobs), "lost: {:?}", jobs.difference(&found));
        agent.api().run_one(&service("after", "exec sleep 10000"));
        agent.api().stop_all_jobs();
        assert!(agent.terminate().success());
        umount(&data).unwrap();
    });
}
