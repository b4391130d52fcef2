//! `floe cluster check`, `diff` and `plan`: without Nix, without an agent, and with a cluster whose operator does what the plan says.

use crate::{
    agent::{Agent, AgentBuilder},
    api::text,
    cluster::{leader, members, quick, wait_voters},
    command::{Outcome, run},
    world::{World, eventually, hosts::Host, world},
};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The port that inventories have by default.
const RPC: u16 = 4647;

/// `floe cluster ...` in the project's folder, where there is no nix, and with no agent.
fn alone(world: &World, words: &[&str]) -> Outcome {
    let mut command = world.command(&[&["cluster"], words].concat());
    command.current_dir(ROOT).env("PATH", "/nonexistent");
    run(command)
}

/// An inventory of servers and clients, each with the number of its address and its datacenter.
fn inventory(hosts: &[(&str, u8, &str, &str)]) -> String {
    let host = |(name, number, role, dc): &(&str, u8, &str, &str)| {
        format!("    {name} = {{ address = \"10.77.0.{number}\"; role = \"{role}\"; datacenter = \"{dc}\"; }};\n")
    };
    let hosts: String = hosts.iter().map(host).collect();
    format!("{{\n  cluster = {{ name = \"test\"; evenServers = true; }};\n  hosts = {{\n{hosts}  }};\n}}\n")
}

#[test]
fn the_inventories_that_come_along_are_checked_without_nix_and_without_an_agent() {
    world(|world| {
        for folder in ["hosts", "templates/default", "templates/hetzner"] {
            let all = alone(world, &["check", "-json", folder]).json();
            let found = all["Inventories"].as_array().unwrap();
            assert_eq!(found.len(), if folder == "hosts" { 3 } else { 1 }, "{all:#}");
            assert!(found.iter().all(|i| i["Usable"] == true && i["Errors"] == json!([]) && !i["Hosts"].as_array().unwrap().is_empty()));
        }
        let out = alone(world, &["check", "templates/default"]);
        assert!(out.stderr.contains("flake.nix: left out: it has neither cluster nor hosts"), "{out:#?}");
        assert!(out.ok().contains("3 servers, 1 may fail; 3 clients"));
        // A folder has several, and a cluster one.
        for command in ["diff", "plan"] {
            alone(world, &[command, "hosts"]).fails(1, &["holds 3 inventories", "hosts/single.nix, hosts/trio.nix"]);
        }
    });
}

#[test]
fn what_is_wrong_with_an_inventory_is_said_at_once_and_by_every_command() {
    world(|world| {
        let text = "{ cluster.nmae = \"x\"; hosts.a.role = \"bath\"; hosts.b = { address = \"10.0.0\"; role = \"both\"; }; }";
        let path = world.file("hosts.nix", text);
        let path = path.to_str().unwrap();
        let wrong =
            ["cluster.nmae:", "cluster.name:", "hosts.a.role: \"bath\" is no role", "hosts.a.address: is missing", "hosts.b.address:"];
        for command in ["check", "diff", "plan"] {
            alone(world, &[command, path]).fails(1, &wrong);
        }
        let out = alone(world, &["check", "-json", path]);
        assert_eq!(out.code, Some(1));
        let said: Value = serde_json::from_str(&out.stdout).unwrap();
        assert_eq!(
            (&said["Inventories"][0]["Usable"], said["Inventories"][0]["Errors"].as_array().unwrap().len()),
            (&json!(false), 5),
            "{said:#}"
        );
        alone(world, &["check", "/none.nix"]).fails(1, &["read inventory /none.nix", "No such file"]);
        alone(world, &["check", world.file("empty/x.txt", "").parent().unwrap().to_str().unwrap()]).fails(1, &["no inventory in"]);
        // One that cannot even be read is not passed over.
        world.file("many/broken.nix", "{ cluster = ; }");
        world.file("many/hosts.nix", inventory(&[("a", 1, "both", "dc1")]));
        let out = alone(world, &["check", world.dir().join("many").to_str().unwrap()]);
        assert!(out.stdout.contains("1 server, none may fail"), "{out:#?}");
        out.fails(1, &["broken.nix:1:13"]);
    });
}

#[test]
fn a_folder_is_looked_at_up_to_a_bound() {
    world(|world| {
        world.file("many/hosts.nix", inventory(&[("a", 1, "both", "dc1")]));
        (1..256).for_each(|n| drop(world.file(&format!("many/other-{n}.nix"), "1")));
        let folder = world.dir().join("many");
        let check = || alone(world, &["check", folder.to_str().unwrap()]);
        assert!(check().ok().contains("1 server"));
        world.file("many/one-too-many.nix", "1");
        check().fails(1, &["has more than 256 .nix files; name the inventory"]);
    });
}

#[test]
fn what_only_nix_can_evaluate_is_left_to_nix() {
    world(|world| {
        let file = world.file("hosts.nix", "{ pkgs, ... }: { cluster.name = pkgs.name; hosts = { }; }");
        let path = file.to_str().unwrap();
        alone(world, &["check", path]).fails(1, &["asks for \"pkgs\"", "there is no nix here", "https://nixos.org/download", "plain data"]);
        // In place of nix: who says what it was asked, and gives what it was told to.
        let stand_in = |script: &str| {
            let nix =
                world.file("bin/nix", format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >{}\n{script}\n", world.dir().join("asked").display()));
            fs::set_permissions(&nix, fs::Permissions::from_mode(0o755)).unwrap();
        };
        let with_nix = |words: &[&str]| {
            let mut command = world.command(&[&["cluster"], words].concat());
            command.env("PATH", format!("{}:/usr/bin:/bin", world.dir().join("bin").display()));
            run(command)
        };
        stand_in(r#"echo '{ "cluster": { "name": "far" }, "hosts": { "a": { "address": "10.0.0.1", "role": "both" } } }'"#);
        let out = with_nix(&["check", path]);
        assert!(out.stderr.contains("evaluated by nix eval") && out.stderr.contains("asks for \"pkgs\""), "{out:#?}");
        assert!(out.ok().contains("cluster far"));
        let asked = fs::read_to_string(world.dir().join("asked")).unwrap();
        assert!(asked.contains("eval\n--json\n--impure") && asked.contains(&format!("import (/. + \"{path}\")")), "{asked}");
        // The rules are floe's.
        stand_in(r#"echo '{ "cluster": { "name": "far" }, "hosts": { "a": { "address": "10.0.0.1", "role": "bath" } } }'"#);
        with_nix(&["check", path]).fails(1, &["hosts.a.role: \"bath\" is no role"]);
        stand_in("echo 'no such attribute' >&2; exit 1");
        with_nix(&["check", path]).fails(1, &["no such attribute", "nix eval failed", "asks for \"pkgs\""]);
        stand_in("echo nonsense");
        with_nix(&["check", path]).fails(1, &["hosts.nix"]);
        stand_in("exec cat /dev/zero");
        with_nix(&["check", path]).fails(1, &["more than 8388608 bytes"]);
    });
}

#[test]
fn without_a_cluster_the_plan_is_that_of_a_first_start_and_says_so() {
    world(|world| {
        let out = alone(world, &["plan", "hosts/trio.nix"]);
        assert!(out.stderr.contains("no agent answers at http://127.0.0.1:4646: this is the plan of a FIRST start"), "{out:#?}");
        let fresh = alone(world, &["plan", "-fresh", "hosts/trio.nix"]);
        assert_eq!((out.code, &out.stdout, fresh.stderr.as_str()), (Some(0), &fresh.stdout, ""));
        alone(world, &["diff", "hosts/trio.nix"])
            .fails(1, &["compare hosts/trio.nix with the cluster", "cannot reach the agent at", "is it running?"]);
        let steps = alone(world, &["plan", "-fresh", "-json", "hosts/hetzner.nix"]).json();
        let done: Vec<&str> = steps["Steps"].as_array().unwrap().iter().map(|s| text(&s["Do"])).collect();
        assert_eq!(done, ["secrets", "begin", "join", "join"], "{steps:#}");
    });
}

/// What the guide shows is what is printed. Each block that begins with `$ floe cluster` is a command, and what it prints follows.
#[test]
fn the_guide_shows_what_is_printed() {
    world(|world| {
        let guide = fs::read_to_string(format!("{ROOT}/docs/guide/nixos.md")).unwrap();
        let blocks = guide.split("\n    $ floe cluster ").skip(1);
        let mut seen = Vec::new();
        for block in blocks {
            let lines: Vec<&str> =
                block.lines().take_while(|l| l.is_empty() || l.starts_with("    ") || l == &block.lines().next().unwrap()).collect();
            let (command, shown) = lines.split_first().unwrap();
            let words: Vec<&str> = command.split(' ').collect();
            // The one that needs a cluster is shown by the test that has one.
            if words[0] != "diff" {
                let printed = alone(world, &words).ok();
                assert_eq!(plain(&shown.join("\n")), plain(&printed), "floe cluster {command}");
            }
            seen.push(words[0]);
        }
        assert_eq!(seen, ["check", "diff", "plan"]);
    });
}

/// Lines without their indentation and without empty ones.
fn plain(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect()
}

/// A machine of the cluster: an agent on a host of its own, at the port that inventories have.
struct Machine {
    agent: Arc<Agent>,
    host: Host,
}

impl Machine {
    fn begin(builder: AgentBuilder<'_>, host: Host) -> Self {
        let agent = builder.on(host).build();
        agent.reconfigure(|c| c["ports"]["rpc"] = json!(RPC));
        agent.start();
        Machine { agent, host }
    }

    /// A command of an operator who sits at it.
    fn floe(&self, world: &World, words: &[&str]) -> Outcome {
        self.host.run(|| world.floe(&[words, &["-address", &format!("http://{}", self.agent.http())]].concat()))
    }

    /// The plan, once the servers have a leader to ask.
    fn plan(&self, world: &World, path: &str) -> Value {
        let plan = || Some(self.floe(world, &["cluster", "plan", "-json", path])).filter(|out| out.code == Some(0));
        let plan = eventually("there is a plan", plan).json();
        assert_eq!(plan["FirstStart"], false);
        plan
    }

    fn steps(&self, world: &World, path: &str) -> Vec<Value> {
        self.plan(world, path)["Steps"].as_array().unwrap().clone()
    }

    /// Compares; returns host and attribute of what differs. Nothing while the servers elect somebody.
    fn diff(&self, world: &World, path: &str) -> Option<Vec<(String, String)>> {
        let out = self.floe(world, &["cluster", "diff", "-json", path]);
        if out.code == Some(1) && out.stdout.is_empty() {
            return None;
        }
        let said: Value = serde_json::from_str(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:#?}"));
        let found: Vec<_> = said["Differences"].as_array().unwrap().clone();
        assert_eq!((out.code, said["Equal"] == true), (Some(if found.is_empty() { 0 } else { 2 }), found.is_empty()), "{out:#?}");
        Some(found.iter().map(|d| (text(&d["Host"]).to_owned(), text(&d["What"]).to_owned())).collect())
    }

    /// Looks until what differs is this.
    fn wait_diff(&self, world: &World, path: &str, wanted: &[(&str, &str)]) {
        let wanted: Vec<_> = wanted.iter().map(|(h, w)| ((*h).to_owned(), (*w).to_owned())).collect();
        eventually(&format!("the difference is {wanted:?}"), || (self.diff(world, path)? == wanted).then_some(()));
    }
}

/// What the steps do, each with the host or the name that it is about.
fn outline(steps: &[Value]) -> Vec<String> {
    let about = |s: &Value| ["Host", "To", "Name"].iter().map(|k| text(&s[*k]).to_owned()).collect::<String>();
    steps.iter().map(|s| format!("{} {}", text(&s["Do"]), about(s)).trim().to_owned()).collect()
}

/// The step's own command that begins so, as words; what is behind a # is for people.
fn command_of<'a>(step: &'a Value, beginning: &str) -> Vec<&'a str> {
    let commands = step["Commands"].as_array().unwrap().iter().map(text);
    let found =
        commands.map(|c| c.split(" #").next().unwrap().trim()).find(|c| c.trim_start_matches("(umask 077; ").starts_with(beginning));
    let found = found.unwrap_or_else(|| panic!("no {beginning:?} in {step:#}"));
    found.trim_start_matches("(umask 077; ").split(" > ").next().unwrap().split(' ').skip(1).collect()
}

/// From one server to two others and a client, by what the plans say: their commands are run as they are printed.
#[test]
fn a_cluster_is_brought_to_what_is_declared_step_by_step() {
    world(|world| {
        let path = |name: &str, hosts: &[(&str, u8, &str, &str)]| -> PathBuf { world.file(name, inventory(hosts)) };
        let one = path("one.nix", &[("one", 1, "server", "dc1")]);
        let all = [("one", 1, "server", "dc1"), ("two", 2, "server", "dc1"), ("three", 3, "server", "dc1"), ("work", 4, "client", "dc1")];
        let all = path("all.nix", &all);
        let fewer = path("fewer.nix", &[("two", 2, "server", "dc1"), ("three", 3, "server", "dc1"), ("work", 4, "client", "dc2")]);
        let [one, all, fewer] = [&one, &all, &fewer].map(|p| p.to_str().unwrap());
        let hosts = [world.host(), world.host(), world.host(), world.host()];
        let server = |name: &str| quick(world.agent(name).server_only());
        let first = Machine::begin(server("one"), hosts[0]);
        first.wait_diff(world, one, &[]);
        assert!(first.floe(world, &["cluster", "diff", one]).ok().contains("is what"));
        assert_eq!(first.steps(world, one), [] as [Value; 0]);
        assert!(first.floe(world, &["cluster", "plan", one]).ok().contains("there is nothing to do"));

        // It grows.
        first.wait_diff(world, all, &[("three", "host"), ("two", "host"), ("work", "host")]);
        shown_in_the_guide(&first.floe(world, &["cluster", "diff", all]));
        let steps = first.steps(world, all);
        assert_eq!(outline(&steps), ["switch one", "join three", "join two", "join work"]);
        let mut machines = vec![first];
        for (step, (name, host)) in steps[1..].iter().zip([("three", hosts[2]), ("two", hosts[1]), ("work", hosts[3])]) {
            let token = machines[0].floe(world, &command_of(step, "floe server token")).ok();
            let token = world.file(&format!("{name}.token"), token);
            let is_client = step["Role"] == "client";
            let retry: Vec<String> = [1, 2, 3].map(|n| format!("10.77.0.{n}:{RPC}")).into();
            let builder = if is_client { world.agent(name).set(|c| c["server"] = json!({ "enabled": false })) } else { server(name) };
            let builder = builder.set(|c| {
                c["join_token_file"] = json!(token);
                c["datacenter"] = json!("dc1");
                let part = if is_client { "client" } else { "server" };
                c[part][if is_client { "servers" } else { "retry_join" }] = json!(retry);
            });
            machines.push(Machine::begin(builder, host));
            let voters = usize::try_from(step["Voters"].as_u64().unwrap()).unwrap();
            eventually("as many vote as the plan says", || {
                (members(&machines[0].agent)?.iter().filter(|m| m["Voter"] == true).count() == voters).then_some(())
            });
        }
        machines[2].wait_diff(world, all, &[]);
        // By this versions are compared: each server says it of itself.
        let said = machines[0].agent.api().get("/v1/agent/members");
        let knows = |m: &Value| text(&m["Tags"]["cluster_version"]).parse::<u32>().is_ok_and(|v| v > 0);
        assert!(said["Members"].as_array().unwrap().iter().all(knows), "{said:#}");
        assert_eq!(machines[1].steps(world, all), [] as [Value; 0]);

        // The first one goes, and the client changes.
        let (three, two, work) = (&machines[1], &machines[2], &machines[3]);
        two.wait_diff(world, fewer, &[("one", "host"), ("work", "datacenter")]);
        let agents: Vec<Arc<Agent>> = machines[..3].iter().map(|m| m.agent.clone()).collect();
        let plan = two.plan(world, fewer);
        let steps = plan["Steps"].as_array().unwrap().clone();
        let mut outlined = outline(&steps);
        if plan["Leader"] == "one" {
            let to = outlined.remove(0);
            assert!(["hand-over two", "hand-over three"].contains(&to.as_str()), "{to}");
        }
        assert_eq!(outlined, ["remove-server one", "switch work", "refresh"], "{steps:#?}");
        for step in steps.iter().filter(|s| ["hand-over", "remove-server"].contains(&text(&s["Do"]))) {
            two.floe(world, &command_of(step, "floe operator raft")).ok();
            if step["Do"] == "hand-over" {
                eventually("another one leads", || (leader(&agents, &two.agent).name() != "one").then_some(()));
            }
        }
        wait_voters(&three.agent, &["three", "two"]);
        machines[0].agent.terminate();
        work.agent.terminate();
        work.agent.reconfigure(|c| c["datacenter"] = json!("dc2"));
        work.agent.start();
        three.wait_diff(world, fewer, &[]);
        // A client does not say it: it may not ask.
        work.floe(world, &["cluster", "diff", fewer]).fails(1, &["compare"]);

        // Who is away is started, and nothing else can be done without a majority.
        work.agent.kill();
        three.wait_diff(world, fewer, &[("work", "status")]);
        assert_eq!(outline(&three.steps(world, fewer)), ["start work"]);
        work.agent.start();
        three.wait_diff(world, fewer, &[]);
        two.agent.kill();
        let refused =
            eventually("it is noticed", || Some(three.floe(world, &["cluster", "plan", fewer])).filter(|out| out.code == Some(1)));
        refused.fails(1, &["plan from the cluster to"]);
        two.agent.start();
        three.wait_diff(world, fewer, &[]);
    });
}

/// The guide has this comparison.
fn shown_in_the_guide(out: &Outcome) {
    let guide = fs::read_to_string(format!("{ROOT}/docs/guide/nixos.md")).unwrap();
    let block = guide.split("    $ floe cluster diff hosts.nix\n").nth(1).expect("the guide shows a comparison");
    let shown: Vec<&str> = block.lines().take_while(|l| l.starts_with("    ")).collect();
    assert_eq!(plain(&shown.join("\n")), plain(&out.stdout));
    assert!(out.stderr.contains("3 differences between") && out.stderr.contains("floe cluster plan says how to get there"), "{out:#?}");
}
