//! A majority of the servers is gone for good: what is left goes on, and the tasks never notice.

use crate::{
    agent::Agent,
    api::text,
    cluster::{jobs, members, quick, three, wait_voters, write, written},
    job::web,
    world::{World, eventually, world},
};
use serde_json::json;
use std::{fs, sync::Arc};

/// Runs the command on the data folder of a server.
fn recover(world: &World, server: &Agent, more: &[&str]) -> String {
    let data = server.data().to_str().unwrap();
    let line = [&["operator", "recover", "-data-dir", data], more].concat();
    world.floe(&line).ok()
}

/// The last entry, as the command writes it.
fn last_entry(said: &str) -> (u64, u64) {
    let written = said.lines().find_map(|l| l.strip_prefix("Last entry")).unwrap().split_whitespace().next().unwrap();
    let (term, index) = written.split_once('-').unwrap();
    (term.parse().unwrap(), index.parse().unwrap())
}

#[test]
fn one_of_three_goes_on_with_its_tasks_and_grows_again() {
    world(|world| {
        let servers = three(world);
        let client = world.agent("c").client_of(&servers[0]).start();
        let alloc = servers[0].api().run_one(&web("web"));
        let pid = client.task_pid(&alloc, "t");
        let running = world.floe(&["operator", "recover", "-data-dir", servers[0].data().to_str().unwrap()]);
        running.fails(1, &["in use by process"]);
        servers[1].kill();
        servers[2].kill();
        fs::remove_dir_all(servers[1].data()).unwrap();
        servers[0].kill();
        let said = recover(world, &servers[0], &[]);
        for word in ["Nothing was changed", "-confirm", "Last entry", "s2", "s3", &servers[1].rpc()] {
            assert!(said.contains(word), "{word} is not in: {said}");
        }
        assert_eq!(recover(world, &servers[0], &[]), said, "it only looked");
        assert!(recover(world, &servers[0], &["-confirm"]).contains("cluster of its own now"));
        world.floe(&["operator", "recover", "-data-dir", servers[0].data().to_str().unwrap()]).fails(1, &["only voter"]);
        servers[0].start();
        wait_voters(&servers[0], &["s1"]);
        written(&servers[0], "after");
        eventually("the node is back", || (servers[0].api().try_get("/v1/nodes")?[0]["Status"] == "ready").then_some(()));
        servers[0].api().run(&web("web").copies(2));
        assert_eq!(client.task_pid(&alloc, "t"), pid, "the task never noticed");
        // The old server with its old disk is told that it is over.
        servers[2].launch();
        eventually("it knows", || servers[2].log().contains("was removed from the cluster").then_some(()));
        assert_eq!(members(&servers[0]).unwrap().len(), 1);
        servers[2].terminate();
        let mut grown = vec![servers[0].clone()];
        for name in ["s4", "s5"] {
            grown.push(quick(world.agent(name)).joins(&servers[0]).start());
        }
        wait_voters(&servers[0], &["s1", "s4", "s5"]);
        written(&grown[2], "by-a-new-one");
        assert!(jobs(&grown[1]).contains(&"after".to_owned()));
        assert_eq!(client.task_pid(&alloc, "t"), pid);
    });
}

#[test]
fn two_of_five_go_on_and_the_old_three_are_no_second_cluster() {
    world(|world| {
        let mut servers = three(world);
        for name in ["s4", "s5"] {
            servers.push(quick(world.agent(name)).joins(&servers[0]).start());
        }
        wait_voters(&servers[0], &["s1", "s2", "s3", "s4", "s5"]);
        written(&servers[1], "before");
        servers.iter().for_each(|s| s.kill());
        let (a, b) = (&servers[0], &servers[1]);
        let (of_a, of_b) = (last_entry(&recover(world, a, &[])), last_entry(&recover(world, b, &[])));
        let (first, second): (&Arc<Agent>, &Arc<Agent>) = if of_a > of_b { (a, b) } else { (b, a) };
        let at = of_a.max(of_b);
        // The other one would lose what the wrong choice lacks.
        let wrong = ["operator", "recover", "-data-dir", first.data().to_str().unwrap(), "-rejoin", "0-1", "-confirm"];
        world.floe(&wrong).fails(1, &["has entries that were lost there"]);
        recover(world, first, &["-survivor", second.name(), "-confirm"]);
        first.start();
        assert!(jobs(first).contains(&"before".to_owned()));
        assert!(recover(world, second, &["-rejoin", &format!("{}-{}", at.0, at.1), "-confirm"]).contains("Done"));
        assert!(second.data().join("server.before-recovery/raft.redb").is_file(), "nothing is thrown away");
        second.reconfigure(|c| c["server"]["retry_join"] = json!([first.rpc()]));
        second.start();
        let mut names = [first.name(), second.name()];
        names.sort_unstable();
        wait_voters(first, &names);
        written(second, "after");
        // Three of the old five are a majority of what they know, and hear that it is over.
        servers[2..].iter().for_each(|s| s.launch());
        for old in &servers[2..] {
            eventually("it knows", || old.log().contains("was removed from the cluster").then_some(()));
        }
        assert!(!write(&servers[2], "second-cluster"));
        assert_eq!(members(first).unwrap().iter().map(|m| text(&m["Node"]).to_owned()).collect::<Vec<_>>().len(), 2);
        written(first, "still");
        for old in &servers[2..] {
            old.terminate();
        }
    });
}
